import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from taosrest.errors import ProgrammingError

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.client.answers import Answer
from airflow_provider_tdengine.client.errors import StatementRejected
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.hooks.dbapi import TDengineConnection, TDengineCursor, split

CONTRACT = Path(__file__).parents[2] / "contract"
SHANGHAI = ZoneInfo("Asia/Shanghai")
CHANGED = {"code": 0, "column_meta": [["affected_rows", "INT", 4]], "data": [[1]], "rows": 1}
NUMBERS = {"code": 0, "column_meta": [["v", "INT", 4]], "data": [[1], [2], [3], [None]], "rows": 4}
Sent = list[tuple[str | None, str, str]]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[TDengineConnection, Sent]]:
    """A connection that is given one answer to everything, and what was sent: database, way, statement."""

    def connect(answer: dict, generation: int = 3, zone: ZoneInfo = SHANGHAI) -> tuple[TDengineConnection, Sent]:
        sent: Sent = []

        def post(self: RestSession, statement: str, verb: str = "sql", time_zone: str | None = None) -> Answer:
            sent.append((self.database, verb, statement))
            return Answer(answer, Address())

        monkeypatch.setattr(RestSession, "post", post)
        return TDengineConnection(Address(database="first"), generation, zone), sent

    return connect


@pytest.fixture
def cursor(connect: Callable[..., tuple[TDengineConnection, Sent]]) -> TDengineCursor:
    return connect(NUMBERS)[0].cursor()


def recorded(version: str, step: str) -> dict:
    for line in (CONTRACT / f"tdengine-{version}.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["step"] == step:
            return json.loads(record["body"])
    raise LookupError(step)


# --- Statements


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("select 1", ["select 1"]),
        (" select 1 ; \n", ["select 1"]),
        ("select 1; select 2;", ["select 1", "select 2"]),
        (r"select 'a;\'b;\\'; select ';''x'", [r"select 'a;\'b;\\'", "select ';''x'"]),
        ('select ";"; select `a;b` from t', ['select ";"', "select `a;b` from t"]),
        ("-- a; b\nselect 1; -- the end;", ["-- a; b\nselect 1"]),
        ("/* ; */ select /*+ hint() */ 1;; ;", ["/* ; */ select /*+ hint() */ 1"]),
        ("", []),
    ],
)
def test_split_reads_quotes_and_comments(sql: str, statements: list[str]) -> None:
    assert split(sql) == statements


def test_two_statements_in_one_are_refused_because_the_server_ignores_the_second(connect) -> None:
    connection, sent = connect(CHANGED)
    with pytest.raises(StatementRejected, match="2 statements in one"):
        connection.cursor().execute("insert into t values (1, 1); drop table t")
    assert sent == []


@pytest.mark.parametrize(
    ("sql", "parameters", "statement"),
    [
        ("select %s, ?", ("it's \\ ; ? %s", 1), "select 'it\\'s \\\\ ; ? %s', 1"),
        ("select %(a)s", {"a": None}, "select NULL"),
        ("select '%s' from t", None, "select '%s' from t"),
        ("select ?", [True], "select true"),
        ("select ?", [np.float64(0.5)], "select 0.5"),
        ("select ?", [np.int64(7)], "select 7"),
        ("select ?", [np.datetime64("2021-01-01", "D")], "select '2021-01-01T00:00:00.000000000+00:00'"),
        ("select ?", [np.datetime64("NaT")], "select NULL"),
        ("select ?", [dt.datetime(2021, 1, 1)], "select '2021-01-01T00:00:00.000000+08:00'"),
        ("select ?", [dt.date(2021, 1, 1)], "select '2021-01-01T00:00:00.000000+08:00'"),
        (
            "select ?",
            [dt.datetime(2021, 1, 1, microsecond=1, tzinfo=dt.timezone.utc)],
            "select '2021-01-01T00:00:00.000001+00:00'",
        ),
    ],
)
def test_parameters_are_written_as_literals(connect, sql: str, parameters: object, statement: str) -> None:
    connection, sent = connect(NUMBERS)
    connection.cursor().execute(sql, parameters)
    assert sent == [("first", "sql", statement)]


