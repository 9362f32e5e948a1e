"""A cutover: a migration that keeps the target up to date until somebody approves, and is then proven as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from airflow.sdk import DAG, BaseOperator, TaskGroup, XComArg

from airflow_provider_tdengine.approval import approval
from airflow_provider_tdengine.dags import form_dag, migration, migration_params
from airflow_provider_tdengine.operators.migration import OptionValues
from airflow_provider_tdengine.sensors.cutover import TDengineCutoverSensor

Step: TypeAlias = BaseOperator | XComArg | TaskGroup
"""What a user of a DAG adds to it: a task, what a function with the decorator `@task` returns, or a group of tasks."""

_APPROVE = "approve"

_TIME = timedelta(days=3650)
"""A history may take long."""

_DESCRIPTION = "Moves a TDengine database to another cluster; a person approves before it is switched over"

_DOC = """
Moves a TDengine database to another cluster, with as little time without writers as it takes to compare.

1. Press **Trigger** and give the databases. History is copied and compared, then rows are copied as they arrive.
2. When history is proven and the target is up to date, `approve` asks you: open the task, or **Required actions**.
3. **Stop whoever writes to the source**, then approve. What has arrived is copied, all rows of both sides are compared,
   and `finish` fails if the source was written to meanwhile: stop the writer, then clear `finish`.
4. Green: switch over. Each step may be left for days, and cleared; it goes on where it stopped. A rejected `approve`
   is red, and the target stays up to date; clear it to be asked again.
"""

_QUESTION = "Switch {{ params.source_database }} over to the new cluster?"

_STATE = """**History:** {{ ti.xcom_pull(task_ids='certify', key='verdict')['words'] }}

**Now:** both sides are equal in the hour before {{ ti.xcom_pull(task_ids='ready')['end'] }}:
{{ ti.xcom_pull(task_ids='ready')['rows'] }} rows in {{ ti.xcom_pull(task_ids='ready')['tables'] }} tables. All rows are
compared at the end.

"""

_BY_HAND = """**Stop whoever writes to the source first**, then approve: what has arrived by then is copied, and all
rows of both sides are compared."""

_BY_TASK = """When you approve, a task stops whoever writes to the source; then what has arrived is copied, and all
rows of both sides are compared."""

_BACK: OptionValues = {
    "name": "way back",
    "source_conn_id": "{{ params.target_conn_id }}",
    "target_conn_id": "{{ params.source_conn_id }}",
    "source_database": "{{ params.target_database or params.source_database }}",
    "target_database": "{{ params.source_database }}",
    "stables": "{{ params.stables or '' }}",
    "tables": "{{ params.tables or '' }}",
    "exclude": "{{ params.exclude or '' }}",
    "mode": "realtime",
    "schema": "none",
    "start_from": "{{ ti.xcom_pull(task_ids='finish', key='certificate')['end'] }}",
}
"""Options of the migration in the other direction."""


def cutover_dag(
    dag_id: str = "tdengine_cutover",
    *,
    defaults: Mapping[str, object] | None = None,
    stop_writers: Callable[[], Step] | None = None,
    switch: Callable[[], Step] | None = None,
    way_back: bool = False,
    max_lag: timedelta = timedelta(seconds=30),
    **dag_arguments: Any,
) -> DAG:
    """A DAG that copies a database, keeps the copy up to date, asks a person, and proves all of it.

    Parameters:
        dag_id: the DAG's name.
        defaults: values by option name that the form shows first; mode is both, and verify is not none.
        stop_writers: makes a task that stops whoever writes to the source, such as a function with the decorator
            `@task`; None where the person who approves sees to it.
        switch: makes a task that points readers and writers to the target; None where that is done by hand.
        way_back: whether rows that are written to the target from then on are copied back to the source, which must be
            TDengine 3, until `way_back.follow` is ended.
        max_lag: how far the target may be behind when the person is asked.
        dag_arguments: of `DAG`, such as default_args, description or doc_md.

    Raises:
        ValueError: `defaults` names an option that does not exist, another mode, or verify none.
    """
    given = {"mode": "both", **(defaults or {})}
    if given["mode"] != "both":
        raise ValueError(f"the mode of a cutover is both, not {given['mode']}")
    if given.get("verify") == "none":
        raise ValueError("verify of a cutover is not none: nobody should switch over to what was not compared")
    params = migration_params(given)
    mode, verify = params["mode"], params["verify"]
    mode.schema["enum"] = ["both"]
    verify.schema["enum"] = [level for level in verify.schema["enum"] if level != "none"]
    arguments = {"description": _DESCRIPTION, "doc_md": _DOC, **dag_arguments}
    arguments["params"] = {"mode": mode, "verify": verify, **arguments.get("params", {})}
    with form_dag(dag_id, given, arguments) as dag:
        group = migration(ended_by=_APPROVE, prefix_group_id=False)
        resolve, certify, dead_letters, finish = map(dag.get_task, ("resolve", "certify", "dead_letters", "finish"))
        with group:
            resolved: Any = XComArg(resolve)
            ready = TDengineCutoverSensor(
                task_id="ready",
                options=resolved,
                max_lag=max_lag,
                mode="reschedule",
                poke_interval=max_lag,
                timeout=_TIME.total_seconds(),
                # Dead letters are skipped where the target took all rows.
                trigger_rule="none_failed",
            )
            body = _STATE + (_BY_TASK if stop_writers else _BY_HAND)
            approve = approval(_APPROVE, _QUESTION, body)
            [certify, dead_letters] >> ready >> approve >> finish
            if stop_writers:
                approve >> stop_writers() >> finish
        proven = finish
        if way_back:
            migration("way_back", _BACK)
            proven = dag.get_task("way_back.resolve")
            finish >> proven
        if switch:
            # Whoever writes to the target from here on is followed.
            proven >> switch()
    return dag
