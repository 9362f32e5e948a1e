"""Copying one batch: its subtables divided among workers, each with its own sessions, position and retries.

The source is alive. What vanishes while it is copied is counted, and no reason to stop; what comes is copied if it is
there when its turn comes, and found by the comparison if not.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from typing import TypeVar

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.errors import (
    IncompleteResult,
    PermissionDenied,
    RowRejected,
    StructureChanged,
    TableMissing,
    TDengineError,
)
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped, in_background, until_stopped, watch
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, Holding, Holdings, Table, count, meet
from airflow_provider_tdengine.migration.copying.batch import Batch, slices
from airflow_provider_tdengine.migration.copying.brakes import Brakes
from airflow_provider_tdengine.migration.copying.brief import Brief, StructureOutdated, brief_of
from airflow_provider_tdengine.migration.copying.dead_letters import DeadLetters
from airflow_provider_tdengine.migration.copying.dense import copy_unit
from airflow_provider_tdengine.migration.copying.expired import SkipExpired
from airflow_provider_tdengine.migration.copying.progress import Checkpoint, ProgressNotSaved, ProgressStore, Span
from airflow_provider_tdengine.migration.copying.rejected import Fail, Rejections
from airflow_provider_tdengine.migration.copying.sparse import copy_groups, groups, lies_in_hay, rows_a_group
from airflow_provider_tdengine.migration.copying.units import DONE, Sessions, Step, Tally, Unit, sessions
from airflow_provider_tdengine.migration.copying.writing import TableWriter
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import TEXTLESS
from airflow_provider_tdengine.migration.structure import SchemaSync, Structure, denied

log = logging.getLogger(__name__)

_T = TypeVar("_T")

SAVE_EVERY = 3.0
"""Seconds between checkpoints: what a killed task reads again at most, besides blocks in flight."""

SPARSE_BELOW = 3000
"""Values (rows times columns) a subtable below which many subtables are read with one query.

Of 4 columns and 3.3.3.0 on both sides, dense needs less time from 890 rows a subtable on, and less CPU from 500 on
(`make bench BENCH=--crossing`).
"""

ROWS_A_UNIT = 1_000_000

_LEAST_GROUP = 1000
"""Rows that are read with one query, at least, even if rows a second are limited to fewer."""

_GRACE = 2.0
"""Seconds that a stop gives workers to end; Airflow kills a task after 5."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copied batch came to.

    Parameters:
        tally: rows of the batch, over all tries, and the digest of those that the target has.
        tables: how many tables had rows when this try began.
        expired: rows that were left behind since they were about to expire, when the batch began.
        vanished: tables that the source had when the batch was planned, and has no more.
        since: from which timestamp on rows were copied, in steps of the source; None for the first one.
        first: the first one's timestamp, when this try began; None where there was none.
        tried: rows of this try.
        seconds: how long this try took.
        strategy: dense or sparse.
        began: when the first row was about to be read, in seconds since 1970 by the worker's clock.
    """

    tally: Tally
    tables: int
    expired: int
    vanished: int
    since: int | None
    first: int | None
    tried: int
    seconds: float
    strategy: str
    began: float

    @property
    def rows(self) -> int:
        """Rows whose fate is known."""
        return self.tally.rows

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "tally": self.tally.to_dict()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: not what `to_dict` gives.
        """
        tally = stored["tally"]
        if not isinstance(tally, Mapping):
            raise TypeError("a batch was copied without a tally")
        return cls(**{**stored, "tally": Tally.from_dict(tally)})  # type: ignore[arg-type]

    @property
    def left_behind(self) -> int:
        """Rows that were let go since they are, or are about to be, older than one side keeps."""
        return self.expired + self.tally.expired


