"""Whatever a client says, the box answers with an error of TDengine's, and goes on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.testing import BoxError, TDengineBox

from ...contract import scenario
from .box_client import Socket
from .conftest import T

WORDS = [
    "'",
    "`",
    "(",
    ")",
    ",",
    "null",
    "1e999",
    "99999999999999999999",
    "now()",
    "-",
    "*",
    "tbname",
    "from",
    "ts",
    "5n",
]


def first_words(sql: str) -> list[str]:
    return [word.lower() for word in sql.split(None, 3)[:3]]


def statements(generation: int) -> list[str]:
    return [sql for _, only, _, sql in scenario.STEPS if only in (None, generation) and "drop" not in first_words(sql)]


@st.composite
def damaged(draw: st.DrawFn, generation: int) -> str:
    """A statement of the contract with a piece cut out, doubled or replaced."""
    sql = draw(st.sampled_from(statements(generation)))
    words = sql.split(" ")
    at = draw(st.integers(0, len(words) - 1))
    end = draw(st.integers(at, min(at + 3, len(words))))
    piece = draw(st.sampled_from(["", " ".join(words[at:end]) * 2, *WORDS]))
    return " ".join([*words[:at], piece, *words[end:]])


@pytest.fixture(scope="module", params=["2.4.0.18", "3.3.3.0"])
def filled(request: pytest.FixtureRequest) -> TDengineBox:
    box = TDengineBox(version=request.param)
    for sql in statements(int(request.param[0])):
        try:
            box.execute(sql)
        except BoxError:
            continue  # Some statements of the contract are there to fail.
    return box


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_damaged_statements(filled: TDengineBox, data: st.DataObject) -> None:
    sql = data.draw(damaged(int(filled.version[0])))
    with suppress(BoxError):  # Any other exception is a bug of the box.
        filled.execute(sql, database="contract_ms")
    assert filled.execute("select server_status()") == [(1,)]


@pytest.fixture(scope="module")
def box_3() -> Iterator[TDengineBox]:
    with TDengineBox() as box:
        box.execute("create database d")
        box.execute("create table d.t (ts timestamp, b binary(10), v int)")
        yield box


@settings(max_examples=150, deadline=None)
@given(action=st.sampled_from([4, 5, 6, 7, 99]), number=st.integers(0, 3), body=st.binary(max_size=120))
def test_damaged_binary_messages(box_3: TDengineBox, action: int, number: int, body: bytes) -> None:
    with Socket(box_3, "d") as socket:
        answer = socket.binary(struct.pack("<QQQ", 5, number, action) + body)
        if isinstance(answer, dict):
            assert answer["code"] != 0
        assert socket.rows("select server_status()") == [(1,)]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(-2, 3),
    table=st.sampled_from([b"t", b"nosuch", b"\xff"]),
    block=st.binary(min_size=12, max_size=120),
)
def test_damaged_blocks(box_3: TDengineBox, rows: int, table: bytes, block: bytes) -> None:
    """Blocks whose head is right, whatever follows."""
    head = struct.pack("<QQQiH", 5, 0, 4, rows, len(table)) + table
    start = struct.pack("<iii", 1, len(block) + 12, rows)
    with Socket(box_3, "d") as socket:
        answer = socket.binary(head + start + block)
        assert isinstance(answer, dict)
        assert answer["code"] != 0
    assert box_3.execute("select * from d.t") == []


@pytest.mark.parametrize("message", ["", "no json", "[]", "1", '{"action": 1}', '{"action": "fetch"}', '{"args": {}}'])
def test_damaged_text_messages(box_3: TDengineBox, message: str) -> None:
    with Socket(box_3, "d") as socket:
        socket.socket.send(message)
        assert '"code":65535' in str(socket.socket.recv(timeout=5))
        assert socket.rows("select server_status()") == [(1,)]


def test_a_nul_ends_a_statement(box: TDengineBox) -> None:
    with Socket(box, "d") as socket:
        assert socket.rows("select server_status()\0 and more") == [(1,)]
        assert socket.ask("query", sql=f"insert into a values ({T}, 1, 'x\0y')")["code"] != 0
        assert socket.ask("query", sql="select 'a\0b'")["code"] != 0
