"""Rows that arrive while a migration runs: found with one query a table, copied a round at a time.

A follow goes from its watermark, before which all rows have been copied, to now. A round copies the rows between them,
those of the lookback before the watermark once more, and moves the watermark when the target has confirmed them. Now
and then it looks whether the structure has changed, and whether rows have come that are older than that; of tables that
come up all rows are copied, however old and whoever made the table.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from airflow_provider_tdengine.client.errors import AlreadyExists, StructureChanged, TableMissing
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped, until_stopped
from airflow_provider_tdengine.migration.catalog import (
    EVERYTHING,
    Catalog,
    Holding,
    Holdings,
    Period,
    Scope,
    count,
    each,
    holdings,
    meet,
)
from airflow_provider_tdengine.migration.copying import (
    ROWS_A_BATCH,
    Batch,
    Border,
    DeadLetters,
    MemoryProgress,
    StructureOutdated,
    check_refused,
    copy_batch,
    kept,
    kept_since,
    settle,
    short_name,
    window,
)
from airflow_provider_tdengine.migration.findings import MigrationStopped, stop_on
from airflow_provider_tdengine.migration.following.known import NOTHING_KNOWN, bucket, gaps, lacks, lowest, of_table
from airflow_provider_tdengine.migration.following.known import counts as counts_of
from airflow_provider_tdengine.migration.following.lookout import Lookout, changes, digest, last, next_looks, steps
from airflow_provider_tdengine.migration.following.position import Known, Position, Shard
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import cut_batches
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.structure import (
    SchemaReport,
    SchemaSync,
    Structure,
    TablePair,
    read_structure,
)

log = logging.getLogger(__name__)

_T = TypeVar("_T")

ROWS_A_ROUND = 5_000_000
"""A round that would have more is made shorter, so that the watermark moves every minute or so."""

CURES = 5
"""How often a round begins again since columns have come up, or tables have gone, in its middle."""

OUTDATED = (StructureOutdated, StructureChanged, TableMissing)
"""What is raised where tables or columns are not those that were read."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to.

    Parameters:
        position: up to where the follow has come; it is saved.
        watermark: the moment before which all rows have been copied.
        rows: rows that the target confirmed.
        tables: how many tables had rows.
        rejected: rows that the target refused and that are kept as dead letters.
        seconds: how long the round took.
    """

    position: Position
    watermark: datetime
    rows: int
    tables: int
    rejected: int
    seconds: float


@dataclass(slots=True)
class Counts:
    """What a round has come to so far; see `Round`."""

    rows: int = 0
    tables: int = 0
    rejected: int = 0


class Follower:
    """Copies rows as they arrive.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration; history ends, and following begins, at `window_end`.
        shard: the tables that are followed.
        save: keeps a position, for the next one who asks for it.
        letters: where refused rows are kept, beside those of history; None where the first one ends it.
        clock: POSIX seconds; the source's, which has the rows, unless something else is given.

    Attributes:
        waits: whether a round waits until there is something to do, if only for a moment.
    """

    waits: ClassVar[bool] = False

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        shard: Shard | None = None,
        *,
        save: Callable[[Position], None] = lambda position: None,
        letters: Path | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._shard = shard or Shard()
        self._scope = self._shard.of(Scope.of(options))
        self._save = save
        self._letters = letters
        self._moments = clock or source.clock
        self._clock = partial(self._ask, self._moments)
        self._stop = threading.Event()
        self._stopping = False
        self._structure: Structure | None = None
        self._lacking: set[str] = set()
        """Tables that the target was seen not to have: they wait until the structure is looked at."""
        self._refused: Mapping[str, Sequence[int]] = {}
        """Timestamps of refused rows, by table of the target."""

    def close(self) -> None:
        """Leave what others may want to have; harmless when it has been left."""

    def stop(self) -> None:
        """End the round that runs soon; the position that was saved last is where to go on."""
        self._stopping = True
        self._stop.set()

    def pause(self, seconds: float) -> None:
        """Let some time pass.

        Raises:
            Stopped: `stop` was called.
        """
        if self._new_stop().wait(seconds):
            raise Stopped

    def sees(self, lookout: Lookout) -> str:
        """What there is to do, as a lookout says it, over retries; nothing if there is nothing.

        Raises:
            Stopped: `stop` was called.
            TDengineError: what no retry cured.
        """
        return self._ask(lookout.look)

    def lookout(self, position: Position) -> Lookout:
        """What looks, from a position that has caught up on, whether there is something to do."""
        return Lookout(self._source, self._target, self._options, self._shard, position, self._moments)

    # --- Where to begin

    def position(self, stored: Mapping[str, object] | None, *, remembers: bool = True) -> Position:
        """Where to begin: the position that was stored, or the beginning.

        Parameters:
            stored: what was saved last, None if nothing was.
            remembers: whether nothing stored means that nothing was copied. If not, it goes on from the target's last
                timestamp, and tables that differ before that are copied again.
        """
        if stored is None and remembers:
            return self._beginning()
        if stored is not None:
            try:
                position = Position.from_dict(stored)
            except TypeError:
                log.warning("The stored position cannot be read")
            else:
                if position.of == self._identity:
                    return position
                log.warning("The stored position is of another migration: %s, not %s", position.of, self._identity)
        return self._recovered()

    def _beginning(self) -> Position:
        """The moment from which on rows are followed."""
        begin, start = self._period
        known = Known(start, start, NOTHING_KNOWN) if begin == start else None
        return Position(self._identity, start, start, known=known)

    def _recovered(self) -> Position:
        """The last timestamp that the target has; what is before it has to be compared."""
        beginning = self._beginning()
        with self._source, self._target:
            newest = self._newest_of_target(beginning.watermark)
            if newest is None:
                return replace(beginning, known=None)
            watermark = max(beginning.watermark, min(newest, self._now()))
        log.warning(
            "Nobody knows up to where rows have been copied. Following goes on from the target's last timestamp, %s; "
            "tables that differ before it are copied again",
            self.moment(watermark).isoformat(),
        )
        return Position(self._identity, watermark, watermark)

    def _newest_of_target(self, start: int) -> int | None:
        """The target's last timestamp from this one on, None if it has none; both in steps of the source."""
        structure, time = self._current(), self._current().time
        first, end = time.window(start, self._now() + 1)
        assert first is not None
        assert end is not None
        found = self._ask(
            lambda: each(
                self._target, [pair.wanted for pair in structure.pairs if pair.target], EVERYTHING, (first, end)
            )
        )
        newest = max((one.last for one in found), default=None)
        return None if newest is None else time.origin(newest)

    def moment(self, timestamp: int) -> datetime:
        """What a timestamp of the source means, such as the watermark of a position."""
        return datetime.fromtimestamp(timestamp / self._current().source.precision.per_second, timezone.utc)

    @property
    def _identity(self) -> str:
        sides = [f"{side.client.address}/{side.name}" for side in (self._source, self._target)]
        scope = hashlib.sha256(repr((self._scope, self._period)).encode()).hexdigest()[:16]
        return f"{sides[0]} to {sides[1]}, {scope}"

    @property
    def _period(self) -> tuple[int | None, int]:
        """From when on rows are meant at all, None for the first one, and from when on they are followed."""
        start, end = window(self._options, self._current().source)
        assert end is not None
        return (end if self._options.mode == "realtime" else start), end

    def _now(self) -> int:
        """The end of a round that begins now; of rows that are one in a coarser target, all are before it or none."""
        structure = self._current()
        step, end = structure.time.denominator, last(self._options, structure.source.precision)
        now = steps(self._clock() - self._options.delay, structure.source.precision)
        return (now if end is None else min(now, end)) // step * step

    def is_at_end(self, position: Position) -> bool:
        """Whether all rows before the moment at which following is to stop have been copied."""
        if self._options.follows_until is None or position.counted is None:
            return False
        structure = self._current()
        end = last(self._options, structure.source.precision)
        assert end is not None
        return position.watermark >= end // structure.time.denominator * structure.time.denominator

    # --- Rounds

    def round(self, position: Position) -> Round:
        """Copy what has arrived; look whether the structure has changed, if it is time to.

        Raises:
            MigrationStopped: it cannot go on.
            TDengineError: what no retry cured.
            Stopped: `stop` was called.
        """
        began, counts = time.monotonic(), Counts()
        with self._source, self._target:
            stop = self._new_stop()
            until_stopped(partial(meet, self._source, self._target, stop), stop)
            # The same end after each cure: tables that come meanwhile have no rows before it.
            end = self._now()
            for cures in range(CURES + 1):
                try:
                    position = self._advanced(position, counts, end)
                    if self._is_to_look(position):
                        position = self._looked(position, counts)
                    break
                except OUTDATED as outdated:
                    if cures == CURES:
                        raise
                    log.info("%s", outdated)
                    self._adapt(outdated)
        if counts.rejected and self._letters:
            # Those of earlier rounds, too; rows that the lookback reads again are refused again, and count once.
            check_refused(self._letters, self._options.max_rejected)
        seconds = time.monotonic() - began
        watermark = self.moment(position.watermark)
        return Round(position, watermark, counts.rows, counts.tables, counts.rejected, seconds)

    def _is_to_look(self, position: Position) -> bool:
        """Whether there may be more than rows behind the watermark; at the end, what is not seen now never will be."""
        if position.known is None or self.is_at_end(position):
            return True
        return self._clock() >= (position.soonest if self._lacking else position.next_look)

    def _ask(self, action: Callable[[], _T]) -> _T:
        """Ask the servers something, over retries, and not beyond a stop."""
        stop = self._new_stop()
        return until_stopped(partial(persist, action, stop), stop)

    def _new_stop(self) -> threading.Event:
        """What a stop will set. Each action has one of its own: a batch that fails sets it, too."""
        self._stop = threading.Event()
        if self._stopping:
            raise Stopped
        return self._stop

    def _advanced(self, position: Position, counts: Counts, end: int) -> Position:
        """Copy the rows from the watermark, or the lookback before it, to an end.

        Returns:
            The position behind them, saved.
        """
        if end <= position.watermark:
            return position
        start = self._kept(self._lookback(position.watermark), end)
        waiting = self._arrivals(start, end)
        counted: int | None = sum(one.rows for one in waiting.values())
        if counted and counted > ROWS_A_ROUND:
            end = position.watermark + max(1, (end - position.watermark) * ROWS_A_ROUND // counted)
            counted = None
        found = {
            name: self._holdings(pair, start, end) if pair.source.is_super else Holdings.of([waiting[name]])
            for pair in self._current().pairs
            if (name := pair.source.name) in waiting
        }
        rows = self._copy(found, start, end, counts)
        if counted and self._lacking:
            # Rows of tables that the target does not have yet are something to wake up for.
            counted -= sum(one.rows for group in found.values() for one in group if one.name in self._lacking)
        lag = self._lag(end)
        rows += position.rows
        position = replace(position, watermark=end, since=start, counted=counted, lag=lag, rows=rows, vgroups=None)
        self._save(position)
        return position

    def _lookback(self, watermark: int) -> int:
        """From when on rows are read that come before a watermark."""
        start = watermark - self._options.lookback * self._current().source.precision.per_second
        begin, _ = self._period
        return start if begin is None else max(begin, start)

    def _kept(self, start: int, end: int) -> int:
        """The start of a period, later where rows are skipped that are older than the target keeps."""
        period, treatment = (start, end), self._options.on_expired
        structure = self._current()
        self._ask(lambda: settle(self._source, self._target, structure, period, treatment))
        if treatment == "skip" and structure.target:
            # By the clock of the one who keeps them.
            now = datetime.fromtimestamp(self._ask(self._target.clock), timezone.utc)
            return kept_since(start, structure.target, now, structure.source.precision) or start
        return start

    def _arrivals(self, start: int, end: int) -> dict[str, Holding]:
        """What tables have in a period, those that have anything."""
        tables = [pair.source for pair in self._current().pairs]
        return {one.name: one for one in self._ask(lambda: each(self._source, tables, self._scope, (start, end)))}

    def _lag(self, watermark: int) -> float:
        """Seconds from a watermark to the newest row that is not in the future."""
        precision = self._current().source.precision
        end = steps(self._clock(), precision)
        if end <= watermark:
            return 0.0
        newest = [found.last for found in self._arrivals(watermark, end).values()]
        return (max(newest, default=watermark) - watermark) / precision.per_second

    def _holdings(self, pair: TablePair, start: int | None, end: int, scope: Scope | None = None) -> Holdings:
        return self._ask(lambda: holdings(self._source, pair.source, scope or self._scope, (start, end)))

    def _copy(self, found: Mapping[str, Holdings], start: int | None, end: int, counts: Counts) -> int:
        """Copy rows of a period; those of tables that the target does not have are left to the next look.

        Parameters:
            found: where they lie, by super table or normal table.
            start: the period's start.
            end: the period's end.
            counts: what is added to.

        Returns:
            How many rows the target confirmed.
        """
        structure = self._current()
        groups: dict[str | None, list[Holding]] = defaultdict(list)
        for pair in structure.pairs:
            there = found.get(pair.source.name, ())
            if pair.target is None and self._evolves:
                self._lacking.update(one.name for one in there)
            groups[pair.source.name if pair.source.is_super else None] += there
        copied = 0
        for stable, group in groups.items():
            counts.tables += len(group)
            known = self._without_lacking(Holdings.of(group))
            for batch in cut_batches(stable, known, (start, end), ROWS_A_BATCH, structure.time.denominator):
                part = known.take(np.array([_is_in(batch, name) for name in known.names], np.bool_))
                copied += self._copy_batch(batch, part, (start, end), counts)
        counts.rows += copied
        return copied

    def _copy_batch(self, batch: Batch, known: Holdings, period: Period, counts: Counts) -> int:
        """Copy a batch of tables, without those that the target turns out not to have.

        Returns:
            How many rows the target confirmed.
        """
        # Tables that are new are the next look's: it knows which, and may not take place all the time.
        options = replace(self._options, schema="none")
        while known := self._without_lacking(known):
            try:
                result = copy_batch(
                    self._source,
                    self._target,
                    replace(batch, first=known.names[0], before=f"{known.names[-1]}\x01"),
                    options,
                    MemoryProgress(),
                    structure=self._current(),
                    known=known if batch.period == period else None,
                    dead_letters=self._dead_letters(f"{batch.start}-{known.names[0]}"),
                    stop=self._new_stop(),
                )
            except StructureOutdated as outdated:
                if not (self._evolves and isinstance(outdated.__cause__, TableMissing) and self._note_lacking(known)):
                    raise
            else:
                counts.rejected += result.tally.rejected
                return result.rows
        return 0

    def _dead_letters(self, batch: str) -> DeadLetters | None:
        return DeadLetters(self._letters / short_name(batch), self._options.max_rejected) if self._letters else None

    @property
    def _evolves(self) -> bool:
        return self._options.on_schema_change == "evolve"

    def _note_lacking(self, known: Holdings) -> bool:
        """Note which of some tables the target does not have; whether there are such."""
        rename = self._current().transform.tables
        there = self._ask(lambda: self._target.those_of([rename(name) for name in known.names]))
        lacking = {name for name in known.names if rename(name) not in there}
        self._lacking |= lacking
        return bool(lacking)

    def _without_lacking(self, known: Holdings) -> Holdings:
        if self._lacking.isdisjoint(known.names):
            return known
        return known.take(np.array([name not in self._lacking for name in known.names], np.bool_))

    # --- Structure

    def _current(self) -> Structure:
        """Both sides' structure, as it was read last."""
        if self._structure is None:
            structure = self._ask(lambda: read_structure(self._source, self._target, self._options, self._scope))
            if structure.target is None:
                raise MigrationStopped([self._target.missing("target_database")])
            self._structure = structure
        return self._structure

    def _looked(self, position: Position, counts: Counts) -> Position:
        """Look at the source's structure, do with changes what the option `on_schema_change` says, then look for rows
        before the watermark that the target lacks.

        Returns:
            The position, saved.
        """
        began = self._clock()
        seen = self._ask(lambda: digest(self._source, self._scope))
        if seen != position.structure:
            self._adapt()
        self._lacking.clear()
        position = self._completed(position, counts)
        to_be, soonest = next_looks(began, self._clock(), self._options)
        position = replace(position, structure=seen, next_look=to_be, soonest=soonest)
        self._save(position)
        return position

    def _adapt(self, outdated: Exception | None = None) -> None:
        """Do with a changed structure what the option `on_schema_change` says.

        Parameters:
            outdated: what a changed structure has led to, None where it was seen in time.

        Raises:
            MigrationStopped: what has changed, or why it cannot be brought over.
        """
        self._structure = None
        if self._evolves:
            self._evolve()
            return
        structure = self._current()
        self._ask(lambda: stop_on(changes(self._source, self._target, structure, self._options)))
        if outdated:
            raise outdated

    def _evolve(self, scope: Scope | None = None) -> None:
        """Bring the source's structure into the target.

        Parameters:
            scope: of what; None for all that is followed.
        """
        report = self._synced(scope or self._scope)
        if report.changed:
            log.info(
                "The source's structure has changed; brought over: %s",
                ", ".join(
                    wording.number(count, what)
                    for count, what in (
                        (len(report.stables), "super table"),
                        (report.tables, "table"),
                        (len(report.columns), "column"),
                        (report.tags, "tag"),
                    )
                    if count
                ),
            )
        self._structure = None

    def _synced(self, scope: Scope) -> SchemaReport:
        sync = SchemaSync.again(self._source, self._target, self._options, scope)
        for _ in range(CURES):
            try:
                return self._ask(sync.run)
            except AlreadyExists as error:
                log.info("Another shard was faster: %s", error)
        return self._ask(sync.run)

    # --- Rows before the watermark

    def _completed(self, position: Position, counts: Counts) -> Position:
        """Copy rows before the watermark that the target lacks: late ones, and those of tables that are new to it.

        Returns:
            The position with what is known by then.
        """
        structure, watermark, known = self._current(), position.watermark, position.known
        begin, tables = self._period[0], [pair.source for pair in structure.pairs]
        since = lowest(structure, begin, watermark, known)
        until = max(watermark if since is None else min(since, watermark), self._lookback(watermark))

        def counted(start: int | None, end: int) -> tuple[int, ...]:
            return self._ask(lambda: counts_of(self._source, tables, self._scope, (start, end)))

        # Before both sides are compared: rows that come meanwhile are the next look's.
        if known is None or since != known.since:
            start, now, changed = self._border.after(begin), counted(since, until), None
        else:
            start, before = known.since, counted(known.since, known.until)
            changed = {group for group, rows in enumerate(before) if rows != known.rows[group]}
            fresh = counted(known.until, until) if until > known.until else NOTHING_KNOWN
            now, until = tuple(map(sum, zip(before, fresh, strict=True))), max(until, known.until)
        self._refused = kept(self._letters.parent) if self._letters else {}
        rows = 0
        together = defaultdict[tuple["int | None", str], list[TablePair]](list)
        for pair in structure.pairs:
            is_changed = changed is None or bucket(pair.source.name) in changed
            low = start if is_changed or known is None else known.until
            if low is None or low < watermark:
                together[low, pair.source.name if pair.source.is_super else ""].append(pair)
        for (low, _), pairs in together.items():
            rows += self._complete(pairs, low, watermark, counts)
        if rows:
            late = wording.number(rows, "row")
            log.info("Copied besides: %s that came late, or with tables that were new to the target", late)
        return replace(position, known=Known(since, until, now), rows=position.rows + rows)

    @property
    def _border(self) -> Border:
        structure = self._current()
        assert structure.target is not None
        return Border(structure.source.precision, structure.source, structure.target)

    def _complete(self, pairs: Sequence[TablePair], start: int | None, end: int, counts: Counts) -> int:
        """Copy what the target lacks of a super table, or of normal tables, in a period.

        Returns:
            How many rows the target confirmed.
        """
        structure = self._current()
        rename, time = structure.transform.tables, structure.time
        ours, theirs = self._ours(pairs, start, end), self._theirs(pairs, start, end)
        new: dict[str, list[Holding]] = defaultdict(list)
        odd: list[tuple[TablePair, Holding]] = []
        for pair in pairs:
            for one in ours.get(pair.source.name, ()):
                name = rename(one.name)
                expected = Holding(name, one.rows, time.apply(one.first), time.apply(one.last))
                if not lacks(expected, theirs.get(name), self._refused_in(name, start, end)):
                    continue
                if name in theirs and not time.cuts:
                    odd.append((pair, one))
                else:
                    new[pair.source.name].append(one)
        copied = self._copy({name: Holdings.of(found) for name, found in new.items()}, start, end, counts)
        for pair, one in odd:
            for low, high in self._gaps(pair, one):
                part = {pair.source.name: Holdings.of([replace(one, first=low, last=high - 1)])}
                copied += self._copy(part, low, high, counts)
        return copied

    def _ours(self, pairs: Sequence[TablePair], start: int | None, end: int) -> dict[str, Holdings]:
        """What the source holds of a super table, or of normal tables, in a period."""
        if pairs[0].source.is_super:
            return {pair.source.name: self._holdings(pair, start, end) for pair in pairs}
        tables = [pair.source for pair in pairs]
        found = self._ask(lambda: each(self._source, tables, self._scope, (start, end)))
        return {one.name: Holdings.of([one]) for one in found}

    def _refused_in(self, table: str, start: int | None, end: int) -> int:
        """How many rows of a table of the target were refused, and wait as dead letters, in a period of the source."""
        return sum((start is None or start <= time) and time < end for time in self._refused.get(table, ()))

    def _theirs(self, pairs: Sequence[TablePair], start: int | None, end: int) -> dict[str, Holding]:
        """What the target holds of a super table's subtables, of others, too, where they mix, or of normal tables."""
        structure = self._current()
        tables = [replace(pair.wanted, where="") for pair in pairs if pair.target]
        names = structure.transform.tables.of_range(self._scope.first, self._scope.before)
        scope = EVERYTHING if names is None else EVERYTHING.between(*names)
        period = structure.time.window(start, end)

        def ask() -> Iterable[Holding]:
            if tables and tables[0].is_super:
                return holdings(self._target, tables[0], scope, period)
            return each(self._target, tables, EVERYTHING, period)

        return {one.name: one for one in self._ask(ask)}

    def _gaps(self, pair: TablePair, table: Holding) -> Iterator[tuple[int, int]]:
        """The periods of a table in which the target has another number of rows."""
        structure = self._current()
        source = of_table(pair.source, table.name)
        target = of_table(replace(pair.wanted, where=""), structure.transform.tables(table.name))

        def ours(low: int, high: int) -> int:
            refused = self._refused_in(target.name, low, high)
            return self._ask(lambda: count(self._source, source, EVERYTHING, (low, high))) - refused

        def theirs(low: int, high: int) -> int:
            return self._ask(lambda: count(self._target, target, EVERYTHING, structure.time.window(low, high)))

        return gaps(ours, theirs, table.first, table.last + 1, structure.time.denominator)


def _is_in(batch: Batch, name: str) -> bool:
    """Whether a table is in a batch's range of names."""
    return (batch.first is None or name >= batch.first) and (batch.before is None or name < batch.before)
