"""Tag values arrive to the digit: as SQL says them, as they are compared, and through schema sync."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.geometry import well_known_text
from airflow_provider_tdengine.client.sql import cut, string
from airflow_provider_tdengine.client.types import Field, Type, field_from_sql
from airflow_provider_tdengine.migration.catalog import Scope
from airflow_provider_tdengine.migration.structure import same_tag, tag_literal

from ..conftest import SOURCE, TARGET, Pair

JSON, DOUBLE, FLOAT = Field("j", Type.JSON), Field("d", Type.DOUBLE, 8), Field("f", Type.FLOAT, 4)
GEOMETRY = Field("g", Type.GEOMETRY, 64)
POINT = struct.pack("<BI2d", 1, 1, 1.5, -0.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ('{"b":1,"a":"x"}', '{"a":"x","b":1}', True),
        ('{"big":9007199254740992}', '{"big":9.00719925474099e+15}', True),
        ('{"n":3}', '{"n":3.0000001}', False),
        ('{"n":1}', '{"n":true}', False),
        ('{"n":0}', '{"n":false}', False),
        ('{"n":0}', '{"n":null}', False),
        ('{"n":""}', '{"n":null}', True),
        ('{"n":1}', '{"m":1}', False),
        ('{"n":{"x":1}}', '{"n":{"x":2}}', False),
        ("{}", None, True),
        ("", None, True),
        ("null", None, True),
        ('{"n":1}', None, False),
    ],
)
def test_json_tags(ours: Value, theirs: Value, same: bool) -> None:
    assert same_tag(JSON, ours, theirs) is same


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (DOUBLE, 5e-324, "refuse 5e-324, the value of tag 'd'"),
        (DOUBLE, float("inf"), "inf cannot be written in SQL"),
        (JSON, '{"a":[1,{"e":1e300}]}', "the number in .*, the value of tag 'j', is too large for TDengine 3"),
        (GEOMETRY, b"\1", r"a GEOMETRY value ends too early \(tag 'g'\)"),
        (GEOMETRY, POINT + b"\0", "a GEOMETRY value has 1 bytes too many"),
        (GEOMETRY, b"\0" + POINT[1:], "a GEOMETRY value has byte order 0 and shape 0x1, which no text says"),
        (GEOMETRY, struct.pack("<BI2d", 1, 1, 0, math.inf), r"the coordinates \(0.0, inf\), which no text says"),
        (GEOMETRY, struct.pack("<BII", 1, 7, 1) + POINT, "a GEOMETRYCOLLECTION of nothing but points is refused"),
        (GEOMETRY, struct.pack("<BII", 1, 5, 1) + POINT, "a MULTILINESTRING holds a POINT, which no text says"),
        (GEOMETRY, struct.pack("<BIII", 1, 2, 1 << 31, 0), "a GEOMETRY value ends too early"),
        (GEOMETRY, struct.pack("<BIII", 1, 3, 1, 0), "a POLYGON has an empty ring around it, which no text says"),
        (GEOMETRY, struct.pack("<BII", 1, 4 | 1 << 31, 0), "an empty MULTIPOINT is Z, which no text says"),
        (Field("b", Type.VARCHAR, 8), "a\0b", r"the value 'a\\x00b' of tag 'b' has a zero byte, which no statement"),
    ],
)
def test_what_has_no_text(tag: Field, value: Value, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        tag_literal(tag, value)


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (Field("v", Type.VARBINARY, 8), b"\0\xff", "'\\x00ff'"),
        (FLOAT, 3.4028235e38, "3.4028234663852886e+38"),
        (FLOAT, 0.1, "0.10000000149011612"),
        (DOUBLE, 0.1, "0.1"),
        (Field("u", Type.UBIGINT, 8), 18446744073709551615, "18446744073709551615"),
        (Field("t", Type.TIMESTAMP, 8), -1, "-1"),
        (GEOMETRY, POINT, "'POINT (1.5 -0.0)'"),
        (GEOMETRY, None, "NULL"),
        (
            GEOMETRY,
            struct.pack("<BII", 1, 7 | 1 << 31, 2)
            + struct.pack("<BII", 1, 4, 0)
            + struct.pack("<BII", 1, 2 | 1 << 31, 0),
            "'GEOMETRYCOLLECTION Z (MULTIPOINT Z EMPTY,LINESTRING Z EMPTY)'",
        ),
    ],
)
def test_texts(tag: Field, value: Value, expected: str) -> None:
    assert tag_literal(tag, value) == expected


# --- From database to database

TYPES_2 = [
    *("bool", "tinyint", "smallint", "int", "bigint"),
    *("tinyint unsigned", "smallint unsigned", "int unsigned", "bigint unsigned"),
    *("float", "double", "timestamp", "binary(40)", "nchar(30)"),
]
TYPES_3 = ["varbinary(30)", "geometry(400)"]

NASTY = st.sampled_from("ab01 _'\"\\`%{}?\n\t\r/;,()é测😀") | st.characters(
    exclude_categories=["Cs"], exclude_characters="\0"
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


def values_of(tag: Field, generation: int) -> st.SearchStrategy[Value]:
    texts = st.text(NASTY, max_size=tag.length)
    others: dict[Type, st.SearchStrategy[Value]] = {
        Type.BOOL: st.booleans(),
        Type.FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: float(str(np.float32(x)))),
        Type.DOUBLE: NUMBERS,
        Type.VARCHAR: texts.map(lambda text: text.encode()[: tag.length].decode(errors="ignore")),
        Type.NCHAR: texts,
        Type.VARBINARY: st.binary(max_size=tag.length),
        Type.GEOMETRY: geometries().filter(lambda value: len(value) <= tag.length and has_text(value)),
    }
    return others[tag.type] if tag.type in others else integers_of(tag, generation)


def integers_of(tag: Field, generation: int) -> st.SearchStrategy[Value]:
    limits = np.iinfo(str(tag.info.dtype))
    low, high = int(limits.min), int(limits.max)
    if generation == 2:
        # These are what NULL looks like.
        low, high = (low + 1, high) if low else (low, high - 1)
    return st.integers(low, high) | st.sampled_from([low, high, 0])


def has_text(geometry: bytes) -> bool:
    """Whether TDengine takes it: not a collection of points alone."""
    try:
        return bool(well_known_text(geometry))
    except ValueError:
        return False


@st.composite
def geometries(draw: st.DrawFn, depth: int = 1, own: tuple[int, int] | None = None, kind: int | None = None) -> bytes:
    """Any value that TDengine stores for a well-known text."""
    dimensions, size = own or draw(st.sampled_from([(0, 2), (0x80000000, 3), (0x40000000, 3), (0xC0000000, 4)]))
    kind = kind or draw(st.integers(1, 7 if depth else 3))
    point = st.lists(NUMBERS, min_size=size, max_size=size).map(lambda numbers: struct.pack(f"<{size}d", *numbers))

    def counted(parts: list[bytes]) -> bytes:
        return struct.pack("<I", len(parts)) + b"".join(parts)

    head = struct.pack("<BI", 1, kind | dimensions)
    if kind == 1:
        return head + draw(point | st.just(struct.pack("<d", math.nan) * size))
    line = st.lists(point, min_size=2, max_size=4)
    if kind == 2:
        return head + counted(draw(line | st.just([])))
    if kind == 3:
        ring = st.lists(point, min_size=3, max_size=4).map(lambda points: counted([*points, points[0]]))
        return head + counted(draw(st.lists(ring, max_size=2)))
    part = geometries(depth - 1, (dimensions, size), kind - 3 if kind < 7 else None)
    return head + counted(draw(st.lists(part, min_size=kind == 7 or dimensions > 0, max_size=3)))


SLOW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def exact(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Floats as text, so that -0.0 is not 0.0."""
    return tuple(repr(value) if isinstance(value, float) else value for value in values)


