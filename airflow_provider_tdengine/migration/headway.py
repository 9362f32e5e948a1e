"""How far something is that takes long: a line every ten seconds, the same in a task's log and on the command line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from typing_extensions import Self

from airflow_provider_tdengine.migration import wording

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two lines."""

_T = TypeVar("_T")


class Headway:
    """How far something is. While it is entered, it says so every `EVERY` seconds, however silent a server is.

    Parameters:
        what: is going on.
        total: when it is complete; 0 where that is not known.
        unit: what is counted.
        tell: takes each line.
        silence: seconds for which no line comes while nothing more is done.

    Attributes:
        note: what there is to say besides.
    """

    def __init__(
        self,
        what: str,
        total: int = 0,
        unit: str = "row",
        tell: Callable[[str], object] = log.info,
        silence: float = 0.0,
    ) -> None:
        self.what = what
        self.total = total
        self.note = ""
        self._unit = unit
        self._tell = tell
        self._silence = silence
        self._done = 0
        self._earlier = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._done, self._earlier, self._started = 0, 0, time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(self._ended,), name="headway", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _watch(self, ended: threading.Event) -> None:
        told, silent = self._done, 0.0
        while not ended.wait(EVERY):
            silent += EVERY
            if self._done != told or silent >= self._silence:
                told, silent = self._done, 0.0
                self._tell(str(self))

    @property
    def done(self) -> int:
        """How much is done."""
        return self._done

    def add(self, count: int = 1) -> None:
        """So much more is done; threads may call it."""
        with self._lock:
            self._done += count

    def at(self, done: int, earlier: int | None = None) -> None:
        """So much is done.

        Parameters:
            done: in all.
            earlier: how much of that was done before it was entered, which counts for no rate; None for what was said
                last.
        """
        with self._lock:
            self._done = done
            self._earlier = self._earlier if earlier is None else earlier

    def skip(self, count: int) -> None:
        """So much was done before it was entered, which counts for no rate."""
        with self._lock:
            self._earlier += count

    def resume(self) -> None:
        """After a while without anything to do: how fast it is counts from here on."""
        with self._lock:
            self._earlier, self._started = self._done, time.monotonic()

    def each(self, things: Iterable[_T]) -> Iterator[_T]:
        """The same things; each counts as one more."""
        for thing in things:
            self.add()
            yield thing

    @property
    def percent(self) -> int | None:
        """Never rounded up: of 100 % nothing is left to do. None where the total is not known."""
        return min(100, 100 * self._done // self.total) if self.total else None

    @property
    def amount(self) -> str:
        """How much is done, how fast, and how long the rest takes at that speed."""
        seconds = time.monotonic() - self._started
        rate = max(0, self._done - self._earlier) / max(seconds, 0.001)
        of = f"{self._done:,} of about {wording.number(self.total, self._unit)}"
        parts = [of if self.total else wording.number(self._done, self._unit), f"{rate:,.0f} {self._unit}s/s"]
        if rate and self._done < self.total:
            parts.append(f"{wording.duration((self.total - self._done) / rate)} left")
        return ", ".join([*parts, *([self.note] if self.note else [])])

    def __str__(self) -> str:
        percent = "" if self.percent is None else f"{self.percent} %, "
        return f"{self.what}: {percent}{self.amount}"
