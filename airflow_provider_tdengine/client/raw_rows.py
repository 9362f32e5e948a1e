"""Rows of many tables in one piece, as `fetch_raw` of a subscription gives them.

What TDengine's `tEncodeMqDataRsp` and `tEncodeSTaosxRsp` write, little-endian, measured on 3.0.5.2, 3.3.3.0 and
3.3.5.2: two positions (`i8 type, i64 version`), `i32 blocks, i8 with names, i8 with columns`, then, a block: its
length, a head, the raw block, its columns, and its table's name. 3.3 puts `u8 100, i32 length` before the positions.
Lengths are of seven bits a byte, the lowest first; numbers of columns, too, in zigzag.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from airflow_provider_tdengine.client.block import (
    Block,
    as_fetched,
    decode_block,
    raw_fields,
    raw_heads,
    raw_length,
    raw_rows,
)
from airflow_provider_tdengine.client.errors import BlockError
from airflow_provider_tdengine.client.types import Field, Precision

_NEW_STYLE = 100
_NEW_HEAD, _OLD_HEAD = struct.Struct("<QQ?B"), struct.Struct("<Q?B251x")
_POSITION = struct.Struct("<Bq")
_COUNTS = struct.Struct("<i??")
_OF_A_LOG = 1


class TableRows(NamedTuple):
    """Rows that were written to a table, in the order in which they were.

    Parameters:
        table: bare name of a subtable or normal table.
        fields: the columns that the writer named, the timestamp first; the table can have others.
        precision: what timestamps count.
        raw: the rows as a raw block, as `WebSocketSession.write_raw_block` takes it.
    """

    table: str
    fields: tuple[Field, ...]
    precision: Precision
    raw: bytes | memoryview

    @property
    def rows(self) -> int:
        """How many."""
        return raw_rows(self.raw)

    def block(self) -> Block:
        """The rows, decoded.

        Raises:
            BlockError: the block is damaged.
        """
        return decode_block(self.raw, [field.name for field in self.fields])


def rows_in(raw: memoryview) -> tuple[int, list[TableRows]]:
    """What a raw message holds.

    Parameters:
        raw: the message, without what the adapter puts before it.

    Returns:
        The position behind it, and the rows.

    Raises:
        BlockError: the bytes are no such message, or one of a format that is not known.
    """
    try:
        return _Message(raw).read()
    except (struct.error, IndexError, ValueError) as error:
        raise BlockError(f"a message of {len(raw)} bytes cannot be read: {error}") from error


class _Message:
    """A message, read from its beginning."""

    def __init__(self, raw: memoryview) -> None:
        # No views: Python's garbage collector follows each of them, which takes a third of the time.
        self.raw = bytes(raw)
        self.place = 0
        self.head = _OLD_HEAD
        if raw[0] == _NEW_STYLE:
            self.place = 5
            self.head = _NEW_HEAD
        # Most blocks have the columns of the one before.
        self.columns: bytes = b""
        self.names: list[str] = []
        self.heads = b""
        self.fields: tuple[Field, ...] = ()

    def read(self) -> tuple[int, list[TableRows]]:
        positions = [self.unpack(_POSITION) for _ in range(2)]
        if any(kind & 0xF != _OF_A_LOG for kind, _ in positions):
            raise ValueError("it is none of a log")
        blocks, has_names, has_columns = self.unpack(_COUNTS)
        if blocks and not (has_names and has_columns):
            raise ValueError("it does not name tables and columns")
        return positions[1][1], [self.block() for _ in range(blocks)]

    def block(self) -> TableRows:
        raw = self.taken(self.number())
        precision = Precision.of_number(self.head.unpack_from(raw)[-1])
        raw = raw[self.head.size :]
        if raw_length(raw) != len(raw):
            raise ValueError(f"a block of {raw_length(raw)} bytes stands in {len(raw)}")
        fields = self.fields_of(raw)
        return TableRows(self.text(), fields, precision, as_fetched(raw))

    def fields_of(self, block: bytes) -> tuple[Field, ...]:
        """The columns of a block: their names from behind it, types and sizes from the block itself."""
        names = self.column_names()
        heads = raw_heads(block, len(names))
        if names is not self.names or heads != self.heads:
            self.names, self.heads, self.fields = names, heads, raw_fields(block, names)
        return self.fields

    def column_names(self) -> list[str]:
        if self.columns and self.raw.startswith(self.columns, self.place):
            self.place += len(self.columns)
            return self.names
        start = self.place
        count = self.number() >> 1
        self.number()
        names = []
        for _ in range(count):
            self.place += 2
            self.number()
            self.number()
            names.append(self.text())
        self.columns = self.raw[start : self.place]
        return names

    def unpack(self, kind: struct.Struct) -> tuple[int, ...]:
        values: tuple[int, ...] = kind.unpack_from(self.raw, self.place)
        self.place += kind.size
        return values

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.raw[self.place]
            self.place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def taken(self, length: int) -> bytes:
        part = self.raw[self.place : self.place + length]
        if len(part) != length:
            raise ValueError(f"it ends {length - len(part)} bytes too early")
        self.place += length
        return part

    def text(self) -> str:
        """A text, which a zero byte ends."""
        return self.taken(self.number())[:-1].decode()
