"""Compares the last seven days of two databases every night, and repairs what came late, was changed or deleted.

1. Write your database below, in place of `power`, and make the connections `tdengine_source` and `tdengine_target`.
2. Switch the DAG on: the run of last night starts at once, then one every night. A run is red where a difference stays,
   and its log names the tables.
3. Rows that only the target has stay, and are a difference. With `delete_extra` ask, in place of false, a person is
   asked whether they are deleted (that takes tdengine_approval.py); with true they are.
4. `results_database` keeps what each night came to, for dashboards.
"""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from airflow_provider_tdengine.operators.comparison import TDengineReconcileOperator

with DAG(
    "tdengine_reconcile",
    description="Compares two TDengine databases every night, and repairs what differs",
    doc_md=__doc__,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["tdengine"],
) as dag:
    TDengineReconcileOperator(
        task_id="reconcile",
        past=timedelta(days=7),
        options={"source_database": "power", "delete_extra": "false", "results_database": ""},
        retries=3,
    )
