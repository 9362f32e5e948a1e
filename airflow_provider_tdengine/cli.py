"""`airflow-tdengine`: assess, plan, migrate, verify and status on the command line, for trying and for scripts.

It calls the engine that the operators call. Exit status: 0, 1 for differences, refused rows and failures, 2 for what is
wrong with options, connections and servers before anything is done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from airflow_provider_tdengine.cli_assess import AssessCommand
from airflow_provider_tdengine.cli_servers import client_of, is_address
from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import AddressError, TDengineError
from airflow_provider_tdengine.client.secrets import masked, secrets_in
from airflow_provider_tdengine.migration import headway, wording
from airflow_provider_tdengine.migration.assessment_options import ASSESSMENT_OPTIONS, AssessmentOptions
from airflow_provider_tdengine.migration.catalog import EVERYTHING, NO_TABLES, holdings
from airflow_provider_tdengine.migration.comparing import Kind, Verdict, certificate, keep_results, verify, write
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Checkpoint,
    Copied,
    DeadLetters,
    ProgressNotSaved,
    batch_folder,
    copied_facts,
    copy_batch,
    kept,
    known,
    window,
)
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, in_lines, stop_on
from airflow_provider_tdengine.migration.following import (
    Position,
    Shard,
    choose,
    dropped,
    follow_facts,
    follower_of,
    lasting_rounds,
    topic_of,
)
from airflow_provider_tdengine.migration.options import (
    ASK,
    EXPORT_CONTENT,
    EXPORT_PACE,
    OPTIONS,
    MigrationOptions,
    Option,
)
from airflow_provider_tdengine.migration.planning import (
    assessment,
    expanded,
    make_plan,
    plan_facts,
    preflight,
    preview,
    requested,
    requested_of_source,
    write_assessment,
)
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.storage import digest, folder_findings, storage, write_whole
from airflow_provider_tdengine.migration.structure import Made, SchemaSync, make_objects
from airflow_provider_tdengine.screen import Screen

if TYPE_CHECKING:
    from airflow_provider_tdengine.migration.offline import StoredCatalog

log = logging.getLogger(__name__)

_FAILED, _USAGE = 1, 2

_SHOWN = 20

_COMMANDS = {
    "assess": "what all databases of one or several servers hold, how long they take, what the target needs and what "
    "stands in the way; nothing is written but for --measure-writing",
    "plan": "what a migration would do, and what stands in its way; nothing is written",
    "migrate": "create what is missing, copy, compare and repair, with mode realtime or both follow until Ctrl-C; "
    "called again, it goes on where it stopped",
    "finish": "end following: copy what has arrived by now, compare all that was followed, and forget how far it came",
    "verify": "compare both sides; nothing is written but for a row in --results-database",
    "status": "rows of each super table and normal table on both sides; nothing is written",
    "export": "write a database into a folder of Parquet files, for a target that no line leads to; called again, it "
    "goes on where it stopped",
    "import": "as migrate, from the folder of an export; called again, it goes on where it stopped",
}

_SECTIONS_OF_A_SERVER = ("Realtime",)
_OF_A_SERVER = ("source_conn_id", "source_database", "mode", "where")
"""What import has not, beside the sections above: files are neither found by a connection, nor followed, nor asked."""


def main(given: Sequence[str] | None = None) -> int:
    """Do what the command line asks for.

    Returns:
        The exit status.
    """
    arguments = _parser().parse_args(given)
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
    logging.getLogger("airflow_provider_tdengine").setLevel(logging.NOTSET)
    screen = Screen(stderr=arguments.json)
    if not screen.is_terminal:
        logging.getLogger(headway.__name__).setLevel(logging.INFO)
    try:
        try:
            members = _members(arguments)
            action: Callable[[], int] = partial(_of_fleet, arguments, screen, members)
            if len(members) == 1:
                action = _action(arguments, screen, members[0])
        except TDengineError as error:
            screen.failure("\n".join(in_lines(error)))
            return _USAGE
        return action()
    except TDengineError as error:
        screen.failure("\n".join(in_lines(error)))
        return _FAILED
    except KeyboardInterrupt:
        screen.failure("Stopped; the same command goes on from here")
        return _FAILED


def _action(
    arguments: argparse.Namespace, screen: Screen, own: Mapping[str, object], *, is_member: bool = False
) -> Callable[[], int]:
    """What is asked for, with all that was given looked at.

    Parameters:
        arguments: what was given.
        screen: where to write to.
        own: options of one database, in place of those that were given.
        is_member: whether there are others.

    Raises:
        TDengineError: all that is wrong with that.
    """
    if arguments.command == "assess":
        return AssessCommand(arguments, screen).run
    if arguments.command == "export":
        return ExportCommand(arguments, screen).run
    command = Command(arguments, screen, own, is_member=is_member)
    actions: dict[str, Callable[[], int]] = {
        "plan": command.plan,
        "migrate": command.migrate,
        "import": command.migrate,
        "finish": command.finish,
        "verify": command.verify,
        "status": command.status,
    }
    return actions[arguments.command]


def _members(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """The options of each database in which they differ from those that were given; of one database, none do.

    Raises:
        TDengineError: all that is wrong with a fleet; what is wrong with one of its databases is not looked for.
    """
    given, client = _given(arguments)
    options, mistakes = MigrationOptions.read(given)
    if arguments.command in ("export", "import") or not options.is_fleet:
        return [{}]
    stop_on(mistakes)
    ends = (client(getattr(options, name), name) for name in _CONNECTIONS)
    names = ("source_database", "target_database", "name")
    return [{name: getattr(one, name) for name in names} for one in expanded(options, *ends).members]


def _of_fleet(arguments: argparse.Namespace, screen: Screen, members: Sequence[Mapping[str, object]]) -> int:
    """Do what is asked for with one database after the other; one that is broken does not stop the others.

    Raises:
        TDengineError: of a server, which a retry may cure.
    """
    named = MigrationOptions.read(_given(arguments)[0])[0].databases
    failed = []
    for own in members:
        database = str(own["source_database"])
        screen.heading(f"Database {database}")
        try:
            if _action(arguments, screen, own, is_member=True)():
                failed.append(database)
        except TDengineError as error:
            if error.retryable:
                raise
            # Those that only a pattern means need have none.
            is_empty = isinstance(error, MigrationStopped) and all(one.kind == NO_TABLES for one in error.findings)
            if is_empty and database not in named:
                screen.line("It has no tables, and is left out")
                continue
            screen.failure("\n".join(in_lines(error)))
            failed.append(database)
    screen.heading(f"{wording.number(len(members), 'database')}, {len(members) - len(failed):,} without failure")
    if failed:
        screen.failure(f"Look above at {', '.join(failed)}; the same command goes on with what is not done")
    return _FAILED if failed else 0


class _Parser(argparse.ArgumentParser):
    """A parser that shows no password of an address that stands where none belongs."""

    def error(self, message: str) -> NoReturn:
        super().error(masked(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="airflow-tdengine",
        description="Migrates TDengine databases. Exit status: 0, 1 for differences, refused rows and failures, 2 for "
        "what is wrong with options, connections and servers before anything is done.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, what in _COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        command.add_argument("--verbose", action="store_true", help="show the log")
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        if name == "assess":
            for field in fields(AssessmentOptions):
                _add(command, field.name, ASSESSMENT_OPTIONS[field.name], field.default)
            continue
        if name in ("export", "import"):
            folder = "the folder, or a URL of Airflow's object storage, such as s3://aws_default@plant/power"
            command.add_argument("--folder", required=True, help=folder)
        if name != "export":
            kept = f"where {'import' if name == 'import' else 'migrate'} keeps how far it has come"
            command.add_argument("--state", type=Path, default=Path(".airflow-tdengine"), help=kept)
        sections: dict[str, argparse._ArgumentGroup] = {}
        for field in fields(MigrationOptions):
            option = OPTIONS[field.name]
            if not _has(name, field.name):
                continue
            if option.section not in sections:
                sections[option.section] = command.add_argument_group(option.section)
            _add(sections[option.section], field.name, option, field.default)
    return parser


def _has(command: str, option: str) -> bool:
    """Whether a command has an option."""
    if command == "export":
        return option in EXPORT_CONTENT + EXPORT_PACE
    if command == "import":
        return option not in _OF_A_SERVER and OPTIONS[option].section not in _SECTIONS_OF_A_SERVER
    return True


def _add(group: argparse._ActionsContainer, name: str, option: Option, default: object) -> None:
    """An option of a migration or an assessment as an argument."""
    flag, text = f"--{name.replace('_', '-')}", f"{option.explanation} (default: {option.default})".replace("%", "%%")
    if name in ("source_conn_id", "target_conn_id"):
        text = f"Airflow connection, or URL such as ws://root:taosdata@host:6041 (default: {option.default})"
    if name == "source_conn_ids":
        several = f"Airflow connections, or URLs such as ws://root:taosdata@host:6041 (default: {option.default})"
        group.add_argument(flag, nargs="+", help=several, metavar="SERVER")
    elif isinstance(default, bool):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif isinstance(default, (int, float)):
        group.add_argument(flag, type=type(default), help=text, metavar="NUMBER")
    elif option.choices:
        # Where one of its values is true, it is a switch, too.
        count, switched_on = ("?", "true") if "true" in option.choices else (None, None)
        group.add_argument(flag, choices=list(option.choices), nargs=count, const=switched_on, help=text)
    else:
        group.add_argument(flag, help=text, metavar="TEXT")


class Command:
    """One call of the command line, for one database.

    Parameters:
        arguments: what was given.
        screen: where to write to.
        own: options of that database, in place of those that were given.
        is_member: whether it is one of a fleet.

    Raises:
        TDengineError: all that is wrong with what was given.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        screen: Screen,
        own: Mapping[str, object],
        *,
        is_member: bool = False,
    ) -> None:
        given, client = _given(arguments)
        given |= own
        self._member = str(own["source_database"]) if is_member else ""
        if secrets_in(str(arguments.state)):
            raise AddressError("--state is an address with a password or token; expected a folder")
        stored = _opened(_folder(arguments.folder)) if arguments.command == "import" else None
        if stored:
            given = stored.given(given)
        request = requested(given, client, source=stored)
        if arguments.command in ("migrate", "import", "finish"):
            stop_on(map(_nobody_to_ask, request.options.asking))
        self._request = request
        self._source, self._target, self._structure = request.source, request.target, request.structure
        self._screen = screen
        self._as_json = arguments.json
        addresses = [str(side.client.address) for side in (self._source, self._target)]
        self._state = State(arguments.state, request.options, addresses)
        if request.options.force and arguments.command in ("migrate", "import"):
            self._state.forget()
        if not self._state.is_begun:
            self._state.created = self._present(request.options)
        self._options = request.options.ended(self._state.created)
        self._is_end_implied = request.options.mode == "history" and not request.options.end

    def _present(self, options: MigrationOptions) -> datetime:
        """The present moment by the source's clock, where history ends, and following begins."""
        now = persist(self._source.clock if options.follows else self._source.behind_now)
        return datetime.fromtimestamp(now, timezone.utc)

    def plan(self) -> int:
        """Show what would be done."""
        with self._source, self._target:
            found = preview(self._source, self._target, self._options)
        document = assessment(self._options.label, [found], datetime.now(timezone.utc))
        self._show(document, list(found.lines()))
        if self._options.certificate_path:
            self._screen.line(f"    {write_assessment(document, self._documents)}")
        return _FAILED if found.blockers else 0

    def migrate(self) -> int:
        """Schema sync, copy, comparison and repair; with mode realtime and both, following after it."""
        options = self._options
        if options.dry_run:
            return self.plan()
        with self._source, self._target:
            implied = self._is_end_implied
            stop_on(folder_findings(options.folders))
            findings = preflight(self._source, self._target, self._structure, options, is_end_implied=implied)
        stop_on(findings)
        for finding in findings:
            for line in finding.lines():
                self._screen.line(f"  {line}")
        self._tell(self._request.facts(options))
        self._state.keep()
        self._choose()
        is_done, status = self._up_to_following()
        if is_done and options.follows:
            return self._follow() or status
        if is_done:
            self._state.forget()
        return status

    def finish(self) -> int:
        """End following: what has arrived by now is copied, and compared."""
        if not (self._options.follows and self._state.position.load()):
            self._screen.failure("Nothing is followed; give the options, and the --state, of a migrate that follows")
            return _USAGE
        stop = datetime.fromtimestamp(persist(self._source.behind_now), timezone.utc).isoformat()
        self._options = replace(self._options, stop_at=stop, delay=0.0)
        self._choose()
        return self._follow()

    def _tell_made(self, made: Sequence[Made]) -> None:
        """Say what became of other objects than tables."""
        for line in (line for one in made for line in one.finding.lines()):
            self._screen.line(f"  {line}")

    def _choose(self) -> None:
        """Find out how the source is followed, before history is read: what is written meanwhile is told."""
        if self._options.follows:
            is_copied = self._state.position.load() is not None
            choice = choose(self._source, self._target, self._options, is_copied=is_copied)
            self._screen.line(f"  {choice.why}")
            self._options = replace(self._options, follow_by=choice.by)

    def _up_to_following(self) -> tuple[bool, int]:
        """Structure and history, unless an earlier call has come to following.

        Returns:
            Whether it is done, but for refused rows, and the exit status.
        """
        options = self._options
        if self._state.position.load():
            return True, 0
        if options.schema != "none":
            with self._stage("schema") as say, self._source, self._target:
                report = SchemaSync(self._source, self._target, options).run_patiently()
                tables = wording.number(report.tables, "table")
                say(f"{wording.number(len(report.stables), 'super table')} and {tables} created")
            self._tell(report.facts())
        if not options.copies_history:
            return True, 0
        with self._stage("plan") as say, self._source, self._target:
            batches = make_plan(self._source, self._target, options, self._state.plan())
            self._state.keep_plan(batches)
            say(wording.number(len(batches), "batch", "batches"))
        self._tell(plan_facts(batches))
        with self._source, self._target:
            copied = self._copy(batches)
            verdict = self._compare(batches, copied, mends=True)
        if rejected := sum(one.tally.rejected for one in copied.values()):
            self._screen.failure(f"The target refused {wording.number(rejected, 'row')}; they are in {self._letters()}")
        return verdict.kind is not Kind.DIFFERENT, _FAILED if rejected else _status(verdict)

    def _follow(self) -> int:
        """Copy rows as they arrive, until Ctrl-C, or until it is time to stop; then say how far it came."""
        stored, letters = self._state.position, self._letters()
        folder = letters / "follow" if letters else None
        reached: Position | None = None

        def save(position: Position) -> None:
            nonlocal reached
            reached = position
            try:
                stored.save(position.to_dict())
            except ProgressNotSaved as error:
                self._screen.line(f"  warning: the watermark was not saved: {error}")

        follower = follower_of(
            self._source,
            self._target,
            self._options,
            Shard(),
            save=save,
            letters=folder,
        )
        begin = follower.position(stored.load())
        save(begin)
        has_refused = is_over = False
        before = known(folder) if folder else 0
        until = self._options.stop_at or "Ctrl-C"
        self._screen.line(f"  Rows are copied as they arrive, until {until}")
        with self._screen.headway("follow") as making, suppress(KeyboardInterrupt):
            for done in lasting_rounds(follower, self._options, begin):
                has_refused |= bool(done.rejected)
                is_over = follower.is_at_end(done.position)
                making.at(done.position.rows - begin.rows)
                making.note = f"the newest row is {done.position.lag:,.1f} s behind"
        follower.stop()
        follower.close()
        # Rows that the lookback reads again are refused again; of a round that was interrupted nobody has said it.
        waiting = known(folder) if folder else 0
        refused = waiting if has_refused or waiting > before else 0
        self._say_how_far(reached or begin, begin, refused, is_over=is_over)
        if refused:
            self._screen.failure(f"The target refused {wording.number(refused, 'row')}; they are in {folder}")
        status = self._compare_followed() if is_over else 0
        return _FAILED if refused else status

    def _compare_followed(self) -> int:
        """Compare what was followed, from where history ended; where nothing differs, nothing goes on any more."""
        options = self._options
        assert options.window_end is not None
        period = {"start": options.window_end.isoformat(), "end": options.stop_at}
        self._options = MigrationOptions.checked(
            {**options.to_dict(), "mode": "history", "start_from": None, "stop_at": None, **period}
        )
        verdict = self._compare(mends=True)
        if verdict.kind is not Kind.DIFFERENT:
            self._state.forget()
            if options.follow_by == "subscription":
                dropped(topic_of(self._source, self._target, options))
        return _status(verdict)

    def _say_how_far(self, reached: Position, begin: Position, refused: int, *, is_over: bool) -> None:
        precision, rows = self._structure.source.precision, reached.rows - begin.rows
        moment = datetime.fromtimestamp(reached.watermark / precision.per_second, timezone.utc)
        watermark = moment.isoformat(timespec="seconds")
        more = "" if is_over else ". The same command goes on from here"
        lines = [
            *wording.facts("  Followed", follow_facts(moment, rows, reached.lag)),
            f"  All rows before {watermark} have been copied{more}",
        ]
        self._show({"watermark": watermark, "rows": rows, "lag": reached.lag, "refused": refused}, lines)

    def _letters_of(self, batch: Batch) -> DeadLetters | None:
        """Where refused rows of a batch are kept; None where they end it."""
        letters, options = self._letters(), self._options
        return (
            DeadLetters(batch_folder(letters, batch, options), options.max_rejected, options.target)
            if letters
            else None
        )

    def _copy(self, batches: Sequence[Batch]) -> dict[str, Copied]:
        """Copy batch by batch.

        Returns:
            What they came to, by their identity.
        """
        total, done, earlier = sum(batch.rows for batch in batches), 0, 0
        resumed: int | None = None
        started = time.monotonic()
        found: dict[str, Copied] = {}

        def say(checkpoint: Checkpoint) -> None:
            nonlocal resumed
            rows = checkpoint.tally.rows
            # At the beginning of a batch, it is what earlier calls have copied.
            resumed = rows if resumed is None else resumed
            report(done + rows, earlier + resumed)

        with self._screen.bar("copy", total) as report:
            for batch in batches:
                resumed = None
                copied = copy_batch(
                    self._source,
                    self._target,
                    batch,
                    self._options,
                    self._state.of_batch(batch),
                    dead_letters=self._letters_of(batch),
                    report=say,
                )
                found[batch.identity] = copied
                done, earlier = done + copied.rows, earlier + copied.rows - copied.tried
                report(done, earlier)
        seconds, tried = time.monotonic() - started, sum(copied.tried for copied in found.values())
        said = f"{done:,} rows" if tried == done else f"{done:,} rows, {tried:,} of them now"
        self._screen.stage("copy", seconds, f"{said}, {tried / max(seconds, 0.001):,.0f} rows/s")
        self._tell(copied_facts(list(found.values()), seconds))
        return found

    def verify(self) -> int:
        """Compare both sides."""
        return _status(self._compare())

    def _compare(
        self,
        batches: Sequence[Batch] | None = None,
        copied: Mapping[str, Copied] | None = None,
        *,
        mends: bool = False,
    ) -> Verdict:
        """Compare both sides.

        Parameters:
            batches: what was copied; None to make a plan.
            copied: what batches came to, by their identity.
            mends: whether what differs is copied again.
        """
        options = self._options if mends else replace(self._options, repair_rounds=0)
        if options.verify == "none":
            verdict = Verdict(not_compared="verify is none")
            self._screen.line(f"  {verdict.words}")
            if mends:
                with self._source, self._target:
                    self._tell_made(make_objects(self._source, self._target, options))
            return verdict
        letters, began = self._letters(), time.monotonic()
        with self._stage("verify") as say, self._source, self._target:
            comparison = verify(
                self._source,
                self._target,
                options,
                kept(letters) if letters else {},
                batches=batches,
                copied=copied,
                is_end_implied=self._is_end_implied,
            )
            verdict = comparison.verdict
            say(verdict.words)
            seconds = time.monotonic() - began
            keep_results(self._source, self._target, options, comparison, f"command line {self._state.name}", seconds)
            proof, made = None, list[Made]()
            if mends and verdict.kind is not Kind.DIFFERENT:
                made = make_objects(self._source, self._target, options)
            if options.certificate_path:
                now = datetime.now(timezone.utc)
                period = (min(now, self._state.created), now)
                proof = certificate(self._source, self._target, options, comparison, period, made)
        self._tell(comparison.facts())
        self._tell_made(made)
        lines = list(verdict.notes)
        lines += [f"  {difference}" for difference in comparison.differences[:_SHOWN]]
        lines += [f"  {row}" for row in comparison.shown[:_SHOWN]]
        if comparison.obstacle:
            lines.append(f"It cannot be repaired: {comparison.obstacle}")
        self._show(comparison.to_dict(), lines)
        if proof:
            # Where that fails, the result has been said.
            self._screen.line(f"    {write(proof, self._documents)}")
        return verdict

    def status(self) -> int:
        """Show rows on both sides."""
        structure = self._structure
        period = window(self._options, structure.source)
        if self._options.follows:
            period = (period[1] if self._options.mode == "realtime" else period[0]), None
        lines, counts = [], {}
        rename = structure.transform.tables
        with self._source, self._target:
            for pair in structure.pairs:
                ours = holdings(self._source, pair.source, structure.scope, period)
                there = 0
                if pair.target:
                    # Its super table may hold other sites, too.
                    names = set(map(rename, ours.names))
                    theirs = holdings(self._target, pair.wanted, EVERYTHING, structure.time.window(*period))
                    there = sum(one.rows for one in theirs if one.name in names)
                counts[pair.wanted.name] = {"source": ours.total, "target": there}
                share = wording.share(there, ours.total)
                lines.append([pair.wanted.name, f"{len(ours):,}", f"{ours.total:,}", f"{there:,}", share])
        if self._as_json:
            self._print(counts)
        else:
            heads = [("table", False), ("subtables", True), ("source", True), ("target", True), ("", True)]
            self._screen.table(heads, lines)
        return 0

    @contextmanager
    def _stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """Something that takes a while; what is said stays with the seconds that it took."""
        started, said = time.monotonic(), ""

        def say(text: str) -> None:
            nonlocal said
            said = text

        with self._screen.bar(name):
            yield say
        if not self._as_json:
            self._screen.stage(name, time.monotonic() - started, said)

    def _tell(self, facts: wording.Facts) -> None:
        """Show what a stage came to, below its line."""
        if not self._as_json:
            for line in wording.facts("", facts)[1:]:
                self._screen.line(f"    {line}")

    def _show(self, result: object, lines: Sequence[str]) -> None:
        if self._as_json:
            self._print(result)
        else:
            for line in lines:
                self._screen.line(line)

    def _print(self, result: object) -> None:
        """A result as JSON; of a fleet, a line a database."""
        print(json.dumps({self._member: result} if self._member else result, default=str))

    @property
    def _documents(self) -> Path:
        """Where certificate and assessment are written."""
        return _path(self._options.certificate_path) / self._state.name

    def _letters(self) -> Path | None:
        """Where refused rows are kept."""
        if self._options.on_error != "dead_letter":
            return None
        return _path(self._options.dead_letter_path) / self._state.name