def copied_facts(batches: Sequence[Copied], seconds: float) -> wording.Facts:
    """What people read of batches that were copied.

    Parameters:
        batches: what each came to.
        seconds: how long this try took.
    """
    total = sum((one.tally for one in batches), Tally())
    tried, left_behind, vanished = (
        sum(getattr(one, name) for one in batches) for name in ("tried", "left_behind", "vanished")
    )
    ways = ", ".join(f"{count:,} {way}" if len(batches) > 1 else way for way, count in _ways(batches))
    return [
        ("rows", f"{total.rows:,}" + (f", {tried:,} of them in this try" if tried != total.rows else "")),
        ("tables with rows", f"{sum(one.tables for one in batches):,}"),
        ("points", f"{total.points:,}"),
        ("blocks", f"{total.blocks:,}"),
        ("written", wording.size(total.bytes)),
        ("refused", f"{total.rejected:,}" if total.rejected else ""),
        ("too old, left out", f"{left_behind:,}" if left_behind else ""),
        ("a later row stands", f"{total.collisions:,}" if total.collisions else ""),
        ("tables that have gone", f"{vanished:,}" if vanished else ""),
        ("way", ways),
        ("time", f"{wording.duration(seconds)}, {tried / max(seconds, 0.001):,.0f} rows/s"),
    ]


def _ways(batches: Sequence[Copied]) -> list[tuple[str, int]]:
    return sorted(Counter(one.strategy for one in batches).items())


def choose_strategy(asked: str, table: Table | None, tables: int, rows: int) -> tuple[str, str]:
    """Dense or sparse, and why.

    Parameters:
        asked: the option `strategy`.
        table: the super table of a batch, or one of its normal tables; None where it has none any more.
        tables: how many tables with rows it has.
        rows: how many rows.
    """
    if table is None or not table.is_super or tables < 2:
        return "dense", "there is no super table that could be asked for several of them"
    if asked != "auto":
        return asked, "as asked"
    if any(column.type in TEXTLESS for column in table.columns):
        return "dense", "a column has values that no text carries"
    values = rows * len(table.columns) / tables
    return (
        "sparse" if values < SPARSE_BELOW else "dense",
        f"{values:,.0f} values a table, the limit is {SPARSE_BELOW:,}",
    )


def copy_batch(
    source: Catalog,
    target: Catalog,
    batch: Batch,
    options: MigrationOptions,
    progress: ProgressStore,
    *,
    structure: Structure | None = None,
    known: Holdings | None = None,
    dead_letters: DeadLetters | None = None,
    stop: threading.Event | None = None,
    report: Callable[[Checkpoint], None] | None = None,
    factor: Callable[[], float] | None = None,
) -> Copied:
    """Copy a batch, going on from its checkpoint if it has one.

    Parameters:
        source: the source database.
        target: the target database.
        batch: what is copied.
        options: workers, strategy and scope.
        progress: where the checkpoint is kept.
        structure: both sides' structure, where it was read a moment ago; its scope and transform count then.
        known: what the batch's tables hold in just its period, where that was asked a moment ago; no other tables are
            copied then.
        dead_letters: where refused rows are kept, with `on_error` dead_letter.
        stop: set by somebody who wants it to stop soon; the copy sets it, too, when it fails.
        report: called with the checkpoint at the beginning, and each time it is saved.
        factor: gives, at the beginning and at each checkpoint, how many times the limits of the options hold; None
            for once.

    Raises:
        MigrationStopped: the batch cannot be copied; `StructureOutdated` where columns do not fit.
        TDengineError: what no retry cured.
        Stopped: `stop` was set. A worker that waits for a silent server is left behind: it ends when that answers.
    """
    stop = stop or threading.Event()
    try:
        with source, target:
            until_stopped(partial(meet, source, target, stop), stop)
            brief = _do(lambda: brief_of(source, target, batch, options, structure), stop)
            return _copy(brief, options, progress, known, dead_letters, stop, report, factor)
    except Stopped:
        raise Stopped(f"The batch {batch.label} was stopped; its progress is saved") from None
    except PermissionDenied as error:
        raise MigrationStopped([denied(source, target, error)]) from error
    except (TableMissing, StructureChanged) as error:
        finding = Finding(
            f"Batch {batch.label}",
            f"a table has other columns than when the migration was planned, or the target lacks it ({error})",
            "Clear sync_schema, or the task that does it in your DAG, with all that follows it",
        )
        raise StructureOutdated([finding]) from error


def _do(action: Callable[[], _T], stop: threading.Event) -> _T:
    """Ask the servers something, over retries, and not beyond a stop."""
    return until_stopped(lambda: persist(action, stop), stop)


