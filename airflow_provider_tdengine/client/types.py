"""TDengine's data types: numbers on the wire, names in SQL, widths, and what stands for NULL in 2.x.

The one table of types; the codec, the SQL builders and the schema comparison all read it.
Sources: TDengine `taosdef.h` (type numbers), and the recordings in `tests/contract/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, IntEnum

import numpy as np


class Type(IntEnum):
    """A type by its number on the wire, the same in 2.x and 3.x."""

    BOOL = 1
    TINYINT = 2
    SMALLINT = 3
    INT = 4
    BIGINT = 5
    FLOAT = 6
    DOUBLE = 7
    VARCHAR = 8
    TIMESTAMP = 9
    NCHAR = 10
    UTINYINT = 11
    USMALLINT = 12
    UINT = 13
    UBIGINT = 14
    JSON = 15
    VARBINARY = 16
    DECIMAL = 17
    BLOB = 18
    GEOMETRY = 20
    DECIMAL64 = 21


class Precision(Enum):
    """What one step of a database's timestamps is worth."""

    MS = "ms"
    US = "us"
    NS = "ns"

    @property
    def number(self) -> int:
        """The number of this precision on the wire."""
        return _PRECISIONS.index(self)

    @property
    def per_second(self) -> int:
        """Timestamp steps in a second."""
        return int(10 ** (3 * (self.number + 1)))

    @property
    def unit(self) -> str:
        """How SQL calls one step in a duration."""
        return "aub"[self.number]

    @classmethod
    def of_number(cls, number: int) -> Precision:
        """The inverse of `number`.

        Raises:
            ValueError: no precision has that number.
        """
        if not 0 <= number < len(_PRECISIONS):
            raise ValueError(f"{number} is no precision; 0 to {len(_PRECISIONS) - 1} are")
        return _PRECISIONS[number]


_PRECISIONS = (Precision.MS, Precision.US, Precision.NS)


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What is true of all values of a type.

    Parameters:
        sql: name in SQL of 3.x; 2.x differs only in saying BINARY for VARCHAR.
        dtype: little-endian numpy type of a value, None where values vary in length.
        width: bytes of a value, 0 where values vary in length.
        null2: the bytes that mean NULL in a block of 2.x.
        sized: the SQL name is followed by a length in brackets.
        prefix: bytes that give a value's length, before the value, where values vary in length.
    """

    sql: str
    dtype: np.dtype[np.generic] | None
    width: int
    null2: bytes = b""
    sized: bool = False
    prefix: int = 2


def _fixed(sql: str, code: str, null2: int | None = None) -> TypeInfo:
    dtype = np.dtype(code)
    raw = b"" if null2 is None else null2.to_bytes(dtype.itemsize, "little")
    return TypeInfo(sql, dtype, dtype.itemsize, raw)


def _variable(sql: str, null2: bytes = b"", sized: bool = True, prefix: int = 2) -> TypeInfo:
    return TypeInfo(sql, None, 0, null2, sized, prefix)


TYPES: dict[Type, TypeInfo] = {
    Type.BOOL: _fixed("BOOL", "u1", 2),
    Type.TINYINT: _fixed("TINYINT", "i1", 1 << 7),
    Type.SMALLINT: _fixed("SMALLINT", "<i2", 1 << 15),
    Type.INT: _fixed("INT", "<i4", 1 << 31),
    Type.BIGINT: _fixed("BIGINT", "<i8", 1 << 63),
    Type.FLOAT: _fixed("FLOAT", "<f4", 0x7FF00000),
    Type.DOUBLE: _fixed("DOUBLE", "<f8", 0x7FFFFF0000000000),
    Type.VARCHAR: _variable("VARCHAR", b"\xff"),
    Type.TIMESTAMP: _fixed("TIMESTAMP", "<i8", 1 << 63),
    Type.NCHAR: _variable("NCHAR", b"\xff" * 4),
    Type.UTINYINT: _fixed("TINYINT UNSIGNED", "u1", (1 << 8) - 1),
    Type.USMALLINT: _fixed("SMALLINT UNSIGNED", "<u2", (1 << 16) - 1),
    Type.UINT: _fixed("INT UNSIGNED", "<u4", (1 << 32) - 1),
    Type.UBIGINT: _fixed("BIGINT UNSIGNED", "<u8", (1 << 64) - 1),
    Type.JSON: _variable("JSON", b"\xff" * 4, sized=False),
    Type.VARBINARY: _variable("VARBINARY"),
    Type.DECIMAL: _fixed("DECIMAL", "V16"),
    Type.BLOB: _variable("BLOB", sized=False, prefix=4),
    Type.GEOMETRY: _variable("GEOMETRY"),
    Type.DECIMAL64: _fixed("DECIMAL", "<i8"),
}

_BY_NAME: dict[str, Type] = {info.sql: kind for kind, info in TYPES.items() if kind is not Type.DECIMAL64}
_BY_NAME["BINARY"] = Type.VARCHAR

TEXT = frozenset({Type.VARCHAR, Type.NCHAR, Type.JSON})
"""Types whose values a program sees as `str`."""

DECIMALS = frozenset({Type.DECIMAL, Type.DECIMAL64})

MOST_DIGITS = {Type.DECIMAL64: 18, Type.DECIMAL: 38}
"""Digits that a DECIMAL holds in 8 and in 16 bytes (TDengine 3.3.6)."""

# A JSON tag's text may take this many bytes on the wire (block headers of 2.4 and 3.3.3.0).
_JSON_WIRE = 16384


@dataclass(frozen=True, slots=True)
class Field:
    """A column or tag: its name, type and size.

    Parameters:
        name: as the server spells it, without quotes.
        type: the type.
        length: bytes of a VARCHAR, VARBINARY, GEOMETRY; characters of an NCHAR; else the value's width.
        digits: a DECIMAL's precision, the number of its decimal digits.
        scale: how many of a DECIMAL's digits are behind the point.
    """

    name: str
    type: Type
    length: int = 0
    digits: int = 0
    scale: int = 0

    @property
    def info(self) -> TypeInfo:
        return TYPES[self.type]

    @property
    def is_binary(self) -> bool:
        """Whether a program sees its values as `bytes`."""
        return not self.info.width and self.type not in TEXT

    @property
    def sql_type(self) -> str:
        """The type as a statement of 3.x says it; 2.4 and 2.6 take the same except VARCHAR."""
        if self.type in DECIMALS:
            return f"{self.info.sql}({self.digits},{self.scale})"
        return f"{self.info.sql}({self.length})" if self.info.sized else self.info.sql

    @property
    def wire_bytes(self) -> int:
        """The size that block headers and `write_raw_block_with_fields` give for this field."""
        if self.type in DECIMALS:
            return self.info.width << 24 | self.digits << 8 | self.scale
        if self.info.width:
            return self.info.width
        if self.type is Type.NCHAR:
            return self.length * 4 + 2
        return _JSON_WIRE if self.type is Type.JSON else self.length + self.info.prefix


_LONGEST = (1 << 29) - 1
"""Four bytes a character have to fit into the 32 bits that a block has for them; real columns are far shorter."""

_MOST_SHIFT = 255
"""What a block can say of a DECIMAL's digits and scale."""


