"""A backfill of the example DAG, created as the UI does it: each run copies its day of all tables, and compares it."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import pytest

from .conftest import Airflow

DAG = "tdengine_backfill"
START = datetime(2021, 1, 1, tzinfo=timezone.utc)
DAYS = int(os.environ.get("BACKFILL_DAYS", "2"))
TABLES = 3
HOURS = 24


@pytest.fixture(scope="module")
def history(airflow: Airflow) -> Airflow:
    """Rows of each hour of some days, and of the day before and the day after."""
    execute = airflow.source.execute
    execute("create database history precision 'ms' keep 36500")
    execute("create stable history.meters (ts timestamp, v int) tags (g int)")
    for i in range(TABLES):
        execute(f"create table history.d{i} using history.meters tags ({i})")
        hours = [START + timedelta(hours=hour) for hour in range(-HOURS, (DAYS + 1) * HOURS)]
        rows = "".join(f"({int(hour.timestamp() * 1000)},{hour.day})" for hour in hours)
        execute(f"insert into history.d{i} values {rows}")
    airflow.unpause(DAG)
    return airflow


def backfill(airflow: Airflow, target: str, **how: object) -> list[str]:
    """Create one, wait for its end, and give the states of its runs."""
    answer = airflow.api.post(
        "/api/v2/backfills",
        json={
            "dag_id": DAG,
            "from_date": START.isoformat(),
            "to_date": (START + timedelta(days=DAYS - 1)).isoformat(),
            "dag_run_conf": {"source_database": "history", "target_database": target},
            **how,
        },
    )
    assert answer.is_success, answer.text

    def states() -> list[str]:
        found = airflow.api.get(f"/api/v2/dags/{DAG}/dagRuns", params={"limit": 100}).raise_for_status().json()
        return [run["state"] for run in found["dag_runs"] if run["run_type"] == "backfill"]

    airflow.wait_for(lambda: len(states()) == DAYS and not {"queued", "running"} & set(states()), 60 + 40 * DAYS)
    # Airflow looks only every half minute whether all runs of a backfill have ended, and makes no other one before.
    airflow.api.put(f"/api/v2/backfills/{answer.json()['id']}/cancel")
    return states()


def rows(airflow: Airflow, database: str) -> list[tuple[object, ...]]:
    end = int((START + timedelta(days=DAYS)).timestamp() * 1000)
    period = f"ts >= {int(START.timestamp() * 1000)} and ts < {end}" if database == "history" else "ts > 0"
    box = airflow.source if database == "history" else airflow.target
    return sorted(box.execute(f"select ts, v, tbname, g from {database}.meters where {period}"))


def test_days_in_parallel_and_again_backwards(history: Airflow) -> None:
    assert backfill(history, "days", max_active_runs=2) == ["success"] * DAYS
    expected = rows(history, "history")
    assert len(expected) == TABLES * DAYS * HOURS
    assert rows(history, "days") == expected
    # A backfill with another target: the same runs, which do not take the first ones' work for theirs.
    again = {"reprocess_behavior": "completed", "run_backwards": True, "max_active_runs": 2}
    assert backfill(history, "anew", **again) == ["success"] * DAYS
    assert rows(history, "anew") == expected


def test_a_run_without_interval_says_what_to_do(history: Airflow) -> None:
    run = history.run({"source_database": "history"}, DAG)
    assert history.state(run, DAG) == "failed"
    assert history.tasks(run, DAG)["resolve", -1]["try_number"] == 1
    said = "Create a backfill (Trigger, Backfill), or give start and end in the form"
    history.wait_for(lambda: said in history.log(run, "resolve", dag=DAG))


def test_or_takes_the_period_of_the_form(history: Airflow) -> None:
    period = {"start": "2021-01-01T06:00:00Z", "end": "2021-01-01T08:00:00Z"}
    run = history.run({"source_database": "history", "target_database": "hours", **period}, DAG)
    assert history.state(run, DAG) == "success"
    assert history.target.execute("select count(*) from hours.meters") == [(TABLES * 2,)]
