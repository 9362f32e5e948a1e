"""Which column may be copied into which, and how its values change on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.migration.catalog import Table

Conversion: TypeAlias = Callable[[Column], Column]

_SIGNED = (Type.TINYINT, Type.SMALLINT, Type.INT, Type.BIGINT)
_UNSIGNED = (Type.UTINYINT, Type.USMALLINT, Type.UINT, Type.UBIGINT)


def _same(column: Column) -> Column:
    return column


def conversion(source: Field, target: Field, scale: int = 1) -> Conversion | None:
    """How values of one column become values of another without losing anything.

    Parameters:
        source: the column that is read.
        target: the column that is written.
        scale: steps of the target's timestamps in one of the source's.

    Returns:
        A function of columns, or None where values could be lost.
    """
    if source.type == target.type:
        if source.type is Type.TIMESTAMP:
            return _same if scale == 1 else _scaled(source, scale)
        if source.info.width:
            return _same if (source.digits, source.scale) == (target.digits, target.scale) else None
        return _same if not source.info.sized or source.length <= target.length else None
    if _widens(source.type, target.type):
        return _widened(target)
    if source.type is Type.VARCHAR and target.type is Type.NCHAR and source.length <= target.length:
        return _same
    return None


def _widens(source: Type, target: Type) -> bool:
    for order in (_SIGNED, _UNSIGNED):
        if source in order and target in order:
            return order.index(source) < order.index(target)
    if source in _UNSIGNED and target in _SIGNED:
        return _UNSIGNED.index(source) < _SIGNED.index(target)
    return source is Type.FLOAT and target is Type.DOUBLE


def _widened(target: Field) -> Conversion:
    def widen(column: Column) -> Column:
        assert isinstance(column, FixedColumn)
        return FixedColumn(column.values.astype(target.info.dtype), column.nulls)

    return widen


def _scaled(field: Field, scale: int) -> Conversion:
    largest = np.iinfo(np.int64).max // scale

    def multiply(column: Column) -> Column:
        assert isinstance(column, FixedColumn)
        values = column.values.astype(np.int64)
        if (((values > largest) | (values < -largest)) & ~column.nulls).any():
            raise RowRejected(f"a timestamp in column {field.name!r} is too far away for the target's precision")
        return FixedColumn(values * scale, column.nulls)

    return multiply


def time_scale(source: Precision, target: Precision) -> int | None:
    """Steps of the target in one of the source, None where the target is coarser."""
    factor, rest = divmod(target.per_second, source.per_second)
    return None if rest else factor


class Transcoder:
    """Turns blocks of a source table into blocks of its counterpart in the target.

    Parameters:
        source: the table as it is read.
        wanted: the same with the names of the target.
        target: as the target has it, with columns in any order; those that the source lacks stay NULL.
        scale: steps of the target's timestamps in one of the source's.

    Raises:
        ValueError: a column is missing in the target or cannot be copied without loss.
    """

    def __init__(self, source: Table, wanted: Table, target: Table, scale: int) -> None:
        there = {field.name: field for field in target.columns}
        self.source = source
        self._conversions = []
        fields = []
        for field, name in zip(source.columns, (column.name for column in wanted.columns), strict=True):
            counterpart = there.get(name)
            convert = None if counterpart is None else conversion(field, counterpart, scale)
            if counterpart is None or convert is None:
                found = "nothing" if counterpart is None else counterpart.sql_type
                raise ValueError(f"column {name!r} is {field.sql_type} in the source and {found} in the target")
            fields.append(counterpart)
            self._conversions.append(convert)
        self.fields = tuple(fields)
        self.unchanged = scale == 1 and all(
            before.type == after.type for before, after in zip(source.columns, fields, strict=True)
        )
        """Whether blocks of 3.x may pass unopened: the server compares types only where widths differ, too."""

    def __call__(self, block: Block) -> Block:
        """The block as the target takes it; of the source's columns, in their order."""
        columns = tuple(convert(column) for convert, column in zip(self._conversions, block.columns, strict=True))
        return Block(self.fields, columns, block.rows)
