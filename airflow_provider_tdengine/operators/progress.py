"""Where checkpoints are kept: Airflow's stores of tasks and assets (3.3 and later), which survive retry and clear."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import digest

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context
    from airflow.sdk.execution_time.context import (
        AssetStateStoreAccessor,
        AssetStateStoreAccessors,
        TaskStateStoreAccessor,
    )
    from pydantic import JsonValue

    from airflow_provider_tdengine.migration.copying import Batch, ProgressStore

log = logging.getLogger(__name__)

CHECKPOINT, PACE = "checkpoint", "pace"
"""Keys of a task's state store; the page Migrations reads them. Those of a pack's parts begin with `CHECKPOINT`."""

_POSITION = "watermark"
_PLAN = "plan"
_TRIES = "tries"

_POINTS, _APART = 60, 5.0
"""Of the pace of a task: how many points are kept, and how many seconds apart they are at first."""

_BATCHES_A_PART = 50
"""A value of the store has 64 KiB at most; a batch takes a kilobyte if its names are as long as they may be."""

# What airflow.sdk calls NEVER_EXPIRE, a name that Airflow 3.1 and 3.2 do not have.
_NEVER = timedelta.max


class TaskStateProgress:
    """Keeps the checkpoint of a task instance.

    An OSError or EOFError of `save` is none that it may pass over: the process has gone that supervises this one,
    another try is on its way, and this one has to end.

    Parameters:
        store: the task's state store.
        of: which checkpoint of a task that has several; empty for the one of others.
    """

    def __init__(self, store: TaskStateStoreAccessor, of: str = "") -> None:
        self._store = store
        self._key = f"{CHECKPOINT}-{of}" if of else CHECKPOINT

    def load(self) -> dict[str, object] | None:
        stored = self._store.get(self._key)
        return dict(stored) if isinstance(stored, dict) else None

    def save(self, checkpoint: dict[str, object]) -> None:
        from airflow_provider_tdengine.migration.copying import ProgressNotSaved

        # The default would forget it after 30 days; a migration may be paused for longer.
        try:
            self._store.set(self._key, cast("dict[str, JsonValue]", checkpoint), retention=_NEVER)
        except AirflowRuntimeError as error:
            raise ProgressNotSaved(str(error)) from error

    def forget(self) -> None:
        """Be without a checkpoint."""
        self._store.delete(self._key)


class AssetStateProgress:
    """Keeps the position of a follow beside the asset that it brings up to date.

    Parameters:
        store: the asset's state store.
    """

    def __init__(self, store: AssetStateStoreAccessor) -> None:
        self._store = store

    def load(self) -> dict[str, object] | None:
        stored = self._store.get(_POSITION)
        return dict(stored) if isinstance(stored, dict) else None

    def save(self, checkpoint: dict[str, object]) -> None:
        from airflow_provider_tdengine.migration.copying import ProgressNotSaved

        try:
            self._store.set(_POSITION, cast("dict[str, JsonValue]", checkpoint))
        except AirflowRuntimeError as error:
            raise ProgressNotSaved(str(error)) from error


def asset_progress(context: Context, asset: Asset) -> ProgressStore:
    """Where the position is kept of what follows into an asset, which is among the task's inlets or outlets."""
    from airflow_provider_tdengine.migration.copying import MemoryProgress

    stores: AssetStateStoreAccessors | None = context.get("asset_state_store")
    if stores is None:
        log.info("This Airflow has no asset state store (3.3 has); each run goes on from the target's last timestamp")
        return MemoryProgress()
    return AssetStateProgress(stores[asset])


def task_progress(context: Context, otherwise: str, *, force: bool = False, of: str = "") -> ProgressStore:
    """Where this task keeps its checkpoint.

    Parameters:
        context: of the task.
        otherwise: what a retried task does where Airflow keeps none.
        force: whether a task that was cleared is to have none; one that is retried has it all the same.
        of: which one, see `TaskStateProgress`.
    """
    from airflow_provider_tdengine.migration.copying import MemoryProgress

    store: TaskStateStoreAccessor | None = context.get("task_state_store")
    if store is None:
        log.info("This Airflow has no task state store (3.3 has); a retried task %s", otherwise)
        return MemoryProgress()
    progress = TaskStateProgress(store, of)
    if force and is_first_try(context) and progress.load() is not None:
        log.info("The task starts over, as option force says")
        progress.forget()
    return progress


def part_key(part: str) -> str:
    """The key of the checkpoint of a part of a pack, by the identity of its batch."""
    return f"{CHECKPOINT}-{digest(part)}"


def fruitless_tries(context: Context) -> int:
    """How many tries of this task before this one, in a row, have left its checkpoint where it was.

    It is to be called once a try. A clear begins anew. Without a store (Airflow 3.3 has one) all tries are fruitless.
    """
    store: TaskStateStoreAccessor | None = context.get("task_state_store")
    attempt = context["ti"].try_number
    if store is None:
        return attempt - _first_try(context)
    # A clear gives a task another number of tries.
    reached, known = digest([store.get(CHECKPOINT), context["ti"].max_tries]), store.get(_TRIES)
    since = known.get("since") if isinstance(known, dict) and known.get("at") == reached else None
    if not isinstance(since, int):
        since = attempt
        store.set(_TRIES, {"at": reached, "since": since}, retention=_NEVER)
    return attempt - since


