"""INSERT, written blocks and CREATE TABLE ... USING: rows and subtables in large numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airflow_provider_tdengine.client.block import Column, FixedColumn, Value, column_to_list
from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.testing.changes import telling
from airflow_provider_tdengine.testing.changes.raw_blocks import read_raw_block
from airflow_provider_tdengine.testing.language import (
    BadValueError,
    BulkStatement,
    Literals,
    NewChild,
    NewRows,
    TableName,
)
from airflow_provider_tdengine.testing.stored import CHANGE, Access, Database, Part, SuperTable, Table, split

_Values = list[list[str]]


@dataclass
class _Target:
    """Rows of an INSERT, and the table they go to."""

    database: Database
    table: Table
    fields: tuple[Field, ...]
    rows: NewRows

    def is_like(self, other: _Target) -> bool:
        """True if the rows of both can be converted together."""
        return (
            self.fields == other.fields
            and self.database is other.database
            and self.table.schema.keys == other.table.schema.keys
        )


# --- Subtables


def create_children(access: Access, statement: BulkStatement) -> None:
    """CREATE TABLE ... USING, all of its tables or none.

    Raises:
        BoxError: a table is there already, a tag does not fit, ...
    """
    telling.children(access, _create(access, statement, statement.children()))


def _create(access: Access, statement: BulkStatement, wanted: Sequence[NewChild]) -> list[tuple[Database, Table]]:
    """Create subtables; what is returned are those that were not there."""
    made: list[tuple[Database, Table]] = []
    seen: set[tuple[str, str]] = set()
    # Tables in a row with the same tags of the same super table have their tags converted together.
    run: list[tuple[Database, SuperTable, NewChild]] = []
    for child in wanted:
        database = access.database_of(child.table, CHANGE)
        if child.table.name in database.tables or (database.name, child.table.name) in seen:
            if not child.if_not_exists:
                raise access.generation.errors("table_exists")
            continue
        check_table_name(access, child.table)
        stable_name = child.stable if child.stable.database else TableName(database.name, child.stable.name)
        stable = access.database_of(stable_name, CHANGE).stables.get(child.stable.name)
        if stable is None or child.table.name in database.stables:
            raise access.generation.errors("table_missing" if stable is None else "table_exists")
        seen.add((database.name, child.table.name))
        if run and (run[-1][1] is not stable or run[-1][2].tag_names != child.tag_names):
            made += _children_of(access, statement, run)
            run = []
        run.append((database, stable, child))
    made += _children_of(access, statement, run) if run else []
    for database, table in made:
        database.add_table(table)
    return made


def check_table_name(access: Access, name: TableName) -> None:
    """Raises BoxError where a table may not be called so."""
    if "." in name.name and not access.generation.dots_in_tables:
        raise access.generation.errors("dot_in_name")


def _children_of(
    access: Access, statement: BulkStatement, run: Sequence[tuple[Database, SuperTable, NewChild]]
) -> list[tuple[Database, Table]]:
    database, stable, first = run[0]
    tags = stable.schema.tags
    chosen = tags if first.tag_names is None else [_tag(access, tags, name) for name in first.tag_names]
    for _, _, child in run:
        if len(child.tags) != len(chosen):
            raise access.generation.errors("tag_count")
    literals = Literals(access.generation, database.precision)
    values: dict[str, list[Value]] = {}
    for number, tag in enumerate(chosen):
        try:
            column = literals.column(tag, [child.tags[number] for _, _, child in run])
        except BadValueError as error:
            raise statement.value_error(error, run[error.index][2].first + 2 * number, tag.name) from error
        values[tag.name] = column_to_list(tag, column)
    return [
        (
            database,
            Table(
                child.table.name,
                stable.schema,
                database.rule,
                stable,
                [values[tag.name][number] if tag.name in values else None for tag in tags],
                child.options,
            ),
        )
        for number, (database, stable, child) in enumerate(run)
    ]


def _tag(access: Access, tags: Sequence[Field], name: str) -> Field:
    tag = next((tag for tag in tags if tag.name == name), None)
    if tag is None:
        raise access.generation.errors("insert_column_missing", name=name)
    return tag


# --- Rows


def insert(access: Access, statement: BulkStatement) -> int:
    """INSERT INTO, all of its rows or none.

    Returns:
        The number of rows, those of known timestamps included.

    Raises:
        BoxError: a table or column is not there, a value does not fit, a timestamp is out of range, ...
    """
    insertions = statement.insertions()
    known = {id(rows) for rows in insertions if rows.table.name in access.database_of(rows.table, CHANGE).tables}
    new = [rows.child for rows in insertions if rows.child is not None]
    _create(access, statement, new)
    targets = [_target(access, statement, rows) for rows in insertions]
    parts: list[tuple[_Target, Part]] = []
    run: list[_Target] = []
    for target in targets:
        if run and not run[-1].is_like(target):
            parts += _parts(access, statement, run)
            run = []
        run.append(target)
    parts += _parts(access, statement, run)
    for target, part in parts:
        target.table.rows.append(part)
    named = [
        (target.database, target.table)
        for target in targets
        if target.rows.child is not None and (access.generation.tells_known_tables or id(target.rows) not in known)
    ]
    telling.written(access, named, ((target.database, target.table, part) for target, part in parts))
    return sum(part.rows for _, part in parts)


def _target(access: Access, statement: BulkStatement, rows: NewRows) -> _Target:
    database = access.database_of(rows.table, CHANGE)
    table = database.tables.get(rows.table.name)
    if table is None:
        raise access.generation.errors("table_missing")
    columns = table.schema.columns
    fields = tuple(columns)
    if rows.columns is not None:
        by_name = {column.name: column for column in columns}
        for name in rows.columns:
            if name not in by_name:
                raise access.generation.errors("insert_column_missing", name=name)
        fields = tuple(by_name[name] for name in rows.columns)
    if len(rows.values) != len(fields):
        near = statement.rest(rows.word(0, 0))[:60]
        raise access.generation.errors("value_count", near=near)
    return _Target(database, table, fields, rows)


def _parts(access: Access, statement: BulkStatement, run: Sequence[_Target]) -> list[tuple[_Target, Part]]:
    """Rows for tables with the same columns: converted in one go, then handed out."""
    database, fields = run[0].database, run[0].fields
    literals = Literals(access.generation, database.precision)
    bounds = np.cumsum([0, *(target.rows.rows for target in run)]).tolist()
    columns: dict[str, list[Column]] = {}
    for number, field in enumerate(fields):
        texts = run[0].rows.values[number]
        if len(run) > 1:
            texts = [text for target in run for text in target.rows.values[number]]
        try:
            column = literals.column(field, texts)
        except BadValueError as error:
            index = int(np.searchsorted(bounds, error.index, "right")) - 1
            word = run[index].rows.word(number, error.index - bounds[index])
            raise statement.value_error(error, word, field.name) from error
        if field.name in run[0].table.schema.keys and column.nulls.any():
            raise access.generation.errors("bad_expression", why=f"{field.name} is a key and cannot be NULL")
        if field.name == run[0].table.schema.timestamp:
            _check_times(access, database, column)
        columns[field.name] = split(column, bounds)
    if any(key not in columns for key in run[0].table.schema.keys):
        raise access.generation.errors("bad_expression", why="the primary key is missing")
    return [
        (target, Part(target.rows.rows, {name: pieces[number] for name, pieces in columns.items()}))
        for number, target in enumerate(run)
    ]


def _check_times(access: Access, database: Database, column: Column) -> None:
    low, high = database.time_limits()
    assert isinstance(column, FixedColumn)
    times = column.values.astype(np.int64, copy=False)
    if len(times) and (int(times.min()) < low or int(times.max()) > high):
        raise access.generation.errors("out_of_keep")


def write_block(access: Access, name: str, raw: bytes, fields: bytes | None) -> int:
    """A raw block of 3.x into a table of the session's database.

    Parameters:
        access: of the session.
        name: the table's, bare.
        raw: the block.
        fields: the description of its columns; without it, they are the table's.

    Returns:
        The number of rows.

    Raises:
        BoxError: the table is not there, or the block does not fit it.
    """
    database = access.database_of(TableName(None, name), CHANGE)
    table = database.tables.get(name)
    if table is None:
        raise access.generation.errors("table_missing")
    part = read_raw_block(
        raw, fields, table.schema, access.generation.errors, takes_all_nchar=access.generation.takes_all_nchar
    )
    _check_times(access, database, part.columns[table.schema.timestamp])
    table.rows.append(part)
    telling.written(access, (), [(database, table, part)])
    return part.rows
