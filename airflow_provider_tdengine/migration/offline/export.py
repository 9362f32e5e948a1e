"""A database written into a folder of Parquet files: batch by batch as a migration copies it, resumable, with digests.

A batch that is complete, and whose files still have their SHA-256, is not read again. Each worker writes files of its
own; one whose session is lost is begun anew.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar, cast
from uuid import uuid4

import numpy as np

from airflow_provider_tdengine.client.block import Block, column_from_list
from airflow_provider_tdengine.client.errors import (
    IncompleteResult,
    PermissionDenied,
    StructureChanged,
    TableMissing,
    TDengineError,
)
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.secrets import secrets_in
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped, in_background, until_stopped, watch
from airflow_provider_tdengine.migration.catalog import (
    Catalog,
    Holdings,
    Period,
    Scope,
    Table,
    TimeScale,
    each,
    holdings,
    meet,
    together,
)
from airflow_provider_tdengine.migration.copying import (
    ROWS_A_UNIT,
    Batch,
    Brakes,
    Step,
    Tally,
    Unit,
    by_table,
    choose_strategy,
    count,
    groups,
    lies_in_hay,
    read_group,
    read_unit,
    rows_a_group,
    slices,
    window,
)
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.offline.arrow import NotText, Writer
from airflow_provider_tdengine.migration.offline.folder import (
    FORMAT,
    MANIFEST,
    NORMAL_TABLES,
    PLAN,
    SCHEMA,
    File,
    Folder,
    Part,
    database_to_dict,
    folder_name,
    table_to_dict,
)
from airflow_provider_tdengine.migration.offline.index import (
    FIELDS,
    PRECISION,
    Entries,
    read_blocks,
    read_entries,
    subtable_fields,
)
from airflow_provider_tdengine.migration.offline.row_file import RowFile
from airflow_provider_tdengine.migration.options import EXPORT_CONTENT, MigrationOptions
from airflow_provider_tdengine.migration.planning import make_batches
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import Transform
from airflow_provider_tdengine.migration.storage import digest, typed
from airflow_provider_tdengine.migration.structure import (
    Leftover,
    Structure,
    TablePair,
    leftovers,
    source_tables,
    table_options,
    table_options_not_taken,
    things,
)

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_SUBTABLES_A_GROUP = 20_000

_LEAST_ROWS = 20_000
"""Rows of a file, at least, before another worker begins another one."""

_OTHERWISE = "another folder, or force, which begins the export anew"
"""What to give instead of what an export cannot go on with."""

_GRACE = 2.0
"""Seconds that a stop gives workers to end."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to.

    Parameters:
        folder: where it is.
        rows: how many there are.
        tables: how many tables have some.
        subtables: how many subtables there are, those without rows, too.
        files: how many files hold rows.
        bytes: of all files.
        values: bytes of the rows' values.
        batches: how many batches there are.
        kept: how many of them an earlier call has written.
        after_end: rows at or after the end of the period, where nobody has asked for that end.
        vanished: tables that went from the source while they were exported, see `Part`.
        seconds: how long it took.
    """

    folder: str
    rows: int
    tables: int
    subtables: int
    files: int
    bytes: int
    values: int
    batches: int
    kept: int
    after_end: int
    vanished: int
    seconds: float

    def facts(self) -> wording.Facts:
        """What people read."""
        share = f", {100 * self.bytes / self.values:.0f} % of the size of the values" if self.values else ""
        return [
            ("rows", f"{self.rows:,}"),
            ("tables with rows", f"{self.tables:,}"),
            ("subtables", f"{self.subtables:,}"),
            ("files of rows", f"{self.files:,}"),
            ("size of all files", f"{wording.size(self.bytes)}{share}"),
            ("kept from an earlier call", wording.number(self.kept, "batch", "batches") if self.kept else ""),
            ("rows at or after the end, left out", f"{self.after_end:,}" if self.after_end else ""),
            ("tables that have gone", f"{self.vanished:,}" if self.vanished else ""),
        ]


@dataclass(frozen=True, slots=True)
class _Job:
    """What goes into one file: a part of tables of the same columns.

    Parameters:
        table: the super table; of normal tables, one of them.
        units: in the order in which they are read.
        is_sparse: whether one query reads many of them.
        is_needle: see `copying.read_group`.
        gone: tables that were seen to go.
    """

    table: Table
    units: list[Unit]
    is_sparse: bool
    is_needle: bool
    gone: set[str] = field(default_factory=set)


class Export:
    """Writes a database into a folder, or goes on with that; nothing is written before `run`.

    Parameters:
        source: the database.
        options: those of `EXPORT_CONTENT` and `EXPORT_PACE` count; with `force`, what is in the folder is not gone on
            with.
        folder: where to; any path with the methods of `pathlib.Path`, such as Airflow's `ObjectStoragePath`.
        stop: set by somebody who wants it to stop soon.

    Raises:
        MigrationStopped: what stands in the way: the folder holds another export, a damaged one, or other things.
        StorageFailed: the folder cannot be read.
        TDengineError: what no retry cured.
        Stopped: `stop` was set.
    """

    def __init__(
        self, source: Catalog, options: MigrationOptions, folder: Path, stop: threading.Event | None = None
    ) -> None:
        self._source = source
        self._folder = Folder(folder)
        self._stop = stop or threading.Event()
        self._headway = Headway("Exporting")
        with source, self._allowed():
            until_stopped(partial(meet, source, source, self._stop), self._stop)
            self._begin(options)

    def _begin(self, options: MigrationOptions) -> None:
        """Look at the folder and at the source."""
        source, folder = self._source, self._folder
        self._asked = {name: getattr(options, name) for name in EXPORT_CONTENT}
        begun = None if options.force else folder.load(SCHEMA)
        if begun:
            stop_on(self._is_another(begun))
        elif not options.force and (other := folder.others()):
            found = f"it holds {other!r}, which is of no export: there is no {SCHEMA}"
            action = "Give an empty folder, or force, which removes what is there"
            raise MigrationStopped([Finding(f"Folder {str(folder)!r}", found, action)])
        self._begun = begun
        moment = begun["created"] if begun else self._now().isoformat()
        self._is_end_implied = not options.end
        self._options = options.ended(datetime.fromisoformat(str(moment)))
        self._created = str(moment)
        self._scope, self._transform = Scope.of(options), Transform.of(options)
        self._brakes = Brakes(options.max_rows_per_second, 0, self._stop.wait)
        self._database, tables = self._do(lambda: source_tables(source, self._scope, self._transform))
        known = {table["name"] for table in cast("list[dict[str, object]]", begun["tables"])} if begun else None
        # What came after the beginning is not of this export.
        self._tables = [table for table in tables if known is None or table.name in known]
        stop_on(self._do(lambda: source.nothing_meant(self._scope, self._tables, may_come=False)))

    def run(self, headway: Headway | None = None) -> Exported:
        """Write structure, rows, and what says that it is complete.

        Parameters:
            headway: is told how many rows are written.

        Raises:
            MigrationStopped: the source has changed in a way that the export cannot follow.
            StorageFailed: the folder cannot be written.
            TDengineError: what no retry cured.
            Stopped: `stop` was set; another call goes on from there.
        """
        self._headway = headway or self._headway
        with self._source, self._allowed():
            return self._run()

    @contextmanager
    def _allowed(self) -> Iterator[None]:
        """Something for which the account needs rights."""
        try:
            yield
        except PermissionDenied as error:
            address, name = self._source.client.address, self._source.name
            found = f"it may not do what an export needs ({error})"
            grant = self._source.client.dialect.grant_reading(name, address.user)
            action = f"It must read {name} and the information schema; as root of 3.x: {grant}"
            raise MigrationStopped([Finding(f"Account {address.user!r} of {address}", found, action)]) from error

    def _run(self) -> Exported:
        started = time.monotonic()
        schema = self._schema()
        period = window(self._options, self._database)
        batches = self._plan(period)
        self._headway.total = sum(batch.rows for batch in batches)
        stables = [table for table in self._tables if table.is_super]
        lists = {stable.name: self._subtables(stable) for stable in stables}
        parts: list[Part] = []
        kept = done = earlier = 0
        for number, batch in enumerate(batches, 1):
            part = self._kept(number, batch)
            kept, earlier = kept + (part is not None), earlier + (part.rows if part else 0)
            parts.append(part or self._batch(number, batch))
            done += parts[-1].rows
            self._headway.at(done, earlier)
        for stable in stables:
            lists[stable.name] = self._with_newcomers(stable, lists[stable.name], parts)
        files = [file for part in parts for file in (*part.files, part.index)] + list(lists.values())
        self._folder.save(
            MANIFEST,
            {
                "format": FORMAT,
                "schema": digest(schema),
                "rows": done,
                "subtables": {stable: asdict(file) for stable, file in lists.items()},
                "batches": [asdict(part) for part in parts],
            },
        )
        return Exported(
            str(self._folder),
            done,
            sum(part.tables for part in parts),
            sum(file.rows for file in lists.values()),
            sum(len(part.files) for part in parts),
            sum(file.bytes for file in files),
            sum(part.values for part in parts),
            len(parts),
            kept,
            self._after_end(period) if self._is_end_implied else 0,
            sum(part.vanished for part in parts),
            time.monotonic() - started,
        )

    def _after_end(self, period: Period) -> int:
        """How many rows lie at or after the end."""
        behind = (together(self._source, table, self._scope, (period[1], None), self._stop) for table in self._tables)
        return sum(one.rows for one in behind if one)

    def _do(self, action: Callable[[], _T]) -> _T:
        """Ask the source something, over retries, and not beyond a stop."""
        return until_stopped(lambda: persist(action, self._stop), self._stop)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._do(self._source.behind_now), timezone.utc)

    # --- Structure

    def _is_another(self, begun: Mapping[str, object]) -> Iterator[Finding]:
        """What the folder's export is of, if it is another one."""
        place = f"Folder {str(self._folder)!r}"
        if begun["format"] != FORMAT:
            found = f"it has an export of format {begun['format']}, and this version writes format {FORMAT}"
            yield Finding(place, found, f"Give {_OTHERWISE}")
            return
        origin, own = begun["source"], self._source.to_dict()
        if origin != own:
            found = f"it has an export of {_said(origin)}, and this would be one of {_said(own)}"
            yield Finding(place, found, f"Give that source again, {_OTHERWISE}")
            return
        asked = cast("dict[str, object]", begun["asked"])
        for name, value in self._asked.items():
            if (before := asked.get(name)) != value:
                found = f"its export was begun with {name} {before!r}, and would go on with {value!r}"
                yield Finding(place, found, f"Give {name} {before!r} again, {_OTHERWISE}")

    def _schema(self) -> Mapping[str, object]:
        """The schema file: that which is there, or a new one."""
        tables = [table_to_dict(table) for table in self._tables]
        if self._begun:
            before = cast("list[dict[str, object]]", self._begun["tables"])
            since = f"when the export in {str(self._folder)!r} was begun"
            stop_on(
                Finding(f"Table {name!r}", f"{found} {since}", f"Give {_OTHERWISE}")
                for name, found in _changed(before, tables)
            )
            return self._begun
        source, kinds = self._source, MigrationOptions(objects="all").object_kinds
        schema: dict[str, object] = {
            "format": FORMAT,
            "export": uuid4().hex,
            "source": source.to_dict(),
            "created": self._created,
            "asked": self._asked,
            "start": self._options.start,
            "end": self._options.end,
            "database": database_to_dict(self._database),
            "tables": tables,
            "table_options": [[name, asdict(one)] for name, one in self._do(lambda: list(table_options(source)))],
            "table_options_not_taken": [
                one.to_dict() for one in self._do(lambda: list(table_options_not_taken(source, self._tables)))
            ],
            "not_migrated": [one.to_dict() for one in self._do(lambda: leftovers(source))],
            "objects": [_without_secrets(one).to_dict() for one in self._do(lambda: things(source, kinds))],
        }
        if self._options.force:
            self._folder.clear()
        self._folder.save(SCHEMA, schema)
        return schema

    def _plan(self, period: Period) -> list[Batch]:
        """The batches: those that were planned when it was begun, or new ones."""
        if stored := self._folder.load(PLAN):
            return [Batch.from_dict(batch) for batch in cast("list[dict[str, object]]", stored["batches"])]
        pairs = [TablePair(table, table, None) for table in self._tables]
        structure = Structure(self._database, None, pairs, self._scope, Transform(), TimeScale())
        batches = self._do(lambda: make_batches(self._source, structure, period))
        self._folder.save(PLAN, {"batches": [batch.to_dict() for batch in batches]})
        return batches

    # --- Subtables

    def _subtables(self, stable: Table) -> File:
        """The file of a super table's subtables with their tags, those without rows, too."""
        stored = self._folder.load(_record_of_list(stable))
        if stored and not self._folder.wrong([file := typed(File, stored["file"])]):
            return file
        return self._list(stable, [])

    def _with_newcomers(self, stable: Table, file: File, parts: Sequence[Part]) -> File:
        """The same, listed once more where rows of subtables were exported that it does not name."""
        blocks = list(read_blocks(self._folder, file, subtable_fields(stable)))
        known = {name for block in blocks for name in block.column_values(0)}
        for part in parts:
            if part.stable == stable.name:
                entries = read_entries(self._folder, part)
                if not known.issuperset(entries.names):
                    return self._list(stable, blocks)
        return file

    def _list(self, stable: Table, known: Sequence[Block]) -> File:
        """List a super table's subtables.

        Parameters:
            stable: the super table.
            known: those that were listed before; some may have gone since.
        """
        fields, listed = subtable_fields(stable), self._do(lambda: list(self._source.subtables(stable, self._scope)))
        there = {own.name for own in listed}
        rows = [(own.name, *own.tags) for own in listed]
        rows += [row for block in known for row in block.to_rows() if row[0] not in there]

        def write(binary: frozenset[int]) -> File:
            with (
                self._folder.written(f"subtables/{folder_name(stable.name)}.parquet") as (opened, done),
                Writer(opened, fields, self._database.precision, binary=binary) as writer,
            ):
                for start in range(0, len(rows), _SUBTABLES_A_GROUP):
                    some = rows[start : start + _SUBTABLES_A_GROUP]
                    values = zip(*some, strict=True)
                    columns = (column_from_list(field, own) for field, own in zip(fields, values, strict=True))
                    writer.write(Block(fields, tuple(columns), len(some)))
            return done(len(rows))

        file = as_text(write)
        self._folder.save(_record_of_list(stable), {"file": asdict(file)})
        return file

    # --- Rows

    def _kept(self, number: int, batch: Batch) -> Part | None:
        """A batch as an earlier call has written it, None where it has not, or files of it are damaged."""
        stored = self._folder.load(_record(f"{number:04}"))
        if stored is None:
            return None
        part = Part.from_dict(stored)
        wrong = self._folder.wrong([*part.files, part.index])
        for finding in wrong:
            log.warning("Batch %s is exported once more: %s", batch.label, finding)
        return None if wrong or part.batch != batch.identity else part

    def _batch(self, number: int, batch: Batch) -> Part:
        """Write a batch, its jobs side by side."""
        jobs = self._do(lambda: list(self._jobs(batch)))
        room = NORMAL_TABLES if batch.stable is None else folder_name(batch.stable)
        done: dict[int, tuple[File, Entries, int]] = {}
        pending = iter(enumerate(jobs))
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    place, job = next(pending, (0, None))
                if job is None:
                    return
                done[place] = self._file(f"rows/{room}/{number:04}-{place + 1}.parquet", place, job)

        running: list[Future[None]] = [in_background(work) for _ in range(min(self._options.workers, len(jobs)))]
        try:
            for _ in watch(running, self._stop):
                pass
        except BaseException:
            self._stop.set()
            wait(running, _GRACE)
            raise
        written = [done[place] for place in range(len(jobs))]
        entries = Entries.together(own for _, own, _ in written)
        part = Part(
            batch.identity,
            batch.stable,
            tuple(file for file, _, _ in written),
            self._index(f"index/{number:04}.parquet", entries),
            int(entries.rows.sum()),
            len(set(entries.names)),
            sum(values for _, _, values in written),
            _vanished(batch, jobs),
        )
        if part.vanished:
            log.warning("Gone from the source: %s of batch %s", wording.number(part.vanished, "table"), batch.label)
        self._folder.save(_record(f"{number:04}"), asdict(part))
        return part

    def _index(self, name: str, entries: Entries) -> File:
        with self._folder.written(name) as (opened, done), Writer(opened, FIELDS, PRECISION) as writer:
            entries.write(writer)
        return done(len(entries))

    def _jobs(self, batch: Batch) -> Iterator[_Job]:
        """What a batch is made of: about as many rows for each worker; normal tables by their columns."""
        scope, tables = self._scope.between(batch.first, batch.before), {table.name: table for table in self._tables}
        if batch.stable is not None:
            table = tables[batch.stable]
            found = holdings(self._source, table, scope, batch.period, self._stop)
            way, _ = choose_strategy(self._options.strategy, table, len(found), found.total)
            is_needle = (
                way == "sparse"
                and scope.is_partial
                and lies_in_hay(self._source, table, found, batch.period, self._stop)
            )
            for units in self._divided(found, batch, rows_a_group(table) if way == "sparse" else 0):
                yield _Job(table, units, way == "sparse", is_needle)
            return
        normal = [table for table in self._tables if not table.is_super and scope.has_normal_table(table.name)]
        there = {one.name: one for one in each(self._source, normal, scope, batch.period, self._stop)}

        def shape(table: Table) -> str:
            # Columns are asked for by name where a table has more than those that are wanted.
            return repr((table.columns, table.second_key, table.is_whole))

        for _, group in groupby(sorted((table for table in normal if table.name in there), key=shape), shape):
            alike = list(group)
            for units in self._divided(Holdings.of([there[table.name] for table in alike]), batch, 0):
                yield _Job(alike[0], units, is_sparse=False, is_needle=False)

    def _divided(self, found: Holdings, batch: Batch, group_rows: int) -> Iterator[list[Unit]]:
        """Tables, and slices of large ones, in as many parts as there are workers, of about as many rows.

        Parameters:
            found: what the tables hold.
            batch: whose tables they are.
            group_rows: rows of a table that is read with others, at most.
        """
        workers = self._options.workers
        share = max(_LEAST_ROWS, math.ceil(found.total / workers))
        units = []
        for holding in found:
            parts = 1 if holding.rows <= group_rows else math.ceil(holding.rows / min(ROWS_A_UNIT, share))
            bounds = slices(holding, *batch.period, parts) if parts > 1 else [batch.period]
            units += [Unit(holding.name, a, b, holding.rows // parts, parts == 1) for a, b in bounds]
        part: list[Unit] = []
        rows = 0
        for unit in units:
            part.append(unit)
            rows += unit.rows
            if rows >= share:
                yield part
                part, rows = [], 0
        if part:
            yield part

    def _file(self, name: str, number: int, job: _Job) -> tuple[File, Entries, int]:
        """Write a file, anew as long as a retry can cure what fails.

        Parameters:
            name: of the file.
            number: of it in its batch.
            job: what goes into it.

        Returns:
            It, what lies where in it, and the bytes of the values.
        """

        def write(binary: frozenset[int]) -> tuple[File, Entries, int]:
            with (
                self._folder.written(name) as (opened, done),
                RowFile(opened, number, job.table, self._database.precision, binary) as rows,
                self._source.work_session() as session,
            ):
                for step in self._brakes.paced(self._read(session, job, rows), session):
                    self._headway.add(step.tally.rows)
                    if self._stop.is_set():
                        raise Stopped
                entries = rows.entries()
            return done(rows.rows), entries, rows.values

        def attempt() -> tuple[File, Entries, int]:
            nonlocal job
            try:
                return as_text(write)
            except TDengineError as error:
                self._brakes.failed(error)
                if isinstance(error, IncompleteResult) and job.is_sparse:
                    # Rows may have expired, or been deleted, since they were counted.
                    job = self._counted_again(job)
                raise

        return persist(attempt, self._stop)

    def _counted_again(self, job: _Job) -> _Job:
        """The same with what its tables hold by now; slices of large ones, whose rows are guesses, stay as they are."""
        whole = [unit for unit in job.units if unit.exact]
        if not whole:
            return job
        scope = self._scope.between(whole[0].table, f"{whole[-1].table}\x01")
        found = holdings(self._source, job.table, scope, (whole[0].start, whole[0].end), self._stop)
        there = dict(zip(found.names, found.rows.tolist(), strict=True))
        job.gone.update(unit.table for unit in whole if unit.rows and unit.table not in there)
        units = [replace(unit, rows=there.get(unit.table, 0)) if unit.exact else unit for unit in job.units]
        return replace(job, units=units)

    def _read(self, session: Session, job: _Job, rows: RowFile) -> Iterator[Step]:
        if not job.is_sparse:
            for unit in job.units:
                yield from self._read_unit(session, job, unit, rows)
            return
        for group in groups(job.units, rows_a_group(job.table)):
            if len(group) == 1 or not group[0].exact:
                for unit in group:
                    yield from self._read_unit(session, job, unit, rows)
                continue
            result = read_group(session, self._source, job.table, group, is_needle=job.is_needle)
            counts, block, _ = by_table(job.table, group, result.blocks())
            there = np.flatnonzero(counts)
            if len(there):
                rows.add([group[place].table for place in there.tolist()], counts[there], block)
            rows.end_table()
            yield Step(group[-1].table, group[-1].behind, Tally(block.rows))

    def _read_unit(self, session: Session, job: _Job, unit: Unit, rows: RowFile) -> Iterator[Step]:
        table, read = job.table, 0
        try:
            for block in read_unit(session, self._source, table, unit).blocks():
                if block.rows:
                    rows.add([unit.table], np.array([block.rows]), block)
                    read += block.rows
                    yield Step(unit.table, None, Tally(block.rows))
            if read < unit.rows or not unit.exact:
                expected = count(session, self._source, table, unit)
                if read < expected:
                    origin = self._source.table(unit.table)
                    raise IncompleteResult(f"{read:,} rows of {origin} arrived where the source counts {expected:,}")
        except (TableMissing, StructureChanged) as error:
            if self._source.has_table(unit.table, table.name if table.is_super else None):
                found = f"it was changed, or made anew, while it was exported ({error})"
                raise MigrationStopped([Finding(f"Table {unit.table!r}", found, f"Give {_OTHERWISE}")]) from error
            log.warning("Table %s has gone from the source while it was exported", unit.table)
            job.gone.add(unit.table)
        rows.end_table()


def _vanished(batch: Batch, jobs: Sequence[_Job]) -> int:
    """How many of a batch's tables have gone since it was planned."""
    gone = len({name for job in jobs for name in job.gone})
    # Of a giant table's batches, the plan does not say which of them have rows.
    if batch.tables > 1:
        gone += max(0, batch.tables - len({unit.table for job in jobs for unit in job.units}))
    return gone


def as_text(write: Callable[[frozenset[int]], _T]) -> _T:
    """Write a file, once more where text of a column is not UTF-8: there, it is binary.

    Parameters:
        write: writes it, with the numbers of the columns that are binary.
    """
    binary = frozenset[int]()
    while True:
        try:
            return write(binary)
        except NotText as found:
            binary |= found.columns


def _record(name: str) -> str:
    """Where it says of something that it is complete."""
    return f"parts/{name}.json"


def _record_of_list(stable: Table) -> str:
    """The same of a super table's list of subtables; a batch's has a number."""
    return _record(f"subtables-{folder_name(stable.name)}")


def _without_secrets(thing: Leftover) -> Leftover:
    """The same without a statement that has secrets; a masked one might be executed."""
    return replace(thing, definition="") if secrets_in(thing.definition) else thing


def _said(origin: object) -> str:
    """A source, for people."""
    said = cast("dict[str, str]", origin)
    return f"{said['database']!r} of {said['address']} (TDengine {said['version']})"


def _changed(before: Sequence[Mapping[str, object]], now: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """Names of tables that have another structure now, or none, and which of both."""
    there = {table["name"]: table for table in now}
    for table in before:
        if table["name"] not in there:
            yield str(table["name"]), "it has gone, and was there"
        elif there[table["name"]] != table:
            yield str(table["name"]), "it has other columns or tags than"
