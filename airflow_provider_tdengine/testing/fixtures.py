"""Pytest fixtures: TDengine in a box, for tests of this package and of its users.

Registered as a pytest plugin, so it is imported in every test run where the package is installed: the server
itself is imported by the fixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_tdengine.testing.box import TDengineBox

    MakeBox = Callable[..., TDengineBox]


@pytest.fixture
def make_tdengine_box() -> Iterator[MakeBox]:
    """Starts boxes: a function with the parameters of `TDengineBox`. They stop when the test ends."""
    from airflow_provider_tdengine.testing.box import TDengineBox  # noqa: PLC0415

    with ExitStack() as boxes:
        yield lambda **parameters: boxes.enter_context(TDengineBox(**parameters))


@pytest.fixture
def tdengine_2(make_tdengine_box: MakeBox) -> TDengineBox:
    """A running TDengine 2.4.0.18."""
    return make_tdengine_box(version="2.4.0.18")


@pytest.fixture
def tdengine_3(make_tdengine_box: MakeBox) -> TDengineBox:
    """A running TDengine 3.3.3.0."""
    return make_tdengine_box(version="3.3.3.0")
