"""WebSocket messages to and from a server: the protocol of `websockets`, driven by the thread that uses it.

Nothing is read behind the user's back while a channel is in use, so that each wait ends when it should, whatever the
peer does. Between uses a channel is looked after now and then, since adapters end sessions that do not answer pings.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from functools import partial

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, PayloadTooBig
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from airflow_provider_tdengine.client.address import Address, login_refused
from airflow_provider_tdengine.client.errors import (
    AddressError,
    AuthenticationFailed,
    ConnectionFailed,
    ServerBusy,
    TDengineError,
    Timeout,
    UnsupportedServer,
)
from airflow_provider_tdengine.client.stream import (
    MAX_ANSWER,
    SILENCE,
    Expired,
    at_any_host,
    closed,
    connection_error,
    open_stream,
)

CLOSING = 1.0
"""Seconds for a goodbye, as a whole."""

_PING_AFTER = SILENCE / 3

_TEND_EVERY = 2.0
"""Seconds; adapters before 3.3 ping after 54 and end a session that has not answered 6 later (measured)."""

_TENDING = 0.002

# websockets logs whole frames on its own logger when that is set to DEBUG; they hold passwords.
_QUIET = logging.getLogger(f"{__name__}.frames")
_QUIET.setLevel(logging.CRITICAL)
_QUIET.propagate = False
_QUIET.addHandler(logging.NullHandler())


class PathMissing(ConnectionFailed):
    """The address answers, but serves no WebSocket at this path."""

    retryable = False


class Channel:
    """A WebSocket that is open. One thread uses it at a time.

    Parameters:
        address: the server.
        path: where it serves WebSockets.
        pings: whether the server answers pings while it works on a request. Then one that is silent for 30 s is lost.

    Raises:
        PathMissing: no WebSocket at this path.
        AuthenticationFailed: wrong token.
        ServerBusy: not now.
        Timeout: no connection in time.
        ConnectionFailed: no connection.
    """

    def __init__(self, address: Address, path: str, *, pings: bool = False) -> None:
        self._address = address
        self._pings = pings
        self._lock = threading.Lock()
        """Held by who uses the channel: its user, or who looks after it meanwhile."""
        self._messages: deque[str | memoryview] = deque()
        self._parts: list[Frame] = []
        self._ended = ""
        """Why, where it is this side that ended it."""
        at_any_host(address, partial(self._open, path))
        _keeper.watch(self)

    def _open(self, path: str, host: Address, deadline: float) -> None:
        self._stream = open_stream(host, deadline)
        try:
            self._protocol = _protocol_of(host, path)
            self._upgrade(path, host, deadline)
        except BaseException:
            self._stream.close()
            raise

    def _upgrade(self, path: str, address: Address, deadline: float) -> None:
        protocol = self._protocol
        protocol.send_request(protocol.connect())
        try:
            self._flush(deadline)
            while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
                self._take(deadline)
        except Expired as error:
            raise Timeout(
                f"{address} did not open a WebSocket at {path} within {address.connect_timeout:g} s"
            ) from error
        except OSError as error:
            raise _closed_early(address, error) from error
        refusal = protocol.handshake_exc
        if isinstance(refusal, InvalidStatus):
            status = refusal.response.status_code
            if status in (401, 403):
                raise login_refused(address, AuthenticationFailed(f"HTTP {status}")) from refusal
            if status in (429, 500, 502, 503, 504):
                raise ServerBusy(f"{address} cannot open a WebSocket now (HTTP {status})") from refusal
            raise PathMissing(f"{address} serves no WebSocket at {path} (HTTP {status})") from refusal
        if refusal is not None:
            if isinstance(refusal.__cause__, EOFError):
                raise _closed_early(address, refusal) from refusal
            raise PathMissing(f"{address} does not speak WebSocket at {path} ({refusal})") from refusal

    def send(self, message: bytes, deadline: float, *, text: bool) -> None:
        """Send a message.

        Parameters:
            message: its bytes, UTF-8 where it is text.
            deadline: until when the peer must have taken it, as `time.monotonic()` tells it.
            text: whether it is text.

        Raises:
            Expired: the peer did not take it in time; the channel is of no use any more.
            ConnectionFailed: the channel is lost.
        """
        with self._lock:
            if self._protocol.state is not State.OPEN:
                raise self._lost()
            (self._protocol.send_text if text else self._protocol.send_binary)(message)
            try:
                self._flush(deadline)
            except OSError as error:
                raise self._lost(error) from error

    def receive(self, deadline: float) -> str | memoryview:
        """The next message, text or binary.

        Raises:
            Expired: none was complete in time.
            Timeout: the peer gave no sign of life for 30 s.
            ConnectionFailed: the channel is lost, and all that came has been received.
            UnsupportedServer: a message is too large.
        """
        with self._lock:
            is_pinged = False
            while not self._messages:
                if self._protocol.state is not State.OPEN:
                    raise self._lost()
                patience = SILENCE - _PING_AFTER if is_pinged else _PING_AFTER
                until = min(deadline, time.monotonic() + patience) if self._pings else deadline
                try:
                    self._take(until)
                    is_pinged = False
                except Expired:
                    if until == deadline:
                        raise
                    if is_pinged:
                        self._end()
                        raise Timeout(
                            f"{self._address} gave no sign of life for {SILENCE} s, not even when it was pinged"
                        ) from None
                    self._protocol.send_ping(b"")
                    is_pinged = True
                    with suppress(Expired):
                        self._flush(deadline)
                except OSError as error:
                    raise self._lost(error) from error
            return self._messages.popleft()

    def tend(self) -> None:
        """Take what came while nobody used the channel, and answer pings; nothing happens while somebody uses it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            # What is wrong is seen by who uses the channel next.
            with suppress(OSError, Expired):
                deadline = time.monotonic() + _TENDING
                while self._protocol.state is State.OPEN:
                    self._take(deadline)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Say goodbye, and end the connection; harmless when it has ended."""
        deadline = time.monotonic() + CLOSING
        with self._lock:
            with suppress(OSError, Expired):
                if self._protocol.state is State.OPEN:
                    self._protocol.send_close()
                    self._flush(deadline)
                while self._protocol.state is State.CLOSING:
                    self._take(deadline)
            self._end()

    def abort(self) -> None:
        """End the connection at once; harmless when it has ended."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        _keeper.forget(self)
        self._ended = self._ended or "it has been closed"
        self._protocol.receive_eof()
        self._stream.close()

    def _flush(self, deadline: float) -> None:
        for data in self._protocol.data_to_send():
            # An empty one says that nothing follows; the connection is closed as a whole then.
            if data:
                self._stream.send(data, deadline)

    def _take(self, deadline: float) -> None:
        """Wait for bytes of the peer, sort them, and answer at once what wants it, such as pings."""
        if data := self._stream.receive(deadline):
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts.append(event)
                if event.fin:
                    self._messages.append(_message(self._parts))
                    self._parts = []
        self._flush(deadline)

    def _lost(self, error: Exception | None = None) -> TDengineError:
        reason = self._protocol.parser_exc or error
        if isinstance(reason, PayloadTooBig):
            return UnsupportedServer(f"{self._address} sent a message that is too large: {reason}")
        why = self._ended or str(self._protocol.close_rcvd or reason)
        return ConnectionFailed(f"The session at {self._address} was lost: {why or type(reason).__name__}")


