"""What a copy task of a fleet does: batches of several databases, so that many small ones are a few tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from typing_extensions import Self

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.copying.batch import ROWS_A_BATCH, Batch

PARTS = 100
"""Batches of a pack, at most."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Batches that one task copies, one after the other, each with a checkpoint of its own.

    Parameters:
        parts: of one or several databases of a fleet.
    """

    parts: tuple[Batch, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            TypeError: not what `to_dict` gives.
        """
        parts = values.get("parts")
        if not isinstance(parts, list):
            raise TypeError(f"a pack's parts are {parts!r}")
        return cls(tuple(map(Batch.from_dict, parts)))

    def to_dict(self) -> dict[str, object]:
        """For JSON; rows and tables are for those who show it."""
        return {
            "parts": [part.to_dict() for part in self.parts],
            "rows": self.rows,
            "tables": sum(part.tables for part in self.parts),
        }

    @property
    def rows(self) -> int:
        """As its batches were planned."""
        return sum(part.rows for part in self.parts)

    @property
    def label(self) -> str:
        """How it reads in Airflow's grid: `plant_01…plant_04`, or what its only batch is called."""
        if len(self.parts) == 1:
            return self.parts[0].label
        names = list(dict.fromkeys(part.database for part in self.parts))
        if len(names) == 1:
            return f"{wording.name(names[0])}: {wording.number(len(self.parts), 'batch', 'batches')}"
        return "…".join(map(wording.name, (names[0], names[-1])))


def packed(batches: Sequence[Batch], most: int) -> list[Pack]:
    """Batches in packs of about a batch's usual size, in order: with more batches behind them, the packs stay.

    Parameters:
        batches: of all databases of a fleet.
        most: packs, if that can be; they have more rows then.
    """
    size, parts = ROWS_A_BATCH, PARTS
    packs = list(_packed(batches, size, parts))
    while len(packs) > most and len(packs) > 1:
        size, parts = 2 * size, 2 * parts
        packs = list(_packed(batches, size, parts))
    return [Pack(tuple(replace(part, batches=len(packs)) for part in pack)) for pack in packs]


def _packed(batches: Sequence[Batch], size: int, parts: int) -> Iterator[list[Batch]]:
    pack: list[Batch] = []
    rows = 0
    for batch in batches:
        if pack and (rows + batch.rows > size or len(pack) == parts):
            yield pack
            pack, rows = [], 0
        pack.append(batch)
        rows += batch.rows
    if pack:
        yield pack
