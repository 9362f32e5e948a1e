"""TDengine in a box: the server, its thread, and what tests and demos do with it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType

from aiohttp import web

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.testing.engine import Engine
from airflow_provider_tdengine.testing.faults import Faults
from airflow_provider_tdengine.testing.stored import Session
from airflow_provider_tdengine.testing.wire import RestInterface, SubscriptionInterface, WebSocketInterface

_START_SECONDS = 10


class TDengineBox:
    """A TDengine server in this process.

    Parameters:
        version: such as "2.4.0.18" or "3.3.3.0"; the first number says which generation it speaks.
        host: the address to listen on.
        port: the port to listen on, 0 for any free one.
        password: of the user root.
        token: accepted as `?token=` in REST and WebSocket addresses, as TDengine cloud does.
        block_rows: rows of a block over WebSocket, at most.
        community: a community edition of 3.x, which lists privileges and checks none.
        ssl_context: of the server; with it the box speaks TLS only.

    Attributes:
        faults: what is to go wrong.
    """

    def __init__(
        self,
        version: str = "3.3.3.0",
        host: str = "127.0.0.1",
        port: int = 0,
        password: str = "taosdata",
        token: str | None = None,
        block_rows: int = 4096,
        ssl_context: ssl.SSLContext | None = None,
        community: bool = False,
    ) -> None:
        self.version = version
        self.host = host
        self.port = port
        self.faults = Faults()
        self._engine = Engine(version, password, checked=not community, ahead=lambda: self.faults.clock)
        self._ssl = ssl_context
        self._interfaces = (
            RestInterface(self._engine, self.faults, token),
            WebSocketInterface(self._engine, self.faults, token, block_rows),
            SubscriptionInterface(self._engine, self.faults),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None

    # --- Life

    def __enter__(self) -> TDengineBox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after `stop`, on the same port and with the same data.

        Raises:
            OSError: the port is taken.
        """
        if self._thread is not None:
            return
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name=f"TDengine {self.version} in a box", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            asyncio.run_coroutine_threadsafe(self.listen(), loop).result(_START_SECONDS)
        except OSError:
            self._end_thread()
            raise

    def stop(self) -> None:
        """Go away: cut all connections and close the port. The data stays."""
        if self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self.close(), self._loop).result(_START_SECONDS)
        self._end_thread()

    def _end_thread(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SECONDS)
        self._loop.close()
        self._loop = self._thread = None

    async def listen(self) -> None:
        """Listen in the event loop that is running, for programs that have their own."""
        application = web.Application(client_max_size=0)
        for interface in self._interfaces:
            application.add_routes(interface.routes())
        self._runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self._ssl, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening, and cut all connections."""
        if self._runner is None:
            return
        server = self._runner.server
        for connection in list(server.connections) if server is not None else []:
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()
        self._runner = None

    # --- Use

    @property
    def url(self) -> str:
        """Where the box is, such as http://127.0.0.1:54321."""
        scheme = "http" if self._ssl is None else "https"
        return f"{scheme}://{self.host}:{self.port}"

    def execute(self, sql: str, database: str | None = None, user: str = "root") -> list[tuple[Value, ...]]:
        """Carry out a statement directly, without a connection and without faults.

        Parameters:
            sql: the statement.
            database: what names without a database mean.
            user: who it is carried out for.

        Returns:
            The rows, timestamps as integers; the number of affected rows for a statement without rows.

        Raises:
            BoxError: what the server says instead.
        """
        answer = self._engine.execute(sql, Session(user, database))
        return [(answer,)] if isinstance(answer, int) else list(answer.block.to_rows())

    def forget_log(self, database: str) -> None:
        """Let a database's subscribers find its logs empty, as if all were older than WAL_RETENTION_PERIOD.

        Parameters:
            database: its name.

        Raises:
            KeyError: there is no such database.
        """
        store = self._engine.store
        with self._engine.lock:
            for log in store.logs(store.databases[database]):
                log.forget()

    @property
    def statements(self) -> list[str]:
        """The statements that ran, at least the latest 50,000; `clear()` forgets them."""
        return self._engine.statements

    @property
    def rows_read(self) -> int:
        """Rows that clients fetched as they stand in tables; no counts, names or settings."""
        return self._engine.rows_read

    @property
    def rows_written(self) -> int:
        """Rows that were accepted, over and again if they came again."""
        return self._engine.rows_written
