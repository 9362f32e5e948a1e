"""The sentence of every finding: each mistake is one clear sentence, before anything is written.

Each place of the package that makes a finding has a case here, named by its module and function, with a number where
a function makes several; the last test counts them.
"""

from __future__ import annotations

import ast
import json
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import airflow_provider_tdengine
from airflow_provider_tdengine import cli
from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.assessment_options import AssessmentOptions
from airflow_provider_tdengine.migration.catalog import Catalog, Scope
from airflow_provider_tdengine.migration.copying import DeadLetters, MemoryProgress, copy_batch, replay
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, Severity, received, sent, stop_on
from airflow_provider_tdengine.migration.fleet import findings_of
from airflow_provider_tdengine.migration.following import Follower, choose
from airflow_provider_tdengine.migration.following.quiet import Quiet
from airflow_provider_tdengine.migration.following.topic import Topic
from airflow_provider_tdengine.migration.offline import Export, arrow, export, opened
from airflow_provider_tdengine.migration.offline.folder import Folder
from airflow_provider_tdengine.migration.options import OPTIONS, RESOLVED_ON, MigrationOptions
from airflow_provider_tdengine.migration.planning import (
    Machines,
    Proposal,
    databases_meant,
    expanded,
    make_plan,
    plan,
    preflight,
    preview,
    survey,
    target_findings,
)
from airflow_provider_tdengine.migration.storage import folder_findings, this_host
from airflow_provider_tdengine.migration.structure import SchemaSync, make_objects, read_structure
from airflow_provider_tdengine.migration.structure.privileges import session_findings
from airflow_provider_tdengine.operators.asking import check_dag
from airflow_provider_tdengine.operators.comparison import TDengineVerifyOperator, _Known
from airflow_provider_tdengine.operators.follow import increment_options
from airflow_provider_tdengine.operators.migration import TDengineResolveOperator
from airflow_provider_tdengine.operators.shared import not_shared
from airflow_provider_tdengine.screen import Screen
from airflow_provider_tdengine.testing import TDengineBox

from ...client.conftest import running_http
from ..conftest import CREATED, FAULTY, SOURCE, TARGET, BoxPair, Pair, T, address, rename_as_schemaless
from ..test_migration import Confused
from .test_privileges import documented_34

PACKAGE = Path(airflow_provider_tdengine.__file__).parent

# --- Where findings are made


@cache
def places() -> dict[tuple[str, int], str]:
    """Each call of Finding in the package by its file and each of its lines."""
    named = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        found: dict[str, list[range]] = {}
        for call, function in _calls(ast.parse(file.read_text(encoding="utf-8")), ""):
            assert call.end_lineno
            found.setdefault(function, []).append(range(call.lineno, call.end_lineno + 1))
        for function, lines in found.items():
            for number, each in enumerate(lines, 1):
                is_engine = file.is_relative_to(PACKAGE / "migration") or file.parent == PACKAGE
                folder = "" if is_engine else f"{file.parent.name}."
                suffix = f" {number}" if len(lines) > 1 else ""
                named |= {(str(file), line): f"{folder}{file.stem}.{function}{suffix}" for line in each}
    return named


def _calls(node: ast.AST, function: str) -> Iterator[tuple[ast.Call, str]]:
    for child in ast.iter_child_nodes(node):
        name = function
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            name = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "Finding":
            yield child, name
        yield from _calls(child, name)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Finding]]]:
    """Findings that are made meanwhile, each with the place that made it."""
    made: list[tuple[str, Finding]] = []
    original = Finding.__init__

    def init(
        self: Finding, object: str, found: str, action: str, severity: Severity = Severity.BLOCKER, kind: str = ""
    ) -> None:
        original(self, object, found, action, severity, kind)
        caller = sys._getframe(1)
        # Tests make some, too, and `replace` does.
        if place := places().get((caller.f_code.co_filename, caller.f_lineno)):
            made.append((place, self))

    with monkeypatch.context() as patch:
        patch.setattr(Finding, "__init__", init)
        yield made


# --- Situations


@dataclass(frozen=True)
class Case:
    """A finding.

    Parameters:
        place: which makes it.
        happen: what leads to it, with a folder for files.
        sentence: what it says; `{source}` and `{target}` are the servers' addresses, `{folder}` is the folder,
            `{quoted}` the source database as its SQL says it, `{error}` what a server says.
        generations: of sources at which it can happen.
    """

    place: str
    happen: Callable[[BoxPair, Path], object]
    sentence: str
    generations: frozenset[int] = field(default=frozenset({2, 3}))


STABLE = "create stable {}.s (ts timestamp, v int) tags (g int)"
CHILD = "create table {}.c using {}.s tags (1)"
NORMAL = "create table {}.t (ts timestamp, v int)"
ROW = f"insert into {{}}.t values ({T}, 1)"


def sides(source: tuple[str, ...], target: tuple[str, ...] | None = None) -> Callable[[BoxPair], None]:
    """Statements at both sides, in which `{}` is the database; None for a target that is missing."""

    def run(pair: BoxPair) -> None:
        pair.sql(f"create database {SOURCE} keep 36500", *(text.replace("{}", SOURCE) for text in source))
        if target is not None:
            for text in ("create database {} keep 36500", *target):
                pair.target.execute(text.replace("{}", TARGET))

    return run


def sync(
    *source: str, target: tuple[str, ...] | None = None, files: dict[str, str] | None = None, **values: object
) -> Callable[[BoxPair, Path], object]:
    """Schema sync."""

    def happen(pair: BoxPair, folder: Path) -> object:
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        sides(source, target)(pair)
        return pair.sync(**{name: _in(folder, value) for name, value in values.items()})

    return happen


def _in(folder: Path, value: object) -> object:
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


def options(**values: object) -> Callable[[BoxPair, Path], object]:
    """Options alone."""
    required = {"source_conn_id": "a", "target_conn_id": "b", "source_database": "power"}
    return lambda pair, folder: MigrationOptions.checked({**required, **values})


def database(keep: str, **values: object) -> Callable[[BoxPair, Path], object]:
    """Schema sync of an empty database that has some options."""

    def happen(pair: BoxPair, folder: Path) -> object:
        pair.sql(f"create database {SOURCE} {keep}")
        return pair.sync(**values)

    return happen


class Meanwhile(MemoryProgress):
    """Progress that is kept by somebody who changes the source while a batch begins."""

    def __init__(self, pair: Pair, statement: str) -> None:
        super().__init__()
        self._change = lambda: pair.sql(statement)

    def load(self) -> dict[str, object] | None:
        self._change()
        return super().load()


def another_column(pair: BoxPair, folder: Path) -> object:
    sides((STABLE, CHILD, f"insert into {{}}.c values ({T}, 1)"))(pair)
    pair.sync()
    (batch,) = make_plan(*pair.catalogs, pair.options())
    return copy_batch(
        *pair.catalogs, batch, pair.options(), Meanwhile(pair, f"alter table {SOURCE}.s add column w int")
    )


def not_described(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, ROW))(pair)
    pair.sync()
    (batch,) = make_plan(*pair.catalogs, pair.options())
    pair.target_box.faults.answer_with(0x2600, "Syntax error", matching="describe")
    return copy_batch(*pair.catalogs, batch, pair.options(), MemoryProgress())


def subscribed(text: str = "", **values: object) -> Callable[[BoxPair, Path], object]:
    """Following by subscription, of a database that has some options."""

    def happen(pair: BoxPair, folder: Path) -> object:
        pair.sql(f"create database {SOURCE} {text}")
        return choose(*pair.catalogs, pair.options(mode="both", follow_by="subscription", **values))

    return happen


def no_topic(pair: BoxPair, folder: Path) -> object:
    pair.source_box.faults.answer_with(0x0644, "Permission denied", times=100, matching="create topic")
    return subscribed()(pair, folder)


def little_log(pair: BoxPair, folder: Path) -> object:
    pair.sql(f"create database {SOURCE} wal_retention_size 1024")
    raise MigrationStopped(list(Topic(pair.catalogs[0], "").findings(10)))


