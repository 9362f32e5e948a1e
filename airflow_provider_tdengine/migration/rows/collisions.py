"""Rows that have one primary key in the target because it counts coarser steps: the last of them is the one it gets.

The others are left out before they are written: of rows with one timestamp in one INSERT, 3.3.3.0 keeps the last value
of each column that is not NULL, a mixture of these rows; of several INSERTs it keeps the last row (measured).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Flags, Ints, VariableColumn, times_of
from airflow_provider_tdengine.client.sql import identifier, where
from airflow_provider_tdengine.migration.catalog import Catalog, Table, TimeScale


def last_ones(block: Block, time: TimeScale, second_key: int | None, tables: Ints | None = None) -> Flags:
    """Which rows of the source are the last with their primary key in the target.

    Parameters:
        block: rows in the order in which they were read, with the timestamps first.
        time: how timestamps of the source become those of the target.
        second_key: the number of the column that is the second part of the primary key, None if there is none.
        tables: (rows,) whose rows they are; None for one table's.

    Returns:
        (rows,) of booleans.
    """
    keys: list[npt.NDArray[np.generic]] = [time.apply_array(times_of(block))]
    if second_key is not None:
        keys.append(_numbers(block.columns[second_key]))
    if tables is not None:
        keys.append(tables)
    order = np.lexsort(keys)
    same = np.ones(max(block.rows - 1, 0), np.bool_)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    last = np.ones(block.rows, np.bool_)
    last[order[:-1][same]] = False
    return last


def _numbers(column: Column) -> npt.NDArray[np.generic]:
    """Numbers that are equal where the values are."""
    if isinstance(column, FixedColumn):
        return column.values
    seen: dict[bytes | None, int] = {}
    return np.array([seen.setdefault(value, len(seen)) for value in column.to_bytes_list()], np.int64)


class Collisions:
    """Leaves out, block by block, the rows of one table that a later one stands for, and counts them.

    Parameters:
        time: see `last_ones`.
        second_key: see `last_ones`.
    """

    def __init__(self, time: TimeScale, second_key: int | None) -> None:
        self._time = time
        self._second_key = second_key
        self._last: int | None = None
        self._keys: set[object] = set()
        self.count = 0
        """Rows so far that a later one stands for; of a block's last rows, this is known with the next block."""

    def without(self, block: Block) -> Block:
        """The rows of the next block that stay.

        Parameters:
            block: rows of the source in order of time.
        """
        if not block.rows:
            return block
        staying = block.take(last_ones(block, self._time, self._second_key))
        times = self._time.apply_array(times_of(staying))
        again = self._keys & self._keys_at(staying, times == self._last)
        self.count += block.rows - staying.rows + len(again)
        last = int(times[-1])
        self._keys = self._keys_at(staying, times == last) | (self._keys if last == self._last else set())
        self._last = last
        return staying

    def _keys_at(self, block: Block, rows: Flags) -> set[object]:
        """The second keys of some rows; where there is none, one that they have in common."""
        if self._second_key is None:
            return {None} if rows.any() else set()
        column = block.columns[self._second_key].take(rows)
        return set(column.to_bytes_list() if isinstance(column, VariableColumn) else column.values.tolist())


def distinct_rows(
    catalog: Catalog, table: Table, name: str, period: tuple[int | None, int | None], time: TimeScale
) -> int:
    """How many rows of a source table the target has when their timestamps are cut.

    Parameters:
        catalog: the source database.
        table: the super table's structure, or the normal table's.
        name: the subtable or normal table.
        period: from which timestamp on, and before which, in steps of the source.
        time: how timestamps of the source become those of the target.
    """
    keys = [identifier(key) for key in (table.time_column, table.second_key) if key]
    collisions = Collisions(time, 1 if table.second_key else None)
    statement = f"SELECT {', '.join(keys)} FROM {catalog.table(name)}{where(table.period(*period))}"
    rows = 0
    with catalog.session() as session:
        for block in session.query(statement).blocks():
            rows += block.rows
            collisions.without(block)
    return rows - collisions.count
