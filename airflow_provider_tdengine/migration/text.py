"""Rows as the text of INSERT statements, column by column; the text reads back to the same values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Flags, VariableColumn, column_to_list
from airflow_provider_tdengine.client.sql import identifier, literal, string
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type

TEXTLESS = frozenset({Type.VARBINARY, Type.GEOMETRY, Type.BLOB})
"""Types whose values have no text that reads back to the same bytes in every version."""

# The magnitudes of which INSERT of 3.x reads every text back (measured 3.3.3.0): it refuses denormal doubles, and
# the shortest text of the largest float, which is larger than the float. Denormal floats are read as doubles.
_TEXT_RANGE = {
    Type.FLOAT: (1e-45, 3.4028234e38),
    Type.DOUBLE: (float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)),
}

_PART_BYTES = 64_000


def insert_parts(table: str, block: Block) -> Iterator[str]:
    """What follows INSERT INTO for the rows of one table, in parts that a statement can hold.

    Parameters:
        table: the table in SQL, with its database.
        block: its rows.
    """
    head = f"{table} ({', '.join(identifier(field.name) for field in block.fields)}) VALUES "
    yield from insert_rows(head, row_texts(block))


def insert_rows(head: str, rows: list[str]) -> Iterator[str]:
    """Rows that are text already, as parts of INSERT statements of one table."""
    if not rows:
        return
    widest = max(map(len, rows))
    step = max(1, _PART_BYTES // (widest + 1))
    for i in range(0, len(rows), step):
        yield head + " ".join(rows[i : i + step])


def row_texts(block: Block) -> list[str]:
    """Each row as `(…)`."""
    texts = [_texts(field, column) for field, column in zip(block.fields, block.columns, strict=True)]
    return [f"({','.join(row)})" for row in zip(*texts, strict=True)]


def has_no_text(block: Block) -> Flags:
    """Which rows hold a value that no text carries: extreme floats, bytes that are not UTF-8, zero bytes.

    Returns:
        (rows,) of booleans.
    """
    textless = np.zeros(block.rows, np.bool_)
    for field, column in zip(block.fields, block.columns, strict=True):
        if isinstance(column, FixedColumn):
            if field.type in (Type.FLOAT, Type.DOUBLE):
                magnitude = np.abs(column.values.astype(np.float64))
                smallest, largest = _TEXT_RANGE[field.type]
                fits = (magnitude >= smallest) & (magnitude <= largest) | (magnitude == 0)
                textless |= ~column.nulls & ~fits
        elif field.type in TEXTLESS:
            textless |= ~column.nulls
        else:
            textless |= _has_no_utf8(column)
    return textless


def _has_no_utf8(column: VariableColumn) -> Flags:
    raw = column.joined().tobytes()
    try:
        raw.decode()
        if b"\0" not in raw:
            return np.zeros(len(column), np.bool_)
    except UnicodeDecodeError:
        pass
    return np.fromiter(
        (value is not None and (b"\0" in value or not _is_utf8(value)) for value in column.to_bytes_list()),
        np.bool_,
        len(column),
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _texts(field: Field, column: Column) -> list[str]:
    """Each value of a column as a literal."""
    if isinstance(column, VariableColumn):
        return ["NULL" if value is None else string(value) for value in column.to_bytes_list()]
    if field.type in DECIMALS or field.type is Type.BOOL:
        return [literal(value) for value in column_to_list(field, column)]
    if field.type is Type.FLOAT:
        # The shortest text that reads back to the same 32 bits.
        texts: list[str] = column.values.astype("U16").tolist()
    else:
        texts = list(map(repr, column.values.tolist()))
    if column.nulls.any():
        return ["NULL" if null else text for text, null in zip(texts, column.nulls.tolist(), strict=True)]
    return texts
