"""The ready-made DAG in a whole Airflow: a run, and mistakes."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from .conftest import Airflow

T = 1609459200000
TABLES, ROWS = 4, 20_000


@pytest.fixture(scope="module")
def power(airflow: Airflow) -> Airflow:
    """A source database of 80,000 rows."""
    execute = airflow.source.execute
    execute("create database power precision 'ms' keep 36500")
    execute("create stable power.meters (ts timestamp, current float, note nchar(8)) tags (site nchar(8), n int)")
    execute("create table power.plain (ts timestamp, v double)")
    execute(f"insert into power.plain values ({T}, 0.1) ({T + 1}, null)")
    for i in range(TABLES):
        execute(f"create table power.d{i} using power.meters tags ('北京{i}', {i})")
        for start in range(0, ROWS, 5000):
            rows = "".join(f"({T + row * 1000},{row % 977 / 8},'n{row}')" for row in range(start, start + 5000))
            execute(f"insert into power.d{i} values {rows}")
    return airflow


def rows(airflow: Airflow, database: str) -> list[list[object]]:
    """All rows of both sides by table, as the boxes hold them."""
    return [
        [sorted(box.execute(f"select * from {name}.{table}")) for table in ("plain", *(f"d{i}" for i in range(TABLES)))]
        for box, name in ((airflow.source, "power"), (airflow.target, database))
    ]


def test_a_run_is_green_when_all_of_it_has_arrived(power: Airflow) -> None:
    run = power.run({"source_database": "power", "target_database": "whole", "name": "first"})
    tasks = power.tasks(run)
    assert {key: task["state"] for key, task in tasks.items()} == {
        ("resolve", -1): "success",
        ("sync_schema", -1): "success",
        ("plan", -1): "success",
        ("copy", 0): "success",
        ("copy", 1): "success",
        ("verify", 0): "success",
        ("verify", 1): "success",
        ("certify", -1): "success",
        ("dead_letters", -1): "skipped",
        ("shards", -1): "skipped",
        ("follow", -1): "skipped",
        ("finish", -1): "skipped",
    }
    assert power.state(run) == "success"
    source, target = rows(power, "whole")
    assert target == source
    for task in ("copy", "verify"):
        assert tasks[task, 0]["rendered_map_index"] == "meters d0…d3 · 2021-01-01"
        assert tasks[task, 1]["rendered_map_index"] == "tables plain · 2021-01-01"
    assert power.xcom(run, "copy", 0)["rows"] == 80_000
    assert (power.xcom(run, "verify", 0)["rows"], power.xcom(run, "verify", 0)["level"]) == (80_000, "digest")
    certified = power.xcom(run, "certify")
    assert (certified["rows"], certified["target_rows"], certified["different"]) == (80_002, 80_002, 0)
    power.wait_for(lambda: "Equal as copied: 80,002 rows in 5 tables" in power.log(run, "certify"))
    assert power.asset_events(run) == {"whole": 2, "whole/meters": 80_000}
    power.wait_for(lambda: power.note(run) == "power → whole, history: Equal as copied: 80,002 rows in 5 tables")
    for (task, index), found in tasks.items():
        if found["state"] == "success":
            assert "taosdata" not in power.log(run, task, index)
    place = f"/tdengine/migrations/quick_migration/{quote(run, safe=':+')}"
    assert power.links(run, "resolve") == {"Migration": place}
    assert power.links(run, "copy", 0) == {"Migration": place, "Dead letters": None}
    assert power.links(run, "certify") == {"Migration": place, "Certificate": f"{place}/certificate.html"}


def test_a_dry_run_stops_after_the_plan_and_shows_it(power: Airflow) -> None:
    run = power.run({"source_database": "power", "target_database": "dry", "dry_run": True})
    assert power.state(run) == "success"
    states = {task: found["state"] for (task, _), found in power.tasks(run).items()}
    assert [states[task] for task in ("resolve", "sync_schema", "plan")] == ["success"] * 3
    assert {state for task, state in states.items() if task not in ("resolve", "sync_schema", "plan")} == {"skipped"}
    power.wait_for(lambda: "Nothing stands in the way" in power.log(run, "plan"))
    power.wait_for(lambda: "Dry run: there is nothing to compare" in power.log(run, "certify"))
    assert "5 tables, 80,002 rows, about " in power.log(run, "plan")
    assert str(power.links(run, "plan")["Assessment"]).endswith("/assessment.html")
    assert power.xcom(run, "plan", key="assessment")["databases"][0]["strategies"] == {"dense": 2}
    assert ("dry",) not in power.target.execute("show databases")


@pytest.mark.parametrize(
    ("conf", "task", "expected"),
    [
        ({"source_database": "nosuch"}, "resolve", "has no database 'nosuch'."),
        ({"source_database": "power", "source_conn_id": "nobody"}, "resolve", "nobody"),
    ],
    ids=["database", "connection"],
)
def test_a_mistake_fails_at_once_with_one_sentence(
    power: Airflow, conf: dict[str, object], task: str, expected: str
) -> None:
    run = power.run({"target_database": "untouched", **conf})
    assert power.state(run) == "failed"
    assert power.tasks(run)[task, -1]["try_number"] == 1
    power.wait_for(lambda: expected in power.log(run, task))
    power.wait_for(lambda: ", history: failed: " in str(power.note(run)))
    assert "untouched" not in [row[0] for row in power.target.execute("show databases")]


def test_a_difference_makes_the_run_red(power: Airflow) -> None:
    power.target.execute("create database spoilt keep 36500")
    power.target.execute("create table spoilt.plain (ts timestamp, v double)")
    power.target.execute(f"insert into spoilt.plain values ({T + 99}, 7)")
    run = power.run({"source_database": "power", "target_database": "spoilt", "tables": "plain"})
    assert power.state(run) == "failed"
    said = "plain: rows 2 in the source, 3 in the target"
    power.wait_for(lambda: said in power.log(run, "verify", 0) and said in power.log(run, "certify"))
