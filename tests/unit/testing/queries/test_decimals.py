"""What the box makes of DECIMAL, against what 3.3.5.2 answered (2026-11-27)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.types import field_from_sql
from airflow_provider_tdengine.testing import TDengineBox


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with TDengineBox(version="3.3.5.2") as box:
        client = Client(Address.from_url(box.url.replace("http", "ws")))
        client.execute("create database d keep 36500")
        client.execute("create table d.t (ts timestamp, v decimal(10,2), w decimal(38,10))")
        client.execute(
            "insert into d.t values (1700000000000, 1.25, '-99999999999999999999.0123456789') "
            "(1700000000001, 3.5, 7) (1700000000002, null, null)"
        )
        yield client


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("min(v)", Decimal("1.25")),
        ("max(v)", Decimal("3.50")),
        ("sum(v)", Decimal("4.75")),
        ("min(w)", Decimal("-99999999999999999999.0123456789")),
        ("sum(w)", Decimal("-99999999999999999992.0123456789")),
        ("sum(cast(v as double))", 4.75),
        ("sum(cast(w as double))", -1e20),
    ],
)
def test_aggregates(client: Client, expression: str, value: object) -> None:
    assert client.rows(f"select {expression} from d.t") == [(value,)]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("create stable d.s (ts timestamp, v int) tags (g decimal(4,2))", 9730),
        ("create database long keep 36500 duration 122d", 9753),
        ("select cast(10 as decimal(1,0))", 317),
    ],
)
def test_what_is_refused(client: Client, statement: str, code: int) -> None:
    with pytest.raises(TDengineError) as error:
        client.rows(statement)
    assert error.value.code == code


def test_lengths_of_time_are_days_and_hours(client: Client) -> None:
    client.execute("create database lengths keep 1500h duration 4000m")
    statement = "select `keep`, `duration` from information_schema.ins_databases where name = 'lengths'"
    assert client.rows(statement) == [("1500h,1500h,1500h", "4000m")]


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("2.6.0.27", []),
        ("3.0.5.2", []),
        ("3.3.3.0", ["VARBINARY(3)"]),
        ("3.3.5.2", ["DECIMAL(10,2)", "DECIMAL(30,2)", "VARBINARY(3)"]),
    ],
)
def test_types_of_versions(version: str, known: list[str]) -> None:
    with TDengineBox(version=version) as box:
        client = Client(Address.from_url(box.url.replace("http", "ws")))
        types = ["DECIMAL(10,2)", "DECIMAL(30,2)", "VARBINARY(3)", "BLOB"]
        assert [text for text in types if client.has_type(field_from_sql("v", text))] == known
