"""A DAG for each migration that a YAML file names.

1. Write yours into `tdengine_migrations.yaml`, beside this file: each entry is the name of a DAG, with arguments of
   `migration_dag()`; `defaults` are values of its form.
2. Unpause the DAG and press **Trigger**: the form shows what the file says, and may say otherwise for a run.
"""

from pathlib import Path

import yaml

from airflow_provider_tdengine.dags import migration_dag

FILE = Path(__file__).with_name("tdengine_migrations.yaml")

for dag_id, arguments in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
    migration_dag(dag_id, **arguments)
