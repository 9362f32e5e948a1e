"""Airflow's metadata database, on SQLite in memory, with migrations in it, and the page's routes over it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import create_engine, event, insert
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from airflow_provider_tdengine.page.migrations import STAGES

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
OPERATORS = {stage: operator for operator, stage in STAGES.items()}


@dataclass
class Metadata:
    """What is in the database, and what was asked of it."""

    session: Session
    statements: list[str] = field(default_factory=list)

    def dag(self, dag_id: str, *tags: str) -> None:
        self._add(DagModel, dag_id=dag_id, bundle_name="dags", is_stale=False, is_paused=False, fileloc="x")
        for tag in tags:
            self._add(DagTag, name=tag, dag_id=dag_id)

    def run(self, dag_id: str, run_id: str, number: int, state: str = "running", **values: Any) -> None:
        given = {"run_after": NOW - timedelta(minutes=number), "start_date": NOW - timedelta(minutes=5), "conf": {}}
        self._add(
            DagRun,
            id=number,
            dag_id=dag_id,
            run_id=run_id,
            _state=state,
            run_type="manual",
            **{**given, **values},
        )

    def note(self, number: int, text: str) -> None:
        self._add(DagRunNote, dag_run_id=number, content=text)

    def tasks(self, dag_id: str, run_id: str, states: Mapping[str, str], group: str = "") -> None:
        """Tasks by stage; several states stand for mapped instances."""
        for stage, said in states.items():
            many = said.split()
            for index, state in enumerate(many):
                self._add(
                    TaskInstance,
                    id=uuid4(),
                    task_id=f"{group}{stage}",
                    dag_id=dag_id,
                    run_id=run_id,
                    map_index=index if stage in ("copy", "verify", "follow") and said != "-" else -1,
                    state=None if state == "-" else state,
                    operator=OPERATORS.get(stage, "BashOperator"),
                    pool="default_pool",
                    start_date=None if state == "-" else NOW - timedelta(minutes=4),
                    end_date=NOW - timedelta(minutes=2) if state in ("success", "failed") else None,
                    try_number=1,
                )

    def xcom(self, dag_id: str, number: int, task: str, key: str, value: object, index: int = -1) -> None:
        self._add(
            XComModel,
            dag_run_id=number,
            task_id=task,
            map_index=index,
            key=key,
            dag_id=dag_id,
            run_id="r",
            value=value,
        )

    def store(self, dag_id: str, number: int, run_id: str, task: str, index: int, key: str, value: object) -> None:
        self._add(
            TaskStateStoreModel,
            dag_run_id=number,
            task_id=task,
            map_index=index,
            key=key,
            dag_id=dag_id,
            run_id=run_id,
            value=json.dumps(value),
        )

    def _add(self, model: type[Base], **values: Any) -> None:
        # What else a table wants differs between versions of Airflow, and means nothing here.
        given = {"state" if name == "_state" else name for name in values}
        for column in model.__table__.columns:
            needs = not (column.nullable or column.default or column.server_default or column.primary_key)
            if needs and column.name not in given:
                values[column.name] = column.type.python_type()
        self.session.execute(insert(model).values(**values))


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    import_all_models()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.execute(insert(DagBundleModel).values(name="dags"))
        found = Metadata(session)
        event.listen(engine, "before_cursor_execute", lambda *given: found.statements.append(given[2]))
        yield found
    engine.dispose()


def copied(rows: int, rejected: int = 0, seconds: float = 10.0) -> dict[str, object]:
    """What a copy task returned."""
    tally = {"rows": rows, "bytes": 10 * rows, "rejected": rejected, "points": 3 * rows, "blocks": 2}
    return {"rows": rows - rejected, "copied": {"tally": tally}, "seconds": seconds}
