"""Few rows a subtable: one query of the super table for many subtables, written by multi-table INSERT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import Block
from airflow_provider_tdengine.client.errors import IncompleteResult
from airflow_provider_tdengine.client.sql import cut, identifier, name_range, where
from airflow_provider_tdengine.client.websocket import WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.convert import Transcoder
from airflow_provider_tdengine.migration.text import has_no_text, insert_rows, row_texts
from airflow_provider_tdengine.migration.work import Sessions, Step, Unit

ROWS_A_GROUP = 50_000
"""Rows of subtables that are read with one query; they are in memory together."""


def groups(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Neighbouring subtables over the same period, which are read with one query."""
    group: list[Unit] = []
    rows = 0
    for unit in units:
        same = not group or (unit.start, unit.end, unit.exact) == (group[0].start, group[0].end, group[0].exact)
        if group and (rows + unit.rows > ROWS_A_GROUP or not same):
            yield group
            group, rows = [], 0
        group.append(unit)
        rows += unit.rows
    if group:
        yield group


def copy_group(
    sessions: Sessions,
    source: Catalog,
    target: Catalog,
    target_name: Callable[[str], str],
    transcode: Transcoder,
    group: list[Unit],
) -> Step:
    """Copy neighbouring subtables over the same period.

    Parameters:
        sessions: where to read and to write.
        source: the source database.
        target: the target database.
        target_name: gives a subtable's name in the target.
        transcode: how blocks become the target's.
        group: the subtables, by name.

    Raises:
        IncompleteResult: fewer rows arrived than the source counted.
        TDengineError: of the kind of failure.
    """
    names = {unit.table for unit in group}
    table = transcode.source
    conditions = name_range(group[0].table, group[-1].table) + table.period(group[0].start, group[0].end)
    columns = ", ".join(["tbname", *(identifier(column.name) for column in table.columns)])
    result = sessions.source.query(f"SELECT {columns} FROM {source.table(table.name)}{where(conditions)}")
    head = f"({', '.join(identifier(field.name) for field in transcode.fields)}) VALUES "
    texts: dict[str, list[str]] = {}
    rows = size = 0
    for read in result.blocks():
        owners = np.array(read.column_values(0), dtype=object)
        # The range may hold subtables out of scope, or new ones.
        wanted = np.fromiter((name in names for name in owners), np.bool_, read.rows)
        block = transcode(read.select(range(1, len(read.columns))))
        textless = has_no_text(block) & wanted
        rows += int(wanted.sum())
        size += _write_raw(sessions, block.take(textless), owners[textless], target_name)
        texted = wanted & ~textless
        for name, text in zip(owners[texted].tolist(), row_texts(block.take(texted)), strict=True):
            texts.setdefault(name, []).append(text)
    counted = sum(unit.rows for unit in group)
    if rows < counted:
        raise IncompleteResult(
            f"{rows} rows of {len(group)} subtables of {table.name!r} from {group[0].table!r} on arrived "
            f"where the source counted {counted}"
        )
    parts = (
        part for name, its in texts.items() for part in insert_rows(f"{target.table(target_name(name))} {head}", its)
    )
    for statement, _ in cut("INSERT INTO", parts):
        sessions.target.query(statement)
        size += len(statement)
    return Step(group[-1].table, group[-1].end, rows, size)


def _write_raw(
    sessions: Sessions, block: Block, owners: npt.NDArray[np.object_], target_name: Callable[[str], str]
) -> int:
    """Rows that no text carries, as blocks, a table at a time.

    Returns:
        Bytes written.
    """
    if not block.rows:
        return 0
    if not isinstance(sessions.target, WebSocketSession):
        raise ValueError("a value that SQL text cannot carry needs a target with WebSocket")
    before = sessions.target.bytes_sent
    for name in sorted(set(owners.tolist())):
        table = target_name(name)
        for request in sessions.target.write_block(table, block.take(owners == name)):
            sessions.target.confirm(request, table)
    return sessions.target.bytes_sent - before
