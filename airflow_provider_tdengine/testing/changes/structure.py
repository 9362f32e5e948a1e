"""Changes of structure: databases, super tables, normal tables, columns and tags."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_tdengine.client.types import DECIMALS, Field, Precision, Type
from airflow_provider_tdengine.testing.changes import telling
from airflow_provider_tdengine.testing.changes.writes import check_table_name
from airflow_provider_tdengine.testing.language import (
    AlterDatabase,
    AlterTable,
    AlterTableOption,
    BadValueError,
    BulkStatement,
    CreateDatabase,
    CreateTable,
    DropDatabase,
    DropTables,
    Literals,
    SetTags,
)
from airflow_provider_tdengine.testing.stored import CHANGE, Access, Database, Schema, SuperTable, Table

# --- Databases


def create_database(access: Access, statement: CreateDatabase) -> None:
    """CREATE DATABASE."""
    errors = access.generation.errors
    if statement.quoted and not access.generation.quoted_databases:
        raise errors("bad_expression", why="invalid db name")
    if not access.store.accounts.may_create_databases(access.session.user):
        raise errors("denied_administration")
    if statement.name in access.store.databases:
        if statement.if_not_exists:
            return
        raise errors("database_exists")
    database = Database(statement.name, statement.options, access.generation)
    _check_options(access, database)
    access.store.databases[statement.name] = database
    access.store.owners[statement.name] = access.session.user


def _check_options(access: Access, database: Database) -> None:
    try:
        Precision(database.options["precision"].lower())
        _check_keep(database)
        if database.generation.number == 2 and database.options["update"] not in ("0", "1", "2"):
            raise ValueError("update")
    except (ValueError, KeyError) as error:
        raise access.generation.errors("bad_expression", why=f"invalid database option: {error}") from error


def _check_keep(database: Database) -> None:
    """2.x keeps rows as long as a file of them lasts; 3.x three times as long."""
    option, times = ("days", 1) if database.generation.number == 2 else ("duration", 3)
    if min(database.minutes("keep")) < times * database.minutes(option)[0]:
        raise ValueError(f"keep has to be at least {times} times {option}")
    if database.generation.number > 2 and database.minutes("s3_keeplocal")[0] < 3 * database.minutes("duration")[0]:
        raise database.generation.errors("long_duration")
    if not database.generation.takes_stt_triggers and database.options["stt_trigger"] != "1":
        raise database.generation.errors("stt_trigger", value=database.options["stt_trigger"])


def alter_database(access: Access, statement: AlterDatabase) -> None:
    """ALTER DATABASE."""
    database = access.database(statement.name, CHANGE)
    if "precision" in statement.options:
        raise access.generation.errors("bad_expression", why="the precision of a database cannot be changed")
    changed = Database(database.name, database.options | statement.options, access.generation)
    _check_options(access, changed)
    if changed.options == database.options and not access.generation.alters_to_the_same:
        raise access.generation.errors("nothing_altered")
    database.options = changed.options


def drop_database(access: Access, statement: DropDatabase) -> None:
    """DROP DATABASE."""
    if statement.quoted and not access.generation.quoted_databases:
        raise access.generation.errors("bad_expression", why="invalid name")
    if statement.name not in access.store.databases and statement.if_exists:
        return
    access.database(statement.name, CHANGE)
    if any(topic.database == statement.name for topic in access.store.topics.values()):
        raise access.generation.errors("database_has_topic")
    access.store.forget_database(statement.name)


# --- Tables


def create_table(access: Access, statement: CreateTable) -> None:
    """CREATE STABLE, and CREATE TABLE with columns."""
    errors = access.generation.errors
    database = access.database_of(statement.name, CHANGE)
    name = statement.name.name
    check_table_name(access, statement.name)
    if name in database.stables or name in database.tables:
        if statement.if_not_exists:
            return
        raise errors("stable_exists" if name in database.stables else "table_exists")
    columns = [column.field for column in statement.columns]
    tags = [tag.field for tag in statement.tags]
    names = [field.name for field in (*columns, *tags)]
    if columns[0].type is not Type.TIMESTAMP or len(columns) < 2:
        raise errors("bad_expression", why="the first of at least two columns has to be a timestamp")
    if len(set(names)) < len(names):
        raise errors("column_exists")
    if any(column.type is Type.JSON for column in columns) or (
        len(tags) > 1 and any(tag.type is Type.JSON for tag in tags)
    ):
        raise errors("bad_expression", why="JSON is for the only tag of a super table")
    if any(tag.type in DECIMALS for tag in tags):
        raise errors("decimal_tag")
    schema = Schema(
        columns,
        tags,
        statement.columns[1].primary_key,
        {column.field.name: dict(column.options) for column in statement.columns if column.options},
        statement.options,
    )
    if tags:
        database.stables[name] = SuperTable(name, schema, access.generation.reads_by_tag)
    else:
        database.add_table(Table(name, schema, database.rule))
    telling.created(access, database, database.stables.get(name) or database.tables[name])


def drop_tables(access: Access, statement: DropTables) -> None:
    """DROP TABLE and DROP STABLE; 2.x drops super tables with DROP TABLE too."""
    dropped: dict[Database, list[Table | SuperTable]] = {}
    for name, if_exists in statement.names:
        database = access.database_of(name, CHANGE)
        if name.name in database.stables:
            dropped.setdefault(database, []).append(database.stables[name.name])
            database.drop_stable(name.name)
        elif name.name in database.tables and not statement.stable:
            dropped.setdefault(database, []).append(database.tables[name.name])
            database.drop_table(name.name)
        elif not if_exists:
            raise access.generation.errors("table_missing")
    for database, tables in dropped.items():
        telling.dropped(access, database, tables)


def alter_table(access: Access, statement: AlterTable) -> None:
    """ALTER TABLE and ALTER STABLE, columns and tags."""
    errors = access.generation.errors
    database = access.database_of(statement.name, CHANGE)
    name = statement.name.name
    table = database.stables.get(name) or database.tables.get(name)
    if table is None:
        raise errors("table_missing")
    if isinstance(table, Table) and (table.stable is not None or statement.is_tag):
        raise errors("no_super_table")
    schema = table.schema
    fields = schema.tags if statement.is_tag else schema.columns
    if statement.action == "add":
        _add(access, table, fields, statement)
        telling.altered(access, database, table, statement)
        return
    position = next((i for i, field in enumerate(fields) if field.name == statement.column), None)
    if position is None:
        raise errors("alter_column_missing")
    if statement.column in schema.keys:
        raise errors("primary_key_change")
    if statement.action == "modify":
        fields[position] = _widened(access, fields[position], statement.field)
    elif statement.action == "rename":
        _rename(access, table, fields, position, statement)
    else:
        _drop(access, table, fields, position, statement.is_tag)
    telling.altered(access, database, table, statement)


def alter_table_option(access: Access, statement: AlterTableOption) -> None:
    """ALTER TABLE ... TTL and COMMENT."""
    database, table = access.table(statement.name, CHANGE)
    options = table.options if isinstance(table, Table) else table.schema.options
    options[statement.option] = statement.value
    telling.options_set(access, database, table)


def _tables_of(table: Table | SuperTable) -> list[Table]:
    return list(table.tables.values()) if isinstance(table, SuperTable) else [table]


def _add(access: Access, table: Table | SuperTable, fields: list[Field], statement: AlterTable) -> None:
    assert statement.field is not None
    if table.schema.find(statement.column) is not None:
        raise access.generation.errors("tag_exists" if statement.is_tag else "column_exists")
    fields.append(statement.field)
    if statement.is_tag:
        for each in _tables_of(table):
            each.tags.append(None)


def _widened(access: Access, old: Field, new: Field | None) -> Field:
    if new is None or new.type is not old.type or not old.info.sized or new.length <= old.length:
        raise access.generation.errors("narrower")
    return new


def _rename(
    access: Access, table: Table | SuperTable, fields: list[Field], position: int, statement: AlterTable
) -> None:
    if table.schema.find(statement.new_name) is not None:
        raise access.generation.errors("column_exists")
    fields[position] = replace(fields[position], name=statement.new_name)
    if not statement.is_tag:
        for each in _tables_of(table):
            each.rows.rename(statement.column, statement.new_name)


def _drop(access: Access, table: Table | SuperTable, fields: list[Field], position: int, is_tag: bool) -> None:
    if is_tag and len(fields) == 1:
        raise access.generation.errors("bad_expression", why="the last tag cannot be dropped")
    dropped = fields.pop(position)
    if isinstance(table, SuperTable):
        table.reorder()
    for each in _tables_of(table):
        if is_tag:
            del each.tags[position]
        else:
            each.rows.forget(dropped.name)


def set_tags(access: Access, statement: SetTags, sql: str) -> None:
    """ALTER TABLE ... SET TAG."""
    errors = access.generation.errors
    database = access.database_of(statement.name, CHANGE)
    table = database.tables.get(statement.name.name)
    if table is None or table.stable is None:
        raise errors("table_missing" if table is None else "no_super_table")
    literals = Literals(access.generation, database.precision)
    positions = {tag.name: i for i, tag in enumerate(table.schema.tags)}
    for name, text in statement.values:
        if name not in positions:
            raise errors("alter_column_missing")
        tag = table.schema.tags[positions[name]]
        try:
            value = literals.value(tag, text)
        except BadValueError as error:
            words = BulkStatement(sql, access.generation)
            index = words.words.index(text) if text in words.words else len(words.words) - 1
            raise words.value_error(error, index, name) from error
        table.tags[positions[name]] = value
        table.stable.reorder()
        telling.tag_set(access, database, table, tag, value)
