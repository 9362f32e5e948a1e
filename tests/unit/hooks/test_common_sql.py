"""Operators of common-sql, executed. Checks that need CASE or UNION ALL are in tests/integration/test_hook.py."""

import datetime as dt

import pytest
from airflow.providers.common.sql.operators.sql import (
    BranchSQLOperator,
    SQLCheckOperator,
    SQLExecuteQueryOperator,
    SQLInsertRowsOperator,
    SQLThresholdCheckOperator,
    SQLValueCheckOperator,
)
from airflow.providers.common.sql.sensors.sql import SqlSensor

from airflow_provider_tdengine.client.errors import TableMissing
from airflow_provider_tdengine.compat import AirflowException
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.testing import TDengineBox

NASTY = [
    "it's",
    'say "so"',
    "back\\slash\\",
    "\\'; drop table t; --",
    "50 % of %s, ? and %(x)s",
    "line\nbreak\ttab",
    "值🙂",
]


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("placeholder", ["%s", "?", "%(text)s"])
def test_parameters_arrive_as_they_are(hook: TDengineHook, text: str, placeholder: str) -> None:
    parameters = {"text": text} if placeholder == "%(text)s" else (text,)
    run = {"task_id": "x", "conn_id": "td", "parameters": parameters}
    SQLExecuteQueryOperator(sql=f"insert into t (ts, `A b`) values (1, {placeholder})", **run).execute({})
    assert SQLExecuteQueryOperator(sql=f"select `A b` from t where `A b` = {placeholder}", **run).execute({}) == [
        (text,)
    ]


def test_results_pass_through_xcom(hook: TDengineHook) -> None:
    serde = pytest.importorskip("airflow.sdk.serde")
    hook.insert_rows("t", [(dt.datetime(2021, 1, 1), 1)], target_fields=["ts", "full"])
    result = SQLExecuteQueryOperator(task_id="x", conn_id="td", sql="select * from t").execute({})
    # XCom's JSON has no tuples of its own; their rows come back as they were.
    assert serde.deserialize(serde.serialize(result)) == result


def test_statements_of_a_text_or_list_run_one_after_the_other(hook: TDengineHook) -> None:
    sql = ["insert into t (ts, `full`) values (1, 1)", "insert into t (ts, `full`) values (2, 2)"]
    SQLExecuteQueryOperator(task_id="x", conn_id="td", sql=sql, autocommit=True).execute({})
    text = "insert into t (ts, `full`) values (3, 3); select `full` from t;"
    operator = SQLExecuteQueryOperator(task_id="x", conn_id="td", sql=text, split_statements=True)
    assert operator.execute({}) == [(1,), (2,), (3,)]


def test_the_database_of_an_operator(hook: TDengineHook, box: TDengineBox) -> None:
    box.execute("create database if not exists hk_other keep 36500")
    box.execute("create table if not exists hk_other.only_here (ts timestamp, v int)")
    run = {"task_id": "x", "conn_id": "td", "sql": "select * from only_here"}
    with pytest.raises(TableMissing):
        SQLExecuteQueryOperator(**run).execute({})
    assert SQLExecuteQueryOperator(**run, database="hk_other").execute({}) == []
    assert SQLExecuteQueryOperator(**run, hook_params={"database": "hk_other"}).execute({}) == []
    assert SQLExecuteQueryOperator(**run, hook_params={"schema": "hk_other"}).execute({}) == []


def test_rows_are_inserted(hook: TDengineHook) -> None:
    rows = [(dt.datetime(2021, 1, 1), 1, text, 0.5, True) for text in NASTY]
    rows = [(row[0] + dt.timedelta(seconds=i), *row[1:]) for i, row in enumerate(rows)]
    SQLInsertRowsOperator(task_id="x", conn_id="td", table_name="t", rows=rows).execute({})
    assert hook.get_records("select `A b` from t") == [(text,) for text in NASTY]


def test_checks(hook: TDengineHook) -> None:
    check = SQLCheckOperator(
        task_id="x", conn_id="td", sql="select count(`full`) from t where `A b` = %s", parameters=("it's",)
    )
    with pytest.raises(AirflowException):
        check.execute({})
    hook.insert_rows("t", [(dt.datetime(2021, 1, 1), 5, "it's")], target_fields=["ts", "full", "A b"])
    check.execute({})
    value = {"task_id": "x", "conn_id": "td", "sql": "select max(`full`) from t"}
    SQLValueCheckOperator(pass_value=5, **value).execute({})
    SQLThresholdCheckOperator(min_threshold=1, max_threshold=9, **value).execute({})
    with pytest.raises(AirflowException):
        SQLValueCheckOperator(pass_value=6, **value).execute({})


def test_a_sensor(hook: TDengineHook) -> None:
    sensor = SqlSensor(task_id="x", conn_id="td", sql="select `full` from t where `A b` = %s", parameters=("it's",))
    assert sensor.poke({}) is False
    hook.insert_rows("t", [(dt.datetime(2021, 1, 1), 5, "it's")], target_fields=["ts", "full", "A b"])
    assert sensor.poke({}) is True


def test_a_branch(hook: TDengineHook, monkeypatch: pytest.MonkeyPatch) -> None:
    hook.insert_rows("t", [(dt.datetime(2021, 1, 1), True)], target_fields=["ts", "o"])
    taken: list[object] = []
    monkeypatch.setattr(
        BranchSQLOperator, "skip_all_except", lambda self, ti, branches: taken.append(branches), raising=False
    )
    BranchSQLOperator(
        task_id="x",
        conn_id="td",
        sql="select o from t",
        follow_task_ids_if_true=["yes"],
        follow_task_ids_if_false=["no"],
    ).execute({"ti": None})
    assert taken == [["yes"]]
