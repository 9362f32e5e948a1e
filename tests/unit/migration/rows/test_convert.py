"""Each type goes into each type that takes all of its values, and into no other."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import (
    Block,
    Value,
    column_from_list,
    column_to_list,
    decode_block,
    encode_block,
)
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.types import DECIMALS, MOST_DIGITS, TYPES, Field, Precision, Type, field_from_sql
from airflow_provider_tdengine.migration.catalog import Table, TimeScale
from airflow_provider_tdengine.migration.rows import PAIRS, SAME, Change, Pair, TagTranscoder, Transcoder, conversion

EXACT = Context(prec=80)
MS_TO_NS = TimeScale.between(Precision.MS, Precision.NS)
NS_TO_MS = TimeScale.between(Precision.NS, Precision.MS)


def field_of(kind: Type, length: int, digits: int, scale: int) -> Field:
    if kind in DECIMALS:
        digits = min(digits, MOST_DIGITS[kind])
        return Field("c", kind, TYPES[kind].width, digits, min(scale, digits))
    return Field("c", kind, TYPES[kind].width or length)


@st.composite
def fields_of(draw: st.DrawFn, pair: Pair) -> tuple[Field, Field, TimeScale]:
    """Two fields that the pair joins, and precisions."""
    most = MOST_DIGITS.get(pair.target, 38)
    length, digits, scale = draw(st.integers(1, 60)), draw(st.integers(1, most)), draw(st.integers(0, 12))
    source = field_of(pair.source, length, digits, scale)
    if pair.source is pair.target and pair.change is Change.EXACT:
        target = source
    else:
        # A scale that is not smaller, so that the pair holds often.
        wider = draw(st.integers(min(source.scale, 12), 12))
        target = field_of(pair.target, length * draw(st.integers(1, 5)), 38, wider)
    times = [time for time in (SAME, MS_TO_NS, NS_TO_MS) if pair.holds(source, target, time)]
    assume(times)
    return source, target, draw(st.sampled_from(times))


def values_of(field: Field) -> st.SearchStrategy[Value]:
    if field.type in DECIMALS:
        most = 10**field.digits - 1
        return st.integers(-most, most).map(lambda number: Decimal(number).scaleb(-field.scale, EXACT))
    if field.type is Type.BOOL:
        return st.booleans()
    if field.type in (Type.FLOAT, Type.DOUBLE):
        width = 32 if field.type is Type.FLOAT else 64
        short = st.decimals(-9999, 9999, places=3).map(float)
        floats = st.floats(width=width, allow_nan=False, allow_infinity=False)
        return (floats | short).map(lambda number: shortest(number, width))
    if field.info.dtype is not None:
        limits = np.iinfo(str(field.info.dtype))
        return st.integers(int(limits.min), int(limits.max))
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=field.length)
    if field.type in (Type.NCHAR, Type.JSON):
        return text
    raw = st.binary(max_size=field.length) | text.map(lambda value: value.encode()[: field.length])
    return raw.map(lambda value: value.decode(errors="surrogateescape")) if field.type is Type.VARCHAR else raw


def shortest(number: float, width: int) -> float:
    """As `column_to_list` shows a FLOAT or DOUBLE."""
    return float(str(np.float32(number))) if width == 32 else number


def expected(source: Field, target: Field, value: Value, time: TimeScale) -> Value:
    """The same value as the target shows it."""
    if isinstance(value, str) and target.type is Type.VARBINARY:
        return value.encode(errors="surrogateescape")
    if source.type is Type.FLOAT and target.type is Type.DOUBLE:
        return float(np.float32(value))
    if isinstance(value, float) and target.type in DECIMALS:
        return Decimal(repr(value))
    return time.apply(value) if source.type is target.type is Type.TIMESTAMP and isinstance(value, int) else value


def holds(target: Field, value: Value) -> bool:
    """Whether the target's type has this value."""
    if isinstance(value, Decimal) and target.type in DECIMALS:
        scaled = value.scaleb(target.scale, EXACT)
        return scaled == int(scaled) and abs(int(scaled)) < 10**target.digits
    if isinstance(value, str) and target.type is Type.NCHAR:
        return value.isprintable() or not any("\udc80" <= character <= "\udcff" for character in value)
    return not isinstance(value, int) or target.type is not Type.TIMESTAMP or -(1 << 63) <= value < 1 << 63


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.source.name}-{pair.target.name}-{pair.change.value}")
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_value_arrives_or_is_refused(pair: Pair, data: st.DataObject) -> None:
    source, target, time = data.draw(fields_of(pair))
    values = data.draw(st.lists(st.none() | values_of(source), max_size=6))
    column = column_from_list(source, values)
    convert = conversion(source, target, time)
    assert convert is not None
    wanted = [None if value is None else expected(source, target, value, time) for value in values]
    if not all(value is None or holds(target, value) for value in wanted):
        assert pair.change is Change.CHECKED
        with pytest.raises(RowRejected, match="column 'c'"):
            convert(column)
        return
    sent = decode_block(encode_block(Block((target,), (convert(column),), len(values))))
    assert column_to_list(target, sent.columns[0]) == wanted


