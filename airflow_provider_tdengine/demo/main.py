"""The demo from its first line to its last."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.demo.compare import Group, compare
from airflow_provider_tdengine.demo.data import DATABASE, FLEET, PLANTS, ROWS, SUBTABLES, fill
from airflow_provider_tdengine.demo.home import DAG_ID, AirflowHome, DemoError, go, shown
from airflow_provider_tdengine.demo.ui import AirflowUi
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.screen import Screen
from airflow_provider_tdengine.testing import TDengineBox

_DATABASES = (*PLANTS, DATABASE)

SOURCE_VERSION, TARGET_VERSION = "2.4.0.18", "3.3.3.0"

_T = TypeVar("_T")

_GOING_ON = {
    "start": "Airflow loads the DAG",
    "resolve": "options and servers are checked",
    "sync_schema": "tables are created in the target",
    "plan": "rows are counted and cut into batches",
    "verify": "what arrived is compared",
    "certify": "batches are added up, tags and structure compared",
}

_MAPPED = ("copy", "verify")
"""Stages that are a task for each batch."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.1
_SHOWN_LINES = 8


def main(given: Sequence[str] | None = None) -> int:
    """Run the demo.

    Parameters:
        given: the command line, without the program; None for the process's own.

    Returns:
        The exit status: 0 only if the run was green and all rows are equal.
    """
    arguments = _arguments(given)
    screen = Screen()
    before = {number: signal.signal(number, _interrupt) for number in _STOP_SIGNALS}
    try:
        with (
            AirflowHome(arguments.home) as home,
            TDengineBox(version=SOURCE_VERSION) as source,
            TDengineBox(version=TARGET_VERSION) as target,
        ):
            try:
                servers = Servers(source, target, arguments.rows)
                servers.introduce(screen)
                if arguments.ui:
                    serve(screen, home, servers)
                return 0 if migrate(screen, home, servers) else 1
            except KeyboardInterrupt:
                screen.line("Stopping ...")
                raise
    except DemoError as error:
        screen.failure(str(error))
        return 1
    except KeyboardInterrupt:
        screen.line("Stopped.")
        # With --ui, nothing else could end it.
        return 0 if arguments.ui else 128 + signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_tdengine.demo",
        description="Three TDengine 2.4 databases arrive in a 3.3 server, through one run of an Airflow DAG.",
    )
    parser.add_argument("--ui", action="store_true", help="leave Airflow running, to be used in a browser")
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="where files are kept (default: .demo)")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of the 2.4 databases (default: {ROWS})")
    return parser.parse_args(given)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # One is enough: a second one would leave processes behind.
    for other in _STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


@dataclass(frozen=True)
class Servers:
    """The two servers.

    Parameters:
        source: of 2.4.
        target: of 3.3.
        rows: how many rows the source's databases get.
    """

    source: TDengineBox
    target: TDengineBox
    rows: int

    def introduce(self, screen: Screen) -> None:
        """Say what they are."""
        screen.heading(
            f"TDengine {self.source.version} databases go to {self.target.version}, by one run of an Airflow DAG"
        )
        screen.line("Both servers are simulated in this process; Airflow and the migration are the real ones.")
        screen.line(f"  source  {self.source.url}   TDengine {self.source.version}, databases {', '.join(_DATABASES)}")
        screen.line(f"  target  {self.target.url}   TDengine {self.target.version}, empty")

    @property
    def addresses(self) -> tuple[Address, Address]:
        """Of source and target, for WebSocket."""
        source, target = (Address(host=box.host, port=box.port) for box in (self.source, self.target))
        return source, target

    @property
    def catalogs(self) -> dict[str, tuple[Catalog, Catalog]]:
        """Source and target of each database."""
        source, target = map(Client, self.addresses)
        return {name: (Catalog(source, name), Catalog(target, name)) for name in _DATABASES}


