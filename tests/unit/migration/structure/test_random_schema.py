"""Any schema at all: made on one server, brought to another, and both catalogs are equal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.dialect import Dialect
from airflow_provider_tdengine.client.sql import identifier, literal
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.catalog import Catalog, Scope, Table

from ..conftest import SOURCE, TARGET, Pair, canonical

_UNSIGNED = (Type.UTINYINT, Type.USMALLINT, Type.UINT, Type.UBIGINT)
_INTEGERS = (Type.TINYINT, Type.SMALLINT, Type.INT, Type.BIGINT, *_UNSIGNED)
_TAG_TYPES = (*_INTEGERS, Type.BOOL, Type.FLOAT, Type.DOUBLE, Type.TIMESTAMP, Type.VARCHAR, Type.NCHAR)
_BINARY_TYPES = (Type.VARBINARY, Type.GEOMETRY)
"""Of columns, since 3.3; asked for a table with GEOMETRY, the adapter of 3.0.5.2 dies."""
_KEYS = (Type.INT, Type.BIGINT, Type.UINT, Type.UBIGINT)

# What people put into names: keywords, quotes, signs of other languages; a dot and a backtick no target can hold.
_NASTY = st.sampled_from("aZ09_ -'\"\\%{}$#@!,;:()[]<>=*?/|~^&+表é😀")
_WORDS = st.sampled_from(["full", "select", "Value", "order by", "ts", "_c0", "NULL", "'", "--", "/*", "测试"])
_NAMES = st.one_of(_WORDS, st.text(_NASTY, min_size=1, max_size=12)).filter(
    # Findings are made of those that end in a backslash, and of *.
    lambda name: name.strip() == name and name != "*" and not name.endswith("\\")
)
_TEXT = st.text(st.sampled_from("abc'\"\\\n\t%{}`.,; 零😀"), max_size=8)


def _width(kind: Type) -> int:
    return Field("", kind).info.width


@st.composite
def fields(draw: st.DrawFn, kinds: tuple[Type, ...], names: st.SearchStrategy[str]) -> Field:
    kind = draw(st.sampled_from(kinds))
    length = draw(st.integers(1, 40)) if Field("", kind).info.sized else _width(kind)
    return Field(draw(names), kind, length)


def several(kinds: tuple[Type, ...]) -> st.SearchStrategy[list[Field]]:
    return st.lists(fields(kinds, _NAMES), min_size=1, max_size=5, unique_by=lambda field: field.name.lower())


def values(tag: Field, generation: int) -> st.SearchStrategy[Value]:
    """Values of a tag, NULL among them."""
    if tag.type in _INTEGERS:
        bits = _width(tag.type) * 8
        unsigned = tag.type in _UNSIGNED
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if generation == 2:
            # One number of each type is the NULL of 2.x.
            low, high = (low, high - 1) if unsigned else (low + 1, high)
        known = st.one_of(st.integers(low, high), st.sampled_from([low, high]))
    else:
        known = {
            # Keys of real servers are of ASCII.
            Type.JSON: st.sampled_from(['{"site":"a b","n":3}', '{"x":1.5,"y":true,"z":null}', '{"q":"\\"中\\""}']),
            Type.VARCHAR: _TEXT.filter(lambda text: len(text.encode()) <= tag.length),
            Type.NCHAR: _TEXT.filter(lambda text: len(text) <= tag.length),
            Type.BOOL: st.booleans(),
            Type.FLOAT: st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False).map(_shortest),
            Type.DOUBLE: st.floats(-1e300, 1e300, allow_subnormal=False),
            Type.TIMESTAMP: st.integers(-(10**12), 10**13),
        }[tag.type]
    return st.one_of(st.none(), known)


def _shortest(value: float) -> float:
    """A FLOAT as clients see it: the shortest text of its 32 bits."""
    return float(str(np.float32(value)))


@dataclass
class Made:
    """A schema as it was made.

    Parameters:
        precision: of the database.
        tables: super tables, and a normal table or none.
        subtables: tag values by name, for each of the tables.
    """

    precision: str
    tables: list[Table]
    subtables: list[dict[str, tuple[Value, ...]]]


@st.composite
def schemas(draw: st.DrawFn, generation: int, has_new_types: bool) -> Made:
    taken: set[str] = set()

    def name() -> str:
        found = draw(_NAMES.filter(lambda name: name.lower() not in taken))
        taken.add(found.lower())
        return found

    tables, subtables = [], []
    stables = draw(st.integers(0, 2))
    for is_super in [True] * stables + [False] * draw(st.integers(0 if stables else 1, 1)):
        own = name()
        columns = draw(several(_TAG_TYPES + _BINARY_TYPES if has_new_types else _TAG_TYPES))
        tags = draw(several(_TAG_TYPES)) if is_super else []
        if tags and draw(st.booleans()):
            tags = [Field(tags[0].name, Type.JSON, 0)]
        time = Field(draw(_NAMES), Type.TIMESTAMP, 8)
        spelt = [field.name.lower() for field in (time, *columns, *tags)]
        assume(len(set(spelt)) == len(spelt))
        key = None
        if has_new_types and draw(st.booleans()):
            key = columns[0].name
            kind = draw(st.sampled_from(_KEYS))
            columns[0] = Field(key, kind, _width(kind))
        tables.append(Table(own, (time, *columns), tuple(tags), key))
        its = [tuple(draw(values(tag, generation)) for tag in tags) for _ in range(draw(st.integers(0, 3)))]
        subtables.append({name(): each for each in its} if is_super else {})
    return Made(draw(st.sampled_from(["ms", "us", "ns"])), tables, subtables)


def statements(made: Made, dialect: Dialect) -> list[str]:
    """What makes a schema, said without the help of schema sync."""
    found = [f"create database {SOURCE} precision '{made.precision}' keep 36500"]
    for table, its in zip(made.tables, made.subtables, strict=True):
        columns = ", ".join(
            f"{identifier(field.name)} {dialect.type_name(field)}"
            + (" primary key" if field.name == table.second_key else "")
            for field in table.columns
        )
        tags = ", ".join(f"{identifier(tag.name)} {dialect.type_name(tag)}" for tag in table.tags)
        kind, rest = ("stable", f" tags ({tags})") if tags else ("table", "")
        found.append(f"create {kind} {dialect.table(SOURCE, table.name)} ({columns}){rest}")
        for name, values_of in its.items():
            texts = ", ".join(map(literal, values_of))
            found.append(
                f"create table {dialect.table(SOURCE, name)} using {dialect.table(SOURCE, table.name)} tags ({texts})"
            )
    return found


def read(catalog: Catalog) -> tuple[object, ...]:
    """All that a catalog says, lengths of JSON tags left out: they are what the server makes of them."""
    tables = catalog.tables(Scope())
    shown = {}
    for table in tables:
        spelt = [
            [(f.name, f.type, 0 if f.type is Type.JSON else f.length) for f in side]
            for side in (table.columns, table.tags)
        ]
        subtables = {}
        if table.is_super:
            for subtable in catalog.subtables(table, Scope()):
                pairs = zip(table.tags, subtable.tags, strict=True)
                subtables[subtable.name] = [repr(canonical(*pair)) for pair in pairs]
        shown[table.name] = (spelt, table.second_key, subtables)
    database = catalog.database()
    assert database is not None
    return shown, database.precision, max(database.keep)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_both_catalogs_are_equal(pair: Pair, data: st.DataObject) -> None:
    made = data.draw(schemas(pair.source.generation, pair.has_new_types))
    pair.source.execute(f"drop database if exists {SOURCE}")
    pair.target.execute(f"drop database if exists {TARGET}")
    pair.sql(*statements(made, pair.source.dialect))
    report = pair.sync()
    source, target = map(read, pair.catalogs)
    assert target == source
    assert len(report.stables) == sum(table.is_super for table in made.tables)
    assert report.tables == sum(not table.is_super for table in made.tables) + sum(map(len, made.subtables))
    assert not pair.sync(update_tags=True).changed
    assert not pair.verify().differences
