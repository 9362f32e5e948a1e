"""What runs beside the one who waits for it, and can be left behind: a stop must not wait for a silent server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextvars import copy_context
from typing import TypeVar

_T = TypeVar("_T")


class Stopped(Exception):
    """Somebody asked for a stop."""


def in_background(action: Callable[[], _T]) -> Future[_T]:
    """Do something in a thread of its own, which holds up neither a stop nor the end of the process.

    What it logs belongs to where it was asked for: Airflow's triggerer tells by the context whose a line is.
    """
    future: Future[_T] = Future()
    # It cannot be cancelled any more: nobody else sets its result.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody asks for the result
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="copy", daemon=True).start()
    return future


def watch(futures: Iterable[Future[_T]], stop: threading.Event, every: float = 0.5) -> Iterator[None]:
    """Come back every moment until all are done.

    Parameters:
        futures: what runs in the background.
        stop: ends the waiting.
        every: seconds between two looks at it.

    Raises:
        Stopped: `stop` was set; what has not ended is left behind.
        BaseException: what one of them raised, as soon as it did.
    """
    pending = set(futures)
    while pending:
        done, pending = wait(pending, every, FIRST_EXCEPTION)
        for future in done:
            future.result()
        if pending and stop.is_set():
            raise Stopped
        yield


def until_stopped(action: Callable[[], _T], stop: threading.Event) -> _T:
    """Do something in the background and wait for it.

    Raises:
        Stopped: `stop` was set first.
    """
    future = in_background(action)
    for _ in watch([future], stop):
        pass
    return future.result()
