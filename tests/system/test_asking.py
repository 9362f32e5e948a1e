"""Questions to people, as Airflow shows them: rows that would be deleted, then a change of structure."""

from __future__ import annotations

import time

from .conftest import Airflow

QUESTIONS = "tdengine_approval"
OLD = 1609459200000


def asked(airflow: Airflow, subject: str) -> dict[str, str]:
    """The question of this subject that waits for an answer: the run that asks, and the body."""
    found: list[dict[str, str]] = []

    def is_there() -> bool:
        for run in airflow.runs(QUESTIONS):
            task = airflow.tasks(run, QUESTIONS).get(("approve", -1), {})
            if task.get("state") == "awaiting_input":
                detail = airflow.api.get(place(run)).raise_for_status().json()
                if detail["subject"] == subject:
                    found.append({"run": run, "body": detail["body"]})
        return bool(found)

    airflow.wait_for(is_there)
    return found[0]


def place(run: str) -> str:
    return f"/api/v2/dags/{QUESTIONS}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"


def approve(airflow: Airflow, run: str) -> None:
    """As a person does: Airflow 3.3.2 fails a task that is answered before the process has ended that asked."""
    time.sleep(3)
    airflow.api.patch(place(run), json={"chosen_options": ["Approve"], "params_input": {}}).raise_for_status()


def test_a_migration_asks_before_it_deletes_and_before_it_changes_tables(airflow: Airflow) -> None:
    execute = airflow.source.execute
    execute("create database hall precision 'ms' keep 36500 update 1")
    execute("create stable hall.m (ts timestamp, v int) tags (g int)")
    execute("create table hall.h0 using hall.m tags (0)")
    execute(f"insert into hall.h0 values ({OLD},1)")
    airflow.target.execute("create database house precision 'ms' keep 36500")
    airflow.target.execute("create stable house.m (ts timestamp, v int) tags (g int)")
    airflow.target.execute("create table house.h0 using house.m tags (0)")
    airflow.target.execute(f"insert into house.h0 values ({OLD + 1},2)")
    asking = {"delete_extra": "ask", "on_schema_change": "ask", "schema_poll_interval": 1, "poll_interval": 1}
    run = airflow.trigger({"source_database": "hall", "target_database": "house", "mode": "both", **asking})

    question = asked(airflow, "Delete 1 row of house that hall does not have?")
    assert "h0: 1 row, 2021-01-01 00:00:00.001; the first one has v 2\n" in question["body"]
    assert airflow.states(run)["certify"] == {"deferred"}
    assert airflow.target.execute("select count(*) from house.m") == [(2,)]
    approve(airflow, question["run"])
    airflow.wait_for(lambda: airflow.states(run)["certify"] == {"success"})
    assert airflow.target.execute("select v from house.m") == [(1,)]

    airflow.wait_for(lambda: airflow.states(run).get("follow") == {"deferred"})
    execute("create table hall.h1 using hall.m tags (1)")
    question = asked(airflow, "The structure of hall has changed: change house, too?")
    assert "CREATE TABLE IF NOT EXISTS `house`.`h1` USING `house`.`m` (`g`) TAGS (1)\n" in question["body"]
    approve(airflow, question["run"])
    airflow.wait_for(lambda: airflow.target.execute("select distinct tbname from house.m where g = 1"))
    airflow.set_state(run, "follow", "success", 0)