def test_nanoseconds_of_pandas_are_kept(connect) -> None:
    pandas = pytest.importorskip("pandas")
    connection, sent = connect(NUMBERS)
    connection.cursor().execute("select ?", [pandas.Timestamp("2021-01-01T00:00:00.000000001+00:00")])
    assert sent[0][2] == "select '2021-01-01T00:00:00.000000001+00:00'"


@pytest.mark.parametrize("parameters", ["text", b"bytes", (1,), (1, 2, 3), {"b": 1}, (np.timedelta64(1, "ns"), 1)])
def test_parameters_that_do_not_fit_are_refused(connect, parameters: object) -> None:
    connection, sent = connect(NUMBERS)
    with pytest.raises(ValueError, match=r"parameter|placeholder|written"):
        connection.cursor().execute(
            "select %s, %(a)s, ?" if isinstance(parameters, dict) else "select ?, ?", parameters
        )
    assert sent == []


def test_an_error_shows_no_parameters(connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, _ = connect(NUMBERS)

    def refuse(self: RestSession, statement: str, verb: str = "sql", time_zone: str | None = None) -> dict:
        raise StatementRejected("no", statement=statement)

    monkeypatch.setattr(RestSession, "post", refuse)
    with pytest.raises(StatementRejected) as caught:
        connection.cursor().execute("create user u pass %s", ["Hidden-1"])
    assert "create user u pass %s" in str(caught.value)
    assert "Hidden-1" not in str(caught.value)


def test_use_holds_for_the_statements_after_it(connect) -> None:
    connection, sent = connect(CHANGED)
    cursor = connection.cursor()
    cursor.execute("USE `second` ;")
    cursor.execute("insert into t values (1, 1)")
    assert [database for database, _, _ in sent] == ["first", "second"]


def test_executemany_sends_rows_of_an_insert_together(connect) -> None:
    connection, sent = connect(CHANGED)
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO t (`ts`, `v%%`) VALUES (%s,%s)", [(1, "a"), (2, "it's")])
    assert [statement for _, _, statement in sent] == ["INSERT INTO t (`ts`, `v%%`) VALUES (1,'a') (2,'it\\'s')"]
    assert cursor.rowcount == 1
    sent.clear()
    cursor.executemany("insert into t values (?, ?)", ((i, "x" * 1000) for i in range(2500)))
    assert len(sent) == 3
    assert all(len(statement) <= 1_000_000 for _, _, statement in sent)


@pytest.mark.parametrize(
    "sql", ["delete from t where ts = ?", "insert into ? values (?)", "insert into t values (?, now)"]
)
def test_executemany_sends_other_statements_one_by_one(connect, sql: str) -> None:
    connection, sent = connect(CHANGED)
    cursor = connection.cursor()
    cursor.executemany(sql, [range(sql.count("?"))] * 3)
    assert len(sent) == 3
    assert cursor.rowcount == 3


# --- PEP 249


def test_description_has_seven_items_a_column(cursor: TDengineCursor) -> None:
    assert cursor.description is None
    cursor.execute("select v from t")
    assert cursor.description == [("v", "INT", None, 4, None, None, None)]
    assert cursor.rowcount == 4
    assert cursor.istype(0, "int")


def test_rows_are_fetched_as_asked(cursor: TDengineCursor) -> None:
    cursor.execute("select v from t")
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == [(2,)]
    assert cursor.fetchmany(5) == [(3,), (None,)]
    assert cursor.fetchmany(5) == []
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    cursor.execute("select v from t")
    assert list(cursor) == [(1,), (2,), (3,), (None,)]
    cursor.execute("select v from t")
    cursor.arraysize = 3
    assert cursor.fetchmany() == [(1,), (2,), (3,)]
    assert cursor.fetchall() == [(None,)]


def test_a_statement_that_changes_has_no_rows(connect) -> None:
    connection, _ = connect(CHANGED)
    cursor = connection.cursor()
    cursor.execute("insert into t values (1, 1)")
    assert (cursor.description, cursor.rowcount) == (None, 1)
    for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall):
        with pytest.raises(ProgrammingError):
            fetch()


def test_a_closed_cursor_has_no_rows(cursor: TDengineCursor) -> None:
    cursor.execute("select v from t")
    cursor.close()
    with pytest.raises(ProgrammingError):
        cursor.fetchone()


def test_every_statement_is_final(connect) -> None:
    connection, _ = connect(CHANGED)
    connection.autocommit = False
    assert connection.autocommit is True
    connection.commit()
    assert connection.execute("insert into t values (1, 1)") == 1


