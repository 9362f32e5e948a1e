"""Rows that arrive while a migration runs: found with one query a table, copied a round at a time.

A follow goes from its watermark, before which all rows have been copied, to now. A round copies the rows between them,
those of the lookback before the watermark once more, and moves the watermark when the target has confirmed them. Of
tables that come up all rows are copied, however old.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import TypeVar

import numpy as np

from airflow_provider_tdengine.client.errors import AlreadyExists, StructureChanged, TableMissing
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped, until_stopped
from airflow_provider_tdengine.migration.catalog import (
    EVERYTHING,
    Catalog,
    Holding,
    Holdings,
    Patterns,
    Scope,
    holdings,
    meet,
    together,
)
from airflow_provider_tdengine.migration.copying import (
    ROWS_A_BATCH,
    Batch,
    Border,
    DeadLetters,
    MemoryProgress,
    StructureOutdated,
    copy_batch,
    kept_since,
    settle,
    window,
)
from airflow_provider_tdengine.migration.findings import MigrationStopped, stop_on
from airflow_provider_tdengine.migration.following.lookout import changes, digest, next_look, steps
from airflow_provider_tdengine.migration.following.position import Position, Shard
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import cut_batches
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.structure import (
    Owners,
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

_CURES = 5
"""How often a round begins again since tables or columns have come up in its middle."""

_OUTDATED = (StructureOutdated, StructureChanged, TableMissing)
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
class _Counts:
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
        dead_letters: gives where refused rows of a batch are kept, by a name; with `on_error` dead_letter.
        clock: POSIX seconds.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        shard: Shard | None = None,
        *,
        save: Callable[[Position], None] = lambda position: None,
        dead_letters: Callable[[str], DeadLetters] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._scope = (shard or Shard()).of(Scope.of(options))
        self._save = save
        self._dead_letters = dead_letters
        self._clock = clock
        self._stop = threading.Event()
        self._stopping = False
        self._structure: Structure | None = None
        self._created: Owners | None = None
        """Tables that this follow has created and not filled yet; None where an earlier one may have, too."""

    def stop(self) -> None:
        """End the round that runs soon; the position that was saved last is where to go on."""
        self._stopping = True
        self._stop.set()

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
        start = self._period[1]
        return Position(self._identity, start, start)

    def _recovered(self) -> Position:
        """The last timestamp that the target has; what is before it has to be compared."""
        beginning = self._beginning()
        with self._source, self._target:
            newest = self._newest_of_target(beginning.watermark)
            if newest is None:
                return replace(beginning, settled=False)
            watermark = max(beginning.watermark, min(newest, self._now()))
        log.warning(
            "Nobody knows up to where rows have been copied. Following goes on from the target's last timestamp, %s; "
            "tables that differ before it are copied again",
            self._moment(watermark).isoformat(),
        )
        return Position(self._identity, watermark, watermark, settled=False)

    def _newest_of_target(self, start: int) -> int | None:
        """The target's last timestamp from this one on, None if it has none; both in steps of the source."""
        structure, time = self._current(), self._current().time
        first, end = time.window(start, self._now() + 1)
        assert first is not None
        assert end is not None
        found = self._ask(
            lambda: [
                together(self._target, pair.wanted, EVERYTHING, (first, end))
                for pair in structure.pairs
                if pair.target is not None
            ]
        )
        newest = max((one.last for one in found if one), default=None)
        return None if newest is None else time.origin(newest)

    def _moment(self, timestamp: int) -> datetime:
        """A timestamp of the source."""
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
        step = structure.time.denominator
        return steps(self._clock() - self._options.delay, structure.source.precision) // step * step

    # --- Rounds

    def round(self, position: Position) -> Round:
        """Copy what has arrived; look whether the structure has changed, if it is time to.

        Raises:
            MigrationStopped: it cannot go on.
            TDengineError: what no retry cured.
            Stopped: `stop` was called.
        """
        began, counts = time.monotonic(), _Counts()
        with self._source, self._target:
            stop = self._new_stop()
            until_stopped(partial(meet, self._source, self._target, stop), stop)
            # The same end after each cure: tables that come meanwhile have no rows before it.
            end = self._now()
            for cures in range(_CURES + 1):
                try:
                    position = self._settled(position, counts)
                    position = self._advanced(position, counts, end)
                    if self._clock() >= position.next_look:
                        position = self._looked(position, counts)
                    break
                except _OUTDATED as outdated:
                    if cures == _CURES:
                        raise
                    log.info("%s", outdated)
                    position = self._adapted(position, outdated)
        seconds = time.monotonic() - began
        watermark = self._moment(position.watermark)
        return Round(position, watermark, counts.rows, counts.tables, counts.rejected, seconds)

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

    def _advanced(self, position: Position, counts: _Counts, end: int) -> Position:
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
            pair.source.name: self._holdings(pair, start, end)
            for pair in self._current().pairs
            if pair.source.name in waiting
        }
        rows = self._copy(found, start, end, counts)
        lag = self._lag(end)
        position = replace(position, watermark=end, since=start, counted=counted, lag=lag, rows=position.rows + rows)
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
            return kept_since(start, structure.target, datetime.now(timezone.utc), structure.source.precision) or start
        return start

    def _arrivals(self, start: int, end: int) -> dict[str, Holding]:
        """What tables have in a period, those that have anything."""
        tables = [pair.source for pair in self._current().pairs]
        found = self._ask(lambda: [together(self._source, table, self._scope, (start, end)) for table in tables])
        return {one.name: one for one in found if one}

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

    def _copy(self, found: Mapping[str, Holdings], start: int | None, end: int, counts: _Counts) -> int:
        """Copy rows of a period.

        Parameters:
            found: where they lie, by super table or normal table.
            start: the period's start.
            end: the period's end.
            counts: what is added to.

        Returns:
            How many rows the target confirmed.
        """
        structure = self._current()
        # Tables that are new are the next look's, which copies all of their rows, however old.
        options = replace(self._options, schema="none")
        groups: dict[str | None, list[Holding]] = defaultdict(list)
        for pair in structure.pairs:
            groups[pair.source.name if pair.source.is_super else None] += found.get(pair.source.name, ())
        copied = 0
        for stable, group in groups.items():
            counts.tables += len(group)
            for batch in cut_batches(
                stable, Holdings.of(group), (start, end), ROWS_A_BATCH, structure.time.denominator
            ):
                known = Holdings.of([one for one in group if _is_in(batch, one.name)])
                result = copy_batch(
                    self._source,
                    self._target,
                    replace(batch, first=known.names[0], before=f"{known.names[-1]}\x01"),
                    options,
                    MemoryProgress(),
                    structure=structure,
                    known=known if batch.period == (start, end) else None,
                    dead_letters=self._dead_letters(f"{batch.start}-{known.names[0]}") if self._dead_letters else None,
                    stop=self._new_stop(),
                )
                copied += result.rows
                counts.rejected += result.tally.rejected
        counts.rows += copied
        return copied

    # --- Structure

    def _current(self) -> Structure:
        """Both sides' structure, as it was read last."""
        if self._structure is None:
            structure = self._ask(lambda: read_structure(self._source, self._target, self._options, self._scope))
            if structure.target is None:
                raise MigrationStopped([self._target.missing("target_database")])
            self._structure = structure
        return self._structure

    def _looked(self, position: Position, counts: _Counts) -> Position:
        """Look at the source's structure, and do with changes what the option `on_schema_change` says.

        Returns:
            The position, saved.
        """
        began = self._clock()
        seen = self._ask(lambda: digest(self._source, self._scope))
        if seen != position.structure:
            position = self._settled(self._adapted(position), counts)
        position = replace(position, structure=seen, next_look=next_look(began, self._clock(), self._options))
        self._save(position)
        return position

    def _adapted(self, position: Position, outdated: Exception | None = None) -> Position:
        """Do with a changed structure what the option `on_schema_change` says.

        Parameters:
            position: of the follow.
            outdated: what a changed structure has led to, None where it was seen in time.

        Returns:
            The position; rows before it may be missing of tables that are new in the target.

        Raises:
            MigrationStopped: what has changed, or why it cannot be brought over.
        """
        self._structure = None
        if self._options.on_schema_change == "evolve":
            return self._evolved(position)
        structure = self._current()
        self._ask(lambda: stop_on(changes(self._source, self._target, structure, self._options)))
        if outdated:
            raise outdated
        return position

    def _evolved(self, position: Position) -> Position:
        """Bring the source's structure into the target."""
        if position.settled:
            self._created = {}
            position = replace(position, settled=False)
            self._save(position)
        before = self._ask(self._target.owners)
        report = self._synced()
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
        if self._created is not None and report.tables:
            owners = self._ask(self._target.owners)
            self._created |= {name: owner for name, owner in owners.items() if name not in before}
        self._structure = None
        return position

    def _synced(self) -> SchemaReport:
        options = replace(self._options, create_database=False, update_tags=self._options.schema != "none")
        sync = SchemaSync(self._source, self._target, options, self._scope)
        for _ in range(_CURES):
            try:
                return self._ask(sync.run)
            except AlreadyExists as error:
                log.info("Another shard was faster: %s", error)
        return self._ask(sync.run)

    def _settled(self, position: Position, counts: _Counts) -> Position:
        """Copy rows before the watermark that may be missing: of new tables, or of all that differ.

        Returns:
            The position before which none is missing, saved.
        """
        if position.settled:
            return position
        structure = self._current()
        assert structure.target is not None
        precision, end = structure.source.precision, position.watermark
        start = Border(precision, structure.source, structure.target).after(self._period[0])
        found = {pair.source.name: self._missing(pair, start, end) for pair in structure.pairs}
        rows = self._copy(found, start, end, counts)
        if rows:
            log.info("Copied: %s of tables that were new, or not equal", wording.number(rows, "row"))
        self._created = {}
        position = replace(position, settled=True, rows=position.rows + rows)
        self._save(position)
        return position

    def _missing(self, pair: TablePair, start: int | None, end: int) -> Holdings:
        """What a table's subtables hold in a period, of those that are new, or that differ."""
        if self._created is not None:
            return self._new(pair, self._created, start, end)
        structure = self._current()
        rename, time = structure.transform.tables, structure.time
        theirs = {}
        if pair.target:
            found = self._ask(lambda: holdings(self._target, pair.wanted, EVERYTHING, time.window(start, end)))
            theirs = {one.name: one for one in found}
        ours = self._holdings(pair, start, end)
        expected = (Holding(rename(one.name), one.rows, time.apply(one.first), time.apply(one.last)) for one in ours)
        return ours.take(np.array([theirs.get(one.name) != one for one in expected], np.bool_))

    def _new(self, pair: TablePair, created: Owners, start: int | None, end: int) -> Holdings:
        """The same, of the subtables that are new."""
        rename, owner = self._current().transform.tables, pair.wanted.name if pair.wanted.is_super else None
        new = {name for name, its in created.items() if its == owner}
        if not new or (owner is None and pair.wanted.name not in new):
            return Holdings.of([])
        # What new names were before cannot be told; where tables are renamed, all are asked for.
        scope = self._scope if rename else replace(self._scope, tables=Patterns(tuple(sorted(new))))
        found = self._holdings(pair, start, end, scope)
        return found.take(np.array([rename(name) in new for name in found.names], np.bool_))


def _is_in(batch: Batch, name: str) -> bool:
    """Whether a table is in a batch's range of names."""
    return (batch.first is None or name >= batch.first) and (batch.before is None or name < batch.before)