def too_many_refused(pair: BoxPair, folder: Path) -> object:
    far = 9_999_999_999_999
    late = (
        "create table {}.t (ts timestamp, due timestamp)",
        f"insert into {{}}.t values ({T}, {far}) ({T + 1}, {far})",
    )
    sides(late)(pair)
    values = {"on_error": "dead_letter", "dead_letter_path": str(folder), "max_rejected": 1}
    pair.sync(database_options="PRECISION 'ns'")
    (batch,) = make_plan(*pair.catalogs, pair.options(**values))
    letters = DeadLetters(folder, 1)
    return copy_batch(*pair.catalogs, batch, pair.options(**values), MemoryProgress(), dead_letters=letters)


def surveyed(
    pair: BoxPair,
    prepare: Callable[[BoxPair], None] = lambda pair: None,
    sources: str = "a",
    *,
    error: bool = False,
    databases: str = "*",
) -> object:
    """What is found where whole servers are assessed.

    Parameters:
        pair: of servers.
        prepare: what happens before.
        sources: connections that lead to the source.
        error: whether the source does not list super tables.
        databases: that are meant.
    """
    prepare(pair)
    if error:
        pair.source_box.faults.answer_with(0x2600, "Syntax error", matching="stables")
    options = AssessmentOptions.checked({"source_conn_ids": sources, "databases": databases})
    servers = dict.fromkeys(options.sources, pair.source), pair.target, options
    found = survey(databases_meant(*servers), *servers, CREATED)
    raise MigrationStopped(found.all_findings)


WANTED = Proposal(4, 64, 270_000_000, 4, 1, 1, "CREATE DATABASE `a`", {})


def rows_of_the_future(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, f"insert into {{}}.t values ({T + 40_000_000_000}, 1)"))(pair)
    structure = read_structure(*pair.catalogs, pair.options())
    raise MigrationStopped(preflight(*pair.catalogs, structure, pair.options(), is_end_implied=True))


def over_rest_of_338(pair: BoxPair, folder: Path) -> object:
    sides(("create table {}.f (ts timestamp, v float)",))(pair)
    client, target = Client(pair.source.address), pair.catalogs[1]
    client._server = replace(pair.source.server, version=(3, 3, 8, 0), websocket_path=None)
    source = Catalog(client, SOURCE)
    structure = read_structure(source, target, pair.options())
    raise MigrationStopped(preflight(source, target, structure, pair.options()))


def more_than_are_sent(pair: BoxPair, folder: Path) -> object:
    raise MigrationStopped(received(sent([Finding("View 'v'", f"it is {i}", "Look") for i in range(103)])[-1:]))


def broken_in_a_fleet(pair: BoxPair, folder: Path) -> object:
    try:
        return pair.source.execute("drop database nowhere")
    except TDengineError as error:
        raise MigrationStopped(findings_of("nowhere", error)) from None


def not_compared_in_a_fleet(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, ROW))(pair)
    pair.sync()
    batches = [replace(one, database=SOURCE).to_dict() for one in make_plan(*pair.catalogs, pair.options())]
    operator = TDengineVerifyOperator(task_id="certify", batches=batches)
    run = SimpleNamespace(run_after=CREATED, data_interval_start=None, data_interval_end=None)
    operator._is_fleet, operator._known = True, _Known.of(batches, [])
    return operator._comparing(*pair.catalogs, pair.options(), {"dag_run": run})


def said_by_another_version(pair: BoxPair, folder: Path) -> object:
    operator = TDengineVerifyOperator(task_id="certify", batches=[], compared=[{"rows": 1}])
    operator.batches = [{}]
    return operator._said_before(pair.options())


def certified(**given: Any) -> Callable[[BoxPair, Path], object]:
    """A fleet of plant and power, where the plan has but power, and one that is gone."""

    def happen(pair: BoxPair, folder: Path) -> object:
        operator = TDengineVerifyOperator(task_id="certify", batches=[])
        pushed = {"planned": [given]}
        operator.pushed_before = lambda key, context: pushed.get(key, [])
        options = MigrationOptions.checked({"source_database": "plant, power"})
        found = operator.left_out(options, {})
        raise MigrationStopped([one for own in found.values() for one in own])

    return happen


def a_name_that_no_list_can_have(pair: BoxPair, folder: Path) -> object:
    with TDengineBox() as box:
        box.execute("create database `plant,2`")
        wanted = {"source_database": "plant*", "source_conn_id": "a", "target_conn_id": "b"}
        return expanded(MigrationOptions.checked(wanted), Client(Address.from_url(box.url)), pair.target)


def read_and_written_at_once(pair: BoxPair, folder: Path) -> object:
    pair.sql(f"create database {SOURCE}")
    wanted = {"source_database": "mig_*", "source_conn_id": "a", "target_conn_id": "b"}
    return expanded(MigrationOptions.checked(wanted), pair.source, pair.source)


def dropped_in_the_target(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, ROW))(pair)
    pair.sync()
    (batch,) = make_plan(*pair.catalogs, pair.options())
    pair.target.execute(f"drop table {TARGET}.t")
    return copy_batch(*pair.catalogs, batch, pair.options(), MemoryProgress())


def too_many_batches(pair: BoxPair, folder: Path) -> object:
    names = "abcde"
    sides(
        tuple(f"create stable {{}}.{name} (ts timestamp, v int) tags (g int)" for name in names)
        + tuple(f"insert into {{}}.{name}1 using {{}}.{name} tags (1) values ({T}, 1)" for name in names)
    )(pair)
    pair.sync()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "MOST_BATCHES", 4)
        return make_plan(*pair.catalogs, pair.options())


def geometry_in_a_server_that_dies_of_describing_it(pair: BoxPair, folder: Path) -> object:
    with TDengineBox(version="3.0.5.2") as box:
        client = Client(address(box))
        for text in ("create database {}", "create stable {}.a (ts timestamp, p geometry(64)) tags (g int)"):
            client.execute(text.replace("{}", SOURCE))
        return Catalog(client, SOURCE).tables(Scope())


def older_than_the_target_keeps(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, f"insert into {{}}.t values ({10**12}, 1)"))(pair)
    pair.target.execute(f"create database {TARGET} keep 3650")
    pair.sync()
    return make_plan(*pair.catalogs, pair.options())


def another_site(pair: BoxPair, folder: Path) -> object:
    sides((STABLE, CHILD, f"insert into {{}}.c values ({T}, 1)"))(pair)
    pair.migrate(add_tags="site=beijing")
    return pair.sync(add_tags="site=shanghai")


def tags_of_another_type(pair: BoxPair, folder: Path) -> object:
    sides((STABLE, CHILD), ("create stable {}.s (ts timestamp, v int) tags (g bool)",))(pair)
    follower = Follower(*pair.catalogs, pair.options(mode="realtime", on_schema_change="fail"))
    return follower.round(follower.position(None))


def as_account(
    *statements: str, at: str, target: tuple[str, ...] | None = None, table: str = STABLE
) -> Callable[[BoxPair, Path], object]:
    """Schema sync with an account `anna` at one side, after these statements."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((table,), target)(pair)
        root = pair.source if at == "source" else pair.target
        for statement in statements:
            root.execute(statement.replace("{}", SOURCE if at == "source" else TARGET))
        anna = Client(replace(root.address, user="anna", password="Secret_1"))
        try:
            return (replace(pair, source=anna) if at == "source" else replace(pair, target=anna)).sync()
        finally:
            root.execute("drop user anna")

    return happen


def losing_a_right(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, ROW))(pair)
    pair.sync()
    (batch,) = make_plan(*pair.catalogs, pair.options())
    for statement in ("create user anna pass 'Secret_1'", f"grant read on {TARGET}.* to anna"):
        pair.target.execute(statement)
    try:
        anna = Client(replace(pair.target.address, user="anna", password="Secret_1"))
        return copy_batch(pair.catalogs[0], Catalog(anna, TARGET), batch, pair.options(), MemoryProgress())
    finally:
        pair.target.execute("drop user anna")


def letters(text: str, *target: str) -> Callable[[BoxPair, Path], object]:
    """Dead letters that are brought back."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((), target)(pair)
        (folder / "a.jsonl").write_text(text, encoding="utf-8")
        return replay(folder, pair.catalogs[1])

    return happen


def unshared(folder: Path) -> Iterator[Finding]:
    """What a task says that runs on another host than the one on which the run was resolved."""
    run: Any = {"dag_run": SimpleNamespace(dag_id="m", run_id="r")}
    return not_shared(MigrationOptions(certificate_path=f"file://{folder}"), {RESOLVED_ON: "host a"}, run)


