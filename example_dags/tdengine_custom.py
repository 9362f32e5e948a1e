"""A DAG of your own: two plants go into one database, each with names and a tag of its own; a failure is reported.

1. Write your databases below, in place of `plant_north` and `plant_south`, and put your notifier into `tell`.
2. Press **Trigger**. There is no form: the options stand in this file.
3. **Migrations**, in the navigation, shows each plant as a migration of its own.
"""

import logging

from airflow.sdk import DAG, Context

from airflow_provider_tdengine.dags import migration
from airflow_provider_tdengine.operators.migration import TDengineSchemaSyncOperator


def plant(name: str) -> dict[str, str]:
    return {
        "source_database": f"plant_{name}",
        "target_database": "plants",
        "rename_tables": f"* -> {name}_*",
        "add_tags": f"site={name}",
    }


def tell(context: Context) -> None:
    # Any notifier of Airflow fits here: mail, Slack and others.
    logging.getLogger(__name__).error("%s failed: %s", context["ti"].task_id, context.get("exception"))


with DAG(
    "tdengine_custom",
    description="Merges the TDengine databases of two plants into one",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    default_args={"on_failure_callback": tell, "retries": 3},
):
    structure = TDengineSchemaSyncOperator.partial(
        task_id="structure",
        map_index_template="{{ task.options.source_database }}",
        max_active_tis_per_dagrun=1,
    ).expand(options=[plant("north"), plant("south")])
    north, south = migration("north", plant("north")), migration("south", plant("south"))
    structure >> [north, south]
    # Both tell of the same asset, which Airflow wants one after the other.
    north.get_child_by_label("certify") >> south.get_child_by_label("certify")
