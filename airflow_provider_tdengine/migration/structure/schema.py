"""What the target lacks, and how it gets it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TypeAlias

from typing_extensions import Self

from airflow_provider_tdengine.client.errors import PermissionDenied, RowRejected
from airflow_provider_tdengine.client.sql import cut, identifier, is_speakable
from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import (
    Catalog,
    Database,
    Scope,
    Subtable,
    Table,
    TimeScale,
    name_findings,
    patiently,
    table_name_findings,
    unspeakable,
)
from airflow_provider_tdengine.migration.findings import Finding, Findings, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.rows import TagTranscoder, Transform, conversion
from airflow_provider_tdengine.migration.structure.database import NewDatabase, options_not_taken
from airflow_provider_tdengine.migration.structure.limits import key_findings, limit_findings, type_findings
from airflow_provider_tdengine.migration.structure.not_migrated import leftovers
from airflow_provider_tdengine.migration.structure.privileges import denied, privilege_findings
from airflow_provider_tdengine.migration.structure.structure import (
    Structure,
    TablePair,
    can_widen,
    compare,
    new_database,
    nothing_meant,
    read_structure,
)
from airflow_provider_tdengine.migration.structure.table_options import OptionsOfTables, table_options_not_taken
from airflow_provider_tdengine.migration.structure.tags import TAG_PAGE, OtherTags, other_tags, tag_literal

log = logging.getLogger(__name__)

Owners: TypeAlias = dict[str, "str | None"]
"""Subtables and normal tables by name, with their super table, None for normal tables."""


_SHOWN, _CHARACTERS = 100, 500
"""Things that are not migrated, and characters of their definitions, that a report hands over."""


@dataclass(slots=True)
class SchemaReport:
    """What schema sync did.

    Parameters:
        database: whether the database was created.
        stables: super tables created.
        tables: subtables and normal tables created.
        columns: columns and tags added or widened.
        existing: subtables and normal tables that were there.
        tags: tag values corrected.
        not_migrated: what stays behind, see `migration.structure.Leftover`.
    """

    database: bool = False
    stables: list[str] = field(default_factory=list)
    tables: int = 0
    columns: list[str] = field(default_factory=list)
    existing: int = 0
    tags: int = 0
    not_migrated: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, reports: Mapping[str, SchemaReport]) -> SchemaReport:
        """The sum of the reports of a fleet's databases, whose tables are named with them; of one, the same."""
        if len(reports) == 1:
            (report,) = reports.values()
            return report
        whole = cls()
        for name, own in reports.items():
            whole.database |= own.database
            whole.stables += [f"{name}.{stable}" for stable in own.stables]
            whole.columns += [f"{name}.{column}" for column in own.columns]
            whole.not_migrated += own.not_migrated
            whole.tables += own.tables
            whole.existing += own.existing
            whole.tags += own.tags
        return whole

    @property
    def changed(self) -> bool:
        """Whether anything was created, added or corrected."""
        return bool(self.database or self.stables or self.tables or self.columns or self.tags)

    def facts(self) -> wording.Facts:
        """What people read."""
        return [
            ("database", "created" if self.database else ""),
            ("super tables created", f"{len(self.stables):,}"),
            ("tables created", f"{self.tables:,}"),
            ("tables that were there", f"{self.existing:,}"),
            ("columns and tags altered", f"{len(self.columns):,}"),
            ("tag values updated", f"{self.tags:,}"),
            ("not migrated", wording.number(len(self.not_migrated), "thing") if self.not_migrated else ""),
        ]

    def to_dict(self) -> dict[str, object]:
        """For JSON; of what is not migrated the first ones, long definitions without their end."""
        left = [
            {name: wording.beginning(text, _CHARACTERS) for name, text in one.items()}
            for one in self.not_migrated[:_SHOWN]
        ]
        return {**asdict(self), "not_migrated": left, "not_migrated_in_all": len(self.not_migrated)}


