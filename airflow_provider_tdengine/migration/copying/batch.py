"""A batch: which range of subtables, over which period, with how many rows; the work of one copy task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise

from typing_extensions import Self

from airflow_provider_tdengine.client.sql import timestamp
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Database, Holding, Period
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import typed

ROWS_A_BATCH = 1_000_000
"""A batch has about this many rows: starting a task costs a second, copying them a few."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The work of one copy task: a range of subtables by name, over a period.

    The batches of a super table leave no name out: a subtable that comes while rows are copied is in one of them.

    Parameters:
        stable: the super table; None for a range of normal tables.
        first: from which name on, by UTF-8 bytes; None for the first one.
        before: before which name; None for no end.
        tables: how many tables had rows in it when it was planned.
        start: from which timestamp on, in steps of the source's precision; None for the first row.
        end: before which timestamp.
        rows: how many rows it had when it was planned.
        batches: how many batches there are in its plan, this one included.
        database: of a fleet, whose rows they are; empty where there is but one.
        pack: of a fleet, the number of the task that copies it.
        names: the first and last table with rows, for people.
        when: the time of its rows, for people.
    """

    stable: str | None
    first: str | None
    before: str | None
    tables: int
    start: int | None
    end: int | None
    rows: int
    batches: int = 1
    database: str = ""
    pack: int = field(default=0, compare=False)
    names: str = field(default="", compare=False)
    when: str = field(default="", compare=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            TypeError: not what `to_dict` gives.
        """
        return typed(cls, values)

    def to_dict(self) -> dict[str, str | int | None]:
        """For JSON."""
        return asdict(self)

    @property
    def identity(self) -> str:
        """What a checkpoint must agree with: tables and period, not the rows, which may have grown."""
        own = [self.stable, self.first, self.before, self.start, self.end, *filter(None, [self.database])]
        return json.dumps(own, ensure_ascii=False)

    @property
    def period(self) -> Period:
        """From which timestamp on, and before which."""
        return self.start, self.end

    @property
    def label(self) -> str:
        """How it reads in Airflow's grid: `meters d0001…d0400 · 2021-01`, behind the database of a fleet."""
        parts = [
            self.database and f"{wording.name(self.database)}:",
            wording.name(self.stable or "tables"),
            self.names,
            self.when and f"· {self.when}",
        ]
        return " ".join(part for part in parts if part)


def window(options: MigrationOptions, database: Database) -> tuple[int | None, int | None]:
    """The period of a migration in steps of a database's precision."""
    return at_or_after(options.window_start, database.precision), at_or_after(options.window_end, database.precision)


def at_or_after(moment: datetime | None, precision: Precision) -> int | None:
    """The first timestamp that is not before a moment, in steps of a precision; None for None."""
    if moment is None:
        return None
    step = Precision.NS.per_second // precision.per_second
    return -(-timestamp(moment, Precision.NS) // step)


def slices(
    holding: Holding, start: int | None, end: int | None, count: int, step: int = 1
) -> list[tuple[int | None, int | None]]:
    """A period in so many parts of about the same length, measured over where the rows lie.

    The first part begins where the period begins, the last one ends where it ends, so that nothing lies between.

    Parameters:
        holding: where the rows lie.
        start: the period's start, None for the first row.
        end: the period's end, None for no end.
        count: how many parts there are at most.
        step: parts meet at multiples of it, so that rows which are one in a coarser target are in one part.
    """
    low = holding.first if start is None else max(holding.first, start)
    high = holding.last + 1 if end is None else min(holding.last + 1, end)
    count = max(1, min(count, high - low))
    inner = {(low + (high - low) * i // count) // step * step for i in range(1, count)}
    bounds = [start, *(bound for bound in sorted(inner) if low < bound < high), end]
    return list(pairwise(bounds))