class ExportCommand:
    """A call of `export`.

    Parameters:
        arguments: what was given.
        screen: where to write to.

    Raises:
        TDengineError: all that is wrong with what was given.
    """

    def __init__(self, arguments: argparse.Namespace, screen: Screen) -> None:
        from airflow_provider_tdengine.migration.offline import Export  # noqa: PLC0415 - it needs an extra

        folder = _folder(arguments.folder)
        options, source = requested_of_source(*_given(arguments))
        stop_on(folder_findings({"folder": arguments.folder}, lambda _: folder))
        self._export = Export(source, options, folder)
        self._screen = screen
        self._as_json = arguments.json

    def run(self) -> int:
        """Write what is not written yet."""
        with self._screen.headway("export") as making:
            done = self._export.run(making)
        if self._as_json:
            print(json.dumps(asdict(done)))
            return 0
        said = f"{done.rows:,} rows in {done.folder}"
        self._screen.stage("export", done.seconds, said)
        for line in wording.facts("", done.facts())[1:]:
            self._screen.line(f"    {line}")
        return 0


def _given(arguments: argparse.Namespace) -> tuple[dict[str, object], Callable[[str, str], Client]]:
    """The options that were given, without secrets, and what gives the client of a connection."""
    given = {name: value for name in OPTIONS if (value := getattr(arguments, name, None)) is not None}
    # Options are shown in messages; URLs have passwords.
    sides = {name: str(given.get(name, getattr(MigrationOptions(), name))) for name in _CONNECTIONS}
    given |= {name: _CONNECTIONS[name] for name, text in sides.items() if is_address(text) and name in given}
    return given, lambda _, option: client_of(sides[option])


