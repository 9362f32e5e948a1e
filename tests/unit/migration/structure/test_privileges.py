"""Accounts with the rights that docs/privileges.md names are enough; one that lacks a right is told so at the start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying import MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan, preflight
from airflow_provider_tdengine.migration.structure import leftovers, read_structure
from airflow_provider_tdengine.migration.structure.privileges import rights, session_findings
from airflow_provider_tdengine.testing import TDengineBox

from ...client.conftest import running_http
from ..conftest import SOURCE, TARGET, Pair, T, address

DOCUMENT = Path(__file__).parents[4] / "docs" / "privileges.md"
READER, WRITER = ("mig_reader", "Reader_1234"), ("mig_writer", "Writer_1234")


def documented(heading: str, database: str) -> list[str]:
    """The statements under a heading of the document, for the accounts and the database of a test."""
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition(f"## {heading}\n")
    (block,) = re.findall(r"```sql\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    return [
        statement.replace("migration_", "mig_").replace("power.", f"{database}.").strip()
        for statement in block.split(";")
        if statement.strip()
    ]


@contextmanager
def account(client: Client, statements: list[str], login: tuple[str, str]) -> Iterator[Client]:
    """A client of an account that these statements make."""
    try:
        for statement in statements:
            client.execute(statement)
        yield Client(replace(client.address, user=login[0], password=login[1]))
    finally:
        client.execute(f"drop user {login[0]}")


@pytest.fixture
def accounts(pair: Pair) -> Iterator[Callable[[list[str], list[str]], Pair]]:
    """The pair with other accounts, which these statements make; none for root."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        f"insert into {SOURCE}.a using {SOURCE}.s tags (1) values ({T}, 1) {SOURCE}.b using {SOURCE}.s tags (2) "
        f"values ({T}, 2)",
    )
    with ExitStack() as stack:

        def make(reader: list[str], writer: list[str]) -> Pair:
            source = stack.enter_context(account(pair.source, reader, READER)) if reader else pair.source
            target = stack.enter_context(account(pair.target, writer, WRITER)) if writer else pair.target
            return Pair(source, target)

        yield make


def reader(pair: Pair) -> list[str]:
    return documented("Source, 3.x" if pair.source.generation == 3 else "Source, 2.4 and 2.6", SOURCE)


def stopped(pair: Pair, **values: object) -> str:
    with pytest.raises(MigrationStopped) as caught:
        pair.sync(**values)
    return str(caught.value)


def checks_privileges(client: Client) -> bool:
    """Whether a server is of an edition that checks them; real ones here do not."""
    return "Enterprise" in str(client.rows("select * from information_schema.ins_grants")[0][0])


def test_documented_rights_are_enough(pair: Pair, accounts: Callable[[list[str], list[str]], Pair]) -> None:
    writer = documented("Target, when the database is to be created", TARGET)
    if pair.target.server.version < (3, 3):
        del writer[1]
    assert not accounts(reader(pair), writer).migrate().differences
    assert pair.both()[0] == pair.both()[1]


def test_documented_rights_are_enough_for_a_database_that_is_there(
    pair: Pair, accounts: Callable[[list[str], list[str]], Pair]
) -> None:
    pair.target.execute(f"create database {TARGET} keep 36500")
    made = accounts(reader(pair), documented("Target, when the database is there", TARGET))
    assert not made.migrate().differences
    assert pair.both()[0] == pair.both()[1]


def test_a_writer_that_may_not_create(pair: Pair, accounts: Callable[[list[str], list[str]], Pair]) -> None:
    made = accounts([], ["create user mig_writer pass 'Writer_1234' sysinfo 1"])
    if not checks_privileges(pair.target):
        assert not made.migrate().differences
        return
    assert f"it may not create the database '{TARGET}'" in stopped(made)
    assert Catalog(pair.target, TARGET).database() is None


@pytest.mark.parametrize(("given", "lacks"), [("read", "write"), ("write", "read")])
def test_a_writer_with_half_the_rights(
    pair: Pair, accounts: Callable[[list[str], list[str]], Pair], given: str, lacks: str
) -> None:
    pair.sync()
    made = accounts(
        [], ["create user mig_writer pass 'Writer_1234' sysinfo 1", f"grant {given} on {TARGET}.* to mig_writer"]
    )
    if not checks_privileges(pair.target):
        assert not made.migrate().differences
        return
    if given == "write":
        # DESCRIBE of what is there is refused before rights are compared.
        assert "one of them may not do what is needed" in stopped(made)
        return
    assert f"it may {given} database '{TARGET}', but not {lacks}" in stopped(made)
    with pytest.raises(MigrationStopped, match="but not write"):
        make_plan(*made.catalogs, made.options(schema="none"))


def test_a_reader_of_part_of_a_table(pair: Pair, accounts: Callable[[list[str], list[str]], Pair]) -> None:
    if pair.source.generation == 2:
        return  # 2.x has no rights on tables.
    made = accounts([*reader(pair), f"grant read on {SOURCE}.s with g = 1 to mig_reader"], [])
    if not checks_privileges(pair.source):
        assert not made.migrate().differences
        return
    assert "of 's' it sees only subtables with g = 1" in stopped(made)
    pair.source.execute(f"revoke read on {SOURCE}.s from mig_reader")
    assert not made.migrate().differences


