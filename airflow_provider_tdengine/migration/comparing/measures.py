"""What servers say of each table in a few queries: rows, first and last timestamp, and sums over its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice

import numpy as np

from airflow_provider_tdengine.client.block import Block, FixedColumn, Flags, Ints, concatenate
from airflow_provider_tdengine.client.errors import IncompleteResult
from airflow_provider_tdengine.client.sql import identifier, where
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.catalog import Catalog, Scope, Table

EXPRESSIONS_A_QUERY = 400
"""A tenth of the columns that a result may have; REST of 2.4 answers many tables with so many in a few megabytes."""

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


@dataclass(slots=True)
class Answers:
    """What a server said of tables that have rows.

    Parameters:
        names: (tables,) in any order.
        columns: (tables,) each: rows, first and last timestamp, then what was asked for.
    """

    names: list[str]
    columns: list[FixedColumn]

    def take(self, places: Ints | Flags) -> Answers:
        """Those of some of the tables."""
        names = np.array(self.names, object)[places].tolist()
        return Answers(names, [column.take(places) for column in self.columns])

    @property
    def rows(self) -> Ints:
        """(tables,) how many rows each has."""
        return self.columns[0].values.astype(np.int64)


def ask(
    catalog: Catalog, table: Table, scope: Scope, period: tuple[int | None, int | None], expressions: Sequence[str]
) -> Answers:
    """Ask for rows, first and last timestamp, and more, of a normal table or of all subtables of a super table.

    Parameters:
        catalog: the database.
        table: a super table or a normal table.
        scope: which subtables are meant.
        period: from which timestamp on, and before which, in steps of the database.
        expressions: aggregates.

    Raises:
        IncompleteResult: a table was in one of several answers, and not in another one.
    """
    times = table.period(*period)
    rest = iter(expressions)
    parts = [list(islice(rest, EXPRESSIONS_A_QUERY))]
    parts += iter(lambda: list(islice(rest, EXPRESSIONS_A_QUERY)), [])
    found = _ask(catalog, table, scope, times, parts[0])
    for part in parts[1:]:
        more = _ask(catalog, table, scope, times, part)
        places = {name: place for place, name in enumerate(more.names)}
        if places.keys() != set(found.names):
            raise IncompleteResult(f"subtables of {table.name!r} have got or lost rows while they were compared")
        order = np.array([places[name] for name in found.names], np.int64)
        found.columns += [column.take(order) for column in more.columns[3:]]
    return found


def _ask(catalog: Catalog, table: Table, scope: Scope, times: list[str], expressions: list[str]) -> Answers:
    dialect, place = catalog.client.dialect, catalog.table(table.name)
    bounds = dialect.bounds(table.time_column)
    if table.is_super:
        conditions = scope.conditions(table.name) + times
        statement = dialect.by_table(place, bounds + expressions, where(conditions))
    else:
        statement = f"SELECT {', '.join(bounds + expressions)} FROM {place}{where(times)}"
    with catalog.session() as session:
        blocks = [block for block in session.query(statement).blocks() if block.rows]
    width = len(bounds) + len(expressions)
    if not blocks:
        nothing = FixedColumn(np.empty(0, np.int64), np.empty(0, np.bool_))
        return Answers([], [nothing] * width)
    whole = concatenate(blocks)
    names = list(map(str, whole.column_values(0))) if table.is_super else [table.name]
    if table.is_super:
        # 2.x appends the subtable's name a second time.
        whole = whole.select(range(1, width + 1))
    return _with_rows(whole, names, scope, table)


def _with_rows(block: Block, names: list[str], scope: Scope, table: Table) -> Answers:
    """Those tables in scope that have rows."""
    columns = []
    for column in block.columns:
        assert isinstance(column, FixedColumn)
        columns.append(column)
    has_rows: Flags = columns[0].values.astype(np.int64) > 0
    if table.is_super:
        has_rows &= np.fromiter((scope.has_subtable(name, table.name) for name in names), np.bool_, len(names))
    if not has_rows.all():
        columns = [column.take(has_rows) for column in columns]
        names = [name for name, has in zip(names, has_rows.tolist(), strict=True) if has]
    if columns[1].nulls.any() or columns[2].nulls.any():
        raise IncompleteResult(f"tables of {table.name!r} were said to have rows, and no first or last one")
    return Answers(names, columns)


def same(kind: Kind, ours: FixedColumn, theirs: FixedColumn, rows: Ints) -> Flags:
    """Where two answers say the same.

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
