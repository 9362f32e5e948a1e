"""Random values as statements say them: ordinary ones, and those at the edges of their types."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from random import Random

from .server import INTEGERS, as_float, quoted

EPOCHS = (-1_000_000_000, -7, 946_684_799, 1_609_459_200, 1_609_459_200, 1_700_000_000, 1_750_000_000)
"""Moments, in seconds, around which rows are; few, since servers have a file for each ten days. 1938 is the oldest."""

_ALPHABET = "abcXYZ '\"\\\n\t\r%{}`.,;_\x01\x7f零é😀"

_JSON = (
    '{"site":"a b","n":3}',
    '{"x":1.5,"y":true,"z":null}',
    '{"q":"\\"中\\"","e":""}',
    '{"b":"\\\\","a":12}',
    '{"B":1,"a":-2.25,"A":false}',
    "{}",
    "",
)
"""Tags that servers bear: an adapter of 3.3.3.0 damages its heap when it reads long ones."""

_MOODS = (
    ["mixed"],
    ["mixed", "edge"],
    ["null"],
    ["zero"],
    ["zero", "null", "edge"],
    ["edge"],
    ["full"],
)
"""What a column's values are like in a table, one of several: with NULLs among them, nothing else, none …"""


class Values:
    """Values for one database.

    Parameters:
        rng: what decides.
        version: of the server that is to take them.
        second: steps of a second.
        real: text may have bytes that are no UTF-8.
    """

    def __init__(self, rng: Random, version: tuple[int, ...], second: int, *, real: bool) -> None:
        self._rng = rng
        self._version = version
        self._second = second
        self._real = real
        self._kinds: dict[str, Callable[[int, bool], str]] = {
            "BOOL": lambda _length, _edge: rng.choice(["true", "false"]),
            "TIMESTAMP": self._timestamp,
            "VARCHAR": lambda length, edge: quoted(self._text(length, edge, wide=True)),
            "NCHAR": lambda length, edge: quoted(self._text(length, edge, wide=False)),
            "VARBINARY": lambda length, edge: f"'\\x{rng.randbytes(length if edge else rng.randint(0, length)).hex()}'",
            "GEOMETRY": self._geometry,
            "DECIMAL": self._decimal,
            "JSON": lambda _length, _edge: quoted(rng.choice(_JSON)),
        }

    def moods(self) -> list[str]:
        """What a column's values are like; in a table, one of these."""
        return self._rng.choice(_MOODS)

    def value(self, kind: str, length: int, mood: str) -> str:
        """A value of a column whose values are like that."""
        rng = self._rng
        if mood == "null" or (mood in ("mixed", "edge") and rng.random() < 0.15):
            return "NULL"
        if mood == "zero":
            zeros = {"BOOL": "false", "VARCHAR": "''", "NCHAR": "''", "VARBINARY": "''", "GEOMETRY": "NULL"}
            return zeros.get(kind, "0")
        return self._literal(kind, length, mood == "edge" or rng.random() < 0.05, tiny=self._version < (3,))

    def key(self, kind: str, length: int) -> str:
        """A value of a second key, which is often one that another row has."""
        rng = self._rng
        if kind not in INTEGERS:
            return self._literal(kind, length, edge=False)
        return str(rng.choice([*self._range(kind), rng.randint(0, 5), rng.randint(0, 99)]))

    def tag(self, kind: str, length: int) -> str:
        rng = self._rng
        return "NULL" if rng.random() < 0.2 else self._literal(kind, length, edge=rng.random() < 0.3)

    def times(self, count: int, epochs: Sequence[int]) -> list[int]:
        """Timestamps of a table, around two moments, in disorder or not; several may be the same."""
        rng, second, found = self._rng, self._second, []
        step = rng.choice([1, second // 1000, second, rng.randint(1, 60 * second)])
        time = rng.choice(epochs) * second + rng.choice([0, rng.randrange(second)])
        for _ in range(count):
            found.append(time)
            time += rng.choice([0, step, step, step, step, step * rng.randint(1, 20)])
        if rng.random() < 0.7:
            rng.shuffle(found)
        return found

    def _literal(self, kind: str, length: int, edge: bool, *, tiny: bool = False) -> str:
        """A value.

        Parameters:
            kind: its type.
            length: of text and binary values, at most.
            edge: it is one of those at which something may go wrong.
            tiny: it may be below the smallest normal number, which INSERT of 3.3 refuses, and so all tags of it.
        """
        rng = self._rng
        if kind in INTEGERS:
            low, high = self._range(kind)
            return str(rng.choice([low, high, high, 0, 1]) if edge else rng.randint(max(low, -1000), min(high, 1000)))
        if kind in ("FLOAT", "DOUBLE"):
            return repr(self._float(kind == "FLOAT", edge, tiny))
        return self._kinds[kind](length, edge)

    def _range(self, kind: str) -> tuple[int, int]:
        low, high = INTEGERS[kind]
        if self._version >= (3,):
            return low, high
        # One number of each type is the NULL of 2.x.
        return (low, high - 1) if low == 0 else (low + 1, high)

    def _float(self, narrow: bool, edge: bool, tiny: bool) -> float:
        rng = self._rng
        biggest = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0] if narrow else 1.7976931348623157e308
        smallest = 2.0**-126 if narrow else 2.0**-1022
        if edge:
            return rng.choice([biggest, -biggest, biggest, smallest, -0.0, 0.0, smallest / (8 if tiny else 1), 0.1])
        any_size = math.ldexp(rng.random(), rng.randint(-90, 90))
        found = rng.choice([rng.gauss(0, 100), rng.random(), float(rng.randint(-5, 5)), any_size])
        return as_float(found) if narrow else found

    def _timestamp(self, _length: int, edge: bool) -> str:
        rng, limit = self._rng, 2**63 - 1
        if not edge:
            return str(rng.choice(EPOCHS) * self._second + rng.randrange(self._second))
        if (3,) <= self._version < (3, 1):
            # An adapter of 3.0.5.2 says others wrong over REST: it counts in nanoseconds of 64 bits.
            limit = limit * self._second // 10**9
        return str(rng.choice([0, -1, limit, -limit, 10**12]))

    def _text(self, length: int, full: bool, *, wide: bool) -> str:
        """Text of so many characters, or bytes, at most.

        Parameters:
            length: of the column.
            full: it is exactly so long.
            wide: it is counted in bytes.
        """
        rng = self._rng
        if not full and rng.random() < 0.1:
            return rng.choice(["", "", "NULL", "null", "nan", "'"])[:length]
        if wide and self._real and rng.random() < 0.02:
            return bytes(rng.randint(128, 255) for _ in range(length)).decode("utf-8", "surrogateescape")
        wanted = length if full else rng.randint(0, min(length, 30))
        found, used = [], 0
        while used < wanted:
            letter = rng.choice(_ALPHABET)
            size = len(letter.encode()) if wide else 1
            if used + size > wanted:
                letter, size = "x", 1
            found.append(letter)
            used += size
        return "".join(found)

    def _geometry(self, _length: int, _edge: bool) -> str:
        rng = self._rng
        x, y = rng.randint(-180, 180), rng.uniform(-90, 90)
        return rng.choice([f"'POINT({x} {y})'", f"'LINESTRING({x} {y},0 1)'", "'POLYGON((0 0,1 0,1 1,0 0))'"])

    def _decimal(self, length: int, edge: bool) -> str:
        rng, scale = self._rng, length // 2
        whole = 10 ** (length - scale)
        number = whole - 1 if edge else rng.randrange(whole)
        return f"{rng.choice(['-', ''])}{number}.{rng.randrange(10**scale):0{scale}}"
