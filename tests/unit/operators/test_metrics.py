"""What tasks tell Airflow's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics import stats
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

from airflow_provider_tdengine.migration.copying import Checkpoint, Tally
from airflow_provider_tdengine.operators.metrics import Metrics


class Recorder(NoStatsLogger):
    """A metrics backend that remembers."""

    said: list[tuple[str, float]]

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: Any = None) -> None:
        assert tags == {"dag_id": "m", "task_id": "copy"}
        self.said.append((stat, count))

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False, *, tags: Any = None) -> None:
        assert tags == {"dag_id": "m", "task_id": "copy", "map_index": "2"}
        self.said.append((stat, value))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    before = stats._factory, stats._export_legacy_names
    recorder = Recorder()
    recorder.said = []
    stats.initialize(factory=lambda: recorder, export_legacy_names=False)
    yield recorder
    stats._factory, stats._export_legacy_names = before
    stats._backend = None


def test_what_is_new_is_counted(recorder: Recorder) -> None:
    context: Any = {"ti": SimpleNamespace(dag_id="m", task_id="copy", map_index=2)}
    metrics = Metrics(context)
    # What an earlier try has copied is no news.
    metrics.copied(Checkpoint("b", "dense", tally=Tally(100, 1000), retries=1))
    assert recorder.said == []
    metrics.copied(Checkpoint("b", "dense", tally=Tally(155, 1600, rejected=5), retries=2))
    metrics.copied(Checkpoint("b", "dense", tally=Tally(155, 1600, rejected=5), retries=2))
    metrics.followed(7, 0.5)
    assert recorder.said == [
        ("tdengine.rows", 50),
        ("tdengine.bytes", 600),
        ("tdengine.retries", 1),
        ("tdengine.rows", 7),
        ("tdengine.lag", 0.5),
    ]
