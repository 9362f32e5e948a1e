"""Rows that a subscription tells, on their way into the target: whose they are there, and how they are written.

They are written in the order in which they were told, where that matters: of rows with one key the last one stands, and
what is told of other columns of a table is written when the rows before it are confirmed. What cannot be written as it
was told is left to be read again from the source.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.block import (
    Block,
    Flags,
    Ints,
    VariableColumn,
    decode_rows,
    encode_fields,
    raw_timestamps,
    times_of,
)
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.raw_rows import TableRows
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.client.websocket import MAX_MESSAGE, WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog, Scope
from airflow_provider_tdengine.migration.copying import (
    Brakes,
    Confirm,
    Rejections,
    Step,
    Tally,
    isolate,
    send_rows,
    transcoder_of,
    write_block,
)
from airflow_provider_tdengine.migration.rows import Transcoder, last_ones
from airflow_provider_tdengine.migration.structure import Structure, TablePair

_DENSE = 100
"""Rows of a table from which on they go as a block of their own: those of one row each are 2,000 a second (3.3.3.0)."""

_MOST_BYTES = MAX_MESSAGE - 1_000_000
"""Of a block that goes on as it is: a message has names of columns, too."""

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
        transcode: how they become the target's; None where they have to be read again.
    """

    places: tuple[int, ...]
    transcode: Transcoder | None


_Part: TypeAlias = tuple[str, int, int]
"""A table, the number of its first row in a block, and how many it has."""


