"""The rows of both sides of a batch read and compared: by their digests, and where these differ, row by row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TypeAlias, TypeVar

import numpy as np

from airflow_provider_tdengine.client.block import Block, Ints, Value, times_of
from airflow_provider_tdengine.client.errors import IncompleteResult, RowRejected, StructureChanged, TableMissing
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.sql import identifier, where
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Holding, Holdings, Period, Scope, Table, holdings
from airflow_provider_tdengine.migration.copying import (
    Brief,
    Sessions,
    Unit,
    count,
    groups,
    read_group,
    read_unit,
    rows_a_group,
    rows_of,
    sessions,
)
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import (
    NOTHING,
    Digest,
    Transcoder,
    column_hashes,
    name_hash,
    name_hashes,
    row_hashes,
    without_collisions,
)

_T = TypeVar("_T")
_Work = TypeVar("_Work")

Key: TypeAlias = tuple[Value, ...]
"""A primary key: the timestamp, and the second key where there is one."""

Row: TypeAlias = tuple[int, tuple[Value, ...]]
"""A row's hash, and its values."""

Run: TypeAlias = tuple[int, int, int]
"""First and last timestamp of rows, and what their hashes add up to."""

_ROW_BY_ROW = 5_000
"""Rows of a piece that are compared one by one; they are in memory as Python values."""

_NONE: Ints = np.empty(0, np.int64)

_SHOWN = 3
"""Differing rows that a piece shows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a table that differs.

    Parameters:
        table: the table in the source.
        start: from which timestamp on, in steps of the source.
        end: before which timestamp.
        rows: rows of the source in it.
        missing: of these, how many the target does not have.
        changed: how many have other values there.
        extra: rows that only the target has.
        runs: such rows with none of the source between them, in steps of the target.
        shown: the first differing rows, in words.
        lacks: the rows that are missing or changed, by key and with their hash; None where they were only counted.
    """

    table: str
    start: int
    end: int
    rows: int
    missing: int
    changed: int = 0
    extra: int = 0
    runs: tuple[Run, ...] = ()
    shown: tuple[str, ...] = ()
    lacks: frozenset[tuple[Key, int]] | None = None


