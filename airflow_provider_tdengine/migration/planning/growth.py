"""How much a database grows: what has been written in the last days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog, Scope, Table, each

DAYS = 7.0
"""Days before now that are looked at, so that a weekend is among them."""

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Growth:
    """How much is written a day.

    Parameters:
        rows: a day.
        bytes: of disk in the source that they take a day, one copy.
        days: that were looked at.
    """

    rows: float = 0.0
    bytes: float = 0.0
    days: float = DAYS


def growth(
    source: Catalog, tables: Sequence[Table], scope: Scope, precision: Precision, rows: int, size: float
) -> Growth:
    """How much is written a day, by the rows of the last days: one question a super table, whatever its size.

    Parameters:
        source: the source database.
        tables: its super tables and normal tables.
        scope: which subtables are meant.
        precision: of the source.
        rows: that it has in all.
        size: bytes of disk that they take.

    Raises:
        TDengineError: what no retry cured.
    """
    now = int(source.behind_now() * precision.per_second)
    since = now - int(DAYS * _DAY) * precision.per_second
    found = each(source, tables, scope, (since, now))
    recent = sum(one.rows for one in found)
    if not recent:
        return Growth()
    days = DAYS
    if recent >= rows:
        # It is younger than that.
        days = max(1.0, (now - min(one.first for one in found)) / precision.per_second / _DAY)
    return Growth(recent / days, recent / days * size / max(1, rows), days)
