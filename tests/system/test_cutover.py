"""A cutover as a user sees it: a question that somebody rejects, then approves; a proof of all of it."""

from __future__ import annotations

import time

from .conftest import Airflow

DAG = "tdengine_cutover"
OLD = 1609459200000


def answer(airflow: Airflow, run: str, choice: str) -> None:
    """As a person does: Airflow 3.3.2 fails a task that is answered before the process has ended that asked."""
    time.sleep(3)
    path = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    airflow.api.patch(path, json={"chosen_options": [choice], "params_input": {}}).raise_for_status()


def question(airflow: Airflow, run: str) -> str:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    body = airflow.api.get(path).raise_for_status().json()["body"]
    assert isinstance(body, str)
    return body


def is_asking(airflow: Airflow, run: str) -> bool:
    return airflow.tasks(run, DAG).get(("approve", -1), {}).get("state") == "awaiting_input"


def test_nothing_is_switched_over_before_somebody_approves(airflow: Airflow) -> None:
    execute = airflow.source.execute
    execute("create database works precision 'ms' keep 36500 update 1")
    execute("create stable works.m (ts timestamp, v int) tags (g int)")
    for i in range(3):
        execute(f"create table works.d{i} using works.m tags ({i})")
        execute(f"insert into works.d{i} values " + "".join(f"({OLD + row},{row})" for row in range(100)))
    airflow.unpause(DAG)
    conf = {"source_database": "works", "target_database": "moved", "poll_interval": 1}
    run = airflow.trigger(conf, DAG)
    airflow.wait_for(lambda: is_asking(airflow, run))
    assert "Equal as copied: 300 rows in 3 tables" in question(airflow, run)
    assert "both sides are equal in the hour before 20" in question(airflow, run)
    answer(airflow, run, "Reject")
    airflow.wait_for(lambda: airflow.tasks(run, DAG)["approve", -1]["state"] == "failed")

    # It is followed all the same.
    execute(f"insert into works.d1 values ({int(time.time() * 1000)},7)")
    airflow.wait_for(lambda: airflow.target.execute("select count(*) from moved.m") == [(301,)])
    # What nobody follows: a value of history is another one.
    execute(f"insert into works.d0 values ({OLD},-1)")
    airflow.clear(run, "approve", dag=DAG)
    airflow.wait_for(lambda: is_asking(airflow, run))
    execute(f"insert into works.d2 values ({int(time.time() * 1000)},8)")
    answer(airflow, run, "Approve")
    airflow.wait_for(lambda: airflow.state(run, DAG) == "success")
    states = {name: task["state"] for (name, _), task in airflow.tasks(run, DAG).items()}
    assert {name for name, state in states.items() if state != "success"} == {"dead_letters"}
    verdict = airflow.xcom(run, "finish", dag=DAG, key="verdict")
    assert (verdict["kind"], verdict["rows"]) == ("equal", 302)
    everything = "select tbname, ts, v from {}.m"
    assert sorted(airflow.target.execute(everything.format("moved"))) == sorted(execute(everything.format("works")))
