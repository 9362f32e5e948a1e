"""Increments, one run after the other: the sensor, the copy, and the watermark beside the asset."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred
from airflow.sdk import Asset
from airflow.sdk.module_loading import import_string

from airflow_provider_tdengine.compat import AirflowException, AirflowFailException
from airflow_provider_tdengine.operators.follow import TDengineIncrementOperator
from airflow_provider_tdengine.sensors.new_rows import TDengineNewRowsSensor

from .conftest import SECRET, Plant, Store, dag_run

ASSET = Asset("live")


class Runs:
    """Runs of a DAG of a sensor and an increment."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self.stores: dict[Asset, Store] | None = {ASSET: Store()}
        self.start_date: datetime | None = datetime.now(timezone.utc) - timedelta(hours=1)
        del self.options["mode"]
        del self.options["start_from"]

    def context(self) -> Any:
        run = dag_run()
        ti = SimpleNamespace(dag_id="d", try_number=1, task_id="copy", map_index=-1, xcom_push=lambda key, value: None)
        dag = SimpleNamespace(start_date=self.start_date)
        return {"dag": dag, "dag_run": run, "ti": ti} | ({"asset_state_store": self.stores} if self.stores else {})

    def sensor(self, **arguments: Any) -> TDengineNewRowsSensor:
        given = {"poke_interval": 1, "inlets": [ASSET], **arguments}
        return TDengineNewRowsSensor(task_id="new_rows", options=self.options, **given)

    def sees(self) -> bool:
        """Whether the sensor lets the copy run at once."""
        try:
            self.sensor().execute(self.context())
        except TaskDeferred:
            return False
        return True

    def copy(self) -> Mapping[str, Any]:
        return TDengineIncrementOperator(task_id="copy", options=self.options, outlets=[ASSET]).execute(self.context())


def test_each_run_brings_what_the_one_before_has_not_seen(plant: Plant) -> None:
    runs = Runs(plant.options)
    plant.insert("d0", late=7200)
    plant.insert("d0", "d1")
    assert runs.sees(), "there is no watermark yet"
    assert runs.copy()["rows"] == 2
    assert [row[0] for row in plant.rows("target")] == ["d0", "d1"], "rows before the DAG's start_date are left alone"
    assert not runs.sees()
    plant.insert("d2")
    assert runs.sees()
    done = runs.copy()
    assert (done["rows"], done["lag"]) == (3, 0)
    assert not runs.sees()
    assert runs.stores is not None
    assert json.loads(runs.stores[ASSET].text["watermark"])["watermark"] == done["watermark"]
    assert SECRET not in runs.stores[ASSET].text["watermark"]


def test_the_first_run_makes_database_and_tables(plant: Plant) -> None:
    plant.target.execute("drop database follower")
    plant.insert("d3")
    runs = Runs(plant.options)
    runs.copy()
    assert plant.is_equal


def test_rows_of_a_run_that_failed_come_with_the_next(plant: Plant) -> None:
    runs = Runs(plant.options)
    runs.copy()
    plant.insert("d0", "d1")
    plant.target.stop()
    with pytest.raises(Exception, match="Nothing listens"):
        runs.copy()
    plant.target.start()
    plant.insert("d1", "d2")
    assert runs.sees()
    runs.copy()
    assert plant.is_equal


@pytest.mark.parametrize("keeps", [True, False], ids=["gone", "airflow-3.1"])
def test_without_a_watermark_it_goes_on_from_the_last_timestamp_of_the_target(
    plant: Plant, keeps: bool, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Runs(plant.options)
    plant.insert("d0", "d1", late=60)
    plant.insert("d0", "d1", late=30)
    runs.copy()
    read = plant.source.rows_read
    runs.stores = {ASSET: Store()} if keeps else None
    plant.insert("d2", late=45)
    plant.insert("d1", late=10)
    assert runs.sees()
    runs.copy()
    assert "goes on from the target's last timestamp" in caplog.text
    assert plant.is_equal
    assert plant.source.rows_read - read == 4, "two new rows, and two at the last timestamp"


def test_the_sensor_waits_in_the_triggerer(plant: Plant) -> None:
    runs = Runs(plant.options)
    runs.copy()
    sensor = runs.sensor()
    with pytest.raises(TaskDeferred) as raised:
        sensor.execute(runs.context())
    name, arguments = raised.value.trigger.serialize()
    stored = json.dumps(arguments)
    assert SECRET not in stored
    assert raised.value.timeout == timedelta(days=7)
    plant.insert("d1")

    async def wait() -> Any:
        async for event in import_string(name)(**json.loads(stored)).run():
            return event.payload
        raise AssertionError("the trigger ended without an event")

    event = asyncio.run(asyncio.wait_for(wait(), 60))
    assert event["what"] == "1 row, 0 of them known"
    getattr(sensor, raised.value.method_name)(runs.context(), event=event)
    runs.copy()
    assert plant.is_equal


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True)
def test_increments_follow_what_the_source_tells(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs({**plant.options, "follow_by": "auto", "on_delete": "apply"})
    plant.insert("d0")
    with caplog.at_level(logging.INFO):
        runs.copy()
    assert re.search(r"The source tells of each change by the topic\s+(airflow_follower_\w+)", caplog.text)
    assert "by hand: DROP TOPIC" in caplog.text
    assert plant.is_equal
    assert not runs.sees()
    plant.insert("d1", late=1800)
    plant.source.execute("delete from plant.d0")
    assert runs.sees()
    runs.copy()
    assert plant.is_equal, "a late row and a deletion"
    assert len(plant.source.execute("show topics")) == 1, "the next run goes on from it"
    runs.options["follow_by"] = "poll"
    plant.insert("d2")
    assert runs.sees()
    runs.copy()
    assert plant.is_equal
    assert runs.stores is not None
    assert json.loads(runs.stores[ASSET].text["watermark"])["vgroups"] is None


def test_the_sensor_pokes(plant: Plant) -> None:
    runs = Runs(plant.options)
    runs.sensor(deferrable=False).execute(runs.context())
    runs.copy()
    with pytest.raises(AirflowSensorTimeout):
        runs.sensor(deferrable=False, timeout=1).execute(runs.context())
    plant.source.stop()
    assert not runs.sees(), "a source that is away is waited for"
    plant.insert("d1")
    plant.source.start()
    runs.sensor(deferrable=False).execute(runs.context())


def test_mistakes_are_said(plant: Plant) -> None:
    runs = Runs(plant.options)
    runs.options["mode"] = "history"
    with pytest.raises(AirflowFailException, match="Option 'mode': it is history"):
        runs.copy()
    del runs.options["mode"]
    runs.start_date = None
    with pytest.raises(AirflowFailException, match="give the DAG a start_date"):
        runs.sees()
    runs.options["start_from"] = "2025-01-01T00:00:00Z"
    with pytest.raises(AirflowException, match="There are 0 assets"):
        runs.sensor(inlets=[]).execute(runs.context())
    runs.copy()
