"""All batches of a migration added up, with what no batch holds: one comparison, from which the verdict is read."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, TimeScale, together
from airflow_provider_tdengine.migration.comparing.batches import SHOWN, BatchComparison, Difference, compare_batch
from airflow_provider_tdengine.migration.comparing.deletions import Deletion
from airflow_provider_tdengine.migration.comparing.tags import compare_tags
from airflow_provider_tdengine.migration.comparing.verdict import Verdict
from airflow_provider_tdengine.migration.copying import Batch, Copied, window
from airflow_provider_tdengine.migration.findings import MigrationStopped, stop_on
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import make_batches
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import conversion
from airflow_provider_tdengine.migration.structure import (
    SchemaSync,
    Structure,
    TablePair,
    can_widen,
    nothing_meant,
    read_structure,
)

log = logging.getLogger(__name__)


MOST_LETTERS = 100
"""Tables whose dead letters a comparison names; it says how many there are."""


@dataclass(slots=True)
class Total:
    """What a super table, or all normal tables, came to.

    Parameters:
        tables: how many tables with rows were compared.
        rows: rows of the source.
        target_rows: rows of the target.
        measures: what was compared of each table's columns, beside rows, first and last timestamp.
        read: of how many tables rows were compared on both sides.
        different: how many tables differ.
        missing: rows that the target lacks.
        changed: rows with other values there.
        extra: rows that only the target has.
        refused: rows that the target refused.
        collisions: rows for which a later one stands in the target.
        expired: rows that were left behind at the border of KEEP.
        late: rows that the source has got while it was compared.
        as_of: see `Verdict`.
    """

    tables: int = 0
    rows: int = 0
    target_rows: int = 0
    measures: int = 0
    read: int = 0
    different: int = 0
    missing: int = 0
    changed: int = 0
    extra: int = 0
    refused: int = 0
    collisions: int = 0
    expired: int = 0
    late: int = 0
    as_of: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What it came to."""
        return Verdict(
            self.tables,
            self.rows,
            self.target_rows,
            refused=self.refused,
            expired=self.expired,
            collisions=self.collisions,
            late=self.late,
            different=self.different,
            missing=self.missing,
            changed=self.changed,
            extra=self.extra,
            as_of=self.as_of,
        )