def _copy(
    brief: Brief,
    options: MigrationOptions,
    progress: ProgressStore,
    known: Holdings | None,
    dead_letters: DeadLetters | None,
    stop: threading.Event,
    report: Callable[[Checkpoint], None] | None,
    factor: Callable[[], float] | None,
) -> Copied:
    started = time.monotonic()
    rejections: Rejections = dead_letters or Fail()
    if options.on_expired == "skip":
        rejections = SkipExpired(brief.databases[1], rejections)
    checkpoint = _resumed(brief, progress, stop)
    if checkpoint is None:
        rejections.clear()
    workers = _Workers(brief, options, checkpoint, known, rejections, stop)
    checkpoint, before = workers.checkpoint, workers.checkpoint.tally.rows
    if report:
        report(checkpoint)
    if factor:
        workers.brakes.scale(factor())
    running = [in_background(partial(workers.copy_span, span)) for span in checkpoint.spans if not span.done]
    keep = partial(_save, workers, progress, report)
    saved = started
    try:
        for _ in watch(running, stop, min(0.5, SAVE_EVERY)):
            if time.monotonic() - saved >= SAVE_EVERY:
                keep()
                saved = time.monotonic()
                if factor:
                    workers.brakes.scale(factor())
    except BaseException:
        stop.set()
        wait(running, _GRACE)
        raise
    finally:
        keep()
        if waited := workers.brakes.summary():
            log.info("The workers of batch %s waited because of %s", brief.batch.label, waited)
    _do(workers.check_structure, stop)
    if checkpoint.vanished:
        gone = wording.number(checkpoint.vanished, "table")
        log.warning("Gone from the source: %s of batch %s", gone, brief.batch.label)
    return Copied(
        checkpoint.tally,
        workers.tables,
        checkpoint.expired,
        checkpoint.vanished,
        checkpoint.since,
        workers.first,
        checkpoint.tally.rows - before,
        time.monotonic() - started,
        checkpoint.strategy,
        checkpoint.began,
    )


def _save(workers: _Workers, progress: ProgressStore, report: Callable[[Checkpoint], None] | None) -> None:
    with workers.lock:
        state = workers.checkpoint.to_dict()
    try:
        progress.save(state)
    except ProgressNotSaved as error:
        log.warning("The checkpoint of batch %s was not saved: %s", workers.checkpoint.batch, error)
    if report:
        report(workers.checkpoint)


def _resumed(brief: Brief, progress: ProgressStore, stop: threading.Event) -> Checkpoint | None:
    """The batch's checkpoint, None where it has none that can be trusted."""
    label = brief.batch.label
    stored = progress.load()
    if stored is None:
        return None
    try:
        checkpoint = Checkpoint.from_dict(stored)
    except (KeyError, TypeError, ValueError):
        log.warning("The stored checkpoint cannot be read; batch %s starts anew", label)
        return None
    if checkpoint.batch != brief.identity:
        log.warning("The stored checkpoint is of another batch (%s); %s starts anew", checkpoint.batch, label)
        return None
    if checkpoint.is_done and not _do(partial(_has_arrived, brief, checkpoint, stop), stop):
        log.warning("Batch %s was finished, but source and target differ by now; it starts anew", label)
        return None
    log.info("Batch %s goes on after %s", label, wording.number(checkpoint.tally.rows, "row"))
    return checkpoint


def _has_arrived(brief: Brief, checkpoint: Checkpoint, stop: threading.Event) -> bool:
    """Whether source and target have as many rows as were copied."""
    found = brief.holdings(checkpoint.since, stop)
    there = brief.target_holdings(found.names, checkpoint.since, stop)
    return (found.total, there.total) == (checkpoint.tally.rows, checkpoint.tally.digest.rows)


