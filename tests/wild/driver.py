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
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.testing import TDengineBox

from .comparer import Contents, Period, differences, exists, read
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
    def all(self) -> str:
        return f"{self.out}{self.text}{self.crash}"

    @property
    def cause(self) -> str:
        """In one line, why it was not green."""
        if self.crash:
            return f"crash: {self.crash.strip().splitlines()[-1]}"
        found = self._json().get("differences")
        if isinstance(found, list) and found and isinstance(found[0], dict):
            first = " ".join(f"{key}={value}" for key, value in found[0].items())
            return f"{len(found)} differences, the first: {first}"
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.status}"

    def names(self, table: str) -> bool:
        """Whether a table is named."""
        words = list(_strings(self._json()))
        return table in words or any(repr(table) in word or f"{table}:" in word for word in (*words, self.text))

    def _json(self) -> dict[str, object]:
        """The last line that is JSON."""
        lines = [line for line in self.out.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}


@dataclass
class Outcome:
    """What a seed came to.

    Parameters:
        seed: which one.
        verdict: "ok", "refused" where the migration rightly stopped before it wrote, else what went wrong.
        cause: in one line, why.
        report: more, for those who look into it.
        facts: what there was.
        options: what the command line was given beside the defaults.
        seconds: how long it took.
        dropped: statements that the source refused, by its reason.
    """

    seed: int
    verdict: str = "ok"
    cause: str = ""
    report: str = ""
    facts: str = ""
    options: list[str] = field(default_factory=list)
    seconds: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        return self.verdict in ("ok", "refused")

    def __str__(self) -> str:
        options = f"  [{shlex.join(self.options)}]" if self.options else ""
        cause = f"  {self.cause[:300]}" if self.cause else ""
        return f"seed {self.seed:<4} {self.verdict:<24} {self.seconds:5.1f} s  {self.facts}{options}{cause}"


