"""Source and target compared: what servers say of every table, its rows, the tags of every subtable."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone

import numpy as np

from airflow_provider_tdengine.client.block import Flags, Ints
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import in_background
from airflow_provider_tdengine.migration.catalog import Catalog, Extent, Scope, Subtable, Table
from airflow_provider_tdengine.migration.comparing.measures import Answers, Measure, ask, measures, same
from airflow_provider_tdengine.migration.comparing.row_comparer import Piece, RowComparer
from airflow_provider_tdengine.migration.copying import comparable_since, find_expired, window
from airflow_provider_tdengine.migration.findings import MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.rows import TagTranscoder, conversion, distinct_rows
from airflow_provider_tdengine.migration.structure import (
    Structure,
    TablePair,
    can_widen,
    nothing_meant,
    read_structure,
    same_tag,
)

log = logging.getLogger(__name__)

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that is not the same on both sides.

    Parameters:
        table: the subtable or normal table.
        what: rows, first, last, what a column's values come to, "values" where only the rows themselves say it, a
            tag's name; of a super table or normal table itself "table", "kind", or a column or tag with its type.
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
class Total:
    """What a super table, or all normal tables, came to.

    Parameters:
        tables: how many tables with rows were compared.
        rows: rows of the source.
        target_rows: rows of the target.
        measures: what was compared of each table's columns, beside rows, first and last timestamp.
        read: of how many tables every row was compared.
        different: how many tables differ.
    """

    tables: int = 0
    rows: int = 0
    target_rows: int = 0
    measures: int = 0
    read: int = 0
    different: int = 0


@dataclass(slots=True)
class Comparison:
    """What was compared and what differs.

    Parameters:
        stables: what each super table came to; normal tables are together under "".
        differences: what is not the same.
        extra_tables: other subtables of the target's super tables; they are not part of the migration.
        collisions: rows of the source for which a later one stands in the target, since that counts coarser steps;
            they are looked for in tables with fewer rows there.
        expired: rows of the source that are older than the target keeps; they are not compared.
        dead_letters: rows by table that the target refused; it is compared without them.
        pieces: where the tables that differ do so.
        obstacle: why they cannot be mended, if that was tried in vain.
    """

    stables: dict[str, Total] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    extra_tables: int = 0
    collisions: int = 0
    expired: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
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

    def to_dict(self) -> dict[str, object]:
        """For JSON; of many differences the first ones."""
        first = replace(self, differences=self.differences[:_SHOWN], pieces=self.pieces[:_SHOWN])
        counts = {"tables": self.tables, "rows": self.rows, "target_rows": self.target_rows}
        return {**counts, **asdict(first), "different": len(self.differences)}


def verify(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    dead_letters: Mapping[str, list[int]] | None = None,
    *,
    stop: threading.Event | None = None,
) -> Comparison:
    """Compare every table of a migration over its period, as the option `verify` says; nothing is written.

    Parameters:
        source: the source database.
        target: the target database.
        options: scope, period, what changes on the way, and what is compared.
        dead_letters: timestamps of refused rows by table of the target; they are not expected there.
        stop: set by somebody who wants it to stop soon.

    Raises:
        MigrationStopped: a database or super table is missing.
        TDengineError: what no retry cured.
    """
    structure = read_structure(source, target, options)
    stop_on(nothing_meant(source, structure, options))
    if structure.target is None:
        raise MigrationStopped([target.missing("target_database")])
    start, end = window(options, structure.source)
    expired = find_expired(source, structure, structure.target, (start, end), datetime.now(timezone.utc))
    start = comparable_since(start, structure.source.precision, structure.source, structure.target)
    refused = {}
    for name, times in (dead_letters or {}).items():
        refused[name] = [time for time in times if (start is None or time >= start) and (end is None or time < end)]
    comparison = Comparison(
        expired=sum(each.rows for each in expired), dead_letters={name: len(times) for name, times in refused.items()}
    )
    sides = Sides(source, target, structure, (start, end), refused)
    for pair in structure.pairs:
        _compare_pair(sides, pair, options, comparison, stop or threading.Event())
    return comparison


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared.

    Parameters:
        source: the source database.
        target: the target database.
        structure: both sides' structure.
        period: from which timestamp on, and before which, in steps of the source.
        refused: timestamps of rows that the target is not expected to have, in steps of the source, by its tables.
    """

    source: Catalog
    target: Catalog
    structure: Structure
    period: tuple[int | None, int | None]
    refused: Mapping[str, Sequence[int]]


