"""What tables hold: the one question about rows. How many each table has, from when to when, and what columns come to.

An answer is believed if its rows add up to what `COUNT(*)` of the same conditions says: answers over REST may be cut,
and those of 2.x are when a fetch fails midway. It is asked again as long as a retry may help.

Where rows lie in files and not in a server, the same questions have other answers (`migration.offline.stored`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from itertools import islice
from typing import TypeVar

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Flags, Ints, VariableColumn, concatenate
from airflow_provider_tdengine.client.errors import AnswerError, BlockError, IncompleteResult
from airflow_provider_tdengine.client.result import Result, as_name, as_number
from airflow_provider_tdengine.client.sql import name_range, own_names, where
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog.catalog import Catalog, Table
from airflow_provider_tdengine.migration.catalog.scope import Scope
from airflow_provider_tdengine.migration.retry import persist

_T = TypeVar("_T")

Period = tuple["int | None", "int | None"]
"""From which timestamp on, and before which, in steps of a database; None for no start, no end."""

EXPRESSIONS_A_QUERY = 400
"""A tenth of the columns that a result may have; REST of 2.4 answers many tables with so many in a few megabytes."""

_SIBLINGS = 100
"""Selects of a UNION ALL in 2.x, at most."""

ANSWERS_A_QUERY = 2_000_000
"""Tables times expressions of a query: their answers are in memory together, in nine bytes each."""


NAME_BYTES = 500_000
"""Bytes of the names in a query: half of what a statement may have."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one table holds.

    Parameters:
        name: the table.
        rows: how many there are.
        first: the first timestamp, in steps of the database's precision.
        last: the last timestamp.
    """

    name: str
    rows: int
    first: int
    last: int


@dataclass(slots=True)
class Holdings(Sequence[Holding]):
    """What tables with rows hold, by name as UTF-8 bytes, which is the order of code points.

    A plan knows those of all tables: they take about 100 bytes each.

    Parameters:
        names: (tables,) the tables.
        rows: (tables,) how many rows each has.
        first: (tables,) its first timestamp, in steps of the database.
        last: (tables,) its last timestamp.
        measures: (tables,) each, what was asked besides.
    """

    names: list[str]
    rows: Ints
    first: Ints
    last: Ints
    measures: tuple[FixedColumn, ...] = ()

    @classmethod
    def of(cls, holdings: Sequence[Holding]) -> Holdings:
        """Of tables that are known one by one."""
        ordered = sorted(holdings, key=lambda holding: holding.name)
        numbers = np.array([(one.rows, one.first, one.last) for one in ordered], np.int64).reshape(-1, 3)
        return cls([one.name for one in ordered], *numbers.T)

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return int(self.rows.sum())

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: int) -> Holding:  # type: ignore[override]
        return Holding(self.names[place], int(self.rows[place]), int(self.first[place]), int(self.last[place]))

    def __iter__(self) -> Iterator[Holding]:
        return map(Holding, self.names, self.rows.tolist(), self.first.tolist(), self.last.tolist())

    def take(self, places: Ints | Flags) -> Holdings:
        """Some of the tables, in this order."""
        chosen = np.flatnonzero(places) if places.dtype == np.bool_ else places
        measures = tuple(column.take(chosen) for column in self.measures)
        names = [self.names[place] for place in chosen.tolist()]
        return Holdings(names, self.rows[chosen], self.first[chosen], self.last[chosen], measures)


@singledispatch
def holdings(
    catalog: Catalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None = None
) -> Holdings:
    """The subtables of a super table that have rows in a period, by name; or the normal table itself.

    Parameters:
        catalog: the database.
        table: a super table or a normal table.
        scope: which subtables are meant.
        period: of the rows.
        stop: set by somebody who wants it to stop soon.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    if not table.is_super:
        found = together(catalog, table, scope, period, stop)
        return Holdings.of([found] if found else [])
    return _in_scope(persist(partial(_checked, catalog, table, scope, period), stop), scope, table)


