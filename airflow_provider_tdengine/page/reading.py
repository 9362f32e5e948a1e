"""What Airflow's metadata database knows of migrations: runs, task instances, XComs, state stores. Nothing is written.

All of it is bounded: sums are made by the database, and of the runs the newest ones are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import JSON, ColumnElement, Select, and_, exists, func, or_, select, true, type_coerce
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from airflow_provider_tdengine import TAG
from airflow_provider_tdengine.migration.findings import Severity
from airflow_provider_tdengine.migration.options import OPTIONS
from airflow_provider_tdengine.operators.migration import BROKEN
from airflow_provider_tdengine.operators.packs import label_of
from airflow_provider_tdengine.operators.progress import CHECKPOINT, PACE
from airflow_provider_tdengine.page.migrations import FAILED, STAGES, Cell, Migration, Progress, Run, Stage, State
from airflow_provider_tdengine.page.steering import Unfinished

try:
    from airflow.models.task_state_store import TaskStateStoreModel
except ImportError:  # Airflow 3.1 and 3.2 have none: there, progress is the finished batches.
    TaskStateStoreModel = None  # type: ignore[assignment, misc]

HAS_STORE = TaskStateStoreModel is not None
"""Whether this Airflow has a task state store."""

NEWEST = 500
"""Runs that are looked at, the newest ones."""

_MOST_PARTS = 20_000
"""Parts of packs that are read."""

_MOST_CELLS, _FEW_CELLS = 2000, 64
"""Tasks of a stage that are read one by one, where a plan has 1,024 batches at most; so many whose pace is, of all."""

Json: TypeAlias = Mapping[str, Any]


Place: TypeAlias = tuple[int, str]
"""A migration: the number of its run, and its group."""


def newest(session: Session, dag_ids: Collection[str], skipped: int = 0) -> list[Migration]:
    """The migrations of the newest runs, without progress, the newest first.

    Parameters:
        session: of the metadata database.
        dag_ids: DAGs that may be seen.
        skipped: how many runs are left out that are newer.
    """
    return _migrations(session, _newest(dag_ids, skipped), whole="few")


def newest_places(session: Session, dag_ids: Collection[str], skipped: int = 0) -> list[Place]:
    """Where these are, and nothing else of them: for a list that is neither filtered nor sorted."""
    rows = session.execute(_newest(dag_ids, skipped)).all()
    resolves = {task for task, stage in _tasks(session, _examples(rows)).items() if stage == "resolve"}
    instances = select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id).where(
        *_of({(row.dag_id, row.run_id) for row in rows}, resolves), TaskInstance.map_index == -1
    )
    groups: dict[_Key, list[str]] = defaultdict(list)
    for row in session.execute(instances):
        groups[row.dag_id, row.run_id].append(row.task_id.rpartition(".")[0])
    return [(row.id, group) for row in rows for group in sorted(groups[row.dag_id, row.run_id])]


def has_older(session: Session, dag_ids: Collection[str], skipped: int = 0) -> bool:
    """Whether there are runs that are older than these."""
    return session.execute(_newest(dag_ids, skipped + NEWEST).limit(1)).first() is not None


def _newest(dag_ids: Collection[str], skipped: int) -> Select[Any]:
    return (
        _runs()
        .join(DagTag, and_(DagTag.dag_id == DagRun.dag_id, DagTag.name == TAG))
        .where(DagRun.dag_id.in_(sorted(dag_ids)))
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .offset(skipped)
        .limit(NEWEST)
    )


def one(session: Session, dag_id: str, run_id: str, group: str) -> Migration | None:
    """One migration with its progress, None where there is none."""
    statement = _runs().where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    found = [migration for migration in _migrations(session, statement, whole="whole") if migration.group == group]
    return _with_progress(session, found, _COUNTS)[0] if found else None


def of_run(session: Session, number: int) -> list[Migration]:
    """The migrations of a run, by its key in Airflow's database, without progress; none where it is of another kind."""
    return _migrations(session, _runs().where(DagRun.id == number), whole="whole")


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
        DagRun.created_dag_version_id,
    ).outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)


_Whole: TypeAlias = Literal["few", "shown", "whole"]
"""How much is asked of tasks: what filters need; what a row of a list shows, too; all."""


