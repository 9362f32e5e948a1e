"""Copying one batch: its subtables divided among workers, each with its own sessions, position and retries."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TypeVar

from airflow_provider_tdengine.client.errors import (
    IncompleteResult,
    PermissionDenied,
    RowRejected,
    StructureChanged,
    TableMissing,
    TDengineError,
)
from airflow_provider_tdengine.client.sql import name_range
from airflow_provider_tdengine.migration.background import Stopped, in_background, until_stopped, watch
from airflow_provider_tdengine.migration.catalog import Catalog, Database, Extent, Scope, Table, TimeScale, extents
from airflow_provider_tdengine.migration.copying.batch import Batch, slices
from airflow_provider_tdengine.migration.copying.brakes import Brakes
from airflow_provider_tdengine.migration.copying.dead_letters import DeadLetters
from airflow_provider_tdengine.migration.copying.dense import copy_unit
from airflow_provider_tdengine.migration.copying.expired import SkipExpired
from airflow_provider_tdengine.migration.copying.progress import Checkpoint, ProgressNotSaved, ProgressStore, Span
from airflow_provider_tdengine.migration.copying.rejected import Fail, Rejections
from airflow_provider_tdengine.migration.copying.sparse import copy_groups, groups, rows_a_group
from airflow_provider_tdengine.migration.copying.units import Sessions, Step, Unit, count
from airflow_provider_tdengine.migration.copying.writing import TableWriter
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.retry import FIRST_CONTACT, persist
from airflow_provider_tdengine.migration.rows import TEXTLESS, Transcoder, Transform, distinct_rows
from airflow_provider_tdengine.migration.structure import Structure, coarser, denied

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

_APART = 10
"""How many times a batch's rows are to lie in its range of names for its tables to be few in it."""

_GRACE = 2.0
"""Seconds that a stop gives workers to end; Airflow kills a task after 5."""


class StructureOutdated(MigrationStopped):
    """Tables or columns are not those that were expected; schema sync may cure it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch need not be asked for, since it was a moment ago.

    Parameters:
        structure: both sides' structure; its scope may leave out more than the options do.
        extents: where the rows of the batch's tables lie, None where that was not asked for just its period.
    """

    structure: Structure
    extents: list[Extent] | None


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copied batch came to.

    Parameters:
        rows: rows that the target confirmed, over all tries of the batch.
        bytes: bytes of blocks and statements that it confirmed.
        rejected: rows that it refused and that are kept as dead letters.
        collisions: of the confirmed rows, those that a later one stands for, since the target counts coarser steps.
        seconds: how long this try took.
        strategy: dense or sparse.
    """

    rows: int
    bytes: int
    rejected: int
    collisions: int
    seconds: float
    strategy: str


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
    return "sparse" if values < SPARSE_BELOW else "dense", f"{values:.0f} values a table, the limit is {SPARSE_BELOW}"


def copy_batch(
    source: Catalog,
    target: Catalog,
    batch: Batch,
    options: MigrationOptions,
    progress: ProgressStore,
    *,
    known: Known | None = None,
    dead_letters: DeadLetters | None = None,
    stop: threading.Event | None = None,
    report: Callable[[Checkpoint], None] | None = None,
) -> Copied:
    """Copy a batch, going on from its checkpoint if it has one.

    Parameters:
        source: the source database.
        target: the target database.
        batch: what is copied.
        options: workers, strategy and scope.
        progress: where the checkpoint is kept.
        known: what is known already, None to ask the servers for all of it.
        dead_letters: where refused rows are kept, with `on_error` dead_letter.
        stop: set by somebody who wants it to stop soon; the copy sets it, too, when it fails.
        report: called with the checkpoint at the beginning, and each time it is saved.

    Raises:
        MigrationStopped: the batch cannot be copied; `StructureOutdated` where a table is missing or its columns do
            not fit.
        TDengineError: what no retry cured.
        Stopped: `stop` was set. A worker that waits for a silent server is left behind: it ends when that answers.
    """
    stop = stop or threading.Event()
    try:
        _do(lambda: (source.client.server, target.client.server), stop, FIRST_CONTACT)
        with source, target:
            run = _do(lambda: _Run(source, target, batch, options, known, dead_letters, stop), stop)
        return _copy(run, options, progress, report)
    except Stopped:
        raise Stopped(f"The batch {batch.label} was stopped; its progress is saved") from None
    except PermissionDenied as error:
        raise MigrationStopped([denied(source, target, error)]) from error
    except (TableMissing, StructureChanged) as error:
        finding = Finding(
            f"Batch {batch.label}",
            f"a table has come, gone or changed since the migration was planned ({error})",
            "Clear sync_schema, or the task that does it in your DAG, with all that follows it",
        )
        raise StructureOutdated([finding]) from error


def _do(action: Callable[[], _T], stop: threading.Event, patience: float | None = None) -> _T:
    """Ask the servers something, over retries, and not beyond a stop."""
    return until_stopped(lambda: persist(action, stop, patience=patience), stop)


def _copy(
    run: _Run,
    options: MigrationOptions,
    progress: ProgressStore,
    report: Callable[[Checkpoint], None] | None,
) -> Copied:
    started = time.monotonic()
    checkpoint = _resume(run, progress)
    if checkpoint is None:
        run.rejections.clear()
        checkpoint = Checkpoint(run.identity, run.strategy, run.divide(options.workers))
    if report:
        report(checkpoint)
    workers = [in_background(partial(run.copy_span, checkpoint, span)) for span in checkpoint.spans if not span.done]
    keep = partial(_save, run, checkpoint, progress, report)
    saved = started
    try:
        for _ in watch(workers, run.stop, min(0.5, SAVE_EVERY)):
            if time.monotonic() - saved >= SAVE_EVERY:
                keep()
                saved = time.monotonic()
    except BaseException:
        run.stop.set()
        wait(workers, _GRACE)
        raise
    finally:
        keep()
        if waited := run.brakes.summary():
            log.info("The workers of batch %s waited because of %s", run.batch.label, waited)
    _do(run.check_structure, run.stop)
    return Copied(
        checkpoint.rows,
        checkpoint.bytes,
        checkpoint.rejected,
        checkpoint.collisions,
        time.monotonic() - started,
        run.strategy,
    )


def _save(
    run: _Run, checkpoint: Checkpoint, progress: ProgressStore, report: Callable[[Checkpoint], None] | None
) -> None:
    with run.lock:
        state = checkpoint.to_dict()
    try:
        progress.save(state)
    except ProgressNotSaved as error:
        log.warning("The checkpoint of batch %s was not saved: %s", run.batch.label, error)
    if report:
        report(checkpoint)


def _resume(run: _Run, progress: ProgressStore) -> Checkpoint | None:
    """The batch's checkpoint, None where it has none that can be trusted."""
    label = run.batch.label
    stored = progress.load()
    if stored is None:
        return None
    try:
        checkpoint = Checkpoint.from_dict(stored)
    except (KeyError, TypeError, ValueError):
        log.warning("The stored checkpoint cannot be read; batch %s starts anew", label)
        return None
    if checkpoint.batch != run.identity:
        log.warning("The stored checkpoint is of another batch (%s); %s starts anew", checkpoint.batch, run.identity)
        return None
    if all(span.done for span in checkpoint.spans) and not _do(run.has_arrived, run.stop):
        log.warning("Batch %s was finished, but source and target differ by now; it starts anew", label)
        return None
    run.strategy = checkpoint.strategy
    log.info("Batch %s goes on after %d rows", label, checkpoint.rows)
    return checkpoint


