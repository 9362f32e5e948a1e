"""What is known of a batch when work on it begins: its tables on both sides, and how rows of one become the other's."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from typing_extensions import Self

from airflow_provider_tdengine.client.errors import TableMissing, TDengineError
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import (
    EVERYTHING,
    Catalog,
    Database,
    Holding,
    Holdings,
    Scope,
    Table,
    TimeScale,
    holdings,
)
from airflow_provider_tdengine.migration.copying.batch import Batch
from airflow_provider_tdengine.migration.copying.expired import Border
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.rows import Transcoder, Transform
from airflow_provider_tdengine.migration.structure import Structure, TablePair, coarser


class StructureOutdated(MigrationStopped):
    """Tables or columns are not those that were expected; schema sync may cure it."""


@dataclass(frozen=True)
class Brief:
    """What is known of a batch.

    Parameters:
        source: the source database.
        target: the target database.
        batch: which tables, over which period.
        databases: both databases as their servers list them.
        scope: the subtables and normal tables of the batch.
        transform: what changes on the way.
        time: how timestamps of the source become those of the target.
        pairs: the batch's super table, or its normal tables, by name in the source; none where the source has none.
    """

    source: Catalog
    target: Catalog
    batch: Batch
    databases: tuple[Database, Database]
    scope: Scope
    transform: Transform
    time: TimeScale
    pairs: Mapping[str, TablePair]

    @property
    def precision(self) -> Precision:
        """Of the source."""
        return self.databases[0].precision

    @property
    def border(self) -> Border:
        """Where rows expire."""
        return Border(self.precision, *self.databases)

    @property
    def identity(self) -> str:
        """What a checkpoint must agree with: servers, databases, tables, columns and period."""
        sides = [[str(side.client.address), side.name] for side in (self.source, self.target)]
        columns = [[name, [[c.name, c.sql_type] for c in pair.source.columns]] for name, pair in self.pairs.items()]
        scope = self.scope.between(None, None)
        text = json.dumps([sides, columns if self.batch.stable else [], repr(scope), repr(self.transform)])
        return f"{self.batch.identity}|{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def pair_of(self, table: str) -> TablePair:
        """The structure of a subtable or normal table."""
        return self.pairs[self.batch.stable or table]

    def target_name(self, table: str) -> str:
        """A subtable's or normal table's name in the target."""
        return self.transform.tables(table)

    @property
    def target_scope(self) -> Scope | None:
        """Just the batch's subtables in the target, as a range of names; None where others may lie among them."""
        if self.batch.stable is None or self.scope.is_partial:
            return None
        names = self.transform.tables.of_range(self.scope.first, self.scope.before)
        return None if names is None else EVERYTHING.between(*names)

    def holdings(self, start: int | None, stop: threading.Event | None = None) -> Holdings:
        """What the batch's tables hold in the source, from a timestamp on, up to the batch's end."""
        period = start, self.batch.end
        parts = []
        for pair in self.pairs.values():
            try:
                parts.append(holdings(self.source, pair.source, self.scope, period, stop))
            except TableMissing:
                # Dropped since it was described.
                continue
        return parts[0] if len(parts) == 1 else Holdings.of([one for part in parts for one in part])

    def target_holdings(self, names: Iterable[str], start: int | None, stop: threading.Event | None = None) -> Holdings:
        """What the counterparts of some of the batch's tables hold in the target, under their names in the source.

        Parameters:
            names: the tables in the source.
            start: from which timestamp on, in steps of the source; up to the batch's end.
            stop: set by somebody who wants it to stop soon.
        """
        rename = {self.target_name(name): name for name in names}
        if not rename:
            return Holdings.of([])
        # Others may lie in the range: a super table of the target may hold many sites.
        scope = self.target_scope or EVERYTHING.between(min(rename), f"{max(rename)}\x01")
        period = self.time.window(start, self.batch.end)
        found: list[Holding] = []
        for pair in self.pairs.values():
            if pair.target is not None:
                listed = holdings(self.target, replace(pair.wanted, where=""), scope, period, stop)
                found += [replace(one, name=rename[one.name]) for one in listed if one.name in rename]
        return Holdings.of(found)

    def transcoders(self) -> dict[str, Transcoder]:
        """How blocks of the batch's super table, or of its normal tables, become blocks of the target.

        Raises:
            StructureOutdated: the target lacks a table or a column, or its types do not fit.
        """
        return {name: transcoder_of(pair, self.time) for name, pair in self.pairs.items()}

    def fitting(self) -> Self:
        """The same with just those tables whose rows the target's structure takes."""
        return replace(self, pairs={name: pair for name, pair in self.pairs.items() if self._fits(pair)})

    def _fits(self, pair: TablePair) -> bool:
        try:
            transcoder_of(pair, self.time)
        except StructureOutdated:
            return False
        return True


