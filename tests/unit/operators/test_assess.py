"""The operator that assesses whole servers, and its DAG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tdengine import TAG
from airflow_provider_tdengine.compat import AirflowFailException
from airflow_provider_tdengine.dags import assessment_dag
from airflow_provider_tdengine.migration.assessment_options import ASSESSMENT_OPTIONS
from airflow_provider_tdengine.operators.assess import TDengineAssessOperator

from .conftest import SECRET, Plant, dag_run, task_instance


def assess(params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    operator = TDengineAssessOperator(task_id="assess", options=None if params is not None else options)
    context: Any = {"dag_run": dag_run(), "ti": task_instance("assess"), "params": params}
    return operator.execute(context)


def test_it_looks_at_all_databases_and_keeps_its_documents(plant: Plant, tmp_path: Path) -> None:
    plant.insert("d0", "d1")
    plant.insert("d0", late=60)
    plant.source.execute("create database empty")
    found = assess(certificate_path=str(tmp_path), window_hours="8")
    (power,) = (one for one in found["databases"] if one["database"] == "plant")
    assert (power["rows"], power["tables"], power["findings"]["blocker"]) == (3, 2, 0)
    assert (found["kind"], found["counts"]["blocker"]) == ("blocked", 1), "what it finds does not make it red"
    assert found["window"].startswith("All fit into 8 h. 1 database takes about ")
    assert json.loads(json.dumps(found)) == found
    document = tmp_path / "m" / "r" / "assess" / "assessment.html"
    assert found["document"].endswith(str(document))
    html = document.read_text(encoding="utf-8")
    assert "plant" in html
    assert SECRET not in html + document.with_suffix(".json").read_text(encoding="utf-8")


def test_what_the_form_says_counts(plant: Plant) -> None:
    plant.insert("d0")
    found = assess({"databases": "plant", "source_conn_ids": "tdengine_source", "other": 1})
    assert [one["database"] for one in found["databases"]] == ["plant"]
    assert found["document"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"databases": "Plant"}, "Perhaps 'plant' is meant"),
        ({"source_conn_ids": "tdengine_source, nowhere"}, "Create that connection"),
        ({"source_conn_ids": f"ws://root:{SECRET}@a:6041"}, "it has a password or token"),
        ({"windows": 1}, "there is no such option"),
    ],
)
@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True)
def test_mistakes_are_said_and_not_tried_again(plant: Plant, options: dict[str, Any], said: str) -> None:
    with pytest.raises(AirflowFailException) as failed:
        assess(**options)
    assert said in str(failed.value)
    assert SECRET not in str(failed.value)


def test_the_dag_has_a_form_and_is_no_migration() -> None:
    dag = assessment_dag("a", defaults={"databases": "plant_*"}, schedule="@weekly")
    assert dag.task_ids == ["assess"]
    assert list(dag.params) == list(ASSESSMENT_OPTIONS)
    assert dag.params["databases"] == "plant_*"
    assert TAG not in dag.tags, "the page Migrations would list its runs"
    with pytest.raises(ValueError, match="there is no option source_database; the options are databases"):
        assessment_dag("b", defaults={"source_database": "x"})
