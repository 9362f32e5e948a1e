"""Two databases compared row for row: every value of every row of every table, and every tag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Table


@dataclass
class Group:
    """A super table with its subtables, or a normal table.

    Parameters:
        name: its name.
        subtables: how many subtables were compared; None for a normal table.
        rows: rows of the source.
        differences: a sentence for each table that differs.
    """

    name: str
    subtables: int | None
    rows: int = 0
    differences: list[str] = field(default_factory=list)


def compare(source: Catalog, target: Catalog, report: Callable[[int], None]) -> list[Group]:
    """Read both databases, and say what differs.

    Parameters:
        source: the database that was copied.
        target: the copy.
        report: called with the number of rows compared so far.
    """
    ours = {table.name: table for table in source.tables(EVERYTHING)}
    theirs = {table.name: table for table in target.tables(EVERYTHING)}
    groups = []
    done = 0
    with source.client.session() as reader, target.client.session() as other:
        for name in sorted(ours.keys() | theirs.keys()):
            table, counterpart = ours.get(name), theirs.get(name)
            if table is None or counterpart is None:
                groups.append(Group(name, None, 0, [_missing(name, counterpart is not None)]))
                continue
            tables = _subtables(source, table)
            copies = _subtables(target, counterpart)
            group = Group(name, len(tables) if table.is_super else None)
            groups.append(group)
            if _structure(table) != _structure(counterpart):
                group.differences.append(f"{name}: the columns or tags are not the same")
                continue
            for child in sorted(tables.keys() | copies.keys()):
                if child not in tables or child not in copies:
                    group.differences.append(_missing(child, child in copies))
                    continue
                if tables[child] != copies[child]:
                    group.differences.append(
                        f"{child}: tags {tables[child]} in the source, {copies[child]} in the target"
                    )
                one, two = _read(reader, source.table(child)), _read(other, target.table(child))
                group.rows += sum(block.rows for block in one)
                if difference := _difference(one, two):
                    group.differences.append(f"{child}: {difference}")
                report(done + group.rows)
            done += group.rows
    return groups


def _missing(name: str, in_target: bool) -> str:
    return f"{name}: only the {'target' if in_target else 'source'} has it"


def _subtables(catalog: Catalog, table: Table) -> dict[str, tuple[object, ...]]:
    """The tags of each subtable; a normal table is its own."""
    if not table.is_super:
        return {table.name: ()}
    return {child.name: child.tags for child in catalog.subtables(table, EVERYTHING)}


def _structure(table: Table) -> list[tuple[str, str]]:
    return [(field.name, field.sql_type) for field in table.columns + table.tags]


def _read(session: Session, table: str) -> list[Block]:
    return list(session.query(f"SELECT * FROM {table}").blocks())


def _difference(ours: list[Block], theirs: list[Block]) -> str | None:
    """What the first difference is; both sides answer by time."""
    rows, others = (sum(block.rows for block in blocks) for blocks in (ours, theirs))
    if rows != others:
        return f"{rows} rows in the source, {others} in the target"
    for one, two in _side_by_side(ours, theirs):
        for number, column in enumerate(one.columns):
            if not _equal(column, two.columns[number]):
                return _first_difference(one, two, number)
    return None


def _side_by_side(ours: list[Block], theirs: list[Block]) -> list[tuple[Block, Block]]:
    """The same rows of both sides: servers cut results into blocks as they like."""
    bounds = sorted({0, *_ends(ours), *_ends(theirs)})
    return list(zip(_cut(ours, bounds), _cut(theirs, bounds), strict=True))


def _ends(blocks: list[Block]) -> list[int]:
    ends: list[int] = np.cumsum([block.rows for block in blocks]).tolist()
    return ends


def _cut(blocks: list[Block], bounds: list[int]) -> list[Block]:
    pieces = []
    start = 0
    for block in blocks:
        inner = [bound - start for bound in bounds if start <= bound <= start + block.rows]
        pieces += [block.take(slice(low, high)) for low, high in pairwise(inner)]
        start += block.rows
    return pieces


def _equal(one: Column, two: Column) -> bool:
    if not np.array_equal(one.nulls, two.nulls):
        return False
    one, two = one.take(~one.nulls), two.take(~two.nulls)
    if isinstance(one, FixedColumn) or isinstance(two, FixedColumn):
        # Bytes, not numbers: -0.0 and 0.0 are not the same, a NaN is the same as itself.
        return type(one) is type(two) and one.values.tobytes() == two.values.tobytes()  # type: ignore[union-attr]
    return np.array_equal(one.lengths, two.lengths) and np.array_equal(one.joined(), two.joined())


def _first_difference(one: Block, two: Block, number: int) -> str:
    name = one.fields[number].name
    times = one.column_values(0)
    for row, (value, other) in enumerate(zip(one.column_values(number), two.column_values(number), strict=True)):
        if value != other:
            moment = datetime.fromtimestamp(int(str(times[row])) / 1000, timezone.utc)
            shown = f"{moment:%Y-%m-%d %H:%M:%S}"
            return f"{name} of the row at {shown} is {value!r} in the source, {other!r} in the target"
    return f"the column {name} differs in bits that Python does not show"
