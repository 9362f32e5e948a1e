"""Source and target compared: rows, first and last timestamp of every table, and the tags of every subtable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from airflow_provider_tdengine.migration.catalog import Catalog, Subtable, Table
from airflow_provider_tdengine.migration.collisions import distinct_rows
from airflow_provider_tdengine.migration.convert import TagTranscoder
from airflow_provider_tdengine.migration.expired import comparable_since
from airflow_provider_tdengine.migration.extents import Extent, Extents, extents
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.plan import window
from airflow_provider_tdengine.migration.schema import same_tag
from airflow_provider_tdengine.migration.scope import Scope
from airflow_provider_tdengine.migration.structure import Structure, read_structure

log = logging.getLogger(__name__)

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that is not the same on both sides.

    Parameters:
        table: the subtable or normal table.
        what: rows, first, last, or a tag's name.
        source: what the source has; a timestamp in steps of the target's precision, None for no row.
        target: what the target has.
    """

    table: str
    what: str
    source: str | int | None
    target: str | int | None

    def __str__(self) -> str:
        return f"{self.table}: {self.what} {self.source} in the source, {self.target} in the target"


@dataclass(slots=True)
class Comparison:
    """What was compared and what differs.

    Parameters:
        tables: tables compared, those without rows on both sides left out.
        rows: rows of the source.
        target_rows: rows of the target.
        stables: rows of the source by super table; normal tables are under "".
        differences: what is not the same.
        extra_tables: subtables that only the target has; they are not part of the migration.
        collisions: rows of the source for which a later one stands in the target, since that counts coarser steps;
            they are looked for in tables with fewer rows there.
        dead_letters: rows by table that the target refused; it is compared without them.
    """

    tables: int = 0
    rows: int = 0
    target_rows: int = 0
    stables: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    extra_tables: int = 0
    collisions: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """For JSON; of many differences the first ones."""
        shown = [asdict(difference) for difference in self.differences[:_SHOWN]]
        return {**asdict(self), "differences": shown, "different": len(self.differences)}


def verify(
    source: Catalog, target: Catalog, options: MigrationOptions, dead_letters: Mapping[str, list[int]] | None = None
) -> Comparison:
    """Compare every table of a migration over its period.

    Parameters:
        source: the source database.
        target: the target database.
        options: scope, period and what changes on the way.
        dead_letters: timestamps of refused rows by table of the target; they are not expected there.

    Raises:
        MigrationStopped: a database or super table is missing.
    """
    structure = read_structure(source, target, options)
    if structure.target is None:
        raise MigrationStopped([target.missing("target_database")])
    transform, scope = structure.transform, structure.scope
    start, end = window(options, structure.source)
    start = comparable_since(start, structure.source.precision, structure.source, structure.target)
    comparison = Comparison()
    for name, times in (dead_letters or {}).items():
        inside = [time for time in times if (start is None or time >= start) and (end is None or time < end)]
        comparison.dead_letters[name] = len(inside)
    for pair in structure.pairs:
        found = extents(source, pair.source, scope, start, end)
        ours = _by_name(extent.arrived(transform.tables, structure.time) for extent in found)
        theirs = {}
        if pair.target:
            theirs = _by_name(extents(target, pair.wanted, Scope(), *structure.time.window(start, end)))
        extra = theirs.keys() - ours.keys()
        if extra and pair.source.is_super:
            # Those that the source has, too, without rows in the period, are differences.
            extra -= {transform.tables(subtable.name) for subtable in source.subtables(pair.source, scope)}
            comparison.extra_tables += len(extra)
            theirs = {name: extent for name, extent in theirs.items() if name not in extra}
        collisions = _collisions(source, structure, pair.source, found, theirs, (start, end))
        _compare(pair.wanted, ours, theirs, collisions, comparison)
        if pair.source.is_super and pair.target and options.schema != "none":
            subtables = map(transform.subtable, source.subtables(pair.source, scope))
            comparison.differences += compare_tags(pair.wanted, structure.tags(pair), subtables, target)
    return comparison


def _collisions(
    source: Catalog,
    structure: Structure,
    table: Table,
    ours: Extents,
    theirs: dict[str, Extent],
    period: tuple[int | None, int | None],
) -> dict[str, int]:
    """Rows for which a later one stands in the target, by table of the target; of those with fewer rows there."""
    found = {}
    for extent in ours if structure.time.cuts else ():
        name = structure.transform.tables(extent.name)
        if name in theirs and theirs[name].rows < extent.rows:
            found[name] = extent.rows - distinct_rows(source, table, extent.name, period, structure.time)
    return found


def _by_name(found: Iterable[Extent]) -> dict[str, Extent]:
    return {extent.name: extent for extent in found}


def compare_tags(
    stable: Table, tags: TagTranscoder, subtables: Iterable[Subtable], target: Catalog
) -> Iterator[Difference]:
    """Subtables whose tags differ, or that the target lacks."""
    theirs = {subtable.name: subtable.tags for subtable in target.subtables(stable, Scope())}
    for subtable in subtables:
        if subtable.name not in theirs:
            yield Difference(subtable.name, "table", "there", "missing")
            continue
        for tag, one, other in zip(tags.fields, tags(subtable.tags), theirs[subtable.name], strict=True):
            if not same_tag(tag, one, other):
                yield Difference(subtable.name, f"tag {tag.name}", repr(one), repr(other))


def _compare(
    table: Table,
    ours: dict[str, Extent],
    theirs: dict[str, Extent],
    collisions: dict[str, int],
    comparison: Comparison,
) -> None:
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        comparison.tables += 1
        comparison.rows += one.rows if one else 0
        comparison.target_rows += other.rows if other else 0
        refused = comparison.dead_letters.get(name, 0)
        expected = one.rows - refused - collisions.get(name, 0) if one else 0
        facts: list[tuple[str, int | None, int | None]] = [("rows", expected, other.rows if other else 0)]
        if not refused:
            # The refused rows may be the first or the last ones.
            facts += [
                ("first", one.first if one else None, other.first if other else None),
                ("last", one.last if one else None, other.last if other else None),
            ]
        comparison.differences += [
            Difference(name, what, before, after) for what, before, after in facts if before != after
        ]
    comparison.collisions += sum(collisions.values())
    group = table.name if table.is_super else ""
    comparison.stables[group] = comparison.stables.get(group, 0) + sum(extent.rows for extent in ours.values())
