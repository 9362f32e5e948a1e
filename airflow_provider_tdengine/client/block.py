"""Blocks of rows: TDengine's raw blocks of 2.x and 3.x to numpy columns, and back for 3.x.

A column knows which rows are NULL apart from its values. Values of variable length stay where they
arrived: a column holds the bytes of the block and, a row, where its value starts and how long it is.
Text is UTF-8 in both generations here; NCHAR travels as UCS-4 in 3.x and is converted a column at a time.

Formats: DESIGN of the wire, measured on TDengine 2.4.0.18, 2.6.0.66, 3.0.5.2 and 3.3.3.0
(`tests/contract/`); DECIMAL and BLOB after TDengine 3.3.6's `tdatablock.c` and `types.h`.
"""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.errors import BlockError
from airflow_provider_tdengine.client.types import DECIMALS, TEXT, Field, Type, field_from_wire

Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Value: TypeAlias = bool | int | float | str | bytes | Decimal | None
"""A value as Python sees it; a timestamp is an integer in steps of its precision."""

_HEAD = struct.Struct("<iiiiiQ")
_COLUMN_HEAD = struct.Struct("<bi")
_VERSIONS = (1, 2)
_COLUMN_SEGMENT = -(1 << 31)
_FIELD = struct.Struct("<65sb2xi")

_MAX_BLOCK = (1 << 31) - 1

_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], "<u8")

# DECIMAL(38) needs 38 digits; the default context of 28 would round.
_EXACT = Context(prec=80)


@dataclass(slots=True)
class FixedColumn:
    """Values of one width.

    Parameters:
        values: (rows,) of the type's numpy type; what stands at a NULL row means nothing.
        nulls: (rows,) true where the row is NULL.
    """

    values: npt.NDArray[np.generic]
    nulls: Flags

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return self.values.nbytes

    def take(self, rows: slice | Ints | Flags) -> FixedColumn:
        return FixedColumn(self.values[rows], self.nulls[rows])


@dataclass(slots=True)
class VariableColumn:
    """Values of varying length, as ranges of a buffer.

    Parameters:
        data: (bytes,) the buffer.
        starts: (rows,) where each row's value starts in it.
        lengths: (rows,) how many bytes it has; 0 at a NULL row.
        nulls: (rows,) true where the row is NULL.
    """

    data: Bytes
    starts: Ints
    lengths: Ints
    nulls: Flags

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return int(self.lengths.sum())

    def take(self, rows: slice | Ints | Flags) -> VariableColumn:
        return VariableColumn(self.data, self.starts[rows], self.lengths[rows], self.nulls[rows])

    def joined(self) -> Bytes:
        """The values of all rows, one directly after the other."""
        if not len(self.starts):
            return self.data[:0]
        first = int(self.starts[0])
        if np.array_equal(self.starts - first, _offsets(self.lengths)):
            return self.data[first : first + int(self.lengths.sum())]
        joined: Bytes = self.data[_ranges(self.starts, self.lengths)]
        return joined

    def ended_by_nul(self) -> bytes:
        """The values of all rows, one directly after the other, with a zero byte behind each."""
        ended = np.zeros(int(self.lengths.sum()) + len(self), np.uint8)
        ended[_ranges(_offsets(self.lengths + 1), self.lengths)] = self.joined()
        return ended.tobytes()

    def is_utf8(self) -> bool:
        """Whether each of the values is UTF-8."""
        text = self.joined()
        begins = text[_offsets(self.lengths)[self.lengths > 0]]
        try:
            text.tobytes().decode()
        except UnicodeDecodeError:
            return False
        # Two values might be text together, and have a character's halves each.
        return bool(((begins & 0xC0) != 0x80).all())

    def run_starts(self) -> Ints:
        """The rows whose value is not that of the row before; the first row is one."""
        differs = np.ones(len(self), np.bool_)
        differs[1:] = (self.lengths[1:] != self.lengths[:-1]) | (self.nulls[1:] != self.nulls[:-1])
        longest = int(self.lengths.max(initial=0))
        words = _at_any_byte(np.append(self.data, np.zeros(longest + 8, np.uint8)), "<u8")
        for start in range(0, longest, 8):
            # Eight bytes of each value at once, without those behind its end.
            word = words[self.starts + start] & _LOW_BYTES[np.clip(self.lengths - start, 0, 8)]
            differs[1:] |= word[1:] != word[:-1]
        return np.flatnonzero(differs)

    def words(self) -> tuple[npt.NDArray[np.uint64], Ints]:
        """The values as numbers of eight bytes, the last of each filled up with zeros, and how many each value has."""
        counts = (self.lengths + 7) >> 3
        there = counts > 0
        words = _at_any_byte(np.append(self.data, np.zeros(8, np.uint8)), "<u8")[_ranges(self.starts, counts, 8)]
        words[np.cumsum(counts)[there] - 1] &= _LOW_BYTES[((self.lengths[there] - 1) & 7) + 1]
        return words.view(np.uint64), counts

    def to_bytes_list(self) -> list[bytes | None]:
        raw = self.data.tobytes()
        ranges = zip(self.starts.tolist(), self.lengths.tolist(), self.nulls.tolist(), strict=True)
        return [None if null else raw[start : start + length] for start, length, null in ranges]


