"""An Airflow of the demo's own: its home under the project, its environment, its processes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from airflow_provider_tdengine.client import Address

DAG_ID = "tdengine_migration"
EVENTS_VARIABLE = "TDENGINE_DEMO_EVENTS"
"""Names the file that `events` writes."""

SOURCE_CONNECTION, TARGET_CONNECTION = "tdengine_source", "tdengine_target"

_DAG_FILE = f"""from airflow_provider_tdengine.dags import migration_dag

dag = migration_dag("{DAG_ID}")
"""
_PLUGIN_FILE = "from airflow_provider_tdengine.demo.events import DemoPlugin  # noqa: F401\n"
_MARK = "made-by-the-demo"
_STOP_SECONDS = 15


class DemoError(Exception):
    """What went wrong, as a sentence for the person who watches."""


class AirflowHome:
    """A fresh Airflow home; the processes that were started in it end with it.

    Parameters:
        directory: where everything of the demo is kept; `airflow` in it is made anew.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.path = self.directory / "airflow"
        self.log = self.directory / "airflow.log"
        self.events = self.directory / "events.jsonl"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopped = False
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            lock = opened.enter_context((self.directory / "lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DemoError(
                    f"A demo is running in {self.directory} already. Stop it first, or give another --home"
                ) from None
            self._make()
            self._opened = opened.pop_all()
        return self

    def _make(self) -> None:
        if self.path.exists():
            if not (self.path / _MARK).exists():
                raise DemoError(f"{self.path} was not made by the demo and is left alone. Give another --home")
            shutil.rmtree(self.path)
        plugins = self.path / "plugins"
        plugins.mkdir(parents=True)
        (self.path / _MARK).touch()
        (plugins / "tdengine_demo.py").write_text(_PLUGIN_FILE, encoding="utf-8")
        self.log.write_bytes(b"")
        self.events.write_bytes(b"")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._opened.close()

    @property
    def dag_file(self) -> Path:
        """The example DAG of the checkout; without one, the same three lines in this home."""
        example = Path(__file__).parents[2] / "example_dags" / f"{DAG_ID}.py"
        if example.is_file():
            return example
        own = self.path / "dags" / f"{DAG_ID}.py"
        own.parent.mkdir(exist_ok=True)
        own.write_text(_DAG_FILE, encoding="utf-8")
        return own

    def environment(self) -> dict[str, str]:
        """The environment of this Airflow: nothing of another one that this user may have."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW"))}
        return inherited | {
            "AIRFLOW_HOME": str(self.path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dag_file.parent),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.path}/airflow.db",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start Python in a process group of its own; what it says goes to the log.

        Parameters:
            arguments: after the name of the interpreter.
            environment: variables besides the home's own.

        Raises:
            DemoError: `stop` was called.
        """
        if self._stopped:
            raise DemoError("The demo was stopped")
        with self.log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment() | dict(environment or {}),
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def make_database(self) -> None:
        """Create Airflow's own tables.

        Raises:
            DemoError: Airflow could not.
        """
        if status := self.start("-m", "airflow", "db", "migrate").wait():
            raise DemoError(f"Airflow could not make its database (status {status}); see {shown(self.log)}")

    def load_dag(self, conf: Mapping[str, str], source: Address, target: Address) -> subprocess.Popen[bytes]:
        """Start a process that runs the DAG, with `dag.test()`, as soon as `go` says so; it writes events.

        Parameters:
            conf: the run's.
            source: what the connection `tdengine_source` leads to.
            target: what the connection `tdengine_target` leads to.
        """
        connections = connections_to(source, target)
        environment = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections.items()}
        return self.start(
            "-m",
            "airflow_provider_tdengine.demo.run_dag",
            str(self.dag_file),
            json.dumps(conf),
            environment={**environment, EVENTS_VARIABLE: str(self.events)},
        )

    def stop(self) -> None:
        """End all processes, politely first; those that were started last end first. No other ones start."""
        self._stopped = True
        for process in reversed(self._processes):
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            # What a process left behind in its group ends, too.
            _signal_group(process, signal.SIGKILL)
            process.communicate()
        self._processes.clear()


def go(process: subprocess.Popen[bytes]) -> None:
    """Let a process of `load_dag` run."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def connections_to(source: Address, target: Address) -> dict[str, dict[str, object]]:
    """The two Airflow connections by their ids."""
    return {
        name: {
            "conn_type": "tdengine",
            "description": f"TDengine in a box: the {name.removeprefix('tdengine_')} of the demo",
            "host": address.host,
            "port": address.port,
            "login": address.user,
            "password": address.password,
        }
        for name, address in ((SOURCE_CONNECTION, source), (TARGET_CONNECTION, target))
    }


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