def _protocol_of(host: Address, path: str) -> ClientProtocol:
    """The protocol of a WebSocket that is about to be opened.

    Raises:
        AddressError: the host cannot serve any.
    """
    try:
        uri = parse_uri(host.websocket_url(path))
    except InvalidURI:
        # Its text has the address with the token.
        raise AddressError(f"{host} cannot be the address of a WebSocket") from None
    deflate = ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5})
    return ClientProtocol(uri, extensions=[deflate] if host.compression else None, max_size=MAX_ANSWER, logger=_QUIET)


def _closed_early(address: Address, error: Exception) -> ConnectionFailed:
    if isinstance(error, (ConnectionError, InvalidHandshake)):
        return closed(address, "before the WebSocket was open")
    return connection_error(address, error)


def _message(parts: list[Frame]) -> str | memoryview:
    data = parts[0].data if len(parts) == 1 else b"".join(part.data for part in parts)
    if parts[0].opcode is Opcode.TEXT:
        # Text of a server is UTF-8; what is not is seen where it is read.
        return bytes(data).decode("utf-8", "surrogateescape")
    return memoryview(data)


class _Keeper:
    """Looks after channels, in a thread of its own that lives as long as there are any."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know of no channels. In a process that was forked there is no thread, and they are the parent's."""
        self._lock = threading.Lock()
        self._channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        self._is_running = False

    def watch(self, channel: Channel) -> None:
        with self._lock:
            self._channels.add(channel)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="tdengine-pings", daemon=True).start()

    def forget(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)

    def _run(self) -> None:
        while self._is_needed():
            time.sleep(_TEND_EVERY)
            with self._lock:
                channels = list(self._channels)
            while channels:
                channels.pop().tend()

    def _is_needed(self) -> bool:
        with self._lock:
            self._is_running = bool(self._channels)
            return self._is_running


_keeper = _Keeper()
os.register_at_fork(after_in_child=_keeper.begin)
