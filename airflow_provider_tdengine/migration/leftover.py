"""What a source has and a migration does not move: said at the start, so that nobody finds out later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.catalog import Catalog

_SYSTEM_USERS = frozenset({"root", "_root", "monitor"})


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that stays behind.

    Parameters:
        kind: stream, topic, function, view, index or user; an option of the database or of a super table.
        name: its name; of a database option, what the source has.
        definition: how it was made, as far as the server says it; for making it again by hand.
    """

    kind: str
    name: str
    definition: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f": {self.definition}" if self.definition else "")

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Query:
    """Where one kind is listed.

    Parameters:
        kind: what is listed.
        statement: which lists it.
        name: the column of its name.
        definition: the column that says how it was made, if there is one.
        database: the column of its database; None where the list is of the whole server.
    """

    kind: str
    statement: str
    name: str
    definition: str | None = None
    database: str | None = None


_SCHEMA = "SELECT * FROM information_schema."
_QUERIES = {
    2: (
        # Streams of 2.x are continuous queries.
        _Query("continuous query", "SHOW STREAMS", "streamid", "sql"),
        _Query("topic", "SHOW TOPICS", "name"),
        _Query("function", "SHOW FUNCTIONS", "name"),
        _Query("user", "SHOW USERS", "name", "privilege"),
    ),
    3: (
        _Query("stream", f"{_SCHEMA}ins_streams", "stream_name", "sql", "source_db"),
        _Query("topic", f"{_SCHEMA}ins_topics", "topic_name", "sql", "db_name"),
        _Query("view", f"{_SCHEMA}ins_views", "view_name", "query_sql", "db_name"),
        _Query("function", f"{_SCHEMA}ins_functions", "name", "func_body"),
        _Query("index", f"{_SCHEMA}ins_indexes", "index_name", "column_name", "db_name"),
        _Query("user", f"{_SCHEMA}ins_users", "name"),
    ),
}


def leftovers(catalog: Catalog) -> list[Leftover]:
    """What belongs to a database, or to its server, and is not moved with it.

    Lists that a version does not have, or that the account may not see, are passed over.
    """
    return [leftover for query in _QUERIES[catalog.client.generation] for leftover in _read(catalog, query)]


def _read(catalog: Catalog, query: _Query) -> Iterator[Leftover]:
    try:
        rows = list(catalog.by_column_name(query.statement))
    except TDengineError as error:
        if error.retryable:
            raise
        return
    for row in rows:
        name = str(row.get(query.name))
        if query.database and row.get(query.database) != catalog.name:
            continue
        if (query.kind == "user" and name in _SYSTEM_USERS) or (query.kind == "index" and _is_own(row)):
            continue
        definition = row.get(query.definition) if query.definition else None
        yield Leftover(query.kind, name, "" if definition is None else str(definition).strip("\0"))


def _is_own(row: Mapping[str, object]) -> bool:
    """Whether 3.x made an index by itself, on the first tag of a super table; it will do so again."""
    return row.get("index_name") == f"{row.get('column_name')}_{row.get('table_name')}"
