"""What somebody asks for: options, both servers, and what the source has of it; all that is wrong with it at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import TypeVar

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import AddressError, AuthenticationFailed, ConnectionFailed, TDengineError
from airflow_provider_tdengine.migration import retry, wording
from airflow_provider_tdengine.migration.background import in_background
from airflow_provider_tdengine.migration.catalog import Catalog, Scope, patiently, pinned
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import MigrationOptions, fleet_of, onto_itself, results_in
from airflow_provider_tdengine.migration.planning.names import selected
from airflow_provider_tdengine.migration.planning.preflight import generation_findings
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import Transform, pinned_renaming
from airflow_provider_tdengine.migration.structure import Structure, nothing_meant, read_structure

_T = TypeVar("_T")

_SOURCE, _TARGET = "source_conn_id", "target_conn_id"

_CLOCKS_AGREE = 1.5
"""Seconds by which clocks may differ that agree to a second: 2.x says whole ones."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for, and may have.

    Parameters:
        options: with digests of the files of tables.
        source: the source database.
        target: the target database; it need not exist where it is to be created.
        structure: of both sides.
    """

    options: MigrationOptions
    source: Catalog
    target: Catalog
    structure: Structure

    def facts(self, options: MigrationOptions) -> wording.Facts:
        """What was understood, for people.

        Parameters:
            options: the request's, or these with what only the caller knows.
        """
        begin = options.start_from if options.mode == "realtime" else options.start or "the first row"
        scope = {"super tables": options.stables, "tables": options.tables, "rows": options.where}
        return [
            ("migration", options.label),
            ("source", self._side(self.source)),
            ("target", self._side(self.target) + ("" if self.structure.target else ", to be created")),
            ("mode", f"{options.mode}, dry run: nothing is written" if options.dry_run else options.mode),
            ("from", str(begin)),
            ("to", "a stop" if options.follows else str(options.end)),
            *((f"only {name}", text or "") for name, text in scope.items()),
            ("schema", options.schema),
            ("verify", options.verify),
            ("on error", "rows become dead letters" if options.on_error == "dead_letter" else "the copy fails"),
        ]

    @staticmethod
    def _side(catalog: Catalog) -> str:
        return f"{catalog.name} on {catalog.client.address}"


def requested(
    values: Mapping[str, object],
    client: Callable[[str, str], Client],
    complete: Callable[[MigrationOptions], MigrationOptions] = lambda options: options,
    source: Catalog | None = None,
) -> Request:
    """What a form, a caller or a command line asks for; nothing is written.

    Parameters:
        values: by option name.
        client: gives the client of a connection, by its name and by the option that says it.
        complete: adds to the options what only the caller knows.
        source: the source database, where it is not that of a connection.

    Raises:
        MigrationStopped: all that is wrong, wherever it is found: values, rules, files, contradictions, connections,
            servers that do not answer, databases and tables that are not there.
        TDengineError: nothing is wrong but that servers do not answer, which a retry may cure.
    """
    options, found = MigrationOptions.read(values)
    mistakes = _Mistakes(found)
    completed = mistakes.of(lambda: complete(options)) or options
    mistakes.of(lambda: Transform.of(completed))
    resolved = mistakes.of(lambda: pinned(pinned_renaming(completed)))
    is_read = source is None
    source = source or mistakes.side(_SOURCE, lambda: client(options.source_conn_id, _SOURCE), options.source_database)
    target = mistakes.side(_TARGET, lambda: client(options.target_conn_id, _TARGET), options.target)
    mistakes.wait_for([(option, side) for option, side in ((_SOURCE, source), (_TARGET, target)) if side])
    if source and mistakes.answers(_SOURCE):
        # Of options without a mistake, the whole structure is read below.
        whose = resolved if mistakes.findings else None
        mistakes.asking(_SOURCE, source, lambda: _source_findings(source, whose))
    if target and mistakes.answers(_TARGET):
        mistakes.asking(_TARGET, target, lambda: _target_findings(target, completed))
    is_twofold = is_read and options.source_conn_id != options.target_conn_id
    if source and target and is_twofold and mistakes.answers(_SOURCE) and mistakes.answers(_TARGET):
        mistakes.asking(_TARGET, target, lambda: [*same_database(source, target), *_results(source, target, options)])
    mistakes.stop()
    assert source is not None
    assert target is not None
    assert resolved is not None
    structure = patiently(source, target, lambda: _meant(source, target, resolved))
    return Request(resolved, source, target, structure)


def expanded(options: MigrationOptions, source: Client, target: Client) -> MigrationOptions:
    """The options of a fleet with the names of all databases that are meant by then; of one database, the same.

    Parameters:
        options: of a migration.
        source: the server whose databases they name.
        target: the server that gets them.

    Raises:
        MigrationStopped: a name or a pattern means no database, or databases would get into each other's way.
        TDengineError: what no retry cured.
    """
    if not options.is_fleet:
        return options
    names = persist(Catalog(source, "").database_names, patience=retry.FIRST_CONTACT)
    meant = selected(names, options.source_database, "source_database", str(source.address))
    stop_on(_cannot_be_listed(meant, options))
    found = MigrationOptions.checked({**options.to_dict(), "source_database": fleet_of(meant)})
    stop_on(persist(lambda: list(_in_the_way(found, source, target)), patience=retry.FIRST_CONTACT))
    return found


def _cannot_be_listed(names: Iterable[str], options: MigrationOptions) -> Iterator[Finding]:
    """Databases that only a pattern can mean: in a list of names, theirs would be read as something else."""
    for name in names:
        own = replace(options, source_database=name)
        if own.is_fleet or own.databases != (name,):
            yield Finding(
                "Option 'source_database'",
                f"it means {name!r}; a name with a comma, *, ?, or blanks at an end cannot be migrated",
                "Give names and patterns that do not mean it",
            )


def _in_the_way(options: MigrationOptions, source: Client, target: Client) -> Iterator[Finding]:
    """Databases of one server that are read and written at once."""
    for one in options.members:
        if one.target in options.databases and _is_one(source, target, one.target):
            yield Finding(
                "Option 'source_database'",
                f"{one.target!r} is read, and is the target of {one.source_database!r} on the same server",
                "Give names or patterns without it, or another target_database",
            )


def _is_one(source: Client, target: Client, database: str) -> bool:
    """Whether databases of one name are the same; one server may have several addresses.

    3.x says to all accounts when a database was made, to the millisecond. A 2.x is no target.
    """
    if str(source.address) == str(target.address):
        return True
    created = [_created(Catalog(one, database)) for one in (source, target)]
    return created[0] == created[1] is not None


def _created(catalog: Catalog) -> str | None:
    """When a database was made, as a 3.x lists it; None where there is none."""
    with catalog:
        database = catalog.database()
    return database.options.get("create_time") if database else None


def wait_for_servers(sides: Sequence[tuple[str, Catalog]]) -> None:
    """Wait until servers have said what they are.

    Parameters:
        sides: options, each with a database of a server that it names.

    Raises:
        MigrationStopped: all that do not answer, and all that refuse.
        ConnectionFailed: nothing is wrong but that servers do not answer, which a retry may cure.
    """
    mistakes = _Mistakes([])
    mistakes.wait_for(sides)
    mistakes.stop()


def requested_of_source(
    values: Mapping[str, object], client: Callable[[str, str], Client]
) -> tuple[MigrationOptions, Catalog]:
    """What somebody asks of a source alone; nothing is written.

    Parameters:
        values: by option name.
        client: gives the client of a connection, by its name and by the option that says it.

    Returns:
        The options, with digests of the files of tables, and the source database.

    Raises:
        MigrationStopped, TDengineError: see `requested`.
    """
    options, found = MigrationOptions.read(values)
    mistakes = _Mistakes(found)
    mistakes.of(lambda: Transform.of(options))
    resolved = mistakes.of(lambda: pinned(options))
    source = mistakes.side(_SOURCE, lambda: client(options.source_conn_id, _SOURCE), options.source_database)
    mistakes.wait_for([(_SOURCE, source)] if source else [])
    if source and mistakes.answers(_SOURCE):
        mistakes.asking(_SOURCE, source, lambda: _source_findings(source, resolved))
    mistakes.stop()
    assert source is not None
    assert resolved is not None
    return resolved, source


def on_source_clock(source: Catalog, options: MigrationOptions, created: datetime) -> MigrationOptions:
    """The options with the moment of a run's creation as the source's clock says it, where history ends at that.

    Rows have the source's time, and Airflow's machines may have others, each its own. Where clocks agree to a second,
    nothing changes, so that a retry sees the same rows. Else history ends at the present moment of the source, which is
    after the creation, and following begins at the earliest moment that the creation may have been.

    Parameters:
        source: the source database.
        options: of the run.
        created: when it was created, by the clock of whoever did.

    Raises:
        TDengineError: what no retry cured.
    """
    if options.window_end != created:
        return options
    now = persist(source.clock)
    ahead = now - time.time()
    moment = created.timestamp()
    if abs(ahead) <= _CLOCKS_AGREE and moment <= now + _CLOCKS_AGREE:
        return options
    if options.follows:
        moment = math.floor(min(moment, moment + ahead, now))
        return replace(options, start_from=datetime.fromtimestamp(moment, timezone.utc).isoformat())
    moment = math.ceil(now + _CLOCKS_AGREE)
    return replace(options, end=datetime.fromtimestamp(moment, timezone.utc).isoformat())


def _meant(source: Catalog, target: Catalog, options: MigrationOptions) -> Structure:
    """Both sides' structure, which means some table."""
    structure = read_structure(source, target, options)
    stop_on(nothing_meant(source, structure, options))
    return structure


