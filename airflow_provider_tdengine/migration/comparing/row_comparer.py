"""The rows of both sides read and compared: by what they come to, and where that differs, row by row."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import TypeAlias

import numpy as np

from airflow_provider_tdengine.client.block import Block, Ints, Value, concatenate, times_of
from airflow_provider_tdengine.client.errors import IncompleteResult, TableMissing
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Extent, Table
from airflow_provider_tdengine.migration.copying import (
    Sessions,
    Unit,
    count,
    group_query,
    groups,
    owners_of,
    read_unit,
    rows_a_group,
)
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import Transcoder, last_ones, row_hashes
from airflow_provider_tdengine.migration.structure import Structure, TablePair

Key: TypeAlias = tuple[Value, ...]
"""A primary key: the timestamp, and the second key where there is one."""

Row: TypeAlias = tuple[int, tuple[Value, ...]]
"""A row's hash, and its values."""

_ROW_BY_ROW = 5_000
"""Rows of a piece that are compared one by one; they are in memory as Python values."""

_NONE: Ints = np.empty(0, np.int64)

_SHOWN = 3
"""Differing rows that a piece shows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a table that differs.

    Parameters:
        stable: its super table in the source; None for a normal table.
        table: the table in the source.
        start: from which timestamp on, in steps of the source; None for the first row.
        end: before which timestamp; None for no end.
        rows: rows of the source in it.
        missing: of these, how many the target does not have.
        changed: how many have other values there.
        extra: rows that only the target has.
        runs: first and last timestamp, in steps of the target, of such rows with none of the source between them.
        shown: the first differing rows, in words.
        is_all: whether the target has none of the table's rows.
    """

    stable: str | None
    table: str
    start: int | None
    end: int | None
    rows: int
    missing: int
    changed: int
    extra: int = 0
    runs: tuple[tuple[int, int], ...] = ()
    shown: tuple[str, ...] = ()
    is_all: bool = False


@dataclass(frozen=True, slots=True)
class _Sum:
    rows: int = 0
    hashes: int = 0


