"""What a session reaches: databases and tables by name, as far as its user may."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_tdengine.testing.accounts import Accounts
from airflow_provider_tdengine.testing.generation import Generation
from airflow_provider_tdengine.testing.storage import Database, SuperTable, Table
from airflow_provider_tdengine.testing.syntax import TableName


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
    """

    version: str
    generation: Generation
    accounts: Accounts
    databases: dict[str, Database] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)


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

    def named(self, name: TableName, right: str, missing: str = "database_missing", denied: str = "denied") -> Database:
        """The database that a table's name means.

        Parameters:
            name: of the table.
            right: "read" or "write".
            missing: the error if there is no such database.
            denied: the error if the user may not.

        Raises:
            BoxError: no such database, or not for this user.
        """
        if name.quoted_database and not self.generation.quoted_databases:
            raise self.generation.errors("query_table_missing" if missing != "database_missing" else "quoted_database")
        database = name.database or self.session.database
        if database is None:
            raise self.generation.errors("no_database")
        return self.database(database, right, missing, denied)

    def database(self, name: str, right: str, missing: str = "database_missing", denied: str = "denied") -> Database:
        """A database by its own name; raises as `named` does."""
        if name not in self.store.databases:
            raise self.generation.errors(missing)
        if not self.may(right, name):
            raise self.generation.errors(denied)
        return self.store.databases[name]

    def source(self, name: TableName, missing: str) -> tuple[Database, Table | SuperTable]:
        """What a query reads from, a table or a super table.

        Raises:
            BoxError: there is none, or it is not for this user.
        """
        database = self.named(name, "read", missing.replace("table", "database") if "query" in missing else missing)
        found = database.tables.get(name.name) or database.stables.get(name.name)
        if found is None:
            raise self.generation.errors(missing)
        return database, found
