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


def counts(airflow):
    import psycopg2

    url = airflow.home.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg2", "postgresql")
    found = {}
    with psycopg2.connect(url) as c, c.cursor() as q:
        q.execute("select table_name from information_schema.tables where table_schema='public'")
        for (name,) in q.fetchall():
            q.execute(f'select count(*), pg_total_relation_size(\'"{name}"\') from "{name}"')
            found[name] = q.fetchone()
        q.execute(
            "select task_id, key, count(*), sum(length(value::text)), max(length(value::text)) from xcom group by 1,2 order by 1,2"
        )
        print("XCOM", q.fetchall())
        q.execute("select key, count(*), max(length(value::text)) from task_state_store group by 1")
        print("STORE", q.fetchall())
    return found


def report(before, after):
    print(
        "ROWS",
        {
            n: (after[n][0] - before.get(n, (0, 0))[0], after[n][1] - before.get(n, (0, 0))[1])
            for n in after
            if after[n] != before.get(n)
        },
    )


def test_rows_of_a_mapped_task(plant: Airflow) -> None:
    """The difference between 12 batches and 2."""
    execute = plant.source.execute
    for many, n in (("few", 2), ("many", 12)):
        execute(f"create database {many} precision 'ms' keep 36500")
        for i in range(n):
            execute(f"create stable {many}.s{i} (ts timestamp, v int) tags (n int)")
            execute(f"create table {many}.d{i} using {many}.s{i} tags (0)")
            execute(f"insert into {many}.d{i} values ({T},1)")
    import time

    for many in ("few", "few2", "many"):
        b = counts(plant)
        t = time.monotonic()
        run = plant.run(
            {"source_database": many.strip("2"), "target_database": many, "workers": 1}, "quick_migration", timeout=300
        )
        print(many, plant.state(run), time.monotonic() - t)
        time.sleep(5)
        report(b, counts(plant))


def test_a_killed_worker_costs_what_its_last_checkpoint_lacks(plant: Airflow, workers: dict[str, Host]) -> None:
    before = plant.source.rows_read
    import time, psutil

    begun = time.monotonic()
    cpu = lambda: {
        n: sum(
            sum(p.cpu_times()[:2])
            for p in (psutil.Process(h._process.pid), *psutil.Process(h._process.pid).children(recursive=True))
        )
        for n, h in workers.items()
        if h._process.poll() is None
    }
    print("CPU of workers at the begin", cpu())
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
    print("seconds until kill", time.monotonic() - begun, cpu())
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
    print("seconds in all", time.monotonic() - begun, cpu())
    again = read() - len(STABLES) * ROWS
    print(f"{copied} rows were read until the kill, {checkpoint} are in the checkpoint; {again} were read again")
    assert again <= copied - checkpoint
