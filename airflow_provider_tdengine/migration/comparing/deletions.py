"""Rows that only the target has, as they are shown to the person who decides whether they are deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording


@dataclass(frozen=True, slots=True, order=True)
class Deletion:
    """A run of rows of a table of the target, with none of the source between them. Who approves it, means just these.

    Parameters:
        table: the table in the target.
        first: timestamp of the first row, in steps of the target.
        last: timestamp of the last one.
        rows: how many there are.
        example: the values of the first one, in words.
        precision: of the target.
        hashes: what the hashes of all of them add up to.
    """

    table: str
    first: int
    last: int
    rows: int
    example: str
    precision: str
    hashes: str

    def __str__(self) -> str:
        return f"{self.table}: {wording.number(self.rows, 'row')}, {self._period}; the first one has {self.example}"

    @property
    def _period(self) -> str:
        return " to ".join(dict.fromkeys(map(self._moment, (self.first, self.last))))

    def _moment(self, steps: int) -> str:
        precision = Precision(self.precision)
        fraction = str(precision.per_second + steps % precision.per_second)[1:]
        return wording.moment(steps, precision, f"%Y-%m-%d %H:%M:%S.{fraction}")


def by_table(deletions: Iterable[Deletion]) -> list[str]:
    """A line for each table: how many rows, of which time, and an example."""
    lines = []
    for _, group in groupby(sorted(deletions), lambda one: one.table):
        runs = list(group)
        lines.append(str(replace(runs[0], last=runs[-1].last, rows=sum(one.rows for one in runs))))
    return lines
