"""Many databases in one run: what is packed together, what fails alone, what is said of it, and what goes on."""

from __future__ import annotations

import json
import os
import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_tdengine.compat import AirflowException, AirflowFailException
from airflow_provider_tdengine.dags import migration
from airflow_provider_tdengine.migration import comparing, retry
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying import pack
from airflow_provider_tdengine.migration.fleet import AT_ONCE
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import plan as planning
from airflow_provider_tdengine.operators.comparison import TDengineVerifyBatchOperator, TDengineVerifyOperator
from airflow_provider_tdengine.operators.dead_letters import (
    TDengineDeadLettersOperator,
    TDengineReplayDeadLettersOperator,
)
from airflow_provider_tdengine.operators.migration import TDengineRangeMigrationOperator

from .conftest import Plant
from .test_asking import People
from .test_stages import Run, T

TABLES, ROWS = 3, 20
FLEET = ["Hall", "line_1", "line_2", "line_3"]
"""Databases of a 3.x; in 2.x, capitals become small letters."""

from_3 = pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True, ids=["from-3.3.3.0"])


def fill(plant: Plant, database: str, tables: int = TABLES, rows: int = ROWS) -> None:
    """A database with some tables of its own values."""
    values = random.Random(database)
    box = plant.source
    box.execute(f"create database `{database}` keep 36500" if box.version[0] == "3" else f"create database {database}")
    name = f"`{database}`" if box.version[0] == "3" else database
    box.execute(f"create stable {name}.m (ts timestamp, v double) tags (g int)")
    for i in range(tables):
        some = "".join(f"({T + row},{values.random()})" for row in range(rows))
        box.execute(f"create table {name}.d{i} using {name}.m tags ({i})")
        if some:
            box.execute(f"insert into {name}.d{i} values {some}")


def rows(plant: Plant, side: str, database: str) -> list[tuple[object, ...]]:
    """All rows of a database."""
    return sorted(getattr(plant, side).execute(f"select tbname, ts, v from `{database}`.m"))


