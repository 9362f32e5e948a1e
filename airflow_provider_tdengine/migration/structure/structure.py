"""Both sides' structure, and what keeps the rows of one from being copied into the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.sql import where
from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.migration.catalog import Catalog, Database, Scope, Table, TimeScale, name_findings
from airflow_provider_tdengine.migration.database_options import DatabaseOptions
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.rows import TagTranscoder, Transform, conversion
from airflow_provider_tdengine.migration.structure.database import NewDatabase, coarser


@dataclass(frozen=True, slots=True)
class TablePair:
    """A super table or normal table on both sides.

    Parameters:
        source: as it is read from the source.
        wanted: as the target should have it.
        target: as the target has it, None while it is missing.
    """

    source: Table
    wanted: Table
    target: Table | None


@dataclass(frozen=True, slots=True)
class Structure:
    """Both sides' structure, as far as a migration means it.

    Parameters:
        source: the source database.
        target: the target database, None while it is missing.
        pairs: super tables and normal tables.
        scope: which tables are meant.
        transform: what changes on the way.
        time: how timestamps of the source become those of the target, also of one that is to be created.
    """

    source: Database
    target: Database | None
    pairs: list[TablePair]
    scope: Scope
    transform: Transform
    time: TimeScale

    def tags(self, pair: TablePair) -> TagTranscoder:
        """How tags of a super table's wanted subtables become the target's, once it has all that it lacks.

        Raises:
            MigrationStopped: a tag cannot be copied without loss.
        """
        there = {tag.name: tag for tag in pair.target.tags} if pair.target else {}
        target = ((tag, there.get(tag.name, tag)) for tag in pair.wanted.tags)
        try:
            return TagTranscoder(
                pair.wanted.tags,
                tuple(wanted if can_widen(wanted, found) else found for wanted, found in target),
                self.time,
            )
        except ValueError as error:
            finding = Finding(f"Table {pair.wanted.name!r} of the target", str(error), "Run schema sync first")
            raise MigrationStopped([finding]) from error


def nothing_meant(source: Catalog, structure: Structure, options: MigrationOptions) -> list[Finding]:
    """What to say where a migration means no table of its source; mode history does not wait for tables that come."""
    tables = [pair.source for pair in structure.pairs]
    return source.nothing_meant(structure.scope, tables, may_come=options.follows)


def read_structure(
    source: Catalog, target: Catalog, options: MigrationOptions, scope: Scope | None = None
) -> Structure:
    """Both sides' structure.

    Parameters:
        source: the source database.
        target: the target database.
        options: scope, and what changes on the way.
        scope: a part of the options' scope, None for all of it.

    Raises:
        MigrationStopped: the source has no such database, table or column, or names fall together.
    """
    scope, transform = scope or Scope.of(options), Transform.of(options)
    database, tables = source_tables(source, scope, transform)
    there = target.database()
    pairs = []
    for table in tables:
        wanted = transform.renamed(table)
        pairs.append(TablePair(table, wanted, None if there is None else target.find(wanted.name)))
    # A target that has such names already must not be read by them.
    stop_on(finding for pair in pairs if pair.target for finding in name_findings(pair.wanted))
    precision = (there or new_database(database, target, options)).precision
    return Structure(database, there, pairs, scope, transform, TimeScale.between(database.precision, precision))


def source_tables(source: Catalog, scope: Scope, transform: Transform) -> tuple[Database, list[Table]]:
    """The source database, and the super tables and normal tables in scope, with the columns that are meant.

    Parameters:
        source: the source database.
        scope: which tables are meant.
        transform: which columns and rows are meant, and what changes on the way.

    Raises:
        MigrationStopped: there is no such database, table or column, names fall together, or rows cannot be asked for.
    """
    database = source.database()
    if database is None:
        raise MigrationStopped([source.missing("source_database")])
    tables = source.tables(scope)
    stop_on([*source.missing_tables(scope, tables), *transform.findings(tables)])
    tables = list(map(transform.selected, tables))
    stop_on(_refused_conditions(source, tables))
    return database, tables


def new_database(source: Database, target: Catalog, options: MigrationOptions) -> NewDatabase:
    """The target database as it is created where it is missing.

    Parameters:
        source: whose options it gets.
        target: where it is missing.
        options: what the user says of it.

    Raises:
        TDengineError: of the kind of failure.
    """
    wanted = options.database_options
    known = target.option_names() if DatabaseOptions.parse(wanted).as_source else ()
    return NewDatabase.like(source, target.name, wanted, target.client.dialect, known)


def _refused_conditions(source: Catalog, tables: Iterable[Table]) -> Iterator[Finding]:
    """Tables whose rows cannot be asked for with the row filter."""
    for table in (table for table in tables if table.where):
        conditions = where(table.period(0, 1))
        try:
            source.rows(f"SELECT COUNT(*) FROM {source.table(table.name)}{conditions}")
        except TDengineError as error:
            if error.retryable:
                raise
            yield Finding(
                "Option 'where'",
                f"the source refuses it for table {table.name!r} ({error})",
                "Give a condition on columns or tags that all tables in scope have, names that are keywords there in "
                "backticks; or leave these tables out",
            )


def compare(structure: Structure, *, creates: bool, allow_lossy: bool) -> list[Finding]:
    """What keeps rows from being copied into the target as it is.

    Parameters:
        structure: both sides.
        creates: whether missing tables and columns will be created.
        allow_lossy: whether timestamps may be cut.
    """
    findings = []
    if structure.target and structure.time.cuts and not allow_lossy:
        findings.append(coarser(structure.source, structure.target))
    for pair in structure.pairs:
        if pair.target:
            findings += _compare_table(pair.wanted, pair.target, structure.time, creates)
        elif not creates:
            findings.append(
                Finding(
                    f"Table {pair.wanted.name!r}",
                    "the target does not have it",
                    "Create it there, or run schema sync (schema always)",
                )
            )
    return findings


def _compare_table(source: Table, target: Table, time: TimeScale, creates: bool) -> Iterator[Finding]:
    name = f"Table {source.name!r}"
    if source.is_super != target.is_super:
        kinds = {True: "a super table", False: "a normal table"}
        yield Finding(
            name,
            f"it is {kinds[source.is_super]} in the source and {kinds[target.is_super]} in the target",
            "Rename or drop the one in the target",
        )
        return
    if source.time_column != target.time_column:
        yield Finding(
            name,
            f"its time column would be {source.time_column!r}, and the target's is {target.time_column!r}",
            f"Say {source.time_column} -> {target.time_column} in rename_columns",
        )
        return
    if source.second_key != target.second_key:
        yield Finding(
            name,
            f"the second key is {source.second_key} in the source and {target.second_key} in the target",
            "Create the target's table with the same primary key",
        )
    for fields, others in ((source.columns[1:], target.columns), (source.tags, target.tags)):
        there = {other.name: other for other in others}
        for one in fields:
            other = there.get(one.name)
            if other is None:
                if not creates:
                    yield Finding(name, f"the target has no column {one.name!r}", "Add it, or choose schema always")
            elif conversion(one, other, time) is None and not (creates and can_widen(one, other)):
                yield Finding(
                    f"{name}, column {one.name!r}",
                    f"{one.sql_type} in the source does not fit {other.sql_type} in the target",
                    "Give the target's column the source's type, or one that takes all of its values (docs/types.md)",
                )


def can_widen(source: Field, target: Field) -> bool:
    """Whether ALTER … MODIFY makes the target's column long enough."""
    return source.type == target.type and source.info.sized and source.length > target.length
