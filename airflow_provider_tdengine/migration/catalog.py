"""What a database holds: its options, super tables, subtables with tags, and normal tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import TableMissing
from airflow_provider_tdengine.client.result import all_rows
from airflow_provider_tdengine.client.sql import string, time_range, where
from airflow_provider_tdengine.client.types import Field, Precision, field_from_sql
from airflow_provider_tdengine.migration.database_options import minutes
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.options import MigrationOptions

_STORAGE = ("encode", "compress", "level")


@dataclass(frozen=True, slots=True)
class Database:
    """A database and its options.

    Parameters:
        name: its name.
        precision: of its timestamps.
        keep: minutes for which it keeps rows, one value a storage tier; nothing where the account may not see it.
        duration: minutes that one data file spans (DAYS in 2.x), None where the account may not see it.
        options: all that the server lists, names in lower case; empty text for none.
    """

    name: str
    precision: Precision
    keep: tuple[int, ...] = ()
    duration: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A super table, or a normal table, which has no tags.

    Parameters:
        name: its name.
        columns: the first is the timestamp.
        tags: of its subtables; none for a normal table.
        second_key: the column that is the second part of the primary key (3.3), None if there is none.
        storage: how each column is stored, as CREATE of 3.3 says it; nothing in older versions.
        is_whole: whether these are all its columns.
        where: a condition that its rows must meet; empty for all rows.
    """

    name: str
    columns: tuple[Field, ...]
    tags: tuple[Field, ...] = ()
    second_key: str | None = None
    storage: Mapping[str, str] = field(default_factory=dict)
    is_whole: bool = True
    where: str = ""

    @property
    def is_super(self) -> bool:
        return bool(self.tags)

    @property
    def time_column(self) -> str:
        return self.columns[0].name

    def period(self, start: int | None, end: int | None) -> list[str]:
        """Conditions of the rows that are meant: `start <= time < end`, and those of `where`."""
        times = time_range(self.time_column, start, end)
        return [*times, f"({self.where})"] if self.where else times


@dataclass(frozen=True, slots=True)
class Subtable:
    """A subtable.

    Parameters:
        name: its name.
        tags: a value for each tag of its super table.
    """

    name: str
    tags: tuple[Value, ...]


@dataclass(frozen=True)
class Scope:
    """Which tables of a database are meant.

    Parameters:
        stables: names or patterns of super tables; empty for all, and all normal tables.
        tables: names or patterns of subtables and normal tables; empty for all.
        exclude: names or patterns of super tables, subtables and normal tables that are left out.
    """

    stables: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: MigrationOptions) -> Scope:
        return cls(names(options.stables), names(options.tables), names(options.exclude))

    def has_stable(self, name: str) -> bool:
        return (not self.stables or matches(name, self.stables)) and not matches(name, self.exclude)

    def has_table(self, name: str) -> bool:
        """Whether a subtable of a super table in scope is meant."""
        return (not self.tables or matches(name, self.tables)) and not matches(name, self.exclude)

    def has_normal_table(self, name: str) -> bool:
        meant = matches(name, self.tables) if self.tables else not self.stables
        return meant and not matches(name, self.exclude)

    def missing(self, catalog: Catalog, tables: list[Table]) -> list[Finding]:
        """Super tables and tables that were named and are not there."""
        where = f"the database {catalog.name!r} of {catalog.client.address}"
        findings = []
        stables = [table.name for table in tables if table.is_super]
        for pattern in self.stables:
            if not any(matches(name, (pattern,)) for name in stables):
                found = f"{where} has no super table {pattern!r}"
                findings.append(Finding("Option 'stables'", found, f"It has {_enumerate(catalog.stable_names())}"))
        if self.tables and not findings:
            names = [name for name, owner in catalog.owners().items() if owner is None or owner in stables]
            for pattern in self.tables:
                if not any(matches(name, (pattern,)) for name in names):
                    found = f"{where} has no subtable or normal table {pattern!r}"
                    findings.append(Finding("Option 'tables'", found, f"It has {_enumerate(names)}"))
        return findings


