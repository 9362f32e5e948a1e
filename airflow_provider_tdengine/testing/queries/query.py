"""SELECT: which tables and rows, in which groups, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Flags, Ints, Value, column_to_list
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.testing.language import (
    Call,
    Expression,
    Literal,
    Name,
    Select,
    SelectItem,
    Star,
    duration_steps,
)
from airflow_provider_tdengine.testing.queries.aggregates import Groups, aggregate, aggregates_in
from airflow_provider_tdengine.testing.queries.expressions import comparable, evaluate, truth
from airflow_provider_tdengine.testing.queries.frames import Frame, Scan, Vector
from airflow_provider_tdengine.testing.queries.where import names_in, narrow
from airflow_provider_tdengine.testing.stored import Table, murmur


@dataclass
class Result:
    """The rows of an answer.

    Parameters:
        block: all of them.
        precision: of their timestamps.
        is_data: rows as they stand in tables, rather than counts, names or settings.
    """

    block: Block
    precision: Precision
    is_data: bool = False


def select_frame(select: Select, frame: Frame) -> Result:
    """SELECT from rows that are there already: a view of the catalog, an inner query, or no table at all."""
    if select.where is not None:
        frame = frame.take(truth(select.where, frame))
    return _Query(select, frame, None, None).result()


def select_scan(select: Select, scan: Scan) -> Result:
    """SELECT from a table or super table."""
    rest = narrow(select.where, scan)
    if _is_of_tables(select, scan, rest):
        if select.distinct and scan.generation.reads_by_tag:
            # As they were made: the recordings of 2.4.0.18 and 2.6.0.66 agree.
            scan.tables = sorted(scan.tables, key=lambda table: table.uid)
        return _Query(select, scan.table_frame(), None, None).result()
    if _groups_by_table(select, scan):
        scan.tables = _in_order_of_groups(scan)
    frame, counts = scan.row_frame()
    for condition in rest:
        chosen = truth(condition, frame)
        tables = np.repeat(np.arange(len(counts)), counts)[chosen]
        counts = np.bincount(tables, minlength=len(counts)).astype(np.int64)
        frame = frame.take(chosen)
    return _Query(select, frame, scan, counts).result()


_TABLES = Call("count", (Name("tbname"),))
"""How 2.x counts subtables."""


def _is_of_tables(select: Select, scan: Scan, rest: Sequence[Expression]) -> bool:
    """True where the answer has a row a table: nothing but tags and names is asked for."""
    if select.tags:
        return True
    one_a_table = select.distinct or scan.generation.tags_a_table
    if not (scan.is_super and one_a_table and not rest and scan.is_timeless):
        return False
    if select.group or select.partition or select.interval:
        return False
    if scan.generation.tags_a_table and [item.expression for item in select.items] == [_TABLES]:
        # 2.4.0.18 and 2.6.0.27; in 3.x it counts rows.
        return True
    return all(
        bool(names) and all(scan.is_of_table(name) for name in names) and not aggregates_in(item.expression)
        for item in select.items
        for names in (names_in(item.expression),)
    )


def _groups_by_table(select: Select, scan: Scan) -> bool:
    """True where each group is a table, or a part of one."""
    keys = select.group or select.partition
    named = [key for key in keys if isinstance(key, Name) and scan.is_of_table(key.name)]
    return Name("tbname") in keys and len(named) == len(keys)


def _in_order_of_groups(scan: Scan) -> list[Table]:
    """The tables in the order in which GROUP BY tbname and PARTITION BY tbname have them."""
    if not scan.generation.groups_by_name:
        return scan.tables[::-1]
    return sorted(scan.tables, key=lambda table: (len(table.name.encode("utf-8", "surrogateescape")), table.name))


class _Query:
    """One SELECT over one frame.

    Parameters:
        select: the statement.
        frame: the rows that WHERE has left.
        scan: the tables that they come from, None for rows of anything else.
        counts: rows a table of the scan.
    """

    def __init__(self, select: Select, frame: Frame, scan: Scan | None, counts: Ints | None) -> None:
        self.select = select
        self.frame = frame
        self.scan = scan
        self.counts = counts
        self.generation = frame.generation
        self.items = self.expanded()
        self.check_json()

    def expanded(self) -> list[SelectItem]:
        """The SELECT list with `*` as columns."""
        items: list[SelectItem] = []
        for item in self.select.items:
            match item.expression:
                case Star():
                    items += [SelectItem(Name(field.name), field.name) for field in self.frame.fields]
                case Call(function="first" | "last" | "last_row" as function, arguments=(Star(),)):
                    items += [
                        SelectItem(Call(function, (Name(field.name),)), f"{function}({field.name})")
                        for field in self.frame.fields
                    ]
                case _:
                    items.append(item)
        if self.generation.edge_keeps_name and self.select.group:
            self.name_edge(items)
        return items

    def name_edge(self, items: list[SelectItem]) -> None:
        """Call the only aggregate as its column, if it is FIRST or LAST and has no name of its own."""
        aggregated = [number for number, item in enumerate(items) if aggregates_in(item.expression)]
        if len(aggregated) == 1:
            match items[aggregated[0]]:
                case SelectItem(Call(function="first" | "last" as function, arguments=(Name(name),)) as call, heading):
                    if heading == f"{function}({name})" and not self.is_timestamp(name):
                        items[aggregated[0]] = SelectItem(call, name)

    def is_timestamp(self, name: str) -> bool:
        return self.scan is not None and name == self.scan.source.schema.timestamp

    def check_json(self) -> None:
        """3.3 cannot group by JSON, which is how it finds what is distinct."""
        grouped = [*self.select.group, *self.select.partition]
        if self.select.distinct:
            grouped += [item.expression for item in self.items]
        names = {key.name for key in grouped if isinstance(key, Name)}
        has_json = any(field.type is Type.JSON and field.name in names for field in self.frame.fields)
        if has_json and not self.generation.distinct_json:
            raise self.generation.errors("json_group")

    def result(self) -> Result:
        aggregated = any(aggregates_in(item.expression) for item in self.items)
        if aggregated or self.select.group or self.select.interval:
            vectors, frame, rows = self.grouped()
        else:
            frame, rows = self.frame, self.frame.rows
            vectors = [evaluate(item.expression, frame) for item in self.items]
        fields = tuple(replace(v.field, name=item.heading) for v, item in zip(vectors, self.items, strict=True))
        columns = tuple(vector.expand(rows) for vector in vectors)
        order = self.ordering(columns, frame, rows)
        block = Block(fields, columns, rows)
        if order is not None:
            block = block.take(order)
        if self.select.distinct:
            block = _distinct(block)
        if self.select.limit is not None:
            block = block.take(slice(self.select.offset, self.select.offset + self.select.limit))
        return Result(block, frame.precision, self.scan is not None and not aggregated)

    # --- Order

    def ordering(self, columns: tuple[Column, ...], frame: Frame, rows: int) -> Ints | None:
        """The row numbers in the order of ORDER BY."""
        if not self.select.order:
            return None
        keys: list[Ints] = []
        for key in self.select.order:
            column = self.order_column(key.expression, columns, frame, rows)
            ranks = _ranks(column)
            keys.append(~ranks if key.descending else ranks)
        if len(keys) == 1:
            order: Ints = np.argsort(keys[0], kind="stable")
            return order
        return np.lexsort(tuple(reversed(keys)))

    def order_column(self, expression: Expression, columns: tuple[Column, ...], frame: Frame, rows: int) -> Column:
        if isinstance(expression, Literal) and isinstance(expression.value, int):
            if not 1 <= expression.value <= len(columns):
                raise self.generation.errors("bad_expression", why=f"there is no column {expression.value}")
            return columns[expression.value - 1]
        for item, column in zip(self.items, columns, strict=True):
            if expression == item.expression or (isinstance(expression, Name) and expression.name == item.heading):
                return column
        return evaluate(expression, frame).expand(rows)

    # --- Groups

    def grouped(self) -> tuple[list[Vector], Frame, int]:
        """The values of the SELECT list, one a group; the frame of the groups; how many there are."""
        select = self.select
        if select.group and select.interval and not self.generation.interval_prepends_start:
            raise self.generation.errors("group_and_window")
        keys = select.group or select.partition
        per_table = self.scan is not None and _groups_by_table(select, self.scan)
        groups, tables = self.groups(keys, per_table)
        starts: Ints | None = None
        if select.interval:
            groups, starts, parents = self.windows(groups)
            tables = None if tables is None else tables[parents]
        calls = {call for item in self.items for call in aggregates_in(item.expression)}
        calls |= {call for key in select.order for call in aggregates_in(key.expression)}
        aggregates = {call: aggregate(call, self.frame, groups) for call in calls}
        self.slip(groups, aggregates, per_table)
        emitted = np.flatnonzero(self.emitted(groups, aggregates, per_table))
        computed: dict[Expression, Vector] = {
            call: Vector(vector.field, vector.column.take(emitted)) for call, vector in aggregates.items()
        }
        frame = self.group_frame(groups, tables, starts, emitted)
        self.add_columns(frame, per_table)
        return [evaluate(item.expression, frame, computed) for item in self.items], frame, len(emitted)

    def add_columns(self, frame: Frame, per_table: bool) -> None:
        """What 2.x adds to the SELECT list by itself."""
        if self.select.interval and self.generation.interval_prepends_start:
            self.items = [SelectItem(Name("_wstart"), "ts"), *self.items]
        if self.select.group and self.generation.group_appends_key:
            keys = [key for key in self.select.group if isinstance(key, Name)]
            self.items = [*self.items, *(SelectItem(key, key.name) for key in keys)]

    def times(self) -> Ints:
        """The timestamps of the frame's rows; zeros where it has none."""
        name = (
            self.scan.source.schema.timestamp
            if self.scan
            else next((field.name for field in self.frame.fields if field.type is Type.TIMESTAMP), None)
        )
        if name is None:
            return np.zeros(self.frame.rows, np.int64)
        column = self.frame.column(name).column
        assert isinstance(column, FixedColumn)
        return column.values.astype(np.int64, copy=False)

    def groups(self, keys: Sequence[Expression], per_table: bool) -> tuple[Groups, Ints | None]:
        """The groups, and each group's table where a group is a table."""
        times = self.times()
        if per_table and self.counts is not None:
            starts = np.cumsum(self.counts) - self.counts
            return Groups(None, starts, self.counts, True, times), np.arange(len(self.counts))
        if not keys:
            by_time = self.scan is None or not self.scan.is_super
            return Groups(None, np.zeros(1, np.int64), np.array([self.frame.rows]), by_time, times), None
        ranks = [_ranks(evaluate(key, self.frame).expand(self.frame.rows)) for key in keys]
        return _groups_of(ranks, times), None

    def windows(self, groups: Groups) -> tuple[Groups, Ints, Ints]:
        """The windows of INTERVAL in each group: groups, starts of the windows, and the group of each."""
        assert self.select.interval is not None
        try:
            width = duration_steps(self.select.interval.count, self.select.interval.unit, self.frame.precision)
        except ValueError as error:
            raise self.generation.errors("bad_expression", why=str(error)) from error
        if width <= 0:
            raise self.generation.errors("bad_expression", why="the interval is shorter than a step of the precision")
        starts = groups.times // width * width
        parent = np.repeat(np.arange(len(groups)), groups.counts)
        of_row = np.empty(len(starts), np.int64)
        of_row[slice(None) if groups.order is None else groups.order] = parent
        windows = _groups_of([of_row, starts], groups.times)
        first = windows.first_rows()
        return windows, starts[first], of_row[first]

    def emitted(self, groups: Groups, computed: Mapping[Call, Vector], per_table: bool) -> Flags:
        """Which groups are in the answer: those with rows, and all of them where something is counted in 3.x."""
        filled = groups.counts > 0
        if self.generation.nothing_is_left_out and computed:
            has_value: Flags = np.logical_or.reduce([_finds(call, vector) for call, vector in computed.items()])
            return filled & has_value
        counts_empty = self.generation.counts_empty_tables if per_table else self.generation.counts_nothing
        counts_all = counts_empty and any(call.function == "count" for call in computed)
        return np.ones(len(groups), np.bool_) if counts_all and not self.select.interval else filled

    def slip(self, groups: Groups, computed: Mapping[Call, Vector], per_table: bool) -> None:
        """What 2.4 does to FIRST of the timestamp beside SUM, MIN or MAX: of some large tables it is a step too low.

        Measured 2.4.0.18: of 2 of 288 tables of 25,000 rows. Here, by their names, of a quarter of those with more
        than 1000 rows.
        """
        others = {call.function for call in computed}
        if not (self.generation.first_slips and per_table and self.scan and others & {"sum", "min", "max"}):
            return
        first = computed.get(Call("first", (Name(self.scan.source.schema.timestamp),)))
        if first is None or self.select.interval:
            return
        names = [table.name.encode("utf-8", "surrogateescape") for table in self.scan.tables]
        slips = np.array([murmur(name) % 4 == 0 for name in names], np.bool_)
        assert isinstance(first.column, FixedColumn)
        first.column.values = first.column.values - ((groups.counts > 1000) & slips)

    def group_frame(self, groups: Groups, tables: Ints | None, starts: Ints | None, emitted: Ints) -> Frame:
        """A row a group: what its rows have in common."""
        first = groups.first_rows()[emitted]
        per_table = self.scan.table_frame() if self.scan is not None and tables is not None else None

        def load(name: str) -> Vector:
            if name == "_wstart" and starts is not None:
                return _times_vector(name, starts[emitted])
            if per_table is not None and tables is not None and self.scan is not None and self.scan.is_of_table(name):
                vector = per_table.column(name)
                return Vector(vector.field, vector.column.take(tables[emitted]))
            vector = self.frame.column(name)
            return Vector(vector.field, vector.column.take(first))

        frame = self.frame
        return Frame(frame.fields, len(emitted), load, frame.precision, frame.generation, frame.functions)


