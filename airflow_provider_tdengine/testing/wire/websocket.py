"""The WebSocket interface: sessions that log in, query, fetch blocks and write blocks."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import WSMsgType, web

from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.testing.engine import Engine
from airflow_provider_tdengine.testing.faults import Faults
from airflow_provider_tdengine.testing.generations import BoxError
from airflow_provider_tdengine.testing.queries import Result
from airflow_provider_tdengine.testing.stored import Session
from airflow_provider_tdengine.testing.wire.answers import as_utf8, block_bytes, wire_widths

Json: TypeAlias = dict[str, object]
Answer: TypeAlias = Json | bytes | None

_HEAD = struct.Struct("<QQQ")
_QUERY = struct.Struct("<HI")
_WRITE = struct.Struct("<iH")
_RAW_ANSWER = struct.Struct("<QQHQQI")
_NO_NUMBER = (1 << 64) - 1

_WRITE_RAW_BLOCK, _WRITE_WITH_FIELDS, _BINARY_QUERY, _FETCH_RAW_BLOCK = 4, 5, 6, 7


class _CutError(Exception):
    """The connection is to be cut instead of an answer."""


@dataclass
class _Cursor:
    """A result and how much of it has been fetched.

    Parameters:
        result: the rows.
        position: the first row that has not been announced yet.
        size: rows of the block that was announced last.
    """

    result: Result
    position: int = 0
    size: int = 0

    def announce(self, rows: int) -> int:
        """Go on to the next block, of at most `rows` rows; 0 at the end."""
        self.position += self.size
        self.size = min(rows, self.result.block.rows - self.position)
        return self.size


class WebSocketInterface:
    """WebSockets over one engine.

    Parameters:
        engine: carries out statements.
        faults: what is to go wrong.
        token: accepted as `?token=` in addresses, None for no token.
        block_rows: rows of a block, at most.
    """

    def __init__(self, engine: Engine, faults: Faults, token: str | None, block_rows: int) -> None:
        self.engine = engine
        self.faults = faults
        self.token = token
        self.block_rows = block_rows

    def routes(self) -> list[web.RouteDef]:
        """What the interface answers to."""
        return [web.get(path, self.serve) for path in self.engine.generation.websocket_paths]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One session, until it is closed or cut."""
        if status := self.faults.refusal():
            return web.Response(status=status)
        socket = web.WebSocketResponse(max_msg_size=self.engine.generation.max_message, compress=False)
        session = _Session(self, self.token is not None and request.query.get("token") == self.token)
        pending: set[asyncio.Task[None]] = set()
        try:
            await socket.prepare(request)
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                answer = session.answer(message.data)
                if self.faults.seconds:
                    task = asyncio.create_task(_send_later(socket, answer, self.faults.seconds))
                    pending.add(task)
                    task.add_done_callback(pending.discard)
                else:
                    await _send(socket, answer)
        except _CutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # The client has gone; there is nobody left to tell.
        finally:
            for task in pending:
                task.cancel()
        return socket


async def _send(socket: web.WebSocketResponse, answer: Answer) -> None:
    if isinstance(answer, bytes):
        await socket.send_bytes(answer)
    elif answer is not None:
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        await socket.send_str(as_utf8(text).decode())


async def _send_later(socket: web.WebSocketResponse, answer: Answer, seconds: float) -> None:
    await asyncio.sleep(seconds)
    if not socket.closed:
        await _send(socket, answer)


