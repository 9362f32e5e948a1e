"""What can be done with a migration: each button, and what it asks of Airflow's REST API.

So permissions and the audit log are Airflow's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_tdengine.page.migrations import PAUSED, Migration, State


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
        broken: tasks that have ended well but for databases of a fleet.
    """

    tasks: Sequence[str | tuple[str, int]] = ()
    done: Sequence[str] = ()
    broken: Sequence[str] = ()


def actions(migration: Migration, unfinished: Unfinished, user: str, *, has_store: bool, deletes: bool) -> list[Action]:
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
    if state is State.FOLLOWING and "finish" in migration.stages:
        found.append(_finish(migration))
    if state is State.PAUSED:
        found.append(_resume(migration, unfinished))
    elif state in (State.FAILED, State.DEAD_LETTERS):
        found.append(_retry(migration, unfinished))
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


def _clear(
    migration: Migration,
    tasks: Sequence[str | tuple[str, int]] | None,
    *,
    failed: bool = False,
    downstream: bool = False,
) -> Request:
    body = {"dry_run": False, "dag_run_id": migration.run.run_id, "only_failed": failed, "reset_dag_runs": True}
    if downstream:
        body["include_downstream"] = True
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


def _finish(migration: Migration) -> Action:
    """The task that follows ends well, and Airflow starts the one behind it, which drains and compares."""
    place = _place(migration, "taskInstances", migration.stages["follow"].task_id)
    return Action(
        "Finish",
        "Copies all rows that have arrived by now, compares what was followed, and ends the run",
        [Request("PATCH", place, {"new_state": "success"})],
        "Following ends: rows that arrive from now on are not copied. To go on later, clear the task that follows.",
    )


def _resume(migration: Migration, unfinished: Unfinished) -> Action:
    _, *lines = migration.run.note.split("\n")
    # That it is paused is no longer so, there either.
    note = "\n".join(migration.heading if migration.is_own(line) else line for line in lines)
    # What was done is not done again: it is said to have ended well before the others are cleared.
    well = [
        Request("PATCH", _place(migration, "taskInstances", task), {"new_state": "success"}) for task in unfinished.done
    ]
    requests = [*well, _clear(migration, unfinished.tasks), Request("PATCH", _place(migration), {"note": note})]
    return Action("Resume", "Goes on where it stopped", requests)


def _retry(migration: Migration, unfinished: Unfinished) -> Action:
    # They look at all databases again, those that are mended by now included; what is done is not done again.
    again = [_clear(migration, unfinished.broken, downstream=True)] if unfinished.broken else []
    return Action(
        "Retry failed",
        "Runs the tasks again that failed or that did not run because of them; batches go on from their checkpoints",
        [*again, _clear(migration, None, failed=True)],
    )


def _compare_again(migration: Migration) -> Action:
    names = [name for name in ("verify", "certify", "dead_letters", "finish") if name in migration.stages]
    return Action(
        "Compare again",
        "Compares both databases again, and repairs what differs",
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
        "The run is deleted from Airflow, with its checkpoints and its certificate. Both databases stay as they are.",
        leaves=True,
    )
