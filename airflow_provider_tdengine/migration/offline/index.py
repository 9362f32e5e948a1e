"""Which table's rows lie where in the files of an export: how many, from when to when, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from airflow_provider_tdengine.client.block import Block, FixedColumn, Ints, column_from_list
from airflow_provider_tdengine.client.types import TYPES, Field, Precision, Type
from airflow_provider_tdengine.migration.catalog import Table
from airflow_provider_tdengine.migration.offline.arrow import Reader, Writer
from airflow_provider_tdengine.migration.offline.folder import File, Folder, Part, free_name
from airflow_provider_tdengine.migration.rows import Hashes

NAME = Field("tbname", Type.VARCHAR)
_NUMBERS = tuple(
    Field(name, kind, TYPES[kind].width)
    for name, kind in (
        ("file", Type.BIGINT),
        ("row_group", Type.BIGINT),
        ("rows", Type.BIGINT),
        ("first", Type.BIGINT),
        ("last", Type.BIGINT),
        ("digest", Type.UBIGINT),
    )
)
FIELDS = (NAME, *_NUMBERS)


@dataclass(frozen=True, slots=True)
class Entries:
    """Rows of one table in one row group each, in the order in which they lie in the files.

    Parameters:
        names: (entries,) the table.
        files: (entries,) the number of the file.
        groups: (entries,) the number of the row group in it.
        rows: (entries,) how many rows; one entry's lie directly behind those of the one before it.
        first: (entries,) the first timestamp, in steps of the source.
        last: (entries,) the last one.
        digests: (entries,) the sum of the hashes of the rows, see `rows.row_hashes`, as the source gave them.
    """

    names: list[str]
    files: Ints
    groups: Ints
    rows: Ints
    first: Ints
    last: Ints
    digests: Hashes

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def together(cls, parts: Iterable[Entries]) -> Entries:
        """Several, one after the other."""
        parts = [*parts, NO_ENTRIES]
        names = [name for part in parts for name in part.names]
        return cls(names, *(np.concatenate(columns) for columns in zip(*(part.numbers for part in parts), strict=True)))

    @property
    def numbers(self) -> tuple[Ints, Ints, Ints, Ints, Ints, Hashes]:
        """All but the names."""
        return self.files, self.groups, self.rows, self.first, self.last, self.digests

    def write(self, writer: Writer) -> None:
        """Write them as one row group; none as none."""
        if self.names:
            nulls = np.zeros(len(self), np.bool_)
            numbers = (FixedColumn(values, nulls) for values in self.numbers)
            writer.write(Block(FIELDS, (column_from_list(NAME, self.names), *numbers), len(self)))

    @classmethod
    def of(cls, block: Block) -> Entries:
        """The inverse of `write`."""
        columns = [column.values for column in block.columns if isinstance(column, FixedColumn)]
        return cls(list(map(str, block.column_values(0))), *columns)  # type: ignore[arg-type]


_NONE = np.zeros(0, np.int64)
NO_ENTRIES = Entries([], _NONE, _NONE, _NONE, _NONE, _NONE, np.zeros(0, np.uint64))

PRECISION = Precision.MS
"""Of timestamps in an index, which has none: numbers count the steps of the source."""


def begins(values: Sequence[object]) -> list[int]:
    """Where in a sequence a value stands that is not the one before it."""
    return [place for place, value in enumerate(values) if not place or value != values[place - 1]]


def read_blocks(folder: Folder, file: File, fields: Sequence[Field]) -> Iterator[Block]:
    """The rows of a file without a column of table names before its fields.

    Raises:
        StorageFailed, NotParquet: it cannot be read.
    """
    with Reader(folder.readable(file.name), fields) as reader:
        for group in range(reader.groups):
            yield reader.read(group)


def read_entries(folder: Folder, part: Part) -> Entries:
    """Which rows of a batch lie where.

    Raises:
        StorageFailed, NotParquet: its index cannot be read.
    """
    return Entries.together(map(Entries.of, read_blocks(folder, part.index, FIELDS)))


def subtable_fields(stable: Table) -> tuple[Field, ...]:
    """The columns of a file of subtables: the name, and the tags."""
    return (replace(NAME, name=free_name(NAME.name, stable.tags)), *stable.tags)
