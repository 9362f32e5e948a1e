"""A look at more than rows behind the watermark: another structure, and rows before it that the target lacks.

It runs beside the rounds, with sessions of its own, and compares only what no round writes any more: rows before the
lookback. What it comes to counts when it has come to its end; who is stopped before that begins anew.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from airflow_provider_tdengine.client.block import Ints
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import in_background
from airflow_provider_tdengine.migration.catalog import (
    EVERYTHING,
    Catalog,
    Holding,
    Holdings,
    Scope,
    each,
    holdings,
    in_slices,
)
from airflow_provider_tdengine.migration.copying import Border, DeadLetters, kept
from airflow_provider_tdengine.migration.following.carrier import Carrier, Counts
from airflow_provider_tdengine.migration.following.known import ENOUGH, NOTHING_KNOWN, Gap, bucket, gaps, lacks, lowest
from airflow_provider_tdengine.migration.following.known import counts as counts_of
from airflow_provider_tdengine.migration.following.lookout import digest
from airflow_provider_tdengine.migration.following.position import Known, Position
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import Structure, TablePair

log = logging.getLogger(__name__)

_UNKNOWN = -1
"""A number of rows that no group has: the next look asks for all of them."""


class Look(Carrier):
    """One look, which begins when it is made: first at the structure, then, when it is told to, at late rows.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        scope: what is followed.
        letters: where refused rows are kept, beside those of history; None where the first one ends it.
        structure: both sides', as rounds know it.
        position: up to where the follow has come.
        began: when it begins, in POSIX seconds.
        approved: see `Carrier`.

    Attributes:
        counts: what it has copied.
        seen: digest of the source's structure that the target has, too; None before that.
        has_adapted: whether rounds know another structure.
        known: rows before the watermark that the target has, too; None before the look's end.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        scope: Scope,
        letters: Path | None,
        structure: Structure,
        position: Position,
        began: float,
        approved: Container[str],
    ) -> None:
        here, there = (Catalog(side.client, side.name) for side in (source, target))
        super().__init__(here, there, options, scope, letters, approved)
        self.began = began
        self.counts = Counts()
        self.seen: str | None = None
        self.has_adapted = False
        self.known: Known | None = None
        self._structure = structure
        self._parts = 2
        self._refused: Mapping[str, Sequence[int]] = {}
        """Timestamps of refused rows, by table of the target."""
        self._unsure: set[int] = set()
        """Groups with tables that have come up since it looked at the structure: the target does not have them yet."""
        self._running = in_background(partial(self._adapt_to, position.structure))

    @property
    def structure(self) -> Structure:
        """Both sides' structure, as it knows it."""
        return self._current()

    def has_done(self, patience: float | None) -> bool:
        """Wait until what it was told last is done.

        Parameters:
            patience: seconds to wait, None for as long as it takes.

        Returns:
            Whether it is.

        Raises:
            MigrationStopped: it cannot go on.
            TDengineError: what no retry cured.
            Stopped: `stop` was called.
        """
        is_done = self._running in wait([self._running], None if patience is None else max(0.0, patience)).done
        if is_done:
            self._running.result()
        return is_done

    def complete(self, position: Position, end: int) -> None:
        """Begin to compare both sides, and to copy what the target lacks.

        Parameters:
            position: up to where the follow has come.
            end: rows before it are compared; nobody else writes any of them.
        """
        self._running = in_background(partial(self._compare, position, end))

    def _adapt_to(self, known: str | None) -> None:
        """Look at the source's structure, and do with changes what the option `on_schema_change` says."""
        before = self._structure
        with self._source, self._target:
            self.seen = self._cured(partial(self._adapted, known))
            # Read here: rounds do not wait for it.
            self.has_adapted = self._current() is not before

    def _adapted(self, known: str | None) -> str:
        """The digest of the structure that the target has, too."""
        seen = self._ask(lambda: digest(self._source, self._scope))
        if seen != known:
            self._adapt()
        return seen

    def _compare(self, position: Position, end: int) -> None:
        with self._source, self._target:
            self.known = self._cured(partial(self._completed, position, end))

    def _dead_letters(self, batch: str) -> DeadLetters | None:
        return super()._dead_letters(f"late-{batch}")

    def _completed(self, position: Position, end: int) -> Known:
        """Copy rows before an end that the target lacks: late ones, and those of tables that are new to it.

        Returns:
            What is known by then.
        """
        structure, watermark, known = self._current(), position.watermark, position.known
        begin, tables = self._period[0], [pair.source for pair in structure.pairs]
        since = lowest(structure, begin, watermark, known)
        until = max(watermark if since is None else min(since, watermark), self._lookback(watermark))

        def counted(start: int | None, behind: int) -> tuple[int, ...]:
            return self._ask(lambda: counts_of(self._source, tables, self._scope, (start, behind)))

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
            if low is None or low < end:
                together[low, pair.source.name if pair.source.is_super else ""].append(pair)
        for (low, _), pairs in together.items():
            rows += self._complete(pairs, low, end)
        if rows:
            late = wording.number(rows, "row")
            log.info("Copied besides: %s that came late, or with tables that were new to the target", late)
        return Known(since, until, tuple(_UNKNOWN if group in self._unsure else rows for group, rows in enumerate(now)))

    @property
    def _border(self) -> Border:
        structure = self._current()
        assert structure.target is not None
        return Border(structure.source.precision, structure.source, structure.target)

    def _complete(self, pairs: Sequence[TablePair], start: int | None, end: int) -> int:
        """Copy what the target lacks of a super table, or of normal tables, in a period.

        Returns:
            How many rows the target confirmed.
        """
        structure = self._current()
        rename, time = structure.transform.tables, structure.time
        ours, theirs = self._ours(pairs, start, end), self._theirs(pairs, start, end)
        new, odd = defaultdict[str, list[Holding]](list), defaultdict[str, list[Holding]](list)
        for pair in pairs:
            for one in ours.get(pair.source.name, ()):
                name = rename(one.name)
                expected = Holding(name, one.rows, time.apply(one.first), time.apply(one.last))
                if lacks(expected, theirs.get(name), self._refused_in(name, start, end)):
                    is_small = not pair.source.is_super and one.rows <= ENOUGH
                    is_whole = name not in theirs or time.cuts or is_small
                    (new if is_whole else odd)[pair.source.name].append(one)
        copied = self._copy({name: Holdings.of(found) for name, found in new.items()}, start, end, self.counts)
        for pair in pairs:
            if not self._lacking.isdisjoint(one.name for one in new[pair.source.name]):
                self._unsure.add(bucket(pair.source.name))
            if found := odd.get(pair.source.name):
                copied += self._fill(pair, Holdings.of(found))
        return copied

    def _fill(self, pair: TablePair, found: Holdings) -> int:
        """Copy the periods of some tables in which the target has another number of rows.

        Returns:
            How many rows the target confirmed.
        """
        structure, copied = self._current(), 0
        rename, time, theirs_of = structure.transform.tables, structure.time, replace(pair.wanted, where="")
        assert structure.target is not None
        ours_in, theirs_in = structure.source.precision, structure.target.precision

        def ours(names: Sequence[str], low: int, high: int, width: int) -> Ints:
            rows = self._ask(lambda: in_slices(self._source, pair.source, names, (low, high), width, ours_in))
            for line, name in enumerate(names):
                for moment in self._refused.get(rename(name), ()):
                    if low <= moment < high:
                        rows[line, moment // width - low // width] -= 1
            return rows

        def theirs(names: Sequence[str], low: int, high: int, width: int) -> Ints:
            names, period, width = list(map(rename, names)), (time.apply(low), time.apply(high)), time.apply(width)
            return self._ask(lambda: in_slices(self._target, theirs_of, names, period, width, theirs_in))

        whole = Gap(found.names, found.rows, int(found.first.min()), int(found.last.max()) + 1)
        for gap in gaps(ours, theirs, whole, ours_in.per_second // 100):
            low, high = (np.full(len(gap.names), bound) for bound in (gap.low, gap.high - 1))
            part = Holdings(gap.names, gap.rows, low, high)
            copied += self._copy({pair.source.name: part}, gap.low, gap.high, self.counts)
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
