"""What the accounts of a migration may do, as far as their servers say it: asked before anything is written.

Only what a server says, and will act upon, is a finding:

- In 2.x every account reads every database, whatever its privilege (measured 2.4.0.18, 2.6.0.66).
- The community edition of 3.x lists privileges and checks none (measured 3.0.5.2, 3.3.3.0).
- Editions that check them do it by TDengine's documentation ("Permissions"): rights on a database, which its creator
  has without a GRANT; rights on single tables; and rights on those subtables of a super table whose tags meet a
  condition, which hide the other subtables without a word.
- Since 3.4 (by its documentation; it could not be measured) rights are many and finer, and come by roles, too. Those
  that hide something without a word are found here: conditions on rows, and lists of columns. What else is lacking the
  server says itself when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import PermissionDenied, TableMissing, TDengineError
from airflow_provider_tdengine.client.result import as_name, as_number
from airflow_provider_tdengine.client.sql import string
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.database_options import DatabaseOptions
from airflow_provider_tdengine.migration.findings import Finding, Severity
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure.not_migrated import ALL_COLUMNS
from airflow_provider_tdengine.migration.structure.structure import Structure


@dataclass(frozen=True, slots=True)
class Rights:
    """What an account may do to a database, by what the server lists.

    Parameters:
        user: the account.
        creates_databases: whether it may create databases; None where the version does not say it.
        database: rights on the whole database, of `read` and `write`; of none in 3.4.
        tables: whether it has rights on single tables.
        hidden: tables of which it sees only a part, with that part in words.
    """

    user: str
    creates_databases: bool | None
    database: frozenset[str]
    tables: bool
    hidden: dict[str, str]


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
    yield from session_findings(source, options.workers)
    yield from session_findings(target, options.workers)
    reader, writer = rights(source), rights(target)
    if reader:
        yield from _lacking(source, reader, "read")
        right = "SELECT" if source.client.dialect.has_roles else "READ"
        for table in (pair.source.name for pair in structure.pairs):
            if seen := reader.hidden.get(table):
                yield Finding(
                    _account(source, reader.user),
                    f"of {table!r} it sees only {seen}",
                    f"As root of the source: REVOKE {right} ON {source.table(table)} FROM {reader.user}; "
                    "or leave the table out with exclude",
                )
    if structure.target is None:
        if writer and options.create_database and writer.creates_databases is False:
            dialect = target.client.dialect
            yield Finding(
                _account(target, writer.user),
                f"it may not create the database {target.name!r}",
                f"As root of the target: {dialect.grant_creating(writer.user)}; or create the database, and "
                f"{dialect.grant_writing(target.name, writer.user)}",
            )
        if not structure.source.keep and not DatabaseOptions.parse(options.database_options).keep:
            user = reader.user if reader else source.client.address.user
            yield Finding(
                _account(source, user),
                f"it may not see the KEEP of {source.name!r}, which the target database should have",
                f"As root of the source: ALTER USER {user} SYSINFO 1; or give a KEEP in database_options",
            )
    elif writer:
        yield from _lacking(target, writer, "read", "write")


def session_findings(catalog: Catalog, workers: int) -> Iterator[Finding]:
    """What limits the sessions of an account, which 3.4 has by its documentation: 32 at a time, unless it is altered.

    Parameters:
        catalog: a database, with its account.
        workers: how many sessions one batch holds; one more asks about structure meanwhile.
    """
    if not catalog.client.dialect.has_roles:
        return
    try:
        user = _user(catalog)
        accounts = _of(catalog, "ins_users_full", "name", user)
    except TDengineError as error:
        if error.retryable:
            raise
        return
    limit = as_number(accounts[0].get("session_per_user") or 0) if accounts else 0
    if limit <= 0:
        return
    needed, fitting = workers + 1, (limit - 1) // workers
    more = f"ALTER USER {user} SESSION_PER_USER {4 * workers + 1}"
    if limit < needed:
        action = f"Set workers to {limit - 1}, or as root there: {more}" if limit > 1 else f"As root there: {more}"
        yield Finding(
            _account(catalog, user),
            f"it may have {wording.number(limit, 'session')} at a time; a batch alone takes {needed}",
            action,
        )
    else:
        batches = wording.number(fitting, "batch", "batches")
        yield Finding(
            _account(catalog, user),
            f"it may have {wording.number(limit, 'session')} at a time",
            f"That is enough for {batches} at a time (parallel_batches); for more, as root there: {more}",
            Severity.INFO,
        )


def denied(source: Catalog, target: Catalog, error: PermissionDenied) -> Finding:
    """What to say of an account that turns out not to be allowed what a migration needs."""
    reader, writer = source.client.address, target.client.address
    reading, dialect = source.client.dialect, target.client.dialect
    creating = dialect.grant_creating(writer.user)
    return Finding(
        f"Accounts {reader.user!r} of {reader} and {writer.user!r} of {writer}",
        f"one of them may not do what is needed ({error})",
        f"The first must read {source.name}, the second must create and write {target.name}; as root of 3.x: "
        f"{reading.grant_reading(source.name, reader.user)} and {dialect.grant_writing(target.name, writer.user)}, "
        f"and {creating} where the database is to be created",
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
        user = _user(catalog)
        accounts = _of(catalog, "ins_users", "name", user)
        grants = _of(catalog, "ins_user_privileges", "user_name", user)
        for role in _roles(catalog, accounts[0].get("roles")) if accounts else ():
            for view in ("ins_role_privileges", "ins_role_column_privileges"):
                grants += _of(catalog, view, "role_name", role)
    except TDengineError as error:
        if error.retryable:
            raise
        return None
    if not accounts or accounts[0]["super"]:
        return None
    creates = accounts[0].get("createdb")
    granted = [grant for grant in grants if grant["db_name"] == catalog.name]
    # Since 3.4 there are other columns, and who may not create by `createdb` may by a right or a role.
    by_kind = [grant for grant in granted if "privilege" in grant]
    return Rights(
        user,
        None if creates is None or (catalog.client.dialect.has_roles and not creates) else bool(creates),
        frozenset(str(grant["privilege"]) for grant in by_kind if not grant["table_name"]),
        any(grant["table_name"] for grant in granted),
        dict(_hidden(granted)),
    )


def _user(catalog: Catalog) -> str:
    """The account's name, whether it has logged in by it or by a token; 3.x only."""
    return "".join(as_name(name).rpartition("@")[0] for (name,) in catalog.rows("SELECT CURRENT_USER()", 1))


