"""What goes on while things break: rows are written to a source that is followed, and histories are migrated."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..wild.comparer import Contents, differences, read
from ..wild.generator import SIZES, fill
from ..wild.server import Refused
from .plant import HISTORY, Plant

LIVE, LIVE_COPY = "soak_live", "soak_live_copy"
OLD, OLD_COPY = "soak_old", "soak_old_copy"

_DAY = 86_400_000
_MOST_CLEARS = 20


class Writer(threading.Thread):
    """Writes rows, most of now, some late and some once more; makes, changes and drops tables.

    Parameters:
        plant: whose source is written to.
        rng: what decides.
        rows: a second.
    """

    def __init__(self, plant: Plant, rng: Random, rows: int) -> None:
        super().__init__(daemon=True)
        self._server, self._rng, self._rows = plant.source.server, rng, rows
        self._ended = threading.Event()
        self._columns = ["v"]
        self._made = 0
        self.tables: list[str] = []
        self.dropped: set[str] = set()
        self.written = 0
        self.error: Exception | None = None
        update = "update 1" if self._server.generation == 2 else ""
        self._server.run(f"drop database if exists {LIVE}")
        self._server.run(f"create database {LIVE} precision 'ms' keep 36500 {update}")
        self._server.run(f"create stable {LIVE}.m (ts timestamp, v double) tags (g int, t binary(20))")
        for _ in range(20):
            self._make()
        for back in range(30, 0, -1):
            self._insert(self.tables, int(time.time() * 1000) - back * _DAY, 50)

    def run(self) -> None:
        try:
            while not self._ended.wait(0.5):
                self._step()
        except (Refused, ConnectionError) as error:
            self.error = error

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _step(self) -> None:
        now, rng = int(time.time() * 1000), self._rng
        some = rng.sample(self.tables, min(len(self.tables), 10))
        each = max(1, self._rows // 2 // len(some))
        self._insert(some, now - each, each)
        what = rng.random()
        if what < 0.1:
            # Late, and the second time at the same place: other values.
            self._insert(some[:2], now - rng.choice([2_000, 60_000, 3_600_000, 20 * _DAY]), 5)
        elif what < 0.15:
            self._make()
        elif what < 0.17:
            self._server.run(f"alter table {LIVE}.{some[0]} set tag g = {rng.randrange(1000)}")
        elif what < 0.175 and len(self._columns) < 6:
            column = f"c{len(self._columns)}"
            self._server.run(f"alter stable {LIVE}.m add column {column} {rng.choice(['int', 'double', 'binary(12)'])}")
            self._columns.append(column)
        elif what < 0.18 and len(self.tables) > 15:
            gone = self.tables.pop(rng.randrange(len(self.tables)))
            self.dropped.add(gone)
            self._server.run(f"drop table if exists {LIVE}.{gone}")
        elif what > 0.985:
            # Silence, in which whoever follows leaves the worker.
            self._ended.wait(rng.uniform(5, 20))

    def _make(self) -> None:
        table = f"d{self._made}"
        self._made += 1
        self._server.run(
            f"create table if not exists {LIVE}.{table} using {LIVE}.m tags ({self._made}, 'hall {table}')"
        )
        self.tables.append(table)

    def _insert(self, tables: list[str], first: int, rows: int) -> None:
        names = ", ".join(["ts", *self._columns])

        def row(time: int) -> str:
            return f"({time}, {', '.join(str(self._rng.randrange(10_000)) for _ in self._columns)})"

        self._server.run(
            "insert into "
            + " ".join(
                f"{LIVE}.{table} ({names}) values {' '.join(row(first + i) for i in range(rows))}" for table in tables
            )
        )
        self.written += rows * len(tables)


@dataclass
class Ended:
    """What a migration of a history came to.

    Parameters:
        what: "equal" or "green lie", or "stuck".
        cause: of what is wrong.
        reds: why it was red, and was cleared, before it was green.
    """

    what: str
    cause: str = ""
    reds: list[str] = field(default_factory=list)


class Migrations(threading.Thread):
    """Migrates a database of random contents over and over.

    Parameters:
        plant: where.
        seed: of the database.
    """

    def __init__(self, plant: Plant, seed: int) -> None:
        super().__init__(daemon=True)
        self._plant = plant
        self._ended = threading.Event()
        source, target = plant.source.server, plant.target.server
        source.run(f"drop database if exists {OLD}")
        fill(source, OLD, seed, SIZES["small"], target.version)
        self._holds: Contents = read(source, OLD)
        self.outcomes: list[Ended] = []
        self.error: Exception | None = None

    @property
    def rows(self) -> int:
        """Of the database that is migrated."""
        return self._holds.rows

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self._migrate(f"history_{len(self.outcomes)}")
        except Exception as error:  # noqa: BLE001  said at the end, where the soak fails of it
            self.error = error

    def end(self) -> None:
        """Begin no other; what runs comes to its end."""
        self._ended.set()
        self.join()

    def _migrate(self, run: str) -> None:
        plant, ended = self._plant, Ended("stuck")
        self.outcomes.append(ended)
        conf: dict[str, object] = {
            "source_database": OLD,
            "target_database": OLD_COPY,
            "workers": 2,
            "update_tags": True,
        }
        plant.target.server.run(f"drop database if exists {OLD_COPY}")
        plant.api.trigger(HISTORY, run, conf)
        for _ in range(_MOST_CLEARS):
            if not plant.api.wait(lambda: plant.api.state(HISTORY, run) in ("success", "failed"), 900):
                return
            if plant.api.state(HISTORY, run) == "success":
                found = differences(self._holds, read(plant.target.server, OLD_COPY))
                ended.what = "green lie" if found else "equal"
                ended.cause = "; ".join(f"{table!r}: {what}" for table, what in list(found.items())[:3])
                return
            ended.reds.append(why(plant, HISTORY, run))
            plant.api.clear_failed(HISTORY, run)
            time.sleep(2)
        ended.cause = f"red after {_MOST_CLEARS} clears: {ended.reds[-1]}"


def why(plant: Plant, dag: str, run: str) -> str:
    """Why a run is red: the task, and what it said; without a word, it was killed, or it is a fault of ours."""
    for task in plant.api.tasks(dag, run):
        if task["state"] == "failed":
            found = plant.api.findings(dag, run, task)
            return f"{task['task_id']}: {'; '.join(found) or _last_error(plant.api.log(dag, run, task))}"
    return "no failed task"


def _last_error(log: str) -> str:
    """The last line of a log that is a warning or worse, and no traceback."""
    try:
        content: list[Any] = json.loads(log)["content"]
    except (ValueError, KeyError):
        return "without a word"
    bad = [
        str(one["event"])
        for one in content
        if isinstance(one, dict)
        and one.get("level") in ("error", "critical", "warning")
        and not one.get("error_detail")
    ]
    return bad[-1] if bad else "without a word"
