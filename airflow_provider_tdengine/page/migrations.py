"""What a migration is, from what Airflow knows of a run: its state, how far it is, what it came to. Nothing is read here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.comparing import Kind
from airflow_provider_tdengine.migration.options import MigrationOptions

STAGES = {
    "TDengineResolveOperator": "resolve",
    "TDengineSchemaSyncOperator": "sync_schema",
    "TDenginePlanOperator": "plan",
    "TDengineRangeMigrationOperator": "copy",
    "TDengineVerifyBatchOperator": "verify",
    "TDengineVerifyOperator": "certify",
    "TDengineDeadLettersOperator": "dead_letters",
    "TDengineShardsOperator": "shards",
    "TDengineFollowOperator": "follow",
}
"""The stages of a migration in their order, by the operators of their tasks."""

PAUSED = "Paused"
"""How the note of a run begins that was paused: Airflow itself has only failed runs."""

_LIVE = {"running", "deferred"}
_WAITING = {"queued", "scheduled", "up_for_retry", "up_for_reschedule"}
_FINISHED = {"success", "failed", "upstream_failed", "skipped", "removed"}
FAILED = {"failed", "upstream_failed"}
"""States of tasks that have not ended well."""


class State(str, Enum):
    """What a migration is doing, in the words of the page."""

    CREATED = "created"
    RUNNING = "running"
    WAITING = "waiting"
    FOLLOWING = "following"
    PAUSED = "paused"
    FAILED = "failed"
    COMPLETED = "completed"
    DEAD_LETTERS = "completed with dead letters"
    DRY_RUN = "dry run"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (State.CREATED, State.RUNNING, State.WAITING, State.FOLLOWING)

    @property
    def explanation(self) -> str:
        """What it means."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    State.CREATED: "Airflow has not started it yet",
    State.RUNNING: "Tasks are running",
    State.WAITING: "Tasks wait for a free slot, or for their next try",
    State.FOLLOWING: "New rows are copied as they arrive",
    State.PAUSED: "Somebody paused it; resumed, it goes on where it stopped",
    State.FAILED: "A task failed; its log says why",
    State.COMPLETED: "All tasks have ended well",
    State.DEAD_LETTERS: "All rows arrived but for those that the target refused, which wait as dead letters",
    State.DRY_RUN: "Nothing was written; the plan says what a run would do",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run.

    Parameters:
        number: its key in Airflow's database.
        dag_id: of its DAG.
        run_id: of the run.
        state: queued, running, success or failed.
        created: when it was to begin.
        started: when it began, None before.
        ended: when it ended, None before.
        user: who triggered it, None where that was no person.
        note: what somebody has written about it.
    """

    number: int
    dag_id: str
    run_id: str
    state: str
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    user: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """The tasks of a stage.

    Parameters:
        name: as in `STAGES`.
        task_id: of the task, with the name of its group.
        states: how many instances have which state; "" for those that have none yet.
        started: when the first one began.
        ended: when the last one ended.
    """

    name: str
    task_id: str
    states: Mapping[str, int] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def state(self) -> str:
        """One word for all instances."""
        found = {state for state, count in self.states.items() if count}
        for state in ("failed", "upstream_failed", "running", "deferred", *sorted(_WAITING)):
            if state in found:
                return state
        if "success" in found:
            return "success" if found <= _FINISHED else "running"
        return "skipped" if found and found <= {"skipped", "removed"} else ""

    @property
    def count(self) -> int:
        """How many instances there are."""
        return sum(self.states.values())

    def seconds(self, now: datetime) -> float | None:
        """How long it took, or takes; None before it began."""
        if self.started is None:
            return None
        ended = self.ended if self.ended and not self.states.keys() - _FINISHED else now
        return max(0.0, (ended - self.started).total_seconds())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the copy is.

    Parameters:
        rows: of the source, whose fate is known.
        rejected: of them, those that the target refused.
        bytes: that were written.
        points: values of the rows, without timestamps.
        blocks: in which they were read.
        seconds: how long tasks copied them, added up.
        rate: rows a second now; None where no task says so.
        lag: seconds that the slowest shard is behind the newest row; None where none follows.
        followed: rows that were copied as they arrived.
    """

    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    points: int = 0
    blocks: int = 0
    seconds: float = 0.0
    rate: float | None = None
    lag: float | None = None
    followed: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A mapped task: of a batch, or of a shard that is followed.

    Parameters:
        index: its number.
        state: empty while it has none.
        label: what the grid of Airflow calls it.
        tables: that the plan gave it.
        tries: how often it was started.
        started: when it was started last.
        ended: when it ended.
        rows: that it has copied, over all tries.
        planned: rows that the plan gave it.
        rejected: of the rows, those that the target refused.
        seconds: that its last try took.
        pace: see `operators.progress.Pace`; empty where there is none.
    """

    index: int
    state: str
    label: str
    tries: int
    started: datetime | None
    ended: datetime | None
    rows: int = 0
    planned: int = 0
    tables: int = 0
    rejected: int = 0
    seconds: float = 0.0
    pace: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Migration:
    """A migration: a run of a DAG, or of one of the task groups in it.

    Parameters:
        run: of Airflow.
        group: the task group, empty for none.
        stages: by name.
        options: as the form or the DAG gave them; those that are known.
        planned: what the plan adds up to: rows and batches.
        verdict: what the comparison came to, see `migration.comparing.Verdict.to_dict`.
        progress: how far it is; None where it was not read.
    """

    run: Run
    group: str
    stages: Mapping[str, Stage]
    options: Mapping[str, object] = field(default_factory=dict)
    planned: Mapping[str, int] = field(default_factory=dict)
    verdict: Mapping[str, object] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)

    def option(self, name: str) -> object:
        """An option's value, its default where it is not given."""
        value = self.options.get(name)
        return _DEFAULTS[name] if value is None else value

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return "/".join([self.run.dag_id, self.run.run_id, self.group])

    @property
    def source(self) -> str:
        """The source database, empty while it is not known."""
        return str(self.option("source_database") or "")

    @property
    def target(self) -> str:
        """The target database."""
        return str(self.option("target_database") or self.source)

    @property
    def name(self) -> str:
        """As the run was called, else by its databases."""
        own = str(self.option("name") or "")
        between = self.source if self.target == self.source else f"{self.source} to {self.target}"
        return own or between or self.group or self.run.run_id

    @property
    def mode(self) -> str:
        return str(self.option("mode"))

    @property
    def is_dry(self) -> bool:
        """Whether it only looks."""
        return self.option("dry_run") is True

    @cached_property
    def counts(self) -> Counter[str]:
        """How many tasks have which state."""
        found: Counter[str] = Counter()
        for stage in self.stages.values():
            found.update(stage.states)
        return found

    @property
    def state(self) -> State:
        """What it is doing."""
        if self.run.state in ("queued", "running"):
            return self._state_of_a_run_that_goes_on
        return self._last_state

    @property
    def _state_of_a_run_that_goes_on(self) -> State:
        alive = {state for state in self.counts if state in _LIVE}
        # One of several groups may have ended, while others go on.
        if not alive and not self.counts.keys() - _FINISHED:
            return self._last_state
        if self.run.started is None and not alive and not self.counts.keys() & _FINISHED:
            return State.CREATED
        follow = self.stages.get("follow")
        if follow and follow.states.keys() & _LIVE:
            return State.FOLLOWING
        return State.RUNNING if alive else State.WAITING

    @property
    def _last_state(self) -> State:
        failed = {name for name, stage in self.stages.items() if stage.states.keys() & FAILED}
        if self.run.state == "failed" and self.run.note.startswith(PAUSED):
            return State.PAUSED
        if failed == {"dead_letters"}:
            return State.DEAD_LETTERS
        if failed or (self.run.state == "failed" and not self.group):
            return State.FAILED
        return State.DRY_RUN if self.is_dry else State.COMPLETED

    @property
    def share(self) -> float | None:
        """Which part has been copied, from 0 to 1; never 1 before all is; None where there is nothing to measure by."""
        batches = self.stages.get("copy")
        done = batches.states.get("success", 0) if batches else 0
        count = self.planned.get("batches", 0)
        if self.planned.get("rows"):
            share = min(1.0, self.progress.rows / self.planned["rows"])
        elif count:
            share = done / count
        else:
            return None
        # The estimate is of before; rows may have come, or gone.
        return 1.0 if count and done >= count else min(share, 0.999)

    def average(self, now: datetime) -> float | None:
        """Rows a second, from the first batch's begin to the last one's end."""
        stage = self.stages.get("copy")
        seconds = stage.seconds(now) if stage else None
        return self.progress.rows / seconds if seconds and self.progress.rows else None

    def duration(self, now: datetime) -> float | None:
        """Seconds that it took, or has taken so far; None before it began."""
        if self.run.started is None:
            return None
        ended = self.run.ended or now
        return max(0.0, (ended - self.run.started).total_seconds())

    def left(self, now: datetime) -> float | None:
        """Seconds that the copy will take from now on, as fast as it is now; None where that cannot be said."""
        rows = self.planned.get("rows", 0) - self.progress.rows
        if self.state is not State.RUNNING or not self.progress.rate or rows <= 0:
            return None
        return rows / self.progress.rate

    @property
    def lag(self) -> float | None:
        """Seconds behind the newest row, for those that follow."""
        return self.progress.lag if self.state is State.FOLLOWING else None

    @property
    def kind(self) -> str:
        """Of the verdict, empty while there is none."""
        return str(self.verdict.get("kind", ""))

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        return str(self.verdict.get("words", ""))

    @property
    def is_good(self) -> bool:
        """Whether the verdict is one to be glad about."""
        return self.kind in (Kind.EQUAL.value, Kind.EQUAL_BUT.value)


