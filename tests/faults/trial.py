"""A migration with faults, and the one after it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from ..unit.client.conftest import Certificate
from ..wild.comparer import Contents, differences, read
from ..wild.server import Server
from .proxy import KINDS, Fault, Line

HANGS = 90.0
"""Seconds after which a run is taken for stuck: all that it waits for is over after less than half of that."""

SOURCE, TARGET = "faults", "faults_to"


@dataclass
class Run:
    """What one run of the command line came to.

    Parameters:
        status: the exit status; None where it hung.
        said: what it wrote.
        seconds: how long it took.
        peak: its memory at most, in MB.
    """

    status: int | None
    said: str
    seconds: float
    peak: int = 0

    @property
    def fault(self) -> str:
        """What a run may not do, however it ends; empty if it did none of that."""
        if self.status is None:
            return "hang"
        if self.status not in (0, 1, 2):
            return "interpreter crash" if self.status < 0 else "foreign exit status"
        if "Traceback" in self.said:
            return "foreign exception"
        return "red without a sentence" if self.status and not _sentence(self.said) else ""

    @property
    def cause(self) -> str:
        return _sentence(self.said)


@dataclass
class Outcome:
    """What a trial came to.

    Parameters:
        seed: of the trial.
        kind: of its faults.
        what: "equal" or "red", else what went wrong.
        cause: in one line.
        faults: those that happened.
        runs: with and after the faults.
    """

    seed: int
    kind: str
    what: str
    cause: str = ""
    faults: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.what in ("equal", "red")

    def __str__(self) -> str:
        seconds = " + ".join(f"{run.seconds:.1f}" for run in self.runs)
        faults = ", ".join(self.faults) or "none happened"
        return f"seed {self.seed:<5} {self.what:<18} {seconds:>11} s  {faults}  {self.cause[:160]}"


class Trials:
    """Runs trials between two servers; a context manager. The source has the database `SOURCE` already.

    Parameters:
        source: where rows come from.
        target: where they go.
        certificate: of both lines; None for lines without TLS.
    """

    def __init__(self, source: Server, target: Server, certificate: Certificate | None = None) -> None:
        self._source, self._target, self._certificate = source, target, certificate
        self._stack = ExitStack()

    def __enter__(self) -> Trials:
        context = self._certificate and self._certificate.context
        ports = [urlsplit(server.url).port or 6041 for server in (self._source, self._target)]
        self._lines = [self._stack.enter_context(Line(port, context)) for port in ports]
        self._held = read(self._source, SOURCE)
        with self._state() as state:
            clean = self._run(state)
        assert clean.status == 0, clean.said
        self._passed = [dict(line.passed) for line in self._lines]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, seed: int, kinds: Sequence[str] = KINDS) -> Outcome:
        """A run with faults, and one without them that goes on."""
        kind, planned = self._planned(seed, kinds)
        outcome = Outcome(seed, kind, "equal")
        with self._state() as state:
            run = self._run(state, *planned)
            outcome.runs.append(run)
            outcome.faults = [f"{name} {fault}" for name, line in self._named() for fault in line.happened]
            outcome.what, outcome.cause = self._judged(run)
            if not outcome.is_good:
                return outcome
            again = self._run(state)
            outcome.runs.append(again)
            what, cause = self._judged(again)
            if what != "equal":
                outcome.what, outcome.cause = f"then {what}", cause
        return outcome

    def _named(self) -> Iterator[tuple[str, Line]]:
        return zip(("source", "target"), self._lines, strict=True)

    def _planned(self, seed: int, kinds: Sequence[str]) -> tuple[str, list[list[Fault]]]:
        """One to three faults of one kind, each somewhere in what passes without any."""
        rng = Random(f"faults {seed}")
        kind = kinds[seed % len(kinds)]
        planned: list[list[Fault]] = [[], []]
        for _ in range(rng.randint(1, 3)):
            side, direction = rng.randrange(2), rng.choice(["up", "down"])
            if kind in ("corrupt", "lose") and not self._certificate:
                # What the source says is believed, unless TLS sees that it was changed on the way.
                side = 1
            after = rng.randrange(self._passed[side][direction])
            planned[side].append(Fault(kind, direction, after, rng.choice([0.5, 2.5, 5.0])))
        return kind, planned

    def _judged(self, run: Run) -> tuple[str, str]:
        if run.fault:
            return run.fault, run.cause
        if run.status:
            return "red", run.cause
        found = self._different()
        return ("green lie", found) if found else ("equal", "")

    def _different(self) -> str:
        there: Contents = read(self._target, TARGET)
        found = differences(self._held, there, str)
        return "; ".join(f"{table!r}: {what}" for table, what in list(found.items())[:3])

    @contextmanager
    def _state(self) -> Iterator[str]:
        for line in getattr(self, "_lines", ()):
            line.begin()
        self._target.run(f"drop database if exists {TARGET}")
        with tempfile.TemporaryDirectory() as folder:
            yield folder

    def _run(self, state: str, ours: Sequence[Fault] = (), theirs: Sequence[Fault] = ()) -> Run:
        for line, faults in zip(self._lines, (ours, theirs), strict=True):
            line.begin(*faults)
        scheme, host = ("wss", "localhost") if self._certificate else ("ws", "127.0.0.1")
        urls = [f"{scheme}://root:taosdata@{host}:{line.port}" for line in self._lines]
        command = [sys.executable, "-m", "tests.faults.engine", self._certificate.ca_file if self._certificate else ""]
        command += ["migrate", "--source-conn-id", urls[0], "--target-conn-id", urls[1], "--workers", "2", "--json"]
        command += ["--source-database", SOURCE, "--target-database", TARGET, "--state", state]
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = process.communicate(timeout=HANGS)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            # It says where it hangs, and ends.
            process.send_signal(signal.SIGUSR1)
            time.sleep(1)
            process.kill()
            said, status = process.communicate()[0], None
        found = re.search(r'\{"peak_mb": (\d+)\}', said)
        return Run(status, said, time.monotonic() - started, int(found[1]) if found else 0)


def _sentence(said: str) -> str:
    """The last line that is no JSON: what a user reads."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _is_json(line)]
    return lines[-1] if lines else ""


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
