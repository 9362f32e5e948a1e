"""A server as this package talks to it: which version it is, which ways it offers, and sessions by the best of them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.answers import version_of
from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.channel import PathMissing
from airflow_provider_tdengine.client.dialect import Dialect
from airflow_provider_tdengine.client.errors import SYNTAX_ERROR, ConnectionFailed, TDengineError, UnsupportedServer
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.result import Session, all_rows
from airflow_provider_tdengine.client.subscription import Start, Subscription
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.client.websocket import MAX_MESSAGE, MAX_MESSAGE_24, PATHS, WebSocketSession

log = logging.getLogger(__name__)

OLDEST = (2, 4)
"""2.0 to 2.3 have no taosAdapter; 1.x neither its types nor its SQL."""

# Adapters of 3.0 leave binary queries unanswered; asking them would cost a time-out.
_BINARY_SINCE = (3, 1)

_LONG_MESSAGES_SINCE = (2, 6)


@dataclass(frozen=True, slots=True)
class Server:
    """What a server turned out to be.

    Parameters:
        version_text: as it says it, such as "3.3.3.0.alpha".
        version: as numbers, such as (3, 3, 3, 0).
        websocket_path: where WebSocket sessions begin, None where only REST is to be had.
        binary: whether blocks come in binary frames, without a second request (3.3 and later).
        max_message: bytes of the longest WebSocket message that it takes.
    """

    version_text: str
    version: tuple[int, ...]
    websocket_path: str | None
    binary: bool
    max_message: int


class Client:
    """One server and account. Safe to share between threads; each thread takes its own sessions.

    Nothing is sent before something is asked for; then the server is asked once what it is.

    Parameters:
        address: where the server is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._types: dict[Type, bool] = {}

    @property
    def server(self) -> Server:
        """What the server is.

        Raises:
            UnsupportedServer: older than 2.4, or no TDengine.
            TDengineError: no connection or no login.
        """
        with self._lock:
            if self._server is None:
                self._server = _discover(self.address)
            return self._server

    @property
    def generation(self) -> int:
        """2 or 3."""
        return self.server.version[0]

    @property
    def dialect(self) -> Dialect:
        return Dialect.of(self.server.version)

    def session(self, database: str | None = None) -> Session:
        """A new session, over WebSocket where there is one.

        Parameters:
            database: of statements that name none.

        Raises:
            TDengineError: no connection or no login.
        """
        if self.server.websocket_path:
            return self.websocket_session(database)
        return RestSession(self.address, self.generation, database)

    def websocket_session(self, database: str | None = None) -> WebSocketSession:
        """A new WebSocket session, for blocks.

        Raises:
            ConnectionFailed: the server has no WebSocket, or no connection came about.
        """
        server = self.server
        if server.websocket_path is None:
            raise ConnectionFailed(f"{self.address} serves no WebSocket")
        return WebSocketSession(
            self.address,
            server.websocket_path,
            database,
            binary=server.binary,
            generation=server.version[0],
            max_message=server.max_message,
        )

    def subscription(self, topic: str, group: str, start: Start = Start.EARLIEST) -> Subscription:
        """A new consumer of a topic, see `Subscription`.

        Raises:
            ConnectionFailed: the server has no WebSocket, or no connection came about.
            TDengineError: see `Subscription`.
        """
        if self.server.websocket_path is None:
            raise ConnectionFailed(f"{self.address} serves no WebSocket")
        return Subscription(self.address, topic, group, self.server.version, start)

    def date(self) -> datetime:
        """The moment that an HTTP answer of the server says, cut to the second.

        Raises:
            TDengineError: of the kind of failure.
        """
        with RestSession(self.address, self.generation) as session:
            return session.date()

    def has_type(self, field: Field) -> bool:
        """Whether this server has the type of a column.

        3.x is asked once for each type; what it does not have is a syntax error in CAST (measured 3.0.5.2, 3.3.3.0,
        3.3.5.2). Its version does not tell: a 3.3.5.2 has DECIMAL, and 3.3.5.8 has not.

        Raises:
            TDengineError: no answer.
        """
        if self.generation == 2:
            return field.type <= Type.JSON
        if field.type not in self._types:
            try:
                self.rows(f"SELECT CAST(NULL AS {field.sql_type})")
                self._types[field.type] = True
            except TDengineError as error:
                if error.retryable:
                    raise
                self._types[field.type] = error.code != SYNTAX_ERROR
        return self._types[field.type]

    def rows(self, statement: str) -> list[tuple[Value, ...]]:
        """All rows of a statement whose answer is small, in a session of its own."""
        with self.session() as session:
            return all_rows(session.query(statement))

    def execute(self, statement: str) -> int:
        """Run a statement in a session of its own.

        Returns:
            Rows that it changed.
        """
        with self.session() as session:
            return session.query(statement).affected


def _discover(address: Address) -> Server:
    # A database that is missing is not the server's failure; whoever opens a session for it hears of it.
    session, path = _first_session(replace(address, database=None))
    with session:
        rows = all_rows(session.query("select server_version()"))
        text = str(rows[0][0]) if rows else ""
        version = version_of(text)
        if not version:
            raise UnsupportedServer(f"{address} does not say which version of TDengine it is")
        if version < OLDEST:
            raise UnsupportedServer(
                f"{address} is TDengine {text}; this provider needs 2.4 or later "
                "(upgrade that server to 2.4 or 2.6 first, which keeps its data files)"
            )
        binary = isinstance(session, WebSocketSession) and version >= _BINARY_SINCE and session.supports_binary()
    way = "REST" if path is None else f"WebSocket {path}" + (", binary frames" if binary else ", fetch in two steps")
    log.info("%s is TDengine %s, over %s", address, text, way)
    max_message = MAX_MESSAGE_24 if version < _LONG_MESSAGES_SINCE else MAX_MESSAGE
    return Server(text, version, path, binary, max_message)


def _first_session(address: Address) -> tuple[Session, str | None]:
    """A session of a server of which nothing is known yet, and its WebSocket path."""
    for path in PATHS if address.is_websocket else ():
        try:
            return WebSocketSession(address, path), path
        except PathMissing:
            continue
    if address.is_websocket:
        log.warning("%s serves no WebSocket; going on over REST, which is slower", address)
    return RestSession(address), None
