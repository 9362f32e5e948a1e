"""Rows that the target refuses, in a whole Airflow: the run is red and says why; the rows come back later."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Airflow

T = 1609459200000
FAR = 9_999_999_999_999
"""A moment that milliseconds can count, and nanoseconds cannot."""


@pytest.fixture(scope="module")
def far(airflow: Airflow) -> Airflow:
    """A source with two rows that a database of nanoseconds cannot hold."""
    execute = airflow.source.execute
    execute("create database far precision 'ms' keep 36500 update 1")
    execute("create stable far.meters (ts timestamp, due timestamp, v int) tags (g int)")
    for i in range(3):
        execute(f"create table far.m{i} using far.meters tags ({i})")
        execute(f"insert into far.m{i} values " + "".join(f"({T + row},{T},{row})" for row in range(100)))
    execute(f"insert into far.m1 values ({T + 150},{FAR},-1) ({T + 160},{FAR},-2)")
    airflow.unpause("tdengine_dead_letters")
    return airflow


def test_dead_letters_are_seen_and_come_back(far: Airflow, tmp_path: Path) -> None:
    run = far.run(
        {
            "source_database": "far",
            "target_database": "near",
            "database_options": "PRECISION 'ns'",
            "on_error": "dead_letter",
            "dead_letter_path": f"file://{tmp_path}",
        }
    )
    assert {task: found["state"] for (task, _), found in far.tasks(run).items()} == {
        "resolve": "success",
        "sync_schema": "success",
        "plan": "success",
        "copy": "success",
        "verify": "success",
        "certify": "success",
        "dead_letters": "failed",
        "shards": "skipped",
        "follow": "skipped",
        "finish": "skipped",
    }
    assert far.state(run) == "failed"
    assert (far.xcom(run, "copy", 0)["rows"], far.xcom(run, "copy", 0)["rejected"]) == (300, 2)
    far.wait_for(lambda: "The target refused 2 rows; dead letters keep them in" in far.log(run, "dead_letters"))
    assert "m1: 2" in far.log(run, "dead_letters")
    assert far.xcom(run, "certify")["verdict"]["words"] == "300 of 302 rows arrived, 2 refused"
    ending = "completed with dead letters: 300 of 302 rows arrived, 2 refused"
    far.wait_for(lambda: far.note(run) == f"far → near, history: {ending}")
    for task, index in (("copy", 0), ("dead_letters", -1)):
        assert str(far.links(run, task, index)["Dead letters"]).endswith("#letters")
    assert far.asset_events(run) == {}
    assert far.target.execute("select count(*) from near.meters") == [(300,)]

    back = {"path": f"file://{tmp_path}", "target_database": "near"}
    still = far.run(back, "tdengine_dead_letters")
    assert far.state(still, "tdengine_dead_letters") == "failed"
    far.wait_for(lambda: "0 rows arrived, 2 are still refused" in far.log(still, "replay", dag="tdengine_dead_letters"))

    # The cause is mended: the letters say what is wrong, and somebody corrects them.
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_text(file.read_text().replace(str(FAR), str(T)))
    done = far.run(back, "tdengine_dead_letters")
    assert far.state(done, "tdengine_dead_letters") == "success"
    assert far.xcom(done, "replay", dag="tdengine_dead_letters") == 2
    assert far.target.execute("select count(*) from near.meters") == [(302,)]
    assert not list(tmp_path.rglob("*.jsonl"))

    # The copy task still says that it kept two rows: they are accounted for.
    far.source.execute(f"insert into far.m1 values ({T + 150},{T},-1) ({T + 160},{T},-2)")
    far.clear(run, "verify")
    far.clear(run, "dead_letters")
    far.wait_for(lambda: far.tasks(run)["dead_letters", -1]["state"] == "success")
    far.wait_for(lambda: far.state(run) == "success")
    assert far.xcom(run, "certify")["verdict"]["words"] == "Equal: 302 rows in 3 tables"
    assert far.asset_events(run) == {"near/meters": 302}

    # Letters that only another host has: none is seen, and the copy task says that there are some.
    for file in tmp_path.rglob("*.arrived"):
        file.unlink()
    far.clear(run, "dead_letters")
    far.wait_for(lambda: far.tasks(run)["dead_letters", -1]["state"] == "failed")
    said = "The copy tasks report 2 refused rows; 0 of them are in "
    far.wait_for(lambda: said in far.log(run, "dead_letters", attempt=3))


def test_the_first_refused_row_fails_the_copy_by_name(far: Airflow) -> None:
    far.source.execute(f"insert into far.m1 values ({T + 150},{FAR},-1)")
    run = far.run({"source_database": "far", "target_database": "strict", "database_options": "PRECISION 'ns'"})
    assert far.state(run) == "failed"
    assert far.tasks(run)["copy", 0]["try_number"] == 1
    far.wait_for(lambda: "a row of table 'm1' at 2021-01-01T00:00:00.150000+00:00" in far.log(run, "copy", 0))