def resolve(pair: BoxPair, **params: object) -> object:
    context = {
        "params": {"source_database": SOURCE, "target_database": TARGET, **params},
        "dag_run": SimpleNamespace(run_after=datetime(2022, 1, 1, tzinfo=timezone.utc)),
        "ti": SimpleNamespace(task_id="resolve", xcom_push=lambda key, value: None),
    }
    return TDengineResolveOperator(task_id="resolve").execute(context)


def increments(**options: str) -> object:
    context: Any = {"dag": SimpleNamespace(start_date=None)}
    return increment_options({"source_database": SOURCE, "target_database": TARGET, **options}, context)


def a_confused_source(pair: BoxPair, folder: Path) -> object:
    sides(("create stable {}.s (ts timestamp, `tbname` int) tags (g int)",))(pair)
    return replace(pair, source=Confused(pair.source.address)).sync()


def schemaless(old: str) -> Callable[[BoxPair, Path], object]:
    """Schema sync of a super table with a subtable, of which something is called otherwise."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((STABLE, CHILD))(pair)
        rename_as_schemaless(pair.source_box, old, "a`b")
        return pair.sync()

    return happen


def named(pair: Pair, target: str) -> tuple[Catalog, Catalog, MigrationOptions]:
    """Both sides and the options of a migration into a database of another name."""
    return pair.catalogs[0], Catalog(pair.target, target), pair.options(target_database=target)


def an_old_target(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL,))(pair)
    with pytest.MonkeyPatch.context() as patch:
        for side in ("SOURCE", "TARGET"):
            uri = f"tdengine://root:taosdata@{pair.source.address.host}:{pair.source.address.port}"
            patch.setenv(f"AIRFLOW_CONN_TDENGINE_{side}", uri)
        return resolve(pair)


def command(*arguments: str, command: str = "plan") -> Callable[[BoxPair, Path], object]:
    """A call of the command line; `{source}` and `{target}` are URLs, `{wrong}` one with a wrong password."""

    def happen(pair: BoxPair, folder: Path) -> object:
        url = str(pair.source.address).replace("://", "://root:taosdata@")
        wrong = url.replace("taosdata", "wrong")
        other = str(pair.target.address).replace("://", "://root:taosdata@")
        urls = {"{source}": url, "{wrong}": wrong, "{target}": other}
        given = [urls.get(argument, argument) for argument in arguments]
        return cli.Command(cli._parser().parse_args([command, "--state", str(folder), *given]), Screen(), {})

    return happen


def nobody_to_ask(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL,))(pair)
    databases = "--source-database", SOURCE, "--target-database", TARGET
    sources = "--source-conn-id", "{source}", "--target-conn-id", "{target}"
    return command(*sources, *databases, "--delete-extra", "ask", command="migrate")(pair, folder)


def told(*source: str, clock: float = 0) -> Callable[[BoxPair, Path], object]:
    """All findings of a dry run, which does not stop at them; the source's clock is ahead."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((NORMAL, ROW, *source))(pair)
        pair.source_box.faults.set_clock(clock)
        try:
            raise MigrationStopped(preview(*pair.catalogs, pair.options()).findings)
        finally:
            for name in [name for name, *_ in pair.source.rows("show users") if name == "anna"]:
                pair.sql(f"drop user {name}")

    return happen


def changed(statement: str, on_schema_change: str = "fail") -> Callable[[BoxPair, Path], object]:
    """A round of a follow, after a statement at the source."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((STABLE, CHILD))(pair)
        pair.sync()
        pair.sql(statement.replace("{}", SOURCE))
        follower = Follower(*pair.catalogs, pair.options(mode="realtime", on_schema_change=on_schema_change))
        return follower.round(follower.position(None))

    return happen


def topic(**values: object) -> Callable[[BoxPair, Path], object]:
    """What becomes of a topic that is to be made in the target."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((STABLE, CHILD))(pair)
        pair.sync()
        pair.sql(f"create topic mig_topic with meta as database {SOURCE}")
        try:
            made = make_objects(*pair.catalogs, pair.options(objects="topics", **values))
        finally:
            pair.sql("drop topic mig_topic")
            pair.target.execute("drop topic if exists mig_topic")
        raise MigrationStopped([one.finding for one in made])

    return happen


def exported(
    *statements: str, schema: dict[str, object] | None = None, **values: object
) -> Callable[[BoxPair, Path], object]:
    """An export that goes on, after some statements, with other options, or where its folder says something else."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((STABLE, CHILD, NORMAL))(pair)
        Export(pair.catalogs[0], pair.options(), folder).run()
        pair.sql(*(statement.replace("{}", SOURCE) for statement in statements))
        says(folder, schema or {})
        return Export(pair.catalogs[0], pair.options(**values), folder).run()

    return happen


def says(folder: Path, changed: dict[str, object]) -> None:
    """Let an export say something else of itself."""
    Folder(folder).save("schema.json", {**(Folder(folder).load("schema.json") or {}), **changed})


def imported(file: str, change: Callable[[Path], object]) -> Callable[[BoxPair, Path], object]:
    """An import from a folder, one of whose files is changed."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((STABLE, CHILD))(pair)
        Export(pair.catalogs[0], pair.options(), folder).run()
        change(folder / file)
        return opened(folder)

    return happen


def without_pyarrow(pair: BoxPair, folder: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        return runpy.run_path(str(arrow.__file__))


def exported_without_a_right(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, ROW))(pair)
    pair.source_box.faults.answer_with(0x0303, "Insufficient privilege for operation", times=100, matching="describe")
    return Export(pair.catalogs[0], pair.options(), folder)


def exported_among_others(pair: BoxPair, folder: Path) -> object:
    sides((NORMAL, ROW))(pair)
    (folder / "rows").mkdir()
    (folder / "rows" / "thesis.txt").touch()
    return Export(pair.catalogs[0], pair.options(), folder)


def dropped_and_made_anew(pair: BoxPair, folder: Path) -> object:
    """A table, between the look at it and the reading of its rows."""
    sides((NORMAL, ROW))(pair)
    read = export.read_unit

    def read_unit(*given: Any) -> Any:
        pair.sql(f"drop table {SOURCE}.t", f"create table {SOURCE}.t (ts timestamp, w int)")
        return read(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "read_unit", read_unit)
        return Export(pair.catalogs[0], pair.options(), folder).run()


def written_to(statement: str, told: int = 0) -> Callable[[BoxPair, Path], object]:
    """A source that is not to be written to any more, and is another one when it has been compared."""

    def happen(pair: BoxPair, folder: Path) -> object:
        sides((NORMAL, ROW), (NORMAL,))(pair)
        quiet = Quiet(*pair.catalogs, pair.options())
        pair.sql(statement.replace("{}", SOURCE))
        return quiet.check(told)

    return happen


def sessions(limit: int) -> Callable[[BoxPair, Path], object]:
    """What is said of an account of 3.4 that may have so many sessions."""

    def happen(pair: BoxPair, folder: Path) -> object:
        with running_http(documented_34([["anna", 0, 1, 1, 0, ""]], [], [], [["anna", limit]])) as peer:
            raise MigrationStopped(list(session_findings(Catalog(Client(peer.address), "power"), 4)))

    return happen


LETTER = json.dumps(
    {
        "table": "t",
        "precision": "ms",
        "columns": [["ts", "TIMESTAMP", T]],
        "column": None,
        "code": 1,
        "reason": "x",
    }
)
LONG = "x" * 65
RENAME = "Give it another one with rename_stables or rename_tables, or leave it out."
OTHERWISE = "another folder, or force, which begins the export anew."
ONLY_2, ONLY_3 = frozenset({2}), frozenset({3})


def decimals(pair: BoxPair, folder: Path) -> object:
    """A source that has a type which the target does not know."""
    with TDengineBox(version="3.3.5.2") as box:
        newer = replace(pair, source=Client(address(box)), source_box=box)
        sides(("create stable {}.s (ts timestamp, v int, price decimal(10,2)) tags (g int)",))(newer)
        try:
            return newer.sync()
        finally:
            assert Catalog(pair.target, TARGET).database() is None


def second_keys(pair: BoxPair, folder: Path) -> object:
    """A target that knows no second key."""
    with TDengineBox(version="3.0.5.2") as box:
        older = replace(pair, target=Client(address(box)), target_box=box)
        sides(("create stable {}.s (ts timestamp, k int primary key, v int) tags (g int)",))(older)
        try:
            return older.sync()
        finally:
            assert Catalog(older.target, TARGET).database() is None


