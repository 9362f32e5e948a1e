"""What a copy task of a fleet does: batches of several databases, so that many small ones are a few tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from typing_extensions import Self

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.copying.batch import ROWS_A_BATCH, Batch

ROWS_A_PACK = 2_500_000
"""A pack has about this many rows at most: the fewer tasks, the less Airflow takes, two seconds of CPU each."""

SIDE_BY_SIDE = 4
"""So many packs there are, where their rows are enough for as many batches: as many tasks as run by default."""

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
        """How it reads in Airflow's grid: `plant_01…plant_04`, or what its only batch is called.

        Of what a copy task returns, nothing may be left: its databases have gone.
        """
        if len(self.parts) == 1:
            return self.parts[0].label
        names = list(dict.fromkeys(part.database for part in self.parts))
        if not names:
            return "nothing"
        if len(names) == 1:
            return f"{wording.name(names[0])}: {wording.number(len(self.parts), 'batch', 'batches')}"
        return "…".join(map(wording.name, (names[0], names[-1])))


def packed(batches: Sequence[Batch], planned: Sequence[Batch], most: int) -> list[Pack]:
    """Batches in packs, in order.

    Parameters:
        batches: that are in none yet, of all databases of a fleet.
        planned: those of packs that an earlier plan has made, which stay what they are.
        most: packs, if that can be; they have more rows then.
    """
    packs: dict[int, list[Batch]] = {}
    for batch in planned:
        packs.setdefault(batch.pack, []).append(batch)
    rows = sum(batch.rows for batch in batches)
    size, parts = min(max(ROWS_A_BATCH, rows // SIDE_BY_SIDE), ROWS_A_PACK), PARTS
    new = list(_packed(batches, size, parts))
    while len(packs) + len(new) > most and len(new) > 1:
        size, parts = 2 * size, 2 * parts
        new = list(_packed(batches, size, parts))
    for number, pack in enumerate(new, max(packs, default=-1) + 1):
        packs[number] = [replace(batch, pack=number) for batch in pack]
    return [Pack(tuple(replace(part, batches=len(packs)) for part in pack)) for _, pack in sorted(packs.items())]


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
