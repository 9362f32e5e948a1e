"""History, then realtime, in one run: trigger it once. To end it, mark the task `follow` as success.

When `certify` is green, the history is complete, and `follow` keeps the target up to date. A `follow` that was stopped,
or that failed, goes on from its watermark when it is cleared. All options are in the form.
"""

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag("tdengine_both", defaults={"source_database": "power", "mode": "both"})