def transcoder_of(pair: TablePair, time: TimeScale) -> Transcoder:
    """How blocks of a table become blocks of the target.

    Parameters:
        pair: the table, with the columns that are copied.
        time: how its timestamps become the target's.

    Raises:
        StructureOutdated: the target lacks the table or a column, or its types do not fit.
    """
    try:
        if pair.target is None:
            raise ValueError("there is none")
        return Transcoder(pair.source, pair.wanted, pair.target, time)
    except ValueError as error:
        finding = Finding(f"Table {pair.wanted.name!r} of the target", str(error), "Run schema sync first")
        raise StructureOutdated([finding]) from error


def brief_of(
    source: Catalog, target: Catalog, batch: Batch, options: MigrationOptions, structure: Structure | None = None
) -> Brief:
    """Ask both servers what has to be known of a batch.

    Parameters:
        source: the source database.
        target: the target database.
        batch: which tables, over which period.
        options: scope, and what changes on the way.
        structure: both sides' structure, where it was read a moment ago; its scope and transform count then.

    Raises:
        MigrationStopped: a database is missing, or timestamps would be cut.
        TDengineError: of the kind of failure.
    """
    scope = structure.scope if structure else Scope.of(options)
    transform = structure.transform if structure else Transform.of(options)
    ours = structure.source if structure else _database(source, "source_database")
    theirs = (structure.target if structure else None) or _database(target, "target_database")
    time = TimeScale.between(ours.precision, theirs.precision)
    if time.cuts and not options.allow_lossy_precision:
        raise MigrationStopped([coarser(ours, theirs)])
    scope = scope.between(batch.first, batch.before)
    if structure:
        pairs = {
            pair.source.name: pair
            for pair in structure.pairs
            if (pair.source.name == batch.stable if batch.stable else _is_normal(pair.source, scope))
        }
    else:
        names = [batch.stable] if batch.stable else source.normal_tables(scope)
        found = ((name, _pair(source, target, transform, name)) for name in names)
        pairs = {name: pair for name, pair in found if pair}
    return Brief(source, target, batch, (ours, theirs), scope, transform, time, pairs)


def _is_normal(table: Table, scope: Scope) -> bool:
    return not table.is_super and scope.has_normal_table(table.name)


def _pair(source: Catalog, target: Catalog, transform: Transform, name: str) -> TablePair | None:
    """A table on both sides, None where the source does not have it any more."""
    try:
        table = transform.selected(source.describe(name))
    except TableMissing:
        return None
    wanted = transform.renamed(table)
    try:
        return TablePair(table, wanted, target.describe(wanted.name))
    except TableMissing:
        return TablePair(table, wanted, None)
    except TDengineError as error:
        if error.retryable:
            raise
        finding = Finding(f"Table {wanted.name!r} of the target", str(error), "Run schema sync first")
        raise StructureOutdated([finding]) from error


def _database(catalog: Catalog, option: str) -> Database:
    database = catalog.database()
    if database is None:
        raise MigrationStopped([catalog.missing(option)])
    return database
