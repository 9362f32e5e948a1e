"""The box as a program, real clients against it, and what importing it costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest
import taosrest

from airflow_provider_tdengine.testing import TDengineBox

ROOT = Path(__file__).parents[3]


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The box in a process of its own, and its address."""
    command = [sys.executable, "-m", "airflow_provider_tdengine.testing", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield process, line.split()[-1] if line else ""
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_serves_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    statements = tmp_path / "statements.sql"
    statements.write_text("create database demo\n\ncreate table demo.t (ts timestamp, v int)\n", encoding="utf-8")
    with program("--version", "2.4.0.18", "--init", str(statements)) as (process, url):
        answer = httpx.post(f"{url}/rest/sql", content="show demo.tables", auth=("root", "taosdata")).json()
        assert [row[0] for row in answer["data"]] == ["t"]
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, out, errors) == (0, "", "")


def test_a_version_that_is_none() -> None:
    with program("--version", "1.6.0") as (process, _):
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "1.6.0" in errors


@pytest.mark.parametrize("version", ["2.4.0.18", "3.3.3.0"])
def test_taosrest(version: str, make_tdengine_box) -> None:  # type: ignore[no-untyped-def]
    box: TDengineBox = make_tdengine_box(version=version)
    connection = taosrest.connect(url=box.url, user="root", password="taosdata", timezone="UTC")
    assert connection.server_info == version
    assert connection.execute("create database d keep 36500") == 0
    connection.execute("create table d.t (ts timestamp, v int, n nchar(10))")
    assert connection.execute("insert into d.t values (1609459200000, 1, '你好') (1609459200001, null, null)") == 2
    cursor = connection.cursor()
    cursor.execute("select * from d.t")
    first = datetime(2021, 1, 1, tzinfo=timezone.utc)
    assert list(cursor.fetchall()) == [[first, 1, "你好"], [first.replace(microsecond=1000), None, None]]
    with pytest.raises(taosrest.ConnectError, match="does not exist"):
        connection.query("select * from d.nosuch")


# taosws holds Python's lock while it connects, so the box cannot be in its process.
TAOSWS = """
import sys, taosws
connection = taosws.connect(f"taosws://root:taosdata@{sys.argv[1]}")
for sql in (
    "create database d keep 36500",
    "create stable d.s (ts timestamp, v int, n nchar(10), b binary(10), f float, o bool) tags (g int)",
    "create table d.t using d.s tags (7)",
):
    connection.execute(sql)
print(connection.execute(
    "insert into d.t values (1609459200000, 1, '你好', 'a', 1.5, true) (1609459200001, null, null, null, null, null)"
))
for row in connection.query("select v, n, b, f, o, g from d.s"):
    print(row)
try:
    connection.query("select * from d.nosuch")
except taosws.Error as error:
    print("does not exist" in str(error))
"""


@pytest.mark.parametrize("version", ["2.4.0.18", "3.3.3.0"])
def test_taosws(version: str) -> None:
    """With 2.4 it waits five seconds for the answer to a message that 2.4 does not answer."""
    with program("--version", version) as (_, url):
        client = subprocess.run(
            [sys.executable, "-c", TAOSWS, url.removeprefix("http://")],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert client.stdout.splitlines() == [
        "2",
        "(1, '你好', 'a', 1.5, True, 7)",
        "(None, None, None, None, None, 7)",
        "True",
    ], client.stderr


def test_importing_the_fixtures_is_cheap() -> None:
    code = """
    import sys
    import airflow_provider_tdengine.testing.fixtures
    print(sorted({"aiohttp", "numpy", "airflow"} & set(sys.modules)))
    import airflow_provider_tdengine.testing.box
    print(sorted({"aiohttp", "numpy", "airflow"} & set(sys.modules)))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.splitlines() == ["[]", "['aiohttp', 'numpy']"]