def test_a_type_that_no_pair_names_is_refused() -> None:
    named = {(pair.source, pair.target) for pair in PAIRS}
    for source in Type:
        for target in Type:
            made = conversion(field_of(source, 1, 1, 0), field_of(target, 60_000, 38, 0))
            assert (made is not None) == ((source, target) in named), (source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("BIGINT", "INT"), ("INT", "INT UNSIGNED"), ("INT UNSIGNED", "INT"), ("BIGINT UNSIGNED", "BIGINT")),
        *(("BIGINT", "DOUBLE"), ("INT", "FLOAT"), ("DOUBLE", "FLOAT"), ("FLOAT", "INT"), ("TINYINT", "BOOL")),
        *(("VARCHAR(9)", "VARCHAR(8)"), ("VARCHAR(9)", "NCHAR(8)"), ("NCHAR(9)", "VARCHAR(35)")),
        *(("VARBINARY(9)", "VARCHAR(9)"), ("VARBINARY(9)", "VARBINARY(8)"), ("VARCHAR(9)", "GEOMETRY(99)")),
        *(("DECIMAL(10,2)", "DECIMAL(10,3)"), ("DECIMAL(10,2)", "DECIMAL(38,1)"), ("DECIMAL(4,2)", "DOUBLE")),
        *(("INT", "DECIMAL(11,2)"), ("BIGINT UNSIGNED", "DECIMAL(19,0)"), ("JSON", "NCHAR(4096)")),
    ],
)
def test_a_type_that_could_lose_values_is_refused(source: str, target: str) -> None:
    assert conversion(field_from_sql("c", source, 8), field_from_sql("c", target, 8)) is None


def test_numbers_of_steps_keep_their_meaning_only_in_the_same_precision() -> None:
    time, number = Field("c", Type.TIMESTAMP, 8), Field("c", Type.BIGINT, 8)
    assert conversion(time, number, MS_TO_NS) is None
    assert conversion(number, time, MS_TO_NS) is None


@pytest.mark.parametrize(
    ("source", "value", "target", "sentence"),
    [
        ("DOUBLE", 1.234, "DECIMAL(10,2)", r"a value of column 'c' is no DECIMAL\(10,2\): 1.234 has more digits"),
        ("FLOAT", 1e9, "DECIMAL(10,2)", r"a value of column 'c' is no DECIMAL\(10,2\): 1000000000.0 has more digits"),
        ("DOUBLE", float("inf"), "DECIMAL(10,2)", r"a value of column 'c' is no DECIMAL\(10,2\)"),
        ("DOUBLE", float("nan"), "DECIMAL(10,2)", r"a value of column 'c' is no DECIMAL\(10,2\)"),
        ("VARCHAR(9)", "ä\udcff", "NCHAR(9)", r"the value b'\\xc3\\xa4\\xff' of column 'c' is not UTF-8 text"),
    ],
)
def test_a_value_that_the_target_cannot_hold_is_named(source: str, value: Value, target: str, sentence: str) -> None:
    before = field_from_sql("c", source, 8)
    convert = conversion(before, field_from_sql("c", target, 8))
    assert convert is not None
    with pytest.raises(RowRejected, match=sentence):
        convert(column_from_list(before, [None, value]))


def transcoder(source: tuple[Field, ...], target: tuple[Field, ...], time: TimeScale) -> Transcoder:
    return Transcoder(Table("t", source), Table("t", source), Table("t", target), time)


@pytest.mark.parametrize("make", [transcoder, TagTranscoder])
def test_a_column_that_the_target_lacks_or_that_does_not_fit(make: Callable[..., object]) -> None:
    source = (Field("a", Type.INT, 4),)
    with pytest.raises(ValueError, match="column 'a' is INT in the source and nothing in the target"):
        make(source, (), SAME)
    with pytest.raises(ValueError, match="column 'a' is INT in the source and BOOL in the target"):
        make(source, (Field("a", Type.BOOL, 1),), SAME)


def test_blocks_pass_unopened_only_where_nothing_changes() -> None:
    def unchanged(source: str, target: str, time: TimeScale = SAME) -> bool:
        pair = (field_from_sql("c", source, 8), field_from_sql("c", target, 8))
        return transcoder((pair[0],), (pair[1],), time).unchanged

    assert unchanged("INT", "INT")
    assert unchanged("VARCHAR(8)", "VARCHAR(9)")
    assert unchanged("TIMESTAMP", "TIMESTAMP")
    assert not unchanged("TIMESTAMP", "TIMESTAMP", MS_TO_NS)
    assert not unchanged("TIMESTAMP", "BIGINT")
    assert not unchanged("VARCHAR(8)", "VARBINARY(8)")
    assert not unchanged("DECIMAL(10,2)", "DECIMAL(12,4)")


def test_tags_become_the_targets() -> None:
    source = (Field("f", Type.FLOAT, 4), Field("t", Type.TIMESTAMP, 8), Field("v", Type.VARCHAR, 4))
    target = (Field("v", Type.VARBINARY, 4), Field("t", Type.TIMESTAMP, 8), Field("f", Type.DOUBLE, 8))
    tags = TagTranscoder(source, target, MS_TO_NS)
    assert [field.name for field in tags.fields] == ["f", "t", "v"]
    assert tags((0.1, -5, "ab")) == (0.10000000149011612, -5_000_000, b"ab")
    assert tags((None, None, None)) == (None, None, None)
    with pytest.raises(RowRejected, match="a timestamp in column 't' is too far away"):
        tags((None, 253402300799000, None))
