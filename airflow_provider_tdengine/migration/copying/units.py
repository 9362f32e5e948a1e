"""What the two ways of copying have in common: a unit of work, a step done, a worker's two sessions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import singledispatch
from typing import Protocol

from typing_extensions import Self

from airflow_provider_tdengine.client.block import Block
from airflow_provider_tdengine.client.result import Session, counted
from airflow_provider_tdengine.client.sql import where
from airflow_provider_tdengine.migration.catalog import Catalog, Table
from airflow_provider_tdengine.migration.rows import SIZE, Digest

DONE = (1 << 63) - 1
"""The position behind all rows of a table over a period without an end."""


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

    @property
    def behind(self) -> int:
        """The position behind its last row."""
        return DONE if self.end is None else self.end


@dataclass(frozen=True, slots=True)
class Tally:
    """What was done with rows of the source, each counted once.

    Parameters:
        rows: rows that were read, whose fate is known: the target has confirmed them, or they stay behind.
        bytes: of blocks and statements in which they were written.
        rejected: of the rows, those that the target refused and that are kept as dead letters.
        expired: of the rows, those that were let go since they are older than the target keeps.
        collisions: of the rows, those for which a later one stands, since the target counts coarser steps.
        hashes: sum of the hashes of all others, which the target has, modulo 2^64.
        points: values of the rows, their timestamps left out.
        blocks: in how many blocks the source gave them.
    """

    rows: int = 0
    bytes: int = 0
    rejected: int = 0
    expired: int = 0
    collisions: int = 0
    hashes: int = 0
    points: int = 0
    blocks: int = 0

    @property
    def confirmed(self) -> int:
        """Rows that the target has confirmed, those included that a later one has overwritten."""
        return self.rows - self.rejected - self.expired

    @property
    def digest(self) -> Digest:
        """Of the rows that the target has."""
        return Digest(self.confirmed - self.collisions, self.hashes)

    def __add__(self, other: Tally) -> Tally:
        return self._with(other, 1)

    def __sub__(self, other: Tally) -> Tally:
        return self._with(other, -1)

    def _with(self, other: Tally, sign: int) -> Tally:
        counts = {name: getattr(self, name) + sign * getattr(other, name) for name in _COUNTS}
        return Tally(**counts, hashes=(self.hashes + sign * other.hashes) % SIZE)

    def to_dict(self) -> dict[str, int | str]:
        """For JSON, in which many programs have no room for a number of 64 bits."""
        return {**{name: getattr(self, name) for name in _COUNTS}, "hashes": f"{self.hashes:016x}"}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`; it may have other keys, too.

        Raises:
            KeyError, ValueError: not what `to_dict` gives.
        """
        counts = {name: int(str(stored[name])) for name in _COUNTS}
        return cls(**counts, hashes=int(str(stored["hashes"]), 16))


_COUNTS = [one.name for one in fields(Tally) if one.name != "hashes"]


@dataclass(frozen=True, slots=True)
class Step:
    """Rows whose fate is known, and up to where their table is done.

    Parameters:
        table: the table in which the next row is to be read.
        time: from which timestamp on; rows at this timestamp may have been written already, and are not counted yet.
        tally: the rows before it that have not been counted by an earlier step.
    """

    table: str
    time: int | None
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Sessions:
    """A worker's session at the source and its session at the target.

    Parameters:
        source: at the source database.
        target: at the target database.
    """

    source: Session
    target: Session


@contextmanager
def sessions(source: Catalog, target: Catalog) -> Iterator[Sessions]:
    """A worker's two sessions: kept ones, where the databases keep theirs."""
    with source.work_session() as here, target.work_session() as there:
        yield Sessions(here, there)


class Rows(Protocol):
    """Rows that were asked for."""

    def blocks(self) -> Iterator[Block]:
        """Them, block by block; each block can be read once."""
        ...


@singledispatch
def count(session: Session, catalog: Catalog, table: Table, unit: Unit) -> int:
    """How many rows a unit has; 2.x answers no row for none.

    Parameters:
        session: to ask with.
        catalog: the database.
        table: the super table's structure, or the normal table's, as it is read.
        unit: which table, over which period.

    Raises:
        TDengineError: of the kind of failure.
    """
    conditions = where(table.period(unit.start, unit.end))
    return counted(session.query(f"SELECT COUNT(*) FROM {catalog.table(unit.table)}{conditions}"))