def prepare(screen: Screen, home: AirflowHome, servers: Servers, start_airflow: Callable[[], _T]) -> _T:
    """Fill the source; Airflow starts meanwhile.

    Parameters:
        screen: where it is shown.
        home: where `start_airflow` starts processes.
        servers: empty ones.
        start_airflow: called in another thread.

    Returns:
        What `start_airflow` returned.
    """
    screen.heading("Preparing")
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start_airflow)
        try:
            with screen.bar("fill", servers.rows) as report:
                fill(servers.source, servers.rows, report)
            text = f"{servers.rows:,} rows in {SUBTABLES} subtables and a normal table of {len(_DATABASES)} databases"
            screen.stage("fill", time.monotonic() - started, text)
            with screen.bar("airflow", what="Airflow makes its database"):
                airflow = starting.result()
        except BaseException:
            # Or the other thread would go on starting them.
            home.stop()
            raise
    screen.stage("airflow", time.monotonic() - started, "started at the same time, in a home of its own")
    return airflow


def serve(screen: Screen, home: AirflowHome, servers: Servers) -> NoReturn:
    """Leave Airflow running."""

    def start() -> AirflowUi:
        home.make_database()
        ui = AirflowUi(home)
        ui.start(*servers.addresses)
        return ui

    ui = prepare(screen, home, servers, start)
    ui.migrate()
    ui.serve(screen)


# --- The migration


def migrate(screen: Screen, home: AirflowHome, servers: Servers) -> bool:
    """Run the DAG, then compare; true if it is green and all is equal."""
    conf = {"source_database": FLEET}

    def start() -> subprocess.Popen[bytes]:
        home.make_database()
        return home.load_dag(conf, *servers.addresses)

    process = prepare(screen, home, servers, start)
    screen.heading(f"DAG {DAG_ID}, source_database={FLEET}")
    run = _Run(screen, home.events, servers)
    go(process)
    if not run.watch(process):
        sentence = (run.error or "The process that runs it ended early").splitlines()
        _fail(screen, home, "The DAG run failed.", sentence)
        return False
    return prove(screen, home, servers, run.seconds)


def prove(screen: Screen, home: AirflowHome, servers: Servers, seconds: float) -> bool:
    """Compare the databases row for row; true if all is equal.

    Parameters:
        seconds: that the tasks of the DAG took.
    """
    screen.heading("Row for row: every value and every tag, read again from both servers")
    groups = compare_all(screen, servers)
    differences = [difference for group in groups for difference in group.differences]
    if differences:
        _fail(screen, home, "Source and target are not equal:", differences)
        return False
    rows = sum(group.rows for group in groups)
    screen.heading(f"All {rows:,} rows are equal. The tasks took {seconds:.1f} s; their log is in {shown(home.log)}")
    return True


def _fail(screen: Screen, home: AirflowHome, what: str, lines: list[str]) -> None:
    more = len(lines) - _SHOWN_LINES
    shortened = lines[:_SHOWN_LINES] + ([f"and {more} more"] if more > 0 else [])
    screen.failure("\n".join([what, *shortened, f"The log is {shown(home.log)}"]))


def compare_all(screen: Screen, servers: Servers) -> list[Group]:
    """Compare the databases, and show the result by super table."""
    groups: dict[str, list[Group]] = {}
    done, started = 0, time.monotonic()
    with screen.bar("compare", servers.rows) as report:
        for database, (source, target) in servers.catalogs.items():
            groups[database] = compare(source, target, partial(_report_from, report, done))
            done += sum(group.rows for group in groups[database])
    every = [group for found in groups.values() for group in found]
    equal = not any(group.differences for group in every)
    screen.stage("compare", time.monotonic() - started, f"{done:,} rows", good=equal)
    lines = [
        [
            database,
            group.name,
            "normal table" if group.subtables is None else f"{group.subtables:,}",
            f"{group.rows:,}",
            f"{len(group.differences)} different" if group.differences else "equal",
        ]
        for database, found in groups.items()
        for group in found
    ]
    screen.line()
    screen.table([("database", False), ("table", False), ("subtables", True), ("rows", True), ("result", False)], lines)
    return every


def _report_from(report: Callable[[int], None], before: int, rows: int) -> None:
    report(before + rows)


