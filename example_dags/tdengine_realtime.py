"""Rows as they arrive, a run for each increment: give your databases below, then unpause the DAG; pause it to stop.

Each run waits without a worker until there are new rows, copies them, and updates the asset, so that other DAGs can be
scheduled on it. Rows from START on are copied; rows of a run that failed come with the next one.
"""

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, Asset

from airflow_provider_tdengine.operators.follow import TDengineIncrementOperator
from airflow_provider_tdengine.sensors.new_rows import TDengineNewRowsSensor

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
OPTIONS = {"source_database": "power", "target_database": "power_live"}

with DAG(
    "tdengine_realtime",
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
