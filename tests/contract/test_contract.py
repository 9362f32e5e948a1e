"""The box answers as real servers did: recordings of 2.4.0.18, 3.3.3.0 and 3.3.5.2, replayed in order."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from airflow_provider_tdengine.client.block import decode_block, decode_block2
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing import TDengineBox

HERE = Path(__file__).parent
VERSIONS = ("2.4.0.18", "3.3.3.0", "3.3.5.2-decimal")

Exchange = dict[str, Any]
"""A line of a recording; JSON, so of any shape."""

# Columns whose values are never the same twice, by step. They are compared as far as their type goes.
VOLATILE: dict[str, set[str]] = {
    "show_databases": {"created_time", "ntables", "vgroups"},
    "ins_databases": {"create_time"},
    "show_stables": {"created_time"},
    "show_tables": {"created_time", "uid", "tid", "vgId"},
    "show_users": {"create_time"},
    "now": {"now()"},
}

# Rows that have nothing to do with the scenario: other databases of the recorded servers.
OTHER_ROWS: dict[str, re.Pattern[str]] = {
    "show_databases": re.compile(r"contract_|information_schema|performance_schema")
}

# What 3.3 answers in the order of a hash table of the rows, which the box does not know; rows of one moment.
UNORDERED = {
    (version, step)
    for version in ("3.3.3.0", "3.3.5.2-decimal")
    for step in ("select_distinct_tags", "per_table_group", "per_table_range", "interval_partition")
} | {("3.3.5.2-decimal", "select_stable")}

# Super tables whose rows came in an order that is an accident of the recorded server.
SUPER_TABLES = {
    "2.4.0.18": re.compile(r"from contract_ms\.(js|alltypes)\b"),
    "3.3.3.0": re.compile(r"from contract_ms\.alltypes\b"),
    "3.3.5.2-decimal": re.compile(r"from contract_ms\.alltypes\b"),
}

# Where the box differs on purpose: (version, step) -> reason. At most ten.
DIFFERENCES: dict[tuple[str, str], str] = {}


def recording(version: str) -> list[Exchange]:
    lines = (HERE / f"tdengine-{version}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


# --- What an answer says, without what is volatile


def literal_json(text: str) -> Any:
    """JSON in which numbers stay as they were written."""
    return json.loads(text, parse_float=lambda number: f"float {number}", parse_int=lambda number: f"int {number}")


def ordered_by(sql: str) -> list[str]:
    match = re.search(r"\border by ([^()]+?)(?: limit| offset|$)", sql, re.IGNORECASE)
    return [key.split()[0] for key in match[1].split(",")] if match else []


def turned(rows: list[str]) -> list[str]:
    """The same rows in the same order, begun where that gives the lowest list.

    3.x asks the vgroups of a database at the same time; the recorded ones have two. Which answers first is chance.
    """
    return min((rows[start:] + rows[:start] for start in range(len(rows))), default=[])


def comparable_rows(version: str, exchange: Exchange, rows: list[Any], names: list[str]) -> list[str]:
    """The rows in their order, as far as that is no accident."""
    texts = [json.dumps(row) for row in rows]
    if (version, exchange["step"]) in UNORDERED or any(key not in names for key in ordered_by(exchange["sql"])):
        return sorted(texts)
    return texts if version.startswith("2") else turned(texts)


def comparable_rest(version: str, exchange: Exchange) -> tuple[Any, ...]:
    """Status, everything but the rows with the keys in their order, the rows, and the columns of ORDER BY."""
    step = exchange["step"]
    body = literal_json(exchange["body"])
    body.pop("timing", None)
    rows = body.pop("data", None)
    if not isinstance(rows, list):
        return exchange["status"], json.dumps(body), rows
    names = [column[0] for column in body["column_meta"]]
    if step in OTHER_ROWS:
        rows = [row for row in rows if OTHER_ROWS[step].match(row[0])]
        body.pop("rows")
    volatile = VOLATILE.get(step, set())
    rows = [[type(v).__name__ if name in volatile else v for name, v in zip(names, row, strict=True)] for row in rows]
    keys = [[row[names.index(key)] for row in rows] for key in ordered_by(exchange["sql"]) if key in names]
    keys_in_body = list(literal_json(exchange["body"]))
    return exchange["status"], keys_in_body, json.dumps(body), comparable_rows(version, exchange, rows, names), keys


def mask_frame(frame: Any) -> Any:
    """A frame without its timing."""
    return {key: value for key, value in frame.items() if key != "timing"} if isinstance(frame, dict) else frame


def raw(frame: Exchange) -> bytes:
    return base64.b64decode(frame["base64"])


def comparable_query(version: str, exchange: Exchange) -> tuple[Any, ...]:
    """A query over WebSocket: the frames, and the rows.

    Of a super table the rows come in any order and in any number of blocks; of one table every byte counts.
    """
    received = exchange["received"]
    head = mask_frame(received[0])
    if head["code"] or head["is_update"]:
        return (head,)
    fields = [
        Field(name, Type(kind), length)
        for name, kind, length in zip(head["fields_names"], head["fields_types"], head["fields_lengths"], strict=True)
    ]
    announced = [mask_frame(frame) for frame in received[1::2]]
    blocks = [raw(frame)[8 if version.startswith("2") else 16 :] for frame in received[2::2]]
    if not SUPER_TABLES[version].search(exchange["sent"][0]["args"]["sql"]):
        return head, announced, blocks
    rows: list[str] = []
    sizes = []
    for frame, block in zip(announced, blocks, strict=False):
        if version.startswith("2"):
            decoded = decode_block2(block, fields, frame["lengths"], frame["rows"])
        else:
            decoded = decode_block(block)
            sizes.append((len(block), struct.unpack_from("<i", block, 4)[0]))
        rows += [repr(row) for row in decoded.to_rows()]
    assert all(actual == claimed for actual, claimed in sizes)
    return head, sorted(rows), announced[0]["lengths"], announced[-1]


def comparable(version: str, exchange: Exchange) -> tuple[Any, ...]:
    if "path" in exchange:
        return comparable_rest(version, exchange)
    if exchange["step"].startswith("ws_query"):
        return comparable_query(version, exchange)
    if exchange["step"] == "ws_fetch_raw_block":
        answer = bytearray(raw(exchange["received"][0]))
        answer[18:26] = bytes(8)  # timing
        return (bytes(answer),)
    return exchange.get("status"), [mask_frame(frame) for frame in exchange.get("received", [])]


# --- Replaying


class Replay:
    """The recorder's part in the conversation, from its recording."""

    def __init__(self, box: TDengineBox) -> None:
        self.box = box
        self.http = httpx.Client(base_url=box.url)
        self.sockets: dict[str, ClientConnection] = {}

    def close(self) -> None:
        self.http.close()
        for socket in self.sockets.values():
            socket.close()

    def socket(self, path: str, name: str, db: str | None = None) -> ClientConnection:
        """A WebSocket that is logged in."""
        if name not in self.sockets:
            self.sockets[name] = self.open(path)
            self.say(self.sockets[name], login("taosdata", db))
        return self.sockets[name]

    def open(self, path: str) -> ClientConnection:
        return connect(self.box.url.replace("http", "ws") + path, max_size=None, compression=None)

    @staticmethod
    def say(socket: ClientConnection, message: Exchange, timeout: float = 10) -> Exchange:
        socket.send(raw(message) if "base64" in message else json.dumps(message))
        answer = socket.recv(timeout=timeout)
        if isinstance(answer, bytes):
            return {"base64": base64.b64encode(answer).decode()}
        decoded: Exchange = json.loads(answer)
        return decoded

    def exchange(self, recorded: Exchange) -> Exchange:
        if "path" in recorded:
            return self.rest(recorded)
        step, path = recorded["step"], recorded["ws"]
        if step == "ws_path":
            return recorded | {"status": self.status(path)}
        if step.startswith("ws_query"):
            return self.query(self.socket(path, "session"), recorded)
        return recorded | {"received": self.received(step, path, recorded)}

    def received(self, step: str, path: str, recorded: Exchange) -> list[Exchange]:
        """The answers to what is said outside of queries."""
        if step == "ws_version":
            return self.heard(path, recorded["sent"][0], len(recorded["received"]))
        if step in ("ws_wrong_password", "ws_login"):
            with self.open(path) as socket:
                return [self.say(socket, login("wrong" if step == "ws_wrong_password" else "taosdata", ""))]
        target = self.socket(path, "target", "contract_ms")
        if step.startswith("ws_write"):
            return [self.say(target, recorded["sent"][0])]
        if step == "ws_binary_query":
            # The recorder makes the table that it writes to before it asks.
            create = "create table if not exists c1_copy using alltypes (ti32) tags (1)"
            self.say(target, {"action": "query", "args": {"req_id": 2, "sql": create}})
        return [self.say(self.socket(path, "source"), recorded["sent"][0])]

    def rest(self, recorded: Exchange) -> Exchange:
        passwords = {"wrong_password": "wrong", "no_login": None}
        password = passwords.get(recorded["step"], "taosdata")
        auth = None if password is None else ("root", password)
        answer = self.http.post(f"/rest/{recorded['path']}", content=recorded["sql"].encode(), auth=auth)
        return recorded | {"status": answer.status_code, "body": answer.text}

    def status(self, path: str) -> int:
        try:
            with self.open(path):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    def heard(self, path: str, message: Exchange, expected: int) -> list[Exchange]:
        """Answers to a message that old servers leave unanswered."""
        with self.open(path) as socket:
            try:
                return [self.say(socket, message, 2 if expected else 0.3)]
            except TimeoutError:
                return []

    def query(self, socket: ClientConnection, recorded: Exchange) -> Exchange:
        """Fetch to the end, in as many blocks as there are."""
        sent = [recorded["sent"][0]]
        received = [self.say(socket, sent[0])]
        result = received[0]
        while not result.get("code") and not result.get("is_update"):
            arguments = {"req_id": sent[0]["args"]["req_id"], "id": received[0]["id"]}
            received.append(self.say(socket, {"action": "fetch", "args": arguments}))
            if received[-1].get("code") or received[-1]["completed"]:
                break
            received.append(self.say(socket, {"action": "fetch_block", "args": arguments}))
        return recorded | {"received": received}


