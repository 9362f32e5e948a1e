"""The client against real servers: what is written by SQL or in blocks reads back equal, over WebSocket and REST."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.block import (
    Block,
    Column,
    FixedColumn,
    column_from_list,
    encode_block,
    encode_fields,
)
from airflow_provider_tdengine.client.errors import (
    AuthenticationFailed,
    DatabaseMissing,
    RowRejected,
    StatementRejected,
    TableMissing,
    TDengineError,
)
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.result import Session, all_rows
from airflow_provider_tdengine.client.sql import cut, identifier, literal
from airflow_provider_tdengine.client.types import TYPES, Field, Precision, Type
from airflow_provider_tdengine.client.websocket import WebSocketResult, WebSocketSession

pytestmark = pytest.mark.integration

START = 1609459200000
COLUMNS = {
    "ts": "timestamp", "b": "bool", "i8": "tinyint", "i16": "smallint", "i32": "int", "i64": "bigint",
    "u8": "tinyint unsigned", "u16": "smallint unsigned", "u32": "int unsigned", "u64": "bigint unsigned",
    "f32": "float", "f64": "double", "bin": "binary(40)", "nc": "nchar(40)", "t2": "timestamp",
}  # fmt: skip
NULLS: tuple[Any, ...] = (None,) * 14
ROWS: list[tuple[Any, ...]] = [
    (START, True, 1, 2, 3, 4, 5, 6, 7, 8, 1.5, 2.5, "abc", "你好", START),
    (START + 1, *NULLS),
    (START + 2, False, -127, -(2**15) + 1, -(2**31) + 1, -(2**63) + 1, 0, 0, 0, 0, -3.4e38, -1.7e308, "", "", -1),
    (START + 3, True, 127, 2**15 - 1, 2**31 - 1, 2**63 - 1, 254, 2**16 - 2, 2**32 - 2, 2**64 - 2, 0.1, 0.1,
     "it's \"q\" \\ %s {0} ?", "a\\b'😀\n\t`", START + 86400000),
    (START + 4, None, 0, None, 0, None, 0, None, 0, None, 1e-37, None, "你好", None, 0),
]  # fmt: skip


@pytest.fixture(scope="module", params=["TDENGINE_SOURCE_URL", "TDENGINE_TARGET_URL"])
def address(request: pytest.FixtureRequest) -> Address:
    url = os.environ.get(request.param)
    if not url:
        pytest.skip(f"{request.param} is not set, such as ws://root:taosdata@127.0.0.1:6041")
    return Address.from_url(url, timeout=60)


@pytest.fixture(scope="module")
def client(address: Address) -> Client:
    return Client(address)


@pytest.fixture(scope="module")
def database(client: Client) -> Iterator[str]:
    name = f"ct_client_{os.getpid()}"
    client.execute(f"drop database if exists {name}")
    client.execute(f"create database {name} precision 'ms' keep 36500")
    yield name
    client.execute(f"drop database if exists {name}")


@pytest.fixture
def session(client: Client, database: str) -> Iterator[WebSocketSession]:
    with client.websocket_session(database) as opened:
        yield opened


@pytest.fixture
def rest(client: Client, database: str) -> Iterator[RestSession]:
    with RestSession(client.address, client.generation, database) as opened:
        yield opened


def needs_3x(client: Client) -> None:
    if client.generation < 3:
        pytest.skip(f"{client.server.version_text} takes no raw blocks")


def create(session: Session, table: str, columns: dict[str, str] = COLUMNS) -> None:
    session.query(f"drop table if exists {table}")
    session.query(f"create table {table} ({', '.join(f'{identifier(n)} {kind}' for n, kind in columns.items())})")


def write(session: WebSocketSession, table: str, block: Block) -> None:
    for request in session.write_block(table, block):
        session.confirm(request, table)


def cells(block: Block, index: int) -> list[bytes | None]:
    """A column's values as bytes, so that NaN and -0.0 count."""
    column = block.columns[index]
    if isinstance(column, FixedColumn):
        width = block.fields[index].info.width
        raw = column.values.tobytes()
        return [None if null else raw[i * width : (i + 1) * width] for i, null in enumerate(column.nulls.tolist())]
    return column.to_bytes_list()


