"""DECIMAL of both widths from end to end, on boxes and on real servers that have it (3.3.5.2 was measured)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.types import field_from_sql
from airflow_provider_tdengine.migration.findings import MigrationStopped

from .conftest import SOURCE, TARGET, Pair, T

pytestmark = pytest.mark.parametrize(
    "pair", ["3.3.5.2", pytest.param("real", marks=pytest.mark.integration)], indirect=True
)

ROWS = 40


def wide(number: int) -> Decimal:
    """As far from zero as there is, on both sides of it; arithmetic with these would round."""
    return Decimal(f"{'-' * (number % 2)}{10**28 - 1 - number}.9999999999")


@pytest.fixture
def amounts(pair: Pair) -> Pair:
    """Two subtables and a normal table; the last row has no values."""
    if not all(client.has_type(field_from_sql("v", "DECIMAL(10,2)")) for client in (pair.source, pair.target)):
        pytest.skip("one of the servers has no DECIMAL")
    columns = "ts timestamp, v decimal(10,2), w decimal(38,10), d double"
    rows = "".join(f"({T + number},'{number - 20}.{number:02}','{wide(number):f}',{number})" for number in range(ROWS))
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s ({columns}) tags (g int)",
        f"create table {SOURCE}.t ({columns})",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.s tags ({i})" for i in range(2)),
        *(f"insert into {SOURCE}.{name} values {rows} ({T + ROWS},null,null,1)" for name in ("d0", "d1", "t")),
    )
    return pair


@pytest.mark.parametrize(("strategy", "scheme"), [("dense", "ws"), ("sparse", "ws"), ("auto", "http")])
@pytest.mark.parametrize("level", ["aggregate", "full"])
def test_they_arrive(amounts: Pair, strategy: str, scheme: str, level: str) -> None:
    clients = (Client(replace(client.address, scheme=scheme)) for client in (amounts.source, amounts.target))
    assert not Pair(*clients).migrate(strategy=strategy, verify=level).differences
    source, target = amounts.both()
    assert source == target
    assert target["d0"][1][1] == (T + 1, Decimal("-19.01"), wide(1), "1.0")
    assert not amounts.verify(verify=level).differences


@pytest.mark.parametrize(("column", "value"), [("v", "0.01"), ("w", "-9999999999999999999999999999.0")])
def test_aggregates_see_what_changed(amounts: Pair, column: str, value: str) -> None:
    """Neither the smallest nor the largest value."""
    amounts.migrate()
    amounts.target.execute(f"insert into {TARGET}.d1 (ts, {column}) values ({T + 20}, '{value}')")
    assert [difference.table for difference in amounts.verify(verify="aggregate").differences] == ["d1"]
    assert not amounts.prove(verify="aggregate").differences
    assert amounts.both()[0] == amounts.both()[1]


def test_what_changes_on_the_way(amounts: Pair) -> None:
    assert not amounts.migrate(where="v >= 0", rename_columns="v -> price", columns="ts, v").differences
    rows = amounts.both()[1]["d0"][1]
    assert [row[1] for row in rows] == [Decimal(f"{number}.{number + 20:02}") for number in range(20)]


def test_more_digits_take_fewer(amounts: Pair) -> None:
    amounts.target.execute(f"create database {TARGET} keep 36500")
    amounts.target.execute(
        f"create stable {TARGET}.s (ts timestamp, v decimal(20,4), w decimal(38,10), d double) tags (g int)"
    )
    assert not amounts.migrate(verify="aggregate").differences
    assert str(amounts.both()[1]["d0"][1][1][1]) == "-19.0100"


def test_fewer_digits_are_refused(amounts: Pair) -> None:
    amounts.target.execute(f"create database {TARGET} keep 36500")
    amounts.target.execute(f"create table {TARGET}.t (ts timestamp, v decimal(10,1), w decimal(38,10), d double)")
    with pytest.raises(MigrationStopped, match=r"DECIMAL\(10,2\) in the source does not fit DECIMAL\(10,1\)"):
        amounts.sync()


def test_floats_become_decimals_to_the_digit(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create table {SOURCE}.a (ts timestamp, f float, d double, i int)",
        f"insert into {SOURCE}.a values ({T}, 0.1, -1234.5, 7) ({T + 1}, null, null, null)",
    )
    pair.target.execute(f"create database {TARGET} keep 36500")
    if not pair.target.has_type(field_from_sql("f", "DECIMAL(10,2)")):
        pytest.skip(f"TDengine {pair.target.server.version_text} has no DECIMAL")
    pair.target.execute(f"create table {TARGET}.a (ts timestamp, f decimal(10,2), d decimal(38,10), i decimal(12,2))")
    assert not pair.migrate().differences
    rows = pair.both()[1]["a"][1]
    assert [str(value) for value in rows[0][1:]] == ["0.10", "-1234.5000000000", "7.00"]
    assert rows[1][1:] == (None, None, None)
    pair.sql(f"insert into {SOURCE}.a values ({T + 2}, 0.125, 1, 1)")
    with pytest.raises(RowRejected, match=r"a value of column 'f' is no DECIMAL\(10,2\): 0.125 has more digits"):
        pair.copy()
