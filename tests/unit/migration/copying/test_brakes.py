"""How fast a batch may be: limits, and less speed while a server has trouble. On a clock of the tests' own."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.client.errors import (
    CODES,
    BlockError,
    ConnectionFailed,
    RowRejected,
    ServerBusy,
    TDengineError,
    Timeout,
    error_for,
)
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.migration.copying import (
    BURST,
    Brakes,
    Checkpoint,
    MemoryProgress,
    Step,
    Tally,
    TokenBucket,
    copy_batch,
)
from airflow_provider_tdengine.migration.copying import brakes as braking
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import ROWS_A_METER, TARGET, BoxPair


class Clock:
    """A clock that goes on when somebody waits."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def copy(brakes: Brakes, clock: Clock, steps: int, seconds: float = 0.01) -> None:
    """Copy with one worker, 100 rows and 2,000 bytes a step, whose only work is to wait for the target."""
    with RestSession(Address()) as target:

        def work() -> Iterator[Step]:
            for _ in range(steps):
                clock.now += seconds
                target.waited += seconds
                yield Step("d1", None, Tally(rows=100, bytes=2000))

        assert len(list(brakes.paced(work(), target))) == steps


_amounts = st.lists(st.floats(0.001, 5000), min_size=1, max_size=30)


@given(rate=st.floats(1, 1000), workers=st.lists(_amounts, min_size=1, max_size=5), idle=st.floats(0, 10))
def test_the_workers_together_keep_a_limit_and_use_it(rate: float, workers: list[list[float]], idle: float) -> None:
    bucket = TokenBucket(rate, 0.0)
    # Whoever waits is woken at a time and takes the next of its amounts.
    waiting = [(idle, number, 0) for number in range(len(workers))]
    heapq.heapify(waiting)
    taken = 0.0
    while waiting:
        now, number, i = heapq.heappop(waiting)
        spare = 1e-6 * (1 + taken)
        # What others take while one waits has to be waited for before the next of them goes on.
        assert taken <= rate * (now - idle + BURST) + sum(map(max, workers)) + spare
        if all(position > 0 for _, _, position in [*waiting, (now, number, i)]):
            assert now - idle <= taken / rate + spare
        pause = bucket.take(workers[number][i], now)
        taken += workers[number][i]
        assert pause >= 0
        if i + 1 < len(workers[number]):
            heapq.heappush(waiting, (now + pause, number, i + 1))


@given(_amounts)
def test_without_a_limit_nobody_waits(amounts: list[float]) -> None:
    bucket = TokenBucket(0, 0.0)
    assert not any(bucket.take(amount, 0.0) for amount in amounts)


@pytest.mark.parametrize(("rows", "size"), [(1000, 0), (0, 20_000), (1000, 1_000_000), (1_000_000, 20_000)])
def test_steps_keep_the_limits(rows: int, size: int) -> None:
    clock = Clock()
    began = clock.now
    brakes = Brakes(rows, size, clock.wait, clock)
    copy(brakes, clock, 1000)
    assert clock.now - began == pytest.approx(1000 * 100 / 1000, abs=1.1)
    assert brakes.summary().startswith("limits for ")


@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_limits_follow_the_number_of_those_that_share_them(factor: float) -> None:
    clock = Clock()
    brakes = Brakes(1000, 0, clock.wait, clock)
    copy(brakes, clock, 100)
    began = clock.now
    brakes.scale(factor)
    copy(brakes, clock, 1000)
    assert clock.now - began == pytest.approx(1000 * 100 / (1000 * factor), abs=2.1)
    began = clock.now
    brakes.scale(1.0)
    copy(brakes, clock, 100)
    assert clock.now - began == pytest.approx(100 * 100 / 1000, abs=2.1)


def test_without_limits_and_trouble_nobody_waits() -> None:
    clock = Clock()
    began = clock.now
    brakes = Brakes(0, 0, clock.wait, clock)
    copy(brakes, clock, 1000)
    assert clock.now - began == pytest.approx(10)
    assert brakes.summary() == ""


BUSY = [error_for(code, "busy") for code, kind in CODES.items() if kind is ServerBusy]


