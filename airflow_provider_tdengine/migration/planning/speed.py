"""How fast a migration gets on: by a trial with both servers, or by this project's benchmark."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.sql import name_range
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Patterns, Period, Scope, Table, each
from airflow_provider_tdengine.migration.copying import Batch, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.dry_run import Preview
from airflow_provider_tdengine.migration.planning.plan import make_batches
from airflow_provider_tdengine.migration.structure import SchemaSync, new_database, read_structure

_ROWS, _TABLES = 200_000, 5_000
"""Rows that a trial copies, about; subtables at most."""

_FEWEST_ROWS, _FEWEST_TABLES = 20_000, 1_000
"""With fewer, a trial would say how long a statement takes, and not how fast many of them are."""

SCRATCH = "tdengine_assessment_"
"""How the scratch databases of trials begin; one that a crash has left may be dropped."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one batch at a time comes to.

    Parameters:
        tables: that are created a second.
        dense: bytes of values a second, of tables with many rows.
        sparse: rows a second, of tables with few rows.
        measured: which of the three were measured with these servers, with what was copied, in words.
        why: why the others were not, in words.
        failed: what went wrong with trials.
    """

    tables: float = 17_000.0
    dense: float = 40e6
    sparse: float = 180_000.0
    measured: dict[str, str] = field(default_factory=dict)
    why: str = "writing was not allowed (option measure_writing)"
    failed: list[str] = field(default_factory=list)

    @property
    def how(self) -> str:
        """What durations are estimated from."""
        benchmark = (
            f"{self.tables:,.0f} tables a second are created, {wording.size(self.dense)} a second are copied of tables "
            f"with many rows, {self.sparse:,.0f} rows a second of tables with few"
        )
        if not self.measured:
            why = "; ".join(self.failed) or self.why
            return (
                f"How fast the target writes was not measured: {why}. By this project's benchmark on two cores, "
                f"{benchmark}. Reading was measured: where that is slower, it counts."
            )
        said = f"Measured by a trial with both servers: {'; '.join(self.measured.values())}"
        failed = "".join(f" {one[0].upper()}{one[1:]}." for one in self.failed)
        return f"{said}.{failed} Taken from that, and from this project's benchmark where it says nothing: {benchmark}."

    def seconds(self, found: Preview) -> float:
        """For about so long one batch at a time creates, copies and compares all that a dry run found.

        Parameters:
            found: by it.
        """
        whole = {part.name: part for part in found.parts}
        copying = 0.0
        for batch, strategy in found.batches:
            part = whole.get(batch.stable or "")
            if strategy == "sparse" or part is None:
                copying += batch.rows / self.sparse
            else:
                copying += batch.rows * part.bytes / max(1, part.rows) / self.dense
        reading = found.seconds / found.options.workers
        return found.tables / self.tables + max(copying, reading) * (1 + _COMPARING)


_COMPARING = 0.6
"""Of the time of copying, comparing takes so much, by the benchmark's five shapes (0.45 to 0.71)."""


def trial(source: Client, target: Client, previews: Sequence[Preview]) -> Speed:
    """How fast both servers are together: some rows are copied into scratch databases, which are dropped again.

    Of each way to copy, the batch with the most rows stands for all.

    Parameters:
        source: the server that is read.
        target: the server that is written.
        previews: of databases of the source.
    """
    speed = Speed(why=f"no database has {_FEWEST_ROWS:,} rows that can be copied as they are")
    for strategy in ("dense", "sparse"):
        batches = [
            (found, batch)
            for found in previews
            for batch, way in found.batches
            if way == strategy and batch.rows >= _FEWEST_ROWS
        ]
        if not batches:
            continue
        found, batch = max(batches, key=lambda one: one[1].rows)
        scratch = Catalog(target, f"{SCRATCH}{secrets.token_hex(4)}")
        options = replace(found.options, target_database=scratch.name, strategy=strategy)
        try:
            with Catalog(source, found.source["database"]) as ours, scratch:
                try:
                    speed = _tried(ours, scratch, batch, options, speed)
                finally:
                    scratch.execute(f"DROP DATABASE IF EXISTS {target.dialect.database(scratch.name)}")
        except TDengineError as error:
            failed = f"a trial failed, in database {scratch.name} ({wording.beginning(str(error), 200)})"
            speed = replace(speed, failed=[*speed.failed, failed])
    return speed


def _tried(source: Catalog, target: Catalog, batch: Batch, options: MigrationOptions, speed: Speed) -> Speed:
    """What is known when a part of a batch has been copied."""
    scope = _part(source, batch, options)
    database = source.database()
    assert database is not None
    target.execute(new_database(database, target, options).statement(target.client.dialect))
    started = time.monotonic()
    report = SchemaSync(source, target, options, scope).run()
    creating = time.monotonic() - started
    structure = read_structure(source, target, options, scope)
    period = _period(source, [pair.source for pair in structure.pairs], scope, batch)
    rows = size = 0
    copying = 0.0
    for one in make_batches(source, structure, period):
        copied = copy_batch(source, target, one, options, MemoryProgress(), structure=structure)
        rows, size, copying = rows + copied.rows, size + copied.tally.bytes, copying + copied.seconds
    if not (rows and copying):
        return speed
    strategy = options.strategy
    said = f"{wording.number(rows, 'row')} of {options.source_database} in {copying:.1f} s"
    measured = {**speed.measured, strategy: said}
    tables = speed.tables
    if report.tables >= _FEWEST_TABLES:
        tables = report.tables / creating
        measured["tables"] = f"{wording.number(report.tables, 'table')} created in {creating:.1f} s"
    if strategy == "sparse":
        return replace(speed, tables=tables, sparse=rows / copying, measured=measured)
    return replace(speed, tables=tables, dense=size / copying, measured=measured)


def _part(source: Catalog, batch: Batch, options: MigrationOptions) -> Scope:
    """Some tables of a batch."""
    count = max(1, min(_TABLES, batch.tables, _ROWS * batch.tables // max(1, batch.rows)))
    if batch.stable is None:
        scope = Scope.of(options).between(batch.first, batch.before)
        return replace(scope, tables=Patterns(tuple(source.normal_tables(scope)[:count])))
    return Scope(Patterns((batch.stable,)), Patterns(tuple(islice(_subtables(source, batch), count))))


def _subtables(source: Catalog, batch: Batch) -> Iterator[str]:
    stable = source.describe(batch.stable or "")
    names = name_range(batch.first, batch.before)
    found = source.subtables(replace(stable, tags=stable.tags[:1]), EVERYTHING, names)
    return (subtable.name for subtable in found)


def _period(source: Catalog, tables: Sequence[Table], scope: Scope, batch: Batch) -> Period:
    """When these tables have about as many rows as are to be copied."""
    start, end = batch.period
    found = each(source, tables, scope, (start, end))
    rows = sum(one.rows for one in found)
    if rows <= 2 * _ROWS:
        return start, end
    first, last = min(one.first for one in found), max(one.last for one in found)
    return first, first + max(1, (last - first) * _ROWS // rows)
