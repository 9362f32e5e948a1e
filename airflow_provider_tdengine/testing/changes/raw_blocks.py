"""Raw blocks of 3.x that a client writes, and how little a real server checks about them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from airflow_provider_tdengine.client.block import Column, VariableColumn, decode_block, decode_fields
from airflow_provider_tdengine.client.errors import BlockError
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing.generations import BoxError
from airflow_provider_tdengine.testing.stored import Part, Schema, characters

_HEAD_SIZE = 28
_COLUMN_HEAD = struct.Struct("<bi")


def read_raw_block(
    raw: bytes, fields: bytes | None, schema: Schema, error: Callable[..., BoxError], takes_all_nchar: bool
) -> Part:
    """The rows of a written block as columns of a table.

    The server compares types only where the widths differ too. A column of another type and the same width is
    taken as it is, bit for bit; nothing says in which precision its timestamps are.

    Parameters:
        raw: the block.
        fields: the description of its columns; without it they are the table's, in its order.
        schema: of the table.
        error: makes errors.
        takes_all_nchar: numbers that are no characters are taken, too.

    Raises:
        BoxError: the bytes are no block, or do not fit the table.
    """
    try:
        described = list(decode_fields(fields)) if fields is not None else schema.columns
        by_name = {column.name: column for column in schema.columns}
        patched = bytearray(raw)
        for number, field in enumerate(described):
            if field.name not in by_name:
                raise error("bad_block", why=f"the table has no column {field.name}")
            _retype(patched, number, by_name[field.name], error)
        block = decode_block(bytes(patched), [field.name for field in described])
    except BlockError as broken:
        raise error("bad_block", why=broken.message) from broken
    columns = {field.name: column for field, column in zip(block.fields, block.columns, strict=True)}
    for key in schema.keys:
        if key not in columns or columns[key].nulls.any():
            raise error("bad_block", why=f"{key} is missing or NULL")
    for name, column in columns.items():
        if isinstance(column, VariableColumn) and _is_too_long(by_name[name], column):
            raise error("too_long", column=name, value=name)
        if not takes_all_nchar and _is_no_text(by_name[name], column):
            raise error("bad_block", why=f"column {name} has what is no character")
    return Part(block.rows, columns)


def _retype(raw: bytearray, number: int, column: Field, error: Callable[..., BoxError]) -> None:
    """Write the table's type into the head of a block's column, unless type and width are both different."""
    position = _HEAD_SIZE + number * _COLUMN_HEAD.size
    if position + _COLUMN_HEAD.size > len(raw):
        raise error("bad_block", why=f"the block has no column {number}")
    kind, width = _COLUMN_HEAD.unpack_from(raw, position)
    if kind == column.type:
        return
    if width != column.wire_bytes:
        raise error("bad_block", why=f"column type or bytes not equal, name:{column.name}, type:{kind}, bytes:{width}")
    _COLUMN_HEAD.pack_into(raw, position, column.type, width)


def _is_no_text(field: Field, column: Column) -> bool:
    return field.type is Type.NCHAR and isinstance(column, VariableColumn) and not column.is_utf8()


def _is_too_long(field: Field, column: VariableColumn) -> bool:
    if not len(column) or field.type is Type.JSON:
        return False
    sizes = characters(column) if field.type is Type.NCHAR else column.lengths
    return bool((np.where(column.nulls, 0, sizes) > field.length).any())
