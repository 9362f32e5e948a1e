"""The example of a DAG of one's own, as a user runs it."""

from __future__ import annotations

import pytest

from .conftest import Airflow

DAG = "tdengine_custom"
T = 1609459200000


@pytest.fixture(scope="module")
def plants(airflow: Airflow) -> Airflow:
    """Two databases with the same names of tables."""
    for number, plant in enumerate(("plant_north", "plant_south")):
        airflow.source.execute(f"create database {plant} precision 'ms' keep 36500")
        airflow.source.execute(f"create stable {plant}.meters (ts timestamp, v int) tags (g int)")
        for i in range(2):
            airflow.source.execute(f"create table {plant}.d{i} using {plant}.meters tags ({i})")
            airflow.source.execute(f"insert into {plant}.d{i} values ({T},{number}) ({T + 1},{i})")
    airflow.unpause(DAG)
    return airflow


def test_two_databases_become_one(plants: Airflow) -> None:
    run = plants.run({}, DAG)
    assert plants.state(run, DAG) == "success"
    tasks = plants.tasks(run, DAG)
    assert [tasks["structure", i]["rendered_map_index"] for i in range(2)] == ["plant_north", "plant_south"]
    assert tasks["south.copy", 0]["rendered_map_index"] == "meters d0…d1 · 2021-01-01"
    assert sorted(plants.target.execute("select tbname, site, g, ts, v from plants.meters")) == [
        (f"{site}_d{i}", site, i, T + row, value)
        for number, site in enumerate(("north", "south"))
        for i in range(2)
        for row, value in enumerate((number, i))
    ]


def test_a_failure_is_told(plants: Airflow) -> None:
    plants.source.execute("drop database plant_south")
    run = plants.run({}, DAG)
    assert plants.state(run, DAG) == "failed"
    assert plants.tasks(run, DAG)["structure", 1]["try_number"] == 1
    said = "structure failed: Option 'source_database'"
    plants.wait_for(lambda: said in plants.log(run, "structure", 1, dag=DAG))
