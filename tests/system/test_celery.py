"""Two workers of Celery on two hosts, which share nothing but the API server, the broker and the TDengine servers."""

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
    """What a worker is told: its DAGs, the broker, the API server; and nothing of the database of Airflow."""
    known = airflow.home.environment()
    del known["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    return known | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow.ui.address}/execution/",
    }


@pytest.fixture(scope="module")
def workers(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    """By the names of their hosts."""
    if not broker.is_there():
        pytest.skip("there is no Redis; on Debian and Ubuntu: apt-get install redis-server")
    if why := obstacle():
        pytest.skip(why)
    api, queue = (int(urlsplit(url).port or 0) for url in (airflow.ui.address, airflow.broker))
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
                    (api, queue, airflow.source.port, airflow.target.port),
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
    execute("create database spread precision 'ms' keep 36500")
    for stable in STABLES:
        execute(f"create stable spread.{stable} (ts timestamp, v int) tags (n int)")
        execute(f"create table spread.{stable}0 using spread.{stable} tags (0)")
        for start in range(0, ROWS, 5000):
            rows = "".join(f"({T + row * 1000},{row})" for row in range(start, start + 5000))
            execute(f"insert into spread.{stable}0 values {rows}")
    airflow.unpause(DISTRIBUTED)
    return airflow


def test_a_killed_worker_costs_what_its_last_checkpoint_lacks(plant: Airflow, workers: dict[str, Host]) -> None:
    before = plant.source.rows_read
    run = plant.trigger({"source_database": "spread", "workers": 1}, DISTRIBUTED)

    def copy(index: int, key: str) -> object:
        return plant.tasks(run, DISTRIBUTED).get(("copy", index), {}).get(key)

    def saved(index: int) -> int:
        checkpoint = plant.stored(run, "copy", "checkpoint", index, DISTRIBUTED)
        return int(checkpoint["tally"]["rows"]) if checkpoint else 0

    def read() -> int:
        return plant.source.rows_read - before

    plant.wait_for(lambda: plant.tasks(run, DISTRIBUTED)["plan", -1]["state"] == "success")
    # 59 blocks a batch, four in flight: seven seconds and more of copying.
    plant.target.faults.delay(0.5)
    plant.wait_for(lambda: saved(0) and saved(1))
    killed, other = (str(copy(index, "hostname")) for index in range(2))
    assert {killed, other} == set(workers)
    workers[killed].end()
    plant.target.faults.clear()
    plant.wait_for(lambda: copy(1, "state") == "success")
    assert copy(0, "try_number") == 1
    checkpoint, copied = saved(0), read() - ROWS
    assert 0 < checkpoint <= copied < ROWS

    plant.wait_for(lambda: plant.state(run, DISTRIBUTED) in ("success", "failed"))
    assert plant.state(run, DISTRIBUTED) == "success"
    assert "Equal as copied" in (plant.note(run, DISTRIBUTED) or "")
    assert (copy(0, "try_number"), copy(0, "hostname")) == (2, other)
    again = read() - len(STABLES) * ROWS
    print(f"{copied} rows were read until the kill, {checkpoint} are in the checkpoint; {again} were read again")
    assert again <= copied - checkpoint
