"""The order and parallelism that fit a window."""

from __future__ import annotations

import random

import pytest

from airflow_provider_tdengine.migration.planning import Schedule, Work, schedule


def planned(window: float | None, most: int, *works: tuple[float, int]) -> Schedule:
    """Of databases that take so many seconds, in so many batches."""
    return schedule([Work("s", f"d{i}", *work) for i, work in enumerate(works)], window, most)


def test_as_few_batches_at_the_same_time_as_the_window_allows() -> None:
    works = [(10.0, 1)] * 8
    assert [planned(window, 8, *works).parallel for window in (80, 79, 40, 39, 10)] == [1, 2, 2, 3, 8]
    assert planned(None, 3, *works).parallel == 3
    assert planned(None, 3, *works).seconds == 30


def test_what_takes_longest_begins_first_and_small_ones_fill_the_rest() -> None:
    found = planned(12, 2, (3, 1), (10, 1), (2, 1), (6, 1))
    assert [(slot.database, slot.begin, slot.end) for slot in found.slots] == [
        ("d1", 0, 10),
        ("d3", 0, 6),
        ("d0", 6, 9),
        ("d2", 9, 11),
    ]
    assert (found.left, found.seconds) == ([], 11)


def test_a_large_database_is_copied_by_several_batches_at_the_same_time() -> None:
    assert planned(25, 4, (100, 100)).parallel == 4
    assert planned(25, 4, (100, 100)).slots[0].end == pytest.approx(25)
    assert [slot.database for slot in planned(25, 4, (100, 2)).left] == ["d0"]


def test_what_does_not_fit_leaves_its_place_to_others() -> None:
    found = planned(10, 1, (11, 1), (6, 1), (5, 1), (4, 1))
    assert [(slot.database, slot.fits) for slot in found.slots] == [
        ("d1", True),
        ("d3", True),
        ("d0", False),
        ("d2", False),
    ]
    assert found.parallel == 1


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_no_more_runs_at_once_than_is_said(seed: int) -> None:
    chance = random.Random(seed)
    works = [(chance.uniform(0, 100), chance.choice([0, 1, 1, 7])) for _ in range(chance.randrange(1, 30))]
    window = chance.choice([None, chance.uniform(10, 1000)])
    found = planned(window, chance.randrange(1, 9), *works)
    assert sorted(slot.database for slot in found.slots) == sorted(f"d{i}" for i in range(len(works)))
    done = sum(works[int(slot.database[1:])][0] for slot in found.slots if slot.fits)
    assert done <= found.parallel * found.seconds + 1e-6
    assert window is None or found.seconds <= window