Column: TypeAlias = FixedColumn | VariableColumn


@dataclass(slots=True)
class Block:
    """Rows as columns.

    Parameters:
        fields: what the columns are, in their order.
        columns: as many columns as fields, each of `rows` rows.
        rows: number of rows.
    """

    fields: tuple[Field, ...]
    columns: tuple[Column, ...]
    rows: int

    @property
    def size(self) -> int:
        """Bytes of the values in all columns."""
        return sum(column.size for column in self.columns)

    def take(self, rows: slice | Ints | Flags) -> Block:
        """Some of the rows: a slice, a boolean mask or row numbers."""
        columns = tuple(column.take(rows) for column in self.columns)
        if isinstance(rows, slice):
            count = len(range(*rows.indices(self.rows)))
        else:
            count = int(np.count_nonzero(rows)) if rows.dtype == np.bool_ else len(rows)
        return Block(self.fields, columns, count)

    def select(self, indexes: Sequence[int]) -> Block:
        """Some of the columns, by their numbers."""
        return Block(tuple(self.fields[i] for i in indexes), tuple(self.columns[i] for i in indexes), self.rows)

    def column_values(self, index: int) -> list[Value]:
        """The values of one column as Python objects."""
        return column_to_list(self.fields[index], self.columns[index])

    def to_rows(self) -> Iterator[tuple[Value, ...]]:
        """The rows as tuples of Python objects; for small results, copying never needs it."""
        return zip(*(self.column_values(i) for i in range(len(self.fields))), strict=True)


def concatenate(blocks: Sequence[Block]) -> Block:
    """The rows of blocks of the same columns, in their order, as one block.

    Parameters:
        blocks: at least one.
    """
    if len(blocks) == 1:
        return blocks[0]
    columns = tuple(_concatenate(parts) for parts in zip(*(block.columns for block in blocks), strict=True))
    return Block(blocks[0].fields, columns, sum(block.rows for block in blocks))


def _concatenate(parts: Sequence[Column]) -> Column:
    nulls = np.concatenate([part.nulls for part in parts])
    fixed = [part for part in parts if isinstance(part, FixedColumn)]
    if fixed:
        return FixedColumn(np.concatenate([part.values for part in fixed]), nulls)
    variable = [part for part in parts if isinstance(part, VariableColumn)]
    sizes = np.array([len(part.data) for part in variable])
    starts = [part.starts + before for part, before in zip(variable, _offsets(sizes), strict=True)]
    lengths = np.concatenate([part.lengths for part in variable])
    return VariableColumn(np.concatenate([part.data for part in variable]), np.concatenate(starts), lengths, nulls)


# --- Python values


def column_to_list(field: Field, column: Column) -> list[Value]:
    """A column's values as Python objects, None for NULL.

    Text that is not UTF-8 keeps its bytes as surrogate escapes.
    """
    if isinstance(column, VariableColumn):
        raw = column.to_bytes_list()
        if field.type in TEXT:
            return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
        return list(raw)
    if field.type in DECIMALS:
        width = field.info.width
        raw_values = column.values.tobytes()
        values: list[Value] = [
            Decimal(int.from_bytes(raw_values[i : i + width], "little", signed=True)).scaleb(-field.scale, _EXACT)
            for i in range(0, len(raw_values), width)
        ]
    elif field.type is Type.BOOL:
        values = [bool(value) for value in column.values.tolist()]
    elif field.type is Type.FLOAT:
        # The shortest text that reads back to the same 32 bits: 0.1, not 0.10000000149011612.
        values = [float(value) for value in column.values.astype("U32")]
    else:
        values = column.values.tolist()
    if column.nulls.any():
        return [None if null else value for value, null in zip(values, column.nulls.tolist(), strict=True)]
    return values


