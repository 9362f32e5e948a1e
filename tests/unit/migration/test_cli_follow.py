"""The command line follows until Ctrl-C, says how far it came, and goes on from there: as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import SOURCE, TARGET, BoxPair, T

PATIENCE = 180.0
"""Seconds after which a test gives up."""

HISTORY = 5_000
"""Rows of before."""


@pytest.fixture
def site(faulty: BoxPair) -> BoxPair:
    """A subtable with a row of 2021."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int)",
        f"insert into {SOURCE}.d1 using {SOURCE}.m tags (1) values ({T}, 0)",
    )
    return faulty


def insert(pair: BoxPair, *tables: str) -> None:
    """A row of now in each table."""
    moment = int(time.time() * 1000)
    pair.sql(f"insert into {SOURCE}." + f" {SOURCE}.".join(f"{table} values ({moment}, 1)" for table in tables))


def rows(pair: BoxPair) -> int:
    found = [name for name, *_ in pair.target.rows("show databases")]
    stables = pair.target.rows(f"show {TARGET}.stables") if TARGET in found else []
    return int(str(pair.target.rows(f"select count(*) from {TARGET}.m")[0][0])) if stables else 0


def counted(folder: Path) -> int:
    """Rows that the position knows of, which is moved when a round is done."""
    (file,) = folder.glob("*/position.json")
    return int(json.loads(file.read_text(encoding="utf-8"))["kept"]["rows"])


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Call:
    """A call of `airflow-tdengine migrate` that runs.

    Parameters:
        process: of it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def interrupted(self) -> tuple[int, str]:
        """Ctrl-C; its exit status and what it said."""
        self._process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Its exit status and what it said."""
        said, complaints = self._process.communicate(timeout=PATIENCE)
        assert "Traceback" not in said + complaints
        return self._process.returncode, said + complaints


@contextmanager
def migrating(pair: BoxPair, folder: Path, *arguments: str, name: str = "migrate") -> Iterator[Call]:
    sides = [str(client.address).replace("://", "://root:taosdata@") for client in (pair.source, pair.target)]
    command = [sys.executable, "-m", "airflow_provider_tdengine.cli", name, "--poll-interval", "0.2"]
    command += ["--source-conn-id", sides[0], "--target-conn-id", sides[1], "--state", str(folder)]
    command += ["--source-database", SOURCE, "--target-database", TARGET, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Call(process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("mode", "before"), [("realtime", 0), ("both", HISTORY)])
def test_rows_are_copied_as_they_arrive_until_ctrl_c(site: BoxPair, tmp_path: Path, mode: str, before: int) -> None:
    site.sql(f"insert into {SOURCE}.d1 values " + " ".join(f"({T + step}, 0)" for step in range(1, HISTORY)))
    with migrating(site, tmp_path, "--mode", mode, "--json") as call:
        # Following has begun when its position is kept.
        until(lambda: bool(list(tmp_path.glob("*/position.json"))))
        insert(site, "d1")
        until(lambda: rows(site) == before + 1)
        until(lambda: counted(tmp_path) > 0)
        status, said = call.interrupted()
    assert status == 0
    result = json.loads(said[said.rindex('{"watermark"') :].splitlines()[0])
    assert (result["rows"] >= 1, result["refused"]) == (True, 0)
    # What comes meanwhile is copied when the command is given again, which does not begin anew.
    site.sql(f"create table {SOURCE}.d2 using {SOURCE}.m tags (2)")
    insert(site, "d1", "d2")
    read = site.source_box.rows_read
    with migrating(site, tmp_path, "--mode", mode) as call:
        until(lambda: rows(site) == before + 3)
        status, said = call.interrupted()
    assert status == 0
    assert "The same command goes on from here" in said
    assert "✓ copy" not in said
    # A round reads a few, and nobody knows how many rounds there were.
    assert site.source_box.rows_read - read < HISTORY
    # What is left is copied, and all is compared; after that, nothing is followed.
    insert(site, "d1")
    with migrating(site, tmp_path, "--mode", mode, name="finish") as call:
        status, said = call.ended()
    assert (status, rows(site)) == (0, before + 4)
    assert "Equal: 4 rows in 2 tables" in said
    with migrating(site, tmp_path, "--mode", mode, name="finish") as call:
        status, said = call.ended()
    assert (status, "Nothing is followed" in said) == (2, True)


def test_refused_rows_are_exit_status_1(site: BoxPair, tmp_path: Path) -> None:
    site.sql(f"create table {SOURCE}.far (ts timestamp, due timestamp)")
    site.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    letters = ["--on-error", "dead_letter", "--dead-letter-path", str(tmp_path / "letters")]
    with migrating(site, tmp_path / "state", "--mode", "realtime", *letters) as call:
        until(lambda: bool(list(tmp_path.glob("state/*/position.json"))))
        site.sql(f"insert into {SOURCE}.far values ({int(time.time() * 1000)}, 9999999999999)")
        until(lambda: bool(list((tmp_path / "letters").rglob("*.jsonl"))))
        # The position is moved when the round is done.
        insert(site, "d1")
        until(lambda: rows(site) == 1)
        status, said = call.interrupted()
    assert status == 1
    assert "The target refused 1 row; they are in" in said


def test_history_that_differs_is_not_followed(site: BoxPair, tmp_path: Path) -> None:
    site.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    site.target.execute(f"create stable {TARGET}.m (ts timestamp, v double) tags (g int)")
    site.target.execute(f"insert into {TARGET}.d1 using {TARGET}.m tags (1) values ({T + 1}, 7)")
    with migrating(site, tmp_path, "--mode", "both") as call:
        status, said = call.ended()
    assert status == 1
    assert "until Ctrl-C" not in said
    assert not list(tmp_path.glob("*/position.json"))
