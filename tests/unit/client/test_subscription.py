"""Subscriptions: what recordings of real servers say, and what a box tells a consumer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tdengine.client import subscription
from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.answers import Answer
from airflow_provider_tdengine.client.block import decode_block, encode_block
from airflow_provider_tdengine.client.changes import (
    Alteration,
    Change,
    Kind,
    RowsDeleted,
    StableCreated,
    StableDropped,
    TableAltered,
    TableCreated,
    TablesDropped,
    Unknown,
    changes_in,
)
from airflow_provider_tdengine.client.channel import PathMissing
from airflow_provider_tdengine.client.connection import Client
from airflow_provider_tdengine.client.errors import (
    AnswerError,
    BlockError,
    PositionGone,
    ServerBusy,
    StatementRejected,
    TDengineError,
    Timeout,
    TopicMissing,
)
from airflow_provider_tdengine.client.raw_rows import TableRows, rows_in
from airflow_provider_tdengine.client.subscription import Message, Start, Subscription
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.testing import TDengineBox

from .client_recordings import frame
from .conftest import answer, running_websocket

VERSIONS = ("3.0.5.2", "3.3.3.0")
T = 1700000000000

_CONTRACT = Path(__file__).parents[2] / "contract"
_SERVER = Address(host="127.0.0.1", port=6041)


@cache
def recorded(version: str) -> dict[str, list[dict[str, Any]]]:
    """What was said over WebSocket, by step."""
    lines = map(json.loads, (_CONTRACT / f"subscription-{version}.jsonl").read_text("utf-8").splitlines())
    return {line["step"]: line["said"] for line in lines if "said" in line}


def raw_messages(version: str) -> Iterator[tuple[dict[str, Any], memoryview, list[tuple[dict[str, Any], bytes]]]]:
    """Each message with rows: the answer to the poll, its raw form, and its blocks with what announced them."""
    for said in recorded(version).values():
        polled: dict[str, Any] = {}
        for number, exchange in enumerate(said):
            action, received = exchange["sent"]["action"], exchange["received"]
            if action == "poll":
                polled = received
            if action == "fetch_raw" and "base64" in received:
                blocks = []
                for fetched, block in zip(said[number + 1 :: 2], said[number + 2 :: 2], strict=False):
                    if fetched["received"].get("completed", True):
                        break
                    blocks.append((fetched["received"], frame(block["received"])[24:]))
                yield polled, memoryview(frame(received))[38:], blocks


def told(version: str, step: str) -> list[Change]:
    """The changes of tables that a step's messages tell."""
    answers = [
        said["received"] for said in recorded(version)[step] if said["received"].get("action") == "fetch_json_meta"
    ]
    return [change for answer in answers if "data" in answer for change in changes_in(Answer(answer["data"], _SERVER))]


def rows_of(rows: TableRows) -> list[tuple[object, ...]]:
    return list(rows.block().to_rows())


# --- Rows


@pytest.mark.parametrize("version", VERSIONS)
def test_raw_rows_are_those_of_the_blocks(version: str) -> None:
    messages = list(raw_messages(version))
    assert len(messages) >= 20
    for _, raw, blocks in messages:
        _, found = rows_in(raw)
        assert [(rows.table, rows.rows) for rows in found] == [
            (announced["table_name"], announced["rows"]) for announced, _ in blocks
        ]
        for rows, (announced, block) in zip(found, blocks, strict=True):
            assert [field.name for field in rows.fields] == announced["fields_names"]
            assert [field.type for field in rows.fields] == announced["fields_types"]
            assert rows.precision is Precision.of_number(announced["precision"])
            assert rows_of(rows) == list(decode_block(block, announced["fields_names"]).to_rows())


@pytest.mark.parametrize("version", VERSIONS)
def test_raw_rows_can_be_written_as_they_are(version: str) -> None:
    """As raw blocks they are what a query gives, so that what writes those writes these."""
    for _, raw, blocks in raw_messages(version):
        for rows, (_, block) in zip(rows_in(raw)[1], blocks, strict=True):
            again = decode_block(encode_block(rows.block()), [field.name for field in rows.fields])
            assert list(again.to_rows()) == rows_of(rows)
            assert rows.raw[4:] == block[4 : len(rows.raw)]


