"""The operators of exports and imports, on boxes."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tdengine.compat import AirflowFailException, AirflowSkipException
from airflow_provider_tdengine.operators.offline import TDengineExportOperator, TDengineImportOperator

from .conftest import Plant, Store, dag_run, task_instance
from .test_dead_letters import Events

T = 1609459200000
FAR = 9 * 10**15
"""A moment that nanoseconds do not reach."""

pytestmark = pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True)


def context(pushed: dict[str, Any], store: Store | None = None) -> Any:
    instance = task_instance("bring", xcom_push=lambda key, value: pushed.update({key: value}))
    return {"dag_run": dag_run(), "ti": instance, "task_state_store": store or Store(), "outlet_events": Events()}


def export(folder: Path, attempt: int = 1, **options: Any) -> dict[str, object]:
    given = {"source_database": "plant", **options}
    of_task = context({})
    of_task["ti"].try_number = attempt
    return TDengineExportOperator(task_id="export", folder=str(folder), options=given).execute(of_task)


def test_out_and_in(plant: Plant, tmp_path: Path) -> None:
    plant.source.execute(f"insert into plant.d0 values ({T},1.5)({T + 1},2.5) plant.d1 values ({T},3.5)")
    done = export(tmp_path / "power")
    assert (done["rows"], done["kept"]) == (3, 0)
    assert export(tmp_path / "power")["kept"] == 1
    options = {"target_database": "follower", "certificate_path": f"file://{tmp_path}/proof"}
    operator = TDengineImportOperator(task_id="bring", folder=f"file://{tmp_path}/power", options=options)
    pushed: dict[str, Any] = {}
    store = Store()
    assert operator.execute(context(pushed, store))["rows"] == 3
    assert plant.is_equal
    assert pushed["verdict"]["words"] == "Equal as copied: 3 rows in 2 tables"
    assert pushed["certificate"]["source"]["folder"] == f"file://{tmp_path}/power"
    # The export is not read once more: its rows are those whose digest the copy has taken.
    assert set(pushed["certificate"]["compared"]["batches"]) == {"digest"}
    assert list(tmp_path.rglob("certificate.html"))
    assert [key for key in store.text if key.startswith("checkpoint-")]


def test_refused_rows_are_red_and_damage_is_said(plant: Plant, tmp_path: Path) -> None:
    plant.source.execute("create stable plant.w (ts timestamp, due timestamp) tags (g int)")
    plant.source.execute("create table plant.w0 using plant.w tags (0)")
    plant.source.execute(f"insert into plant.w0 values ({T},{FAR})({T + 1},{T})")
    export(tmp_path / "power")
    options = {
        "target_database": "nano",
        "stables": "w",
        "database_options": "PRECISION 'ns'",
        "on_error": "dead_letter",
        "dead_letter_path": f"file://{tmp_path}/letters",
    }
    operator = TDengineImportOperator(task_id="bring", folder=str(tmp_path / "power"), options=options)
    with pytest.raises(AirflowFailException, match="refused 1 row"):
        operator.execute(context({}))
    next((tmp_path / "power" / "rows").rglob("*.parquet")).write_bytes(b"")
    with pytest.raises(AirflowFailException, match="has 0 bytes where"):
        TDengineImportOperator(task_id="bring", folder=str(tmp_path / "power"), options=options).execute(context({}))


def test_a_dry_run_of_an_import_writes_nothing(plant: Plant, tmp_path: Path) -> None:
    plant.source.execute(f"insert into plant.d0 values ({T},1.5)")
    export(tmp_path / "power")
    options = {"target_database": "anew", "dry_run": True}
    operator = TDengineImportOperator(task_id="bring", folder=str(tmp_path / "power"), options=options)
    pushed: dict[str, Any] = {}
    with pytest.raises(AirflowSkipException):
        operator.execute(context(pushed))
    assert pushed["planned"] == {"rows": 1, "batches": 1}
    assert not [row for row in plant.target.execute("show databases") if row[0] == "anew"]


def test_an_export_begins_anew_by_force_and_a_retry_goes_on(plant: Plant, tmp_path: Path) -> None:
    plant.source.execute(f"insert into plant.d0 values ({T},1.5)")
    export(tmp_path)
    assert export(tmp_path, force=True)["kept"] == 0
    assert export(tmp_path, attempt=2, force=True)["kept"] == 1


def test_a_folder_with_a_password_is_refused(plant: Plant) -> None:
    folder = "s3://user:s3cret-word@bucket/power"
    for operator in (TDengineExportOperator, TDengineImportOperator):
        with pytest.raises(AirflowFailException, match="Option 'folder': it has a password") as failure:
            operator(task_id="by_files", folder=folder, options={"source_database": "plant"}).execute(context({}))
        assert "s3cret-word" not in str(failure.value)
