"""The note of a run, as a listener of Airflow keeps it: source, target and mode, and at the end what it came to.

A task cannot write it: Airflow's task SDK has no call for it, and its REST API wants somebody's login. So it is written
where a run changes its state, in the scheduler or the API server, after that change is committed, in a transaction of
its own: nothing that goes wrong with a note can hold up a run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

from airflow_provider_tdengine import TAG

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


@hookimpl
def on_dag_run_running(dag_run: DagRun) -> None:
    """Say what it is about."""
    _note_after_commit(dag_run)


@hookimpl
def on_dag_run_success(dag_run: DagRun) -> None:
    """Say what it came to."""
    _note_after_commit(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun) -> None:
    """Say what it came to."""
    _note_after_commit(dag_run)


def _note_after_commit(dag_run: DagRun) -> None:
    # Workers load plugins, too, and have no ORM; runs of other DAGs have nothing to do with it.
    from sqlalchemy import event  # noqa: PLC0415
    from sqlalchemy.orm import object_session  # noqa: PLC0415

    dag, session = dag_run.dag, object_session(dag_run)
    if session is None or (dag is not None and TAG not in dag.tags):
        return
    values = {name: dag.params.get_param(name).dump()["value"] for name in dag.params} if dag else {}
    event.listen(session, "after_commit", partial(_note, dag_run.id, values), once=True)


def _note(number: int, values: Mapping[str, object], _: Session) -> None:
    """Renew the note of a run.

    Parameters:
        number: its key in Airflow's database.
        values: of the DAG's Params.
    """
    try:
        from airflow_provider_tdengine.page.noted import renew  # noqa: PLC0415

        renew(number, values)
    except Exception:  # Airflow's scheduler is in the middle of its work: a note is not worth its end.
        log.exception("The run's note was not written")
