"""Every wait for a server ends: with what was waited for, or when its time is up as a whole, whatever the peer does."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection
from websockets.utils import accept_key

from airflow_provider_tdengine.client import Address, Client, channel, http, websocket
from airflow_provider_tdengine.client.block import Block, FixedColumn
from airflow_provider_tdengine.client.errors import ConnectionFailed, Timeout, UnsupportedServer
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.result import all_rows
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.client.websocket import WebSocketSession

from .client_recordings import START
from .conftest import Certificate, Peer, answer, running_tcp, running_websocket
from .test_websocket import QUERIED

Start = Callable[..., Address]
TLS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def drip(connection: socket.socket, data: bytes) -> None:
    """A byte now and then, which is no sign that the rest will ever come."""
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


@contextmanager
def holed(address: Address, **settings: Any) -> Iterator[tuple[Address, threading.Event]]:
    """A way to a server that takes everything and gives nothing, once the event is set: half-open."""
    hole, done = threading.Event(), threading.Event()

    def pass_on(client: socket.socket) -> None:
        with socket.create_connection((address.host, address.port)) as server:
            other = {client: server, server: client}
            while not done.is_set():
                for ready in select.select([client, server], [], [], 0.02)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if not hole.is_set():
                        other[ready].sendall(data)

    with running_tcp(pass_on) as peer:
        try:
            yield replace(address, port=peer.address.port, **settings), hole
        finally:
            done.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes moments."""
    monkeypatch.setattr(channel, "SILENCE", 0.6)
    monkeypatch.setattr(channel, "_PING_AFTER", 0.2)
    monkeypatch.setattr(channel, "_TEND_EVERY", 0.05)
    monkeypatch.setattr(channel, "CLOSING", 0.1)
    monkeypatch.setattr(websocket, "_SIGN_OF_LIFE", 0.3)


# --- TLS


@pytest.mark.parametrize("version", TLS)
def test_many_sessions_write_and_read_over_tls(version: str, box: Start, certificate: Certificate) -> None:
    certificate.context.minimum_version = certificate.context.maximum_version = TLS[version]
    client = Client(replace(box("3.3.3.0", "wss", ssl_context=certificate.context), ca_file=certificate.ca_file))
    client.execute("create database d")
    rows = 30_000
    fields, nulls = (Field("ts", Type.TIMESTAMP, 8), Field("v", Type.BIGINT, 8)), np.zeros(rows, np.bool_)
    block = Block(fields, tuple(FixedColumn(np.arange(START, START + rows), nulls) for _ in fields), rows)

    def copy(number: int) -> int:
        client.execute(f"create table d.t{number} (ts timestamp, v bigint)")
        with client.websocket_session("d") as session:
            for request in session.write_block(f"t{number}", block):
                session.confirm(request, f"t{number}")
            return sum(block.rows for block in session.query(f"select * from t{number}").blocks())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy, range(12))) == [rows] * 12


@pytest.mark.parametrize("scheme", ["wss", "https"])
@pytest.mark.parametrize("silent", ["before the handshake", "behind the handshake", "in a handshake byte by byte"])
def test_a_tls_peer_that_falls_silent_is_given_up(scheme: str, silent: str, certificate: Certificate) -> None:
    done = threading.Event()

    def talk(connection: socket.socket) -> None:
        if silent == "behind the handshake":
            with certificate.context.wrap_socket(connection, server_side=True):
                done.wait(5)
        elif silent == "in a handshake byte by byte":
            # A record of the handshake that never becomes whole.
            drip(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 100)
        else:
            done.wait(5)

    with running_tcp(talk, scheme=scheme, ca_file=certificate.ca_file, connect_timeout=0.4, timeout=0.4) as peer:
        with pytest.raises(Timeout) as error:
            Client(peer.address).session()
        done.set()
    if silent != "behind the handshake":
        assert str(error.value) == f"{peer.address} did not finish the TLS handshake within 0.4 s"
    elif scheme == "wss":
        assert str(error.value) == f"{peer.address} did not open a WebSocket at /ws within 0.4 s"
    else:
        assert error.value.message == f"{peer.address} did not answer within 0.4 s"