class RowReader:
    """Reads the rows of a batch on both sides, as the target should have them.

    Parameters:
        brief: what is known of the batch; both sides have its tables.
        period: of the rows, in steps of the source.
        refused: timestamps, in steps of the source, of rows that are not expected, by table of the target. Of tables
            with a second key, rows with these timestamps are left out on both sides: others may have them, too.
        workers: how many pairs of sessions read side by side.
        stop: set by somebody who wants it to stop soon.

    Raises:
        StructureOutdated: the target's columns do not take the source's.
    """

    def __init__(
        self,
        brief: Brief,
        period: Period,
        refused: Mapping[str, Sequence[int]],
        workers: int,
        stop: threading.Event,
        headway: Headway,
    ) -> None:
        self._brief = brief
        self._period = period
        self._refused = {name: np.array(times, np.int64) for name, times in refused.items() if times}
        self._workers = workers
        self._stop = stop
        self._headway = headway
        self._time = brief.time
        self._transcoders = brief.transcoders()

    def _transcode(self, table: str) -> Transcoder:
        return self._transcoders[self._brief.batch.stable or table]

    def _theirs(self, table: str) -> Table:
        """The structure in the target of a table of the source, as far as rows are compared."""
        there = self._brief.pair_of(table).target
        assert there is not None
        return replace(there, columns=self._transcode(table).fields, is_whole=False, where="")

    def _each(self, action: Callable[[_Work, Sessions], _T], work: Iterable[_Work]) -> Iterator[_T]:
        """Do something with a pair of sessions, again as long as a retry may help, several at the same time."""

        def one(each: _Work) -> _T:
            def attempt() -> _T:
                with sessions(self._brief.source, self._brief.target) as pair:
                    return action(each, pair)

            return persist(attempt, self._stop)

        with ThreadPoolExecutor(self._workers, thread_name_prefix="compare") as pool:
            yield from pool.map(one, work)

    # --- The target alone

    def target_digest(self, scope: Scope, *, is_dense: bool) -> Digest:
        """What all rows of the batch come to that the target has, read once.

        Parameters:
            scope: the batch's subtables in the target, and no others.
            is_dense: whether tables are read one by one.
        """
        (pair,) = self._brief.pairs.values()
        period = self._time.window(*self._period)
        theirs = replace(self._theirs(pair.source.name), name=pair.wanted.name)
        if is_dense:
            found = holdings(self._brief.target, theirs, scope, period, self._stop)
            units = [Unit(one.name, *period, one.rows, True) for one in found]
            return sum(self._each(partial(self._target_unit, theirs), units), NOTHING)
        return sum(self._each(partial(self._target_range, theirs, period), [scope]), NOTHING)

    def _target_unit(self, theirs: Table, unit: Unit, pair: Sessions) -> Digest:
        name, digest = name_hash(unit.table), NOTHING
        for block in read_unit(pair.target, self._brief.target, theirs, unit).blocks():
            self._headway.add(block.rows)
            digest += Digest.of(row_hashes(block, name))
        return digest

    def _target_range(self, theirs: Table, period: Period, scope: Scope, pair: Sessions) -> Digest:
        columns = ", ".join(["tbname", *(identifier(column.name) for column in theirs.columns)])
        conditions = where(scope.conditions(theirs.name) + theirs.period(*period))
        statement = f"SELECT {columns} FROM {self._brief.target.table(theirs.name)}{conditions}"
        digest = NOTHING
        for block in pair.target.query(statement).blocks():
            self._headway.add(block.rows)
            rows = block.select(range(1, len(block.columns)))
            digest += Digest.of(row_hashes(rows, column_hashes(block.columns[0])))
        return digest

    # --- Tables of both sides

    def differing(self, tables: Holdings) -> list[str]:
        """Those tables of the source whose rows are not the same on both sides."""
        most = min((rows_a_group(pair.source) for pair in self._brief.pairs.values()), default=1)
        alone: list[Unit] = []
        together: list[Unit] = []
        for one in tables:
            is_alone = (
                self._brief.batch.stable is None
                or one.rows > most // 2
                or self._time.cuts
                or self._brief.target_name(one.name) in self._refused
            )
            (alone if is_alone else together).append(Unit(one.name, *self._period, one.rows, True))
        work = [[unit] for unit in alone] + list(groups(together, most))
        return [name for names in self._each(self._differing, work) for name in names]

    def _differing(self, units: list[Unit], pair: Sessions) -> list[str]:
        names = [unit.table for unit in units]
        try:
            sums = self._together(pair, units) if len(units) > 1 else [self._sums(pair, units[0])]
        except RowRejected:
            # A row of one of them is more than the target can hold.
            sums = [self._sums(pair, unit) for unit in units]
        return [name for name, (ours, theirs) in zip(names, sums, strict=True) if ours != theirs]

    def _together(self, pair: Sessions, units: list[Unit]) -> list[tuple[Digest, Digest]]:
        """What the rows of each of some subtables come to, on both sides."""
        names = [unit.table for unit in units]
        sums = list(zip(self._group(pair.source, units), self._group(pair.target, units, names), strict=True))
        rows = sum(ours.rows for ours, _ in sums)
        if rows < (expected := sum(unit.rows for unit in units)):
            raise _incomplete(names[0], rows, expected)
        return sums

    def _group(self, session: Session, units: list[Unit], at_source: Sequence[str] | None = None) -> list[Digest]:
        """What the rows of each of some subtables come to, read with one query.

        Parameters:
            session: at the source or the target.
            units: subtables of the source over one period.
            at_source: their names, to read their counterparts in the target; None to read them in the source.
        """
        pair = self._brief.pair_of(units[0].table)
        names = [self._brief.target_name(unit.table) for unit in units]
        if at_source is None:
            catalog, table, transcode = self._brief.source, pair.source, self._transcode(units[0].table)
            read = units
        else:
            catalog, transcode = self._brief.target, None
            table = replace(self._theirs(units[0].table), name=pair.wanted.name)
            period = self._time.window(*self._period)
            read = [Unit(name, *period, unit.rows, True) for name, unit in zip(names, units, strict=True)]
        counts, sums, hashes = np.zeros(len(units), np.int64), np.zeros(len(units), np.uint64), name_hashes(names)
        found = read_group(session, catalog, table, read, is_needle=False, is_own=at_source is None)
        for rows, owners in rows_of(found.blocks(), [unit.table for unit in read]):
            np.add.at(sums, owners, row_hashes(transcode(rows) if transcode else rows, hashes[owners]))
            counts += np.bincount(owners, minlength=len(units))
        self._headway.add(0 if at_source else int(counts.sum()))
        return [Digest(*one) for one in zip(counts.tolist(), sums.tolist(), strict=True)]

    def _sums(self, pair: Sessions, unit: Unit) -> tuple[Digest, Digest]:
        """What a table's rows come to, on both sides."""
        name = name_hash(self._brief.target_name(unit.table))
        ours = theirs = NOTHING
        for block, unheld in self._blocks_of_source(pair, unit):
            ours += Digest.of(row_hashes(block, name)) + Digest(unheld)
        for block in self._blocks_of_target(pair, unit):
            theirs += Digest.of(row_hashes(block, name))
        return ours, theirs

    def _blocks_of_source(self, pair: Sessions, unit: Unit) -> Iterator[tuple[Block, int]]:
        """Rows as the target should have them; none of a table that has gone, or is of another super table by now.

        Each block comes with the number of other rows, which the target cannot hold: it lacks them.

        Raises:
            IncompleteResult: fewer rows arrived than were counted.
        """
        table, rows = self._brief.pair_of(unit.table).source, 0

        def counted(blocks: Iterable[Block]) -> Iterator[Block]:
            nonlocal rows
            for block in blocks:
                rows += block.rows
                self._headway.add(block.rows)
                yield block

        try:
            yield from self._expected(
                unit.table, counted(read_unit(pair.source, self._brief.source, table, unit).blocks())
            )
            if rows < unit.rows or not unit.exact:
                # Of an answer that was cut, the rest would look as if only the target had it.
                expected = count(pair.source, self._brief.source, table, unit)
                if rows < expected:
                    raise _incomplete(unit.table, rows, expected)
        except TableMissing:
            return
        except StructureChanged:
            if self._brief.source.has_table(unit.table, table.name if table.is_super else None):
                raise

    def _expected(self, table: str, blocks: Iterable[Block]) -> Iterator[tuple[Block, int]]:
        """Rows of a table of the source as the target should have them, see `_blocks_of_source`."""
        refused, transcode = self._refused.get(self._brief.target_name(table)), self._transcode(table)
        if refused is not None:
            blocks = (block.take(~np.isin(times_of(block), refused)) for block in blocks)
        if self._time.cuts:
            blocks = (rows for rows, _ in without_collisions(blocks, self._time, transcode.second_key))
        return (held for block in blocks for held in _held(transcode, block))

    def _blocks_of_target(self, pair: Sessions, unit: Unit) -> Iterator[Block]:
        start, end = self._time.window(unit.start, unit.end)
        theirs = replace(unit, table=self._brief.target_name(unit.table), start=start, end=end)
        has_second_key = self._transcode(unit.table).second_key is not None
        refused = self._time.apply_array(self._refused.get(theirs.table, _NONE)) if has_second_key else _NONE
        try:
            for block in read_unit(pair.target, self._brief.target, self._theirs(unit.table), theirs).blocks():
                yield block.take(~np.isin(times_of(block), refused)) if len(refused) else block
        except TableMissing:
            return
        except StructureChanged:
            # One of another super table may have its name.
            wanted = self._brief.pair_of(unit.table).wanted
            if self._brief.target.has_table(theirs.table, wanted.name if wanted.is_super else None):
                raise

    # --- Where they differ

    def pieces(self, tables: Iterable[Holding]) -> Iterator[Piece]:
        """Where tables differ; nothing of those that do not.

        Parameters:
            tables: of the source, with the first and the last timestamp of either side.
        """
        for found in self._each(self._located, tables):
            yield from found

    def _located(self, table: Holding, pair: Sessions) -> list[Piece]:
        """The parts of a table that differ, by halving its period."""
        found = []
        pending = [(table.first, table.last + 1)]
        step = self._time.denominator
        while pending:
            low, high = pending.pop()
            unit = Unit(table.name, low, high, 0, False)
            ours, theirs = self._sums(pair, unit)
            if ours == theirs:
                continue
            if ours.rows and not theirs.rows:
                found.append(Piece(table.name, low, high, ours.rows, ours.rows))
                continue
            middle = (low + high) // 2 // step * step
            if max(ours.rows, theirs.rows) <= _ROW_BY_ROW or not low < middle < high:
                found.append(self._row_by_row(pair, unit))
            else:
                pending += [(middle, high), (low, middle)]
        return found

    def _row_by_row(self, pair: Sessions, unit: Unit) -> Piece:
        expected = list(self._blocks_of_source(pair, unit))
        unheld = sum(number for _, number in expected)
        ours = dict(self._rows(block for block, _ in expected))
        theirs = dict(self._rows(self._blocks_of_target(pair, unit)))
        missing = [key for key in ours if key not in theirs]
        changed = [key for key in ours if key in theirs and ours[key][0] != theirs[key][0]]
        extra = {key: number for key, (number, _) in theirs.items() if key not in ours}
        differing = sorted([*missing, *changed, *extra], key=lambda key: int(str(key[0])))
        shown = [self._shown(unit.table, key, ours.get(key), theirs.get(key)) for key in differing[:_SHOWN]]
        assert unit.start is not None
        assert unit.end is not None
        return Piece(
            unit.table,
            unit.start,
            unit.end,
            len(ours) + unheld,
            len(missing) + unheld,
            len(changed),
            len(extra),
            tuple(_runs(sorted({*ours, *theirs}, key=lambda key: int(str(key[0]))), extra)),
            tuple(shown),
            None if unheld else frozenset((key, ours[key][0]) for key in [*missing, *changed]),
        )

    def _rows(self, blocks: Iterable[Block]) -> Iterator[tuple[Key, Row]]:
        """Rows with their hash, by primary key."""
        second = next((transcode.second_key for transcode in self._transcoders.values()), None)
        for block in blocks:
            # A row without a timestamp has no key; this raises.
            times_of(block)
            for row, number in zip(block.to_rows(), row_hashes(block, np.uint64(0)).tolist(), strict=True):
                key = (row[0],) if second is None else (row[0], row[second])
                yield key, (number, row)

    def _shown(self, table: str, key: Key, ours: Row | None, theirs: Row | None) -> str:
        moment = wording.moment(int(str(key[0])), self._brief.databases[1].precision)
        when = f"{moment} ({', '.join(map(repr, key))})"
        if ours is None or theirs is None:
            return f"{when} only in the {'target' if ours is None else 'source'}"
        columns = zip(self._transcode(table).fields, ours[1], theirs[1], strict=True)
        pairs = ((field.name, *wording.values(one, other)) for field, one, other in columns if repr(one) != repr(other))
        values = [f"{name} {one} and {other}" for name, one, other in pairs]
        return f"{when} has {', '.join(values[:_SHOWN])}"


def _held(transcode: Transcoder, block: Block) -> Iterator[tuple[Block, int]]:
    """Rows as the target should have them, and of how many others it cannot hold a value."""
    try:
        yield transcode(block), 0
    except RowRejected:
        half = block.rows // 2
        if half:
            yield from _held(transcode, block.take(slice(0, half)))
            yield from _held(transcode, block.take(slice(half, None)))
        else:
            yield transcode(block.take(slice(0, 0))), 1


def _runs(keys: Sequence[Key], extra: Mapping[Key, int]) -> Iterator[Run]:
    """Keys that are extra, without another one between them, see `Piece.runs`.

    Parameters:
        keys: all of them, by time.
        extra: the hashes of their rows.
    """
    for is_extra, group in groupby(keys, lambda key: key in extra):
        if is_extra:
            run = list(group)
            yield int(str(run[0][0])), int(str(run[-1][0])), sum(extra[key] for key in run)


def _incomplete(table: str, rows: int, expected: int) -> IncompleteResult:
    return IncompleteResult(
        f"{wording.number(rows, 'row')} of {table!r} and others arrived where the source counts {expected:,}"
    )
