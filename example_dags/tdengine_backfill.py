"""A day of all tables a run, compared: press Trigger, Backfill, and choose the days."""

from datetime import datetime, timezone

# airflow.sdk has it, too, since 3.2.
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag(
    "tdengine_backfill",
    by_interval=True,
    defaults={"source_database": "power", "workers": 1},
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2021, 1, 1, tzinfo=timezone.utc),
)