def tags_of(pair: Pair, side: int) -> dict[str, tuple[Value, ...]]:
    catalog = pair.catalogs[side]
    return {subtable.name: exact(subtable.tags) for subtable in catalog.subtables(catalog.describe("s"), Scope())}


def prepare(pair: Pair, tags: str) -> None:
    """A super table in a new source database, and no target."""
    pair.target.execute(f"drop database if exists {TARGET}")
    pair.sql(
        f"drop database if exists {SOURCE}",
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags ({tags})",
    )


@given(data=st.data())
@SLOW
def test_every_tag_arrives(pair: Pair, data: st.DataObject) -> None:
    names = TYPES_2 + (TYPES_3 if pair.has_new_types else [])
    tags = [field_from_sql(f"t{i}", name) for i, name in enumerate(names)]
    row = st.tuples(*(st.none() | values_of(tag, pair.source.generation) for tag in tags))
    rows = data.draw(st.lists(row, min_size=1, max_size=25))
    prepare(pair, ", ".join(f"{tag.name} {name}" for tag, name in zip(tags, names, strict=True)))
    texts = [", ".join(map(tag_literal, tags, values)) for values in rows]
    made = (f"{SOURCE}.c{i} using {SOURCE}.s tags ({text})" for i, text in enumerate(texts))
    pair.sql(*(statement for statement, _ in cut("create table", made)))
    wanted, given = tags_of(pair, 0), {f"c{i}": exact(values) for i, values in enumerate(rows)}
    # Servers that were built with GEOS before 3.12 keep two dimensions of a GEOMETRY.
    flat = [number for number, tag in enumerate(tags) if tag.type is not Type.GEOMETRY]
    for name, values in given.items():
        assert [wanted[name][number] for number in flat] == [values[number] for number in flat]
    pair.sync()
    assert tags_of(pair, 1) == wanted
    assert not pair.verify().differences
    for tag in tags[: len(rows)]:
        pair.target.execute(f"alter table {TARGET}.c0 set tag {tag.name} = null")
    assert pair.sync(update_tags=True).tags == sum(value is not None for value in rows[0][: len(rows)])
    assert tags_of(pair, 1) == wanted


KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)
NUMBERS_IN_JSON = st.integers(-99_999, 99_999) | st.floats(-60_000, 60_000, width=16)
JSONS = st.dictionaries(KEYS, st.none() | st.booleans() | NUMBERS_IN_JSON | st.text(NASTY, max_size=8), max_size=4)


def is_readable(value: dict[str, object]) -> bool:
    """Whether the adapter of 3.3.3.0 survives reading it.

    It makes room for as many bytes as the value has in storage: 8 a number, 4 a character. Where the text is longer,
    such as that of two numbers of 16 digits, its heap is damaged, and it ends sooner or later (measured).
    """
    stored = sum(
        len(key) + 4 + (4 * len(own) if isinstance(own, str) else 8 * (type(own) in (int, float)))
        for key, own in value.items()
    )
    return not value or len(json.dumps(value, ensure_ascii=False).encode()) <= stored


@given(values=st.lists(st.none() | JSONS.filter(is_readable), min_size=1, max_size=25))
@SLOW
def test_every_json_tag_arrives(pair: Pair, values: list[dict[str, object] | None]) -> None:
    prepare(pair, "j json")
    for number, value in enumerate(values):
        text = "null" if value is None else string(json.dumps(value, ensure_ascii=number % 2 == 0))
        pair.sql(f"create table {SOURCE}.c{number} using {SOURCE}.s tags ({text})")
    pair.sync()
    source, target = tags_of(pair, 0), tags_of(pair, 1)
    assert target.keys() == source.keys()
    for number, value in enumerate(values):
        ours, theirs = source[f"c{number}"][0], target[f"c{number}"][0]
        assert same_tag(JSON, ours, json.dumps(value))
        assert same_tag(JSON, ours, theirs)
    assert not pair.verify().differences
    assert not pair.sync(update_tags=True).changed
