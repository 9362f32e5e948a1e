"""All databases of TDengine servers, looked at before they are migrated, as the trigger form says."""

from airflow_provider_tdengine.dags import assessment_dag

dag = assessment_dag("tdengine_assess")
