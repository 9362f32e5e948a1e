"""REST: every digit of a timestamp, every row that was announced, and an error class for whatever else arrives."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.answers import Answer, moment_of
from airflow_provider_tdengine.client.block import decode_block, decode_block2
from airflow_provider_tdengine.client.errors import (
    AnswerError,
    AuthenticationFailed,
    BlockError,
    ConnectionFailed,
    DatabaseMissing,
    IncompleteResult,
    PermissionDenied,
    ServerBusy,
    StatementRejected,
    TableMissing,
    TDengineError,
    Timeout,
    UnsupportedServer,
)
from airflow_provider_tdengine.client.rest import RestResult, RestSession, parse_timestamp
from airflow_provider_tdengine.client.result import all_rows
from airflow_provider_tdengine.client.types import Field, Precision, Type

from .client_recordings import OF_2X, OF_3X, START, VERSIONS, exchange, fetched, rest_bodies
from .conftest import running_http, running_tcp

Start = Callable[..., Address]
ANYWHERE = Address()
settings.register_profile("rest", deadline=None)
settings.load_profile("rest")


def json_answer(**answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogateescape")


# --- Timestamps

ZONES = st.integers(-18 * 60, 18 * 60)


@given(st.integers(-(2**62), 2**62), ZONES, st.sampled_from(Precision))
def test_every_digit_of_a_timestamp_is_kept(nanoseconds: int, zone: int, precision: Precision) -> None:
    seconds, fraction = divmod(nanoseconds, 10**9)
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    local = moment.astimezone(timezone(timedelta(minutes=zone)))
    text = local.strftime("%Y-%m-%dT%H:%M:%S")
    digits = 3 * (precision.number + 1)
    sign, minutes = "-" if zone < 0 else "+", abs(zone)
    offset = "Z" if zone == 0 else f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    text = f"{text}.{f'{fraction:09}'[:digits]}{offset}"
    assert parse_timestamp(text, precision) == nanoseconds // 10 ** (9 - digits)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2021-01-01T00:00:00.000000001Z", 1609459200000000001),
        ("2021-01-01 00:00:00.000000002", 1609459200000000002),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1969-12-31T23:59:59Z", -1000000000),
        ("1677-09-21T00:12:43.145224193Z", -(2**63) + 1),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("2021-01-01T08:00:00.5+08:00", 1609459200500000000),
        ("2020-12-31T16:00:00.123456789-08:00", 1609459200123456789),
    ],
)
def test_timestamps(text: str, nanoseconds: int) -> None:
    assert parse_timestamp(text, Precision.NS) == nanoseconds


@pytest.mark.parametrize(
    ("text", "precision", "steps"),
    [
        ("294247-01-10T04:00:54.775807Z", Precision.US, 2**63 - 1),
        ("-290308-12-21T19:59:05.224193Z", Precision.US, -(2**63) + 1),
        ("10000-02-29T00:00:00.001Z", Precision.MS, 253_407_398_400_001),
        ("0000-01-01T00:00:00.000Z", Precision.MS, -62_167_219_200_000),
    ],
)
def test_years_may_have_any_number_of_digits(text: str, precision: Precision, steps: int) -> None:
    assert parse_timestamp(text, precision) == steps


@pytest.mark.parametrize("value", [None, 5, -(2**63)])
def test_integers_and_null_are_timestamps_already(value: int | None) -> None:
    assert parse_timestamp(value, Precision.MS) is value


@pytest.mark.parametrize(
    "text",
    ["", "now", "2021-13-01T00:00:00Z", "2021-02-30T00:00:00Z", "2021-01-01T25:00:00Z", "2021-01-01T00:00:00.Z",
     "2021-01-01T00:00:00.1234567890Z", "2021-01-01", "1000000000-01-01T00:00:00Z", "٢٠٢١-01-01T00:00:00Z", 1.5],
)  # fmt: skip
def test_what_is_no_timestamp_is_a_typed_error(text: Any) -> None:
    with pytest.raises(IncompleteResult, match="arrived where a timestamp was expected"):
        parse_timestamp(text, Precision.NS)


# --- What real servers answered


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_answer_is_rows_or_a_typed_error(version: str) -> None:
    bodies = rest_bodies(version)
    seen = set()
    with running_http(lambda sql: (bodies[int(sql)]["status"], bodies[int(sql)]["body"].encode())) as peer:
        session = RestSession(peer.address)
        for i, line in enumerate(bodies):
            body = json.loads(line["body"])
            if body.get("code"):
                with pytest.raises(TDengineError) as error:
                    session.post(str(i))
                assert error.value.code == body["code"]
                seen.add(type(error.value))
                continue
            result = session.query(str(i))
            rows = all_rows(result)
            if [meta[0] for meta in body["column_meta"]] == ["affected_rows"]:
                assert (rows, result.affected, result.fields) == ([], body["data"][0][0], ())
                continue
            assert len(rows) == body["rows"] == len(body["data"])
            for row, raw in zip(rows, body["data"], strict=True):
                for value, sent, field in zip(row, raw, result.fields, strict=True):
                    assert (value is None) == (sent is None)
                    if field.type not in (Type.TIMESTAMP, Type.JSON, Type.VARBINARY, Type.GEOMETRY, Type.BOOL):
                        assert value == sent
        session.close()
    assert {AuthenticationFailed, StatementRejected, TableMissing} <= seen


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_are_the_same_over_rest_and_websocket(version: str) -> None:
    step = "select_full"
    line = exchange(version, step)
    opened, messages = fetched(version, "select * from contract_ms.c1")
    announced, raw = messages[0]
    fields = tuple(
        Field(name, Type(kind), length)
        for name, kind, length in zip(
            opened["fields_names"], opened["fields_types"], opened["fields_lengths"], strict=True
        )
    )
    if version in OF_3X:
        block = decode_block(raw[16:], opened["fields_names"])
    else:
        block = decode_block2(raw[8:], fields, announced["lengths"], announced["rows"])
    result = RestResult(Answer.of(line["body"], ANYWHERE), line["sql"])
    assert result.precision is Precision.MS
    assert [(field.name, field.type) for field in result.fields] == [(field.name, field.type) for field in fields]
    assert sorted(all_rows(result)) == sorted(block.to_rows())


@pytest.mark.parametrize("version", OF_3X)
def test_precision_is_told_by_the_digits(version: str) -> None:
    for step, precision in (("select_us", Precision.US), ("select_ns", Precision.NS), ("select_case", Precision.MS)):
        line = exchange(version, step)
        assert RestResult(Answer.of(line["body"], ANYWHERE), line["sql"]).precision is precision
    nothing = Answer({"code": 0, "column_meta": [["ts", "TIMESTAMP", 8]], "data": [], "rows": 0}, ANYWHERE)
    assert RestResult(nothing, "").precision is None


@pytest.mark.parametrize("version", OF_2X)
def test_exact_timestamps_are_asked_for_in_2x(version: str) -> None:
    line = exchange(version, "select_ns_t")
    with running_http(lambda sql: (200, line["body"].encode())) as peer, RestSession(peer.address, 2, "d b") as session:
        assert all_rows(session.query("select 1")) == [(1609459200000000001, 1), (1609459200000000002, 2)]
    assert peer.messages[0][0] == "/rest/sqlt/d%20b?app=airflow"


# --- Results that cannot be


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"data": 1}, AnswerError),
        ({"data": {"v": 1}}, AnswerError),
        ({"data": [[1]], "rows": "x"}, AnswerError),
        ({"data": [[1]], "rows": True}, AnswerError),
        ({"column_meta": 5, "data": [[1]]}, AnswerError),
        ({"column_meta": [[5, "INT", 4]], "data": [[1]]}, UnsupportedServer),
        ({"column_meta": [["v", True, 4]], "data": [[1]]}, UnsupportedServer),
        ({"column_meta": [["v", "NCHAR", 2**30]], "data": [["x"]]}, UnsupportedServer),
        ({"column_meta": [["v", "NCHAR(1073741824)", 4]], "data": [["x"]]}, UnsupportedServer),
        ({"column_meta": [["affected_rows", "INT", 4]], "data": [["x"]]}, AnswerError),
        ({"column_meta": [["v", "TIMESTAMP", 8]], "data": [[[1]]]}, IncompleteResult),
        ({"column_meta": [["v", "TIMESTAMP", 8]], "data": [["2021-01-01T00:00:00.0000000000000Z"]]}, IncompleteResult),
        ({"column_meta": [["v", "DECIMAL(10,2)", 8]], "data": [["1E+999999"]]}, BlockError),
        ({"column_meta": [["v", "DECIMAL(10,2)", 8]], "data": [[[1]]]}, BlockError),
        ({"data": [[1], [2]], "rows": 3}, IncompleteResult),
        ({"data": [[1], [2]], "rows": 1}, IncompleteResult),
        ({"data": [], "rows": 5}, IncompleteResult),
        ({"data": [[1], []], "rows": 2}, IncompleteResult),
        ({"data": [[1, 2]], "rows": 1}, IncompleteResult),
        ({"data": [1], "rows": 1}, IncompleteResult),
        ({"data": ["x"], "rows": 1}, IncompleteResult),
        ({"data": [["x"]], "rows": 1}, BlockError),
        ({"data": [[2**31]], "rows": 1}, BlockError),
        ({"data": [[1.5]], "rows": 1}, BlockError),
        ({"column_meta": [["v", "NEWTYPE", 4]], "data": [[1]], "rows": 1}, UnsupportedServer),
        ({"column_meta": [["v", 99, 4]], "data": [[1]], "rows": 1}, UnsupportedServer),
        ({"column_meta": [["v"]], "data": [[1]], "rows": 1}, UnsupportedServer),
        ({"column_meta": [["v", None, 4]], "data": [[1]], "rows": 1}, UnsupportedServer),
        ({"column_meta": [["v", "VARBINARY", 4]], "data": [["xyz"]], "rows": 1}, IncompleteResult),
        ({"column_meta": [["v", "TIMESTAMP", 8]], "data": [["soon"]], "rows": 1}, IncompleteResult),
    ],
    ids=repr,
)
def test_a_result_that_cannot_be_is_a_typed_error(answer: dict[str, Any], kind: type[TDengineError]) -> None:
    body = json_answer(**{"code": 0, "column_meta": [["v", "INT", 4]], **answer})
    with running_http(lambda sql: (200, body)) as peer, RestSession(peer.address) as session, pytest.raises(kind):
        all_rows(session.query("select v from t"))


@pytest.mark.parametrize("version", ["2.4.0.18", "3.3.3.0"])
def test_a_result_that_the_server_cuts_is_not_taken_for_whole(version: str, box: Start) -> None:
    address = box(version, "http")
    client = Client(address)
    client.execute("create database d")
    client.execute("create table d.t (ts timestamp, v int)")
    client.execute("insert into d.t values " + " ".join(f"({START + i}, {i})" for i in range(10)))
    faults = box.boxes[address.port].faults  # type: ignore[attr-defined]
    faults.truncate_rest(7)
    # A server that cuts and counts what is left cannot be found out here: that is what counting is for.
    assert len(client.rows("select * from d.t")) == 7
    faults.clear()
    assert len(client.rows("select * from d.t")) == 10


@pytest.mark.parametrize("depth", [300, 900, 100_000])
@pytest.mark.parametrize("place", ["answer", "JSON value", "timestamp", "message", "code"])
def test_answers_of_any_depth_are_understood_or_typed_errors(place: str, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    meta = '[["v","TIMESTAMP",8]]' if place == "timestamp" else '[["v","JSON",8]]'
    body = {
        "answer": deep,
        "message": f'{{"code":1,"desc":{deep}}}',
        "code": f'{{"code":{deep}}}',
    }.get(place, f'{{"code":0,"column_meta":{meta},"data":[[{deep}]]}}')
    with running_http(lambda sql: (200, body.encode())) as peer, RestSession(peer.address) as session:
        error: TDengineError | None = None
        try:
            assert all_rows(session.query("select v from t")) == [(deep,)]
        except TDengineError as raised:
            error = raised
    assert place == "JSON value" if error is None else len(str(error)) < 1000


def test_what_a_server_says_can_be_written_anywhere() -> None:
    body = b'{"code":534,"desc":"half \\ud83d of a sign, \xff' + b"x" * 100_000 + b'"}'
    with (
        running_http(lambda sql: (200, body)) as peer,
        RestSession(peer.address) as session,
        pytest.raises(StatementRejected, match=r"half \? of a sign, \?xxx") as error,
    ):
        session.query("select \udcff")
    assert len(str(error.value).encode()) < 2000


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Fri, 27 Nov 2026 08:00:00 GMT", datetime(2026, 11, 27, 8, tzinfo=timezone.utc)),
        # No zone, as RFC 2822 has it.
        ("Fri, 27 Nov 2026 08:00:00 -0000", datetime(2026, 11, 27, 8, tzinfo=timezone.utc)),
        ("Fri, 27 Nov 99999999999999999999 08:00:00 GMT", None),
        ("Fri, 27 Nov 2026 08:00:00 +99999999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_a_moment_or_nothing(date: str | None, moment: datetime | None) -> None:
    assert moment_of(date) == moment


def test_values_that_are_no_utf8_arrive_as_they_are() -> None:
    body = b'{"code":0,"column_meta":[["v","VARCHAR",4]],"data":[["\xff\xfe"],["\xe4\xbd\xa0"]],"rows":2}'
    with running_http(lambda sql: (200, body)) as peer, RestSession(peer.address) as session:
        (block,) = session.query("select v from t").blocks()
        assert block.columns[0].to_bytes_list() == [b"\xff\xfe", "你".encode()]  # type: ignore[union-attr]


def test_bigint_unsigned_is_exact() -> None:
    body = b'{"code":0,"column_meta":[["v","BIGINT UNSIGNED",8]],"data":[[18446744073709551615],[null]],"rows":2}'
    with running_http(lambda sql: (200, body)) as peer, RestSession(peer.address) as session:
        assert all_rows(session.query("select v from t")) == [(2**64 - 1,), (None,)]


def test_a_zero_keeps_its_sign() -> None:
    # As adapters of all versions write -0.0.
    data = b'[[-0,"-0,"],[0,"-0]"],[-0.5,""]]'
    body = b'{"code":0,"column_meta":[["d","DOUBLE",8],["s","VARCHAR",9]],"data":' + data + b',"rows":3}'
    with running_http(lambda sql: (200, body)) as peer, RestSession(peer.address) as session:
        rows = all_rows(session.query("select d, s from t"))
    assert [(repr(value), text) for value, text in rows] == [("-0.0", "-0,"), ("0.0", "-0]"), ("-0.5", "")]


def test_a_column_that_is_called_affected_rows_is_a_column() -> None:
    body = json_answer(code=0, column_meta=[["affected_rows", "BIGINT", 8]], data=[[5]], rows=1)
    with running_http(lambda sql: (200, body)) as peer, RestSession(peer.address) as session:
        result = session.query("select count(*) affected_rows from t")
        assert (all_rows(result), result.affected) == ([(5,)], 0)


# --- Failures


@pytest.mark.parametrize(
    ("status", "content", "kind", "retryable"),
    [
        (401, b"", AuthenticationFailed, False),
        (401, json_answer(code=4357, desc="no auth info input"), AuthenticationFailed, False),
        (403, b"<html>", PermissionDenied, False),
        (404, b"404 page not found", UnsupportedServer, False),
        (400, b"Client sent an HTTP request to an HTTPS server.", UnsupportedServer, False),
        (429, b"", ServerBusy, True),
        (500, b"<html>", ServerBusy, True),
        (502, b"<html>", ServerBusy, True),
        (502, json_answer(code=11, desc="Unable to establish connection"), ServerBusy, True),
        (503, json_answer(code=65535, desc="pool is used up"), ServerBusy, True),
        (504, b"", ServerBusy, True),
        (200, b"<html>hello</html>", UnsupportedServer, False),
        (200, b"", UnsupportedServer, False),
        (200, b"[]", UnsupportedServer, False),
        (200, b"5", UnsupportedServer, False),
        (200, b"{}", UnsupportedServer, False),
        (200, b'{"code": "x"}', AnswerError, False),
        (200, b'{"code":0,"column_meta":[["v","INT",4]],"data":[[1],[', IncompleteResult, True),
        (200, json_answer(code=9826, desc="Fail to get table info, error: Database not exist"), DatabaseMissing, False),
        (200, json_answer(code=9731, desc="Table does not exist"), TableMissing, False),
        (200, json_answer(status="error", code=866, desc="Table does not exist"), TableMissing, False),
        (200, json_answer(code=11, desc="Unable to establish connection"), ConnectionFailed, True),
        # 1.x has no types in its answers.
        (200, json_answer(status="succ", head=["v"], data=[[1]], rows=1), UnsupportedServer, False),
    ],
)
def test_whatever_is_answered_is_of_the_right_kind(
    status: int, content: bytes, kind: type[TDengineError], retryable: bool
) -> None:
    with (
        running_http(lambda sql: (status, content)) as peer,
        RestSession(peer.address) as session,
        pytest.raises(kind) as error,
    ):
        session.query("select v from t")
    assert type(error.value) is kind
    assert error.value.retryable is retryable
    assert str(peer.address) in str(error.value) or "The server says: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_refusal_names_the_account() -> None:
    body = json_answer(code=855, desc="Authentication failure")
    with (
        running_http(lambda sql: (200, body), user="carol", password="hush") as peer,
        RestSession(peer.address) as session,
        pytest.raises(AuthenticationFailed) as error,
    ):
        session.query("select 1")
    assert str(error.value) == (
        f"{peer.address} refuses the account 'carol' with the password given. "
        "The server says: Authentication failure [code 855, 0x0357]"
    )


def test_an_answer_that_does_not_come_is_a_time_out() -> None:
    given_up = threading.Event()

    def respond(sql: str) -> tuple[int, bytes]:
        given_up.wait(30)
        return 200, b""

    with running_http(respond, timeout=0.2) as peer, RestSession(peer.address) as session:
        with pytest.raises(Timeout, match=r"did not answer within 0.2 s in: select 1") as error:
            session.query("select 1")
        assert error.value.retryable
        given_up.set()


def test_an_answer_that_ends_early_may_be_asked_for_again() -> None:
    def talk(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"code":0')

    with running_tcp(talk, scheme="http") as peer, RestSession(peer.address) as session:
        with pytest.raises(ConnectionFailed) as error:
            session.query("select 1")
        assert error.value.retryable


# --- Secrets


def test_a_token_is_sent_and_nowhere_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = json_answer(code=855, desc="Authentication failure")
    with (
        running_http(lambda sql: (200, body), token="s3cret-token") as peer,
        RestSession(peer.address, database="d") as session,
        pytest.raises(AuthenticationFailed) as error,
    ):
        session.query("select 1")
    assert peer.messages[0][0] == "/rest/sql/d?token=s3cret-token&app=airflow"
    assert "Authorization" not in peer.headers[0]
    assert "s3cret" not in caplog.text + str(error.value) + repr(error.value) + repr(peer.address)


def test_a_session_reads_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    body = json_answer(code=0, column_meta=[["v", "INT", 4]], data=[[1]], rows=1)
    with running_http(lambda sql: (200, body)) as peer, RestSession(replace(peer.address)) as session:
        assert all_rows(session.query("select 1")) == [(1,)]
