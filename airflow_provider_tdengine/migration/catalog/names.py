"""Names that a server cannot hold, or reads as something else, or that no statement can say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.sql import is_speakable
from airflow_provider_tdengine.migration.findings import Finding

if TYPE_CHECKING:
    from airflow_provider_tdengine.migration.catalog.catalog import Table

_READABLE = 40
"""Characters of a label in a topic's name."""

_OWN_TOPIC = re.compile(r"airflow_(?:\w+_)?[0-9a-f]{16}", re.ASCII)

_TABLE_NAME_BYTES, _COLUMN_NAME_BYTES = 192, 64

# --- Names of this package's own making


def own_topic(label: str, digest: str) -> str:
    """The name of a topic of ours.

    Parameters:
        label: what people read in it.
        digest: 16 hexadecimal digits that tell it from others.
    """
    readable = re.sub(r"\W+", "_", label, flags=re.ASCII)[:_READABLE]
    return "_".join(filter(None, ("airflow", readable, digest)))


def is_own_topic(name: str) -> bool:
    """Whether a topic is one of ours, of whatever migration."""
    return bool(_OWN_TOPIC.fullmatch(name))


# --- In a target of 3.x


def name_findings(table: Table) -> Iterator[Finding]:
    """Names of a table and its columns that a target of 3.x cannot hold."""
    if table.is_super:
        yield from table_name_findings(table.name)
    for column in table.columns + table.tags:
        what, name = f"Table {table.name!r}, column {column.name!r}", column.name
        yield from _findings(what, name, _COLUMN_NAME_BYTES, "rename_columns")
        if name == "*":
            yield Finding(what, "TDengine 3 takes its name for all columns", _action("rename_columns"))


def table_name_findings(name: str) -> Iterator[Finding]:
    """What keeps a target of 3.x from having a table of that name."""
    what, option = f"Table {name!r}", "rename_stables or rename_tables"
    yield from _findings(what, name, _TABLE_NAME_BYTES, option)
    if "." in name:
        yield Finding(what, "its name has a dot, which TDengine 3 refuses", _action(option))


def _findings(what: str, name: str, limit: int, option: str) -> Iterator[Finding]:
    if not is_speakable(name):
        yield Finding(what, "its name is empty or has a single backtick, which SQL cannot say", _action(option))
    if len(name.encode()) > limit:
        yield Finding(what, f"its name has more than {limit} bytes", _action(option))
    if _hides_quote(name):
        yield Finding(
            what,
            "its name ends in a backslash, behind which TDengine 3 confuses capitals and small letters",
            _action(option),
        )


def _action(option: str) -> str:
    return f"Give it another one with {option}, or leave it out"


# --- In a source


def unspeakable(name: str) -> Finding:
    """What to say of a table that no statement reaches."""
    found = "its name has a single backtick, as schemaless writing may make it, and SQL cannot say it"
    return Finding(f"Table {name!r}", found, "Leave it out with exclude")


def unreadable(table: Table, client: Client) -> Iterator[Finding]:
    """Why a server must not be asked for rows or tags of a table that it has.

    Parameters:
        table: as it is described.
        client: of the server.
    """
    dialect, version = client.dialect, client.server.version_text
    names = [field.name for field in table.columns + table.tags]
    if wrong := [name for name in names if not is_speakable(name)]:
        yield _unreadable(table, f"the names of {_listed(wrong)} have a single backtick, which SQL cannot say")
    if dialect.confuses_tbname and table.is_super and "tbname" in map(str.lower, names):
        found = f"it has a column or tag called tbname, which TDengine {version} takes for the subtable's name"
        yield _unreadable(table, found)
    if dialect.generation == 3 and (wrong := _misread(table)):
        yield _unreadable(table, f"TDengine {version} misreads {_listed(wrong)}, even in quotes")


def _unreadable(table: Table, found: str) -> Finding:
    return Finding(f"Table {table.name!r}", found, "Leave it out with exclude, or drop that column in the source")


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))


def _misread(table: Table) -> list[str]:
    """Names of a table and its columns that 3.x reads as something else, in quotes or not (measured 3.0.5.2, 3.3.3.0).

    A column called * stands for all columns; tags read so have any values, and an adapter of 3.3.3.0 ends. Behind a
    name that ends in a backslash, what is in quotes is taken for what is not: capital letters of later names become
    small, functions in capitals are unknown.
    """
    names = [field.name for field in table.columns + table.tags]
    return [name for name in (table.name, *names) if _hides_quote(name)] + [name for name in names if name == "*"]


def _hides_quote(name: str) -> bool:
    """Whether it ends in a backslash that is not itself behind one."""
    return (len(name) - len(name.rstrip("\\"))) % 2 == 1
