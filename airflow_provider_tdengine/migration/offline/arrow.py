"""Blocks as Parquet has them, and back; the one module that knows pyarrow, which is an extra.

Buffers go over as they are, or as numpy makes them: no row is looked at alone. What a value becomes is in `_ARROW`:

- Timestamps are UTC, in the database's precision.
- DECIMAL is decimal128 of as many digits as its width has, 18 or 38: fewer would cut what a server should not have.
- Text is text if it is UTF-8. Where a column of a file holds other bytes, it is binary in that file, and all arrive.
- Infinity, NaN and -0.0 keep their bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.block import Block, Bytes, Column, FixedColumn, Flags, Ints, VariableColumn
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.types import DECIMALS, MOST_DIGITS, TEXT, Field, Precision, Type
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.storage import storage

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise MigrationStopped(
        [
            Finding(
                "Python package 'pyarrow'",
                "it is not installed, and the files of an export are written and read with it",
                "Run pip install 'airflow-provider-tdengine[parquet]'",
            )
        ]
    ) from error

_ARROW: dict[Type, Any] = {
    Type.BOOL: pa.bool_(),
    Type.TINYINT: pa.int8(),
    Type.SMALLINT: pa.int16(),
    Type.INT: pa.int32(),
    Type.BIGINT: pa.int64(),
    Type.FLOAT: pa.float32(),
    Type.DOUBLE: pa.float64(),
    Type.VARCHAR: pa.string(),
    Type.NCHAR: pa.string(),
    Type.UTINYINT: pa.uint8(),
    Type.USMALLINT: pa.uint16(),
    Type.UINT: pa.uint32(),
    Type.UBIGINT: pa.uint64(),
    Type.JSON: pa.string(),
    Type.VARBINARY: pa.binary(),
    Type.BLOB: pa.binary(),
    Type.GEOMETRY: pa.binary(),
}

# Measured with the dense shape of the benchmarks: half of the bytes of the values, at next to no costs.
_COMPRESSION, _LEVEL = "zstd", 1
_ENCODINGS = {
    Type.TIMESTAMP: "DELTA_BINARY_PACKED",
    Type.FLOAT: "BYTE_STREAM_SPLIT",
    Type.DOUBLE: "BYTE_STREAM_SPLIT",
}


class NotText(Exception):
    """Text columns hold bytes that are not UTF-8.

    Parameters:
        columns: their numbers.
    """

    def __init__(self, columns: frozenset[int]) -> None:
        self.columns = columns


class NotParquet(TDengineError):
    """A file is not what was written."""


class Writer:
    """Writes blocks of the same columns into a Parquet file, each as a row group.

    Parameters:
        file: where to; it stays open.
        fields: the columns.
        precision: of timestamps.
        binary: numbers of text columns that are binary, since they hold other bytes than UTF-8.
        names: the column of table names that stands before all others, None for no such column.
        about: what the file says of itself, for people.
    """

    def __init__(
        self,
        file: IO[bytes],
        fields: Sequence[Field],
        precision: Precision,
        *,
        binary: frozenset[int] = frozenset(),
        names: str | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self._binary = binary
        self._text = [place for place, field in enumerate(fields) if field.type in TEXT and place not in binary]
        kinds = [
            (field.name, pa.binary() if place in binary else _kind(field, precision))
            for place, field in enumerate(fields)
        ]
        self._kinds = [kind for _, kind in kinds]
        texts = [field.name for field in fields if not field.info.width]
        if names is not None:
            kinds.insert(0, (names, pa.dictionary(pa.int32(), pa.string())))
            texts.append(names)
        self._schema = pa.schema(kinds, metadata=dict(about or {}))
        ordered = [name for name, _ in kinds[:2]]
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression=_COMPRESSION,
            compression_level=_LEVEL,
            use_dictionary=texts,
            column_encoding={field.name: _ENCODINGS[field.type] for field in fields if field.type in _ENCODINGS},
            write_statistics=ordered,
        )

    def write(self, block: Block, tables: Sequence[str] = (), counts: Ints | None = None) -> None:
        """Write a row group.

        Parameters:
            block: at least one row.
            tables: whose rows they are, one table after the other, where there is a column for that.
            counts: (tables,) how many of the rows each has.

        Raises:
            NotText: a text column is not.
        """
        others = {place for place in self._text if not _is_text(block.columns[place])}
        if others:
            raise NotText(frozenset(others))
        arrays = [_array(kind, column) for kind, column in zip(self._kinds, block.columns, strict=True)]
        if counts is not None:
            numbers = pa.array(np.repeat(np.arange(len(tables), dtype=np.int32), counts))
            arrays.insert(0, pa.DictionaryArray.from_arrays(numbers, pa.array(tables, pa.string())))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=block.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the end of the file."""
        self._writer.close()