class _Run:
    """A run of the DAG, shown while it goes on.

    Parameters:
        screen: where it is shown.
        events: the file that Airflow's listener writes.
        servers: the rows that the target has written are the progress.
    """

    def __init__(self, screen: Screen, events: Path, servers: Servers) -> None:
        self.error: str | None = None
        self._screen = screen
        self._events = events
        self._read = 0
        self._servers = servers
        self._bar = ExitStack()
        self._report: Callable[[int], None] = lambda done: None
        self._since: dict[str, float] = {}
        self._batches = 0
        self._results: dict[str, list[Any]] = {task: [] for task in _MAPPED}
        self._failed: set[str] = set()
        self._first = self._latest = 0.0

    def watch(self, process: subprocess.Popen[bytes]) -> bool:
        """Show the run until it ends; true if it is green."""
        self._begin("start", time.time())
        with self._bar:
            while process.poll() is None:
                self._handle_new()
                self._report(self._servers.target.rows_written)
                time.sleep(_POLL_SECONDS)
            self._handle_new()
        return process.returncode == 0

    @property
    def seconds(self) -> float:
        """From the first task's begin to the last one's end."""
        return self._latest - self._first

    def _handle_new(self) -> None:
        text = self._events.read_text(encoding="utf-8")
        complete = text.rfind("\n") + 1
        for line in text[self._read : complete].splitlines():
            self._handle(json.loads(line))
        self._read = max(self._read, complete)

    def _handle(self, event: dict[str, Any]) -> None:
        task, moment = event["task"], event["time"]
        self._first, self._latest = self._first or moment, moment
        if task in self._failed:
            return
        if event["state"] == "running":
            if "start" in self._since:
                self._end("start", moment, "the run is made")
            self._begin(task, moment)
        elif event["state"] == "failed":
            # What failed first is the reason why others did.
            self.error = self.error or event["error"]
            self._failed.add(task)
            self._end(task, moment, "failed", good=False)
        elif task in _MAPPED:
            results = self._results[task]
            results.append(event["result"])
            if len(results) == self._batches:
                self._end(task, moment, _of_batches(task, results, max(moment - self._since[task], 0.001)))
        else:
            if task == "plan":
                self._batches = len(event["result"] or ())
            self._end(task, moment, _result(task, event["result"]))

    def _begin(self, task: str, moment: float) -> None:
        if task in self._since:
            return
        self._since[task] = moment
        self._bar.close()
        self._report = self._bar.enter_context(
            self._screen.bar(task, self._servers.rows if task == "copy" else None, _GOING_ON.get(task, ""))
        )

    def _end(self, task: str, moment: float, text: str, *, good: bool = True) -> None:
        self._bar.close()
        self._report = lambda done: None
        self._screen.stage(task, moment - self._since.pop(task, moment), text, good=good)


def _result(task: str, result: Any) -> str:
    """What a task returned, in a few words."""
    if task == "resolve":
        return f"both servers answer; rows before {str((result or {}).get('end'))[:19]} UTC are copied"
    if task == "sync_schema":
        return f"{len((result or {}).get('stables', ()))} super tables and {_number(result, 'tables')} tables created"
    if task == "plan":
        tasks = wording.number(len(result or ()), "task")
        return f"{_batches(result or ())} batches of {len(_DATABASES)} databases, in {tasks}"
    if task == "certify":
        tables, rows = _number(result, "tables"), _number(result, "rows")
        return f"{tables} tables, {rows:,} rows: the same values, tags and structure"
    return ""


def _of_batches(task: str, results: Sequence[Any], seconds: float) -> str:
    """What the tasks of all batches returned, in a few words."""
    rows = sum(_number(result, "rows") for result in results)
    more = f", {rows / seconds:,.0f} rows/s" if task == "copy" else ": what the target holds is what was copied"
    return f"{rows:,} rows in {_batches(results)} batches{more}"


def _batches(results: Sequence[Any]) -> int:
    """How many batches there are in packs."""
    return sum(len(result["parts"]) for result in results)


def _number(result: Any, name: str) -> int:
    value = result.get(name) if isinstance(result, dict) else None
    return value if isinstance(value, int) else 0
