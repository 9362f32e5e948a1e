"""The shapes of data that are measured, and databases filled with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, column_from_list
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.sql import cut, identifier, literal
from airflow_provider_tdengine.client.types import TYPES, Field, Type
from airflow_provider_tdengine.client.websocket import WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.rows import insert_parts

STABLE = "meters"

_START = 1_609_459_200_000  # 2021-01-01 UTC, in ms
_SECOND = 1_000
_ROWS_A_BLOCK = 10_000
_TEXT_BELOW = 500
"""Rows a subtable below which INSERT statements of many subtables fill faster than a block each."""

TAGS = (
    Field("line", Type.INT, 4),
    Field("model", Type.VARCHAR, 16),
    Field("place", Type.NCHAR, 16),
    Field("rated", Type.DOUBLE, 8),
    Field("indoors", Type.BOOL, 1),
)
_PLACES = ("北京 朝阳", "München", "O'Fallon", "Québec", "Springfield")
_WORDS = {
    Type.VARCHAR: ("ok", "low", "fault 17", "replaced"),
    Type.NCHAR: (
        "ok",
        "voltage low, checked by phone",
        "电压偏低，已检修",
        "remplacé à l'atelier",
        "x" * 60,
        "正常" * 20,
    ),
}


@dataclass(frozen=True)
class Shape:
    """A super table: how many subtables, how many rows each, of which columns.

    Parameters:
        name: what it is called in reports; its database is named after it.
        subtables: how many.
        rows: of each of them, a second apart.
        columns: the first is the timestamp.
        nulls: share of NULL in the columns behind the timestamp, 0 to 1.
        generation: of the source that it is about, 2 or 3; None for either.
    """

    name: str
    subtables: int
    rows: int
    columns: tuple[Field, ...]
    nulls: float = 0.0
    generation: int | None = None

    @property
    def total(self) -> int:
        """Rows of all subtables."""
        return self.subtables * self.rows

    @property
    def database(self) -> str:
        """Where it is filled in; filled already, it is used again."""
        return f"bench_{self.name}"

    def scaled(self, factor: float) -> Shape:
        """The same with fewer or more subtables."""
        return replace(self, subtables=max(1, round(self.subtables * factor)))

    def __str__(self) -> str:
        return f"{self.name}: {self.subtables:,} subtables x {self.rows:,} rows x {len(self.columns)} columns"


_TIME = Field("ts", Type.TIMESTAMP, 8)
_CURRENT, _VOLTAGE, _PHASE = (
    Field("current", Type.FLOAT, 4),
    Field("voltage", Type.INT, 4),
    Field("phase", Type.FLOAT, 4),
)
METER = (_TIME, _CURRENT, _VOLTAGE, _PHASE)
_OLD_METER = (
    *METER,
    Field("energy", Type.DOUBLE, 8),
    Field("pulses", Type.BIGINT, 8),
    Field("state", Type.VARCHAR, 16),
)
_KINDS = (Type.FLOAT, Type.INT, Type.DOUBLE, Type.SMALLINT, Type.BIGINT, Type.BOOL)
_MANY = tuple(Field(f"c{i}", kind, TYPES[kind].width) for i, kind in zip(range(199), cycle(_KINDS), strict=False))
_NOTES = tuple(Field(f"note{i}", Type.NCHAR, 64) for i in range(4))

DENSE = Shape("dense", 100, 50_000, METER, generation=3)
SHAPES = (
    DENSE,
    Shape("sparse", 20_000, 10, METER, generation=3),
    Shape("old", 10, 20_000, _OLD_METER, nulls=0.05, generation=2),
    Shape("wide", 10, 5_000, (_TIME, *_MANY)),
    Shape("text", 10, 20_000, (_TIME, _VOLTAGE, *_NOTES), nulls=0.3),
)
STRUCTURE = Shape("structure", 20_000, 0, METER)
MEMORY = (Shape("memory_1m", 100, 10_000, METER), Shape("memory_50m", 100, 500_000, METER))


def crossing(rows: int, columns: int) -> Shape:
    """So many rows a subtable: about 2,000,000 values in all, of 2,000 subtables at most."""
    name = f"crossing_{rows}x{columns}"
    return Shape(name, min(2_000, 2_000_000 // (rows * columns)), rows, (*METER, *_MANY)[:columns])


def fill(client: Client, shape: Shape) -> bool:
    """Make a shape's database, with the same rows each time.

    Returns:
        False if it was there, as large as it shall be.
    """
    if _is_filled(client, shape):
        return False
    # Its write buffer holds memory as long as the database is there, 512 MB by default.
    create(client, shape.database, shape, "BUFFER 16" if client.generation == 3 else "")
    dialect = client.dialect
    table = dialect.table(shape.database, STABLE)
    creations = (
        f"{dialect.table(shape.database, name_of(i))} USING {table} TAGS ({_tags(i)})" for i in range(shape.subtables)
    )
    with client.session(shape.database) as session:
        for statement, _ in cut("CREATE TABLE", creations):
            session.query(statement)
        _write(client, session, shape)
    return True


def create(client: Client, database: str, shape: Shape, options: str = "") -> None:
    """Make a database anew, with a shape's super table and no subtable; options as SQL says them."""
    drop(client, database)
    dialect = client.dialect
    client.execute(f"CREATE DATABASE IF NOT EXISTS {dialect.database(database)} PRECISION 'ms' KEEP 36500 {options}")
    columns, tags = (
        ", ".join(f"{identifier(field.name)} {dialect.type_name(field)}" for field in fields)
        for fields in (shape.columns, TAGS)
    )
    client.execute(f"CREATE STABLE {dialect.table(database, STABLE)} ({columns}) TAGS ({tags})")


