"""The numbers of a migration: what it adds up to, and what it was over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.page.migrations import LIVE, Cell, Migration


def totals(
    migration: Migration,
    batches: Sequence[Cell],
    created: Mapping[str, Any] | None,
    certificate: Mapping[str, Any] | None,
    now: datetime,
) -> dict[str, int | float | str]:
    """The numbers of a migration by what they are called; those that are not known yet are left out.

    Parameters:
        migration: whose.
        batches: its copy tasks.
        created: what schema sync did, see `migration.structure.SchemaReport`.
        certificate: what proves it, see `migration.comparing.certificate`.
        now: for times that go on.
    """
    progress, created, proof = migration.progress, created or {}, certificate or {}
    running = [cell for cell in batches if cell.state == "running"]
    done = [cell for cell in batches if cell.state == "success"]
    proofs = proof.get("databases", [proof])
    known = {
        "Databases": len(migration.asked.databases) if migration.asked.is_fleet else None,
        "Super tables": sum(not name.startswith("(") for one in proofs for name in one.get("super_tables", {})),
        "Tables": sum(cell.tables for cell in batches) or proof.get("tables"),
        "Finished tables": sum(cell.tables for cell in done),
        "Created tables": created.get("tables"),
        "Updated tags": created.get("tags"),
        "Rows": progress.rows + progress.followed,
        "Refused rows": progress.rejected,
        "Points": progress.points,
        "Blocks": progress.blocks,
        "Written": wording.size(progress.bytes) if progress.bytes else None,
        "Batches at a time": len(running),
        "Read concurrency": len(running) * int(str(migration.option("workers"))),
        "Execution time": _said(migration.duration(now)),
        "Execution time, this try": _said(migration.last_duration(now)) if _was_cleared(migration) else None,
        "Copying, last tries": wording.duration(progress.seconds) if progress.seconds else None,
        "Tries": max((cell.tries for cell in batches), default=None),
    }
    return {name: value for name, value in known.items() if value not in (None, "", 0)}


def _was_cleared(migration: Migration) -> bool:
    """Whether the run was started again after its first task had begun."""
    return bool(migration.run.started and migration.began and migration.run.started > migration.began)


def _said(seconds: float | None) -> str | None:
    return None if seconds is None else wording.duration(seconds)


# --- Over time


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time.

    Parameters:
        began: moment of the first value, in seconds since 1970.
        ended: moment of the last one.
        values: at even distances.
    """

    began: float
    ended: float
    values: Sequence[float]

    @property
    def highest(self) -> float:
        return max(self.values, default=0.0)


_STEPS = 80


def speed(cells: Sequence[Cell], now: datetime) -> Curve | None:
    """Rows a second of all batches together; None before there were any."""
    pieces = [piece for cell in cells for piece in _pieces(cell, now)]
    if not pieces:
        return None
    began, ended = min(since for since, _, _ in pieces), max(until for _, until, _ in pieces)
    step = max((ended - began) / _STEPS, 1e-3)
    sums = [0.0] * _STEPS
    for since, until, rows in pieces:
        for place in range(int((since - began) / step), min(_STEPS, int((until - began) / step) + 1)):
            low = began + place * step
            common = min(until, low + step) - max(since, low)
            sums[place] += rows * max(0.0, common) / (until - since)
    return Curve(began, ended, [rows / step for rows in sums])


def _pieces(cell: Cell, now: datetime) -> Iterator[tuple[float, float, float]]:
    """From when until when a batch came forward by how many rows, evenly as far as that is known."""
    points = [(float(point[0]), int(point[1])) for point in cell.pace.get("points") or ()]
    if not points:
        if cell.ended and cell.seconds and cell.rows:
            ended = cell.ended.timestamp()
            yield ended - cell.seconds, ended, cell.rows
        return
    last = cell.ended.timestamp() if cell.ended and cell.state not in LIVE else now.timestamp()
    for (since, before), (until, rows) in pairwise([*points, (max(last, points[-1][0]), cell.rows)]):
        # Between two tries nothing came, and one that starts over has fewer rows than before.
        if until > since and rows > before:
            yield since, until, rows - before


def lags(cells: Sequence[Cell]) -> Curve | None:
    """Seconds behind the newest row, of the slowest shard; None where nothing follows."""
    points = sorted(
        (float(at), float(lag)) for cell in cells for at, _, lag in cell.pace.get("points") or () if lag is not None
    )
    if len(points) < 2:
        return None
    began, ended = points[0][0], points[-1][0]
    step = max((ended - began) / _STEPS, 1e-3)
    values: list[float] = []
    for place in range(_STEPS):
        there = [lag for at, lag in points if place <= (at - began) / step < place + 1]
        values.append(max(there) if there else values[-1] if values else 0.0)
    return Curve(began, ended, values)
