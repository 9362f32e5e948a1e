"""What two databases hold, read table by table, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from .server import Row, Server, name

_CHUNK = 4_000
"""Rows that are read with one statement, at most: adapters cut longer answers."""

Period = tuple[int | None, int | None]
"""From which timestamp on, and before which."""


@dataclass(frozen=True)
class Column:
    """A column or tag.

    Parameters:
        name: its name.
        kind: its type, BINARY called VARCHAR.
        length: as DESCRIBE says it; 0 of JSON, which servers choose.
    """

    name: str
    kind: str
    length: int


@dataclass(frozen=True)
class Structure:
    """A super table's or normal table's structure.

    Parameters:
        columns: the timestamp first.
        tags: none of a normal table.
        keys: how many columns make the primary key.
    """

    columns: tuple[Column, ...]
    tags: tuple[Column, ...]
    keys: int


@dataclass
class Table:
    """A subtable or normal table.

    Parameters:
        stable: its super table, None for a normal table.
        structure: its super table's, or its own.
        tags: values of its tags.
        rows: by primary key.
    """

    stable: str | None
    structure: Structure
    tags: Row = ()
    rows: list[Row] = field(default_factory=list)


@dataclass
class Contents:
    """All that a database holds, by name."""

    stables: dict[str, Structure]
    tables: dict[str, Table]

    @property
    def rows(self) -> int:
        return sum(len(table.rows) for table in self.tables.values())


def read(server: Server, database: str, period: Period = (None, None), only: Collection[str] | None = None) -> Contents:
    """What a database holds.

    Parameters:
        server: where it is.
        database: its name.
        period: of which rows are read.
        only: the tables that are read; None for all.
    """
    stables, owners = _listing(server, database)
    structures = {stable: _structure(server, database, stable) for stable in stables}
    tables = {
        table: Table(None, _structure(server, database, table))
        for table, stable in owners.items()
        if not stable and (only is None or table in only)
    }
    for stable, structure in structures.items():
        for table, *tags in _tags(server, database, stable, structure):
            if only is None or table in only:
                tables[str(table)] = Table(stable, structure, tuple(tags))
    missing = {table for table in owners if only is None or table in only} ^ tables.keys()
    if missing:
        raise AssertionError(f"{server.version_text} lists {sorted(missing)!r} in one place, and not in another")
    counts = _counts(server, database, structures, period)
    for table, holds in tables.items():
        if holds.stable is None or table in counts:
            rows = _rows(server, f"{database}.{name(table)}", holds.structure, period, counts.get(table))
            holds.rows = sorted(rows, key=lambda row: row[: holds.structure.keys])
    return Contents(structures, tables)


def exists(server: Server, database: str) -> bool:
    """Whether there is such a database."""
    return any(row[0] == database for row in server.rows("show databases"))


def _listing(server: Server, database: str) -> tuple[list[str], dict[str, str]]:
    """Super tables, and the super table of each table, empty for a normal one."""
    if server.generation == 2:
        stables = server.rows(f"show {database}.stables")
        tables = [(row[0], row[3]) for row in server.rows(f"show {database}.tables")]
    else:
        schema = f"from information_schema.ins_{{}} where db_name = '{database}'"
        stables = server.rows(f"select stable_name {schema.format('stables')}")
        tables = [(row[0], row[1]) for row in server.rows(f"select table_name, stable_name {schema.format('tables')}")]
    return [str(row[0]) for row in stables], {str(table): str(stable or "") for table, stable in tables}


def _structure(server: Server, database: str, table: str) -> Structure:
    columns: list[Column] = []
    tags: list[Column] = []
    keys = 1
    for text, said, length, note, *_ in server.rows(f"describe {database}.{name(table)}"):
        kind = "VARCHAR" if said == "BINARY" else str(said)
        (tags if note == "TAG" else columns).append(Column(str(text), kind, 0 if kind == "JSON" else int(length or 0)))
        keys += note == "PRIMARY KEY"
    return Structure(tuple(columns), tuple(tags), keys)


def _tags(server: Server, database: str, stable: str, structure: Structure) -> list[Row]:
    """Name and tags of each subtable."""
    select = "select" if server.generation == 2 else "select distinct" if server.version < (3, 1) else "select tags"
    tags = ", ".join(name(tag.name) for tag in structure.tags)
    return server.rows(f"{select} tbname, {tags} from {database}.{name(stable)}")


def _counts(server: Server, database: str, stables: dict[str, Structure], period: Period) -> dict[str, int]:
    """How many rows each subtable has; those without may be missing."""
    found: dict[str, int] = {}
    grouping = "group" if server.generation == 2 else "partition"
    for stable, structure in stables.items():
        source = f"{database}.{name(stable)}{_where(structure, period)}"
        rows = server.rows(f"select tbname, count(*) from {source} {grouping} by tbname")
        counts = {str(row[0]): int(row[1] or 0) for row in rows}
        total = _one(server, f"select count(*) from {source}")
        if sum(counts.values()) != total:
            raise AssertionError(f"{server.version_text} counts {total} rows of {source}, or {sum(counts.values())}")
        found |= counts
    return found


def _where(structure: Structure, period: Period) -> str:
    time = name(structure.columns[0].name)
    start, end = period
    conditions = [f"{time} >= {start}"] * (start is not None) + [f"{time} < {end}"] * (end is not None)
    return f" where {' and '.join(conditions)}" if conditions else ""


def _rows(server: Server, table: str, structure: Structure, period: Period, count: int | None = None) -> Iterator[Row]:
    """The rows of a period; more than fit into an answer are read by halves.

    Parameters:
        server: where they are.
        table: with its database.
        structure: the table's.
        period: which rows.
        count: how many they are, if that is known.
    """
    time, where = name(structure.columns[0].name), _where(structure, period)
    if count is None:
        count = _one(server, f"select count(*) from {table}{where}")
    if count > _CHUNK:
        low = _one(server, f"select first({time}) from {table}{where}")
        high = _one(server, f"select last({time}) from {table}{where}")
        if low < high:
            middle = (low + high + 1) // 2
            yield from _rows(server, table, structure, (low, middle))
            yield from _rows(server, table, structure, (middle, high + 1))
            return
    rows = _at_once(server, structure, f" from {table}{where}") if count else []
    if len(rows) != count:
        raise AssertionError(f"{server.version_text} counts {count} rows of {table}{where}, and sends {len(rows)}")
    yield from rows


def _one(server: Server, sql: str) -> int:
    """The one number of an answer; 2.x answers nothing where there are no rows."""
    rows = server.rows(sql)
    return int(rows[0][0] or 0) if rows else 0


def _at_once(server: Server, structure: Structure, source: str) -> list[Row]:
    asked = [name(column.name) for column in structure.columns]
    try:
        return server.rows(f"select {', '.join(asked)}{source}")
    except ValueError:
        pass
    # A float is infinite or no number: floats by the WebSocket, and the rest as before, in the same order.
    floats = [i for i, column in enumerate(structure.columns) if column.kind in ("FLOAT", "DOUBLE")]
    others = [i for i in range(len(asked)) if i not in floats]
    ours = server.rows(f"select {', '.join(asked[i] for i in others)}{source}")
    numbers = server.numbers(f"select {asked[0]}, {', '.join(asked[i] for i in floats)}{source}")
    rows = []
    for some, more in zip(ours, numbers, strict=True):
        assert some[0] == more[0]
        values = dict(zip(others, some, strict=True)) | dict(zip(floats, more[1:], strict=True))
        rows.append(tuple(values[i] for i in range(len(asked))))
    return rows


def differences(source: Contents, target: Contents, rename: Callable[[str], str] = str) -> dict[str, str]:
    """What is not the same: the first thing of each table, by its name in the target.

    Parameters:
        source: what should be there.
        target: what is there.
        rename: what the target calls a table.
    """
    found: dict[str, str] = {}
    for stable, structure in source.stables.items():
        there = target.stables.get(rename(stable))
        if there != structure:
            found[rename(stable)] = f"structure {_first(structure, there)}"
    ours = {rename(table): holds for table, holds in source.tables.items()}
    for table in sorted(ours.keys() | target.tables.keys()):
        one, other = ours.get(table), target.tables.get(table)
        if one is None or other is None:
            found[table] = "the target does not have it" if one else "only the target has it"
        elif what := _difference(one, other, rename):
            found[table] = what
    return found


def _difference(one: Table, other: Table, rename: Callable[[str], str]) -> str:
    """The first thing that differs in a table."""
    if (one.stable and rename(one.stable)) != other.stable:
        return f"it belongs to {other.stable!r}"
    if one.structure != other.structure:
        return f"structure {_first(one.structure, other.structure)}"
    tags = _values(one.structure.tags, one.tags, other.tags)
    return f"tag {tags}" if tags else _rows_difference(one, other)


def _rows_difference(one: Table, other: Table) -> str:
    keys = one.structure.keys
    ours, theirs = ({row[:keys]: row for row in table.rows} for table in (one, other))
    if lost := sorted(ours.keys() - theirs.keys()):
        return f"{len(lost)} of {len(ours)} rows are missing, {lost[0]} first"
    if more := sorted(theirs.keys() - ours.keys()):
        return f"{len(more)} rows more than the {len(ours)}, {more[0]} first"
    for key, row in ours.items():
        if what := _values(one.structure.columns, row, theirs[key]):
            return f"at {key} {what}"
    if len(one.rows) != len(other.rows):
        return f"{len(one.rows)} rows in the source, {len(other.rows)} in the target, of the same keys"
    return ""


def _values(columns: Sequence[Column], ours: Row, theirs: Row) -> str:
    """The first value that differs; True is not 1."""
    for column, mine, yours in zip(columns, ours, theirs, strict=True):
        if mine != yours or type(mine) is not type(yours):
            return f"{column.name!r} {column.kind}: {mine!r} in the source, {yours!r} in the target"
    return ""


def _first(one: Structure, other: Structure | None) -> str:
    """The first thing that differs."""
    if other is None:
        return "the target does not have it"
    for mine, yours in zip(one.columns + one.tags, other.columns + other.tags, strict=False):
        if mine != yours:
            return f"{mine} in the source, {yours} in the target"
    return f"{len(one.columns)} columns, {len(one.tags)} tags, {one.keys} keys in the source, " + (
        f"{len(other.columns)} columns, {len(other.tags)} tags, {other.keys} keys in the target"
    )