def login(password: str, db: str | None) -> Exchange:
    return {"action": "conn", "args": {"req_id": 1, "user": "root", "password": password, "db": db or ""}}


@pytest.fixture(scope="module", params=VERSIONS)
def replayed(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[tuple[Exchange, Exchange]]]]:
    """The version, and what was recorded next to what the box answers."""
    meta, *exchanges = recording(request.param)
    with TDengineBox(version=meta["version"]) as box:
        replay = Replay(box)
        try:
            yield request.param, [(recorded, replay.exchange(recorded)) for recorded in exchanges]
        finally:
            replay.close()


def test_the_box_answers_as_recorded(replayed: tuple[str, list[tuple[Exchange, Exchange]]]) -> None:
    version, pairs = replayed
    wrong = [
        f"{recorded['step']}: {recorded.get('sql', '')}\n  server {expected}\n  box    {actual}"
        for recorded, answered in pairs
        for expected, actual in [(comparable(version, recorded), comparable(version, answered))]
        if expected != actual and (version, recorded["step"]) not in DIFFERENCES
    ]
    assert len(pairs) > 100
    assert not wrong, f"{len(wrong)} of {len(pairs)} exchanges differ:\n" + "\n".join(wrong)


def test_differences_are_real(replayed: tuple[str, list[tuple[Exchange, Exchange]]]) -> None:
    version, pairs = replayed
    differing = {
        recorded["step"]
        for recorded, answered in pairs
        if comparable(version, recorded) != comparable(version, answered)
    }
    claimed = {step for of_version, step in DIFFERENCES if of_version == version}
    assert claimed <= differing, "these agree by now: take them out of DIFFERENCES"


def test_differences_are_few() -> None:
    assert len(DIFFERENCES) <= 10
