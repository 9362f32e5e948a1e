"""Rows of many tables in one piece, as `fetch_raw` of a subscription gives them: what `client.raw_rows` reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_tdengine.client.block import Block, encode_block
from airflow_provider_tdengine.client.types import Field, Precision
from airflow_provider_tdengine.testing.generations import Generation

_POSITION = struct.Struct("<Bq")
_COUNTS = struct.Struct("<i??")
_COLUMN_HEAD_SIZE = 5
_HEAD_SIZE = 28


@dataclass(frozen=True)
class TableBlock:
    """Rows of a table.

    Parameters:
        table: its name.
        block: the rows.
        precision: what their timestamps count.
    """

    table: str
    block: Block
    precision: Precision


def raw_message(blocks: Sequence[TableBlock], start: int, end: int, has_created: bool, generation: Generation) -> bytes:
    """A message with rows.

    Parameters:
        blocks: the rows.
        start: the position before them, as the generation says it.
        end: the position behind them.
        has_created: the message tells of subtables, too; the box says 0 of them here, as `fetch_json_meta` has them.
        generation: whose format.
    """
    is_new = generation.counts_next
    kind = 0x11 if is_new else 0x01
    positions = _POSITION.pack(kind, start) + _POSITION.pack(kind, end)
    parts = [struct.pack("<Bi", 100, len(positions))] if is_new else []
    parts += [positions, _COUNTS.pack(len(blocks), True, True)]
    for each in blocks:
        data = _new_block(each) if is_new else _old_block(each)
        parts += [_varint(len(data)), data, _columns(each.block.fields), _text(each.table)]
    parts.append(bytes(4 if has_created else 8))
    return b"".join(parts)


def _new_block(block: TableBlock) -> bytes:
    """A block of version 2, behind the head of 3.3."""
    raw = encode_block(block.block)
    return struct.pack("<QQ?B", 1, 0, False, block.precision.number) + struct.pack("<i", 2) + raw[4:]


def _old_block(block: TableBlock) -> bytes:
    """A block of version 1 behind the head of 3.0: no closing byte, and sizes of columns in network order."""
    raw = bytearray(encode_block(block.block)[:-1])
    struct.pack_into("<i", raw, 4, len(raw))
    count = len(block.block.fields)
    start = _HEAD_SIZE + count * _COLUMN_HEAD_SIZE
    sizes = struct.unpack_from(f"<{count}i", raw, start)
    struct.pack_into(f">{count}i", raw, start, *sizes)
    return struct.pack("<Q?B251x", 0, True, block.precision.number) + raw


def _columns(fields: Sequence[Field]) -> bytes:
    parts = [_varint(len(fields) << 1), _varint(0)]
    for number, field in enumerate(fields, 1):
        parts += [struct.pack("<bb", field.type, 1), _varint(field.wire_bytes << 1), _varint(number << 1)]
        parts.append(_text(field.name))
    return b"".join(parts)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape") + b"\0"
    return _varint(len(raw)) + raw


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
