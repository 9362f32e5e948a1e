"""A taosAdapter's WebSocket sessions: queries, blocks, and raw blocks written.

All facts measured on 2.4.0.18, 2.6.0.66, 3.0.5.2 and 3.3.3.0 (`tests/contract/`).
"""

from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from airflow_provider_tdengine.client.address import APP, CONNECTOR, Address, login_refused
from airflow_provider_tdengine.client.answers import (
    Answer,
    block_of_3x,
    fetched_block,
    precision_of,
    queried_columns,
    raise_if_failed,
)
from airflow_provider_tdengine.client.block import (
    Block,
    decode_block,
    decode_block2,
    encode_block,
    encode_fields,
    has_no_characters,
    raw_rows,
)
from airflow_provider_tdengine.client.errors import (
    AuthenticationFailed,
    BlockError,
    ConnectionFailed,
    DatabaseMissing,
    RowRejected,
    StatementRejected,
    TDengineError,
    Timeout,
)
from airflow_provider_tdengine.client.exchange import UNNUMBERED, Exchange
from airflow_provider_tdengine.client.http import HttpConnection
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.result import Result
from airflow_provider_tdengine.client.stream import Expired

log = logging.getLogger(__name__)

PATHS = ("/ws", "/rest/ws")
"""Where sessions begin: 3.3 and later, and 2.4 to 3.0 (which answer 404 to the first)."""

MAX_MESSAGE = 4 * 1024 * 1024 - 1024
"""An adapter of 3.0 closes the socket on a longer message."""

MAX_MESSAGE_24 = 512
"""The same for an adapter of 2.4 (measured 2.4.0.18), which leaves some 400 bytes for a statement."""

_QUERY = struct.Struct("<HI")
_FETCH = struct.Struct("<H")
_WRITE = struct.Struct("<iH")

_WRITE_RAW_BLOCK_WITH_FIELDS = 5
_BINARY_QUERY = 6
_FETCH_RAW_BLOCK = 7
_VERSION = 1

# Seconds in which an adapter that is there answers a request that needs no session.
_SIGN_OF_LIFE = 3.0

_PROXY_FAILED = 500

_NEXT_BLOCK = "send the next block"
_MAX_ID = (1 << 64) - 1

# What a text frame has around a statement, with room for a long request number.
_ENVELOPE = 120


