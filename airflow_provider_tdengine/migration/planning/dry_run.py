"""What a migration would do, found out without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Database, patiently
from airflow_provider_tdengine.migration.copying import Batch, choose_strategy, kept_since, window
from airflow_provider_tdengine.migration.findings import Finding, Findings, MigrationStopped, Severity, sent
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.disk import Disk, disk_of
from airflow_provider_tdengine.migration.planning.estimate import Sample, limits, samples
from airflow_provider_tdengine.migration.planning.growth import Growth, growth
from airflow_provider_tdengine.migration.planning.plan import make_batches
from airflow_provider_tdengine.migration.planning.preflight import preflight, wanted_database
from airflow_provider_tdengine.migration.structure import (
    SchemaSync,
    Structure,
    compare,
    own_things,
    privilege_findings,
    read_structure,
)

_SHOWN, _PARTS = 50, 500
"""Batches and findings that are said; super tables that are handed over."""

HEADINGS = {
    Severity.BLOCKER: "What stands in the way",
    Severity.WARNING: "What will be missing or different",
    Severity.INFO: "Good to know",
}


@dataclass(frozen=True, slots=True)
class Part:
    """What would be copied of a super table, or of all normal tables.

    Parameters:
        name: of the super table, empty for normal tables.
        tables: that have rows in the period.
        rows: of them.
        bytes: about so many, of the values.
        disk: bytes that they take in the source, about.
        guessed: whether the source does not say that of all its tables.
        seconds: in which one session reads them, about.
    """

    name: str
    tables: int
    rows: int
    bytes: int
    disk: int
    guessed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Preview:
    """What a migration would do.

    Parameters:
        options: of the migration.
        source: see `Catalog.to_dict`.
        target: the same.
        exists: whether the target has the database already.
        parts: by super table, that with the most rows first.
        sample: all that was read to estimate the duration.
        disk: that the rows take.
        batches: what would be copied, each with its strategy.
        findings: all that was found, what stands in the way first.
        database: the source's options; None where they could not be read.
        growth: what has been written in the last days.
        objects: what the source has beside tables, by kind.
    """

    options: MigrationOptions
    source: Mapping[str, str]
    target: Mapping[str, str]
    exists: bool
    parts: list[Part]
    sample: Sample
    disk: Disk
    batches: list[tuple[Batch, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    database: Database | None = None
    growth: Growth = field(default_factory=Growth)
    objects: Mapping[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> int:
        """Subtables and normal tables that have rows in the period."""
        return sum(part.tables for part in self.parts)

    @property
    def rows(self) -> int:
        """Of these tables in the period."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """About so many, of the values."""
        return sum(part.bytes for part in self.parts)

    @property
    def seconds(self) -> float:
        """For about so long one session reads all of it, or longer by the limits; see `how`."""
        return max([sum(part.seconds for part in self.parts), *self._limits.values()])

    @property
    def how(self) -> str:
        """What the duration is estimated from."""
        limits = self._limits
        slowest = max(limits, key=lambda name: limits[name], default="")
        if slowest and limits[slowest] == self.seconds:
            return f"Option {slowest} allows no more; the source can be read faster."
        rate = self.sample.rows / max(self.sample.seconds, 1e-6)
        workers = wording.number(self.options.workers, "session")
        return (
            f"Measured: one session read {wording.number(self.sample.rows, 'row')} of the source as a sample, "
            f"{rate:,.0f} rows a second; the estimate is for one session that reads everything like that. "
            f"The copy has {workers} for each batch (option workers), and several batches at a time, which makes it "
            "shorter as far as both servers keep up. How fast the target writes was not measured, since nothing was "
            "written; a slow one makes it longer."
        )

    @property
    def _limits(self) -> dict[str, float]:
        """Seconds that the limits demand, by option."""
        return limits(self.options, self.rows, self.bytes)

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
        for severity, heading in HEADINGS.items():
            if found := [finding for finding in self.findings if finding.severity is severity]:
                yield f"{heading} ({len(found):,}):"
                yield from (f"  {line}" for finding in found[:_SHOWN] for line in finding.lines())
                if len(found) > _SHOWN:
                    yield f"  and {len(found) - _SHOWN:,} more"

    def to_dict(self) -> dict[str, object]:
        """For JSON; of many super tables, batches and findings the first ones."""
        first = [{**asdict(batch), "strategy": strategy} for batch, strategy in self.batches[:_SHOWN]]
        return {
            "source": self.source,
            "target": {**self.target, "exists": self.exists},
            "options": self.options.given,
            "tables": self.tables,
            "rows": self.rows,
            "bytes": self.bytes,
            "time": {"seconds": self.seconds, "how": self.how, "sample": asdict(self.sample)},
            "disk": self.disk.to_dict(),
            "super_tables": [asdict(part) for part in self.parts[:_PARTS]],
            "super_tables_in_all": len(self.parts),
            "batches": first,
            "batches_in_all": len(self.batches),
            "strategies": self.strategies,
            "findings": sent(self.findings),
            "database": _described(self.database),
            "growth": asdict(self.growth),
            "objects": dict(self.objects),
        }


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
    tables = {pair.source.name: pair.source for pair in structure.pairs}
    counts: Counter[str] = Counter()
    for batch in batches:
        counts[_stands_for(batch, structure)] += batch.rows
    read = samples(source, tables, counts, (start, end))
    all_read = sum(read.values(), Sample())
    # One that was not read is taken to be like the others.
    like = {name: read.get(name, all_read) for name in counts}
    whole = {name: like[name].whole(rows) for name, rows in counts.items()}
    disk = disk_of(source, there, counts, {name: one.bytes / max(1, one.rows) for name, one in like.items()})
    findings += disk.findings(target.name)
    chosen = [
        (batch, choose_strategy(options.strategy, tables[_stands_for(batch, structure)], batch.tables, batch.rows)[0])
        for batch in batches
    ]
    findings = Findings(findings).said()
    findings.sort(key=lambda finding: list(Severity).index(finding.severity))
    return Preview(
        options,
        source.to_dict(),
        target.to_dict(),
        structure.target is not None,
        _parts(batches, {name: name if tables[name].is_super else "" for name in counts}, whole, disk),
        all_read,
        disk,
        chosen,
        findings,
        structure.source,
        growth(source, list(tables.values()), structure.scope, structure.source.precision, counts.total(), disk.source),
        own_things(source),
    )


def _described(database: Database | None) -> dict[str, object]:
    """A database's options for JSON; lengths of time in minutes."""
    if database is None:
        return {}
    return {
        "precision": database.precision.value,
        "keep": list(database.keep),
        "duration": database.duration,
        "options": dict(database.options),
    }


