"""Rows that arrive while a migration runs: found with one query a table, copied a round at a time.

A follow goes from its watermark, before which all rows have been copied, to now. A round copies the rows between them,
those of the lookback before the watermark once more, and moves the watermark when the target has confirmed them. Now
and then it looks whether the structure has changed, and whether rows have come that are older than that; of tables that
come up all rows are copied, however old and whoever made the table.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from airflow_provider_tdengine.migration.background import Stopped, until_stopped
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Holding, Holdings, Scope, each, meet
from airflow_provider_tdengine.migration.copying import check_refused
from airflow_provider_tdengine.migration.following.carrier import Carrier, Counts
from airflow_provider_tdengine.migration.following.known import NOTHING_KNOWN
from airflow_provider_tdengine.migration.following.look import Look
from airflow_provider_tdengine.migration.following.lookout import Lookout, last, next_looks, steps
from airflow_provider_tdengine.migration.following.position import Known, Position, Shard
from airflow_provider_tdengine.migration.options import MigrationOptions

log = logging.getLogger(__name__)

ROWS_A_ROUND = 5_000_000
"""A round that would have more is made shorter, so that the watermark moves every minute or so."""


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


class Follower(Carrier):
    """Copies rows as they arrive.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration; history ends, and following begins, at `window_end`.
        shard: the tables that are followed.
        save: keeps a position, for the next one who asks for it.
        letters: where refused rows are kept, beside those of history; None where the first one ends it.
        approved: see `Carrier`.
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
        approved: Container[str] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._shard = shard or Shard()
        super().__init__(source, target, options, self._shard.of(Scope.of(options)), letters, approved)
        self._save = save
        self._moments = clock or source.clock
        self._clock = partial(self._ask, self._moments)
        self._look: Look | None = None
        """The look that is under way: what it comes to is in no position yet."""

    def close(self) -> None:
        """Leave what others may want to have, and a look that is under way; harmless when it has been left."""
        self._leave_look()

    def stop(self) -> None:
        """End the round that runs soon; the position that was saved last is where to go on."""
        super().stop()
        if look := self._look:
            look.stop()

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
            "It is unknown up to where rows have been copied. Following goes on from the target's last timestamp, %s; "
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

    def _now(self) -> int:
        """The end of a round that begins now; of rows that are one in a coarser target, all are before it or none."""
        structure = self._current()
        step, end = structure.time.denominator, last(self._options, structure.source.precision)
        now = steps(self._clock() - self._options.delay, structure.source.precision)
        return (now if end is None else min(now, end)) // step * step

    def is_at_end(self, position: Position) -> bool:
        """Whether all rows before the moment at which following is to stop have been copied."""
        return self._has_all(position)

    def _has_all(self, position: Position) -> bool:
        """The same by the position's watermark, whoever follows."""
        if self._options.follows_until is None or position.counted is None:
            return False
        structure = self._current()
        end = last(self._options, structure.source.precision)
        assert end is not None
        return position.watermark >= end // structure.time.denominator * structure.time.denominator

    # --- Rounds

    def round(self, position: Position) -> Round:
        """Copy what has arrived, and go on with a look at the structure and at late rows, if it is time to.

        A look runs beside the rounds; a round waits for it no longer than until the next one is due. At the end, what
        is not seen now never will be: there it waits.

        Raises:
            MigrationStopped: it cannot go on.
            TDengineError: what no retry cured.
            Stopped: `stop` was called.
        """
        began, counts = time.monotonic(), Counts()
        try:
            with self._source, self._target:
                stop = self._new_stop()
                until_stopped(partial(meet, self._source, self._target, stop), stop)
                # The same end after each cure: tables that come meanwhile have no rows before it.
                if (end := self._now()) > position.watermark:
                    position = self._cured(partial(self._advanced, position, counts, end))
                position = self._looked(position, counts, began)
        except BaseException:
            self._leave_look()
            raise
        if counts.rejected and self._letters:
            # Those of earlier rounds, too; rows that the lookback reads again are refused again, and count once.
            check_refused(self._letters, self._options.max_rejected)
        seconds = time.monotonic() - began
        watermark = self.moment(position.watermark)
        return Round(position, watermark, counts.rows, counts.tables, counts.rejected, seconds)

    def _advanced(self, position: Position, counts: Counts, end: int) -> Position:
        """Copy the rows from the watermark, or the lookback before it, to an end.

        Returns:
            The position behind them, saved.
        """
        start = self._kept(self._lookback(position.watermark), end)
        waiting = self._arrivals(start, end)
        counted: int | None = sum(one.rows for one in waiting.values())
        if counted and counted > ROWS_A_ROUND:
            end = position.watermark + max(1, (end - position.watermark) * ROWS_A_ROUND // counted)
            counted = None
        # All of the lookback: one second's rows of 10,000 tables cost half as much as those of eleven (3.3.3.0).
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

    # --- Looks

    def has_caught_up(self, position: Position) -> bool:
        """Whether what is left is what the next round would have had to wait for, and no look is under way."""
        return self._look is None and position.has_caught_up(self._options)

    def _looked(self, position: Position, counts: Counts, began: float) -> Position:
        """Go on with the look that is under way, or due, as far as it comes until the next round is.

        Parameters:
            position: up to where rows have been copied.
            counts: what is added to.
            began: when the round did.

        Returns:
            The position, saved.
        """
        is_last = self._has_all(position)
        if is_last:
            # One that has begun before the end has not seen all.
            self._leave_look()
        if self._look is None and self._is_to_look(position):
            sides, options = (self._source, self._target), self._options
            now, approved = self._clock(), self._approved
            self._look = Look(*sides, options, self._scope, self._letters, self._current(), position, now, approved)
            self._parts = 2
        until = began + (self._options.poll_interval if position.has_caught_up(self._options) else 0)
        while self._look and self._look.has_done(None if is_last else until - time.monotonic()):
            goes_on = self._informed if self._look.known is None else self._completed
            position = goes_on(self._look, position, counts)
        return position

    def _is_to_look(self, position: Position) -> bool:
        """Whether there may be more than rows behind the watermark; at the end, what is not seen now never will be."""
        if position.known is None or self._has_all(position):
            return True
        return self._clock() >= (position.soonest if self._lacking else position.next_look)

    def _informed(self, look: Look, position: Position, counts: Counts) -> Position:
        """Go on with the structure that a look has brought over, and let it compare what no round writes any more."""
        known = {pair.source.name for pair in self._current().pairs if pair.target}
        lacking, self._lacking = self._lacking, set()
        if look.has_adapted:
            self._structure = look.structure
        copied = self._cured(partial(self._copy_lacking, lacking, known, position.watermark, counts))
        position = replace(position, rows=position.rows + copied)
        watermark = position.watermark
        look.complete(position, watermark if self._has_all(position) else self._lookback(watermark))
        return position

    def _copy_lacking(self, lacking: set[str], known: set[str], watermark: int, counts: Counts) -> int:
        """Copy the rows of the lookback of tables that have come up: rounds have left them out.

        Parameters:
            lacking: subtables and normal tables that the target was seen not to have.
            known: super tables and normal tables that it had.
            watermark: before which the others' rows have been copied.
            counts: what is added to.

        Returns:
            How many rows the target confirmed.
        """
        start, found = self._lookback(watermark), dict[str, Holdings]()
        for pair in self._current().pairs:
            is_new = pair.source.name not in known or pair.source.name in lacking
            if is_new or (lacking and pair.source.is_super):
                there = self._holdings(pair, start, watermark)
                chosen = np.array([is_new or name in lacking for name in there.names], np.bool_)
                found[pair.source.name] = there.take(chosen)
        return self._copy(found, start, watermark, counts)

    def _completed(self, look: Look, position: Position, counts: Counts) -> Position:
        """Take over what a look has come to."""
        counts.rows += look.counts.rows
        counts.tables += look.counts.tables
        counts.rejected += look.counts.rejected
        to_be, soonest = next_looks(look.began, self._clock(), self._options)
        position = replace(
            position,
            known=look.known,
            structure=look.seen,
            next_look=to_be,
            soonest=soonest,
            rows=position.rows + look.counts.rows,
        )
        self._save(position)
        self._leave_look()
        return position

    def _leave_look(self) -> None:
        look, self._look, self._parts = self._look, None, 1
        if look:
            look.stop()
