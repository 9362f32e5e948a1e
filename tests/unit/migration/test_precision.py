"""Timestamps in other steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.precision import TimeScale

SCALES = [TimeScale.between(source, target) for source in Precision for target in Precision]
STEPS = st.integers(-(10**12), 10**12)


@pytest.mark.parametrize("time", SCALES, ids=str)
@given(start=STEPS, length=st.integers(0, 10**7), offset=STEPS)
def test_a_period_of_the_target_holds_just_the_rows_of_the_source(
    time: TimeScale, start: int, length: int, offset: int
) -> None:
    low, high = time.window(start, start + length)
    assert low == time.apply(start)
    assert high is not None
    if length:
        assert low <= time.apply(start + offset % length) < high
        # What is outside falls at most onto the same step as the last row inside.
        assert high == (time.apply(start + length - 1) + 1 if time.cuts else time.apply(start + length))


@pytest.mark.parametrize("time", SCALES, ids=str)
@given(steps=st.lists(STEPS, max_size=9))
def test_arrays_are_as_numbers(time: TimeScale, steps: list[int]) -> None:
    array = np.array(steps, np.int64)
    assert time.apply_array(array).tolist() == [time.apply(step) for step in steps]
    assert time.holds(array)


def test_scales() -> None:
    assert TimeScale.between(Precision.MS, Precision.NS) == TimeScale(10**6, 1)
    assert TimeScale.between(Precision.NS, Precision.US) == TimeScale(1, 1000)
    assert TimeScale.between(Precision.US, Precision.US).is_one
    assert TimeScale.between(Precision.NS, Precision.MS).cuts
    assert TimeScale(1, 1000).apply(-1) == -1
    assert TimeScale(1, 1000).window(None, None) == (None, None)
    assert not TimeScale(1000, 1).holds(np.array([0, (1 << 63) // 1000 + 1]))
