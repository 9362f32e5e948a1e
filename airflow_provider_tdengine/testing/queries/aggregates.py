"""Aggregates: one value a group, computed for all groups at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import (
    Column,
    FixedColumn,
    Ints,
    VariableColumn,
    column_from_list,
    column_to_list,
)
from airflow_provider_tdengine.client.types import DECIMALS, MOST_DIGITS, Field, Type
from airflow_provider_tdengine.testing.language import Call, Expression, Name, Star, children
from airflow_provider_tdengine.testing.queries.expressions import evaluate
from airflow_provider_tdengine.testing.queries.frames import Frame, Vector

_BIGINT = Field("", Type.BIGINT, 8)
_DOUBLE = Field("", Type.DOUBLE, 8)
_UBIGINT = Field("", Type.UBIGINT, 8)
_UNSIGNED = frozenset({Type.UTINYINT, Type.USMALLINT, Type.UINT, Type.UBIGINT})
_FRACTIONS = frozenset({Type.FLOAT, Type.DOUBLE})


@dataclass
class Groups:
    """Rows in groups.

    Parameters:
        order: row numbers by group; None where the rows stand in this order already.
        starts: where each group starts in that order.
        counts: how many rows it has, which may be none.
        by_time: within a group, rows are in the order of time.
        times: timestamps of the rows, in their own order.
    """

    order: Ints | None
    starts: Ints
    counts: Ints
    by_time: bool
    times: Ints

    def __len__(self) -> int:
        return len(self.counts)

    def arrange(self, column: Column) -> Column:
        """A column in the order of the groups."""
        return column if self.order is None else column.take(self.order)

    def first_rows(self) -> Ints:
        """The number of each group's first row; 0 for a group without rows."""
        rows = np.where(self.counts > 0, self.starts, 0)
        if self.order is None or not len(self.order):
            return rows
        numbers: Ints = self.order[rows]
        return numbers

    def chronological(self) -> Groups:
        """The same groups with their rows in the order of time."""
        if self.by_time:
            return self
        group = np.repeat(np.arange(len(self)), self.counts)
        times = self.times if self.order is None else self.times[self.order]
        order = np.lexsort((times, group))
        return Groups(order if self.order is None else self.order[order], self.starts, self.counts, True, self.times)

    def reduce(self, function: np.ufunc, values: npt.NDArray[np.generic], empty: object) -> npt.NDArray[np.generic]:
        """`function` over each group's values, which are in the order of the groups."""
        result = np.full(len(self), empty, values.dtype)
        filled = self.counts > 0
        if filled.any():
            # As in all versions, whole numbers begin anew beyond their ends, and fractions become infinite.
            with np.errstate(over="ignore", invalid="ignore"):
                result[filled] = function.reduceat(values, self.starts[filled])
        return result


def aggregate(call: Call, frame: Frame, groups: Groups) -> Vector:
    """The values of an aggregate, one a group.

    Raises:
        BoxError: the aggregate cannot be applied to that.
    """
    if len(call.arguments) != 1 or call.distinct:
        raise frame.generation.errors("parameters", name=call.function)
    argument = call.arguments[0]
    if call.function == "count" and isinstance(argument, Star):
        return Vector(_BIGINT, FixedColumn(groups.counts.copy(), np.zeros(len(groups), np.bool_)))
    if isinstance(argument, Star) or not (frame.generation.nested_functions or isinstance(argument, Name)):
        raise frame.generation.errors("parameters", name=call.function)
    vector = evaluate(argument, frame)
    column = vector.expand(frame.rows)
    if call.function in ("first", "last", "last_row"):
        edge = _edge(call.function, column, groups)
        is_latest = call.function != "first" and vector.field.type is Type.TIMESTAMP
        if is_latest and frame.generation.last_begins_at_0 and not groups.by_time:
            assert isinstance(edge, FixedColumn)
            edge.values = np.maximum(edge.values, 0)
        return Vector(vector.field, edge)
    arranged = groups.arrange(column)
    if call.function == "count":
        present = groups.reduce(np.add, (~arranged.nulls).astype(np.int64), 0)
        return Vector(_BIGINT, FixedColumn(present, np.zeros(len(groups), np.bool_)))
    if not isinstance(arranged, FixedColumn):
        raise frame.generation.errors("parameters", name=call.function)
    found = _NUMERIC[call.function](vector.field, arranged, groups)
    if call.function == "max" and vector.field.type in _UNSIGNED and frame.generation.maximum_skips_zero:
        assert isinstance(found.column, FixedColumn)
        found.column.nulls = found.column.nulls | (found.column.values == 0)
    if call.function == "sum" and found.field == _DOUBLE and not frame.generation.sums_infinity:
        assert isinstance(found.column, FixedColumn)
        found.column.nulls = found.column.nulls | ~np.isfinite(found.column.values)
    return found


def _edge(function: str, column: Column, groups: Groups) -> Column:
    """The value with the earliest or the latest timestamp; LAST_ROW takes a NULL for one."""
    wanted = np.ones(len(column), np.bool_) if function == "last_row" else ~column.nulls
    if len(groups) == 1 and not groups.by_time:
        # A whole super table: finding the extreme is much cheaper than sorting all of it.
        rows = np.flatnonzero(wanted) if groups.order is None else groups.order[wanted[groups.order]]
        if not len(rows):
            return _pick(column, np.full(1, -1))
        times = groups.times[rows]
        best = np.argmin(times) if function == "first" else len(times) - 1 - np.argmax(times[::-1])
        return _pick(column, rows[best : best + 1])
    ordered = groups.chronological()
    rows = np.arange(len(column)) if ordered.order is None else ordered.order
    positions = np.arange(len(rows))
    wanted = wanted[rows]
    if function == "first":
        found = ordered.reduce(np.minimum, np.where(wanted, positions, len(rows)), len(rows)).astype(np.int64)
        found[found == len(rows)] = -1
    else:
        found = ordered.reduce(np.maximum, np.where(wanted, positions, -1), -1).astype(np.int64)
    if not len(rows):
        return _pick(column, found)
    return _pick(column, np.where(found < 0, -1, rows[found]))


