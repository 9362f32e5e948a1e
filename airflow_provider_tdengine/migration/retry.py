"""Doing something again as long as a retry can cure what fails."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_tdengine.client.errors import IncompleteResult, TDengineError
from airflow_provider_tdengine.migration.background import Stopped

log = logging.getLogger(__name__)

_T = TypeVar("_T")

PAUSE = 1.0
"""Seconds before the first retry, at most; doubled with each failure."""

_LONGEST = 30
"""Pauses grow to this many times the first one."""

PATIENCE = 300.0
"""Seconds for which a server may be away or busy: one that is restarted, or replays its log, takes minutes."""

FIRST_CONTACT = 60.0
"""The same for a server that has not answered yet: its host or port may be wrong."""

READINGS = 6
"""How often rows that do not add up are read; waiting does not bring them."""


def persist(
    action: Callable[[], _T],
    stop: threading.Event | None = None,
    position: Callable[[], object] = lambda: None,
    *,
    patience: float | None = None,
    readings: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """Do something again as long as a retry can cure what fails, with growing pauses.

    Parameters:
        action: what is done.
        stop: ends the waiting; None for nothing that does.
        position: how far the action has come; going on from a new one counts as a first failure.
        patience: seconds after the first failure for which it is tried again, None for `PATIENCE`.
        readings: how often rows that do not add up are read, None for `READINGS`.
        clock: seconds of a clock that never goes back.

    Raises:
        Stopped: `stop` was set.
        TDengineError: what no retry cured.
    """
    stop = stop or threading.Event()
    patience = PATIENCE if patience is None else patience
    readings = READINGS if readings is None else readings
    failures, incomplete, since = 0, 0, 0.0
    while not stop.is_set():
        before = position()
        try:
            return action()
        except TDengineError as error:
            if failures == 0 or position() != before:
                failures, incomplete, since = 0, 0, clock()
            failures += 1
            incomplete += isinstance(error, IncompleteResult)
            is_hopeless = clock() - since >= patience
            if isinstance(error, IncompleteResult):
                is_hopeless = incomplete >= readings
            if not error.retryable or error.exhausted or is_hopeless:
                # Whoever asked this as a part of something else has waited with it.
                error.exhausted = error.retryable and not isinstance(error, IncompleteResult)
                raise
            if stop.is_set():
                break
            pause = PAUSE * min(_LONGEST, 2 ** (failures - 1)) * random.uniform(0.5, 1)
            log.warning("%s; going on in %.1f s", error, pause)
            stop.wait(pause)
    raise Stopped