def drop(client: Client, database: str) -> None:
    """Remove a database if it is there."""
    client.execute(f"DROP DATABASE IF EXISTS {client.dialect.database(database)}")


def name_of(subtable: int) -> str:
    """The name of a subtable, by its number."""
    return f"d{subtable:05}"


def _is_filled(client: Client, shape: Shape) -> bool:
    catalog = Catalog(client, shape.database)
    if catalog.database() is None or (table := catalog.find(STABLE)) is None:
        return False
    if (table.columns, table.tags) != (shape.columns, TAGS) or len(catalog.owners()) != shape.subtables:
        return False
    return count(client, shape.database) == shape.total


def count(client: Client, database: str) -> int:
    """Rows of all subtables; 2.x answers no row for none."""
    rows = client.rows(f"SELECT COUNT(*) FROM {client.dialect.table(database, STABLE)}")
    return int(str(rows[0][0])) if rows else 0


def _tags(subtable: int) -> str:
    place = _PLACES[subtable % len(_PLACES)]
    values = (subtable // 10, f"DDZ-{subtable % 7}", place, subtable / 7, subtable % 2 == 0)
    return ", ".join(map(literal, values))


def _write(client: Client, session: Session, shape: Shape) -> None:
    """All rows: as blocks, or as INSERT statements where the server takes no blocks or a block would be tiny."""
    if client.generation == 3 and shape.rows >= _TEXT_BELOW and isinstance(session, WebSocketSession):
        for name, block in _blocks(shape):
            for request in session.write_block(name, block):
                session.confirm(request, name)
        return
    tables = ((client.dialect.table(shape.database, name), block) for name, block in _blocks(shape))
    parts = (part for table, block in tables for part in insert_parts([(table, block.rows)], block))
    for statement, _ in cut("INSERT INTO", parts):
        session.query(statement)


def _blocks(shape: Shape) -> Iterator[tuple[str, Block]]:
    """Each subtable's rows, block by block."""
    for subtable in range(shape.subtables):
        random = np.random.default_rng(subtable)
        for first in range(0, shape.rows, _ROWS_A_BLOCK):
            rows = min(_ROWS_A_BLOCK, shape.rows - first)
            times = FixedColumn(_START + _SECOND * np.arange(first, first + rows), np.zeros(rows, np.bool_))
            others = (_column(field, random, rows, shape.nulls) for field in shape.columns[1:])
            yield name_of(subtable), Block(shape.columns, (times, *others), rows)


def _column(field: Field, random: np.random.Generator, rows: int, nulls: float) -> Column:
    """Values as a meter has them: numbers of few digits, words of a small vocabulary."""
    missing = random.random(rows) < nulls
    if field.type in _WORDS:
        pool = column_from_list(field, [None, *_WORDS[field.type]])
        return pool.take(np.where(missing, 0, random.integers(1, len(pool), rows)))
    dtype = field.info.dtype
    if dtype is not None and dtype.kind == "f":
        return FixedColumn(random.normal(220, 5, rows).round(3).astype(dtype), missing)
    return FixedColumn(random.integers(0, 2 if field.type is Type.BOOL else 400, rows).astype(dtype), missing)