class SchemaSync:
    """Brings the structure of the source into the target.

    Parameters:
        source: the source database.
        target: the target database.
        options: scope, and what may be created and corrected.
        scope: a part of the options' scope, None for all of it.
        approved: the statements that may be run, None for all of them.

    Attributes:
        withheld: statements that may not be run: each creates, or alters, a table or a tag.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        scope: Scope | None = None,
        approved: Container[str] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._scope = scope or Scope.of(options)
        self._is_part = scope is not None
        self._approved = approved
        self.withheld: list[str] = []
        self._report = SchemaReport()
        self._transform = Transform()
        self._tables = OptionsOfTables({}, {})
        self._differing: set[str] = set()
        """Super tables with subtables that the target has already with other tags."""
        self._looking = Headway("Looking at tables and tags", unit="table")
        self._creating = Headway("Creating tables", unit="table")

    @classmethod
    def again(
        cls,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        scope: Scope,
        approved: Container[str] | None = None,
    ) -> Self:
        """To bring over what the source has changed since; whose the target's tables are, has been looked at then.

        Parameters:
            source: see `SchemaSync`.
            target: see `SchemaSync`.
            options: of the migration; tags that have changed are corrected, whatever they say.
            scope: of what.
            approved: see `SchemaSync`.
        """
        own = replace(options, create_database=False, update_tags=options.schema != "none")
        return cls(source, target, own, scope, approved)

    def run(self) -> SchemaReport:
        """Compare, stop if something stands in the way, and create what is missing.

        Returns:
            What all calls of it have done.

        Raises:
            MigrationStopped: findings, or the account may not create.
        """
        try:
            return self._run(self._report)
        except PermissionDenied as error:
            raise MigrationStopped([denied(self._source, self._target, error)]) from error

    def run_patiently(self) -> SchemaReport:
        """The same as `run`, again as long as a retry can cure what fails: what is created stays.

        Raises:
            MigrationStopped: as `run` does.
            TDengineError: what no retry cured.
        """
        return patiently(self._source, self._target, self.run)

    def findings(self) -> list[Finding]:
        """What `run` would stop at; nothing is written.

        Raises:
            MigrationStopped: the source has no such database, table or column, or names fall together.
        """
        with self._looking:
            return self._findings(*self._read())

    def _read(self) -> tuple[Structure, Owners]:
        structure = read_structure(self._source, self._target, self._options, self._scope)
        self._transform = structure.transform
        self._tables = OptionsOfTables.read(self._source, self._target, self._transform)
        return structure, {} if structure.target is None else self._owners_there()

    def _owners_there(self) -> Owners:
        """The target's tables; of a part of the scope that names its tables, these."""
        wanted = self._scope.tables
        if not self._is_part or not wanted or wanted.globs or any("." in name for name in wanted.names):
            return self._target.owners()
        return self._target.owners_of(set(map(self._transform.tables, wanted.names)))

    def _run(self, report: SchemaReport) -> SchemaReport:
        with self._looking:
            structure, owners = self._read()
            stop_on(self._findings(structure, owners))
        # What an earlier call has created is there now.
        report.existing = -report.tables
        database = structure.target or self._create_database(structure, report)
        self._creating.total = self._looking.done
        with self._creating:
            self._apply(structure, owners, report)
        if not self._is_part:
            left = [
                *leftovers(self._source, self._options.object_kinds),
                *options_not_taken(structure.source, database),
                *table_options_not_taken(self._source, [pair.source for pair in structure.pairs]),
            ]
            report.not_migrated = [leftover.to_dict() for leftover in left]
        return report

    def _findings(self, structure: Structure, owners: Owners) -> list[Finding]:
        """All that stands in the way, before anything is written."""
        allow_lossy = self._options.allow_lossy_precision
        findings = Findings([] if self._is_part else nothing_meant(self._source, structure, self._options))
        findings.add(compare(structure, creates=True, allow_lossy=allow_lossy))
        findings.add(privilege_findings(self._source, self._target, structure, self._options))
        if structure.target is None:
            if self._options.create_database:
                findings.add(self._new_database(structure).findings(structure.source, allow_lossy=allow_lossy))
            else:
                findings.add([self._target.missing("target_database")])
        stables = {pair.wanted.name for pair in structure.pairs if pair.wanted.is_super}
        for pair in structure.pairs:
            wanted = pair.wanted
            findings.add(name_findings(wanted))
            findings.add(limit_findings(wanted, pair.target))
            findings.add(type_findings(wanted, pair.target, self._target.client))
            findings.add(key_findings(wanted, pair.target, self._target.client))
            if not wanted.is_super:
                self._looking.add()
                findings.add(_table_findings(None, wanted.name, owners, stables))
                findings.add(self._tables.findings(self._target, wanted.name))
                continue
            tags = _transcoder(structure, pair)
            existing: list[Subtable] = []
            for own in self._looking.each(self._source.subtables(pair.source, self._scope)):
                if not is_speakable(own.name):
                    findings.add([unspeakable(own.name)])
                    continue
                subtable = self._transform.subtable(own)
                findings.add(_table_findings(wanted.name, subtable.name, owners, stables))
                findings.add(self._tables.findings(self._target, subtable.name))
                if tags is None:
                    continue
                if subtable.name not in owners:
                    findings.add(_tag_findings(tags, subtable))
                elif owners[subtable.name] == wanted.name:
                    existing.append(subtable)
                if len(existing) == TAG_PAGE:
                    findings.add(self._existing_findings(pair, tags, existing))
                    existing.clear()
            if tags:
                findings.add(self._existing_findings(pair, tags, existing))
        findings.add(self._transform.collisions(partial(self._source_names, structure)))
        return findings.said()

    def _existing_findings(self, pair: TablePair, tags: TagTranscoder, subtables: list[Subtable]) -> Iterator[Finding]:
        """What keeps rows out of subtables that the target has already: tags of another device."""
        fitting = []
        for subtable in subtables:
            try:
                tags(subtable.tags)
                fitting.append(subtable)
            except RowRejected:
                yield from _tag_findings(tags, subtable)
        for other in self._other_tags(pair, tags, fitting):
            self._differing.add(pair.wanted.name)
            if other.stops(self._constants, update_tags=self._options.update_tags):
                yield other.finding(self._constants)
            else:
                yield from _tag_findings(tags, other.subtable)

    def _other_tags(self, pair: TablePair, tags: TagTranscoder, subtables: list[Subtable]) -> list[OtherTags]:
        """Those that have other tags in the target than they should have."""
        known = {tag.name for tag in pair.target.tags} if pair.target else set()
        return list(other_tags(self._target, pair.wanted, known, tags, subtables))

    @property
    def _constants(self) -> set[str]:
        """Names of the tags that have one value in all subtables of this migration."""
        return {constant.field.name for constant in self._transform.tags}

    def _source_names(self, structure: Structure) -> Iterator[str]:
        for pair in structure.pairs:
            if pair.source.is_super:
                yield from (subtable.name for subtable in self._source.subtables(pair.source, self._scope))
            else:
                yield pair.source.name

    def _subtables(self, pair: TablePair) -> Iterator[Subtable]:
        """The source's subtables, as the target should have them."""
        return map(self._transform.subtable, self._source.subtables(pair.source, self._scope))

    def _new_database(self, structure: Structure) -> NewDatabase:
        return new_database(structure.source, self._target, self._options)

    def _create_database(self, structure: Structure, report: SchemaReport) -> Database:
        """Create the target database.

        Returns:
            It, as the server lists it.
        """
        self._target.execute(self._new_database(structure).statement(self._target.client.dialect))
        report.database = True
        created = self._target.database()
        if created is None:
            raise MigrationStopped([self._target.missing("target_database")])
        return created

    def _may(self, statement: str) -> bool:
        """Whether a statement may be run; it is withheld if not."""
        if self._approved is None or statement in self._approved:
            return True
        self.withheld.append(statement)
        return False

    def _apply(self, structure: Structure, owners: Owners, report: SchemaReport) -> None:
        self.withheld.clear()
        for pair in structure.pairs:
            if pair.target is None:
                self._create_table(pair.wanted, report)
            else:
                report.existing += not pair.wanted.is_super
                self._alter_table(pair.wanted, pair.target, structure.time, report)
            if not pair.wanted.is_super:
                self._creating.add()
            else:
                self._create_subtables(pair, structure.tags(pair), owners, report)

    def _create_table(self, wanted: Table, report: SchemaReport) -> None:
        if not self._may(statement := self._create(wanted)):
            return
        self._target.execute(statement)
        if wanted.is_super:
            report.stables.append(wanted.name)
        else:
            report.tables += 1

    def _alter_table(self, wanted: Table, there: Table, time: TimeScale, report: SchemaReport) -> None:
        statements = [each for each in self._alter(wanted, there, time) if self._may(each[0])]
        for statement, column in statements:
            self._target.execute(statement)
            report.columns.append(f"{wanted.name}.{column}")
        dialect = self._target.client.dialect
        if statements and dialect.mixes_rows:
            # Rows that were written before are out of memory then.
            self._target.execute(f"FLUSH DATABASE {dialect.database(self._target.name)}")

    def _create(self, table: Table) -> str:
        columns = ", ".join(self._table_column(table, column) for column in table.columns)
        name = self._target.table(table.name)
        if not table.is_super:
            return f"CREATE TABLE IF NOT EXISTS {name} ({columns}){self._tables.sql(table.name)}"
        tags = ", ".join(self._column(tag) for tag in table.tags)
        return f"CREATE STABLE IF NOT EXISTS {name} ({columns}) TAGS ({tags}){self._tables.sql(table.name)}"

    def _table_column(self, table: Table, column: Field) -> str:
        """A column as CREATE says it; DESCRIBE of a source before 3.3 knows no storage."""
        parts = [self._column(column)]
        if column.name == table.second_key:
            parts.append("PRIMARY KEY")
        if self._target.client.dialect.has_storage and (storage := table.storage.get(column.name)):
            parts.append(storage)
        return " ".join(parts)

    def _column(self, column: Field) -> str:
        return f"{identifier(column.name)} {self._target.client.dialect.type_name(column)}"

    def _alter(self, source: Table, target: Table, time: TimeScale) -> Iterator[tuple[str, str]]:
        """Statements that add and widen columns and tags, each with the column's name."""
        name = f"ALTER {'STABLE' if source.is_super else 'TABLE'} {self._target.table(source.name)}"
        for kind, fields, others in (("COLUMN", source.columns, target.columns), ("TAG", source.tags, target.tags)):
            there = {other.name: other for other in others}
            for one in fields:
                other = there.get(one.name)
                if other is None:
                    yield f"{name} ADD {kind} {self._column(one)}", one.name
                elif conversion(one, other, time) is None and can_widen(one, other):
                    yield f"{name} MODIFY {kind} {self._column(one)}", one.name

    def _create_subtables(self, pair: TablePair, tags: TagTranscoder, owners: Owners, report: SchemaReport) -> None:
        """Create what is missing, in statements of many tables, on several connections."""
        stable = pair.wanted
        names = ", ".join(identifier(tag.name) for tag in tags.fields)
        using = f"USING {self._target.table(stable.name)} ({names}) TAGS"

        def missing() -> Iterator[str]:
            existing: list[Subtable] = []
            for subtable in self._subtables(pair):
                if subtable.name not in owners:
                    values = ", ".join(map(tag_literal, tags.fields, tags(subtable.tags)))
                    options = self._tables.sql(subtable.name)
                    part = f"IF NOT EXISTS {self._target.table(subtable.name)} {using} ({values}){options}"
                    if self._may(f"CREATE TABLE {part}"):
                        yield part
                    continue
                report.existing += 1
                self._creating.add()
                if stable.name in self._differing:
                    existing.append(subtable)
                if len(existing) == TAG_PAGE:
                    report.tags += self._correct_tags(pair, tags, existing)
                    existing.clear()
            report.tags += self._correct_tags(pair, tags, existing)

        _run_all(self._target, cut("CREATE TABLE", missing()), self._options.workers, report, self._creating)

    def _correct_tags(self, pair: TablePair, tags: TagTranscoder, subtables: list[Subtable]) -> int:
        """Give existing subtables the tag values that they should have.

        Returns:
            How many values were changed.
        """
        changed = 0
        others = self._other_tags(pair, tags, subtables)
        with self._target.session() as session:
            for other in others:
                # Rows may have come since it was looked at.
                if other.stops(self._constants, update_tags=self._options.update_tags):
                    raise MigrationStopped([other.finding(self._constants)])
                table = self._target.table(other.subtable.name)
                for statement in filter(self._may, (each.correction(table) for each in other.differences)):
                    session.query(statement)
                    changed += 1
        return changed


