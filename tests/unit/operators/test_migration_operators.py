"""The operators as Airflow handles them: copied, mapped, templated."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from collections.abc import Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_tdengine.compat import AirflowFailException
from airflow_provider_tdengine.dags import migration, migration_dag, migration_params
from airflow_provider_tdengine.migration.copying import Batch
from airflow_provider_tdengine.migration.options import FIRST, OPTIONS, MigrationOptions
from airflow_provider_tdengine.operators.comparison import (
    TDengineReconcileOperator,
    TDengineVerifyBatchOperator,
    TDengineVerifyOperator,
)
from airflow_provider_tdengine.operators.dead_letters import TDengineReplayDeadLettersOperator
from airflow_provider_tdengine.operators.migration import (
    MigrationOperator,
    TDenginePlanOperator,
    TDengineRangeMigrationOperator,
    TDengineResolveOperator,
    TDengineSchemaSyncOperator,
)
from airflow_provider_tdengine.testing import TDengineBox

CREATED = datetime(2022, 1, 1, tzinfo=timezone.utc)


def context(**params: object) -> Any:
    task = SimpleNamespace(task_id="t", xcom_push=lambda key, value: None)
    return {"params": params, "dag_run": SimpleNamespace(run_after=CREATED), "ti": task}


@pytest.mark.parametrize(
    "operator",
    [
        TDengineRangeMigrationOperator(task_id="copy", batch={}),
        TDengineVerifyBatchOperator(task_id="verify", copied={}),
        TDengineVerifyOperator(task_id="certify"),
        TDengineReconcileOperator(task_id="reconcile"),
    ],
    ids=lambda operator: operator.task_id,
)
def test_an_operator_can_be_copied_and_pickled(operator: BaseOperator) -> None:
    assert copy.deepcopy(operator).task_id == operator.task_id
    assert pickle.loads(pickle.dumps(operator)).task_id == operator.task_id
    operator.on_kill()


def test_the_dag_has_its_stages_in_order() -> None:
    dag = migration_dag("m", defaults={"source_database": "power", "workers": 4})
    stages = [task.task_id for task in dag.topological_sort()]
    assert stages == [
        "resolve",
        "sync_schema",
        "plan",
        "copy",
        "verify",
        "certify",
        "dead_letters",
        "shards",
        "follow",
        "finish",
    ]
    assert copy.deepcopy(dag).task_ids == dag.task_ids
    assert dag.params["source_database"] == "power"
    assert dag.params["workers"] == 4


def test_two_migrations_in_a_dag_of_ones_own() -> None:
    with DAG("own", schedule=None) as dag:
        first = migration("north", {"source_database": "a"})
        second = migration("south", {"source_database": "b", "target_database": "{{ ds_nodash }}"})
        first >> second
    assert "north.copy" in dag.task_ids
    assert "south.verify" in dag.task_ids


def test_an_unknown_default_is_refused() -> None:
    with pytest.raises(
        ValueError, match="there is no option sourcedb; the options are source_database, target_database"
    ):
        migration_dag("m", defaults={"sourcedb": "x"})


def test_the_form_explains_every_option() -> None:
    params = migration_params()
    assert list(params) == list(OPTIONS)
    for name, param in params.items():
        assert param.schema["title"] == OPTIONS[name].title
        assert param.schema.get("section", FIRST) == OPTIONS[name].section
    mode, start = (params[name].schema["description_md"] for name in ("mode", "start"))
    assert mode.startswith("Which rows are copied. Choose both")
    assert "\n\n- **history** (default): all rows of a period" in mode
    assert "\n\n- **both**: history, then realtime" in mode
    assert "Empty: the first row." in start
    assert params["source_database"].schema["description_md"].startswith("Required.")
    assert params["workers"].schema["description_md"].count("Default: **2**.") == 1
    assert (
        params["tables"]
        .schema["description_md"]
        .endswith("For example **d1001, d1002**, **d10\\*, meters.\\*\\_old**, **@/opt/airflow/tables.txt**.")
    )
    assert params["mode"].schema["enum"] == ["history", "realtime", "both"]
    assert "format" not in params["start"].schema, "a picker takes no -30d"
    assert params["delay"].schema["type"] == "number"
    assert (params["workers"].schema["minimum"], params["workers"].schema["maximum"]) == (1, 64)
    assert params["source_database"].schema["minLength"] == 1
    defaults = {name: param.value for name, param in params.items() if name != "source_database"}
    own = MigrationOptions().to_dict()
    assert defaults == {name: own[name] or (None if isinstance(own[name], str) else own[name]) for name in defaults}


def test_options_come_from_the_params_of_the_run() -> None:
    options = TDenginePlanOperator(task_id="plan").migration_options(
        context(source_database="power", mode="history", something_else=1)
    )
    assert (options.source_database, options.end) == ("power", CREATED.isoformat())


@pytest.mark.parametrize(
    ("batches", "parallel", "rows", "size"),
    [(1, 4, 1000, 7), (3, 4, 334, 3), (100, 4, 250, 2), (100, None, 200, 2), (2, None, 500, 4), (2000, 1024, 1, 1)],
)
def test_limits_are_divided_among_the_batches_that_run_at_the_same_time(
    batches: int, parallel: int | None, rows: int, size: int
) -> None:
    with DAG("own", schedule=None, max_active_tasks=5) as dag:
        operator = TDengineRangeMigrationOperator(task_id="copy", batch={}, parallel_batches=parallel)
    given = context(source_database="power", max_rows_per_second=1000, max_bytes_per_second=7)
    options = operator.batch_options({**given, "dag": dag}, Batch(None, "a", "b", 2, None, None, 9, batches))
    assert (options.max_rows_per_second, options.max_bytes_per_second) == (rows, size)


@pytest.mark.parametrize(("copying", "factor"), [(1, 3.0), (3, 1.0), (6, 0.5)])
@pytest.mark.parametrize("shared", [False, True])
def test_what_one_leaves_of_the_limits_the_others_use(copying: int, factor: float, shared: bool) -> None:
    """Of three that may copy at the same time, and, with `shared`, of other runs."""
    asked: dict[str, Any] = {}

    def counted(**given: Any) -> int:
        asked.update(given)
        return copying

    with DAG("own", schedule=None) as dag:
        operator = TDengineRangeMigrationOperator(task_id="copy", batch={}, parallel_batches=3, shared=shared)
    instance = SimpleNamespace(dag_id="own", get_ti_count=counted)
    given: Any = {"ti": instance, "dag_run": SimpleNamespace(run_id="r"), "dag": dag}
    assert operator._factor(Batch(None, "a", "b", 2, None, None, 9, 100), given) == factor
    assert asked == {
        "dag_id": "own",
        "task_ids": ["copy"],
        "run_ids": None if shared else ["r"],
        "states": ["running"],
    }


def test_a_pool_has_a_slot_a_session() -> None:
    tasks = {task.task_id: task for task in migration_dag("m", defaults={"workers": 3}, pool="old").tasks}
    for name in ("copy", "verify"):
        copying = tasks[name]
        assert isinstance(copying, MappedOperator)
        assert (copying.partial_kwargs["pool"], copying.partial_kwargs["pool_slots"]) == ("old", 3)
    assert tasks["plan"].pool == "default_pool"


def test_what_is_not_limited_stays_so() -> None:
    assert MigrationOptions().divided(4) == MigrationOptions()


def test_a_schedule_is_warned_of_where_people_press_trigger() -> None:
    timetable = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
    dag = migration_dag("m", by_interval=True, defaults={"source_database": "power"}, schedule=timetable, doc_md="Mine")
    said = {name: dag.params.get_param(name).schema["description_md"] for name in ("source_database", "start", "end")}
    for text in (said["source_database"], dag.doc_md):
        assert "has a **schedule**: as soon as it is switched on (unpaused)" in text
    assert dag.doc_md.endswith("Mine")
    assert "Empty: the start of the run's data interval" in said["start"]
    assert "Empty: the end of the run's data interval, excluded." in said["end"]
    unscheduled = migration_dag("n", doc_md="Mine")
    assert unscheduled.doc_md == "Mine"
    assert "schedule" not in unscheduled.params.get_param("source_database").schema["description_md"]


def test_the_copy_knows_how_many_batches_run_at_the_same_time() -> None:
    (copying,) = [task for task in migration_dag("m", parallel_batches=3).tasks if task.task_id == "copy"]
    assert isinstance(copying, MappedOperator)
    assert copying.partial_kwargs["parallel_batches"] == copying.partial_kwargs["max_active_tis_per_dagrun"] == 3


def test_wrong_options_fail_without_retry_and_all_at_once() -> None:
    given = {"mode": "x", "workers": 0, "rename_tables": "a => b", "source_conn_id": "nobody"}
    operator = TDengineResolveOperator(task_id="resolve", options=given)
    said = r"(?s)6 findings.*'mode'.*'workers'.*'source_database'.*'rename_tables'.*'source_conn_id'.*'target_conn_id'"
    with pytest.raises(AirflowFailException, match=said):
        operator.execute(context())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[TDengineBox]:
    """A server that both connections lead to, the source's with a wrong password."""
    with TDengineBox(version="3.3.3.0") as box:
        for name, password in (("source", "wrong"), ("target", "taosdata")):
            connection = {
                "conn_type": "tdengine",
                "host": box.host,
                "port": box.port,
                "login": "root",
                "password": password,
            }
            monkeypatch.setenv(f"AIRFLOW_CONN_TDENGINE_{name.upper()}", json.dumps(connection))
        yield box


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        (TDengineResolveOperator(task_id="r", options={"source_database": "power"}), "uthenticat"),
        (
            TDengineReplayDeadLettersOperator(task_id="r", path="/none", target_database="x"),
            "Folder /none: there is none",
        ),
        (
            TDengineReplayDeadLettersOperator(task_id="r", path="/none", target_database="x", target_conn_id="nobody"),
            "Create that connection under Admin, Connections",
        ),
    ],
    ids=["password", "folder", "connection"],
)
def test_what_no_retry_cures_fails_at_once(server: TDengineBox, operator: Any, said: str) -> None:
    with pytest.raises(AirflowFailException, match=said):
        operator.execute(context())


