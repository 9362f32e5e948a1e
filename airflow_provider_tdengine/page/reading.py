"""What Airflow's metadata database knows of migrations: runs, task instances, XComs, state stores. Nothing is written.

All of it is bounded: sums are made by the database, and of the runs the newest ones are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias, cast

from airflow.models.dag import DagTag
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import JSON, ColumnElement, Numeric, Select, and_, func, select, type_coerce
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from airflow_provider_tdengine.dags import TAG
from airflow_provider_tdengine.migration.options import OPTIONS
from airflow_provider_tdengine.operators.progress import CHECKPOINT, PACE
from airflow_provider_tdengine.page.migrations import STAGES, Migration, Progress, Run, Stage

try:
    from airflow.models.task_state_store import TaskStateStoreModel
except ImportError:  # Airflow 3.1 and 3.2 have none: there, progress is the finished batches.
    TaskStateStoreModel = None  # type: ignore[assignment, misc]

NEWEST = 500
"""Runs that are looked at, the newest ones."""

_MOST_CELLS = 2000
"""Tasks of a stage that are read one by one; a plan has 1,024 batches at most."""

Json: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """A mapped task: of a batch, or of a shard that is followed.

    Parameters:
        index: its number.
        state: empty while it has none.
        label: what the grid of Airflow calls it.
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
    rejected: int = 0
    seconds: float = 0.0
    pace: Json = field(default_factory=dict)


def newest(session: Session, dag_ids: Collection[str]) -> list[Migration]:
    """The migrations of the newest runs, without progress, the newest first.

    Parameters:
        session: of the metadata database.
        dag_ids: DAGs that may be seen.
    """
    statement = (
        _runs()
        .join(DagTag, and_(DagTag.dag_id == DagRun.dag_id, DagTag.name == TAG))
        .where(DagRun.dag_id.in_(sorted(dag_ids)))
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(NEWEST)
    )
    return _migrations(session, statement)


def one(session: Session, dag_id: str, run_id: str, group: str) -> Migration | None:
    """One migration with its progress, None where there is none."""
    statement = _runs().where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    found = [migration for migration in _migrations(session, statement) if migration.group == group]
    return with_progress(session, found)[0] if found else None


def _runs() -> Select[Any]:
    return select(
        DagRun.id,
        DagRun.dag_id,
        DagRun.run_id,
        DagRun.state,
        DagRun.run_after,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.triggering_user_name,
        DagRunNote.content,
        DagRun.conf,
    ).outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)


def _migrations(session: Session, runs: Select[Any]) -> list[Migration]:
    rows = session.execute(runs).all()
    found = {
        (row.dag_id, row.run_id): Run(
            row.id,
            row.dag_id,
            row.run_id,
            str(row.state),
            row.run_after,
            row.start_date,
            row.end_date,
            row.triggering_user_name,
            row.content or "",
        )
        for row in rows
    }
    given = {row.id: {name: value for name, value in (row.conf or {}).items() if name in OPTIONS} for row in rows}
    stages = _stages(session, found)
    known = _small_xcoms(session, [run.number for run in found.values()], stages)
    return [
        Migration(
            run,
            group,
            own,
            known.get((run.number, own["resolve"].task_id, "return_value"), given[run.number]),
            known.get((run.number, own["plan"].task_id, "planned"), {}) if "plan" in own else {},
            known.get((run.number, own["certify"].task_id, "verdict"), {}) if "certify" in own else {},
        )
        for key, run in found.items()
        for group, own in sorted(stages[key].items())
        if "resolve" in own
    ]


