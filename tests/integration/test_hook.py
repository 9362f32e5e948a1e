"""The hook and the operators of common-sql on real servers, what TDengine has no SQL for included."""

import datetime as dt
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))

from airflow.models.connection import Connection
from airflow.providers.common.sql.operators.sql import (
    SQLCheckOperator,
    SQLColumnCheckOperator,
    SQLExecuteQueryOperator,
    SQLInsertRowsOperator,
    SQLTableCheckOperator,
    SQLValueCheckOperator,
)

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import StatementRejected
from airflow_provider_tdengine.hooks.tdengine import TDengineHook

pytestmark = pytest.mark.integration

NASTY = [
    "it's",
    'say "so"',
    "back\\slash\\",
    "\\'; drop table t; --",
    "50 % of %s, ? and %(x)s",
    "line\nbreak\ttab",
    "值🙂",
]
FIRST = dt.datetime(2021, 1, 1, microsecond=123000, tzinfo=dt.timezone.utc)


@pytest.fixture(scope="module", params=["TDENGINE_SOURCE_URL", "TDENGINE_TARGET_URL"])
def address(request: pytest.FixtureRequest) -> Iterator[Address]:
    """A database of its own on a real server."""
    url = os.environ.get(request.param)
    if not url:
        pytest.skip(f"{request.param} is not set")
    address = replace(Address.from_url(url), database=None)
    database = f"hk_{uuid.uuid4().hex[:12]}"
    client = Client(address)
    client.execute(f"create database {database} keep 36500")
    try:
        yield replace(address, database=database)
    finally:
        client.execute(f"drop database {database}")


@pytest.fixture
def hook(address: Address, monkeypatch: pytest.MonkeyPatch) -> TDengineHook:
    """A hook of the database, with a table `t` of three rows."""
    connection = Connection(
        conn_id="td",
        conn_type="tdengine",
        host=address.host,
        port=address.port,
        login=address.user,
        password=address.password,
        schema=address.database,
        extra={"protocol": address.scheme, **({"token": address.token} if address.token else {})},
    )
    monkeypatch.setenv("AIRFLOW_CONN_TD", connection.as_json())
    hook = TDengineHook("td", log_sql=False)
    hook.run("drop table if exists t; create table t (ts timestamp, v int, `A b` nchar(40))", split_statements=True)
    rows = [(FIRST + dt.timedelta(seconds=i), i + 1, f"row {i}") for i in range(3)]
    hook.insert_rows("t", rows, target_fields=["ts", "v", "A b"])
    return hook


def test_test_connection(hook: TDengineHook, address: Address) -> None:
    ok, message = hook.test_connection()
    assert ok, message
    server = hook.get_client().server
    assert message.startswith(f"TDengine {server.version_text} ({server.version[0]}.x) at {address}")


def test_a_wrong_password(hook: TDengineHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.connection, "password", "wr0ng-Secret")
    ok, message = hook.test_connection()
    assert not ok
    assert "refuses the account" in message
    assert "wr0ng-Secret" not in message


@pytest.mark.parametrize("placeholder", ["%s", "?", "%(text)s"])
@pytest.mark.parametrize("text", NASTY)
def test_parameters_arrive_as_they_are(hook: TDengineHook, text: str, placeholder: str) -> None:
    run = {"task_id": "x", "conn_id": "td", "parameters": {"text": text} if "text" in placeholder else (text,)}
    insert = f"insert into t (ts, `A b`) values ('2022-01-01T00:00:00Z', {placeholder})"
    SQLExecuteQueryOperator(sql=insert, **run).execute({})
    select = SQLExecuteQueryOperator(sql=f"select `A b` from t where `A b` = {placeholder}", **run)
    assert select.execute({}) == [(text,)]


def test_rows(hook: TDengineHook) -> None:
    rows = [(FIRST + dt.timedelta(days=1 + i), i, text) for i, text in enumerate(NASTY)]
    SQLInsertRowsOperator(task_id="x", conn_id="td", table_name="t", rows=rows).execute({})
    assert hook.get_records("select * from t where ts >= %s", (rows[0][0],)) == rows
    assert hook.get_first("select v from t where ts = ?", (rows[2][0],)) == (2,)


@pytest.mark.parametrize(("precision", "digits"), [("ms", 3), ("us", 6), ("ns", 9)])
def test_timestamps(hook: TDengineHook, address: Address, precision: str, digits: int) -> None:
    database = f"hk_{uuid.uuid4().hex[:12]}"
    text = f"2021-07-01T00:00:00.{'123456789'[:digits]}+00:00"
    hook.run(f"create database {database} precision '{precision}' keep 36500")
    try:
        hook.run(f"create table {database}.t (ts timestamp, v int)")
        hook.run(f"insert into {database}.t values (%s, 1)", parameters=(text,))
        ((value, _),) = hook.get_records(f"select * from {database}.t where ts = %s", (text,))
    finally:
        hook.run(f"drop database {database}")
    assert value == (text if precision == "ns" else dt.datetime.fromisoformat(text))


def test_use_and_several_statements(hook: TDengineHook, address: Address) -> None:
    sql = f"use {address.database}; -- a comment; with a semicolon\nselect v from t; select max(v) from t;"
    results = TDengineHook("td", database="log").run(
        sql, split_statements=True, return_last=False, handler=lambda cursor: cursor.description and cursor.fetchall()
    )
    assert results == [None, [(1,), (2,), (3,)], [(3,)]]


def test_checks(hook: TDengineHook) -> None:
    check = {"task_id": "x", "conn_id": "td"}
    SQLCheckOperator(sql="select count(*) from t where `A b` = %s", parameters=("row 1",), **check).execute({})
    SQLValueCheckOperator(sql="select max(v) from t", pass_value=3, **check).execute({})


COLUMN_CHECKS = [("min", {"equal_to": 1}), ("max", {"equal_to": 3}), ("null_check", {"equal_to": 0})]
NO_SQL_FOR = [("distinct_check", {"equal_to": 3}), ("unique_check", {"equal_to": 0})]


@pytest.mark.parametrize(("check", "condition"), COLUMN_CHECKS)
def test_column_checks_work_in_3x_only(hook: TDengineHook, check: str, condition: dict[str, int]) -> None:
    operator = SQLColumnCheckOperator(task_id="x", conn_id="td", table="t", column_mapping={"v": {check: condition}})
    if hook.get_client().generation == 2:
        # 2.x has neither names for subqueries nor CASE.
        with pytest.raises(StatementRejected, match="syntax error"):
            operator.execute({})
    else:
        operator.execute({})


@pytest.mark.parametrize(("check", "condition"), NO_SQL_FOR)
def test_tdengine_cannot_count_distinct_values(hook: TDengineHook, check: str, condition: dict[str, int]) -> None:
    operator = SQLColumnCheckOperator(task_id="x", conn_id="td", table="t", column_mapping={"v": {check: condition}})
    with pytest.raises(StatementRejected, match="distinct"):
        operator.execute({})


def test_table_checks_work_in_3x_only(hook: TDengineHook) -> None:
    checks = {"all_rows": {"check_statement": "COUNT(*) = 3"}, "bound": {"check_statement": "MAX(v) < 10"}}
    operator = SQLTableCheckOperator(task_id="x", conn_id="td", table="t", checks=checks)
    if hook.get_client().generation == 2:
        with pytest.raises(StatementRejected, match="syntax error"):
            operator.execute({})
    else:
        operator.execute({})
