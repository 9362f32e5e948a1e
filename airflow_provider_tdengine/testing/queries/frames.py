"""What a query computes on: named columns of equal length, made when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, Flags, Ints, Value, column_from_list
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.stored import Database, SuperTable, Table, concatenate, null_column


@dataclass
class Vector:
    """A column and what it is.

    Parameters:
        field: name, type and length.
        column: the values.
        constant: one value that stands for every row.
    """

    field: Field
    column: Column
    constant: bool = False

    def expand(self, rows: int) -> Column:
        """The values, one a row."""
        return self.column.take(np.zeros(rows, np.int64)) if self.constant else self.column


Functions = Mapping[str, Callable[[], Vector]]
"""What functions of the session say, by their names; few statements ask, so that it is not made before."""


class Frame:
    """Columns by name.

    Parameters:
        fields: what `*` means.
        rows: how many.
        load: gives a column that is not there yet, or raises KeyError.
        precision: of the timestamps.
        generation: whose rules.
        functions: functions of the session without arguments, such as `database`.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        rows: int,
        load: Callable[[str], Vector],
        precision: Precision,
        generation: Generation,
        functions: Functions,
    ) -> None:
        self.fields = tuple(fields)
        self.rows = rows
        self._load = load
        self.precision = precision
        self.generation = generation
        self.functions = functions
        self._loaded: dict[str, Vector] = {}

    def column(self, name: str) -> Vector:
        """A column by name.

        Raises:
            BoxError: there is none.
        """
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(name)
            except KeyError as error:
                raise self.generation.errors("column_missing", name=name) from error
        return self._loaded[name]

    def take(self, chosen: slice | Ints | Flags) -> Frame:
        """Some of the rows."""
        if isinstance(chosen, slice):
            rows = len(range(*chosen.indices(self.rows)))
        else:
            rows = int(np.count_nonzero(chosen)) if chosen.dtype == np.bool_ else len(chosen)

        def load(name: str) -> Vector:
            vector = self.column(name)
            return Vector(vector.field, vector.column.take(chosen))

        return Frame(self.fields, rows, load, self.precision, self.generation, self.functions)


def block_frame(block: Block, precision: Precision, generation: Generation, functions: Functions) -> Frame:
    """The frame of rows that are there already: a view of the catalog, or an inner query."""
    vectors = {field.name: Vector(field, column) for field, column in zip(block.fields, block.columns, strict=True)}
    return Frame(block.fields, block.rows, vectors.__getitem__, precision, generation, functions)


class Scan:
    """A table or super table, and the rows of it that a query needs.

    Rows older than the database's KEEP are never read, whether or not they are there still (measured 2.4.0.18,
    2.6.0.66, 3.0.5.2, 3.3.3.0).

    Parameters:
        source: the table or super table.
        database: the one that it is in.
        functions: functions of the session.

    Attributes:
        tables: those that are read, in the order of reading.
        low: the earliest timestamp that is read.
        high: the latest one.
        is_timeless: no condition has been on time.
    """

    def __init__(self, source: Table | SuperTable, database: Database, functions: Functions) -> None:
        self.source = source
        self.database = database
        self.precision = database.precision
        self.generation = database.generation
        self.functions = functions
        self.tables = [source] if isinstance(source, Table) else source.read()
        self.low = database.time_limits()[0]
        self.high = (1 << 63) - 1
        self.is_timeless = True

    @property
    def is_super(self) -> bool:
        return isinstance(self.source, SuperTable)

    @property
    def tags(self) -> list[Field]:
        """The tags that are there to be asked for, those of a subtable's super table included."""
        return self.source.schema.tags

    def is_of_table(self, name: str) -> bool:
        """True if a column has one value a table."""
        return name == "tbname" or any(tag.name == name for tag in self.tags)

    def table_frame(self) -> Frame:
        """One row a table: tbname and tags."""
        tables = self.tables
        positions = {tag.name: i for i, tag in enumerate(self.tags)}

        def load(name: str) -> Vector:
            if name == "tbname":
                field = Field("tbname", Type.VARCHAR, self.generation.tbname_length)
                return Vector(field, column_from_list(field, [table.name for table in tables]))
            tag = self.tags[positions[name]]
            return Vector(tag, column_from_list(tag, [self._tag(table, positions[name]) for table in tables]))

        return Frame(self.tags, len(tables), load, self.precision, self.generation, self.functions)

    def row_frame(self) -> tuple[Frame, Ints]:
        """All rows between `low` and `high`, table after table, and how many rows each table has."""
        schema = self.source.schema
        slices = [table.between(self.low, self.high) for table in self.tables]
        counts = np.fromiter((part.stop - part.start for part in slices), np.int64, len(slices))
        positions = {column.name: i for i, column in enumerate(schema.columns)}
        per_table = self.table_frame()

        def load(name: str) -> Vector:
            if self.is_of_table(name):
                vector = per_table.column(name)
                return Vector(vector.field, vector.column.take(np.repeat(np.arange(len(counts)), counts)))
            field = schema.columns[positions[name]]
            parts = [
                self._column(table, positions[name]).take(part)
                for table, part in zip(self.tables, slices, strict=True)
                if part.stop > part.start
            ]
            return Vector(field, concatenate(parts) if parts else null_column(field, 0))

        visible = [*schema.columns, *(schema.tags if self.is_super else [])]
        frame = Frame(visible, int(counts.sum()), load, self.precision, self.generation, self.functions)
        return frame, counts

    def _column(self, table: Table, position: int) -> Column:
        field = self.source.schema.columns[position]
        found = _at(table.schema.columns, self.source.schema.columns, position)
        return null_column(field, len(table.timestamps())) if found is None else table.read().columns[found.name]

    def _tag(self, table: Table, position: int) -> Value:
        found = _at(table.schema.tags, self.tags, position) if table.tags else None
        return None if found is None else table.tags[position]


def _at(theirs: Sequence[Field], ours: Sequence[Field], position: int) -> Field | None:
    """What a table has in the place of one of our columns or tags.

    A table of another super table is read by position. Where its types are others, a server takes bytes for what they
    are not; the box has NULL there.
    """
    if theirs is ours:
        return ours[position]
    fits = position < len(theirs) and theirs[position].type is ours[position].type
    return theirs[position] if fits else None


def text_vector(name: str, text: str, length: int | None = None) -> Vector:
    """A constant text."""
    size = len(text.encode()) if length is None else length
    field = Field(name, Type.VARCHAR, size)
    return Vector(field, column_from_list(field, [text]), constant=True)


def number_vector(name: str, value: int, kind: Type) -> Vector:
    """A constant number."""
    field = Field(name, kind, Field(name, kind).info.width)
    return Vector(field, column_from_list(field, [value]), constant=True)