# --- Values, as servers answered


@pytest.mark.parametrize(
    ("version", "generation", "step"),
    [("2.4.0.18", 2, "select_full_utc"), ("3.0.5.2", 3, "select_full"), ("3.3.3.0", 3, "select_full")],
)
def test_values_of_a_ms_database(connect, version: str, generation: int, step: str) -> None:
    connection, sent = connect(recorded(version, step), generation)
    cursor = connection.cursor()
    cursor.execute("select * from c1")
    rows = cursor.fetchall()
    assert sent[0][1] == ("sqlutc" if generation == 2 else "sql")
    assert rows[0][0] == dt.datetime(2021, 1, 1, 8, tzinfo=SHANGHAI)
    assert [row[0].microsecond for row in rows[:3]] == [0, 1000, 2000]
    assert all(row[0].utcoffset() == dt.timedelta(hours=8) for row in rows)
    assert rows[0][1:14] == (True, 1, 2, 3, 4, 5, 6, 7, 8, 1.5, 2.5, "abc", "你好")
    assert rows[1][1:] == (None,) * (len(rows[1]) - 1)
    assert rows[2][9] == 18446744073709551614
    assert [kind for _, kind, *_ in cursor.description][:3] == ["TIMESTAMP", "BOOL", "TINYINT"]


def test_timestamps_of_a_ns_database_are_text(connect) -> None:
    connection, _ = connect(recorded("3.3.3.0", "select_ns"))
    cursor = connection.cursor()
    cursor.execute("select * from s1")
    assert cursor.fetchall() == [("2021-01-01T08:00:00.000000001+08:00", 1), ("2021-01-01T08:00:00.000000002+08:00", 2)]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (
            # 2.x leaves zeros at the end out.
            ["2021-01-01T00:00:00Z", "2021-01-01T00:00:00.5Z", "2021-01-01T00:00:00.500001Z", None],
            [
                dt.datetime(2021, 1, 1, tzinfo=dt.timezone.utc),
                dt.datetime(2021, 1, 1, microsecond=500000, tzinfo=dt.timezone.utc),
                dt.datetime(2021, 1, 1, microsecond=500001, tzinfo=dt.timezone.utc),
                None,
            ],
        ),
        (
            ["2021-01-01T00:00:00Z", "1969-12-31T23:59:59.9999999Z", None],
            ["2021-01-01T00:00:00.000000000+00:00", "1969-12-31T23:59:59.999999900+00:00", None],
        ),
        (["1969-12-31T23:59:59.999999Z"], [dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.timezone.utc)]),
    ],
)
def test_no_digit_of_a_timestamp_of_2x_is_lost(connect, texts: list[str | None], values: list[object]) -> None:
    answer = {"status": "succ", "column_meta": [["ts", 9, 8]], "data": [[text] for text in texts], "rows": len(texts)}
    connection, _ = connect(answer, 2, ZoneInfo("UTC"))
    cursor = connection.cursor()
    cursor.execute("select ts from t")
    assert [row[0] for row in cursor.fetchall()] == values


def test_a_moment_that_comes_twice_in_autumn_is_told_apart(connect) -> None:
    texts = ["2021-10-31T00:30:00.000Z", "2021-10-31T01:30:00.000Z"]
    answer = {"code": 0, "column_meta": [["ts", "TIMESTAMP", 8]], "data": [[text] for text in texts], "rows": 2}
    connection, _ = connect(answer, 3, ZoneInfo("Europe/Berlin"))
    cursor = connection.cursor()
    cursor.execute("select ts from t")
    assert [row[0].isoformat() for row in cursor.fetchall()] == [
        "2021-10-31T02:30:00+02:00",
        "2021-10-31T02:30:00+01:00",
    ]


def test_bytes_and_json(connect) -> None:
    answer = {
        "code": 0,
        "column_meta": [["b", "VARBINARY", 8], ["j", "JSON", 4095]],
        "data": [["0aff", {"k": "值"}], [None, None]],
        "rows": 2,
    }
    connection, _ = connect(answer)
    cursor = connection.cursor()
    cursor.execute("select b, j from t")
    assert cursor.fetchall() == [(b"\x0a\xff", '{"k":"值"}'), (None, None)]
