"""What a database holds: its options, super tables, subtables with tags, and normal tables."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import TracebackType

from typing_extensions import Self

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import (
    AnswerError,
    IncompleteResult,
    PermissionDenied,
    TableMissing,
    TDengineError,
    UnsupportedServer,
)
from airflow_provider_tdengine.client.result import Session, all_rows, as_name, as_number, counted
from airflow_provider_tdengine.client.sql import is_speakable, string, time_range, where
from airflow_provider_tdengine.client.types import Field, Precision, Type, field_from_sql
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog.names import unreadable, unspeakable
from airflow_provider_tdengine.migration.catalog.scope import Scope
from airflow_provider_tdengine.migration.database_options import minutes
from airflow_provider_tdengine.migration.findings import Finding, stop_on

_IDLE = 30.0
"""Seconds after which a session that is kept is not used again: something on the way may have closed it."""

_NAMES = 2_000
"""Names that are asked for with one statement: of 192 bytes each, it is well below its longest length."""

VIEWS = frozenset({"information_schema", "performance_schema"})
"""Databases that are views of a server, and hold no rows."""

OWN_DATABASES = VIEWS | {"log", "audit"}
"""Databases that TDengine and its tools make for themselves."""

NO_TABLES = "no tables"
"""The kind of the findings that say so of a database."""

_NAMELESS = "(null)"
_MOST_TAGS = 128

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
        is_stored: whether its rows lie in files, where none of them expires.
    """

    name: str
    precision: Precision
    keep: tuple[int, ...] = ()
    duration: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    is_stored: bool = False


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

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, if all its values are as long as they may be."""
        return sum(column.info.width or column.wire_bytes for column in self.columns)

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


def _geometry(name: str) -> Finding:
    """What to say of a table that must not be described."""
    return Finding(
        f"Table {name!r}",
        "it has GEOMETRY, and the taosAdapter of this server's version dies when it is asked for such a table",
        "Leave it out with exclude, or upgrade that server to 3.3",
    )


class Catalog:
    """A database of a server, read on demand.

    Inside of `with catalog:` sessions stay open between uses, as many as were in use at the same time; outside, each
    use has a session of its own.

    Parameters:
        client: the server.
        name: the database.

    Attributes:
        as_of: since when its rows were read, in seconds since 1970, where they are those of that time; None where they
            are those of now.
    """

    as_of: float | None = None

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self._users = 0
        self._is_there = False
        """Whether the database is known to exist, so that sessions may select it."""
        self._idle: deque[tuple[Session, float]] = deque()

    def __enter__(self) -> Self:
        self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        while not self._users and self._idle:
            self._idle.popleft()[0].close()

    def to_dict(self) -> dict[str, str]:
        """Which database of which server it is, for JSON; no secrets."""
        return {
            "address": str(self.client.address),
            "version": self.client.server.version_text,
            "database": self.name,
        }

    def vanished(self, scope: Scope) -> int:
        """How many tables are known to have gone while rows were read that are those of an earlier time.

        Parameters:
            scope: of which super tables; normal tables count in any case.
        """
        return 0

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for one reading."""
        session, sound = self._take(), False
        try:
            yield session
            sound = True
        except TDengineError as error:
            # A server that has answered with an error is there to be asked again.
            sound = error.code is not None and not error.retryable
            raise
        finally:
            self._give_back(session, sound=sound)

    @contextmanager
    def work_session(self) -> Iterator[Session]:
        """A session for a worker that has several things on their way in it; its database is selected.

        After an error it is not used again: answers may come that nobody waits for.
        """
        session, sound = self._take(self.name), False
        try:
            yield session
            sound = True
        finally:
            self._give_back(session, sound=sound)

    def _take(self, database: str | None = None) -> Session:
        """One that is idle, or a new one."""
        for _ in range(len(self._idle)):
            with suppress(IndexError):
                session, since = self._idle.pop()
                if time.monotonic() - since >= _IDLE:
                    session.close()
                elif database is None or session.database == database:
                    return session
                else:
                    self._idle.appendleft((session, since))
        return self.client.session(database or (self.name if self._is_there else None))

    def _give_back(self, session: Session, *, sound: bool) -> None:
        if sound and self._users:
            self._idle.append((session, time.monotonic()))
        else:
            session.close()

    def rows(self, statement: str, columns: int | None = None) -> list[tuple[Value, ...]]:
        """All rows of a statement whose answer is small; see `stream`."""
        return list(self.stream(statement, columns))

    def stream(self, statement: str, columns: int | None = None) -> Iterator[tuple[Value, ...]]:
        """The rows of a statement, as they come.

        Parameters:
            statement: a query.
            columns: how many it asks for, None for any number; some versions answer with more.

        Raises:
            AnswerError: the answer has fewer columns.
        """
        with self.session() as session:
            result = session.query(statement)
            if columns is not None and len(result.fields) < columns:
                found = f"{len(result.fields)} columns where {columns} were asked for"
                raise AnswerError(f"{self.client.address} answers with {found}", statement=statement)
            for block in result.blocks():
                yield from (row[:columns] for row in block.to_rows())

    def count(self, statement: str) -> int:
        """The number that a COUNT answers.

        Raises:
            AnswerError: the answer is something else.
        """
        with self.session() as session:
            return counted(session.query(statement))

    def _is_streamed(self, statement: str) -> bool:
        """Whether the server says of an answer when it is complete; one over REST may be cut (measured in 2.x)."""
        with self.session() as session:
            return session.streams(statement)

    def clock(self) -> float:
        """The present moment by the server's clock, in POSIX seconds; of 2.x cut to a whole second.

        It is the clock of its taosAdapter, in 3.x too.

        Raises:
            TDengineError: of the kind of failure.
        """
        statement = self.client.dialect.clock
        if statement is None:
            return self.client.date().timestamp()
        with self.session() as session:
            result = session.query(statement)
            return as_number(all_rows(result)[0][0]) / (result.precision or Precision.MS).per_second

    def behind_now(self) -> float:
        """A moment behind all rows that are of the present one or earlier, in POSIX seconds of the server's clock.

        Raises:
            TDengineError: of the kind of failure.
        """
        return self.clock() + (1.0 if self.client.dialect.clock is None else 0.001)

    def look_anew(self) -> None:
        """Let what is asked of a super table next be true now, see `Dialect.reset`."""
        if self.client.dialect.reset:
            self.execute(self.client.dialect.reset)

    def execute(self, statement: str) -> None:
        """Run a statement that changes something."""
        with self.session() as session:
            session.query(statement)

    def database(self) -> Database | None:
        """Its options, None if there is no such database."""
        for row in self.by_column_name(_databases(self.client.generation, self.name)):
            if row["name"] == self.name:
                self._is_there = True
                return _database(row)
        return None

    def database_names(self) -> list[str]:
        """All databases of the server, in its own order."""
        return [as_name(row["name"]) for row in self.by_column_name("SHOW DATABASES")]

    def option_names(self) -> frozenset[str]:
        """Options that a new database of this server can have, in lower case; replicas where it has nodes for them.

        Raises:
            TDengineError: of the kind of failure.
        """
        listed = self.by_column_name(_databases(self.client.generation, "information_schema"))
        names = frozenset(name for row in listed for name in row)
        try:
            (nodes,) = self.rows("SELECT COUNT(*) FROM information_schema.ins_dnodes WHERE status = 'ready'", 1)
        except PermissionDenied:
            return names - {"replica"}
        return names if as_number(nodes[0]) >= _REPLICAS else names - {"replica"}

    def missing(self, option: str) -> Finding:
        """What to say when there is no such database."""
        visible = set(self.database_names()) - OWN_DATABASES
        return Finding(
            f"Option {option!r}",
            f"{self.client.address} has no database {self.name!r}",
            f"It has {wording.enumerated(visible)}",
        )

    def missing_tables(self, scope: Scope, tables: Iterable[Table]) -> list[Finding]:
        """What to say of super tables and tables that were named and are not there.

        Parameters:
            scope: what was named.
            tables: the super tables and normal tables in scope.
        """
        place = f"the database {self.name!r} of {self.client.address}"
        stables = {table.name for table in tables if table.is_super}
        missing = scope.stables.unmatched((name, None) for name in stables)
        there = wording.enumerated(self.stable_names()) if missing else ""
        findings = [
            Finding("Option 'stables'", f"{place} has no super table {text!r}", f"It has {there}") for text in missing
        ]
        if not findings and scope.tables:
            missing = scope.tables.unmatched(self._all_tables(scope.tables.bare_names(), stables))
            there = wording.enumerated(name for name, _ in self._all_tables(stables=stables)) if missing else ""
            findings = [
                Finding("Option 'tables'", f"{place} has no subtable or normal table {text!r}", f"It has {there}")
                for text in missing
            ]
        return findings

    def nothing_meant(self, scope: Scope, tables: Iterable[Table], *, may_come: bool) -> list[Finding]:
        """What to say of a scope that means no table at all; nothing where it means some.

        Parameters:
            scope: what was named and left out.
            tables: the super tables and normal tables in scope.
            may_come: whether tables that are made later are waited for.
        """
        tables = list(tables)
        if any(not table.is_super for table in tables) or self._has_subtables(tables, scope):
            return []
        place, there = f"the database {self.name!r} of {self.client.address}", wording.enumerated(self._names())
        options = [option for option in ("stables", "tables", "exclude") if getattr(scope, option)]
        if there == "none" or not options:
            if may_come and options in ([], ["exclude"]) and "*" not in scope.exclude.texts:
                return []
            action = "Give another database, or mode realtime or both, which wait for tables that come"
            return [Finding("Option 'source_database'", f"{place} has no tables", action, kind=NO_TABLES)]
        what = f"Option{'s' if len(options) > 1 else ''} {' and '.join(map(repr, options))}"
        return [Finding(what, f"no table of {place} is left", f"Leave some of them in; it has {there}", kind=NO_TABLES)]

    def _has_subtables(self, stables: list[Table], scope: Scope) -> bool:
        """Whether one of the super tables in scope has a subtable in scope.

        One without any counts as well, unless subtables were named: its structure is there to be copied.
        """
        if not stables or not scope.is_partial:
            return bool(stables)
        for stable in stables:
            # No more of them is read than must be.
            if next(self.subtables(replace(stable, tags=stable.tags[:1]), scope), None):
                return True
        names = {stable.name for stable in stables}
        return not scope.tables and not any(owner in names for _, owner in self._all_tables())

    def _names(self) -> Iterator[str]:
        """All super tables, subtables and normal tables."""
        yield from self.stable_names()
        yield from (name for name, _ in self._all_tables())

    def tables(self, scope: Scope) -> list[Table]:
        """Super tables and normal tables in scope, by name.

        Raises:
            MigrationStopped: there are some that the server cannot describe, or of which it cannot be asked.
        """
        stables = sorted(name for name in self.stable_names() if scope.has_stable(name))
        names = stables + sorted(self.normal_tables(scope))
        barred = [unspeakable(name) for name in names if not is_speakable(name)]
        stop_on([*barred, *(_geometry(name) for name in names if name in self._geometries)])
        tables = [self.describe(name) for name in names]
        stop_on(finding for table in tables for finding in unreadable(table, self.client))
        return tables

    def subtables(self, stable: Table, scope: Scope, conditions: list[str] | None = None) -> Iterator[Subtable]:
        """The subtables of a super table, empty ones too, as the server streams them.

        Parameters:
            stable: the super table.
            scope: which subtables are meant.
            conditions: SQL conditions on `tbname`.
        """
        dialect = self.client.dialect
        self.look_anew()
        own = scope.conditions(stable.name) + (conditions or [])
        statement = dialect.tags(self.table(stable.name), list(stable.tags), where(own))
        count = partial(self._count_subtables, stable.name, scope)
        expected, listed = 0 if conditions or self._is_streamed(statement) else count(), 0
        for called, *tags in self.stream(statement, 1 + len(stable.tags)):
            listed += 1
            if scope.has_subtable(subtable := as_name(called), stable.name):
                yield Subtable(subtable, tuple(tags))
        if listed < expected and listed < (now := count()):
            raise IncompleteResult(
                f"{self.client.address} listed {listed} subtables of {stable.name!r} where it counts {now}"
            )

    def _count_subtables(self, stable: str, scope: Scope) -> int:
        """How many subtables `subtables` should list: its answer may be cut, over REST."""
        if self.client.generation == 2:
            statement = f"SELECT COUNT(tbname) FROM {self.table(stable)}{where(scope.conditions(stable))}"
        else:
            own = [f"db_name = {string(self.name)}", f"stable_name = {string(stable)}"]
            own += scope.conditions(stable, "table_name")
            statement = f"SELECT COUNT(*) FROM information_schema.ins_tables{where(own)}"
        return self.count(statement)

    def owners(self) -> dict[str, str | None]:
        """All subtables and normal tables by name, with their super table, None for normal tables."""
        return dict(self._all_tables())

    def those_of(self, names: Collection[str]) -> set[str]:
        """Which of some subtables and normal tables there are."""
        return set(self.owners_of(names))

    def owners_of(self, names: Collection[str]) -> dict[str, str | None]:
        """Those of some subtables and normal tables that there are, with their super table, None for normal tables."""
        ordered, found = list(names), dict[str, str | None]()
        for start in range(0, len(ordered), _NAMES):
            part = ordered[start : start + _NAMES]
            found.update(self._all_tables(part))
        wanted = set(ordered)
        return {name: owner for name, owner in found.items() if name in wanted}

    def has_table(self, name: str, stable: str | None) -> bool:
        """Whether there is a subtable of a super table, or a normal table (None), of that name."""
        if self.client.generation == 3:
            owners = dict(self._all_tables([name]))
            return name in owners and owners[name] == stable
        try:
            if stable is None:
                return not self.describe(name).is_super
            self.look_anew()
            condition = f"tbname = {string(name)}"
            return bool(self.rows(self.client.dialect.tags(self.table(stable), [], where([condition]))))
        except TableMissing:
            return False

    def table(self, name: str) -> str:
        """A table of this database in SQL."""
        return self.client.dialect.table(self.name, name)

    def stable_names(self) -> list[str]:
        """The names of all super tables, without virtual ones."""
        if self.client.generation == 2:
            rows = self.by_column_name(f"SHOW {self.client.dialect.database(self.name)}.stables")
            return [as_name(row["name"]) for row in rows]
        view = f"information_schema.ins_stables WHERE db_name = {string(self.name)}"
        statement = f"SELECT * FROM {view}"
        found = list(self.by_column_name(statement))
        if not self._is_streamed(statement) and len(found) < (expected := self._count(view)):
            raise IncompleteResult(
                f"{self.client.address} listed {len(found)} super tables of {self.name!r} where it counts {expected}"
            )
        return [as_name(row["stable_name"]) for row in found if not is_virtual(row)]

    def normal_tables(self, scope: Scope) -> list[str]:
        """The names of the normal tables in scope."""
        return [name for name, _ in self._all_tables(stables=()) if scope.has_normal_table(name)]

    def _all_tables(
        self, names: Collection[str] = (), stables: Collection[str] | None = None
    ) -> Iterator[tuple[str, str | None]]:
        """Subtables and normal tables with their super table, None for normal tables.

        Parameters:
            names: only these may be asked for; none for all.
            stables: subtables of these super tables only; None for all.
        """
        if self.client.generation == 2:
            statement = f"SHOW {self.client.dialect.database(self.name)}.tables"
            rows: Iterable[tuple[Value, ...]] = (
                (row["table_name"], row["stable_name"] or None) for row in self.by_column_name(statement)
            )
            total = self._count_tables_2x
        else:
            types = ["NORMAL_TABLE", "CHILD_TABLE"] if stables is None or stables else ["NORMAL_TABLE"]
            conditions = [f"db_name = {string(self.name)}", f"type IN ({', '.join(map(string, types))})"]
            conditions += [f"table_name IN ({', '.join(map(string, names))})"] if names else []
            view = f"information_schema.ins_tables{where(conditions)}"
            statement = f"SELECT table_name, stable_name FROM {view}"
            rows, total = self.stream(statement, 2), partial(self._count, view)
        expected, listed = 0 if self._is_streamed(statement) else total(), 0
        for table, stable in rows:
            listed += 1
            if stable is None or stables is None or stable in stables:
                yield as_name(table), None if stable is None else as_name(stable)
        if listed < expected and listed < (now := total()):
            raise IncompleteResult(
                f"{self.client.address} listed {listed} tables of {self.name!r} where it counts {now}"
            )

    def _count(self, view: str) -> int:
        return self.count(f"SELECT COUNT(*) FROM {view}")

    def _count_tables_2x(self) -> int:
        """Subtables and normal tables, as SHOW DATABASES of 2.x says it."""
        return next(
            (as_number(row["ntables"]) for row in self.by_column_name("SHOW DATABASES") if row["name"] == self.name), 0
        )

    def describe(self, table: str) -> Table:
        """The structure of a super table or normal table that the server can describe, see `tables` and `find`.

        Raises:
            TableMissing: there is none of that name.
            AnswerError: the server describes something else.
            UnsupportedServer: a column is of a type that is not known.
        """
        columns, tags = [], []
        second_key = None
        storage = {}
        for row in self.by_column_name(f"DESCRIBE {self.table(table)}"):
            try:
                column = field_from_sql(as_name(row["field"]), as_name(row["type"]), as_number(row["length"]))
            except ValueError as error:
                raise UnsupportedServer(f"Table {table!r} of {self.client.address}: {error}") from error
            note = str(row["note"]).upper()
            if note == "TAG":
                tags.append(column)
                continue
            columns.append(column)
            if "encode" in row:
                storage[column.name] = " ".join(f"{word.upper()} {string(str(row[word]))}" for word in _STORAGE)
            if "PRIMARY KEY" in note:
                second_key = column.name
        if not columns or columns[0].type is not Type.TIMESTAMP:
            found = f"the first of {len(columns)} columns of table {table!r} is no timestamp"
            raise AnswerError(f"{self.client.address} says that {found}")
        return Table(table, tuple(columns), tuple(tags), second_key, storage)

    @cached_property
    def _geometries(self) -> frozenset[str]:
        """Tables with GEOMETRY in a server that cannot describe them; it has no name for their type (3.0.5.2).

        Nothing says so of a tag of a super table that has no subtable.
        """
        if self.client.dialect.describes_geometry:
            return frozenset()
        view = "information_schema.ins_{} WHERE db_name = " + string(self.name)
        columns = f"SELECT table_name, col_type FROM {view.format('columns')} AND table_type <> 'CHILD_TABLE'"
        found = {as_name(table) for table, kind in self.stream(columns, 2) if kind == _NAMELESS}
        for stable in self.stable_names():
            tags = f"SELECT tag_type FROM {view.format('tags')} AND stable_name = {string(stable)} LIMIT {_MOST_TAGS}"
            found |= {stable for (kind,) in self.rows(tags, 1) if kind == _NAMELESS}
        return frozenset(found)

    def find(self, name: str) -> Table | None:
        """The structure of a super table or normal table, None if there is none of that name that SQL can say.

        Raises:
            MigrationStopped: the server cannot describe it.
        """
        stop_on([_geometry(name)] if name in self._geometries else [])
        if not is_speakable(name):
            return None
        try:
            return self.describe(name)
        except TableMissing:
            return None

    def by_column_name(self, statement: str) -> Iterator[Row]:
        """Rows by column name in lower case: columns differ from version to version."""
        with self.session() as session:
            result = session.query(statement)
            names = [field.name.lower() for field in result.fields]
            for block in result.blocks():
                for row in block.to_rows():
                    yield Row(zip(names, row, strict=True))


