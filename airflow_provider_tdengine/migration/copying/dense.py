"""Many rows a subtable: one query a unit, blocks passed unopened where both sides agree, else transcoded.

Reading and writing overlap: the next block is asked for before the last ones are confirmed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from airflow_provider_tdengine.client.block import Block, Ints
from airflow_provider_tdengine.client.errors import IncompleteResult, StructureChanged
from airflow_provider_tdengine.client.result import Result, Session
from airflow_provider_tdengine.client.sql import identifier, literal, where
from airflow_provider_tdengine.client.websocket import WebSocketResult
from airflow_provider_tdengine.migration.catalog import Catalog, Table
from airflow_provider_tdengine.migration.copying.units import Step, Unit, count
from airflow_provider_tdengine.migration.copying.writing import TableWriter
from airflow_provider_tdengine.migration.rows import Transcoder

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
        TDengineError: of the kind of failure.
    """
    table, origin = transcode.source, source.table(unit.table)
    conditions = table.period(unit.start, unit.end)
    found = read_unit(session, source, table, unit)
    if (
        isinstance(found, WebSocketResult)
        and source.client.generation == 3
        and transcode.unchanged
        and writer.takes_raw_blocks
    ):
        written = writer.write_unopened(found)
    else:
        written = writer.write(found.blocks())
    rows = 0
    position = _Position(unit)
    for block in written:
        rows += len(block.times)
        arrived = len(block.times) - block.refused.rows
        yield Step(unit.table, position.after(block.times), arrived, block.bytes, block.refused, block.collisions)
    if rows != unit.rows or not unit.exact:
        counted = count(session, origin, conditions)
        if rows != counted:
            behind = position.time
            read = table.period(unit.start, None if behind is None else behind + 1)
            if behind in (None, unit.start) or count(session, origin, read) != rows:
                raise IncompleteResult(f"{rows} rows of {origin} arrived where the source counts {counted}")
            log.warning("A result of %s was cut after %d of %d rows; going on behind them", origin, rows, counted)
            rest = replace(unit, start=behind, exact=False)
            yield from copy_unit(session, source, transcode, writer, rest)
    yield Step(unit.table, unit.end, 0, 0)


class Pages:
    """A unit's rows by the primary key, a page a query: where an answer, or a block of it, would be too large."""

    def __init__(self, session: Session, statement: str, table: Table, unit: Unit) -> None:
        self._given = session, statement, table, unit

    def blocks(self) -> Iterator[Block]:
        """The rows, page by page."""
        return _pages(*self._given)


def read_unit(session: Session, catalog: Catalog, table: Table, unit: Unit) -> Result | Pages:
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