def _roles(catalog: Catalog, granted: Value) -> list[str]:
    """Roles of an account, and those that they consist of."""
    found = _names(granted)
    for role in found:  # It grows meanwhile.
        for row in _of(catalog, "ins_roles", "name", role):
            found += [name for name in _names(row["subroles"]) if name not in found]
    return found


def _names(listed: Value) -> list[str]:
    return [name for part in as_name(listed or "").split(",") if (name := part.strip())]


def _of(catalog: Catalog, view: str, column: str, name: str) -> list[dict[str, Value]]:
    """What a view of information_schema says of a user or role; nothing where a version has no such view."""
    statement = f"SELECT * FROM information_schema.{view} WHERE {column} = {string(name)}"
    try:
        return list(catalog.by_column_name(statement))
    except TableMissing:
        return []


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


def _hidden(granted: Iterable[Mapping[str, Value]]) -> Iterator[tuple[str, str]]:
    """Tables of which only a part can be read, and which part; a list of columns may have masks of them."""
    for grant in granted:
        condition, columns = as_name(grant.get("condition") or ""), _columns(grant)
        if "privilege" in grant:
            parts = [f"subtables with {condition}"] if condition and grant["privilege"] == "read" else []
        elif "SELECT" not in as_name(grant.get("priv_type") or "").upper():
            continue
        else:
            parts = [f"rows with {condition}"] if condition else []
            parts += [f"some columns, or masks of them ({columns})"] if columns.lower() not in ALL_COLUMNS else []
        if parts:
            yield as_name(grant["table_name"]), ", and ".join(parts)


def _columns(grant: Mapping[str, Value]) -> str:
    """The columns of a right: those of roles are listed one by one as well."""
    return as_name(grant.get("columns") or grant.get("column_name") or "")


def _account(catalog: Catalog, user: str) -> str:
    return f"Account {user!r} of {catalog.client.address}"


def _database(catalog: Catalog) -> str:
    return catalog.client.dialect.database(catalog.name)
