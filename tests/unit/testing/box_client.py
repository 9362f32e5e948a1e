"""A client of nothing but the protocol, so that tests of the box lean on no other part of the package."""

from __future__ import annotations

import json
import struct
from types import TracebackType
from typing import Any

import httpx
from websockets.sync.client import connect

from airflow_provider_tdengine.client.block import (
    Block,
    Value,
    column_from_list,
    decode_block,
    decode_block2,
    encode_block,
    encode_fields,
)
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing import TDengineBox

ROOT = ("root", "taosdata")

# Making a client takes longer than any statement; without kept connections, none is left of a box that is gone.
PLAIN = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))


def rest(
    box: TDengineBox, sql: str, path: str = "sql", auth: tuple[str, str] | None = ROOT, **options: Any
) -> dict[str, Any]:
    """The answer to a statement over REST."""
    post = httpx.post if "verify" in options or box.url.startswith("https") else PLAIN.post
    answer: dict[str, Any] = post(f"{box.url}/rest/{path}", content=sql.encode(), auth=auth, **options).json()
    return answer


class Socket:
    """A WebSocket session that is logged in."""

    def __init__(self, box: TDengineBox, db: str = "", user: str = "root", password: str = "taosdata") -> None:
        self.is_2 = box.version.startswith("2")
        self.socket = connect(box.url.replace("http", "ws") + "/rest/ws", max_size=None, compression=None)
        self.login = self.ask("conn", user=user, password=password, db=db)

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        self.socket.send(json.dumps({"action": action, "args": {"req_id": 1, **arguments}}))
        answer: dict[str, Any] = json.loads(self.socket.recv(timeout=10))
        return answer

    def block(self, number: int) -> bytes:
        self.socket.send(json.dumps({"action": "fetch_block", "args": {"req_id": 1, "id": number}}))
        answer = self.socket.recv(timeout=10)
        assert isinstance(answer, bytes)
        return answer[8:] if self.is_2 else answer[16:]

    def blocks(self, sql: str) -> list[Block]:
        """All blocks of a result, fetched in text messages."""
        head = self.ask("query", sql=sql)
        assert head["code"] == 0, head
        described = zip(head["fields_names"], head["fields_types"], head["fields_lengths"], strict=True)
        fields = [Field(name, Type(kind), length) for name, kind, length in described]
        blocks = []
        while not (next_block := self.ask("fetch", id=head["id"]))["completed"]:
            raw = self.block(head["id"])
            if self.is_2:
                blocks.append(decode_block2(raw, fields, next_block["lengths"], next_block["rows"]))
            else:
                blocks.append(decode_block(raw, [field.name for field in fields]))
        return blocks

    def rows(self, sql: str) -> list[tuple[Value, ...]]:
        return [row for block in self.blocks(sql) for row in block.to_rows()]

    def binary(self, message: bytes) -> bytes | dict[str, Any]:
        self.socket.send(message)
        answer = self.socket.recv(timeout=10)
        return answer if isinstance(answer, bytes) else json.loads(answer)

    def write(self, table: str, block: Block) -> dict[str, Any]:
        """write_raw_block_with_fields."""
        name = table.encode()
        head = struct.pack("<QQQiH", 7, 0, 5, block.rows, len(name))
        answer = self.binary(head + name + encode_block(block) + encode_fields(block.fields))
        assert isinstance(answer, dict)
        return answer


# --- Blocks to write

TS = Field("ts", Type.TIMESTAMP, 8)


def block_of(*columns: tuple[Field, list[object]]) -> Block:
    fields = tuple(field for field, _ in columns)
    made = tuple(column_from_list(field, values) for field, values in columns)  # type: ignore[arg-type]
    return Block(fields, made, len(columns[0][1]))
