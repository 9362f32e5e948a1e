"""What servers can both say of a table's columns, and where it is not the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from airflow_provider_tdengine.client.block import FixedColumn, Flags, Ints
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type
from airflow_provider_tdengine.migration.catalog import Holdings, Table

_INTEGERS = frozenset(
    {
        *(Type.TINYINT, Type.SMALLINT, Type.INT, Type.BIGINT),
        *(Type.UTINYINT, Type.USMALLINT, Type.UINT, Type.UBIGINT),
    }
)
_FRACTIONS = frozenset({Type.FLOAT, Type.DOUBLE})
_SIZED = frozenset({Type.VARCHAR, Type.NCHAR, Type.VARBINARY})

_CASTS = {Type.BOOL: "INT", Type.TIMESTAMP: "BIGINT"}
"""What SUM takes of these in 3.x, where it refuses them as they are (measured 3.0.5.2, 3.3.3.0)."""


class Kind(Enum):
    """When two answers are the same."""

    EXACT = "exact"
    WHOLE = "whole"
    """Sums of whole numbers: all versions count on beyond 64 bits from the other end (measured)."""

    FLOATING = "floating"
    """Sums of fractions, which servers add up in their own order."""


@dataclass(frozen=True, slots=True)
class Measure:
    """An aggregate of a column that both servers can be asked for.

    Parameters:
        what: in words.
        source: the expression at the source.
        target: the expression at the target.
        kind: when two answers are the same.
    """

    what: str
    source: str
    target: str
    kind: Kind


def measures(sides: tuple[Table, Table], generations: tuple[int, int], *, same_time: bool) -> list[list[Measure]]:
    """What is asked of each column; the first measure counts its values.

    Parameters:
        sides: the source's table and the target's, with the same columns in the same order.
        generations: those of both servers, 2 or 3.
        same_time: whether both count the same steps.

    2.x has no aggregates of BOOL, timestamps and text (measured 2.4.0.18, 2.6.0.66).
    """
    modern = min(generations) >= 3
    found = []
    for number, (one, other) in enumerate(zip(sides[0].columns, sides[1].columns, strict=True)):
        names = identifier(one.name), identifier(other.name)
        own = [] if number == 0 else [_measure("values of", "COUNT({})", names, Kind.EXACT, one)]
        if one.type in _INTEGERS and other.type in _INTEGERS:
            own += [_measure(what, f"{what.upper()}({{}})", names, Kind.WHOLE, one) for what in ("min", "max", "sum")]
        elif one.type == other.type and one.type in _FRACTIONS:
            own += [_measure(what, f"{what.upper()}({{}})", names, Kind.EXACT, one) for what in ("min", "max")]
            own.append(_measure("sum", "SUM({})", names, Kind.FLOATING, one))
        elif one.type in DECIMALS and one.type == other.type and one.scale == other.scale:
            own += [_measure(what, f"{what.upper()}({{}})", names, Kind.EXACT, one) for what in ("min", "max")]
            # As it is, a sum of more than 38 digits is refused, for all tables.
            own.append(_measure("sum", "SUM(CAST({} AS DOUBLE))", names, Kind.FLOATING, one))
        elif modern and one.type == other.type and one.type in _SIZED:
            own.append(_measure("length of", "SUM(LENGTH({}))", names, Kind.WHOLE, one))
        elif modern and one.type == other.type and one.type in _CASTS and (same_time or one.type is not Type.TIMESTAMP):
            own.append(_measure("sum", f"SUM(CAST({{}} AS {_CASTS[one.type]}))", names, Kind.WHOLE, one))
        if own:
            found.append(own)
    return found


def _measure(what: str, expression: str, names: tuple[str, str], kind: Kind, column: Field) -> Measure:
    source, target = map(expression.format, names)
    return Measure(f"{what} {column.name}", source, target, kind)


def suspects(asked: Sequence[Sequence[Measure]], ours: Holdings, theirs: Holdings) -> Flags:
    """(tables,) for which answers are not the same; that a server cannot say something does not mean that it differs.

    Parameters:
        asked: of each column the measures, the first of which counts its values.
        ours: the source's answers.
        theirs: the target's, for the same tables in the same order.
    """
    found = np.zeros(len(ours), np.bool_)
    column = 0
    for group in asked:
        is_filled = np.ones(len(ours), np.bool_)
        for place, measure in enumerate(group):
            one, other = ours.measures[column], theirs.measures[column]
            found |= is_filled & ~_same(measure.kind, one, other, ours.rows)
            if place == 0 and len(group) > 1:
                # Of no values at all, servers say 0 or NULL.
                is_filled = (one.values.astype(np.int64) > 0) & ~one.nulls
            column += 1
    return found


def _same(kind: Kind, ours: FixedColumn, theirs: FixedColumn, rows: Ints) -> Flags:
    """(tables,) where two answers say the same.

    Parameters:
        kind: when they do.
        ours: (tables,) of the source.
        theirs: (tables,) of the target.
        rows: (tables,) how many rows were added up.
    """
    if kind is Kind.FLOATING:
        one, other = ours.values.astype(np.float64), theirs.values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            equal = np.abs(one - other) <= rows * np.finfo(np.float64).eps * np.maximum(np.abs(one), np.abs(other))
        equal |= (one == other) | (np.isnan(one) & np.isnan(other))
    elif kind is Kind.WHOLE:
        equal = ours.values.astype(np.uint64) == theirs.values.astype(np.uint64)
    else:
        equal = ours.values == theirs.values
        if ours.values.dtype.kind == "f":
            equal |= np.isnan(ours.values) & np.isnan(theirs.values)
    result: Flags = np.where(ours.nulls | theirs.nulls, ours.nulls & theirs.nulls, equal)
    return result