def test_a_reader_that_may_not_see_keep(pair: Pair, accounts: Callable[[list[str], list[str]], Pair]) -> None:
    if pair.source.generation == 2:
        return  # 2.x hides nothing.
    made = accounts([statement.replace("SYSINFO 1", "SYSINFO 0") for statement in reader(pair)], [])
    assert f"it may not see the KEEP of '{SOURCE}'" in stopped(made)
    assert Catalog(pair.target, TARGET).database() is None
    assert not made.migrate(database_options="KEEP 36500").differences
    assert pair.both()[0] == pair.both()[1]
    # It cannot be known whether the source has lost such a row by its age.
    pair.target.execute(f"insert into {TARGET}.a values ({T + 1}, 1)")
    comparison = made.prove(delete_extra=True)
    assert [difference.table for difference in comparison.differences] == ["a"]
    assert comparison.deleted == 0


def test_a_writer_that_may_not_see_keep(pair: Pair, accounts: Callable[[list[str], list[str]], Pair]) -> None:
    pair.target.execute(f"create database {TARGET} keep 36500")
    writer = documented("Target, when the database is there", TARGET)
    made = accounts([], [statement.replace("SYSINFO 1", "SYSINFO 0") for statement in writer])
    structure = read_structure(*made.catalogs, made.options())
    found = preflight(*made.catalogs, structure, made.options())
    assert not [finding for finding in found if finding.is_blocker]
    assert not made.migrate().differences
    assert pair.both()[0] == pair.both()[1]


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_right_that_is_lost_on_the_way(
    pair: Pair, accounts: Callable[[list[str], list[str]], Pair], strategy: str
) -> None:
    pair.sync()
    made = accounts([], ["create user mig_writer pass 'Writer_1234'", f"grant all on {TARGET}.* to mig_writer"])
    if not checks_privileges(pair.target):
        return
    options = made.options(strategy=strategy)
    (batch,) = make_plan(*made.catalogs, options)
    pair.target.execute(f"revoke write on {TARGET}.* from mig_writer")
    with pytest.raises(MigrationStopped) as caught:
        copy_batch(*made.catalogs, batch, options, MemoryProgress())
    assert "one of them may not do what is needed (The server says: Permission denied" in str(caught.value)
    assert pair.both()[1]["a"][1] == []


def test_a_community_edition_checks_nothing(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE} keep 36500", f"create table {SOURCE}.t (ts timestamp, v int)")
    with TDengineBox("3.3.3.0", community=True) as box:
        target = Client(address(box))
        with account(target, ["create user mig_writer pass 'Writer_1234'"], WRITER) as writer:
            made = Pair(pair.source, writer)
            assert not made.migrate().differences
            target.execute(f"grant read on {TARGET}.* to mig_writer")
            assert not made.migrate().differences


# --- 3.4, as its documentation has it


def documented_34(
    users: list[list[object]],
    privileges: list[list[object]],
    roles: list[list[object]],
    sessions: list[list[object]] | None = None,
    columns: list[list[object]] | None = None,
) -> Callable[[str], tuple[int, bytes]]:
    """What a server of 3.4 answers that lists these accounts, rights of them, and rights of roles."""
    of_rights = ["priv_type", "priv_scope", "db_name", "table_name", "condition", "notes", "columns", "update_time"]
    views: dict[str, tuple[list[str], list[list[object]]]] = {
        "server_version": (["server_version()"], [["3.4.1.0"]]),
        "ins_grants": (["version"], [["TDengine Enterprise Edition"]]),
        "CURRENT_USER": (["current_user()"], [["anna@10.0.0.1"]]),
        "ins_users_full": (["name", "session_per_user"], sessions or []),
        "ins_users": (["name", "super", "enable", "sysinfo", "createdb", "roles"], users),
        "ins_user_privileges": (["user_name", *of_rights], privileges),
        "ins_role_privileges": (["role_name", *of_rights], roles),
        "ins_role_column_privileges": (["role_name", *of_rights[:4], "column_name", "condition"], columns or []),
        "ins_roles": (["name", "subroles"], [["looker", "reader,looker"], ["reader", ""]]),
    }

    def respond(statement: str) -> tuple[int, bytes]:
        names, rows = next(answer for view, answer in views.items() if view in statement)
        if name := re.search(r"name = '(.*)'", statement):
            rows = [row for row in rows if row[0] == name[1]]
        numbers = ("super", "enable", "sysinfo", "createdb", "session_per_user")
        kinds = [[name, "TINYINT" if name in numbers else "VARCHAR", 64] for name in names]
        return 200, json.dumps({"code": 0, "column_meta": kinds, "data": rows, "rows": len(rows)}).encode()

    return respond


def right(owner: str, kind: str, table: str, condition: str = "", columns: str = "") -> list[object]:
    return [owner, kind, "TABLE", "power", table, condition, "", columns, "2026-01-01 00:00:00"]