def _compare_pair(
    sides: Sides, pair: TablePair, options: MigrationOptions, comparison: Comparison, stop: threading.Event
) -> None:
    """Compare a super table or normal table, and add what was found."""
    total = comparison.stables.setdefault(pair.wanted.name if pair.source.is_super else "", Total())
    structural = list(_compare_structure(sides, pair, tags=options.schema != "none"))
    comparison.differences += structural
    if pair.target and pair.target.is_super != pair.wanted.is_super:
        total.different += 1
        return
    asked = [] if options.verify == "count" else _measures(sides, pair)
    answers = _Answered(sides, pair, asked)
    answers.compare()
    rows = _row_comparer(sides, pair, stop)
    if rows:
        chosen = [extent for extent in answers.equal() if answers.needs_reading(extent.name, options)]
        total.read += len(chosen)
        for name in rows.differing(chosen, sides.period, options.workers):
            answers.add(sides.structure.transform.tables(name), "values", "some", "others")
        comparison.pieces += answers.located(rows, options.workers)
    total.tables += answers.tables
    total.rows += int(answers.ours.rows.sum())
    total.target_rows += int(answers.theirs.rows.sum())
    total.measures += sum(map(len, asked))
    comparison.extra_tables += len(answers.extra)
    comparison.collisions += sum(answers.collisions.values())
    found = [difference for name in sorted(answers.found) for difference in answers.found[name]]
    has_tags = not any(difference.what.startswith("tag ") for difference in structural)
    if pair.source.is_super and pair.target and options.schema != "none" and has_tags:
        subtables = map(sides.structure.transform.subtable, sides.source.subtables(pair.source, sides.structure.scope))
        found += compare_tags(pair.wanted, sides.structure.tags(pair), subtables, sides.target)
    total.different += len({difference.table for difference in structural + found})
    comparison.differences += found


