"""Rows that a subscription tells, on their way into the target: whose they are there, and how they are written.

They are written in the order in which they were told, where that matters: of rows with one key the last one stands, and
what is told of other columns of a table is written when the rows before it are confirmed. What cannot be written as it
was told is left to be read again from the source.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.block import Block, Flags, VariableColumn, concatenate, times_of
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.raw_rows import TableRows
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.client.websocket import WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog, Scope
from airflow_provider_tdengine.migration.copying import (
    Brakes,
    Confirm,
    Rejections,
    Step,
    StructureOutdated,
    Tally,
    isolate,
    send_rows,
    write_block,
)
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.rows import Transcoder, last_ones
from airflow_provider_tdengine.migration.structure import Structure, TablePair

_DENSE = 100
"""Rows of a table from which on they go as a block of their own: those of one row each are 2,000 a second (3.3.3.0)."""

_IN_FLIGHT = 4
"""Statements and blocks that are written before the first is confirmed."""

_TELLS_EMPTY_TEXT = (3, 3)
"""Since this version a subscription tells an empty text; 3.0.5.2 tells NULL."""


@dataclass(slots=True)
class Marks:
    """What has to be read again from the source.

    Parameters:
        rows: periods by table, from a timestamp on, up to another one.
        tables: tables whose rows are all meant.
    """

    rows: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    tables: set[str] = field(default_factory=set)

    def __ior__(self, other: Marks) -> Self:
        for table, periods in other.rows.items():
            self.rows[table] += periods
        self.tables |= other.tables
        return self


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """How rows of some columns go into the target.

    Parameters:
        places: the columns that are copied, by their numbers.
        transcode: how they become the target's.
    """

    places: tuple[int, ...]
    transcode: Transcoder


class Applier:
    """Writes told rows into the target.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure, as it was read last.
        scope: the tables that are followed.
        period: from which timestamp on, None for the first one, and before which, None for no end, rows are meant.
        owners: subtables and normal tables of the source with their super table, None for normal tables.
        rejections: what becomes of refused rows.
        brakes: limits that somebody has set.
        stop: ends the work soon.

    Attributes:
        rows: that the target has confirmed.
        rejected: that it has refused, and that are kept.
        tables: which had rows.
        newest: the newest timestamp, None for none.
        oldest: the oldest one.
        marks: what is to be read again.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        structure: Structure,
        scope: Scope,
        period: tuple[int | None, int | None],
        owners: Mapping[str, str | None],
        rejections: Rejections,
        brakes: Brakes,
        stop: threading.Event,
    ) -> None:
        self._target = target
        self._structure = structure
        self._scope = scope
        self._period = period
        self._owners = owners
        self._rejections = rejections
        self._brakes = brakes
        self._stop = stop
        self._pairs = {pair.source.name: pair for pair in structure.pairs}
        self._trusts_nulls = source.client.server.version >= _TELLS_EMPTY_TEXT
        self._reads_again = structure.time.cuts or any(pair.source.where for pair in structure.pairs)
        """A condition is the server's to apply; of rows that are one in a coarser target, the last one is meant."""
        self._ways: dict[tuple[str, tuple[Field, ...]], _Way | None] = {}
        self._pending: dict[_Way, dict[str, list[Block]]] = {}
        self._way_of: dict[str, _Way] = {}
        self.rows = self.rejected = 0
        self.tables: set[str] = set()
        self.newest: int | None = None
        self.oldest: int | None = None
        self.marks = Marks()

    def pair_of(self, table: str) -> TablePair | None:
        """The structure of a subtable or normal table in scope; None for others, and for those that have gone."""
        if table not in self._owners:
            return None
        stable = self._owners[table]
        if stable is None:
            return self._pairs.get(table) if self._scope.has_normal_table(table) else None
        return self._pairs.get(stable) if self._scope.has_subtable(table, stable) else None

    def add(self, told: TableRows) -> None:
        """Take rows of a table; they are written by `flush` at the latest.

        Raises:
            StructureOutdated: the target lacks their columns, or the table.
            TDengineError: of the kind of failure.
        """
        pair = self.pair_of(told.table)
        if pair is None:
            return
        rows = told.block()
        rows = rows.take(self._meant(rows))
        if not rows.rows:
            return
        times = times_of(rows)
        first, last = int(times.min()), int(times.max())
        self.oldest = first if self.oldest is None else min(first, self.oldest)
        self.newest = last if self.newest is None else max(last, self.newest)
        self.tables.add(told.table)
        way = None if self._reads_again else self._way(pair, told.fields)
        untrusted = np.ones(rows.rows, np.bool_) if way is None else self._untrusted(rows)
        if untrusted.any():
            self.marks.rows[told.table] += [(time, time) for time in times[untrusted].tolist()]
            rows = rows.take(~untrusted)
        if way is None or not rows.rows:
            return
        if self._way_of.setdefault(told.table, way) is not way:
            self.flush()
            self._way_of[told.table] = way
        self._pending.setdefault(way, {}).setdefault(told.table, []).append(rows.select(way.places))

    def flush(self) -> None:
        """Write all that was taken, and wait until the target has confirmed it.

        Raises:
            RowRejected: it refuses a row, and following must not go on.
            TableMissing: it lacks a table.
            TDengineError: of the kind of failure.
        """
        for way, tables in self._pending.items():
            self._write(way, [(name, self._last(way, concatenate(blocks))) for name, blocks in tables.items()])
        self._pending.clear()
        self._way_of.clear()

    def _meant(self, rows: Block) -> Flags:
        times, (start, end) = times_of(rows), self._period
        meant = np.ones(rows.rows, np.bool_)
        if start is not None:
            meant &= times >= start
        if end is not None:
            meant &= times < end
        return meant

    def _untrusted(self, rows: Block) -> Flags:
        """Rows whose texts may be empty where they are told to be NULL."""
        found = np.zeros(rows.rows, np.bool_)
        if not self._trusts_nulls:
            for column in rows.columns:
                if isinstance(column, VariableColumn):
                    found |= column.nulls
        return found

    def _way(self, pair: TablePair, told: tuple[Field, ...]) -> _Way | None:
        """How rows of these columns are written; None where they have to be read again.

        Raises:
            StructureOutdated: the target lacks the table.
        """
        key = pair.source.name, told
        if key not in self._ways:
            self._ways[key] = self._found_way(pair, told)
        return self._ways[key]

    def _found_way(self, pair: TablePair, told: tuple[Field, ...]) -> _Way | None:
        if pair.target is None:
            finding = Finding(f"Table {pair.wanted.name!r} of the target", "there is none", "Run schema sync first")
            raise StructureOutdated([finding])
        known = {column.name: column for column in pair.source.columns}
        places = tuple(place for place, column in enumerate(told) if column.name in known)
        # What is left out on purpose, or has gone meanwhile, is none of these; as described they have all digits.
        columns = tuple(known[told[place].name] for place in places)
        if any(column.type is not told[place].type for place, column in zip(places, columns, strict=True)):
            return None
        table = replace(pair.source, columns=columns)
        wanted = replace(self._structure.transform.renamed(table), name=pair.wanted.name)
        try:
            return _Way(places, Transcoder(table, wanted, pair.target, self._structure.time))
        except ValueError as error:
            finding = Finding(f"Table {pair.wanted.name!r} of the target", str(error), "Run schema sync first")
            raise StructureOutdated([finding]) from error

    def _last(self, way: _Way, rows: Block) -> Block:
        """Of rows with one key, the last ones: of one INSERT, 3.x keeps a mixture of them."""
        staying = last_ones(rows, self._structure.time, way.transcode.second_key)
        return rows if staying.all() else rows.take(staying)

    def _write(self, way: _Way, tables: list[tuple[str, Block]]) -> None:
        """Write rows of tables; where one is refused, the tables are halved until its table stands alone."""
        with self._target.work_session() as session:
            refused = False
            for step in self._brakes.paced(self._steps(session, way, tables), session):
                if step.tally.rejected:
                    refused = True
                else:
                    self.rows += step.tally.rows
        if not refused:
            return
        half = len(tables) // 2
        if half:
            self._write(way, tables[:half])
            self._write(way, tables[half:])
        else:
            self._isolate(way, *tables[0])

    def _steps(self, session: Session, way: _Way, tables: list[tuple[str, Block]]) -> Iterator[Step]:
        """One step; all of its rows are rejected where any is."""
        before, rows = session.bytes_sent, sum(block.rows for _, block in tables)
        refusal = _confirmed(self._sent(session, way, tables))
        tally = Tally(rows, session.bytes_sent - before, rejected=rows if refusal else 0)
        yield Step(tables[-1][0], None, tally)

    def _sent(self, session: Session, way: _Way, tables: list[tuple[str, Block]]) -> Iterator[Confirm]:
        rename = self._structure.transform.tables
        few = tables
        if isinstance(session, WebSocketSession):
            few = [(name, rows) for name, rows in tables if rows.rows < _DENSE]
            for name, rows in tables:
                if rows.rows >= _DENSE:
                    for request in session.write_block(rename(name), way.transcode(rows)):
                        yield partial(session.confirm, request, rename(name))
        if few:
            counts = np.array([rows.rows for _, rows in few])
            wanted = way.transcode(concatenate([rows for _, rows in few]))
            yield from send_rows(session, self._target, [rename(name) for name, _ in few], counts, wanted)

    def _isolate(self, way: _Way, table: str, rows: Block) -> None:
        """Write what can be written of a table's rows, and do with the others what is to be done."""
        name = self._structure.transform.tables(table)

        def write(block: Block) -> None:
            with self._target.work_session() as session:
                write_block(session, self._target, name, way.transcode(block))

        refused = self._rejections.take(isolate(name, rows, way.transcode, self._structure.source.precision, write))
        self.rejected += len(refused.rejected)
        self.rows += rows.rows - len(refused.rows)


def _confirmed(sent: Iterable[Confirm]) -> RowRejected | None:
    """Wait until all that is sent is confirmed, also what is sent besides something that is refused.

    Returns:
        The first refusal, if there is one.
    """
    refusal: RowRejected | None = None
    pending: deque[Confirm] = deque()

    def take() -> None:
        nonlocal refusal
        try:
            pending.popleft()()
        except RowRejected as error:
            refusal = refusal or error

    try:
        for confirm in sent:
            pending.append(confirm)
            if len(pending) >= _IN_FLIGHT:
                take()
    except RowRejected as error:
        refusal = refusal or error
    while pending:
        take()
    return refusal
