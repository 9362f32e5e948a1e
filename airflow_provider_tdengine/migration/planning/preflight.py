"""What can be known of a migration before anything is written, whatever its size: no subtable is looked at.

What stands in the way of single subtables is schema sync's to find; `dry_run.preview` has both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from airflow_provider_tdengine.client.types import Type
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Database, patiently, together
from airflow_provider_tdengine.migration.copying import expired_findings, find_expired, window
from airflow_provider_tdengine.migration.findings import Finding, Severity
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import (
    Structure,
    leftovers,
    new_database,
    nothing_meant,
    options_not_taken,
    table_options_not_taken,
)

CLOCKS = timedelta(seconds=5)
"""Clocks may differ by so much before it is said."""


def preflight(
    source: Catalog,
    target: Catalog,
    structure: Structure,
    options: MigrationOptions,
    *,
    is_end_implied: bool = False,
) -> list[Finding]:
    """All that is found with a few statements: blockers, warnings, and what is good to know.

    Parameters:
        source: the source database.
        target: the target database, which need not exist.
        structure: of both sides.
        options: of the migration.
        is_end_implied: whether history ends where it does only since the migration was created then.

    Raises:
        TDengineError: what no retry cured.
    """
    return patiently(source, target, lambda: _preflight(source, target, structure, options, is_end_implied))


def _preflight(
    source: Catalog, target: Catalog, structure: Structure, options: MigrationOptions, is_end_implied: bool
) -> list[Finding]:
    there = structure.target or wanted_database(target, structure, options)
    left = [
        *leftovers(source, options.object_kinds),
        *options_not_taken(structure.source, there),
        *table_options_not_taken(source, [pair.source for pair in structure.pairs]),
    ]
    return [
        *generation_findings(target),
        *nothing_meant(source, structure, options),
        *_expired(source, structure, there, options),
        *(_after_end(source, structure, options) if is_end_implied and options.copies_history else ()),
        *_clocks(source, target),
        *_infinity_over_rest(source, structure),
        *(leftover.finding for leftover in left),
    ]


def wanted_database(target: Catalog, structure: Structure, options: MigrationOptions) -> Database:
    """The target database as it would be created, which says nothing of what is the server's default."""
    new = new_database(structure.source, target, options)
    words = {name.lower(): value.strip("'\"") for name, value in new.words.items()}
    return Database(new.name, new.precision, new.keep, new.duration, words)


def generation_findings(target: Catalog) -> Iterator[Finding]:
    """What to say of a server that can only be a source."""
    if target.client.generation < 3:
        yield Finding(
            "Option 'target_conn_id'",
            f"{target.client.address} is TDengine {target.client.server.version_text}",
            "Give a server of 3.0 or later; older ones can only be a source",
        )


def _expired(source: Catalog, structure: Structure, there: Database, options: MigrationOptions) -> Iterator[Finding]:
    """Rows that are older than the target keeps, or will keep."""
    if not options.copies_history:
        return
    period = window(options, structure.source)
    found = find_expired(source, structure, there, period, datetime.now(timezone.utc))
    for finding in expired_findings(found, there, structure.source.precision, options.on_expired):
        is_new = structure.target is None and finding.is_blocker
        yield replace(finding, action=f"{finding.action}, or a longer KEEP in database_options") if is_new else finding


def _after_end(source: Catalog, structure: Structure, options: MigrationOptions) -> Iterator[Finding]:
    """Rows of the future: of devices whose clocks are ahead, or say local time."""
    end = window(options, structure.source)[1]
    for pair in structure.pairs:
        found = together(source, pair.source, structure.scope, (end, None))
        if found:
            last = wording.moment(found.last, structure.source.precision)
            yield Finding(
                f"Table {pair.source.name!r}",
                f"{found.rows:,} rows lie at or after {options.end}, where history ends as the run was created then; "
                f"the last one is of {last} UTC",
                "They are not copied: look at the clocks and time zones of their devices, give a later end, or choose "
                "mode both",
                Severity.WARNING,
            )


def _infinity_over_rest(source: Catalog, structure: Structure) -> Iterator[Finding]:
    """Numbers that would arrive as NULL: adapters of 3.3.8 say so over REST (by its documents); older ones fail."""
    client = source.client
    if client.server.websocket_path or client.server.version < (3, 3, 8):
        return
    fractions = {Type.FLOAT, Type.DOUBLE}
    count = sum(any(column.type in fractions for column in pair.source.columns) for pair in structure.pairs)
    if count:
        tables = wording.number(count, "table has", "tables have")
        yield Finding(
            "Connection of the source",
            f"{client.address} is asked over REST, which says NULL for Infinity and NaN; {tables} FLOAT or DOUBLE",
            "Give an address that begins with ws:// or wss://, unless these tables have neither",
            Severity.WARNING,
        )


def _clocks(source: Catalog, target: Catalog) -> Iterator[Finding]:
    """Servers whose clocks are not Airflow's."""
    for side, catalog in (("source", source), ("target", target)):
        began = datetime.now(timezone.utc)
        clock = datetime.fromtimestamp(catalog.clock(), timezone.utc)
        ended = datetime.now(timezone.utc)
        # It looked at its clock between the two moments.
        cut = timedelta(seconds=0 if catalog.client.dialect.clock else 1)
        ahead = max(clock - ended, began - clock - cut)
        if ahead > CLOCKS:
            direction = "ahead of" if clock > ended else "behind"
            yield Finding(
                f"Clock of the {side}",
                f"{catalog.client.address} is {int(ahead.total_seconds())} s {direction} Airflow's",
                "Set the clocks by NTP: they decide where a period ends, how late rows are, and what KEEP deletes",
                Severity.WARNING,
            )
