"""Pieces of SQL: what goes into a literal stays in it, and statements are cut by bytes without loss."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client.errors import UnspeakableName
from airflow_provider_tdengine.client.sql import (
    as_inserted,
    bind,
    cut,
    identifier,
    literal,
    name_list,
    name_range,
    own_names,
    string,
    strings,
    time_range,
    timestamp,
    where,
)
from airflow_provider_tdengine.client.types import Precision

# All that has a meaning in some statement, and letters around it.
TEXT = st.text(st.sampled_from("ab'\"\\`%?s()-/*\n;😀é") | st.characters(codec="utf-8", exclude_characters="\0"))


def read_string(text: str) -> str:
    """What TDengine reads from a literal in single quotes, which is all of `text`."""
    assert text[0] == text[-1] == "'"
    read, i = [], 1
    while i < len(text) - 1:
        assert text[i] != "'", "the literal ends before its end"
        i += text[i] == "\\"
        read.append(text[i])
        i += 1
    assert i == len(text) - 1, "the last quote is escaped"
    return "".join(read)


@given(TEXT)
def test_a_string_reads_back_equal(text: str) -> None:
    assert read_string(string(text)) == text


@given(st.binary())
def test_bytes_reach_the_wire_as_they_are(raw: bytes) -> None:
    sent = string(raw).encode("utf-8", "surrogateescape")
    assert sent[1:-1].replace(b"\\'", b"'").replace(b"\\\\", b"\\") == raw.replace(b"\\\\", b"\\\\") or b"\\" in raw
    assert read_string(string(raw)).encode("utf-8", "surrogateescape") == raw


@given(TEXT.filter(lambda text: text and "`" not in text.replace("``", "")))
def test_any_name_without_a_single_backtick_is_an_identifier(name: str) -> None:
    assert identifier(name) == f"`{name}`"


@pytest.mark.parametrize("name", ["", "`", "a`b", "```", "a```b", "x` drop table y"])
def test_a_name_that_would_end_its_quotes_is_refused(name: str) -> None:
    with pytest.raises(UnspeakableName, match="cannot be a name"):
        identifier(name)


@given(st.lists(st.text("`a. '").map(lambda text: text.replace("`", "``")).filter(bool), min_size=1))
def test_insert_has_twice_the_backticks_of_a_name(names: list[str]) -> None:
    """INSERT of 3.x reads two backticks as one; all other statements leave both in the name (measured)."""
    sql = ", ".join(map(identifier, names))
    assert as_inserted(sql) == ", ".join(identifier(name.replace("`", "``")) for name in names)


@given(st.lists(TEXT.map(str.encode) | st.binary(max_size=6).filter(lambda value: 0 not in value)))
def test_many_literals_are_those_of_each_value(values: list[bytes]) -> None:
    assert strings(b"".join(value + b"\0" for value in values)) == [literal(value) for value in values]


class Level(IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "NULL"), (True, "true"), (False, "false"), (0, "0"), (-(2**63), "-9223372036854775808"),
        (2**64 - 1, "18446744073709551615"), (0.1, "0.1"), (1e300, "1e+300"), (-0.0, "-0.0"), (5e-324, "5e-324"),
        (Decimal("1E+3"), "1000"), (Decimal("0.10"), "0.10"), (Decimal("-1E-10"), "-0.0000000001"),
        ("it's", r"'it\'s'"),
        (b"a\\b", r"'a\\b'"), (Level.HIGH, "3"), (Text("x"), "'x'"), (np.float64(1.5), "1.5"), (np.int64(-7), "-7"),
        (np.uint64(2**64 - 1), "18446744073709551615"), (np.bool_(True), "true"), (np.str_("s"), "'s'"),
        (datetime(2021, 1, 1, tzinfo=timezone.utc), "'2021-01-01T00:00:00.000000+00:00'"),
        (datetime(2021, 1, 1, 8, 0, 0, 5), "'2021-01-01T08:00:00.000005+00:00'"),
        (datetime(2021, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))), "'2021-01-01T08:00:00.000000+08:00'"),
    ],
    ids=repr,
)  # fmt: skip
def test_literals(value: Any, written: str) -> None:
    assert literal(value) == written


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
def test_numbers_read_back_equal(value: Any) -> None:
    assert type(value)(literal(value)) == value


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("Infinity"), [], {}, object(), 1j, np.float32("inf")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_without_a_literal_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="cannot be written in SQL"):
        literal(value)


# --- Parameters

QUOTED = st.one_of(
    TEXT.map(string),
    st.text(st.sampled_from("a?%s'`")).map(lambda text: f'"{text}"'),
    st.text(st.sampled_from("a?%s'\"")).map(lambda text: f"`{text}`"),
    st.text(st.sampled_from("a?%s'\"`")).map(lambda text: f"-- {text}\n"),
    st.text(st.sampled_from("a?%s'\"`")).map(lambda text: f"/* {text} */"),
    st.just("'it''s ?'"),
)


@given(st.lists(QUOTED, max_size=5), st.lists(TEXT | st.integers(), max_size=5))
def test_quoted_text_is_left_alone_and_parameters_stay_in_their_literals(quoted: list[str], values: list[Any]) -> None:
    pieces: list[str] = []
    expected: list[str] = []
    for i in range(max(len(quoted), len(values))):
        if i < len(quoted):
            pieces.append(quoted[i])
            expected.append(quoted[i])
        if i < len(values):
            pieces.append("?" if i % 2 else "%s")
            expected.append(literal(values[i]))
    assert bind(" , ".join(pieces), values) == " , ".join(expected)


@given(st.dictionaries(st.sampled_from(("a", "b", "c_1")), TEXT | st.none() | st.integers(), min_size=3, max_size=3))
def test_named_parameters(values: dict[str, Any]) -> None:
    bound = bind("select '%(a)s', %(a)s, %(c_1)s, %(a)s, %%, %(b)s", values)
    a, b, c = (literal(values[name]) for name in ("a", "b", "c_1"))
    assert bound == f"select '%(a)s', {a}, {c}, {a}, %, {b}"


def test_a_statement_without_parameters_is_sent_as_it_is() -> None:
    statement = "select '%s ?', % ? %% from t"
    assert bind(statement, None) == statement


@pytest.mark.parametrize(
    ("statement", "parameters", "said"),
    [
        ("select ?", [], "more placeholders than parameters"),
        ("select ?, %s", [1], "more placeholders than parameters"),
        ("select ?", [1, 2, 3], "2 parameters more than"),
        ("select '?'", [1], "1 parameters more than"),
        ("select %(a)s", {"b": 1}, "asks for parameter 'a'"),
        ("select ?", {"a": 1}, "more placeholders than parameters"),
        ("select ?", [math.nan], "cannot be written in SQL"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(statement: str, parameters: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        bind(statement, parameters)


# --- Times


@given(
    st.datetimes(min_value=datetime(1902, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.timezones() | st.none())
)
def test_datetimes_count_steps_of_every_precision(moment: datetime) -> None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    microseconds = (aware - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    assert timestamp(moment, Precision.US) == microseconds
    assert timestamp(moment, Precision.NS) == microseconds * 1000
    # Downwards, before 1970 too.
    assert timestamp(moment, Precision.MS) == math.floor(Decimal(microseconds) / 1000)


@pytest.mark.parametrize(
    ("moment", "milliseconds"),
    [
        (datetime(1970, 1, 1), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999), -1),
        (datetime(2021, 1, 1, 0, 0, 0, 1_999), 1609459200001),
        (datetime(2021, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))), 1609459200000),
    ],
)
def test_datetimes_in_milliseconds(moment: datetime, milliseconds: int) -> None:
    assert timestamp(moment, Precision.MS) == milliseconds


@pytest.mark.parametrize(("precision", "steps"), [(Precision.MS, 10**3), (Precision.US, 10**6), (Precision.NS, 10**9)])
def test_precisions(precision: Precision, steps: int) -> None:
    assert precision.per_second == steps
    assert Precision.of_number(precision.number) is precision


def test_conditions() -> None:
    assert name_range("a'b", None) == [r"tbname >= 'a\'b'"]
    assert name_range("a", "b") == ["tbname >= 'a'", "tbname <= 'b'"]
    assert name_range(None, "") == ["tbname <= ''"]
    assert own_names(["a'b", "温度"]) == r"tbname IN ('a\'b','温度')"
    assert name_list(["a", "b"]) == "(tbname IN ('a','b') OR tbname IN ('a'))"
    assert time_range("full", 0, 5) == ["`full` >= 0", "`full` < 5"]
    assert time_range("ts", None, None) == []
    assert where([]) == ""
    assert where(["a", "b"]) == " WHERE a AND b"


# --- Long statements


@given(st.lists(st.text(st.sampled_from("abé你😀"), max_size=30), max_size=60), st.integers(1, 120))
def test_statements_are_cut_by_bytes_and_nothing_is_lost(parts: list[str], limit: int) -> None:
    head = "INSERT INTO é"
    statements = list(cut(head, parts, limit))
    assert sum(count for _, count in statements) == len(parts)
    place = 0
    for i, (statement, count) in enumerate(statements):
        assert count >= 1
        assert statement == f"{head} {' '.join(parts[place : place + count])}"
        place += count
        assert len(statement.encode()) <= limit or count == 1
        if i + 1 < len(statements):
            # The next part would not have fitted.
            assert len(f"{statement} {parts[place]}".encode()) > limit


def test_cutting_needs_only_what_it_gives_out() -> None:
    def endless() -> Any:
        while True:
            yield "x" * 100

    statement, count = next(cut("INSERT INTO", endless(), 1000))
    assert len(statement) <= 1000
    assert count == 9


def test_parts_that_are_not_utf8_are_counted_in_bytes() -> None:
    part = string(b"\xff" * 8)
    assert [count for _, count in cut("I", [part] * 4, 1 + 2 * 11)] == [2, 2]
