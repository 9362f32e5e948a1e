"""Copies the history of a database, then rows as they arrive, in one run.

1. Press **Trigger** once, and give the databases; all options are in the form.
2. When `certify` is green, the history is complete, and `follow` keeps the target up to date. **Migrations**, in the
   navigation, says how many seconds it is behind.
3. To end it, mark the task `follow` as success. Cleared, it goes on from its watermark; so does one that failed.
"""

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag(
    "tdengine_both",
    defaults={"source_database": "power", "mode": "both"},
    description="Copies a TDengine database, then keeps the copy up to date until you stop it",
    doc_md=__doc__,
)
