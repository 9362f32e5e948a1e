"""Rows that are older than the target keeps: counted before anything is copied, then treated as the user says."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Database, Holding, Period, each
from airflow_provider_tdengine.migration.copying.rejected import OUTSIDE_KEEP, Refused, Rejected, Rejections
from airflow_provider_tdengine.migration.findings import Finding, Severity, stop_on
from airflow_provider_tdengine.migration.structure import Structure, oldest

log = logging.getLogger(__name__)

_MINUTES_A_DAY = 1440

MARGIN = timedelta(hours=1)
"""Rows that expire within this time are neither copied nor compared: they could do so between two queries."""

_LEAST_MARGIN = MARGIN / 4
"""What of it may be left when a unit is read."""


def settle(source: Catalog, target: Catalog, structure: Structure, period: Period, treatment: str) -> None:
    """Do with expired rows what the option `on_expired` says; the copy leaves out those that are skipped.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure; the target exists.
        period: of the migration, in steps of the source.
        treatment: fail, skip or raise_keep.

    Raises:
        MigrationStopped: there are expired rows, and the treatment is fail.
    """
    assert structure.target is not None
    # By the clock of the one who keeps them: a worker's may be wrong.
    now, precision = datetime.fromtimestamp(target.clock(), timezone.utc), structure.source.precision
    found = find_expired(source, structure, structure.target, period, now)
    stop_on(expired_findings(found, structure.target, precision, treatment))
    if found and treatment == "raise_keep":
        _raise_keep(target, structure.target, min(expired.first for expired in found), now, precision)
    elif found:
        for expired in found:
            rows = wording.number(expired.rows, "row")
            log.warning("Skipped: %s of %s, older than the target keeps", rows, expired.name)


def find_expired(source: Catalog, structure: Structure, kept: Database, period: Period, now: datetime) -> list[Holding]:
    """What tables in scope hold that is older than the target keeps; of a super table, all subtables together.

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
    older = start, limit if end is None else min(limit, end)
    return each(source, [pair.source for pair in structure.pairs], structure.scope, older)


_TREATED = {
    "fail": ("Set on_expired to raise_keep or skip, or give a later start", Severity.BLOCKER),
    "skip": ("They are left out, as on_expired says", Severity.WARNING),
    "raise_keep": ("The target's KEEP is raised for them, as on_expired says", Severity.INFO),
}


def expired_findings(
    found: Iterable[Holding], target: Database, precision: Precision, treatment: str
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
        first = wording.moment(expired.first, precision, "%Y-%m-%d")
        yield Finding(
            f"Table {expired.name!r}",
            f"{expired.rows:,} rows from {first} on are older than the {days:,} days that {target.name!r} keeps",
            *_TREATED[treatment],
        )


def _raise_keep(target: Catalog, database: Database, first: int, now: datetime, precision: Precision) -> None:
    age = now.timestamp() - first / precision.per_second
    days = math.ceil(age / 86400) + 1
    keep = [f"{minutes}m" for minutes in database.keep[:-1]] + [f"{days * _MINUTES_A_DAY}m"]
    target.execute(f"ALTER DATABASE {target.client.dialect.database(target.name)} KEEP {','.join(keep)}")
    log.warning("KEEP of %s was raised to %s, for rows that old", target.name, wording.number(days, "day"))


def kept_since(start: int | None, target: Database, now: datetime, precision: Precision) -> int | None:
    """From which timestamp of a period on the target takes rows.

    Parameters:
        start: of the period.
        target: the target database.
        now: the present moment.
        precision: of the start and of what is returned.
    """
    return _later(start, oldest(target, now, precision))


class Border:
    """The age at which rows expire, on either side: it moves while they are counted, read and written.

    Parameters:
        precision: of the timestamps that are asked about.
        databases: both sides, whose KEEP counts; where an account may not see it, nothing is known of it.
    """

    def __init__(self, precision: Precision, *databases: Database) -> None:
        self._precision = precision
        self._databases = databases

    def after(self, start: int | None) -> int | None:
        """From which timestamp of a period on rows are there on both sides, and will be for a while.

        Parameters:
            start: of the period.
        """
        return _later(start, self._oldest(MARGIN))

    def reached(self, start: int | None) -> int | None:
        """From which timestamp of a period on no row expires before it is read and written: others may have by now.

        Parameters:
            start: of the period.
        """
        return _later(start, self._oldest(_LEAST_MARGIN))

    def is_near(self, first: int) -> bool:
        """Whether a row of this timestamp may expire before it is read and written."""
        border = self._oldest(_LEAST_MARGIN)
        return border is not None and first < border

    def _oldest(self, margin: timedelta) -> int | None:
        soon = datetime.now(timezone.utc) + margin
        return _later(*(oldest(database, soon, self._precision) for database in self._databases))


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
        skipped: list[int] = []

        def others() -> Iterator[Rejected]:
            for row in rows:
                if self._has_expired(row):
                    skipped.append(row.number)
                else:
                    yield row

        refused = self._others.take(others())
        if skipped:
            log.warning("Skipped: %s, by now older than the target keeps", wording.number(len(skipped), "row"))
        return replace(refused, expired=(*refused.expired, *skipped))

    def _has_expired(self, row: Rejected) -> bool:
        limit = oldest(self._target, datetime.now(timezone.utc), row.precision)
        return row.error.code == OUTSIDE_KEEP and limit is not None and int(str(row.values[0])) <= limit
