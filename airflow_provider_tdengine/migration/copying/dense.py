"""Many rows a subtable: one query a unit, blocks passed unopened where both sides agree, else transcoded.

Reading and writing overlap: the next block is asked for before the last ones are confirmed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import singledispatch

import numpy as np

from airflow_provider_tdengine.client.block import Block
from airflow_provider_tdengine.client.errors import IncompleteResult, StructureChanged
from airflow_provider_tdengine.client.result import Result, Session
from airflow_provider_tdengine.client.sql import identifier, literal, where
from airflow_provider_tdengine.client.websocket import WebSocketResult
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Table
from airflow_provider_tdengine.migration.copying.units import Rows, Step, Tally, Unit, count
from airflow_provider_tdengine.migration.copying.writing import TableWriter, Written
from airflow_provider_tdengine.migration.rows import Transcoder, without_collisions

log = logging.getLogger(__name__)

_PAGE_ROWS = 20_000
"""Rows of an answer that is not streamed, at most: JSON of them has a few megabytes."""

_PAGE_BYTES = 4_000_000
"""Bytes of its values."""

_BLOCK_ROWS = 4096
"""Rows of a block that a server streams, however wide they are (measured 3.0.5.2 and 3.3.3.0; 2.x stops at 34 MB)."""

_BLOCK_BYTES = 8_000_000
"""Bytes of a block that is taken in one piece; rows that may be wider are read by pages."""


def copy_unit(
    session: Session, source: Catalog, transcode: Transcoder, writer: TableWriter, unit: Unit
) -> Iterator[Step]:
    """Copy one unit, saying after each confirmed block how far it has come.

    Parameters:
        session: at the source.
        source: the source database.
        transcode: how blocks become the target's.
        writer: of the unit's table.
        unit: which table, over which period.

    Raises:
        StructureChanged: the source's columns are not those that `transcode` reads.
        IncompleteResult: rows that the source counts did not arrive, and it is not the end that is missing.
        TableMissing: the source or the target does not have the table.
        TDengineError: of the kind of failure.
    """
    table, origin = transcode.source, source.table(unit.table)
    counted = Tally()
    while True:
        rows, position = 0, _Position(unit.start)
        for written in _written(session, source, transcode, writer, unit):
            rows += len(written.times) + written.collisions
            tally = position.after(written)
            counted += tally
            yield Step(unit.table, position.time, tally)
        if not (unit.exact and rows >= unit.rows):
            expected = count(session, source, table, unit)
            if rows < expected:
                behind = position.time
                read = replace(unit, end=None if behind is None else behind + 1)
                if behind in (None, unit.start) or count(session, source, table, read) != rows:
                    # Rows may be missing anywhere in the unit, so all of it is read again.
                    yield Step(unit.table, unit.start, Tally() - counted)
                    raise IncompleteResult(f"{rows:,} rows of {origin} arrived where the source counts {expected:,}")
                part = f"{rows:,} of {wording.number(expected, 'row')}"
                log.warning("A result of %s was cut after %s; going on behind them", origin, part)
                unit, counted = replace(unit, start=behind, exact=False), Tally()
                continue
        yield Step(unit.table, unit.behind, position.rest)
        return


def _written(
    session: Session, source: Catalog, transcode: Transcoder, writer: TableWriter, unit: Unit
) -> Iterator[Written]:
    """The unit's rows, as the target confirms them."""
    found = read_unit(session, source, transcode.source, unit)
    is_raw = isinstance(found, WebSocketResult) and source.client.generation == 3
    if isinstance(found, WebSocketResult) and is_raw and transcode.unchanged and writer.takes_raw_blocks:
        return writer.write_unopened(found)
    if transcode.time.cuts:
        return writer.write(without_collisions(found.blocks(), transcode.time, transcode.second_key))
    return writer.write((block, 0) for block in found.blocks())