def _run_all(
    target: Catalog,
    statements: Iterator[tuple[str, int]],
    connections: int,
    report: SchemaReport,
    headway: Headway,
) -> None:
    """Run statements that create tables on several connections.

    Parameters:
        target: where they run.
        statements: each with the number of tables that it creates.
        connections: how many at the same time.
        report: where these are counted.
        headway: the same.
    """
    lock = threading.Lock()

    def work() -> None:
        with target.client.session() as session:
            while True:
                with lock:
                    following = next(statements, None)
                if following is None:
                    return
                session.query(following[0])
                with lock:
                    report.tables += following[1]
                headway.add(following[1])

    with ThreadPoolExecutor(connections, thread_name_prefix="schema") as pool:
        for future in [pool.submit(work) for _ in range(connections)]:
            future.result()


def _table_findings(stable: str | None, name: str, owners: Owners, stables: Container[str]) -> Iterator[Finding]:
    """What keeps a subtable (of `stable`) or normal table from being created or filled."""
    yield from table_name_findings(name)
    if name in stables:
        yield Finding(f"Table {name!r}", "a super table has this name, too", "Give it another one with rename_tables")
    elif name in owners and owners[name] != stable:
        sides = ["a normal table" if owner is None else f"a subtable of {owner!r}" for owner in (stable, owners[name])]
        yield Finding(
            f"Table {name!r}",
            f"it would be {sides[0]}, and is {sides[1]} in the target",
            "Give it another name with rename_tables, or drop the one in the target",
        )


def _transcoder(structure: Structure, pair: TablePair) -> TagTranscoder | None:
    """How tags become the target's, None where a type is refused, which `compare` has found."""
    try:
        return structure.tags(pair)
    except MigrationStopped:
        return None


def _tag_findings(tags: TagTranscoder, subtable: Subtable) -> Iterator[Finding]:
    """Values that the target cannot take."""
    try:
        for tag, value in zip(tags.fields, tags(subtable.tags), strict=True):
            tag_literal(tag, value)
    except (RowRejected, ValueError) as error:
        action = "Change the tag's value in the source, or exclude it"
        yield Finding(f"Table {subtable.name!r}", str(error), action, kind="value of a tag")
