"""What is damaged: answers that real servers gave (`tests/contract/`), and blocks of all types and shapes."""

from __future__ import annotations

import itertools
import json
import struct
from functools import cache
from typing import Any

from airflow_provider_tdengine.client.block import Block, Value, column_from_list, encode_block
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type, field_from_wire

from ..unit.client.client_recordings import OF_2X, OF_3X, VERSIONS, exchange, exchanges, frame, is_frame, rest_bodies

_TEXTS = ("", "a", "0123456789abcdef", "你好", "😀", "a😀é你\0b")


def _values(kind: Type, rows: int) -> list[Value]:
    if kind in (Type.FLOAT, Type.DOUBLE):
        found: list[Value] = [i / 7 for i in range(rows)]
    elif Field("c", kind).info.width:
        found = [i % 2 for i in range(rows)]
    elif Field("c", kind).is_binary:
        found = [_TEXTS[i % len(_TEXTS)].encode() for i in range(rows)]
    else:
        found = [_TEXTS[i % len(_TEXTS)] for i in range(rows)]
    return [None if i % 5 == 3 else value for i, value in enumerate(found)]


def _block(kinds: tuple[Type, ...], rows: int) -> bytes:
    fields = []
    for i, kind in enumerate(kinds):
        wide = Field(f"c{i}", kind, 16, 10, 2) if kind in DECIMALS else Field(f"c{i}", kind, 16)
        fields.append(field_from_wire(wide.name, kind, wide.wire_bytes))
    columns = tuple(column_from_list(field, _values(field.type, rows)) for field in fields)
    return encode_block(Block(tuple(fields), columns, rows))


def _shared(kind: Type, rows: int, length: int) -> bytes:
    """A block whose rows all have one and the same value, which is there once."""
    prefix = Field("c", kind).info.prefix
    body = length.to_bytes(prefix, "little") + b"A\0\0\0" * (length // 4)
    after = struct.pack("<bii", kind, length + prefix, len(body)) + bytes(4 * rows) + body + b"\0"
    return struct.pack("<iiiiiQ", 1, 28 + len(after), rows, 1, -(2**31), 0) + after


@cache
def blocks_of_3x() -> tuple[bytes, ...]:
    recorded = [
        frame(message)[16:]
        for version in OF_3X
        for line in exchanges(version)
        if line["step"].startswith("ws_query_")
        for message in line["received"]
        if is_frame(message)
    ]
    made = [_block(tuple(Type), rows) for rows in (0, 1, 9, 300)] + [_block((kind,), 5) for kind in Type]
    shared = [_shared(kind, rows, 2000) for kind in (Type.VARCHAR, Type.NCHAR, Type.BLOB) for rows in (2, 500)]
    return (*recorded, *made, *shared)


@cache
def blocks_of_2x() -> tuple[tuple[dict[str, Any], dict[str, Any], bytes], ...]:
    """The answers to the query and to `fetch`, and the block."""
    found = []
    for version in OF_2X:
        for line in exchanges(version):
            if line["step"].startswith("ws_query_"):
                received = line["received"]
                pairs = itertools.pairwise(received)
                found += [(received[0], before, frame(after)) for before, after in pairs if is_frame(after)]
    return tuple(found)


@cache
def rest_answers() -> tuple[str, ...]:
    return tuple(line["body"] for version in VERSIONS for line in rest_bodies(version) if line["body"].startswith("{"))


@cache
def conversations() -> tuple[tuple[str | bytes, ...], ...]:
    """What servers sent after a query: the answer, answers to fetches and blocks."""
    found = []
    for version in VERSIONS:
        for line in exchanges(version):
            if line["step"].startswith("ws_query_"):
                received = line["received"]
                found.append(tuple(frame(part) if is_frame(part) else json.dumps(part) for part in received))
    return tuple(found)


@cache
def binary_answers() -> tuple[bytes, ...]:
    """Answers to `fetch_raw_block`."""
    recorded = [
        frame(message) for message in exchange("3.3.3.0", "ws_fetch_raw_block")["received"] if is_frame(message)
    ]
    return tuple(recorded)