def test_what_the_server_is(client: Client, address: Address) -> None:
    server = client.server
    assert server.version >= (2, 4)
    assert client.rows("select server_version()") == [(server.version_text,)]
    assert server.websocket_path == ("/ws" if server.version >= (3, 1) else "/rest/ws")
    assert server.binary == (server.version >= (3, 3))


@pytest.mark.parametrize("written_over", ["websocket", "rest"])
def test_all_types_written_by_sql_read_back_equal_over_websocket_and_rest(
    written_over: str, session: WebSocketSession, rest: RestSession, client: Client
) -> None:
    table = f"sql_{written_over}"
    create(session, table)
    writer: Session = session if written_over == "websocket" else rest
    rows = [f"({','.join(map(literal, row))})" for row in ROWS]
    assert writer.query(f"insert into {table} values {' '.join(rows)}").affected == len(ROWS)
    over_websocket, over_rest = session.query(f"select * from {table}"), rest.query(f"select * from {table}")
    assert [field.name for field in over_websocket.fields] == list(COLUMNS)
    assert [(f.name, f.type) for f in over_websocket.fields] == [(f.name, f.type) for f in over_rest.fields]
    assert [f.length for f in over_websocket.fields] == [f.length for f in over_rest.fields]
    assert over_websocket.precision is Precision.MS
    assert over_rest.precision is (Precision.MS if client.generation == 3 else None)
    assert all_rows(over_websocket) == ROWS
    assert all_rows(over_rest) == ROWS


@pytest.mark.parametrize("precision", Precision)
def test_every_digit_of_a_timestamp_is_kept(precision: Precision, client: Client, database: str) -> None:
    name = f"{database}_{precision.value}"
    step = precision.per_second
    # 2.4 reads a small number as a time far away; from 1970 on is what it keeps.
    times = [1609459200 * step + i for i in (1, 2, step - 1)]
    client.execute(f"create database {name} precision '{precision.value}' keep 36500")
    try:
        with client.session(name) as session, RestSession(client.address, client.generation, name) as rest:
            session.query("create table t (ts timestamp, v timestamp)")
            session.query("insert into t values " + " ".join(f"({time_}, {time_ - step * 10**9})" for time_ in times))
            expected = [(time_, time_ - step * 10**9) for time_ in times]
            result = session.query("select * from t")
            assert result.precision is precision
            assert all_rows(result) == expected
            assert all_rows(rest.query("select * from t")) == expected
    finally:
        client.execute(f"drop database {name}")


@pytest.mark.parametrize("way", ["websocket", "rest"])
def test_text_with_every_kind_of_sign_reads_back_equal(way: str, session: WebSocketSession, rest: RestSession) -> None:
    create(session, "signs", {"ts": "timestamp", "b": "binary(60)", "n": "nchar(60)"})
    texts = ["'", '"', "\\", "\\\\", "\\'", "''", "`", "%", "%%s", "{", "{}", "?", ";", "--", "/* */", "\n\r\t", " ",
             "  a  ", "", "😀", "é你", "NULL", "\x01\x7f", "\\n", "\\x41", "\\%", "\\_"]  # fmt: skip
    writer: Session = session if way == "websocket" else rest
    rows = [f"({START + i},{literal(text)},{literal(text)})" for i, text in enumerate(texts)]
    writer.query(f"insert into signs values {' '.join(rows)}")
    for reader in (session, rest):
        assert all_rows(reader.query("select b, n from signs")) == [(text, text) for text in texts]


