"""Every night, the last seven days of two databases are compared; what came late, was changed or deleted, is mended.

Set the databases and the connections, and unpause it. Rows that only the target has are deleted with `delete_extra`.
"""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from airflow_provider_tdengine.operators.comparison import TDengineReconcileOperator

with DAG(
    "tdengine_reconcile",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["tdengine"],
) as dag:
    TDengineReconcileOperator(
        task_id="reconcile",
        past=timedelta(days=7),
        options={"source_database": "power", "delete_extra": False},
        retries=3,
    )