@dataclass(slots=True)
class Comparison:
    """What was compared and what differs.

    Parameters:
        stables: what each super table came to; normal tables are together under "".
        differences: the first ones.
        different: how many tables differ.
        missing: rows that the target lacks.
        changed: rows with other values there.
        extra: rows that only the target has.
        shown: the first rows that differ, in words.
        extra_tables: other subtables of the target's super tables; they are not part of the migration.
        collisions: rows of the source for which a later one stands in the target, since that counts coarser steps.
        expired: rows of the source that are, or are about to be, older than one side keeps; they are not compared.
        after_end: rows at or after the end of history, where nobody has asked for that end; they are not copied.
        vanished: tables that the source had when the migration was planned, and has no more.
        late: rows that the source has got while it was compared; they are followed.
        reread: batches whose source has other rows than those that were copied; they were read again.
        refused: rows that the target refused and that are kept as dead letters.
        dead_letters: the same by table, as far as their files are seen here; of many tables those with the most.
        dead_letter_tables: how many tables have some.
        mended: tables of which rows were copied again.
        mended_rows: how many rows.
        deleted: how many rows that only the target had were deleted.
        waiting: how many rows a person is to be asked for before they are deleted.
        deletions: those of them that are asked for at once.
        tags: how many tag values were corrected.
        levels: number of batches by how they were compared.
        as_of: see `Verdict`.
        obstacle: why what differs cannot be mended, if that was tried in vain.
    """

    stables: dict[str, Total] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    different: int = 0
    missing: int = 0
    changed: int = 0
    extra: int = 0
    shown: list[str] = field(default_factory=list)
    extra_tables: int = 0
    collisions: int = 0
    expired: int = 0
    after_end: int = 0
    vanished: int = 0
    late: int = 0
    reread: int = 0
    refused: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    dead_letter_tables: int = 0
    mended: int = 0
    mended_rows: int = 0
    deleted: int = 0
    waiting: int = 0
    deletions: list[Deletion] = field(default_factory=list)
    tags: int = 0
    levels: dict[str, int] = field(default_factory=dict)
    as_of: float | None = None
    obstacle: str = ""

    @property
    def tables(self) -> int:
        """Tables compared, those without rows on both sides left out."""
        return sum(total.tables for total in self.stables.values())

    @property
    def rows(self) -> int:
        """Rows of the source."""
        return sum(total.rows for total in self.stables.values())

    @property
    def target_rows(self) -> int:
        """Rows of the target."""
        return sum(total.target_rows for total in self.stables.values())

    @property
    def verdict(self) -> Verdict:
        """What it came to."""
        return Verdict(
            self.tables,
            self.rows,
            self.target_rows,
            refused=self.refused,
            expired=self.expired,
            collisions=self.collisions,
            after_end=self.after_end,
            vanished=self.vanished,
            late=self.late,
            reread=self.reread,
            different=self.different,
            missing=self.missing,
            changed=self.changed,
            extra=self.extra,
            as_of=self.as_of,
        )

    @property
    def waits(self) -> bool:
        """Whether nothing differs but rows that a person is to be asked for."""
        return bool(self.waiting) and self.waiting == self.extra and not (self.missing or self.changed)

    def facts(self) -> wording.Facts:
        """What people read."""
        levels = ", ".join(
            f"{wording.number(count, 'batch', 'batches')} by {_MEANS[how]}" for how, count in self.levels.items()
        )
        counts = [
            ("tables that differ", self.different),
            ("rows missing", self.missing),
            ("rows with other values", self.changed),
            ("rows only in the target", self.extra),
            ("rows refused", self.refused),
            ("rows too old, left out", self.expired),
            ("rows that came meanwhile", self.late),
            ("tables repaired", self.mended),
            ("rows copied again", self.mended_rows),
            ("rows deleted", self.deleted),
            ("tag values corrected", self.tags),
        ]
        return [
            ("verdict", self.verdict.words),
            ("rows in the source", f"{self.rows:,}"),
            ("rows in the target", f"{self.target_rows:,}"),
            ("tables with rows", f"{self.tables:,}"),
            ("compared", levels),
            *((name, f"{count:,}" if count else "") for name, count in counts),
        ]

    def to_dict(self) -> dict[str, object]:
        """For JSON; of many differences the first ones."""
        counts = {"tables": self.tables, "rows": self.rows, "target_rows": self.target_rows}
        first = replace(
            self,
            differences=self.differences[:SHOWN],
            shown=self.shown[:SHOWN],
            deletions=self.deletions[:SHOWN],
        )
        return {**counts, **asdict(first), "verdict": self.verdict.to_dict()}

    def add(self, batch: BatchComparison) -> None:
        """Add what a batch came to."""
        total = self.stables.setdefault(batch.stable or "", Total())
        total.tables += batch.tables
        total.rows += batch.rows
        total.target_rows += batch.target_rows
        total.measures = max(total.measures, batch.measures)
        total.read += batch.read
        total.missing += batch.missing
        total.changed += batch.changed
        total.extra += batch.extra
        total.refused += batch.refused
        total.collisions += batch.collisions
        total.expired += batch.expired
        total.late += batch.late
        total.as_of = _earlier(total.as_of, batch.as_of)
        self.differ(total, batch.differences, batch.different)
        self.shown += batch.shown
        self.collisions += batch.collisions
        self.expired += batch.expired
        self.as_of = _earlier(self.as_of, batch.as_of)
        self.vanished += batch.vanished
        self.late += batch.late
        self.reread += batch.is_reread
        self.missing += batch.missing
        self.changed += batch.changed
        self.extra += batch.extra
        self.refused += batch.refused
        self.mended += batch.mended
        self.mended_rows += batch.mended_rows
        self.deleted += batch.deleted
        self.waiting += batch.waiting
        self.deletions += batch.deletions
        self.levels[batch.level] = self.levels.get(batch.level, 0) + 1
        self.obstacle = self.obstacle or batch.obstacle

    def differ(self, total: Total, differences: Sequence[Difference], tables: int | None = None) -> None:
        """Add differences of a super table.

        Parameters:
            total: the super table's.
            differences: the first ones, or all of them.
            tables: in how many tables; None to count those that are not known to differ yet.
        """
        known = {difference.table for difference in self.differences}
        number = len({difference.table for difference in differences} - known) if tables is None else tables
        total.different += number
        self.different += number
        self.differences += differences