def described_field(name: str, number: int, length: int, digits: int = 0, scale: int = 0) -> Field:
    """A field as a server describes it.

    Parameters:
        name: the column's name.
        number: of its type.
        length: see `Field`.
        digits: see `Field`.
        scale: see `Field`.

    Raises:
        ValueError: no type has that number, or no column can be so long.
    """
    if not (0 <= length <= _LONGEST and 0 <= digits <= _MOST_SHIFT and 0 <= scale <= _MOST_SHIFT):
        raise ValueError(f"no column can have the length {length} or {digits} digits, {scale} of them behind the point")
    return Field(name, Type(number), length, digits, scale)


def field_from_wire(name: str, number: int, wire_bytes: int) -> Field:
    """The field that a 3.x block header describes; the inverse of `Field.wire_bytes`.

    Raises:
        ValueError: no type has that number.
    """
    kind = Type(number)
    if kind in DECIMALS:
        return Field(name, kind, TYPES[kind].width, wire_bytes >> 8 & 0xFF, wire_bytes & 0xFF)
    if TYPES[kind].width:
        return Field(name, kind, TYPES[kind].width)
    if kind is Type.NCHAR:
        return Field(name, kind, max(wire_bytes - 2, 0) // 4)
    return Field(name, kind, max(wire_bytes - TYPES[kind].prefix, 0))


_SQL_TYPE = re.compile(
    r"\s*([A-Za-z]+(?:\s+UNSIGNED)?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE | re.ASCII
)


def field_from_sql(name: str, sql_type: str, length: int = 0) -> Field:
    """The field of a type as DESCRIBE, column_meta or a CREATE statement spell it.

    Parameters:
        name: the column's name.
        sql_type: such as "INT UNSIGNED", "BINARY(16)", "DECIMAL(10, 2)".
        length: used where the type itself carries none.

    Raises:
        ValueError: not a type of TDengine, or no column can be so long.
    """
    match = _SQL_TYPE.fullmatch(sql_type)
    kind = _BY_NAME.get(" ".join(match[1].upper().split())) if match else None
    if match is None or kind is None:
        raise ValueError(f"{sql_type!r} of column {name!r} is not a TDengine type")
    first = int(match[2]) if match[2] else 0
    if kind in DECIMALS:
        kind = Type.DECIMAL64 if first <= MOST_DIGITS[Type.DECIMAL64] else Type.DECIMAL
        return described_field(name, kind, TYPES[kind].width, first, int(match[3] or 0))
    return described_field(name, kind, TYPES[kind].width or first or length)