def test_a_tls_peer_that_closes_in_the_handshake_may_be_tried_again() -> None:
    with running_tcp(lambda connection: connection.recv(10) and None, scheme="wss") as peer:  # type: ignore[func-returns-value]
        with pytest.raises(ConnectionFailed, match="closed the connection during the TLS handshake") as error:
            WebSocketSession(peer.address, "/ws")
        assert error.value.retryable


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_tls_peer_that_closes_behind_the_handshake_may_be_tried_again(
    goodbye: bool, certificate: Certificate
) -> None:
    def talk(connection: socket.socket) -> None:
        with certificate.context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            if goodbye:
                with contextlib.suppress(OSError):
                    secure.unwrap()

    with (
        running_tcp(talk, scheme="wss", ca_file=certificate.ca_file) as peer,
        pytest.raises(ConnectionFailed, match="closed the connection before the WebSocket was open") as error,
    ):
        WebSocketSession(peer.address, "/ws")
    assert error.value.retryable


# --- A byte now and then


def test_the_opening_byte_by_byte_is_given_up() -> None:
    with (
        running_tcp(lambda connection: drip(connection, b"HTTP/1.1 101 Switching " * 9), connect_timeout=0.4) as peer,
        pytest.raises(Timeout, match=r"did not open a WebSocket at /ws within 0.4 s"),
    ):
        WebSocketSession(peer.address, "/ws")


@pytest.mark.parametrize("wait", ["answer the login", "answer", "send the next block"])
def test_a_message_byte_by_byte_is_given_up(wait: str, impatient: None) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        request = json.loads(connection.recv())
        if wait == "send the next block":
            answer(connection, request, **QUERIED)
            connection.recv()
        with contextlib.suppress(OSError):
            # A frame of 1000 bytes.
            drip(connection.socket, b"\x82\x7e\x03\xe8" + b"x" * 100)

    short = {"connect_timeout": 0.4} if wait == "answer the login" else {"timeout": 0.4}
    with running_websocket(talk, login=wait != "answer the login", **short) as peer:
        with (
            pytest.raises(Timeout, match=rf"^{peer.address} did not {wait} within 0.4 s"),
            WebSocketSession(peer.address, "/ws") as session,
        ):
            all_rows(session.query("select v from t"))
        assert peer.closed.wait(3)


