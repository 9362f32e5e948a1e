"""One seed from the first statement to the last comparison."""

from __future__ import annotations

import io
import json
import re
import shlex
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from random import Random

from airflow_provider_tdengine import cli

from .comparer import Period, differences, exists, read
from .faults import inject
from .generator import Filled, Size, fill
from .server import Server

_FAULTS = 6
"""Tables that are damaged, at most."""


@dataclass
class Said:
    """What a call of the command line came to.

    Parameters:
        status: the exit status.
        out: standard output, which is JSON.
        text: standard error.
        crash: where an error came from that the command line did not expect.
    """

    status: int
    out: str
    text: str
    crash: str = ""

    @property
    def cause(self) -> str:
        """In one line, why it was not green."""
        if self.crash:
            return f"crash: {self.crash.strip().splitlines()[-1]}"
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        found = self._json().get("differences") or []
        if found and isinstance(found[0], dict):
            lines = [f"{len(found)} differences, the first: " + " ".join(f"{k}={v}" for k, v in found[0].items())]
        return next(iter(lines[-1:]), f"exit status {self.status}")

    def names(self, table: str) -> bool:
        """Whether a table is named."""
        words = list(_strings(self._json()))
        return table in words or any(repr(table) in word or f"{table}:" in word for word in (*words, self.text))

    def _json(self) -> dict:
        """The last line that is JSON."""
        for line in reversed(self.out.splitlines()):
            if line.startswith("{"):
                return json.loads(line)
        return {}


@dataclass
class Outcome:
    """What a seed came to.

    Parameters:
        seed: which one.
        verdict: "ok", "refused" where the migration rightly stopped before it wrote, else what went wrong.
        cause: in one line, why.
        facts: what there was.
        options: what the command line was given beside the defaults.
        seconds: how long it took.
        report: more, for those who look into it.
        dropped: statements that the source refused, by its reason.
    """

    seed: int
    verdict: str = "ok"
    cause: str = ""
    facts: str = ""
    options: list[str] = field(default_factory=list)
    seconds: float = 0.0
    report: str = ""
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        return self.verdict in ("ok", "refused")

    def fail(self, verdict: str, cause: str, report: str = "") -> Outcome:
        self.verdict, self.cause, self.report = verdict, cause, report
        return self

    def __str__(self) -> str:
        options = f"  [{shlex.join(self.options)}]" if self.options else ""
        cause = f"  {self.cause[:300]}" if self.cause else ""
        return f"seed {self.seed:<4} {self.verdict:<24} {self.seconds:5.1f} s  {self.facts}{options}{cause}"