_DEFAULTS = MigrationOptions().to_dict()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which migrations are shown, and in which order.

    Parameters:
        state: only this one; empty for all.
        mode: only this one; empty for all.
        name: only names with this in it, in upper case or lower case.
        database: only source or target databases with this in it.
        sort: the column, as in `SORTS`.
        is_reversed: whether the last one comes first.
        page: which page of `PAGE` migrations, from 1 on.
    """

    state: str = ""
    mode: str = ""
    name: str = ""
    database: str = ""
    sort: str = "created"
    is_reversed: bool = True
    page: int = 1

    def of(self, migrations: Sequence[Migration], now: datetime) -> list[Migration]:
        """Those that are wanted, of all pages, in order."""
        found = [one for one in migrations if self._has(one)]
        found.sort(key=lambda one: _sort_key(one, self.sort, now), reverse=self.is_reversed)
        return found

    def _has(self, one: Migration) -> bool:
        databases = f"{one.source}\n{one.target}".casefold()
        return (
            self.state in ("", one.state.value)
            and self.mode in ("", one.mode)
            and self.name.casefold() in one.name.casefold()
            and self.database.casefold() in databases
        )


PAGE = 25
SORTS = ("name", "source", "mode", "state", "rows", "verdict", "created", "duration", "user")


def _sort_key(one: Migration, column: str, now: datetime) -> tuple[float, str]:
    if column == "created":
        return one.run.created.timestamp(), one.key
    if column == "duration":
        return one.duration(now) or 0.0, one.key
    if column == "rows":
        return float(one.planned.get("rows", 0)), one.key
    texts = {
        "name": one.name.casefold(),
        "source": f"{one.source}\n{one.target}".casefold(),
        "mode": one.mode,
        "state": one.state.value,
        "verdict": one.words,
        "user": one.run.user or "",
    }
    return 0.0, texts[column]


# --- What it adds up to


def totals(
    migration: Migration,
    batches: Sequence[Cell],
    created: Mapping[str, Any] | None,
    certificate: Mapping[str, Any] | None,
    now: datetime,
) -> dict[str, int | float | str]:
    """The numbers of a migration by what they are called; those that are not known yet are left out.

    Parameters:
        migration: whose.
        batches: its copy tasks.
        created: what schema sync did, see `migration.structure.SchemaReport`.
        certificate: what proves it, see `migration.comparing.certificate`.
        now: for times that go on.
    """
    progress, created, proof = migration.progress, created or {}, certificate or {}
    running = [cell for cell in batches if cell.state == "running"]
    done = [cell for cell in batches if cell.state == "success"]
    known = {
        "Super tables": len([name for name in proof.get("super_tables", {}) if not name.startswith("(")]),
        "Tables": sum(cell.tables for cell in batches) or proof.get("tables"),
        "Finished tables": sum(cell.tables for cell in done),
        "Created tables": created.get("tables"),
        "Updated tags": created.get("tags"),
        "Rows": progress.rows + progress.followed,
        "Refused rows": progress.rejected,
        "Points": progress.points,
        "Blocks": progress.blocks,
        "Written": wording.size(progress.bytes) if progress.bytes else None,
        "Batches at a time": len(running),
        "Read concurrency": len(running) * int(str(migration.option("workers"))),
        "Execution time": wording.duration(migration.duration(now) or 0),
        "Copying, last tries": wording.duration(progress.seconds) if progress.seconds else None,
        "Tries": max((cell.tries for cell in batches), default=None),
    }
    return {name: value for name, value in known.items() if value not in (None, "", 0)}


# --- Over time


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time.

    Parameters:
        began: moment of the first value, in seconds since 1970.
        ended: moment of the last one.
        values: at even distances.
    """

    began: float
    ended: float
    values: Sequence[float]

    @property
    def highest(self) -> float:
        return max(self.values, default=0.0)


