"""Realtime in a whole Airflow: rows that arrive while it follows, a wait without a worker, a stop, a clear."""

from __future__ import annotations

import time

import pytest

from .conftest import DAG, Airflow

OLD = 1609459200000
"""2021-01-01T00:00:00Z in milliseconds."""


@pytest.fixture(scope="module")
def plant(airflow: Airflow) -> Airflow:
    """A source database with ten old rows in each of three subtables."""
    airflow.source.execute("create database plant precision 'ms' keep 36500 update 1")
    airflow.source.execute("create stable plant.m (ts timestamp, v double) tags (g int)")
    for i in range(3):
        airflow.source.execute(f"create table plant.d{i} using plant.m tags ({i})")
        rows = "".join(f"({OLD + row},{row})" for row in range(10))
        airflow.source.execute(f"insert into plant.d{i} values {rows}")
    return airflow


def insert(airflow: Airflow, *tables: str, late: float = 0) -> None:
    """A row of now, or of so many seconds ago, in each of some tables."""
    moment = int((time.time() - late) * 1000)
    airflow.source.execute(
        "insert into " + " ".join(f"plant.{table} values ({moment},{moment % 7})" for table in tables)
    )


def contents(airflow: Airflow, side: str, *tables: str) -> list[list[object]]:
    box, database = {"source": (airflow.source, "plant"), "target": (airflow.target, "follower")}[side]
    return [sorted(box.execute(f"select * from {database}.{table}")) for table in tables]


def arrive(airflow: Airflow, *tables: str, timeout: float = 60) -> float:
    """Wait until both sides are equal; the seconds that it took."""
    began = time.monotonic()
    airflow.wait_for(lambda: contents(airflow, "source", *tables) == contents(airflow, "target", *tables), timeout)
    return time.monotonic() - began


def is_waiting(airflow: Airflow, run: str, shard: int = 0) -> bool:
    return airflow.tasks(run).get(("follow", shard), {}).get("state") == "deferred"


def is_busy(airflow: Airflow, run: str) -> bool:
    """Whether a worker is occupied by the run."""
    return any(task["state"] in ("queued", "running") for task in airflow.tasks(run).values())


def test_rows_are_followed_until_a_stop_and_from_the_watermark_on_after_a_clear(plant: Airflow) -> None:
    conf = {"source_database": "plant", "target_database": "follower", "mode": "both", "poll_interval": 1}
    run = plant.trigger(conf)
    plant.wait_for(lambda: is_waiting(plant, run), 120)
    tables = ["d0", "d1", "d2"]
    assert contents(plant, "source", *tables) == contents(plant, "target", *tables)
    assert {task["state"] for key, task in plant.tasks(run).items() if key != ("dead_letters", -1)} == {
        "success",
        "deferred",
    }
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
    plant.wait_for(lambda: is_waiting(plant, run))
    for _ in range(20):
        assert not is_busy(plant, run)
        time.sleep(0.2)

    answer = plant.api.patch(f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/follow/0", json={"new_state": "failed"})
    assert answer.is_success, answer.text
    plant.wait_for(lambda: plant.state(run) == "failed")
    insert(plant, "d0", "d2")
    before = plant.source.rows_read
    time.sleep(3)
    assert contents(plant, "source", "d0") != contents(plant, "target", "d0")
    answer = plant.api.post(
        f"/api/v2/dags/{DAG}/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run, "task_ids": ["follow"], "only_failed": True},
    )
    assert answer.is_success, answer.text
    arrive(plant, *tables, "d9")
    assert plant.source.rows_read - before < 30, "old rows are not read again"
    plant.wait_for(lambda: is_waiting(plant, run))
    answer = plant.api.patch(f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/follow/0", json={"new_state": "success"})
    assert answer.is_success, answer.text
    plant.wait_for(lambda: plant.state(run) == "success")
