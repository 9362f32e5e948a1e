"""GEOMETRY as statements say it: well-known text to the well-known binary that 3.3.3.0 stores (measured)."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable

_SHAPES = {
    "POINT": 1,
    "LINESTRING": 2,
    "POLYGON": 3,
    "MULTIPOINT": 4,
    "MULTILINESTRING": 5,
    "MULTIPOLYGON": 6,
    "GEOMETRYCOLLECTION": 7,
}
_COLLECTION = "GEOMETRYCOLLECTION"
_NEEDED = ("LINESTRING", "POLYGON", "MULTIPOINT")
"""Without one of these, a collection is refused."""

_PARTS = {"MULTIPOINT": "POINT", "MULTILINESTRING": "LINESTRING", "MULTIPOLYGON": "POLYGON"}
_DIMENSIONS = {"": 0, "Z": 0x80000000, "M": 0x40000000, "ZM": 0xC0000000}
_TOKEN = re.compile(r"\s*([(),]|[^\s(),]+)")


def well_known_binary(text: str) -> bytes:
    """The bytes of a geometry.

    Raises:
        ValueError: the text is no geometry that the server takes.
    """
    parser = _Parser(text)
    value = parser.geometry(None)
    said = text.upper()
    is_points = said.lstrip().startswith(_COLLECTION) and not any(part in said for part in _NEEDED)
    if parser.tokens or is_points:
        raise ValueError("invalid geometry data")
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)[::-1]

    def geometry(self, expected: str | None) -> bytes:
        """A geometry with its name; of the expected dimensions where it is part of another."""
        shape = self._next().upper()
        dimensions = self._next().upper() if self._ahead().upper() in _DIMENSIONS else ""
        if shape not in _SHAPES or (expected is not None and dimensions != expected):
            raise ValueError("invalid geometry data")
        return self._body(shape, dimensions)

    def _body(self, shape: str, dimensions: str) -> bytes:
        size = 2 + len(dimensions)
        head = struct.pack("<BI", 1, _SHAPES[shape] | _DIMENSIONS[dimensions])
        if shape == "POINT":
            points = self._list(lambda: self._coordinates(size))
            if len(points) > 1:
                raise ValueError("invalid geometry data")
            return head + (points[0] if points else struct.pack("<d", math.nan) * size)
        if shape == "LINESTRING":
            return head + self._points(size, closed=False)
        if shape == "POLYGON":
            return head + _counted(self._list(lambda: self._points(size, closed=True)))
        if shape in _PARTS:
            parts = self._list(lambda: self._body(_PARTS[shape], dimensions))
        else:
            parts = self._list(lambda: self.geometry(dimensions))
        # What holds nothing but such as has no dimensions has none.
        has_dimensions = any(part[1:5] != struct.pack("<I", part[1]) for part in parts)
        return (head if has_dimensions else struct.pack("<BI", 1, _SHAPES[shape])) + _counted(parts)

    def _points(self, size: int, *, closed: bool) -> bytes:
        points = self._list(lambda: self._coordinates(size))
        if len(points) == 1 or (closed and points and (points[0] != points[-1] or len(points) < 4)):
            raise ValueError("invalid geometry data")
        return _counted(points)

    def _coordinates(self, size: int) -> bytes:
        numbers = [float(self._next()) for _ in range(size)]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("invalid geometry data")
        return struct.pack(f"<{size}d", *numbers)

    def _list(self, part: Callable[[], bytes]) -> list[bytes]:
        if self._ahead().upper() == "EMPTY":
            self._next()
            return []
        parts = []
        sign = self._next()
        while sign in "(,":
            parts.append(part())
            sign = self._next()
            if sign == ")":
                return parts
        raise ValueError("invalid geometry data")

    def _next(self) -> str:
        if not self.tokens:
            raise ValueError("invalid geometry data")
        return str(self.tokens.pop())

    def _ahead(self) -> str:
        return self.tokens[-1] if self.tokens else "("


def _counted(parts: list[bytes]) -> bytes:
    return struct.pack("<I", len(parts)) + b"".join(parts)
