"""How long history takes, estimated from samples of what it reads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch

from airflow_provider_tdengine.client.sql import where
from airflow_provider_tdengine.migration.catalog import Catalog, Period, Table, each, patiently, together
from airflow_provider_tdengine.migration.copying import window
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import read_structure

SAMPLE = 10_000
"""Rows that are read of each super table and normal table, to learn how long they are and how fast they come."""

_BYTES, _SECONDS = 50_000_000, 5.0
"""What one sample may have, of rows as long as they may be; seconds after which no other is taken."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows that one session has read.

    Parameters:
        rows: how many.
        bytes: of their values.
        seconds: that it took.
    """

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.rows + other.rows, self.bytes + other.bytes, self.seconds + other.seconds)

    def whole(self, rows: int) -> Sample:
        """So many rows that are like these."""
        share = rows / max(1, self.rows)
        return Sample(rows, round(self.bytes * share), self.seconds * share)


def samples(source: Catalog, tables: Mapping[str, Table], rows: Mapping[str, int], period: Period) -> dict[str, Sample]:
    """Some rows of each of some tables, those with the most rows first; of the others none after some seconds.

    Parameters:
        source: the source database.
        tables: by name.
        rows: that these tables have.
        period: of the rows.
    """
    found: dict[str, Sample] = {}
    spent = 0.0
    for name in sorted(rows, key=lambda name: -rows[name]):
        if spent >= _SECONDS:
            break
        found[name] = sample(source, tables[name], period)
        spent += found[name].seconds
    return found


@singledispatch
def sample(source: Catalog, table: Table, period: Period) -> Sample:
    """Some rows of a table, read by a session that is there already."""
    rows = size = 0
    most = max(1, min(SAMPLE, _BYTES // max(1, table.row_bytes)))
    statement = f"SELECT * FROM {source.table(table.name)}{where(table.period(*period))} LIMIT {most}"
    with source.session() as session:
        started = time.monotonic()
        for block in session.query(statement).blocks():
            rows, size = rows + block.rows, size + block.size
        return Sample(rows, size, time.monotonic() - started)


def limits(options: MigrationOptions, rows: int, size: int) -> dict[str, float]:
    """Seconds that the limits of options demand, by option.

    Parameters:
        options: of the migration.
        rows: that are copied.
        size: bytes of their values.
    """
    amounts = {"max_rows_per_second": rows, "max_bytes_per_second": size}
    allowed = {name: int(getattr(options, name)) for name in amounts}
    return {name: amounts[name] / limit for name, limit in allowed.items() if limit}


def history_seconds(source: Catalog, target: Catalog, options: MigrationOptions) -> float:
    """For about so long one session reads what history copies, or longer by the limits.

    Parameters:
        source: the source database.
        target: the target database, which need not exist.
        options: of the migration.

    Raises:
        MigrationStopped: the source has no such database or table.
        TDengineError: what no retry cured.
    """
    if not options.copies_history:
        return 0.0
    whole = sum(patiently(source, target, lambda: list(_wholes(source, target, options))), Sample())
    return max([whole.seconds, *limits(options, whole.rows, whole.bytes).values()])


def _wholes(source: Catalog, target: Catalog, options: MigrationOptions) -> Iterator[Sample]:
    """All rows of each super table, and of all normal tables, of which the largest stands for the others."""
    structure = read_structure(source, target, options)
    period = window(options, structure.source)
    tables = {pair.source.name: pair.source for pair in structure.pairs}
    for table in filter(lambda table: table.is_super, tables.values()):
        if found := together(source, table, structure.scope, period):
            yield sample(source, table, period).whole(found.rows)
    normal = list(each(source, [table for table in tables.values() if not table.is_super], structure.scope, period))
    if normal:
        largest = max(normal, key=lambda one: one.rows)
        yield sample(source, tables[largest.name], period).whole(sum(one.rows for one in normal))
