"""Faults on demand, and a box that goes away and comes back."""

from __future__ import annotations

import socket as sockets
import threading
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing import TDengineBox

from .box_client import TS, Socket, block_of, rest

T = 1609459200000


def test_a_connection_is_cut_after_some_blocks(box: TDengineBox) -> None:
    box.faults.cut_after_blocks(1)
    with Socket(box, "d") as socket:
        assert len(socket.rows("select * from a")) == 3
        assert socket.ask("query", sql="select * from b")["id"] == 2
        assert socket.ask("fetch", id=2)["rows"] == 3
        with pytest.raises(ConnectionClosed):
            socket.block(2)
    with Socket(box, "d") as socket:
        assert len(socket.rows("select * from b")) == 3


def test_the_last_block_before_a_cut_is_written(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, v int)")
    box.faults.cut_after_blocks(1)
    with Socket(box, "d") as socket:
        assert socket.write("t", block_of((TS, [T]), (Field("v", Type.INT, 4), [1])))["code"] == 0
        with pytest.raises(ConnectionClosed):
            socket.write("t", block_of((TS, [T + 1]), (Field("v", Type.INT, 4), [2])))
    assert box.execute("select v from d.t") == [(1,), (2,)]


def test_errors_on_demand(box: TDengineBox) -> None:
    box.faults.answer_with(0x0503, "vnode is not ready", times=2, matching="INSERT")
    sql = f"insert into d.c values ({T}, 1, 'x')"
    assert rest(box, "select count(*) from d.a")["data"] == [[3]]
    for _ in range(2):
        answer = rest(box, sql)
        assert (answer["code"], answer["desc"]) == (0x0503, "vnode is not ready")
    assert box.execute("select * from d.c") == []
    assert rest(box, sql)["data"] == [[1]]


def test_errors_on_demand_for_blocks(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, v int)")
    box.faults.answer_with(0x0217, "no memory", matching="write_raw_block t")
    block = block_of((TS, [T]), (Field("v", Type.INT, 4), [1]))
    with Socket(box, "d") as socket:
        assert socket.write("t", block)["message"] == "no memory"
        assert box.execute("select * from d.t") == []
        assert socket.write("t", block)["code"] == 0


def test_answers_are_late(box: TDengineBox) -> None:
    box.faults.delay(0.5)
    started = time.monotonic()
    rest(box, "select server_version()")
    assert time.monotonic() - started >= 0.5
    with Socket(box, "d") as socket:
        started = time.monotonic()
        for number in range(4):
            socket.socket.send(f'{{"action":"query","args":{{"req_id":{number},"sql":"select v from a"}}}}')
        for _ in range(4):
            socket.socket.recv(timeout=5)
        assert 0.5 <= time.monotonic() - started < 4 * 0.5, "answers to several messages wait at the same time"


def test_requests_are_refused(box: TDengineBox) -> None:
    box.faults.refuse(503, times=2)
    with pytest.raises(InvalidStatus, match="503"):
        connect(box.url.replace("http", "ws") + "/rest/ws")
    assert httpx.post(f"{box.url}/rest/sql", content="select 1").status_code == 503
    assert rest(box, "select count(*) from d.a")["data"] == [[3]]


def test_rest_results_are_cut_short(box: TDengineBox) -> None:
    box.faults.truncate_rest(2)
    answer = rest(box, "select * from d.a")
    assert (answer["rows"], len(answer["data"])) == (2, 2)
    assert answer.get("status", "succ") == "succ"
    with Socket(box, "d") as socket:
        assert len(socket.rows("select * from a")) == 3


def test_faults_can_be_cleared(box: TDengineBox) -> None:
    box.faults.cut_after_blocks(0)
    box.faults.delay(10)
    box.faults.answer_with(1, "no", times=99)
    box.faults.truncate_rest(0)
    box.faults.refuse(503, times=99)
    box.faults.clear()
    assert len(rest(box, "select * from d.a", timeout=2)["data"]) == 3
    with Socket(box, "d") as socket:
        assert len(socket.rows("select * from a")) == 3


def test_a_box_goes_away_and_comes_back_with_its_data(box: TDengineBox) -> None:
    port = box.port
    with Socket(box, "d") as socket:
        box.stop()
        with pytest.raises(ConnectionClosed):
            socket.ask("query", sql="select * from a")
    with pytest.raises(httpx.ConnectError):
        rest(box, "select 1")
    with pytest.raises(ConnectionRefusedError):
        sockets.create_connection(("127.0.0.1", port), 1)
    box.start()
    assert box.port == port
    assert rest(box, "select count(*) from d.s")["data"] == [[6]]


def test_a_taken_port(box: TDengineBox) -> None:
    with pytest.raises(OSError, match="in use"):
        TDengineBox(port=box.port).start()


def test_statements_and_rows_are_counted(box: TDengineBox) -> None:
    box.statements.clear()
    with Socket(box, "d") as socket:
        socket.rows("select * from a")
        socket.rows("select count(*) from s")
        socket.rows("select distinct tbname, g from s")
    rest(box, "select * from d.b")
    assert list(box.statements) == [
        "select * from a",
        "select count(*) from s",
        "select distinct tbname, g from s",
        "select * from d.b",
    ]
    assert box.rows_read == 6
    assert box.rows_written == 6


def test_a_box_stops_while_answers_are_waiting(box: TDengineBox) -> None:
    box.faults.delay(60)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            rest(box, "select server_version()", timeout=30)
        except httpx.TransportError as error:
            failures.append(error)

    with connect(box.url.replace("http", "ws") + "/rest/ws") as socket:
        socket.send('{"action":"conn","args":{"req_id":1,"user":"root","password":"taosdata"}}')
        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.2)
        started = time.monotonic()
        box.stop()
        asking.join(30)
        assert time.monotonic() - started < 30
    assert len(failures) == 1