def column_from_list(field: Field, values: Sequence[Value]) -> Column:
    """The inverse of `column_to_list`.

    Raises:
        BlockError: a value is not of the field's type, or outside its range.
    """
    nulls = np.fromiter((value is None for value in values), np.bool_, len(values))
    try:
        if field.info.dtype is None:
            return _variable_from_list(values, nulls)
        if field.type in DECIMALS:
            raw = b"".join(_decimal_bytes(field, 0 if value is None else value) for value in values)
            return FixedColumn(np.frombuffer(raw, field.info.dtype), nulls)
        if field.info.dtype.kind == "f":
            return FixedColumn(_floats_from_list(values, field.info.dtype), nulls)
        return FixedColumn(_integers_from_list(field, values, field.info.dtype), nulls)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BlockError(f"a value of column {field.name!r} is no {field.sql_type}: {error}") from error


def _decimal_bytes(field: Field, value: Value) -> bytes:
    if not isinstance(value, (int, float, str, Decimal)):
        raise TypeError(f"it is a {type(value).__name__}, not a number")
    exact = Decimal(str(value)).scaleb(field.scale, _EXACT)
    if exact.adjusted() > _EXACT.prec:
        # 1E+999999 would become a number of a million digits.
        raise ValueError("it has more digits")
    whole = int(exact)
    if whole != exact or (field.digits and abs(whole) >= 10**field.digits):
        raise ValueError(f"{value} has more digits")
    return whole.to_bytes(field.info.width, "little", signed=True)