def names(text: str) -> tuple[str, ...]:
    """Names or patterns that an option lists."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is one of these, or fits one of these patterns."""
    return any(_pattern(pattern).fullmatch(name) for pattern in patterns)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern in which `*` and `?` stand for any characters, and nothing else for anything but itself."""
    return re.compile("".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern), re.DOTALL)


def _enumerate(names: list[str], most: int = 10) -> str:
    if not names:
        return "none"
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Catalog:
    """A database of a server, read on demand.

    Parameters:
        client: the server.
        name: the database.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def database(self) -> Database | None:
        """Its options, None if there is no such database."""
        for row in self.by_column_name(_databases(self.client.generation, self.name)):
            if row["name"] == self.name:
                return _database({name: _option(value) for name, value in row.items()})
        return None

    def missing(self, option: str) -> Finding:
        """What to say when there is no such database."""
        names = [str(row["name"]) for row in self.by_column_name("SHOW DATABASES")]
        visible = set(names) - {"information_schema", "performance_schema", "log"}
        return Finding(
            f"Option {option!r}",
            f"{self.client.address} has no database {self.name!r}",
            f"It has {_enumerate(list(visible))}",
        )

    def tables(self, scope: Scope) -> list[Table]:
        """Super tables and normal tables in scope, by name."""
        stables = [self.describe(name) for name in sorted(self.stable_names()) if scope.has_stable(name)]
        normal = [self.describe(name) for name in sorted(self.normal_tables(scope))]
        return stables + normal

    def subtables(self, stable: Table, scope: Scope, conditions: list[str] | None = None) -> Iterator[Subtable]:
        """The subtables of a super table, empty ones too, as the server streams them.

        Parameters:
            stable: the super table.
            scope: which subtables are meant.
            conditions: SQL conditions on `tbname`.
        """
        dialect = self.client.dialect
        statement = dialect.tags(self.table(stable.name), list(stable.tags), where(conditions or ()))
        with self.client.session() as session:
            for block in session.query(statement).blocks():
                for name, *tags in block.to_rows():
                    if scope.has_table(str(name)):
                        yield Subtable(str(name), tuple(tags))

    def owners(self) -> dict[str, str | None]:
        """All subtables and normal tables by name, with their super table, None for normal tables."""
        return dict(self._all_tables())

    def table(self, name: str) -> str:
        """A table of this database in SQL."""
        return self.client.dialect.table(self.name, name)

    def stable_names(self) -> list[str]:
        """The names of all super tables."""
        if self.client.generation == 2:
            rows = self.by_column_name(f"SHOW {self.client.dialect.database(self.name)}.stables")
            return [str(row["name"]) for row in rows]
        statement = f"SELECT stable_name FROM information_schema.ins_stables WHERE db_name = {string(self.name)}"
        return [str(name) for (name,) in self.client.rows(statement)]

    def normal_tables(self, scope: Scope) -> list[str]:
        """The names of the normal tables in scope."""
        return [name for name, stable in self._all_tables() if stable is None and scope.has_normal_table(name)]

    def _all_tables(self) -> Iterator[tuple[str, str | None]]:
        if self.client.generation == 2:
            for row in self.by_column_name(f"SHOW {self.client.dialect.database(self.name)}.tables"):
                yield str(row["table_name"]), str(row["stable_name"]) or None
            return
        statement = (
            "SELECT table_name, stable_name FROM information_schema.ins_tables "
            f"WHERE db_name = {string(self.name)} AND type IN ('NORMAL_TABLE', 'CHILD_TABLE')"
        )
        with self.client.session() as session:
            for block in session.query(statement).blocks():
                for name, stable in block.to_rows():
                    yield str(name), None if stable is None else str(stable)

    def describe(self, name: str) -> Table:
        """The structure of a super table or normal table.

        Raises:
            TableMissing: there is none of that name.
        """
        columns, tags = [], []
        second_key = None
        storage = {}
        for row in self.by_column_name(f"DESCRIBE {self.table(name)}"):
            column = field_from_sql(str(row["field"]), str(row["type"]), int(str(row["length"])))
            note = str(row["note"]).upper()
            if note == "TAG":
                tags.append(column)
                continue
            columns.append(column)
            if "encode" in row:
                storage[column.name] = " ".join(f"{word.upper()} {string(str(row[word]))}" for word in _STORAGE)
            if "PRIMARY KEY" in note:
                second_key = column.name
        return Table(name, tuple(columns), tuple(tags), second_key, storage)

    def find(self, name: str) -> Table | None:
        """The structure of a super table or normal table, None if there is none of that name."""
        try:
            return self.describe(name)
        except TableMissing:
            return None

    def by_column_name(self, statement: str) -> Iterator[dict[str, Value]]:
        """Rows by column name in lower case: columns differ from version to version."""
        with self.client.session() as session:
            result = session.query(statement)
            names = [field.name.lower() for field in result.fields]
            for row in all_rows(result):
                yield dict(zip(names, row, strict=True))


def _databases(generation: int, name: str) -> str:
    if generation == 2:
        return "SHOW DATABASES"
    return f"SELECT * FROM information_schema.ins_databases WHERE name = {string(name)}"


def _option(value: Value) -> str:
    if value is None:
        return ""
    return str(int(value) if isinstance(value, bool) else value).rstrip("\0")


def _database(options: Mapping[str, str]) -> Database:
    """A database from what the server lists; with SYSINFO 0, 3.3 leaves most columns out, and 3.0 has NULL there."""
    keep, duration = options.get("keep"), options.get("duration") or options.get("days")
    return Database(
        options["name"],
        Precision(options["precision"]),
        tuple(map(minutes, keep.split(","))) if keep else (),
        minutes(duration) if duration else None,
        options,
    )