class RowComparer:
    """Compares rows of a super table's subtables, or of a normal table.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure.
        pair: the super table or normal table; the target has it.
        refused: timestamps, in steps of the source, of rows that are not expected, by table of the target. Of tables
            with a second key, rows with these timestamps are left out on both sides: others may have them, too.
        stop: set by somebody who wants it to stop soon.

    Raises:
        ValueError: the target's columns do not take the source's.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        structure: Structure,
        pair: TablePair,
        refused: Mapping[str, Sequence[int]],
        stop: threading.Event,
    ) -> None:
        assert pair.target is not None
        self._source = source
        self._target = target
        self._ours = pair.source
        self._time = structure.time
        self._rename = structure.transform.tables
        self._per_second = structure.source.precision.per_second
        self._transcode = Transcoder(pair.source, pair.wanted, pair.target, structure.time)
        theirs = replace(pair.target, columns=self._transcode.fields, is_whole=False, where="")
        self._theirs = theirs
        self._refused = {name: np.array(times, np.int64) for name, times in refused.items()}
        self._stop = stop
        self._stable = pair.source.name if pair.source.is_super else None

    def differing(
        self, extents: Iterable[Extent], period: tuple[int | None, int | None], workers: int
    ) -> Iterator[str]:
        """Tables of the source whose rows are not those of the target.

        Parameters:
            extents: where the rows lie, by name.
            period: from which timestamp on, and before which.
            workers: how many pairs of sessions read side by side.
        """
        most = rows_a_group(self._ours)
        alone: list[Unit] = []
        together: list[Unit] = []
        for extent in extents:
            is_alone = (
                not self._ours.is_super
                or extent.rows > most // 2
                or self._time.cuts
                or self._rename(extent.name) in self._refused
            )
            (alone if is_alone else together).append(Unit(extent.name, *period, extent.rows, True))
        work = [[unit] for unit in alone] + list(groups(together, most))
        with ThreadPoolExecutor(workers, thread_name_prefix="compare") as pool:
            for found in pool.map(self._differing, work):
                yield from found

    def _differing(self, units: list[Unit]) -> list[str]:
        try:
            return persist(partial(self._compare, units), self._stop)
        except TableMissing:
            # The source has dropped it meanwhile, so that there is nothing to compare.
            return []

    def _compare(self, units: list[Unit]) -> list[str]:
        with Sessions(self._source, self._target) as sessions:
            if len(units) == 1:
                ours, theirs = self._sums(sessions, units[0])
                refused = self._refused.get(self._rename(units[0].table), ())
                is_counted = not self._time.cuts and not (len(refused) and self._ours.second_key)
                if is_counted and ours.rows < units[0].rows - len(refused):
                    raise _incomplete(units, ours.rows)
                return [] if ours == theirs else [units[0].table]
            numbers = {unit.table.encode(): number for number, unit in enumerate(units)}
            rows = self._group(sessions.source, self._source, self._ours, units, numbers, self._transcode)
            if sum(one.rows for one in rows) < sum(unit.rows for unit in units):
                raise _incomplete(units, sum(one.rows for one in rows))
            others = [replace(unit, table=self._rename(unit.table)) for unit in units]
            start, end = self._time.window(units[0].start, units[0].end)
            others = [replace(unit, start=start, end=end) for unit in others]
            numbers = {unit.table.encode(): number for number, unit in enumerate(others)}
            there = self._group(sessions.target, self._target, self._theirs, others, numbers, None)
            return [unit.table for unit, one, other in zip(units, rows, there, strict=True) if one != other]

    @staticmethod
    def _group(
        session: Session,
        catalog: Catalog,
        table: Table,
        units: list[Unit],
        numbers: Mapping[bytes, int],
        transcode: Transcoder | None,
    ) -> list[_Sum]:
        """What the rows of each of some subtables come to, read with one query."""
        counts = np.zeros(len(units), np.int64)
        hashes = np.zeros(len(units), np.uint64)
        for block in session.query(group_query(catalog, table, units, apart=False)).blocks():
            if not block.rows:
                continue
            owners = owners_of(block, numbers)
            rows = block.select(range(1, len(block.columns)))
            if (owners < 0).any():
                rows, owners = rows.take(owners >= 0), owners[owners >= 0]
            np.add.at(hashes, owners, row_hashes(transcode(rows) if transcode else rows))
            counts += np.bincount(owners, minlength=len(units))
        return [_Sum(*one) for one in zip(counts.tolist(), hashes.tolist(), strict=True)]

    # --- One table

    def _sums(self, sessions: Sessions, unit: Unit) -> tuple[_Sum, _Sum]:
        """What a table's rows come to, on both sides."""
        return _sum(self._blocks_of_source(sessions, unit)), _sum(self._blocks_of_target(sessions, unit))

    def _blocks_of_source(self, sessions: Sessions, unit: Unit) -> Iterator[Block]:
        """Rows as the target should have them."""
        return self._expected(unit.table, read_unit(sessions.source, self._source, self._ours, unit).blocks())

    def _expected(self, table: str, blocks: Iterable[Block]) -> Iterator[Block]:
        """Rows of a table of the source as the target should have them."""
        refused = self._refused.get(self._rename(table))
        if refused is not None:
            blocks = (block.take(~np.isin(times_of(block), refused)) for block in blocks)
        if self._time.cuts:
            blocks = self._without_collisions(blocks)
        return map(self._transcode, blocks)

    def _without_collisions(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Rows of one table without those that a later one stands for, since the target counts coarser steps."""
        waiting: Block | None = None
        for block in (block for block in blocks if block.rows):
            rows = concatenate([waiting, block]) if waiting else block
            rows = rows.take(last_ones(rows, self._time, self._transcode.second_key))
            times = self._time.apply_array(times_of(rows))
            # The next block may begin with the same step.
            waiting = rows.take(times == times[-1])
            yield rows.take(times != times[-1])
        if waiting:
            yield waiting

    def _blocks_of_target(self, sessions: Sessions, unit: Unit) -> Iterator[Block]:
        start, end = self._time.window(unit.start, unit.end)
        theirs = replace(unit, table=self._rename(unit.table), start=start, end=end)
        refused = self._time.apply_array(self._refused.get(theirs.table, _NONE)) if self._ours.second_key else _NONE
        try:
            for block in read_unit(sessions.target, self._target, self._theirs, theirs).blocks():
                yield block.take(~np.isin(times_of(block), refused)) if len(refused) else block
        except TableMissing:
            return

    def pieces(self, extents: Iterable[Extent], workers: int) -> Iterator[Piece]:
        """Where tables differ; nothing of those that do not.

        Parameters:
            extents: tables of the source, with the first and the last timestamp of either side.
            workers: how many pairs of sessions read side by side.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix="compare") as pool:
            for found in pool.map(self._pieces, extents):
                yield from found

    def _pieces(self, extent: Extent) -> list[Piece]:
        try:
            return persist(partial(self._locate, extent), self._stop)
        except TableMissing:
            return []

    def _locate(self, extent: Extent) -> list[Piece]:
        """The parts of a table that differ, by halving its period."""
        found = []
        pending = [(extent.first, extent.last + 1)]
        step = self._time.denominator
        with Sessions(self._source, self._target) as sessions:
            while pending:
                low, high = pending.pop()
                unit = Unit(extent.name, low, high, 0, False)
                ours, theirs = self._sums(sessions, unit)
                if ours == theirs:
                    continue
                if ours.rows and not theirs.rows:
                    found.append(Piece(self._stable, extent.name, low, high, ours.rows, ours.rows, 0))
                    continue
                middle = (low + high) // 2 // step * step
                if max(ours.rows, theirs.rows) <= _ROW_BY_ROW or not low < middle < high:
                    found.append(self._row_by_row(sessions, unit))
                else:
                    pending += [(middle, high), (low, middle)]
        return found

    def _row_by_row(self, sessions: Sessions, unit: Unit) -> Piece:
        read = list(read_unit(sessions.source, self._source, self._ours, unit).blocks())
        counted = count(sessions.source, self._source.table(unit.table), self._ours.period(unit.start, unit.end))
        if (rows := sum(block.rows for block in read)) < counted:
            # Of an answer that was cut, the rest would look as if only the target had it, and might be deleted there.
            raise _incomplete([replace(unit, rows=counted)], rows)
        ours = dict(self._rows(self._expected(unit.table, read)))
        theirs = dict(self._rows(self._blocks_of_target(sessions, unit)))
        missing = [key for key in ours if key not in theirs]
        changed = [key for key in ours if key in theirs and ours[key][0] != theirs[key][0]]
        extra = {key for key in theirs if key not in ours}
        differing = sorted([*missing, *changed, *extra], key=lambda key: int(str(key[0])))
        return Piece(
            self._stable,
            unit.table,
            unit.start,
            unit.end,
            len(ours),
            len(missing),
            len(changed),
            len(extra),
            tuple(_runs(sorted({*ours, *theirs}, key=lambda key: int(str(key[0]))), extra)),
            tuple(self._shown(key, ours.get(key), theirs.get(key)) for key in differing[:_SHOWN]),
        )

    def _rows(self, blocks: Iterable[Block]) -> Iterator[tuple[Key, Row]]:
        """Rows with their hash, by primary key."""
        second = self._transcode.second_key
        for block in blocks:
            for row, number in zip(block.to_rows(), row_hashes(block).tolist(), strict=True):
                key = (row[0],) if second is None else (row[0], row[second])
                yield key, (number, row)

    def _shown(self, key: Key, ours: Row | None, theirs: Row | None) -> str:
        per_second = self._per_second * self._time.numerator // self._time.denominator
        moment = datetime.fromtimestamp(int(str(key[0])) // per_second, timezone.utc)
        when = f"{moment:%Y-%m-%d %H:%M:%S} ({', '.join(map(repr, key))})"
        if ours is None or theirs is None:
            return f"{when} only in the {'target' if ours is None else 'source'}"
        columns = zip(self._transcode.fields, ours[1], theirs[1], strict=True)
        pairs = ((field.name, *wording.values(one, other)) for field, one, other in columns if repr(one) != repr(other))
        values = [f"{name} {one} and {other}" for name, one, other in pairs]
        return f"{when} has {', '.join(values[:_SHOWN])}"


def _sum(blocks: Iterable[Block]) -> _Sum:
    rows = hashes = 0
    for block in blocks:
        rows += block.rows
        hashes += int(row_hashes(block).sum(dtype=np.uint64))
    return _Sum(rows, hashes % (1 << 64))


def _runs(keys: Sequence[Key], extra: set[Key]) -> Iterator[tuple[int, int]]:
    """First and last timestamp of keys that are extra, without another one between them."""
    first: int | None = None
    last = 0
    for key in keys:
        time = int(str(key[0]))
        if key in extra:
            first, last = time if first is None else first, time
        elif first is not None:
            yield first, last
            first = None
    if first is not None:
        yield first, last


def _incomplete(units: list[Unit], rows: int) -> IncompleteResult:
    counted = sum(unit.rows for unit in units)
    return IncompleteResult(f"{rows} rows of {units[0].table!r} and others arrived where the source counts {counted}")
