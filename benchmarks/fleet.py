"""Many databases in one run against one database of all their rows: runs of a real Airflow, one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from airflow_provider_tdengine.demo.home import DAG_ID, AirflowHome
from airflow_provider_tdengine.demo.ui import AirflowUi
from benchmarks.runners import BenchmarkFailed
from benchmarks.servers import Server
from benchmarks.shapes import METER, Shape, drop, fill

DATABASES = 40
FLEET = [Shape(f"fleet_{number:02}", 50, 5_000, METER) for number in range(DATABASES)]
"""250,000 rows in each."""

ALL = Shape("fleetall", DATABASES * 50, 5_000, METER)
"""One database of all their rows."""

_MANY, _ONE = "bench_fleet_*", ALL.database
_TARGET = "*_copy"
_LONGEST = 1800.0

_HOME = Path(".bench")
"""Where Airflow is, with its logs."""

STAGES = ("resolve", "sync_schema", "plan", "copy", "verify", "certify")
"""Stages that move rows; the run has some more tasks, which have nothing to do."""

Api = httpx.Client


@dataclass(frozen=True)
class Fleet:
    """A fleet beside one database of all its rows, medians of the runs.

    Parameters:
        databases: how many.
        rows: of all of them.
        source: the source's version.
        target: the target's version.
        options: of the databases that are made, as `database_options` says them; empty for the server's own.
        load: of the machine before the first run.
        runs: of each.
        one: seconds of the run of one database.
        many: seconds of the run of the fleet.
        ratio: the median of the ratios of pairs that ran one after the other.
        stages: seconds of each stage, from the begin of its first task to the end of its last, of one database and of
            the fleet.
    """

    databases: int
    rows: int
    source: str
    target: str
    options: str
    load: float
    runs: int
    one: float
    many: float
    ratio: float
    stages: dict[str, list[float]]


@dataclass(frozen=True)
class _Run:
    seconds: float
    stages: dict[str, float]


def measure_fleet(
    source: Server, target: Server, runs: int, scale: float, options: str, say: Callable[[str], None]
) -> Fleet:
    """Fill the databases in, and migrate them in turn: one, the fleet.

    Parameters:
        source: where they are filled in, if they are not there.
        target: where they are moved to, and removed again.
        runs: of each.
        scale: times as many subtables.
        options: `database_options` of both.
        say: told what goes on.

    Raises:
        BenchmarkFailed: a run failed, or not all rows arrived.
        DemoError: Airflow did not start.
        TDengineError: a server did not do its work.
    """
    one, shapes = ALL.scaled(scale), [shape.scaled(scale) for shape in FLEET]
    say(f"{one}, and the same in {len(shapes)} databases, from {source.version}")
    for shape in (one, *shapes):
        fill(source.client, shape)
    rows = {_ONE: one.total, _MANY: sum(shape.total for shape in shapes)}
    with _airflow(source, target) as api:
        # The first run of an Airflow takes seconds longer.
        _migrate(api, {"source_database": _ONE, "target_database": _TARGET, "dry_run": True})
        load, pairs = os.getloadavg()[0], list[list[_Run]]()
        for number in range(1, runs + 1):
            pairs.append([])
            for databases in (_ONE, _MANY):
                drop_copies(target)
                given = {"source_database": databases, "target_database": _TARGET, "database_options": options}
                pairs[-1].append(_migrate(api, given, rows[databases]))
                say(f"{databases}, {number} of {runs}: {pairs[-1][-1].seconds:.1f} s")
    drop_copies(target)
    alone, fleet = zip(*pairs, strict=True)
    return Fleet(
        databases=len(shapes),
        rows=one.total,
        source=source.version,
        target=target.version,
        options=options,
        load=load,
        runs=runs,
        one=median(run.seconds for run in alone),
        many=median(run.seconds for run in fleet),
        ratio=median(many.seconds / single.seconds for single, many in pairs),
        stages={stage: [median(run.stages[stage] for run in side) for side in (alone, fleet)] for stage in STAGES},
    )


def drop_copies(target: Server) -> None:
    """Remove what the last runs have left in the target."""
    for shape in (ALL, *FLEET):
        drop(target.client, _TARGET.replace("*", shape.database))


@contextmanager
def _airflow(source: Server, target: Server) -> Iterator[Api]:
    """An Airflow of its own, with four tasks at a time, and its API."""
    with AirflowHome(_HOME) as home:
        home.make_database()
        ui = AirflowUi(home, port=0)
        ui.start(source.client.address, target.client.address)
        with Api(base_url=ui.address, timeout=30) as api:
            login = api.post("/auth/token", json={"username": "admin", "password": ui.password}).raise_for_status()
            api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            yield api


def _migrate(api: Api, options: Mapping[str, object], rows: int | None = None) -> _Run:
    """A run of the ready-made DAG.

    Parameters:
        api: of Airflow.
        options: of the migration.
        rows: that are to arrive, all equal; None to compare nothing.
    """
    runs = f"/api/v2/dags/{DAG_ID}/dagRuns"
    run = f"{runs}/{_json(api.post(runs, json={'logical_date': None, 'conf': options}))['dag_run_id']}"
    deadline = time.monotonic() + _LONGEST
    while (found := _json(api.get(run)))["state"] not in ("success", "failed"):
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{options['source_database']} took more than {_LONGEST:.0f} s")
        time.sleep(0.5)
    if found["state"] == "failed":
        raise BenchmarkFailed(f"the run of {options['source_database']} failed; see the logs in {_HOME}")
    if rows is not None:
        address = f"{run}/taskInstances/certify/xcomEntries/verdict"
        verdict = _json(api.get(address, params={"deserialize": True}))["value"]
        if (verdict["kind"], verdict["rows"]) != ("equal", rows):
            raise BenchmarkFailed(f"{rows} rows of {options['source_database']} were to arrive: {verdict['words']}")
    tasks = _json(api.get(f"{run}/taskInstances", params={"limit": 1000}))["task_instances"]
    return _Run(_span([found]), {stage: _span([t for t in tasks if t["task_id"] == stage]) for stage in STAGES})


def _span(of: Sequence[Mapping[str, str]]) -> float:
    """Seconds from the first begin to the last end; 0 where nothing ran."""
    began, ended = (
        [datetime.fromisoformat(one[name]) for one in of if one[name]] for name in ("start_date", "end_date")
    )
    return (max(ended) - min(began)).total_seconds() if began and ended else 0.0


def _json(answer: httpx.Response) -> Any:
    return answer.raise_for_status().json()