class _Session:
    """What one client has asked for so far."""

    def __init__(self, interface: WebSocketInterface, by_token: bool) -> None:
        self.interface = interface
        self.engine = interface.engine
        self.generation = interface.engine.generation
        self.by_token = by_token
        self.session: Session | None = None
        self.cursors: dict[int, _Cursor] = {}
        self.last_id = 0
        self.started = 0

    # --- Messages in, answers out

    def answer(self, message: str | bytes) -> Answer:
        self.started = time.perf_counter_ns()
        if isinstance(message, bytes):
            return self.binary(message) if self.generation.binary_messages else None
        try:
            request = json.loads(message)
            action, arguments = str(request["action"]), request.get("args") or {}
        except (json.JSONDecodeError, KeyError, TypeError):
            return self.failure("", 0, BoxError(0xFFFF, "the message is no JSON with an action"))
        return self.text(action, arguments)

    def text(self, action: str, arguments: Json) -> Answer:
        actions: dict[str, Callable[[Json], Answer]] = {
            "conn": self.connect,
            "query": lambda given: self.query("query", _number(given, "req_id"), _text(given, "sql")),
            "fetch": self.fetch,
            "fetch_block": self.fetch_block,
            "free_result": self.free_result,
        }
        if self.generation.binary_messages:
            actions["version"] = self.version
        request = _number(arguments, "req_id")
        if action not in actions:
            if not self.generation.binary_messages:
                return None
            return self.failure(action, request, BoxError(0xFFFF, f"unknown action {action}"))
        try:
            return actions[action](arguments)
        except BoxError as error:
            return self.failure(action, request, error)

    def head(self, action: str, request: int, code: int = 0, message: str = "") -> Json:
        """What every answer in JSON begins with."""
        head: Json = {"code": code, "message": message, "action": action, "req_id": request}
        if self.generation.number > 2:
            head["timing"] = self.timing()
        return head

    def timing(self) -> int:
        return time.perf_counter_ns() - self.started

    def failure(self, action: str, request: int, error: BoxError) -> Json:
        return self.head(action, request, error.code, error.message)

    # --- Text messages

    def version(self, arguments: Json) -> Json:
        return {**self.head("version", _number(arguments, "req_id")), "version": self.engine.store.version}

    def connect(self, arguments: Json) -> Json:
        # A token is worth more than what the message says about user and password.
        user = "root" if self.by_token else str(arguments.get("user", ""))
        database = arguments.get("db")
        if not self.by_token:
            self.engine.store.accounts.login(user, str(arguments.get("password", "")))
        if database and database not in self.engine.store.databases:
            raise self.generation.errors("database_missing")
        self.session = Session(user, str(database) if database else None)
        return self.head("conn", _number(arguments, "req_id"))

    def connected(self) -> Session:
        if self.session is None:
            raise self.generation.errors("not_connected")
        return self.session

    def query(self, action: str, request: int, sql: str) -> Json:
        session = self.connected()
        self.interface.faults.check(sql)
        answer = self.engine.receive(sql, session)
        is_update = isinstance(answer, int)
        fields = () if isinstance(answer, int) else answer.block.fields
        if not isinstance(answer, int):
            self.last_id += 1
            self.cursors[self.last_id] = _Cursor(answer)
        return {
            **self.head(action, request),
            "id": 0 if is_update else self.last_id,
            "is_update": is_update,
            "affected_rows": answer if is_update else 0,
            "fields_count": len(fields),
            "fields_names": None if is_update else [field.name for field in fields],
            "fields_types": None if is_update else [int(field.type) for field in fields],
            "fields_lengths": None if is_update else [field.length for field in fields],
            "precision": 0 if isinstance(answer, int) else answer.precision.number,
            **(self.decimals(fields, is_update) if self.generation.describes_decimals else {}),
        }

    @staticmethod
    def decimals(fields: Sequence[Field], is_update: bool) -> Json:
        """What is 0 for all but DECIMAL."""
        return {
            "fields_precisions": None if is_update else [field.digits for field in fields],
            "fields_scales": None if is_update else [field.scale for field in fields],
        }

    def cursor(self, number: int) -> _Cursor:
        if number not in self.cursors:
            raise self.generation.errors("no_result", id=number)
        return self.cursors[number]

    def fetch(self, arguments: Json) -> Json:
        number = _number(arguments, "id")
        cursor = self.cursor(number)
        rows = cursor.announce(self.interface.block_rows)
        if not rows:
            del self.cursors[number]
        return {
            **self.head("fetch", _number(arguments, "req_id")),
            "id": number,
            "completed": not rows,
            "lengths": wire_widths(cursor.result.block.fields, self.generation) if rows else None,
            "rows": rows,
        }

    def fetch_block(self, arguments: Json) -> bytes:
        number = _number(arguments, "id")
        block = self.block(self.cursor(number))
        timing = b"" if self.generation.number == 2 else struct.pack("<Q", self.timing())
        return timing + struct.pack("<Q", number) + block

    def block(self, cursor: _Cursor) -> bytes:
        """The block that was announced."""
        self.count_block()
        rows = slice(cursor.position, cursor.position + cursor.size)
        if cursor.result.is_data:
            self.engine.handed_out(cursor.size)
        return block_bytes(cursor.result.block.take(rows), self.generation)

    def count_block(self) -> None:
        if self.interface.faults.block_is_cut():
            raise _CutError

    def free_result(self, arguments: Json) -> None:
        """Real servers do not answer this one."""
        self.cursors.pop(_number(arguments, "id"), None)

    # --- Binary messages

    def binary(self, message: bytes) -> Answer:
        names = {
            _WRITE_RAW_BLOCK: "write_raw_block",
            _WRITE_WITH_FIELDS: "write_raw_block_with_fields",
            _BINARY_QUERY: "binary_query",
        }
        request, number, action = _HEAD.unpack_from(message.ljust(_HEAD.size, b"\0"))
        if action == _FETCH_RAW_BLOCK:
            return self.fetch_raw_block(request, number)
        name = names.get(action, "")
        try:
            if not name:
                raise BoxError(0xFFFF, f"unknown binary action {action}")
            body = message[_HEAD.size :]
            if action == _BINARY_QUERY:
                return self.binary_query(request, body)
            self.write(body, action == _WRITE_WITH_FIELDS)
            return self.head(name, request)
        except BoxError as error:
            return self.failure(name, request, error)
        except struct.error:
            return self.failure(name, request, BoxError(0xFFFF, "the message ends too early"))

    def binary_query(self, request: int, body: bytes) -> Json:
        _, length = _QUERY.unpack_from(body)
        sql = body[_QUERY.size : _QUERY.size + length].decode("utf-8", "surrogateescape")
        return self.query("binary_query", request, sql)

    def write(self, body: bytes, with_fields: bool) -> None:
        session = self.connected()
        rows, size = _WRITE.unpack_from(body)
        start = _WRITE.size + size
        table = body[_WRITE.size : start].decode("utf-8", "replace")
        (length,) = struct.unpack_from("<i", body, start + 4)
        block, fields = body[start : start + length], body[start + length :]
        if struct.unpack_from("<i", block, 8)[0] != rows:
            raise self.generation.errors("bad_block", why=f"the block has not the {rows} rows of its message")
        self.interface.faults.check(f"write_raw_block {table}")
        self.engine.write_block(session, table, block, fields if with_fields else None)
        self.count_block()

    def fetch_raw_block(self, request: int, number: int) -> bytes:
        try:
            cursor = self.cursor(number)
        except BoxError as error:
            return self.raw_answer(request, number, error.code, error.message, finished=True)
        if not cursor.announce(self.interface.block_rows):
            del self.cursors[number]
            return self.raw_answer(request, number, 0, "", finished=True)
        block = self.block(cursor)
        answer = self.raw_answer(request, number, 0, "", finished=False)
        return answer + struct.pack("<I", len(block)) + block

    def raw_answer(self, request: int, number: int, code: int, message: str, finished: bool) -> bytes:
        text = message.encode()
        head = _RAW_ANSWER.pack(_NO_NUMBER, _FETCH_RAW_BLOCK, 1, self.timing(), request, code)
        return head + struct.pack("<I", len(text)) + text + struct.pack("<QB", number, finished)


def _text(arguments: Json, name: str) -> str:
    """A text of a message; JSON can say half a character, which no server takes."""
    return str(arguments.get(name, "")).encode("utf-8", "replace").decode()


def _number(arguments: Json, name: str) -> int:
    value = arguments.get(name)
    return value if isinstance(value, int) else 0
