"""What two databases hold, read table by table, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from .server import Row, Server, Value, name

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
    for table, holds in tables.items():
        rows = _rows(server, f"{database}.{name(table)}", holds.structure, period)
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
    columns, tags, keys = [], [], 1
    for text, kind, length, note, *_ in server.rows(f"describe {database}.{name(table)}"):
        of_json = kind == "JSON"
        kind = "VARCHAR" if kind == "BINARY" else str(kind)
        (tags if note == "TAG" else columns).append(Column(str(text), kind, 0 if of_json else int(length or 0)))
        keys += note == "PRIMARY KEY"
    return Structure(tuple(columns), tuple(tags), keys)


def _tags(server: Server, database: str, stable: str, structure: Structure) -> list[Row]:
    """Name and tags of each subtable."""
    select = "select" if server.generation == 2 else "select distinct" if server.version < (3, 1) else "select tags"
    tags = ", ".join(_asked(server, tag) for tag in structure.tags)
    return server.rows(f"{select} tbname, {tags} from {database}.{name(stable)}")


def _asked(server: Server, column: Column) -> str:
    """A column as it is asked for: timestamps of 3.x as numbers."""
    spelt = name(column.name)
    return f"cast({spelt} as bigint)" if column.kind == "TIMESTAMP" and server.generation == 3 else spelt


def _rows(server: Server, table: str, structure: Structure, period: Period) -> Iterator[Row]:
    """The rows of a period; more than fit into an answer are read by halves."""
    time = name(structure.columns[0].name)
    start, end = period
    conditions = [f"{time} >= {start}"] * (start is not None) + [f"{time} < {end}"] * (end is not None)
    where = f" where {' and '.join(conditions)}" if conditions else ""
    count = _one(server, f"select count(*) from {table}{where}") or 0
    if count > _CHUNK:
        low = _one(server, f"select first({time}) from {table}{where}", time)
        high = _one(server, f"select last({time}) from {table}{where}", time)
        if low < high:
            middle = (low + high + 1) // 2
            yield from _rows(server, table, structure, (low, middle))
            yield from _rows(server, table, structure, (middle, high + 1))
            return
    rows = _at_once(server, structure, f" from {table}{where}") if count else []
    if len(rows) != count:
        raise AssertionError(f"{server.version_text} counts {count} rows of {table}{where}, and sends {len(rows)}")
    yield from rows


def _one(server: Server, sql: str, time: str = "") -> int:
    """The one number of an answer; 2.x answers nothing where there are no rows."""
    if time and server.generation == 3:
        sql = sql.replace(f"({time})", f"(cast({time} as bigint))")
    rows = server.rows(sql)
    return int(rows[0][0] or 0) if rows else 0


def _at_once(server: Server, structure: Structure, source: str) -> list[Row]:
    asked = [_asked(server, column) for column in structure.columns]
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
    if (one.stable and rename(one.stable)) != other.stable:
        return f"it belongs to {other.stable!r}"
    if one.structure != other.structure:
        return f"structure {_first(one.structure, other.structure)}"
    for tag, ours, theirs in zip(one.structure.tags, one.tags, other.tags, strict=True):
        if not _same(ours, theirs):
            return f"tag {tag.name!r} {tag.kind}: {ours!r} in the source, {theirs!r} in the target"
    if one.rows == other.rows and all(map(_all_same, one.rows, other.rows)):
        return ""
    keys = one.structure.keys
    ours, theirs = ({row[:keys]: row for row in table.rows} for table in (one, other))
    if lost := sorted(ours.keys() - theirs.keys()):
        return f"{len(lost)} of {len(ours)} rows are missing, {lost[0]} first"
    if more := sorted(theirs.keys() - ours.keys()):
        return f"{len(more)} rows more than the {len(ours)}, {more[0]} first"
    for key, row in ours.items():
        for column, mine, yours in zip(one.structure.columns, row, theirs[key], strict=True):
            if not _same(mine, yours):
                return f"{column.name!r} {column.kind} at {key}: {mine!r} in the source, {yours!r} in the target"
    return f"{len(one.rows)} rows in the source, {len(other.rows)} in the target, of the same keys"


def _same(one: Value, other: Value) -> bool:
    """Whether two values are one; True is not 1."""
    return one == other and type(one) is type(other)


def _all_same(one: Row, other: Row) -> bool:
    return all(map(_same, one, other))


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
