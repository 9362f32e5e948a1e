"""What a migration is, from what Airflow knows of a run: its state, how far it is, what it came to.

Nothing is read here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any

from airflow_provider_tdengine.client.secrets import masked
from airflow_provider_tdengine.migration.comparing import Kind
from airflow_provider_tdengine.migration.options import MigrationOptions, fleet_words

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
    "TDengineFinishOperator": "finish",
}
"""The stages of a migration in their order, by the operators of their tasks."""

PAUSED = "Paused"
"""How the note of a run begins that was paused: Airflow itself has only failed runs."""

LIVE = {"running", "deferred"}
"""States of tasks that are at work."""
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
        why: what it has failed of, empty where that is not known.
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
    why: str = ""


@dataclass(frozen=True)
class Migration:
    """A migration: a run of a DAG, or of one of the task groups in it.

    Parameters:
        run: of Airflow.
        group: the task group, empty for none.
        stages: by name.
        options: as the form or the DAG gave them; those that are known.
        planned: what the plan adds up to: rows and batches, and rows of each database of a fleet.
        verdict: what the comparison came to, see `migration.comparing.Verdict.to_dict`.
        progress: how far it is; None where it was not read.
        reason: what it has failed of, empty where no task has said it, or it was not read.
        given: options as the run was given them.
    """

    run: Run
    group: str
    stages: Mapping[str, Stage]
    options: Mapping[str, object] = field(default_factory=dict)
    planned: Mapping[str, int] = field(default_factory=dict)
    verdict: Mapping[str, object] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    reason: str = ""
    given: Mapping[str, object] = field(default_factory=dict)

    def option(self, name: str) -> object:
        """An option's value, its default where it is not given."""
        value = self.options.get(name)
        return _DEFAULTS[name] if value is None else value

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return "/".join([self.run.dag_id, self.run.run_id, self.group])

    @property
    def place(self) -> tuple[int, str]:
        """Where it is read again."""
        return self.run.number, self.group

    @cached_property
    def asked(self) -> MigrationOptions:
        """From which databases to which."""
        names = ("source_database", "target_database")
        return MigrationOptions(**{name: str(self.option(name) or "") for name in names})  # type: ignore[arg-type]

    @property
    def source(self) -> str:
        """The source database, empty while it is not known; of a fleet, all of them."""
        return self.asked.source_database

    @property
    def target(self) -> str:
        """The target database; of a fleet, the rule that gives each its own."""
        return self.asked.target if self.source else ""

    @property
    def source_words(self) -> str:
        """The source, however many databases it is."""
        return fleet_words(self.source)

    @property
    def planned_databases(self) -> Mapping[str, int]:
        """Rows that the plan gave each database of a fleet."""
        found = self.planned.get("databases")
        return found if isinstance(found, Mapping) else {}

    @property
    def name(self) -> str:
        """As the run was called, else by its databases."""
        own = masked(str(self.option("name") or ""))
        between = self.source_words if self.target in (self.source, "*") else f"{self.source_words} to {self.target}"
        return own or between or self.group or self.run.run_id

    @property
    def mode(self) -> str:
        return str(self.option("mode"))

    @property
    def heading(self) -> str:
        """How the line of the run's note begins that is about it."""
        given = str(self.given.get("source_database") or "")
        # Of a fleet, what was asked for stays the same when patterns have become names.
        source = given if MigrationOptions(source_database=given).is_fleet else self.source
        what = [f"{fleet_words(source)} → {self.target}", self.mode, *(["dry run"] if self.is_dry else [])]
        return masked(", ".join(what) if not self.group else f"{self.group}: {', '.join(what)}")

    @property
    def remarks(self) -> str:
        """What people have written about the run."""
        return "\n".join(line for line in self.run.note.split("\n") if not self.is_own(line))

    def is_own(self, line: str) -> bool:
        """Whether a line of the run's note is about this migration, and of its own making."""
        return line == self.heading or line.startswith(f"{self.heading}: ")

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
        alive = {state for state in self.counts if state in LIVE}
        # One of several groups may have ended, while others go on.
        if not alive and not self.counts.keys() - _FINISHED:
            return self._last_state
        if self.run.started is None and not alive and not self.counts.keys() & _FINISHED:
            return State.CREATED
        follow = self.stages.get("follow")
        if follow and follow.states.keys() & LIVE:
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
        if self.is_dry:
            return None
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
        """Rows a second, from the first batch's begin to the last one's end, pauses included."""
        stage = self.stages.get("copy")
        seconds = stage.seconds(now) if stage else None
        return self.progress.rows / seconds if seconds and self.progress.rows else None

    @property
    def began(self) -> datetime | None:
        """When its first task began, None before."""
        return min((stage.started for stage in self.stages.values() if stage.started), default=None)

    def duration(self, now: datetime) -> float | None:
        """Seconds that it took, or has taken so far, pauses included; None before it began."""
        return _seconds(self.began, self.run.ended, now)

    def last_duration(self, now: datetime) -> float | None:
        """The same since it was started or cleared last."""
        return _seconds(self.run.started, self.run.ended, now)

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
    def failure(self) -> str:
        """Why it failed, in a line; empty where it did not."""
        if self.state is not State.FAILED:
            return ""
        failed = [name for name in STAGES.values() if name in self.stages and "failed" in self.stages[name].states]
        where = f"{' and '.join(failed)} failed; the log says why" if failed else ""
        return self.words or self.reason.partition("\n")[0] or where

    @property
    def compared_rows(self) -> int:
        """Rows of the source that were compared; 0 while nothing has been."""
        return int(str(self.verdict.get("rows") or 0))

    @property
    def is_good(self) -> bool:
        """Whether the verdict is one to be glad about."""
        return self.kind in (Kind.EQUAL.value, Kind.EQUAL_BUT.value)


def _seconds(began: datetime | None, ended: datetime | None, now: datetime) -> float | None:
    return None if began is None else max(0.0, ((ended or now) - began).total_seconds())


_DEFAULTS = MigrationOptions().to_dict()
