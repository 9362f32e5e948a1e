"""Copies a day of all tables a run, and compares it: a long history goes over in parts that can be repeated.

1. Write your database below, in place of `power`, and make the connections `tdengine_source` and `tdengine_target`.
2. Switch the DAG on. It has a schedule, so Airflow at once starts the run of yesterday, and then one a day; give it an
   `end_date` below if you want the backfill only.
3. Press **Trigger**, choose **Backfill**, and give the days. Each run copies one of them, and its id names the day.
4. A run that is red says in its log why; run the backfill again for those days, or clear the red task.
"""

from datetime import datetime, timezone

# airflow.sdk has it, too, since 3.2.
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag(
    "tdengine_backfill",
    by_interval=True,
    defaults={"source_database": "power", "workers": 1},
    description="Copies a TDengine database day by day: press Trigger, Backfill",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2021, 1, 1, tzinfo=timezone.utc),
)