@pytest.fixture
def run(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Four databases with data, one without tables, and none of them in the target."""
    monkeypatch.setattr(planning, "ROWS_A_BATCH", 2 * TABLES * ROWS)
    for name in ("ROWS_A_BATCH", "ROWS_A_PACK"):
        monkeypatch.setattr(pack, name, 2 * TABLES * ROWS)
    plant.target.execute("drop database follower")
    for database in FLEET:
        fill(plant, database)
    plant.source.execute("create database nothing")
    return Run(plant, {"source_database": "Hall, line_*, no*", "target_database": "*_new"})


def equal(plant: Plant, *databases: str) -> bool:
    return all(rows(plant, "source", one) == rows(plant, "target", f"{one}_new") for one in databases)


@from_3
def test_all_databases_that_are_meant_arrive_in_a_few_tasks(run: Run, tmp_path: Path) -> None:
    run.options["certificate_path"] = str(tmp_path)
    findings = run.resolve()
    assert run.resolved["source_database"] == "Hall, line_1, line_2, line_3"
    assert [one["object"] for one in findings if one["found"].endswith("has no tables")] == [
        "Database 'nothing', option 'source_database'"
    ]
    assert run.sync()["tables"] == len(FLEET) * TABLES
    batches = run.plan()
    assert [[part["database"] for part in one["parts"]] for one in batches] == [FLEET[:2], FLEET[2:]]
    assert run.xcoms["plan", -1, "planned"] == {
        "rows": 240,
        "batches": 2,
        "databases": dict.fromkeys(FLEET, TABLES * ROWS),
        "gone": [],
    }
    operator = TDengineRangeMigrationOperator(task_id="copy", options=run.resolved, batch=batches[0])
    assert operator.batch_label == "Hall…line_1"
    copied = run.copy(batches)
    assert [one["rows"] for one in copied] == [120, 120]
    certified = run.certify(batches, run.verify(copied))
    assert certified["verdict"]["words"] == "Equal as copied: 240 rows in 12 tables"
    assert equal(run.plant, *FLEET)
    (file,) = tmp_path.rglob("certificate.json")
    certificate = json.loads(file.read_text(encoding="utf-8"))
    assert [one["target"]["database"] for one in certificate["databases"]] == [f"{name}_new" for name in FLEET]
    assert (certificate["rows"], certificate["equal"], certificate["broken"]) == (240, True, {})
    page = file.with_suffix(".html").read_text(encoding="utf-8")
    assert all(f"<h2>{name}</h2>" in page for name in FLEET)


@from_3
def test_a_person_is_asked_for_one_database_after_the_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    people, limits, threads = People(), [], set()

    def count(**asked: Any) -> int:
        threads.add(threading.current_thread())
        return people.get_dr_count(**asked)

    def compare_batch(source: Catalog, target: Catalog, batch: Any, options: MigrationOptions, **given: Any) -> Any:
        limits.append(options.max_rows_per_second)
        return compare(source, target, batch, options, **given)

    compare = comparing.compare_batch
    run.asking = {**people.says, "get_dr_count": count}
    run.options |= {"delete_extra": "ask", "max_rows_per_second": 1000}
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    monkeypatch.setattr(comparing.batches, "_MOST_DELETIONS", 1)
    for database, moment in (("Hall", T + 5000), ("line_2", T + 5000), ("line_2", T - 5000)):
        run.plant.target.execute(f"insert into `{database}_new`.d1 values ({moment},7)")
    compared = run.verify(copied)
    assert not [key for key in run.xcoms if key[2] == "failure"]
    subjects = set()
    monkeypatch.setattr(comparing, "compare_batch", compare_batch)
    for is_answered in (False, True, True):
        subjects.add(people.asked(partial(run.certify, batches, compared, is_answered=is_answered))["subject"])
        people.answer("success")
    assert subjects == {
        "Delete 1 row of Hall_new that Hall does not have?",
        "Delete 1 of 2 rows of line_2_new that line_2 does not have?",
        "Delete 1 row of line_2_new that line_2 does not have?",
    }
    certified = run.certify(batches, compared, is_answered=True)
    assert certified["verdict"]["kind"] == "equal"
    assert [one["deleted"] for one in certified["databases"].values()] == [1, 0, 2, 0]
    assert equal(run.plant, *FLEET)
    assert threads == {threading.main_thread()}
    # Each is alone when it is compared again.
    assert set(limits) == {1000}


@from_3
def test_one_that_cannot_be_brought_over_fails_alone_and_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column of one does not fit; another has a row that its target refuses; one is dropped when it is planned."""
    monkeypatch.setattr(pack, "ROWS_A_BATCH", 1_000_000)
    monkeypatch.setattr(pack, "ROWS_A_PACK", 1_000_000)
    run.options["certificate_path"] = str(tmp_path)
    run.plant.target.execute("create database `Hall_new` precision 'ns' keep 36500")
    run.plant.source.execute("create table `Hall`.n (ts timestamp, due timestamp)")
    run.plant.source.execute(f"insert into `Hall`.n values ({T},9999999999999)")
    run.plant.target.execute("create database line_1_new precision 'ms'")
    run.plant.target.execute("create stable line_1_new.m (ts timestamp, v timestamp) tags (g int)")
    run.resolve()
    run.sync()
    assert list(run.xcoms["sync_schema", -1, "broken"]) == ["line_1"]
    batches = run.plan()
    (parts,) = [one["parts"] for one in batches]
    assert [part["database"] for part in parts] == ["Hall", "Hall", "line_2", "line_3"]
    run.plant.source.execute("drop database line_3")
    copied = run.copy(batches)
    assert copied[0]["failed"] == 2
    assert list(run.xcoms["copy", 0, "broken"]) == ["Hall", "line_3"]
    with pytest.raises(AirflowFailException) as failed:
        run.certify(batches, run.verify(copied))
    for name, what in {
        "Hall": "refuses a row of table 'n'",
        "line_1": "v",
        "line_3": "has no database 'line_3'",
    }.items():
        (line,) = [line for line in str(failed.value).splitlines() if line.startswith(f"Database {name!r}")]
        assert what in line
    assert equal(run.plant, "line_2")
    verdict = run.xcoms["certify", -1, "verdict"]
    assert (verdict["kind"], verdict["rows"]) == ("not_compared", 60)
    assert verdict["words"] == "Not compared: Hall, line_1, line_3, of 4 databases"
    certificate = run.xcoms["certify", -1, "certificate"]
    assert (list(certificate["broken"]), certificate["equal"]) == (["Hall", "line_1", "line_3"], False)
    page = next(tmp_path.rglob("certificate.html")).read_text(encoding="utf-8")
    assert "<h3>line_1: not compared</h3>" in page


@from_3
@pytest.mark.parametrize("verify", ["full", "none"])
def test_one_that_is_not_copied_is_no_green_run(run: Run, verify: str) -> None:
    run.options["verify"] = verify
    run.resolve()
    run.sync()
    batches = run.plan()
    run.plant.source.execute("drop database line_3")
    copied = run.copy(batches)
    with pytest.raises(AirflowFailException, match="no database 'line_3'"):
        run.certify(batches, run.verify(copied) if verify == "full" else [])
    assert run.xcoms["certify", -1, "verdict"]["words"].startswith("Not compared: line_3")


@from_3
@pytest.mark.parametrize("verify", ["full", "none"])
@pytest.mark.parametrize(
    ("meant", "lost"),
    [
        ("Hall, line_*", "database line_3"),
        ("Hall, line_*", "table line_3.m"),
        ("line_3*", "database line_3x"),
        ("line_*", "database line_4"),
    ],
    ids=["database", "tables", "all-but-one", "without-rows"],
)
def test_one_that_was_planned_and_is_not_meant_any_more_is_no_green_run(
    run: Run, meant: str, lost: str, verify: str
) -> None:
    run.options |= {"verify": verify, "source_database": meant}
    lost_database = lost.split()[1].removesuffix(".m")
    if lost_database not in FLEET:
        fill(run.plant, lost_database, rows=0 if lost_database == "line_4" else ROWS)
    run.resolve()
    run.sync()
    run.copy(run.plan())
    run.plant.source.execute(f"drop {lost}")
    # Somebody clears the run: the pattern does not mean it now.
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    with pytest.raises(AirflowFailException, match=f"'{lost_database}': it was planned, and the source has it no"):
        run.certify(batches, run.verify(copied) if verify == "full" else [])
    assert run.xcoms["certify", -1, "verdict"]["words"].startswith(f"Not compared: {lost_database}")
    assert list(run.xcoms["certify", -1, "broken"]) == [lost_database]


@from_3
@pytest.mark.parametrize("verify", ["full", "none"])
def test_one_without_rows_that_vanishes_is_no_green_run(run: Run, verify: str) -> None:
    run.options["verify"] = verify
    fill(run.plant, "line_4", rows=0)
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    run.plant.source.execute("drop database line_4")
    with pytest.raises(AirflowFailException, match="no database 'line_4'"):
        run.certify(batches, run.verify(copied) if verify == "full" else [])


@from_3
@pytest.mark.parametrize("verify", ["full", "none"])
def test_one_that_is_mended_and_has_not_been_planned_is_no_green_run(run: Run, verify: str) -> None:
    run.options["verify"] = verify
    run.plant.target.execute("create database line_1_new precision 'ms' keep 36500")
    run.plant.target.execute("create stable line_1_new.m (ts timestamp, v timestamp) tags (g int)")
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    compared = run.verify(copied) if verify == "full" else []
    run.plant.target.execute("drop database line_1_new")
    # Somebody clears sync_schema and certify alone. In a DAG, plan knows what sync_schema had found, and says nothing.
    run.sync()
    del run.xcoms["plan", -1, "broken"]
    with pytest.raises(AirflowFailException, match="Database 'line_1': it has not been planned"):
        run.certify(batches, compared)
    assert list(run.xcoms["certify", -1, "broken"]) == ["line_1"]


@from_3
def test_a_plan_that_is_newer_than_its_copy_is_no_green_run(run: Run) -> None:
    run.options["verify"] = "none"
    run.resolve()
    run.sync()
    run.copy(run.plan())
    run.plant.source.execute("create stable line_2.o (ts timestamp, v double) tags (g int)")
    run.plant.source.execute(f"insert into line_2.n using line_2.o tags (1) values ({T},1)")
    # Somebody clears resolve, sync_schema, plan and certify alone.
    run.resolve()
    run.sync()
    batches = run.plan()
    with pytest.raises(AirflowFailException, match="Database 'line_2': 1 of 2 batches have not been copied"):
        run.certify(batches, [])
    run.copy(batches)
    run.certify(batches, [])


@from_3
def test_what_removed_tasks_have_said_counts_no_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who starts over may get fewer packs; what the last one had said is still there."""
    run.resolve()
    run.sync()
    batches = run.plan()
    run.plant.source.execute("drop database line_3")
    run.copy(batches)
    assert run.xcoms["copy", 1, "broken"]
    fill(run.plant, "line_3")
    run.stores.clear()
    for name in ("ROWS_A_BATCH", "ROWS_A_PACK"):
        monkeypatch.setattr(pack, name, 1_000_000)
    run.resolve()
    run.sync()
    batches = run.plan()
    assert len(batches) == 1
    run.states = {"copy_1": "removed", "verify_1": "removed"}
    assert run.certify(batches, run.verify(run.copy(batches)))["verdict"]["kind"] == "equal"


@from_3
def test_a_comparison_that_was_killed_is_not_replaced_by_one_of_an_earlier_plan(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(run.plant, "line_4")
    run.options["source_database"] = "line_*"
    run.resolve()
    run.sync()
    batches = run.plan()
    run.certify(batches, run.verify(run.copy(batches)))
    for name in ("line_1", "line_2"):
        run.plant.source.execute(f"drop database {name}")
    run.stores.clear()
    run.resolve()
    run.sync()
    batches = run.plan()
    assert len(batches) == 1
    run.copy(batches)
    # What starts forgets what it had said; then it runs out of memory, or of time.
    del run.xcoms["verify", 0, "return_value"]
    run.plant.target.execute(f"insert into line_3_new.d1 values ({T},7)")
    run.states = {"copy_1": "removed", "verify_1": "removed", "verify_0": "failed"}
    with pytest.raises(AirflowFailException, match="Database 'line_3': 1 of 1 batch have not been compared"):
        run.certify(batches, [run.xcoms["verify", 1, "return_value"]])


@from_3
def test_a_comparison_that_waits_for_a_retry_is_not_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PATIENCE", 0.0)
    run.resolve()
    run.sync()
    copied = run.copy(run.plan())
    run.plant.target.faults.answer_with(0x0914, "Vnode is closed or removed", times=1000, matching="line_1")
    context = run.context("verify", 0)
    context["ti"].max_tries = 1
    operator = TDengineVerifyBatchOperator(task_id="verify", options=run.resolved, copied=copied[0])
    with pytest.raises(AirflowException):
        operator.execute(context)
    assert run.xcoms["verify", 0, "return_value"]["failed"] == 1


def test_a_pack_of_which_nothing_was_copied_has_a_name() -> None:
    assert TDengineVerifyBatchOperator(task_id="verify", copied={"parts": []}).batch_label == "nothing"


@from_3
def test_what_is_broken_in_one_group_is_not_so_in_the_next(run: Run) -> None:
    with DAG("m", schedule=None) as dag:
        migration("north") >> migration("south")
    (certify,) = [task for task in dag.tasks if task.task_id == "south.certify"]
    assert isinstance(certify, TDengineVerifyOperator)
    certify.batches, asked = [], set[str]()

    def pull(*, task_ids: list[str], key: str) -> list[object]:
        asked.update(task_ids)
        return []

    context = run.context("south.certify")
    context["ti"].xcom_pull = pull
    certify.broken_before(MigrationOptions(source_database="a, b"), context)
    assert {task.partition(".")[0] for task in asked} == {"south"}


@from_3
def test_databases_that_are_compared_side_by_side_share_the_limits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def conclude(source: Catalog, target: Catalog, options: MigrationOptions, *more: Any, **given: Any) -> Any:
        limits.append(options.max_rows_per_second)
        return comparing_conclude(source, target, options, *more, **given)

    comparing_conclude = comparing.conclude
    monkeypatch.setattr(comparing, "conclude", conclude)
    run.options |= {"max_rows_per_second": 1000, "workers": 1}
    run.all()
    assert limits == [1000 // AT_ONCE] * len(FLEET)


@from_3
def test_a_busy_database_is_tried_again_before_it_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PATIENCE", 0.0)
    run.resolve()
    run.sync()
    batches = run.plan()
    run.plant.source.faults.answer_with(0x0914, "Vnode is closed or removed", times=1000, matching="line_1")
    context = run.context("copy", 0)
    context["ti"].max_tries = 1
    with pytest.raises(AirflowException, match="Database 'line_1'") as failed:
        TDengineRangeMigrationOperator(task_id="copy", options=run.resolved, batch=batches[0]).execute(context)
    assert not isinstance(failed.value, AirflowFailException), "Airflow may try again"
    copied = run.copy(batches)
    assert [one["rows"] for one in copied] == [60, 120]
    run.plant.source.faults.clear()
    with pytest.raises(AirflowFailException, match="Database 'line_1'"):
        run.certify(batches, run.verify(copied))


@from_3
def test_a_database_that_is_mended_comes_in_when_tasks_are_cleared_and_no_other_one_is_copied_again(run: Run) -> None:
    run.plant.target.execute("create database `Hall_new` precision 'ms'")
    run.plant.target.execute("create stable `Hall_new`.m (ts timestamp, v timestamp) tags (g int)")
    run.resolve()
    run.sync()
    batches = run.plan()
    run.copy(batches)
    run.plant.target.execute("drop database `Hall_new`")
    # Somebody clears the run.
    run.resolve()
    run.sync()
    again = run.plan()
    assert [[part["database"] for part in one["parts"]] for one in again] == [
        ["line_1", "line_2"],
        ["line_3"],
        ["Hall"],
    ]
    before = run.plant.source.rows_read
    copied = run.copy(again)
    assert run.plant.source.rows_read - before == TABLES * ROWS
    run.certify(again, run.verify(copied))
    assert equal(run.plant, *FLEET)


@from_3
def test_a_pack_that_was_stopped_goes_on_with_the_database_that_it_had_come_to(run: Run) -> None:
    run.resolve()
    run.sync()
    (first, *_) = run.plan()
    operator = TDengineRangeMigrationOperator(task_id="copy", options=run.resolved, batch=first)
    # It is stopped when rows of the second database have been asked for.
    begun = threading.Event()

    def kill() -> None:
        begun.wait(10)
        operator.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    statements = run.plant.source.faults
    statements.delay(0.05)
    store = run.stores
    while_copying = operator._copy

    def copy(batch: Any, *more: Any) -> Any:
        if batch.database == "line_1":
            begun.set()
            killer.join()
        return while_copying(batch, *more)

    operator._copy = copy  # type: ignore[method-assign]
    with pytest.raises(AirflowException, match="was stopped"):
        operator.execute(run.context("copy", 0))
    statements.delay(0)
    assert len(store["copy", 0].text) >= 1
    before = run.plant.source.rows_read
    (copied,) = run.copy([first])
    assert (copied["rows"], run.plant.source.rows_read - before) == (2 * TABLES * ROWS, TABLES * ROWS)


@from_3
def test_a_server_that_is_away_is_no_database_s_fault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.resolve()
    run.sync()
    batches = run.plan()
    run.plant.target.stop()
    monkeypatch.setattr(retry, "PATIENCE", 0.0)
    with pytest.raises(AirflowException) as failed:
        run.copy(batches)
    assert not isinstance(failed.value, AirflowFailException), "Airflow may try again"
    run.plant.target.start()
    assert run.certify(batches, run.verify(run.copy(batches)))["verdict"]["kind"] == "equal"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source_database": "hall, line_1"}, "no database 'hall'.\n  → Perhaps 'Hall' is meant; it has Hall, line_1"),
        ({"source_database": "lime_1"}, "no database 'lime_1'.\n  → Perhaps 'line_1'"),
        ({"source_database": "line_*, plant_*"}, r"no database 'plant_*'."),
        ({"target_database": "all"}, "'all' would be the target of several databases: Hall, line_*"),
        ({"mode": "both"}, "source_database 'Hall, line_*' means several databases"),
        ({"target_conn_id": "tdengine_source", "target_database": ""}, "both name 'tdengine_source'"),
        (
            {"target_conn_id": "tdengine_source", "source_database": "*", "target_database": "line_*"},
            "is the target of",
        ),
    ],
    ids=["capitals", "near", "pattern", "one-target", "both", "itself", "in-the-way"],
)
@from_3
def test_what_a_fleet_cannot_be_is_said_before_anything_is_written(
    run: Run, options: dict[str, Any], said: str
) -> None:
    if said == "is the target of":
        fill(run.plant, "line_line_1")
    run.options = {"source_database": "Hall, line_*", "target_database": "*_new", **options}
    with pytest.raises(AirflowFailException) as failed:
        run.resolve()
    assert said in str(failed.value)


@from_3
def test_one_server_may_have_two_addresses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_TDENGINE_SOURCE"])
    monkeypatch.setenv("AIRFLOW_CONN_TDENGINE_TARGET", json.dumps({**connection, "host": "localhost"}))
    fill(run.plant, "line_1_new")
    run.options["source_database"] = "line_1*"
    with pytest.raises(AirflowFailException, match="'line_1_new' is read, and is the target of 'line_1'"):
        run.resolve()
    run.options |= {"source_database": "line_1", "target_database": ""}
    with pytest.raises(AirflowFailException, match="a database cannot be copied onto itself"):
        run.resolve()
    run.options |= {"target_database": "other", "results_database": "line_1"}
    with pytest.raises(AirflowFailException, match="'results_database': it is 'line_1', the source database"):
        run.resolve()


def test_a_star_means_all_databases_but_the_system_s(run: Run) -> None:
    run.options["source_database"] = "*"
    run.resolve()
    names = ["plant", *FLEET] if run.plant.source.version[0] == "3" else ["plant", *map(str.lower, FLEET)]
    assert run.resolved["source_database"] == ", ".join(sorted(names))


@from_3
def test_a_pattern_that_means_one_database_is_a_fleet_of_that_one(run: Run) -> None:
    run.options["source_database"] = "line_1*"
    assert run.all()["verdict"]["words"] == "Equal as copied: 60 rows in 3 tables"
    assert equal(run.plant, "line_1")
    assert run.xcoms["plan", -1, "planned"] == {"rows": 60, "batches": 1, "databases": {"line_1": 60}, "gone": []}


@from_3
def test_a_dry_run_has_all_of_them_in_one_assessment(run: Run) -> None:
    run.options |= {"dry_run": True}
    run.plant.target.execute("create database line_1_new precision 'ms'")
    run.plant.target.execute("create stable line_1_new.m (ts timestamp, v timestamp) tags (g int)")
    run.resolve()
    with pytest.raises(AirflowFailException, match="Database 'line_1'"):
        run.plan()
    found = run.xcoms["plan", -1, "assessment"]
    assert [one["source"]["database"] for one in found["databases"]] == FLEET
    assert ("Hall_new",) not in run.plant.target.execute("show databases")


@from_3
def test_refused_rows_of_tables_of_one_name_are_told_apart(run: Run, tmp_path: Path) -> None:
    run.options |= {"on_error": "dead_letter", "dead_letter_path": f"file://{tmp_path}"}
    for database in ("line_1", "line_2"):
        # Nanoseconds have no room for it.
        run.plant.source.execute(f"create table {database}.n (ts timestamp, due timestamp)")
        run.plant.source.execute(f"insert into {database}.n values ({T},9999999999999)")
    run.options |= {"source_database": "line_1, line_2", "database_options": "PRECISION 'ns'"}
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    letters = TDengineDeadLettersOperator(task_id="dead_letters", options=run.resolved, copied=copied)
    with pytest.raises(AirflowFailException, match=r"(?s)  line_1\.n: 1 row\n  line_2\.n: 1 row.*each database"):
        letters.execute(run.context("dead_letters"))
    said = run.certify(batches, run.verify(copied))["verdict"]["words"]
    assert said == "120 of 122 rows arrived, 2 refused"
    # The cause is mended: the column holds any number now.
    for database in ("line_1_new", "line_2_new"):
        run.plant.target.execute(f"drop database {database}")
        run.plant.target.execute(f"create database {database} keep 36500")
        run.plant.target.execute(f"create table {database}.n (ts timestamp, due timestamp)")
    folder = run.xcoms["dead_letters", -1, "letters"]["folder"]
    operator = TDengineReplayDeadLettersOperator(task_id="back", path=folder, target_database="line_1_new")
    with pytest.raises(AirflowFailException, match="has rows of line_2_new, and target_database is 'line_1_new'"):
        operator.execute(run.context("back"))
    operator.path = f"{folder}/line_1"
    assert operator.execute(run.context("back")) == 1