CASES = (
    # --- Options
    Case(
        "options.read_values",
        options(worker=3),
        f"Option 'worker': there is no such option. The options are {', '.join(OPTIONS)}.",
    ),
    Case(
        "options.MigrationOptions._contradictions",
        options(source_database=""),
        "Option 'source_database': it is empty. Give one; The database that is read.",
    ),
    Case(
        "options.check_secrets",
        options(exclude="ws://root:pw@host:6041"),
        "Option 'exclude': it has a password or token, which is not shown here; options are kept and shown to many. "
        "Put the address into an Airflow connection, and change that password.",
    ),
    Case(
        "options.no_connection",
        options(source_conn_id="root@host"),
        "Option 'source_conn_id': it is no name of an Airflow connection; it is not shown here, since it may have a "
        "password. Create a connection with that address, and give its name.",
    ),
    Case(
        "options.MigrationOptions._check_period",
        options(start="2022-01-01", end="2021-01-01"),
        "Options 'start' and 'end': start 2022-01-01 is not before end 2021-01-01. "
        "Give a start that is earlier than end.",
    ),
    Case(
        "options.MigrationOptions._check_mode 1",
        options(start_from="2022-01-01"),
        "Option 'start_from': it is given, and mode is history. Choose mode realtime or both.",
    ),
    Case(
        "options.MigrationOptions._check_mode 2",
        options(mode="both", start_from="2022-01-02", stop_at="2022-01-01"),
        "Option 'stop_at': 2022-01-01 is not after start_from 2022-01-02. Give a later moment.",
    ),
    Case(
        "options.MigrationOptions._check_mode 3",
        options(mode="both", end="2022-01-01"),
        "Option 'end': it is given, and mode is both. "
        "Leave it out: rows are followed until the follow task is stopped; start_from says from when on.",
    ),
    Case(
        "options.MigrationOptions._check_mode 4",
        options(mode="realtime", start="2022-01-01"),
        "Option 'start': it is given, and mode is realtime. "
        "Give start_from instead, or choose mode both to copy older rows, too.",
    ),
    Case(
        "options.MigrationOptions._check_mode 5",
        options(mode="both", schema="only"),
        "Option 'schema': it is only, and mode is both, which copies rows. "
        "Choose mode history, or schema always or none.",
    ),
    Case(
        "choice.obstacle 1",
        subscribed(),
        "Option 'follow_by': TDengine 2.4.0.18 at {source} serves no subscriptions. Set it to auto or poll.",
        frozenset({2}),
    ),
    Case(
        "choice.obstacle 2",
        subscribed(follow_shards=2),
        "Option 'follow_by': follow_shards is 2, and one task reads a subscription. "
        "Set follow_shards to 1, or follow_by to poll.",
        frozenset({3}),
    ),
    Case(
        "choice.choose",
        no_topic,
        "Database 'mig_src' of the source: no topic can be made of it ({error} WITH META AS DATABASE {quoted}.",
        frozenset({3}),
    ),
    Case(
        "topic.Topic.findings 1",
        subscribed("wal_retention_period 0"),
        "Database 'mig_src' of the source: it keeps its log for 0 s (WAL_RETENTION_PERIOD), and changes of 3600 s "
        "have to be read from it. Run ALTER DATABASE {quoted} WAL_RETENTION_PERIOD 3600 there, or set follow_by to "
        "poll.",
        frozenset({3}),
    ),
    Case(
        "topic.Topic.findings 2",
        little_log,
        "Database 'mig_src' of the source: it keeps at most 1024 KiB of its log (WAL_RETENTION_SIZE), however young. "
        "Run ALTER DATABASE {quoted} WAL_RETENTION_SIZE 0 there if more is written while history is copied.",
        frozenset({3}),
    ),
    Case(
        "dead_letters._too_many",
        too_many_refused,
        "Option 'max_rejected': the target refuses more than 1 rows of this batch, the last one {error}: fix the "
        "target, or give a larger number, or 0 for any.",
    ),
    Case(
        "options.MigrationOptions.of_interval 1",
        lambda pair, folder: pair.options(mode="both").of_interval(CREATED, CREATED),
        "Option 'mode': it is both, and each run copies its data interval. Choose mode history.",
    ),
    Case(
        "options.MigrationOptions.of_interval 2",
        lambda pair, folder: MigrationOptions(source_database="power").of_interval(None, None),
        "The run's data interval: it goes from None to None, and each run of this DAG copies its interval. "
        "Create a backfill (Trigger, Backfill), or give start and end in the form; the DAG's schedule must have "
        "intervals, as CronDataIntervalTimetable has.",
    ),
    Case(
        "options.MigrationOptions._check_database_options",
        options(database_options="VGROUPS 2; DROP DATABASE power"),
        "Option 'database_options': a semicolon ends the statement. "
        "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'.",
    ),
    Case(
        "options.results_in",
        lambda pair, folder: pair.options(results_database=TARGET),
        f"Option 'results_database': it is '{TARGET}', the target database. Give a database of its own.",
    ),
    Case(
        "cli._nobody_to_ask",
        nobody_to_ask,
        "Option 'delete_extra': it is ask, and only Airflow asks people. "
        "Choose false or true; verify shows what differs, and changes nothing.",
    ),
    Case(
        "options.MigrationOptions._check_objects",
        options(objects="views, dashboards"),
        "Option 'objects': there is no kind 'dashboards'. "
        "Give all, or indexes, tsmas, virtual_tables, views, topics, streams.",
    ),
    Case(
        "options.MigrationOptions._check_dead_letters",
        options(on_error="dead_letter"),
        "Option 'dead_letter_path': it is empty, and on_error is dead_letter. Give a folder or an object storage URL.",
    ),
    Case(
        "options.MigrationOptions._check_fleet 1",
        options(source_database="power, plant", target_database="all"),
        "Option 'target_database': 'all' would be the target of several databases: power, plant. "
        "Leave it out to keep their names, or give a rule with * for each name, such as *_archive.",
    ),
    Case(
        "options.MigrationOptions._check_fleet 2",
        options(source_database="plant_*", mode="both"),
        "Option 'mode': it is both, and source_database 'plant_*' means several databases. "
        "Choose mode history, or follow them with a run for each database.",
    ),
    Case(
        "options.onto_itself",
        options(target_conn_id="a"),
        "Options 'source_conn_id' and 'target_conn_id': both name 'a', and the database 'power'. "
        "Give another connection or another target_database; a database cannot be copied onto itself.",
    ),
    Case(
        "options._check_value 1",
        options(workers="two"),
        "Option 'workers': 'two' is not a whole number. Give a whole number.",
    ),
    Case(
        "options._check_value 2",
        options(schema="some"),
        "Option 'schema': 'some' is not one of its values. Choose one of always, none, only.",
    ),
    Case(
        "options._check_value 3",
        options(workers=0),
        "Option 'workers': 0 is out of range. Give a number from 1 to 64.",
    ),
    Case(
        "options._check_value 4",
        options(start="yesterday"),
        "Option 'start': 'yesterday' is not a moment. Give one such as 2021-01-01T00:00:00Z, or -30d.",
    ),
    # --- Several databases
    Case(
        "request._cannot_be_listed",
        a_name_that_no_list_can_have,
        "Option 'source_database': it means 'plant,2'; a name with a comma, *, ?, or blanks at an end cannot be "
        "migrated. Give names and patterns that do not mean it.",
    ),
    Case(
        "request._in_the_way",
        read_and_written_at_once,
        "Option 'source_database': 'mig_src' is read, and is the target of 'mig_src' on the same server. "
        "Give names or patterns without it, or another target_database.",
    ),
    Case(
        "fleet.findings_of",
        broken_in_a_fleet,
        "Database 'nowhere': {error}. The log of the task has more.",
    ),
    Case(
        "operators.comparison._gone",
        certified(databases=["plant", "power"], gone=["line"]),
        "Database 'line': it was planned, and the source has it no more, or no tables in it. "
        "See whether that was meant; if so, start over, or start a new run.",
    ),
    Case(
        "operators.comparison._unplanned",
        certified(databases=["power"]),
        "Database 'plant': it has not been planned. Clear plan with all that follows.",
    ),
    Case(
        "operators.comparison.TDengineVerifyOperator._said_before",
        said_by_another_version,
        "What the tasks before this one have said: another version of this package has written it. "
        "Clear those that compare the batches, with all that follows.",
    ),
    Case(
        "operators.comparison.TDengineVerifyOperator._done",
        not_compared_in_a_fleet,
        "Database 'mig_src': 1 of 1 batch has not been compared. The logs of their tasks say why; clear those.",
    ),
    # --- Operators
    Case(
        "operators.migration.client",
        lambda pair, folder: resolve(pair, source_conn_id="nowhere"),
        "Option 'source_conn_id': The conn_id `nowhere` isn't defined. "
        "Create that connection under Admin, Connections.",
    ),
    Case(
        "preflight.generation_findings",
        an_old_target,
        "Option 'target_conn_id': {source} is TDengine 2.4.0.18. "
        "Give a server of 3.0 or later; older ones can only be a source.",
        ONLY_2,
    ),
    # --- Command line
    Case(
        "cli_servers.client_of",
        command("--source-conn-id", "nowhere", "--source-database", "a"),
        "Connection 'nowhere': The conn_id `nowhere` isn't defined. "
        "Create that connection, or give a URL such as ws://root:***@host:6041.",
    ),
    Case(
        "options.onto_itself",
        command("--source-conn-id", "{source}", "--target-conn-id", "{source}", "--source-database", "a"),
        "Options 'source_conn_id' and 'target_conn_id': both name the database 'a' of {source}. "
        "Give another server or another target_database; a database cannot be copied onto itself.",
    ),
    Case(
        "options.results_in",
        command(
            "--source-conn-id",
            "{source}",
            "--target-conn-id",
            "{source}",
            "--source-database",
            SOURCE,
            "--target-database",
            "b",
            "--results-database",
            SOURCE,
        ),
        f"Option 'results_database': it is '{SOURCE}', the source database. Give a database of its own.",
    ),
    # --- All together
    Case(
        "request._Mistakes.side",
        command("--source-conn-id", "ws://host:0", "--target-conn-id", "{source}", "--source-database", "a"),
        "Option 'source_conn_id': The port 0 is not a TCP port; expected 1 to 65535, usually 6041. "
        "Correct that connection.",
    ),
    Case(
        "request._unanswered 1",
        command("--source-conn-id", "{wrong}", "--target-conn-id", "{source}", "--source-database", "a"),
        "Option 'source_conn_id': {source} refuses {error}. Correct user and password of that connection.",
        ONLY_3,
    ),
    Case(
        "request._unanswered 2",
        command("--source-conn-id", "ws://127.0.0.1:1", "--target-conn-id", "{source}", "--source-database", "a"),
        "Option 'source_conn_id': {error}. See that the server and its taosAdapter run, and that host, port and "
        "protocol of the connection are right.",
    ),
    # --- Scope
    Case(
        "catalog.Catalog.nothing_meant 1",
        database("keep 30"),
        "Option 'source_database': the database 'mig_src' of {source} has no tables. "
        "Give another database, or mode realtime or both, which wait for tables that come.",
    ),
    Case(
        "catalog.Catalog.nothing_meant 2",
        sync(STABLE, CHILD, NORMAL, tables="c", exclude="c, t"),
        "Options 'tables' and 'exclude': no table of the database 'mig_src' of {source} is left. "
        "Leave some of them in; it has c, s, t.",
    ),
    Case(
        "catalog.Catalog.missing",
        lambda pair, folder: pair.sync(),
        "Option 'source_database': {source} has no database 'mig_src'. It has none.",
    ),
    Case(
        "catalog.Catalog.missing",
        sync(NORMAL, create_database=False),
        "Option 'target_database': {target} has no database 'mig_dst'. It has none.",
    ),
    Case(
        "catalog.Catalog.missing_tables 1",
        sync(STABLE, stables="metres"),
        "Option 'stables': the database 'mig_src' of {source} has no super table 'metres'. It has s.",
    ),
    Case(
        "catalog.Catalog.missing_tables 2",
        sync(STABLE, CHILD, NORMAL, tables="c, d[1"),
        "Option 'tables': the database 'mig_src' of {source} has no subtable or normal table 'd[1'. It has c, t.",
    ),
    Case(
        "catalog._geometry",
        geometry_in_a_server_that_dies_of_describing_it,
        "Table 'a': it has GEOMETRY, and the taosAdapter of this server's version dies when it is asked for such a "
        "table. Leave it out with exclude, or upgrade that server to 3.3.",
        frozenset({3}),
    ),
    Case(
        "scope._stopped",
        sync(NORMAL, tables="@{folder}/names.txt", files={"names.txt": "# none\n"}),
        "Option 'tables': '@{folder}/names.txt' names nothing. Leave it empty to mean all.",
    ),
    # --- Transform
    Case(
        "transform.Transform.of.read",
        sync(NORMAL, rename_tables="t => u"),
        "Option 'rename_tables': 't => u' is not a rule such as old -> new. "
        "Give rules such as old -> new, * -> site_*, /^old_/ -> new_ or @names.csv, one a line.",
    ),
    Case(
        "transform.Transform.findings",
        sync(NORMAL, columns="volts"),
        "Option 'columns': no table in scope has a column 'volts'. Give columns that are there.",
    ),
    Case(
        "transform.Transform._equal_names",
        sync(STABLE, rename_columns="g -> v"),
        "Table 's': it would have several columns or tags called 'v' in the target. "
        "Give rename_columns or add_tags other names.",
    ),
    Case(
        "transform._same_name",
        sync(NORMAL, "create table {}.u (ts timestamp, v int)", rename_tables="u -> t"),
        "Tables 't', 'u': all of them would be called 't' in the target. "
        "Give rename_stables or rename_tables rules with different results, or leave some out with exclude.",
    ),
    # --- Structure
    Case(
        "structure.Structure.tags",
        tags_of_another_type,
        "Table 's' of the target: column 'g' is INT in the source and BOOL in the target. Run schema sync first.",
    ),
    Case(
        "names._unreadable",
        a_confused_source,
        "Table 's': it has a column or tag called tbname, which TDengine 2.4.0.18 takes for the subtable's name. "
        "Leave it out with exclude, or drop that column in the source.",
        ONLY_2,
    ),
    Case(
        "names._unreadable",
        sync("create table {}.t (ts timestamp, `*` int, `v\\` int)"),
        "Table 't': TDengine 3.3.3.0 misreads 'v\\\\', '*', even in quotes. "
        "Leave it out with exclude, or drop that column in the source.",
        ONLY_3,
    ),
    Case(
        "names._unreadable",
        schemaless("v"),
        "Table 's': the names of 'a`b' have a single backtick, which SQL cannot say. "
        "Leave it out with exclude, or drop that column in the source.",
        ONLY_3,
    ),
    Case(
        "names.unspeakable",
        schemaless("s"),
        "Table 'a`b': its name has a single backtick, as schemaless writing may make it, and SQL cannot say it. "
        "Leave it out with exclude.",
        ONLY_3,
    ),
    Case(
        "names.unspeakable",
        schemaless("c"),
        "Table 'a`b': its name has a single backtick, as schemaless writing may make it, and SQL cannot say it. "
        "Leave it out with exclude.",
        ONLY_3,
    ),
    Case(
        "structure._refused_conditions",
        sync(NORMAL, where="nosuch > 0"),
        "Option 'where': the source refuses it for table 't' ({error}). Give a condition on columns or tags that all "
        "tables in scope have, names that are keywords there in backticks; or leave these tables out.",
    ),
    Case(
        "structure.compare",
        lambda pair, folder: (sides((NORMAL, ROW), ())(pair), pair.copy(schema="none")),
        "Table 't': the target does not have it. Create it there, or run schema sync (schema always).",
    ),
    Case(
        "structure._compare_table 1",
        sync(STABLE, target=("create table {}.s (ts timestamp, v int)",)),
        "Table 's': it is a super table in the source and a normal table in the target. "
        "Rename or drop the one in the target.",
    ),
    Case(
        "structure._compare_table 2",
        sync(NORMAL, target=("create table {}.t (`when` timestamp, v int)",)),
        "Table 't': its time column would be 'ts', and the target's is 'when'. Say ts -> when in rename_columns.",
    ),
    Case(
        "structure._compare_table 3",
        sync(NORMAL, target=("create table {}.t (ts timestamp, k int primary key, v int)",)),
        "Table 't': the second key is None in the source and k in the target. "
        "Create the target's table with the same primary key.",
    ),
    Case(
        "structure._compare_table 4",
        lambda pair, folder: (
            sides((NORMAL, ROW), ("create table {}.t (ts timestamp, w int)",))(pair),
            pair.copy(schema="none"),
        ),
        "Table 't': the target has no column 'v'. Add it, or choose schema always.",
    ),
    Case(
        "structure._compare_table 5",
        sync(
            "create table {}.t (ts timestamp, v double)",
            target=("create table {}.t (ts timestamp, v int)",),
        ),
        "Table 't', column 'v': DOUBLE in the source does not fit INT in the target. "
        "Give the target's column the source's type, or one that takes all of its values (docs/types.md).",
    ),
    # --- Database
    Case(
        "database.NewDatabase.findings 1",
        lambda pair, folder: (sides((NORMAL,))(pair), SchemaSync(*named(pair, "a`b")).run()),
        "Database 'a`b': its name has a single backtick, which SQL cannot say. Give another target_database.",
    ),
    Case(
        "database.NewDatabase.findings 2",
        database("keep 30", database_options="KEEP 20h,1d,2d"),
        "Database 'mig_dst': KEEP would be 1200m,1d,2d, and TDengine 3 takes 1d to 365000d with precision ms. "
        "Give a KEEP in database_options.",
    ),
    Case(
        "database.NewDatabase.findings 3",
        database("keep 30", database_options="DURATION 11"),
        "Database 'mig_dst': KEEP would be 30d and DURATION 11d, and KEEP must be 3 times DURATION. "
        "Give another KEEP or DURATION in database_options.",
    ),
    Case(
        "database.NewDatabase.findings 4",
        database("keep 36500", database_options="DURATION 1217"),
        "Database 'mig_dst': DURATION would be 1217d, and this TDengine takes a third of S3_KEEPLOCAL at most, which "
        "would be 3650d. Give a shorter DURATION or a longer S3_KEEPLOCAL in database_options.",
    ),
    Case(
        "database.coarser",
        database("keep 30 precision 'us'", database_options="PRECISION 'ms'"),
        "Database 'mig_dst': the target counts ms, the source us, so digits of timestamps would be lost. "
        "Give a target database of the same or a finer precision, or set allow_lossy_precision.",
    ),
    # --- Tables of the target
    Case(
        "tags.OtherTags.finding",
        another_site,
        "Table 'c': the target has it already, with rows and with other tags: site is 'beijing' and would be "
        "'shanghai'. It is another site's: give rename_tables a rule that keeps them apart, such as * -> site_*.",
    ),
    Case(
        "names._findings 1",
        sync(NORMAL, rename_tables="/t/ -> "),
        f"Table '': its name is empty or has a single backtick, which SQL cannot say. {RENAME}",
    ),
    Case(
        "names.table_name_findings",
        sync("create table {}.`a.b` (ts timestamp, v int)"),
        f"Table 'a.b': its name has a dot, which TDengine 3 refuses. {RENAME}",
        ONLY_2,
    ),
    Case(
        "names.table_name_findings",
        sync(NORMAL, rename_tables="t -> a.b"),
        f"Table 'a.b': its name has a dot, which TDengine 3 refuses. {RENAME}",
        ONLY_3,
    ),
    Case(
        "names._findings 3",
        sync(NORMAL, rename_tables="t -> a\\"),
        "Table 'a\\\\': its name ends in a backslash, behind which TDengine 3 confuses capitals and small letters. "
        + RENAME,
    ),
    Case(
        "names.name_findings",
        sync(NORMAL, rename_columns="v -> *"),
        "Table 't', column '*': TDengine 3 takes its name for all columns. "
        "Give it another one with rename_columns, or leave it out.",
    ),
    Case(
        "names._findings 2",
        sync(NORMAL, rename_columns=f"v -> {LONG}"),
        f"Table 't', column '{LONG}': its name has more than 64 bytes. "
        "Give it another one with rename_columns, or leave it out.",
    ),
    Case(
        "schema._table_findings 1",
        sync(STABLE, CHILD, rename_stables="s -> c"),
        "Table 'c': a super table has this name, too. Give it another one with rename_tables.",
    ),
    Case(
        "schema._table_findings 2",
        sync(STABLE, CHILD, target=("create table {}.c (ts timestamp, v int)",)),
        "Table 'c': it would be a subtable of 's', and is a normal table in the target. "
        "Give it another name with rename_tables, or drop the one in the target.",
    ),
    Case(
        "schema._tag_findings",
        sync(
            "create stable {}.s (ts timestamp, v int) tags (g json)",
            "create table {}.c using {}.s tags ('{\"n\":1e200}')",
        ),
        "Table 'c': the number in '{\"n\":1e200}', the value of tag 'g', is too large for TDengine 3. "
        "Change the tag's value in the source, or exclude it.",
        ONLY_2,
    ),
    Case(
        "table_options.OptionsOfTables.findings",
        sync(NORMAL, target=("create table {}.t (ts timestamp, v int) ttl 30",)),
        "Table 't': the target drops it 30 days after its creation (TTL), the source keeps it. "
        "In the target: ALTER TABLE `mig_dst`.`t` TTL 0.",
    ),
    Case(
        "limits.limit_findings",
        sync(STABLE, CHILD, add_tags="\n".join(f"t{i}=x" for i in range(128))),
        "Table 's': it would have 129 tags, and TDengine 3 takes 128. "
        "Take fewer with columns or add_tags, or leave the table out with exclude.",
    ),
    Case(
        "limits.type_findings",
        decimals,
        "Table 's', column 'price': it is DECIMAL(10,2), and TDengine 3.3.3.0 of the target has no DECIMAL. "
        "Leave it out with columns, or upgrade the target.",
        ONLY_3,
    ),
    Case(
        "limits.key_findings",
        second_keys,
        "Table 's', column 'k': it is a second key, and TDengine 3.0.5.2 of the target has none. "
        "Upgrade the target to 3.3 or later, or leave the table out with exclude.",
        ONLY_3,
    ),
    # --- What does not stand in the way
    Case(
        "preflight._clocks",
        told(clock=90),
        "Clock of the source: {source} is 89 s ahead of Airflow's. Set the clocks by NTP: they decide where a period "
        "ends, how late rows are, and what KEEP deletes.",
    ),
    Case(
        "not_migrated.Leftover.finding 1",
        told(),
        "Database option UPDATE 0: it is not carried over. "
        "The source kept the first row of a timestamp; in 3.x a later one replaces the columns that it names.",
        ONLY_2,
    ),
    Case(
        "not_migrated.Leftover.finding 2",
        told("create user anna pass 'Secret_1'"),
        "User 'anna': it is not migrated. Make it in the target by hand, if you need it there{error}.",
    ),
    Case(
        "objects.Made.finding 1",
        topic(rename_stables="s -> n"),
        "Topic 'mig_topic': it was not made: tables or columns have other names in the target; adapt the statement. "
        "Make it by hand: create topic mig_topic with meta as database `mig_dst`.",
        ONLY_3,
    ),
    Case(
        "objects.Made.finding 2",
        topic(),
        "Topic 'mig_topic': it was made. Its statement is create topic mig_topic with meta as database `mig_dst`.",
        ONLY_3,
    ),
    Case(
        "disk.Disk.findings",
        told(),
        "Database 'mig_dst': the rows take about 12 bytes (uncompressed). "
        "See that the data directories of the target have that much room, and its WAL some more.",
    ),
    # --- Privileges
    Case(
        "privileges.session_findings 1",
        sessions(2),
        "Account 'anna' of {error}: it may have 2 sessions at a time; a batch alone takes 5. Set workers to 1, or as "
        "root there: ALTER USER anna SESSION_PER_USER 17.",
    ),
    Case(
        "privileges.session_findings 2",
        sessions(9),
        "Account 'anna' of {error}: it may have 9 sessions at a time. That is enough for 2 batches at a time "
        "(parallel_batches); for more, as root there: ALTER USER anna SESSION_PER_USER 17.",
    ),
    Case(
        "privileges.privilege_findings 1",
        as_account(
            "create user anna pass 'Secret_1'",
            "grant read on {}.* to anna",
            "grant read on {}.s with g = 1 to anna",
            at="source",
        ),
        "Account 'anna' of {source}: of 's' it sees only subtables with g = 1. As root of the source: "
        "REVOKE READ ON `mig_src`.`s` FROM anna; or leave the table out with exclude.",
        ONLY_3,
    ),
    Case(
        "privileges.privilege_findings 2",
        as_account("create user anna pass 'Secret_1'", at="target"),
        "Account 'anna' of {target}: it may not create the database 'mig_dst'. As root of the target: "
        "ALTER USER anna CREATEDB 1; or create the database, and GRANT ALL ON `mig_dst`.* TO anna.",
    ),
    Case(
        "privileges.privilege_findings 3",
        as_account("create user anna pass 'Secret_1' sysinfo 0", "grant read on {}.* to anna", at="source"),
        "Account 'anna' of {source}: it may not see the KEEP of 'mig_src', which the target database should have. "
        "As root of the source: ALTER USER anna SYSINFO 1; or give a KEEP in database_options.",
        ONLY_3,
    ),
    Case(
        "privileges._lacking",
        as_account("create user anna pass 'Secret_1'", "grant read on {}.* to anna", at="target", target=()),
        "Account 'anna' of {target}: it may read database 'mig_dst', but not write. "
        "As root there: GRANT READ, WRITE ON `mig_dst`.* TO anna.",
    ),
    Case(
        "privileges.denied",
        losing_a_right,
        "Accounts 'root' of {source} and 'anna' of {target}: one of them may not do what is needed ({error}). "
        "The first must read mig_src, the second must create and write mig_dst; as root of 3.x: "
        "GRANT READ ON {quoted}.* TO root and GRANT ALL ON `mig_dst`.* TO anna, and ALTER USER anna CREATEDB 1 "
        "where the database is to be created.",
    ),
    # --- Rows
    Case(
        "plan.make_batches",
        too_many_batches,
        "Option 'stables': 5 super tables make 5 batches, more than the 4 tasks that Airflow maps by default. "
        "Migrate them in several runs, some super tables each.",
    ),
    Case(
        "expired.expired_findings",
        older_than_the_target_keeps,
        "Table 't': 1 rows from 2001-09-09 on are older than the 3,650 days that 'mig_dst' keeps. "
        "Set on_expired to raise_keep or skip, or give a later start.",
    ),
    Case(
        "copy.copy_batch",
        another_column,
        "Batch s c · 2021-01-01: a table has other columns than when the migration was planned, or the target lacks it "
        "({error}). "
        "Clear sync_schema, or the task that does it in your DAG, with all that follows it.",
    ),
    Case(
        "brief.transcoder_of",
        dropped_in_the_target,
        "Table 't' of the target: there is none. Run schema sync first.",
    ),
    Case(
        "brief._pair",
        not_described,
        "Table 't' of the target: {error}. Run schema sync first.",
    ),
    Case(
        "preflight._after_end",
        rows_of_the_future,
        "Table 't': 1 rows lie at or after 2022-01-01T00:00:00+00:00, where history ends as the run was created then; "
        "the last one is of 2022-04-08 23:06:40 UTC. They are not copied: look at the clocks and time zones of their "
        "devices, give a later end, or choose mode both.",
    ),
    Case(
        "preflight._infinity_over_rest",
        over_rest_of_338,
        "Connection of the source: {source} is asked over REST, which says NULL for Infinity and NaN; 1 table has "
        "FLOAT or DOUBLE. Give an address that begins with ws:// or wss://, unless these tables have neither.",
        ONLY_3,
    ),
    Case(
        "findings.received",
        more_than_are_sent,
        "3 more findings: they are left out here. The log of the task has them.",
    ),
    Case(
        "findings.sent",
        more_than_are_sent,
        "3 more findings: they are left out here. The log of the task has them.",
    ),
    Case(
        "transform.Transform.collisions",
        sync(
            STABLE,
            *(f"create table {{}}.{letter}{i} using {{}}.s tags (1)" for letter in "xy" for i in range(12)),
            rename_tables="/[xy]/ -> t",
        ),
        "2 more names: several tables would be called so in the target, as with the 10 names above. "
        "Give rename_stables or rename_tables rules with different results, or leave some out with exclude.",
    ),
    # --- Changes while rows are followed
    Case(
        "lookout.changes 1",
        changed("create table {}.d using {}.s tags (2)"),
        "Table 'd': the target does not have this subtable. Bring it over, or set on_schema_change to evolve.",
    ),
    Case(
        "lookout.changes 2",
        changed("alter table {}.c set tag g = 2"),
        "Table 'c': its tag g is 2 in the source, 1 in the target. Bring it over, or set on_schema_change to evolve.",
    ),
    Case(
        "carrier.ChangesProposed.__init__",
        changed("create table {}.d using {}.s tags (2)", "ask"),
        "Option 'on_schema_change': it is ask, and 1 statement would be run, such as CREATE TABLE IF NOT EXISTS "
        f"`{TARGET}`.`d` USING `{TARGET}`.`s` (`g`) TAGS (2). Run them, or set it to evolve.",
    ),
    Case(
        "operators.asking.check_dag",
        lambda pair, folder: check_dag({"ti": SimpleNamespace(get_dag=lambda name: SimpleNamespace(is_paused=True))}),  # type: ignore[typeddict-item]
        "DAG 'tdengine_approval', whose runs ask people: it is paused. Switch it on, then clear this task.",
    ),
    Case(
        "quiet.Quiet.check 1",
        written_to("create table {}.u (ts timestamp, v int)"),
        "Source database 'mig_src': its tables, columns or tags are others than before they were compared. "
        "It is still written to: stop whoever writes, then clear this task.",
    ),
    Case(
        "quiet.Quiet.check 2",
        written_to("select 1", 3),
        "Source database 'mig_src': 3 rows came, or got other values, while they were compared. "
        "It is still written to: stop whoever writes, then clear this task.",
    ),
    Case(
        "quiet.Quiet.check 3",
        written_to(f"insert into {{}}.t values ({T + 1}, 1)"),
        "Source database 'mig_src': 1 table with another number of rows than before they were compared, such as 't': "
        "1 before, 2 afterwards. It is still written to: stop whoever writes, then clear this task.",
    ),
    Case(
        "quiet.Quiet.check 4",
        written_to(f"insert into {{}}.t values ({T + 40_000_000_000}, 1)"),
        "Source database 'mig_src': it has 1 row from 2022-01-01T00:00:00+00:00 on, where the comparison ends. "
        "If it is still written to, stop whoever writes, then clear this task. If they lie in the future, copy them "
        "with a migration of mode history whose start is that moment.",
    ),
    # --- Files
    Case(
        "arrow.",
        without_pyarrow,
        "Python package 'pyarrow': it is not installed, and the files of an export are written and read with it. "
        "Run pip install 'airflow-provider-tdengine[parquet]'.",
    ),
    Case(
        "export.Export._allowed",
        exported_without_a_right,
        "Account 'root' of {source}: it may not do what an export needs ({error}). "
        "It must read mig_src and the information schema; as root of 3.x: GRANT READ ON {quoted}.* TO root.",
    ),
    Case(
        "export.Export._begin",
        exported_among_others,
        "Folder '{folder}': it holds 'rows', which is of no export: there is no schema.json. "
        "Give an empty folder, or force, which removes what is there.",
    ),
    Case(
        "export.Export._is_another 1",
        exported(schema={"format": 9}),
        f"Folder '{{folder}}': it has an export of format 9, and this version writes format 1. Give {OTHERWISE}",
    ),
    Case(
        "export.Export._is_another 2",
        exported(schema={"source": {"address": "ws://a:6041", "database": "b", "version": "2.6.0.27"}}),
        "Folder '{folder}': it has an export of 'b' of ws://a:6041 (TDengine 2.6.0.27), and this would be one of "
        f"'mig_src' of {{source}} (TDengine {{error}}). Give that source again, {OTHERWISE}",
    ),
    Case(
        "export.Export._is_another 3",
        exported(tables="c"),
        "Folder '{folder}': its export was begun with tables '', and would go on with 'c'. "
        f"Give tables '' again, {OTHERWISE}",
    ),
    Case(
        "export.Export._schema",
        exported("alter stable {}.s add column w int"),
        f"Table 's': it has other columns or tags than when the export in '{{folder}}' was begun. Give {OTHERWISE}",
    ),
    Case(
        "export.Export._schema",
        exported("drop table {}.t"),
        f"Table 't': it has gone, and was there when the export in '{{folder}}' was begun. Give {OTHERWISE}",
    ),
    Case(
        "export.Export._read_unit",
        dropped_and_made_anew,
        f"Table 't': it was changed, or made anew, while it was exported ({{error}}). Give {OTHERWISE}",
    ),
    Case(
        "folder.Folder.damaged",
        imported("subtables/s.parquet", lambda file: file.write_bytes(b"")),
        "File '{folder}/subtables/s.parquet': it has 0 bytes where {error} were written. "
        "Copy it once more from where it was exported, or run the export again, which writes it anew.",
    ),
    Case(
        "folder.Folder.damaged",
        imported("schema.json", lambda file: file.write_text("{")),
        "File '{folder}/schema.json': its content does not have the SHA-256 that it says of itself. "
        "Copy it once more from where it was exported, or run the export again with force, which writes all of it "
        "anew.",
    ),
    Case(
        "stored.opened 1",
        lambda pair, folder: opened(folder),
        "Folder '{folder}': it has no export on {host}: there is no schema.json. "
        "Give the folder that was exported into; a folder on a disk must be on all workers.",
    ),
    Case(
        "stored.opened 2",
        imported("manifest.json", Path.unlink),
        "Folder '{folder}': its export is not complete: there is no manifest.json. "
        "Run the export again, which goes on where it stopped; or, if it has ended, copy all of its folder.",
    ),
    Case(
        "stored.opened 3",
        imported("schema.json", lambda file: says(file.parent, {"format": 9})),
        "Folder '{folder}': it has an export of format 9, and this version reads format 1. "
        "Use the version of airflow-provider-tdengine that has written it.",
    ),
    # --- Increments
    Case(
        "operators.follow.increment_options 1",
        lambda pair, folder: increments(mode="both"),
        "Option 'mode': it is both. Leave it out, or give realtime.",
    ),
    Case(
        "operators.follow.increment_options 2",
        lambda pair, folder: increments(),
        "Option 'start_from': it is empty. Give it, or give the DAG a start_date: rows from then on are copied.",
    ),
    # --- Assessments of whole servers
    Case(
        "assessment_options.AssessmentOptions._mistakes 1",
        lambda pair, folder: AssessmentOptions.checked({"source_conn_ids": ","}),
        "Option 'source_conn_ids': it is empty. Give the connection of a server.",
    ),
    Case(
        "assessment_options.AssessmentOptions._mistakes 2",
        lambda pair, folder: AssessmentOptions.checked({"database_options": "VGROUPS 2 VGROUPS 2"}),
        "Option 'database_options': VGROUPS is there twice. "
        "Give options with their values, such as REPLICA 3 CACHEMODEL 'both'.",
    ),
    Case(
        "names.selected 1",
        lambda pair, folder: surveyed(pair, databases=" "),
        "Option 'databases': it is empty. Give names and patterns such as power, plant_*; or * for all.",
    ),
    Case(
        "names.selected 2",
        lambda pair, folder: surveyed(pair, sides((NORMAL,)), databases="MIG_SRC"),
        "Option 'databases': {source} has no database 'MIG_SRC'. Perhaps 'mig_src' is meant; it has mig_src.",
    ),
    Case(
        "names.selected 2",
        lambda pair, folder: surveyed(pair, databases="*"),
        "Option 'databases': {source} has no database '*'. It has none.",
    ),
    Case(
        "survey._preview",
        lambda pair, folder: surveyed(pair, sides((NORMAL,)), error=True),
        "Database 'mig_src': {error}. Look at that server's log, and at this database alone, with a dry run.",
    ),
    Case(
        "survey._same_targets",
        lambda pair, folder: surveyed(pair, sides((NORMAL,)), sources="a, b"),
        "Database 'mig_src': {source} and {source} have one of that name. "
        "Give each a target_database of its own, or rename_tables where they are to become one.",
    ),
    Case(
        "proposal.target_findings 1",
        lambda pair, folder: stop_on(
            replace(one, severity=Severity.BLOCKER)
            for one in target_findings([WANTED], Machines(1, 2, 10**8, 0, 9), "ws://t")
        ),
        "Memory of ws://t: 270.0 MB of 100.0 MB would be the buffers of 1 new database. "
        "Give a smaller BUFFER in database_options, bring databases together, or give the target more memory.",
    ),
    Case(
        "proposal.target_findings 2",
        lambda pair, folder: stop_on(
            replace(one, severity=Severity.BLOCKER)
            for one in target_findings([WANTED], Machines(1, 2, 10**12, 7, 9), "ws://t")
        ),
        "Vnodes of ws://t: 2 are free, and 4 are needed for 1 new database. "
        "Raise supportVnodes in the taos.cfg of the target, or add nodes.",
    ),
    # --- Dead letters
    Case(
        "storage.folder_findings",
        lambda pair, folder: stop_on(folder_findings({"certificate_path": f"{folder}/a\0b", "dead_letter_path": ""})),
        "Option 'certificate_path': the folder '{folder}/a\\x00b' cannot be written on {host} (embedded null byte). "
        "Give a folder with room that this account may write.",
    ),
    Case(
        "operators.shared.not_shared",
        lambda pair, folder: stop_on(unshared(folder)),
        "Option 'certificate_path': {host} does not have the folder file://{folder}/m/r that task resolve has made on "
        "host a. Give a URL of an object storage, or a folder that all workers share, and start a new run; if they do "
        "share it, clear resolve.",
    ),
    Case(
        "dead_letters._read",
        letters("{}\n"),
        "File {folder}/a.jsonl: line 1 is no dead letter (KeyError('precision')). Correct or remove that line.",
    ),
    Case(
        "dead_letters.replay",
        lambda pair, folder: replay(folder / "none", pair.catalogs[1]),
        "Folder {folder}/none: there is none on {host}. "
        "Give the folder that the migration's log names; a folder on a disk must be on this host.",
    ),
    Case(
        "dead_letters._of_others",
        letters(json.dumps({**json.loads(LETTER), "database": "line_2"})),
        "Folder {folder}: it has rows of line_2, and target_database is 'mig_dst'. "
        "Give a folder in it that has those of one database, and that database.",
    ),
    Case(
        "dead_letters._bring_back",
        letters(LETTER),
        "Table 't': {error}. Fix the table, then bring the letters back again.",
    ),
)


