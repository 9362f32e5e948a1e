"""Rows as the text of INSERT statements, column by column; the text reads back to the same values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Flags, VariableColumn, column_to_list
from airflow_provider_tdengine.client.sql import as_inserted, identifier, literal, strings
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type

TEXTLESS = frozenset({Type.VARBINARY, Type.GEOMETRY, Type.BLOB})
"""Types whose values have no text that reads back to the same bytes in every version."""

# The magnitudes of which INSERT of 3.x reads every text back (measured 3.3.3.0): it refuses denormal doubles, and
# the shortest text of the largest float, which is larger than the float. Denormal floats are read as doubles.
_TEXT_RANGE = {
    Type.FLOAT: (1e-45, 3.4028234e38),
    Type.DOUBLE: (float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)),
}

# Rows of a part: with 4,096 columns' names before them, they are less than a statement may have.
_PART_BYTES = 400_000

# The longest texts of numbers: -2.2250738585072014e-308, and 38 digits with a sign and a point.
_NUMBER_BYTES, _DECIMAL_BYTES = 24, 40


def insert_parts(tables: Iterable[tuple[str, int]], block: Block) -> Iterator[str]:
    """What follows INSERT INTO for rows of one table after the other, in parts that a statement can hold.

    Parameters:
        tables: each table in SQL, with its database, and how many rows it has; in the order of the rows.
        block: the rows of all of them.
    """
    columns = as_inserted(f"({', '.join(identifier(field.name) for field in block.fields)}) VALUES ")
    width = len(block.fields)
    # One format for many rows, instead of a text for each of them, halves the time.
    row = f"({','.join(['%s'] * width)})"
    cells: list[object] = [None] * (width * block.rows)
    for i, (field, column) in enumerate(zip(block.fields, block.columns, strict=True)):
        cells[i::width] = _literals(field, column)
    most = max(1, _PART_BYTES // _most_bytes(block))
    first = 0
    for table, rows in tables:
        head, last = f"{as_inserted(table)} {columns}", first + rows
        for start in range(first, last, most):
            end = min(start + most, last)
            yield head + row * (end - start) % tuple(cells[start * width : end * width])
        first = last


def _most_bytes(block: Block) -> int:
    """Bytes of a row's text, at most."""
    return 2 + sum(map(_most_bytes_of, block.fields, block.columns))


def _most_bytes_of(field: Field, column: Column) -> int:
    if isinstance(column, FixedColumn):
        return 1 + (_DECIMAL_BYTES if field.type in DECIMALS else _NUMBER_BYTES)
    # Two quotes, and maybe a backslash for each byte; or NULL.
    return 5 + 2 * int(column.lengths.max(initial=0))


def _literals(field: Field, column: Column) -> list[object]:
    """Each value of a column as something whose `str` is its literal."""
    cells: list[object]
    if isinstance(column, VariableColumn):
        cells = [*strings(column.ended_by_nul())]
        if len(cells) != len(column):
            # A value has a NUL: it has no literal, and the server will say so.
            cells = [*map(literal, column.to_bytes_list())]
    elif field.type in DECIMALS:
        cells = [*map(literal, column_to_list(field, column))]
    elif field.type is Type.BOOL:
        cells = np.where(column.values, "true", "false").tolist()
    elif field.type is Type.FLOAT:
        # The shortest text that reads back to the same 32 bits.
        cells = column.values.astype("U16").tolist()
    else:
        cells = column.values.tolist()
    for row in np.flatnonzero(column.nulls).tolist():
        cells[row] = "NULL"
    return cells


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
    if column.joined().all() and column.is_utf8():
        return np.zeros(len(column), np.bool_)
    values = column.to_bytes_list()
    return np.fromiter(
        (value is not None and (0 in value or not _is_utf8(value)) for value in values), np.bool_, len(values)
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