_MEANS = {"digest": "the digest of the copy", "full": "all rows", "aggregate": "aggregates", "count": "counts"}
"""What batches were compared by, see `BatchComparison.level`."""


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def conclude(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    batches: Sequence[Batch],
    compared: Sequence[BatchComparison],
    *,
    refused: Mapping[str, Sequence[int]] | None = None,
    approved: Container[Deletion] = (),
    is_end_implied: bool = False,
    stop: threading.Event | None = None,
) -> Comparison:
    """Add up what batches came to, and look for what is outside all of them: tables, rows, tags, structure.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        batches: of the plan.
        compared: what each of them came to.
        refused: timestamps of refused rows by table of the target, as far as they are known here.
        approved: see `compare_batch`.
        is_end_implied: whether history ends where it does only since the migration was created then; rows behind that
            are counted.
        stop: set by somebody who wants it to stop soon.

    Raises:
        MigrationStopped: a database or super table is missing.
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    stop = stop or threading.Event()
    with source, target:
        structure = persist(partial(read_structure, source, target, options), stop)
        if structure.target is None:
            raise MigrationStopped([target.missing("target_database")])
        # Of nothing, everything is equal.
        stop_on([] if batches else nothing_meant(source, structure, options))
        letters = {name: len(times) for name, times in (refused or {}).items() if times}
        most = heapq.nlargest(MOST_LETTERS, letters.items(), key=lambda letter: letter[1])
        gone = source.vanished(structure.scope)
        result = Comparison(dead_letters=dict(most), dead_letter_tables=len(letters), vanished=gone)
        for one in compared:
            result.add(one)
        late = list(_outside(source, structure, options, batches))
        for batch in late:
            log.warning("Batch %s came after the plan was made", batch.label)
            result.add(compare_batch(source, target, batch, options, refused=refused, approved=approved, stop=stop))
        if late:
            # The target may have got their tables meanwhile.
            structure = persist(partial(read_structure, source, target, options), stop)
        if options.mode == "both" and _has_outgrown(structure, options):
            # Columns that came when their batch had been compared are followed; they are no difference.
            again = SchemaSync.again(source, target, options, structure.scope)
            persist(again.run, stop)
            structure = persist(partial(read_structure, source, target, options), stop)
        for pair in structure.pairs:
            created = _conclude_pair(source, target, structure, pair, options, result, stop)
            for batch in persist(partial(_late, source, structure, pair, options, created), stop):
                log.warning("Batch %s came after its tables had been compared", batch.label)
                result.add(compare_batch(source, target, batch, options, refused=refused, approved=approved, stop=stop))
        if is_end_implied:
            end = window(options, structure.source)[1]
            behind = (together(source, pair.source, structure.scope, (end, None), stop) for pair in structure.pairs)
            result.after_end = sum(one.rows for one in behind if one)
        return result


def verify(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    dead_letters: Mapping[str, list[int]] | None = None,
    *,
    batches: Sequence[Batch] | None = None,
    copied: Mapping[str, Copied] | None = None,
    approved: Container[Deletion] = (),
    is_end_implied: bool = False,
    stop: threading.Event | None = None,
) -> Comparison:
    """Compare a whole migration over its period, batch by batch, and mend what differs, as `repair_rounds` says.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        dead_letters: timestamps of refused rows by table of the target; they are not expected there.
        batches: of its plan; None to make one.
        copied: what batches were copied, by their identity.
        approved: see `compare_batch`.
        is_end_implied: see `conclude`.
        stop: set by somebody who wants it to stop soon.

    Raises:
        MigrationStopped: a database or super table is missing.
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    with source, target:
        if batches is None:
            structure = persist(partial(read_structure, source, target, options), stop)
            if structure.target is None:
                raise MigrationStopped([target.missing("target_database")])
            batches = make_batches(source, structure, window(options, structure.source))
        compared = []
        with Headway("Comparing", sum(batch.rows for batch in batches)) as headway:
            for batch in batches:
                own = (copied or {}).get(batch.identity)
                before = headway.done
                compared.append(
                    compare_batch(
                        source,
                        target,
                        batch,
                        options,
                        copied=own,
                        refused=dead_letters,
                        approved=approved,
                        stop=stop,
                        headway=headway,
                    )
                )
                headway.at(before + batch.rows)
        return conclude(
            source,
            target,
            options,
            batches,
            compared,
            refused=dead_letters,
            approved=approved,
            is_end_implied=is_end_implied,
            stop=stop,
        )


def _outside(
    source: Catalog, structure: Structure, options: MigrationOptions, batches: Sequence[Batch]
) -> Iterator[Batch]:
    """Super tables with rows, and normal tables, that no batch holds: they had none, or were not there."""
    held = {batch.stable for batch in batches}
    pairs = [pair for pair in structure.pairs if (pair.source.name if pair.source.is_super else None) not in held]
    if pairs:
        yield from make_batches(source, replace(structure, pairs=pairs), window(options, structure.source))