def _stages(
    session: Session, runs: Mapping[tuple[str, str], Run]
) -> Mapping[tuple[str, str], Mapping[str, Mapping[str, Stage]]]:
    """The stages by run, then by group, then by name."""
    columns = TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.operator
    counted = (
        select(
            *columns,
            TaskInstance.state,
            func.count().label("count"),
            func.min(TaskInstance.start_date).label("started"),
            func.max(TaskInstance.end_date).label("ended"),
        )
        .where(
            TaskInstance.dag_id.in_({dag_id for dag_id, _ in runs}),
            TaskInstance.run_id.in_({run_id for _, run_id in runs}),
            TaskInstance.operator.in_(STAGES),
        )
        .group_by(*columns, TaskInstance.state)
    )
    by_task: dict[tuple[str, str], dict[tuple[str, str], list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in session.execute(counted):
        by_task[row.dag_id, row.run_id][row.task_id, row.operator].append(row)
    found: dict[tuple[str, str], dict[str, dict[str, Stage]]] = defaultdict(lambda: defaultdict(dict))
    for key, tasks in by_task.items():
        for (task_id, operator), rows in tasks.items():
            name = STAGES[operator]
            found[key][task_id.rpartition(".")[0]][name] = Stage(
                name,
                task_id,
                {row.state or "": row.count for row in rows},
                min((row.started for row in rows if row.started), default=None),
                max((row.ended for row in rows if row.ended), default=None),
            )
    return found


_SMALL = {"resolve": "return_value", "plan": "planned", "certify": "verdict"}
"""XComs that a list needs, by stage."""


def _small_xcoms(
    session: Session,
    runs: Collection[int],
    stages: Mapping[tuple[str, str], Mapping[str, Mapping[str, Stage]]],
) -> dict[tuple[int, str, str], Json]:
    tasks = {
        (own[name].task_id, key)
        for groups in stages.values()
        for own in groups.values()
        for name, key in _SMALL.items()
        if name in own
    }
    found: dict[tuple[int, str, str], Json] = {}
    for key in _SMALL.values():
        statement = select(XComModel.dag_run_id, XComModel.task_id, XComModel.key, XComModel.value).where(
            XComModel.dag_run_id.in_(runs),
            XComModel.task_id.in_({task for task, own in tasks if own == key}),
            XComModel.map_index == -1,
            XComModel.key == key,
        )
        found |= {
            (row.dag_run_id, row.task_id, row.key): row.value
            for row in session.execute(statement)
            if isinstance(row.value, dict)
        }
    return found


# --- How far they are


def with_progress(session: Session, migrations: Sequence[Migration]) -> list[Migration]:
    """The same with their progress, for as many as a page shows."""
    runs = [migration.run.number for migration in migrations]
    copies = {migration.stages["copy"].task_id for migration in migrations if "copy" in migration.stages}
    follows = {migration.stages["follow"].task_id for migration in migrations if "follow" in migration.stages}
    done = _copied(session, runs, copies)
    # Of batches that are not done, the checkpoints say it.
    goes_on = [migration.run.number for migration in migrations if not _is_done(migration)]
    partly = _checkpoints(session, goes_on, copies) if TaskStateStoreModel is not None else {}
    followed = _followed(session, goes_on, follows) if TaskStateStoreModel is not None else {}
    result = []
    for migration in migrations:
        own = Progress()
        for name, sums in (("copy", done), ("copy", partly), ("follow", followed)):
            if name in migration.stages:
                own = _added(own, sums.get((migration.run.number, migration.stages[name].task_id), Progress()))
        result.append(replace(migration, progress=own))
    return result


def _is_done(migration: Migration) -> bool:
    return all(
        migration.stages[name].states.keys() <= {"success", "skipped"}
        for name in ("copy", "follow")
        if name in migration.stages
    )


def _added(one: Progress, other: Progress) -> Progress:
    rates = [rate for rate in (one.rate, other.rate) if rate is not None]
    return Progress(
        one.rows + other.rows,
        one.rejected + other.rejected,
        one.bytes + other.bytes,
        one.seconds + other.seconds,
        sum(rates) if rates else None,
        other.lag if one.lag is None else one.lag,
        one.followed + other.followed,
    )


_Sums: TypeAlias = dict[tuple[int, str], Progress]


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A number in a JSON document; numbers of rows are beyond 32 bits."""
    return value.as_numeric(20, 3)  # type: ignore[attr-defined]


def _copied(session: Session, runs: Collection[int], tasks: Collection[str]) -> _Sums:
    """Of the batches that are done."""
    value = XComModel.value
    statement = (
        select(
            XComModel.dag_run_id,
            XComModel.task_id,
            func.sum(_number(value["rows"])).label("rows"),
            func.sum(_number(value["rejected"])).label("rejected"),
            func.sum(_number(value["bytes"])).label("bytes"),
            func.sum(_number(value["seconds"])).label("seconds"),
        )
        .where(
            XComModel.dag_run_id.in_(runs),
            XComModel.task_id.in_(tasks),
            XComModel.key == "return_value",
        )
        .group_by(XComModel.dag_run_id, XComModel.task_id)
    )
    return {
        (row.dag_run_id, row.task_id): Progress(
            int(row.rows or 0) + int(row.rejected or 0),
            int(row.rejected or 0),
            int(row.bytes or 0),
            float(row.seconds or 0),
        )
        for row in session.execute(statement)
    }


def _stored(session: Session) -> ColumnElement[Any]:
    """The value in the state store as a document; it is text there."""
    text = TaskStateStoreModel.value
    return cast(
        "ColumnElement[Any]",
        sql_cast(text, JSON) if session.get_bind().dialect.name == "postgresql" else type_coerce(text, JSON),
    )


def _joined(statement: Select[Any], runs: Collection[int], tasks: Collection[str]) -> Select[Any]:
    """Values of the state store with the task instances that they are of."""
    store = TaskStateStoreModel
    return statement.join(
        TaskInstance,
        and_(
            TaskInstance.dag_id == store.dag_id,
            TaskInstance.run_id == store.run_id,
            TaskInstance.task_id == store.task_id,
            TaskInstance.map_index == store.map_index,
        ),
    ).where(store.dag_run_id.in_(runs), store.task_id.in_(tasks), store.value.startswith("{"))


def _checkpoints(session: Session, runs: Collection[int], tasks: Collection[str]) -> _Sums:
    """Of the batches that have begun and are not done."""
    store, value = TaskStateStoreModel, _stored(session)
    tally = value["tally"]
    statement = _joined(
        select(
            store.dag_run_id,
            store.task_id,
            func.sum(_number(tally["rows"])).label("rows"),
            func.sum(_number(tally["rejected"])).label("rejected"),
            func.sum(_number(tally["bytes"])).label("bytes"),
        ),
        runs,
        tasks,
    )
    statement = statement.where(
        store.key == CHECKPOINT, func.coalesce(TaskInstance.state, "") != "success"
    ).group_by(store.dag_run_id, store.task_id)
    rates = _rates(session, runs, tasks)
    return {
        (row.dag_run_id, row.task_id): Progress(
            int(row.rows or 0),
            int(row.rejected or 0),
            int(row.bytes or 0),
            rate=rates.get((row.dag_run_id, row.task_id)),
        )
        for row in session.execute(statement)
    }


def _rates(session: Session, runs: Collection[int], tasks: Collection[str]) -> dict[tuple[int, str], float]:
    """Rows a second of those that run."""
    store = TaskStateStoreModel
    statement = _joined(
        select(store.dag_run_id, store.task_id, func.sum(_number(_stored(session)["rate"])).label("rate")), runs, tasks
    )
    statement = statement.where(store.key == PACE, TaskInstance.state == "running")
    statement = statement.group_by(store.dag_run_id, store.task_id)
    return {(row.dag_run_id, row.task_id): float(row.rate or 0) for row in session.execute(statement)}


def _followed(session: Session, runs: Collection[int], tasks: Collection[str]) -> _Sums:
    """Of those that follow: the position of each shard is its checkpoint."""
    store, value = TaskStateStoreModel, _stored(session)
    statement = _joined(
        select(
            store.dag_run_id,
            store.task_id,
            func.sum(_number(value["rows"])).label("rows"),
            func.max(_number(value["lag"])).label("lag"),
        ),
        runs,
        tasks,
    )
    statement = statement.where(store.key == CHECKPOINT).group_by(store.dag_run_id, store.task_id)
    rates = _rates(session, runs, tasks)
    return {
        (row.dag_run_id, row.task_id): Progress(
            followed=int(row.rows or 0),
            lag=float(row.lag or 0),
            rate=rates.get((row.dag_run_id, row.task_id)),
        )
        for row in session.execute(statement)
    }


# --- One of them


def document(session: Session, migration: Migration, stage: str, key: str) -> Any:
    """The XCom of a stage that is no mapped one, None where there is none."""
    if stage not in migration.stages:
        return None
    statement = select(XComModel.value).where(
        XComModel.dag_run_id == migration.run.number,
        XComModel.task_id == migration.stages[stage].task_id,
        XComModel.map_index == -1,
        XComModel.key == key,
    )
    return session.scalar(statement)


def cells(session: Session, migration: Migration, stage: str) -> list[Cell]:
    """The mapped tasks of a stage, those of one that is not expanded yet left out."""
    if stage not in migration.stages:
        return []
    run, task = migration.run, migration.stages[stage].task_id
    instances = session.execute(
        select(
            TaskInstance.map_index,
            TaskInstance.state,
            TaskInstance._rendered_map_index.label("label"),
            TaskInstance.try_number,
            TaskInstance.start_date,
            TaskInstance.end_date,
        )
        .where(
            TaskInstance.dag_id == run.dag_id,
            TaskInstance.run_id == run.run_id,
            TaskInstance.task_id == task,
            TaskInstance.map_index >= 0,
        )
        .order_by(TaskInstance.map_index)
        .limit(_MOST_CELLS)
    ).all()
    value = XComModel.value
    done = {
        row.map_index: row
        for row in session.execute(
            select(
                XComModel.map_index,
                _number(value["rows"]).label("rows"),
                _number(value["rejected"]).label("rejected"),
                _number(value["seconds"]).label("seconds"),
                _number(value["batch"]["rows"]).label("planned"),
            ).where(
                XComModel.dag_run_id == run.number, XComModel.task_id == task, XComModel.key == "return_value"
            )
        )
    }
    states = _cell_states(session, migration, task)
    return [_cell(row, done.get(row.map_index), states.get(row.map_index, {})) for row in instances]


def _cell(row: Any, done: Any, stored: Mapping[str, Json]) -> Cell:
    checkpoint, pace = stored.get(CHECKPOINT, {}), stored.get(PACE, {})
    tally = checkpoint.get("tally") or checkpoint
    rejected = int((done.rejected if done else tally.get("rejected")) or 0)
    rows = int(done.rows or 0) + rejected if done else int(tally.get("rows") or 0)
    return Cell(
        row.map_index,
        row.state or "",
        row.label or f"batch {row.map_index + 1}",
        row.try_number,
        row.start_date,
        row.end_date,
        rows,
        int(done.planned or 0) if done else 0,
        rejected,
        float(done.seconds or 0) if done else 0.0,
        pace,
    )


def _cell_states(session: Session, migration: Migration, task: str) -> dict[int, dict[str, Json]]:
    """What the state store has of tasks that are not done, and of the last ones that were."""
    if TaskStateStoreModel is None:
        return {}
    store = TaskStateStoreModel
    statement = (
        _joined(select(store.map_index, store.key, _stored(session).label("value")), [migration.run.number], [task])
        .where(store.key.in_([CHECKPOINT, PACE]), func.coalesce(TaskInstance.state, "") != "success")
        .limit(2 * _MOST_CELLS)
    )
    found: dict[int, dict[str, Json]] = defaultdict(dict)
    for row in session.execute(statement):
        if isinstance(row.value, dict):
            found[row.map_index][row.key] = row.value
    return found

