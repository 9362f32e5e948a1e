import datetime as dt
import http.server
import json
import logging
import platform
import threading
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.client.errors import AddressError, AuthenticationFailed, TDengineError
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.testing import TDengineBox

MakeHook = Callable[..., TDengineHook]
Fields = dict[str, Any]

# --- Addresses


def test_an_address_has_defaults(make_hook: MakeHook) -> None:
    address = make_hook(host="td").address
    assert (str(address), address.user, address.password) == ("ws://td:6041", "root", "taosdata")
    assert (address.database, address.token, address.verify, address.timeout) == (None, None, True, 300)


@pytest.mark.parametrize("as_text", [False, True])
def test_an_address_has_what_the_connection_says(make_hook: MakeHook, as_text: bool) -> None:
    extra = {
        "protocol": "wss",
        "token": "t",
        "connect_timeout": 1.5,
        "timeout": 9,
        "verify": False,
        "compression": True,
    }
    if as_text:
        extra = {name: str(value) for name, value in extra.items()}
    hook = make_hook(host="td", port=1, login="u", password="p", schema="d", extra={**extra, "ca_file": "/ca"})
    address = hook.address
    assert (address.scheme, address.host, address.port, address.user, address.password) == ("wss", "td", 1, "u", "p")
    assert (address.database, address.token, address.ca_file) == ("d", "t", "/ca")
    assert (address.connect_timeout, address.timeout, address.verify, address.compression) == (1.5, 9, False, True)


def test_an_address_of_a_cluster_with_tokens_and_certificates(make_hook: MakeHook) -> None:
    files = {"protocol": "wss", "cert_file": "/cert", "key_file": "/key", "key_password": "k"}
    address = make_hook(host="a, b:7", port=1, extra={**files, "bearer_token": "t"}).address
    assert (str(address), address.cert_file, address.key_file) == ("wss://a:1,b:7", "/cert", "/key")
    assert address.key_password == "k"
    assert (address.bearer_token, address.totp_secret) == ("t", None)
    assert make_hook(host="a", extra={"totp_secret": "GEZDGNBV"}).address.totp_secret == "GEZDGNBV"


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("ca_file", "certificates"),
        ("cert_file", "a certificate and its key, with the key_password given, if it is encrypted,"),
    ],
)
def test_a_file_that_this_host_does_not_have_is_named_with_the_connection(
    make_hook: MakeHook, field: str, what: str
) -> None:
    hook = make_hook(host="td", extra={"protocol": "wss", field: "/no/such.pem"})
    for use in (hook.get_client, hook.get_conn):
        with pytest.raises(AddressError) as error:
            use()
        assert str(error.value) == (
            f"Connection {hook.get_conn_id()!r}: {field} '/no/such.pem' cannot be read as {what} on host "
            f"{platform.node()} (No such file or directory); all hosts that connect need it, under the same path"
        )


def test_fields_left_empty_in_the_form_are_not_filled_in(make_hook: MakeHook) -> None:
    extra = {"protocol": None, "token": "", "timeout": None, "verify": None, "ca_file": "", "timezone": ""}
    hook = make_hook(host="td", login="", password="", extra=extra)
    assert hook.address == make_hook(host="td").address
    assert hook.time_zone == ZoneInfo("UTC")


def test_a_connection_of_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TD", "tdengine://u:p%40ss@[::1]:6042/d?protocol=https&verify=false")
    address = TDengineHook(tdengine_conn_id="td").address
    assert (str(address), address.user, address.password) == ("https://[::1]:6042", "u", "p@ss")
    assert (address.database, address.verify) == ("d", False)


