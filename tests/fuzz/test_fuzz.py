"""Some hostile answers of each kind, always the same ones; `python -m tests.fuzz` takes as many as you like."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from .targets import TARGETS, check

INPUTS = {"catalog": 50}
"""Fewer than of others where each is a whole conversation."""


@pytest.fixture(scope="module", autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_answers_are_understood_or_errors_of_the_package(name: str) -> None:
    for seed in range(INPUTS.get(name, 300)):
        try:
            check(name, seed)
        except Exception as error:
            raise AssertionError(f"python -m tests.fuzz --first {seed} {name}") from error