def _pick(column: Column, rows: Ints) -> Column:
    """The values of some rows, NULL where the number is -1."""
    missing = rows < 0
    if not len(column):
        nulls = np.ones(len(rows), np.bool_)
        if isinstance(column, FixedColumn):
            return FixedColumn(np.zeros(len(rows), column.values.dtype), nulls)
        zeros = np.zeros(len(rows), np.int64)
        return VariableColumn(column.data, zeros, zeros, nulls)
    picked = column.take(np.where(missing, 0, rows))
    picked.nulls = picked.nulls | missing
    if isinstance(picked, VariableColumn):
        picked.lengths = np.where(picked.nulls, 0, picked.lengths)
    return picked


def _present(column: FixedColumn, groups: Groups) -> Ints:
    return groups.reduce(np.add, (~column.nulls).astype(np.int64), 0).astype(np.int64)


def _decimal(field: Field, found: npt.NDArray[np.generic], is_null: npt.NDArray[np.bool_]) -> Vector:
    values = [None if null else value for value, null in zip(found.tolist(), is_null.tolist(), strict=True)]
    return Vector(field, column_from_list(field, values))


def _decimals(field: Field, column: FixedColumn, empty: Decimal) -> npt.NDArray[np.object_]:
    """The values of a DECIMAL, of which numpy does not have the wider one."""
    return np.array([empty if value is None else value for value in column_to_list(field, column)], np.object_)


def _sum(field: Field, column: FixedColumn, groups: Groups) -> Vector:
    if field.type in DECIMALS:
        wide = Field("", Type.DECIMAL, 16, MOST_DIGITS[Type.DECIMAL], field.scale)
        with localcontext(Context(wide.digits)):
            totals = groups.reduce(np.add, _decimals(field, column, Decimal(0)), Decimal(0))
        return _decimal(wide, totals, _present(column, groups) == 0)
    if field.type in _FRACTIONS:
        result, dtype = _DOUBLE, "<f8"
    else:
        result, dtype = (_UBIGINT, "<u8") if field.type in _UNSIGNED else (_BIGINT, "<i8")
    values = np.where(column.nulls, np.zeros(1, dtype), column.values.astype(dtype))
    # A sum begins with 0, so that one of -0.0 alone is 0 (measured, all versions).
    totals = groups.reduce(np.add, values, 0) + np.zeros(1, dtype)
    return Vector(result, FixedColumn(totals, _present(column, groups) == 0))


def _average(field: Field, column: FixedColumn, groups: Groups) -> Vector:
    values = np.where(column.nulls, 0.0, column.values.astype(np.float64))
    counts = _present(column, groups)
    totals = groups.reduce(np.add, values, 0).astype(np.float64)
    return Vector(_DOUBLE, FixedColumn(totals / np.maximum(counts, 1), counts == 0))


def _extreme(function: np.ufunc, field: Field, column: FixedColumn, groups: Groups) -> Vector:
    if field.type in DECIMALS:
        farthest = Decimal("Infinity") if function is np.minimum else Decimal("-Infinity")
        found = groups.reduce(function, _decimals(field, column, farthest), farthest)
        return _decimal(field, found, _present(column, groups) == 0)
    dtype = column.values.dtype
    if dtype.kind == "f":
        worst: object = np.inf if function is np.minimum else -np.inf
    else:
        limits = np.iinfo(dtype.name)
        worst = limits.max if function is np.minimum else limits.min
    values = np.where(column.nulls, np.array(worst, dtype), column.values)
    return Vector(field, FixedColumn(groups.reduce(function, values, worst), _present(column, groups) == 0))


def _minimum(field: Field, column: FixedColumn, groups: Groups) -> Vector:
    return _extreme(np.minimum, field, column, groups)


def _maximum(field: Field, column: FixedColumn, groups: Groups) -> Vector:
    return _extreme(np.maximum, field, column, groups)


def _spread(field: Field, column: FixedColumn, groups: Groups) -> Vector:
    low, high = (function(field, column, groups).column for function in (_minimum, _maximum))
    assert isinstance(low, FixedColumn)
    assert isinstance(high, FixedColumn)
    values = high.values.astype(np.float64) - low.values.astype(np.float64)
    return Vector(_DOUBLE, FixedColumn(np.where(low.nulls, 0.0, values), low.nulls))


_NUMERIC: dict[str, Callable[[Field, FixedColumn, Groups], Vector]] = {
    "sum": _sum,
    "avg": _average,
    "min": _minimum,
    "max": _maximum,
    "spread": _spread,
}

AGGREGATES = frozenset({"count", "first", "last", "last_row", *_NUMERIC})


def aggregates_in(expression: Expression) -> list[Call]:
    """The aggregates inside of an expression."""
    if isinstance(expression, Call) and expression.function in AGGREGATES:
        return [expression]
    return [call for child in children(expression) for call in aggregates_in(child)]
