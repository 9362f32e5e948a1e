"""One file of rows as it is written: blocks become row groups, and what lies where is noted."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import IO

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.block import Block, Ints, concatenate, times_of
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Table
from airflow_provider_tdengine.migration.offline.arrow import Writer
from airflow_provider_tdengine.migration.offline.folder import free_name
from airflow_provider_tdengine.migration.offline.index import NAME, Entries, begins
from airflow_provider_tdengine.migration.rows import name_hashes, row_hashes

_MOST_ROWS, _MOST_BYTES = 100_000, 32_000_000
"""Rows and bytes of values after which a row group ends: all of it is in memory, on both ways."""

_LEAST_ROWS = 20_000
"""Rows after which it ends with its table: a large table is then read without others."""


class RowFile:
    """Takes the rows of tables of the same columns.

    Parameters:
        file: where to; it stays open.
        number: of the file in its batch.
        table: with the columns.
        precision: of timestamps.
        binary: see `Writer`.
    """

    def __init__(
        self, file: IO[bytes], number: int, table: Table, precision: Precision, binary: frozenset[int]
    ) -> None:
        self._fields = table.columns
        about = {"tdengine.table": table.name, "tdengine.precision": precision.value}
        names = free_name(NAME.name, table.columns)
        self._writer = Writer(file, table.columns, precision, binary=binary, names=names, about=about)
        self._number = number
        self._tables: list[str] = []
        self._counts: list[Ints] = []
        self._blocks: list[Block] = []
        self._rows = self._size = 0
        self._entries: list[Entries] = []
        self.rows = 0
        """Rows that it has taken."""
        self.values = 0
        """Bytes of their values."""

    def add(self, tables: Sequence[str], counts: Ints, block: Block) -> None:
        """Take rows.

        Parameters:
            tables: whose they are, one table after the other.
            counts: (tables,) how many rows each has, more than none.
            block: them.

        Raises:
            NotText: see `Writer.write`.
        """
        self._tables += tables
        self._counts.append(counts)
        self._blocks.append(Block(self._fields, block.columns, block.rows))
        self._rows += block.rows
        self._size += block.size
        if self._rows >= _MOST_ROWS or self._size >= _MOST_BYTES:
            self._end_group()

    def end_table(self) -> None:
        """All rows of a table have been taken, or of as much of it as is read with one query."""
        if self._rows >= _LEAST_ROWS:
            self._end_group()

    def entries(self) -> Entries:
        """Write what is left, and say what lies where."""
        self._end_group()
        return Entries.together(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def _end_group(self) -> None:
        if not self._rows:
            return
        block, (tables, counts) = concatenate(self._blocks), _joined(self._tables, np.concatenate(self._counts))
        hashes = row_hashes(block, np.repeat(name_hashes(tables), counts))
        self._writer.write(block, tables, counts)
        starts, times = np.cumsum(counts) - counts, times_of(block)
        file, group = (np.full(len(tables), number) for number in (self._number, len(self._entries)))
        first, last = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
        self._entries.append(Entries(tables, file, group, counts, first, last, np.add.reduceat(hashes, starts)))
        self.rows += self._rows
        self.values += self._size
        self._tables, self._counts, self._blocks = [], [], []
        self._rows = self._size = 0


def _joined(tables: list[str], counts: Ints) -> tuple[list[str], Ints]:
    """The same with each run of one table as one."""
    starts = begins(tables)
    return [tables[place] for place in starts], np.add.reduceat(counts, starts)
