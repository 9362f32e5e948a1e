"""Where tasks keep their checkpoint: with and without a task state store, by option force, and without a supervisor."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_provider_tdengine.migration.copying import ProgressNotSaved
from airflow_provider_tdengine.operators.migration import TDenginePlanOperator, TDengineRangeMigrationOperator
from airflow_provider_tdengine.operators.progress import Pace, TaskStateProgress, task_progress

from .conftest import Plant, Store, dag_run, task_instance

RETRIES = 3
SAVED = {"rows": 7}


def context(store: Store | None, attempt: int = 1, attempts: int = 1 + RETRIES) -> Any:
    """What Airflow gives to a task.

    Parameters:
        store: its task state store, None for an Airflow without.
        attempt: which one of the task this is, from 1.
        attempts: how many it has by now; a clear gives it another 1 + RETRIES.
    """
    task = SimpleNamespace(retries=RETRIES)
    instance = task_instance("copy", 0, task=task, try_number=attempt, max_tries=attempts - 1)
    run = dag_run(datetime.now(timezone.utc) + timedelta(hours=1))
    given = {"ti": instance, "dag_run": run, "dag": SimpleNamespace(dag_id="m", max_active_tasks=16)}
    return given if store is None else {**given, "task_state_store": store}


def test_without_a_state_store_the_log_says_once_what_a_retry_does(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"source_database": "plant", "target_database": "follower"}
    for late in range(3):
        plant.insert("d0", "d1", late=late)
    (batch,) = TDenginePlanOperator(task_id="plan", options=options).execute(context(None))
    with caplog.at_level(logging.INFO):
        for attempt in (1, 2):
            caplog.clear()
            operator = TDengineRangeMigrationOperator(task_id="copy", options=options, batch=batch)
            assert operator.execute(context(None, attempt))["rows"] == 6
            (said,) = [message for message in caplog.messages if "task state store" in message]
            assert said.endswith("(3.3 has); a retried task copies its batch from the beginning")
    assert plant.is_equal


@pytest.mark.parametrize(
    ("attempt", "attempts", "force", "starts_over"),
    [
        pytest.param(2, 4, False, False, id="retry"),
        pytest.param(2, 4, True, False, id="retry, force"),
        pytest.param(2, 5, False, False, id="clear"),
        pytest.param(2, 5, True, True, id="clear, force"),
        pytest.param(3, 5, True, False, id="retry after clear, force"),
        pytest.param(4, 7, True, True, id="clear again, force"),
    ],
)
def test_only_a_cleared_task_starts_over_by_force(attempt: int, attempts: int, force: bool, starts_over: bool) -> None:
    store = Store()
    TaskStateProgress(store).save(SAVED)  # type: ignore[arg-type]
    progress = task_progress(context(store, attempt, attempts), "", force=force)
    assert progress.load() == (None if starts_over else SAVED)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR)), ProgressNotSaved, id="api"),
        pytest.param(BrokenPipeError(), BrokenPipeError, id="supervisor"),
    ],
)
def test_a_task_outlives_an_api_server_but_not_its_supervisor(error: Exception, expected: type[Exception]) -> None:
    class Broken(Store):
        def set(self, key: str, value: object, retention: timedelta | None = None) -> None:
            raise error

    with pytest.raises(expected):
        TaskStateProgress(Broken()).save(SAVED)  # type: ignore[arg-type]


def test_the_pace_of_a_task_takes_little_room_however_long_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    store, moment = Store(), [1_000_000.0]
    monkeypatch.setattr("airflow_provider_tdengine.operators.progress.time.time", lambda: moment[0])
    given: Any = {"task_state_store": store}
    pace = Pace(given)
    for step in range(3000):
        pace.add(100 * step, lag=step / 10)
        moment[0] += 3
    kept = store.get("pace")
    assert (kept["rate"], kept["lag"]) == (33.3, 299.9)
    assert 30 <= len(kept["points"]) <= 60
    assert kept["points"][0] == [1_000_000.0, 0, 0.0]
    assert [at for at, _, _ in kept["points"]] == sorted(at for at, _, _ in kept["points"])
    assert len(store.text["pace"]) < 3000
    # Another try goes on, and says nothing of the time in between.
    again = Pace(given)
    moment[0] += 1000
    again.add(299_900)
    assert store.get("pace")["rate"] == 0
    assert store.get("pace")["points"][:3] == kept["points"][:3]
    Pace({}).add(5)  # type: ignore[typeddict-item]
