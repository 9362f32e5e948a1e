"""A migration cut into batches: which range of subtables, over which period, with how many rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Holding, Holdings, Period, holdings, patiently
from airflow_provider_tdengine.migration.copying import ROWS_A_BATCH, Batch, settle, slices, window
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import (
    Structure,
    compare,
    nothing_meant,
    privilege_findings,
    read_structure,
)

log = logging.getLogger(__name__)

TABLES_A_BATCH = 200_000
"""A batch has this many tables at most, however few rows they have: a copy knows what all its tables hold.

Fewer would be slower: to find a range of names, a server looks at all of them (3 s of a million, 3.3.3.0).
"""

MOST_BATCHES = 1024
"""Airflow's default for `[core] max_map_length`."""


def make_plan(
    source: Catalog, target: Catalog, options: MigrationOptions, planned: Sequence[Batch] = ()
) -> list[Batch]:
    """The batches of a migration.

    Parameters:
        source: the source database.
        target: the target database, whose structure must fit.
        options: scope and period.
        planned: what an earlier plan of the same migration has made, see `make_batches`.

    Raises:
        MigrationStopped: findings that stand in the way, or more batches than Airflow can map.
        TDengineError: what no retry cured.
    """
    return patiently(source, target, lambda: _make_plan(source, target, options, planned))


def _make_plan(source: Catalog, target: Catalog, options: MigrationOptions, planned: Sequence[Batch]) -> list[Batch]:
    structure = read_structure(source, target, options)
    if structure.target is None:
        raise MigrationStopped([target.missing("target_database")])
    findings = nothing_meant(source, structure, options)
    findings += compare(structure, creates=False, allow_lossy=options.allow_lossy_precision)
    stop_on([*findings, *privilege_findings(source, target, structure, options)])
    period = window(options, structure.source)
    settle(source, target, structure, period, options.on_expired)
    return make_batches(source, structure, period, planned)


def make_batches(source: Catalog, structure: Structure, period: Period, planned: Sequence[Batch] = ()) -> list[Batch]:
    """The batches of a period, which the target need not have tables for yet.

    Parameters:
        source: the source database.
        structure: of both sides.
        period: in steps of the source.
        planned: what an earlier plan of the same migration has made; these stay what they are, so that their
            checkpoints do.

    Raises:
        MigrationStopped: tables would fall together, or there are more batches than Airflow can map.
    """
    done = {batch.stable for batch in planned}
    groups: dict[str | None, Holdings] = {}
    normal: list[Holding] = []
    tables = [pair.source for pair in structure.pairs]
    with Headway("Counting the rows of super tables and normal tables", len(tables), "table") as headway:
        for table in headway.each(tables):
            if (table.name if table.is_super else None) in done:
                continue
            found = holdings(source, table, structure.scope, period)
            if table.is_super:
                groups[table.name] = found
            else:
                normal += found
    if normal:
        groups[None] = Holdings.of(normal)
    stop_on(structure.transform.collisions(lambda: chain.from_iterable(group.names for group in groups.values())))
    total = sum(group.total for group in groups.values())
    size = max(ROWS_A_BATCH, math.ceil(total / (MOST_BATCHES // 4)))
    step, precision = structure.time.denominator, structure.source.precision
    batches = list(planned)
    for stable, group in groups.items():
        batches += cut_batches(stable, group, period, size, step, precision)
    if len(batches) > MOST_BATCHES:
        raise MigrationStopped(
            [
                Finding(
                    "Option 'stables'",
                    f"{len(groups):,} super tables make {len(batches):,} batches, more than the {MOST_BATCHES:,} tasks "
                    "that Airflow maps by default",
                    "Migrate them in several runs, some super tables each",
                )
            ]
        )
    if planned:
        log.info("%s planned before stay as they are", wording.number(len(planned), "batch", "batches"))
    return [replace(batch, batches=len(batches)) for batch in batches]


def plan_facts(batches: Sequence[Batch]) -> wording.Facts:
    """What people read of a plan."""
    # A giant table is in several batches.
    tables = {(batch.database, batch.stable, batch.first, batch.before): batch.tables for batch in batches}
    stables = {(batch.database, batch.stable) for batch in batches if batch.stable is not None}
    return [
        ("batches", f"{len(batches):,}"),
        ("super tables", f"{len(stables):,}"),
        ("tables with rows", f"{sum(tables.values()):,}"),
        ("rows", f"{sum(batch.rows for batch in batches):,}"),
    ]


def cut_batches(
    stable: str | None,
    group: Holdings,
    period: Period,
    size: int,
    step: int = 1,
    precision: Precision | None = None,
) -> list[Batch]:
    """Batches of about `size` rows, or of many tables; a giant table is cut by time. They leave out no name.

    Parameters:
        stable: the super table, None for normal tables.
        group: what its subtables, or the normal tables, hold.
        period: of the rows, in steps of the source.
        size: rows of a batch.
        step: of time, at multiples of which a table is cut: one of the target.
        precision: of the source, for labels that say when rows are; None for labels without.
    """
    firsts: list[int] = []
    rows, was_giant = 0, False
    for place, own in enumerate(group.rows.tolist()):
        is_giant = own >= 2 * size
        if not firsts or was_giant or is_giant or rows + own > size or place - firsts[-1] == TABLES_A_BATCH:
            firsts.append(place)
            rows = 0
        rows += own
        was_giant = is_giant
    batches: list[Batch] = []
    for first, behind in pairwise([*firsts, len(group)]):
        names = group.names[first] if first else None, group.names[behind] if behind < len(group) else None
        batches += _cut_by_time(stable, names, group.take(np.arange(first, behind)), period, size, step, precision)
    return batches


def _cut_by_time(
    stable: str | None,
    names: tuple[str | None, str | None],
    group: Holdings,
    period: Period,
    size: int,
    step: int,
    precision: Precision | None,
) -> Iterator[Batch]:
    """A range of names as one batch, or, where it is a giant table, as several."""
    whole = Holding(group.names[0], group.total, int(group.first.min()), int(group.last.max()))
    count = math.ceil(whole.rows / size) if len(group) == 1 and whole.rows >= 2 * size else 1
    parts = slices(whole, *period, count, step)
    label = "…".join(map(wording.name, dict.fromkeys([group.names[0], group.names[-1]])))
    for i, (a, b) in enumerate(parts):
        rows = whole.rows * (i + 1) // len(parts) - whole.rows * i // len(parts)
        bounds = whole.first if i == 0 or a is None else a, whole.last if i + 1 == len(parts) or b is None else b - 1
        when = wording.period(*bounds, precision, is_part=len(parts) > 1) if precision else ""
        yield Batch(stable, *names, len(group), a, b, rows, names=label, when=when)