class Pages:
    """A unit's rows by the primary key, a page a query: where an answer, or a block of it, would be too large."""

    def __init__(self, session: Session, statement: str, table: Table, unit: Unit) -> None:
        self._given = session, statement, table, unit

    def blocks(self) -> Iterator[Block]:
        """The rows, page by page."""
        return _pages(*self._given)


@singledispatch
def read_unit(session: Session, catalog: Catalog, table: Table, unit: Unit) -> Rows:
    """Ask for a unit's rows.

    Parameters:
        session: to read with.
        catalog: the database.
        table: the super table's structure, or the normal table's, as it is read.
        unit: which table, over which period.

    Raises:
        StructureChanged: the table has other columns.
        TDengineError: of the kind of failure.
    """
    # The shortest way to say all columns: an adapter of 2.4 takes 512 bytes a message.
    columns = "*" if table.is_whole else ", ".join(identifier(column.name) for column in table.columns)
    statement = f"SELECT {columns} FROM {catalog.table(unit.table)}"
    conditions = where(table.period(unit.start, unit.end))
    if table.row_bytes * _BLOCK_ROWS > _BLOCK_BYTES or not session.streams(statement + conditions):
        return Pages(session, statement, table, unit)
    return _checked(session.query(statement + conditions), table, catalog.table(unit.table))


def _checked(result: Result, table: Table, origin: str) -> Result:
    """A result whose columns are those of the table.

    Raises:
        StructureChanged: they are not.
    """
    if [(field.name, field.type) for field in result.fields] != [(own.name, own.type) for own in table.columns]:
        raise StructureChanged(f"the columns of {origin} have changed since the batch began")
    return result


def _pages(session: Session, statement: str, table: Table, unit: Unit) -> Iterator[Block]:
    keys = [table.columns[0]]
    keys += [column for column in table.columns if column.name == table.second_key]
    order = ", ".join(identifier(key.name) for key in keys)
    behind: list[str] = []
    most = _page_rows(table.row_bytes)
    while True:
        conditions = where([*table.period(unit.start, unit.end), *behind])
        result = session.query(f"{statement}{conditions} ORDER BY {order} LIMIT {most}")
        rows = size = 0
        for block in _checked(result, table, statement).blocks():
            rows += block.rows
            size += block.size
            last = block.take(slice(-1, None))
            yield block
        if rows < most:
            # A shorter answer may have been cut; the unit's rows are counted.
            return
        most = min(most * 4, _page_rows(size // rows))
        values = [literal(last.column_values(table.columns.index(key))[0]) for key in keys]
        names = [identifier(key.name) for key in keys]
        behind = [f"{names[0]} > {values[0]}"]
        if len(keys) > 1:
            same = f"{names[0]} = {values[0]} AND {names[1]} > {values[1]}"
            behind = [f"({behind[0]} OR ({same}))"]


def _page_rows(row_bytes: int) -> int:
    """Rows of a page, if each has so many bytes."""
    return max(1, min(_PAGE_ROWS, _PAGE_BYTES // max(1, row_bytes)))


class _Position:
    """Up to where a unit is surely done, as long as its rows come in order of time.

    Parameters:
        start: of the unit.
    """

    def __init__(self, start: int | None) -> None:
        self._in_order = True
        self.time = start
        """A timestamp before which all rows have been read; rows at it, too, but there may be more of them."""
        self.rest = Tally()
        """Of the rows that have been read and are not before it."""

    def after(self, written: Written) -> Tally:
        """What is new before the position, when these rows have been written."""
        times = written.times
        rows = len(times)
        if not rows:
            return Tally()
        starts_later = self.time is None or int(times[0]) >= self.time
        self._in_order &= starts_later and not np.count_nonzero(times[1:] < times[:-1])
        if not self._in_order or int(times[-1]) == self.time:
            self.rest += written.tally(0, rows) + written.besides
            return Tally()
        # Rows for which others stand are older than these, and are not read again from here on.
        cut = int(np.searchsorted(times, times[-1]))
        done, self.rest = self.rest + written.tally(0, cut) + written.besides, written.tally(cut, rows)
        self.time = int(times[-1])
        return done
