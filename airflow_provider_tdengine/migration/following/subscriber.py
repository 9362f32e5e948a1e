"""Following by subscription: all that the source tells is written into the target, in the order in which it happened.

What was written before anybody listened is brought by rounds that ask for rows by their timestamps (`Follower`), and so
is what a log has lost. From then on a round takes what has been told, brings structure over first, then rows, waits
until the target has confirmed them, and saves where reading goes on: each change arrives at least once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from airflow_provider_tdengine.client.changes import (
    Alteration,
    Kind,
    RowsDeleted,
    StableCreated,
    StableDropped,
    TableAltered,
    TableCreated,
    TablesDropped,
    Unknown,
)
from airflow_provider_tdengine.client.errors import TableMissing, TDengineError
from airflow_provider_tdengine.client.sql import string
from airflow_provider_tdengine.client.subscription import Message
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import until_stopped
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Holdings, Patterns, count, meet, together
from airflow_provider_tdengine.migration.comparing import Kind as VerdictKind
from airflow_provider_tdengine.migration.comparing import verify
from airflow_provider_tdengine.migration.copying import (
    Border,
    Brakes,
    Fail,
    Rejections,
    SkipExpired,
    check_refused,
    kept,
)
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.following.applying import Applier, Marks
from airflow_provider_tdengine.migration.following.carrier import CURES, OUTDATED, Counts
from airflow_provider_tdengine.migration.following.clock import SourceClock
from airflow_provider_tdengine.migration.following.feed import Feed, Reader, Taken
from airflow_provider_tdengine.migration.following.follow import Follower, Round
from airflow_provider_tdengine.migration.following.known import of_table
from airflow_provider_tdengine.migration.following.lookout import last, steps
from airflow_provider_tdengine.migration.following.position import Position
from airflow_provider_tdengine.migration.following.topic import Topic
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.structure import TablePair

log = logging.getLogger(__name__)

ROWS_A_TURN = 50_000
"""Rows after which a round takes no more messages."""

QUIET = 1.0
"""Seconds without a message after which all is told: on an idle database it takes up to 0.5 s (3.0.5.2, 3.3.3.0)."""

_LEAVING = 30.0
"""Seconds for which a consumer that has gone may keep a topic from being dropped."""

_APART = 60
"""Seconds between rows that are read again, from which on they are asked for one by one."""

_STRUCTURAL = frozenset(
    {
        *(Alteration.ADD_TAG, Alteration.RENAME_TAG, Alteration.ADD_COLUMN, Alteration.WIDEN_COLUMN),
        *(Alteration.WIDEN_TAG, Alteration.RENAME_COLUMN, Alteration.ADD_COLUMN_COMPRESSED),
    }
)
"""What the target's tables get, too. Columns and tags that are dropped stay there."""