def _opened(folder: Path) -> StoredCatalog:
    """The export in a folder."""
    from airflow_provider_tdengine.migration.offline import opened  # noqa: PLC0415 - it needs an extra

    return opened(folder)


def _folder(text: str) -> Path:
    """The folder of an export."""
    if secrets_in(text):
        raise AddressError("--folder is an address with a password or token; expected a folder, or a URL without")
    return _path(text)


def _path(text: str) -> Path:
    """A folder, or one in Airflow's object storage."""
    if "://" not in text:
        return Path(text)
    # Importing Airflow takes seconds.
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415

    return cast(Path, ObjectStoragePath(text))


def _nobody_to_ask(option: str) -> Finding:
    """What to say of an option that leaves something to a person: the command line runs in scripts, where none is."""
    others = " or ".join(value for value in OPTIONS[option].choices if value != ASK)
    found = "it is ask, and only Airflow asks people"
    return Finding(f"Option {option!r}", found, f"Choose {others}; verify shows what differs, and changes nothing")


def _status(verdict: Verdict) -> int:
    """The exit status: nobody has asked to compare what was not compared."""
    return 0 if verdict.is_whole or verdict.kind is Kind.NOT_COMPARED else _FAILED


_CONNECTIONS = {"source_conn_id": "source", "target_conn_id": "target"}
"""What a connection is called where a URL was given."""


