"""Some hostile answers of each kind, always the same ones; `python -m tests.fuzz` takes as many as you like."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .targets import TARGETS, check

EXAMPLES = 150

pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in cast:RuntimeWarning")


@pytest.fixture(scope="module", autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_answers_are_understood_or_errors_of_the_package(name: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(TARGETS[name].inputs)
    def hold(hostile: Any) -> None:
        check(TARGETS[name], hostile)

    hold()