def _settings(hook: TDengineHook) -> tuple[Address, ZoneInfo]:
    return hook.address, hook.time_zone


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extra": {"protocol": "tcp"}}, "the field protocol is 'tcp'; expected one of ws, wss, http, https"),
        ({"extra": {"timeout": "soon"}}, "the field timeout is 'soon'; expected a number of seconds greater than 0"),
        ({"extra": {"timeout": 0}}, "the field timeout is 0; expected a number of seconds greater than 0"),
        ({"extra": {"connect_timeout": "nan"}}, "the field connect_timeout is 'nan'; expected a number of seconds"),
        ({"extra": {"connect_timeout": True}}, "the field connect_timeout is True; expected a number of seconds"),
        ({"extra": {"verify": "perhaps"}}, "the field verify is 'perhaps'; expected true or false"),
        ({"extra": {"token": 12345678}}, "the field token is no text"),
        ({"extra": {"timezone": "Mars"}}, "the field timezone is 'Mars'; expected an IANA name"),
        ({"extra": {"timezone": "America"}}, "the field timezone is 'America'; expected an IANA name"),
        ({"host": ""}, "the field host is ''; expected a name or an IP address"),
        ({"host": "td:6041"}, "the field host is 'td:6041'; expected a name or an IP address"),
        ({"host": "ws://td"}, "the field host is 'ws://td'; expected a name or an IP address"),
        ({"host": "t d"}, "The host 't d' is not a host name"),
        ({"port": 70000}, "The port 70000 is not a TCP port"),
    ],
)
def test_a_wrong_field_is_named(make_hook: MakeHook, fields: dict[str, object], message: str) -> None:
    hook = make_hook(**{"host": "td", **fields})
    with pytest.raises(AddressError) as caught:
        _settings(hook)
    assert str(caught.value).startswith("Connection 'td': ")
    assert message in str(caught.value)


def test_the_database_can_be_given_in_place_of_the_connection_s(make_hook: MakeHook) -> None:
    assert make_hook(host="td", schema="a").address.database == "a"
    assert make_hook(host="td", schema="a", hook={"database": "b"}).address.database == "b"
    hook = make_hook(host="td", schema="a", hook={"schema": "c"})
    assert hook.address.database == "c"
    hook.schema = "d"
    assert hook.get_client().address.database == "d"
    assert hook.get_openlineage_default_schema() == "d"


# --- test_connection


def test_a_server_says_what_it_is(hook: TDengineHook, box: TDengineBox) -> None:
    ok, message = hook.test_connection()
    assert ok, message
    assert message.startswith(f"TDengine {box.version}")
    assert f"({box.version[0]}.x) at " in message
    assert "database hk_db" in message
    assert message.endswith("time zone UTC")


def test_a_database_that_is_missing(fields: Fields, make_hook: MakeHook) -> None:
    ok, message = make_hook(**fields, schema="hk_none").test_connection()
    assert not ok
    assert "no database 'hk_none'" in message


@pytest.mark.parametrize("protocol", ["ws", "http"])
def test_a_wrong_password(fields: Fields, make_hook: MakeHook, protocol: str) -> None:
    hook = make_hook(**{**fields, "password": "wr0ng-Secret", "extra": {"protocol": protocol}})
    ok, message = hook.test_connection()
    assert not ok
    assert "refuses the account 'root'" in message
    assert "wr0ng-Secret" not in message
    with pytest.raises(AuthenticationFailed):
        hook.get_records("select server_version()")


@pytest.mark.parametrize("protocol", ["ws", "http"])
def test_nobody_there(make_hook: MakeHook, protocol: str) -> None:
    ok, message = make_hook(host="127.0.0.1", port=1, extra={"protocol": protocol}).test_connection()
    assert not ok
    assert "Nothing listens at" in message


def test_a_field_that_is_wrong(make_hook: MakeHook) -> None:
    assert make_hook(host="td", extra={"protocol": "tcp"}).test_connection() == (
        False,
        "Connection 'td': the field protocol is 'tcp'; expected one of ws, wss, http, https",
    )


class _Version1(http.server.BaseHTTPRequestHandler):
    """What 1.6 answers over REST: no column_meta."""

    def do_POST(self) -> None:
        body = {"status": "succ", "head": ["server_version()"], "data": [["1.6.6.0"]], "rows": 1}
        self.rfile.read(int(self.headers["Content-Length"]))
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def version_1() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Version1) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_server_of_1_x_is_refused(version_1: int, make_hook: MakeHook) -> None:
    hook = make_hook(host="127.0.0.1", port=version_1, extra={"protocol": "http"})
    ok, message = hook.test_connection()
    assert not ok
    assert "TDengine" in message
    with pytest.raises(TDengineError):
        hook.get_conn()


# --- Secrets