class Reader:
    """Reads a Parquet file that `Writer` has written.

    Parameters:
        file: its path, or what can be read of it.
        fields: the columns, without that of table names.
        has_names: whether that stands before them.

    Raises:
        NotParquet: it is something else.
        StorageFailed: an object storage fails.
    """

    def __init__(self, file: str | IO[bytes], fields: Sequence[Field], *, has_names: bool = False) -> None:
        self._fields = tuple(fields)
        self._skip = int(has_names)
        self._what = file if isinstance(file, str) else getattr(file, "name", "a file")
        with storage("The file", self._what):
            try:
                self._file = pq.ParquetFile(file, memory_map=isinstance(file, str))
            except (pa.ArrowException, OSError) as error:
                raise NotParquet(f"{self._what} cannot be read as Parquet ({error})") from error

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return int(self._file.num_row_groups)

    def read(self, group: int) -> Block:
        """The rows of a row group, without the names of their tables.

        Raises:
            NotParquet: it cannot be read, or has other columns.
            StorageFailed: an object storage fails.
        """
        with storage("The file", self._what):
            try:
                table = self._file.read_row_group(group, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise NotParquet(f"{self._what} cannot be read as Parquet ({error})") from error
        arrays = table.columns[self._skip :]
        if len(arrays) != len(self._fields):
            raise NotParquet(f"{self._what} has {len(arrays)} columns where {len(self._fields)} were written")
        columns = tuple(
            _column(field, array.combine_chunks()) for field, array in zip(self._fields, arrays, strict=True)
        )
        return Block(self._fields, columns, table.num_rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the file."""
        self._file.close(force=True)


def _kind(field: Field, precision: Precision) -> Any:
    """The Arrow type of a column."""
    if field.type is Type.TIMESTAMP:
        return pa.timestamp(precision.value, "UTC")
    if field.type in DECIMALS:
        return pa.decimal128(MOST_DIGITS[field.type], field.scale)
    return _ARROW[field.type]


def _is_text(column: Column) -> bool:
    assert isinstance(column, VariableColumn)
    return column.is_utf8()


# --- To Arrow


def _array(kind: Any, column: Column) -> Any:
    """A column as an Arrow array, without its NULLs' values."""
    rows = len(column)
    validity = None
    if np.count_nonzero(column.nulls):
        validity = pa.py_buffer(np.packbits(~column.nulls, bitorder="little"))
    if isinstance(column, VariableColumn):
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(column.lengths, out=offsets[1:])
        data = np.ascontiguousarray(column.joined())
        return pa.Array.from_buffers(kind, rows, [validity, pa.py_buffer(offsets), pa.py_buffer(data)])
    return pa.Array.from_buffers(kind, rows, [validity, pa.py_buffer(_fixed(kind, column))])


def _fixed(kind: Any, column: FixedColumn) -> Bytes:
    """The values as Arrow lays them out."""
    values = np.ascontiguousarray(column.values)
    if pa.types.is_boolean(kind):
        return np.packbits(values != 0, bitorder="little")
    if pa.types.is_decimal(kind) and values.dtype.itemsize == np.dtype(np.int64).itemsize:
        wide = np.empty((len(values), 2), np.int64)
        wide[:, 0] = values
        wide[:, 1] = values.astype(np.int64) >> 63
        values = wide.reshape(-1)
    return values.view(np.uint8)


# --- From Arrow


def _column(field: Field, array: Any) -> Column:
    """An Arrow array as a column."""
    rows, offset, buffers = len(array), array.offset, array.buffers()
    nulls: Flags = np.zeros(rows, np.bool_)
    if array.null_count:
        nulls = ~_bits(buffers[0], offset, rows)
    if field.info.dtype is None:
        offsets = np.frombuffer(buffers[1], "<i4", rows + 1, 4 * offset).astype(np.int64)
        data = np.frombuffer(buffers[2], np.uint8) if buffers[2] is not None else np.zeros(0, np.uint8)
        return VariableColumn(data, offsets[:-1], np.where(nulls, 0, np.diff(offsets)), nulls)
    if field.type is Type.BOOL:
        return FixedColumn(_bits(buffers[1], offset, rows).view(np.uint8), nulls)
    if field.type is Type.DECIMAL64:
        return FixedColumn(np.frombuffer(buffers[1], np.int64, 2 * rows, 16 * offset)[::2].copy(), nulls)
    return FixedColumn(np.frombuffer(buffers[1], field.info.dtype, rows, field.info.width * offset), nulls)


def _bits(buffer: Any, offset: int, rows: int) -> Flags:
    bits = np.unpackbits(np.frombuffer(buffer, np.uint8), count=offset + rows, bitorder="little")
    return bits[offset:].view(np.bool_)
