"""A shape moved from one server to another: by the engine, by a plain script, by taosdump."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from airflow_provider_tdengine.client import Address
from benchmarks.engine import Figures, Job
from benchmarks.script import Done, Settings
from benchmarks.servers import Server
from benchmarks.shapes import STABLE, TAGS, Shape, count, create, drop

SCRIPT_SECONDS = 10.0
"""How long the script runs: its time grows with its rows, so the rest is reckoned."""

_ROOT = Path(__file__).parents[1]
_NATIVE_PORT = -11
"""From the port of the taosAdapter to that of taosd, which taosdump asks: 6041 and 6030."""

_T = TypeVar("_T")


class BenchmarkFailed(Exception):
    """What was measured did not do its work."""


@dataclass(frozen=True)
class Rival:
    """What another program took for a shape.

    Parameters:
        seconds: for the whole shape; reckoned from the rows that it copied, where these are fewer.
        rows: how many it copied.
        lost: how many of them are not in the target.
    """

    seconds: float
    rows: int
    lost: int


def run_engine(shape: Shape, source: Server, target: Server, folder: str = "", **options: object) -> Figures:
    """A migration of a shape; the copy stays in the target.

    Parameters:
        shape: what the source has been filled with.
        source: the source.
        target: the target; its database of an earlier run is dropped.
        folder: an empty one, to go by an export and its import; empty text for a direct migration.
        options: of the migration.

    Raises:
        BenchmarkFailed: it failed, or not all rows arrived.
    """
    database = _copy_of(shape)
    drop(target.client, database)
    given = {"source_database": shape.database, "target_database": database, **options}
    figures = Figures(**json.loads(_process("engine", asdict(Job(source.url, target.url, given, folder)))))
    if figures.verified is not None and (figures.differences or {figures.rows, figures.verified} != {shape.total}):
        found = "; ".join(figures.differences) or "no difference between source and target"
        raise BenchmarkFailed(
            f"{shape.name}: {shape.total} rows were to be copied, {figures.rows} were, and {figures.verified} of the "
            f"target are as in the source ({found})"
        )
    return figures


def run_script(shape: Shape, source: Server, target: Server, seconds: float = SCRIPT_SECONDS) -> Rival:
    """The same with taosrest, for some seconds.

    Raises:
        BenchmarkFailed: the script failed.
    """
    database = _copy_of(shape)
    create(target.client, database, shape)
    address = target.client.address
    settings: Settings = {
        "source": source.client.address.rest_url,
        "target": address.rest_url,
        "source_account": _account(source.client.address),
        "target_account": _account(address),
        "source_database": shape.database,
        "target_database": database,
        "stable": STABLE,
        "tags": [tag.name for tag in TAGS],
        "seconds": seconds,
    }
    done: Done = json.loads(_process("script", settings))
    rows = done["tables"] * shape.rows
    lost = rows - count(target.client, database)
    return Rival(done["listing"] + done["copying"] * shape.subtables / done["tables"], rows, lost)


def why_no_taosdump(source: Server, target: Server) -> str | None:
    """Why taosdump cannot be measured; None if it can."""
    if source.simulated or target.simulated:
        return "simulated servers do not speak its protocol"
    if source.client.generation != target.client.generation:
        return "a taosdump of 3.x does not read 2.x"
    return None if shutil.which("taosdump") else "there is none on PATH"


def run_taosdump(shape: Shape, source: Server, target: Server) -> Rival:
    """The same with `taosdump -o`, then `taosdump -i`.

    Raises:
        BenchmarkFailed: taosdump failed.
    """
    database = _copy_of(shape)
    drop(target.client, database)
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder, "dump")
        dump.mkdir()
        started = time.monotonic()
        _taosdump(source, folder, "-D", shape.database, "-o", str(dump))
        _taosdump(target, folder, "-i", str(dump), "-W", f"{shape.database}={database}")
        seconds = time.monotonic() - started
    return Rival(seconds, shape.total, shape.total - count(target.client, database))


def _taosdump(server: Server, folder: str, *arguments: str) -> None:
    address = server.client.address
    account = ["-h", address.host, "-P", str(address.port + _NATIVE_PORT), "-u", address.user, f"-p{address.password}"]
    Path(folder, "taos.cfg").write_text(f"logDir {folder}\n", encoding="ascii")
    done = subprocess.run(
        ["taosdump", "-c", folder, *account, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"taosdump ended with {done.returncode}: {(done.stderr or done.stdout)[-500:].strip()}")


def drop_copy(shape: Shape, target: Server) -> None:
    """Remove what the last run has left in the target."""
    drop(target.client, _copy_of(shape))


def repeat(runs: int, action: Callable[[], _T], seconds: float = 150.0) -> list[_T]:
    """Results of so many runs; fewer where these take longer than some seconds together."""
    started = time.monotonic()
    results = [action()]
    while len(results) < runs and time.monotonic() - started < seconds:
        results.append(action())
    return results


def _copy_of(shape: Shape) -> str:
    return f"{shape.database}_copy"


def _account(address: Address) -> dict[str, str]:
    return {"token": address.token} if address.token else {"user": address.user, "password": address.password}


def _process(module: str, given: object) -> str:
    """A module of this package in a process of its own, JSON in and out.

    Raises:
        BenchmarkFailed: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}"],
        input=json.dumps(given),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    if done.returncode:
        raise BenchmarkFailed(f"benchmarks.{module} failed: {done.stderr[-2000:].strip()}")
    return done.stdout