@singledispatch
def together(
    catalog: Catalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None = None
) -> Holding | None:
    """What a super table's subtables in scope hold as one, or what a normal table holds; None for no row.

    Parameters:
        catalog: the database.
        table: a super table or a normal table.
        scope: which subtables are meant.
        period: of the rows.
        stop: set by somebody who wants it to stop soon.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    persist(catalog.look_anew, stop)
    return _together(catalog, table, scope, period, stop)


def _together(
    catalog: Catalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None
) -> Holding | None:
    dialect = catalog.client.dialect

    def answer(bounds: list[str]) -> Block | None:
        with catalog.session() as session:
            statement = f"SELECT {', '.join(bounds)} FROM {catalog.table(table.name)}"
            return _whole(session.query(statement + where(_conditions(table, scope, period))), len(bounds))

    def ask() -> Holding | None:
        block = answer(dialect.bounds(table.time_column))
        if block and table.is_super and dialect.generation == 3 and _reaches_1970(block):
            block = answer(dialect.exact_bounds(table.time_column))
        return None if block is None else next(iter(_holdings([table.name], block)), None)

    found = persist(ask, stop)
    if found and table.is_super and not scope.is_exact(table.name):
        listed = holdings(catalog, table, scope, period, stop)
        return Holding(table.name, listed.total, int(listed.first.min()), int(listed.last.max())) if listed else None
    return found


@singledispatch
def each(
    catalog: Catalog, tables: Sequence[Table], scope: Scope, period: Period, stop: threading.Event | None = None
) -> list[Holding]:
    """`together` of several tables, those that have rows; normal tables with a statement for a hundred of them.

    Parameters:
        catalog: the database.
        tables: super tables and normal tables.
        scope: which subtables are meant.
        period: of the rows.
        stop: set by somebody who wants it to stop soon.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    persist(catalog.look_anew, stop)
    found = [_together(catalog, table, scope, period, stop) for table in tables if table.is_super]
    normal = [table for table in tables if not table.is_super]
    for start in range(0, len(normal), _SIBLINGS):
        found += persist(partial(_united, catalog, normal[start : start + _SIBLINGS], period), stop)
    return [one for one in found if one]


