"""Names that a server cannot hold, or reads as something else."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_tdengine.migration.catalog.catalog import Table
from airflow_provider_tdengine.migration.findings import Finding

_TABLE_NAME_BYTES, _COLUMN_NAME_BYTES = 192, 64


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
    if not name or "`" in name:
        yield Finding(what, "its name is empty or has a backtick, which TDengine cannot escape", _action(option))
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


def misread(table: Table) -> list[str]:
    """Names of a table and its columns that 3.x reads as something else, in quotes or not (measured 3.0.5.2, 3.3.3.0).

    A column called * stands for all columns; tags read so have any values. Behind a name that ends in a backslash, what
    is in quotes is taken for what is not: capital letters of later names become small, functions in capitals are
    unknown.
    """
    names = [field.name for field in table.columns + table.tags]
    return [name for name in (table.name, *names) if _hides_quote(name)] + [name for name in names if name == "*"]


def _hides_quote(name: str) -> bool:
    """Whether it ends in a backslash that is not itself behind one."""
    return (len(name) - len(name.rstrip("\\"))) % 2 == 1
