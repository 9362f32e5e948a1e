"""Batches hold every row once, whatever the sizes, and any row that may come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.migration.catalog import Holding, Holdings
from airflow_provider_tdengine.migration.copying import Batch, slices
from airflow_provider_tdengine.migration.planning import make_plan, plan

from ..conftest import SOURCE, Pair, T


@st.composite
def one(draw: st.DrawFn) -> Holding:
    first = draw(st.integers(0, 10**9))
    rows = draw(st.integers(1, 10_000))
    return Holding("t", rows, first, first + draw(st.integers(rows - 1, 10**9)))


@given(
    one(),
    st.integers(1, 50),
    st.none() | st.integers(-5, 10**9),
    st.none() | st.integers(0, 2 * 10**9),
    st.sampled_from([1, 1, 7, 10**6]),
)
def test_slices_leave_no_gap(holding: Holding, count: int, start: int | None, end: int | None, step: int) -> None:
    if start is not None and end is not None and start >= end:
        return
    parts = slices(holding, start, end, count, step)
    assert parts[0][0] == start
    assert parts[-1][1] == end
    assert len(parts) <= count
    assert all(before[1] == after[0] is not None for before, after in pairwise(parts))
    inner = [bound for part in parts for bound in part if bound is not None]
    assert inner == sorted(inner)
    assert all(before[1] % step == 0 for before, _ in pairwise(parts) if before[1] is not None)


names = st.text("abzAZ09_é测😀 '", min_size=1, max_size=8)


def holds(batch: Batch, name: str, time: int) -> bool:
    """Whether a row is a batch's."""
    return (
        (batch.first is None or batch.first.encode() <= name.encode())
        and (batch.before is None or name.encode() < batch.before.encode())
        and (batch.start is None or batch.start <= time)
        and (batch.end is None or time < batch.end)
    )


@given(
    st.dictionaries(names, st.tuples(st.integers(1, 5_000), st.integers(0, 10**6)), min_size=1, max_size=40),
    st.integers(100, 3_000),
    st.lists(st.tuples(names, st.integers(-(10**9), 10**8 - 1)), max_size=20),
)
def test_each_row_is_in_one_batch(tables: dict[str, tuple[int, int]], size: int, others: list[tuple[str, int]]) -> None:
    """Rows that come later are, too, and those of tables that come later: batches leave out no name and no time."""
    group = Holdings.of([Holding(name, rows, first, first + rows * 10) for name, (rows, first) in tables.items()])
    batches = plan.cut_batches("s", group, (None, 10**8), size)
    own = [(name, time) for name, (rows, first) in tables.items() for time in (first, first + rows * 10)]
    for name, time in own + others:
        assert sum(holds(batch, name, time) for batch in batches) == 1
    assert sum(batch.rows for batch in batches) == group.total
    for name, (rows, first) in tables.items():
        (batch, *_) = (batch for batch in batches if holds(batch, name, first))
        if rows >= 2 * size:
            assert batch.tables == 1
            assert batch.rows < 2 * size
    whole = [batch for batch in batches if (batch.start, batch.end) == (None, 10**8)]
    assert sum(batch.tables for batch in whole) == sum(rows < 2 * size for rows, _ in tables.values())


def test_a_batch_has_not_too_many_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TABLES_A_BATCH", 3)
    group = Holdings.of([Holding(f"d{i}", 1, 0, 0) for i in range(8)])
    batches = plan.cut_batches("s", group, (None, None), 1_000_000)
    assert [(batch.first, batch.before, batch.tables, batch.names) for batch in batches] == [
        (None, "d3", 3, "d0…d2"),
        ("d3", "d6", 3, "d3…d5"),
        ("d6", None, 2, "d6…d7"),
    ]


def test_batches_of_a_database(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 10)
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.s tags ({i})" for i in range(4)),
        f"create table {SOURCE}.n (ts timestamp, v int)",
        f"insert into {SOURCE}.d0 values " + "".join(f"({T + i},{i})" for i in range(8)),
        f"insert into {SOURCE}.d1 values " + "".join(f"({T + i},{i})" for i in range(2)),
        f"insert into {SOURCE}.d2 values " + "".join(f"({T + i},{i})" for i in range(40)),
        f"insert into {SOURCE}.n values ({T},1)",
    )
    pair.sync()
    batches = make_plan(*pair.catalogs, pair.options(end="2021-06-01"))
    end = 1622505600000
    assert batches == [
        Batch("s", None, "d2", 2, None, end, 10, 6),
        Batch("s", "d2", None, 1, None, T + 10, 10, 6),
        Batch("s", "d2", None, 1, T + 10, T + 20, 10, 6),
        Batch("s", "d2", None, 1, T + 20, T + 30, 10, 6),
        Batch("s", "d2", None, 1, T + 30, end, 10, 6),
        Batch(None, None, None, 1, None, end, 1, 6),
    ]
    assert [Batch.from_dict(dict(batch.to_dict())) for batch in batches] == batches
    pair.copy(end="2021-06-01")
    source, target = pair.both()
    assert target == source


def test_a_plan_that_is_made_again_keeps_its_batches(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else their checkpoints, which are found by what a batch holds, would be lost by a table more."""
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 10)
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        *(f"create stable {SOURCE}.s{i} (ts timestamp, v int) tags (g int)" for i in range(2)),
        *(f"create table {SOURCE}.d{i} using {SOURCE}.s0 tags ({i})" for i in range(4)),
        *(f"insert into {SOURCE}.d{i} values " + "".join(f"({T + row},1)" for row in range(6)) for i in range(4)),
    )
    pair.sync()
    before = make_plan(*pair.catalogs, pair.options())
    assert [(batch.first, batch.before) for batch in before] == [
        (None, "d1"),
        ("d1", "d2"),
        ("d2", "d3"),
        ("d3", None),
    ]
    pair.sql(
        f"insert into {SOURCE}.d0a using {SOURCE}.s0 tags (9) values ({T},1) ({T + 1},2)",
        f"insert into {SOURCE}.e0 using {SOURCE}.s1 tags (9) values ({T},1)",
        f"drop table {SOURCE}.d2",
    )
    pair.sync()
    again = make_plan(*pair.catalogs, pair.options(), before)
    assert [batch.identity for batch in again[:4]] == [batch.identity for batch in before]
    assert [(batch.stable, batch.first, batch.before, batch.rows) for batch in again[4:]] == [("s1", None, None, 1)]
    assert {batch.batches for batch in again} == {5}
    afresh = make_plan(*pair.catalogs, pair.options())
    assert {batch.identity for batch in afresh} != {batch.identity for batch in again}