_STEPS = 80


def speed(cells: Sequence[Cell], now: datetime) -> Curve | None:
    """Rows a second of all batches together; None before there were any."""
    pieces = [piece for cell in cells for piece in _pieces(cell, now)]
    if not pieces:
        return None
    began, ended = min(since for since, _, _ in pieces), max(until for _, until, _ in pieces)
    step = max((ended - began) / _STEPS, 1e-3)
    sums = [0.0] * _STEPS
    for since, until, rows in pieces:
        for place in range(int((since - began) / step), min(_STEPS, int((until - began) / step) + 1)):
            low = began + place * step
            common = min(until, low + step) - max(since, low)
            sums[place] += rows * max(0.0, common) / (until - since)
    return Curve(began, ended, [rows / step for rows in sums])


def _pieces(cell: Cell, now: datetime) -> Iterator[tuple[float, float, float]]:
    """From when until when a batch came forward by how many rows, evenly as far as that is known."""
    points = [(float(point[0]), int(point[1])) for point in cell.pace.get("points") or ()]
    if not points:
        if cell.ended and cell.seconds and cell.rows:
            ended = cell.ended.timestamp()
            yield ended - cell.seconds, ended, cell.rows
        return
    last = cell.ended.timestamp() if cell.ended and cell.state not in _LIVE else now.timestamp()
    for (since, before), (until, rows) in pairwise([*points, (max(last, points[-1][0]), cell.rows)]):
        # Between two tries nothing came, and one that starts over has fewer rows than before.
        if until > since and rows > before:
            yield since, until, rows - before


