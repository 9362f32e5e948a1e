"""Pages of Airflow as a browser shows them: a real API server, Debian's chromium."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..chromium import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXAMPLES = Path(__file__).parents[2] / "example_dags"
STARTUP = 180.0
"""Seconds that the API server may take to answer."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API server on SQLite with the example DAGs, everybody an admin, in a home of its own."""
    home = tmp_path_factory.mktemp("airflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    airflow = [sys.executable, "-m", "airflow"]
    for command in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run([*airflow, *command], env=environment, check=True, capture_output=True, timeout=300)
    log = home / "api-server.log"
    with log.open("wb") as output:
        command = [*airflow, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/api/v2/monitor/health", process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the API server did not come up:\n{log.read_text()[-3000:]}")


@pytest.fixture
def page(server: str) -> Iterator[Page]:
    """A page of the server, tall enough for a form."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 1500}, locale="en-US", base_url=server)
        page.set_default_timeout(20_000)
        yield page
