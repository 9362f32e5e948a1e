"""Copies rows as they arrive, a run for each increment, so that other DAGs can be scheduled on them.

1. Write your databases and START below: rows from then on are copied.
2. Switch the DAG on: the first run starts at once. Each run waits without a worker until there are new rows, copies
   them, and updates the asset.
3. Switch it off to stop. Rows of a run that failed come with the next one. When you give it up for good: the log
   of `copy` says which topic to drop, where there is one.
"""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Asset

from airflow_provider_tdengine.operators.follow import TDengineIncrementOperator
from airflow_provider_tdengine.sensors.new_rows import TDengineNewRowsSensor

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
OPTIONS = {"source_database": "power", "target_database": "power_live"}

with DAG(
    "tdengine_realtime",
    description="Copies new rows of a TDengine database, and tells other DAGs",
    doc_md=__doc__,
    schedule="@continuous",
    start_date=START,
    max_active_runs=1,
    catchup=False,
    tags=["tdengine"],
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
) as dag:
    target = Asset("tdengine_power_live")
    wait = TDengineNewRowsSensor(task_id="new_rows", options=OPTIONS, inlets=[target])
    copy = TDengineIncrementOperator(task_id="copy", options=OPTIONS, outlets=[target])
    wait >> copy
