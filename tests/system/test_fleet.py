"""A fleet in a whole Airflow: three databases in one run, one of which cannot be copied at first."""

from __future__ import annotations

from .conftest import Airflow

T = 1609459200000
FLEET = ("fleet_a", "fleet_b", "fleet_c")


def test_one_broken_database_fails_alone_and_comes_in_when_it_is_mended(airflow: Airflow) -> None:
    for name in FLEET:
        airflow.source.execute(f"create database {name} precision 'ms' keep 36500 update 1")
        airflow.source.execute(f"create table {name}.n (ts timestamp, due timestamp)")
        airflow.source.execute(f"insert into {name}.n values ({T},{T}) ({T + 1},null)")
    # Nanoseconds have no room for it.
    airflow.source.execute(f"insert into fleet_b.n values ({T + 2},9999999999999)")
    options = {"source_database": "fleet_*", "target_database": "*_new", "database_options": "PRECISION 'ns'"}
    run = airflow.run(options)
    tasks = airflow.tasks(run)
    assert {key: tasks[key]["state"] for key in [("copy", 0), ("verify", 0), ("certify", -1)]} == {
        ("copy", 0): "success",
        ("verify", 0): "success",
        ("certify", -1): "failed",
    }
    assert tasks["copy", 0]["rendered_map_index"] == "fleet_a…fleet_c"
    assert airflow.state(run) == "failed"
    airflow.wait_for(lambda: "Database 'fleet_b': The target refuses a row of table 'n'" in airflow.log(run, "certify"))
    for name in ("fleet_a", "fleet_c"):
        assert len(airflow.target.execute(f"select * from {name}_new.n")) == 2
    said = airflow.xcom(run, "certify", key="verdict")["words"]
    assert said == "Not compared: fleet_b, of 3 databases"
    airflow.wait_for(lambda: airflow.note(run) == f"fleet_* → *_new, history: failed: {said}")
    airflow.source.execute(f"insert into fleet_b.n values ({T + 2},{T})")
    before = airflow.source.rows_read
    airflow.clear(run, "copy")
    airflow.wait_for(lambda: airflow.state(run) == "success")
    assert airflow.xcom(run, "certify", key="verdict")["rows"] == 7
    # Of two databases, which were done, no row is copied again; all are compared again, as after each clear.
    assert airflow.xcom(run, "copy", 0)["rows"] == 7
    assert airflow.source.rows_read - before <= 3 + 7