@singledispatch
def count(catalog: Catalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None = None) -> int:
    """How many rows there are: `together` without the bounds, which cost more.

    Parameters:
        catalog: the database.
        table: a super table or a normal table.
        scope: which subtables are meant.
        period: of the rows.
        stop: set by somebody who wants it to stop soon.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    rows = persist(partial(_count, catalog, table, scope, period), stop)
    if rows and table.is_super and not scope.is_exact(table.name):
        return holdings(catalog, table, scope, period, stop).total
    return rows


@singledispatch
def measured(
    catalog: Catalog,
    table: Table,
    scope: Scope,
    period: Period,
    known: Holdings,
    expressions: Sequence[str],
    stop: threading.Event | None = None,
) -> Iterator[Holdings]:
    """Tables with what aggregates of their columns come to, a range of names at a time.

    Of tables that the server cannot answer for, nothing comes: a sum beyond DOUBLE cuts the JSON of a 2.x adapter,
    and tables may have gone.

    Parameters:
        catalog: the database.
        table: a super table or a normal table.
        scope: which subtables are meant.
        period: of the rows.
        known: what `holdings` has answered.
        expressions: aggregates.
        stop: set by somebody who wants it to stop soon.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    size = max(1, ANSWERS_A_QUERY // max(1, len(expressions)))
    pending = [(start, min(start + size, len(known))) for start in range(0, len(known), size)][::-1]
    while pending:
        start, end = pending.pop()
        part = scope.between(known.names[start], known.names[end] if end < len(known) else None)
        try:
            yield persist(partial(_measured, catalog, table, part, period, expressions), stop, readings=1)
        except (IncompleteResult, BlockError):
            if end - start > _FEWEST:
                middle = (start + end) // 2
                pending += [(middle, end), (start, middle)]


def in_slices(
    catalog: Catalog,
    table: Table,
    names: Sequence[str],
    period: tuple[int, int],
    width: int,
    precision: Precision,
    stop: threading.Event | None = None,
) -> Ints:
    """How many rows some subtables have in each slice of a period.

    Parameters:
        catalog: the database.
        table: their super table, or a normal table.
        names: its subtables that are meant; or the normal table itself.
        period: of the rows.
        width: of a slice, in steps of the database; slices begin at multiples of it.
        precision: of the database.
        stop: set by somebody who wants it to stop soon.

    Returns:
        (tables, slices) rows.

    Raises:
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    return persist(partial(_sliced, catalog, table, names, period, width, precision), stop)


def row_owners(column: Column, places: Mapping[bytes, int]) -> Ints:
    """(rows,) the place of each row's subtable, whose name is in a column, mostly in runs; -1 where it has none.

    Raises:
        BlockError: the column has no text.
    """
    if not isinstance(column, VariableColumn):
        raise BlockError("an answer has no text where names of tables were asked for")
    starts = column.run_starts()
    runs = [places.get(name or b"", -1) for name in column.take(starts).to_bytes_list()]
    return np.repeat(np.array(runs, np.int64), np.diff(starts, append=len(column)))


_FEWEST = 16
"""Tables that are given up together when the server has no whole answer for them."""


# --- Answers


def _conditions(table: Table, scope: Scope, period: Period) -> list[str]:
    return (scope.conditions(table.name) if table.is_super else []) + table.period(*period)


def _count(catalog: Catalog, table: Table, scope: Scope, period: Period) -> int:
    """Rows that meet what SQL can say of the scope; 2.x answers no row for none."""
    catalog.look_anew()
    return catalog.count(f"SELECT COUNT(*) FROM {catalog.table(table.name)}{where(_conditions(table, scope, period))}")


def _checked(catalog: Catalog, table: Table, scope: Scope, period: Period) -> Holdings:
    """A listing whose rows are as many as `COUNT(*)` says."""

    def listed() -> tuple[Holdings, int]:
        found = _listed(catalog, table, scope, period, ())
        return found, found.total

    return _counted(catalog, table, _conditions(table, scope, period), listed)


def _counted(catalog: Catalog, table: Table, conditions: list[str], ask: Callable[[], tuple[_T, int]]) -> _T:
    """An answer whose rows are as many as `COUNT(*)` says, before it or after it: rows may come and go meanwhile."""
    catalog.look_anew()
    statement = f"SELECT COUNT(*) FROM {catalog.table(table.name)}{where(conditions)}"
    before = catalog.count(statement)
    answer, rows = ask()
    if rows != before:
        after = catalog.count(statement)
        if not min(before, after) <= rows <= max(before, after):
            raise IncompleteResult(
                f"{rows:,} rows of {table.name!r} were listed where {catalog.client.address} counts {after:,}"
            )
    return answer


def _sliced(
    catalog: Catalog, table: Table, names: Sequence[str], period: tuple[int, int], width: int, precision: Precision
) -> Ints:
    conditions = table.period(*period)
    if table.is_super:
        own = own_names(names)
        is_short = len(own.encode()) <= min(catalog.client.server.max_message, NAME_BYTES)
        conditions = ([own] if is_short else name_range(min(names), max(names))) + conditions
    dialect, place = catalog.client.dialect, catalog.table(table.name)
    statement = dialect.by_slice(place, where(conditions), width, precision, is_super=table.is_super)
    first, behind = period[0] // width, -(-period[1] // width)
    places = {name.encode("utf-8", "surrogateescape"): place for place, name in enumerate(names)}

    def ask() -> tuple[Ints, int]:
        found, rows = np.zeros((len(names), behind - first), np.int64), 0
        with catalog.session() as session:
            block = _whole(session.query(statement), 2 + table.is_super)
        if block is not None:
            begins, counts = (_whole_numbers(column) for column in block.columns[:2])
            lines = row_owners(block.columns[2], places) if table.is_super else np.zeros(block.rows, np.int64)
            meant, rows = lines >= 0, int(counts.sum())
            slices = np.clip(begins[meant] // width - first, 0, behind - first - 1)
            np.add.at(found, (lines[meant], slices), counts[meant])
        return found, rows

    return _counted(catalog, table, conditions, ask)


def _whole_numbers(column: Column) -> Ints:
    """The values of a column that has to have whole numbers.

    Raises:
        BlockError: it is of another type than was asked for.
    """
    if not isinstance(column, FixedColumn) or column.values.dtype.kind not in "iu":
        raise BlockError("an answer to a question about rows has no whole numbers where these were asked for")
    return column.values.astype(np.int64)


def _measured(catalog: Catalog, table: Table, scope: Scope, period: Period, expressions: Sequence[str]) -> Holdings:
    """Tables that are in all answers of the parts of a long list of expressions, with the same rows."""
    rest = iter(expressions)
    whole: Holdings | None = None
    while part := list(islice(rest, EXPRESSIONS_A_QUERY)):
        more = _in_scope(_listed(catalog, table, scope, period, part), scope, table)
        if whole is None:
            whole = more
            continue
        places = {name: place for place, name in enumerate(more.names)}
        ours = np.array([places.get(name, -1) for name in whole.names], np.int64)
        there = ours >= 0
        there[there] &= whole.rows[there] == more.rows[ours[there]]
        whole, more = whole.take(there), more.take(ours[there])
        whole.measures += more.measures
    return whole or Holdings.of([])


def _listed(catalog: Catalog, table: Table, scope: Scope, period: Period, expressions: Sequence[str]) -> Holdings:
    """What a server lists under what SQL can say of the scope."""
    dialect, place = catalog.client.dialect, catalog.table(table.name)
    wanted = [*dialect.bounds(table.time_column), *expressions]
    conditions = where(_conditions(table, scope, period))
    if table.is_super:
        statement = dialect.by_table(place, wanted, conditions)
    else:
        statement = f"SELECT {', '.join(wanted)} FROM {place}{conditions}"
    with catalog.session() as session:
        block = _whole(session.query(statement), len(wanted) + table.is_super)
    if block is None:
        return Holdings.of([])
    if not table.is_super:
        return _holdings([table.name], block)
    return _holdings(list(map(as_name, block.column_values(0))), block.select(range(1, len(wanted) + 1)))


def _united(catalog: Catalog, tables: Sequence[Table], period: Period) -> Holdings:
    """What each of some normal tables holds; 2.x has no row for one without rows, 3.x one in any order.

    2.x wants columns of the same names, and takes a number for a column, no text (2.4.0.18, 2.6.0.27).
    """
    selects = []
    for place, table in enumerate(tables):
        bounds = catalog.client.dialect.bounds(table.time_column)
        wanted = ", ".join(f"{one} AS {name}" for one, name in zip([str(place), *bounds], "ncfl", strict=True))
        selects.append(f"SELECT {wanted} FROM {catalog.table(table.name)}{where(table.period(*period))}")
    with catalog.session() as session:
        block = _whole(session.query(" UNION ALL ".join(selects)), 4)
    rows = block.rows if block else 0
    if catalog.client.generation == 3 and rows < len(tables):
        raise IncompleteResult(f"{rows} of {len(tables)} tables were answered for by {catalog.client.address}")
    if block is None:
        return Holdings.of([])
    return _holdings([tables[as_number(place)].name for place in block.column_values(0)], block.select(range(1, 4)))


def _whole(result: Result, columns: int) -> Block | None:
    """All rows of a result, of the columns that were asked for: 2.x appends the subtable's name a second time."""
    if len(result.fields) < columns:
        raise AnswerError(f"a question about rows was answered with {len(result.fields)} columns, not {columns}")
    there = [block for block in result.blocks() if block.rows]
    return concatenate(there).select(range(columns)) if there else None


def _reaches_1970(block: Block) -> bool:
    """Whether there are rows, and the first or last one is at 1970 or before by an answer."""
    bounds = [column for column in block.columns[1:] if isinstance(column, FixedColumn)]
    return any(bool((_whole_numbers(column)[~column.nulls] <= 0).any()) for column in bounds)


def _holdings(names: list[str], block: Block) -> Holdings:
    """Those tables of an answer that have rows, by name.

    Raises:
        IncompleteResult: there are rows, but no first or last one.
        BlockError: a column is of another type than was asked for.
        AnswerError: there are more rows than tables, or fewer than none, or they end before they begin.
    """
    if block.rows != len(names):
        raise AnswerError(f"a question about {len(names)} tables was answered with {block.rows} rows")
    columns = []
    for column in block.columns:
        if not isinstance(column, FixedColumn):
            raise BlockError("an answer to a question about rows has text where numbers were asked for")
        columns.append(column)
    rows, first, last = map(_whole_numbers, columns[:3])
    if columns[0].nulls.any() or (rows < 0).any():
        raise AnswerError("a question about rows was answered with NULL or a number below 0")
    places = np.array(sorted(np.flatnonzero(rows > 0).tolist(), key=names.__getitem__), np.int64)
    if columns[1].nulls[places].any() or columns[2].nulls[places].any():
        raise IncompleteResult(f"by an answer, tables such as {names[0]!r} have rows, and no first or last one")
    if (first[places] > last[places]).any():
        raise AnswerError(f"by an answer, tables such as {names[0]!r} end before they begin")
    return Holdings(names, rows, first, last, tuple(columns[3:])).take(places)


def _in_scope(listed: Holdings, scope: Scope, table: Table) -> Holdings:
    if not table.is_super or not scope.is_partial:
        return listed
    return listed.take(np.fromiter((scope.has_subtable(name, table.name) for name in listed.names), np.bool_))
