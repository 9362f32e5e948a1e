"""A PostgreSQL of the tests' own: from the machine's packages, in a temporary directory, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"
_START_SECONDS = 120

# Nothing of it is to outlive the machine, so it need not wait for the disk.
_SETTINGS = {"listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def programs() -> Path | None:
    """The directory of PostgreSQL's programs, None where there are none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda file: float(file.parts[-3]))
    return versions[-1].parent if versions else None


class Postgres:
    """A server with an empty database; a context manager.

    Parameters:
        programs: where initdb and postgres are.

    Attributes:
        url: its URL, as SQLAlchemy has it.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # The server refuses to be root.
        self._user = _USER if os.geteuid() == 0 else None

    def __enter__(self) -> Postgres:
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-")
        self._directory = Path(self._folder.name)
        if self._user:
            shutil.chown(self._directory, self._user)
        settings = ["-U", _USER, "--auth=trust", "--no-sync", "-E", "UTF8"]
        initdb: list[str | Path] = [self._programs / "initdb", "-D", self._data, *settings]
        subprocess.run(initdb, user=self._user, cwd=self._directory, check=True, stdout=subprocess.DEVNULL)
        self.url = f"postgresql+psycopg2://{_USER}@/postgres?host={self._directory}"
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [f"--{setting}={value}" for setting, value in _SETTINGS.items()]
        self._server = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, "-k", self._directory, *settings],
            user=self._user,
            cwd=self._directory,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_SECONDS
        ready: list[str | Path] = [self._programs / "pg_isready", "-q", "-h", self._directory, "-U", _USER]
        while subprocess.run(ready, check=False).returncode:
            assert self._server.poll() is None, "PostgreSQL ended at once"
            assert time.monotonic() < deadline, f"PostgreSQL did not start within {_START_SECONDS} s"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, with its connections; its data stay."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait()
