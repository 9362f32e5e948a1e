"""Where the rows of tables lie: how many each of them has, and over which time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import IncompleteResult
from airflow_provider_tdengine.client.result import Session, all_rows
from airflow_provider_tdengine.client.sql import name_range, where
from airflow_provider_tdengine.migration.catalog.catalog import Catalog, Table
from airflow_provider_tdengine.migration.catalog.precision import TimeScale
from airflow_provider_tdengine.migration.catalog.scope import Scope


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a table's rows lie.

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

    def arrived(self, rename: Callable[[str], str], time: TimeScale) -> Extent:
        """The same rows in the target."""
        return Extent(rename(self.name), self.rows, time.apply(self.first), time.apply(self.last))


class Extents(Sequence[Extent]):
    """Many of them, by name, in about 100 bytes each: a plan holds those of all tables.

    Parameters:
        found: in any order.
    """

    __slots__ = ("_numbers", "_order", "names")

    def __init__(self, found: Iterable[Extent] = ()) -> None:
        self.names: list[str] = []
        """The tables' names, in the order in which they were found."""
        self._numbers = array("q")
        for extent in found:
            self.names.append(extent.name)
            self._numbers.extend((extent.rows, extent.first, extent.last))
        # Servers compare names as UTF-8 bytes, whose order is that of code points.
        self._order = array("i", sorted(range(len(self.names)), key=self.names.__getitem__))

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self._numbers[::3])

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> Extent: ...

    @overload
    def __getitem__(self, index: slice) -> list[Extent]: ...

    def __getitem__(self, index: int | slice) -> Extent | list[Extent]:
        if isinstance(index, slice):
            return [self._at(place) for place in self._order[index]]
        return self._at(self._order[index])

    def _at(self, place: int) -> Extent:
        return Extent(self.names[place], *self._numbers[3 * place : 3 * place + 3])


def extents(
    catalog: Catalog,
    table: Table,
    scope: Scope,
    start: int | None,
    end: int | None,
    names: tuple[str | None, str | None] = (None, None),
) -> Extents:
    """The subtables of a super table that have rows in a period, by name; or the normal table itself.

    Parameters:
        catalog: the database.
        table: a super table or a normal table.
        scope: which subtables are meant.
        start: from which timestamp on, None for the first row.
        end: before which timestamp, None for no end.
        names: the first and the last subtable's name.
    """
    times = table.period(start, end)
    if not table.is_super:
        with catalog.session() as session:
            return Extents(normal_extent(session, catalog, table, times))
    return Extents(_subtables(catalog, table, scope, scope.conditions(table.name) + name_range(*names) + times))


def _subtables(catalog: Catalog, table: Table, scope: Scope, conditions: list[str]) -> Iterator[Extent]:
    dialect = catalog.client.dialect
    bounds = dialect.bounds(table.time_column)
    statement = dialect.by_table(catalog.table(table.name), bounds, where(conditions))
    with catalog.session() as session:
        for block in session.query(statement).blocks():
            # 2.x appends the subtable's name a second time.
            for name, *bounds in zip(*(block.column_values(i) for i in range(4)), strict=True):
                if scope.has_subtable(str(name), table.name):
                    yield from _extent(str(name), *bounds)


def normal_extent(session: Session, catalog: Catalog, table: Table, times: list[str]) -> list[Extent]:
    """Where the rows of a normal table lie; nothing for an empty one."""
    bounds = ", ".join(catalog.client.dialect.bounds(table.time_column))
    statement = f"SELECT {bounds} FROM {catalog.table(table.name)}{where(times)}"
    return [extent for bounds in all_rows(session.query(statement)) for extent in _extent(table.name, *bounds)]


def _extent(name: str, rows: Value, first: Value, last: Value) -> list[Extent]:
    """One extent, or none where there are no rows.

    Raises:
        IncompleteResult: there are rows, but no first or last one.
    """
    if not rows:
        return []
    if not (isinstance(rows, int) and isinstance(first, int) and isinstance(last, int)):
        raise IncompleteResult(f"table {name!r} was said to have {rows!r} rows from {first!r} to {last!r}")
    return [Extent(name, rows, first, last)]
