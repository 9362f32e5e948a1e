"""The folder of an export as a source: a migration reads it as it reads a server, and proves what arrived as it does.

What the engine asks a server about rows and structure, it asks by functions that go by the kind of the database, or of
the session, they are given. Here are the answers for a folder. All other questions have none: there is no server.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NoReturn, cast

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.answers import version_of
from airflow_provider_tdengine.client.block import Block, Ints, column_from_list, times_of
from airflow_provider_tdengine.client.connection import Server
from airflow_provider_tdengine.client.errors import TableMissing, UnsupportedServer
from airflow_provider_tdengine.client.result import Result
from airflow_provider_tdengine.client.types import Field, Precision
from airflow_provider_tdengine.migration.catalog import (
    Catalog,
    Database,
    Holding,
    Holdings,
    Period,
    Scope,
    Subtable,
    Table,
    count,
    each,
    holdings,
    measured,
    together,
)
from airflow_provider_tdengine.migration.copying import Rows, Unit, read_group, read_unit
from airflow_provider_tdengine.migration.copying import count as count_of_unit
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.offline.arrow import Reader
from airflow_provider_tdengine.migration.offline.folder import (
    FORMAT,
    MANIFEST,
    SCHEMA,
    File,
    Folder,
    Part,
    database_from_dict,
    parts_of,
    table_from_dict,
)
from airflow_provider_tdengine.migration.offline.index import (
    NAME,
    Entries,
    begins,
    read_blocks,
    read_entries,
    subtable_fields,
)
from airflow_provider_tdengine.migration.planning import SAMPLE, Sample, sample
from airflow_provider_tdengine.migration.rows import name_hashes, row_hashes
from airflow_provider_tdengine.migration.storage import digest, this_host, typed
from airflow_provider_tdengine.migration.structure import (
    Leftover,
    TableOptions,
    leftovers,
    own_things,
    table_options,
    table_options_not_taken,
    things,
)


@dataclass(frozen=True, kw_only=True)
class ExportAddress(Address):
    """The server that an export was read from, which nobody asks any more.

    Parameters:
        export: which export it is.
    """

    export: str = ""

    def __str__(self) -> str:
        return f"the export {self.export} of {super().__str__()}"


class _NoServer(Client):
    """What is known of the server that an export was read from."""

    def __init__(self, origin: Mapping[str, str], export: str) -> None:
        super().__init__(ExportAddress.from_url(origin["address"], export=export))
        version = origin["version"]
        self._server = Server(version, version_of(version), None, False, 0)

    def session(self, database: str | None = None) -> NoReturn:
        raise UnsupportedServer(f"{self.address} is in files, and no server is asked")


def opened(path: Path) -> StoredCatalog:
    """The export in a folder, all of whose files are there and as they were written.

    Parameters:
        path: the folder; any path with the methods of `pathlib.Path`, such as Airflow's `ObjectStoragePath`.

    Raises:
        MigrationStopped: there is none, it is not complete, or files are missing or damaged.
        StorageFailed: it cannot be read.
    """
    folder = Folder(path)
    schema, manifest = folder.load(SCHEMA), folder.load(MANIFEST)
    place = f"Folder {str(folder)!r}"
    if schema is None:
        action = "Give the folder that was exported into; a folder on a disk must be on all workers"
        raise MigrationStopped([Finding(place, f"it has no export on {this_host()}: there is no {SCHEMA}", action)])
    if manifest is None:
        action = "Run the export again, which goes on where it stopped; or, if it has ended, copy all of its folder"
        raise MigrationStopped([Finding(place, f"its export is not complete: there is no {MANIFEST}", action)])
    if {schema["format"], manifest["format"]} != {FORMAT}:
        found = f"it has an export of format {schema['format']}, and this version reads format {FORMAT}"
        action = "Use the version of airflow-provider-tdengine that has written it"
        raise MigrationStopped([Finding(place, found, action)])
    if manifest["schema"] != digest(schema):
        found = f"it is not the one that {MANIFEST} was written with"
        raise MigrationStopped([folder.damaged(SCHEMA, found, is_read_again=True)])
    parts = parts_of(manifest)
    lists = {name: typed(File, one) for name, one in cast("dict[str, object]", manifest["subtables"]).items()}
    stop_on(folder.wrong([*lists.values(), *(file for part in parts for file in (*part.files, part.index))]))
    return StoredCatalog(folder, schema, parts, lists)


@dataclass(slots=True)
class _Owner:
    """What is stored of a super table's subtables, or of a normal table.

    Parameters:
        names: (tables,) with rows, by name.
        bounds: (tables + 1,) where each one's entries begin among `entries`.
        entries: numbers of the entries, by table and time.
    """

    names: list[str]
    bounds: Ints
    entries: Ints


class StoredCatalog(Catalog):
    """An export as the database that it was read from. See `opened`.

    Parameters:
        folder: where it is.
        schema: what `schema.json` says.
        parts: its batches.
        lists: its files of subtables, by super table.
    """

    def __init__(
        self, folder: Folder, schema: Mapping[str, object], parts: Sequence[Part], lists: Mapping[str, File]
    ) -> None:
        origin = cast("dict[str, str]", schema["source"])
        super().__init__(_NoServer(origin, str(schema["export"])[:12]), origin["database"])
        self.folder = folder
        self._period = {"start": schema["start"], "end": schema["end"]}
        self._created = str(schema["created"])
        self.as_of = datetime.fromisoformat(self._created).timestamp()
        self._database = database_from_dict(cast("dict[str, object]", schema["database"]))
        tables = map(table_from_dict, cast("list[dict[str, object]]", schema["tables"]))
        self._tables = {table.name: table for table in tables}
        self.schema = schema
        self._parts, self._lists = parts, lists
        files = [(file, part) for part in parts for file in part.files]
        self.files = [file for file, _ in files]
        firsts = np.cumsum([0, *(len(part.files) for part in parts)])
        indexes = [read_entries(folder, part) for part in parts]
        self.index = Entries.together(
            replace(own, files=own.files + first) for own, first in zip(indexes, firsts.tolist(), strict=False)
        )
        stables = np.repeat(np.arange(len(parts)), [len(own) for own in indexes])
        self._owned = self._by_owner([part.stable for part in parts], stables)
        self._columns = self._columns_of_files()
        self._last = threading.local()

    @property
    def precision(self) -> Precision:
        return self._database.precision

    def to_dict(self) -> dict[str, str]:
        origin = cast("dict[str, str]", self.schema["source"])
        return {**origin, "exported": self._created, "export": str(self.schema["export"]), "folder": str(self.folder)}

    def given(self, values: Mapping[str, object]) -> dict[str, object]:
        """Options of a migration from here: its period is that of the export, where they give no other one.

        Parameters:
            values: by option name.
        """
        return {**self._period, **values, "source_database": self.name}

    def vanished(self, scope: Scope) -> int:
        return sum(part.vanished for part in self._parts if part.stable is None or scope.has_stable(part.stable))

    # --- What lies where

    def _by_owner(self, stables: Sequence[str | None], part_of: Ints) -> dict[str, _Owner]:
        """Entries by super table, or by normal table.

        Parameters:
            stables: of each batch.
            part_of: (entries,) of which batch each is.
        """
        names, owners = self.index.names, dict[str, list[int]]()
        for entry, part in enumerate(part_of.tolist()):
            stable = stables[part]
            owners.setdefault(names[entry] if stable is None else stable, []).append(entry)
        found = {}
        first = self.index.first.tolist()
        for owner, entries in owners.items():
            entries.sort(key=lambda entry: (names[entry], first[entry]))
            own = [names[entry] for entry in entries]
            starts = begins(own)
            bounds = np.array([*starts, len(entries)], np.int64)
            found[owner] = _Owner([own[place] for place in starts], bounds, np.array(entries, np.int64))
        return found

    def _columns_of_files(self) -> list[tuple[Field, ...]]:
        """Of each file: all of its tables have the same."""
        columns: list[tuple[Field, ...]] = [()] * len(self.files)
        for owner, owned in self._owned.items():
            for file in set(self.index.files[owned.entries].tolist()):
                columns[file] = self._tables[owner].columns
        return columns

    @cached_property
    def groups(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The first entry of each row group, and that behind its last one."""
        keys = list(zip(self.index.files.tolist(), self.index.groups.tolist(), strict=True))
        return {keys[a]: (a, b) for a, b in pairwise([*begins(keys), len(keys)])}

    @cached_property
    def offsets(self) -> Ints:
        """(entries,) where each one's rows begin in their row group."""
        behind = np.cumsum(self.index.rows)
        offsets = behind - self.index.rows
        for first, last in self.groups.values():
            offsets[first:last] -= offsets[first]
        return offsets

    def block(self, file: int, group: int) -> Block:
        """A row group, whose rows come to what the source gave.

        Each thread keeps its last one: small tables of one are asked for one after the other.

        Raises:
            MigrationStopped: they do not.
            StorageFailed, NotParquet: it cannot be read.
        """
        if getattr(self._last, "key", None) != (file, group):
            # Two of them are not in memory together.
            self._last.key = self._last.block = None
            self._last.block = self._checked(file, group)
            self._last.key = file, group
        return cast(Block, self._last.block)

    def _checked(self, file: int, group: int) -> Block:
        own = self.files[file]
        with Reader(self.folder.readable(own.name), self._columns[file], has_names=True) as reader:
            block = reader.read(group)
        first, behind = self.groups[file, group]
        rows = self.index.rows[first:behind]
        if block.rows == rows.sum():
            hashes = row_hashes(block, np.repeat(name_hashes(self.index.names[first:behind]), rows))
            if np.array_equal(np.add.reduceat(hashes, np.cumsum(rows) - rows), self.index.digests[first:behind]):
                return block
        raise MigrationStopped([self.folder.damaged(own.name, "its rows are not those that the source gave")])

    def entries_of(self, table: Table, name: str) -> Ints:
        """Where the rows of a table lie.

        Parameters:
            table: its super table, or the normal table.
            name: of the table.

        Raises:
            TableMissing: there is none of that name.
        """
        owned = self._owned.get(table.name if table.is_super else name)
        place = bisect_left(owned.names, name) if owned else 0
        if owned and place < len(owned.names) and owned.names[place] == name:
            return owned.entries[owned.bounds[place] : owned.bounds[place + 1]]
        if not self.has_table(name, table.name if table.is_super else None):
            raise TableMissing(f"{self.client.address} has no table {name!r}")
        return _NOTHING

    def held(self, table: Table, scope: Scope, period: Period) -> Holdings:
        """What is stored of a super table's subtables in scope, or of a normal table or subtable, in a period."""
        if table.where:
            raise UnsupportedServer(f"{self.client.address} is in files, which no condition is asked of")
        if table.is_super:
            owned = self._owned.get(table.name)
            names, places = _meant(owned.names if owned else [], table.name, scope)
            parts = [owned.entries[owned.bounds[place] : owned.bounds[place + 1]] for place in places] if owned else []
        else:
            names, parts = [table.name], [self._alone(table.name)]
        kept = [(name, part) for name, part in zip(names, parts, strict=True) if len(part)]
        if not kept:
            return Holdings.of([])
        entries = np.concatenate([part for _, part in kept])
        starts = np.cumsum([0, *(len(part) for _, part in kept)])[:-1]
        rows, first, last = self._in_period(entries, period)
        rows, first, last = (
            function.reduceat(values, starts)
            for function, values in ((np.add, rows), (np.minimum, first), (np.maximum, last))
        )
        return Holdings([name for name, _ in kept], rows, first, last).take(rows > 0)

    def _alone(self, name: str) -> Ints:
        """Where the rows of a normal table, or of a subtable, lie."""
        if name in self._tables:
            return self.entries_of(self._tables[name], name)
        owner = self.owners().get(name)
        if owner is None:
            raise TableMissing(f"{self.client.address} has no table {name!r}")
        return self.entries_of(self._tables[owner], name)

    def _in_period(self, entries: Ints, period: Period) -> tuple[Ints, Ints, Ints]:
        """(entries,) rows in a period, and the first and last timestamp of these."""
        index = self.index
        rows, first, last = (numbers[entries] for numbers in (index.rows, index.first, index.last))
        start, end = (_LOWEST if period[0] is None else period[0]), (_HIGHEST if period[1] is None else period[1] - 1)
        rows[(last < start) | (first > end)] = 0
        for place in np.flatnonzero((rows > 0) & ((first < start) | (last > end))).tolist():
            entry = entries[place]
            block = self.block(int(index.files[entry]), int(index.groups[entry]))
            offset = int(self.offsets[entry])
            times = times_of(block)[offset : offset + int(index.rows[entry])]
            times = times[(times >= start) & (times <= end)]
            rows[place] = len(times)
            if len(times):
                first[place], last[place] = times.min(), times.max()
        first[rows == 0], last[rows == 0] = _HIGHEST, _LOWEST
        return rows, first, last

    # --- Structure

    def database(self) -> Database | None:
        return self._database

    def stable_names(self) -> list[str]:
        return [table.name for table in self._tables.values() if table.is_super]

    def describe(self, table: str) -> Table:
        if table not in self._tables:
            raise TableMissing(f"{self.client.address} has no super table or normal table {table!r}")
        return self._tables[table]

    def subtables(self, stable: Table, scope: Scope, conditions: list[str] | None = None) -> Iterator[Subtable]:
        own = self._tables[stable.name]
        fields = subtable_fields(own)
        wanted = [1 + [tag.name for tag in own.tags].index(tag.name) for tag in stable.tags]
        for block in read_blocks(self.folder, self._lists[stable.name], fields):
            for name, *tags in block.select([0, *wanted]).to_rows():
                if scope.has_subtable(str(name), stable.name):
                    yield Subtable(str(name), tuple(tags))

    def has_table(self, name: str, stable: str | None) -> bool:
        owners = self._owners
        return name in owners and owners[name] == stable

    @cached_property
    def _owners(self) -> dict[str, str | None]:
        everything = Scope()
        found: dict[str, str | None] = {}
        for table in self._tables.values():
            if table.is_super:
                bare = replace(table, tags=())
                found.update((own.name, table.name) for own in self.subtables(bare, everything))
            else:
                found[table.name] = None
        return found

    def _all_tables(
        self, names: Collection[str] = (), stables: Collection[str] | None = None
    ) -> Iterator[tuple[str, str | None]]:
        for name, stable in self._owners.items():
            if (not names or name in names) and (stable is None or stables is None or stable in stables):
                yield name, stable

    _geometries = frozenset[str]()

    # --- No server

    @contextmanager
    def session(self) -> Iterator[StoredSession]:
        """A session that reads files; what is not in files, it does not know."""
        yield StoredSession(self)

    work_session = session

    def stream(self, statement: str, columns: int | None = None) -> NoReturn:
        raise UnsupportedServer(f"{self.client.address} is in files, and no server is asked", statement=statement)

    def by_column_name(self, statement: str) -> NoReturn:
        self.stream(statement)

    def clock(self) -> float:
        """This machine's: no other one has a part in it."""
        return time.time()


