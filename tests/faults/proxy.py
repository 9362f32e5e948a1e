"""A line to a server that breaks on demand: plain TCP, or TLS, which then ends behind the fault as it does in life."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

KINDS = ("cut", "reset", "half-open", "stall", "refuse", "slow", "corrupt", "lose", "garbage")
"""What a line does at a fault.

cut: closes the connection at both ends. reset: the same with RST. half-open: the server's end is closed, the client's
stays silent. stall: nothing passes for a while, on any connection. refuse: all are reset, and no new one is taken for a
while. slow: a few bytes at a time. corrupt: bits turn. lose: bytes are missing. garbage: other bytes, then the end.
"""

_CHUNK = 1 << 16
_SLOW_BYTES, _SLOW_PAUSE, _SLOW_TIMES = 400, 0.05, 30


@dataclass
class Fault:
    """What happens once, when so many bytes have passed.

    Parameters:
        kind: one of `KINDS`.
        direction: "up" towards the server, or "down".
        after: bytes of this direction, over all connections of the line.
        seconds: how long a stall or a refusal lasts.
    """

    kind: str
    direction: str
    after: int
    seconds: float = 1.0

    def __str__(self) -> str:
        return f"{self.kind} {self.direction} after {self.after}"


class Line:
    """A line to a port of this machine; a context manager.

    Parameters:
        port: of the server.
        context: of a server's certificate, to take TLS where the server has none; None for plain TCP.
        listener: where it begins; None for a free port of 127.0.0.1.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None, listener: socket.socket | None = None) -> None:
        self._to, self._context, self._listener = port, context, listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []
        self._silent_until = self._closed_until = 0.0
        self._rng = Random(0)
        self.faults: list[Fault] = []
        self.happened: list[Fault] = []
        self.passed: Counter[str] = Counter()
        self.port = 0

    def __enter__(self) -> Line:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, *faults: Fault) -> None:
        """Count from zero, with these faults to come; what holds of earlier ones ends."""

        async def begin() -> None:
            self.faults, self.happened, self.passed = list(faults), [], Counter()
            self._silent_until = self._closed_until = 0.0

        self._do(begin())
        self.drop()

    def drop(self) -> None:
        """End all connections that are open."""

        async def drop() -> None:
            for writer in list(self._open):
                writer.transport.abort()

        self._do(drop())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        behind = self._to
        if self._context:
            # TLS ends behind the line, so that a fault meets what is encrypted.
            end = await asyncio.start_server(self._decrypt, "127.0.0.1", 0, ssl=self._context)
            self._servers.append(end)
            behind = end.sockets[0].getsockname()[1]
        self._behind = behind
        listener = self._listener or socket.create_server(("127.0.0.1", 0))
        front = await asyncio.start_server(self._serve, sock=listener)
        self._servers.append(front)
        self.port = front.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for writer in list(self._open):
            writer.transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _decrypt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._join(reader, writer, self._to, is_faulty=False)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._loop.time() < self._closed_until:
            _reset(writer)
            return
        await self._join(reader, writer, self._behind, is_faulty=True)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, *, is_faulty: bool
    ) -> None:
        with suppress(OSError, asyncio.CancelledError):
            theirs, onward = await asyncio.open_connection("127.0.0.1", port)
            ends = {writer, onward}
            self._open |= ends
            pumps = [
                self._loop.create_task(self._pump(reader, onward, writer, "up" if is_faulty else "")),
                self._loop.create_task(self._pump(theirs, writer, onward, "down" if is_faulty else "")),
            ]
            self._tasks.update(pumps)
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                for end in ends:
                    end.close()
                self._open -= ends
                self._tasks.difference_update(pumps)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, direction: str
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if direction:
                    self.passed[direction] += len(data)
                    while (wait := self._silent_until - self._loop.time()) > 0:
                        await asyncio.sleep(wait)
                    due = [one for one in self.faults if self._is_due(one, direction)]
                    for fault in due:
                        self.faults.remove(fault)
                        self.happened.append(fault)
                        changed = await self._happen(fault, data, writer, back)
                        if changed is None:
                            return
                        data = changed
                writer.write(data)
                await writer.drain()

    def _is_due(self, fault: Fault, direction: str) -> bool:
        return fault.direction == direction and self.passed[direction] > fault.after

    async def _happen(
        self, fault: Fault, data: bytes, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> bytes | None:
        """What passes in place of some bytes; None where the connection has ended."""
        ends = (writer, back)
        client = back if fault.direction == "up" else writer
        if fault.kind == "stall":
            self._silent_until = self._loop.time() + fault.seconds
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "slow":
            for start in range(0, min(len(data), _SLOW_BYTES * _SLOW_TIMES), _SLOW_BYTES):
                writer.write(data[start : start + _SLOW_BYTES])
                await writer.drain()
                await asyncio.sleep(_SLOW_PAUSE)
            data = data[_SLOW_BYTES * _SLOW_TIMES :]
        elif fault.kind == "corrupt":
            turned = bytearray(data)
            for _ in range(3):
                turned[self._rng.randrange(len(turned))] ^= 1 << self._rng.randrange(8)
            data = bytes(turned)
        elif fault.kind == "lose":
            start = self._rng.randrange(len(data))
            data = data[:start] + data[start + self._rng.randint(1, 40) :]
        else:
            await self._end(fault, client, ends)
            return None
        return data

    async def _end(
        self, fault: Fault, client: asyncio.StreamWriter, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    ) -> None:
        if fault.kind == "garbage":
            client.write(self._rng.randbytes(300))
            await client.drain()
        elif fault.kind == "half-open":
            (server,) = (end for end in ends if end is not client)
            server.transport.abort()
            # The client's end hears nothing any more, until it gives up.
            while not client.transport.is_closing():
                await asyncio.sleep(0.2)
        elif fault.kind == "refuse":
            self._closed_until = self._loop.time() + fault.seconds
            for end in list(self._open):
                _reset(end)
        if fault.kind == "reset":
            for end in ends:
                _reset(end)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    handle: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