@dataclass(slots=True)
class _Mistakes:
    """All that is wrong so far.

    Parameters:
        findings: in the order in which they were found.
        passing: how many of them a retry may cure.
        silent: options of servers that do not answer.
    """

    findings: list[Finding]
    passing: int = 0
    silent: set[str] = field(default_factory=set)

    def of(self, read: Callable[[], _T]) -> _T | None:
        """What is read, None where something is wrong with it."""
        try:
            return read()
        except MigrationStopped as stopped:
            self.findings += stopped.findings
            return None

    def side(self, option: str, client: Callable[[], Client], database: str) -> Catalog | None:
        """A database of a connection, None where its option or the connection is wrong."""
        if any(finding.object == f"Option {option!r}" for finding in self.findings):
            return None
        try:
            found = self.of(client)
        except AddressError as error:
            self.findings.append(Finding(f"Option {option!r}", str(error), "Correct that connection"))
            return None
        return None if found is None else Catalog(found, database)

    def wait_for(self, sides: Sequence[tuple[str, Catalog]]) -> None:
        """Ask the servers what they are, side by side: each may let others wait.

        Where nothing is wrong so far, they may take a while.
        """
        ask = partial(persist, patience=0.0 if self.findings else retry.FIRST_CONTACT)
        answers = [in_background(partial(ask, partial(_first_answer, side))) for _, side in sides]
        for (option, side), answer in zip(sides, answers, strict=True):
            self.asking(option, side, answer.result)

    def answers(self, option: str) -> bool:
        return option not in self.silent

    def asking(self, option: str, side: Catalog, ask: Callable[[], list[Finding]]) -> None:
        """Add what is found by asking a server, or that it does not answer."""
        try:
            with side:
                self.findings += self.of(partial(persist, ask, patience=0.0 if self.findings else None)) or []
        except TDengineError as error:
            self.silent.add(option)
            self.passing += error.retryable
            self.findings.append(_unanswered(option, side, error))

    def stop(self) -> None:
        """Say all that is wrong.

        Raises:
            MigrationStopped: something is.
            ConnectionFailed: only that servers do not answer, which a retry may cure.
        """
        if not self.findings:
            return
        stopped = MigrationStopped(self.findings)
        if self.passing == len(self.findings):
            raise ConnectionFailed(str(stopped))
        raise stopped


