"""Finding out what a server is, the next best way where it lacks something, and bad input in one clear sentence."""

from __future__ import annotations

import json
import logging
import re
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.block import Block, column_from_list, encode_block
from airflow_provider_tdengine.client.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DatabaseMissing,
    ServerBusy,
    StatementRejected,
    TableMissing,
    TDengineError,
    Timeout,
    UnsupportedServer,
)
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.client.websocket import WebSocketSession

from .conftest import Peer, answer, running_http, running_tcp, running_websocket

Start = Callable[..., Address]
LOGGER = "airflow_provider_tdengine.client.connection"


def version_answers(version: str, on_binary: Callable[[ServerConnection, bytes], None]) -> Callable[..., None]:
    """A server of 3.x that tells its version over text frames, and does with binary ones what `on_binary` does."""
    field = Field("v", Type.VARCHAR, 20)
    raw = encode_block(Block((field,), (column_from_list(field, [version]),), 1))

    def talk(connection: ServerConnection, peer: Peer) -> None:
        while True:
            message = connection.recv()
            peer.messages.append(message)
            if isinstance(message, bytes):
                on_binary(connection, message)
                continue
            request = json.loads(message)
            if request["action"] == "query":
                answer(connection, request, id=7, is_update=False, fields_names=["v"], fields_types=[8],
                       fields_lengths=[20], precision=0)  # fmt: skip
            elif request["action"] == "fetch":
                fetches = sum(isinstance(m, str) and '"fetch"' in m for m in peer.messages)
                answer(connection, request, completed=fetches > 1, rows=1, lengths=[22])
            elif request["action"] == "fetch_block":
                connection.send(struct.pack("<QQ", 1, 7) + raw)

    return talk


def version_over_rest(text: str) -> bytes:
    """What 2.x and older answer to `select server_version()`."""
    return json.dumps(
        {"status": "succ", "head": ["server_version()"], "column_meta": [["server_version()", 8, 8]], "data": [[text]],
         "rows": 1}
    ).encode()  # fmt: skip


# --- What a server is


@pytest.mark.parametrize(
    ("version", "paths", "binary"),
    [("2.4.0.18", {"/rest/ws"}, False), ("2.6.0.66", {"/rest/ws"}, False), ("3.0.5.2", {"/ws", "/rest/ws"}, False),
     ("3.3.3.0", {"/ws"}, True)],
)  # fmt: skip
def test_a_server_is_found_out_and_the_log_says_which_way_is_taken_once(
    version: str, paths: set[str], binary: bool, box: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    client = Client(box(version))
    for _ in range(3):
        server = client.server
        client.rows("select server_version()")
    assert server.version_text.startswith(version)
    assert server.version == tuple(map(int, version.split(".")))
    path = server.websocket_path
    assert path in paths
    assert server.binary is binary
    assert client.generation == client.dialect.generation == int(version[0])
    way = "binary frames" if binary else "fetch in two steps"
    said = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert said == [f"{client.address} is TDengine {server.version_text}, over WebSocket {path}, {way}"]


def test_rest_is_taken_where_there_is_no_websocket_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    with running_http(lambda sql: (200, version_over_rest("2.6.0.1"))) as peer:
        client = Client(replace(peer.address, scheme="ws"))
        for _ in range(3):
            with client.session() as session:
                assert isinstance(session, RestSession)
        assert [path for path, _ in peer.messages] == ["/ws", "/rest/ws", "/rest/sql?app=airflow"]
        with pytest.raises(ConnectionFailed, match="serves no WebSocket"):
            client.websocket_session()
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == LOGGER]
    assert said == [
        ("WARNING", f"{client.address} serves no WebSocket; going on over REST, which is slower"),
        ("INFO", f"{client.address} is TDengine 2.6.0.1, over REST"),
    ]


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_the_scheme_says_whether_websocket_is_used(scheme: str, box: Start) -> None:
    client = Client(box("3.3.3.0", scheme))
    with client.session() as session:
        assert isinstance(session, WebSocketSession if scheme == "ws" else RestSession)
    assert client.rows("select 1") == [(1,)]


@pytest.mark.parametrize("does", ["stays silent", "closes", "refuses", "answers nonsense", "answers binary"])
def test_an_adapter_without_binary_queries_is_read_in_two_steps(
    does: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def on_binary(connection: ServerConnection, message: bytes) -> None:
        request = struct.unpack_from("<Q", message)[0]
        if does == "closes":
            connection.close()
        elif does == "refuses":
            connection.send(json.dumps({"code": 65535, "message": "unknown action", "req_id": request}))
        elif does == "answers nonsense":
            connection.send("[]")
        elif does == "answers binary":
            connection.send(b"\xff" * 8 + struct.pack("<QHQQII", 6, 1, 0, request, 0, 0))

    monkeypatch.setattr(WebSocketSession.supports_binary, "__defaults__", (0.3,))
    caplog.set_level(logging.INFO, LOGGER)
    with running_websocket(version_answers("3.2.1.0", on_binary)) as peer:
        server = Client(peer.address).server
    assert (server.version, server.binary) == ((3, 2, 1, 0), False)
    assert "fetch in two steps" in caplog.text


def test_many_threads_ask_a_server_once_what_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with running_http(lambda sql: (200, version_over_rest("2.6.0.1"))) as peer:
        client = Client(peer.address)
        together = threading.Barrier(16)

        def ask(_: int) -> Any:
            together.wait()
            return client.server

        with ThreadPoolExecutor(16) as pool:
            servers = list(pool.map(ask, range(16)))
        assert all(server is servers[0] for server in servers)
        assert len(peer.messages) == 1


def test_threads_share_a_client_each_with_a_session_of_its_own(box: Start) -> None:
    client = Client(box())
    client.execute("create database d")

    def work(number: int) -> int:
        client.execute(f"create table d.t{number} (ts timestamp, v int)")
        with client.session("d") as session:
            for i in range(20):
                session.query(f"insert into t{number} values ({1609459200000 + i}, {number * 1000 + i})")
            rows = [row for block in session.query(f"select v from t{number}").blocks() for row in block.to_rows()]
        return int(rows == [(number * 1000 + i,) for i in range(20)])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(16))) == 16


