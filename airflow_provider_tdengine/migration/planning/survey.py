"""Whole servers assessed: a dry run of each database, and what all of them come to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.assessment_options import AssessmentOptions
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, Severity, stop_on
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.disk import Disk
from airflow_provider_tdengine.migration.planning.dry_run import Preview, preview
from airflow_provider_tdengine.migration.planning.estimate import Sample
from airflow_provider_tdengine.migration.planning.machines import Machines, machines
from airflow_provider_tdengine.migration.planning.names import selected
from airflow_provider_tdengine.migration.planning.preflight import generation_findings
from airflow_provider_tdengine.migration.planning.proposal import Proposal, proposal, target_findings
from airflow_provider_tdengine.migration.planning.request import same_database, wait_for_servers
from airflow_provider_tdengine.migration.planning.schedule import Schedule, Work, schedule
from airflow_provider_tdengine.migration.planning.speed import Speed, trial
from airflow_provider_tdengine.migration.retry import persist

_AT_ONCE = 4
"""Databases that are looked at side by side: one session at each server waits while another one is answered."""

_PARALLEL = 4
"""Batches at the same time where no server says how many cores it has, as the ready-made DAG has them."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """A database of a server.

    Parameters:
        found: what a migration of it would do.
        seconds: in which one batch at a time creates, copies and compares all of it, about.
        proposal: how the target might be made; None where nothing is known of it.
    """

    found: Preview
    seconds: float
    proposal: Proposal | None

    @property
    def place(self) -> tuple[str, str]:
        """Its server and its name."""
        return self.found.source["address"], self.found.source["database"]

    @property
    def is_work(self) -> bool:
        """Whether it can be copied, as far as anybody knows."""
        return self.found.database is not None and not self.found.blockers


@dataclass(frozen=True, slots=True)
class Survey:
    """Whole servers.

    Parameters:
        options: what was asked for.
        databases: that were looked at, by server and name.
        findings: of whole servers, and of all databases of one.
        sources: the machines of each server that is to be left, by its address.
        address: of the target.
        target: its machines.
        speed: of copying.
        schedule: of all databases that can be copied.
        seconds: that the survey took.
    """

    options: AssessmentOptions
    databases: list[Assessed]
    findings: list[Finding]
    sources: Mapping[str, Machines]
    address: str
    target: Machines
    speed: Speed
    schedule: Schedule
    seconds: float

    @property
    def name(self) -> str:
        """What it is called."""
        return self.options.name or ", ".join(self.sources)

    @property
    def all_findings(self) -> list[Finding]:
        """Those of whole servers and those of each database."""
        return [*self.findings, *(finding for one in self.databases for finding in one.found.findings)]

    @property
    def blockers(self) -> list[Finding]:
        """What stands in the way of one database or another."""
        return [finding for finding in self.all_findings if finding.is_blocker]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by severity."""
        found = Counter(finding.severity for finding in self.all_findings)
        return {severity.value: found[severity] for severity in Severity}

    @property
    def growth(self) -> tuple[float, float]:
        """Rows, and bytes of disk, a day."""
        each = [one.found.growth for one in self.databases]
        return sum(one.rows for one in each), sum(one.bytes for one in each)

    @property
    def window_said(self) -> str:
        """Order and parallelism in a sentence."""
        plan = self.schedule
        batches = wording.number(plan.parallel, "batch", "batches")
        fitting = len(plan.slots) - len(plan.left)
        takes = "takes" if fitting == 1 else "take"
        said = f"{wording.number(fitting, 'database')} {takes} about {wording.duration(plan.seconds)}"
        said += f", with {batches} at the same time."
        if plan.window is None:
            said = f"{said} No window was given."
        elif plan.left:
            left = wording.enumerated(slot.database for slot in plan.left)
            said = (
                f"Not all fit into {wording.duration(plan.window)}. {said} Outside of it: {left}. Copy their history "
                "before, with mode both, or allow more batches at the same time."
            )
        else:
            said = f"All fit into {wording.duration(plan.window)}. {said}"
        barred = [one.found.source["database"] for one in self.databases if not one.is_work]
        if barred:
            said += f" Not counted, since something stands in the way: {wording.enumerated(barred)}."
        return said


def databases_meant(sources: Mapping[str, Client], target: Client, options: AssessmentOptions) -> list[tuple[str, str]]:
    """What is to be looked at; all that is wrong with servers and names is found here.

    Parameters:
        sources: the servers that are to be left, by connection.
        target: the server that they go to.
        options: what is asked for.

    Returns:
        Connections, each with a database.

    Raises:
        MigrationStopped: there is no such database, a server refuses, or the target can only be a source.
        TDengineError: a server does not answer.
    """
    there = Catalog(target, "")
    answering = [("source_conn_ids", Catalog(client, "")) for client in sources.values()]
    wait_for_servers([*answering, ("target_conn_id", there)])
    stop_on(generation_findings(there))
    names = {connection: persist(Catalog(client, "").database_names) for connection, client in sources.items()}
    place = " or ".join(str(client.address) for client in sources.values())
    every = {name for own in names.values() for name in own}
    wanted = set(selected(every, options.databases, "databases", place))
    return [(connection, name) for connection, own in names.items() for name in sorted(wanted.intersection(own))]