def _compare_structure(sides: Sides, pair: TablePair, *, tags: bool) -> Iterator[Difference]:
    """What the target lacks of a super table or normal table, whether it has rows or not.

    Parameters:
        sides: the databases.
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
    time = sides.structure.time
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


def _measures(sides: Sides, pair: TablePair) -> list[list[Measure]]:
    """What both servers are asked of the columns that both have."""
    if pair.target is None:
        return []
    there = {column.name: column for column in pair.target.columns}
    both = [
        (own, there[new.name])
        for own, new in zip(pair.source.columns, pair.wanted.columns, strict=True)
        if new.name in there
    ]
    one = replace(pair.source, columns=tuple(own for own, _ in both))
    other = replace(pair.target, columns=tuple(column for _, column in both))
    generations = sides.source.client.generation, sides.target.client.generation
    return measures((one, other), generations, same_time=sides.structure.time.is_one)


def _row_comparer(sides: Sides, pair: TablePair, stop: threading.Event) -> RowComparer | None:
    """What reads the rows of both sides; None where the target has no such table, or not its columns."""
    if pair.target is None:
        return None
    try:
        return RowComparer(sides.source, sides.target, sides.structure, pair, sides.refused, stop)
    except ValueError:
        return None


class _Answered:
    """What both servers say of a super table's subtables, or of a normal table.

    Parameters:
        sides: the databases.
        pair: the super table or normal table.
        asked: what is asked of the columns, beside rows, first and last timestamp.
    """

    def __init__(self, sides: Sides, pair: TablePair, asked: list[list[Measure]]) -> None:
        structure, period = sides.structure, sides.period
        self._sides = sides
        self._pair = pair
        self._asked = asked
        flat = [measure for group in asked for measure in group]
        at_target = [measure.target for measure in flat]
        there = None
        if pair.target:
            there = in_background(
                lambda: ask(sides.target, pair.wanted, Scope(), structure.time.window(*period), at_target)
            )
        self.ours = ask(sides.source, pair.source, structure.scope, period, [measure.source for measure in flat])
        """The source's answers."""
        self.theirs = there.result() if there else Answers([], self.ours.take(np.empty(0, np.int64)).columns)
        """The target's, without those of tables that only it has."""
        self.names = [structure.transform.tables(name) for name in self.ours.names]
        """The source's tables, as the target calls them."""
        self.extra = self._extra()
        """Subtables that only the target has; they are not part of the migration."""
        if self.extra:
            self.theirs = self.theirs.take(np.array([name not in self.extra for name in self.theirs.names]))
        self._places = {name: place for place, name in enumerate(self.theirs.names)}
        self._matched = np.array([self._places.get(name, -1) for name in self.names], np.int64)
        self.collisions = self._collisions()
        """Rows of the source for which a later one stands in the target, by table of the target."""
        self._special = {name for name, times in sides.refused.items() if times} | self.collisions.keys()
        """Tables that are to have other rows than the source, so that servers cannot be asked for sums."""
        self.found: dict[str, list[Difference]] = {}
        """Differences by table of the target."""

    @property
    def tables(self) -> int:
        """How many were compared."""
        return len(self.names) + len(self._alone())

    def _extra(self) -> set[str]:
        extra = set(self.theirs.names) - set(self.names)
        if extra and self._pair.source.is_super:
            # Those that the source has, too, without rows in the period, are differences.
            rename, scope = self._sides.structure.transform.tables, self._sides.structure.scope
            extra -= {rename(subtable.name) for subtable in self._sides.source.subtables(self._pair.source, scope)}
        return extra if self._pair.source.is_super else set()

    def _alone(self) -> list[int]:
        """Tables without rows in the source that have some in the target."""
        ours = set(self.names)
        return [place for name, place in self._places.items() if name not in ours]

    def _collisions(self) -> dict[str, int]:
        """Looked for in tables with fewer rows in the target."""
        found: dict[str, int] = {}
        time, rows, others = self._sides.structure.time, self.ours.rows, self.theirs.rows
        for number, place in enumerate(self._matched.tolist() if time.cuts else ()):
            if place >= 0 and others[place] < rows[number]:
                name = self.ours.names[number]
                left = distinct_rows(self._sides.source, self._pair.source, name, self._sides.period, time)
                found[self.names[number]] = int(rows[number]) - left
        return found

    def add(self, table: str, what: str, source: str | int | None, target: str | int | None) -> None:
        """Note a difference."""
        self.found.setdefault(table, []).append(Difference(table, what, source, target))

    # --- Comparing

    def compare(self) -> None:
        """Compare what both servers have said."""
        absent = np.flatnonzero(self._matched < 0)
        for number in absent.tolist():
            self._add_facts(self.names[number], self._facts_of(number), (0, None, None))
        for place in self._alone():
            self._add_facts(self.theirs.names[place], (0, None, None), _facts(self.theirs, place))
        mine = np.flatnonzero(self._matched >= 0)
        theirs = self.theirs.take(self._matched[mine])
        for number in self._odd(mine, theirs).tolist():
            self._add_facts(self.names[number], self._facts_of(number), _facts(self.theirs, int(self._matched[number])))
        self._compare_measures(mine, theirs)

    def _odd(self, mine: Ints, theirs: Answers) -> Ints:
        """Tables of which rows, first or last timestamp may differ."""
        time, ours = self._sides.structure.time, self.ours.take(mine)
        equal: Flags = ours.rows == theirs.rows
        for own, other in zip(ours.columns[1:3], theirs.columns[1:3], strict=True):
            equal &= time.apply_array(own.values.astype(np.int64)) == other.values.astype(np.int64)
        equal &= np.array([self.names[number] not in self._special for number in mine.tolist()], np.bool_)
        return mine[~equal]

    def _facts_of(self, number: int) -> tuple[int | None, ...]:
        """Rows, first and last timestamp that the target should have of a table; None where that cannot be said."""
        name, time = self.names[number], self._sides.structure.time
        rows, first, last = _facts(self.ours, number)
        refused = len(self._sides.refused.get(name, ()))
        return (
            int(str(rows)) - refused - self.collisions.get(name, 0),
            time.apply(int(str(first))),
            time.apply(int(str(last))),
        )

    def _add_facts(self, name: str, ours: tuple[int | None, ...], theirs: tuple[int | None, ...]) -> None:
        # The refused rows may be the first or the last ones.
        known = 1 if self._sides.refused.get(name) else 3
        for what, one, other in list(zip(("rows", "first", "last"), ours, theirs, strict=True))[:known]:
            if one != other:
                self.add(name, what, one, other)

    def _compare_measures(self, mine: Ints, theirs: Answers) -> None:
        """Compare what columns come to, in tables with equal rows."""
        special = self.found.keys() | self._special
        plain = np.array([self.names[number] not in special for number in mine.tolist()], np.bool_)
        ours, others, numbers = self.ours.take(mine[plain]), theirs.take(plain), mine[plain]
        column = 3
        for group in self._asked:
            is_filled = np.ones(len(numbers), np.bool_)
            for place, measure in enumerate(group):
                one, other = ours.columns[column], others.columns[column]
                odd = is_filled & ~same(measure.kind, one, other, ours.rows)
                for i in np.flatnonzero(odd).tolist():
                    pair = (_text(one.values[i], one.nulls[i]), _text(other.values[i], other.nulls[i]))
                    self.add(self.names[int(numbers[i])], measure.what, *pair)
                if place == 0 and len(group) > 1:
                    # Of no values at all, servers say 0 or NULL.
                    is_filled = (one.values.astype(np.int64) > 0) & ~one.nulls
                column += 1

    # --- Looking closer

    def needs_reading(self, name: str, options: MigrationOptions) -> bool:
        """Whether every row of a table of the source is compared, although nothing has differed so far."""
        if options.verify == "full":
            return True
        return options.verify != "count" and self._sides.structure.transform.tables(name) in self._special

    def equal(self) -> Iterator[Extent]:
        """Tables of the source without a difference so far."""
        for number, name in enumerate(self.names):
            if name not in self.found:
                yield self._extent(number)

    def _extent(self, number: int) -> Extent:
        """Where the rows of a table of the source lie, on both sides."""
        rows, first, last = (int(str(fact)) for fact in _facts(self.ours, number))
        place = int(self._matched[number])
        if place >= 0:
            earliest, latest = self._back(place)
            first, last = min(first, earliest), max(last, latest)
        return Extent(self.ours.names[number], rows, first, last)

    def _back(self, place: int) -> tuple[int, int]:
        """First and last timestamp of a table of the target in steps of the source."""
        time = self._sides.structure.time
        _, first, last = (int(str(fact)) for fact in _facts(self.theirs, place))
        return first * time.denominator // time.numerator, (last + 1) * time.denominator // time.numerator

    def located(self, rows: RowComparer, workers: int) -> list[Piece]:
        """Where the tables that differ do so; sums of fractions that differ where no row does are no difference."""
        stable = self._pair.source.name if self._pair.source.is_super else None
        odd = [number for number, name in enumerate(self.names) if name in self.found]
        pieces = [
            Piece(stable, extent.name, extent.first, extent.last + 1, extent.rows, extent.rows, 0, is_all=True)
            for extent in (self._extent(number) for number in odd if self._matched[number] < 0)
        ]
        closer = [self._extent(number) for number in odd if self._matched[number] >= 0]
        if alone := self._alone():
            names = {self._sides.structure.transform.tables(name): name for name in self._source_names()}
            closer += [Extent(names[self.theirs.names[place]], 0, *self._back(place)) for place in alone]
        pieces += rows.pieces(closer, workers)
        there = {self._sides.structure.transform.tables(piece.table) for piece in pieces}
        for name in self.found.keys() - there:
            if all(difference.what.startswith("sum ") for difference in self.found[name]):
                del self.found[name]
        return pieces

    def _source_names(self) -> Iterator[str]:
        if not self._pair.source.is_super:
            yield self._pair.source.name
            return
        for subtable in self._sides.source.subtables(self._pair.source, self._sides.structure.scope):
            yield subtable.name


def _facts(answers: Answers, place: int) -> tuple[int | None, ...]:
    """Rows, first and last timestamp of a table."""
    return tuple(int(column.values[place]) for column in answers.columns[:3])


def _text(value: object, is_null: object) -> str:
    return "NULL" if is_null else str(value)


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
                yield Difference(subtable.name, f"tag {tag.name}", *wording.values(one, other))