@pytest.mark.parametrize("version", VERSIONS)
def test_positions_only_grow_and_are_behind_their_rows(version: str) -> None:
    counts_next = version != "3.0.5.2"
    last: dict[int, int] = {}
    for polled, raw, _ in raw_messages(version):
        position, _ = rows_in(raw)
        assert position > last.get(polled["vgroup_id"], 0)
        last[polled["vgroup_id"]] = position
        # 3.3 says of rows where it began to read.
        assert polled["offset"] < position if counts_next else polled["offset"] == position


def test_all_types_arrive() -> None:
    raw = next(raw for polled, raw, blocks in raw_messages("3.3.3.0") if blocks and blocks[0][0]["table_name"] == "ty1")
    _, [rows] = rows_in(raw)
    assert rows_of(rows) == [
        (T, True, 1, 2, 3, 4, 5, 6, 18446744073709551614, 1.5, 2.5, "abc", "你好", T),
        (T + 1, *[None] * 13),
        (T + 2, False, -127, -32767, -9223372036854775807, 0, 0, 0, 0, -0.5, 0.1, "", "", 0),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_raw_message_that_is_cut_is_an_error(version: str) -> None:
    raw = next(raw for _, raw, blocks in raw_messages(version) if len(blocks) > 1)
    for length in range(len(raw) - 30):
        with pytest.raises(BlockError):
            rows_in(raw[:length])


def test_bytes_that_are_no_message() -> None:
    for raw in (b"", b"\x64" * 60, b"\x00" * 60, b"\x11" + b"\xff" * 80):
        with pytest.raises(BlockError):
            rows_in(memoryview(raw))


# --- Changes of tables


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("create_children_told", [TableCreated("c2", "st"), TableCreated("c3", "st")]),
        ("insert_told", []),
        ("insert_creates_told", [TableCreated("auto1", "st"), TableCreated("auto2", "st")]),
        ("insert_creates_one_told", [TableCreated("auto3", "st")]),
        # A table is told to be created whenever an INSERT says USING.
        ("insert_into_known_told", [TableCreated("auto1", "st")]),
        (
            "add_column_told",
            [TableAltered("st", Kind.SUPER, Alteration.ADD_COLUMN, "d", "", Field("d", Type.DOUBLE, 8))],
        ),
        (
            "widen_column_told",
            [TableAltered("st", Kind.SUPER, Alteration.WIDEN_COLUMN, "s", "", Field("s", Type.NCHAR, 20))],
        ),
        ("drop_column_told", [TableAltered("st", Kind.SUPER, Alteration.DROP_COLUMN, "v")]),
        ("add_tag_told", [TableAltered("st", Kind.SUPER, Alteration.ADD_TAG, "t2", "", Field("t2", Type.VARCHAR, 8))]),
        ("rename_tag_told", [TableAltered("st", Kind.SUPER, Alteration.RENAME_TAG, "g", "gg")]),
        ("widen_tag_told", [TableAltered("st", Kind.SUPER, Alteration.WIDEN_TAG, "n", "", Field("n", Type.NCHAR, 20))]),
        ("drop_tag_told", [TableAltered("st", Kind.SUPER, Alteration.DROP_TAG, "t2")]),
        ("set_tag_told", [TableAltered("c1", Kind.CHILD, Alteration.SET_TAG, "n")]),
        ("set_tag_null_told", [TableAltered("c1", Kind.CHILD, Alteration.SET_TAG, "n")]),
        ("delete_nothing_told", [RowsDeleted("c1", "ts", -(1 << 63), T - 1000000001)]),
        ("delete_range_told", [RowsDeleted("c2", "ts", T + 1, T + 2)]),
        ("delete_stable_told", [RowsDeleted("st", "ts", T + 3, T + 3)]),
        (
            "create_normal_told",
            [
                TableCreated(
                    "Plain 测试",
                    None,
                    (Field("ts", Type.TIMESTAMP, 8), Field("v", Type.INT, 4), Field("x", Type.VARCHAR, 5)),
                )
            ],
        ),
        ("rename_column_told", [TableAltered("Plain 测试", Kind.NORMAL, Alteration.RENAME_COLUMN, "v", "vv")]),
        ("comment_normal_told", [TableAltered("Plain 测试", Kind.NORMAL, Alteration.SET_OPTIONS)]),
        ("drop_tables_told", [TablesDropped(("c3", "Plain 测试"))]),
        ("drop_stable_told", [StableDropped("js")]),
    ],
)
def test_changes_of_tables(version: str, step: str, expected: list[Change]) -> None:
    assert told(version, step) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_a_super_table_of_all_types(version: str) -> None:
    [created] = told(version, "create_types_told")
    assert isinstance(created, StableCreated)
    sql = "TIMESTAMP BOOL TINYINT SMALLINT BIGINT TINYINT·UNSIGNED SMALLINT·UNSIGNED INT·UNSIGNED BIGINT·UNSIGNED"
    assert [field.sql_type.replace(" ", "·") for field in created.columns[:9]] == sql.split()
    assert [field.sql_type for field in created.columns[9:]] == [
        "FLOAT",
        "DOUBLE",
        "VARCHAR(16)",
        "NCHAR(16)",
        "TIMESTAMP",
    ]
    assert [field.name for field in created.tags] == ["tb", "ti8", "tu64", "ti64", "tf", "td", "tbn", "tnc", "tt"]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_change_of_the_recordings_is_unknown(version: str) -> None:
    changes = [change for step in recorded(version) for change in told(version, step)]
    assert len(changes) > 40
    assert not [change for change in changes if isinstance(change, Unknown)]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "invented", "tableName": "t"},
        {"type": "alter", "tableType": "super", "tableName": "t", "alterType": 99},
        {"type": "delete", "sql": "delete from `t` where `ts` = 1"},
        {},
    ],
)
def test_what_is_not_known_is_told_as_it_is(event: dict[str, Any]) -> None:
    [change] = changes_in(Answer(event, _SERVER))
    assert isinstance(change, Unknown)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "create", "tableType": "super", "columns": [], "tags": []},
        {"type": "create", "tableType": "super", "tableName": "t", "columns": [{"name": "a", "type": 99}]},
        {"type": "create", "tableType": "child", "tableName": "t"},
        {"type": "create", "tableType": "child", "tableName": "t", "createList": ["t"]},
        {"type": "drop", "tableNameList": [1]},
    ],
)
def test_a_change_without_its_parts_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        list(changes_in(Answer(event, _SERVER)))