def test_bytes_that_are_no_utf8_read_back_equal(session: WebSocketSession, rest: RestSession) -> None:
    create(session, "bytes_", {"ts": "timestamp", "v": "binary(8)"})
    raw = b"\xff\xfe\x80a\xe4"
    session.query(f"insert into bytes_ values ({START}, {literal(raw)})")
    for reader in (session, rest):
        ((value,),) = all_rows(reader.query("select v from bytes_"))
        assert isinstance(value, str)
        assert value.encode("utf-8", "surrogateescape") == raw


def test_long_statements_arrive_whole(session: WebSocketSession) -> None:
    create(session, "long_", {"ts": "timestamp", "v": "binary(200)"})
    parts = [f"({START + i},'{i:0200}')" for i in range(8000)]
    statements = list(cut("insert into long_ values", parts))
    assert len(statements) == 2
    assert [session.query(statement).affected for statement, _ in statements] == [n for _, n in statements]
    assert all_rows(session.query("select count(*) from long_")) == [(8000,)]


# --- Blocks


def test_blocks_pipelined_over_100_000_rows(session: WebSocketSession, client: Client) -> None:
    create(session, "many", {"ts": "timestamp", "v": "int", "f": "double", "s": "binary(8)"})
    rows = 100_000
    numbers = np.arange(rows, dtype="<i4")
    nulls = numbers % 7 == 3
    if client.generation == 3:
        fields = (Field("ts", Type.TIMESTAMP, 8), Field("v", Type.INT, 4), Field("f", Type.DOUBLE, 8),
                  Field("s", Type.VARCHAR, 8))  # fmt: skip
        texts = column_from_list(fields[3], [f"s{i % 100}" for i in range(rows)])
        no = np.zeros(rows, np.bool_)
        columns: tuple[Column, ...] = (
            FixedColumn(START + np.arange(rows), no),
            FixedColumn(numbers, nulls),
            FixedColumn(numbers * 0.5, no),
            texts,
        )
        write(session, "many", Block(fields, columns, rows))
    else:
        parts = (f"({START + i},{'NULL' if i % 7 == 3 else i},{i * 0.5},'s{i % 100}')" for i in range(rows))
        for statement, _ in cut("insert into many values", parts):
            session.query(statement)
    started = time.monotonic()
    blocks = list(session.query("select * from many").blocks())
    took = time.monotonic() - started
    assert len(blocks) > 1
    assert sum(block.rows for block in blocks) == rows
    times = np.concatenate([block.columns[0].values for block in blocks])  # type: ignore[union-attr]
    values = np.concatenate([block.columns[1].values for block in blocks])  # type: ignore[union-attr]
    missing = np.concatenate([block.columns[1].nulls for block in blocks])
    assert np.array_equal(times, START + np.arange(rows))
    assert np.array_equal(missing, nulls)
    assert np.array_equal(values[~nulls], numbers[~nulls])
    assert [text for block in blocks for text in block.column_values(3)] == [f"s{i % 100}" for i in range(rows)]
    assert took < 10


def test_a_result_left_before_its_end_leaves_the_session_usable(session: WebSocketSession) -> None:
    create(session, "left_", {"ts": "timestamp", "v": "int"})
    for statement, _ in cut("insert into left_ values", (f"({START + i},{i})" for i in range(30_000))):
        session.query(statement)
    for _ in range(3):
        blocks = session.query("select v from left_").blocks()
        assert next(blocks).column_values(0)[0] == 0
        blocks.close()  # type: ignore[attr-defined]
    assert all_rows(session.query("select count(*) from left_")) == [(30_000,)]


