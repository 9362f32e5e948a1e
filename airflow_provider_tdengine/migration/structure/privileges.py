"""What the accounts of a migration may do, as far as their servers say it: asked before anything is written.

Only what a server says, and will act upon, is a finding:

- In 2.x every account reads every database, whatever its privilege (measured 2.4.0.18, 2.6.0.66).
- The community edition of 3.x lists privileges and checks none (measured 3.0.5.2, 3.3.3.0).
- Editions that check them do it by TDengine's documentation ("Permissions"): rights on a database, which its creator
  has without a GRANT; rights on single tables; and rights on those subtables of a super table whose tags meet a
  condition, which hide the other subtables without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import PermissionDenied, TDengineError
from airflow_provider_tdengine.client.result import as_name
from airflow_provider_tdengine.client.sql import string
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.database_options import DatabaseOptions
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure.structure import Structure


@dataclass(frozen=True, slots=True)
class Rights:
    """What an account may do to a database, by what the server lists.

    Parameters:
        user: the account.
        creates_databases: whether it may create databases; None where the version does not say it.
        database: rights on the whole database, of `read` and `write`.
        tables: whether it has rights on single tables.
        conditions: super tables of which it reads only subtables whose tags meet a condition, with that condition.
    """

    user: str
    creates_databases: bool | None
    database: frozenset[str]
    tables: bool
    conditions: dict[str, str]


def privilege_findings(
    source: Catalog, target: Catalog, structure: Structure, options: MigrationOptions
) -> Iterator[Finding]:
    """What the accounts lack, as far as the servers say it.

    Parameters:
        source: the source database, with its account.
        target: the target database, with its account.
        structure: both sides.
        options: whether the target database is created, and with what.
    """
    reader, writer = rights(source), rights(target)
    if reader:
        yield from _lacking(source, reader, "read")
        for table in (pair.source.name for pair in structure.pairs):
            if condition := reader.conditions.get(table):
                yield Finding(
                    _account(source, reader.user),
                    f"of {table!r} it sees only subtables with {condition}",
                    f"As root of the source: REVOKE READ ON {source.table(table)} FROM {reader.user}; "
                    "or leave the table out with exclude",
                )
    if structure.target is None:
        if writer and options.create_database and writer.creates_databases is False:
            yield Finding(
                _account(target, writer.user),
                f"it may not create the database {target.name!r}",
                f"As root of the target: ALTER USER {writer.user} CREATEDB 1; or create the database, and "
                f"GRANT ALL ON {_database(target)}.* TO {writer.user}",
            )
        if not structure.source.keep and not DatabaseOptions.parse(options.database_options).keep:
            yield Finding(
                _account(source, source.client.address.user),
                f"it may not see the KEEP of {source.name!r}, which the target database should have",
                f"As root of the source: ALTER USER {source.client.address.user} SYSINFO 1; "
                "or give a KEEP in database_options",
            )
    elif writer:
        yield from _lacking(target, writer, "read", "write")


def denied(source: Catalog, target: Catalog, error: PermissionDenied) -> Finding:
    """What to say of an account that turns out not to be allowed what a migration needs."""
    reader, writer = source.client.address, target.client.address
    return Finding(
        f"Accounts {reader.user!r} of {reader} and {writer.user!r} of {writer}",
        f"one of them may not do what is needed ({error})",
        f"The first must read {source.name}, the second must create and write {target.name}; as root of 3.x: "
        f"GRANT READ ON {_database(source)}.* TO {reader.user} and GRANT ALL ON {_database(target)}.* "
        f"TO {writer.user}, and ALTER USER {writer.user} CREATEDB 1 where the database is to be created",
    )


def rights(catalog: Catalog) -> Rights | None:
    """What the account of a database may do.

    Returns:
        None where it may do everything, or the server does not say it: to an account with SYSINFO 0, for one.
    """
    if catalog.client.generation == 2:
        return None
    try:
        editions = catalog.by_column_name("SELECT * FROM information_schema.ins_grants")
        if any("community" in str(edition["version"]).lower() for edition in editions):
            return None
        user = "".join(as_name(name).rpartition("@")[0] for (name,) in catalog.rows("SELECT CURRENT_USER()", 1))
        accounts = list(
            catalog.by_column_name(f"SELECT * FROM information_schema.ins_users WHERE name = {string(user)}")
        )
        grants = catalog.by_column_name(
            f"SELECT * FROM information_schema.ins_user_privileges WHERE user_name = {string(user)}"
        )
        granted = [grant for grant in grants if grant["db_name"] == catalog.name]
    except TDengineError as error:
        if error.retryable:
            raise
        return None
    if not accounts or accounts[0]["super"]:
        return None
    creates = accounts[0].get("createdb")
    return Rights(
        user,
        None if creates is None else bool(creates),
        frozenset(str(grant["privilege"]) for grant in granted if not grant["table_name"]),
        any(grant["table_name"] for grant in granted),
        {
            str(grant["table_name"]): str(grant["condition"])
            for grant in granted
            if grant["condition"] and grant["privilege"] == "read"
        },
    )


def _lacking(catalog: Catalog, rights: Rights, *needed: str) -> Iterator[Finding]:
    """Rights that an account has not on a whole database.

    One that has none, and sees the database all the same, has created it. One with rights on single tables may
    have all that it needs.
    """
    lacks = [right for right in needed if right not in rights.database]
    if lacks and rights.database and not rights.tables:
        yield Finding(
            _account(catalog, rights.user),
            f"it may {', '.join(sorted(rights.database))} database {catalog.name!r}, but not {', '.join(lacks)}",
            f"As root there: GRANT {', '.join(needed).upper()} ON {_database(catalog)}.* TO {rights.user}",
        )


def _account(catalog: Catalog, user: str) -> str:
    return f"Account {user!r} of {catalog.client.address}"


def _database(catalog: Catalog) -> str:
    return catalog.client.dialect.database(catalog.name)
