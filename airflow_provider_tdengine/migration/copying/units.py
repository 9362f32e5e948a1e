"""What the two ways of copying have in common: a unit of work, a step done, a worker's two sessions."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from typing_extensions import Self

from airflow_provider_tdengine.client.result import Session, all_rows
from airflow_provider_tdengine.client.sql import where
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying.rejected import NONE_REFUSED, Refused


@dataclass(frozen=True, slots=True)
class Unit:
    """One subtable or normal table over a period.

    Parameters:
        table: its name.
        start: from which timestamp on, in steps of the source; None for the first row.
        end: before which timestamp, None for no end.
        rows: how many rows there are, as far as known before reading.
        exact: whether `rows` was counted for just this period.
    """

    table: str
    start: int | None
    end: int | None
    rows: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Step:
    """Rows that the target has confirmed, and up to where the table is done.

    Parameters:
        table: the table in which the next row is to be read.
        time: from which timestamp on; rows at this timestamp may have been written already.
        rows: how many rows were confirmed in this step.
        bytes: in how many bytes of blocks and statements.
        refused: what became of rows that the target refused.
        collisions: how many of the confirmed rows have the primary key of a later one, which is there for them.
    """

    table: str
    time: int | None
    rows: int
    bytes: int
    refused: Refused = NONE_REFUSED
    collisions: int = 0


class Sessions:
    """A worker's session at the source and its session at the target, opened together and closed together.

    Parameters:
        source: the source database.
        target: the target database.
    """

    def __init__(self, source: Catalog, target: Catalog) -> None:
        self.source: Session = source.client.session(source.name)
        try:
            self.target: Session = target.client.session(target.name)
        except BaseException:
            self.source.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.close()
        self.target.close()


def count(session: Session, table: str, conditions: list[str]) -> int:
    """How many rows a table has under conditions; 2.x answers no row for none."""
    rows = all_rows(session.query(f"SELECT COUNT(*) FROM {table}{where(conditions)}"))
    return int(str(rows[0][0])) if rows else 0
