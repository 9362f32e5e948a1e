"""A PostgreSQL of the tests' own: from the machine's packages, in a temporary directory, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A server with an empty database.

    Parameters:
        programs: where initdb and postgres are.

    Returns:
        Its URL, as SQLAlchemy has it.
    """
    # The server refuses to be root.
    user = _USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        directory = Path(name)
        if user:
            shutil.chown(directory, user)
        data = directory / "data"
        initdb = [programs / "initdb", "-D", data, "-U", _USER, "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(initdb, user=user, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        settings = [f"--{setting}={value}" for setting, value in _SETTINGS.items()]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", directory, *settings],
            user=user,
            cwd=directory,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(programs, directory, server)
            yield f"postgresql+psycopg2://{_USER}@/postgres?host={directory}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _wait(programs: Path, directory: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    ready = [programs / "pg_isready", "-q", "-h", directory, "-U", _USER]
    while subprocess.run(ready, check=False).returncode:
        assert server.poll() is None, "PostgreSQL ended at once"
        assert time.monotonic() < deadline, f"PostgreSQL did not start within {_START_SECONDS} s"
        time.sleep(0.1)