@pytest.mark.parametrize("error", [Timeout("no answer"), *BUSY], ids=str)
def test_a_busy_server_gets_less_and_then_all_again(error: TDengineError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    brakes = Brakes(0, 0, clock.wait, clock)
    for _ in range(3):
        brakes.failed(error)
    assert brakes.speed == 0.5
    began = clock.now
    copy(brakes, clock, 100)
    assert clock.now - began > 1.5
    copy(brakes, clock, 1000)
    assert brakes.speed == 1
    assert [record.getMessage() for record in caplog.records] == [f"Going slower: {error}", "At full speed again"]
    assert brakes.summary().startswith("servers in trouble (1 times, 3 busy or missing answers) for ")


def test_one_that_stays_busy_still_gets_something() -> None:
    clock = Clock()
    brakes = Brakes(0, 0, clock.wait, clock)
    for _ in range(100):
        clock.now += 3
        brakes.failed(ServerBusy("busy"))
    assert brakes.speed == 1 / 16
    began = clock.now
    copy(brakes, clock, 1)
    assert clock.now - began < 16 * 0.01 + 0.01


@pytest.mark.parametrize("error", [ConnectionFailed("lost"), RowRejected("no"), BlockError("cut")])
def test_other_failures_are_no_reason(error: TDengineError) -> None:
    clock = Clock()
    brakes = Brakes(0, 0, clock.wait, clock)
    brakes.failed(error)
    assert brakes.speed == 1


def test_a_target_that_becomes_slow_gets_less(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    brakes = Brakes(0, 0, clock.wait, clock)
    copy(brakes, clock, 100)
    copy(brakes, clock, 10, seconds=5)
    assert brakes.speed < 0.5
    assert "Going slower: what is written is confirmed after" in caplog.text
    copy(brakes, clock, 2000)
    assert brakes.speed == 1


def test_a_target_that_has_become_slow_for_good_is_not_in_trouble() -> None:
    clock = Clock()
    brakes = Brakes(0, 0, clock.wait, clock)
    copy(brakes, clock, 100)
    began = clock.now
    copy(brakes, clock, 1000, seconds=5)
    assert brakes.speed == 1
    assert clock.now - began < 5000 + 300


def test_a_target_that_was_never_fast_is_not_in_trouble() -> None:
    clock = Clock()
    brakes = Brakes(0, 0, clock.wait, clock)
    copy(brakes, clock, 500, seconds=4)
    assert brakes.speed == 1


# --- In a copy


@pytest.mark.parametrize(
    ("strategy", "limit"), [("dense", {"max_bytes_per_second": 20_000}), ("sparse", {"max_rows_per_second": 500})]
)
def test_a_copy_keeps_its_limits(
    meters: BoxPair, strategy: str, limit: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    options = meters.options(strategy=strategy, tables="d0, d1", **limit)
    (batch,) = make_plan(*meters.catalogs, options)
    assert copy_batch(*meters.catalogs, batch, options, MemoryProgress()).rows == 2 * ROWS_A_METER
    assert "waited because of limits for" in caplog.text
    assert len(meters.target_box.execute(f"select * from {TARGET}.meters")) == 2 * ROWS_A_METER


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_copy_goes_slower_while_the_target_is_busy(
    meters: BoxPair, strategy: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("airflow_provider_tdengine.migration.retry.PAUSE", 0.01)
    monkeypatch.setattr(braking, "_FASTER", 1000.0)
    meters.target_box.faults.answer_with(0x0528, "No buffer", times=3, matching="d1")
    options = meters.options(strategy=strategy)
    (batch,) = make_plan(*meters.catalogs, options)
    copy_batch(*meters.catalogs, batch, options, MemoryProgress())
    assert caplog.text.count("Going slower: The server says: No buffer [code 1320, 0x0528]") >= 1
    assert "busy or missing answers) for" in caplog.text
    source, target = meters.both()
    assert target == source


def test_a_copy_goes_slower_when_the_target_becomes_slow(
    meters: BoxPair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(braking, "SLOW", 0.02)
    monkeypatch.setattr(braking, "_TIMES_SLOWER", 2)
    monkeypatch.setattr(braking, "_WEIGHT", 0.2)
    monkeypatch.setattr("airflow_provider_tdengine.migration.copying.copy.SAVE_EVERY", 0.01)
    monkeypatch.setattr("airflow_provider_tdengine.migration.copying.copy.ROWS_A_UNIT", 50)
    options = meters.options(strategy="dense", workers=1)
    (batch,) = make_plan(*meters.catalogs, options)
    slow = threading.Event()

    def report(checkpoint: Checkpoint) -> None:
        if checkpoint.tally.rows > 300 and not slow.is_set():
            slow.set()
            meters.target_box.faults.delay(0.2)
        elif "Going slower" in caplog.text:
            meters.target_box.faults.delay(0)

    copy_batch(*meters.catalogs, batch, options, MemoryProgress(), report=report)
    assert "Going slower: what is written is confirmed after" in caplog.text
    source, target = meters.both()
    assert target == source
