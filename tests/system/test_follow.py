"""Realtime in a whole Airflow: rows that arrive while it follows, a wait without a worker, a stop, a clear."""

from __future__ import annotations

import time

import pytest

from .conftest import Airflow

BOTH, REALTIME = "tdengine_both", "tdengine_realtime"

OLD = 1609459200000
"""2021-01-01T00:00:00Z in milliseconds."""

TABLES, HISTORY = 3, 1000
"""Subtables, and old rows in each: many more than rounds of following read."""


@pytest.fixture(scope="module")
def plant(airflow: Airflow) -> Airflow:
    """A source database with a thousand old rows in each of three subtables."""
    airflow.source.execute("create database plant precision 'ms' keep 36500 update 1")
    airflow.source.execute("create stable plant.m (ts timestamp, v double) tags (g int)")
    for i in range(TABLES):
        airflow.source.execute(f"create table plant.d{i} using plant.m tags ({i})")
        rows = "".join(f"({OLD + row},{row})" for row in range(HISTORY))
        airflow.source.execute(f"insert into plant.d{i} values {rows}")
    return airflow


def insert(airflow: Airflow, *tables: str, late: float = 0) -> None:
    """A row of now, or of so many seconds ago, in each of some tables."""
    moment = int((time.time() - late) * 1000)
    airflow.source.execute(
        "insert into " + " ".join(f"plant.{table} values ({moment},{moment % 7})" for table in tables)
    )


def contents(airflow: Airflow, side: str, *tables: str, target: str = "follower") -> list[list[object]]:
    box, database = {"source": (airflow.source, "plant"), "target": (airflow.target, target)}[side]
    return [sorted(box.execute(f"select * from {database}.{table} where ts > '2025-01-01'")) for table in tables]


def arrive(airflow: Airflow, *tables: str, timeout: float = 60, target: str = "follower") -> float:
    """Wait until both sides are equal; the seconds that it took."""
    began = time.monotonic()
    airflow.wait_for(
        lambda: contents(airflow, "source", *tables) == contents(airflow, "target", *tables, target=target), timeout
    )
    return time.monotonic() - began


def is_waiting(airflow: Airflow, run: str) -> bool:
    return airflow.tasks(run, BOTH).get(("follow", 0), {}).get("state") == "deferred"


def is_idle(airflow: Airflow, run: str) -> bool:
    """Whether the run occupies no worker, for as long as four looks take."""
    for _ in range(20):
        if any(task["state"] in ("queued", "running") for task in airflow.tasks(run, BOTH).values()):
            return False
        time.sleep(0.2)
    return is_waiting(airflow, run)


def test_rows_are_followed_until_a_stop_and_from_the_watermark_on_after_a_clear(plant: Airflow) -> None:
    plant.unpause(BOTH)
    conf = {"source_database": "plant", "target_database": "follower", "poll_interval": 1}
    run = plant.trigger(conf, BOTH)
    plant.wait_for(lambda: is_waiting(plant, run))
    assert plant.target.execute("select count(*) from follower.m") == [(TABLES * HISTORY,)]
    waits = {("dead_letters", -1), ("finish", -1)}
    assert {task["state"] for key, task in plant.tasks(run, BOTH).items() if key not in waits} == {
        "success",
        "deferred",
    }
    tables = ["d0", "d1", "d2"]
    insert(plant, *tables)
    print(f"rows arrived after {arrive(plant, *tables):.1f} s")
    insert(plant, "d1", late=3)
    arrive(plant, *tables)
    plant.source.execute("create table plant.d9 using plant.m tags (9)")
    insert(plant, "d9", late=5)
    plant.source.execute("alter table plant.d1 set tag g = 77")
    plant.wait_for(lambda: ("d9",) in plant.target.execute("select table_name from information_schema.ins_tables"))
    arrive(plant, *tables, "d9")
    plant.wait_for(
        lambda: plant.target.execute("select distinct tbname, g from follower.m where tbname = 'd1'") == [("d1", 77)]
    )
    plant.wait_for(lambda: is_idle(plant, run))
    assert plant.tasks(run, BOTH)["follow", 0]["rendered_map_index"] == "all tables"

    plant.set_state(run, "follow", "failed", 0, BOTH)
    plant.wait_for(lambda: plant.state(run, BOTH) == "failed")
    insert(plant, "d0", "d2")
    before = plant.source.rows_read
    time.sleep(3)
    assert contents(plant, "source", "d0") != contents(plant, "target", "d0")
    answer = plant.api.post(
        f"/api/v2/dags/{BOTH}/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run, "task_ids": ["follow"], "only_failed": True},
    )
    assert answer.is_success, answer.text
    arrive(plant, *tables, "d9")
    assert plant.source.rows_read - before < TABLES * HISTORY, "old rows are not read again"
    plant.wait_for(lambda: is_waiting(plant, run))
    # As the button Finish does it; what has arrived by then is brought by the task behind it, and compared.
    plant.source.execute("create table plant.d8 using plant.m tags (8)")
    insert(plant, *tables, "d8")
    answer = plant.api.patch(f"/api/v2/dags/{BOTH}/dagRuns/{run}/taskInstances/follow", json={"new_state": "success"})
    assert answer.is_success, answer.text
    plant.wait_for(lambda: plant.state(run, BOTH) == "success")
    assert contents(plant, "source", *tables, "d8", "d9") == contents(plant, "target", *tables, "d8", "d9")
    assert plant.tasks(run, BOTH)["finish", -1]["state"] == "success"


def test_increments_come_one_run_after_the_other(plant: Airflow) -> None:
    def waiting() -> str:
        """The run whose sensor waits, nothing if there is none."""
        for run in plant.runs(REALTIME):
            if plant.tasks(run, REALTIME)["new_rows", -1]["state"] == "deferred":
                return run
        return ""

    insert(plant, "d0", "d1")
    plant.unpause(REALTIME)
    plant.wait_for(waiting)
    assert contents(plant, "target", "d0", target="power_live") == contents(plant, "source", "d0")
    assert plant.target.execute("select count(*) from power_live.m where ts < '2025-01-01'") == [(0,)]
    insert(plant, "d1")
    arrive(plant, "d0", "d1", target="power_live")
    plant.wait_for(waiting)
    failed = waiting()
    plant.set_state(failed, "new_rows", "failed", dag=REALTIME)
    plant.wait_for(lambda: plant.state(failed, REALTIME) == "failed")
    insert(plant, "d0", "d2")
    arrive(plant, "d0", "d1", "d2", target="power_live")
    plant.unpause(REALTIME, paused=True)
    assert plant.state(failed, REALTIME) == "failed", "another run has brought its rows"
