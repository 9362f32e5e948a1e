"""What migrations tell Airflow's metrics (`[metrics]`, statsd or OpenTelemetry): counters and a gauge.

`tdengine.rows` and `tdengine.bytes` count what the target has confirmed, `tdengine.retries` sessions that were lost or
found a server busy; `tdengine.lag` is how many seconds a follow is behind the newest row. Tags: `dag_id` and `task_id`,
and `map_index` of a lag: each shard has its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from airflow.sdk.observability.stats import Stats
except ImportError:  # Airflow 3.1
    from airflow.stats import Stats

from airflow_provider_tdengine.migration.copying import Checkpoint

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class Metrics:
    """Those of one task.

    Parameters:
        context: of the task.
    """

    def __init__(self, context: Context) -> None:
        task = context["ti"]
        self._tags = {"dag_id": task.dag_id, "task_id": task.task_id}
        self._shard = str(task.map_index)
        self._told: dict[str, int] | None = None

    def copied(self, checkpoint: Checkpoint) -> None:
        """Count what has been added to a checkpoint since it was here last; an earlier try has told of the rest."""
        totals = {"rows": checkpoint.tally.confirmed, "bytes": checkpoint.tally.bytes, "retries": checkpoint.retries}
        if self._told is not None:
            for name, total in totals.items():
                self._count(name, total - self._told[name])
        self._told = totals

    def followed(self, rows: int, lag: float) -> None:
        """Count the rows of a round, and say how far the watermark is behind, in seconds."""
        self._count("rows", rows)
        Stats.gauge("tdengine.lag", lag, tags={**self._tags, "map_index": self._shard})

    def _count(self, name: str, number: int) -> None:
        if number > 0:
            Stats.incr(f"tdengine.{name}", number, tags=self._tags)
