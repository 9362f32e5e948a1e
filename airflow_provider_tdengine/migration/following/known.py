"""Rows before the watermark: how many the source had when they were last compared with the target's.

The source counts them again now and then, which costs a query a super table. Where the number is another one, rows have
come later than the lookback notices, or with tables that are older than they look; then both sides say what each table
holds, and of those that the target has fewer rows of, by slices of time. The slices that differ are copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from airflow_provider_tdengine.client.block import Flags, Ints
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog, Holding, Period, Scope, Table, count, each
from airflow_provider_tdengine.migration.copying import Border
from airflow_provider_tdengine.migration.following.position import Known
from airflow_provider_tdengine.migration.structure import Structure

_BUCKETS = 64
"""Tables are counted in so many groups: a position has a small size, however many tables there are."""

NOTHING_KNOWN = (0,) * _BUCKETS
"""What is known where nothing has been compared since nothing is before the watermark."""

ENOUGH = 20_000
"""Rows of tables in a period that are copied rather than divided again: they take 0.2 s, about as two questions do."""

_ANSWERS = 1_000_000
"""Tables times slices that are asked for with one statement."""

_FEWEST, _MOST = 64, 1_024
"""Slices that a period is divided into."""

_DAY = 86_400


def bucket(table: str) -> int:
    """The group in which a super table or normal table is counted."""
    return hashlib.blake2b(table.encode("utf-8", "surrogateescape"), digest_size=1).digest()[0] % _BUCKETS


def counts(source: Catalog, tables: Sequence[Table], scope: Scope, period: Period) -> tuple[int, ...]:
    """How many rows the tables of each group have in a period.

    Parameters:
        source: the source database.
        tables: super tables and normal tables, with the columns and rows that are meant.
        scope: which subtables are meant.
        period: of the rows.

    Raises:
        TDengineError: what no retry cured.
    """
    rows = [0] * _BUCKETS
    start, end = period
    if start is None or end is None or start < end:
        for table in tables:
            if table.is_super:
                rows[bucket(table.name)] += count(source, table, scope, period)
        for one in each(source, [table for table in tables if not table.is_super], scope, period):
            rows[bucket(one.name)] += one.rows
    return tuple(rows)


def lowest(structure: Structure, begin: int | None, watermark: int, known: Known | None) -> int | None:
    """From which timestamp on rows are counted: below, they are about to expire on one side, and their number changes.

    Parameters:
        structure: of both sides.
        begin: from which timestamp on rows are meant at all.
        watermark: before which they are compared.
        known: what was counted last; its begin is kept as long as no row from there on expires.
    """
    assert structure.target is not None
    border = Border(structure.source.precision, structure.source, structure.target).after(None)
    if border is None:
        return begin
    if known and known.since is not None and border <= known.since:
        return known.since
    # For a day, the number is the same.
    low = border + _spare(border, watermark, structure.source.precision)
    return low if begin is None else max(low, begin)


def _spare(border: int, watermark: int, precision: Precision) -> int:
    return max(0, min(_DAY * precision.per_second, (watermark - border) // 8))


def lacks(ours: Holding, theirs: Holding | None, refused: int) -> bool:
    """Whether the target has fewer rows of a table, or none from as early on, or up to as late.

    Parameters:
        ours: what the source holds, in steps of the target.
        theirs: what the target holds, None for nothing.
        refused: how many of the rows the target refused.
    """
    rows = ours.rows - refused
    if theirs is None:
        return rows > 0
    return rows > theirs.rows or (not refused and (ours.first < theirs.first or ours.last > theirs.last))


@dataclass(frozen=True, slots=True)
class Gap:
    """A period of some tables in which the target has another number of rows.

    Parameters:
        names: the tables, those that have rows in it.
        rows: (tables,) how many they have in the source.
        low: from which timestamp on.
        high: before which timestamp.
    """

    names: list[str]
    rows: Ints
    low: int
    high: int


Slices: TypeAlias = Callable[[Sequence[str], int, int, int], Ints]
"""(tables, slices) how many rows some tables have from a timestamp on, before another one, by slices of a width."""


def gaps(ours: Slices, theirs: Slices, whole: Gap, shortest: int) -> Iterator[Gap]:
    """Where the source has another number of rows than the target: few questions for many tables and periods.

    Parameters:
        ours: asks the source.
        theirs: asks the target for the same.
        whole: tables that differ somewhere, and the period in which they do.
        shortest: slices are no shorter.
    """
    size = _ANSWERS // _FEWEST
    pending = [
        replace(whole, names=whole.names[first : first + size], rows=whole.rows[first : first + size])
        for first in range(0, len(whole.names), size)
    ]
    while pending:
        gap = pending.pop()
        width = max(shortest, -(-(gap.high - gap.low) // min(_MOST, _ANSWERS // len(gap.names))))
        if gap.rows.sum() <= ENOUGH or width >= gap.high - gap.low:
            yield gap
            continue
        here, there = (ask(gap.names, gap.low, gap.high, width) for ask in (ours, theirs))
        start = gap.low // width * width
        for places, first, behind in _rectangles(here, here != there):
            rows = here[places, first:behind].sum(1)
            low, high = max(gap.low, start + first * width), min(gap.high, start + behind * width)
            part = Gap([gap.names[place] for place in places], rows, low, high)
            if there[places, first:behind].any():
                pending.append(part)
            else:
                yield part


def _rectangles(rows: Ints, differs: Flags, first: int = 0) -> Iterator[tuple[Ints, int, int]]:
    """What covers all slices that differ: tables, a first slice, and one behind the last.

    They are halved as long as they have many rows: reading some rows in vain costs less than another question.

    Parameters:
        rows: (tables, slices) rows of the source.
        differs: (tables, slices) where the target has another number.
        first: the first slice.
    """
    places = np.flatnonzero((differs & (rows > 0)).any(1))
    if not len(places):
        return
    slices = rows.shape[1]
    if slices == 1 or rows[places].sum() <= ENOUGH:
        yield places, first, first + slices
        return
    middle = slices // 2
    yield from _rectangles(rows[:, :middle], differs[:, :middle], first)
    yield from _rectangles(rows[:, middle:], differs[:, middle:], first + middle)


def of_table(table: Table, name: str) -> Table:
    """One subtable of a super table, or a normal table, to count its rows."""
    return replace(table, name=name, tags=())
