"""A whole Airflow: API server, scheduler with LocalExecutor, DAG processor and triggerer, on PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.demo.home import AirflowHome
from airflow_provider_tdengine.demo.ui import AirflowUi
from airflow_provider_tdengine.testing import TDengineBox

from ..chromium import chromium
from .postgres import Postgres, programs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DAG = "quick_migration"
"""The ready-made DAG, but one that retries soon."""

FRAGILE = "fragile_migration"
"""One that retries once."""

DISTRIBUTED = "distributed_migration"
"""One whose tasks run where workers of Celery are."""

PATIENCE = 180.0
"""Seconds after which a test gives up waiting; a machine that is busy with other things takes most of a minute."""

LOOK = 0.5
"""Seconds between two looks at whether something has happened: each costs the API server as much as a task does."""


@dataclass
class Airflow:
    """Airflow as its users meet it, over its REST API."""

    home: AirflowHome
    ui: AirflowUi
    api: httpx.Client
    broker: str
    source: TDengineBox
    target: TDengineBox

    def trigger(self, conf: dict[str, object], dag: str = DAG, note: str | None = None) -> str:
        """Start a run; its id."""
        body = {"logical_date": None, "conf": conf, "note": note}
        answer = self.api.post(f"/api/v2/dags/{dag}/dagRuns", json=body)
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

    def run(self, conf: dict[str, object], dag: str = DAG, timeout: float = PATIENCE) -> str:
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

    def stored(self, run_id: str, task: str, key: str, map_index: int = -1, dag: str = DAG) -> Any:
        """A value in a task's state store; None where there is none."""
        answer = self.api.get(
            f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/state-store/{key}",
            params={"map_index": map_index},
        )
        return answer.json()["value"] if answer.is_success else None

    def note(self, run_id: str, dag: str = DAG) -> str | None:
        """What a run's note says."""
        note = self.api.get(f"/api/v2/dags/{dag}/dagRuns/{run_id}").raise_for_status().json()["note"]
        return None if note is None else str(note)

    def links(self, run_id: str, task: str, map_index: int = -1, dag: str = DAG) -> dict[str, str | None]:
        """Where the buttons of a task instance lead, by what they say."""
        answer = self.api.get(
            f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/links", params={"map_index": map_index}
        )
        links: dict[str, str | None] = answer.raise_for_status().json()["extra_links"]
        return links

    def states(self, run_id: str, dag: str = DAG) -> dict[str, set[str]]:
        """The states of each task's instances."""
        found: dict[str, set[str]] = {}
        for (task, _), instance in self.tasks(run_id, dag).items():
            found.setdefault(task, set()).add(instance["state"])
        return found

    def asset_events(self, run_id: str, dag: str = DAG) -> dict[str, int]:
        """Rows by database and super table, of what a run said to the assets."""
        answer = self.api.get("/api/v2/assets/events", params={"source_run_id": run_id, "source_dag_id": dag})
        events = answer.raise_for_status().json()["asset_events"]
        assert all(event["extra"]["end"] for event in events)
        place = f"tdengine://{self.target.host}:{self.target.port}/"
        return {event["uri"].removeprefix(place): event["extra"]["rows"] for event in events}

    def log(self, run_id: str, task: str, map_index: int = -1, attempt: int = 1, dag: str = DAG) -> str:
        answer = self.api.get(
            f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}",
            params={"map_index": map_index, "full_content": True},
        )
        return answer.raise_for_status().text

    def clear(self, run_id: str, task: str, map_index: int | None = None, dag: str = DAG) -> None:
        """What the button Clear does, with the tasks that follow."""
        answer = self.api.post(
            f"/api/v2/dags/{dag}/clearTaskInstances",
            json={
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": [task if map_index is None else [task, map_index]],
                "only_failed": False,
                "include_downstream": True,
            },
        )
        assert answer.is_success, answer.text

    def kill(self, part: str) -> None:
        """End a part of Airflow, with all its processes, as when its container is killed."""
        process = self.ui.parts[part]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_for(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen within {timeout} s; see {self.home.log}"
            time.sleep(LOOK)


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not only its exit status."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


VIEWER = "vera"
"""Somebody who may see everything and change nothing."""

EXAMPLES = Path(__file__).parents[2] / "example_dags"
"""DAGs as users have them."""

EDITS = {
    "tdengine_realtime.py": ('"source_database": "power"', '"source_database": "plant"'),
    # So that a follow is deferred as soon as nothing arrives.
    "tdengine_both.py": ("defaults=", "linger=1, defaults="),
}
"""What a user writes in place of what."""

DAG_FILE = f"""
from datetime import timedelta

from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag("{DAG}", linger=1, default_args={{"retry_delay": timedelta(seconds=2)}})
fragile = migration_dag("{FRAGILE}", default_args={{"retries": 1, "retry_delay": timedelta(seconds=1)}})
distributed = migration_dag(
    "{DISTRIBUTED}", default_args={{"executor": "CeleryExecutor", "retry_delay": timedelta(seconds=1)}}
)
"""

PRELOADED = (
    "import airflow_provider_tdengine.cli, airflow_provider_tdengine.dags, airflow_provider_tdengine.hooks.tdengine\n"
)
"""What all parts of Airflow import as they start: their forks, one a task, need not import it again."""

QUICK = {
    # What has become ready is seen to twice a second,
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    # a scheduler or triggerer that is killed is missed sooner than after half a minute; one which a busy machine
    # keeps from its heartbeat takes itself for dead, and tries its tasks again: 12 s were too few,
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
    # a task that is cleared while it runs ends sooner, one whose host is gone is missed sooner,
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    # and files that do not change are not read every 30 s, which takes half a core.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
}


class PostgresHome(AirflowHome):
    """A home with all example DAGs, whose database is PostgreSQL, and which may give tasks to Celery.

    Parameters:
        directory: where everything is kept.
        database: the database's URL.
        broker: the URL at which the tasks for Celery, and what becomes of them, are put down; empty for no Celery.
    """

    def __init__(self, directory: Path, database: str, broker: str = "") -> None:
        super().__init__(directory)
        self._of_its_own = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
        if broker:
            self._of_its_own |= {
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": broker,
                "AIRFLOW__CELERY__RESULT_BACKEND": broker,
            }

    @property
    def dag_file(self) -> Path:
        file = self.path / "dags" / f"{DAG}.py"
        if not file.exists():
            shutil.copytree(EXAMPLES, file.parent, ignore=shutil.ignore_patterns("__pycache__"))
            file.write_text(DAG_FILE, encoding="utf-8")
            settings = self.path / "config" / "airflow_local_settings.py"
            settings.parent.mkdir()
            settings.write_text(PRELOADED, encoding="utf-8")
            for name, (old, new) in EDITS.items():
                example = file.parent / name
                example.write_text(example.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        return file

    def environment(self) -> dict[str, str]:
        return super().environment() | QUICK | self._of_its_own


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow with the connections of the demo, its source a box of 2.4 and its target one of 3.3."""
    found = programs()
    if found is None:
        pytest.skip("there is no PostgreSQL; on Debian and Ubuntu: apt-get install postgresql")
    directory: Path = tmp_path_factory.mktemp("airflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        broker = f"redis://127.0.0.1:{free.getsockname()[1]}/0"
    with (
        # Small blocks, so that a run is long enough to be killed in its middle.
        TDengineBox(version="2.4.0.18", block_rows=256) as source,
        TDengineBox(version="3.3.3.0") as target,
        Postgres(found) as postgres,
        PostgresHome(directory, postgres.url, broker) as home,
    ):
        home.make_database()
        # The demo, in another process, may be about to take the usual port.
        ui = AirflowUi(home, {VIEWER: "viewer"}, port=0)
        ui.start(*(Address.from_url(box.url) for box in (source, target)))
        with httpx.Client(base_url=ui.address, timeout=PATIENCE) as api:
            login = api.post("/auth/token", json={"username": "admin", "password": ui.password}).raise_for_status()
            api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
            airflow = Airflow(home, ui, api, broker, source, target)
            airflow.unpause(DAG)
            yield airflow


def log_in(airflow: Airflow, user: str) -> str:
    """Somebody's token."""
    passwords = json.loads((airflow.home.directory / "password.json").read_text(encoding="utf-8"))
    login = {"username": user, "password": passwords[user]}
    return str(httpx.post(f"{airflow.ui.address}/auth/token", json=login).raise_for_status().json()["access_token"])


def open_page(airflow: Airflow, browser: Browser, user: str, **how: Any) -> Page:
    """A page of Airflow for somebody who is logged in; how it looks is what playwright's `new_context` takes."""
    context = browser.new_context(base_url=airflow.ui.address, locale="en-US", **how)
    context.add_cookies([{"name": "_token", "value": log_in(airflow, user), "url": airflow.ui.address}])
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(airflow: Airflow, browser: Browser) -> Page:
    """A page of the admin, tall enough for a form."""
    return open_page(airflow, browser, "admin", viewport={"width": 1300, "height": 1500})