def _parts(batches: Sequence[Batch], kinds: Mapping[str, str], whole: Mapping[str, Sample], disk: Disk) -> list[Part]:
    """What is copied, by super table.

    Parameters:
        batches: of the migration.
        kinds: of each table that stands for others, the name of its part.
        whole: what all rows of these tables come to.
        disk: that they take.
    """
    # A giant table is in several batches.
    ranges = {(batch.stable or "", batch.first, batch.before): batch.tables for batch in batches}
    found = []
    for part in dict.fromkeys(kinds.values()):
        own = [name for name, kind in kinds.items() if kind == part]
        all_of = sum((whole[name] for name in own), Sample())
        count = sum(tables for (stable, _, _), tables in ranges.items() if stable == part)
        size = round(sum(map(disk.of, own)))
        guessed = not disk.guessed.isdisjoint(own)
        found.append(Part(part, count, all_of.rows, all_of.bytes, size, guessed, all_of.seconds))
    return sorted(found, key=lambda part: -part.rows)


def _findings(source: Catalog, target: Catalog, structure: Structure, options: MigrationOptions) -> list[Finding]:
    """All that schema sync and plan would stop at, as far as structure goes."""
    if options.schema != "none":
        return SchemaSync(source, target, options).findings()
    if structure.target is None:
        return [target.missing("target_database")]
    findings = compare(structure, creates=False, allow_lossy=options.allow_lossy_precision)
    return [*findings, *privilege_findings(source, target, structure, options)]


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
