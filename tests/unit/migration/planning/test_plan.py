"""Batches hold every row once, whatever the sizes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.migration.catalog import Extent, Extents
from airflow_provider_tdengine.migration.copying import Batch, slices
from airflow_provider_tdengine.migration.planning import make_plan, plan

from ..conftest import SOURCE, Pair, T


@st.composite
def extents(draw: st.DrawFn) -> Extent:
    first = draw(st.integers(0, 10**9))
    rows = draw(st.integers(1, 10_000))
    return Extent("t", rows, first, first + draw(st.integers(rows - 1, 10**9)))


@given(
    extents(),
    st.integers(1, 50),
    st.none() | st.integers(-5, 10**9),
    st.none() | st.integers(0, 2 * 10**9),
    st.sampled_from([1, 1, 7, 10**6]),
)
def test_slices_leave_no_gap(extent: Extent, count: int, start: int | None, end: int | None, step: int) -> None:
    if start is not None and end is not None and start >= end:
        return
    parts = slices(extent, start, end, count, step)
    assert parts[0][0] == start
    assert parts[-1][1] == end
    assert len(parts) <= count
    assert all(before[1] == after[0] is not None for before, after in pairwise(parts))
    inner = [bound for part in parts for bound in part if bound is not None]
    assert inner == sorted(inner)
    assert all(before[1] % step == 0 for before, _ in pairwise(parts) if before[1] is not None)


names = st.text("abzAZ09_é测 '", min_size=1, max_size=8)


@given(
    st.dictionaries(names, st.tuples(st.integers(1, 5_000), st.integers(0, 10**6)), min_size=1, max_size=40),
    st.integers(100, 3_000),
)
def test_each_table_is_in_one_batch_or_in_slices_of_its_own(tables: dict[str, tuple[int, int]], size: int) -> None:
    group = Extents(Extent(name, rows, first, first + rows * 10) for name, (rows, first) in tables.items())
    batches = list(plan.cut_batches("s", group, None, 10**8, size))
    for name, (rows, _) in tables.items():
        mine = [b for b in batches if b.first.encode() <= name.encode() <= b.last.encode()]
        if rows < 2 * size:
            assert len(mine) == 1
            assert (mine[0].start, mine[0].end) == (None, 10**8)
        else:
            assert all((b.first, b.last) == (name, name) for b in mine)
            bounds = [(b.start, b.end) for b in mine]
            assert bounds[0][0] is None
            assert bounds[-1][1] == 10**8
            assert all(before[1] == after[0] for before, after in pairwise(bounds))
    assert sum(b.tables for b in batches if b.start is None and b.end == 10**8) == len(
        [rows for rows, _ in tables.values() if rows < 2 * size]
    )


def test_a_batch_has_not_too_many_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "TABLES_A_BATCH", 3)
    group = [Extent(f"d{i}", 1, 0, 0) for i in range(8)]
    batches = list(plan.cut_batches("s", group, None, None, 1_000_000))
    assert [(batch.first, batch.last, batch.tables) for batch in batches] == [
        ("d0", "d2", 3),
        ("d3", "d5", 3),
        ("d6", "d7", 2),
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
        Batch("s", "d0", "d1", 2, None, end, 10, 6),
        Batch("s", "d2", "d2", 1, None, T + 10, 10, 6),
        Batch("s", "d2", "d2", 1, T + 10, T + 20, 10, 6),
        Batch("s", "d2", "d2", 1, T + 20, T + 30, 10, 6),
        Batch("s", "d2", "d2", 1, T + 30, end, 10, 6),
        Batch(None, "n", "n", 1, None, end, 1, 6),
    ]
    assert [Batch.from_dict(dict(batch.to_dict())) for batch in batches] == batches
    pair.copy(end="2021-06-01")
    source, target = pair.both()
    assert target == source