class Ended(Exception):
    """A seed that has ended before its time.

    Parameters:
        verdict: of the outcome, as are the others.
        cause: see there.
        report: see there.
    """

    def __init__(self, verdict: str, cause: str, report: str) -> None:
        self.verdict, self.cause, self.report = verdict, cause, report
        super().__init__(verdict)


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
        by_files: rows go by an export and its import, in place of migrate.
    """

    source: Server
    target: Server
    size: Size
    faults: bool = True
    options: Sequence[str] = ()
    keep: bool = False
    by_files: bool = False

    def run(self, seed: int) -> Outcome:
        """Run a seed.

        Raises:
            Refused, AssertionError: a server, or this test itself, is not as it should be.
        """
        started = time.monotonic()
        outcome, ours, theirs = Outcome(seed), f"wild_{seed}", f"wild_{seed}_to"
        databases = {self.source: ours, self.target: theirs}
        try:
            _drop(databases)
            with tempfile.TemporaryDirectory() as folder:
                _Seed(self, outcome, ours, theirs, folder).run()
        except Ended as ended:
            outcome.verdict, outcome.cause, outcome.report = ended.verdict, ended.cause, ended.report
        finally:
            outcome.seconds = time.monotonic() - started
            if not self.keep:
                _drop(databases)
        return outcome


def opened(url: str, stack: ExitStack) -> Server:
    """The server of a URL, or a box of `box:VERSION`, until the stack ends."""
    if url.startswith("box:"):
        box = stack.enter_context(TDengineBox(version=url.removeprefix("box:"), block_rows=400))
        url = box.url.replace("http://", "ws://root:taosdata@")
    server = Server(url)
    stack.callback(server.close)
    return server


def _drop(databases: dict[Server, str]) -> None:
    for server, database in databases.items():
        server.run(f"drop database if exists {database}")


class _Seed:
    """One seed.

    Parameters:
        driver: what all seeds have in common.
        outcome: what is known of this one.
        database: the source's.
        arrived: the target's.
        folder: for the state of the migration, and an export.
    """

    def __init__(self, driver: Driver, outcome: Outcome, database: str, arrived: str, folder: str) -> None:
        self._target, self._arrived, self._outcome = driver.target, arrived, outcome
        self._faults = driver.faults
        filled = fill(driver.source, database, outcome.seed, driver.size, driver.target.version)
        self._is_barred = filled.is_barred
        outcome.dropped = filled.dropped
        outcome.options, self._rename, self._period = _options(outcome.seed, filled)
        self._given = ["--source-conn-id", driver.source.url, "--target-conn-id", driver.target.url, "--json"]
        self._given += ["--source-database", database, "--target-database", arrived, "--state", folder]
        self._given += [*outcome.options, *driver.options]
        self._export = [*self._given[:2], "--json", "--source-database", database, "--folder", f"{folder}/export"]
        self._import = [*self._given[2:5], *self._given[7:], "--folder", f"{folder}/export"]
        self._by_files = driver.by_files
        # Nobody can read a column called `*`, nor need to: it is refused before.
        self._ours = Contents({}, {}) if self._is_barred else read(driver.source, database, self._period)
        dropped = f", {filled.dropped.total()} statements refused" if filled.dropped else ""
        outcome.facts = f"{filled.precision} {len(self._ours.tables)} tables {self._ours.rows} rows{dropped}"

    def run(self) -> None:
        """Migrate, compare; damage, and mend.

        Raises:
            Ended: something is not as it should be, or there is nothing more to do.
        """
        self._migrate()
        verified = call("verify", *self._given)
        if verified.status:
            raise Ended("verify red after green", verified.cause, verified.all)
        if self._faults:
            self._damage_and_mend()

    def _moved(self, *more: str) -> Said:
        """Bring all over, as it is done in this run."""
        if not self._by_files:
            return call("migrate", *self._given, *more)
        exported = call("export", *self._export)
        return call("import", *self._import, *more) if not exported.status else exported

    def _migrate(self) -> None:
        migrated = self._moved()
        if migrated.crash:
            raise Ended("crash", migrated.cause, migrated.all)
        if not exists(self._target, self._arrived):
            # A refusal is a finding of ours, not an error of a server that something ran into.
            rightly = self._is_barred and migrated.status and "The server says" not in migrated.text
            raise Ended("refused" if rightly else "refused without need", migrated.cause, migrated.all)
        if self._is_barred:
            raise Ended("not refused", "the source has a column called *", migrated.all)
        found = self._different()
        if migrated.status:
            verdict = "red and different" if found else "red but equal"
            raise Ended(verdict, migrated.cause, f"{_first(found)}\n{migrated.all}")
        if found:
            raise Ended("green but different", _first(found), migrated.all)

    def _damage_and_mend(self) -> None:
        # Both sides are equal: what the source holds is what the target holds.
        holds = {self._rename(table): held for table, held in self._ours.tables.items()}
        rng = Random(f"faults {self._outcome.seed}")
        done = inject(self._target, self._arrived, holds, rng, rng.randint(1, _FAULTS))
        faults = {table: done[table] or what for table, what in self._different(done, self._period).items()}
        self._outcome.facts += f", {len(faults)} faults"
        if not faults:
            return
        verified = call("verify", *self._given)
        missed = {table: what for table, what in faults.items() if not verified.names(table)}
        mended = self._moved(*known("--update-tags", "--delete-extra"))
        if missed or verified.status != 1:
            verdict = f"{len(missed)} of {len(faults)} faults missed"
            raise Ended(verdict, _first(missed) or f"exit status {verified.status}", verified.all)
        left = self._different()
        if mended.status or left:
            verdict = "not mended, and green" if not mended.status else "not mended" if left else "mended, but red"
            still = _first({table: f"{faults.get(table, '')}: {what}" for table, what in left.items()})
            raise Ended(verdict, f"{still} {mended.cause if mended.status else ''}", mended.all)

    def _different(self, only: Collection[str] | None = None, period: Period = (None, None)) -> dict[str, str]:
        """What differs: of these tables, None for all, in this period."""
        there = read(self._target, self._arrived, period, only)
        tables = {
            table: held for table, held in self._ours.tables.items() if only is None or self._rename(table) in only
        }
        return differences(replace(self._ours, tables=tables), there, self._rename)


def _options(seed: int, filled: Filled) -> tuple[list[str], Callable[[str], str], Period]:
    """Options of a seed, none for half of the seeds; what they do to names; which rows they concern."""
    rng = Random(f"options {seed}")
    rename: Callable[[str], str] = str
    period: Period = (None, None)
    if rng.random() < 0.5:
        return [], rename, period
    given = ["--workers", str(rng.randint(1, 4))]
    if rng.random() < 0.5:
        given += ["--strategy", rng.choice(["dense", "sparse"])]
    if rng.random() < 0.4:
        given += ["--verify", "full"]
    if rng.random() < 0.3:
        rename = "new {}".format
        given += ["--rename-tables", "* -> new *", "--rename-stables", "* -> new *"]
    if rng.random() < 0.3:
        start, end = 1_609_459_205, 1_750_000_060
        period = start * filled.second, end * filled.second
        given += ["--start", _moment(start), "--end", _moment(end)]
    # An option that has gone is left out with its value.
    pairs = zip(given[::2], given[1::2], strict=True)
    return [text for pair in pairs if known(pair[0]) for text in pair], rename, period


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def alone(
    source: str, target: str, seed: int, size: str, faults: bool, options: Sequence[str], by_files: bool = False
) -> str:
    """The command that runs a seed alone, shows all that it said, and leaves its databases there."""
    command = ["python", "-m", "tests.wild", "--source", source, "--target", target, "--seeds", str(seed)]
    command += ["--size", size, *["--faults"] * faults, "--keep", "--verbose", *["--files"] * by_files]
    command += ["--", *options] * bool(options)
    return shlex.join(command)


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


def known(*flags: str) -> list[str]:
    """Those options that the command line has."""
    return [flag for flag in flags if re.search(rf"{flag}\b", _help())]


@cache
def _help() -> str:
    return call("migrate", "--help").out


def _first(found: dict[str, str]) -> str:
    """The first few."""
    return "; ".join(f"{table!r}: {what}" for table, what in list(found.items())[:3])


def _strings(value: object) -> Iterator[str]:
    """All text in JSON."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
    else:
        yield str(value)