class State:
    """What a migration needs to go on where it stopped: when it was created, and the checkpoints of its batches.

    What of it is damaged, or belongs to something else, is made anew.

    Parameters:
        folder: where migrations are kept.
        options: of this one.
        addresses: of its servers.
    """

    def __init__(self, folder: Path, options: MigrationOptions, addresses: Sequence[str]) -> None:
        another = ("force", "dry_run", "stop_at")
        same = {name: value for name, value in options.to_dict().items() if name not in another}
        self.name = hashlib.sha256(json.dumps([same, list(addresses)]).encode()).hexdigest()[:16]
        self._folder = folder / self.name
        self.created = datetime.now(timezone.utc)
        """When the migration was first begun: history ends there."""
        self.is_begun = False
        if stored := self._file("created").load():
            try:
                self.created, self.is_begun = datetime.fromisoformat(str(stored["created"])), True
            except (KeyError, ValueError):
                log.warning("The state in %s does not say when it was begun", self._folder)

    def keep(self) -> None:
        """Remember that it has begun.

        Raises:
            StorageFailed: it cannot be kept.
        """
        if not self.is_begun:
            # What is there belongs to no beginning that is known.
            shutil.rmtree(self._folder, ignore_errors=True)
        with storage("The folder of the state", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file("created").write({"created": self.created.isoformat()})

    def forget(self) -> None:
        """Remember what is kept."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.is_begun = False

    def plan(self) -> list[Batch]:
        """The batches that were planned when it was begun; none if it was not."""
        stored = self._file("plan").load()
        try:
            return (
                [Batch.from_dict(batch) for batch in cast("list[dict[str, object]]", stored["batches"])]
                if stored
                else []
            )
        except (KeyError, TypeError):
            log.warning("The plan in %s cannot be read; it is made anew", self._folder)
            return []

    def keep_plan(self, batches: Sequence[Batch]) -> None:
        """Remember them: they stay what they are, so that their checkpoints do."""
        with storage("The folder of the state", self._folder):
            self._file("plan").write({"batches": [batch.to_dict() for batch in batches]})

    @property
    def position(self) -> FileProgress:
        """Up to where rows have been followed; nothing before history is complete."""
        return self._file("position")

    def of_batch(self, batch: Batch) -> FileProgress:
        """Where a batch's checkpoint is kept."""
        return self._file(hashlib.sha256(batch.identity.encode()).hexdigest()[:16])

    def _file(self, name: str) -> FileProgress:
        return FileProgress(self._folder / f"{name}.json", f"{self.name} {name}")


class FileProgress:
    """Keeps something in a file, with a digest that says whether it is whole, and of what it is.

    Parameters:
        file: its path.
        of: what it is of; what is of something else is not used.
    """

    def __init__(self, file: Path, of: str) -> None:
        self._file = file
        self._of = of

    def load(self) -> dict[str, object] | None:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            kept: dict[str, object] = stored["kept"]
            if stored["digest"] == self._digest(kept) and isinstance(kept, dict):
                return kept
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("The file %s is passed over, and that part starts anew: %r", self._file, error)
            return None
        log.warning("The file %s is passed over, and that part starts anew: it is damaged, or of another", self._file)
        return None

    def save(self, checkpoint: dict[str, object]) -> None:
        try:
            self.write(checkpoint)
        except OSError as error:
            raise ProgressNotSaved(str(error)) from error

    def write(self, kept: dict[str, object]) -> None:
        """Keep it, in place of what was kept before.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self._file, json.dumps({"digest": self._digest(kept), "kept": kept}))

    def _digest(self, kept: object) -> str:
        return digest([self._of, kept])


if __name__ == "__main__":
    sys.exit(main())
