"""GEOMETRY values as text: well-known binary, as blocks carry it, to the well-known text that statements take.

The text of a value reads back to the same bytes in 3.3.3.0 (measured, over all shapes that it takes). It stores them
little-endian, with Z and M as bits of the shape's number, and an empty point as NaN coordinates.
"""

from __future__ import annotations

import math
import struct

_SHAPES = {
    1: "POINT",
    2: "LINESTRING",
    3: "POLYGON",
    4: "MULTIPOINT",
    5: "MULTILINESTRING",
    6: "MULTIPOLYGON",
    7: "GEOMETRYCOLLECTION",
}
_COLLECTION = "GEOMETRYCOLLECTION"
_NEEDED = ("LINESTRING", "POLYGON", "MULTIPOINT")
"""Without one of these, 3.3.3.0 does not take a GEOMETRYCOLLECTION."""

_PARTS = {"MULTIPOINT": "POINT", "MULTILINESTRING": "LINESTRING", "MULTIPOLYGON": "POLYGON"}

_NUMBER = 0x3FFFFFFF
_DIMENSIONS = {0: "", 0x80000000: "Z", 0x40000000: "M", 0xC0000000: "ZM"}

_HEAD = struct.Struct("<BI")
_COUNT = struct.Struct("<I")
_NAN = struct.pack("<d", math.nan)
_EMPTY = "EMPTY"


def well_known_text(value: bytes) -> str:
    """The text of a GEOMETRY value, such as `POINT (1.0 2.0)`.

    Raises:
        ValueError: no text reads back to these bytes.
    """
    reader = _Reader(value)
    try:
        shape, dimensions, body = reader.geometry()
    except struct.error:
        raise ValueError("a GEOMETRY value ends too early") from None
    if reader.position != len(value):
        raise ValueError(f"a GEOMETRY value has {len(value) - reader.position} bytes too many")
    text = _tagged(shape, dimensions, body)
    if shape == _COLLECTION and not any(part in text for part in _NEEDED):
        raise ValueError("a GEOMETRYCOLLECTION of nothing but points is refused by TDengine 3.3")
    return text


def _tagged(shape: str, dimensions: str, body: str) -> str:
    return " ".join(part for part in (shape, dimensions, body) if part)


class _Reader:
    """Reads a value from its start; positions are bytes."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self.position = 0

    def geometry(self) -> tuple[str, str, str]:
        """A geometry: its shape, its dimensions (`Z`, `M`, `ZM` or nothing) and its coordinates as text."""
        order, number = _HEAD.unpack_from(self._value, self.position)
        self.position += _HEAD.size
        shape, dimensions = _SHAPES.get(number & _NUMBER), _DIMENSIONS[number & ~_NUMBER]
        if order != 1 or shape is None:
            raise ValueError(f"a GEOMETRY value has byte order {order} and shape {number:#x}, which no text says")
        size = 2 + len(dimensions)
        if shape == "POINT":
            return shape, dimensions, self._point(size)
        if shape == "LINESTRING":
            return shape, dimensions, self._points(size)
        if shape == "POLYGON":
            rings = [self._points(size) for _ in range(self._count())]
            if rings and rings[0] == _EMPTY:
                raise ValueError("a POLYGON has an empty ring around it, which no text says")
            return shape, dimensions, _bracketed(rings)
        parts = [self._part(shape, dimensions) for _ in range(self._count())]
        if dimensions and not parts:
            raise ValueError(f"an empty {shape} is {dimensions}, which no text says")
        return shape, dimensions, _bracketed(parts)

    def _part(self, owner: str, dimensions: str) -> str:
        shape, own, body = self.geometry()
        if shape in _PARTS and body == _EMPTY:
            # It is stored without dimensions.
            own = dimensions
        if own != dimensions or _PARTS.get(owner, shape) != shape:
            whole, part = _tagged(owner, dimensions, ""), _tagged(shape, own, "")
            raise ValueError(f"a {whole} holds a {part}, which no text says")
        if owner != _COLLECTION:
            return body
        return _tagged(shape, dimensions, body)

    def _point(self, size: int) -> str:
        if self._value.startswith(_NAN * size, self.position):
            self.position += len(_NAN) * size
            return _EMPTY
        return f"({self._coordinates(size)})"

    def _points(self, size: int) -> str:
        return _bracketed([self._coordinates(size) for _ in range(self._count())])

    def _coordinates(self, size: int) -> str:
        numbers = struct.unpack_from(f"<{size}d", self._value, self.position)
        self.position += 8 * size
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"a GEOMETRY value has the coordinates {numbers}, which no text says")
        return " ".join(map(repr, numbers))

    def _count(self) -> int:
        (count,) = _COUNT.unpack_from(self._value, self.position)
        self.position += _COUNT.size
        if count > len(self._value):
            raise ValueError("a GEOMETRY value ends too early")
        return int(count)


def _bracketed(parts: list[str]) -> str:
    return f"({','.join(parts)})" if parts else _EMPTY