def is_virtual(stable: Mapping[str, Value]) -> bool:
    """Whether a row of ins_stables is of a virtual super table (3.3.6), as TDengine's documents say it."""
    return bool(stable.get("virtual") or stable.get("isvirtual"))


def _databases(generation: int, name: str) -> str:
    if generation == 2:
        return "SHOW DATABASES"
    return f"SELECT * FROM information_schema.ins_databases WHERE name = {string(name)}"


_REPLICAS = 3
"""Of a database that has more than one; 3.3 also knows 2, with an arbitrator."""


class Row(dict[str, Value]):
    """A row by column name. A column that is asked for and is not there is an error of the answer."""

    def __missing__(self, column: str) -> Value:
        raise AnswerError(f"The server answered without the column {column!r}; it has {wording.enumerated(self)}")


def _option(value: Value) -> str:
    if value is None:
        return ""
    return str(int(value) if isinstance(value, bool) else value).rstrip("\0")


def _database(row: Row) -> Database:
    """A database from what the server lists; with SYSINFO 0, 3.3 leaves most columns out, and 3.0 has NULL there."""
    options = {column: _option(value) for column, value in row.items()}
    keep, duration = options.get("keep"), options.get("duration") or options.get("days")
    try:
        return Database(
            as_name(row["name"]),
            Precision(_option(row["precision"])),
            tuple(map(minutes, keep.split(","))) if keep else (),
            minutes(duration) if duration else None,
            options,
        )
    except ValueError as error:
        raise AnswerError(f"The server lists the database {row['name']!r} with what it cannot have: {error}") from error
