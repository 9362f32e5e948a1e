"""In which order databases are copied, and how many batches at the same time, so that all of it fits into a window."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from airflow_provider_tdengine.migration.planning.plan import MOST_BATCHES


@dataclass(frozen=True, slots=True)
class Work:
    """A database that is to be copied.

    Parameters:
        source: its server.
        database: its name.
        seconds: in which it is done, if its batches are copied one after the other.
        batches: that it has.
    """

    source: str
    database: str
    seconds: float
    batches: int


@dataclass(frozen=True, slots=True)
class Slot:
    """When a database is copied.

    Parameters:
        source: its server.
        database: its name.
        begin: seconds after the migration's begin at which its first batch begins.
        end: seconds after the begin at which its last batch ends.
        fits: whether that is within the window.
    """

    source: str
    database: str
    begin: float
    end: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """All databases, in the order in which they are begun; those that do not fit come last.

    Parameters:
        parallel: batches at the same time.
        window: seconds that there are; None for no end.
        slots: the databases.
    """

    parallel: int
    window: float | None
    slots: list[Slot]

    @property
    def seconds(self) -> float:
        """When all that fits is done."""
        return max((slot.end for slot in self.slots if slot.fits), default=0.0)

    @property
    def left(self) -> list[Slot]:
        """What does not fit."""
        return [slot for slot in self.slots if not slot.fits]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "seconds": self.seconds}


def schedule(works: Sequence[Work], window: float | None, most: int) -> Schedule:
    """The order and the parallelism.

    Those that take longest come first: small ones fill what they leave. As few batches at the same time as the window
    allows, since users of the servers notice each. So many batches are taken to be so many times as fast as one.

    Parameters:
        works: the databases.
        window: seconds that there are; None for no end.
        most: batches at the same time, at most.
    """
    ordered = sorted(works, key=lambda work: (-work.seconds, work.source, work.database))
    if window is None:
        return _placed(ordered, None, most)
    fewest = math.ceil(sum(work.seconds for work in works) / window)
    for parallel in range(max(1, fewest), most):
        found = _placed(ordered, window, parallel)
        if not found.left:
            return found
    return _placed(ordered, window, most)


def _placed(ordered: Sequence[Work], window: float | None, parallel: int) -> Schedule:
    """Each database's batches on what is free first; one that would not end in time takes nothing."""
    free = [0.0] * parallel
    fitting: list[Slot] = []
    others: list[Slot] = []
    for work in ordered:
        after, begin, end = free.copy(), math.inf, 0.0
        batches = max(1, min(work.batches, MOST_BATCHES))
        for _ in range(batches):
            start = after[0]
            heapq.heapreplace(after, start + work.seconds / batches)
            begin, end = min(begin, start), max(end, start + work.seconds / batches)
        fits = window is None or end <= window
        (fitting if fits else others).append(Slot(work.source, work.database, begin, end, fits))
        free = after if fits else free
    return Schedule(parallel, window, fitting + others)
