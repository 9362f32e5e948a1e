"""Which state each task has at the end of a run, with these options or those, and when something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import Airflow

T = 1609459200000
FAR = 9_999_999_999_999
"""A moment that milliseconds can count, and nanoseconds cannot."""

SOURCE = "shop"

ORDER = ["resolve", "sync_schema", "plan", "copy", "verify", "certify", "dead_letters", "shards", "follow", "finish"]


@dataclass(frozen=True)
class Case:
    """A run.

    Parameters:
        conf: its options.
        states: of its tasks, in their order.
        said: what the log of `certify` says.
        run: the state of the run.
        told: the tables of which assets are told.
    """

    conf: dict[str, object]
    states: list[str]
    said: str
    run: str = "success"
    told: list[str] = field(default_factory=list)


def states(text: str) -> list[str]:
    """By first letters, as the grid has colours; several instances of a task stand together."""
    words = {"s": "success", "f": "failed", "-": "skipped", "u": "upstream_failed", "d": "deferred", "n": "none"}
    return ["+".join(sorted(words[sign] for sign in signs)) for signs in text.split()]


NANO = {"database_options": "PRECISION 'ns'"}
"""A target that refuses a row of the super table `bad`."""

CASES = {
    "dry_run_blocker": Case(
        {"dry_run": True, "database_options": "KEEP 30"},
        states("s s f u u f u u u u"),
        "Nothing was compared: a task before this one failed",
        "failed",
    ),
    "verify_none": Case({"verify": "none"}, states("s s s s - s - - - -"), "Not compared: verify is none"),
    "schema_only": Case(
        {"schema": "only"}, states("s s s - - s - - - -"), "Not compared: verify is full, schema is only"
    ),
    "empty": Case(
        {"source_database": "hollow"}, states("s s s - - s - - - -"), "Equal: 0 rows in 0 tables", told=["nothing"]
    ),
    "realtime": Case(
        {"mode": "realtime", "poll_interval": 1}, states("s s s - - s - s d n"), "mode is realtime", "running"
    ),
    "both": Case(
        {"mode": "both", "poll_interval": 1, "stables": "good"},
        states("s s s s s s - s d n"),
        "Equal as copied: 20 rows",
        "running",
        told=["good"],
    ),
    "both_verify_none": Case(
        {"mode": "both", "poll_interval": 1, "verify": "none"},
        states("s s s s - s - s d n"),
        "Not compared: verify is none",
        "running",
    ),
    "resolve_failed": Case(
        {"stables": "goods"}, states("f u u u u f u u u u"), "(copy, plan, verify did not run)", "failed"
    ),
    "copy_failed": Case(NANO, states("s s s sf u f u u u u"), "(verify did not run)", "failed"),
    "copy_failed_verify_none": Case(
        {**NANO, "verify": "none"}, states("s s s sf u f u u u u"), "(verify did not run)", "failed"
    ),
    "copy_failed_both": Case(
        {**NANO, "mode": "both", "verify": "none"},
        states("s s s sf u f u u u u"),
        "(verify did not run)",
        "failed",
    ),
    "different": Case(
        {"repair_rounds": 0, "stables": "good, also"},
        states("s s s s sf f - u u u"),
        "Different: 1 of 3 tables",
        "failed",
    ),
    "different_both": Case(
        {"repair_rounds": 0, "stables": "good, also", "mode": "both"},
        states("s s s s sf f - u u u"),
        "Different: 1 of 3 tables",
        "failed",
    ),
}


@pytest.fixture(scope="module")
def shop(airflow: Airflow) -> Airflow:
    """Three super tables, one of them with a row that nanoseconds cannot hold; and a database without rows."""
    execute = airflow.source.execute
    execute(f"create database {SOURCE} precision 'ms' keep 36500 update 1")
    for name, tables, rows in (("good", 2, 10), ("also", 1, 2), ("bad", 1, 2)):
        execute(f"create stable {SOURCE}.{name} (ts timestamp, due timestamp) tags (g int)")
        for i in range(tables):
            execute(f"create table {SOURCE}.{name}{i} using {SOURCE}.{name} tags ({i})")
            values = "".join(f"({T + row},{T})" for row in range(rows))
            execute(f"insert into {SOURCE}.{name}{i} values {values}")
    execute(f"insert into {SOURCE}.bad0 values ({T + 10},{FAR})")
    execute("create database hollow precision 'ms' keep 36500")
    execute("create stable hollow.nothing (ts timestamp, v int) tags (g int)")
    execute("create table hollow.n0 using hollow.nothing tags (0)")
    for name in ("different", "different_both"):
        airflow.target.execute(f"create database {name} keep 36500")
        airflow.target.execute(f"create stable {name}.good (ts timestamp, due timestamp) tags (g int)")
        airflow.target.execute(f"create table {name}.good0 using {name}.good tags (0)")
        airflow.target.execute(f"insert into {name}.good0 values ({T + 99},{T})")
    return airflow


@pytest.fixture(scope="module")
def runs(shop: Airflow, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The ids of the runs of all cases, at the end of what they do by themselves."""
    found = {}
    for name, case in CASES.items():
        certificates = tmp_path_factory.mktemp(name)
        conf = {"source_database": SOURCE, "target_database": name, "certificate_path": f"file://{certificates}"}
        found[name] = shop.trigger({**conf, **case.conf})
    for name, run in found.items():
        ended = "deferred" if CASES[name].run == "running" else None
        shop.wait_for(lambda run=run, ended=ended: has_ended(shop, run, ended), 600)
    return found


