"""A TDengine database copied into another one, as the trigger form says."""

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag("tdengine_migration")
