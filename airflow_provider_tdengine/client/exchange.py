"""Requests and answers over one WebSocket of a taosAdapter.

Text frames carry `{"action", "args": {"req_id", …}}`, binary frames a head of three u64. Answers carry
the `req_id` of their request and are matched by it, since an adapter works on the messages of a session
side by side.
"""

from __future__ import annotations

import json
import struct
import time
from types import TracebackType

from typing_extensions import Self

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.answers import Answer, raise_if_failed, sorted_in
from airflow_provider_tdengine.client.channel import Channel
from airflow_provider_tdengine.client.errors import AnswerError, ConnectionFailed, Timeout
from airflow_provider_tdengine.client.stream import Expired

UNNUMBERED = -1
"""Where the one frame waits that carries no `req_id` of its own in the usual place. Requests count from 1."""

_HEAD = struct.Struct("<QQQ")


class Exchange:
    """An open WebSocket on which requests are numbered and answers are found; one thread uses it at a time.

    Requests have the address's `connect_timeout` until whoever logs in sets `_timeout`.

    Parameters:
        address: the server and account.
        path: where it serves what is asked for.
        pings: see `Channel`.

    Raises:
        PathMissing: no WebSocket at this path.
        TDengineError: see `Channel`.
    """

    def __init__(self, address: Address, path: str, *, pings: bool) -> None:
        self._address = address
        self._last_request = 0
        self._bytes_sent = 0
        self.waited = 0.0
        self._early: dict[int, memoryview | Answer] = {}
        self._timeout = address.connect_timeout
        self._channel = Channel(address, path, pings=pings)

    def _send_text(self, action: str, **arguments: object) -> int:
        self._last_request += 1
        message = {"action": action, "args": {"req_id": self._last_request, **arguments}}
        self._send(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogateescape"), text=True)
        return self._last_request

    def _send_binary(self, result: int, action: int, body: bytes) -> int:
        self._last_request += 1
        self._send(_HEAD.pack(self._last_request, result, action) + body, text=False)
        return self._last_request

    def _send(self, message: bytes, *, text: bool) -> None:
        try:
            self._channel.send(message, time.monotonic() + self._timeout, text=text)
        except Expired as error:
            self._channel.abort()
            raise Timeout(
                f"{self._address} did not take a message of {len(message)} bytes within {self._timeout:g} s"
            ) from error
        self._bytes_sent += len(message)

    def _take_answer(
        self, request: int, statement: str | None, wait: str = "answer", *, patience: float = 0.0
    ) -> Answer:
        answer = self._await(statement, wait, request, patience=patience)
        if not isinstance(answer, Answer):
            raise self._not_an_adapter()
        raise_if_failed(answer, statement)
        return answer

    def _await(self, statement: str | None, wait: str, *requests: int, patience: float = 0.0) -> memoryview | Answer:
        """The answer to the first of some requests that is answered.

        Parameters:
            statement: for errors.
            wait: what the server is to do.
            requests: their numbers.
            patience: seconds that the server was asked to wait for, before its time-out begins.

        Raises:
            Timeout: there is none in time. The session is over then: an answer that comes late must not be taken
                for that of a later request, and at the adapter the session stands in the way of others.
            ConnectionFailed: the session is lost, or what came is no adapter's message.
        """
        began = time.monotonic()
        try:
            return self._receive(began + patience + self._timeout, *requests)
        except Expired as error:
            self._channel.abort()
            raise Timeout(f"{self._address} did not {wait} within {self._timeout:g} s", statement=statement) from error
        finally:
            self.waited += time.monotonic() - began

    def _receive(self, deadline: float, *requests: int) -> memoryview | Answer:
        """What `_await` gives; what comes before it is kept for later."""
        while True:
            for request in requests:
                if request in self._early:
                    return self._early.pop(request)
            self._keep(self._channel.receive(deadline), is_block_due=UNNUMBERED in requests)

    def _keep(self, message: str | memoryview, *, is_block_due: bool) -> None:
        try:
            request, answer = sorted_in(message, self._address)
        except AnswerError as error:
            raise self._not_an_adapter() from error
        if request is None and not is_block_due:
            raise self._not_an_adapter()
        # What answers no request is not kept: it could be any amount.
        if request is None or 0 < request <= self._last_request:
            self._early[UNNUMBERED if request is None else request] = answer

    def _not_an_adapter(self) -> ConnectionFailed:
        return ConnectionFailed(f"{self._address} sent a message that is none of a TDengine adapter's")

    def close(self) -> None:
        """End the session; harmless when it has ended."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