def lags(cells: Sequence[Cell]) -> Curve | None:
    """Seconds behind the newest row, of the slowest shard; None where nothing follows."""
    points = sorted((float(at), float(lag)) for cell in cells for at, _, lag in cell.pace.get("points") or () if lag is not None)
    if len(points) < 2:
        return None
    began, ended = points[0][0], points[-1][0]
    step = max((ended - began) / _STEPS, 1e-3)
    values: list[float] = []
    for place in range(_STEPS):
        there = [lag for at, lag in points if place <= (at - began) / step < place + 1]
        values.append(max(there) if there else values[-1] if values else 0.0)
    return Curve(began, ended, values)


# --- Steering


@dataclass(frozen=True, slots=True)
class Request:
    """What a button asks of Airflow's REST API.

    Parameters:
        method: of HTTP.
        path: from `/api/v2` on.
        body: as JSON, None for none.
    """

    method: str
    path: str
    body: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """A button.

    Parameters:
        label: what it says.
        explanation: what it does.
        requests: one after the other; the next one only if all before it were answered well.
        question: what is asked before; empty for what does no harm.
        leaves: whether there is nothing more to be seen afterwards.
    """

    label: str
    explanation: str
    requests: Sequence[Request]
    question: str = ""
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What of a run has not ended well.

    Parameters:
        tasks: as Airflow's REST API wants them: a mapped one with its number.
        done: mapped tasks some instances of which were done when somebody paused the run. Airflow then calls all
            instances of a task failed if one of them runs.
    """

    tasks: Sequence[str | tuple[str, int]] = ()
    done: Sequence[str] = ()


def actions(
    migration: Migration, unfinished: Unfinished, user: str, *, has_store: bool, deletes: bool
) -> list[Action]:
    """What can be done with a migration as it is.

    Parameters:
        migration: as it is.
        unfinished: of its run.
        user: who is asked to press.
        has_store: whether this Airflow has a task state store.
        deletes: whether that person may delete, too.
    """
    found = [_pause(migration, user)] if migration.run.state in ("queued", "running") else []
    state = migration.state
    if state is State.PAUSED:
        found.append(_resume(migration, unfinished))
    elif state in (State.FAILED, State.DEAD_LETTERS):
        found.append(_retry(migration))
    if migration.run.state in ("success", "failed"):
        if migration.kind and not migration.is_dry:
            found.append(_compare_again(migration))
        if deletes:
            found += [_start_over(migration, has_store=has_store), _delete(migration)]
    return found


def _place(migration: Migration, *parts: str) -> str:
    """An address of the REST API: of the run, or of something in it."""
    names = ("dags", migration.run.dag_id, "dagRuns", migration.run.run_id, *parts)
    return "/api/v2/" + "/".join(quote(name, safe="") for name in names)


def _clear(migration: Migration, tasks: Sequence[str | tuple[str, int]] | None, *, failed: bool = False) -> Request:
    body = {"dry_run": False, "dag_run_id": migration.run.run_id, "only_failed": failed, "reset_dag_runs": True}
    path = f"/api/v2/dags/{quote(migration.run.dag_id, safe='')}/clearTaskInstances"
    return Request("POST", path, body if tasks is None else {**body, "task_ids": list(tasks)})


_LONGEST_NOTE = 1000


def _pause(migration: Migration, user: str) -> Action:
    note = "\n".join([f"{PAUSED} by {user}", *([migration.run.note] if migration.run.note else [])])
    return Action(
        "Pause",
        "Stops all tasks of the run within seconds; checkpoints are kept",
        [Request("PATCH", _place(migration), {"state": "failed", "note": note[:_LONGEST_NOTE]})],
    )


def _resume(migration: Migration, unfinished: Unfinished) -> Action:
    _, _, note = migration.run.note.partition("\n")
    # What was done is not done again: it is said to have ended well before the others are cleared.
    well = [Request("PATCH", _place(migration, "taskInstances", task), {"new_state": "success"}) for task in unfinished.done]
    requests = [*well, _clear(migration, unfinished.tasks), Request("PATCH", _place(migration), {"note": note})]
    return Action("Resume", "Goes on where it stopped", requests)


def _retry(migration: Migration) -> Action:
    return Action(
        "Retry failed",
        "Runs the tasks again that failed, and those that did not run because of them; batches go on from their checkpoints",
        [_clear(migration, None, failed=True)],
    )


def _compare_again(migration: Migration) -> Action:
    names = [name for name in ("verify", "certify", "dead_letters") if name in migration.stages]
    return Action(
        "Compare again",
        "Compares both databases again, and mends what differs",
        [_clear(migration, [migration.stages[name].task_id for name in names])],
    )


def _start_over(migration: Migration, *, has_store: bool) -> Action:
    stored = [migration.stages[name].task_id for name in ("plan", "copy", "follow") if name in migration.stages]
    forget = [
        Request("DELETE", _place(migration, "taskInstances", task, "state-store") + "?all_map_indices=true")
        for task in stored
        if has_store
    ]
    own = [stage.task_id for stage in migration.stages.values()]
    return Action(
        "Start over",
        "Forgets all progress, and copies everything again",
        [*forget, _clear(migration, own if migration.group else None)],
        "All progress is forgotten, and all rows are copied again. Rows that the target has are overwritten.",
    )


def _delete(migration: Migration) -> Action:
    return Action(
        "Delete",
        "Deletes the run from Airflow",
        [Request("DELETE", _place(migration))],
        "The run is deleted from Airflow, with its logs, its checkpoints and what proves it. Both databases stay as they are.",
        leaves=True,
    )