def test_operators_are_mapped_over_their_options() -> None:
    with DAG("own", schedule=None):
        mapped = TDengineSchemaSyncOperator.partial(task_id="structure").expand(
            options=[{"source_database": "a"}, {"source_database": "b"}]
        )
        batches = TDengineRangeMigrationOperator.partial(task_id="copy", options={"source_database": "a"}).expand(
            batch=[Batch("meters", "d1", "d3", 2, None, None, 9).to_dict()]
        )
        compared = TDengineVerifyBatchOperator.partial(task_id="verify").expand(copied=batches.output)
    assert isinstance(mapped, MappedOperator)
    batch = Batch("meters", "d1", "d3", 2, None, None, 9, names="d1…d2", when="2021-01").to_dict()
    for task in (batches.unmap({"batch": batch}), compared.unmap({"copied": {"batch": batch}})):
        assert isinstance(task, TDengineRangeMigrationOperator | TDengineVerifyBatchOperator)
        assert task.batch_label == "meters d1…d2 · 2021-01"


def subclasses(operator: type[BaseOperator]) -> Iterator[type[BaseOperator]]:
    for own in operator.__subclasses__():
        yield own
        yield from subclasses(own)


@pytest.mark.parametrize("operator", [*subclasses(MigrationOperator), TDengineReplayDeadLettersOperator])
def test_all_that_a_task_is_given_is_templated(operator: type[BaseOperator]) -> None:
    # The others are read when the DAG is made.
    read = {"kwargs", "by_interval", "parallel_batches", "shared", "past", "spare", "linger", "fruitless_retries"}
    read |= {"ended_by", "is_last"}
    assert set(inspect.signature(operator).parameters) - read <= set(operator.template_fields)