def _migrations(session: Session, runs: Select[Any], *, whole: _Whole) -> list[Migration]:
    """The migrations of some runs.

    Parameters:
        session: of the metadata database.
        runs: which.
        whole: how much is asked of their tasks.
    """
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
    tasks = _tasks(session, _examples(rows))
    stages = _stages(session, found, tasks, whole=whole)
    known = _small_xcoms(session, [run.number for run in found.values()], tasks)
    names = {(task.rpartition(".")[0], stage): task for task, stage in tasks.items()}
    return [
        Migration(
            run,
            group,
            own,
            known.get((run.number, own["resolve"].task_id, "return_value"), given[run.number]),
            known.get((run.number, names.get((group, "plan"), ""), "planned"), {}),
            known.get((run.number, names.get((group, "certify"), ""), "verdict"), {}),
            given=given[run.number],
        )
        for key, run in found.items()
        for group, own in sorted(stages[key].items())
        if "resolve" in own
    ]


_Key: TypeAlias = tuple[str, str]
"""A run: its DAG and its own id."""


def _examples(runs: Sequence[Any]) -> set[_Key]:
    """One run of each version of a DAG: it has the tasks of all others."""
    return set({(row.dag_id, row.created_dag_version_id): (row.dag_id, row.run_id) for row in runs}.values())


def _tasks(session: Session, runs: Collection[_Key]) -> dict[str, str]:
    """The stages by task, of some runs.

    Tasks of several DAGs that are called the same are taken to be of the same stage.
    """
    statement = (
        select(TaskInstance.task_id, TaskInstance.operator)
        .where(
            TaskInstance.dag_id.in_({dag_id for dag_id, _ in runs}),
            TaskInstance.run_id.in_({run_id for _, run_id in runs}),
            TaskInstance.operator.in_(STAGES),
        )
        .distinct()
    )
    return {row.task_id: STAGES[row.operator] for row in session.execute(statement)}