@dataclass
class Driver:
    """Runs seeds between two servers.

    Parameters:
        source: where databases are made.
        target: where they are migrated to.
        size: how large they are.
        faults: whether targets are damaged, and mended.
        options: more options of the command line, for all seeds.
        keep: databases stay.
    """

    source: Server
    target: Server
    size: Size
    faults: bool = True
    options: Sequence[str] = ()
    keep: bool = False

    def run(self, seed: int) -> Outcome:
        """Run a seed.

        Raises:
            Refused, AssertionError: a server, or this test itself, is not as it should be.
        """
        started = time.monotonic()
        outcome, database = Outcome(seed), f"wild_{seed}"
        try:
            for server in (self.source, self.target):
                server.run(f"drop database if exists {self._database(server, database)}")
            with tempfile.TemporaryDirectory() as folder:
                self._run(outcome, database, folder)
        finally:
            outcome.seconds = time.monotonic() - started
            if not self.keep:
                for server in (self.source, self.target):
                    server.run(f"drop database if exists {self._database(server, database)}")
        return outcome

    def _database(self, server: Server, database: str) -> str:
        """What it is called; both may be on one server."""
        return f"{database}_to" if server is self.target else database

    def _run(self, outcome: Outcome, database: str, folder: str) -> Outcome:
        arrived = self._database(self.target, database)
        filled = fill(self.source, database, outcome.seed, self.size, self.target.version)
        outcome.dropped = filled.dropped
        outcome.options, rename, period = self._options(outcome.seed, filled)
        connections = ["--source-conn-id", self.source.url, "--target-conn-id", self.target.url, "--state", folder]
        databases = ["--source-database", database, "--target-database", arrived, "--json"]
        given = [*connections, *databases, *outcome.options, *self.options]
        ours = read(self.source, database, period)
        dropped = f", {sum(filled.dropped.values())} statements refused" if filled.dropped else ""
        outcome.facts = f"{filled.precision} {len(ours.tables)} tables {ours.rows} rows{dropped}"

        def different() -> dict[str, str]:
            return differences(ours, read(self.target, arrived), rename)

        migrated = call("migrate", *given)
        if migrated.status and not exists(self.target, arrived) and not migrated.crash:
            return outcome.fail("refused" if filled.is_barred else "refused without need", migrated.cause, migrated.text)
        found = different() if exists(self.target, arrived) else {"": "there is no database"}
        first = "; ".join(f"{table!r}: {what}" for table, what in list(found.items())[:3])
        if migrated.crash:
            return outcome.fail("crash", migrated.cause, migrated.crash)
        if migrated.status:
            verdict = "red and different" if found else "red but equal"
            return outcome.fail(verdict, migrated.cause, f"{first}\n{migrated.out}{migrated.text}")
        if found:
            return outcome.fail("green but different", first, migrated.out)
        verified = call("verify", *given)
        if verified.status:
            return outcome.fail("verify red after green", verified.cause, f"{verified.out}{verified.text}")
        if not self.faults:
            return outcome
        rng = Random(f"faults {outcome.seed}")
        done = inject(self.target, arrived, read(self.target, arrived), rng, rng.randint(1, _FAULTS))
        damaged = different()
        outcome.facts += f", {len(damaged)} faults"
        if not damaged:
            return outcome
        verified = call("verify", *given)
        missed = [f"{table!r}: {done.get(table, what)}" for table, what in damaged.items() if not verified.names(table)]
        if missed or verified.status != 1:
            outcome.fail(f"{len(missed)} of {len(damaged)} faults missed", "; ".join(missed) or verified.cause, verified.out)
        mended = call("migrate", *given, *known("--update-tags", "--delete-extra"))
        left = different()
        if outcome.is_good and (mended.status or left):
            first = "; ".join(f"{table!r}: {done.get(table, '')}: {what}" for table, what in list(left.items())[:3])
            outcome.fail("not mended", f"{first} {mended.cause if mended.status else 'and green'}", mended.out + mended.text)
        return outcome

    def _options(self, seed: int, filled: Filled) -> tuple[list[str], Callable[[str], str], Period]:
        """Options of a seed, half of the seeds having none; what they do to names; which rows they concern."""
        rng = Random(f"options {seed}")
        rename: Callable[[str], str] = str
        period: Period = (None, None)
        if rng.random() < 0.5:
            return [], rename, period
        given = [*known("--workers"), str(rng.randint(1, 4))]
        if rng.random() < 0.5 and (flag := known("--strategy")):
            given += [*flag, rng.choice(["dense", "sparse"])]
        if rng.random() < 0.4:
            given += ["--verify", "full"]
        if rng.random() < 0.3:
            rename = "new {}".format
            given += ["--rename-tables", "* -> new *", "--rename-stables", "* -> new *"]
        if rng.random() < 0.3:
            start, end = 1_609_459_205, 1_750_000_060
            steps = {"ms": 10**3, "us": 10**6, "ns": 10**9}[filled.precision]
            period = start * steps, end * steps
            given += ["--start", _moment(start), "--end", _moment(end)]
        return given, rename, period


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def call(*arguments: str) -> Said:
    """Call the command line as a user does."""
    out, text, crash = io.StringIO(), io.StringIO(), ""
    with redirect_stdout(out), redirect_stderr(text):
        try:
            status = cli.main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        except Exception:  # noqa: BLE001  whatever comes out of it is what is looked for
            status, crash = -1, traceback.format_exc()
    return Said(status, out.getvalue(), text.getvalue(), crash)


_help = ""


def known(*flags: str) -> list[str]:
    """Those options that the command line has."""
    global _help  # noqa: PLW0603
    _help = _help or call("migrate", "--help").out
    return [flag for flag in flags if re.search(rf"{flag}\b", _help)]


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in (str(key), *_strings(each))]
    if isinstance(value, list):
        return [text for each in value for text in _strings(each)]
    return [str(value)]
