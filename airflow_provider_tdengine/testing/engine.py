"""Carries out statements: reads them, finds who is responsible, and counts what was read and written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from airflow_provider_tdengine.client.block import Block, Flags, concatenate
from airflow_provider_tdengine.client.types import Precision, Type
from airflow_provider_tdengine.testing import catalog, changes
from airflow_provider_tdengine.testing.catalog import Catalog, View
from airflow_provider_tdengine.testing.generations import BoxError, generation_of
from airflow_provider_tdengine.testing.language import (
    AlterDatabase,
    AlterTable,
    AlterTableOption,
    AlterUser,
    BulkStatement,
    CreateDatabase,
    CreateTable,
    CreateTopic,
    CreateUser,
    Delete,
    Describe,
    DropDatabase,
    DropGroup,
    DropTables,
    DropTopic,
    DropUser,
    FlushDatabase,
    Grant,
    Name,
    ResetCache,
    Select,
    SelectItem,
    SetTags,
    Show,
    ShowCreate,
    Star,
    Statement,
    TableName,
    Union,
    UseDatabase,
    is_create_children,
    is_insert,
    now,
    parse,
)
from airflow_provider_tdengine.testing.queries import (
    Frame,
    Functions,
    Result,
    Scan,
    Vector,
    block_frame,
    equalities,
    like_pattern,
    narrow,
    number_vector,
    select_frame,
    select_scan,
    text_vector,
)
from airflow_provider_tdengine.testing.stored import (
    DELETE,
    LOOK,
    QUERY,
    Access,
    Accounts,
    Database,
    Right,
    Session,
    Store,
    SuperTable,
    Table,
)

MAX_STATEMENT_BYTES = 1 << 20
"""`maxSQLLength` of 2.x; 3.x has no more."""

_REMEMBERED = 100_000

_REMEMBERED_EMPTY = 10.0
"""Seconds for which 2.x goes on to find nothing in a super table that had no subtables; between 5 and 20."""

_SCHEMAS = {
    "information_schema": catalog.information_schema,
    "performance_schema": catalog.performance_schema,
}

_SIBLINGS = 100


class Engine:
    """The server behind the protocols.

    Parameters:
        version: such as "2.4.0.18" or "3.3.3.0"; its first number says which generation it is.
        password: of root.
        checked: whether privileges are checked.
        ahead: how many seconds its clock is ahead.

    Attributes:
        statements: those that ran, at least the latest 50,000.
        rows_read: rows of tables that were handed out, as they stand there: no counts, no names.
        rows_written: rows that were accepted.
        lock: held by who reads or changes what is stored.
    """

    def __init__(
        self, version: str, password: str, checked: bool = True, ahead: Callable[[], float] = lambda: 0.0
    ) -> None:
        generation = generation_of(version)
        self.generation = generation
        self.store = Store(version, generation, Accounts(generation, password, checked))
        self.statements: list[str] = []
        self._ahead = ahead
        self.rows_read = 0
        self.rows_written = 0
        self.lock = threading.RLock()

    def receive(self, sql: str, session: Session) -> Result | int:
        """Carry out a statement that came over the wire, where its length has a limit and a NUL ends it.

        All else is as in `execute`.
        """
        if len(sql.encode("utf-8", "surrogateescape")) > MAX_STATEMENT_BYTES:
            raise self.generation.errors("too_long_statement")
        return self.execute(sql.partition("\0")[0], session)

    def execute(self, sql: str, session: Session) -> Result | int:
        """Carry out a statement.

        Returns:
            The rows of an answer, or the number of rows affected.

        Raises:
            BoxError: what the server says instead.
        """
        with self.lock:
            if len(self.statements) >= _REMEMBERED:
                del self.statements[: _REMEMBERED // 2]
            self.statements.append(sql)
            access = Access(self.store, session)
            self.store.accounts.find(session.user)
            if is_insert(sql):
                rows = changes.insert(access, BulkStatement(sql, self.generation))
                self.rows_written += rows
                return rows
            if is_create_children(sql):
                changes.create_children(access, BulkStatement(sql, self.generation))
                return 0
            return _Execution(access, sql, self._ahead()).carry_out(parse(sql, self.generation))

    def write_block(self, session: Session, table: str, block: bytes, fields: bytes | None) -> int:
        """Take a raw block of 3.x; raises as `execute` does."""
        with self.lock:
            rows = changes.write_block(Access(self.store, session), table, block, fields)
            self.rows_written += rows
            return rows

    def handed_out(self, rows: int) -> None:
        """Count rows that a client has got."""
        with self.lock:
            self.rows_read += rows


class _Execution:
    """One statement of one session, by a clock that is so many seconds ahead."""

    def __init__(self, access: Access, sql: str, ahead: float) -> None:
        self.access = access
        self.sql = sql
        self.ahead = ahead
        self.generation = access.generation
        self.functions = self.session_functions()

    def carry_out(self, statement: Statement) -> Result | int:
        answer: Result | int = 0
        match statement:
            case Select():
                answer = self.select(statement)
            case Union():
                answer = self.union(statement)
            case Show():
                answer = self.show(statement)
            case ShowCreate():
                answer = self.show_create(statement)
            case Describe():
                _, table = self.access.table(statement.name, LOOK)
                answer = self.listed(catalog.describe(self.generation, table.schema))
            case Delete():
                answer = self.delete(statement)
            case CreateUser() | AlterUser() | DropUser() | Grant():
                self.access.require_super()
                self.change_users(statement)
            case ResetCache():
                self.access.store.seen_empty.clear()
            case FlushDatabase():
                self.access.database(statement.name, LOOK)
            case UseDatabase():
                self.access.session.database = self.access.database(statement.name, LOOK).name
            case _:
                self.change_structure(statement)
        return answer

    def change_structure(self, statement: Statement) -> None:
        match statement:
            case CreateDatabase():
                changes.create_database(self.access, statement)
            case AlterDatabase():
                changes.alter_database(self.access, statement)
            case DropDatabase():
                changes.drop_database(self.access, statement)
            case CreateTopic():
                changes.create_topic(self.access, statement)
            case DropGroup():
                changes.drop_group(self.access, statement)
            case DropTopic():
                changes.drop_topic(self.access, statement)
            case CreateTable():
                changes.create_table(self.access, statement)
            case DropTables():
                changes.drop_tables(self.access, statement)
            case AlterTable():
                changes.alter_table(self.access, statement)
            case AlterTableOption():
                changes.alter_table_option(self.access, statement)
            case SetTags():
                changes.set_tags(self.access, statement, self.sql)
            case _:
                raise self.unknown()

    def unknown(self) -> BoxError:
        return self.generation.errors("unknown", what=self.sql[:300])

    # --- SELECT

    def session_functions(self) -> Functions:
        """Functions without arguments that say something about server and session; few statements call one."""
        store, session = self.access.store, self.access.session
        moment = now(Precision.NS) + round(self.ahead * 10**9)
        functions = {
            "server_version": partial(text_vector, "", store.version),
            "client_version": partial(text_vector, "", store.version),
            "server_status": partial(number_vector, "", 1, Type.INT),
            "database": partial(text_vector, "", session.database or "", 64),
            "now": partial(number_vector, "", moment, Type.TIMESTAMP),
        }
        if self.generation.number > 2:
            functions["timezone"] = partial(text_vector, "", "UTC (UTC, +0000)", self.generation.timezone_length)
            functions["current_user"] = partial(text_vector, "", f"{session.user}@127.0.0.1", 64)
        return functions

    def select(self, select: Select) -> Result:
        source = select.source
        if source is None:
            return select_frame(select, self.no_rows_but_one())
        if isinstance(source, Select):
            inner = self.select(source)
            return select_frame(select, self.framed(inner.block, inner.precision))
        if look := _SCHEMAS.get(source.database or ""):
            view = look(self.catalog(), source.name, equalities(select.where))
            if view is None:
                raise self.generation.errors("query_table_missing")
            return select_frame(select, self.framed(view.block(), Precision.MS))
        database, table = self.access.table(source, QUERY)
        return select_scan(select, Scan(self.remembered(table), database, self.functions))

    def remembered(self, table: Table | SuperTable) -> Table | SuperTable:
        """A table as it is read: in 2.x, a super table without subtables stays so for a while (measured 2.4, 2.6)."""
        if self.generation.number > 2 or not isinstance(table, SuperTable):
            return table
        seen_empty = self.access.store.seen_empty
        if not table.tables:
            seen_empty[table] = time.monotonic()
        if time.monotonic() - seen_empty.get(table, -_REMEMBERED_EMPTY) >= _REMEMBERED_EMPTY:
            return table
        return SuperTable(table.name, table.schema, table.reads_by_tag)

    def union(self, union: Union) -> Result:
        """The rows of each SELECT; 2.x wants columns of the same names, and no more than a hundred (measured)."""
        answers = [self.select(select) for select in union.selects]
        headings = [[field.name for field in answer.block.fields] for answer in answers]
        if self.generation.number == 2 and (len(answers) > _SIBLINGS or any(one != headings[0] for one in headings)):
            raise self.generation.errors("bad_expression", why="columns in select clause not identical, or too many")
        return Result(concatenate([answer.block for answer in answers]), answers[0].precision)

    def framed(self, block: Block, precision: Precision) -> Frame:
        return block_frame(block, precision, self.generation, self.functions)

    def no_rows_but_one(self) -> Frame:
        def load(name: str) -> Vector:
            raise KeyError(name)

        return Frame((), 1, load, Precision.MS, self.generation, self.functions)

    def delete(self, delete: Delete) -> int:
        """DELETE FROM a table or super table, by time and by what is the same in all rows of a table."""
        database, table = self.access.table(delete.name, DELETE)
        scan = Scan(table, database, self.functions)
        oldest_kept = scan.low
        if narrow(delete.where, scan):
            raise self.generation.errors("bad_expression", why="DELETE takes conditions on timestamp and tags only")
        deleted = 0
        met: dict[Table, tuple[int, int]] = {}
        for each in scan.tables:
            rows = each.between(scan.low, scan.high)
            if rows.stop > rows.start:
                times = each.timestamps()
                met[each] = int(times[rows.start]), int(times[rows.stop - 1])
                keep = ~_range_mask(len(times), rows)
                each.rows.keep(keep)
                deleted += rows.stop - rows.start
        low = -(1 << 63) if scan.low == oldest_kept else scan.low
        changes.deleted(self.access, database, table, met, low, scan.high)
        return deleted

    # --- The catalog

    def catalog(self) -> Catalog:
        store, visible = self.access.store, self.access.visible()
        topics = [topic for topic in store.topics.values() if topic.database in visible]
        return Catalog(self.generation, visible, store.accounts, self.access.session.user, topics)

    def listed(self, view: View) -> Result:
        return Result(view.block(), Precision.MS)

    def show(self, show: Show) -> Result:
        if show.table is not None:
            items = (SelectItem(Name("tbname"), "tbname"), SelectItem(Star(), "*"))
            return self.select(Select(items, show.table, tags=True))
        database: Database | None = None
        if show.what in catalog.SHOWN_OF_A_DATABASE:
            database = self.access.database_of(TableName(show.database, ""), LOOK)
        view = catalog.show(self.catalog(), show.what, database)
        if view is None:
            raise self.unknown()
        if show.like is not None:
            matches = like_pattern(show.like).fullmatch
            view = View(view.fields, [row for row in view.rows if matches(str(row[0]))])
        return self.listed(view)

    def show_create(self, show: ShowCreate) -> Result:
        if show.kind == "database":
            database = self.access.database(show.name.name, LOOK)
            return self.listed(catalog.show_create_database(database))
        _, table = self.access.table(show.name, LOOK)
        if show.kind == "stable" and not isinstance(table, SuperTable):
            raise self.generation.errors("no_super_table")
        return self.listed(catalog.show_create_table(self.generation, table))

    # --- Users

    def change_users(self, statement: CreateUser | AlterUser | DropUser | Grant) -> None:
        accounts = self.access.store.accounts
        match statement:
            case CreateUser(name, password, create_databases, sysinfo):
                accounts.create(name, password, create_databases, sysinfo)
            case AlterUser(name, password, privilege, creates, sysinfo):
                accounts.alter(name, password, privilege, creates, sysinfo)
            case DropUser(name):
                accounts.drop(name)
            case Grant():
                self.grant(statement)

    def grant(self, grant: Grant) -> None:
        """GRANT and REVOKE; the box checks rights on whole databases, those on tables it only lists.

        Every database is those that there are, and ALL is READ and WRITE (measured 3.0.5.2, 3.3.3.0).
        """
        databases = list(self.access.store.databases) if grant.database == "*" else [grant.database]
        rights = ("read", "write") if "all" in grant.rights else grant.rights
        grants = self.access.store.accounts.find(grant.user).grants
        table = "" if grant.table == "*" else grant.table
        for database in databases:
            self.access.database(database, LOOK)
            for right in rights:
                # A right takes the place of the same one with another condition.
                grants[:] = [one for one in grants if (one.right, one.database, one.table) != (right, database, table)]
                if not grant.revoke:
                    grants.append(Right(right, database, table, grant.condition))


def _range_mask(rows: int, chosen: slice) -> Flags:
    mask = np.zeros(rows, np.bool_)
    mask[chosen] = True
    return mask
