"""Bytes to and from a server, over TCP or TLS: every wait has a limit as a whole, and happens in the caller's thread.

OpenSSL's TLS objects are not made for two threads: with TLS 1.3 a reader that works on a session ticket, which servers
send when they like, lets a writer beside it hang, lose what it writes, or crash. So one thread at a time has a stream,
and TLS works on buffers in memory; only the plain socket is ever waited for.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.errors import CertificateRejected, ConnectionFailed, TDengineError, Timeout

_T = TypeVar("_T")

SILENCE = 30
"""Seconds after which a peer that gives no sign of life is given up, where one was due."""

MAX_ANSWER = 320 * 1024 * 1024
"""Bytes of an answer, or a block, at most: 4096 rows of 65,531 bytes, which are 3.x's limits, have 256 MiB."""

_CHUNK = 256 * 1024

_OTHER_HOST = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

# The kernel asks a silent peer whether it is there, and gives up what is not acknowledged (Linux; macOS has fewer).
_KEEP_ALIVE = {
    "TCP_KEEPIDLE": SILENCE // 2,
    "TCP_KEEPINTVL": SILENCE // 6,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": SILENCE * 1000,
}


class Expired(Exception):
    """The moment has passed up to which something was waited for."""


class Stream:
    """A connection over TCP. One thread uses it at a time.

    Deadlines are moments of `time.monotonic()`.

    Parameters:
        connected: the socket, which the stream owns from now on.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._unsent: deque[memoryview] = deque()

    def send(self, data: bytes, deadline: float) -> None:
        """Send bytes, behind those that an earlier call could not send in time.

        Raises:
            Expired: the peer did not take all of it in time.
            OSError: the connection is lost.
        """
        self._unsent.append(memoryview(data))
        while self._unsent:
            try:
                rest = self._unsent[0][self._socket.send(self._unsent[0]) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
                continue
            if rest:
                self._unsent[0] = rest
            else:
                self._unsent.popleft()

    def receive(self, deadline: float) -> bytes:
        """What comes next, nothing at the end of the stream.

        Raises:
            Expired: nothing came in time, or it is too late already.
            OSError: the connection is lost.
        """
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Expired
            try:
                return self._socket.recv(_CHUNK)
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come that nobody asked for, such as the end of the stream."""
        return not _poll(self._socket, select.POLLIN, 0)

    def close(self) -> None:
        """End the connection; harmless when it has ended."""
        self._socket.close()

    def _wait(self, event: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Expired
        # In hours at most, which any system takes.
        _poll(self._socket, event, min(left, 3600))


class TlsStream(Stream):
    """A connection over TLS.

    Parameters:
        connected: the socket, which the stream owns from now on.
        context: how the server's certificate is checked.
        host: whom it is for.
        deadline: until when the handshake must be done.

    Raises:
        Expired: the handshake was not done in time.
        OSError: the handshake failed.
    """

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, host: str, deadline: float) -> None:
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._run(self._tls.do_handshake, deadline)

    def send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            rest = view[start : start + _CHUNK]
            while rest:
                rest = rest[self._tls.write(rest) :]
            self._flush(deadline)

    def receive(self, deadline: float) -> bytes:
        parts: list[bytes] = []
        # Many peers end without the goodbye of TLS; whether all has come is seen one level up.
        with suppress(ssl.SSLEOFError, ssl.SSLWantReadError):
            parts.append(self._run(lambda: self._tls.read(_CHUNK), deadline))
            # Records have 16 KiB at most; all that are there go up in one piece.
            while self._incoming.pending and (part := self._tls.read(_CHUNK)):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        with suppress(OSError, Expired, ValueError):
            # Answers that it wants the peer's goodbye, which is not waited for.
            self._tls.unwrap()
        with suppress(OSError, Expired):
            self._flush(0)
        super().close()

    def _run(self, action: Callable[[], _T], deadline: float) -> _T:
        """Do what may need bytes of the peer."""
        while True:
            try:
                done = action()
            except ssl.SSLWantReadError:
                self._flush(deadline)
                received = super().receive(deadline)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                with suppress(OSError, Expired):
                    # Why, for the peer.
                    self._flush(0)
                raise
            else:
                self._flush(deadline)
                return done

    def _flush(self, deadline: float) -> None:
        if self._outgoing.pending:
            super().send(self._outgoing.read(), deadline)


