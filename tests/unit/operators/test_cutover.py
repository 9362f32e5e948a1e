"""The cutover sensor: it says yes when all but the last moments are there, and not before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_tdengine.compat import AirflowSkipException
from airflow_provider_tdengine.cutover import cutover_dag
from airflow_provider_tdengine.sensors.cutover import TDengineCutoverSensor

from .conftest import Plant
from .test_reconcile import reconcile

CONTEXT: Any = {}


def sensor(plant: Plant, **values: Any) -> TDengineCutoverSensor:
    return TDengineCutoverSensor(task_id="cutover", options=plant.options, **values)


def test_rows_tables_and_tags_must_be_there(plant: Plant) -> None:
    waiting = sensor(plant, max_lag=timedelta(seconds=60), past=timedelta(hours=30))
    plant.insert("d0", late=3600)
    plant.insert("d1")
    assert not waiting.poke(CONTEXT)
    reconcile(plant)
    assert waiting.poke(CONTEXT), "the row of just now may still be missing"
    plant.target.execute("alter table follower.d2 set tag g = 77")
    assert not waiting.poke(CONTEXT)
    plant.target.execute("alter table follower.d2 set tag g = 2")
    assert waiting.poke(CONTEXT)
    plant.source.execute("create table plant.d9 using plant.m tags (9)")
    assert not waiting.poke(CONTEXT)


def test_a_dry_run_asks_nobody(plant: Plant) -> None:
    with pytest.raises(AirflowSkipException):
        TDengineCutoverSensor(task_id="cutover", options={**plant.options, "dry_run": True}).poke(CONTEXT)


def test_the_form_of_a_cutover_has_one_mode_and_compares() -> None:
    dag = cutover_dag("c")
    assert dag.params.get_param("mode").schema["enum"] == ["both"]
    with pytest.raises(ValueError, match="is both, not history"):
        cutover_dag("c", defaults={"mode": "history"})
    assert dag.params.get_param("verify").schema["enum"] == ["full", "aggregate", "count"]
    with pytest.raises(ValueError, match="verify of a cutover is not none"):
        cutover_dag("c", defaults={"verify": "none"})


def test_a_server_that_is_away_is_waited_for(plant: Plant) -> None:
    waiting = sensor(plant)
    assert waiting.poke(CONTEXT)
    plant.source.stop()
    assert not waiting.poke(CONTEXT)


def test_the_lag_must_be_shorter_than_the_past(plant: Plant) -> None:
    with pytest.raises(ValueError, match="past must be longer"):
        sensor(plant, max_lag=timedelta(hours=1))
