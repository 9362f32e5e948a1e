"""One batch compared and mended: its digest against what the target holds, and where that differs, its rows.

Only rows make a difference. Whatever a server says of a table otherwise, a digest, a count, a sum, is a reason to look
closer: sums are beyond what a type holds, sources change, and answers are wrong now and then.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.result import counted
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.migration.background import until_stopped
from airflow_provider_tdengine.migration.catalog import (
    EVERYTHING,
    Catalog,
    Holding,
    Holdings,
    Period,
    count,
    measured,
    meet,
    together,
)
from airflow_provider_tdengine.migration.comparing.deletions import Deletion
from airflow_provider_tdengine.migration.comparing.measures import Measure, measures, suspects
from airflow_provider_tdengine.migration.comparing.rows import Piece, RowReader, Run
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Border,
    Brief,
    Copied,
    MemoryProgress,
    brief_of,
    copy_batch,
)
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import ASK, MigrationOptions
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.structure import SchemaSync, Structure, TablePair
from airflow_provider_tdengine.migration.wording import number, values

log = logging.getLogger(__name__)

_MORE_ROUNDS = 3
"""Repair rounds with mode both, whose source goes on: they tell rows that come from those that do not arrive."""

SHOWN = 20
"""Differences that a result names; it says how many there are."""

_MOST_DELETIONS, _VALUES = 1000, 4
"""Deletions of a batch that a person is asked for at once, the others then, and values of a row that are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that is not the same on both sides.

    Parameters:
        table: the subtable or normal table of the target.
        what: "rows" where their numbers differ, "values", or a tag's name; of a super table or normal table itself
            "table", "kind", or a column or tag with its type.
        source: what the source has.
        target: what the target has.
    """

    table: str
    what: str
    source: str | int | None
    target: str | int | None

    def __str__(self) -> str:
        ours, theirs = (f"{value:,}" if self.what == "rows" else value for value in (self.source, self.target))
        return f"{self.table}: {self.what} {ours} in the source, {theirs} in the target"


@dataclass(slots=True)
class BatchComparison:
    """What a batch came to.

    Parameters:
        stable: the super table of the target; None for normal tables.
        label: of the batch.
        batch: the batch's identity.
        tables: how many tables with rows were compared.
        rows: rows of the source.
        target_rows: rows of the target.
        copied: rows that were copied; None where nothing of that was known.
        level: how it was compared: digest (the copy's, with the target), full (both sides read), aggregate, count.
        as_of: when the copy began whose digest was compared, in seconds since 1970; None where both sides were asked.
        measures: what was compared of each table's columns, beside rows, first and last timestamp.
        read: of how many tables rows were compared on both sides.
        different: how many tables differ.
        missing: rows that the target lacks.
        changed: rows with other values there.
        extra: rows that only the target has.
        differences: the first ones.
        shown: the first rows that differ, in words.
        refused: rows that the target refused; it is compared without them.
        collisions: rows for which a later one stands, since the target counts coarser steps.
        expired: rows that were left behind since they are, or are about to be, older than one side keeps.
        vanished: tables that the source had when the migration was planned.
        late: rows that the source has got while it was compared, and that are followed.
        is_reread: whether the source has other rows than those that were copied.
        mended: tables of which rows were copied again.
        mended_rows: how many rows.
        deleted: how many rows that only the target had were deleted.
        waiting: how many rows a person is to be asked for before they are deleted.
        deletions: those of them that are asked for at once.
        obstacle: why what differs cannot be mended, if that was tried in vain.
    """

    stable: str | None
    label: str
    batch: str = ""
    tables: int = 0
    rows: int = 0
    target_rows: int = 0
    copied: int | None = None
    level: str = "full"
    as_of: float | None = None
    measures: int = 0
    read: int = 0
    different: int = 0
    missing: int = 0
    changed: int = 0
    extra: int = 0
    differences: list[Difference] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    refused: int = 0
    collisions: int = 0
    expired: int = 0
    vanished: int = 0
    late: int = 0
    is_reread: bool = False
    mended: int = 0
    mended_rows: int = 0
    deleted: int = 0
    waiting: int = 0
    deletions: list[Deletion] = field(default_factory=list)
    obstacle: str = ""

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def after(self, before: BatchComparison) -> BatchComparison:
        """This, with what an earlier comparison of the same batch knew of its copy, and has repaired.

        Parameters:
            before: the earlier one.
        """
        return replace(
            self,
            copied=before.copied,
            refused=max(self.refused, before.refused),
            collisions=max(self.collisions, before.collisions),
            expired=max(self.expired, before.expired),
            vanished=max(self.vanished, before.vanished),
            mended=self.mended + before.mended,
            mended_rows=self.mended_rows + before.mended_rows,
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError: it lacks something that `to_dict` gives.
        """
        differences, deletions = stored["differences"], stored["deletions"]
        if not isinstance(differences, list) or not isinstance(deletions, list):
            raise TypeError("the differences, or deletions, of a comparison are no list")
        lists = {
            "differences": [Difference(**one) for one in differences],
            "deletions": [Deletion(**one) for one in deletions],
        }
        known = {one.name: stored[one.name] for one in fields(cls)}
        return cls(**{**known, **lists})  # type: ignore[arg-type]


def compare_batch(
    source: Catalog,
    target: Catalog,
    batch: Batch,
    options: MigrationOptions,
    *,
    copied: Copied | None = None,
    again: bool = False,
    refused: Mapping[str, Sequence[int]] | None = None,
    approved: Container[Deletion] = (),
    structure: Structure | None = None,
    stop: threading.Event | None = None,
    headway: Headway | None = None,
) -> BatchComparison:
    """Compare a batch as the option `verify` says, and mend what differs, as often as `repair_rounds` says.

    Parameters:
        source: the source database.
        target: the target database.
        batch: what is compared.
        options: of the migration.
        copied: what its copy came to; None where there was none.
        again: whether to read both sides, even though the copy's digest would do.
        refused: timestamps of refused rows by table of the target; they are not expected there, and such tables are
            not mended.
        approved: what a person has approved, where `delete_extra` is ask.
        structure: both sides' structure, where it was read a moment ago; its scope and transform count then.
        stop: set by somebody who wants it to stop soon.
        headway: of more than this batch; None to say how far this one is.

    Raises:
        MigrationStopped: a database is missing, or the target's structure does not take the source's rows.
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """
    stop = stop or threading.Event()
    with source, target:
        meet(source, target, stop)
        own = Headway("Comparing", copied.rows if copied else batch.rows)
        with nullcontext(headway) if headway else own as telling:
            compare = partial(
                _compare,
                source,
                target,
                batch,
                options,
                copied,
                again,
                refused or {},
                approved,
                structure,
                stop,
                telling,
            )
            return until_stopped(compare, stop)


def _compare(
    source: Catalog,
    target: Catalog,
    batch: Batch,
    options: MigrationOptions,
    copied: Copied | None,
    again: bool,
    refused: Mapping[str, Sequence[int]],
    approved: Container[Deletion],
    structure: Structure | None,
    stop: threading.Event,
    headway: Headway,
) -> BatchComparison:
    brief = persist(partial(brief_of, source, target, batch, options, structure), stop)
    fitting = brief.fitting()
    makes = options.schema == "always" and not options.leaves_structure
    if options.repair_rounds and makes and fitting.pairs != brief.pairs:
        persist(lambda: SchemaSync.again(source, target, options, brief.scope).run(), stop)
        brief = persist(partial(brief_of, source, target, batch, options), stop)
        fitting = brief.fitting()
    stable = next((pair.wanted.name for pair in brief.pairs.values()), batch.stable) if batch.stable else None
    result = BatchComparison(stable, batch.label, batch.identity, level=options.verify, as_of=source.as_of)
    if copied:
        result.copied, result.vanished, result.expired = copied.rows, copied.vanished, copied.left_behind
        result.refused, result.collisions = copied.tally.rejected, copied.tally.collisions
    if not brief.pairs:
        result.vanished = max(result.vanished, copied.tables if copied else 0)
        return result
    if fitting.pairs:
        comparison = _BatchComparer(fitting, options, copied, refused, approved, result, stop, headway)
        if again or fitting.pairs != brief.pairs or not comparison.is_proven():
            comparison.look_closer()
    for name in brief.pairs.keys() - fitting.pairs.keys():
        # That its structure differs is what `conclude` says.
        result.rows += count(source, brief.pairs[name].source, brief.scope, batch.period, stop)
    return result


class _BatchComparer:
    """Compares a batch.

    Parameters:
        brief: what is known of it.
        options: of the migration.
        copied: what its copy came to.
        refused: timestamps of refused rows by table of the target.
        approved: what a person has approved.
        result: what is filled in.
        stop: ends the work soon.
        headway: counts rows that were read.
    """

    def __init__(
        self,
        brief: Brief,
        options: MigrationOptions,
        copied: Copied | None,
        refused: Mapping[str, Sequence[int]],
        approved: Container[Deletion],
        result: BatchComparison,
        stop: threading.Event,
        headway: Headway,
    ) -> None:
        self._brief = brief
        self._options = options
        self._copied = copied
        self._approved = approved
        self._result = result
        self._stop = stop
        start = copied.since if copied else brief.batch.start
        first = copied.first if copied else self._first(start)
        # Rows that may expire meanwhile are not compared, nor those that one side has let go, and the other keeps.
        self._is_cut = first is not None and brief.border.is_near(first)
        self._whole: Period = (brief.border.after(start) if self._is_cut else start, brief.batch.end)
        self._since = self._whole[0] if self._is_cut else brief.border.reached(start)
        self._period: Period = (self._since, brief.batch.end)
        if self._whole[0] != brief.batch.start:
            # Rows that were copied may have expired since, as those that were left behind.
            result.expired = max(result.expired, self._count_of_source(brief.batch.start, self._since))
        self._refused = {name: [time for time in times if self._is_meant(time)] for name, times in refused.items()}
        self._headway, self._before = headway, headway.done
        self._reader = RowReader(brief, self._period, self._refused, options.workers, stop, headway)

    def _first(self, start: int | None) -> int | None:
        """The first timestamp that the source has of the batch, from one on; None where it has no rows."""
        brief, period = self._brief, (start, self._brief.batch.end)
        there = (together(brief.source, pair.source, brief.scope, period, self._stop) for pair in brief.pairs.values())
        return min((one.first for one in there if one), default=None)

    def _is_meant(self, time: int) -> bool:
        start, end = self._period
        return (start is None or time >= start) and (end is None or time < end)

    def _count_of_source(self, start: int | None, end: int | None) -> int:
        """How many rows of the batch the source has from a timestamp on and before another one."""
        end = min((moment for moment in (end, self._brief.batch.end) if moment is not None), default=None)
        if start is not None and end is not None and start >= end:
            return 0
        return sum(
            count(self._brief.source, pair.source, self._brief.scope, (start, end), self._stop)
            for pair in self._brief.pairs.values()
        )

    # --- At the price of a count

    def is_proven(self) -> bool:
        """Whether the target has what was copied, and nothing else, and the source still as many rows."""
        copied = self._copied
        if copied is None or self._options.verify != "full" or self._is_cut:
            return False
        rows = self._count_of_source(*self._period)
        if rows != copied.rows:
            self._result.is_reread = True
            label = self._brief.batch.label
            log.info("Batch %s had %s when it was copied, and has %s", label, number(copied.rows, "row"), f"{rows:,}")
            return False
        scope = self._brief.target_scope
        if scope is None:
            return False
        found = self._reader.target_digest(scope, is_dense=copied.strategy == "dense")
        if found != copied.tally.digest:
            return False
        self._result.level, self._result.as_of = "digest", self._brief.source.as_of or copied.began
        self._result.tables, self._result.rows, self._result.target_rows = copied.tables, rows, found.rows
        return True

    # --- Table by table

    def look_closer(self) -> None:
        """Compare table by table, mend what differs, and compare that again."""
        self._headway.at(self._before)
        ours, theirs = self._listings()
        odd = self._suspects(ours, theirs)
        self._result.tables = len(ours)
        pieces = list(self._reader.pieces(self._bounded(odd, ours, theirs)))
        self._result.read = len(odd) + (len(ours) if self._options.verify == "full" else 0)
        is_followed = self._options.mode == "both"
        rounds, most, lasting = 0, self._options.repair_rounds, pieces
        if most and is_followed:
            most += _MORE_ROUNDS
        while lasting and rounds < most:
            rounds += 1
            tables = sorted({piece.table for piece in pieces})
            differ = f"{number(len(tables), 'table')} {'differs' if len(tables) == 1 else 'differ'}"
            log.warning("Batch %s: %s; repair round %d", self._brief.batch.label, differ, rounds)
            try:
                if not self._mend(pieces, ours):
                    break
            except TDengineError as error:
                if error.retryable:
                    raise
                log.error("It cannot be repaired: %s", error)
                self._result.obstacle = str(error)
                break
            ours, theirs = self._listings()
            # Also those that have got rows meanwhile.
            tables = sorted({*tables, *self._unlike(ours, theirs)})
            before, pieces = pieces, list(self._reader.pieces(self._bounded(tables, ours, theirs)))
            lasting = self._lasting(pieces, before) if is_followed else pieces
        self._result.late = _lacking(pieces) - _lacking(lasting)
        pieces = lasting
        if odd and not pieces:
            # Rows may have come between the listing and the reading, which has found no difference.
            ours, theirs = self._listings()
        self._result.rows, self._result.target_rows = ours.total, theirs.total
        if self._copied and not self._is_cut:
            self._result.vanished = max(self._result.vanished, self._copied.tables - len(ours))
        if self._copied is None or not pieces:
            # What the copy was refused may have been brought back since.
            names = map(self._brief.target_name, self._names().union(ours.names))
            self._result.refused = sum(len(self._refused.get(name, ())) for name in names)
        if self._brief.time.cuts and not pieces:
            self._result.collisions = ours.total - theirs.total - self._result.refused
        elif is_followed and not pieces:
            # What is behind the reading, which has found no other difference.
            self._result.late = max(self._result.late, ours.total - theirs.total - self._result.refused)
        self._note(pieces)

    def _lasting(self, pieces: Sequence[Piece], before: Sequence[Piece]) -> list[Piece]:
        """What is made of more than rows that have come since the reading before, and that are followed.

        Parameters:
            pieces: what differs.
            before: what differed then, and was mended.
        """
        # Only a subscription tells of rows that were overwritten, however old they are.
        tells_changes = self._options.follow_by == "subscription"
        known: dict[str, list[Piece]] = defaultdict(list)
        for piece in before:
            known[piece.table].append(piece)
        return [
            piece
            for piece in pieces
            if piece.extra
            or (piece.changed and not tells_changes)
            or any(_share_rows(piece, other) for other in known[piece.table])
        ]

    def _listings(self) -> tuple[Holdings, Holdings]:
        """What the source holds, and what the target holds of the source's tables, under their names in the source."""
        ours = self._brief.holdings(self._since, self._stop)
        return ours, self._brief.target_holdings(self._names().union(ours.names), self._since, self._stop)

    def _names(self) -> set[str]:
        """All tables of the batch in the source, those without rows, too."""
        brief = self._brief
        if brief.batch.stable is None:
            return set(brief.pairs)
        pair = brief.pairs[brief.batch.stable]
        bare = replace(pair.source, tags=pair.source.tags[:0])
        return persist(lambda: {own.name for own in brief.source.subtables(bare, brief.scope)}, self._stop)

    def _suspects(self, ours: Holdings, theirs: Holdings) -> list[str]:
        """Tables of the source that may differ."""
        odd = self._unlike(ours, theirs)
        rest = ours.take(np.array([name not in odd for name in ours.names], np.bool_))
        if self._options.verify == "full":
            odd.update(self._reader.differing(rest))
        elif self._options.verify == "aggregate":
            odd.update(self._told_apart(rest))
        return sorted(odd)

    def _unlike(self, ours: Holdings, theirs: Holdings) -> set[str]:
        """Tables of the source that differ by what is known of them, or of which rows were refused."""
        places = {name: place for place, name in enumerate(theirs.names)}
        matched = np.array([places.get(name, -1) for name in ours.names], np.int64)
        there = matched >= 0
        equal = there.copy()
        mine, other = ours.take(there), theirs.take(matched[there])
        time = self._brief.time
        equal[there] = (
            (mine.rows == other.rows)
            & (time.apply_array(mine.first) == other.first)
            & (time.apply_array(mine.last) == other.last)
        )
        special = self._refused.keys() if any(self._refused.values()) else set()
        if special:
            equal &= np.array([self._brief.target_name(name) not in special for name in ours.names], np.bool_)
        odd = {name for name, same in zip(ours.names, equal.tolist(), strict=True) if not same}
        return odd | (places.keys() - set(ours.names))

    def _told_apart(self, tables: Holdings) -> Iterator[str]:
        """Tables for whose columns the servers' answers differ, or are not to be had."""
        brief = self._brief
        for pair in brief.pairs.values():
            asked = _measures(brief, pair.source.name)
            flat = [measure for group in asked for measure in group]
            mine = tables if brief.batch.stable else _only(tables, pair.source.name)
            self._result.measures = len(flat)
            if not flat or not mine:
                continue
            equal: set[str] = set()
            expressions = [measure.source for measure in flat]
            for ours in measured(brief.source, pair.source, brief.scope, self._period, mine, expressions, self._stop):
                for theirs in self._measured_there(pair, flat, ours):
                    places = {name: place for place, name in enumerate(ours.names)}
                    own = ours.take(np.array([places[name] for name in theirs.names], np.int64))
                    found = suspects(asked, own, theirs).tolist()
                    equal.update(name for name, differs in zip(theirs.names, found, strict=True) if not differs)
            yield from set(mine.names) - equal

    def _measured_there(self, pair: TablePair, asked: list[Measure], ours: Holdings) -> Iterator[Holdings]:
        """What the target says of some tables, under their names in the source."""
        brief = self._brief
        rename = {brief.target_name(name): name for name in ours.names}
        known = Holdings.of([replace(one, name=brief.target_name(one.name)) for one in ours])
        scope = brief.target_scope or EVERYTHING.between(min(rename), f"{max(rename)}\x01")
        period, bare = brief.time.window(*self._period), replace(pair.wanted, where="")
        expressions = [measure.target for measure in asked]
        for part in measured(brief.target, bare, scope, period, known, expressions, self._stop):
            meant = part.take(np.array([name in rename for name in part.names], np.bool_))
            yield replace(meant, names=[rename[name] for name in meant.names])

    def _bounded(self, names: Collection[str], ours: Holdings, theirs: Holdings) -> Iterator[Holding]:
        """Tables with the first and last timestamp of either side, in steps of the source."""
        time = self._brief.time
        mine, other = ({one.name: one for one in found if one.name in names} for found in (ours, theirs))
        for name in names:
            bounds = [(one.first, one.last) for one in [mine.get(name)] if one]
            if there := other.get(name):
                bounds.append((time.origin(there.first), time.origin(there.last + 1)))
            if bounds:
                first, last = min(first for first, _ in bounds), max(last for _, last in bounds)
                start, end = self._period
                first = first if start is None else max(first, start)
                last = last if end is None else min(last, end - 1)
                yield Holding(name, mine[name].rows if name in mine else 0, first, last)

    def _note(self, pieces: Sequence[Piece]) -> None:
        """Say what differs."""
        found: dict[str, Counter[str]] = {}
        for piece in pieces:
            counts = found.setdefault(piece.table, Counter())
            counts += Counter(rows=piece.rows, missing=piece.missing, changed=piece.changed, extra=piece.extra)
        result = self._result
        result.different = len(found)
        result.missing, result.changed, result.extra = (
            sum(counts[what] for counts in found.values()) for what in ("missing", "changed", "extra")
        )
        for table, counts in sorted(found.items())[:SHOWN]:
            there = counts["rows"] - counts["missing"] + counts["extra"]
            name, what = self._brief.target_name(table), "rows" if counts["rows"] != there else "values"
            said = (counts["rows"], there) if what == "rows" else ("some", "others")
            result.differences.append(Difference(name, what, *said))
        result.shown = [f"{piece.table}: {row}" for piece in pieces for row in piece.shown][:SHOWN]

    # --- Mending

    def _mend(self, pieces: Sequence[Piece], ours: Holdings) -> bool:
        """Copy again what differs, and delete what only the target has, if that is wanted.

        Parameters:
            pieces: where tables differ.
            ours: what the source holds.

        Returns:
            Whether anything could be done.
        """
        brief = self._brief
        kept = [piece for piece in pieces if not self._refused.get(brief.target_name(piece.table))]
        deleted, deletes = 0, self._options.delete_extra != "false"
        self._result.deletions.clear()
        self._result.waiting = 0
        if deletes and not brief.databases[0].keep:
            log.warning("Nothing is deleted: the account may not see the source's KEEP, by which rows may have gone")
        elif deletes:
            deleted = sum(self._delete(piece) for piece in kept if piece.runs)
        again = [piece for piece in kept if piece.missing or piece.changed or (deleted and piece.rows)]
        if self._options.leaves_structure:
            again = [piece for piece in again if self._is_there(piece.table)]
        for batch, known in self._parts(again, ours):
            log.info("Copying again: %s, %s", batch.label, number(batch.rows, "row"))
            # A copy that fails sets what stops its workers; the comparison goes on and says what is left.
            ended = threading.Event()
            mend = partial(
                copy_batch,
                brief.source,
                brief.target,
                batch,
                self._options,
                MemoryProgress(),
                structure=self._structure,
                known=known,
                stop=ended,
            )
            try:
                done = until_stopped(mend, self._stop)
            finally:
                ended.set()
            self._result.mended_rows += done.tally.digest.rows
        self._result.mended += len({piece.table for piece in again})
        self._result.deleted += deleted
        return bool(again or deleted)

    def _is_there(self, table: str) -> bool:
        """Whether the target has a table of the source."""
        wanted = self._brief.pair_of(table).wanted
        stable = wanted.name if wanted.is_super else None
        return persist(partial(self._brief.target.has_table, self._brief.target_name(table), stable), self._stop)

    @property
    def _structure(self) -> Structure:
        brief = self._brief
        return Structure(
            brief.databases[0], brief.databases[1], list(brief.pairs.values()), brief.scope, brief.transform, brief.time
        )

    def _parts(self, pieces: Iterable[Piece], ours: Holdings) -> Iterator[tuple[Batch, Holdings]]:
        """What is copied again: tables that the target lacks together, of others the period that differs."""
        rows = dict(zip(ours.names, ours.rows.tolist(), strict=True))
        periods: dict[Period, list[Holding]] = {}
        for piece in pieces:
            is_all = piece.missing == piece.rows == rows.get(piece.table)
            period = self._whole if is_all else (piece.start, piece.end)
            periods.setdefault(period, []).append(Holding(piece.table, piece.rows, piece.start, piece.end - 1))
        for (start, end), found in periods.items():
            tables: dict[str, Holding] = {}
            for one in found:
                tables[one.name] = one
            known = Holdings.of(list(tables.values()))
            names = "…".join(dict.fromkeys([known.names[0], known.names[-1]]))
            first, before = known.names[0], f"{known.names[-1]}\x01"
            yield (
                Batch(self._brief.batch.stable, first, before, len(known), start, end, known.total, names=names),
                known,
            )

    def _delete(self, piece: Piece) -> int:
        """Delete the rows of a piece that only the target has; the source is asked for each of them once more.

        Returns:
            How many there were. Those that a person is to be asked for are not; they are noted.
        """
        brief, deleted = self._brief, 0
        pair = brief.pair_of(piece.table)
        name, time = brief.target_name(piece.table), identifier(pair.wanted.time_column)
        table_there = brief.target.table(name)
        database = persist(brief.source.database, self._stop)

        def delete(conditions: str) -> int:
            with brief.target.session() as session:
                rows = counted(session.query(f"SELECT COUNT(*) FROM {table_there} WHERE {conditions}"))
                session.query(f"DELETE FROM {table_there} WHERE {conditions}")
            return rows

        for first, last, hashes in piece.runs:
            low, high = brief.time.origin(first), brief.time.origin(last + 1)
            # What expired in the source since it was read is not extra.
            if database is None or Border(brief.precision, database).is_near(low):
                continue
            table = replace(pair.source, name=piece.table, tags=(), where="")
            if count(brief.source, table, EVERYTHING, (low, max(high, low + 1)), self._stop):
                continue
            conditions = f"{time} >= {first} AND {time} <= {last}"
            if self._options.delete_extra != ASK or self._is_approved(pair, name, (first, last, hashes), conditions):
                deleted += persist(partial(delete, conditions), self._stop)
        if deleted:
            log.warning("Deleted %s of %s that only the target had", number(deleted, "row"), name)
        return deleted

    def _is_approved(self, pair: TablePair, name: str, run: Run, conditions: str) -> bool:
        """Whether a person has approved that rows are deleted, these and no others; if not, they are noted.

        Parameters:
            pair: the structure of their table.
            name: of it in the target.
            run: their first and last timestamp, and their hashes.
            conditions: the timestamps in SQL.
        """
        first, last, hashes = run
        target, columns = self._brief.target, (pair.target or pair.wanted).columns[1 : _VALUES + 1]
        names, time = ", ".join(identifier(column.name) for column in columns), identifier(pair.wanted.time_column)
        rest = f"FROM {target.table(name)} WHERE {conditions}"

        def look() -> tuple[int, str]:
            rows = target.count(f"SELECT COUNT(*) {rest}")
            found = target.rows(f"SELECT {names} {rest} ORDER BY {time} LIMIT 1")
            shown = [
                (column.name, values(value, value)[0])
                for row in found
                for column, value in zip(columns, row, strict=True)
            ]
            return rows, ", ".join(f"{column} {value}" for column, value in shown)

        rows, example = persist(look, self._stop)
        deletion = Deletion(name, first, last, rows, example, self._brief.databases[1].precision.value, f"{hashes:x}")
        if deletion in self._approved:
            return True
        self._result.waiting += rows
        if len(self._result.deletions) < _MOST_DELETIONS:
            self._result.deletions.append(deletion)
        return False


def _lacking(pieces: Iterable[Piece]) -> int:
    """How many rows the target lacks."""
    return sum(piece.missing + piece.changed for piece in pieces)


def _share_rows(piece: Piece, other: Piece) -> bool:
    """Whether rows may be missing in two pieces of a table that are the same ones."""
    if piece.lacks is not None and other.lacks is not None:
        return not piece.lacks.isdisjoint(other.lacks)
    return piece.start < other.end and other.start < piece.end


def _only(found: Holdings, name: str) -> Holdings:
    return found.take(np.array([one == name for one in found.names], np.bool_))


def _measures(brief: Brief, table: str) -> list[list[Measure]]:
    """What both servers are asked of the columns that both have."""
    pair = brief.pairs[table]
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
    generations = brief.source.client.generation, brief.target.client.generation
    return measures((one, other), generations, same_time=brief.time.is_one)
