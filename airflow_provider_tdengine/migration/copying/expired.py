"""Rows that are older than the target keeps: counted before anything is copied, then treated as the user says."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from airflow_provider_tdengine.client.sql import identifier, where
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog, Database
from airflow_provider_tdengine.migration.copying.rejected import OUTSIDE_KEEP, Refused, Rejected, Rejections
from airflow_provider_tdengine.migration.findings import Finding, Severity, stop_on
from airflow_provider_tdengine.migration.structure import Structure, oldest

log = logging.getLogger(__name__)

_MINUTES_A_DAY = 1440

_SOON = timedelta(hours=1)
"""Rows that expire within this time are not compared: they could do so between two queries."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The rows of a table that are older than the target keeps.

    Parameters:
        table: the super table or normal table.
        rows: how many there are.
        first: the oldest one's timestamp, in steps of the source.
    """

    table: str
    rows: int
    first: int


def settle(
    source: Catalog, target: Catalog, structure: Structure, period: tuple[int | None, int | None], treatment: str
) -> int | None:
    """Do with expired rows what the option `on_expired` says.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure; the target exists.
        period: of the migration, in steps of the source.
        treatment: fail, skip or raise_keep.

    Returns:
        The start of the period, later where expired rows are skipped.

    Raises:
        MigrationStopped: there are expired rows, and the treatment is fail.
    """
    assert structure.target is not None
    now, precision = datetime.now(timezone.utc), structure.source.precision
    found = find_expired(source, structure, structure.target, period, now)
    if not found:
        return period[0]
    stop_on(expired_findings(found, structure.target, precision, treatment))
    if treatment == "raise_keep":
        _raise_keep(target, structure.target, min(expired.first for expired in found), now, precision)
        return period[0]
    for expired in found:
        log.warning("Skipped: %d rows of %s are older than the target keeps", expired.rows, expired.table)
    return kept_since(period[0], structure.target, now, precision)


def find_expired(
    source: Catalog, structure: Structure, kept: Database, period: tuple[int | None, int | None], now: datetime
) -> list[Expired]:
    """Tables in scope with rows that are older than the target keeps; of a super table, all subtables count.

    Parameters:
        source: the source database.
        structure: its tables.
        kept: the target database, which need not have been created.
        period: of the migration, in steps of the source.
        now: the present moment.
    """
    (start, end), precision = period, structure.source.precision
    limit = oldest(kept, now, precision)
    # The source shows no rows that are older than its own KEEP.
    visible = _later(start, oldest(structure.source, now, precision))
    if limit is None or (visible is not None and visible >= limit):
        return []
    return list(_before(source, structure, start, limit if end is None else min(limit, end)))


def _before(source: Catalog, structure: Structure, start: int | None, end: int) -> Iterator[Expired]:
    for table in (pair.source for pair in structure.pairs):
        ts = identifier(table.time_column)
        conditions = where(table.period(start, end))
        for rows, first in source.rows(f"SELECT COUNT(*), FIRST({ts}) FROM {source.table(table.name)}{conditions}"):
            if rows and first is not None:
                yield Expired(table.name, int(str(rows)), int(str(first)))


_TREATED = {
    "fail": ("Set on_expired to raise_keep or skip, or give a later start", Severity.BLOCKER),
    "skip": ("They are left out, as on_expired says", Severity.WARNING),
    "raise_keep": ("The target's KEEP is raised for them, as on_expired says", Severity.INFO),
}


def expired_findings(
    found: Iterable[Expired], target: Database, precision: Precision, treatment: str
) -> Iterator[Finding]:
    """What to say of expired rows.

    Parameters:
        found: them.
        target: the target database.
        precision: of the source.
        treatment: fail, skip or raise_keep.
    """
    for expired in found:
        days = max(target.keep) // _MINUTES_A_DAY
        moment = datetime.fromtimestamp(expired.first / precision.per_second, timezone.utc)
        yield Finding(
            f"Table {expired.table!r}",
            f"{expired.rows} rows from {moment:%Y-%m-%d} on are older than the {days} days that {target.name!r} keeps",
            *_TREATED[treatment],
        )


def _raise_keep(target: Catalog, database: Database, first: int, now: datetime, precision: Precision) -> None:
    age = now.timestamp() - first / precision.per_second
    days = math.ceil(age / 86400) + 1
    keep = [f"{minutes}m" for minutes in database.keep[:-1]] + [f"{days * _MINUTES_A_DAY}m"]
    target.execute(f"ALTER DATABASE {target.client.dialect.database(target.name)} KEEP {','.join(keep)}")
    log.warning("KEEP of %s was raised to %d days, for rows that old", target.name, days)


def kept_since(start: int | None, target: Database, now: datetime, precision: Precision) -> int | None:
    """From which timestamp of a period on the target takes rows.

    Parameters:
        start: of the period.
        target: the target database.
        now: the present moment.
        precision: of the start and of what is returned.
    """
    return _later(start, oldest(target, now, precision))


def comparable_since(start: int | None, precision: Precision, *databases: Database) -> int | None:
    """From which timestamp on rows are there on both sides, and will be for a while.

    Parameters:
        start: of the period.
        precision: of the start and of what is returned.
        databases: both sides, whose KEEP counts.
    """
    soon = datetime.now(timezone.utc) + _SOON
    return _later(start, *(oldest(database, soon, precision) for database in databases))


def _later(*moments: int | None) -> int | None:
    return max((moment for moment in moments if moment is not None), default=None)


class SkipExpired:
    """Lets rows go that have expired since the migration was planned; all other refused rows are somebody else's.

    Parameters:
        target: the target database.
        others: what becomes of the others.
    """

    def __init__(self, target: Database, others: Rejections) -> None:
        self._target = target
        self._others = others

    def clear(self) -> None:
        """Forget what an earlier try has kept."""
        self._others.clear()

    def take(self, rows: Iterator[Rejected]) -> Refused:
        """Count expired rows, and hand on the others."""
        skipped = 0

        def others() -> Iterator[Rejected]:
            nonlocal skipped
            for row in rows:
                if self._has_expired(row):
                    skipped += 1
                else:
                    yield row

        refused = self._others.take(others())
        if skipped:
            log.warning("Skipped: %d rows have become older than the target keeps", skipped)
        return replace(refused, expired=refused.expired + skipped)

    def _has_expired(self, row: Rejected) -> bool:
        limit = oldest(self._target, datetime.now(timezone.utc), row.precision)
        return row.error.code == OUTSIDE_KEEP and limit is not None and int(str(row.values[0])) <= limit
