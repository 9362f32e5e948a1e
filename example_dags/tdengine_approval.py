"""Asks people whether a migration may delete rows (`delete_extra` is ask) or change tables (`on_schema_change` is ask).

Each question is a run of this DAG, which the migration starts by itself. Answer it under Required Actions.
"""

from airflow_provider_tdengine.approval import approval_dag

dag = approval_dag()
