"""Timestamps of a source as timestamps of a target that counts other steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from airflow_provider_tdengine.client.block import Ints
from airflow_provider_tdengine.client.types import Precision

_LARGEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class TimeScale:
    """How many steps of the target a number of steps of the source is: times one number, divided by another.

    Parameters:
        numerator: steps of the target in one of the source; 1 where the target is coarser.
        denominator: steps of the source in one of the target; 1 where the target is finer.
    """

    numerator: int = 1
    denominator: int = 1

    @classmethod
    def between(cls, source: Precision, target: Precision) -> Self:
        common = math.gcd(source.per_second, target.per_second)
        return cls(target.per_second // common, source.per_second // common)

    @property
    def is_one(self) -> bool:
        """Whether both sides count the same steps."""
        return self.numerator == self.denominator

    @property
    def cuts(self) -> bool:
        """Whether the target is coarser, so that digits are cut."""
        return self.denominator > 1

    def apply(self, steps: int) -> int:
        """A timestamp of the source in steps of the target, cut to the step at or before it."""
        return steps * self.numerator // self.denominator

    def origin(self, steps: int) -> int:
        """A timestamp of the target in steps of the source: the first one that becomes it."""
        return steps * self.denominator // self.numerator

    def apply_array(self, steps: Ints) -> Ints:
        """The same of many timestamps, (rows,)."""
        return steps * self.numerator // self.denominator

    def holds(self, steps: Ints) -> np.bool_:
        """Whether the target can hold all of these timestamps; finer steps are more than 64 bits can count."""
        largest, smallest = _LARGEST // self.numerator, -((_LARGEST + 1) // self.numerator)
        return ((steps <= largest) & (steps >= smallest)).all()

    def window(self, start: int | None, end: int | None) -> tuple[int | None, int | None]:
        """The period of the target in which the rows of a period of the source are.

        Parameters:
            start: from which timestamp on, in steps of the source; None for no start.
            end: before which timestamp; None for no end.
        """
        return None if start is None else self.apply(start), None if end is None else -self.apply(-end)
