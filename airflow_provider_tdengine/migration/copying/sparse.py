"""Few rows a subtable: one query of the super table for many subtables, written by multi-table INSERT.

Reading and writing overlap: the next query is asked for before the last statements are confirmed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, singledispatch
from typing import TypeAlias

import numpy as np

from airflow_provider_tdengine.client.block import Block, Ints, concatenate
from airflow_provider_tdengine.client.errors import IncompleteResult, StructureChanged
from airflow_provider_tdengine.client.result import Result, Session
from airflow_provider_tdengine.client.sql import cut, identifier, name_list, name_range, own_names, where
from airflow_provider_tdengine.client.websocket import WebSocketSession
from airflow_provider_tdengine.migration.catalog import (
    EVERYTHING,
    NAME_BYTES,
    Catalog,
    Holdings,
    Period,
    Table,
    count,
    row_owners,
)
from airflow_provider_tdengine.migration.copying.units import Sessions, Step, Tally, Unit
from airflow_provider_tdengine.migration.rows import (
    Digest,
    Transcoder,
    has_no_text,
    insert_parts,
    last_ones,
    name_hashes,
    row_hashes,
)

VALUES_A_GROUP = 200_000
"""Values that are read with one query, 50,000 rows of four columns; they are in memory together."""

BYTES_A_GROUP = 32_000_000
"""Their bytes at most, if all text were as long as its column allows."""

_NEEDLE = 10
"""How many times the rows of subtables are to lie in their range of names for these to be few in it."""

_IN_FLIGHT = 4
"""Statements that are written before the first is confirmed: enough to keep the target at work."""

Confirm: TypeAlias = Callable[[], object]
"""What waits for the confirmation of something that was sent."""


def rows_a_group(table: Table) -> int:
    """How many rows of a super table's subtables may be read with one query."""
    return max(1, min(VALUES_A_GROUP // len(table.columns), BYTES_A_GROUP // table.row_bytes))


def groups(units: Iterable[Unit], most: int) -> Iterator[list[Unit]]:
    """Subtables over the same period, which are read with one query.

    Parameters:
        units: subtables by name.
        most: rows of a group, unless it is a single subtable.
    """
    group: list[Unit] = []
    rows = size = 0
    for unit in units:
        length = len(unit.table.encode()) + 3
        same = not group or (unit.start, unit.end, unit.exact) == (group[0].start, group[0].end, group[0].exact)
        if group and (rows + unit.rows > most or size + length > NAME_BYTES or not same):
            yield group
            group, rows, size = [], 0, 0
        group.append(unit)
        rows += unit.rows
        size += length
    if group:
        yield group


def lies_in_hay(source: Catalog, table: Table, found: Holdings, period: Period, stop: threading.Event) -> bool:
    """Whether far more rows of other subtables lie in the range of names of some than their own.

    Parameters:
        source: the database.
        table: the super table.
        found: what the subtables hold; there are some.
        period: in which they do.
        stop: see `catalog.count`.

    Raises:
        TDengineError: of the kind of failure.
    """
    hay = EVERYTHING.between(found.names[0], f"{found.names[-1]}\x01")
    return count(source, table, hay, period, stop) > _NEEDLE * found.total


def copy_groups(
    sessions: Sessions,
    source: Catalog,
    target: Catalog,
    target_name: Callable[[str], str],
    transcode: Transcoder,
    groups: Iterable[list[Unit]],
    *,
    is_needle: bool,
) -> Iterator[Step]:
    """Copy groups of subtables, saying after each confirmed group how far it has come.

    Parameters:
        sessions: where to read and to write.
        source: the source database.
        target: the target database.
        target_name: gives a subtable's name in the target.
        transcode: how blocks become the target's.
        groups: subtables by name, each group over one period.
        is_needle: whether far more rows of other subtables lie between those of the groups.

    Raises:
        StructureChanged: the source's columns are not those that `transcode` reads.
        IncompleteResult: fewer rows arrived than the source counted.
        TableMissing: the source does not have the super table, or the target a subtable.
        TDengineError: of the kind of failure.
    """
    table = transcode.source
    sent: deque[Confirm | Step] = deque()
    for group in groups:
        result = read_group(sessions.source, source, table, group, is_needle=is_needle)
        if [field.type for field in result.fields[1:]] != [column.type for column in table.columns]:
            raise StructureChanged(f"the columns of {table.name!r} have changed since the batch began")
        counts, rows, blocks = by_table(table, group, result.blocks())
        names = [target_name(unit.table) for unit in group]
        read, points = rows.rows, rows.rows * (len(rows.columns) - 1)
        owners = np.repeat(np.arange(len(names)), counts)
        if transcode.time.cuts:
            staying = last_ones(rows, transcode.time, transcode.second_key, owners)
            rows, owners = rows.take(staying), owners[staying]
            counts = np.bincount(owners, minlength=len(names))
        before = sessions.target.bytes_sent
        wanted = transcode(rows)
        for confirm in send_rows(sessions.target, target, names, counts, wanted):
            sent.append(confirm)
            yield from _confirmed(sent, _IN_FLIGHT)
        size, digest = sessions.target.bytes_sent - before, Digest.of(row_hashes(wanted, name_hashes(names)[owners]))
        tally = Tally(read, size, 0, 0, read - rows.rows, digest.sum, points, blocks)
        sent.append(Step(group[-1].table, group[-1].behind, tally))
    yield from _confirmed(sent, 0)


def _confirmed(sent: deque[Confirm | Step], most: int) -> Iterator[Step]:
    """What is done when the oldest confirmations have been waited for, until at most so many are left."""
    while sent and (len(sent) > most or isinstance(sent[0], Step)):
        first = sent.popleft()
        if isinstance(first, Step):
            yield first
        else:
            first()


# --- Reading


@singledispatch
def read_group(
    session: Session, catalog: Catalog, table: Table, group: list[Unit], *, is_needle: bool, is_own: bool = True
) -> Result:
    """Ask for a group's rows: each row's subtable, then its columns.

    Names in a list are found at once, a range is compared with the name of every subtable there is: 5,000 of 300,000
    take 0.3 s and 3 s (3.3.3.0). An adapter of 2.4 takes a list only over REST, at ten times the costs of the range.

    Parameters:
        session: to read with.
        catalog: the database.
        table: the super table.
        group: the subtables, by name.
        is_needle: whether far more rows of other subtables lie between those of the group.
        is_own: whether all of them are known to be the super table's own, see `client.sql.own_names`.

    Raises:
        TDengineError: of the kind of failure.
    """
    names = [unit.table for unit in group]
    conditions = [own_names(names) if is_own else name_list(names)]
    if len(conditions[0]) > catalog.client.server.max_message and not is_needle:
        conditions = name_range(names[0], names[-1])
    conditions += table.period(group[0].start, group[0].end)
    columns = ", ".join(["tbname", *(identifier(column.name) for column in table.columns)])
    return session.query(f"SELECT {columns} FROM {catalog.table(table.name)}{where(conditions)}")


def by_table(table: Table, group: list[Unit], blocks: Iterable[Block]) -> tuple[Ints, Block, int]:
    """The rows of a group's subtables, one subtable after the other, each subtable's in the order in which they came.

    Parameters:
        table: the super table.
        group: the subtables.
        blocks: rows of these subtables and maybe others, with the subtable's name in the first column.

    Returns:
        How many rows each subtable has, the rows without the name, and in how many blocks they came.

    Raises:
        IncompleteResult: a subtable has fewer than the source counted.
    """
    parts = list(rows_of(blocks, [unit.table for unit in group]))
    if not parts:
        raise _incomplete(table, group, 0)
    rows, owners = concatenate([rows for rows, _ in parts]), np.concatenate([owners for _, owners in parts])
    counts = np.bincount(owners, minlength=len(group))
    if (counts < [unit.rows for unit in group]).any():
        raise _incomplete(table, group, rows.rows)
    if (np.diff(owners) < 0).any():
        rows = rows.take(np.argsort(owners, kind="stable"))
    return counts, rows, len(parts)


def rows_of(blocks: Iterable[Block], names: Sequence[str]) -> Iterator[tuple[Block, Ints]]:
    """The rows of some subtables, block by block, without what `read_group` has read besides.

    Parameters:
        blocks: rows with the subtable's name in the first column.
        names: the subtables.

    Returns:
        Rows without the name, and (rows,) the place of each row's subtable among the names.
    """
    places = {name.encode("utf-8", "surrogateescape"): place for place, name in enumerate(names)}
    for block in blocks:
        lines = row_owners(block.columns[0], places)
        own, rows = lines >= 0, block.select(range(1, len(block.columns)))
        if own.all():
            yield rows, lines
        elif own.any():
            yield rows.take(own), lines[own]


def _incomplete(table: Table, group: list[Unit], rows: int) -> IncompleteResult:
    return IncompleteResult(
        f"{rows:,} rows of {len(group):,} subtables of {table.name!r} from {group[0].table!r} on arrived "
        f"where the source counted {sum(unit.rows for unit in group):,}"
    )


# --- Writing


def send_rows(session: Session, target: Catalog, names: list[str], counts: Ints, rows: Block) -> Iterator[Confirm]:
    """Send the rows of tables of the same columns: as statements, or as blocks what no text carries.

    Parameters:
        session: where to write; one over REST takes all as text, and refuses what it cannot take.
        target: the target database.
        names: the tables in the target.
        counts: how many of the rows each of them has.
        rows: as the target takes them, one table after the other.
    """
    if isinstance(session, WebSocketSession) and (textless := has_no_text(rows)).any():
        owners = np.repeat(np.arange(len(names)), counts)
        lines = np.flatnonzero(textless)
        for some in np.split(lines, np.flatnonzero(np.diff(owners[lines])) + 1):
            name = names[int(owners[some[0]])]
            for request in session.write_block(name, rows.take(some)):
                yield partial(session.confirm, request, name)
        rows = rows.take(~textless)
        counts = np.bincount(owners[~textless], minlength=len(names))
    tables = ((target.table(name), count) for name, count in zip(names, counts.tolist(), strict=True))
    for statement, _ in cut("INSERT INTO", insert_parts(tables, rows)):
        yield session.start(statement)
