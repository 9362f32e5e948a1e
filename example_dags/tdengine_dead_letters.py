"""Brings back rows that a target refused, once the cause is fixed.

1. The task `dead_letters` of a migration is red, and names a folder. Each line of its files says why a row was refused.
2. Fix the cause: widen a column, raise KEEP.
3. Press **Trigger** with that folder; or press the button **Bring back** of the migration, under **Migrations**. Of
   several databases, each has a folder of its own in that one: bring back one after the other.
4. Clear `verify` and `dead_letters` of the migration: both turn green.
"""

from airflow.sdk import DAG, Param

from airflow_provider_tdengine.operators.dead_letters import TDengineReplayDeadLettersOperator

with DAG(
    "tdengine_dead_letters",
    description="Brings back rows that a TDengine target refused, once the cause is fixed",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["tdengine"],
    params={
        "path": Param(
            title="Folder",
            description_md="Where the dead letters are: the task `dead_letters` of the migration's run names it. "
            "Of several databases, give the folder of one of them in it.",
            type="string",
            minLength=1,
            examples=["file:///var/lib/airflow/dead_letters/tdengine_migration"],
        ),
        "target_conn_id": Param(
            "tdengine_target",
            title="Target connection",
            description_md="The Airflow connection of the server that refused them.",
            type="string",
        ),
        "target_database": Param(
            title="Target database", description_md="The database that is written.", type="string", minLength=1
        ),
    },
) as dag:
    TDengineReplayDeadLettersOperator(
        task_id="replay",
        path="{{ params.path }}",
        target_conn_id="{{ params.target_conn_id }}",
        target_database="{{ params.target_database }}",
    )
