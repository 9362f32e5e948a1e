"""WHERE: what narrows the tables and the time, and what has to be tested row by row."""

from __future__ import annotations

import math
import operator as operators
from collections.abc import Callable, Sequence

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.testing.language import Binary, Expression, In, Literal, Name, Star, children, parse_time
from airflow_provider_tdengine.testing.queries.expressions import constant, truth
from airflow_provider_tdengine.testing.queries.frames import Scan
from airflow_provider_tdengine.testing.stored import SuperTable, Table

_COMPARE_NAMES: dict[str, Callable[[str, str], bool]] = {
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
    "=": operators.eq,
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def names_in(expression: Expression) -> set[str]:
    """The columns that an expression names; `*` for all of them."""
    if isinstance(expression, Name):
        return {expression.name}
    if isinstance(expression, Star):
        return {"*"}
    return {name for child in children(expression) for name in names_in(child)}


def _conditions(expression: Expression | None) -> list[Expression]:
    """What AND joins."""
    if expression is None:
        return []
    if isinstance(expression, Binary) and expression.operator == "and":
        return _conditions(expression.left) + _conditions(expression.right)
    return [expression]


def narrow(where: Expression | None, scan: Scan) -> list[Expression]:
    """Leave out tables and times; the conditions that remain need the rows."""
    rest: list[Expression] = []
    of_tables: list[Expression] = []
    bounds: list[tuple[str, str]] = []
    lists: list[list[str]] = []
    constants = scan.table_frame()
    for condition in _conditions(where):
        compared = _compared(condition)
        names = names_in(condition)
        if compared and compared[0] == scan.source.schema.timestamp:
            _narrow_time(scan, compared[1], constant(compared[2], constants))
        elif compared and compared[0] == "tbname":
            bounds.append((compared[1], str(constant(compared[2], constants))))
        elif (listed := _listed_names(condition)) is not None:
            lists.append(listed)
        elif names and all(scan.is_of_table(name) for name in names):
            of_tables.append(condition)
        else:
            rest.append(condition)
    if bounds or lists:
        scan.tables = _named(scan, bounds, lists)
    for condition in of_tables:
        chosen = truth(condition, scan.table_frame())
        scan.tables = [table for table, keep in zip(scan.tables, chosen.tolist(), strict=True) if keep]
    return rest


def equalities(where: Expression | None) -> dict[str, Value]:
    """The columns that WHERE wants to be equal to a constant."""
    wanted: dict[str, Value] = {}
    for condition in _conditions(where):
        compared = _compared(condition)
        if compared and compared[1] == "=" and isinstance(compared[2], Literal):
            wanted[compared[0]] = compared[2].value
    return wanted


def _compared(condition: Expression) -> tuple[str, str, Expression] | None:
    """The column, the operator and the constant of a comparison, if it is one."""
    if not isinstance(condition, Binary) or condition.operator not in _MIRRORED:
        return None
    if isinstance(condition.left, Name) and not names_in(condition.right):
        return condition.left.name, condition.operator, condition.right
    if isinstance(condition.right, Name) and not names_in(condition.left):
        return condition.right.name, _MIRRORED[condition.operator], condition.left
    return None


def _narrow_time(scan: Scan, operator: str, value: Value) -> None:
    if isinstance(value, str):
        try:
            value = parse_time(value, scan.precision)
        except ValueError as error:
            raise scan.generation.errors("bad_expression", why=str(error)) from error
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise scan.generation.errors("bad_expression", why=f"{value!r} is no timestamp")
    low, high = -(1 << 63), (1 << 63) - 1
    if operator in (">", ">=", "="):
        low = math.floor(value) + 1 if operator == ">" else math.ceil(value)
    if operator in ("<", "<=", "="):
        high = math.ceil(value) - 1 if operator == "<" else math.floor(value)
    scan.low, scan.high, scan.is_timeless = max(scan.low, low), min(scan.high, high), False


def _listed_names(condition: Expression) -> list[str] | None:
    """The names of `tbname IN (...)`; None if that is not what the condition is."""
    if not isinstance(condition, In) or condition.operand != Name("tbname") or condition.negated:
        return None
    if not all(isinstance(value, Literal) for value in condition.values):
        return None
    return list(dict.fromkeys(str(value.value) for value in condition.values if isinstance(value, Literal)))


def _named(scan: Scan, bounds: Sequence[tuple[str, str]], lists: Sequence[Sequence[str]]) -> list[Table]:
    """The tables whose names are within all bounds and on all lists, in the order of reading."""

    def fits(name: str) -> bool:
        return all(_COMPARE_NAMES[operator](name, bound) for operator, bound in bounds) and all(
            name in listed for listed in lists[1:]
        )

    if not isinstance(scan.source, SuperTable):
        return [table for table in scan.tables if fits(table.name) and all(table.name in listed for listed in lists)]
    tables = scan.source.tables
    if not lists:
        lows = [(bound, operator == ">") for operator, bound in bounds if operator in (">", ">=", "=")]
        highs = [(bound, operator != "<") for operator, bound in bounds if operator in ("<", "<=", "=")]
        low, low_open = max(lows, default=("", False))
        high, high_closed = min(highs, default=(None, True))
        names = scan.source.names_between(low, high, low_open, not high_closed)
    else:
        names = [name for name in lists[0] if fits(name)]
        if scan.generation.strays_in_lists:
            tables = {name: table for name in names if (table := scan.database.tables.get(name)) and table.stable}
    return sorted((tables[name] for name in names if name in tables), key=scan.source.place)
