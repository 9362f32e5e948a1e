"""Reconciling: what came late, was changed or deleted in a past period is mended."""

from __future__ import annotations

import runpy
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tdengine.compat import AirflowFailException
from airflow_provider_tdengine.operators.comparison import TDengineReconcileOperator

from .conftest import Plant, dag_run, task_instance

EXAMPLE = Path(__file__).parents[3] / "example_dags" / "tdengine_reconcile.py"


class Events:
    """Where outlet events go."""

    def __getitem__(self, key: object) -> Events:
        return self

    def add(self, asset: object, extra: object = None) -> None:
        """Nobody listens here."""


def reconcile(plant: Plant, map_index: int = -1, **values: Any) -> dict[str, Any]:
    operator = TDengineReconcileOperator(
        task_id="reconcile", options={**plant.options, **values.pop("options", {})}, past=timedelta(days=2), **values
    )
    context: Any = {
        "dag_run": dag_run(),
        "outlet_events": Events(),
        "ti": task_instance("reconcile", map_index),
    }
    return operator.execute(context)


def ago(**period: float) -> int:
    return int((time.time() - timedelta(**period).total_seconds()) * 1000)


def test_a_past_period_is_mended(plant: Plant, tmp_path: Path) -> None:
    late, before, young = ago(hours=30), ago(days=3), ago(minutes=5)
    plant.source.execute(f"insert into plant.d0 values ({before},1) ({late},2) ({late + 1},3) ({young},4)")
    found = reconcile(plant, options={"certificate_path": str(tmp_path)})
    assert [row[1:] for row in plant.rows("target")] == [(late, 2.0), (late + 1, 3.0)]
    assert (found["mended"], found["mended_rows"]) == (1, 2)
    reconcile(plant, 3, options={"certificate_path": str(tmp_path)})
    found_there = {path.parent.name for path in (tmp_path / "m" / "r").glob("*/certificate.html")}
    assert found_there == {"reconcile", "reconcile-3"}
    plant.source.execute(f"insert into plant.d0 values ({late},7)")
    plant.source.execute("create table plant.d9 using plant.m tags (9) ")
    plant.source.execute(f"insert into plant.d9 values ({late},9)")
    reconcile(plant)
    assert [row[2] for row in plant.rows("target")] == [7.0, 3.0, 9.0]
    assert reconcile(plant)["mended_rows"] == 0


@pytest.mark.parametrize("schema", ["always", "none"])
def test_changed_tags_are_carried_over_unless_they_are_the_target_s_own(plant: Plant, schema: str) -> None:
    plant.source.execute(f"insert into plant.d0 values ({ago(hours=30)},2)")
    reconcile(plant)
    plant.source.execute("alter table plant.d0 set tag g = 77")
    found = reconcile(plant, options={"schema": schema})
    assert found["tags"] == (schema == "always")
    assert list(plant.target.execute("select g from follower.d0")) == [(77 if schema == "always" else 0,)]


def test_deletions_are_carried_over_where_somebody_allows_it(plant: Plant) -> None:
    late = ago(hours=30)
    plant.source.execute(f"insert into plant.d0 values ({late},2)")
    plant.target.execute(f"insert into follower.d0 values ({late + 1},3)")
    with pytest.raises(AirflowFailException, match="deleted with the option delete_extra"):
        reconcile(plant)
    reconcile(plant, options={"delete_extra": True})
    assert [row[1:] for row in plant.rows("target")] == [(late, 2.0)]


def test_a_period_must_be_one() -> None:
    with pytest.raises(ValueError, match="past must be longer"):
        TDengineReconcileOperator(task_id="r", past=timedelta(hours=1), spare=timedelta(hours=1))


def test_the_example_can_be_loaded() -> None:
    dag = runpy.run_path(str(EXAMPLE))["dag"]
    assert [task.task_id for task in dag.tasks] == ["reconcile"]
