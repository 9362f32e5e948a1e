"""Breaks everything around a whole Airflow that migrates, for minutes or hours; `python -m tests.soak --help`."""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from ..wild.comparer import differences, read
from .faults import harms
from .load import LIVE, LIVE_COPY, Migrations, Writer, why
from .plant import FOLLOW, HISTORY, Plant, plant

_RUN = "soak"
_MOST_CLEARS = 20
_PATIENCE = 900
"""Seconds for what has to come about when nothing breaks any more."""


def main() -> int:
    arguments = _arguments()
    # Whoever stops it has all that it started stopped; in the background, where SIGINT is not heard, too.
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.default_int_handler)
    restarts = {"source": arguments.restart_source, "target": arguments.restart_target}
    # It is kept: the logs of Airflow say why something went wrong.
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="soak-"))
    print(f"Airflow and its logs are in {folder}", flush=True)
    with plant(arguments.source, arguments.target, restarts, folder) as here:
        return _Soak(here, arguments).run()


class _Soak:
    def __init__(self, plant: Plant, arguments: argparse.Namespace) -> None:
        self._plant, self._arguments = plant, arguments
        self._rng = Random(f"soak {arguments.seed}")
        self._happened: Counter[str] = Counter()
        self._reds: list[str] = []

    def run(self) -> int:
        plant = self._plant
        said = f"{plant.source.server.version_text} to {plant.target.server.version_text}, seed {self._arguments.seed}"
        print(said, flush=True)
        plant.target.server.run(f"drop database if exists {LIVE_COPY}")
        writer = Writer(plant, self._rng, self._arguments.rows)
        migrations = Migrations(plant, self._arguments.seed)
        for dag in (FOLLOW, HISTORY):
            plant.api.unpause(dag)
        plant.api.trigger(FOLLOW, _RUN, {"source_database": LIVE, "target_database": LIVE_COPY, "poll_interval": 1})
        writer.start()
        migrations.start()
        self._break(writer, migrations)
        print("no more faults; writers and migrations come to their end", flush=True)
        for side in (plant.source, plant.target):
            side.line.begin()
            if side.box:
                side.box.faults.clear()
        writer.end()
        migrations.end()
        is_finished = self._finish()
        found = self._different(writer)
        self._say(writer, migrations, found, is_finished=is_finished)
        good = is_finished and not found and not writer.error and not migrations.error
        return 0 if good and all(one.what == "equal" for one in migrations.outcomes) else 1

    def _break(self, writer: Writer, migrations: Migrations) -> None:
        """One fault after the other, until it is time."""
        all_harms = harms(self._plant)
        until, said = time.monotonic() + self._arguments.seconds, time.monotonic()
        while time.monotonic() < until and not writer.error and not migrations.error:
            time.sleep(self._rng.expovariate(1 / self._arguments.every))
            harm = self._rng.choice(all_harms)
            harm.do(self._rng)
            self._happened[harm.name] += 1
            self._go_on()
            if time.monotonic() > said + 30:
                said = time.monotonic()
                print(
                    f"{until - said:6.0f} s to go: {self._happened.total()} faults, {writer.written} rows written, "
                    f"{len(migrations.outcomes)} migrations, {self._of_histories(migrations)} reds",
                    flush=True,
                )

    def _go_on(self) -> bool:
        """Clear what failed of the follow, as somebody does who has read why; whether nothing had."""
        plant = self._plant
        if plant.api.state(FOLLOW, _RUN) != "failed":
            return True
        self._reds.append(why(plant, FOLLOW, _RUN))
        plant.api.clear_failed(FOLLOW, _RUN)
        return False

    def _finish(self) -> bool:
        """End the follow; whether its last task is green."""
        api, most = self._plant.api, len(self._reds) + _MOST_CLEARS

        def comes_to(is_so: Callable[[], bool]) -> bool:
            """Whether something comes about in time, and before too many clears."""
            api.wait(lambda: (self._go_on() and is_so()) or len(self._reds) > most, _PATIENCE)
            return len(self._reds) <= most and is_so()

        if not comes_to(lambda: self._follow_is("running", "deferred")):
            return False
        time.sleep(5)
        api.finish(FOLLOW, _RUN)
        return comes_to(lambda: api.state(FOLLOW, _RUN) == "success")

    def _follow_is(self, *states: str) -> bool:
        return any(
            task["task_id"] == "follow" and task["state"] in states for task in self._plant.api.tasks(FOLLOW, _RUN)
        )

    def _different(self, writer: Writer) -> dict[str, str]:
        source, target = read(self._plant.source.server, LIVE), read(self._plant.target.server, LIVE_COPY)
        self._rows = (
            source.rows,
            sum(len(table.rows) for name, table in target.tables.items() if name not in writer.dropped),
        )
        return {table: what for table, what in differences(source, target).items() if table not in writer.dropped}

    @staticmethod
    def _of_histories(migrations: Migrations) -> int:
        return sum(len(one.reds) for one in migrations.outcomes)

    def _say(self, writer: Writer, migrations: Migrations, found: dict[str, str], *, is_finished: bool) -> None:
        print("\nfaults")
        for name, count in sorted(self._happened.items()):
            print(f"  {name:<34}{count:>5}")
        outcomes = Counter(one.what for one in migrations.outcomes)
        print(f"\n{len(migrations.outcomes)} histories of {migrations.rows} rows: {dict(outcomes)}")
        for one in migrations.outcomes:
            if one.cause:
                print(f"  {one.what}: {one.cause}")
        reds = Counter([red for one in migrations.outcomes for red in one.reds])
        for title, causes in (("red, then cleared", reds), ("follow red, then cleared", Counter(self._reds))):
            for red, count in causes.most_common():
                print(f"  {title}, {count} times: {' '.join(red.split())[:300]}")
        ours, theirs = self._rows
        verdict = "equal" if not found else f"{len(found)} tables differ"
        print(f"\nfollowed: {writer.written} rows written, {ours} in the source, {theirs} in the target: {verdict}")
        for table, what in list(found.items())[:10]:
            print(f"  {table}: {what}")
        for error in filter(None, (writer.error, migrations.error)):
            print(f"the soak itself failed: {error!r}")
        if not is_finished:
            print("the follow did not come to a green end")
        print(f"{self._happened.total()} faults", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Lets an Airflow follow a database that is written to, and migrate another one over and over, "
        "while lines, servers and parts of Airflow break; says what happened, and whether all rows arrived.",
    )
    box = "or box:VERSION for a simulated server"
    parser.add_argument(
        "--source", default="box:2.4.0.18", help=f"URL such as ws://root:taosdata@localhost:6041, {box}"
    )
    parser.add_argument("--target", default="box:3.3.3.0", help="the same, of 3.x")
    parser.add_argument("--restart-source", default="", help="a command that stops a real source and starts it again")
    parser.add_argument("--restart-target", default="", help="the same for a real target")
    parser.add_argument("--folder", default="", help="where Airflow is kept, with its logs (default: a temporary one)")
    parser.add_argument("--seconds", type=float, default=1800, help="how long things break (default: 1800)")
    parser.add_argument("--every", type=float, default=5, help="seconds between faults, on average (default: 5)")
    parser.add_argument("--rows", type=int, default=200, help="that are written a second (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="what decides about everything (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
