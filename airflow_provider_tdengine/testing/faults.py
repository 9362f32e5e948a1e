"""What goes wrong on demand: cut connections, slow answers, errors, refused requests, short results."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from airflow_provider_tdengine.testing.generations import BoxError


@dataclass
class _Planned:
    """An error that is to come."""

    error: BoxError
    times: int
    matching: str


class Faults:
    """The faults of a box. They hold until they have happened, or until `clear`; any thread may set them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks_left: int | None = None
        self._planned: list[_Planned] = []
        self._delay = 0.0
        self._rest_rows: int | None = None
        self._refused = (0, 0)
        self._clock = 0.0

    # --- For tests

    def cut_after_blocks(self, blocks: int) -> None:
        """Answer this many more fetched or written blocks; carry out the next one, but cut its connection, once.

        Parameters:
            blocks: counted over all WebSockets of the box.
        """
        with self._lock:
            self._blocks_left = blocks

    def delay(self, seconds: float) -> None:
        """Wait before every answer; answers to messages that arrive together wait at the same time."""
        with self._lock:
            self._delay = seconds

    def answer_with(self, code: int, message: str, times: int = 1, matching: str = "") -> None:
        """Answer with an error, without doing anything.

        Parameters:
            code: the error's code.
            message: its text.
            times: how often.
            matching: only statements, or tables of written blocks, that contain this, whatever the case.
        """
        with self._lock:
            self._planned.append(_Planned(BoxError(code, message), times, matching.lower()))

    def refuse(self, status: int, times: int = 1) -> None:
        """Answer HTTP requests, those that open WebSockets too, with a status and no more, as proxies do.

        Parameters:
            status: such as 503.
            times: how often.
        """
        with self._lock:
            self._refused = (status, times)

    def truncate_rest(self, rows: int) -> None:
        """Cut results over REST to this many rows, and call that success."""
        with self._lock:
            self._rest_rows = rows

    def set_clock(self, seconds: float) -> None:
        """Let the Date of HTTP answers, and NOW() of queries, be so far from the present moment."""
        with self._lock:
            self._clock = seconds

    def clear(self) -> None:
        """No faults from now on."""
        with self._lock:
            self._clock = 0.0
            self._blocks_left = None
            self._planned = []
            self._delay = 0.0
            self._rest_rows = None
            self._refused = (0, 0)

    # --- For the server

    @property
    def seconds(self) -> float:
        """How long to wait before an answer."""
        return self._delay

    @property
    def clock(self) -> float:
        """How many seconds the server's clock is ahead."""
        return self._clock

    @property
    def rest_rows(self) -> int | None:
        """How many rows a REST result may have."""
        return self._rest_rows

    def refusal(self) -> int:
        """The status to answer a request with, 0 if it is not refused."""
        with self._lock:
            status, times = self._refused
            self._refused = (status, times - 1)
            return status if times > 0 else 0

    def check(self, text: str) -> None:
        """Raise the error that is planned for a statement or a written block.

        Raises:
            BoxError: an error was asked for.
        """
        with self._lock:
            for planned in self._planned:
                if planned.times > 0 and planned.matching in text.lower():
                    planned.times -= 1
                    raise planned.error

    def block_is_cut(self) -> bool:
        """Count a block; true if its connection is to be cut instead of an answer."""
        with self._lock:
            if self._blocks_left is None:
                return False
            self._blocks_left -= 1
            if self._blocks_left >= 0:
                return False
            self._blocks_left = None
            return True
