"""What a session reaches: databases and tables by name, as far as its user may."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.language import TableName
from airflow_provider_tdengine.testing.stored.accounts import Accounts
from airflow_provider_tdengine.testing.stored.log import Log, Topic
from airflow_provider_tdengine.testing.stored.storage import Database, SuperTable, Table


@dataclass
class Session:
    """Who is connected, and to which database.

    Parameters:
        user: the account's name.
        database: what names without a database mean.
    """

    user: str = "root"
    database: str | None = None


@dataclass
class Store:
    """All that a server keeps.

    Parameters:
        version: what `server_version()` answers.
        generation: whose rules.
        accounts: the users.
        databases: by name.
        owners: who created each database.
        topics: by name.
        seen_empty: super tables that were read when they had no subtables, and when (`time.monotonic`); of 2.x.
    """

    version: str
    generation: Generation
    accounts: Accounts
    databases: dict[str, Database] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    topics: dict[str, Topic] = field(default_factory=dict)
    seen_empty: dict[SuperTable, float] = field(default_factory=dict)
    _logs: dict[Database, list[Log]] = field(default_factory=dict)

    def logs(self, database: Database) -> list[Log]:
        """The logs of a database's vgroups; 2.x has none."""
        if self.generation.number == 2:
            return []
        if database not in self._logs:
            self._logs[database] = [Log() for _ in range(int(database.options["vgroups"]))]
        return self._logs[database]

    def forget_database(self, name: str) -> None:
        """Let go of a database, its owner and its logs."""
        self._logs.pop(self.databases.pop(name), None)
        self.owners.pop(name, None)


@dataclass(frozen=True)
class Purpose:
    """What a name is looked up for: the right that it takes, and the errors where it fails.

    Parameters:
        right: "read" or "write".
        database_missing: there is no such database.
        table_missing: there is no such table.
        quoted: the database stands between backticks, which 2.4 does not understand.
        denied: the user has not the right.
    """

    right: str
    database_missing: str
    table_missing: str
    quoted: str
    denied: str


QUERY = Purpose("read", "query_database_missing", "query_table_missing", "query_table_missing", "denied")
LOOK = Purpose("read", "database_missing", "table_missing", "quoted_database", "denied")
CHANGE = Purpose("write", "database_missing", "table_missing", "quoted_database", "denied_write")
DELETE = Purpose("write", "query_database_missing", "query_table_missing", "query_table_missing", "denied_write")


class Access:
    """The store as one session sees it.

    Parameters:
        store: all that there is.
        session: who asks.
    """

    def __init__(self, store: Store, session: Session) -> None:
        self.store = store
        self.session = session
        self.generation = store.generation

    def may(self, right: str, database: str) -> bool:
        """True if the session's user may "read" or "write" in a database."""
        owner = self.store.owners.get(database)
        return self.session.user == owner or self.store.accounts.may(self.session.user, right, database)

    def visible(self) -> dict[str, Database]:
        """The databases that the user may read or write."""
        databases = self.store.databases.items()
        return {name: db for name, db in databases if self.may("read", name) or self.may("write", name)}

    def require_super(self) -> None:
        """Raises BoxError where the user is not root."""
        if not self.store.accounts.is_super(self.session.user):
            raise self.generation.errors("denied_administration")

    def database(self, name: str, purpose: Purpose) -> Database:
        """A database by its own name.

        Raises:
            BoxError: no such database, or not for this user.
        """
        if name not in self.store.databases:
            raise self.generation.errors(purpose.database_missing)
        if not self.may(purpose.right, name):
            raise self.generation.errors(purpose.denied)
        return self.store.databases[name]

    def database_of(self, name: TableName, purpose: Purpose) -> Database:
        """The database that a table's name means; raises as `database` does, and where no database is meant."""
        if name.quoted_database and not self.generation.quoted_databases:
            raise self.generation.errors(purpose.quoted)
        database = name.database or self.session.database
        if database is None:
            raise self.generation.errors("no_database")
        return self.database(database, purpose)

    def table(self, name: TableName, purpose: Purpose) -> tuple[Database, Table | SuperTable]:
        """A table or super table, and its database; raises as `database_of` does, and where there is none."""
        database = self.database_of(name, purpose)
        found = database.tables.get(name.name) or database.stables.get(name.name)
        if found is None:
            raise self.generation.errors(purpose.table_missing)
        return database, found
