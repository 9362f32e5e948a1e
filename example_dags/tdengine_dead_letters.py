"""Rows that a target refused, brought back after the cause is mended: trigger it with the folder that the run named."""

from airflow.sdk import DAG, Param

from airflow_provider_tdengine.operators.dead_letters import TDengineReplayDeadLettersOperator

with DAG(
    "tdengine_dead_letters",
    schedule=None,
    catchup=False,
    tags=["tdengine"],
    params={
        "path": Param(
            title="Folder",
            description_md="Where the dead letters are: the task `dead_letters` of the migration's run names it.",
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