def test_a_server_that_was_away_is_asked_again(box: Start) -> None:
    address = box()
    running = box.boxes[address.port]  # type: ignore[attr-defined]
    running.stop()
    client = Client(address)
    with pytest.raises(ConnectionFailed, match="Nothing listens"):
        client.rows("select 1")
    running.start()
    assert client.rows("select 1") == [(1,)]


# --- Bad input, each in one clear sentence


def said_by(use: Callable[[], object], kind: type[TDengineError]) -> str:
    with pytest.raises(kind) as error:
        use()
    text = str(error.value)
    assert type(error.value) is kind
    assert "\n" not in text
    assert "taosdata" not in text
    return text


@pytest.mark.parametrize("scheme", ["ws", "http", "wss", "https"])
def test_an_unknown_host(scheme: str) -> None:
    address = Address(scheme=scheme, host="no-such-host.invalid")
    said = said_by(lambda: Client(address).server, ConnectionFailed)
    assert said == (
        f"The host 'no-such-host.invalid' of {scheme}://no-such-host.invalid:6041 is not known; "
        "check its spelling and DNS"
    )


@pytest.mark.parametrize("scheme", ["ws", "http", "wss", "https"])
def test_an_adapter_that_is_not_there(scheme: str, free_port: int) -> None:
    said = said_by(lambda: Client(Address(scheme=scheme, host="127.0.0.1", port=free_port)).server, ConnectionFailed)
    assert said == (
        f"Nothing listens at {scheme}://127.0.0.1:{free_port}; check host and port, and that the taosAdapter runs "
        "(usually port 6041)"
    )


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_port_that_swallows_everything(scheme: str) -> None:
    done = threading.Event()
    with running_tcp(lambda _: done.wait(5) and None, scheme=scheme, connect_timeout=0.3, timeout=0.3) as peer:  # type: ignore[func-returns-value]
        said = said_by(lambda: Client(peer.address).server, Timeout)
        done.set()
    assert said.startswith(f"{peer.address} did not ")
    assert "within 0.3 s" in said


@pytest.mark.parametrize("version", ["2.4.0.18", "2.6.0.66", "3.0.5.2", "3.3.3.0"])
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_wrong_password_missing_database_missing_table_and_bad_sql(version: str, scheme: str, box: Start) -> None:
    address = box(version, scheme)
    client = Client(address)
    assert "refuses the account 'root'" in said_by(Client(replace(address, password="x")).session, AuthenticationFailed)
    client.execute("create database d")
    assert "code" in said_by(lambda: client.rows("select * from d.missing"), TableMissing)
    assert " in: selec 1" in said_by(lambda: client.rows("selec 1"), StatementRejected)
    if version > "3":
        assert "Database not exist" in said_by(lambda: client.rows("select * from missing.t"), DatabaseMissing)


@pytest.mark.parametrize("version", ["1.6.6.0", "2.0.22.0", "2.3.9.9"])
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_server_older_than_2_4(version: str, scheme: str) -> None:
    with running_http(lambda sql: (200, version_over_rest(version))) as peer:
        said = said_by(lambda: Client(replace(peer.address, scheme=scheme)).server, UnsupportedServer)
    assert f"is TDengine {version}; this provider needs 2.4 or later" in said


def test_a_server_of_1x_by_the_form_of_its_answer() -> None:
    body = json.dumps({"status": "succ", "head": ["server_version()"], "data": [["1.6.6.0"]], "rows": 1}).encode()
    with running_http(lambda sql: (200, body)) as peer:
        said = said_by(lambda: Client(peer.address).server, UnsupportedServer)
    assert said == f"{peer.address} answers as TDengine 1.x does; this provider needs 2.4 or later"


@pytest.mark.parametrize("text", ["", "unknown", None])
def test_a_server_that_does_not_say_its_version(text: Any) -> None:
    with running_http(lambda sql: (200, version_over_rest(text))) as peer:
        said = said_by(lambda: Client(peer.address).server, UnsupportedServer)
    assert "does not say which version" in said


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_another_web_server(scheme: str) -> None:
    with running_http(lambda sql: (404, b"<h1>Not Found</h1>")) as peer:
        said = said_by(lambda: Client(replace(peer.address, scheme=scheme)).server, UnsupportedServer)
    assert re.search(r"does not answer as TDengine's REST does, but HTTP 404: <h1>Not Found</h1>", said)


def test_a_server_that_is_starting() -> None:
    with running_http(lambda sql: (503, b"")) as peer:
        said = said_by(lambda: Client(peer.address).server, ServerBusy)
    assert "HTTP 503" in said
