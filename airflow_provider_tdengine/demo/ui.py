"""Airflow left running, with connections and DAG in place."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import httpx

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.demo.data import DATABASE
from airflow_provider_tdengine.demo.home import DAG_ID, AirflowHome, DemoError, connections_to, shown
from airflow_provider_tdengine.screen import Screen

_MIGRATIONS: list[dict[str, object]] = [
    {"name": "transformers", "stables": "Transformers", "target_database": "transformers"},
    {"name": "what would come", "dry_run": True},
    {"name": "power, slowly", "target_database": "power_slowly", "max_rows_per_second": 2000},
]

_USER = "admin"
_PORT = 8080
_START_SECONDS = 300
_POLL_SECONDS = 0.5


class AirflowUi:
    """Airflow's four parts, on a port of localhost.

    Parameters:
        home: the Airflow home, its database made.
        users: who may log in besides admin, each with a role.

    Attributes:
        address: of the API server, which is the web server, too.
        password: of the user admin.
        parts: the processes, by the names that the command `airflow` gives them.
    """

    def __init__(self, home: AirflowHome, users: Mapping[str, str] | None = None) -> None:
        self._home = home
        self.address = f"http://localhost:{_free_port(_PORT, 0)}"
        passwords = home.directory / "password.json"
        self.password = _password(passwords)
        self._environment = {
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # Their usual ports may be those of another Airflow.
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port(0)),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port(0)),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self.address.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{user}:{role}" for user, role in {_USER: "admin", **(users or {})}.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        }
        self.parts: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, source: Address, target: Address) -> None:
        """Start all parts, and put connections and DAG in place.

        Parameters:
            source: what the connection `tdengine_source` leads to.
            target: what the connection `tdengine_target` leads to.

        Raises:
            DemoError: a part ended, or took too long.
        """
        with httpx.Client(base_url=self.address, timeout=30) as api:
            # The others talk to the API server; it comes first.
            self.start_part("api-server")
            self._wait(lambda: self._logged_in(api))
            for name in ("dag-processor", "scheduler", "triggerer"):
                self.start_part(name)
            for name, fields in connections_to(source, target).items():
                api.post("/api/v2/connections", json={"connection_id": name, **fields}).raise_for_status()
            self._wait(lambda: api.get(f"/api/v2/dags/{DAG_ID}").is_success)
            api.patch(f"/api/v2/dags/{DAG_ID}", json={"is_paused": False}).raise_for_status()

    def start_part(self, name: str) -> None:
        """Start one part, or start it again after its end.

        Parameters:
            name: api-server, scheduler, dag-processor or triggerer.
        """
        self.parts[name] = self._home.start("-m", "airflow", name, environment=self._environment)

    def migrate(self) -> None:
        """Begin three migrations, which will be in different states: one is done soon, one only looks, one is slow."""
        with httpx.Client(base_url=self.address, timeout=30) as api:
            self._wait(lambda: self._logged_in(api))
            for options in _MIGRATIONS:
                conf = {"source_database": DATABASE, **options}
                answer = api.post(f"/api/v2/dags/{DAG_ID}/dagRuns", json={"logical_date": None, "conf": conf})
                answer.raise_for_status()

    def serve(self, screen: Screen) -> NoReturn:
        """Say where it is, then wait until somebody stops it.

        Raises:
            DemoError: a part of Airflow ended.
            KeyboardInterrupt: somebody stopped it.
        """
        screen.heading("Airflow is ready")
        screen.line(f"  address   {self.address}")
        screen.line(f"  user      {_USER}")
        screen.line(f"  password  {self.password}")
        screen.line()
        screen.line(f"  1. Log in and open {self.address}/plugin/migrations")
        screen.line(
            "  2. Watch three migrations: one is soon done, one is a dry run, one is slow; pause it and resume it"
        )
        screen.line(f"  3. Press New migration, choose {DAG_ID}, write {DATABASE} as Source database, press Trigger")
        screen.line("  The two connections are under Admin, Connections; the button with the pulse tests them.")
        screen.line()
        screen.line("Ctrl-C stops all of it.")
        while True:
            self._check()
            time.sleep(_POLL_SECONDS)

    def _logged_in(self, api: httpx.Client) -> bool:
        """Whether the API server answers; another Airflow on the same port does not know the password."""
        login = {"username": _USER, "password": self.password}
        try:
            answer = api.post("/auth/token", json=login)
        except httpx.TransportError:
            return False
        if not answer.is_success:
            return False
        api.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            self._check()
            if time.monotonic() > deadline:
                raise DemoError(f"Airflow did not start within {_START_SECONDS} s; see {shown(self._home.log)}")
            time.sleep(_POLL_SECONDS)

    def _check(self) -> None:
        for name, process in self.parts.items():
            if process.poll() is not None:
                raise DemoError(f"Airflow's {name} ended (status {process.returncode}); see {shown(self._home.log)}")


def _free_port(*wanted: int) -> int:
    """The first of these ports that is free; 0 stands for any."""
    for port in wanted:
        with socket.socket() as listener:
            # Without it, a port whose connections have only just ended counts as taken.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise DemoError("There is no free port on 127.0.0.1")


def _password(file: Path) -> str:
    """The password in Airflow's file; made up the first time, then it stays."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as opened:
            json.dump({_USER: secrets.token_urlsafe(9)}, opened)
    return str(json.loads(file.read_text(encoding="utf-8"))[_USER])