def test_parts_of_tables_that_rights_of_34_hide() -> None:
    privileges = [
        right("anna", "SELECT", "meters", "ts >= '2024-01-01'"),
        right("anna", "INSERT", "log", "v > 1"),
        right("anna", "SELECT", "log", columns="ts,v"),
        right("anna", "SELECT", "whole", columns="*"),
        right("anna", "CREATE TABLE", ""),
        right("otto", "SELECT", "whole", "v > 1"),
    ]
    roles = [
        right("looker", "SELECT", "devices", "site = 'a'", "ts"),
        right("reader", "SELECT", "rooms", "floor = 1"),
        right("other", "SELECT", "whole", "v > 1"),
    ]
    columns: list[list[object]] = [["reader", "SELECT", "TABLE", "power", "pumps", "pressure", ""]]
    respond = documented_34([["anna", 0, 1, 1, 0, "looker, SYSINFO_1"]], privileges, roles, columns=columns)
    with running_http(respond) as peer:
        found = rights(Catalog(Client(peer.address), "power"))
    assert found is not None
    assert found.user == "anna"
    assert found.creates_databases is None  # A role may let it.
    assert found.hidden == {
        "meters": "rows with ts >= '2024-01-01'",
        "log": "some columns, or masks of them (ts,v)",
        "devices": "rows with site = 'a', and some columns, or masks of them (ts)",
        "rooms": "rows with floor = 1",
        "pumps": "some columns, or masks of them (pressure)",
    }


def test_a_34_without_a_view_of_columns() -> None:
    answers = documented_34([["anna", 0, 1, 1, 0, "looker"]], [], [right("looker", "SELECT", "devices", "site = 'a'")])

    def respond(statement: str) -> tuple[int, bytes]:
        if "column_privileges" in statement:
            return 200, json.dumps({"code": 9826, "desc": "Table does not exist"}).encode()
        return answers(statement)

    with running_http(respond) as peer:
        found = rights(Catalog(Client(peer.address), "power"))
    assert found is not None
    assert found.hidden == {"devices": "rows with site = 'a'"}


def test_a_script_for_users_and_roles_of_34() -> None:
    of_database = ["looker", "USE", "DATABASE", "power", "", "", "", "", ""]
    of_system = ["anna", "CREATE DATABASE", "CLUSTER", "", "", "", "", "", ""]
    privileges = [right("anna", "SELECT", "meters", "v > 1", "ts,v"), right("anna", "INSERT", ""), of_system]
    answers = documented_34([["anna", 0, 1, 1, 0, "looker"]], privileges, [of_database])

    def respond(statement: str) -> tuple[int, bytes]:
        if "ins_roles" in statement:
            kinds, rows = [["name", "VARCHAR", 64]], [["looker"]]
        elif "ins_tokens" in statement:
            kinds, rows = [["name", "VARCHAR", 64], ["user", "VARCHAR", 24]], [["nightly", "anna"]]
        elif re.search("ins_(user|role)_privileges|ins_users|version", statement):
            return answers(statement)
        else:
            kinds, rows = [["none", "VARCHAR", 64]], []
        return 200, json.dumps({"code": 0, "column_meta": kinds, "data": rows, "rows": len(rows)}).encode()

    with running_http(respond) as peer:
        left = {one.kind: one.definition for one in leftovers(Catalog(Client(peer.address), "power"))}
    assert left == {
        "user": "CREATE USER anna PASS '…' SYSINFO 1; GRANT ROLE `looker` TO anna; "
        "GRANT SELECT (ts,v) ON `power`.`meters` WITH v > 1 TO anna; GRANT INSERT ON `power`.* TO anna; "
        "GRANT CREATE DATABASE TO anna",
        "role": "CREATE ROLE `looker`; GRANT USE ON DATABASE `power` TO `looker`",
        "token": "of user anna; what it is made of is shown once, so another one must be made",
    }


def test_root_of_34_may_do_all() -> None:
    with running_http(documented_34([["anna", 1, 1, 1, 1, "SYSDBA"]], [], [])) as peer:
        assert rights(Catalog(Client(peer.address), "power")) is None


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (-1, []),
        (32, [("info", "it may have 32 sessions at a time", "enough for 7 batches at a time (parallel_batches)")]),
        (5, [("info", "it may have 5 sessions at a time", "enough for 1 batch at a time")]),
        (4, [("blocker", "it may have 4 sessions at a time; a batch alone takes 5", "Set workers to 3, or as root")]),
        (1, [("blocker", "it may have 1 session at a time", "As root there: ALTER USER anna SESSION_PER_USER 17")]),
    ],
)
def test_a_limit_of_sessions_is_known_before(limit: int, said: list[tuple[str, str, str]]) -> None:
    with running_http(documented_34([["anna", 0, 1, 1, 0, ""]], [], [], [["anna", limit]])) as peer:
        found = list(session_findings(Catalog(Client(peer.address), "power"), 4))
    assert len(found) == len(said)
    for finding, (severity, what, action) in zip(found, said, strict=True):
        assert finding.severity == severity
        assert what in finding.found
        assert action in finding.action