class WebSocketSession(Exchange):
    """A logged-in session; one thread uses it at a time.

    Parameters:
        address: the server and account.
        path: one of `PATHS`.
        database: the database of statements and of written blocks.
        binary: whether queries and blocks go in binary frames, which 3.3 and later answer.
        generation: 2 or 3, for longer statements, which go over REST.
        max_message: bytes of the longest message that the adapter takes.

    Raises:
        PathMissing: no WebSocket at this path.
        AuthenticationFailed: wrong user, password or token.
        ConnectionFailed: nobody there, or the login is not answered.
    """

    def __init__(
        self,
        address: Address,
        path: str,
        database: str | None = None,
        *,
        binary: bool = False,
        generation: int = 3,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        # Adapters with binary frames work on messages side by side; older ones see a ping when they have answered.
        super().__init__(address, path, pings=binary)
        self._binary = binary
        self._max_message = max_message
        # What UTF-8 makes of a character at most, and JSON.
        self._most_bytes = 4 if binary else 6
        self._open_rest = partial(RestSession, address, generation, database)
        self._long_statements: RestSession | None = None
        self._unconfirmed: dict[int, bytes | memoryview] = {}
        self.database = database = database or address.database
        try:
            login = self._send_text("conn", **address.login(), db=database or "", app=APP, connector=CONNECTOR)
            self._take_answer(login, None, "answer the login")
        except Timeout as error:
            raise self._login_unanswered(error) from error
        except AuthenticationFailed as error:
            self.close()
            raise login_refused(address, error) from error
        except DatabaseMissing as error:
            self.close()
            raise DatabaseMissing(f"There is no database {database!r} at {address}", code=error.code) from error
        except BaseException:
            self.close()
            raise
        self._timeout = address.timeout

    def _login_unanswered(self, error: Timeout) -> Timeout:
        """The same time-out, saying whether it is the adapter's pool, which lets nobody in while it answers others."""
        try:
            with HttpConnection(replace(self._address, connect_timeout=_SIGN_OF_LIFE)) as http:
                http.connect()
                status = http.request("GET", "/-/ping", (), b"", _SIGN_OF_LIFE).status_code
        except TDengineError:
            return error
        if status >= _PROXY_FAILED:
            return error
        return Timeout(
            f"{error.message}, though it answers other requests: it is overloaded or its connection pool is used up; "
            "use fewer workers or mapped tasks, or raise the pool"
        )

    @property
    def bytes_sent(self) -> int:
        """Bytes of all messages so far, and of statements that went over REST."""
        return self._bytes_sent + (self._long_statements.bytes_sent if self._long_statements else 0)

    # --- Statements

    def query(self, statement: str) -> Result:
        """Send a statement; its rows are read through the result.

        Raises:
            TDengineError: of the kind of failure.
        """
        return self.start(statement)()

    def start(self, statement: str) -> Callable[[], Result]:
        """Send a statement whose answer is taken later; an adapter may work on several at a time.

        Returns:
            What waits for the answer, and raises what `query` would.

        Raises:
            TDengineError: the statement could not be sent.
        """
        if not self.streams(statement):
            return self._rest().start(statement)
        if self._binary:
            raw = statement.encode("utf-8", "surrogateescape")
            request = self._send_binary(0, _BINARY_QUERY, _QUERY.pack(_VERSION, len(raw)) + raw)
        else:
            request = self._send_text("query", sql=statement)
        return lambda: WebSocketResult(self, self._take_answer(request, statement), statement)

    def streams(self, statement: str) -> bool:
        """Whether a statement's answer comes block by block; a statement that is too long goes over REST."""
        return not self._is_too_long(statement) and (self._binary or _is_utf8(statement))

    def _is_too_long(self, statement: str) -> bool:
        # Nearly every statement is far below.
        if len(statement) * self._most_bytes + _ENVELOPE <= self._max_message:
            return False
        encoded = statement if self._binary else json.dumps(statement, ensure_ascii=False)
        return len(encoded.encode("utf-8", "surrogateescape")) + _ENVELOPE > self._max_message

    def _rest(self) -> RestSession:
        if self._long_statements is None:
            log.info(
                "%s takes WebSocket messages of UTF-8 and %d bytes; other statements go over REST",
                self._address,
                self._max_message,
            )
            self._long_statements = self._open_rest()
        return self._long_statements

    def supports_binary(self, timeout: float = 3.0) -> bool:
        """Whether the adapter answers a query in a binary frame; those before 3.3 stay silent, or close the session.

        Parameters:
            timeout: seconds after which silence is a no.
        """
        raw = b"select 1"
        try:
            request = self._send_binary(0, _BINARY_QUERY, _QUERY.pack(_VERSION, len(raw)) + raw)
            answer = self._receive(time.monotonic() + timeout, request)
            if isinstance(answer, Answer) and not answer.whole("code") and (result := answer.whole("id")):
                self.free(result)
                return True
        except (ConnectionFailed, Expired):
            log.debug("%s knows no binary queries", self._address, exc_info=True)
        return False

    def ask(self, action: str, **arguments: object) -> Answer:
        """One text request and its answer.

        Raises:
            TDengineError: the answer is an error, or there is none.
        """
        return self._take_answer(self._send_text(action, **arguments), None)

    def free(self, result: int) -> None:
        """Let go of a result that is not read to its end; adapters do not answer this."""
        self._send_text("free_result", id=result)

    # --- Blocks written

    def write_block(self, table: str, block: Block) -> list[int]:
        """Send rows for a table of the session's database, in as many messages as needed.

        Returns:
            The requests whose confirmations `confirm` must check.

        Raises:
            RowRejected: one row alone is longer than a message may be.
            BlockError: a row cannot be encoded.
            ConnectionFailed: the socket is gone.
        """
        raw, fields = encode_block(block), encode_fields(block.fields)
        # Adapters with binary frames take messages of any length (by their code, 3.3.2.10 to 3.4.1.12).
        if len(raw) + len(fields) <= MAX_MESSAGE or (block.rows < 2 and self._binary):
            return [self.write_raw_block(table, raw, fields)]
        if block.rows < 2:
            raise RowRejected(f"A row of table {table!r} has {len(raw)} bytes, more than a message may have")
        half = block.rows // 2
        return self.write_block(table, block.take(slice(0, half))) + self.write_block(
            table, block.take(slice(half, None))
        )

    def write_raw_block(self, table: str, raw: bytes | memoryview, fields: bytes) -> int:
        """Send a block of 3.x as it is. The server checks neither precision nor, at equal width, types.

        Parameters:
            table: bare name of a table in the session's database.
            raw: the block.
            fields: its columns as `encode_fields` gives them.

        Returns:
            The request whose confirmation `confirm` must check.
        """
        name = table.encode()
        body = b"".join((_WRITE.pack(raw_rows(raw), len(name)), name, raw, fields))
        request = self._send_binary(0, _WRITE_RAW_BLOCK_WITH_FIELDS, body)
        self._unconfirmed[request] = raw
        return request

    def confirm(self, request: int, table: str) -> None:
        """Wait until a written block is confirmed.

        Raises:
            RowRejected: the server does not accept a value; or the block, which has NCHAR that are no characters. Later
                versions do not take these, by their documents, and say so in ways that were not measured.
            TDengineError: the server refused it.
        """
        raw = self._unconfirmed.pop(request)
        try:
            self._take_answer(request, f"write_raw_block_with_fields({table})", "confirm a block")
        except StatementRejected as error:
            if not has_no_characters(raw):
                raise
            raise RowRejected(error.message, code=error.code, statement=error.statement) from error

    # --- Blocks fetched, for WebSocketResult

    def start_fetch(self, result: int) -> int:
        """Ask for the next block; at most one at a time of a result."""
        if self._binary:
            return self._send_binary(result, _FETCH_RAW_BLOCK, _FETCH.pack(_VERSION))
        return self._send_text("fetch", id=result)

    def finish_fetch(self, request: int, result: int, statement: str) -> tuple[Answer | None, memoryview] | None:
        """What `start_fetch` asked for, None at the end of the result.

        Returns:
            The answer that announced the block (None for binary frames), and the block.
        """
        announced = None
        if not self._binary:
            announced = self._take_answer(request, statement, _NEXT_BLOCK)
            if announced.flag("completed"):
                return None
            answer = self._await(statement, _NEXT_BLOCK, UNNUMBERED, self._send_text("fetch_block", id=result))
        else:
            answer = self._await(statement, _NEXT_BLOCK, request)
        if isinstance(answer, Answer):
            # A block has no text: this is an error.
            raise_if_failed(answer, statement)
            raise self._not_an_adapter()
        if announced is None:
            block = fetched_block(answer, statement)
            return None if block is None else (None, block)
        return announced, answer

    def close(self) -> None:
        if self._long_statements:
            self._long_statements.close()
        super().close()


class WebSocketResult:
    """The answer to a statement, its rows still at the server.

    Parameters:
        session: where the rows are fetched.
        answer: the answer to the query.
        statement: for errors.
    """

    def __init__(self, session: WebSocketSession, answer: Answer, statement: str) -> None:
        self._session = session
        self._id = answer.whole("id", most=_MAX_ID)
        self._statement = statement
        self.affected = answer.whole("affected_rows")
        self.fields = () if answer.flag("is_update") else queried_columns(answer)
        self.precision = precision_of(answer)

    def blocks(self) -> Iterator[Block]:
        """The rows, block by block; the next block is on its way while one is used.

        Raises:
            TDengineError: the server failed midway, or the connection.
        """
        names, types = [field.name for field in self.fields], [field.type for field in self.fields]
        for announced, message in self._fetched():
            raw = self._block_of_3x(announced, message)
            if raw is not None:
                block = decode_block(raw, names)
                if [field.type for field in block.fields] != types:
                    raise BlockError("a block arrived whose columns are not its result's", statement=self._statement)
                yield block
            elif announced is not None:
                yield self._decode_2x(announced, message)

    def raw_blocks(self) -> Iterator[memoryview]:
        """The blocks of a 3.x server unopened, as `write_raw_block` takes them.

        Raises:
            TDengineError: the server failed midway, or the connection.
        """
        for announced, message in self._fetched():
            raw = self._block_of_3x(announced, message)
            if raw is None:
                raise self._not_its_block()
            yield raw

    def _block_of_3x(self, announced: Answer | None, message: memoryview) -> memoryview | None:
        """A block without what the adapter puts before it; None where it is no block of 3.x."""
        return message if announced is None else block_of_3x(announced, message, self._id, len(self.fields))

    def _decode_2x(self, announced: Answer, message: memoryview) -> Block:
        if int.from_bytes(message[:8], "little") != self._id:
            raise self._not_its_block()
        return decode_block2(message[8:], self.fields, announced.wholes("lengths"), announced.whole("rows"))

    def _not_its_block(self) -> BlockError:
        return BlockError("a block arrived that is cut or belongs to another result", statement=self._statement)

    def _fetched(self) -> Iterator[tuple[Answer | None, memoryview]]:
        if not self.fields:
            return
        pending = self._session.start_fetch(self._id)
        while fetched := self._session.finish_fetch(pending, self._id, self._statement):
            pending = self._session.start_fetch(self._id)
            try:
                yield fetched
            except GeneratorExit:
                self._let_go(pending)
                raise

    def _let_go(self, pending: int) -> None:
        """Leave a result before its end: the fetch in flight is taken, then the result is freed."""
        try:
            if self._session.finish_fetch(pending, self._id, self._statement) is not None:
                self._session.free(self._id)
        except TDengineError:
            # The session is no longer usable; whoever uses it next hears why.
            log.debug("a result was left before its end, on a session that had failed", exc_info=True)


def _is_utf8(statement: str) -> bool:
    """Whether a text frame carries a statement as it is; adapters put U+FFFD for bytes that are not UTF-8."""
    try:
        statement.encode()
    except UnicodeEncodeError:
        return False
    return True