def at_any_host(address: Address, opened: Callable[[Address, float], _T]) -> _T:
    """What can be opened at a server; of several hosts, at the first one where it can.

    Parameters:
        address: where it is.
        opened: opens it at an address of one host, until a deadline.

    Raises:
        ConnectionFailed: at no host within `connect_timeout`.
        TDengineError: what the others would say, too.
    """
    hosts = list(address.in_turn())
    deadline = time.monotonic() + address.connect_timeout
    failed: list[TDengineError] = []
    for number, host in enumerate(hosts):
        now = time.monotonic()
        try:
            return opened(host, now + (deadline - now) / (len(hosts) - number))
        except TDengineError as error:
            if not error.retryable or len(hosts) == 1:
                raise
            failed.append(error)
    raise ConnectionFailed(f"No host of {address} can be reached. " + "; ".join(error.message for error in failed))


def open_stream(address: Address, deadline: float) -> Stream:
    """Connect to a server of one host.

    Parameters:
        address: where it is; its `connect_timeout` is what `deadline` was made of.
        deadline: until when TCP and TLS must be done.

    Raises:
        AddressError: a file of certificates cannot be read.
        Timeout: the server did not accept the connection, or not finish the handshake of TLS, in time.
        CertificateRejected: the server's certificate is not trusted.
        ConnectionFailed: no connection came about.
    """
    context = address.ssl_context()
    try:
        connected = _connect(address.host, address.port, deadline)
    except TimeoutError as error:
        raise Timeout(f"{address} did not accept a connection within {address.connect_timeout:g} s") from error
    except (OSError, UnicodeError) as error:
        raise connection_error(address, error) from error
    if context is None:
        return Stream(connected)
    try:
        return TlsStream(connected, context, address.host, deadline)
    except BaseException as error:
        connected.close()
        if isinstance(error, Expired):
            raise Timeout(f"{address} did not finish the TLS handshake within {address.connect_timeout:g} s") from error
        if isinstance(error, (ssl.SSLEOFError, ConnectionError)):
            raise closed(address, "during the TLS handshake") from error
        if isinstance(error, OSError):
            raise connection_error(address, error) from error
        raise


def closed(address: Address, when: str) -> ConnectionFailed:
    """What to say of a server that ended a connection; of why, most say nothing.

    Parameters:
        address: where it is.
        when: it did.
    """
    asks = address.is_tls and not address.cert_file
    hint = "; if it asks for a certificate of its clients, give one as cert_file" if asks else ""
    return ConnectionFailed(f"{address} closed the connection {when}{hint}")


def connection_error(address: Address, error: Exception) -> ConnectionFailed:
    """What to say of a connection that did not come about or broke."""
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _rejected(address, error)
    if "CERTIFICATE_REQUIRED" in text or "ConnectionClosed" in text:
        return closed(address, "before it had answered")
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return ConnectionFailed(f"{address} does not speak TLS; {address.scheme[:-1]}:// is for servers without it")
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return ConnectionFailed(f"The host {address.host!r} of {address} is not known; check its spelling and DNS")
    if isinstance(error, ConnectionRefusedError):
        return ConnectionFailed(
            f"Nothing listens at {address}; check host and port, and that the taosAdapter runs (usually port 6041)"
        )
    return ConnectionFailed(f"The connection to {address} failed: {error or type(error).__name__}")


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """A socket that is connected to the first of a host's addresses that accepts; none takes the time of all."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failed: list[OSError] = []
    for family, kind, protocol, _, where in found:
        candidate = socket.socket(family, kind, protocol)
        try:
            left = max(0.001, deadline - time.monotonic())
            candidate.settimeout(left / (len(found) - len(failed)))
            candidate.connect(where)
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE.items():
                if hasattr(socket, name):
                    candidate.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        except BaseException as error:
            candidate.close()
            if not isinstance(error, OSError):
                raise
            failed.append(error)
        else:
            return candidate
    raise failed[0]


def _poll(waited_for: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(waited_for, event)
    return bool(poll.poll(math.ceil(seconds * 1000)))


def _rejected(address: Address, error: ssl.SSLCertVerificationError) -> CertificateRejected:
    if error.verify_code in _OTHER_HOST:
        return CertificateRejected(
            f"The certificate of {address} is for another host ({error.verify_message}); give the host by the name "
            "that the certificate has"
        )
    return CertificateRejected(
        f"The certificate of {address} is not trusted ({error}); give the authority's certificate as ca_file, or "
        "switch verification off if you know what that means"
    )
