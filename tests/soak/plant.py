"""All that can break: two servers, the lines to them, and an Airflow with its database."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.demo.home import DAG_ID, AirflowHome
from airflow_provider_tdengine.demo.ui import AirflowUi
from airflow_provider_tdengine.testing import TDengineBox

from ..faults.proxy import Line
from ..system.conftest import PRELOADED, PostgresHome
from ..system.postgres import Postgres, programs
from ..wild.server import Refused
from .api import Api
from .patient import PatientServer

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")

FOLLOW, HISTORY = "soak_both", DAG_ID
"""DAGs: the one that follows, and the one that migrates a history."""

_DAGS = f"""
from datetime import timedelta

from airflow_provider_tdengine.dags import migration_dag

arguments = {{"default_args": {{"retry_delay": timedelta(seconds=5)}}}}
history = migration_dag("{HISTORY}", **arguments)
# Deferred as soon as nothing arrives.
follow = migration_dag("{FOLLOW}", linger=2, defaults={{"mode": "both"}}, **arguments)
"""

USER, PASSWORD = "soak", "Soak-1234"
"""Whom the migrations are; the soak itself is root."""


class _Home(PostgresHome):
    """With the soak's own DAGs, and no others."""

    @property
    def dag_file(self) -> Path:
        file = self.path / "dags" / "soak.py"
        if not file.exists():
            for path, text in {file: _DAGS, self.path / "config" / "airflow_local_settings.py": PRELOADED}.items():
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
        return file


@dataclass
class Side:
    """A server.

    Parameters:
        name: source or target.
        server: the server itself.
        line: what migrations reach it by.
        box: the same, where it is simulated.
        restart: how it is stopped and started again; None where nobody has said.
    """

    name: str
    server: PatientServer
    line: Line
    box: TDengineBox | None
    restart: Callable[[float], None] | None

    @property
    def address(self) -> Address:
        return Address.from_url(f"ws://{USER}:{PASSWORD}@127.0.0.1:{self.line.port}")

    def log_in_as(self, password: str) -> None:
        """Change the password of the migrations' user."""
        self.server.run(f"alter user {USER} pass '{password}'")


class Plant:
    """Servers and Airflow, all of it running, and started again where it ends.

    Parameters:
        source: where rows come from.
        target: where they go.
        postgres: of Airflow's database.
        home: of Airflow.
    """

    def __init__(self, source: Side, target: Side, postgres: Postgres, home: AirflowHome) -> None:
        self.source, self.target, self.postgres = source, target, postgres
        self._ui = AirflowUi(home, port=0)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._watch = threading.Thread(target=self._start_again, daemon=True)

    def __enter__(self) -> Plant:
        self._ui.start(self.source.address, self.target.address)
        self.api = Api(self._ui.address, self._ui.password)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()
        self.api.close()

    def kill(self, part: str) -> None:
        """End a part of Airflow, and all that it started."""
        with self._lock:
            _kill(self._ui.parts[part])

    def _start_again(self) -> None:
        """As systemd and Kubernetes do."""
        while not self._ended.wait(1):
            with self._lock:
                for part in PARTS:
                    if self._ui.parts[part].poll() is not None:
                        # What it has left behind must not go on beside what follows.
                        _kill(self._ui.parts[part])
                        self._ui.start_part(part)


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


@contextmanager
def plant(source: str, target: str, restarts: dict[str, str], folder: Path) -> Iterator[Plant]:
    """Start all of it.

    Parameters:
        source: a URL, or box:VERSION.
        target: the same.
        restarts: commands that stop and start a server, by side.
        folder: where Airflow lives.
    """
    found = programs()
    if found is None:
        raise SystemExit("The soak needs PostgreSQL for Airflow; on Debian and Ubuntu: apt-get install postgresql")
    with ExitStack() as stack:
        ours = _side("source", source, restarts.get("source", ""), stack)
        theirs = _side("target", target, restarts.get("target", ""), stack)
        postgres = stack.enter_context(Postgres(found))
        home = stack.enter_context(_Home(folder, postgres.url))
        home.make_database()
        yield stack.enter_context(Plant(ours, theirs, postgres, home))


def _side(name: str, url: str, restart: str, stack: ExitStack) -> Side:
    box: TDengineBox | None = None
    again: Callable[[float], None] | None = None
    if url.startswith("box:"):
        # Small blocks, so that a fault meets the middle of something.
        box = stack.enter_context(TDengineBox(version=url.removeprefix("box:"), block_rows=256))
        url, again = box.url.replace("http://", "ws://root:taosdata@"), _restarted(box)
    elif restart:
        again = _called(restart)
    server = PatientServer(url)
    stack.callback(server.close)
    if (USER,) not in {row[:1] for row in server.rows("show users")}:
        server.run(f"create user {USER} pass '{PASSWORD}'")
    if server.generation > 2:
        server.run(f"grant all on *.* to {USER}")
        with suppress(Refused):  # 3.0 lets all users create databases.
            server.run(f"alter user {USER} createdb 1")
    line = stack.enter_context(Line(urlsplit(url).port or 6041))
    side = Side(name, server, line, box, again)
    # An earlier soak may have been stopped while its login was revoked.
    side.log_in_as(PASSWORD)
    return side


def _restarted(box: TDengineBox) -> Callable[[float], None]:
    def restart(seconds: float) -> None:
        box.stop()
        time.sleep(seconds)
        box.start()

    return restart


def _called(command: str) -> Callable[[float], None]:
    def restart(_: float) -> None:
        subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)

    return restart
