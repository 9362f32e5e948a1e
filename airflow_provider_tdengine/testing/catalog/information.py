"""information_schema of 3.x."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing.catalog.databases import databases_3, fields_of_databases, listed_databases
from airflow_provider_tdengine.testing.catalog.tables import listed_type, tag_text
from airflow_provider_tdengine.testing.catalog.views import Catalog, Row, View, fields_of, only
from airflow_provider_tdengine.testing.stored import Database, SuperTable, Table

# What SYSINFO 0 hides, and what it leaves of databases, in 3.x (measured 3.3.3.0).
_SYSTEM_INFORMATION = frozenset({"ins_dnodes", "ins_grants", "ins_users", "ins_user_privileges"})
_SEEN_OF_DATABASES_3 = frozenset({"name", "create_time", "ntables", "precision", "status", "keep_time_offset"})

Wanted = Mapping[str, Value]
"""Columns that WHERE compares with one value, so that a view need not make the other rows."""


def _databases_of(catalog: Catalog, wanted: Wanted) -> Iterator[Database]:
    if "db_name" in wanted:
        named = catalog.databases.get(str(wanted["db_name"]))
        yield from [named] if named else []
    else:
        yield from listed_databases(catalog)


def _tables_of(catalog: Catalog, wanted: Wanted) -> Iterator[tuple[Database, Table]]:
    for database in _databases_of(catalog, wanted):
        if "table_name" in wanted:
            table = database.tables.get(str(wanted["table_name"]))
            yield from [(database, table)] if table else []
        elif "stable_name" in wanted:
            stable = database.stables.get(str(wanted["stable_name"]))
            yield from ((database, table) for table in (stable.read() if stable else ()))
        else:
            yield from ((database, table) for table in database.listed_tables())


def _ins_databases(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    return databases_3(catalog)


def _ins_stables(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database in _databases_of(catalog, wanted):
        for stable in database.listed_stables():
            schema = stable.schema
            comment = schema.options.get("comment")
            yield (
                stable.name,
                database.name,
                stable.created,
                len(schema.columns),
                len(schema.tags),
                stable.created,
                comment,
                "5000a,5000a",
                "-1a,-1a",
                None,
            )


def _ins_tables(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database, table in _tables_of(catalog, wanted):
        options = table.schema.options | table.options if table.stable is None else table.options
        yield (
            table.name,
            database.name,
            table.created,
            len(table.schema.columns),
            table.stable.name if table.stable else None,
            table.uid,
            2 + table.spot,
            int(options.get("ttl", "0")),
            options.get("comment"),
            "CHILD_TABLE" if table.stable else "NORMAL_TABLE",
        )


def _ins_columns(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database in _databases_of(catalog, wanted):
        for stable in database.listed_stables():
            if wanted.get("table_name", stable.name) == stable.name:
                yield from _columns_of(stable, database, "SUPER_TABLE")
    for database, table in _tables_of(catalog, wanted):
        yield from _columns_of(table, database, "CHILD_TABLE" if table.stable else "NORMAL_TABLE")


def _columns_of(table: Table | SuperTable, database: Database, kind: str) -> Iterator[Row]:
    for column in table.schema.columns:
        name = listed_type(database.generation, column)
        yield (table.name, database.name, kind, column.name, name, column.wire_bytes, None, None, None)


def _ins_tags(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    for database, table in _tables_of(catalog, wanted):
        if table.stable is None:
            continue
        for tag, value in zip(table.schema.tags, table.tags, strict=True):
            kind = "JSON(16382)" if tag.type is Type.JSON else listed_type(database.generation, tag)
            yield (table.name, database.name, table.stable.name, tag.name, kind, tag_text(tag, value))


def _ins_users(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    for account in catalog.accounts.users.values():
        is_super = int(account.privilege == "super")
        seen = int(account.sysinfo)
        yield (account.name, is_super, 1, seen, int(account.create_databases), account.created, "127.0.0.1")


def _ins_user_privileges(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    for account in catalog.accounts.users.values():
        if account.privilege == "super":
            yield (account.name, "all", "all", "", "", "")
        for grant in account.grants:
            yield (account.name, grant.right, grant.database, grant.table, grant.condition, "")


def _ins_grants(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    """What the licence allows, "grants" in TDengine's words; the community edition's is measured."""
    edition = "Enterprise" if catalog.accounts.checked else "Community"
    yield (f"TDengine {edition} Edition", "unlimited", "limited", "false", "ungranted", *["unlimited"] * 3)


def _ins_dnodes(_: Catalog, __: Wanted) -> Iterator[Row]:
    yield (1, "localhost:6030", 2, 16, "ready", 1, 1, "")


def _ins_indexes(catalog: Catalog, wanted: Wanted) -> Iterator[Row]:
    """3.x indexes the first tag of every super table by itself."""
    for database in _databases_of(catalog, wanted):
        indexes = {f"{stable.schema.tags[0].name}_{stable.name}": stable for stable in database.stables.values()}
        for name in database.listed("indexes", indexes):
            tag = indexes[name].schema.tags[0].name
            yield (name, database.name, indexes[name].name, None, indexes[name].created, tag, "tag_index", None)


def _ins_topics(catalog: Catalog, _: Wanted) -> Iterator[Row]:
    for topic in catalog.topics:
        yield (topic.name, topic.database, topic.created, topic.sql, "NULL", "yes", "db")


def _no_rows(_: Catalog, __: Wanted) -> Iterator[Row]:
    return iter(())


_INFORMATION_SCHEMA: dict[str, tuple[tuple[Field, ...], Callable[[Catalog, Wanted], Iterable[Row]]]] = {
    "ins_stables": (
        fields_of(
            "stable_name:192 db_name:64 create_time:TIMESTAMP columns:INT tags:INT last_update:TIMESTAMP "
            "table_comment:1024 watermark:64 max_delay:64 rollup:128"
        ),
        _ins_stables,
    ),
    "ins_tables": (
        fields_of(
            "table_name:192 db_name:64 create_time:TIMESTAMP columns:INT stable_name:192 uid:BIGINT vgroup_id:INT "
            "ttl:INT table_comment:1024 type:21"
        ),
        _ins_tables,
    ),
    "ins_columns": (
        fields_of(
            "table_name:192 db_name:64 table_type:21 col_name:64 col_type:32 col_length:INT col_precision:INT "
            "col_scale:INT col_nullable:INT"
        ),
        _ins_columns,
    ),
    "ins_tags": (
        fields_of("table_name:192 db_name:64 stable_name:192 tag_name:64 tag_type:32 tag_value:16384"),
        _ins_tags,
    ),
    "ins_users": (
        fields_of(
            "name:24 super:TINYINT enable:TINYINT sysinfo:TINYINT createdb:TINYINT create_time:TIMESTAMP "
            "allowed_host:49152"
        ),
        _ins_users,
    ),
    "ins_user_privileges": (
        fields_of("user_name:24 privilege:10 db_name:65 table_name:193 condition:49152 notes:64"),
        _ins_user_privileges,
    ),
    "ins_grants": (
        fields_of("version:32 expire_time:19 service_time:19 expired:5 state:9 timeseries:21 dnodes:10 cpu_cores:13"),
        _ins_grants,
    ),
    "ins_dnodes": (
        fields_of(
            "id:INT endpoint:134 vnodes:SMALLINT support_vnodes:SMALLINT status:10 create_time:TIMESTAMP "
            "reboot_time:TIMESTAMP note:256"
        ),
        _ins_dnodes,
    ),
    "ins_indexes": (
        fields_of(
            "index_name:192 db_name:64 table_name:192 vgroup_id:INT create_time:TIMESTAMP column_name:192 "
            "index_type:10 index_extensions:256"
        ),
        _ins_indexes,
    ),
    "ins_streams": (fields_of("stream_name:192 create_time:TIMESTAMP sql:2048 status:20"), _no_rows),
    "ins_topics": (
        fields_of("topic_name:192 db_name:64 create_time:TIMESTAMP sql:2048 schema:65517 meta:4 type:8"),
        _ins_topics,
    ),
    "ins_functions": (fields_of("name:64 comment:255 aggregate:INT output_type:31 create_time:TIMESTAMP"), _no_rows),
    "ins_views": (
        fields_of(
            "view_name:192 db_name:64 effective_user:24 create_time:TIMESTAMP type:128 query_sql:2048 parameters:2048 "
            "default_values:2048 target_table:192"
        ),
        _no_rows,
    ),
}


def information_schema(catalog: Catalog, name: str, wanted: Wanted) -> View | None:
    """A table of information_schema.

    Parameters:
        catalog: what is there.
        name: such as "ins_tables".
        wanted: columns that have to have a certain value; rows with others may be left out.

    Returns:
        None if there is no such table.
    """
    tables = {"ins_databases": (fields_of_databases(catalog.generation), _ins_databases), **_INFORMATION_SCHEMA}
    if catalog.generation.number == 2 or name not in tables:
        return None
    fields, rows = tables[name]
    if catalog.accounts.find(catalog.user).sysinfo:
        return View(fields, rows(catalog, wanted))
    if name in _SYSTEM_INFORMATION:
        raise catalog.generation.errors("denied")
    if name == "ins_databases":
        return only(View(fields, rows(catalog, wanted)), _SEEN_OF_DATABASES_3)
    return View(fields, rows(catalog, wanted))
