"""A migration cut into batches: which range of subtables, over which period, with how many rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Extent, Extents, extents
from airflow_provider_tdengine.migration.copying import ROWS_A_BATCH, Batch, settle, slices, window
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import (
    Structure,
    compare,
    nothing_meant,
    privilege_findings,
    read_structure,
)

log = logging.getLogger(__name__)

TABLES_A_BATCH = 50_000
"""A batch has this many tables at most, however few rows they have: a copy knows the extents of all its tables."""

MOST_BATCHES = 1024
"""Airflow's default for `[core] max_map_length`."""


def make_plan(source: Catalog, target: Catalog, options: MigrationOptions) -> list[Batch]:
    """The batches of a migration.

    Parameters:
        source: the source database.
        target: the target database, whose structure must fit.
        options: scope and period.

    Raises:
        MigrationStopped: findings that stand in the way, or more batches than Airflow can map.
    """
    structure = read_structure(source, target, options)
    if structure.target is None:
        raise MigrationStopped([target.missing("target_database")])
    findings = nothing_meant(source, structure, options)
    findings += compare(structure, creates=False, allow_lossy=options.allow_lossy_precision)
    stop_on([*findings, *privilege_findings(source, target, structure, options)])
    start, end = window(options, structure.source)
    start = settle(source, target, structure, (start, end), options.on_expired)
    return make_batches(source, structure, (start, end))


def make_batches(source: Catalog, structure: Structure, period: tuple[int | None, int | None]) -> list[Batch]:
    """The batches of a period, which the target need not have tables for yet.

    Parameters:
        source: the source database.
        structure: of both sides.
        period: in steps of the source.

    Raises:
        MigrationStopped: tables would fall together, or there are more batches than Airflow can map.
    """
    start, end = period
    groups: dict[str | None, Extents] = {}
    normal: list[Extent] = []
    for table in (pair.source for pair in structure.pairs):
        found = extents(source, table, structure.scope, start, end)
        if table.is_super:
            groups[table.name] = found
        else:
            normal += found
    if normal:
        groups[None] = Extents(normal)
    stop_on(structure.transform.collisions(lambda: chain.from_iterable(group.names for group in groups.values())))
    total = sum(group.rows for group in groups.values())
    size = max(ROWS_A_BATCH, math.ceil(total / (MOST_BATCHES // 4)))
    step, precision = structure.time.denominator, structure.source.precision
    batches = [
        batch
        for stable, group in groups.items()
        for batch in cut_batches(stable, group, start, end, size, step, precision)
    ]
    if len(batches) > MOST_BATCHES:
        raise MigrationStopped(
            [
                Finding(
                    "Option 'stables'",
                    f"{len(groups)} super tables make {len(batches)} batches, more than the {MOST_BATCHES} tasks that "
                    "Airflow maps by default",
                    "Migrate them in several runs, some super tables each",
                )
            ]
        )
    log.info("%d rows of %d tables in %d batches", total, sum(map(len, groups.values())), len(batches))
    return [replace(batch, batches=len(batches)) for batch in batches]


def cut_batches(
    stable: str | None,
    group: Iterable[Extent],
    start: int | None,
    end: int | None,
    size: int,
    step: int = 1,
    precision: Precision | None = None,
) -> Iterator[Batch]:
    """Batches of about `size` rows, or of many tables; a giant table is cut by time.

    Parameters:
        stable: the super table, None for normal tables.
        group: where the rows of its subtables, or of the normal tables, lie, by name.
        start: the period's start, in steps of the source; None for the first row.
        end: the period's end, None for no end.
        size: rows of a batch.
        step: of time, at multiples of which a table is cut: one of the target.
        precision: of the source, for labels that say when rows are; None for labels without.
    """
    pending: list[Extent] = []
    rows = 0
    for extent in group:
        is_giant = extent.rows >= 2 * size
        if pending and (is_giant or rows + extent.rows > size or len(pending) == TABLES_A_BATCH):
            yield _batch(stable, pending, start, end, precision)
            pending, rows = [], 0
        if is_giant:
            yield from _cut_by_time(stable, extent, start, end, size, step, precision)
        else:
            pending.append(extent)
            rows += extent.rows
    if pending:
        yield _batch(stable, pending, start, end, precision)


def _batch(
    stable: str | None, group: list[Extent], start: int | None, end: int | None, precision: Precision | None
) -> Batch:
    rows = sum(extent.rows for extent in group)
    bounds = min(extent.first for extent in group), max(extent.last for extent in group)
    when = wording.period(*bounds, precision) if precision else ""
    return Batch(stable, group[0].name, group[-1].name, len(group), start, end, rows, when=when)


def _cut_by_time(
    stable: str | None,
    extent: Extent,
    start: int | None,
    end: int | None,
    size: int,
    step: int,
    precision: Precision | None,
) -> Iterator[Batch]:
    parts = slices(extent, start, end, math.ceil(extent.rows / size), step)
    for i, (a, b) in enumerate(parts):
        rows = extent.rows * (i + 1) // len(parts) - extent.rows * i // len(parts)
        bounds = extent.first if i == 0 or a is None else a, extent.last if i + 1 == len(parts) or b is None else b - 1
        when = wording.period(*bounds, precision, is_part=True) if precision else ""
        yield Batch(stable, extent.name, extent.name, 1, a, b, rows, when=when)
