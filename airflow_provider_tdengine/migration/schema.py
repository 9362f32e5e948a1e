"""What the target lacks, and how it gets it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import PermissionDenied
from airflow_provider_tdengine.client.sql import cut, identifier, literal
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.catalog import Catalog, Database, Scope, Subtable, Table
from airflow_provider_tdengine.migration.convert import conversion, time_scale
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on_blockers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Structure:
    """Both sides' structure, as far as a migration means it.

    Parameters:
        source: the source database.
        target: the target database, None while it is missing.
        tables: the source's super tables and normal tables.
        counterparts: the target's, by name.
    """

    source: Database
    target: Database | None
    tables: list[Table]
    counterparts: dict[str, Table]


@dataclass(slots=True)
class SchemaReport:
    """What schema sync did.

    Parameters:
        database: whether the database was created.
        stables: super tables created.
        tables: subtables and normal tables created.
        columns: columns and tags added or widened.
        existing: subtables and normal tables that were there.
    """

    database: bool = False
    stables: list[str] = field(default_factory=list)
    tables: int = 0
    columns: list[str] = field(default_factory=list)
    existing: int = 0

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def read_structure(source: Catalog, target: Catalog, scope: Scope) -> Structure:
    """Both sides' structure.

    Raises:
        MigrationStopped: the source has no such database or super table.
    """
    database = source.database()
    if database is None:
        raise MigrationStopped([source.missing("source_database")])
    tables = source.tables(scope)
    stop_on_blockers(scope.missing(source, tables))
    there = target.database()
    found = () if there is None else map(target.find, (table.name for table in tables))
    return Structure(database, there, tables, {table.name: table for table in found if table})


def compare(structure: Structure, *, creates: bool) -> list[Finding]:
    """What keeps rows from being copied into the target as it is.

    Parameters:
        structure: both sides.
        creates: whether missing tables and columns will be created.
    """
    findings = []
    if structure.target and time_scale(structure.source.precision, structure.target.precision) is None:
        findings.append(coarser(structure.source, structure.target))
    for table in structure.tables:
        counterpart = structure.counterparts.get(table.name)
        if counterpart is None:
            if not creates:
                findings.append(
                    Finding(
                        f"Table {table.name!r}",
                        "the target does not have it, and schema is none",
                        "Create it there, or choose schema always",
                    )
                )
            continue
        findings += _compare_table(table, counterpart, creates)
    return findings


def coarser(source: Database, target: Database) -> Finding:
    """What to say of a target whose timestamps have fewer digits."""
    return Finding(
        f"Database {target.name!r}",
        f"the target counts {target.precision.value}, the source {source.precision.value}, "
        "so digits of timestamps would be lost",
        "Give a target database of the same or a finer precision",
    )


def denied(source: Catalog, target: Catalog, error: PermissionDenied) -> Finding:
    """What to say of an account that may not do what a migration needs."""
    reader, writer = source.client.address, target.client.address
    return Finding(
        f"Accounts {reader.user!r} of {reader} and {writer.user!r} of {writer}",
        f"one of them may not do what is needed ({error})",
        f"The first must read {source.name}, the second must create and write {target.name}; as root of 3.x: "
        f"GRANT READ ON {source.name}.* TO {reader.user} and GRANT ALL ON {target.name}.* TO {writer.user}, and "
        f"ALTER USER {writer.user} CREATEDB 1 where the database is to be created",
    )


def _compare_table(source: Table, target: Table, creates: bool) -> Iterator[Finding]:
    name = f"Table {source.name!r}"
    if source.is_super != target.is_super:
        kinds = {True: "a super table", False: "a normal table"}
        yield Finding(
            name,
            f"it is {kinds[source.is_super]} in the source and {kinds[target.is_super]} in the target",
            "Rename or drop the one in the target",
        )
        return
    if source.second_key != target.second_key:
        yield Finding(
            name,
            f"the second key is {source.second_key} in the source and {target.second_key} in the target",
            "Create the target's table with the same primary key",
        )
    for fields, others in ((source.columns, target.columns), (source.tags, target.tags)):
        there = {other.name: other for other in others}
        for one in fields:
            other = there.get(one.name)
            if other is None:
                if not creates:
                    yield Finding(name, f"the target has no column {one.name!r}", "Add it, or choose schema always")
            elif conversion(one, other) is None and not (creates and _can_widen(one, other)):
                yield Finding(
                    f"{name}, column {one.name!r}",
                    f"{one.sql_type} in the source does not fit {other.sql_type} in the target",
                    "Give the target's column the source's type, or a wider one",
                )


def _can_widen(source: Field, target: Field) -> bool:
    return source.type == target.type and source.info.sized and source.length > target.length


class SchemaSync:
    """Brings the structure of the source into the target.

    Parameters:
        source: the source database.
        target: the target database.
        scope: which tables are meant.
        create_database: whether a missing database is created.
    """

    def __init__(self, source: Catalog, target: Catalog, scope: Scope, *, create_database: bool = True) -> None:
        self._source = source
        self._target = target
        self._scope = scope
        self._create_database = create_database

    def run(self) -> SchemaReport:
        """Compare, stop if something stands in the way, and create what is missing.

        Raises:
            MigrationStopped: findings, or the account may not create.
        """
        structure = read_structure(self._source, self._target, self._scope)
        findings = compare(structure, creates=True)
        if structure.target is None and not self._create_database:
            findings.append(self._target.missing("target_database"))
        stop_on_blockers(findings)
        report = SchemaReport()
        try:
            self._apply(structure, report)
        except PermissionDenied as error:
            raise MigrationStopped([denied(self._source, self._target, error)]) from error
        return report

    def _apply(self, structure: Structure, report: SchemaReport) -> None:
        client = self._target.client
        if structure.target is None:
            database = structure.source
            client.execute(client.dialect.create_database(self._target.name, database.precision, database.keep_days))
            report.database = True
        owners = {} if structure.target is None else self._target.owners()
        for table in structure.tables:
            counterpart = structure.counterparts.get(table.name)
            if counterpart is None:
                client.execute(self._create(table))
                if table.is_super:
                    report.stables.append(table.name)
                else:
                    report.tables += 1
            else:
                report.existing += not table.is_super
                for statement, column in self._alter(table, counterpart):
                    client.execute(statement)
                    report.columns.append(f"{table.name}.{column}")
            if table.is_super:
                self._create_subtables(table, owners, report)

    def _create(self, table: Table) -> str:
        columns = ", ".join(self._column(column, column.name == table.second_key) for column in table.columns)
        name = self._target.table(table.name)
        if not table.is_super:
            return f"CREATE TABLE IF NOT EXISTS {name} ({columns})"
        tags = ", ".join(self._column(tag) for tag in table.tags)
        return f"CREATE STABLE IF NOT EXISTS {name} ({columns}) TAGS ({tags})"

    def _column(self, column: Field, is_key: bool = False) -> str:
        type_name = self._target.client.dialect.type_name(column)
        return f"{identifier(column.name)} {type_name}{' PRIMARY KEY' if is_key else ''}"

    def _alter(self, source: Table, target: Table) -> Iterator[tuple[str, str]]:
        """Statements that add and widen columns and tags, each with the column's name."""
        name = f"ALTER {'STABLE' if source.is_super else 'TABLE'} {self._target.table(source.name)}"
        for kind, fields, others in (("COLUMN", source.columns, target.columns), ("TAG", source.tags, target.tags)):
            there = {other.name: other for other in others}
            for one in fields:
                other = there.get(one.name)
                if other is None:
                    yield f"{name} ADD {kind} {self._column(one)}", one.name
                elif conversion(one, other) is None and _can_widen(one, other):
                    yield f"{name} MODIFY {kind} {self._column(one)}", one.name

    def _create_subtables(self, stable: Table, owners: dict[str, str | None], report: SchemaReport) -> None:
        tags = ", ".join(identifier(tag.name) for tag in stable.tags)
        using = f"USING {self._target.table(stable.name)} ({tags}) TAGS"
        taken = []

        def missing() -> Iterator[str]:
            for subtable in self._source.subtables(stable, self._scope):
                if subtable.name not in owners:
                    values = ", ".join(
                        tag_literal(tag, value) for tag, value in zip(stable.tags, subtable.tags, strict=True)
                    )
                    yield f"IF NOT EXISTS {self._target.table(subtable.name)} {using} ({values})"
                elif owners[subtable.name] == stable.name:
                    report.existing += 1
                else:
                    taken.append(subtable)

        with self._target.client.session() as session:
            for statement, count in cut("CREATE TABLE", missing()):
                session.query(statement)
                report.tables += count
        stop_on_blockers(_taken(stable, subtable, owners) for subtable in taken)


def _taken(stable: Table, subtable: Subtable, owners: dict[str, str | None]) -> Finding:
    owner = owners[subtable.name]
    return Finding(
        f"Table {subtable.name!r}",
        f"it belongs to {stable.name!r} in the source and "
        + ("is a normal table in the target" if owner is None else f"to {owner!r} in the target"),
        "Drop or rename the one in the target",
    )


def tag_literal(tag: Field, value: Value) -> str:
    """A tag's value as CREATE TABLE … TAGS says it.

    Raises:
        ValueError: the value has no text that TDengine reads.
    """
    if isinstance(value, bytes) and tag.type is Type.VARBINARY:
        return f"'\\x{value.hex()}'"
    return literal(value)
