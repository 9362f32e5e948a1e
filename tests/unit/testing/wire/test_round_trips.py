"""Whatever is written, as text or as blocks, is read back equal: over REST, and as blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.types import Field, Type, field_from_sql
from airflow_provider_tdengine.testing import TDengineBox

from ..box_client import Socket, rest

T = 1609459200000

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
FLOATS_32 = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)

# 2.x means NULL by the lowest integer, and by the highest unsigned one.
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "tinyint": st.integers(-127, 127),
    "smallint": st.integers(-(2**15) + 1, 2**15 - 1),
    "int": st.integers(-(2**31) + 1, 2**31 - 1),
    "bigint": st.integers(-(2**63) + 1, 2**63 - 1),
    "tinyint unsigned": st.integers(0, 2**8 - 2),
    "smallint unsigned": st.integers(0, 2**16 - 2),
    "int unsigned": st.integers(0, 2**32 - 2),
    "bigint unsigned": st.integers(0, 2**64 - 2),
    "float": FLOATS_32,
    "double": FLOATS,
    "binary(40)": TEXT,
    "nchar(10)": TEXT,
    "timestamp": st.integers(-(2**40), 2**40),
}
FIELDS = tuple(field_from_sql(f"c{number}", kind) for number, kind in enumerate(COLUMNS))

ROWS = st.lists(st.tuples(*(st.none() | values for values in COLUMNS.values())), min_size=1, max_size=6)

fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["2.4.0.18", "3.3.3.0"])
def empty(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    with TDengineBox(version=request.param, block_rows=4) as box:
        box.execute("create database d keep 36500")
        yield box


def fresh_table(box: TDengineBox) -> None:
    box.execute("drop table if exists d.t")
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(COLUMNS))
    box.execute(f"create table d.t (ts timestamp, {columns})")


def literal(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return repr(value)


def as_32_bits(rows: list[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
    """The rows as a FLOAT column holds them: with the shortest text for 32 bits."""
    made = [column_from_list(field, values) for field, values in zip(FIELDS, zip(*rows, strict=True), strict=True)]
    return list(Block(FIELDS, tuple(made), len(rows)).to_rows())


def over_rest(box: TDengineBox) -> list[tuple[Value, ...]]:
    """The columns as REST gives them, timestamps as integers."""
    path = "sqlt" if box.version.startswith("2") else "sql"
    times = "c13" if path == "sqlt" else "cast(c13 as bigint)"
    columns = ", ".join(f"c{number}" for number in range(13))
    answer = rest(box, f"select {columns}, {times} from d.t", path)
    assert "data" in answer, answer
    # JSON knows no difference between 2 and 2.0, so whole numbers of FLOAT and DOUBLE arrive as integers.
    return [(*row[:9], *(None if v is None else float(v) for v in row[9:11]), *row[11:]) for row in answer["data"]]


def over_websocket(box: TDengineBox) -> list[tuple[Value, ...]]:
    with Socket(box, "d") as socket:
        return [row[1:] for row in socket.rows("select * from t")]


@fast
@given(rows=ROWS)
def test_rows_written_as_text(empty: TDengineBox, rows: list[tuple[Value, ...]]) -> None:
    fresh_table(empty)
    values = "".join(f"({T + i}, {', '.join(map(literal, row))})" for i, row in enumerate(rows))
    assert rest(empty, f"insert into d.t values {values}")["data"] == [[len(rows)]]
    expected = as_32_bits(rows)
    assert over_rest(empty) == expected
    assert over_websocket(empty) == expected


@pytest.fixture(scope="module")
def empty_3() -> Iterator[TDengineBox]:
    with TDengineBox(version="3.3.3.0", block_rows=4) as box:
        box.execute("create database d keep 36500")
        yield box


@fast
@given(rows=ROWS)
def test_rows_written_as_blocks(empty_3: TDengineBox, rows: list[tuple[Value, ...]]) -> None:
    fresh_table(empty_3)
    fields = (Field("ts", Type.TIMESTAMP, 8), *FIELDS)
    with_times = [(T + i, *row) for i, row in enumerate(rows)]
    columns = [
        column_from_list(field, values) for field, values in zip(fields, zip(*with_times, strict=True), strict=True)
    ]
    with Socket(empty_3, "d") as socket:
        assert socket.write("t", Block(fields, tuple(columns), len(rows)))["code"] == 0
    expected = as_32_bits(rows)
    assert over_rest(empty_3) == expected
    assert over_websocket(empty_3) == expected


@fast
@given(moments=st.lists(st.integers(T, T + 20), min_size=1, max_size=30), cuts=st.sets(st.integers(0, 30)))
def test_rows_in_any_order_and_in_any_portions(empty: TDengineBox, moments: list[int], cuts: set[int]) -> None:
    """Against a dictionary: 3.x keeps the last row of a timestamp, 2.x the first."""
    empty.execute("drop table if exists d.o")
    empty.execute("create table d.o (ts timestamp, v int)")
    model: dict[int, int] = {}
    for number, moment in enumerate(moments):
        if empty.version.startswith("3") or moment not in model:
            model[moment] = number
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(moments)), len(moments)]
    for start, end in pairwise(edges):
        rows = "".join(f"({moments[number]}, {number})" for number in range(start, end))
        empty.execute(f"insert into d.o values {rows}")
        empty.execute("select count(*) from d.o")
    assert empty.execute("select ts, v from d.o") == sorted(model.items())
