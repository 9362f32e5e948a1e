"""The source's clock, without asking for it all the time."""

from __future__ import annotations

import time
from collections.abc import Callable

_TRUSTED = 10.0
"""Seconds for which this machine's clock says how much later it is at the source."""


class SourceClock:
    """What the source's clock said at moments of this machine's monotonic clock; it never is ahead of it.

    Parameters:
        ask: asks the source for its POSIX seconds.
    """

    def __init__(self, ask: Callable[[], float]) -> None:
        self._ask = ask
        self._asked = 0.0
        self._ahead: float | None = None

    def at(self, moment: float) -> float:
        """POSIX seconds of the source.

        Parameters:
            moment: of `time.monotonic`.

        Raises:
            TDengineError: no answer.
        """
        if self._ahead is None or time.monotonic() - self._asked > _TRUSTED:
            said = self._ask()
            self._asked = time.monotonic()
            self._ahead = said - self._asked
        return moment + self._ahead

    def now(self) -> float:
        """The present moment, in POSIX seconds of the source."""
        return self.at(time.monotonic())