@pytest.mark.parametrize(
    ("case", "faulty"),
    [
        pytest.param(case, version, id=f"{case.place}-from-{version}")
        for case in CASES
        for version in FAULTY
        if int(version[0]) in case.generations
    ],
    indirect=["faulty"],
)
def test_the_sentence(case: Case, faulty: BoxPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch) as made, pytest.raises(Exception, match=r"\.") as caught:
        case.happen(faulty, tmp_path)
    sentences = [str(finding) for place, finding in made if place == case.place]
    assert sentences, f"made by {[place for place, _ in made]}"
    expected = case.sentence
    for word, value in (
        ("{source}", str(faulty.source.address)),
        ("{target}", str(faulty.target.address)),
        ("{folder}", str(tmp_path)),
        ("{host}", this_host()),
        ("{quoted}", faulty.source.dialect.database(SOURCE)),
    ):
        expected = expected.replace(word, value)
    # What a server says is between these.
    head, error, tail = expected.partition("{error}")
    assert sentences[0] == expected or (error and sentences[0].startswith(head) and sentences[0].endswith(tail))
    # A task says what to do on a line of its own.
    assert sentences[0] in str(caught.value).replace("\n  → ", " ")


def test_every_place_has_its_sentence() -> None:
    assert {case.place for case in CASES} == set(places().values())


def test_all_findings_at_once(faulty: BoxPair) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        MigrationOptions.checked({"source_database": "x", "mode": "x", "workers": 100, "verify": "y"})
    assert str(stopped.value).startswith("3 findings:\n")
    sides(
        (STABLE, CHILD, NORMAL), ("create table {}.c (ts timestamp, v int)", "create table {}.s (t timestamp, v bool)")
    )(faulty)
    with pytest.raises(MigrationStopped) as stopped:
        faulty.sync(rename_tables="t -> a.b")
    assert [finding.object for finding in stopped.value.findings] == ["Table 's'", "Table 'c'", "Table 'a.b'"]
    assert set(faulty.both()[1]) == {"c", "s"}