def test_raw_blocks_of_all_types_written_and_read_back_are_equal(session: WebSocketSession, client: Client) -> None:
    needs_3x(client)
    modern = client.server.version >= (3, 1)
    columns = {**COLUMNS, **({"vb": "varbinary(16)", "g": "geometry(64)"} if modern else {})}
    create(session, "raw_all", columns)
    create(session, "raw_copy", columns)
    kinds = {"binary": Type.VARCHAR, "nchar": Type.NCHAR, "varbinary": Type.VARBINARY, "geometry": Type.GEOMETRY}
    fields, made = [], []
    rng = np.random.default_rng(5)
    rows = 2000
    for name, kind in columns.items():
        word = kind.split("(")[0]
        type_ = kinds.get(word) or next(t for t, info in TYPES.items() if info.sql == word.upper())
        field = Field(name, type_, int(kind.split("(")[1][:-1]) if "(" in kind else TYPES[type_].width)
        fields.append(field)
        nulls = rng.random(rows) < 0.2
        if name == "ts":
            made.append(FixedColumn(START + np.arange(rows), np.zeros(rows, np.bool_)))
        elif type_ is Type.BOOL:
            made.append(FixedColumn(rng.integers(0, 2, rows).astype("u1"), nulls))
        elif field.info.dtype is not None:
            # Every bit pattern: NaN, infinity and denormal floats too, which no SQL carries.
            raw = rng.bytes(rows * field.info.width)
            special = b"".join(
                struct.pack("<f" if field.info.width == 4 else "<d", v)
                for v in (float("nan"), float("inf"), -float("inf"), -0.0)
            )
            raw = special + raw[len(special) :] if field.info.dtype.kind == "f" else raw
            made.append(FixedColumn(np.frombuffer(raw, field.info.dtype), nulls))
        else:
            pool: list[Any] = ["", "a", "it's", "你好", "😀" * 3, "0123456789abcdef"]
            if type_ is Type.VARCHAR:
                pool += [b"\xff\x00\xfe", b"a\0b"]
            elif type_ is Type.VARBINARY:
                pool = [b"", b"\0", b"\xff" * 16]
            elif type_ is Type.GEOMETRY:
                pool = [struct.pack("<bIdd", 1, 1, x, -x) for x in (0.0, 1.5)]
            picks = rng.integers(0, len(pool), rows)
            values = [None if null else pool[i] for i, null in zip(picks.tolist(), nulls.tolist(), strict=True)]
            made.append(column_from_list(field, values))
    block = Block(tuple(fields), tuple(made), rows)
    write(session, "raw_all", block)
    result = session.query("select * from raw_all")
    assert isinstance(result, WebSocketResult)
    found = list(result.blocks())
    for i, field in enumerate(fields):
        expected = cells(block, i)
        got = [cell for part in found for cell in cells(part, i)]
        assert got == expected, field
    # And on, unopened, into another table.
    result = session.query("select * from raw_all")
    assert isinstance(result, WebSocketResult)
    described = encode_fields(result.fields)
    pending = [session.write_raw_block("raw_copy", raw, described) for raw in result.raw_blocks()]
    for request in pending:
        session.confirm(request, "raw_copy")
    copied = list(session.query("select * from raw_copy").blocks())
    for i, field in enumerate(fields):
        assert [cell for part in copied for cell in cells(part, i)] == cells(block, i), field


def test_blocks_that_the_server_sends_encode_to_the_same_bytes(session: WebSocketSession, client: Client) -> None:
    needs_3x(client)
    create(session, "same")
    session.query("insert into same values " + " ".join(f"({','.join(map(literal, row))})" for row in ROWS))
    result = session.query("select * from same")
    assert isinstance(result, WebSocketResult)
    raws = [bytes(raw) for raw in result.raw_blocks()]
    assert raws
    for raw, block in zip(raws, session.query("select * from same").blocks(), strict=True):
        encoded = encode_block(block)
        # 3.0 sends no closing byte.
        assert encoded[8:][: len(raw) - 8] == raw[8:]
        assert 0 <= len(encoded) - len(raw) <= 1


def test_a_refused_block_says_so_and_the_session_goes_on(session: WebSocketSession, client: Client) -> None:
    needs_3x(client)
    if client.server.version < (3, 1):
        pytest.skip("the adapter of 3.0.5.2 dies of a value that is too long for its column")
    create(session, "refusing", {"ts": "timestamp", "v": "binary(4)"})
    fields = (Field("ts", Type.TIMESTAMP, 8), Field("v", Type.VARCHAR, 8))
    block = Block(
        fields, (column_from_list(fields[0], [START]), column_from_list(fields[1], ["far too long for it"])), 1
    )
    with pytest.raises(TDengineError) as error:
        write(session, "refusing", block)
    assert not error.value.retryable
    with pytest.raises(TableMissing):
        write(session, "not_there", block)
    assert all_rows(session.query("select count(*) from refusing")) == [(0,)]


