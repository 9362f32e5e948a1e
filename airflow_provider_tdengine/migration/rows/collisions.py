"""Rows that have one primary key in the target because it counts coarser steps: the last of them is the one it gets.

The others are left out before they are written: of rows with one timestamp in one INSERT, 3.3.3.0 keeps the last value
of each column that is not NULL, a mixture of these rows; of several INSERTs it keeps the last row (measured).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Flags, Ints, concatenate, times_of
from airflow_provider_tdengine.migration.catalog import TimeScale


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


def without_collisions(blocks: Iterable[Block], time: TimeScale, second_key: int | None) -> Iterator[tuple[Block, int]]:
    """The rows of one table that the target has, block by block, each with the number of rows that it stands for, too.

    The rows of the last step so far wait for the next block, which may begin with the same step.

    Parameters:
        blocks: rows of the source in order of time.
        time: see `last_ones`.
        second_key: see `last_ones`.
    """
    waiting: Block | None = None
    stood_for = 0
    for block in (block for block in blocks if block.rows):
        rows = concatenate([waiting, block]) if waiting else block
        staying = last_ones(rows, time, second_key)
        steps = time.apply_array(times_of(rows))
        is_last = steps == steps[-1]
        done, waiting = rows.take(staying & ~is_last), rows.take(staying & is_last)
        left_out = int(np.count_nonzero(~staying & is_last))
        if not done.rows:
            stood_for += left_out
            continue
        yield done, stood_for + int(np.count_nonzero(~staying & ~is_last))
        stood_for = left_out
    if waiting:
        yield waiting, stood_for
