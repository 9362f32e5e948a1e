"""Two workers of Celery on two hosts, which share nothing but the API server, the broker and the two TDengine servers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from . import broker
from .conftest import DISTRIBUTED, Airflow
from .hosts import Host, host, obstacle

T = 1609459200000
STABLES, ROWS = ("left", "right"), 15_000
"""A batch each."""


def environment(airflow: Airflow, home: Path) -> dict[str, str]:
    """What a worker is told: where DAGs are, the broker, and the API server. It does not know the database."""
    known = airflow.home.environment()
    del known["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    return known | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow.ui.address}/execution/",
        # Two processes of itself on two cores would compile and import everything twice at the same time.
        "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",
    }


@pytest.fixture(scope="module")
def workers(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    """By the names of their hosts."""
    if not broker.is_there():
        pytest.skip("there is no Redis; on Debian and Ubuntu: apt-get install redis-server")
    if why := obstacle():
        pytest.skip(why)
    ports = [urlsplit(url).port for url in (airflow.ui.address, airflow.broker)]
    ports += [airflow.source.port, airflow.target.port]
    with ExitStack() as stack:
        stack.enter_context(broker.redis(airflow.broker))
        hosts = {}
        for name in ("worker-a", "worker-b"):
            home = tmp_path_factory.mktemp(name)
            for folder in ("dags", "config"):
                shutil.copytree(airflow.home.path / folder, home / folder)
            hosts[name] = stack.enter_context(
                host(
                    name,
                    [port for port in ports if port],
                    *(sys.executable, "-m", "airflow", "celery", "worker", "--concurrency", "1", "--skip-serve-logs"),
                    environment=environment(airflow, home),
                    log=home / "worker.log",
                )
            )
        yield hosts


@pytest.fixture(scope="module")
def plant(airflow: Airflow) -> Airflow:
    """A source database of two super tables."""
    execute = airflow.source.execute
    execute("create database plant2 precision 'ms' keep 36500")
    for stable in STABLES:
        execute(f"create stable plant2.{stable} (ts timestamp, v int) tags (n int)")
        execute(f"create table plant2.{stable}0 using plant2.{stable} tags (0)")
        for start in range(0, ROWS, 5000):
            rows = "".join(f"({T + row * 1000},{row})" for row in range(start, start + 5000))
            execute(f"insert into plant2.{stable}0 values {rows}")
    return airflow


def test_a_killed_worker_costs_what_its_last_checkpoint_lacks(plant: Airflow, workers: dict[str, Host]) -> None:
    plant.unpause(DISTRIBUTED)
    before = plant.source.rows_read
    run = plant.trigger({"source_database": "plant2", "workers": 1}, DISTRIBUTED)

    def copies() -> dict[int, dict[str, object]]:
        return {index: task for (name, index), task in plant.tasks(run, DISTRIBUTED).items() if name == "copy"}

    def saved(index: int) -> int:
        checkpoint = plant.stored(run, "copy", "checkpoint", index, DISTRIBUTED)
        return int(checkpoint["tally"]["rows"]) if checkpoint else 0

    def read() -> int:
        return plant.source.rows_read - before

    plant.wait_for(
        lambda: (("plan", -1) in (tasks := plant.tasks(run, DISTRIBUTED))) and tasks["plan", -1]["state"] == "success"
    )
    plant.target.faults.delay(0.5)
    plant.wait_for(lambda: all(map(saved, range(len(STABLES)))))
    placed = {index: str(task["hostname"]) for index, task in copies().items()}
    assert set(placed.values()) == set(workers)
    workers[placed[0]].end()
    plant.target.faults.clear()
    plant.wait_for(lambda: copies()[1]["state"] == "success")
    assert copies()[0]["try_number"] == 1
    checkpoint, first_try = saved(0), read() - ROWS
    assert 0 < checkpoint < ROWS

    plant.wait_for(lambda: plant.state(run, DISTRIBUTED) in ("success", "failed"))
    assert plant.state(run, DISTRIBUTED) == "success"
    assert "Equal as copied" in (plant.note(run, DISTRIBUTED) or "")
    assert (copies()[0]["try_number"], copies()[0]["hostname"]) == (2, placed[1])
    again = read() - len(STABLES) * ROWS
    print(f"{first_try} rows read before the kill, {checkpoint} in the checkpoint, {again} read again")
    assert again <= first_try - checkpoint
