"""Sessions over WebSocket: against recordings and a box where TDengine behaves, against stubs where it does not."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.block import (
    Block,
    FixedColumn,
    column_from_list,
    decode_block,
    encode_block,
    encode_fields,
)
from airflow_provider_tdengine.client.channel import PathMissing
from airflow_provider_tdengine.client.errors import (
    AnswerError,
    AuthenticationFailed,
    BlockError,
    CertificateRejected,
    ConnectionFailed,
    DatabaseMissing,
    RowRejected,
    ServerBusy,
    StatementRejected,
    TableMissing,
    TDengineError,
    Timeout,
    UnsupportedServer,
)
from airflow_provider_tdengine.client.result import all_rows
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.client.websocket import MAX_MESSAGE, WebSocketResult, WebSocketSession

from .client_recordings import START, VERSIONS, exchange, exchanges, fetched, frame, is_frame
from .conftest import Certificate, Peer, answer, make_certificate, running_tcp, running_websocket

Start = Callable[..., Address]
ROWS_C1 = "select * from contract_ms.c1"
INT = Field("v", Type.INT, 4)
QUERIED = {"id": 7, "is_update": False, "affected_rows": 0, "fields_names": ["v"], "fields_types": [4],
           "fields_lengths": [4], "precision": 0}  # fmt: skip


def open_session(peer: Peer, **settings: Any) -> WebSocketSession:
    return WebSocketSession(peer.address, "/ws", **settings)


def requests(connection: ServerConnection, peer: Peer) -> Any:
    """The next text request."""
    while True:
        message = connection.recv()
        peer.messages.append(message)
        if isinstance(message, str):
            return json.loads(message)


def ints(*values: int | None, field: Field = INT) -> Block:
    return Block((field,), (column_from_list(field, values),), len(values))


def fetched_in_binary(request: int, block: bytes | None, code: int = 0, message: str = "") -> bytes:
    """The answer to `fetch_raw_block`, as recorded from 3.3."""
    text = message.encode()
    head = struct.pack("<QQHQQII", 2**64 - 1, 7, 1, 1000, request, code, len(text)) + text
    end = struct.pack("<QB", 7, block is None)
    return head + end + (b"" if block is None else struct.pack("<I", len(block)) + block)


# --- What real servers sent, sent again


def replay(version: str) -> Callable[[ServerConnection, Peer], None]:
    """Answers each query as the recorded server did, and in no way that it did not."""

    def talk(connection: ServerConnection, peer: Peer) -> None:
        recorded: dict[int, Any] = {}
        while True:
            request = requests(connection, peer)
            arguments = request["args"]
            if request["action"] == "query":
                lines = (line for line in exchanges(version) if line["step"].startswith("ws_query_"))
                received = next(line for line in lines if line["sent"][0]["args"]["sql"] == arguments["sql"])[
                    "received"
                ]
                recorded[received[0].get("id", 0)] = itertools.islice(received, 1, None)
                message = received[0]
            elif request["action"] == "free_result":
                continue
            else:
                message = next(recorded[arguments["id"]])
            connection.send(
                frame(message) if is_frame(message) else json.dumps({**message, "req_id": arguments["req_id"]})
            )

    return talk


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_of_all_recorded_servers_are_understood(version: str) -> None:
    statements = {
        line["sent"][0]["args"]["sql"]: line["received"]
        for line in exchanges(version)
        if line["step"].startswith("ws_query_")
    }
    with running_websocket(replay(version)) as peer, open_session(peer) as session:
        for statement, received in statements.items():
            if received[0]["code"]:
                with pytest.raises(TableMissing) as error:
                    session.query(statement)
                assert error.value.code == received[0]["code"]
                continue
            result = session.query(statement)
            assert result.affected == received[0]["affected_rows"]
            rows = all_rows(result)
            assert len(rows) == sum(message.get("rows", 0) for message in received)
        assert [row[0] for row in all_rows(session.query(ROWS_C1))] == [START + i for i in range(5)]
        assert all_rows(session.query(ROWS_C1))[2][9] == 2**64 - 2


def test_a_recorded_binary_session_is_understood() -> None:
    opened = exchange("3.3.3.0", "ws_binary_query")
    blocks = [line["received"][0] for line in exchanges("3.3.3.0") if line["step"] == "ws_fetch_raw_block"]

    def talk(connection: ServerConnection, peer: Peer) -> None:
        asked = connection.recv()
        peer.messages.append(asked)
        connection.send(json.dumps({**opened["received"][0], "req_id": struct.unpack_from("<Q", asked)[0]}))
        for block in blocks:
            asked = connection.recv()
            peer.messages.append(asked)
            message = bytearray(frame(block))
            message[26:34] = asked[:8]
            connection.send(bytes(message))

    with running_websocket(talk) as peer, open_session(peer, binary=True) as session:
        rows = all_rows(session.query(ROWS_C1))
        assert rows[3][1:6] == (True, 127, 32767, 2147483647, 2**63 - 1)
        assert len(rows) == 5
        # To the byte what the recorder sent and the server took, but for the number of the request.
        assert peer.messages[1][8:] == frame(opened["sent"][0])[8:]
        assert peer.messages[2][8:] == frame(exchange("3.3.3.0", "ws_fetch_raw_block")["sent"][0])[8:]


def test_a_written_block_is_to_the_byte_what_a_real_server_took() -> None:
    sent = frame(exchange("3.3.3.0", "ws_write_raw_block_c1_copy")["sent"][0])
    start = 30 + len("c1_copy")
    size = struct.unpack_from("<i", sent, start + 4)[0]
    answer_, _ = fetched("3.3.3.0", ROWS_C1)
    block = decode_block(sent[start : start + size], answer_["fields_names"])

    def talk(connection: ServerConnection, peer: Peer) -> None:
        peer.messages.append(connection.recv())
        connection.send(json.dumps({"code": 0, "message": "", "action": "write_raw_block_with_fields", "req_id": 2}))

    with running_websocket(talk) as peer, open_session(peer, database="contract_ms") as session:
        for request in session.write_block("c1_copy", block):
            session.confirm(request, "c1_copy")
        assert peer.messages[0]["args"]["db"] == "contract_ms"
        ours = peer.messages[1]
    # The recorder gave the widths that the query's answer had; ours are those of the block's head.
    assert ours[8 : start + size] == sent[8 : start + size]
    assert len(ours) == len(sent)


# --- Order


def test_answers_are_matched_by_their_request_whatever_their_order() -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        asked = [connection.recv() for _ in range(3)]
        numbers = [struct.unpack_from("<Q", message)[0] for message in asked]
        for number, code in zip(reversed(numbers), (0, 1547, 0), strict=True):
            connection.send(json.dumps({"code": code, "message": "out of range", "req_id": number}))

    with running_websocket(talk) as peer, open_session(peer) as session:
        raw, fields = encode_block(ints(1)), encode_fields([INT])
        first, second, third = (session.write_raw_block("t", raw, fields) for _ in range(3))
        session.confirm(first, "t")
        with pytest.raises(TDengineError, match=r"out of range \[code 1547, 0x060B\] in: write_raw_block_with_fields"):
            session.confirm(second, "t")
        session.confirm(third, "t")


@pytest.mark.parametrize("scheme", ["ws", "http"])
@pytest.mark.parametrize("version", ["2.4.0.18", "3.0.5.2", "3.3.3.0"])
def test_statements_on_their_way_each_get_their_own_answer(version: str, scheme: str, box: Start) -> None:
    client = Client(box(version, scheme))
    client.execute("create database d")
    client.execute("create table d.t (ts timestamp, v int)")
    # An adapter of 2.4 takes no message that long: it goes over REST, and is done before the others are confirmed.
    long = " ".join(f"({START + i}, {i})" for i in range(100))
    with client.session() as session:
        inserts = [session.start(f"insert into d.t values {rows}") for rows in (f"({START}, 1)", long, f"({START}, 2)")]
        assert [answer().affected for answer in inserts] == [1, 100, 1]
        first, second = session.start("select count(*) from d.t"), session.start("select max(v) from d.t")
        assert all_rows(second()) == [(99,)]
        assert all_rows(first()) == [(100,)]
        wrong = None if scheme == "http" else session.start("select nothing from d.t")
        right = session.start("select count(*) from d.t")
        if wrong:
            with pytest.raises(TDengineError, match="select nothing"):
                wrong()
        assert all_rows(right()) == [(100,)]


@pytest.mark.parametrize("version", ["2.4.0.18", "3.0.5.2", "3.3.3.0"])
def test_a_result_left_before_its_end_leaves_the_session_usable(version: str, box: Start) -> None:
    client = Client(box(version, block_rows=10))
    client.execute("create database d")
    client.execute("create table d.t (ts timestamp, v int)")
    client.execute("insert into d.t values " + " ".join(f"({START + i}, {i})" for i in range(100)))
    with client.session() as session:
        for _ in range(3):
            blocks = session.query("select v from d.t").blocks()
            assert next(blocks).column_values(0) == list(range(10))
            blocks.close()  # type: ignore[attr-defined]
        # Two results at once, block by block.
        first, second = session.query("select v from d.t"), session.query("select v from d.t where v >= 50")
        one, two = first.blocks(), second.blocks()
        assert next(one).column_values(0)[0] == 0
        assert next(two).column_values(0)[0] == 50
        assert next(one).column_values(0)[0] == 10
        assert sum(block.rows for block in two) == 40
        assert sum(block.rows for block in one) == 80
        assert all_rows(session.query("select count(*) from d.t")) == [(100,)]


@pytest.mark.parametrize("binary", [True, False])
def test_a_result_left_before_its_end_is_freed_at_the_server(binary: bool) -> None:
    freed = threading.Event()

    def talk(connection: ServerConnection, peer: Peer) -> None:
        while True:
            message = connection.recv()
            if isinstance(message, bytes):
                request, _, action = struct.unpack_from("<QQQ", message)
                if action == 6:
                    connection.send(json.dumps({"code": 0, "req_id": request, **QUERIED}))
                else:
                    connection.send(fetched_in_binary(request, encode_block(ints(1))))
                continue
            asked = json.loads(message)
            if asked["action"] == "query":
                answer(connection, asked, **QUERIED)
            elif asked["action"] == "fetch":
                answer(connection, asked, completed=False, rows=1, lengths=[4])
            elif asked["action"] == "fetch_block":
                connection.send(struct.pack("<QQ", 1, 7) + encode_block(ints(1)))
            elif asked["action"] == "free_result" and asked["args"]["id"] == 7:
                freed.set()

    with running_websocket(talk) as peer, open_session(peer, binary=binary) as session:
        blocks = session.query("select v from t").blocks()
        assert next(blocks).column_values(0) == [1]
        assert not freed.is_set()
        blocks.close()  # type: ignore[attr-defined]
        assert freed.wait(5)


def test_the_next_block_is_asked_for_while_one_is_used() -> None:
    asked = threading.Event()

    def talk(connection: ServerConnection, peer: Peer) -> None:
        request = struct.unpack_from("<Q", connection.recv())[0]
        connection.send(json.dumps({"code": 0, "req_id": request, **QUERIED}))
        request = struct.unpack_from("<Q", connection.recv())[0]
        connection.send(fetched_in_binary(request, encode_block(ints(1))))
        request = struct.unpack_from("<Q", connection.recv())[0]
        asked.set()
        connection.send(fetched_in_binary(request, None))

    with running_websocket(talk) as peer, open_session(peer, binary=True) as session:
        blocks = session.query("select v from t").blocks()
        assert next(blocks).column_values(0) == [1]
        assert asked.wait(5)
        assert list(blocks) == []


# --- Blocks of either generation, told apart


@pytest.mark.parametrize("value", ["ab", "a", ""])
def test_a_block_of_3x_is_no_block_of_2x_because_it_has_its_size(value: str) -> None:
    # One row of VARCHAR(n) in 2.x has 8 + n + 2 bytes; in 3.x the declared width does not count.
    raw = encode_block(Block((Field("c", Type.VARCHAR, 4),), (column_from_list(Field("c", Type.VARCHAR), [value]),), 1))
    message = struct.pack("<QQ", 1000, 7) + raw
    width = len(message) - 8

    def talk(connection: ServerConnection, peer: Peer) -> None:
        request = requests(connection, peer)
        described = {**QUERIED, "fields_types": [8], "fields_lengths": [width - 2]}
        answer(connection, request, **described)
        answer(connection, requests(connection, peer), completed=False, rows=1, lengths=[width])
        requests(connection, peer)
        connection.send(message)
        answer(connection, requests(connection, peer), completed=True)

    with running_websocket(talk) as peer, open_session(peer) as session:
        assert all_rows(session.query("select c from t")) == [(value,)]


def test_a_block_of_2x_is_no_block_of_3x_because_a_value_is_the_number_of_the_result() -> None:
    values = (7, 1, 2, 3, 4)

    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **{**QUERIED, "fields_types": [5], "fields_lengths": [8]})
        answer(connection, requests(connection, peer), completed=False, rows=5, lengths=[8])
        requests(connection, peer)
        connection.send(struct.pack("<6q", 7, *values))
        answer(connection, requests(connection, peer), completed=True)

    with running_websocket(talk) as peer, open_session(peer) as session:
        assert all_rows(session.query("select v from t")) == [(value,) for value in values]


@pytest.mark.parametrize("damage", ["cut", "longer", "other rows", "other columns"])
def test_a_damaged_block_is_not_passed_on_unopened(damage: str) -> None:
    raw = encode_block(ints(1, 2))
    sent = {
        "cut": raw[:-1],
        "longer": raw + b"x",
        "other rows": raw[:8] + struct.pack("<i", 3) + raw[12:],
        "other columns": raw[:12] + struct.pack("<i", 2) + raw[16:],
    }[damage]

    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **QUERIED)
        answer(connection, requests(connection, peer), completed=False, rows=2, lengths=[4])
        requests(connection, peer)
        connection.send(struct.pack("<QQ", 1, 7) + sent)
        answer(connection, requests(connection, peer), completed=True)

    with running_websocket(talk) as peer, open_session(peer) as session:
        result = session.query("select v from t")
        assert isinstance(result, WebSocketResult)
        with pytest.raises(BlockError):
            list(result.raw_blocks())


@pytest.mark.parametrize("version", ["2.4.0.18", "3.0.5.2"])
def test_a_block_of_another_result_is_refused(version: str) -> None:
    opened, messages = fetched(version, ROWS_C1)
    announced, raw = messages[0]
    place = 0 if version == "2.4.0.18" else 8
    wrong = raw[:place] + struct.pack("<Q", 99) + raw[place + 8 :]

    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **{**opened, "req_id": 2})
        request = requests(connection, peer)
        answer(connection, request, **{**announced, "req_id": request["args"]["req_id"]})
        requests(connection, peer)
        connection.send(wrong)
        answer(connection, requests(connection, peer), completed=True)

    with running_websocket(talk) as peer, open_session(peer) as session, pytest.raises(BlockError):
        all_rows(session.query(ROWS_C1))


# --- Silence


def test_a_login_that_is_never_answered_says_why_and_closes_the_socket() -> None:
    with running_websocket(lambda *_: None, login=False, connect_timeout=0.3) as peer:
        with pytest.raises(Timeout, match=r"^ws://\S* did not answer the login within 0.3 s, though.* pool") as error:
            open_session(peer)
        assert error.value.retryable
        assert peer.closed.wait(3)


@pytest.mark.parametrize("binary", [True, False])
def test_a_statement_that_is_never_answered_ends_the_session(binary: bool) -> None:
    with running_websocket(lambda *_: None, timeout=0.3) as peer, open_session(peer, binary=binary) as session:
        with pytest.raises(Timeout, match=r"did not answer within 0.3 s in: select 1") as error:
            session.query("select 1")
        assert error.value.retryable
        # An answer that came now would be taken for that of the next statement.
        assert peer.closed.wait(3)
        with pytest.raises(ConnectionFailed, match="was lost"):
            session.query("select 2")


def test_answers_to_other_requests_do_not_put_off_the_end_of_the_wait() -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        for number in range(1000, 2000):
            connection.send(json.dumps({"code": 0, "req_id": number}))
            time.sleep(0.02)

    with running_websocket(talk, timeout=0.5) as peer, open_session(peer) as session, pytest.raises(Timeout):
        session.query("select 1")


def test_a_peer_that_stops_reading_is_given_up() -> None:
    stop = threading.Event()

    def talk(connection: ServerConnection, peer: Peer) -> None:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stop.wait(20)

    with running_websocket(talk, timeout=0.5) as peer:
        session = open_session(peer)
        raw, fields = encode_block(ints(*range(500_000))), encode_fields([INT])
        with pytest.raises(Timeout, match=r"did not take a message of .* bytes within 0.5 s"):
            [session.write_raw_block("t", raw, fields) for _ in range(100)]
        stop.set()
        session.close()


def test_a_time_out_over_a_slow_box_and_the_next_session_works(box: Start) -> None:
    address = replace(box(), timeout=0.3)
    client = Client(address)
    assert client.server.version == (3, 3, 3, 0)
    faults = box.boxes[address.port].faults  # type: ignore[attr-defined]
    with client.session() as session:
        faults.delay(1.0)
        with pytest.raises(Timeout):
            session.query("select 1")
    faults.clear()
    assert client.rows("select 1") == [(1,)]


# --- Closed


@pytest.mark.parametrize("when", ["before the answer", "between blocks", "on writing"])
def test_a_session_closed_midway_is_a_failed_connection_that_may_be_tried_again(when: str) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        if when == "between blocks":
            request = struct.unpack_from("<Q", connection.recv())[0]
            connection.send(json.dumps({"code": 0, "req_id": request, **QUERIED}))
            request = struct.unpack_from("<Q", connection.recv())[0]
            connection.send(fetched_in_binary(request, encode_block(ints(1))))
        connection.recv()
        connection.socket.shutdown(socket.SHUT_RDWR)

    def use(session: WebSocketSession) -> None:
        if when == "on writing":
            for request in session.write_block("t", ints(1)):
                session.confirm(request, "t")
        else:
            all_rows(session.query("select v from t"))

    with running_websocket(talk) as peer, open_session(peer, binary=True) as session:
        with pytest.raises(ConnectionFailed, match=r"The session at ws://127.0.0.1:\d+ was lost") as error:
            use(session)
        assert error.value.retryable
        assert not isinstance(error.value, Timeout)


def test_a_connection_that_the_box_cuts_can_be_opened_again(box: Start) -> None:
    address = box(block_rows=10)
    client = Client(address)
    client.execute("create database d")
    client.execute("create table d.t (ts timestamp, v int)")
    client.execute("insert into d.t values " + " ".join(f"({START + i}, {i})" for i in range(100)))
    box.boxes[address.port].faults.cut_after_blocks(3)  # type: ignore[attr-defined]
    with client.session() as session, pytest.raises(ConnectionFailed) as error:
        all_rows(session.query("select v from d.t"))
    assert error.value.retryable
    assert client.rows("select count(*) from d.t") == [(100,)]


# --- Garbage

GARBAGE = ["hello", "", "[]", "{}", '"text"', "null", "1", '{"req_id": [1]}', '{"code": 0}', b"", b"abc", b"\xff" * 8,
           b"\xff" * 41, b"\0" * 1000]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
@pytest.mark.parametrize("binary", [True, False])
def test_a_garbled_answer_to_a_statement_is_a_typed_error(garbage: str | bytes, binary: bool) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        connection.recv()
        connection.send(garbage)

    with (
        running_websocket(talk, timeout=0.5) as peer,
        open_session(peer, binary=binary) as session,
        pytest.raises(ConnectionFailed),
    ):
        session.query("select 1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"fields_types": [99]}, {"fields_types": None}, {"fields_names": None}, {"fields_lengths": []},
        {"fields_types": "x"}, {"fields_names": 5}, {"precision": 7}, {"precision": "ns"}, {"code": "x"},
        {"fields_precisions": [1, 2]}, {"fields_precisions": [-1]}, {"fields_lengths": [2**30]}, {"id": "x"},
        {"id": -1}, {"id": 2**64}, {"fields_names": ["v", None]}, {"fields_types": [True]}, {"precision": -1},
        {"affected_rows": []}, {"is_update": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_a_description_that_cannot_be_is_a_typed_error(wrong: dict[str, Any]) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **{**QUERIED, **wrong})

    with (
        running_websocket(talk) as peer,
        open_session(peer) as session,
        pytest.raises((AnswerError, UnsupportedServer)),
    ):
        session.query("select 1")


@pytest.mark.parametrize("announced", [{}, {"rows": 1}, {"rows": 1, "lengths": None}, {"rows": "x", "lengths": [4]},
                                       {"rows": 1, "lengths": ["x"]}, {"rows": -1, "lengths": [4]},
                                       {"rows": 2**31, "lengths": [4]}], ids=repr)  # fmt: skip
@pytest.mark.parametrize("sent", [b"", b"abc", b"\7" + b"\0" * 11, b"\0" * 100, struct.pack("<QQ", 1, 7) + b"\1"])
def test_a_garbled_block_in_two_steps_is_a_block_error(announced: dict[str, Any], sent: bytes) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **QUERIED)
        answer(connection, requests(connection, peer), completed=False, **announced)
        requests(connection, peer)
        connection.send(sent)
        answer(connection, requests(connection, peer), completed=True)

    with running_websocket(talk) as peer, open_session(peer) as session:
        result = session.query("select v from t")
        assert isinstance(result, WebSocketResult)
        if announced == {"rows": 1, "lengths": [4]}:
            return
        with pytest.raises((AnswerError, BlockError)):
            list(result.blocks())


def test_a_block_in_a_binary_answer_cut_anywhere_is_a_typed_error() -> None:
    recorded = frame(exchange("3.3.3.0", "ws_fetch_raw_block")["received"][0])
    lengths = list(range(0, 80)) + list(range(80, len(recorded), 23)) + [len(recorded) - 1]

    sending = iter(lengths)

    def talk(connection: ServerConnection, peer: Peer) -> None:
        request = struct.unpack_from("<Q", connection.recv())[0]
        connection.send(json.dumps({"code": 0, "req_id": request, **QUERIED}))
        request = struct.unpack_from("<Q", connection.recv())[0]
        cut = recorded[:26] + struct.pack("<Q", request) + recorded[34:]
        connection.send(cut[: next(sending)])

    with running_websocket(talk) as peer:
        for length in lengths:
            with open_session(peer, binary=True) as session:
                result = session.query("select v from t")
                assert isinstance(result, WebSocketResult)
                with pytest.raises((BlockError, ConnectionFailed)) as error:
                    list(result.raw_blocks())
                assert isinstance(error.value, BlockError) == (length >= 42)
                assert not isinstance(error.value, Timeout)


# --- Errors midway


@pytest.mark.parametrize("binary", [True, False])
def test_an_error_midway_is_told_at_once_and_the_session_goes_on(binary: bool) -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        for part in range(2):
            if binary:
                request = struct.unpack_from("<Q", connection.recv())[0]
                connection.send(json.dumps({"code": 0, "req_id": request, **QUERIED}))
                request = struct.unpack_from("<Q", connection.recv())[0]
                connection.send(fetched_in_binary(request, None, *((0x0707, "query not ready") if not part else ())))
            else:
                answer(connection, requests(connection, peer), **QUERIED)
                request = requests(connection, peer)
                if part:
                    answer(connection, request, completed=True)
                else:
                    answer(connection, request, code=0x0707, message="query not ready")

    with running_websocket(talk, timeout=30) as peer, open_session(peer, binary=binary) as session:
        with pytest.raises(ServerBusy, match=r"The server says: query not ready \[code 1799, 0x0707\] in: select v"):
            all_rows(session.query("select v from t"))
        assert all_rows(session.query("select v from t")) == []


def test_an_error_in_place_of_a_block_is_told_at_once() -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **QUERIED)
        answer(connection, requests(connection, peer), completed=False, rows=1, lengths=[4])
        # As all recorded adapters answer where a result is gone.
        answer(connection, requests(connection, peer), code=65535, message="result is nil")

    with (
        running_websocket(talk, timeout=30) as peer,
        open_session(peer) as session,
        pytest.raises(StatementRejected, match="result is nil"),
    ):
        all_rows(session.query("select v from t"))


# --- Long messages


def test_rows_longer_than_a_message_are_split_and_all_arrive(box: Start) -> None:
    client = Client(box())
    client.execute("create database d")
    client.execute("create table d.t (ts timestamp, v varchar(2000))")
    fields = (Field("ts", Type.TIMESTAMP, 8), Field("v", Type.VARCHAR, 2000))
    rows = 5000
    times = FixedColumn(np.arange(START, START + rows), np.zeros(rows, np.bool_))
    texts: list[Any] = [f"{i:04}" * 500 for i in range(rows)]
    block = Block(fields, (times, column_from_list(fields[1], texts)), rows)
    with client.websocket_session("d") as session:
        sent = session.write_block("t", block)
        assert len(sent) == 4
        for request in sent:
            session.confirm(request, "t")
        found = all_rows(session.query("select ts, v from d.t"))
    assert found == [(START + i, text) for i, text in enumerate(texts)]


def test_no_message_is_longer_than_an_adapter_takes_however_many_columns() -> None:
    # The description of 4096 columns alone has 288 KiB, which count as well.
    fields = tuple(Field(f"c{i}", Type.BIGINT, 8) for i in range(4096))
    rows = 122
    column = FixedColumn(np.arange(rows), np.zeros(rows, np.bool_))
    block = Block(fields, (column,) * 4096, rows)
    assert MAX_MESSAGE - 72 * 4096 < len(encode_block(block)) < MAX_MESSAGE

    def talk(connection: ServerConnection, peer: Peer) -> None:
        while True:
            peer.messages.append(connection.recv())

    with running_websocket(talk) as peer:
        with open_session(peer) as session:
            requests_ = session.write_block("t", block)
        assert peer.closed.wait(5)
        assert len(requests_) == len(peer.messages) - 1 == 2
        assert max(map(len, peer.messages[1:])) <= 4 * 1024 * 1024
        assert sum(struct.unpack_from("<i", message, 24)[0] for message in peer.messages[1:]) == rows


def test_one_row_longer_than_a_message_is_refused_before_it_is_sent() -> None:
    fields = tuple(Field(f"c{i}", Type.VARCHAR, 60000) for i in range(100))
    column = column_from_list(fields[0], ["x" * 60000])

    with running_websocket(lambda *_: None) as peer, open_session(peer) as session:
        before = session.bytes_sent
        with pytest.raises(RowRejected, match=r"A row of table 'wide' has \d+ bytes, more than a message may have"):
            session.write_block("wide", Block(fields, (column,) * 100, 1))
        assert session.bytes_sent == before


def test_one_row_longer_than_older_adapters_take_goes_to_those_that_take_it() -> None:
    fields = tuple(Field(f"c{i}", Type.VARCHAR, 60000) for i in range(100))
    block = Block(fields, (column_from_list(fields[0], ["x" * 60000]),) * 100, 1)

    def talk(connection: ServerConnection, peer: Peer) -> None:
        while True:
            peer.messages.append(connection.recv())

    with running_websocket(talk) as peer:
        with open_session(peer, binary=True) as session:
            assert len(session.write_block("wide", block)) == 1
        assert peer.closed.wait(5)
        assert len(peer.messages[-1]) > 6_000_000


def test_a_raw_block_that_is_none_is_refused_before_it_is_sent() -> None:
    with running_websocket(lambda *_: None) as peer, open_session(peer) as session, pytest.raises(BlockError):
        session.write_raw_block("t", b"short", b"")


def test_bytes_that_are_no_utf8_arrive_as_they_are_where_text_frames_would_alter_them(box: Start) -> None:
    for version in ("2.4.0.18", "3.0.5.2", "3.3.3.0"):
        client = Client(box(version))
        client.execute("create database d")
        client.execute("create table d.t (ts timestamp, v binary(8))")
        text = b"\xff\xfe\x80".decode("utf-8", "surrogateescape")
        with client.session() as session:
            assert session.query(f"insert into d.t values ({START}, '{text}')").affected == 1
            assert all_rows(session.query("select v from d.t")) == [(text,)]


# --- Logins


@pytest.mark.parametrize("version", ["2.4.0.18", "2.6.0.66", "3.0.5.2", "3.3.3.0"])
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_wrong_password_names_the_account_and_not_the_password(version: str, scheme: str, box: Start) -> None:
    client = Client(box(version, scheme, user="root", password="not-this-one"))
    with pytest.raises(AuthenticationFailed) as error:
        client.session()
    said = str(error.value)
    assert f"{client.address} refuses the account 'root'" in said
    assert "not-this-one" not in said + repr(error.value)
    assert error.value.code in (3, 855, 65535)
    # 2.4 answers the same while its taosd is away.
    assert error.value.retryable is ("taosd is away" in said) is (error.value.code == 65535)


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_refusals_of_a_login_are_understood(version: str) -> None:
    recorded = exchange(version, "ws_wrong_password")["received"][0]

    def talk(connection: ServerConnection, peer: Peer) -> None:
        answer(connection, requests(connection, peer), **{**recorded, "req_id": 1})

    with running_websocket(talk, login=False) as peer:
        with pytest.raises(AuthenticationFailed, match="refuses the account 'root'"):
            open_session(peer)
        assert peer.closed.wait(3)


def test_a_token_is_accepted_and_a_wrong_one_is_refused_without_being_shown(box: Start) -> None:
    address = box(token="right-token")
    client = Client(replace(address, token="right-token", user="nobody", password="nothing"))
    assert client.rows("select 1") == [(1,)]
    with pytest.raises(AuthenticationFailed, match="refuses the token") as error:
        Client(replace(address, token="wrong-token", user="nobody", password="nothing")).session()
    assert "wrong-token" not in str(error.value) + repr(error.value)


def test_neither_token_nor_password_is_in_any_log(box: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "websockets", "websockets.client", "airflow_provider_tdengine"):
        caplog.set_level(logging.DEBUG, name)
    for scheme in ("ws", "http"):
        address = replace(box("3.3.3.0", scheme, token="a-secret-token"), token="a-secret-token")
        assert Client(address).rows("select 1") == [(1,)]
        client = Client(replace(address, token=None, password="a-secret-word"))
        with pytest.raises(AuthenticationFailed):
            client.session()
        assert "a-secret" not in f"{address!r} {address} {client.address!r}"
    assert "TDengine 3.3.3.0, over WebSocket" in caplog.text
    assert "a-secret" not in caplog.text


def test_a_missing_database_is_named_and_the_server_is_known_all_the_same(box: Start) -> None:
    client = Client(replace(box(), database="not_there"))
    assert client.generation == 3
    with pytest.raises(DatabaseMissing, match=r"There is no database 'not_there' at ws://127.0.0.1") as error:
        client.session()
    assert not error.value.retryable


# --- TLS


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_certificate_is_checked_unless_that_is_switched_off(
    scheme: str, box: Start, certificate: Certificate
) -> None:
    address = box("3.3.3.0", scheme, ssl_context=certificate.context)
    with pytest.raises(CertificateRejected, match=r"certificate of .* is not trusted .*ca_file") as error:
        Client(address).session()
    assert not error.value.retryable
    trusting = Client(replace(address, ca_file=certificate.ca_file))
    assert trusting.rows("select 1") == [(1,)]
    assert (trusting.server.websocket_path is not None) == (scheme == "wss")
    assert Client(replace(address, verify=False)).rows("select 1") == [(1,)]


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_certificate_for_another_host_is_rejected(scheme: str, box: Start, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "elsewhere.example")
    address = replace(box("3.3.3.0", scheme, ssl_context=other.context), ca_file=other.ca_file)
    with pytest.raises(CertificateRejected, match=r"certificate of .* is for another host .*127\.0\.0\.1"):
        Client(address).session()


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_server_without_tls_says_so(scheme: str, box: Start) -> None:
    address = replace(box(), scheme=scheme)
    with pytest.raises(ConnectionFailed, match="does not speak TLS") as error:
        Client(address).session()
    assert not isinstance(error.value, CertificateRejected)


def test_blocks_pass_over_tls(box: Start, certificate: Certificate) -> None:
    client = Client(replace(box("3.3.3.0", "wss", ssl_context=certificate.context), ca_file=certificate.ca_file))
    client.execute("create database d")
    client.execute("create table d.t (ts timestamp, v int)")
    fields = (Field("ts", Type.TIMESTAMP, 8), INT)
    nulls = np.zeros(100_000, np.bool_)
    block = Block(
        fields,
        (FixedColumn(np.arange(START, START + 100_000), nulls), FixedColumn(np.arange(100_000, dtype="<i4"), nulls)),
        100_000,
    )
    with client.websocket_session("d") as session:
        for request in session.write_block("t", block):
            session.confirm(request, "t")
        assert sum(block.rows for block in session.query("select * from t").blocks()) == 100_000


# --- The handshake


@pytest.mark.parametrize("compression", [False, True])
def test_compression_is_off_unless_it_is_asked_for(compression: bool) -> None:
    with running_websocket(lambda *_: None, compression=compression) as peer, open_session(peer):
        offered = {name.lower(): value for name, value in peer.headers[0].items()}.get("sec-websocket-extensions", "")
        assert ("permessage-deflate" in offered) is compression


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (404, PathMissing, False), (400, PathMissing, False), (405, PathMissing, False), (426, PathMissing, False),
        (200, PathMissing, False), (301, PathMissing, False), (501, PathMissing, False),
        (401, AuthenticationFailed, False), (403, AuthenticationFailed, False),
        (429, ServerBusy, True), (500, ServerBusy, True), (502, ServerBusy, True), (503, ServerBusy, True),
        (504, ServerBusy, True),
    ],
)  # fmt: skip
def test_what_an_answer_other_than_a_websocket_means(status: int, kind: type[TDengineError], retryable: bool) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    with running_tcp(talk) as peer:
        with pytest.raises(kind, match=str(status)) as error:
            open_session(peer)
        assert type(error.value) is kind
        assert error.value.retryable is retryable


def test_a_peer_that_closes_at_once_may_be_tried_again() -> None:
    with running_tcp(lambda connection: None) as peer:
        # Where the close is noticed varies from try to try.
        for _ in range(50):
            with pytest.raises(ConnectionFailed) as error:
                open_session(peer)
            assert error.value.retryable


def test_a_peer_that_speaks_another_protocol_is_no_websocket() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n" * 10)
        while connection.recv(4096):
            pass

    with running_tcp(talk) as peer:
        # It depends on who speaks first whether it looks like another protocol or like a lost connection.
        for _ in range(50):
            with pytest.raises(ConnectionFailed, match=r"does not speak WebSocket|closed the connection before"):
                open_session(peer)


def test_a_peer_that_accepts_and_says_nothing_is_a_time_out() -> None:
    with (
        running_tcp(lambda connection: time.sleep(1), connect_timeout=0.3) as peer,
        pytest.raises(Timeout, match=r"did not open a WebSocket at /ws within 0.3 s"),
    ):
        open_session(peer)


def test_closing_twice_is_harmless(box: Start) -> None:
    session = Client(box()).session()
    session.close()
    session.close()
    with pytest.raises(ConnectionFailed, match="was lost"):
        session.query("select 1")