def has_ended(airflow: Airflow, run: str, waits: str | None) -> bool:
    if waits:
        return airflow.states(run).get("follow") == {waits} or airflow.state(run) == "failed"
    return airflow.state(run) in ("success", "failed")


@pytest.mark.parametrize("name", CASES)
def test_the_state_of_each_task(shop: Airflow, runs: dict[str, str], name: str) -> None:
    case, run = CASES[name], runs[name]
    found = shop.states(run)
    assert ["+".join(sorted(state or "none" for state in found[task])) for task in ORDER] == case.states
    assert shop.state(run) == case.run
    shop.wait_for(lambda: case.said in shop.log(run, "certify"))
    assert set(shop.asset_events(run)) == {f"{name}/{table}" for table in case.told}
    if case.run == "running":
        shop.set_state(run, "follow", "success", 0)
        shop.wait_for(lambda: shop.state(run) == "success")


def test_a_red_certify_has_written_the_certificate(
    shop: Airflow, runs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (file,) = tmp_path_factory.getbasetemp().glob("different0/**/certificate.json")
    certificate = json.loads(file.read_text(encoding="utf-8"))
    assert (certificate["equal"], certificate["different"]) == (False, 1)
    assert sorted(shop.xcom(runs["different"], "verify", index)["different"] for index in range(2)) == [0, 1]


def test_a_cleared_run_whose_first_tasks_fail_certifies_nothing(shop: Airflow) -> None:
    """What the tasks of the first time have said is still there."""
    for side in (shop.source, shop.target):
        side.execute("create database gone precision 'ms' keep 36500")
    shop.source.execute("create table gone.plain (ts timestamp, v int)")
    shop.source.execute(f"insert into gone.plain values ({T},1)")
    run = shop.run({"source_database": "gone", "create_database": False})
    assert (shop.state(run), shop.asset_events(run)) == ("success", {"gone": 1})
    shop.target.execute("drop database gone")
    shop.clear(run, "sync_schema")
    shop.wait_for(lambda: shop.state(run) == "failed")
    found = shop.states(run)
    assert [found[task] for task in ("sync_schema", "copy", "verify", "certify", "follow")] == [
        {"failed"},
        {"upstream_failed"},
        {"upstream_failed"},
        {"failed"},
        {"upstream_failed"},
    ]
    assert shop.asset_events(run) == {"gone": 1}, "nothing is told again"


def test_a_batch_whose_copy_fails_after_a_clear_certifies_nothing(shop: Airflow) -> None:
    """All batches have been compared, and what that came to is still there."""
    run = shop.run({"source_database": SOURCE, "target_database": "later", "stables": "good, also"})
    assert shop.state(run) == "success"
    shop.target.execute("drop stable later.good")
    shop.target.execute("create stable later.good (ts timestamp, other int) tags (g int)")
    (good,) = [index for index in range(2) if shop.xcom(run, "copy", index)["batch"]["stable"] == "good"]
    shop.clear(run, "copy", good)
    shop.wait_for(lambda: shop.state(run) == "failed")
    found = shop.states(run)
    assert [found[task] for task in ("copy", "verify", "certify")] == [
        {"success", "failed"},
        {"upstream_failed"},
        {"failed"},
    ]
    said = "Nothing was compared: a task before this one failed (verify did not run)"
    shop.wait_for(lambda: said in shop.log(run, "certify", attempt=2))


@pytest.mark.parametrize("interrupt", ["kill", "clear"])
def test_one_batch_alone_is_compared_again(shop: Airflow, interrupt: str) -> None:
    run = shop.run({"source_database": SOURCE, "target_database": f"again_{interrupt}", "stables": "good, also"})
    assert shop.state(run) == "success"
    if interrupt == "kill":
        # Slow enough to be killed in its middle.
        shop.target.faults.delay(5)
    shop.clear(run, "verify", 1)
    if interrupt == "kill":
        shop.wait_for(lambda: shop.tasks(run)["verify", 1]["state"] == "running")
        time.sleep(1)
        os.kill(shop.tasks(run)["verify", 1]["pid"], signal.SIGKILL)
        shop.target.faults.clear()
    tries = 2 + (interrupt == "kill")
    shop.wait_for(lambda: shop.tasks(run)["verify", 1]["try_number"] == tries)
    shop.wait_for(lambda: shop.state(run) == "success")
    tasks = shop.tasks(run)
    numbers = {key: tasks[key]["try_number"] for key in tasks if key[0] in ("copy", "verify", "certify")}
    assert numbers == {
        ("copy", 0): 1,
        ("copy", 1): 1,
        ("verify", 0): 1,
        ("verify", 1): tries,
        ("certify", -1): 2,
    }


def test_batches_that_could_not_be_compared_are_named(shop: Airflow, tmp_path: Path) -> None:
    """Somebody takes a right away between two comparisons, which no retry cures."""
    run = shop.run({"source_database": SOURCE, "target_database": "named", "stables": "good, also"})
    shop.target.faults.answer_with(0x0644, "Permission denied", times=1000, matching="`good`")
    shop.clear(run, "verify")
    shop.wait_for(lambda: shop.state(run) == "failed")
    shop.target.faults.clear()
    assert shop.states(run)["verify"] == {"success", "failed"}
    said = "1 of 2 batches has not been compared:"
    shop.wait_for(lambda: said in shop.log(run, "certify", attempt=2))
    assert "good good0…good1 · 2021-01-01" in shop.log(run, "certify", attempt=2)
