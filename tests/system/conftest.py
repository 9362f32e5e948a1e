"""A whole Airflow: API server, scheduler, DAG processor and triggerer, on a database of its own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.demo.home import AirflowHome
from airflow_provider_tdengine.demo.ui import AirflowUi
from airflow_provider_tdengine.testing import TDengineBox

DAG = "tdengine_migration"


@dataclass
class Airflow:
    """Airflow as its users meet it, over its REST API."""

    home: AirflowHome
    api: httpx.Client
    source: TDengineBox
    target: TDengineBox

    def trigger(self, conf: dict[str, object], dag: str = DAG) -> str:
        """Start a run; its id."""
        answer = self.api.post(f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})
        assert answer.is_success, answer.text
        return str(answer.json()["dag_run_id"])

    def unpause(self, dag: str, *, paused: bool = False) -> None:
        """Let a DAG have runs; or none, with paused."""
        self.wait_for(lambda: self.api.get(f"/api/v2/dags/{dag}").is_success)
        self.api.patch(f"/api/v2/dags/{dag}", json={"is_paused": paused}).raise_for_status()

    def runs(self, dag: str) -> list[str]:
        """The ids of a DAG's runs, the oldest first."""
        answer = self.api.get(f"/api/v2/dags/{dag}/dagRuns", params={"order_by": "run_after", "limit": 100})
        return [run["dag_run_id"] for run in answer.raise_for_status().json()["dag_runs"]]

    def set_state(self, run_id: str, task: str, state: str, map_index: int = -1, dag: str = DAG) -> None:
        """What the buttons of the UI do that mark a task as success or failed."""
        address = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}"
        answer = self.api.patch(address, params={"map_index": map_index}, json={"new_state": state})
        assert answer.is_success, answer.text

    def run(self, conf: dict[str, object], dag: str = DAG, timeout: float = 120) -> str:
        """Start a run and wait for its end; its id."""
        run_id = self.trigger(conf, dag)
        self.wait_for(lambda: self.state(run_id, dag) in ("success", "failed"), timeout)
        return run_id

    def state(self, run_id: str, dag: str = DAG) -> str:
        return str(self.api.get(f"/api/v2/dags/{dag}/dagRuns/{run_id}").raise_for_status().json()["state"])

    def tasks(self, run_id: str, dag: str = DAG) -> dict[tuple[str, int], dict[str, Any]]:
        answer = self.api.get(f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances").raise_for_status()
        return {(task["task_id"], task["map_index"]): task for task in answer.json()["task_instances"]}

    def xcom(self, run_id: str, task: str, map_index: int = -1, dag: str = DAG, key: str = "return_value") -> Any:
        answer = self.api.get(
            f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/{key}",
            params={"map_index": map_index, "deserialize": True},
        )
        return answer.raise_for_status().json()["value"]

    def log(self, run_id: str, task: str, map_index: int = -1, attempt: int = 1, dag: str = DAG) -> str:
        answer = self.api.get(
            f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}",
            params={"map_index": map_index, "full_content": True},
        )
        return answer.raise_for_status().text

    def pid(self, task: str) -> int | None:
        """The process that runs a task, None while there is none."""
        with sqlite3.connect(f"file:{self.home.path}/airflow.db?mode=ro", uri=True) as database:
            found = database.execute(
                "select pid from task_instance where task_id = ? and state = 'running'", (task,)
            ).fetchone()
        return found[0] if found else None

    def wait_for(self, condition: Callable[[], object], timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen within {timeout} s; see {self.home.log}"
            time.sleep(0.1)


EXAMPLES = Path(__file__).parents[2] / "example_dags"
"""DAGs as users have them, beside the one of the demo."""

EDITS = {
    "tdengine_dead_letters.py": ("", ""),
    "tdengine_both.py": ("", ""),
    "tdengine_realtime.py": ('"source_database": "power"', '"source_database": "plant"'),
}
"""Which of them tests run, and what a user of theirs writes in place of what."""

DAG_FILE = """
from datetime import timedelta

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag("tdengine_migration", default_args={"retry_delay": timedelta(seconds=2)})
"""


class QuickHome(AirflowHome):
    """A home whose DAG retries soon."""

    @property
    def dag_file(self) -> Path:
        file = self.path / "dags" / f"{DAG}.py"
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            file.write_text(DAG_FILE, encoding="utf-8")
            for name, (old, new) in EDITS.items():
                text = (EXAMPLES / name).read_text(encoding="utf-8").replace(old, new)
                (file.parent / name).write_text(text, encoding="utf-8")
        return file


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow with the connections and the DAG of the demo, its source a box of 2.4 and its target one of 3.3."""
    directory: Path = tmp_path_factory.mktemp("airflow")
    with (
        # Small blocks, so that a run is long enough to be killed in its middle.
        TDengineBox(version="2.4.0.18", block_rows=256) as source,
        TDengineBox(version="3.3.3.0") as target,
        QuickHome(directory) as home,
    ):
        home.make_database()
        ui = AirflowUi(home)
        ui.start(*(Address.from_url(box.url) for box in (source, target)))
        with httpx.Client(base_url=ui.address, timeout=30) as api:
            login = api.post("/auth/token", json={"username": "admin", "password": ui.password}).raise_for_status()
            api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            yield Airflow(home, api, source, target)