# --- Sessions and failures


def test_two_sessions_side_by_side(client: Client, database: str) -> None:
    with client.session(database) as one, client.session(database) as two:
        create(one, "shared", {"ts": "timestamp", "v": "int"})

        def insert(session: Session, first: int) -> int:
            return sum(
                session.query(f"insert into shared values ({START + i}, {i})").affected for i in range(first, 200, 2)
            )

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(insert, (one, two), (0, 1))) == [100, 100]
        assert all_rows(one.query("select count(*) from shared")) == all_rows(two.query("select count(*) from shared"))
        one.close()
        assert all_rows(two.query("select count(*) from shared")) == [(200,)]


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_wrong_password(scheme: str, address: Address) -> None:
    with pytest.raises(AuthenticationFailed, match="refuses the account 'root'") as error:
        Client(replace(address, scheme=scheme, password="wrong-word")).session()
    assert "wrong-word" not in str(error.value)
    # 2.4 answers the same while its taosd is away.
    assert error.value.retryable is (error.value.code == 65535)


def test_a_missing_database_and_a_missing_table(client: Client, session: WebSocketSession, rest: RestSession) -> None:
    with pytest.raises(DatabaseMissing, match="There is no database 'ct_not_there' at "):
        client.session("ct_not_there").close()
    for reader in (session, rest):
        with pytest.raises(TableMissing):
            reader.query("select * from not_there")
        with pytest.raises(StatementRejected):
            reader.query("selec 1")
        assert all_rows(reader.query("show tables")) is not None


def test_a_row_outside_of_keep_is_refused_as_a_row(client: Client, database: str) -> None:
    needs_3x(client)
    name = f"{database}_keep"
    client.execute(f"create database {name} keep 30 duration 10")
    try:
        client.execute(f"create table {name}.t (ts timestamp, v int)")
        with pytest.raises(RowRejected):
            client.execute(f"insert into {name}.t values ({START}, 1)")
    finally:
        client.execute(f"drop database {name}")


def test_a_subscription_tells_rows_of_all_types_as_they_were_written(client: Client) -> None:
    needs_3x(client)
    name = f"ct_topic_{os.getpid()}"
    client.execute(f"create database {name} vgroups 2 keep 36500 wal_retention_period 3600")
    try:
        client.execute(client.dialect.create_topic(name, name))
        columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
        client.execute(f"create stable {name}.st ({columns}) tags (g int)")
        values = " ".join(f"({', '.join(literal(value) for value in row)})" for row in ROWS)
        tables = [f"t{number}" for number in range(4)]
        for table in tables:
            client.execute(f"insert into {name}.{table} using {name}.st tags (1) values {values}")
        found: dict[str, list[tuple[Any, ...]]] = {}
        with client.subscription(name, "g") as consumer:
            while sum(map(len, found.values())) < len(tables) * len(ROWS) and (message := consumer.poll(5)):
                for rows in message.rows:
                    found.setdefault(rows.table, []).extend(rows.block().to_rows())
            positions = {each.vgroup: each.position for each in consumer.assignments()}
            consumer.unsubscribe()
        with client.session(name) as session:
            for table in tables:
                expected = all_rows(session.query(f"select * from {table}"))
                if client.server.version < (3, 1):
                    # 3.0 tells an empty text as NULL.
                    expected = [tuple(value if value != "" else None for value in row) for row in expected]
                assert found[table] == expected
        assert len(positions) == 2
    finally:
        client.execute(client.dialect.drop_topic(name))
        client.execute(f"drop database {name}")
