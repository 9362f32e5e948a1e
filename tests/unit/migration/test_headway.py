"""How far something is, in one line."""

from __future__ import annotations

import threading
from queue import Queue

import pytest

from airflow_provider_tdengine.migration import headway, wording
from airflow_provider_tdengine.migration.headway import Headway


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is, in seconds."""
    now = [100.0]
    monkeypatch.setattr(headway.time, "monotonic", lambda: now[0])
    return now


def test_it_says_how_much_how_fast_and_how_long(clock: list[float]) -> None:
    making = Headway("Copying", 1_200_000)
    assert str(making) == "Copying: 0 %, 0 of about 1,200,000 rows, 0 rows/s"
    clock[0] += 10
    making.at(400_000, earlier=100_000)
    assert str(making) == "Copying: 33 %, 400,000 of about 1,200,000 rows, 30,000 rows/s, 27 s left"
    making.at(1_199_999)
    assert making.percent == 99, "of 100 % nothing is left to do"
    making.at(1_300_000)
    assert (making.percent, "left" in str(making)) == (100, False)


def test_without_a_total_it_says_what_is_done(clock: list[float]) -> None:
    making = Headway("Creating tables", unit="table")
    clock[0] += 2
    assert list(making.each("abc")) == ["a", "b", "c"]
    making.add(2997)
    making.note = "the newest row is 1.5 s behind"
    assert str(making) == "Creating tables: 3,000 tables, 1,500 tables/s, the newest row is 1.5 s behind"


def test_it_speaks_while_a_server_is_silent_and_not_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headway, "EVERY", 0.001)
    said: Queue[str] = Queue()
    with Headway("Counting", 3, tell=said.put):
        assert said.get(timeout=30).startswith("Counting: 0 %, 0 of about 3 rows")
        (watching,) = [thread for thread in threading.enumerate() if thread.name == "headway"]
    watching.join(30)
    assert not watching.is_alive()


@pytest.fixture
def lines() -> list[str]:
    return wording.facts("The plan", [("rows", "80,000"), ("refused", ""), ("super tables", "1")])


def test_facts_are_two_columns(lines: list[str]) -> None:
    assert lines == ["The plan", "  rows          80,000", "  super tables  1"]


def test_long_lines_are_folded_between_words() -> None:
    url = "ws://" + "x" * 120
    text = wording.folded(["short", "  → " + "word " * 40 + url, ""])
    first, *folded, last = text.split("\n")
    assert (first, last) == ("short", "")
    assert folded[0].startswith("  → word word")
    assert all(line.startswith("      ") for line in folded[1:])
    assert folded[-1].strip() == url, "an address stays whole"
    assert max(len(line) for line in folded[:-1]) <= 125
