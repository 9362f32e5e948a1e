"""Moves a database to another cluster: copies it, keeps the copy up to date, asks you, and proves all of it.

Press **Trigger** and give the databases. When history is proven and the target is up to date, the task `approve` asks
you. Put what stops and switches your readers and writers into the two functions; without them, people do it by hand.
"""

from airflow.sdk import task

from airflow_provider_tdengine.cutover import cutover_dag


@task
def stop_writers() -> None:
    """Stop whoever writes to the old cluster, such as a collector or a bridge of MQTT."""


@task
def switch() -> None:
    """Point readers and writers to the new cluster, such as by a name in DNS."""


dag = cutover_dag(stop_writers=stop_writers, switch=switch, defaults={"source_database": "power"})
