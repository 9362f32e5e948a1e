"""Rows before the watermark: how many the source had when they were last compared with the target's.

The source counts them again now and then, which costs a query a super table. Where the number is another one, rows have
come later than the lookback notices, or with tables that are older than they look; then both sides are asked table by
table, and of those that the target has fewer rows of, the periods that differ are copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog, Holding, Period, Scope, Table, count, each
from airflow_provider_tdengine.migration.copying import Border
from airflow_provider_tdengine.migration.following.position import Known
from airflow_provider_tdengine.migration.structure import Structure

_BUCKETS = 64
"""Tables are counted in so many groups: a position has a small size, however many tables there are."""

NOTHING_KNOWN = (0,) * _BUCKETS
"""What is known where nothing has been compared since nothing is before the watermark."""

_ENOUGH = 5_000
"""Rows of a period that are copied rather than divided again."""

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


def gaps(
    ours: Callable[[int, int], int], theirs: Callable[[int, int], int], low: int, high: int, step: int
) -> Iterator[tuple[int, int]]:
    """The periods of a table of which the source has another number of rows than the target, by halving.

    Parameters:
        ours: how many rows the source has from a timestamp on, before another one.
        theirs: how many of them the target has.
        low: from which timestamp on, in steps of the source.
        high: before which one.
        step: how many steps of the source are one of the target; periods are whole ones.
    """
    pending = [(low, high)]
    while pending:
        low, high = pending.pop()
        here = ours(low, high)
        there = theirs(low, high) if here else 0
        if here == there:
            continue
        middle = (low + high) // 2 // step * step
        if here <= _ENOUGH or not there or not low < middle < high:
            yield low, high
        else:
            pending += [(middle, high), (low, middle)]


def of_table(table: Table, name: str) -> Table:
    """One subtable of a super table, or a normal table, to count its rows."""
    return replace(table, name=name, tags=())
