"""What Airflow tells about the tasks of the demo's run, written down as it happens: one JSON object a line.

Airflow loads this as a plugin, from the plugins folder of the demo's home.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from airflow_provider_tdengine.demo.home import EVENTS_VARIABLE


def _say(state: str, instance: Any, **more: object) -> None:
    if EVENTS_VARIABLE not in os.environ:
        return
    event = {"task": instance.task_id, "map_index": instance.map_index, "state": state, "time": time.time(), **more}
    with Path(os.environ[EVENTS_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


class Listener:
    """Called by Airflow."""

    @hookimpl
    def on_task_instance_running(self, previous_state: object, task_instance: Any) -> None:
        _say("running", task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state: object, task_instance: Any) -> None:
        """The task's result goes with it."""
        result = task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=task_instance.map_index)
        _say("success", task_instance, result=result)

    @hookimpl
    def on_task_instance_failed(self, previous_state: object, task_instance: Any, error: object) -> None:
        _say("failed", task_instance, error=str(error))


class DemoPlugin(AirflowPlugin):
    """The plugin."""

    name = "tdengine_demo"
    listeners = [Listener()]  # noqa: RUF012