def survey(
    meant: Sequence[tuple[str, str]],
    sources: Mapping[str, Client],
    target: Client,
    options: AssessmentOptions,
    created: datetime,
) -> Survey:
    """Look at databases of servers; nothing is written, but for a trial that options allow.

    One that cannot be looked at is a finding, and does not keep the others.

    Parameters:
        meant: the databases, see `databases_meant`.
        sources: the servers that are to be left, by connection.
        target: the server that they go to.
        options: what is asked for.
        created: up to when rows count.

    Raises:
        TDengineError: a server does not answer.
    """
    began = time.monotonic()
    there = Catalog(target, "")
    at_sources = {str(client.address): persist(partial(machines, Catalog(client, ""))) for client in sources.values()}
    at_target = persist(partial(machines, there))
    previews = _previews(meant, sources, target, options, created)
    findings, previews = _of_servers(previews)
    speed = _speed(previews, sources, target, options)
    databases = [_assessed(found, target, at_target, speed) for found in previews]
    proposals = [one.proposal for one in databases if one.proposal]
    findings += [*_same_targets(previews), *target_findings(proposals, at_target, str(target.address))]
    cores = [one.cores for one in (*at_sources.values(), at_target) if one.cores]
    most = options.parallel_batches or min(cores, default=_PARALLEL)
    works = [Work(*one.place, one.seconds, len(one.found.batches)) for one in databases if one.is_work]
    plan = schedule(works, options.window, most)
    took = time.monotonic() - began
    return Survey(options, databases, findings, at_sources, str(target.address), at_target, speed, plan, took)


def _previews(
    meant: Sequence[tuple[str, str]],
    sources: Mapping[str, Client],
    target: Client,
    options: AssessmentOptions,
    created: datetime,
) -> list[Preview]:
    """A dry run of each database, some of them side by side."""

    def look(connection: str, name: str) -> Preview:
        return _preview(connection, Catalog(sources[connection], name), Catalog(target, name), options, created)

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        with Headway("Looking at databases", len(meant), "database") as headway:
            # What they log belongs to the task that asks for it.
            looks = [pool.submit(partial(copy_context().run, partial(look, *one))) for one in meant]
            return [one.result() for one in headway.each(looks)]
    finally:
        # A server that has not answered for long is not waited for once more by each database.
        pool.shutdown(cancel_futures=True)


def _preview(
    connection: str, source: Catalog, target: Catalog, options: AssessmentOptions, created: datetime
) -> Preview:
    """A dry run of a database; of one that cannot be looked at, why.

    Raises:
        TDengineError: a server does not answer.
    """
    own = MigrationOptions(
        source_database=source.name,
        source_conn_id=connection,
        target_conn_id=options.target_conn_id,
        workers=options.workers,
        database_options=options.database_options,
    ).ended(created)
    try:
        with source, target:
            found = preview(source, target, own)
        # The disk of all of them stands in one table.
        said = list(found.disk.findings(target.name))
        findings = [one for one in found.findings if one not in said]
        return replace(found, findings=[*same_database(source, target), *findings])
    except MigrationStopped as stopped:
        findings = stopped.findings
    except TDengineError as error:
        if error.retryable:
            raise
        action = "Look at that server's log, and at this database alone, with a dry run"
        findings = [Finding(f"Database {source.name!r}", str(error), action)]
    nothing = Disk({}, frozenset(), 1, {})
    return Preview(own, source.to_dict(), target.to_dict(), False, [], Sample(), nothing, findings=findings)


def _of_servers(previews: list[Preview]) -> tuple[list[Finding], list[Preview]]:
    """What is found in each database of a server, such as its users, is said once."""
    common: list[Finding] = []
    left: list[Preview] = []
    for address in dict.fromkeys(found.source["address"] for found in previews):
        own = [found for found in previews if found.source["address"] == address]
        first, *others = own
        shared = [
            one
            for one in first.findings
            # What stands in the way stays with each, of which it is to be known.
            if others and not one.is_blocker and all(one in other.findings for other in others)
        ]
        common += [replace(one, object=f"{one.object} of {address}") for one in shared]
        left += [replace(found, findings=[one for one in found.findings if one not in shared]) for found in own]
    return common, left


def _speed(
    previews: Sequence[Preview], sources: Mapping[str, Client], target: Client, options: AssessmentOptions
) -> Speed:
    """What a trial says of the server with most rows; all others are taken to be like it."""
    whole = [found for found in previews if not found.blockers and found.rows]
    if not options.measure_writing or not whole:
        return Speed()
    rows = Counter[str]()
    for found in whole:
        rows[found.options.source_conn_id] += found.rows
    ((largest, _),) = rows.most_common(1)
    return trial(sources[largest], target, [one for one in whole if one.options.source_conn_id == largest])


def _assessed(found: Preview, target: Client, there: Machines, speed: Speed) -> Assessed:
    if found.database is None:
        return Assessed(found, 0.0, None)
    wanted = persist(partial(proposal, found, Catalog(target, found.target["database"]), there))
    return Assessed(found, speed.seconds(found), wanted)


def _same_targets(previews: Sequence[Preview]) -> Iterator[Finding]:
    """Databases of several servers that would become one."""
    places: dict[str, list[str]] = {}
    for found in previews:
        places.setdefault(found.target["database"], []).append(found.source["address"])
    for name, addresses in places.items():
        if len(addresses) > 1:
            yield Finding(
                f"Database {name!r}",
                f"{' and '.join(addresses)} have one of that name",
                "Give each a target_database of its own, or rename_tables where they are to become one",
                Severity.WARNING,
            )