class Subscriber(Follower):
    """Copies what a subscription tells.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration; history ends, and following begins, at `window_end`.
        topic: of this migration; it is made where it is not there.
        save: keeps a position, for the next one who asks for it.
        letters: where refused rows are kept, beside those of history; None where the first one ends it.
        approved: see `Carrier`.
    """

    waits: ClassVar[bool] = True

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        topic: Topic,
        *,
        save: Callable[[Position], None] = lambda position: None,
        letters: Path | None = None,
        approved: Container[str] = (),
    ) -> None:
        super().__init__(source, target, options, save=save, letters=letters, approved=approved)
        self._topic = topic
        self._feed: Feed | None = None
        self._reader: Reader | None = None
        self._time = SourceClock(self._clock)
        self._is_last = False
        """Whether the feed was opened when following was to stop: what it has to tell then is the last."""
        self._owners: dict[str, str | None] = {}
        """Tables of the source that were told of, with their super table."""
        self._there: set[str] = set()
        """Those of them that the target has."""
        self._dropped: set[str] = set()
        """Those that were dropped: where they come again, they may have other tags."""
        self._brakes = Brakes(options.max_rows_per_second, options.max_bytes_per_second, self._wait)

    def _wait(self, seconds: float) -> None:
        """Let some time pass, unless somebody wants it to stop; each action has an event of its own for that."""
        self._stop.wait(seconds)

    def close(self) -> None:
        """Leave the topic, so that others can read it; harmless when it has been left."""
        super().close()
        opened = self._reader or self._feed
        self._reader = self._feed = None
        if opened:
            opened.close()

    def is_at_end(self, position: Position) -> bool:
        """Whether following is to stop, and all that was told before that moment has been copied."""
        return position.vgroups is not None and not position.is_odd and self._has_all(position)

    def round(self, position: Position) -> Round:
        """Copy what was told; before anything was, what is there."""
        try:
            if position.vgroups is None:
                return self._caught_up(position)
            if position.is_odd:
                return self._compared(position)
            return self._followed(position)
        except BaseException:
            self.close()
            raise

    # --- What nobody has told

    def _caught_up(self, position: Position) -> Round:
        """A round by timestamps; the one that has brought all is the last one."""
        # First of all: what is written from now on is told.
        self._opened(None)
        done = super().round(position)
        if not self.has_caught_up(done.position) and not self._has_all(done.position):
            return done
        counts = Counts()
        with self._source, self._target:
            self._copy_future(done.position.watermark, counts)
            feed = self._opened(None)
            places = {str(vgroup): place for vgroup, place in feed.positions.items()}
            rows = done.position.rows + counts.rows
            reached = replace(done.position, vgroups=places, counted=None, rows=rows)
            self._save(reached)
        return replace(done, position=reached, rows=done.rows + counts.rows)

    def _copy_future(self, watermark: int, counts: Counts) -> None:
        """Copy rows that were written before anybody listened, and whose time is yet to come."""
        end = last(self._options, self._current().source.precision)
        for pair in self._current().pairs:
            table, period = pair.source, (watermark, end)
            found = self._ask(partial(together, self._source, table, self._scope, period))
            if found:
                behind = found.last + 1
                self._copy({table.name: self._holdings(pair, watermark, behind)}, watermark, behind, counts)

    def _opened(self, stored: dict[str, int] | None) -> Feed:
        if self._feed is None:
            positions = None if stored is None else {int(vgroup): place for vgroup, place in stored.items()}
            self._is_last = self._is_over()

            def opened() -> Feed:
                self._topic.create()
                return self._topic.feed(positions)

            self._feed = self._ask(opened)
        return self._feed

    def _compared(self, position: Position) -> Round:
        """Compare both sides, and mend what differs: anything may have changed that nobody has told of.

        What is told from the position on is written after it; what changes meanwhile is told, too.
        """
        began, counts = time.monotonic(), Counts()
        with self._source, self._target:
            stop = self._new_stop()
            # From here on all is told: what is compared is no older than that.
            self._opened(position.vgroups)
            self._adapt()
            options = self._options
            end = self.moment(self._now())
            past = replace(
                options,
                mode="history",
                start=options.window_end.isoformat()
                if options.mode == "realtime" and options.window_end
                else options.start,
                end=end.isoformat(),
                start_from=None,
                stop_at=None,
                verify="full",
                schema="none",
                repair_rounds=max(1, options.repair_rounds),
                delete_extra="true" if options.on_delete == "apply" else options.delete_extra,
            )
            refused = kept(self._letters.parent) if self._letters else {}
            found = verify(self._source, self._target, past, refused, stop=stop)
            log.log(
                logging.WARNING if found.verdict.kind is VerdictKind.DIFFERENT else logging.INFO,
                "Both sides were compared: %s; copied again: %s, deleted: %s",
                found.verdict.words,
                wording.number(found.mended_rows, "row"),
                wording.number(found.deleted, "row"),
            )
            counts.rows = found.mended_rows
            self._copy_future(steps(end.timestamp(), self._current().source.precision), counts)
        reached = replace(position, is_odd=False, rows=position.rows + counts.rows)
        self._save(reached)
        return Round(reached, self.moment(reached.watermark), counts.rows, 0, 0, time.monotonic() - began)

    # --- What is told

    def _followed(self, position: Position) -> Round:
        began = time.monotonic()
        with self._source, self._target:
            stop = self._new_stop()
            taken = self._ask(partial(self._taken, position.vgroups or {}))
            if taken.gaps:
                log.warning(
                    "The source's log has lost what was written since the last round (vgroups %s): its "
                    "WAL_RETENTION_PERIOD is too short. Both sides are compared",
                    ", ".join(map(str, sorted(taken.gaps))),
                )
            is_odd = bool(taken.gaps)
            if any(isinstance(change, Unknown) for message in taken.messages for change in message.changes):
                log.warning("The source reports something unknown; both sides are compared")
                is_odd = True
            until_stopped(partial(meet, self._source, self._target, stop), stop)
            applier, counts = self._applied(taken.messages)
        if self._letters and counts.rejected:
            check_refused(self._letters, self._options.max_rejected)
        reached = self._reached(position, taken, applier, counts, is_odd=is_odd)
        if taken.misses_rows:
            log.info("A tag was set, and this server then leaves out rows: they are read again from its log")
            # What comes next is older.
            reached = replace(reached, watermark=position.watermark, since=position.since)
            self.close()
        self._save(reached)
        seconds = time.monotonic() - began
        return Round(reached, self.moment(reached.watermark), counts.rows, counts.tables, counts.rejected, seconds)

    def _taken(self, stored: dict[str, int]) -> Taken:
        try:
            if self._feed and (self._feed.is_stale or (self._is_over() and not self._is_last)):
                # Who listens anew knows where the logs end.
                self.close()
            if self._reader is None:
                self._reader = Reader(self._opened(stored), ROWS_A_TURN, QUIET)
            return self._reader.take()
        except BaseException:
            # What was taken before is told again.
            self.close()
            raise

    def _is_over(self) -> bool:
        """Whether it is time to stop."""
        until = self._options.follows_until
        return until is not None and self._time.now() >= until.timestamp()

    def _reached(self, position: Position, taken: Taken, applier: Applier, counts: Counts, *, is_odd: bool) -> Position:
        precision, step = self._current().source.precision, self._current().time.denominator
        end, now = last(self._options, precision), self._time.now()
        # Where others write on, all is told that was in the logs when it was time to stop.
        is_told = not (is_odd or taken.misses_rows) and (not taken.messages or (self._is_last and taken.is_drained))
        newest = steps(self._time.at(taken.began), precision) if is_told else applier.newest
        watermark = position.watermark
        if newest is not None:
            watermark = max(watermark, min(newest, steps(now, precision)) // step * step)
        watermark = watermark if end is None else min(watermark, max(end, position.watermark))
        # Where only late rows were told, theirs is not how far it is behind.
        lag = 0.0 if is_told or newest is None else max(0.0, now - max(newest, watermark) / precision.per_second)
        return replace(
            position,
            watermark=watermark,
            since=watermark,
            counted=0 if is_told else None,
            lag=lag,
            rows=position.rows + counts.rows,
            vgroups={str(vgroup): place for vgroup, place in taken.positions.items()},
            is_odd=is_odd,
        )

    def _applied(self, messages: Sequence[Message]) -> tuple[Applier, Counts]:
        """Bring over what was told; once more where the target's structure turns out to be another one."""
        for cures in range(CURES + 1):
            try:
                marks = self._structure_of(messages)
                return self._ask(partial(self._written, messages, marks))
            except OUTDATED as outdated:
                if cures == CURES:
                    raise
                self._there.clear()
                self._adapt(outdated)
        raise AssertionError

    def _written(self, messages: Sequence[Message], marks: Marks) -> tuple[Applier, Counts]:
        counts = Counts()
        applier = self._applier()
        for message in messages:
            for change in message.changes:
                if isinstance(change, (RowsDeleted, TablesDropped, StableDropped)):
                    applier.flush()
                    self._removed(change, message.vgroup, applier)
            for told in message.rows:
                applier.add(told)
        applier.flush()
        counts.rows, counts.rejected, counts.tables = applier.rows, applier.rejected, len(applier.tables)
        marks |= applier.marks
        self._read_again(marks, counts)
        return applier, counts

    def _applier(self) -> Applier:
        structure = self._current()
        begin, _ = self._period
        rejections: Rejections = self._dead_letters("subscription") or Fail()
        if self._options.on_expired == "skip" and structure.target:
            rejections = SkipExpired(structure.target, rejections)
        period = begin, last(self._options, structure.source.precision)
        return Applier(
            self._source,
            self._target,
            structure,
            self._scope,
            period,
            self._owners,
            self._there,
            rejections,
            self._brakes,
            self._settle_before,
        )

    def _settle_before(self, oldest: int) -> None:
        """Treat rows as the options say that are older than the target keeps, before it refuses them."""
        structure = self._current()
        if structure.target and Border(structure.source.precision, structure.target).is_near(oldest):
            self._kept(oldest, oldest + 1)

    # --- Structure

    def _structure_of(self, messages: Sequence[Message]) -> Marks:
        """Bring the structure over that rows are told of, as the source has it now.

        Returns:
            What is to be read again besides.
        """
        altered, tagged, created, marks = set[str](), set[str](), set[str](), Marks()
        for change in (change for message in messages for change in message.changes):
            match change:
                case StableCreated(name):
                    altered.add(name)
                case TableCreated(name, stable):
                    self._owners[name] = stable
                    created.add(name)
                    if name in self._dropped:
                        tagged.add(name)
                case TableAltered(name, Kind.CHILD, Alteration.SET_TAG | Alteration.SET_TAGS):
                    tagged.add(name)
                case TableAltered(name, kind, how) if kind is not Kind.CHILD and how in _STRUCTURAL:
                    altered.add(name)
                    if how is Alteration.RENAME_COLUMN:
                        marks.tables.add(name)
                case TablesDropped(names):
                    self._dropped.update(names)
                    self._there.difference_update(names)
        told = {each.table for message in messages for each in message.rows} - self._there
        if unknown := (told | tagged) - self._owners.keys():
            self._owners |= self._ask(partial(self._source.owners_of, unknown))
        in_scope = {name for name in created | told if self._is_meant(name)}
        lacking = self._lacking_of(in_scope - self._there)
        if any(map(self._is_new, altered)) or (lacking | tagged and not self._evolves):
            self._adapt()
            lacking_now = self._lacking_of(lacking)
        elif wanted := lacking | {name for name in tagged if self._is_meant(name)}:
            lacking_now = self._brought(wanted)
        else:
            lacking_now = set()
        # Of tables of which nobody told that they were made, there may be rows from before.
        marks.tables |= lacking - created
        marks.tables -= lacking_now
        self._there |= in_scope - lacking_now
        return marks

    def _is_meant(self, name: str) -> bool:
        if name not in self._owners:
            return False
        stable = self._owners[name]
        if stable is None:
            return self._scope.has_normal_table(name)
        return self._scope.has_stable(stable) and self._scope.has_subtable(name, stable)

    def _is_new(self, table: str) -> bool:
        """Whether the source has other columns or tags of a super table or normal table than were read."""
        pair = next((pair for pair in self._current().pairs if pair.source.name == table), None)
        if not self._scope.has_stable(table) and not self._scope.has_normal_table(table):
            return False
        try:
            now = self._current().transform.selected(self._ask(partial(self._source.describe, table)))
        except TableMissing:
            return False
        return pair is None or pair.target is None or now != pair.source

    def _lacking_of(self, names: Iterable[str]) -> set[str]:
        """Which of some tables the target does not have."""
        rename = self._current().transform.tables
        by_name = {rename(name): name for name in names}
        if not by_name:
            return set()
        there = self._ask(partial(self._target.those_of, list(by_name)))
        return {name for target, name in by_name.items() if target not in there}

    def _brought(self, names: set[str]) -> set[str]:
        """Bring over subtables and normal tables, with their tags.

        Returns:
            Those of them that the source does not have any more.
        """
        for tries in range(CURES + 1):
            there = self._ask(partial(self._source.owners_of, names))
            if not there:
                break
            structure, scope = self._current(), replace(self._scope, tables=Patterns(tuple(sorted(there))))
            if all(there.values()):
                scope = replace(scope, stables=Patterns(tuple(sorted(set(filter(None, there.values()))))))
            try:
                self._evolve(scope)
                if all(there.values()):
                    # Subtables are no part of it.
                    self._structure = structure
                break
            except MigrationStopped:
                # It may have gone meanwhile.
                if tries == CURES or self._ask(partial(self._source.owners_of, names)) == there:
                    raise
        return names - there.keys()

    # --- What has gone

    def _removed(self, change: RowsDeleted | TablesDropped | StableDropped, vgroup: int, applier: Applier) -> None:
        """Do with what was deleted or dropped what the option `on_delete` says."""
        if self._options.on_delete != "apply":
            return
        match change:
            case RowsDeleted(table, _, first, end):
                for name in self._tables_of(table, vgroup):
                    if (pair := applier.pair_of(name)) and pair.target:
                        self._delete(pair, name, first, end, applier.marks)
            case TablesDropped(names):
                self._drop(names)
            case StableDropped(name):
                log.warning(
                    "The source has dropped the super table %s; the target's stays, drop it by hand", wording.name(name)
                )

    def _drop(self, names: Sequence[str]) -> None:
        """Drop the target's tables of some names, unless the source has such tables again."""
        structure = self._current()
        again = self._ask(partial(self._source.owners_of, names))
        gone = {structure.transform.tables(name): name for name in names if name not in again}
        stables = {pair.wanted.name: pair.source.name for pair in structure.pairs if pair.source.is_super}
        # Nobody may have told of them but the target, which has them by other names.
        for target, owner in self._ask(partial(self._target.owners_of, list(gone))).items():
            self._owners[gone[target]] = stables.get(owner, owner) if owner else None
            if self._is_meant(gone[target]):
                self._ask(partial(self._target.execute, f"DROP TABLE IF EXISTS {self._target.table(target)}"))
            del self._owners[gone[target]]
            self._there.discard(gone[target])

    def _tables_of(self, table: str, vgroup: int) -> list[str]:
        """The tables that a deletion means: of a super table, those of one vgroup."""
        if not any(pair.source.name == table and pair.source.is_super for pair in self._current().pairs):
            if table not in self._owners:
                self._owners |= self._ask(partial(self._source.owners_of, [table]))
            return [table]
        view = "SELECT table_name FROM information_schema.ins_tables"
        where = f"db_name = {string(self._source.name)} AND stable_name = {string(table)} AND vgroup_id = {vgroup}"
        names = [str(name) for (name,) in self._ask(partial(self._source.rows, f"{view} WHERE {where}", 1))]
        self._owners |= dict.fromkeys(names, table)
        return names

    def _delete(self, pair: TablePair, name: str, first: int, end: int, marks: Marks) -> None:
        """Delete a table's rows of a period; those that the source still has, or has again, are read again."""
        begin, until = self._period[0], last(self._options, self._current().source.precision)
        low = first if begin is None else max(first, begin)
        high = end + 1 if until is None else min(end + 1, until)
        if low >= high:
            return
        structure = self._current()
        theirs = of_table(replace(pair.wanted, where=""), structure.transform.tables(name))
        there, behind = structure.time.window(low, high)
        if not self._ask(partial(count, self._target, theirs, EVERYTHING, (there, behind))):
            return
        column = theirs.period(there, behind)
        self._ask(
            partial(self._target.execute, f"DELETE FROM {self._target.table(theirs.name)} WHERE {' AND '.join(column)}")
        )
        if self._ask(partial(count, self._source, of_table(pair.source, name), EVERYTHING, (low, high))):
            marks.rows[name].append((low, high - 1))

    # --- What is read again

    def _read_again(self, marks: Marks, counts: Counts) -> None:
        begin, _ = self._period
        step = self._current().time.denominator
        for start, end, names in self._windows(marks):
            low = start // step * step if begin is None else max(begin, start // step * step)
            self._copy_tables(names, low, -(-end // step) * step, counts)
        if marks.tables:
            self._copy_tables(marks.tables, begin, None, counts)

    def _windows(self, marks: Marks) -> Iterator[tuple[int, int, set[str]]]:
        """Periods in which rows are read again, and of which tables."""
        apart = _APART * self._current().source.precision.per_second
        periods = sorted((first, end + 1, name) for name, each in marks.rows.items() for first, end in each)
        start: int | None = None
        behind, names = 0, set[str]()
        for first, end, name in periods:
            if start is not None and first > behind + apart:
                yield start, behind, names
                start, names = None, set()
            start = first if start is None else start
            behind = max(behind, end) if names else end
            names.add(name)
        if start is not None:
            yield start, behind, names

    def _copy_tables(self, names: set[str], start: int | None, end: int | None, counts: Counts) -> None:
        """Copy what some tables have in a period, as the source has it now."""
        owners = {self._owners.get(name) or name for name in names}
        until = last(self._options, self._current().source.precision)
        found: dict[str, Holdings] = {}
        for pair in self._current().pairs:
            if pair.source.name not in owners:
                continue
            behind = until if end is None else end if until is None else min(end, until)
            if behind is None:
                whole = self._ask(partial(together, self._source, pair.source, self._scope, (start, None)))
                if not whole:
                    continue
                behind = whole.last + 1
            there = self._holdings(pair, start, behind)
            found[pair.source.name] = there.take(np.array([name in names for name in there.names], np.bool_))
            end = behind if end is None else end
        if found and end is not None:
            self._copy(found, start, end, counts)
        if self._lacking:
            lacking, self._lacking = self._lacking, set()
            raise TableMissing(f"The target lacks {wording.number(len(lacking), 'table')}")


def dropped(topic: Topic) -> None:
    """Drop a topic that nobody needs any more; what cannot be dropped is said."""
    try:
        persist(topic.drop, patience=_LEAVING)
    except TDengineError as error:
        log.warning(
            "The topic %s could not be dropped (%s); DROP DATABASE is refused while it is there", topic.name, error
        )
    else:
        log.info("The topic %s was dropped", topic.name)
