"""In which order a server lists what it keeps: never by name, and seldom as it was made.

Read off the recordings in `tests/contract`, of all versions there, to the last name:

- Super tables and databases, in 2.x tables as well, are kept in hash tables, and listed slot by slot.
- 3.x spreads tables over the vgroups of their database by a hash of their name; lists come vgroup by vgroup.
- 2.x reads a super table in the order of its tables' first tag.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing.generations import Generation

_WORD = 0xFFFFFFFF


def murmur(data: bytes) -> int:
    """MurmurHash3 of 32 bits, begun as TDengine begins it."""
    value = 0x12345678
    whole = len(data) & ~3
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        value ^= _scrambled(block)
        value = (value << 13 | value >> 19) & _WORD
        value = (value * 5 + 0xE6546B64) & _WORD
    value ^= _scrambled(int.from_bytes(data[whole:], "little")) ^ len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & _WORD
    value = (value ^ value >> 13) * 0xC2B2AE35 & _WORD
    return value ^ value >> 16


def _scrambled(block: int) -> int:
    block = block * 0xCC9E2D51 & _WORD
    block = (block << 15 | block >> 17) & _WORD
    return block * 0x1B873593 & _WORD


def vgroup_of(database: str, table: str, vgroups: int) -> int:
    """The vgroup, counted from 0, that a table of 3.x is in: each has an equal part of all hashes."""
    hashed = murmur(f"1.{database}.{table}".encode("utf-8", "surrogateescape"))
    return min(hashed // (_WORD // vgroups), vgroups - 1)


def slot_of(kind: str, name: str, generation: Generation) -> int:
    """Where something is in the hash table of its kind; in one slot, the newest comes first.

    Parameters:
        kind: "databases", "stables", "tables" or "indexes".
        name: begins with the name of the database, and a dot.
        generation: whose hash table.
    """
    hashed = murmur(generation.hashed_name.format(name).encode("utf-8", "surrogateescape"))
    return hashed & (generation.slots[kind] - 1)


def by_tag(field: Field, value: Value) -> tuple[float, bytes]:
    """The key that 2.x orders the tables of a super table by: texts by length first, NULL as the value that it is."""
    if field.type is Type.JSON:
        return (int(value is not None), b"")
    if field.info.dtype is not None:
        number = np.frombuffer(field.info.null2, field.info.dtype)[0].item() if value is None else value
        assert isinstance(number, (int, float))
        return (-math.inf if math.isnan(number) else number, b"")
    coding = "utf-32-le" if field.type is Type.NCHAR else "utf-8"
    data = field.info.null2 if value is None else str(value).encode(coding, "surrogateescape")
    return (len(data), data)
