"""Many rows a subtable: one query a unit, blocks passed unopened where both sides agree, else transcoded.

Reading and writing overlap: the next block is asked for before the last ones are confirmed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from airflow_provider_tdengine.client.block import (
    Block,
    FixedColumn,
    Ints,
    decode_block,
    encode_fields,
    raw_timestamps,
)
from airflow_provider_tdengine.client.errors import IncompleteResult, StructureChanged
from airflow_provider_tdengine.client.result import Result, Session
from airflow_provider_tdengine.client.sql import cut, identifier, where
from airflow_provider_tdengine.client.websocket import MAX_MESSAGE, WebSocketResult, WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.convert import Transcoder
from airflow_provider_tdengine.migration.text import insert_parts
from airflow_provider_tdengine.migration.work import Sessions, Step, Unit, count

log = logging.getLogger(__name__)

_IN_FLIGHT = 4
"""Blocks that are written before the first is confirmed: enough to hide a round trip, few enough for flat memory."""


def copy_unit(
    sessions: Sessions, source: Catalog, target: Catalog, name: str, transcode: Transcoder, unit: Unit
) -> Iterator[Step]:
    """Copy one unit, saying after each confirmed block how far it has come.

    Parameters:
        sessions: where to read and to write.
        source: the source database.
        target: the target database.
        name: the table's name in the target.
        transcode: how blocks become the target's.
        unit: which table, over which period.

    Raises:
        StructureChanged: the source's columns are not those that `transcode` reads.
        IncompleteResult: rows that the source counts did not arrive, and it is not the end that is missing.
        TDengineError: of the kind of failure.
    """
    table = transcode.source
    origin = source.table(unit.table)
    conditions = table.period(unit.start, unit.end)
    # The shortest way to say all columns: an adapter of 2.4 takes 512 bytes a message.
    columns = "*" if table.is_whole else ", ".join(identifier(column.name) for column in table.columns)
    result = sessions.source.query(f"SELECT {columns} FROM {origin}{where(conditions)}")
    if [(field.name, field.type) for field in result.fields] != [(own.name, own.type) for own in table.columns]:
        raise StructureChanged(f"the columns of {origin} have changed since the batch began")
    if isinstance(sessions.target, WebSocketSession):
        if isinstance(result, WebSocketResult) and transcode.unchanged and source.client.generation == 3:
            written = _write_unopened(sessions.target, name, result, transcode)
        else:
            written = _write_blocks(sessions.target, name, result, transcode)
    else:
        written = _write_text(sessions.target, target.table(name), result, transcode)
    rows = 0
    position = _Position(unit)
    for times, size in written:
        rows += len(times)
        yield Step(unit.table, position.after(times), len(times), size)
    if rows != unit.rows or not unit.exact:
        counted = count(sessions.source, origin, conditions)
        if rows != counted:
            behind = position.time
            read = table.period(unit.start, None if behind is None else behind + 1)
            if behind in (None, unit.start) or count(sessions.source, origin, read) != rows:
                raise IncompleteResult(f"{rows} rows of {origin} arrived where the source counts {counted}")
            log.warning("A result of %s was cut after %d of %d rows; going on behind them", origin, rows, counted)
            rest = replace(unit, start=behind, exact=False)
            yield from copy_unit(sessions, source, target, name, transcode, rest)
    yield Step(unit.table, unit.end, 0, 0)


class _Position:
    """Up to where a unit is surely done, as long as its rows come in order of time."""

    def __init__(self, unit: Unit) -> None:
        self._in_order = True
        self.time = unit.start
        """A timestamp before which all rows have been read; rows at it, too, but there may be more of them."""

    def after(self, times: Ints) -> int | None:
        """The position after rows with these timestamps."""
        if len(times):
            starts_later = self.time is None or int(times[0]) >= self.time
            self._in_order &= starts_later and bool((times[1:] >= times[:-1]).all())
            if self._in_order:
                self.time = int(times[-1])
        return self.time


Written: TypeAlias = Iterator[tuple[Ints, int]]
"""Timestamps (in steps of the source) and bytes of each block that the target has confirmed, in their order."""

_Pending: TypeAlias = deque[tuple[list[int], Ints, int]]


def _write_unopened(session: WebSocketSession, table: str, result: WebSocketResult, transcode: Transcoder) -> Written:
    names = [field.name for field in transcode.fields]
    fields = encode_fields([replace(field, name=name) for field, name in zip(result.fields, names, strict=True)])
    pending: _Pending = deque()
    for raw in result.raw_blocks():
        times = raw_timestamps(raw)
        if not len(times):
            continue
        before = session.bytes_sent
        if len(raw) + len(fields) < MAX_MESSAGE:
            requests = [session.write_raw_block(table, raw, fields)]
        else:
            requests = session.write_block(table, decode_block(raw, names))
        pending.append((requests, times, session.bytes_sent - before))
        if len(pending) >= _IN_FLIGHT:
            yield _confirm(session, table, pending)
    while pending:
        yield _confirm(session, table, pending)


def _write_blocks(session: WebSocketSession, table: str, result: Result, transcode: Transcoder) -> Written:
    pending: _Pending = deque()
    for block in result.blocks():
        before = session.bytes_sent
        requests = session.write_block(table, transcode(block))
        pending.append((requests, _times(block), session.bytes_sent - before))
        if len(pending) >= _IN_FLIGHT:
            yield _confirm(session, table, pending)
    while pending:
        yield _confirm(session, table, pending)


def _confirm(session: WebSocketSession, table: str, pending: _Pending) -> tuple[Ints, int]:
    requests, times, size = pending.popleft()
    for request in requests:
        session.confirm(request, table)
    return times, size


def _write_text(session: Session, table: str, result: Result, transcode: Transcoder) -> Written:
    """The last resort, for a target without WebSocket."""
    for block in result.blocks():
        size = 0
        for statement, _ in cut("INSERT INTO", insert_parts([(table, block.rows)], transcode(block))):
            session.query(statement)
            size += len(statement)
        yield _times(block), size


def _times(block: Block) -> Ints:
    column = block.columns[0]
    assert isinstance(column, FixedColumn)
    return column.values.astype(np.int64)