def _floats_from_list(values: Sequence[Value], dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    if any(isinstance(value, (str, bytes)) for value in values):
        raise TypeError("it is text, not a number")
    doubles = np.array([0.0 if value is None else float(value) for value in values], "<f8")
    with np.errstate(over="ignore"):
        floats = doubles.astype(dtype)
    if (np.isinf(floats) & ~np.isinf(doubles)).any():
        raise OverflowError(f"it is outside of the type's range, {np.abs(doubles).max()}")
    return floats


def _integers_from_list(field: Field, values: Sequence[Value], dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    integers = [0 if value is None else operator.index(value) for value in values]  # type: ignore[arg-type]
    # Checked here: numpy before 2 wraps what is out of range.
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    low, high = (0, 1) if field.type is Type.BOOL else (int(limits.min), int(limits.max))
    if integers and not low <= min(integers) <= max(integers) <= high:
        raise OverflowError(f"expected {low} to {high}, got {min(integers)} to {max(integers)}")
    return np.array(integers, dtype)


def _variable_from_list(values: Sequence[Value], nulls: Flags) -> VariableColumn:
    raw = [b"" if value is None else _as_bytes(value) for value in values]
    lengths = np.fromiter((len(value) for value in raw), np.int64, len(raw))
    return VariableColumn(np.frombuffer(b"".join(raw), np.uint8), _offsets(lengths), lengths, nulls)


def _as_bytes(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value
    raise TypeError(f"it is a {type(value).__name__}")


# --- Ranges of a buffer


def _offsets(lengths: Ints) -> Ints:
    """Where each value starts when they stand one directly after the other."""
    return np.cumsum(lengths) - lengths


def _ranges(starts: Ints, counts: Ints, step: int = 1) -> Ints:
    """The numbers `start, start + step, …` of each row, `count` of them, one row directly after the other."""
    index = np.repeat(starts - _offsets(counts) * step, counts)
    index += np.arange(0, len(index) * step, step)
    return index


def _at_any_byte(data: Bytes, code: str) -> Ints:
    """A view of a buffer as numbers that begin at each of its bytes, to read and write them at odd places."""
    dtype = np.dtype(code)
    count = max(len(data) - dtype.itemsize + 1, 0)
    view: Ints = np.ndarray((count,), dtype, np.ascontiguousarray(data), strides=(1,))
    return view


# --- UTF-8 and UCS-4

# Raw blocks can hold numbers that are no characters, and 3.3 takes and gives them as they are (measured 3.3.3.0,
# 3.3.5.2). In UTF-8 they are a first byte that is none of UTF-8's, and six bytes of six bits each.
_LAST_CHARACTER = 0x10FFFF
_NO_CHARACTER = re.compile(rb"(\xfe[\x80-\xbf]{6})", re.DOTALL)


def _from_ucs4(points: Ints) -> bytes:
    parts, start = [], 0
    for place in [*np.flatnonzero(points > _LAST_CHARACTER).tolist(), len(points)]:
        characters = points[start:place].tobytes().decode("utf-32-le", "surrogatepass")
        parts.append(characters.encode("utf-8", "surrogatepass"))
        for point in points[place : place + 1].tolist():
            parts.append(bytes([0xFE, *(0x80 | point >> shift & 0x3F for shift in range(30, -6, -6))]))
        start = place + 1
    return b"".join(parts)


def _to_ucs4(text: bytes) -> bytes:
    parts = []
    for number, part in enumerate(_NO_CHARACTER.split(text)):
        if number % 2:
            point = sum((byte & 0x3F) << shift for byte, shift in zip(part[1:], range(30, -6, -6), strict=True))
            parts.append(point.to_bytes(4, "little"))
        else:
            parts.append(part.decode("utf-8", "surrogatepass").encode("utf-32-le", "surrogatepass"))
    return b"".join(parts)


def _utf8_to_ucs4(field: Field, column: VariableColumn) -> tuple[Bytes, Ints]:
    """All values as UCS-4LE one after the other, and how many bytes each has."""
    text = column.joined()
    try:
        ucs4 = _to_ucs4(text.tobytes())
    except (UnicodeDecodeError, OverflowError) as error:
        raise BlockError(f"column {field.name!r} of type {field.sql_type} holds bytes that are not UTF-8") from error
    if len(ucs4) == 4 * len(text):
        return np.frombuffer(ucs4, np.uint8), column.lengths * 4
    is_first = (text & 0xC0) != 0x80
    offsets = _offsets(column.lengths)
    if not is_first[offsets[column.lengths > 0]].all():
        raise BlockError(f"column {field.name!r} of type {field.sql_type} holds a character cut in two")
    characters = np.zeros(len(text) + 1, np.int64)
    np.cumsum(is_first, out=characters[1:])
    lengths = (characters[offsets + column.lengths] - characters[offsets]) * 4
    return np.frombuffer(ucs4, np.uint8), lengths


def _ucs4_to_utf8(field: Field, column: VariableColumn) -> VariableColumn:
    if (column.lengths & 3).any():
        raise BlockError(f"column {field.name!r} of type {field.sql_type} holds a cut UCS-4 character")
    counts = column.lengths >> 2
    points = _at_any_byte(column.data, "<u4")[_ranges(column.starts, counts, 4)]
    text = _from_ucs4(points)
    lengths = counts
    if len(text) != len(points):
        sizes = np.ones(len(points), np.uint8)
        for limit in (0x7F, 0x7FF, 0xFFFF):
            sizes += points > limit
        sizes += 3 * (points > _LAST_CHARACTER).astype(np.uint8)
        ends = np.zeros(len(points) + 1, np.int64)
        np.cumsum(sizes, out=ends[1:])
        last = np.cumsum(counts)
        lengths = ends[last] - ends[last - counts]
    return VariableColumn(np.frombuffer(text, np.uint8), _offsets(lengths), lengths, column.nulls)


# --- 3.x


def encode_block(block: Block) -> bytes:
    """A raw block as 3.3 sends it and as `write_raw_block_with_fields` of 3.x takes it.

    Raises:
        BlockError: a value is longer than the format can say, NCHAR text is not UTF-8, or a column's
            values are not of its field's type and the block's number of rows.
    """
    heads = bytearray()
    sizes: list[int] = []
    bodies: list[npt.NDArray[np.generic]] = []
    for field, column in zip(block.fields, block.columns, strict=True):
        if len(column) != block.rows:
            raise BlockError(f"column {field.name!r} has {len(column)} rows in a block of {block.rows}")
        heads += _COLUMN_HEAD.pack(field.type, field.wire_bytes)
        before, body = _encode_column(field, column)
        sizes.append(body.nbytes)
        bodies += (before, body)
    length = _HEAD.size + len(heads) + 4 * len(sizes) + sum(body.nbytes for body in bodies) + 1
    if length > _MAX_BLOCK:
        raise BlockError(f"{block.rows} rows have {length} bytes, more than a block can hold")
    head = _HEAD.pack(_VERSIONS[0], length, block.rows, len(block.fields), _COLUMN_SEGMENT, 0)
    return b"".join((head, heads, struct.pack(f"<{len(sizes)}i", *sizes), *(body.data for body in bodies), b"\0"))


def _encode_column(field: Field, column: Column) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    """What stands before a column (null bitmap or offsets), and the column."""
    if isinstance(column, FixedColumn):
        return np.packbits(column.nulls), _fixed_bytes(field, column)
    if field.info.dtype is not None:
        raise BlockError(f"column {field.name!r} of type {field.sql_type} holds values of varying length")
    if (column.lengths[column.nulls] != 0).any():
        column = replace(column, lengths=np.where(column.nulls, 0, column.lengths))
    if field.type is Type.NCHAR:
        raw, lengths = _utf8_to_ucs4(field, column)
    else:
        raw, lengths = column.joined(), column.lengths
    prefix = field.info.prefix
    if lengths.size and int(lengths.max()) >= 1 << 8 * prefix:
        raise BlockError(f"a value of column {field.name!r} has {int(lengths.max())} bytes, more than a block can hold")
    total = len(raw) + prefix * (len(lengths) - int(np.count_nonzero(column.nulls)))
    if total > _MAX_BLOCK:
        raise BlockError(f"column {field.name!r} has {total} bytes, more than a block can hold")
    cells = np.where(column.nulls, 0, lengths + prefix)
    starts = _offsets(cells)
    offsets = np.where(column.nulls, -1, starts).astype("<i4")
    body = np.empty(total, np.uint8)
    present = slice(None) if total == len(raw) + prefix * len(lengths) else np.flatnonzero(~column.nulls)
    starts, sizes = starts[present], lengths[present]
    _at_any_byte(body, f"<u{prefix}")[starts] = sizes
    # Two bytes at a time where values cannot be odd.
    unit, code = (2, "<u2") if field.type is Type.NCHAR else (1, "u1")
    is_value = np.ones(total // unit, np.bool_)
    for place in range(prefix // unit):
        is_value[starts // unit + place] = False
    body.view(code)[is_value] = raw.view(code)
    return offsets, body


def _fixed_bytes(field: Field, column: FixedColumn) -> npt.NDArray[np.generic]:
    values = column.values
    if values.dtype != field.info.dtype:
        if not (field.type is Type.BOOL and values.dtype == np.bool_):
            raise BlockError(f"column {field.name!r} of type {field.sql_type} holds values of {values.dtype}")
        values = values.view(np.uint8)
    if column.nulls.any():
        values = values.copy()
        values[column.nulls] = np.zeros(1, values.dtype)[0]
    return np.ascontiguousarray(values)


def decode_block(raw: bytes | memoryview, names: Sequence[str] | None = None) -> Block:
    """The rows of a raw block of 3.x.

    Parameters:
        raw: the block, without what the adapter puts before it.
        names: the columns' names, which a block does not carry.

    Raises:
        BlockError: the bytes are no block, or end before it does.
    """
    raw = memoryview(raw)
    if len(raw) < _HEAD.size:
        raise BlockError(f"a block of {len(raw)} bytes is shorter than its head")
    version, length, rows, count, _, _ = _HEAD.unpack_from(raw)
    if version not in _VERSIONS:
        raise BlockError(f"blocks of version {version} are not known")
    if length > len(raw) or rows < 0 or count < 0 or (rows and not count):
        raise BlockError(f"a block of {len(raw)} bytes claims {length} bytes, {rows} rows, {count} columns")
    fields = raw_fields(raw, names)
    sizes = struct.unpack_from(f"<{count}i", raw, _HEAD.size + count * _COLUMN_HEAD.size)
    position = _HEAD.size + count * (_COLUMN_HEAD.size + 4)
    columns = []
    for i, (field, size) in enumerate(zip(fields, sizes, strict=True)):
        before = (rows + 7) // 8 if field.info.width else rows * 4
        if size < 0 or position + before + size > len(raw):
            raise BlockError(f"a block of {len(raw)} bytes ends inside its column {i} ({field.type.name})")
        columns.append(_decode_column(field, rows, raw[position : position + before + size], before))
        position += before + size
    return Block(fields, tuple(columns), rows)


def decode_rows(raws: Sequence[bytes | memoryview], names: Sequence[str]) -> tuple[Block, Ints]:
    """The rows of many raw blocks of 3.x with the same columns; those of one row each are decoded together.

    Parameters:
        raws: the blocks, at least one.
        names: the columns' names.

    Returns:
        All rows, and (rows,) of which block each is; those of one block are together, in their order.

    Raises:
        BlockError: a block is damaged.
    """
    alike: dict[tuple[int, bytes], list[int]] = {}
    for place, raw in enumerate(raws):
        _, _, rows, count, _, _ = _HEAD.unpack_from(raw)
        heads = bytes(raw[_HEAD.size : _HEAD.size + count * (_COLUMN_HEAD.size + 4)])
        # Where one row has as long values as another one, all stand at the same places.
        alike.setdefault((len(raw), heads) if rows == 1 else (-place - 1, b""), []).append(place)
    blocks, owners = [], []
    for places in alike.values():
        block = decode_block(raws[places[0]], names)
        if len(places) > 1:
            block = _decode_alike(block.fields, [raws[place] for place in places])
        blocks.append(block)
        owners.append(np.repeat(np.array(places), block.rows // len(places)))
    return concatenate(blocks), np.concatenate(owners)


def _decode_alike(fields: tuple[Field, ...], raws: Sequence[bytes | memoryview]) -> Block:
    """Blocks of one row each whose columns are as long in all of them; the first one is known to be sound."""
    rows, count = len(raws), len(fields)
    cells = np.frombuffer(b"".join(raws), np.uint8).reshape(rows, -1)
    sizes = struct.unpack_from(f"<{count}i", raws[0], _HEAD.size + count * _COLUMN_HEAD.size)
    position = _HEAD.size + count * (_COLUMN_HEAD.size + 4)
    columns: list[Column] = []
    for field, size in zip(fields, sizes, strict=True):
        before = 1 if field.info.width else 4
        head, body = cells[:, position : position + before], cells[:, position + before : position + before + size]
        position += before + size
        if field.info.dtype is not None:
            values = np.ascontiguousarray(body).view(field.info.dtype).reshape(rows)
            columns.append(FixedColumn(values, (head[:, 0] & 0x80) != 0))
            continue
        # As one column of many rows has it: where each value begins, then values.
        offsets = np.ascontiguousarray(head).view("<i4").reshape(rows).astype(np.int64)
        offsets[offsets != -1] += np.flatnonzero(offsets != -1) * size
        raw = offsets.astype("<i4").tobytes() + body.tobytes()
        columns.append(_decode_column(field, rows, memoryview(raw), rows * 4))
    return Block(fields, tuple(columns), rows)


def raw_fields(raw: bytes | memoryview, names: Sequence[str] | None = None) -> tuple[Field, ...]:
    """The columns of an unopened block of 3.x, which has at least its head.

    Parameters:
        raw: the block.
        names: the columns' names, which a block does not carry.

    Raises:
        BlockError: the block is cut, has another number of columns than there are names, or one of an unknown type.
    """
    count = _HEAD.unpack_from(raw)[3]
    if _HEAD.size + count * (_COLUMN_HEAD.size + 4) > len(raw):
        raise BlockError(f"a block of {len(raw)} bytes has no room for the heads of {count} columns")
    if names is not None and len(names) != count:
        raise BlockError(f"a block has {count} columns where {len(names)} were expected")
    fields = []
    for i, (number, wire_bytes) in enumerate(
        _COLUMN_HEAD.iter_unpack(raw[_HEAD.size : _HEAD.size + count * _COLUMN_HEAD.size])
    ):
        try:
            fields.append(field_from_wire(names[i] if names else f"c{i}", number, wire_bytes))
        except ValueError as error:
            raise BlockError(f"a block's column {i} has the unknown type {number}") from error
    return tuple(fields)


def _decode_column(field: Field, rows: int, raw: memoryview, before: int) -> Column:
    if field.info.dtype is not None:
        if len(raw) - before != rows * field.info.width:
            raise BlockError(
                f"column {field.name!r} has {len(raw) - before} bytes for {rows} rows of {field.type.name}"
            )
        bitmap = np.frombuffer(raw, np.uint8, before)
        # Most columns have no NULL; there is nothing to unpack then.
        nulls = (
            np.unpackbits(bitmap, count=rows).view(np.bool_) if np.count_nonzero(bitmap) else np.zeros(rows, np.bool_)
        )
        values = np.frombuffer(raw, field.info.dtype, rows, before)
        # A block's columns begin at any byte, where reckoning is several times as slow.
        return FixedColumn(values if values.flags.aligned else values.copy(), nulls)
    prefix = field.info.prefix
    data = np.frombuffer(raw, np.uint8, offset=before)
    # No server lets two rows share a value (TDengine's `blockEncode` lays them out one by one); if one did, few bytes
    # of a block could become any number of bytes of values.
    offsets = np.frombuffer(raw, "<i4", rows).astype(np.int64)
    nulls = offsets == -1
    some_null = bool(nulls.any())
    first = offsets[~nulls] if some_null else offsets
    if first.size and not 0 <= int(first.min()) <= int(first.max()) <= len(data) - prefix:
        raise BlockError(f"a value of column {field.name!r} starts outside of the column")
    sizes = _at_any_byte(data, f"<u{prefix}")[first].astype(np.int64)
    if first.size and int((first + sizes).max()) > len(data) - prefix:
        raise BlockError(f"a value of column {field.name!r} ends outside of the column")
    if int(sizes.sum()) + prefix * len(sizes) > len(data):
        raise BlockError(f"values of column {field.name!r} overlap")
    starts, lengths = first + prefix, sizes
    if some_null:
        starts, lengths = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        starts[~nulls] = first + prefix
        lengths[~nulls] = sizes
    column = VariableColumn(data, starts, lengths, nulls)
    return _ucs4_to_utf8(field, column) if field.type is Type.NCHAR else column


# --- 2.x


def has_no_characters(raw: bytes | memoryview) -> bool:
    """Whether a raw block of 3.x has NCHAR values with numbers that are no characters.

    Raises:
        BlockError: see `decode_block`.
    """
    block = decode_block(raw)
    texts = (column for field, column in zip(block.fields, block.columns, strict=True) if field.type is Type.NCHAR)
    return any(isinstance(column, VariableColumn) and not column.is_utf8() for column in texts)


def decode_block2(raw: bytes | memoryview, fields: Sequence[Field], lengths: Sequence[int], rows: int) -> Block:
    """The rows of a block of 2.x, which names neither columns nor sizes itself.

    Parameters:
        raw: the block, without the result's number before it.
        fields: the columns, as the answer to the query gave them.
        lengths: bytes of a value of each column, as the answer to `fetch` gave them.
        rows: number of rows, from the same answer.

    Raises:
        BlockError: sizes do not fit together.
    """
    if rows < 0 or (rows and not fields) or len(lengths) != len(fields) or any(length < 0 for length in lengths):
        raise BlockError(f"a block of {rows} rows and {len(lengths)} widths does not fit {len(fields)} columns")
    if len(raw) != rows * sum(lengths):
        raise BlockError(f"a block has {len(raw)} bytes where {rows} rows of {sum(lengths)} bytes were announced")
    columns = []
    position = 0
    for field, width in zip(fields, lengths, strict=True):
        part = memoryview(raw)[position : position + rows * width]
        columns.append(_decode_column2(field, np.frombuffer(part, np.uint8).reshape(rows, width)))
        position += rows * width
    return Block(tuple(fields), tuple(columns), rows)


def _decode_column2(field: Field, cells: npt.NDArray[np.uint8]) -> Column:
    """A column of 2.x from its cells, (rows, width); NULL is a value there."""
    rows, width = cells.shape
    info = field.info
    if info.dtype is not None:
        if width != info.width or not info.null2:
            raise BlockError(f"column {field.name!r} of type {field.type.name} has {width} bytes a value")
        flat = cells.reshape(-1)
        return FixedColumn(flat.view(info.dtype), flat.view(f"<u{width}") == _number2(info.null2))
    if width < 2 or not info.null2:
        raise BlockError(f"column {field.name!r} of type {field.type.name} has {width} bytes a value")
    flat = cells.reshape(-1)
    lengths = _at_any_byte(flat, "<u2")[::width].astype(np.int64)
    if rows and int(lengths.max()) > width - 2:
        raise BlockError(f"a value of column {field.name!r} is longer than its cell of {width} bytes")
    size = len(info.null2)
    nulls = lengths == size
    if width >= 2 + size:
        nulls &= _at_any_byte(flat[2:], f"<u{size}")[::width] == _number2(info.null2)
    starts = np.arange(rows, dtype=np.int64) * width + 2
    return VariableColumn(flat, starts, np.where(nulls, 0, lengths), nulls)


def _number2(null: bytes) -> int:
    return int.from_bytes(null, "little")


# --- The description of columns that a written block carries


def encode_fields(fields: Sequence[Field]) -> bytes:
    """The fields of `write_raw_block_with_fields`, 72 bytes each.

    Raises:
        BlockError: a name has more than 64 bytes.
    """
    parts = []
    for field in fields:
        name = field.name.encode("utf-8", "surrogatepass")
        if len(name) > 64:
            raise BlockError(f"the column name {field.name!r} has {len(name)} bytes, more than 64")
        parts.append(_FIELD.pack(name, field.type, field.wire_bytes))
    return b"".join(parts)


def decode_fields(raw: bytes | memoryview) -> tuple[Field, ...]:
    """The inverse of `encode_fields`.

    Raises:
        BlockError: the bytes are no fields.
    """
    if len(raw) % _FIELD.size:
        raise BlockError(f"{len(raw)} bytes are not a number of fields")
    try:
        return tuple(
            field_from_wire(name.partition(b"\0")[0].decode(), number, wire_bytes)
            for name, number, wire_bytes in _FIELD.iter_unpack(raw)
        )
    except ValueError as error:
        raise BlockError(f"a written block describes a column that cannot be: {error}") from error


def name_columns(block: Block, names: Sequence[str]) -> Block:
    """The same rows under other column names."""
    fields = tuple(replace(field, name=name) for field, name in zip(block.fields, names, strict=True))
    return Block(fields, block.columns, block.rows)


def times_of(block: Block) -> Ints:
    """The first column, which is the timestamps; (rows,).

    Raises:
        BlockError: it is of another type, or a row has none.
    """
    if not block.columns:
        raise BlockError("a block arrived without columns where timestamps were expected")
    column = block.columns[0]
    if not isinstance(column, FixedColumn) or column.values.dtype.kind != "i" or column.nulls.any():
        raise BlockError(f"column {block.fields[0].name!r} holds no timestamps, or not in every row")
    return column.values.astype(np.int64, copy=False)


def raw_heads(raw: bytes, columns: int) -> bytes:
    """What an unopened block of 3.x says of a number of columns: equal bytes, equal columns."""
    return raw[_HEAD.size : _HEAD.size + columns * _COLUMN_HEAD.size]


def as_fetched(raw: bytes) -> bytes:
    """A block of 3.x as the native client hands it out, from what servers send to it.

    Blocks of version 1 (3.0) have the sizes of their columns in network order until then; those of version 2 do not
    (TDengine 3.0.5.2 and 3.3.3.0, `blockEncode`).

    Parameters:
        raw: the block, of which `raw_fields` is known.
    """
    version, _, _, count, _, _ = _HEAD.unpack_from(raw)
    if version != _VERSIONS[0]:
        return raw
    start = _HEAD.size + count * _COLUMN_HEAD.size
    turned = bytearray(raw)
    sizes = struct.unpack_from(f">{count}i", turned, start)
    struct.pack_into(f"<{count}i", turned, start, *sizes)
    return bytes(turned)


def raw_length(raw: bytes | memoryview) -> int:
    """How many bytes an unopened block of 3.x says it has.

    Raises:
        BlockError: the bytes are no block.
    """
    if len(raw) < _HEAD.size:
        raise BlockError(f"a block of {len(raw)} bytes is shorter than its head")
    return int(_HEAD.unpack_from(raw)[1])


def raw_rows(raw: bytes | memoryview) -> int:
    """How many rows an unopened block of 3.x has.

    Raises:
        BlockError: the bytes are no block.
    """
    if len(raw) < _HEAD.size:
        raise BlockError(f"a block of {len(raw)} bytes is shorter than its head")
    rows = int(_HEAD.unpack_from(raw)[2])
    if rows < 0:
        raise BlockError(f"a block of {len(raw)} bytes claims {rows} rows")
    return rows


def raw_timestamps(raw: bytes | memoryview) -> Ints:
    """The first column of an unopened block of 3.x, which is its timestamps; (rows,), not copied.

    Raises:
        BlockError: the block is cut, or its first column is no timestamp.
    """
    rows = raw_rows(raw)
    count = _HEAD.unpack_from(raw)[3]
    start = _HEAD.size + count * (_COLUMN_HEAD.size + 4) + (rows + 7) // 8
    if count < 1 or len(raw) < start + 8 * rows or raw[_HEAD.size] != Type.TIMESTAMP:
        raise BlockError(f"a block of {len(raw)} bytes does not begin with {rows} timestamps")
    return np.frombuffer(raw, "<i8", rows, start)