def _first_answer(side: Catalog) -> list[Finding]:
    """Wait for a server to say what it is, in which there is nothing to find."""
    _ = side.client.server
    return []


def _unanswered(option: str, side: Catalog, error: TDengineError) -> Finding:
    address, said = str(side.client.address), str(error)
    found = said if address in said else f"{address}: {said}"
    if isinstance(error, AuthenticationFailed):
        return Finding(f"Option {option!r}", found, "Correct user and password of that connection")
    action = "See that the server and its taosAdapter run, and that host, port and protocol of the connection are right"
    return Finding(f"Option {option!r}", found, action if error.retryable else "Correct that connection")


def same_database(source: Catalog, target: Catalog) -> Iterator[Finding]:
    """Two connections may lead to one server.

    Raises:
        TDengineError: no answer.
    """
    if source.name and source.name == target.name and _is_one(source.client, target.client, source.name):
        yield onto_itself(f"both name the database {source.name!r} of {source.client.address}", "server")


def _results(source: Catalog, target: Catalog, options: MigrationOptions) -> Iterator[Finding]:
    """Results that would be written into the source."""
    if options.results_database == source.name and _is_one(source.client, target.client, source.name):
        yield from results_in("source", options)


def _source_findings(source: Catalog, options: MigrationOptions | None) -> list[Finding]:
    """What the source lacks.

    Parameters:
        source: the source database.
        options: whose tables are looked for; None for the database alone.
    """
    if not source.name:
        return []
    if source.database() is None:
        # It says which one may be meant.
        selected(source.database_names(), source.name, "source_database", str(source.client.address))
    if options is None:
        return []
    scope = Scope.of(options)
    tables = source.tables(scope)
    missing = source.missing_tables(scope, tables)
    return missing or source.nothing_meant(scope, tables, may_come=options.follows)


def _target_findings(target: Catalog, options: MigrationOptions) -> list[Finding]:
    """What the target is not, or lacks."""
    if found := list(generation_findings(target)):
        return found
    is_made = options.create_database and options.schema != "none"
    if is_made or not target.name or target.database() is not None:
        return []
    return [target.missing("target_database")]