@pytest.mark.parametrize("protocol", ["ws", "wss", "http", "https"])
def test_secrets_are_in_no_log_repr_or_error(
    fields: Fields, make_hook: MakeHook, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    for secrets in ({"password": "s3cret-Word", "extra": {}}, {"extra": {"token": "t0ken-Word"}}):
        hook = make_hook(**{**fields, **secrets, "extra": {**secrets["extra"], "protocol": protocol, "timeout": 5}})
        shown += [repr(hook), str(hook), repr(hook.address), str(hook.address), repr(hook.get_client())]
        shown.append(hook.test_connection()[1])
        try:
            shown.append(repr(hook.get_records("select * from hk_db.t")))
        except TDengineError as error:
            shown += [str(error), repr(error), repr(error.__cause__)]
    text = "\n".join([*shown, caplog.text, *(str(record.__dict__) for record in caplog.records)])
    assert "s3cret-Word" not in text
    assert "t0ken-Word" not in text


# --- SQL


def test_rows_of_common_sql_keep_their_types(hook: TDengineHook) -> None:
    first = dt.datetime(2021, 1, 1, microsecond=1)
    rows = [(first, 1, "it's \\ ; ? %s", 0.1, True), (first + dt.timedelta(hours=1), None, None, None, None)]
    hook.insert_rows("hk_db.t", rows, target_fields=["ts", "full", "A b", "f", "o"])
    expected = [(row[0].replace(tzinfo=ZoneInfo("UTC")), *row[1:]) for row in rows]
    assert hook.get_records("select * from t") == expected
    assert hook.get_first("select * from t where `A b` = %(text)s", {"text": rows[0][2]}) == expected[0]
    assert hook.get_first("select * from t where ts = ?", (expected[1][0],)) == expected[1]
    assert [column[:2] for column in hook.last_description][:2] == [("ts", "TIMESTAMP"), ("full", "INT")]


def test_rows_replace_by_their_timestamp(hook: TDengineHook, box: TDengineBox) -> None:
    for value in (1, 2):
        hook.insert_rows("t", [(dt.datetime(2021, 1, 1), value)], target_fields=["ts", "full"], replace=True)
    # A database of 2.x keeps the first row unless it was created with UPDATE 1.
    assert hook.get_records("select `full` from t") == [(1 if box.version[0] == "2" else 2,)]


def test_a_column_cannot_carry_sql(hook: TDengineHook) -> None:
    with pytest.raises(ValueError, match="backtick"):
        hook.insert_rows("t", [(1, 1)], target_fields=["ts", "full`) values (1, 1); drop table t; --"])


def test_the_columns_of_a_table(hook: TDengineHook) -> None:
    assert hook.dialect.get_column_names("t", "hk_db") == ["ts", "full", "A b", "f", "o"]
    assert hook.get_table_schema("t")[1] == {"name": "full", "type": "INT", "note": ""}


def test_statements_are_split(hook: TDengineHook) -> None:
    sql = r"insert into t (ts, `A b`) values (1, 'a;\'b'); select `A b` from t;"
    assert hook.run(sql, split_statements=True, handler=lambda cursor: cursor.description and cursor.fetchall()) == [
        ("a;'b",)
    ]


def test_timestamps_are_in_the_zone_of_the_connection(hook: TDengineHook, fields: Fields, make_hook: MakeHook) -> None:
    hook = make_hook(**{**fields, "extra": {**fields["extra"], "timezone": "Asia/Shanghai"}}, schema="hk_db")
    hook.run("insert into t (ts) values (%s)", parameters=(dt.datetime(2021, 1, 1, 8),))
    assert [row[0].isoformat() for row in hook.get_records("select ts from t where ts = 1609459200000000")] == [
        "2021-01-01T08:00:00+08:00"
    ]


@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
def test_data_frames(hook: TDengineHook) -> None:
    pytest.importorskip("pandas")
    hook.insert_rows("t", [(dt.datetime(2021, 1, 1 + i), i) for i in range(5)], target_fields=["ts", "full"])
    frame = hook.get_df("select * from t where `full` > %s", parameters=(1,))
    assert frame["full"].tolist() == [2, 3, 4]
    assert str(frame["ts"][0]) == "2021-01-03 00:00:00+00:00"
    assert [len(part) for part in hook.get_df_by_chunks("select * from t", chunksize=2)] == [2, 2, 1]


def test_the_client_is_for_bulk_data(hook: TDengineHook, box: TDengineBox) -> None:
    client = hook.get_client()
    assert client.generation == int(box.version[0])
    assert client.rows("select count(*) from hk_db.t") in ([(0,)], [])
