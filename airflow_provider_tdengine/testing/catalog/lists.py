"""SHOW of what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.testing.catalog.databases import DATABASES_2, databases_2
from airflow_provider_tdengine.testing.catalog.information import information_schema
from airflow_provider_tdengine.testing.catalog.views import Catalog, Row, View, fields_of, only
from airflow_provider_tdengine.testing.stored import Database

# What users other than root see of databases in 2.x (measured 2.4.0.18, 2.6.0.66).
_SEEN_OF_DATABASES_2 = frozenset({"name", "created_time", "ntables", "keep", "precision", "update", "status"})


Rows = Callable[[Catalog, Database | None], Iterable[Row]]


def _stables_2(_: Catalog, database: Database | None) -> Iterator[Row]:
    for stable in database.listed_stables() if database else ():
        yield (
            stable.name,
            stable.created,
            len(stable.schema.columns),
            len(stable.schema.tags),
            len(stable.tables),
        )


def _tables_2(_: Catalog, database: Database | None) -> Iterator[Row]:
    if database is None:
        return
    tids = {name: tid for tid, name in enumerate(database.tables, 1)}
    for table in database.listed_tables():
        stable = table.stable.name if table.stable else ""
        yield (table.name, table.created, len(table.schema.columns), stable, table.uid, tids[table.name], 2)


def _users_2(catalog: Catalog, _: Database | None) -> Iterator[Row]:
    for name in ("_root", "monitor"):
        yield (name, "writable", catalog.accounts.find("root").created, "root")
    for account in catalog.accounts.users.values():
        yield (account.name, account.privilege, account.created, "root")


def _nothing(_: Catalog, __: Database | None) -> Iterator[Row]:
    return iter(())


_SHOW_2: dict[str, tuple[tuple[Field, ...], Rows]] = {
    "databases": (DATABASES_2, lambda catalog, _: databases_2(catalog)),
    "stables": (fields_of("name:193 created_time:TIMESTAMP columns:SMALLINT tags:SMALLINT tables:INT"), _stables_2),
    "tables": (
        fields_of("table_name:193 created_time:TIMESTAMP columns:SMALLINT stable_name:195 uid:BIGINT tid:INT vgId:INT"),
        _tables_2,
    ),
    "users": (fields_of("name:24 privilege:8 create_time:TIMESTAMP account:24"), _users_2),
    "streams": (
        fields_of(
            "streamId:20 user:24 dest~table:193 ip:port:22 created~time:TIMESTAMP exec~time:TIMESTAMP time(us):BIGINT "
            "sql:512 cycles:INT"
        ),
        _nothing,
    ),
    "functions": (
        fields_of("name:65 path:4096 aggregate:INT outputtype:32 create_time:TIMESTAMP code_len:INT bufsize:INT"),
        _nothing,
    ),
}


# SHOW in 3.x: the view that it reads, and how many of its columns it shows.
_SHOW_3 = {
    "databases": ("ins_databases", 1),
    "stables": ("ins_stables", 1),
    "tables": ("ins_tables", 1),
    "users": ("ins_users", 7),
    "streams": ("ins_streams", 1),
    "functions": ("ins_functions", 1),
    "topics": ("ins_topics", 1),
    "views": ("ins_views", 9),
}

SHOWN_OF_A_DATABASE = frozenset({"stables", "tables", "views"})


def show(catalog: Catalog, what: str, database: Database | None) -> View | None:
    """SHOW of a list.

    Parameters:
        catalog: what is there.
        what: such as "tables".
        database: whose.

    Returns:
        None if the generation has no such list.
    """
    if catalog.generation.number == 2:
        if what not in _SHOW_2:
            return None
        fields, rows = _SHOW_2[what]
        listed = View(fields, rows(catalog, database))
        is_limited = what == "databases" and not catalog.accounts.is_super(catalog.user)
        return only(listed, _SEEN_OF_DATABASES_2) if is_limited else listed
    if what not in _SHOW_3:
        return None
    name, columns = _SHOW_3[what]
    view = information_schema(catalog, name, {"db_name": database.name} if database else {})
    assert view is not None
    return View(view.fields[:columns], (row[:columns] for row in view.rows))
