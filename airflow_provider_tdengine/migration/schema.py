"""What the target lacks, and how it gets it."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.errors import PermissionDenied
from airflow_provider_tdengine.client.sql import cut, identifier, literal, string
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.catalog import Catalog, Database, Scope, Subtable, Table
from airflow_provider_tdengine.migration.convert import conversion, time_scale
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.leftover import leftovers
from airflow_provider_tdengine.migration.options import MigrationOptions

log = logging.getLogger(__name__)

Owners: TypeAlias = dict[str, "str | None"]
"""Subtables and normal tables by name, with their super table, None for normal tables."""

_NOTHING: tuple[object, ...] = (None, "", {})
"""What 3.x stores as NULL where a JSON tag says it."""

# A larger one hangs the target: 1e50 is fine, from 1e100 on a vnode of 3.3.3.0 never answers again (measured).
_LARGEST_IN_JSON = 1e50

_SMALLEST_DOUBLE = sys.float_info.min

# Limits of 3.x.
_TABLE_NAME_BYTES, _COLUMN_NAME_BYTES = 192, 64

_TAG_PAGE = 2000
"""Subtables whose tags are compared with one query: their names must fit into a statement."""


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
        tags: tag values corrected.
        not_migrated: what stays behind, see `migration.leftover.Leftover`.
    """

    database: bool = False
    stables: list[str] = field(default_factory=list)
    tables: int = 0
    columns: list[str] = field(default_factory=list)
    existing: int = 0
    tags: int = 0
    not_migrated: list[dict[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything was created, added or corrected."""
        return bool(self.database or self.stables or self.tables or self.columns or self.tags)

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
    stop_on(scope.missing(source, tables))
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
                        "the target does not have it",
                        "Create it there, or run schema sync (schema always)",
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
        options: scope, and what may be created and corrected.
    """

    def __init__(self, source: Catalog, target: Catalog, options: MigrationOptions) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._scope = Scope.of(options)
        self._scale = 1

    def run(self) -> SchemaReport:
        """Compare, stop if something stands in the way, and create what is missing.

        Raises:
            MigrationStopped: findings, or the account may not create.
        """
        structure = read_structure(self._source, self._target, self._scope)
        owners = {} if structure.target is None else self._target.owners()
        stop_on(self._findings(structure, owners))
        if structure.target is not None:
            self._scale = time_scale(structure.source.precision, structure.target.precision) or 1
        report = SchemaReport(not_migrated=[leftover.to_dict() for leftover in leftovers(self._source)])
        try:
            self._apply(structure, owners, report)
        except PermissionDenied as error:
            raise MigrationStopped([denied(self._source, self._target, error)]) from error
        return report

    def _findings(self, structure: Structure, owners: Owners) -> list[Finding]:
        """All that stands in the way, before anything is written."""
        findings = compare(structure, creates=True)
        if structure.target is None and not self._options.create_database:
            findings.append(self._target.missing("target_database"))
        for table in structure.tables:
            findings += _name_findings(table)
            if table.is_super:
                for subtable in self._source.subtables(table, self._scope):
                    findings += _subtable_findings(table, subtable.name, owners)
                    if subtable.name not in owners:
                        findings += _tag_findings(table, subtable)
            elif table.name in owners and owners[table.name] is not None:
                findings += _subtable_findings(table, table.name, owners)
        return findings

    def _apply(self, structure: Structure, owners: Owners, report: SchemaReport) -> None:
        client = self._target.client
        if structure.target is None:
            database = structure.source
            client.execute(
                client.dialect.create_database(
                    self._target.name, database.precision, database.keep_days, self._options.database_options
                )
            )
            report.database = True
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
        columns = ", ".join(self._table_column(table, column) for column in table.columns)
        name = self._target.table(table.name)
        if not table.is_super:
            return f"CREATE TABLE IF NOT EXISTS {name} ({columns})"
        tags = ", ".join(self._column(tag) for tag in table.tags)
        return f"CREATE STABLE IF NOT EXISTS {name} ({columns}) TAGS ({tags})"

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

    def _create_subtables(self, stable: Table, owners: Owners, report: SchemaReport) -> None:
        """Create what is missing, in statements of many tables, on several connections."""
        tags = ", ".join(identifier(tag.name) for tag in stable.tags)
        using = f"USING {self._target.table(stable.name)} ({tags}) TAGS"

        def missing() -> Iterator[str]:
            existing: list[Subtable] = []
            for subtable in self._source.subtables(stable, self._scope):
                if subtable.name not in owners:
                    pairs = zip(stable.tags, subtable.tags, strict=True)
                    values = ", ".join(tag_literal(*pair, self._scale) for pair in pairs)
                    yield f"IF NOT EXISTS {self._target.table(subtable.name)} {using} ({values})"
                    continue
                report.existing += 1
                if self._options.update_tags:
                    existing.append(subtable)
                    if len(existing) >= _TAG_PAGE:
                        report.tags += self._correct_tags(stable, existing)
                        existing.clear()
            report.tags += self._correct_tags(stable, existing)

        report.tables += _run_all(self._target, cut("CREATE TABLE", missing()), self._options.workers)

    def _correct_tags(self, stable: Table, subtables: list[Subtable]) -> int:
        """Give existing subtables the source's tag values.

        Returns:
            How many values were changed.
        """
        if not subtables:
            return 0
        names = ", ".join(string(subtable.name) for subtable in subtables)
        theirs = {found.name: found.tags for found in self._target.subtables(stable, Scope(), [f"tbname IN ({names})"])}
        changed = 0
        with self._target.client.session() as session:
            for subtable in subtables:
                wanted = zip(stable.tags, subtable.tags, theirs.get(subtable.name, ()), strict=False)
                for tag, ours, other in wanted:
                    if same_tag(tag, ours, other, self._scale):
                        continue
                    value = tag_literal(tag, ours, self._scale)
                    table = self._target.table(subtable.name)
                    session.query(f"ALTER TABLE {table} SET TAG {identifier(tag.name)} = {value}")
                    changed += 1
        return changed


def _run_all(target: Catalog, statements: Iterator[tuple[str, int]], connections: int) -> int:
    """Run statements on several connections.

    Parameters:
        target: where they run.
        statements: each with the number of things that it does.
        connections: how many at the same time.

    Returns:
        The sum of these numbers.
    """
    lock = threading.Lock()

    def work() -> int:
        done = 0
        with target.client.session() as session:
            while True:
                with lock:
                    following = next(statements, None)
                if following is None:
                    return done
                session.query(following[0])
                done += following[1]

    with ThreadPoolExecutor(connections, thread_name_prefix="schema") as pool:
        return sum(future.result() for future in [pool.submit(work) for _ in range(connections)])


def _name_findings(table: Table) -> Iterator[Finding]:
    """Names that a target of 3.x cannot hold."""
    yield from _too_long(f"Table {table.name!r}", table.name, _TABLE_NAME_BYTES)
    for column in table.columns + table.tags:
        yield from _too_long(f"Table {table.name!r}, column {column.name!r}", column.name, _COLUMN_NAME_BYTES)


def _too_long(what: str, name: str, limit: int) -> Iterator[Finding]:
    if "." in name and limit == _TABLE_NAME_BYTES:
        yield Finding(what, "its name has a dot, which TDengine 3 refuses", "Leave it out with exclude, or rename it")
    if len(name.encode()) > limit:
        yield Finding(what, f"its name has more than {limit} bytes", "Leave it out with exclude, or rename it")


def _subtable_findings(table: Table, name: str, owners: Owners) -> Iterator[Finding]:
    yield from _too_long(f"Table {name!r}", name, _TABLE_NAME_BYTES)
    ours = table.name if table.is_super else None
    if name in owners and owners[name] != ours:
        sides = ["a normal table" if stable is None else f"a subtable of {stable!r}" for stable in (ours, owners[name])]
        yield Finding(
            f"Table {name!r}",
            f"it is {sides[0]} in the source and {sides[1]} in the target",
            "Drop or rename the one in the target",
        )


def _tag_findings(stable: Table, subtable: Subtable) -> Iterator[Finding]:
    """Values that the target cannot take."""
    for tag, value in zip(stable.tags, subtable.tags, strict=True):
        try:
            tag_literal(tag, value)
        except ValueError as error:
            yield Finding(f"Table {subtable.name!r}", str(error), "Change the tag's value in the source, or exclude it")


def same_tag(tag: Field, ours: Value, theirs: Value, scale: int) -> bool:
    """Whether a tag's value in the target is the source's; timestamps count other steps."""
    if tag.type is Type.JSON:
        return _same_json(*(json.loads(str(value)) if value else None for value in (ours, theirs)))
    if tag.type is Type.TIMESTAMP and isinstance(ours, int):
        return ours * scale == theirs
    return ours == theirs


def _same_json(ours: object, theirs: object) -> bool:
    """Whether two JSON values are the same to 3.x, which says numbers with 15 digits, and nothing as NULL."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same_json(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-14)
    return ours == theirs or (ours in _NOTHING and theirs in _NOTHING)


def _largest_number(value: object) -> float:
    """The largest magnitude of a number anywhere in a JSON value."""
    if isinstance(value, (dict, list)):
        return max(map(_largest_number, value.values() if isinstance(value, dict) else value), default=0.0)
    return abs(float(value)) if isinstance(value, (int, float)) else 0.0


def tag_literal(tag: Field, value: Value, scale: int = 1) -> str:
    """A tag's value as CREATE TABLE … TAGS says it.

    Parameters:
        tag: the tag.
        value: its value in the source.
        scale: steps of the target's timestamps in one of the source's.

    Raises:
        ValueError: the value has no text that TDengine reads.
    """
    if tag.type is Type.TIMESTAMP and isinstance(value, int):
        return str(value * scale)
    if isinstance(value, bytes) and tag.type is Type.VARBINARY:
        return f"'\\x{value.hex()}'"
    if tag.type is Type.JSON and value and _largest_number(json.loads(str(value))) > _LARGEST_IN_JSON:
        raise ValueError(
            f"the number in {str(value)[:80]!r}, the value of tag {tag.name!r}, is too large for TDengine 3"
        )
    if isinstance(value, bytes):
        raise ValueError(f"a value of tag {tag.name!r} of type {tag.sql_type} has no text in SQL")
    if tag.type is Type.DOUBLE and isinstance(value, float) and 0 < abs(value) < _SMALLEST_DOUBLE:
        raise ValueError(f"INSERT and CREATE of TDengine 3 refuse {value!r}, the value of tag {tag.name!r}")
    return literal(value)
