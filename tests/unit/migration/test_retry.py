"""How long a server is waited for, on a clock of the tests' own."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_tdengine.client.errors import (
    CODES,
    ConnectionFailed,
    IncompleteResult,
    RowRejected,
    ServerBusy,
    TDengineError,
    Timeout,
    error_for,
)
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.retry import FIRST_CONTACT, PATIENCE, persist

RESTART = 120.0


class Clock(threading.Event):
    """An event on which waiting takes no time, and the clock that says that it did."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


class Server:
    """Fails until a moment.

    Parameters:
        clock: what time it is.
        error: how it fails.
        back: the first second at which it does not.
        costs: seconds that each failure takes.
    """

    def __init__(self, clock: Clock, error: TDengineError, back: float, costs: float = 0.0) -> None:
        self.clock = clock
        self.error = error
        self.back = clock.now + back
        self.costs = costs
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.clock.now < self.back:
            self.clock.now += self.costs
            raise self.error
        return "answer"


BUSY = [error_for(code, "busy") for code, kind in CODES.items() if kind is ServerBusy]


@pytest.mark.parametrize("error", [ConnectionFailed("refused"), *BUSY], ids=str)
def test_a_server_that_restarts_is_waited_for(error: TDengineError) -> None:
    clock = Clock()
    server = Server(clock, error, RESTART)
    assert persist(server, clock, clock=clock) == "answer"
    assert server.asked < 20


@pytest.mark.parametrize("patience", [FIRST_CONTACT, PATIENCE])
@pytest.mark.parametrize(("error", "costs"), [(ConnectionFailed("refused"), 0), (Timeout("not answered"), 20)])
def test_one_that_stays_away_is_given_up(patience: float, error: TDengineError, costs: float) -> None:
    clock = Clock()
    began = clock.now
    with pytest.raises(type(error)):
        persist(Server(clock, type(error)(error.message), 1e9, costs), clock, patience=patience, clock=clock)
    assert patience <= clock.now - began <= patience + 30 + 2 * costs


def test_whoever_gets_on_has_all_patience_again() -> None:
    clock = Clock()
    position = 0

    def fail() -> str:
        nonlocal position
        clock.now += PATIENCE
        position += 1
        if position < 5:
            raise ServerBusy("busy")
        return "answer"

    assert persist(fail, clock, lambda: position, clock=clock) == "answer"


def test_rows_that_do_not_add_up_are_not_waited_for() -> None:
    clock = Clock()
    server = Server(clock, IncompleteResult("9 of 10"), 1e9)
    with pytest.raises(IncompleteResult):
        persist(server, clock, clock=clock)
    assert server.asked == 6


def test_what_no_retry_cures_fails_at_once() -> None:
    clock = Clock()
    server = Server(clock, RowRejected("out of range"), 1e9)
    with pytest.raises(RowRejected):
        persist(server, clock, clock=clock)
    assert server.asked == 1


def test_a_stop_ends_the_retries() -> None:
    class Impatient(Clock):
        def wait(self, timeout: float | None = None) -> bool:
            self.set()
            return True

    clock = Impatient()
    server = Server(clock, ServerBusy("busy"), 1e9)
    with pytest.raises(Stopped):
        persist(server, clock, clock=clock)
    assert server.asked == 1