class PlanStore:
    """Keeps the batches of a plan: those of a run stay what they are, so that their checkpoints do.

    Parameters:
        store: the task's state store; None where Airflow has none, and nothing is kept.
        identity: of what is planned; a plan of something else is not used.

    Attributes:
        databases: of a fleet, those that have been planned by what was loaded.
    """

    def __init__(self, store: TaskStateStoreAccessor | None, identity: str) -> None:
        self._store = store
        self._identity = identity
        self.databases: list[str] = []

    def load(self) -> list[Batch]:
        """What was kept, nothing if nothing was."""
        from airflow_provider_tdengine.migration.copying import Batch
        from airflow_provider_tdengine.migration.planning import MOST_BATCHES

        if self._store is None:
            return []
        head = self._store.get(_PLAN)
        if not isinstance(head, dict) or head.get("of") != self._identity:
            return []
        try:
            numbers = range(min(MOST_BATCHES, int(str(head["parts"]))))
            parts = [cast("list[dict[str, object]]", self._store.get(f"{_PLAN}-{number}") or []) for number in numbers]
            batches = [Batch.from_dict(batch) for part in parts for batch in part]
        except (KeyError, TypeError, ValueError):
            batches = []
        if _digest_of(batches) != head.get("digest"):
            # A part of it was written, and then no more: tables would be in no batch, or in two.
            log.warning("The plan that was kept is not whole; it is made anew")
            return []
        databases = head.get("databases")
        self.databases = [str(name) for name in databases] if isinstance(databases, list) else []
        return batches

    def save(self, batches: Sequence[Batch], databases: Sequence[str] = ()) -> None:
        """Keep them; a plan that cannot be kept is made anew when it is cleared.

        Parameters:
            batches: of the plan.
            databases: see the attribute.
        """
        if self._store is None:
            return
        parts = [batches[start : start + _BATCHES_A_PART] for start in range(0, len(batches), _BATCHES_A_PART)]
        try:
            for number, part in enumerate(parts):
                values = cast("list[JsonValue]", [batch.to_dict() for batch in part])
                self._store.set(f"{_PLAN}-{number}", values, retention=_NEVER)
            head: JsonValue = {
                "of": self._identity,
                "parts": len(parts),
                "digest": _digest_of(batches),
                "databases": list(databases),
            }
            self._store.set(_PLAN, head, retention=_NEVER)
        except AirflowRuntimeError as error:
            log.warning("The plan was not kept: %s", error)


def plan_store(context: Context, options: MigrationOptions) -> PlanStore:
    """Where the plan of this task is kept."""
    store: TaskStateStoreAccessor | None = context.get("task_state_store")
    # What is planned of a fleet stays, whatever databases come and go.
    same = replace(options, source_database="*") if options.is_fleet else options
    return PlanStore(store, digest(same.to_dict()))


class Pace:
    """Keeps how fast a task is, and has been, for the page Migrations; without a store (Airflow 3.3 has one) nothing.

    The value `pace` of the task's state store is `{"rate": rows/s, "lag": seconds, "points": [[moment, rows, lag]]}`,
    moments in seconds since 1970 by the worker's clock, rows over all tries. It has at most `_POINTS` points: when it
    is full, every second one goes, and later ones are twice as far apart. It is forgotten after 30 days.

    Parameters:
        context: of the task.
    """

    def __init__(self, context: Context) -> None:
        self._store: TaskStateStoreAccessor | None = context.get("task_state_store")
        self._points: list[list[float | None]] | None = None
        self._apart = _APART
        self._last: tuple[float, int] | None = None

    def add(self, rows: int, lag: float | None = None) -> None:
        """Say how far it is.

        Parameters:
            rows: of the task so far.
            lag: seconds from the watermark to the newest row, for those who follow.
        """
        if self._store is None:
            return
        moment = time.time()
        if self._last and moment - self._last[0] < 1:
            return
        since, before = self._last or (moment, rows)
        rate = max(0, rows - before) / (moment - since) if self._last else 0.0
        self._last = moment, rows
        points = self._known()
        if not points or moment - cast(float, points[-1][0]) >= self._apart:
            points.append([round(moment, 1), rows, lag])
        if len(points) > _POINTS:
            del points[1::2]
            self._apart *= 2
        try:
            value = {"rate": round(rate, 1), "lag": lag, "points": points}
            self._store.set(PACE, cast("dict[str, JsonValue]", value))
        except AirflowRuntimeError as error:
            log.debug("The pace was not kept: %s", error)

    def _known(self) -> list[list[float | None]]:
        """The points of earlier tries, and those of this one."""
        if self._points is None:
            stored = self._store.get(PACE) if self._store else None
            points = stored.get("points") if isinstance(stored, dict) else None
            self._points = cast("list[list[float | None]]", points) if isinstance(points, list) else []
        return self._points


def _digest_of(batches: Sequence[Batch]) -> str:
    return digest([batch.to_dict() for batch in batches])


def is_first_try(context: Context) -> bool:
    """Whether it is the first one of the run, or since the task was cleared, which gives it all its tries again."""
    return context["ti"].try_number == _first_try(context)


def _first_try(context: Context) -> int:
    """The number of that one."""
    instance = context["ti"]
    return int(instance.max_tries) - (instance.task.retries or 0) + 1
