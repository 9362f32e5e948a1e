"""Rows that only the target has, as they are shown to the person who decides whether they are deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
    """

    table: str
    first: int
    last: int
    rows: int
    example: str
    precision: str

    def __str__(self) -> str:
        return f"{self.table}: {wording.number(self.rows, 'row')}, {self._period}; the first one has {self.example}"

    @property
    def _period(self) -> str:
        precision = Precision(self.precision)
        moments = dict.fromkeys(wording.moment(steps, precision) for steps in (self.first, self.last))
        return " to ".join(moments)


def by_table(deletions: Iterable[Deletion]) -> list[str]:
    """A line for each table: how many rows, of which time, and an example."""
    lines = []
    for table, group in groupby(sorted(deletions), lambda one: one.table):
        runs = list(group)
        whole = Deletion(
            table, runs[0].first, runs[-1].last, sum(one.rows for one in runs), runs[0].example, runs[0].precision
        )
        lines.append(str(whole))
    return lines
