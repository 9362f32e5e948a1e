"""What a migration would do, found out without writing anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from airflow_provider_tdengine.client.sql import where
from airflow_provider_tdengine.migration import spoken
from airflow_provider_tdengine.migration.catalog import Catalog, Table
from airflow_provider_tdengine.migration.copy import choose_strategy
from airflow_provider_tdengine.migration.expired import settle
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.plan import Batch, make_batches, window
from airflow_provider_tdengine.migration.privileges import privilege_findings
from airflow_provider_tdengine.migration.schema import SchemaSync
from airflow_provider_tdengine.migration.structure import Structure, compare, read_structure

SAMPLE = 10_000
"""Rows that are read of each super table and normal table, to learn how long they are and how fast they come."""

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Preview:
    """What a migration would do.

    Parameters:
        tables: subtables and normal tables that have rows in the period.
        rows: of them.
        bytes: about so many, of the values.
        seconds: for about so long; see `preview`.
        batches: what would be copied, each with its strategy.
        findings: all that stands in the way.
    """

    tables: int
    rows: int
    bytes: int
    seconds: float
    batches: list[tuple[Batch, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def strategies(self) -> dict[str, int]:
        """Number of batches by strategy."""
        return dict(Counter(strategy for _, strategy in self.batches))

    def lines(self) -> Iterator[str]:
        """What people read."""
        yield (
            f"{self.tables:,} tables, {self.rows:,} rows, about {spoken.size(self.bytes)} of values, "
            f"in {len(self.batches):,} batches"
        )
        for batch, strategy in self.batches[:_SHOWN]:
            yield f"  {batch.label}: {batch.tables:,} tables, {batch.rows:,} rows, {strategy}"
        if len(self.batches) > _SHOWN:
            yield f"  and {len(self.batches) - _SHOWN:,} more batches"
        yield (
            f"Estimated duration: {spoken.duration(self.seconds)}, if one session reads all of it as fast as a sample; "
            "more workers make it shorter, a slow target longer"
        )
        yield f"{len(self.findings)} findings stand in the way:" if self.findings else "Nothing stands in the way"
        yield from (f"  {finding}" for finding in self.findings)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        batches = [{**asdict(batch), "strategy": strategy} for batch, strategy in self.batches]
        return {**asdict(self), "batches": batches, "strategies": self.strategies}


def preview(source: Catalog, target: Catalog, options: MigrationOptions) -> Preview:
    """What a migration would do; nothing is written.

    The duration is that of reading all rows with one session, as long as a sample of them takes, or longer by the
    limits on rows and bytes a second.

    Parameters:
        source: the source database.
        target: the target database, which need not exist.
        options: of the migration.

    Raises:
        MigrationStopped: the source has no such database, table or column, or names fall together.
    """
    structure = read_structure(source, target, options)
    findings = _findings(source, target, structure, options)
    start, end = window(options, structure.source)
    if structure.target and options.on_expired != "raise_keep":
        try:
            start = settle(source, target, structure, (start, end), options.on_expired)
        except MigrationStopped as stopped:
            findings += stopped.findings
    batches: list[Batch] = []
    if options.copies_history:
        try:
            batches = make_batches(source, structure, (start, end))
        except MigrationStopped as stopped:
            findings += [finding for finding in stopped.findings if finding not in findings]
    rows = sum(batch.rows for batch in batches)
    tables = {pair.source.name: pair.source for pair in structure.pairs}
    size, seconds = _estimate(source, tables, batches, (start, end))
    for amount, limit in ((rows, options.max_rows_per_second), (size, options.max_bytes_per_second)):
        seconds = max(seconds, amount / limit) if limit else seconds
    # A giant table is in several batches.
    ranges = {(batch.stable, batch.first, batch.last): batch.tables for batch in batches}
    chosen = [(batch, _strategy(batch, tables, options)) for batch in batches]
    return Preview(sum(ranges.values()), rows, round(size), seconds, chosen, findings)


def _findings(source: Catalog, target: Catalog, structure: Structure, options: MigrationOptions) -> list[Finding]:
    """All that schema sync and plan would stop at, as far as structure goes."""
    if options.schema != "none":
        return SchemaSync(source, target, options).findings()
    if structure.target is None:
        return [target.missing("target_database")]
    findings = compare(structure, creates=False, allow_lossy=options.allow_lossy_precision)
    return [*findings, *privilege_findings(source, target, structure, options)]


def _estimate(
    source: Catalog, tables: Mapping[str, Table], batches: list[Batch], period: tuple[int | None, int | None]
) -> tuple[float, float]:
    """Bytes of all rows, and seconds in which one session reads them."""
    rows: Counter[str] = Counter()
    for batch in batches:
        # Of normal tables, the first one of a batch stands for the others.
        rows[batch.stable or batch.first] += batch.rows
    size = seconds = 0.0
    with source.session() as session:
        for name, number in rows.items():
            started, read, read_bytes = time.monotonic(), 0, 0
            conditions = where(tables[name].period(*period))
            for block in session.query(f"SELECT * FROM {source.table(name)}{conditions} LIMIT {SAMPLE}").blocks():
                read, read_bytes = read + block.rows, read_bytes + block.size
            size += number * read_bytes / max(1, read)
            seconds += number * (time.monotonic() - started) / max(1, read)
    return size, seconds


def _strategy(batch: Batch, tables: Mapping[str, Table], options: MigrationOptions) -> str:
    table = tables[batch.stable or batch.first]
    return choose_strategy(options.strategy, table, batch.tables, batch.rows)[0]