class _Run:
    """What the workers of a batch share."""

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        batch: Batch,
        options: MigrationOptions,
        known: Known | None,
        dead_letters: DeadLetters | None,
        stop: threading.Event,
    ) -> None:
        self.source = source
        self.target = target
        self.batch = batch
        self.stop = stop
        self.lock = threading.Lock()
        self.brakes = Brakes(options.max_rows_per_second, options.max_bytes_per_second, stop.wait)
        self._known = known
        self._scope = known.structure.scope if known else Scope.of(options)
        self._transform = known.structure.transform if known else Transform.of(options)
        ours = known.structure.source if known else _database(source, "source_database")
        theirs = (known.structure.target if known else None) or _database(target, "target_database")
        self._time = TimeScale.between(ours.precision, theirs.precision)
        if self._time.cuts and not options.allow_lossy_precision:
            raise MigrationStopped([coarser(ours, theirs)])
        self.rejections: Rejections = dead_letters or Fail()
        if options.on_expired == "skip":
            self.rejections = SkipExpired(theirs, self.rejections)
        self._precision = ours.precision
        self._tables = self._source_tables()
        most = min(map(rows_a_group, self._tables.values()), default=1)
        self._group_rows = min(most, max(_LEAST_GROUP, options.max_rows_per_second or most))
        self.extents = self._extents()
        self._apart = self._scope.is_partial and self._count() > _APART * _rows(self.extents)
        self.strategy = self._choose(options.strategy)
        tables = {table.name: table for table in (self.table_of(extent.name) for extent in self.extents)}
        self._transcoders = {name: self._transcoder(table) for name, table in tables.items()}

    def _source_tables(self) -> dict[str, Table]:
        """The batch's super table, or its normal tables, by name."""
        if self.batch.stable is not None:
            return {self.batch.stable: self._describe(self.batch.stable)}
        first, last = self.batch.first.encode(), self.batch.last.encode()
        if self._known:
            names = [pair.source.name for pair in self._known.structure.pairs if not pair.source.is_super]
        else:
            names = self.source.normal_tables(self._scope)
        return {name: self._describe(name) for name in names if first <= name.encode() <= last}

    def _describe(self, name: str) -> Table:
        """A table of the source as it is read."""
        return self._transform.selected(self.source.describe(name))

    def _extents(self) -> list[Extent]:
        """Where the rows of the batch's tables lie in the source."""
        if self._known and self._known.extents is not None:
            return self._known.extents
        period, names = (self.batch.start, self.batch.end), (self.batch.first, self.batch.last)
        found = [
            extent
            for table in self._tables.values()
            for extent in extents(self.source, table, self._scope, *period, names)
        ]
        return sorted(found, key=lambda extent: extent.name.encode())

    def _count(self) -> int:
        """Rows of the batch's super table in its range of names, those of subtables out of scope included."""
        if self.batch.stable is None:
            return 0
        conditions = name_range(self.batch.first, self.batch.last)
        conditions += self._tables[self.batch.stable].period(self.batch.start, self.batch.end)
        with self.source.session() as session:
            return count(session, self.source.table(self.batch.stable), conditions)

    @property
    def identity(self) -> str:
        """What a checkpoint must agree with: servers, databases, tables, columns and period."""
        sides = [[str(side.client.address), side.name] for side in (self.source, self.target)]
        columns = [[name, [[c.name, c.sql_type] for c in table.columns]] for name, table in self._tables.items()]
        text = json.dumps([sides, columns, repr(self._scope), repr(self._transform)])
        return f"{self.batch.identity}|{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def has_arrived(self) -> bool:
        """Whether the target holds as many rows as the source, from the same first to the same last one."""
        start, end = self._time.window(self.batch.start, self.batch.end)
        ordered = sorted((self.target_name(extent.name) for extent in self.extents), key=str.encode) or [""]
        names = ordered[0], ordered[-1]
        with self.source, self.target:
            theirs = {
                extent.name: extent
                for table in self._tables.values()
                for extent in extents(self.target, self._transform.renamed(table), Scope(), start, end, names)
            }
            return all(self._is_equal(extent, theirs.get(self.target_name(extent.name))) for extent in self.extents)

    def _is_equal(self, extent: Extent, theirs: Extent | None) -> bool:
        """Whether a table has arrived; in a coarser target, rows that a later one stands for are not there."""
        expected = extent.arrived(self.target_name, self._time)
        if theirs and theirs.rows < expected.rows and self._time.cuts:
            table, period = self.table_of(extent.name), (self.batch.start, self.batch.end)
            rows = distinct_rows(self.source, table, extent.name, period, self._time)
            expected = replace(expected, rows=rows)
        return theirs == expected

    def target_name(self, name: str) -> str:
        """A subtable's or normal table's name in the target."""
        return self._transform.tables(name)

    def check_structure(self) -> None:
        """Make sure that the source's columns are those that were copied.

        Raises:
            StructureChanged: they are not.
        """
        for name, table in self._tables.items():
            if self.batch.stable is not None and self._describe(name).columns != table.columns:
                raise StructureChanged(f"the columns of {name!r} have changed while it was copied")

    def _choose(self, asked: str) -> str:
        """Dense or sparse; the log says why."""
        rows, tables = _rows(self.extents), len(self.extents)
        chosen, why = choose_strategy(asked, next(iter(self._tables.values()), None), tables, rows)
        log.info("Batch %s: %d rows of %d tables: %s (%s)", self.batch.label, rows, tables, chosen, why)
        return chosen

    def table_of(self, name: str) -> Table:
        """The structure of a subtable or normal table."""
        return self._tables[self.batch.stable or name]

    def transcoder(self, name: str) -> Transcoder:
        """How blocks of a subtable or normal table become blocks of the target."""
        return self._transcoders[self.batch.stable or name]

    def _transcoder(self, table: Table) -> Transcoder:
        wanted = self._transform.renamed(table)
        try:
            return Transcoder(table, wanted, self.target.describe(wanted.name), self._time)
        except (TDengineError, ValueError) as error:
            if isinstance(error, TDengineError) and error.retryable:
                raise
            finding = Finding(f"Table {table.name!r} of the target", str(error), "Run schema sync first")
            raise StructureOutdated([finding]) from error

    def divide(self, workers: int) -> list[Span]:
        """The batch in at most as many spans as workers, of about as many rows."""
        units = list(self._units(self.extents, self.batch.start, self.batch.end, workers))
        total = sum(unit.rows for unit in units)
        spans: list[Span] = []
        first, rows = 0, 0
        for i, unit in enumerate(units):
            rows += unit.rows
            if i + 1 == len(units) or rows * workers >= total * (len(spans) + 1):
                spans.append(Span(units[first].table, units[first].start, unit.table, unit.end))
                first = i + 1
        return spans

    def remaining(self, span: Span) -> Iterator[Unit]:
        """What a span has still to do."""
        low, high = span.table.encode(), span.last_table.encode()
        for extent in self.extents:
            if low <= extent.name.encode() <= high:
                start = span.time if extent.name == span.table else self.batch.start
                end = span.last_time if extent.name == span.last_table else self.batch.end
                if start is None or start != end:
                    yield from self._units([extent], start, end)

    def _units(self, extents: list[Extent], start: int | None, end: int | None, workers: int = 1) -> Iterator[Unit]:
        """Tables, and slices of large ones: reading a slice again costs little when a connection is lost."""
        share = math.ceil(sum(extent.rows for extent in extents) / workers) or 1
        for extent in extents:
            is_small = self.strategy == "sparse" and extent.rows <= self._group_rows
            # More slices than rows would be empty ones.
            count = 1 if is_small else min(math.ceil(extent.rows / min(ROWS_A_UNIT, share)), extent.rows)
            is_whole = count == 1 and (start, end) == (self.batch.start, self.batch.end)
            step = self._time.denominator
            for a, b in slices(extent, start, end, count, step) if count > 1 else [(start, end)]:
                yield Unit(extent.name, a, b, extent.rows // count, is_whole)

    # --- Workers

    def copy_span(self, checkpoint: Checkpoint, span: Span) -> None:
        """Copy a span to its end, over lost sessions and busy servers; what no retry cures is raised."""

        def go_on() -> None:
            try:
                with Sessions(self.source, self.target) as sessions:
                    self._copy_remaining(checkpoint, span, sessions)
            except TDengineError as error:
                self.brakes.failed(error)
                with self.lock:
                    checkpoint.retries += error.retryable
                raise

        persist(go_on, self.stop, lambda: (span.table, span.time))

    def _copy_remaining(self, checkpoint: Checkpoint, span: Span, sessions: Sessions) -> None:
        # A list: `remaining` reads the span, which moves while its units are worked on.
        units = list(self.remaining(span))
        work = self._copy_groups(units, sessions) if self.strategy == "sparse" else self._copy_units(units, sessions)
        for step in self.brakes.paced(work, sessions.target):
            with self.lock:
                checkpoint.rows += step.rows
                checkpoint.bytes += step.bytes
                checkpoint.rejected += step.rejected
                checkpoint.collisions += step.collisions
                span.table, span.time = step.table, step.time
            if self.stop.is_set():
                raise Stopped
        with self.lock:
            span.done = True

    def _copy_units(self, units: list[Unit], sessions: Sessions) -> Iterator[Step]:
        for unit in units:
            transcoder = self.transcoder(unit.table)
            try:
                writer = TableWriter(
                    sessions.target,
                    self.target,
                    self.target_name(unit.table),
                    transcoder,
                    self._precision,
                    self.rejections,
                )
                yield from copy_unit(sessions.source, self.source, transcoder, writer, unit)
            except IncompleteResult:
                # Rows may be missing anywhere in the unit, so all of it is read again.
                yield Step(unit.table, unit.start, 0, 0)
                raise

    def _copy_groups(self, units: list[Unit], sessions: Sessions) -> Iterator[Step]:
        for is_small, some in groupby(groups(units, self._group_rows), self._is_small):
            if is_small:
                yield from self._copy_small(deque(some), sessions)
            else:
                for group in some:
                    yield from self._copy_units(group, sessions)

    def _copy_small(self, pending: deque[list[Unit]], sessions: Sessions) -> Iterator[Step]:
        """Copy groups; where a row is refused, its group is halved until its subtable stands alone."""
        while pending:
            transcoder = self.transcoder(pending[0][0].table)
            work = copy_groups(
                sessions, self.source, self.target, self.target_name, transcoder, list(pending), apart=self._apart
            )
            try:
                for step in work:
                    pending.popleft()
                    yield step
            except RowRejected:
                # It may be in a later group; halving this one does no harm.
                group = pending.popleft()
                if len(group) == 1:
                    yield from self._copy_units(group, sessions)
                else:
                    half = len(group) // 2
                    pending.extendleft((group[half:], group[:half]))

    def _is_small(self, group: list[Unit]) -> bool:
        """Whether one query may read a group: not a large subtable among small ones, nor one that was begun."""
        return sum(unit.rows for unit in group) <= self._group_rows and all(unit.exact for unit in group)


def _rows(extents: list[Extent]) -> int:
    return sum(extent.rows for extent in extents)


def _database(catalog: Catalog, option: str) -> Database:
    database = catalog.database()
    if database is None:
        raise MigrationStopped([catalog.missing(option)])
    return database
