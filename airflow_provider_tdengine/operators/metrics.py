"""What migrations tell Airflow's metrics (`[metrics]`, statsd or OpenTelemetry); the table in docs is made from it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_tdengine.compat import Stats

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.copying import Batch, Checkpoint
    from airflow_provider_tdengine.migration.structure import SchemaReport


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Parameters:
        unit: what is counted or measured.
        tasks: which tasks tell it.
        meaning: what the number says.
        is_counter: whether it only grows, over all tries of a task; else it is a gauge, as of now.
        is_of_instance: whether each mapped instance has its own, with the tag `map_index`.
    """

    unit: str
    tasks: str
    meaning: str
    is_counter: bool = False
    is_of_instance: bool = False

    @property
    def kind(self) -> str:
        """As statsd and OpenTelemetry call it."""
        return "counter" if self.is_counter else "gauge"


def _counter(unit: str, tasks: str, meaning: str) -> Metric:
    return Metric(unit, tasks, meaning, is_counter=True)


def _of_instance(unit: str, tasks: str, meaning: str) -> Metric:
    return Metric(unit, tasks, meaning, is_of_instance=True)


METRICS = {
    "created_super_tables": _counter("super tables", "`sync_schema`", "created in the target"),
    "created_tables": _counter("tables", "`sync_schema`", "subtables and normal tables created in the target"),
    "updated_tags": _counter("tags", "`sync_schema`", "tag values corrected in the target"),
    "batches": Metric("batches", "`plan`", "planned"),
    "super_tables": Metric("super tables", "`plan`", "that have rows to copy"),
    "tables": Metric("tables", "`plan`", "that have rows; one that is cut by time counts in each batch"),
    "planned_rows": Metric("rows", "`plan`", "to copy, as counted by the plan"),
    "rows": _counter("rows", "`copy`, `follow`", "that the target has confirmed, copied again by `lookback` or not"),
    "refused_rows": _counter("rows", "`copy`, `follow`", "refused by the target and kept as dead letters"),
    "points": _counter("values", "`copy`", "of the rows that were read, their timestamps left out"),
    "blocks": _counter("blocks", "`copy`", "in which the source gave the rows"),
    "bytes": _counter("bytes", "`copy`", "written"),
    "retries": _counter("errors", "`copy`", "that a retry can cure: a session was lost, or a server was busy"),
    "finished_tables": _counter("tables", "`copy`", "of batches that have been copied"),
    "seconds": _counter("seconds", "`copy`", "of copying, all tasks added up"),
    "sessions": _of_instance("sessions", "`copy`", "that read from the source now; 0 at the end of a task"),
    "rate": _of_instance("rows a second", "`copy`", "since the last report; 0 at the end of a task"),
    "percent": _of_instance("percent", "`copy`", "of the rows of a batch that have been copied, over all tries"),
    "lag": _of_instance("seconds", "`follow`", "from the watermark of a shard to the newest row of the source"),
    "different_tables": Metric("tables", "`certify`", "that still differ"),
    "duration": Metric("seconds", "all of these", "since the run was started, or cleared, last"),
    "total_duration": Metric("seconds", "all of these", "since the run was to begin, pauses included"),
}
"""All metrics by name, without `tdengine.` before it."""

_TALLIED = {"rows": "confirmed", "refused_rows": "rejected", "points": "points", "blocks": "blocks", "bytes": "bytes"}
"""Counters of a copy, by what `migration.copying.Tally` calls them."""

# With InfluxDB's tags, Airflow drops what has other characters: the colons of a run's id. A tag `run_id` it leaves
# out, unless somebody has changed `statsd_disabled_tags`.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


class Metrics:
    """Those of one task.

    Parameters:
        context: of the task.
    """

    def __init__(self, context: Context) -> None:
        task, run = context["ti"], context["dag_run"]
        tags = {"dag_id": task.dag_id, "run": run.run_id, "task_id": task.task_id}
        self._tags = {name: _UNSAFE.sub("_", value) for name, value in tags.items()}
        self._try = {"try_number": str(task.try_number)}
        self._instance = {"map_index": str(task.map_index)}
        self._began = {"duration": run.start_date or run.run_after, "total_duration": run.run_after}
        self._told: tuple[float, dict[str, int]] | None = None

    def created(self, report: SchemaReport) -> None:
        """Tell what schema sync did."""
        totals = (len(report.stables), report.tables, report.tags)
        for name, number in zip(("created_super_tables", "created_tables", "updated_tags"), totals, strict=True):
            self._count(name, number)
        self._time()

    def planned(self, batches: Sequence[Batch]) -> None:
        """Tell what there is to copy."""
        self._gauge("batches", len(batches))
        self._gauge(
            "super_tables", len({(batch.database, batch.stable) for batch in batches if batch.stable is not None})
        )
        self._gauge("tables", sum(batch.tables for batch in batches))
        self._gauge("planned_rows", sum(batch.rows for batch in batches))
        self._time()

    def copied(self, batch: Batch, checkpoint: Checkpoint, sessions: int) -> None:
        """Tell what has been added to a checkpoint since it was here last; an earlier try has told of the rest.

        Parameters:
            batch: which is copied.
            checkpoint: how far it is.
            sessions: that read from the source.
        """
        now = time.monotonic()
        totals = {name: int(getattr(checkpoint.tally, own)) for name, own in _TALLIED.items()}
        totals |= {"retries": checkpoint.retries, "seconds": int(now)}
        last, before = self._told or (now, totals)
        self._told = now, totals
        for name, total in totals.items():
            self._count(name, total - before[name])
        rows = checkpoint.tally.rows
        self._gauge("sessions", sessions)
        self._gauge("rate", (totals["rows"] - before["rows"]) / (now - last) if now > last else 0)
        self._gauge("percent", min(100, 100 * rows / batch.rows) if batch.rows else 100)
        self._time()

    def idle(self) -> None:
        """Tell that nothing is read any more."""
        self._gauge("sessions", 0)
        self._gauge("rate", 0)

    def finished(self, batch: Batch) -> None:
        """Tell that all of a batch has been copied."""
        self._count("finished_tables", batch.tables)
        self._gauge("percent", 100)

    def followed(self, rows: int, rejected: int, lag: float) -> None:
        """Tell of a round.

        Parameters:
            rows: that the target has confirmed.
            rejected: that it has refused.
            lag: how far the watermark is behind, in seconds.
        """
        self._count("rows", rows)
        self._count("refused_rows", rejected)
        self._gauge("lag", lag)
        self._time()

    def compared(self, different: int) -> None:
        """Tell how many tables still differ."""
        self._gauge("different_tables", different)
        self._time()

    def _time(self) -> None:
        now = datetime.now(timezone.utc)
        for name, began in self._began.items():
            self._gauge(name, (now - began).total_seconds())

    def _count(self, name: str, number: int) -> None:
        # Nothing is told, too: a series that begins with a number has no increase.
        Stats.incr(f"tdengine.{name}", max(0, number), tags={**self._tags, **self._try})

    def _gauge(self, name: str, value: float) -> None:
        tags = {**self._tags, **self._instance} if METRICS[name].is_of_instance else self._tags
        # A negative one is taken for a difference by statsd: the clocks of two machines may be apart.
        Stats.gauge(f"tdengine.{name}", max(0.0, value), tags=tags)