_NOTHING = np.zeros(0, np.int64)
_LOWEST, _HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def _meant(names: Sequence[str], stable: str, scope: Scope) -> tuple[list[str], Sequence[int]]:
    """Names in scope of those that are there, by name, and their places."""
    first = 0 if scope.first is None else bisect_left(names, scope.first)
    behind = len(names) if scope.before is None else bisect_left(names, scope.before)
    places = range(first, max(first, behind))
    if not scope.is_partial:
        return list(names[places.start : places.stop]), places
    chosen = [place for place in places if scope.has_subtable(names[place], stable)]
    return [names[place] for place in chosen], chosen


class StoredSession:
    """Reads the rows of an export; one thread uses it at a time.

    Parameters:
        catalog: the export.
    """

    database: str | None = None
    waited = 0.0
    bytes_sent = 0

    def __init__(self, catalog: StoredCatalog) -> None:
        self._catalog = catalog

    def read(self, table: Table, names: Sequence[str], period: Period) -> Iterator[tuple[Block, Ints]]:
        """Rows of tables over a period.

        Parameters:
            table: their super table, or the normal table, with the columns that are wanted.
            names: the tables.
            period: of the rows.

        Returns:
            Rows, and (rows,) whose they are, as places among the names.

        Raises:
            TableMissing: one of them is none.
        """
        catalog = self._catalog
        parts = [catalog.entries_of(table, name) for name in names]
        entries = np.concatenate([_NOTHING, *parts])
        owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        stored = catalog.describe(table.name if table.is_super else names[0])
        there = {column.name: place for place, column in enumerate(stored.columns)}
        places = [there[column.name] for column in table.columns]
        start, end = (_LOWEST if period[0] is None else period[0]), (_HIGHEST if period[1] is None else period[1] - 1)
        meant = (catalog.index.last[entries] >= start) & (catalog.index.first[entries] <= end)
        entries, owners = entries[meant], owners[meant]
        keys = list(zip(catalog.index.files[entries].tolist(), catalog.index.groups[entries].tolist(), strict=True))
        for a, b in pairwise([*begins(keys), len(keys)]):
            some = entries[a:b]
            offsets, rows = catalog.offsets[some], catalog.index.rows[some]
            block = catalog.block(*keys[a]).select(places)
            if np.array_equal(offsets[1:], offsets[:-1] + rows[:-1]):
                block = block.take(slice(int(offsets[0]), int(offsets[-1] + rows[-1])))
            else:
                block = block.take(np.repeat(offsets - np.cumsum(rows) + rows, rows) + np.arange(rows.sum()))
            whose = np.repeat(owners[a:b], rows)
            if catalog.index.first[some].min() < start or catalog.index.last[some].max() > end:
                times = times_of(block)
                wanted = (times >= start) & (times <= end)
                block, whose = block.take(wanted), whose[wanted]
            if block.rows:
                yield block, whose

    def query(self, statement: str) -> NoReturn:
        self._catalog.stream(statement)

    def start(self, statement: str) -> NoReturn:
        self._catalog.stream(statement)

    def streams(self, statement: str) -> bool:
        return True

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows that were asked for, as a result of a server has them.

    Parameters:
        fields: the columns.
        rows: gives the blocks.
        precision: of timestamps.
    """

    fields: tuple[Field, ...]
    rows: Callable[[], Iterator[Block]]
    precision: Precision | None
    affected: int = field(default=0)

    def blocks(self) -> Iterator[Block]:
        return self.rows()


# --- The engine's questions


@holdings.register(StoredCatalog)
def _holdings(
    catalog: StoredCatalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None = None
) -> Holdings:
    return catalog.held(table, scope, period)


@together.register(StoredCatalog)
def _together(
    catalog: StoredCatalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None = None
) -> Holding | None:
    found = catalog.held(table, scope, period)
    if not found:
        return None
    return Holding(table.name, found.total, int(found.first.min()), int(found.last.max()))


@each.register(StoredCatalog)
def _each(
    catalog: StoredCatalog,
    tables: Sequence[Table],
    scope: Scope,
    period: Period,
    stop: threading.Event | None = None,
) -> list[Holding]:
    return [one for one in (_together(catalog, table, scope, period) for table in tables) if one]


@count.register(StoredCatalog)
def _count(
    catalog: StoredCatalog, table: Table, scope: Scope, period: Period, stop: threading.Event | None = None
) -> int:
    return catalog.held(table, scope, period).total


@measured.register(StoredCatalog)
def _measured(catalog: StoredCatalog, *args: object, **kwargs: object) -> Iterator[Holdings]:
    """Nothing: files are read, row by row, where values are compared."""
    return iter(())


@sample.register(StoredCatalog)
def _sample(source: StoredCatalog, table: Table, period: Period) -> Sample:
    rows = size = 0
    started = time.monotonic()
    names = source.held(table, Scope(), period).names if table.is_super else [table.name]
    with source.session() as session:
        for block, _ in session.read(table, names, period):
            rows, size = rows + block.rows, size + block.size
            if rows >= SAMPLE:
                break
    return Sample(rows, size, time.monotonic() - started)


@read_unit.register(StoredSession)
def _read_unit(session: StoredSession, catalog: Catalog, table: Table, unit: Unit) -> Rows:
    period = unit.start, unit.end
    return StoredRows(table.columns, lambda: (block for block, _ in session.read(table, [unit.table], period)), None)


@read_group.register(StoredSession)
def _read_group(
    session: StoredSession,
    catalog: Catalog,
    table: Table,
    group: list[Unit],
    *,
    is_needle: bool,
    is_own: bool = True,
) -> Result:
    names = [unit.table for unit in group]
    named = column_from_list(NAME, names)

    def blocks() -> Iterator[Block]:
        for block, owners in session.read(table, names, (group[0].start, group[0].end)):
            yield Block((NAME, *block.fields), (named.take(owners), *block.columns), block.rows)

    return StoredRows((NAME, *table.columns), blocks, None)


@count_of_unit.register(StoredSession)
def _count_of_unit(session: StoredSession, catalog: Catalog, table: Table, unit: Unit) -> int:
    return sum(block.rows for block, _ in session.read(table, [unit.table], (unit.start, unit.end)))


@table_options.register(StoredCatalog)
def _table_options(catalog: StoredCatalog) -> Iterator[tuple[str, TableOptions]]:
    for name, options in cast("list[tuple[str, dict[str, object]]]", catalog.schema["table_options"]):
        yield name, typed(TableOptions, options)


@table_options_not_taken.register(StoredCatalog)
def _table_options_not_taken(source: StoredCatalog, tables: Sequence[Table]) -> Iterator[Leftover]:
    names = {table.name for table in tables}
    return (one for one in _listed(source, "table_options_not_taken") if one.name in names)


@leftovers.register(StoredCatalog)
def _leftovers(catalog: StoredCatalog, besides: Sequence[str] = ()) -> list[Leftover]:
    return [one for one in _listed(catalog, "not_migrated") if one.kind not in besides]


@things.register(StoredCatalog)
def _things(catalog: StoredCatalog, kinds: Sequence[str]) -> list[Leftover]:
    found = [one for one in _listed(catalog, "objects") if one.kind in kinds]
    return sorted(found, key=lambda one: kinds.index(one.kind))


@own_things.register(StoredCatalog)
def _own_things(catalog: StoredCatalog) -> dict[str, int]:
    return dict(Counter(one.kind for one in _listed(catalog, "objects")))


def _listed(catalog: StoredCatalog, name: str) -> Iterator[Leftover]:
    return (typed(Leftover, one) for one in cast("list[dict[str, str]]", catalog.schema[name]))