class Applier:
    """Writes told rows into the target.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure, as it was read last.
        scope: the tables that are followed.
        period: from which timestamp on, None for the first one, and before which, None for no end, rows are meant.
        owners: subtables and normal tables of the source with their super table, None for normal tables.
        there: those of them that are followed, and that the target has.
        rejections: what becomes of refused rows.
        brakes: limits that somebody has set.
        keep: is told the oldest timestamp of rows before they are written.

    Attributes:
        rows: that the target has confirmed.
        rejected: that it has refused, and that are kept.
        tables: which had rows.
        newest: the newest timestamp, None for none.
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
        there: Container[str],
        rejections: Rejections,
        brakes: Brakes,
        keep: Callable[[int], None],
    ) -> None:
        self._target = target
        self._structure = structure
        self._scope = scope
        self._period = period
        self._owners = owners
        self._there = there
        self._rejections = rejections
        self._brakes = brakes
        self._keep = keep
        self._pairs = {pair.source.name: pair for pair in structure.pairs}
        self._trusts_nulls = source.client.server.version >= _TELLS_EMPTY_TEXT
        self._reads_again = structure.time.cuts or any(pair.source.where for pair in structure.pairs)
        """A condition is the server's to apply; of rows that are one in a coarser target, the last one is meant."""
        self._ways: dict[tuple[str, tuple[Field, ...]], _Way] = {}
        self._last: tuple[str, tuple[Field, ...], _Way] | None = None
        self._pending: dict[_Way, list[TableRows]] = {}
        self._way_of: dict[str, _Way] = {}
        self.rows = self.rejected = 0
        self.tables: set[str] = set()
        self.newest: int | None = None
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
        """Take rows of a table; they are written by `flush` at the latest. Of tables that the target does not have by
        now, they are not: the source has dropped them.

        Raises:
            StructureOutdated: the target lacks their columns, or the table.
            TDengineError: of the kind of failure.
        """
        owner = self._owners.get(told.table) or told.table
        if told.table not in self._there or owner not in self._pairs:
            return
        way = self._way(owner, told.fields)
        if self._way_of.setdefault(told.table, way) is not way:
            self.flush()
            self._way_of[told.table] = way
        self._pending.setdefault(way, []).append(told)

    def flush(self) -> None:
        """Write all that was taken, and wait until the target has confirmed it.

        Raises:
            RowRejected: it refuses a row, and following must not go on.
            TableMissing: it lacks a table.
            TDengineError: of the kind of failure.
        """
        for way, told in self._pending.items():
            self._flush(way, told)
        self._pending.clear()
        self._way_of.clear()

    def _flush(self, way: _Way, told: Sequence[TableRows]) -> None:
        dense = self._dense(way, told)
        if dense and self._pass_on(way, dense):
            passed = set(map(id, dense))
            told = [each for each in told if id(each) not in passed]
        if not told:
            return
        rows, blocks = decode_rows([each.raw for each in told], [field.name for field in told[0].fields])
        places: dict[str, int] = {}
        tables = np.array([places.setdefault(each.table, len(places)) for each in told])
        names = list(places)
        # A table's rows together, in the order in which they were told.
        order = np.lexsort((blocks, tables[blocks]))
        order = order[self._meant(times_of(rows))[order]]
        rows, owners = rows.take(order), tables[blocks][order]
        if not rows.rows:
            return
        times = times_of(rows)
        self._note(times)
        self.tables.update(names[place] for place in np.unique(owners).tolist())
        untrusted = np.ones(rows.rows, np.bool_) if way.transcode is None else self._untrusted(rows)
        for place, time in zip(owners[untrusted].tolist(), times[untrusted].tolist(), strict=True):
            self.marks.rows[names[place]].append((time, time))
        if way.transcode is None or untrusted.all():
            return
        rows, owners = rows.take(~untrusted), owners[~untrusted]
        rows = rows.select(way.places)
        # Of rows with one key the last ones: of one INSERT, 3.x keeps a mixture of them.
        last = last_ones(rows, self._structure.time, way.transcode.second_key, owners)
        rows, owners = rows.take(last), owners[last]
        first, counts = np.unique(owners, return_index=True, return_counts=True)[1:]
        parts = zip(owners[first].tolist(), first.tolist(), counts.tolist(), strict=True)
        self._write(way.transcode, [(names[place], begin, count) for place, begin, count in parts], rows)

    def _note(self, times: Ints) -> None:
        """What is to be known of rows before they are written."""
        self._keep(int(times.min()))
        newest = int(times.max())
        self.newest = newest if self.newest is None else max(newest, self.newest)

    def _dense(self, way: _Way, told: Sequence[TableRows]) -> list[TableRows]:
        """Blocks that can go on as they are: of many rows each, whose order in their table is that of their times."""
        if way.transcode is None or not way.transcode.unchanged or way.places != tuple(range(len(told[0].fields))):
            return []
        if not self._trusts_nulls and not all(field.info.width for field in told[0].fields):
            return []
        # A timestamp takes 8 bytes, and rows are only counted where there may be enough of them.
        tables = {each.table for each in told if len(each.raw) > 8 * _DENSE and each.rows >= _DENSE}
        by_table: dict[str, list[TableRows]] = {}
        for each in told if tables else ():
            if each.table in tables:
                by_table.setdefault(each.table, []).append(each)
        found: list[TableRows] = []
        for blocks in by_table.values():
            times = np.concatenate([raw_timestamps(each.raw) for each in blocks])
            if (np.diff(times) > 0).all() and self._meant(times).all():
                found += [each for each in blocks if each.rows >= _DENSE and len(each.raw) < _MOST_BYTES]
        return found

    def _pass_on(self, way: _Way, blocks: Sequence[TableRows]) -> bool:
        """Write blocks as they are.

        Returns:
            Whether the target has confirmed all of them.
        """
        assert way.transcode is not None
        rename, rows = self._structure.transform.tables, sum(each.rows for each in blocks)
        columns = zip(blocks[0].fields, way.transcode.fields, strict=True)
        fields = encode_fields([replace(own, name=theirs.name) for own, theirs in columns])
        self._note(np.concatenate([raw_timestamps(each.raw) for each in blocks]))

        def steps(session: WebSocketSession) -> Iterator[Step]:
            before = session.bytes_sent
            refusal = _confirmed(
                partial(session.confirm, session.write_raw_block(name, each.raw, fields), name)
                for each in blocks
                for name in [rename(each.table)]
            )
            size = session.bytes_sent - before
            yield Step(blocks[-1].table, None, Tally(rows, size, rejected=rows if refusal else 0))

        with self._target.work_session() as session:
            if not isinstance(session, WebSocketSession):
                return False
            done = list(self._brakes.paced(steps(session), session))
        if any(step.tally.rejected for step in done):
            return False
        self.rows += rows
        self.tables.update(each.table for each in blocks)
        return True

    def _meant(self, times: Ints) -> Flags:
        start, end = self._period
        meant = np.ones(len(times), np.bool_)
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

    def _way(self, table: str, told: tuple[Field, ...]) -> _Way:
        """How rows of these columns of a super table, or normal table, are written.

        Raises:
            StructureOutdated: the target lacks the table.
        """
        # Most have those of the rows before, and columns take long to be looked up.
        if self._last and self._last[0] == table and self._last[1] is told:
            return self._last[2]
        if (table, told) not in self._ways:
            self._ways[table, told] = self._found_way(self._pairs[table], told)
        way = self._ways[table, told]
        self._last = table, told, way
        return way

    def _found_way(self, pair: TablePair, told: tuple[Field, ...]) -> _Way:
        if self._reads_again:
            return _Way((), None)
        known = {column.name: column for column in pair.source.columns}
        places = tuple(place for place, column in enumerate(told) if column.name in known)
        # What is left out on purpose, or has gone meanwhile, is none of these; as described they have all digits.
        columns = tuple(known[told[place].name] for place in places)
        if any(_kind(column) != _kind(told[place]) for place, column in zip(places, columns, strict=True)):
            return _Way((), None)
        table = replace(pair.source, columns=columns)
        wanted = replace(self._structure.transform.renamed(table), name=pair.wanted.name)
        return _Way(places, transcoder_of(TablePair(table, wanted, pair.target), self._structure.time))

    def _write(self, transcode: Transcoder, tables: list[_Part], rows: Block) -> None:
        """Write rows of tables; where one is refused, the tables are halved until its table stands alone."""
        with self._target.work_session() as session:
            steps = list(self._brakes.paced(self._steps(session, transcode, tables, rows), session))
        if not any(step.tally.rejected for step in steps):
            self.rows += sum(step.tally.rows for step in steps)
            return
        half = len(tables) // 2
        if half:
            self._write(transcode, tables[:half], rows)
            self._write(transcode, tables[half:], rows)
        else:
            self._isolate(transcode, tables[0], rows)

    def _steps(self, session: Session, transcode: Transcoder, tables: list[_Part], rows: Block) -> Iterator[Step]:
        """One step; all of its rows are rejected where any is."""
        before, told = session.bytes_sent, sum(count for _, _, count in tables)
        refusal = _confirmed(self._sent(session, transcode, tables, rows))
        yield Step(tables[-1][0], None, Tally(told, session.bytes_sent - before, rejected=told if refusal else 0))

    def _sent(self, session: Session, transcode: Transcoder, tables: list[_Part], rows: Block) -> Iterator[Confirm]:
        rename = self._structure.transform.tables
        few = tables
        if isinstance(session, WebSocketSession):
            few = [part for part in tables if part[2] < _DENSE]
            for table, begin, count in tables:
                if count >= _DENSE:
                    name = rename(table)
                    for request in session.write_block(name, transcode(rows.take(slice(begin, begin + count)))):
                        yield partial(session.confirm, request, name)
        if few:
            counts = np.array([count for _, _, count in few])
            places = np.concatenate([np.arange(begin, begin + count) for _, begin, count in few])
            wanted = transcode(rows.take(places))
            yield from send_rows(session, self._target, [rename(name) for name, _, _ in few], counts, wanted)

    def _isolate(self, transcode: Transcoder, part: _Part, rows: Block) -> None:
        """Write what can be written of a table's rows, and do with the others what is to be done."""
        table, begin, count = part
        name = self._structure.transform.tables(table)

        def write(block: Block) -> None:
            with self._target.work_session() as session:
                write_block(session, self._target, name, transcode(block))

        own = rows.take(slice(begin, begin + count))
        refused = self._rejections.take(isolate(name, own, transcode, self._structure.source.precision, write))
        self.rejected += len(refused.rejected)
        self.rows += count - len(refused.rows)


def _kind(column: Field) -> tuple[Type, int, int]:
    """What the values of a column are; a column can have been another one of the same name."""
    return column.type, column.digits, column.scale


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
