"""HTTP requests to a server, one after the other over a connection that is kept; the protocol is that of `h11`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import h11
from typing_extensions import Self

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.errors import Timeout, UnsupportedServer
from airflow_provider_tdengine.client.stream import (
    MAX_ANSWER,
    Expired,
    Stream,
    at_any_host,
    connection_error,
    open_stream,
)

_MAX_HEAD = 64 * 1024
"""Bytes of an answer's headers."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What was answered.

    Parameters:
        status_code: of HTTP.
        date: its header `Date`, empty where there is none.
        content: the body.
    """

    status_code: int
    date: str
    content: bytes


class HttpConnection:
    """Requests to one server. One thread uses it at a time.

    Parameters:
        address: the server.
    """

    def __init__(self, address: Address) -> None:
        self._address = self._host = address
        self._stream: Stream | None = None
        self._protocol = h11.Connection(h11.CLIENT)

    def connect(self) -> None:
        """Connect, unless there is a connection that the server has not closed meanwhile.

        Raises:
            Timeout: none came about in time.
            ConnectionFailed: none came about.
        """
        if self._stream and self._stream.is_idle:
            self._protocol.start_next_cycle()
            return
        self.close()
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        at_any_host(self._address, self._open)

    def _open(self, host: Address, deadline: float) -> None:
        self._stream, self._host = open_stream(host, deadline), host

    def request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes, timeout: float
    ) -> HttpAnswer:
        """Send a request and take its whole answer; `connect` comes first.

        Parameters:
            method: such as POST.
            target: path and query.
            headers: besides Host and Content-Length.
            body: what is sent.
            timeout: seconds until the answer's last byte.

        Raises:
            Timeout: one of the waits took too long; it is said which.
            ConnectionFailed: the connection was lost, or what came is no HTTP.
            UnsupportedServer: the answer is too large.
        """
        stream = self._stream
        assert stream is not None, "there is no connection yet"
        deadline = time.monotonic() + timeout
        length = [("Content-Length", str(len(body)))] if body else []
        host = ("Host", self._host.netloc.encode("idna").decode())
        request = h11.Request(method=method, target=target, headers=[host, *length, *headers])
        events = (request, h11.Data(body), h11.EndOfMessage())
        wait = f"take a request of {len(body)} bytes"
        is_whole = False
        try:
            stream.send(b"".join(self._protocol.send(event) or b"" for event in events), deadline)
            wait = "answer"
            response, received = self._head(stream, deadline), bytearray()
            wait = "finish its answer"
            while part := self._part(stream, deadline):
                received += part
                if len(received) > MAX_ANSWER:
                    raise UnsupportedServer(
                        f"{self._address} answers with more than {MAX_ANSWER // 2**20} MiB; ask for fewer rows, or "
                        "over WebSocket (ws:// or wss://), where they come in blocks"
                    )
            is_whole = True
        except Expired as error:
            raise Timeout(f"{self._address} did not {wait} within {timeout:g} s") from error
        except (OSError, h11.RemoteProtocolError) as error:
            raise connection_error(self._address, error) from error
        finally:
            if not is_whole or self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
                self.close()
        date = next((value for name, value in response.headers if name == b"date"), b"")
        return HttpAnswer(response.status_code, date.decode("latin-1"), bytes(received))

    def close(self) -> None:
        """End the connection; a request that follows opens another one."""
        if self._stream:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _head(self, stream: Stream, deadline: float) -> h11.Response:
        while True:
            event = self._event(stream, deadline)
            if isinstance(event, h11.Response):
                return event

    def _part(self, stream: Stream, deadline: float) -> bytes | bytearray:
        """The next bytes of the body, none at its end."""
        while True:
            event = self._event(stream, deadline)
            if not isinstance(event, h11.Data):
                return b""
            if event.data:
                return event.data

    def _event(self, stream: Stream, deadline: float) -> object:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(stream.receive(deadline))
        return event
