"""The connection form, as a browser shows it: a real API server, Debian's chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")
STARTUP = 45.0
"""Seconds that the API server may take to answer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API server on SQLite, everybody an admin, in a home of its own."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    home = tmp_path_factory.mktemp("airflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    airflow = [sys.executable, "-m", "airflow"]
    subprocess.run([*airflow, "db", "migrate"], env=environment, check=True, capture_output=True, timeout=120)
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


def test_the_form_shows_every_field(server: str, tmp_path: Path) -> None:
    expect = sync_api.expect
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1500}, locale="en-US")
        page.set_default_timeout(20_000)
        page.goto(f"{server}/connections")
        page.get_by_role("button", name="Add Connection").click()
        form = page.get_by_role("dialog")
        form.get_by_role("combobox").first.click()
        page.keyboard.type("TDengine")
        form.get_by_role("option", name="TDengine", exact=True).click()

        for label in ("Host", "Port", "User", "Password", "Database"):
            expect(form.get_by_text(label, exact=True)).to_be_visible()
        expect(form.locator("input[name=port]")).to_have_attribute("placeholder", "6041")

        form.get_by_role("button", name="Extra Fields", exact=True).click()
        protocol = form.locator("input[name=element_protocol]")
        expect(protocol).to_have_value("ws")
        expect(form.locator("input[name=element_token]")).to_have_attribute("type", "password")
        for name in ("connect_timeout", "timeout", "ca_file", "timezone"):
            expect(form.locator(f"input[name=element_{name}]")).to_be_visible()
        expect(form.locator("input[name=element_verify]")).to_be_checked()
        expect(form.locator("input[name=element_compression]")).not_to_be_checked()

        form.get_by_role("combobox").nth(1).click()
        expect(form.get_by_role("option")).to_have_text(["ws", "wss", "http", "https"])
        page.screenshot(path=os.environ.get("SCREENSHOT") or tmp_path / "form.png")
        form.get_by_role("option", name="wss", exact=True).click()
        expect(protocol).to_have_value("wss")
        browser.close()
