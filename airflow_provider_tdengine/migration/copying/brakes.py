"""How fast a batch may be: limits that somebody has set, and less speed while a server has trouble.

A server in trouble says that it is busy, does not answer in time, or takes ever longer to confirm what is written.
Then the speed of all workers is halved, more than once if need be, and rises again steadily.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator

from airflow_provider_tdengine.client.errors import ServerBusy, TDengineError, Timeout
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.migration.copying.units import Step

log = logging.getLogger(__name__)

BURST = 1.0
"""Seconds of a limit that may be used at once after using less."""

SLOW = 1.0
"""Seconds to a confirmation, on average, below which no server is in trouble."""

_TIMES_SLOWER = 8
"""How many times its best a confirmation takes when it is."""

_FORGOTTEN = 20.0
"""Seconds in which the best doubles: a server that has become slower for good is not in trouble."""

_WEIGHT = 0.1
"""Of the latest confirmation in the average."""

_LOWEST_SPEED = 1 / 16

_FASTER = 0.05
"""By how much the speed, of 1 at most, rises in a second."""

_HOLD = 2.0
"""Seconds before the speed is halved again, and for which it rises at a time."""

_LONGEST = 30.0
"""Seconds of a pause for a server in trouble, at most."""


class TokenBucket:
    """So many tokens a second. What is taken beyond those there are is owed, and waited for.

    Parameters:
        rate: tokens a second, 0 for no limit.
        now: seconds of the caller's clock.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._first = self._rate = rate
        self._tokens = rate * BURST
        self._at = now

    def scale(self, factor: float, now: float) -> None:
        """Have so many times the tokens of the beginning from now on."""
        self.take(0, now)
        self._rate = self._first * factor

    def take(self, tokens: float, now: float) -> float:
        """Take tokens.

        Returns:
            Seconds until none are owed.
        """
        if not self._rate:
            return 0.0
        self._tokens = min(self._rate * BURST, self._tokens + (now - self._at) * self._rate) - tokens
        self._at = now
        return max(0.0, -self._tokens / self._rate)


class Latency:
    """How long confirmations take: the average of the latest, and the best that this has been lately.

    Parameters:
        now: seconds of the caller's clock.
    """

    def __init__(self, now: float) -> None:
        self.mean = 0.0
        self.best = math.inf
        self._count = 0
        self._at = now

    def add(self, seconds: float, now: float) -> None:
        """Take note of a confirmation that came after so many seconds."""
        self._count += 1
        self.mean += (seconds - self.mean) * max(_WEIGHT, 1 / self._count)
        if self._count * _WEIGHT >= 1:
            self.best = min(self.best * 2 ** ((now - self._at) / _FORGOTTEN), self.mean)
        self._at = now

    @property
    def is_high(self) -> bool:
        return self.mean > max(SLOW, _TIMES_SLOWER * self.best)


class Brakes:
    """What the workers of a batch share to obey.

    Parameters:
        rows_per_second: of all workers, 0 for no limit.
        bytes_per_second: of blocks and statements, of all workers, 0 for no limit.
        wait: waits for so many seconds, or until the batch is stopped.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        rows_per_second: float,
        bytes_per_second: float,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.speed = 1.0
        self._wait = wait
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._rows = TokenBucket(rows_per_second, now)
        self._bytes = TokenBucket(bytes_per_second, now)
        self._latency = Latency(now)
        self._halved = self._changed = now
        self._troubles = self._busy = 0
        self._limited = self._slowed = 0.0

    def paced(self, steps: Iterator[Step], target: Session) -> Iterator[Step]:
        """The steps of one worker, with a pause behind those after which it has to wait.

        Parameters:
            steps: what has been done, one after the other.
            target: the worker's session, which knows for how long it has waited for confirmations.
        """
        began, waited = self._clock(), target.waited
        for step in steps:
            yield step
            if pause := self._pause(step, self._clock() - began, target.waited - waited):
                self._wait(pause)
            began, waited = self._clock(), target.waited

    def scale(self, factor: float) -> None:
        """Make the limits so many times what they were at the beginning: others have begun, or have ended."""
        with self._lock:
            now = self._clock()
            self._rows.scale(factor, now)
            self._bytes.scale(factor, now)

    def failed(self, error: TDengineError) -> None:
        """Lose speed if an error says that a server has trouble."""
        if isinstance(error, (ServerBusy, Timeout)):
            with self._lock:
                self._busy += 1
                self._slow_down(self._clock(), str(error))

    def summary(self) -> str:
        """What has kept the workers waiting; nothing if nothing has."""
        with self._lock:
            parts = []
            if self._limited:
                parts.append(f"limits for {self._limited:.0f} s")
            if self._troubles:
                times = f"{self._troubles} times, {self._busy} busy or missing answers"
                parts.append(f"servers in trouble ({times}) for {self._slowed:.0f} s")
        return " and ".join(parts)

    def _pause(self, step: Step, worked: float, waited: float) -> float:
        """Seconds to wait after a step that was so many seconds of work, some of them waiting for the target."""
        with self._lock:
            now = self._clock()
            if step.tally.bytes:
                self._latency.add(waited, now)
            if self._latency.is_high:
                mean, best = self._latency.mean, self._latency.best
                self._slow_down(now, f"what is written is confirmed after {mean:.1f} s, {best:.3f} s at best")
            elif self.speed < 1:
                self._speed_up(now)
            limited = max(self._rows.take(step.tally.rows, now), self._bytes.take(step.tally.bytes, now))
            slowed = min(_LONGEST, worked * (1 / self.speed - 1))
            self._limited += limited
            self._slowed += max(0.0, slowed - limited)
            return max(limited, slowed)

    def _slow_down(self, now: float, why: str) -> None:
        if self.speed == 1:
            self._troubles += 1
            log.warning("Going slower: %s", why)
        self._changed = now
        if self.speed == 1 or now - self._halved >= _HOLD:
            self.speed = max(_LOWEST_SPEED, self.speed / 2)
            self._halved = now

    def _speed_up(self, now: float) -> None:
        # After a long silence, too, little by little.
        self.speed = min(1.0, self.speed + min(_HOLD, now - self._changed) * _FASTER)
        self._changed = now
        if self.speed == 1:
            log.info("At full speed again")
