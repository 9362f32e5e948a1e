"""What tasks tell Airflow's metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics import stats
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

from airflow_provider_tdengine.migration.copying import Batch, Checkpoint, Tally
from airflow_provider_tdengine.migration.structure import SchemaReport
from airflow_provider_tdengine.operators.metrics import METRICS, Metrics

from .conftest import dag_run, task_instance

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana" / "tdengine-migrations.json"
TAGS = {"dag_id": "m", "run": "manual__2026-11-27T12_00_00_00_00", "task_id": "copy"}
BATCH = Batch("meters", None, None, tables=3, start=None, end=None, rows=310)


class Recorder(NoStatsLogger):
    """A metrics backend that remembers counters by their sum, gauges by their last value, and the tags of both."""

    def __init__(self) -> None:
        self.said: dict[str, float] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: Any = None) -> None:
        self.said[stat] = self.said.get(stat, 0) + count
        self.tags[stat] = tags

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False, *, tags: Any = None) -> None:
        self.said[stat] = value
        self.tags[stat] = tags


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    before = stats._factory, stats._export_legacy_names
    recorder = Recorder()
    stats.initialize(factory=lambda: recorder, export_legacy_names=False)
    yield recorder
    stats._factory, stats._export_legacy_names = before
    stats._backend = None


@pytest.fixture
def metrics(recorder: Recorder) -> Metrics:
    """Of the second try of a task, in a run that was to begin an hour ago, by a clock that goes ahead."""
    now = datetime.now(timezone.utc)
    run = dag_run(now - timedelta(hours=1))
    run.start_date, run.run_id = now + timedelta(minutes=1), "manual__2026-11-27T12:00:00+00:00"
    context: Any = {"ti": task_instance("copy", 7, try_number=2), "dag_run": run}
    return Metrics(context)


def test_what_is_new_is_counted(recorder: Recorder, metrics: Metrics) -> None:
    # What an earlier try has copied is no news.
    metrics.copied(BATCH, Checkpoint("b", "dense", tally=Tally(100, 1000, points=300, blocks=1), retries=1), 4)
    assert recorder.said["tdengine.rows"] == 0
    metrics.copied(BATCH, Checkpoint("b", "dense", tally=Tally(155, 1600, 5, points=465, blocks=2), retries=2), 4)
    metrics.copied(BATCH, Checkpoint("b", "dense", tally=Tally(155, 1600, 5, points=465, blocks=2), retries=2), 4)
    told = {name: recorder.said[f"tdengine.{name}"] for name in ("rows", "bytes", "points", "blocks", "retries")}
    assert told == {"rows": 50, "bytes": 600, "points": 165, "blocks": 1, "retries": 1}
    assert (recorder.said["tdengine.refused_rows"], recorder.said["tdengine.percent"]) == (5, 50)
    assert recorder.said["tdengine.sessions"] == 4
    metrics.finished(BATCH)
    metrics.idle()
    told = {name: recorder.said[f"tdengine.{name}"] for name in ("finished_tables", "percent", "sessions", "rate")}
    assert told == {"finished_tables": 3, "percent": 100, "sessions": 0, "rate": 0}


def test_all_that_is_told_is_in_the_table_and_the_other_way_round(recorder: Recorder, metrics: Metrics) -> None:
    metrics.created(SchemaReport(stables=["meters"], tables=3, tags=2))
    metrics.planned([BATCH, BATCH])
    metrics.copied(BATCH, Checkpoint("b", "dense"), 1)
    metrics.finished(BATCH)
    metrics.followed(7, 1, 0.5)
    metrics.compared(0)
    assert recorder.said.keys() == {f"tdengine.{name}" for name in METRICS}
    for name, metric in METRICS.items():
        own = {"try_number": "2"} if metric.is_counter else {"map_index": "7"} if metric.is_of_instance else {}
        assert recorder.tags[f"tdengine.{name}"] == {**TAGS, **own}
    planned = {
        name: recorder.said[f"tdengine.{name}"] for name in ("batches", "super_tables", "tables", "planned_rows")
    }
    assert planned == {"batches": 2, "super_tables": 1, "tables": 6, "planned_rows": 620}


def test_a_clock_that_goes_ahead_makes_no_difference_of_a_duration(recorder: Recorder, metrics: Metrics) -> None:
    """statsd takes a negative gauge for one."""
    metrics.compared(0)
    assert recorder.said["tdengine.duration"] == 0
    assert 3600 <= recorder.said["tdengine.total_duration"] < 4000


def test_the_dashboard_shows_all_metrics_and_no_others() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    text = " ".join(target.get("expr", "") for panel in panels for target in panel["targets"])
    series = {name + ("_total" if metric.is_counter else "") for name, metric in METRICS.items()}
    assert set(re.findall(r"airflow_tdengine_(\w+)", text)) == series