@pytest.mark.parametrize(
    ("sent", "wait"),
    [(b"HTTP/1.1 200 OK\r\nContent", "answer"), (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "finish its answer"),
     (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n63\r\n", "finish its answer")],
)  # fmt: skip
def test_an_answer_over_rest_byte_by_byte_is_given_up(sent: bytes, wait: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(sent)
        drip(connection, b"x" * 60)

    with running_tcp(talk, scheme="http", timeout=0.4) as peer, RestSession(peer.address) as session:
        with pytest.raises(Timeout) as error:
            session.query("select 1")
        assert str(error.value) == f"{peer.address} did not {wait} within 0.4 s in: select 1"


def test_a_statement_that_is_not_taken_over_rest_is_given_up() -> None:
    done = threading.Event()

    def talk(connection: socket.socket) -> None:
        done.wait(5)

    with running_tcp(talk, scheme="http", timeout=0.4) as peer, RestSession(peer.address) as session:
        with pytest.raises(Timeout, match=r"did not take a request of 30000007 bytes within 0.4 s"):
            session.query("select " + "1" * 30_000_000)
        done.set()


# --- Half-open


def test_a_half_open_connection_is_noticed_by_a_ping(box: Start, impatient: None) -> None:
    with holed(box()) as (address, hole), WebSocketSession(address, "/ws", binary=True) as session:
        assert all_rows(session.query("select 1")) == [(1,)]
        hole.set()
        with pytest.raises(Timeout, match=r"gave no sign of life for 0.6 s, not even when it was pinged") as error:
            session.query("select 1")
        assert error.value.retryable
        with pytest.raises(ConnectionFailed, match="was lost"):
            session.query("select 1")


def test_an_adapter_that_sees_no_pings_while_it_works_has_the_time_of_an_answer(box: Start, impatient: None) -> None:
    with holed(box("2.4.0.18"), timeout=1.5) as (address, hole), WebSocketSession(address, "/rest/ws") as session:
        hole.set()
        with pytest.raises(Timeout, match=r"did not answer within 1.5 s in: select 1"):
            session.query("select 1")


def test_a_server_that_works_long_and_answers_pings_is_waited_for(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that is busy with other tests has most of a second for a pong.
    monkeypatch.setattr(channel, "SILENCE", 1.0)

    def talk(connection: ServerConnection, peer: Peer) -> None:
        request = struct.unpack_from("<Q", connection.recv())[0]
        time.sleep(1.5)
        connection.send(json.dumps({"code": 0, "req_id": request, **QUERIED, "is_update": True, "affected_rows": 3}))

    with running_websocket(talk) as peer, WebSocketSession(peer.address, "/ws", binary=True) as session:
        assert session.query("insert").affected == 3


def test_pings_are_answered_while_nobody_uses_the_session(impatient: None) -> None:
    answered = threading.Event()

    def talk(connection: ServerConnection, peer: Peer) -> None:
        for _ in range(3):
            # Adapters end a session that does not answer.
            if not connection.ping().wait(5):
                return
        answered.set()
        answer(connection, json.loads(connection.recv()), is_update=True, affected_rows=3)

    with running_websocket(talk) as peer, WebSocketSession(peer.address, "/ws") as session:
        assert answered.wait(10)
        assert session.query("insert").affected == 3


def test_nothing_looks_after_sessions_when_there_are_none(box: Start, impatient: None) -> None:
    Client(box()).rows("select 1")
    deadline = time.monotonic() + 60
    while any(thread.name == "tdengine-pings" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_login_at_a_server_that_answers_nothing_does_not_blame_its_pool(impatient: None) -> None:
    done = threading.Event()

    def talk(connection: socket.socket) -> None:
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", connection.recv(65536))
        assert key
        accepted = accept_key(key[1].decode()).encode()
        connection.sendall(
            b"HTTP/1.1 101 -\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n"
            % accepted
        )
        done.wait(5)

    with running_tcp(talk, connect_timeout=0.4) as peer:
        with pytest.raises(Timeout) as error:
            WebSocketSession(peer.address, "/ws")
        done.set()
    assert str(error.value) == f"{peer.address} did not answer the login within 0.4 s"


def test_a_goodbye_is_not_waited_for_for_ever(box: Start, impatient: None) -> None:
    with holed(box()) as (address, hole):
        session = WebSocketSession(address, "/ws")
        hole.set()
        session.close()


# --- Large answers


def test_a_message_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MAX_ANSWER", 1000)

    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, json.loads(connection.recv()), message="x" * 2000)

    with running_websocket(talk) as peer, WebSocketSession(peer.address, "/ws") as session:
        with pytest.raises(UnsupportedServer, match="sent a message that is too large") as error:
            session.query("select 1")
        assert not error.value.retryable


def test_an_answer_over_rest_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER", 2**20)

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with (
        running_tcp(talk, scheme="http") as peer,
        RestSession(peer.address) as session,
        pytest.raises(UnsupportedServer, match=r"answers with more than 1 MiB; ask for fewer rows.* in: select 1"),
    ):
        session.query("select 1")


@pytest.mark.parametrize("binary", [True, False])
def test_a_message_in_parts_is_put_together(binary: bool) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        message = connection.recv()
        request = struct.unpack_from("<Q", message)[0] if binary else json.loads(message)["args"]["req_id"]
        said = json.dumps({"code": 0, "req_id": request, "is_update": True, "affected_rows": 3})
        connection.send(iter([said[:5], said[5:9], said[9:]]))

    with running_websocket(talk) as peer, WebSocketSession(peer.address, "/ws", binary=binary) as session:
        assert session.query("insert").affected == 3


# --- Connections


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_host_is_reached_at_the_address_that_accepts(
    scheme: str, box: Start, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = box("3.3.3.0", scheme)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (free_port, address.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert Client(replace(address, host="two.example")).rows("select 1") == [(1,)]


def test_a_connection_is_kept_for_statements_over_rest_and_opened_again_where_the_server_closed_it() -> None:
    body = json.dumps({"code": 0, "column_meta": [["v", "INT", 4]], "data": [[1]], "rows": 1}).encode()
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    connections = []

    def talk(connection: socket.socket) -> None:
        connections.append(connection.getpeername())
        for _ in range(2):
            connection.recv(65536)
            connection.sendall(said)

    with running_tcp(talk, scheme="http") as peer, RestSession(peer.address) as session:
        for _ in range(2):
            assert all_rows(session.query("select 1")) == [(1,)]
        assert len(connections) == 1
        while session._http._stream.is_idle:  # type: ignore[union-attr]
            time.sleep(0.01)
        assert all_rows(session.query("select 1")) == [(1,)]
        assert len(connections) == 2
