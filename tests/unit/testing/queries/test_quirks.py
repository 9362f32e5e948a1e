"""What real servers answer that nobody would expect, and that the recordings in `tests/contract` do not show."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from itertools import pairwise

import httpx
import pytest

from airflow_provider_tdengine.testing import BoxError, TDengineBox

T = 1609459200000
NAMES = [f"t{number}" for number in range(40)]


def made(version: str, *statements: str, keep: str = "36500") -> TDengineBox:
    box = TDengineBox(version=version)
    for sql in (f"create database d keep {keep}", *statements):
        box.execute(sql)
    return box


def filled(version: str) -> TDengineBox:
    """A box whose super table d.s has a row in each of its 40 tables, with their numbers backwards as tags."""
    box = made(version, "create stable d.s (ts timestamp, v int) tags (g int)")
    for number, name in enumerate(NAMES):
        box.execute(f"insert into d.{name} using d.s tags ({-number}) values ({T}, {number})")
    return box


def names(box: TDengineBox, sql: str) -> list[object]:
    return [row[0] for row in box.execute(sql)]


def test_3_0_alters_no_database_to_what_it_is() -> None:
    for version, refuses in (("3.0.5.2", True), ("3.3.3.0", False)):
        box = made(version)
        box.execute("alter database d keep 100")
        with pytest.raises(BoxError, match="not changed") if refuses else nullcontext():
            box.execute("alter database d keep 100")


# --- Beyond DOUBLE


@pytest.mark.parametrize(
    ("version", "ending"),
    [
        ("2.6.0.27", b'"data":[['),
        ("3.0.5.2", b'"data":[['),
        ("3.3.5.2", b""),
        ("3.3.8.0", b'"data":[[null]],"rows":1}'),
    ],
)
def test_json_has_no_infinity(version: str, ending: bytes) -> None:
    with made(version, "create table d.t (ts timestamp, v double)", f"insert into d.t values ({T}, 1e308)") as box:
        # 2.x computes with columns as little as 3.x sums beyond DOUBLE.
        box.execute(f"insert into d.t values ({T + 1}, 1e308)")
        sql = "select sum(v) from d.t" if version < "3" else f"select v * 10 from d.t where ts = {T}"
        said = httpx.post(f"{box.url}/rest/sql", content=sql, auth=("root", "taosdata")).content
        assert said.endswith(ending)
        assert bool(said) == bool(ending)
        assert box.execute("select sum(v) from d.t") == [(math.inf if version < "3" else None,)]


# --- Order


def test_3_reads_a_super_table_vgroup_by_vgroup() -> None:
    box = filled("3.3.3.0")
    read = names(box, "select tbname, v from d.s")
    assert sorted(read, key=NAMES.index) == NAMES
    assert read not in (NAMES, sorted(NAMES))
    assert sum(NAMES.index(str(b)) < NAMES.index(str(a)) for a, b in pairwise(read)) == 1, "two vgroups"
    for sql in (
        "select distinct tbname, g from d.s",
        "select tags tbname, g from d.s",
        "select table_name from information_schema.ins_tables where db_name = 'd'",
        "select table_name from information_schema.ins_tags where db_name = 'd' and stable_name = 's'",
        "show d.tables",
        "select tbname from d.s where tbname >= 't' and tbname < 'u'",
        "select tbname from d.s where tbname in ({})".format(", ".join(f"'{name}'" for name in sorted(NAMES))),
    ):
        assert names(box, sql) == read, sql
    assert names(box, "select tbname, count(*) from d.s partition by tbname") == read[::-1]


def test_the_vgroups_are_those_of_the_database() -> None:
    box = TDengineBox(version="3.3.3.0")
    for vgroups in (1, 4):
        box.execute(f"create database d{vgroups} keep 36500 vgroups {vgroups}")
        box.execute(f"create stable d{vgroups}.s (ts timestamp, v int) tags (g int)")
        box.execute(" ".join(["create table", *(f"d{vgroups}.{name} using d{vgroups}.s tags (1)" for name in NAMES)]))
        ids = names(box, f"select vgroup_id from information_schema.ins_tables where db_name = 'd{vgroups}'")
        assert len(set(ids)) == vgroups
        assert ids == sorted(ids, key=str)


def test_2_reads_a_super_table_by_its_first_tag() -> None:
    box = filled("2.4.0.18")
    for sql in ("select tbname, v from d.s", "select tbname, g from d.s"):
        assert names(box, sql) == NAMES[::-1]
    assert names(box, "select tbname from d.s where tbname in ('t3', 't10', 't20')") == ["t20", "t10", "t3"]
    assert names(box, "select tbname, sum(v) from d.s group by tbname") == NAMES, "short names first"
    box.execute("alter table d.t5 set tag g = 100")
    box.execute("alter table d.t6 set tag g = null")
    assert names(box, "select tbname, g from d.s")[:1] == ["t6"], "NULL is the lowest of all numbers"
    assert names(box, "select tbname, g from d.s")[-1:] == ["t5"]


def test_2_orders_texts_by_length_first() -> None:
    box = made("2.4.0.18", "create stable d.s (ts timestamp, v int) tags (g nchar(10))")
    for number, tag in enumerate(["'zz'", "'aaa'", "'b'", "null", "'aa'"]):
        box.execute(f"create table d.t{number} using d.s tags ({tag})")
    assert names(box, "select tbname, g from d.s") == ["t2", "t3", "t4", "t0", "t1"]


def test_2_lists_by_hash() -> None:
    box = filled("2.6.0.27")
    listed = names(box, "show d.tables")
    assert sorted(map(str, listed)) == sorted(NAMES)
    assert listed not in (NAMES, NAMES[::-1], sorted(NAMES))


# --- Aggregates of 2.x


def test_2_finds_no_maximum_of_zeros() -> None:
    box = made("2.4.0.18", "create stable d.s (ts timestamp, u int unsigned, i int) tags (g int)")
    box.execute(f"insert into d.a using d.s tags (1) values ({T}, 0, 0) d.b using d.s tags (1) values ({T}, 1, 1)")
    assert names(box, "select tbname, max(u) from d.s group by tbname") == ["b"]
    assert names(box, "select tbname, max(i) from d.s group by tbname") == ["a", "b"]
    beside = box.execute("select tbname, max(u), min(u), count(u) from d.s group by tbname")
    assert [row[:4] for row in beside] == [("a", None, 0, 1), ("b", 1, 1, 1)]


def test_2_leaves_out_what_no_aggregate_found_a_value_in() -> None:
    box = made("2.4.0.18", "create stable d.s (ts timestamp, v int) tags (g int)")
    box.execute(f"insert into d.a using d.s tags (1) values ({T}, null) d.b using d.s tags (1) values ({T}, 1)")
    for function in ("count(v)", "sum(v)", "first(v)", "last(v)", "avg(v)"):
        assert names(box, f"select tbname, {function} from d.s group by tbname") == ["b"], function
        assert names(box, f"select {function} from d.a") == [], function
    for function in ("count(*)", "last_row(v)", "count(v), first(ts)"):
        assert names(box, f"select tbname, {function} from d.s group by tbname") == ["a", "b"], function


@pytest.mark.parametrize(("version", "some"), [("2.4.0.18", True), ("2.6.0.27", False), ("3.3.3.0", False)])
def test_the_first_timestamp_beside_a_sum_slips(version: str, some: bool) -> None:
    box = made(version, "create stable d.s (ts timestamp, v int) tags (g int)")
    rows = " ".join(f"({T + number}, 1)" for number in range(1001))
    tables = NAMES[:20]
    for name in tables:
        box.execute(f"insert into d.{name} using d.s tags (1) values {rows}")
    box.execute(f"insert into d.small using d.s tags (1) values ({T}, 1)")

    def firsts(others: str, where: str = "") -> dict[object, object]:
        answer = box.execute(f"select tbname, first(ts), last(ts), {others} from d.s {where} group by tbname")
        return {row[0]: row[1] for row in answer}

    for others in ("sum(v)", "min(v)", "count(*), max(v)"):
        found = firsts(others)
        assert set(found.values()) == ({T, T - 1} if some else {T})
        assert found["small"] == T
    assert set(firsts("count(*)").values()) == {T}
    assert firsts("sum(v)", "where tbname = 'nosuch'") == {}
    wrong = [name for name, first in firsts("sum(v)").items() if first != T]
    for name in wrong:
        assert box.execute(f"select first(ts), sum(v) from d.{name}") == [(T, 1001)]


# --- Tables of other super tables


@pytest.mark.parametrize(("version", "strays"), [("2.6.0.27", 0), ("3.0.5.2", 1), ("3.3.3.0", 1), ("3.3.5.2", 0)])
def test_a_list_of_names_finds_tables_of_other_super_tables(version: str, strays: int) -> None:
    box = made(
        version,
        "create stable d.s (ts timestamp, v int, t nchar(4)) tags (g int)",
        "create stable d.o (ts timestamp, w int, x double) tags (h int)",
        f"insert into d.mine using d.s tags (1) values ({T}, 1, 'a')",
        f"insert into d.other using d.o tags (7) values ({T + 1}, 2, 0.5)",
        "create table d.plain (ts timestamp, v int)",
    )
    listed = "tbname in ('mine', 'other', 'plain')"
    rows = sorted(box.execute(f"select tbname, ts, v, t, g from d.s where {listed}"))
    assert rows == [("mine", T, 1, "a", 1), ("other", T + 1, 2, None, 7)][: 1 + strays]
    assert box.execute(f"select count(*) from d.s where {listed}") == [(1 + strays,)]
    for others in (f"({listed} or g > 100)", f"{listed} and tbname < 'n'", f"{listed} and tbname in ('mine')"):
        assert names(box, f"select tbname from d.s where {others}") == ["mine"], others


# --- Rows older than KEEP


@pytest.mark.parametrize("version", ["2.4.0.18", "3.3.3.0"])
def test_expired_rows_are_gone_from_every_answer(version: str) -> None:
    box = made(version, "create stable d.s (ts timestamp, v int) tags (g int)", keep="60")
    day = 86_400_000
    now = time.time_ns() // 10**6
    for age in (59, 31, 30, 1):
        box.execute(f"insert into d.a using d.s tags (1) values ({now - age * day}, {age})")
    box.execute(f"insert into d.b using d.s tags (1) values ({now - 59 * day}, 59)")
    assert box.execute("select count(*) from d.s") == [(5,)]
    box.execute("alter database d keep 31")
    assert box.execute("select v from d.s") == [(30,), (1,)]
    assert box.execute("select v from d.a") == [(30,), (1,)]
    assert box.execute(f"select v from d.a where ts < {now - 40 * day}") == []
    assert box.execute("select count(*), first(v) from d.s") == [(2, 30)]
    assert sorted(box.execute("select distinct tbname, g from d.s")) == [("a", 1), ("b", 1)]
    assert set(names(box, "select tbname, last(v) from d.s group by tbname")) == {"a"}
    assert box.execute("select tbname from d.s where ts > 0") == [("a",), ("a",)]
    if version[0] == "3":
        assert box.execute("delete from d.s") == [(2,)]


# --- Tables without rows


@pytest.mark.parametrize(("version", "empty"), [("2.4.0.18", []), ("3.0.5.2", []), ("3.3.3.0", [("b", 0)])])
def test_3_3_counts_the_rows_of_empty_tables(version: str, empty: list[tuple[str, int]]) -> None:
    box = made(version, "create stable d.s (ts timestamp, v int) tags (g int)", "create table d.b using d.s tags (1)")
    box.execute(f"insert into d.a using d.s tags (1) values ({T}, 1)")
    rows = box.execute("select tbname, count(*) from d.s group by tbname")
    assert sorted(row[:2] for row in rows) == [("a", 1), *empty]