def test_a_table_whose_name_has_backticks() -> None:
    [change] = changes_in(
        Answer({"type": "delete", "sql": "delete from `a` where `b` where `c` >= -5 and `c` <= 7"}, _SERVER)
    )
    assert change == RowsDeleted("a` where `b", "c", -5, 7)


# --- A consumer, and a box


@pytest.fixture(params=VERSIONS)
def source(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    """A box with a database of two vgroups, and a topic over it."""
    with TDengineBox(version=request.param) as box:
        for sql in (
            "create database d vgroups 2 keep 36500 wal_retention_period 3600",
            "create topic t with meta as database d",
            "create stable d.st (ts timestamp, v int, s nchar(10)) tags (g int)",
        ):
            box.execute(sql)
        yield box


def client_of(box: TDengineBox, **settings: Any) -> Client:
    return Client(Address(scheme="ws", host="127.0.0.1", port=box.port, timeout=10, **settings))


def messages(consumer: Subscription) -> list[Message]:
    """All that there is."""
    found = []
    while message := consumer.poll(0.02):
        found.append(message)
    return found


def written(found: list[Message]) -> list[tuple[str, object]]:
    return sorted((rows.table, row) for message in found for rows in message.rows for row in rows.block().to_rows())


def test_rows_and_changes_arrive(source: TDengineBox) -> None:
    with client_of(source).subscription("t", "g") as consumer:
        assert [type(message.changes[0]) for message in messages(consumer)] == [StableCreated, StableCreated]
        source.execute(f"insert into d.a using d.st tags (1) values ({T},1,'x') ({T + 1},null,'你')")
        source.execute(f"insert into d.b using d.st tags (2) (ts, v) values ({T},7)")
        found = messages(consumer)
        assert written(found) == [("a", (T, 1, "x")), ("a", (T + 1, None, "你")), ("b", (T, 7))]
        created = {change for message in found for change in message.changes}
        assert created == {TableCreated("a", "st"), TableCreated("b", "st")}
        source.execute("drop table d.a")
        [dropped] = messages(consumer)
        assert dropped.changes == (TablesDropped(("a",)),)
        assert dropped.rows == ()


def test_what_is_written_during_a_poll_ends_it(source: TDengineBox) -> None:
    with client_of(source).subscription("t", "g", Start.LATEST) as consumer:
        # Where the end of the logs is, is found out by the first poll, not before.
        assert messages(consumer) == []
        request = consumer._send_text("poll", blocking_time=60_000)
        source.execute(f"insert into d.a using d.st tags (1) values ({T},1,'x')")
        assert consumer._take_answer(request, None).flag("have_message")


def test_latest_is_behind_all_that_there_is(source: TDengineBox) -> None:
    source.execute(f"insert into d.a using d.st tags (1) values ({T},1,'x')")
    with client_of(source).subscription("t", "g", Start.LATEST) as consumer:
        assert messages(consumer) == []
        source.execute(f"insert into d.a values ({T + 1},2,'y')")
        assert written(messages(consumer)) == [("a", (T + 1, 2, "y"))]


@pytest.mark.parametrize("read_before", range(5))
def test_going_on_at_a_position_brings_the_rest(source: TDengineBox, read_before: int) -> None:
    """Wherever a consumer ends, the next one that seeks brings what is behind, once, of each vgroup."""
    for number in range(3):
        source.execute(f"insert into d.a{number} using d.st tags (1) values ({T},{number},'x')")
        source.execute(f"create table d.n{number} (ts timestamp, v int)")
    client = client_of(source)
    with client.subscription("t", "all") as consumer:
        everything = messages(consumer)
    positions: dict[int, int] = {}
    found: list[Message] = []
    with client.subscription("t", "one") as consumer:
        for _ in range(read_before):
            message = consumer.poll(1)
            assert message is not None
            found.append(message)
            positions[message.vgroup] = message.position
    with client.subscription("t", "another") as consumer:
        for vgroup, position in positions.items():
            consumer.seek(vgroup, position)
        found += messages(consumer)
    assert written(found) == written(everything)
    changes = [change for message in found for change in message.changes]
    assert sorted(map(repr, changes)) == sorted(repr(c) for message in everything for c in message.changes)


def test_a_group_goes_on_where_it_committed(source: TDengineBox) -> None:
    client = client_of(source)
    source.execute(f"insert into d.a using d.st tags (1) values ({T},1,'x')")
    with client.subscription("t", "g") as consumer:
        last = messages(consumer)
        for message in last:
            # 3.0 commits the vgroup of a message, 3.3 all of them.
            consumer.commit(message)
        source.execute(f"insert into d.a values ({T + 1},2,'y')")
        assert written(messages(consumer)) == [("a", (T + 1, 2, "y"))]
    with client.subscription("t", "g") as consumer:
        assert written(messages(consumer)) == [("a", (T + 1, 2, "y"))]


def test_a_position_that_the_log_has_no_longer_is_an_error(source: TDengineBox) -> None:
    client = client_of(source)
    with client.subscription("t", "g") as consumer:
        found = messages(consumer)
        positions = {message.vgroup: message.position for message in found}
        for message in found:
            consumer.commit(message)
    for second in range(2):
        source.execute(f"insert into d.a using d.st tags (1) values ({T + second},1,'x')")
    [(vgroup_of_a,)] = source.execute("select vgroup_id from information_schema.ins_tables where table_name = 'a'")
    source.forget_log("d")
    with client.subscription("t", "g") as consumer:
        lost = positions.pop(vgroup_of_a)
        with pytest.raises(PositionGone, match=f"behind {lost} is gone"):
            consumer.seek(vgroup_of_a, lost)
        # The other vgroup's log is as empty, but had nothing more.
        [(vgroup, position)] = positions.items()
        consumer.seek(vgroup, position)
        with pytest.raises(PositionGone, match="no vgroup 99"):
            consumer.seek(99, 5)


def test_consumers_of_a_group_share_vgroups(source: TDengineBox) -> None:
    client = client_of(source)
    rows = " ".join(f"d.c{i} using d.st tags (1) values ({T},{i},'x')" for i in range(20))
    with client.subscription("t", "g") as first, client.subscription("t", "g") as second:
        assert [len(consumer.assignments()) for consumer in (first, second)] == [1, 1]
        source.execute(f"insert into {rows}")
        halves = [messages(first), messages(second)]
        assert all(written(half) for half in halves)
        assert len(written(halves[0] + halves[1])) == 20
        second.unsubscribe()
        # Nothing was committed.
        assert written(messages(first)) == written(halves[1])


def test_block_by_block_where_the_raw_form_is_not_known(
    source: TDengineBox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(raw: memoryview) -> tuple[int, list[TableRows]]:
        raise BlockError("of another age")

    rows = " ".join(f"d.c{i} using d.st tags (1) values ({T},{i},'x')" for i in range(5))
    source.execute(f"insert into {rows}")
    with client_of(source).subscription("t", "raw") as consumer:
        expected = messages(consumer)
    monkeypatch.setattr(subscription, "rows_in", unknown)
    with client_of(source).subscription("t", "blocks") as consumer:
        found = messages(consumer)
    assert written(found) == written(expected)
    assert [replace(m, rows=()) for m in found] == [replace(m, rows=()) for m in expected]
    assert [(r.table, r.fields) for m in found for r in m.rows] == [
        (r.table, r.fields) for m in expected for r in m.rows
    ]
    [said] = [record.getMessage() for record in caplog.records if record.name.endswith("subscription")]
    assert said.endswith("sends rows in a form that is not known (of another age); going on block by block")


def test_a_topic_is_dropped_after_its_consumers(source: TDengineBox) -> None:
    client = client_of(source)
    with client.subscription("t", "g") as consumer:
        with pytest.raises(ServerBusy, match="subscribed"):
            client.execute(client.dialect.drop_topic("t"))
        consumer.unsubscribe()
        client.execute(client.dialect.drop_topic("t"))
    with pytest.raises(TopicMissing):
        client.subscription("t", "g")
    client.execute(client.dialect.create_topic("A Topic", "d"))
    assert client.rows("show topics") == [("A Topic",)]


def test_an_account_that_may_not(source: TDengineBox) -> None:
    client = client_of(source)
    assert client.server
    with pytest.raises(StatementRejected, match="new consumer return nil"):
        Subscription(replace(client.address, password="wrong"), "t", "g", client.server.version)


def test_a_source_of_2x_has_no_subscriptions(box: Callable[..., Address]) -> None:
    with pytest.raises(PathMissing):
        Client(box("2.6.0.27")).subscription("t", "g")


def test_a_poll_that_is_not_answered_ends() -> None:
    def silent(connection: Any, peer: Any) -> None:
        answer(connection, json.loads(connection.recv()))

    with running_websocket(silent, login=False) as peer:
        address = replace(peer.address, timeout=0.2)
        consumer = Subscription(address, "t", "g", (3, 3, 3, 0))
        with pytest.raises(Timeout, match="did not answer a poll"):
            consumer.poll(0.1)
        with pytest.raises(TDengineError):
            consumer.poll(0.1)