def _finds(call: Call, vector: Vector) -> Flags:
    """In which groups with rows an aggregate finds a value."""
    if call.function == "last_row":
        return np.ones(len(vector.column), np.bool_)
    if call.function == "count":
        assert isinstance(vector.column, FixedColumn)
        return vector.column.values.astype(np.int64) > 0
    return ~vector.column.nulls


def _times_vector(name: str, values: Ints) -> Vector:
    return Vector(Field(name, Type.TIMESTAMP, 8), FixedColumn(values, np.zeros(len(values), np.bool_)))


def _groups_of(ranks: Sequence[Ints], times: Ints) -> Groups:
    """The rows with equal ranks, in the order of the ranks and then of time."""
    order = np.lexsort((times, *reversed(ranks)))
    changes = np.zeros(len(order), np.bool_)
    changes[:1] = True
    for rank in ranks:
        ordered = rank[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(changes)
    counts = np.diff(np.append(starts, len(order)))
    return Groups(order, starts, counts, True, times)


def _ranks(column: Column) -> Ints:
    """Whole numbers that order as the values do, NULL first."""
    if isinstance(column, FixedColumn) and column.values.dtype.kind == "i" and not column.nulls.any():
        return column.values.astype(np.int64, copy=False)
    values = comparable(Vector(Field("", Type.BIGINT), column))
    _, inverse = np.unique(values, return_inverse=True)
    return np.where(column.nulls, -1, inverse).astype(np.int64)


def _distinct(block: Block) -> Block:
    """Each row once, where it stands first."""
    values: list[list[Value]] = [column_to_list(f, c) for f, c in zip(block.fields, block.columns, strict=True)]
    first: dict[tuple[Value, ...], int] = {}
    for number, row in enumerate(zip(*values, strict=True)):
        first.setdefault(row, number)
    return block.take(np.fromiter(first.values(), np.int64, len(first)))
