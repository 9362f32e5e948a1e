"""What a source has and a migration does not move: said at the start, so that nobody finds out later."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import singledispatch
from typing import TypeAlias

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.secrets import masked
from airflow_provider_tdengine.client.sql import identifier, string
from airflow_provider_tdengine.migration.catalog import Catalog, is_own_topic, is_virtual
from airflow_provider_tdengine.migration.findings import Finding, Severity

ALL_COLUMNS = frozenset({"", "*", "all", "0"})
"""What a right on all columns may have where its columns are listed (3.4 could not be measured)."""

_SYSTEM_USERS = frozenset({"root", "_root", "monitor"})

_TSMA = re.compile(r"\s*CREATE\s+TSMA\b", re.IGNORECASE)
"""A TSMA is listed as a stream, too."""

_SHOWN, _CHARACTERS = 100, 4000
"""Things of a kind, and characters of a definition, that a report holds at most."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that stays behind.

    Parameters:
        kind: stream, topic, function, view, virtual table, index, tsma, rsma, user, role, token, mount, xnode task, or
            an option of the database or a super table.
        name: its name; of a database option, what the source has.
        definition: how it was made, as far as the server says it; for making it again by hand.
    """

    kind: str
    name: str
    definition: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f": {self.definition}" if self.definition else "")

    @property
    def finding(self) -> Finding:
        """The same among the findings of a migration."""
        if self.kind.endswith("option"):
            action = self.definition[:1].upper() + self.definition[1:]
            return Finding(f"{self.kind.capitalize()} {self.name}", "it is not carried over", action, Severity.INFO)
        how = f": {self.definition}" if self.definition else ""
        found, action = "it is not migrated", f"Make it in the target by hand, if you need it there{how}"
        return Finding(f"{self.kind.capitalize()} {self.name!r}", found, action, Severity.WARNING)

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


Row: TypeAlias = Mapping[str, Value]
"""A row by column name; versions have other columns."""


@dataclass(frozen=True, slots=True)
class _List:
    """Where one kind is listed.

    Parameters:
        kind: what is listed.
        statement: which lists it; `{}` stands for the database's name as a literal.
        name: the column of its name.
        define: says how it was made.
        databases: columns of the databases that it belongs to; none where the list is of the whole server.
    """

    kind: str
    statement: str
    name: str
    define: Callable[[Catalog, Row], str] = lambda catalog, row: ""
    databases: tuple[str, ...] = ()


def _said_in(column: str) -> Callable[[Catalog, Row], str]:
    return lambda catalog, row: _text(row.get(column))


def _text(value: Value) -> str:
    return "" if value is None else str(value).strip("\0")


def _continuous_query(catalog: Catalog, row: Row) -> str:
    return f"CREATE TABLE {identifier(_text(row['dest table']))} AS {_text(row['sql'])}"


def _function(catalog: Catalog, row: Row) -> str:
    """How a function was made; its library is not repeated, which is binary code."""
    aggregate = "AGGREGATE " if row["aggregate"] else ""
    library = string(_text(row.get("path")) or f"{_text(row['name'])}, from where it was built")
    made = f"CREATE {aggregate}FUNCTION {identifier(_text(row['name']))} AS {library}"
    # 2.x and 3.x write this name differently.
    made += f" OUTPUTTYPE {_text(row.get('output_type') or row.get('outputtype'))} BUFSIZE {_text(row['bufsize'])}"
    language = _text(row.get("func_language"))
    return f"{made} LANGUAGE {string(language)}" if language else made


def _index(catalog: Catalog, row: Row) -> str:
    table, column = _text(row["table_name"]), _text(row["column_name"])
    return f"CREATE INDEX {identifier(_text(row['index_name']))} ON {catalog.table(table)} ({identifier(column)})"


def _rsma(catalog: Catalog, row: Row) -> str:
    name, table = identifier(_text(row["rsma_name"])), catalog.table(_text(row["table_name"]))
    return f"CREATE RSMA {name} ON {table} FUNCTION({_text(row['func_list'])}) INTERVAL({_text(row['interval'])})"


def _xnode_task(_: Catalog, row: Row) -> str:
    return f"from {_text(row['from'])} to {_text(row['to'])}"


def _user(catalog: Catalog, row: Row) -> str:
    """How a user was made, with another password, and what it may do, as the server lists it."""
    name = _text(row["name"])
    made = f"CREATE USER {name} PASS '…'" + (f" SYSINFO {_text(row['sysinfo'])}" if "sysinfo" in row else "")
    roles = filter(None, map(str.strip, _text(row.get("roles")).split(",")))
    granted = [f"GRANT ROLE {identifier(role)} TO {name}" for role in roles]
    return "; ".join([made, *granted, *_grants(catalog, "user", name)])


def _token(_: Catalog, row: Row) -> str:
    return f"of user {_text(row['user'])}; what it is made of is shown once, so another one must be made"


def _role(catalog: Catalog, row: Row) -> str:
    """How a role of 3.4 was made, and what it may do."""
    name = identifier(_text(row["name"]))
    return "; ".join([f"CREATE ROLE {name}", *_grants(catalog, "role", _text(row["name"]))])


def _grants(catalog: Catalog, kind: str, name: str) -> Iterator[str]:
    """What a user or role may do, as the server lists it."""
    view = f"information_schema.ins_{kind}_privileges WHERE {kind}_name = {string(name)}"
    for right in catalog.by_column_name(f"SELECT * FROM {view}"):
        columns, said = _text(right.get("columns")), _text(right.get("privilege") or right.get("priv_type"))
        what = said.upper() + (f" ({columns})" if columns.lower() not in ALL_COLUMNS else "")
        yield f"GRANT {what}{_subject(catalog, right)} TO {name if kind == 'user' else identifier(name)}"


def _subject(catalog: Catalog, right: Row) -> str:
    """What a right is on; nothing for one on the whole system, which 3.4 has."""
    database, table = _text(right["db_name"]), _text(right["table_name"])
    if not database:
        return ""
    scope = _text(right.get("priv_scope")).upper()
    named = "*" if database == "*" else catalog.client.dialect.database(database)
    whole = named if scope == "DATABASE" else f"{named}.{identifier(table) if table not in ('', '*') else '*'}"
    condition = f" WITH {_text(right['condition'])}" if right.get("condition") else ""
    return f" ON {f'{scope} ' if scope not in ('', 'TABLE') else ''}{whole}{condition}"


def _shown(what: str, name: str, otherwise: str | None = None) -> Callable[[Catalog, Row], str]:
    """What SHOW CREATE answers.

    Parameters:
        what: which kind of thing it is asked for.
        name: the column of its name.
        otherwise: the column that says something of it where SHOW CREATE does not.
    """

    def define(catalog: Catalog, row: Row) -> str:
        try:
            rows = catalog.rows(f"SHOW CREATE {what} {catalog.table(_text(row[name]))}", 2)
        except TDengineError as error:
            if error.retryable:
                raise
            return _text(row.get(otherwise)) if otherwise else ""
        return "".join(_text(created) for _, created in rows)

    return define


_SCHEMA = "SELECT * FROM information_schema."
_OF_DATABASE = "WHERE db_name = {}"
_LISTS = {
    2: (
        _List("continuous query", "SHOW STREAMS", "dest table", _continuous_query),
        _List("topic", "SHOW TOPICS", "name"),
        _List("function", "SHOW FUNCTIONS", "name", _function),
        _List("user", "SHOW USERS", "name", _said_in("privilege")),
    ),
    3: (
        _List(
            "stream",
            f"{_SCHEMA}ins_streams",
            "stream_name",
            _said_in("sql"),
            ("source_db", "target_db", "db_name"),
        ),
        _List("topic", f"{_SCHEMA}ins_topics {_OF_DATABASE}", "topic_name", _said_in("sql")),
        _List(
            "view",
            f"{_SCHEMA}ins_views {_OF_DATABASE}",
            "view_name",
            _shown("VIEW", "view_name", otherwise="query_sql"),
        ),
        _List("function", f"{_SCHEMA}ins_functions", "name", _function),
        _List("index", f"{_SCHEMA}ins_indexes {_OF_DATABASE}", "index_name", _index),
        _List("tsma", f"{_SCHEMA}ins_tsmas {_OF_DATABASE}", "tsma_name", _said_in("create_sql")),
        _List("user", f"{_SCHEMA}ins_users", "name", _user),
    ),
}
_VIRTUAL = (
    _List(
        "virtual super table", f"{_SCHEMA}ins_stables {_OF_DATABASE}", "stable_name", _shown("STABLE", "stable_name")
    ),
    _List(
        "virtual table",
        f"SELECT table_name FROM information_schema.ins_tables {_OF_DATABASE} AND type LIKE 'VIRTUAL%'",
        "table_name",
        _shown("VTABLE", "table_name"),
    ),
)

# By TDengine's documentation of 3.4, which could not be measured.
_OF_34 = (
    _List("rsma", f"{_SCHEMA}ins_rsmas {_OF_DATABASE}", "rsma_name", _rsma),
    _List("role", f"{_SCHEMA}ins_roles WHERE name NOT LIKE 'SYS%'", "name", _role),
    _List("token", f"{_SCHEMA}ins_tokens", "name", _token),
    _List("mount", f"{_SCHEMA}ins_mounts", "name", _said_in("path")),
    _List("xnode task", f"{_SCHEMA}ins_xnode_tasks", "name", _xnode_task),
)


@singledispatch
def leftovers(catalog: Catalog, besides: Sequence[str] = ()) -> list[Leftover]:
    """What belongs to a database, or to its server, and is not moved with it; of many of a kind the first ones.

    Definitions are for people: passwords and tokens in them are masked.

    Lists that a version does not have, or that the account may not see, are passed over.

    Parameters:
        catalog: the database.
        besides: kinds that are moved.
    """
    found: list[Leftover] = []
    for each in (each for each in _lists(catalog) if each.kind not in besides):
        rows = _rows(catalog, each)
        for row in rows[:_SHOWN]:
            # Before it is cut: what is left of an address may not look like one.
            definition = masked(each.define(catalog, row))
            cut = f"{definition[:_CHARACTERS]}…" if len(definition) > _CHARACTERS else definition
            found.append(Leftover(each.kind, _text(row[each.name]), cut))
        if len(rows) > _SHOWN:
            found.append(Leftover(each.kind, f"and {len(rows) - _SHOWN} more", ""))
    return found


@singledispatch
def things(catalog: Catalog, kinds: Sequence[str]) -> list[Leftover]:
    """All things of some kinds that belong to a database, with their whole definitions.

    Parameters:
        catalog: the database.
        kinds: see `Leftover`, in the order in which they are wanted.
    """
    lists = sorted((each for each in _lists(catalog) if each.kind in kinds), key=lambda each: kinds.index(each.kind))
    return [
        Leftover(each.kind, _text(row[each.name]), each.define(catalog, row))
        for each in lists
        for row in _rows(catalog, each)
    ]


@singledispatch
def own_things(catalog: Catalog) -> dict[str, int]:
    """How many things a database itself has beside its tables, by kind; those of its whole server are not counted.

    Parameters:
        catalog: the database.
    """
    own = (each for each in _lists(catalog) if each.databases or "{}" in each.statement)
    return {each.kind: found for each in own if (found := len(_rows(catalog, each)))}


def _lists(catalog: Catalog) -> tuple[_List, ...]:
    dialect = catalog.client.dialect
    newer = (_VIRTUAL if dialect.has_virtual_tables else ()) + (_OF_34 if dialect.has_roles else ())
    return _LISTS[dialect.generation] + newer


def _rows(catalog: Catalog, each: _List) -> list[Row]:
    """What is listed and meant; nothing where the version has no such list, or the account may not see it."""
    try:
        listed = catalog.by_column_name(each.statement.format(string(catalog.name)))
        return [row for row in listed if _is_meant(catalog, each, row)]
    except TDengineError as error:
        if error.retryable:
            raise
        return []


def _is_meant(catalog: Catalog, each: _List, row: Row) -> bool:
    databases = [row[column] for column in each.databases if column in row]
    if databases and catalog.name not in databases:
        return False
    if each.kind == "virtual super table":
        return is_virtual(row)
    if each.kind == "index":
        # 3.x makes one by itself on the first tag of a super table, and so it does for a TSMA, without columns.
        column, table = _text(row["column_name"]), _text(row["table_name"])
        return bool(column) and _text(row["index_name"]) != f"{column}_{table}"
    if each.kind == "stream":
        return not _TSMA.match(_text(row.get("sql")))
    if each.kind == "topic":
        return not is_own_topic(_text(row[each.name]))
    return each.kind != "user" or row["name"] not in _SYSTEM_USERS