def _conclude_pair(
    source: Catalog,
    target: Catalog,
    structure: Structure,
    pair: TablePair,
    options: MigrationOptions,
    result: Comparison,
    stop: threading.Event,
) -> set[str]:
    """Compare what no batch does: the structure of a super table or normal table, and the tags of all subtables.

    Returns:
        Subtables, by their names in the target, that it did not have and has got here: without rows.
    """
    total = result.stables.setdefault(pair.wanted.name if pair.source.is_super else "", Total())
    structural = list(_compare_structure(structure.time, pair, tags=options.schema != "none"))
    result.differ(total, structural)
    has_tags = (
        pair.target is not None
        and pair.target.is_super
        and not any(difference.what.startswith("tag ") for difference in structural)
    )
    if not pair.source.is_super or options.schema == "none" or not has_tags:
        return set()
    scope = EVERYTHING
    if not structure.scope.is_partial and (names := structure.transform.tables.of_range(None, None)):
        scope = scope.between(*names)

    def compare() -> tuple[list[Difference], int]:
        with Headway(f"Comparing tags of {pair.wanted.name}", unit="table") as headway:
            found = compare_tags(
                structure.tags(pair),
                lambda: map(structure.transform.subtable, headway.each(source.subtables(pair.source, structure.scope))),
                lambda: target.subtables(pair.wanted, scope),
            )
        return found.differences, found.others

    differences, others = persist(compare, stop)
    missing, known = _missing(differences), set(differences)
    # Tags that the source has changed since they were brought over are followed, as those that it changes later.
    is_followed = options.mode == "both"
    if differences and options.repair_rounds and not options.leaves_structure:
        own = replace(options, update_tags=options.update_tags or is_followed)
        try:
            result.tags += persist(lambda: SchemaSync(source, target, own).run(), stop).tags
        except TDengineError as error:
            if error.retryable:
                raise
            result.obstacle = result.obstacle or str(error)
            is_followed = False
        differences, others = persist(compare, stop)
        if is_followed:
            # Others have come meanwhile.
            differences = [each for each in differences if each in known]
    result.extra_tables += others
    result.differ(total, differences)
    return missing - _missing(differences)


def _has_outgrown(structure: Structure, options: MigrationOptions) -> bool:
    """Whether tables of the target lack what the source has, and a comparison may bring it over."""
    if not options.repair_rounds or options.schema != "always" or options.on_schema_change != "evolve":
        return False
    pairs = [pair for pair in structure.pairs if pair.target is not None]
    return any(found for pair in pairs for found in _compare_structure(structure.time, pair, tags=True))


def _missing(differences: Sequence[Difference]) -> set[str]:
    """Tables that the target lacks."""
    return {difference.table for difference in differences if difference.what == "table"}


def _late(
    source: Catalog, structure: Structure, pair: TablePair, options: MigrationOptions, created: set[str]
) -> list[Batch]:
    """Batches of just those subtables of a super table that came when their batch had been compared.

    Parameters:
        source: the source database.
        structure: of both sides.
        pair: the super table.
        options: of the migration.
        created: the subtables by their names in the target.
    """
    if not created:
        return []
    bare = replace(pair.source, tags=pair.source.tags[:0])
    names = sorted(subtable.name for subtable in source.subtables(bare, structure.scope))
    period, batches = window(options, structure.source), []
    for is_late, run in groupby(names, lambda name: structure.transform.tables(name) in created):
        if is_late:
            own = list(run)
            label = "…".join(map(wording.name, dict.fromkeys([own[0], own[-1]])))
            batches.append(Batch(pair.source.name, own[0], f"{own[-1]}\x01", len(own), *period, 0, names=label))
    return batches


def _compare_structure(time: TimeScale, pair: TablePair, *, tags: bool) -> Iterator[Difference]:
    """What the target lacks of a super table or normal table, whether it has rows or not.

    Parameters:
        time: how timestamps become those of the target.
        pair: the super table or normal table.
        tags: whether its tags are compared.
    """
    name, there = pair.wanted.name, pair.target
    if there is None:
        yield Difference(name, "table", "there", "missing")
        return
    if there.is_super != pair.wanted.is_super:
        kinds = {True: "super table", False: "normal table"}
        yield Difference(name, "kind", kinds[pair.wanted.is_super], kinds[there.is_super])
        return
    found = {column.name: column for column in there.columns}
    for own in pair.wanted.columns:
        other = found.get(own.name)
        if other is None or conversion(own, other, time) is None:
            yield Difference(name, f"column {own.name}", own.sql_type, other.sql_type if other else "nothing")
    found = {tag.name: tag for tag in there.tags}
    for own in pair.wanted.tags if tags else ():
        other = found.get(own.name)
        if other is None or not (conversion(own, other, time) or can_widen(own, other)):
            yield Difference(name, f"tag {own.name}", own.sql_type, other.sql_type if other else "nothing")