def _stages(
    session: Session, runs: Mapping[_Key, Run], tasks: Mapping[str, str], *, whole: _Whole
) -> Mapping[_Key, Mapping[str, Mapping[str, Stage]]]:
    """The stages by run, then by group, then by name; of "few", those that ended well are left out."""
    over = {key for key, run in runs.items() if run.state in ("success", "failed") and whole != "whole"}
    single, failed = TaskInstance.map_index == -1, TaskInstance.state.in_(FAILED)
    resolves = [task for task, stage in tasks.items() if stage == "resolve"]
    copies = [task for task, stage in tasks.items() if stage in ("copy", "follow")]
    # The indexes of Airflow's database make all of them quick, however many mapped tasks there are.
    wanted: list[tuple[set[_Key], ColumnElement[bool]]] = [(runs.keys() - over, true())]
    if whole == "few":
        wanted.append((over, and_(single, or_(failed, TaskInstance.task_id.in_(resolves)))))
        wanted.append(({key for key in over if runs[key].state == "failed"}, and_(~single, failed)))
    else:
        wanted.append((over, or_(single, failed, TaskInstance.task_id.in_(copies))))
    rows = [row for keys, condition in wanted if keys for row in _counted(session, keys, tasks, condition)]
    by_task: dict[_Key, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_task[row.dag_id, row.run_id][row.task_id].append(row)
    found: dict[_Key, dict[str, dict[str, Stage]]] = defaultdict(lambda: defaultdict(dict))
    for key, own in by_task.items():
        for task_id, counts in own.items():
            found[key][task_id.rpartition(".")[0]][tasks[task_id]] = Stage(
                tasks[task_id],
                task_id,
                {row.state or "": row.count for row in counts},
                min((row.started for row in counts if row.started), default=None),
                max((row.ended for row in counts if row.ended), default=None),
            )
    return found


def _counted(
    session: Session, runs: Collection[_Key], tasks: Collection[str], condition: ColumnElement[bool]
) -> Sequence[Any]:
    """How many tasks have which state, and when they were at work."""
    columns = TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.state
    statement = (
        select(
            *columns,
            func.count().label("count"),
            func.min(TaskInstance.start_date).label("started"),
            func.max(TaskInstance.end_date).label("ended"),
        )
        .where(*_of(runs, tasks), condition)
        .group_by(*columns)
    )
    # Two DAGs may have runs of one name, of which only one was asked for.
    asked = set(runs)
    return [row for row in session.execute(statement) if (row.dag_id, row.run_id) in asked]


def _of(runs: Collection[_Key], tasks: Collection[str]) -> list[ColumnElement[bool]]:
    """Instances of tasks in runs; of two DAGs whose runs are called the same, both."""
    return [
        TaskInstance.dag_id.in_({dag_id for dag_id, _ in runs}),
        TaskInstance.run_id.in_({run_id for _, run_id in runs}),
        TaskInstance.task_id.in_(tasks),
    ]


_SMALL = {"resolve": "return_value", "plan": "planned", "certify": "verdict"}
"""XComs that a list needs, by stage."""


def _small_xcoms(session: Session, runs: Collection[int], tasks: Mapping[str, str]) -> dict[tuple[int, str, str], Json]:
    found: dict[tuple[int, str, str], Json] = {}
    for stage, key in _SMALL.items():
        statement = select(XComModel.dag_run_id, XComModel.task_id, XComModel.key, XComModel.value).where(
            XComModel.dag_run_id.in_(runs),
            XComModel.task_id.in_({task for task, name in tasks.items() if name == stage}),
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


def with_progress(session: Session, places: Sequence[Place]) -> list[Migration]:
    """Migrations with their rows, in the same order, for as many as a page shows."""
    order = {place: number for number, place in enumerate(places)}
    runs = _runs().where(DagRun.id.in_({number for number, _ in places}))
    found = [one for one in _migrations(session, runs, whole="shown") if one.place in order]
    found.sort(key=lambda one: order[one.place])
    reasons = _reasons(session, [one for one in found if one.state is State.FAILED])
    found = [replace(one, reason=reasons.get(one.place, "")) for one in found]
    # Where all has been compared, the verdict says it.
    known = {one.key: Progress(rows=one.compared_rows) for one in found if _is_done(one) and one.compared_rows}
    read = iter(_with_progress(session, [one for one in found if one.key not in known], ("rows",)))
    return [replace(one, progress=known[one.key]) if one.key in known else next(read) for one in found]


def _with_progress(session: Session, migrations: Sequence[Migration], counts: Sequence[str]) -> list[Migration]:
    runs = [migration.run.number for migration in migrations]
    copies = {migration.stages["copy"].task_id for migration in migrations if "copy" in migration.stages}
    follows = {migration.stages["follow"].task_id for migration in migrations if "follow" in migration.stages}
    done = _copied(session, runs, copies, counts)
    # Of batches that are not done, the checkpoints say it.
    goes_on = [migration.run.number for migration in migrations if not _is_done(migration)]
    partly = _checkpoints(session, goes_on, copies, counts) if HAS_STORE else {}
    followed = _followed(session, goes_on, follows) if HAS_STORE else {}
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
    counts = {name: getattr(one, name) + getattr(other, name) for name in (*_COUNTS, "seconds", "followed")}
    rates = [rate for rate in (one.rate, other.rate) if rate is not None]
    lags = [lag for lag in (one.lag, other.lag) if lag is not None]
    return Progress(**counts, rate=sum(rates) if rates else None, lag=max(lags, default=None))


_COUNTS = ("rows", "rejected", "bytes", "points", "blocks")
"""What is added up, as `migration.copying.Tally` calls it."""


def _sums_of(tally: ColumnElement[Any], counts: Sequence[str]) -> list[ColumnElement[Any]]:
    return [func.sum(_number(tally[name])).label(name) for name in counts]


def _counts(row: Any, counts: Sequence[str]) -> dict[str, int]:
    return {name: int(getattr(row, name) or 0) for name in counts}


_Sums: TypeAlias = dict[tuple[int, str], Progress]


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A number in a JSON document; numbers of rows are beyond 32 bits."""
    number: ColumnElement[Any] = value.as_numeric(20, 3)
    return number


def _copied(session: Session, runs: Collection[int], tasks: Collection[str], counts: Sequence[str]) -> _Sums:
    """Of the batches that are done."""
    value = XComModel.value
    seconds = func.sum(_number(value["seconds"])).label("seconds")
    statement = (
        select(XComModel.dag_run_id, XComModel.task_id, *_sums_of(value["copied"]["tally"], counts), seconds)
        .where(XComModel.dag_run_id.in_(runs), XComModel.task_id.in_(tasks), XComModel.key == "return_value")
        .group_by(XComModel.dag_run_id, XComModel.task_id)
    )
    return {
        (row.dag_run_id, row.task_id): Progress(**_counts(row, counts), seconds=float(row.seconds or 0))
        for row in session.execute(statement)
    }


def _stored(session: Session) -> ColumnElement[Any]:
    """The value in the state store as a document; it is text there."""
    text = TaskStateStoreModel.value
    return cast(
        "ColumnElement[Any]",
        sql_cast(text, JSON) if session.get_bind().dialect.name == "postgresql" else type_coerce(text, JSON),
    )


def _joined(statement: Any, runs: Collection[int], tasks: Collection[str]) -> Any:
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


def _checkpoints(session: Session, runs: Collection[int], tasks: Collection[str], counts: Sequence[str]) -> _Sums:
    """Of the batches that have begun and are not done."""
    store = TaskStateStoreModel
    sums = _sums_of(_stored(session)["tally"], counts)
    statement = _joined(select(store.dag_run_id, store.task_id, *sums), runs, tasks)
    # Not by state: of a run that was paused, Airflow calls batches failed that were done.
    returned = exists().where(
        XComModel.dag_run_id == store.dag_run_id,
        XComModel.task_id == store.task_id,
        XComModel.map_index == store.map_index,
        XComModel.key == "return_value",
    )
    # Those of a pack have one for each part.
    statement = statement.where(store.key.startswith(CHECKPOINT), ~returned)
    statement = statement.group_by(store.dag_run_id, store.task_id)
    rates = _rates(session, runs, tasks)
    return {
        key: Progress(**_counts(row, counts), rate=rates.get(key))
        for row in session.execute(statement)
        for key in [(row.dag_run_id, row.task_id)]
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


def _reasons(session: Session, migrations: Sequence[Migration]) -> dict[Place, str]:
    """What the first failed task of each has found that stands in its way."""
    runs = {migration.run.number for migration in migrations}
    first = (
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.key, func.min(XComModel.map_index).label("map_index"))
        .where(XComModel.dag_run_id.in_(runs), XComModel.key.in_(("findings", "preview")))
        .group_by(XComModel.dag_run_id, XComModel.task_id, XComModel.key)
        .subquery()
    )
    own = [column == getattr(XComModel, column.name) for column in first.c]
    values = {
        (row.dag_run_id, row.task_id, row.key): row.value
        for row in session.execute(
            select(XComModel.dag_run_id, XComModel.task_id, XComModel.key, XComModel.value).join(first, and_(*own))
        )
    }
    found: dict[Place, str] = {}
    for migration in migrations:
        for name in STAGES.values():
            for key in ("findings", "preview"):
                task = migration.stages[name].task_id if name in migration.stages else ""
                value = values.get((migration.run.number, task, key))
                if blocker := _blocker(value["findings"] if isinstance(value, dict) else value):
                    found.setdefault(migration.place, blocker)
    return found


def _blocker(findings: object) -> str:
    """The first finding that stands in the way; empty for none."""
    for one in findings if isinstance(findings, list) else ():
        if one["severity"] == Severity.BLOCKER.value:
            return f"{one['object']}: {one['found']}"
    return ""


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


_MOST_FINDINGS = 20
"""Tasks whose findings are read."""


def findings(session: Session, migration: Migration) -> list[Json]:
    """What tasks have found, those that stand in the way first; see `migration.findings.Finding.to_dict`."""
    statement = (
        select(XComModel.value)
        .where(
            XComModel.dag_run_id == migration.run.number,
            XComModel.task_id.in_({stage.task_id for stage in migration.stages.values()}),
            XComModel.key == "findings",
        )
        .order_by(XComModel.timestamp)
        .limit(_MOST_FINDINGS)
    )
    found = [one for value in session.scalars(statement) if isinstance(value, list) for one in value]
    return sorted(found, key=lambda one: one["severity"] != Severity.BLOCKER.value)


def broken_stages(session: Session, migration: Migration) -> list[str]:
    """Tasks that have ended well although databases of a fleet are broken there."""
    statement = (
        select(XComModel.task_id)
        .where(
            XComModel.dag_run_id == migration.run.number,
            XComModel.task_id.in_({stage.task_id for stage in migration.stages.values()}),
            XComModel.key == BROKEN,
        )
        .distinct()
    )
    found = set(session.scalars(statement))
    return [stage.task_id for stage in migration.stages.values() if stage.task_id in found]


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
    tally = XComModel.value["copied"]["tally"]
    done = {
        row.map_index: row
        for row in session.execute(
            select(
                XComModel.map_index,
                _number(tally["rows"]).label("rows"),
                _number(tally["rejected"]).label("rejected"),
                _number(XComModel.value["seconds"]).label("seconds"),
            ).where(XComModel.dag_run_id == run.number, XComModel.task_id == task, XComModel.key == "return_value")
        )
    }
    findings = select(XComModel.map_index, XComModel.value).where(
        XComModel.dag_run_id == run.number, XComModel.task_id == task, XComModel.key == "findings"
    )
    why = {row.map_index: _blocker(row.value) for row in session.execute(findings.limit(_MOST_FINDINGS))}
    states = _cell_states(session, migration, task, len(instances))
    planned = document(session, migration, "plan", "return_value") if stage == "copy" else None
    batches = planned if isinstance(planned, list) else []
    return [
        _cell(
            row,
            batches[row.map_index] if row.map_index < len(batches) else {},
            done.get(row.map_index),
            states.get(row.map_index, {}),
            why.get(row.map_index, ""),
        )
        for row in instances
    ]


def _cell(row: Any, batch: Json, done: Any, stored: Mapping[str, Json], why: str) -> Cell:
    checkpoint, pace = stored.get(CHECKPOINT, {}), stored.get(PACE, {})
    tally = checkpoint.get("tally") or checkpoint
    label = label_of(batch) if batch else ""
    return Cell(
        index=row.map_index,
        state=row.state or "",
        label=row.label or label or f"number {row.map_index + 1}",
        tries=row.try_number,
        started=row.start_date,
        ended=row.end_date,
        rows=int((done.rows if done else tally.get("rows")) or 0),
        planned=int(batch.get("rows") or 0),
        tables=int(batch.get("tables") or 0),
        rejected=int((done.rejected if done else tally.get("rejected")) or 0),
        seconds=float(done.seconds or 0) if done else 0.0,
        pace=pace,
        why=why,
    )


def _cell_states(session: Session, migration: Migration, task: str, count: int) -> dict[int, dict[str, Json]]:
    """What the state store has of tasks that are not done, and of the others where they are few."""
    if not HAS_STORE:
        return {}
    store = TaskStateStoreModel
    statement = (
        _joined(select(store.map_index, store.key, _stored(session).label("value")), [migration.run.number], [task])
        .where(or_(store.key == PACE, store.key.startswith(CHECKPOINT)))
        .limit(2 * _MOST_CELLS)
    )
    if count > _FEW_CELLS:
        statement = statement.where(func.coalesce(TaskInstance.state, "") != "success")
    found: dict[int, dict[str, Json]] = defaultdict(dict)
    for row in session.execute(statement):
        if isinstance(row.value, dict):
            known = found[row.map_index]
            known[row.key] = row.value
            if row.key not in (CHECKPOINT, PACE):
                known[CHECKPOINT] = _with_part(known.get(CHECKPOINT, {}), row.value)
    return found


def _with_part(whole: Json, part: Json) -> Json:
    """The checkpoint of a pack with that of a part of it."""
    counts = [one.get("tally", {}) for one in (whole, part)]
    return {"tally": {name: sum(int(one.get(name, 0)) for one in counts) for name in ("rows", "rejected")}}


def part_rows(session: Session, migration: Migration) -> dict[str, int]:
    """Rows of the parts of packs, by the keys of their checkpoints."""
    if not HAS_STORE or "copy" not in migration.stages:
        return {}
    store, rows = TaskStateStoreModel, _number(_stored(session)["tally"]["rows"])
    statement = _joined(
        select(store.key, rows.label("rows")), [migration.run.number], [migration.stages["copy"].task_id]
    )
    statement = statement.where(store.key.startswith(f"{CHECKPOINT}-")).limit(_MOST_PARTS)
    return {row.key: int(row.rows or 0) for row in session.execute(statement)}


def returned(session: Session, migration: Migration, stage: str) -> list[Json]:
    """What the mapped tasks of a stage have returned."""
    if stage not in migration.stages:
        return []
    statement = select(XComModel.value).where(
        XComModel.dag_run_id == migration.run.number,
        XComModel.task_id == migration.stages[stage].task_id,
        XComModel.map_index >= 0,
        XComModel.key == "return_value",
    )
    return [value for value in session.scalars(statement) if isinstance(value, dict)]


def unfinished(session: Session, migration: Migration) -> Unfinished:
    """What of the whole run has not ended well, the tasks of other groups included."""
    run = migration.run
    different = func.coalesce(_number(XComModel.value["different"]), 0)
    returned = select(XComModel.task_id, XComModel.map_index).where(
        XComModel.dag_run_id == run.number,
        XComModel.key == "return_value",
        XComModel.map_index >= 0,
        # A comparison says what differs before it fails, and the copy of a pack which parts could not be copied.
        different == 0,
        func.coalesce(_number(XComModel.value["failed"]), 0) == 0,
    )
    done = {(row.task_id, row.map_index) for row in session.execute(returned)}
    statement = (
        select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.operator)
        .where(
            TaskInstance.dag_id == run.dag_id,
            TaskInstance.run_id == run.run_id,
            func.coalesce(TaskInstance.state, "") != "success",
        )
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
    )
    tasks: list[str | tuple[str, int]] = []
    well: dict[str, int] = {}
    for row in session.execute(statement):
        if STAGES.get(row.operator) in _MAPPED and (row.task_id, row.map_index) in done:
            well[row.task_id] = _MAPPED.index(STAGES[row.operator])
        else:
            tasks.append(row.task_id if row.map_index < 0 else (row.task_id, row.map_index))
    return Unfinished(tasks, sorted(well, key=well.__getitem__), broken_stages(session, migration))


_MAPPED = ("verify", "copy")
"""Stages whose tasks are done once they have returned something, the last one first: it must not run for the others."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a DAG asks for when it is triggered.

    Parameters:
        dag_id: of the DAG.
        is_paused: whether its runs wait until somebody switches it on.
        fields: what JSON schema says of each field, by name, with its default as `value`.
    """

    dag_id: str
    is_paused: bool
    fields: Mapping[str, Json]


def forms(session: Session, dag_ids: Collection[str], needed: Collection[str]) -> list[Form]:
    """The forms of DAGs with the tag `TAG` that ask for some things.

    Parameters:
        session: of the metadata database.
        dag_ids: DAGs that may be seen.
        needed: names of fields.
    """
    statement = (
        select(DagModel.dag_id, DagModel.is_paused)
        .join(DagTag, and_(DagTag.dag_id == DagModel.dag_id, DagTag.name == TAG))
        .where(DagModel.dag_id.in_(sorted(dag_ids)), DagModel.is_stale.is_(False))
        .order_by(DagModel.dag_id)
    )
    found: list[Form] = []
    for row in session.execute(statement).all():
        stored = SerializedDagModel.get(row.dag_id, session=session)
        if stored is None:
            continue
        params = stored.dag.params
        if set(needed) <= set(params):
            dumped = {name: params.get_param(name).dump() for name in params}
            fields = {name: {**one["schema"], "value": one["value"]} for name, one in dumped.items()}
            found.append(Form(row.dag_id, row.is_paused, fields))
    return found


def team_of(dag_id: str) -> str | None:
    """The team that a DAG belongs to, where Airflow has teams (3.2 and later)."""
    find = getattr(DagModel, "get_team_name", None)
    return find(dag_id) if find else None


def conf(session: Session, dag_id: str, run_id: str) -> Json:
    """What a run was given."""
    found = session.scalar(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return found if isinstance(found, dict) else {}