class _Workers:
    """Who works on a batch, and what they share.

    Parameters:
        brief: what is known of the batch.
        options: workers, strategy, limits.
        checkpoint: where to go on, None to begin.
        known: what the batch's tables hold, None to ask.
        rejections: what becomes of refused rows.
        stop: ends the work soon.
    """

    def __init__(
        self,
        brief: Brief,
        options: MigrationOptions,
        checkpoint: Checkpoint | None,
        known: Holdings | None,
        rejections: Rejections,
        stop: threading.Event,
    ) -> None:
        self.brief = brief
        self.lock = threading.Lock()
        self.brakes = Brakes(options.max_rows_per_second, options.max_bytes_per_second, stop.wait)
        self._options = options
        self._rejections = rejections
        self._stop = stop
        self._border = brief.border
        self._only = None if known is None else set(known.names)
        self._transcoders = _do(brief.transcoders, stop)
        self._since, expired, self._holdings = self._begin(checkpoint, known)
        table = next((pair.source for pair in brief.pairs.values()), None)
        most = rows_a_group(table) if table else 1
        self._group_rows = min(most, max(_LEAST_GROUP, options.max_rows_per_second or most))
        self._is_needle = self._lies_in_hay(is_part=known is not None)
        self._strategy = checkpoint.strategy if checkpoint else self._choose(table)
        if checkpoint is None:
            checkpoint = Checkpoint(brief.identity, self._strategy, self._divide())
        checkpoint.expired += expired
        checkpoint.since = self._since
        # Of a giant table's batches, the plan does not say which of them have rows.
        if known is None and brief.batch.tables > 1 and self._since == brief.batch.start:
            checkpoint.vanished = max(checkpoint.vanished, brief.batch.tables - len(self._holdings))
        self._gone: set[str] = set()
        """Tables that were seen to go in this try."""
        self._gone_before = checkpoint.vanished
        self.checkpoint = checkpoint

    @property
    def tables(self) -> int:
        """How many tables have rows."""
        return len(self._holdings)

    @property
    def first(self) -> int | None:
        """The first timestamp of their rows."""
        return int(self._holdings.first.min()) if self._holdings else None

    def _begin(self, checkpoint: Checkpoint | None, known: Holdings | None) -> tuple[int | None, int, Holdings]:
        """From which timestamp on rows are copied, how many that leaves behind, and what tables hold from it on."""
        brief, before = self.brief, checkpoint.since if checkpoint else self.brief.batch.start
        found = known if known is not None else _do(partial(brief.holdings, before), self._stop)
        if not found or not self._border.is_near(int(found.first.min())):
            return before, 0, found
        since = self._border.after(before)
        left = self._meant(_do(partial(brief.holdings, since), self._stop))
        rows = max(0, found.total - left.total)
        if checkpoint and since is not None:
            rows = _do(partial(self._not_copied, checkpoint, found, left, since), self._stop)
        left_behind = wording.number(rows, "row")
        log.warning("Left behind: %s of batch %s, about to expire", left_behind, brief.batch.label)
        return since, rows, left

    def _not_copied(self, checkpoint: Checkpoint, found: Holdings, left: Holdings, since: int) -> int:
        """How many rows before a timestamp an earlier try has not copied.

        Parameters:
            checkpoint: how far it came.
            found: what tables hold from where it began.
            left: what they hold from the timestamp on.
            since: the timestamp.
        """
        there = dict(zip(left.names, left.rows.tolist(), strict=True))
        rows = 0
        for span in (span for span in checkpoint.spans if not span.done):
            for name, own in zip(found.names, found.rows.tolist(), strict=True):
                if not span.table <= name <= span.last_table:
                    continue
                starts = [checkpoint.since, span.time if name == span.table else None]
                start = max((moment for moment in starts if moment is not None), default=None)
                end = span.last_time if name == span.last_table else None
                if start == checkpoint.since and end in (None, self.brief.batch.end):
                    rows += max(0, own - there.get(name, 0))
                else:
                    rows += self._count(name, start, since if end is None else min(since, end))
        return rows

    def _count(self, name: str, start: int | None, end: int) -> int:
        """How many rows one of the batch's tables has in a period."""
        if start is not None and start >= end:
            return 0
        table = replace(self.brief.pair_of(name).source, name=name, tags=())
        return count(self.brief.source, table, EVERYTHING, (start, end), self._stop)

    def _meant(self, found: Holdings) -> Holdings:
        """Those tables that are to be copied."""
        if self._only is None:
            return found
        return found.take(np.array([name in self._only for name in found.names], np.bool_))

    def _choose(self, table: Table | None) -> str:
        """Dense or sparse; the log says why."""
        rows, tables, label = self._holdings.total, len(self._holdings), self.brief.batch.label
        chosen, why = choose_strategy(self._options.strategy, table, tables, rows)
        there = f"{wording.number(rows, 'row')} of {wording.number(tables, 'table')}"
        # Who knows what there is follows it, round after round, and tells what all of them come to.
        level = logging.INFO if self._only is None else logging.DEBUG
        log.log(level, "Batch %s\n  %s: %s (%s)", label, there, chosen, why)
        return chosen

    def _lies_in_hay(self, *, is_part: bool) -> bool:
        """Whether the batch's tables are few among others; all there are, are not."""
        brief, found = self.brief, self._holdings
        if not found or brief.batch.stable is None or not (is_part or brief.scope.is_partial):
            return False
        table = brief.pair_of(found.names[0]).source
        return _do(lambda: lies_in_hay(brief.source, table, found, brief.batch.period, self._stop), self._stop)

    def check_structure(self) -> None:
        """Make sure that the source's columns are those that were copied.

        Raises:
            StructureChanged: they are not.
        """
        for name, pair in self.brief.pairs.items() if self.brief.batch.stable else ():
            try:
                now = self.brief.transform.selected(self.brief.source.describe(name))
            except TableMissing:
                continue
            if now.columns != pair.source.columns:
                raise StructureChanged(f"the columns of {name!r} have changed while it was copied")

    # --- Units

    def _divide(self) -> list[Span]:
        """The batch in at most as many spans as workers, of about as many rows."""
        workers = self._options.workers
        units = list(self._units(self._holdings, self._since, self.brief.batch.end, workers))
        total = sum(unit.rows for unit in units)
        spans: list[Span] = []
        first, rows = 0, 0
        for i, unit in enumerate(units):
            rows += unit.rows
            if i + 1 == len(units) or rows * workers >= total * (len(spans) + 1):
                spans.append(Span(units[first].table, units[first].start, unit.table, unit.end))
                first = i + 1
        return spans

    def _remaining(self, span: Span) -> Iterator[Unit]:
        """What a span has still to do."""
        for holding in self._holdings:
            if span.table <= holding.name <= span.last_table:
                is_first, is_last = holding.name == span.table, holding.name == span.last_table
                start = self._since
                if is_first and span.time is not None:
                    # What is before `since` and was not copied is counted already as left behind.
                    start = span.time if start is None else max(span.time, start)
                end = span.last_time if is_last else self.brief.batch.end
                if start is None or start < (DONE if end is None else end):
                    yield from self._units([holding], start, end)

    def _units(
        self, found: Collection[Holding], start: int | None, end: int | None, workers: int = 1
    ) -> Iterator[Unit]:
        """Tables, and slices of large ones: reading a slice again costs little when a connection is lost."""
        share = math.ceil(sum(holding.rows for holding in found) / workers) or 1
        step, period = self.brief.time.denominator, (self._since, self.brief.batch.end)
        for holding in found:
            if self._strategy == "sparse" and holding.rows <= self._group_rows:
                parts = 1
            else:
                # More slices than rows would be empty ones.
                parts = min(math.ceil(holding.rows / min(ROWS_A_UNIT, share)), holding.rows)
            is_whole = parts == 1 and (start, end) == period
            for a, b in slices(holding, start, end, parts, step) if parts > 1 else [(start, end)]:
                yield Unit(holding.name, a, b, holding.rows // parts, is_whole)

    def _kept(self, unit: Unit) -> Unit:
        """The same without rows that may expire before they are written."""
        if unit.start is None or not self._border.is_near(unit.start):
            return unit
        return replace(unit, start=self._border.after(unit.start), exact=False)

    # --- Workers

    def copy_span(self, span: Span) -> None:
        """Copy a span to its end, over lost sessions and busy servers; what no retry cures is raised."""

        def go_on() -> None:
            try:
                with sessions(self.brief.source, self.brief.target) as pair:
                    self._copy_remaining(span, pair)
            except TDengineError as error:
                self.brakes.failed(error)
                with self.lock:
                    self.checkpoint.retries += error.retryable
                if isinstance(error, IncompleteResult):
                    self._look_again()
                elif isinstance(error, TableMissing):
                    self._look_again()
                    self._create_missing(error)
                    raise IncompleteResult(f"A table has come or gone ({error.message})") from error
                raise

        persist(go_on, self._stop, lambda: (span.table, span.time))

    def _look_again(self) -> None:
        """Ask once more what tables hold: some may have gone, or lost rows, or come."""
        with self.lock:
            before = self._holdings
            now = self._meant(self.brief.holdings(self._since, self._stop))
            self._note_gone(set(before.names) - set(now.names))
            self._holdings = now

    def _note_gone(self, names: Collection[str]) -> None:
        """Count tables that have vanished, each once; only with the lock."""
        self._gone.update(names)
        self.checkpoint.vanished = self._gone_before + len(self._gone)

    def _create_missing(self, missing: TableMissing) -> None:
        """Give the target subtables that the source has got since the structure was synchronised.

        Raises:
            TableMissing: with schema none, the target's tables are somebody else's.
        """
        if self._options.schema == "none":
            raise missing
        brief = self.brief
        with self.lock:
            created = SchemaSync.again(brief.source, brief.target, self._options, brief.scope).run().tables
        if created:
            new = wording.number(created, "new subtable")
            log.info("Created: %s of batch %s", new, self.brief.batch.label)

    def _copy_remaining(self, span: Span, pair: Sessions) -> None:
        # A list: `_remaining` reads the span, which moves while its units are worked on.
        units = list(self._remaining(span))
        work = self._copy_groups(units, pair) if self._strategy == "sparse" else self._copy_units(units, pair)
        for step in self.brakes.paced(work, pair.target):
            with self.lock:
                self.checkpoint.tally += step.tally
                span.table, span.time = step.table, step.time
            if self._stop.is_set():
                raise Stopped
        with self.lock:
            span.done = True

    def _copy_units(self, units: list[Unit], pair: Sessions) -> Iterator[Step]:
        brief = self.brief
        for whole in units:
            unit = self._kept(whole)
            transcoder = self._transcoders[brief.batch.stable or unit.table]
            name = brief.target_name(unit.table)
            writer = TableWriter(pair.target, brief.target, name, transcoder, brief.precision, self._rejections)
            try:
                if unit.start is not None and unit.start != whole.start:
                    behind = min(unit.start, whole.behind)
                    left = self._count(whole.table, whole.start, behind)
                    yield Step(whole.table, behind, Tally(left, expired=left))
                yield from copy_unit(pair.source, brief.source, transcoder, writer, unit)
            except (TableMissing, StructureChanged):
                table = brief.pair_of(unit.table).source
                if brief.source.has_table(unit.table, table.name if table.is_super else None):
                    raise
                log.warning("Table %s has gone from the source while it was copied", unit.table)
                with self.lock:
                    self._note_gone([unit.table])
                yield Step(unit.table, unit.behind)

    def _copy_groups(self, units: list[Unit], pair: Sessions) -> Iterator[Step]:
        for is_small, some in groupby(groups(units, self._group_rows), self._is_small):
            if is_small:
                yield from self._copy_small(deque(some), pair)
            else:
                for group in some:
                    yield from self._copy_units(group, pair)

    def _copy_small(self, pending: deque[list[Unit]], pair: Sessions) -> Iterator[Step]:
        """Copy groups; where a row is refused, its group is halved until its subtable stands alone."""
        brief = self.brief
        while pending:
            work = copy_groups(
                pair,
                brief.source,
                brief.target,
                brief.target_name,
                self._transcoders[brief.batch.stable or pending[0][0].table],
                list(pending),
                is_needle=self._is_needle,
            )
            try:
                for step in work:
                    pending.popleft()
                    yield step
            except RowRejected:
                # It may be in a later group; halving this one does no harm.
                group = pending.popleft()
                if len(group) == 1:
                    yield from self._copy_units(group, pair)
                else:
                    half = len(group) // 2
                    pending.extendleft((group[half:], group[:half]))

    def _is_small(self, group: list[Unit]) -> bool:
        """Whether one query may read a group: not a large subtable among small ones, nor one that was begun."""
        if group[0].start is not None and self._border.is_near(group[0].start):
            return False
        return sum(unit.rows for unit in group) <= self._group_rows and all(unit.exact for unit in group)
