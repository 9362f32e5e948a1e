"""Rows that come twice, out of order, too late, too long; blocks as they are; limits."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_tdengine.client.block import FixedColumn
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing import BoxError, TDengineBox

from ..box_client import TS, Socket, block_of, rest

T = 1609459200000

TWICE = (
    f"insert into d.t (ts, a, b) values ({T}, 1, 'one') ({T + 1}, 2, 'two')",
    f"insert into d.t (ts, a) values ({T}, 10)",
    f"insert into d.t (ts, a, b) values ({T + 1}, null, 'zwei')",
)


@pytest.mark.parametrize(
    ("version", "options", "expected"),
    [
        ("2.4.0.18", "", [(T, 1, "one"), (T + 1, 2, "two")]),
        ("2.4.0.18", "update 1", [(T, 10, None), (T + 1, None, "zwei")]),
        ("2.4.0.18", "update 2", [(T, 10, "one"), (T + 1, 2, "zwei")]),
        ("3.3.3.0", "", [(T, 10, "one"), (T + 1, None, "zwei")]),
    ],
)
def test_rows_that_come_twice(version: str, options: str, expected: list[tuple[object, ...]]) -> None:
    box = TDengineBox(version=version)
    box.execute(f"create database d keep 36500 {options}")
    box.execute("create table d.t (ts timestamp, a int, b nchar(10))")
    affected = [box.execute(sql) for sql in TWICE]
    assert affected == [[(2,)], [(1,)], [(1,)]]
    assert box.execute("select * from d.t") == expected


def test_rows_that_come_out_of_order(box: TDengineBox) -> None:
    box.execute(f"insert into d.c values ({T + 2}, 3, 'c') ({T}, 1, 'a')")
    assert box.execute("select v from d.c") == [(1,), (3,)]
    box.execute(f"insert into d.c values ({T + 1}, 2, 'b')")
    assert box.execute("select v, t from d.c") == [(1, "a"), (2, "b"), (3, "c")]


def test_composite_keys(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, k int primary key, v int)")
    box.execute(f"insert into d.t values ({T}, 2, 20) ({T}, 1, 10) ({T - 1}, 3, 30) ({T}, 2, 21)")
    assert box.execute("select k, v from d.t") == [(3, 30), (1, 10), (2, 21)]


def test_one_bad_row_keeps_all_out(box: TDengineBox) -> None:
    before = box.execute("select count(*) from d.s")
    with pytest.raises(BoxError, match="out of range"):
        box.execute(f"insert into d.a values ({T + 9}, 1, 'x') (-9000000000000, 2, 'y') d.b values ({T + 9}, 1, 'x')")
    with pytest.raises(BoxError):
        box.execute(f"insert into d.a values ({T + 9}, 1, 'x') d.b values ({T + 9}, 1, '01234567890')")
    assert box.execute("select count(*) from d.s") == before
    assert box.rows_written == 6


@pytest.mark.parametrize(
    ("value", "kind"),
    [("128", "tinyint"), ("-129", "tinyint"), ("256", "tinyint unsigned"), ("-1", "int unsigned"), ("1e400", "double")],
)
def test_numbers_out_of_range(box: TDengineBox, value: str, kind: str) -> None:
    box.execute(f"create table d.n (ts timestamp, v {kind})")
    with pytest.raises(BoxError):
        box.execute(f"insert into d.n values ({T}, {value})")
    assert box.execute("select * from d.n") == []


def test_now_and_spaces_in_values(box: TDengineBox) -> None:
    now = "now" if box.version.startswith("2") else "now()"
    box.execute(f"insert into d.c values ( {now} - 1d , 1 , 'a, (b)' ) , ( {now} , 2,'c' )")
    assert box.execute("select v, t from d.c") == [(1, "a, (b)"), (2, "c")]


def test_2_refuses_the_far_future(tdengine_2: TDengineBox) -> None:
    tdengine_2.execute("create database d days 10")
    tdengine_2.execute("create table d.t (ts timestamp, v int)")
    tdengine_2.execute("insert into d.t values (now + 9d, 1)")
    with pytest.raises(BoxError, match="out of range"):
        tdengine_2.execute("insert into d.t values (now + 11d, 1)")


def test_long_statements(box: TDengineBox) -> None:
    rows = "".join(f"({T + 10_000 + number}, {number}, 'x')" for number in range(40_000))
    sql = f"insert into d.c values {rows}"
    answer = rest(box, sql)
    assert answer["code"] == 0x0219
    assert "too long" in answer["desc"]
    fits = sql[: sql.rindex(")", 0, 1 << 20) + 1]
    assert rest(box, fits)["data"] == [[fits.count("(")]]
    assert box.execute("select count(*) from d.c") == [(fits.count("("),)]


# --- Raw blocks


@pytest.fixture
def target(tdengine_3: TDengineBox) -> TDengineBox:
    tdengine_3.execute("create database d keep 3650")
    tdengine_3.execute("create table d.t (ts timestamp, i int, f float, b binary(4), n nchar(4))")
    return tdengine_3


def test_a_block_is_stored_bit_for_bit_where_only_the_type_differs(target: TDengineBox) -> None:
    block = block_of((TS, [T]), (Field("i", Type.FLOAT, 4), [1.5]))
    with Socket(target, "d") as socket:
        assert socket.write("t", block)["code"] == 0
    assert target.execute("select i from d.t") == [(1069547520,)]


def test_a_block_of_another_type_and_width_is_refused(target: TDengineBox) -> None:
    block = block_of((TS, [T]), (Field("i", Type.BIGINT, 8), [1]))
    with Socket(target, "d") as socket:
        answer = socket.write("t", block)
    assert answer["code"] == 0x0118
    assert "name:i" in answer["message"]
    assert target.execute("select * from d.t") == []


def test_columns_that_a_block_does_not_name_stay(target: TDengineBox) -> None:
    target.execute(f"insert into d.t (ts, i, n) values ({T}, 7, '四')")
    with Socket(target, "d") as socket:
        assert socket.write("t", block_of((Field("b", Type.VARCHAR, 4), ["x"]), (TS, [T])))["code"] == 0
    assert target.execute("select i, b, n from d.t") == [(7, "x", "四")]


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ([(TS, [T - 3651 * 86_400_000 * 4])], 0x060B),
        ([(TS, [T]), (Field("b", Type.VARCHAR, 9), ["12345"])], 0x2653),
        ([(TS, [T]), (Field("n", Type.NCHAR, 9), ["五五五五五"])], 0x2653),
        ([(TS, [T]), (Field("nosuch", Type.INT, 4), [1])], 0x0118),
        ([(TS, [None])], 0x0118),
        ([(Field("i", Type.INT, 4), [1])], 0x0118),
    ],
)
def test_blocks_that_are_refused(target: TDengineBox, columns: list[tuple[Field, list[object]]], code: int) -> None:
    with Socket(target, "d") as socket:
        assert socket.write("t", block_of(*columns))["code"] == code
    assert target.execute("select * from d.t") == []


def test_blocks_know_no_precision(tdengine_3: TDengineBox) -> None:
    tdengine_3.execute("create database u precision 'us' keep 36500")
    tdengine_3.execute("create table u.t (ts timestamp, v int)")
    with Socket(tdengine_3, "u") as socket:
        assert socket.write("t", block_of((TS, [T]), (Field("v", Type.INT, 4), [1])))["code"] == 0
    assert rest(tdengine_3, "select ts from u.t")["data"] == [["1970-01-19T15:04:19.200000Z"]]


def test_a_damaged_block(target: TDengineBox) -> None:
    block = block_of((TS, [T]), (Field("i", Type.INT, 4), [1]))
    with Socket(target, "d") as socket:
        answer = socket.binary(b"\1" + bytes(15) + b"\5" + bytes(7) + b"\1\0\0\0\1\0t" + bytes(40))
        assert isinstance(answer, dict)
        assert answer["code"] != 0
        assert socket.write("t", block)["code"] == 0


def test_blocks_are_as_large_as_asked_for(make_tdengine_box) -> None:  # type: ignore[no-untyped-def]
    for version in ("2.4.0.18", "3.3.3.0"):
        box = make_tdengine_box(version=version, block_rows=1000)
        box.execute("create database d keep 36500")
        box.execute("create table d.t (ts timestamp, v int)")
        box.execute("insert into d.t values " + "".join(f"({T + n}, {n})" for n in range(2500)))
        with Socket(box, "d") as socket:
            blocks = socket.blocks("select * from d.t")
        assert [block.rows for block in blocks] == [1000, 1000, 500]
        values = np.concatenate(
            [block.columns[1].values for block in blocks if isinstance(block.columns[1], FixedColumn)]
        )
        assert values.tolist() == list(range(2500))
        assert box.rows_read == 2500


def test_bytes_that_are_no_utf8(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, b binary(4), n nchar(4))")
    with Socket(box, "d") as socket:
        for column, code in (("b", 0), ("n", 0x0216)):
            sql = f"insert into t (ts, {column}) values ({T}, '".encode() + b"\xff\xfea')"
            head = bytes(16) + b"\6" + bytes(7) + b"\1\0" + len(sql).to_bytes(4, "little")
            answer = socket.binary(head + sql)
            assert isinstance(answer, dict)
            assert answer["code"] == code
        (block,) = socket.blocks("select b from t")
    assert block.columns[0].to_bytes_list() == [b"\xff\xfea"]  # type: ignore[union-attr]
    assert rest(box, "select b from d.t")["data"] == [["\ufffd\ufffda"]]


@pytest.mark.parametrize("value", ["99999999999999999999", "'no time'", "--5", "now +", "2021-01-01", ","])
def test_timestamps_that_are_none(box: TDengineBox, value: str) -> None:
    with pytest.raises(BoxError):
        box.execute(f"insert into d.a values ({value}, 1, 'x')")
    assert box.execute("select count(*) from d.a") == [(3,)]


@pytest.mark.parametrize(("version", "options"), [("2.4.0.18", "keep 5 days 10"), ("3.3.3.0", "keep 29")])
def test_keep_is_no_shorter_than_a_file(version: str, options: str) -> None:
    with pytest.raises(BoxError, match="keep"):
        TDengineBox(version=version).execute(f"create database d {options}")
