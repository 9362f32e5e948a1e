"""What a migration would do, found out without writing anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone

from airflow_provider_tdengine.client.sql import where
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Table, patiently
from airflow_provider_tdengine.migration.copying import Batch, choose_strategy, kept_since, window
from airflow_provider_tdengine.migration.findings import Finding, Findings, MigrationStopped, Severity, sent
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.disk import disk_findings
from airflow_provider_tdengine.migration.planning.plan import make_batches
from airflow_provider_tdengine.migration.planning.preflight import preflight, wanted_database
from airflow_provider_tdengine.migration.structure import (
    SchemaSync,
    Structure,
    compare,
    privilege_findings,
    read_structure,
)

SAMPLE = 10_000
"""Rows that are read of each super table and normal table, to learn how long they are and how fast they come."""

_SHOWN = 50

_HEADINGS = {
    Severity.BLOCKER: "This stands in the way",
    Severity.WARNING: "This will be missing or otherwise",
    Severity.INFO: "Good to know",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a migration would do.

    Parameters:
        tables: subtables and normal tables that have rows in the period.
        rows: of them.
        bytes: about so many, of the values.
        seconds: for about so long; see `preview`.
        batches: what would be copied, each with its strategy.
        findings: all that was found, what stands in the way first.
    """

    tables: int
    rows: int
    bytes: int
    seconds: float
    batches: list[tuple[Batch, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def blockers(self) -> list[Finding]:
        """What stands in the way."""
        return [finding for finding in self.findings if finding.is_blocker]

    @property
    def strategies(self) -> dict[str, int]:
        """Number of batches by strategy."""
        return dict(Counter(strategy for _, strategy in self.batches))

    def lines(self) -> Iterator[str]:
        """What people read."""
        yield (
            f"{wording.number(self.tables, 'table')}, {wording.number(self.rows, 'row')}, about "
            f"{wording.size(self.bytes)} of values, in {wording.number(len(self.batches), 'batch', 'batches')}"
        )
        for batch, strategy in self.batches[:_SHOWN]:
            tables, rows = wording.number(batch.tables, "table"), wording.number(batch.rows, "row")
            yield f"  {batch.label}: {tables}, {rows}, {strategy}"
        if len(self.batches) > _SHOWN:
            yield f"  and {len(self.batches) - _SHOWN:,} more batches"
        yield (
            f"Estimated duration: {wording.duration(self.seconds)}, if one session reads all of it as fast as a "
            "sample; "
            "more workers make it shorter, a slow target longer"
        )
        if not self.blockers:
            yield "Nothing stands in the way"
        for severity, heading in _HEADINGS.items():
            if found := [finding for finding in self.findings if finding.severity is severity]:
                yield f"{heading} ({len(found):,}):"
                yield from (f"  {line}" for finding in found[:_SHOWN] for line in finding.lines())
                if len(found) > _SHOWN:
                    yield f"  and {len(found) - _SHOWN:,} more"

    def to_dict(self) -> dict[str, object]:
        """For JSON; of many batches and findings the first ones."""
        first = [{**asdict(batch), "strategy": strategy} for batch, strategy in self.batches[:_SHOWN]]
        counts = {name: getattr(self, name) for name in ("tables", "rows", "bytes", "seconds")}
        rest = {"batches": first, "batches_in_all": len(self.batches), "strategies": self.strategies}
        return {**counts, **rest, "findings": sent(self.findings)}


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
        TDengineError: what no retry cured.
    """
    return patiently(source, target, lambda: _preview(source, target, options))


def _preview(source: Catalog, target: Catalog, options: MigrationOptions) -> Preview:
    structure = read_structure(source, target, options)
    findings = _findings(source, target, structure, options)
    findings += [finding for finding in preflight(source, target, structure, options) if finding not in findings]
    there = structure.target or wanted_database(target, structure, options)
    start, end = window(options, structure.source)
    if options.on_expired == "skip":
        start = kept_since(start, there, datetime.now(timezone.utc), structure.source.precision)
    batches: list[Batch] = []
    if options.copies_history:
        try:
            batches = make_batches(source, structure, (start, end))
        except MigrationStopped as stopped:
            findings += [finding for finding in stopped.findings if finding not in findings]
    rows = sum(batch.rows for batch in batches)
    tables = {pair.source.name: pair.source for pair in structure.pairs}
    counts: Counter[str] = Counter()
    for batch in batches:
        counts[_stands_for(batch, structure)] += batch.rows
    samples = {name: _sample(source, tables[name], (start, end)) for name in counts}
    size, seconds = (sum(number * samples[name][i] for name, number in counts.items()) for i in range(2))
    findings += disk_findings(source, there, counts, {name: sample[0] for name, sample in samples.items()})
    for amount, limit in ((rows, options.max_rows_per_second), (size, options.max_bytes_per_second)):
        seconds = max(seconds, amount / limit) if limit else seconds
    # A giant table is in several batches.
    ranges = {(batch.stable, batch.first, batch.before): batch.tables for batch in batches}
    chosen = [
        (batch, choose_strategy(options.strategy, tables[_stands_for(batch, structure)], batch.tables, batch.rows)[0])
        for batch in batches
    ]
    findings = Findings(findings).said()
    findings.sort(key=lambda finding: list(Severity).index(finding.severity))
    return Preview(sum(ranges.values()), rows, round(size), seconds, chosen, findings)


def _findings(source: Catalog, target: Catalog, structure: Structure, options: MigrationOptions) -> list[Finding]:
    """All that schema sync and plan would stop at, as far as structure goes."""
    if options.schema != "none":
        return SchemaSync(source, target, options).findings()
    if structure.target is None:
        return [target.missing("target_database")]
    findings = compare(structure, creates=False, allow_lossy=options.allow_lossy_precision)
    return [*findings, *privilege_findings(source, target, structure, options)]


def _sample(source: Catalog, table: Table, period: tuple[int | None, int | None]) -> tuple[float, float]:
    """Bytes of a row, and seconds in which one session reads it."""
    started, rows, size = time.monotonic(), 0, 0
    statement = f"SELECT * FROM {source.table(table.name)}{where(table.period(*period))} LIMIT {SAMPLE}"
    with source.session() as session:
        for block in session.query(statement).blocks():
            rows, size = rows + block.rows, size + block.size
    return size / max(1, rows), (time.monotonic() - started) / max(1, rows)


def _stands_for(batch: Batch, structure: Structure) -> str:
    """A batch's super table; of normal tables the first one, which stands for the others."""
    if batch.stable is not None:
        return batch.stable
    scope = structure.scope.between(batch.first, batch.before)
    return min(
        pair.source.name
        for pair in structure.pairs
        if not pair.source.is_super and scope.has_normal_table(pair.source.name)
    )
