"""What the tasks of a fleet have in common that work on a pack: batch by batch, and what fails stops no other one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.findings import Finding, received, sent

if TYPE_CHECKING:
    from airflow_provider_tdengine.migration.copying import Batch

Part = dict[str, Any]
"""What a batch of a pack came to; of one that failed, `batch`, `failed`: what was found, and `retryable`."""

INSTANCE = "instance"
"""In what a mapped task returns, its number: XComs outlive instances, those that there are no more, too."""


def done_parts(returned: Iterable[Mapping[str, Any]], instances: int) -> list[Part]:
    """What was done, batch by batch, by those instances of a mapped task that there are.

    Parameters:
        returned: by all instances, of batches or of packs.
        instances: how many there are.
    """
    there = [one for one in returned if (one.get(INSTANCE) or 0) < instances]
    return [part for one in there for part in one.get("parts", [one]) if "failed" not in part]


def label_of(values: Mapping[str, object]) -> str:
    """What the grid calls a batch or a pack."""
    from airflow_provider_tdengine.migration.copying import Batch, Pack

    return (Pack.from_dict(values) if "parts" in values else Batch.from_dict(values)).label


def each_part(batches: Iterable[Batch], act: Callable[[Batch], Part]) -> list[Part]:
    """Do something with each batch of a pack.

    Raises:
        Stopped: somebody asked for a stop.
        TDengineError: one that a retry may cure has met two databases in a row, so it is the server's.
    """
    from airflow_provider_tdengine.migration.fleet import findings_of

    parts: list[Part] = []
    away = ""
    for batch in batches:
        try:
            parts.append(act(batch))
            away = ""
        except TDengineError as error:
            if error.retryable and away not in ("", batch.database):
                raise
            findings = sent(findings_of(batch.database, error))
            parts.append({"batch": batch.to_dict(), "failed": findings, "retryable": error.retryable})
            away = batch.database if error.retryable else ""
    return parts


def broken_of(parts: Iterable[Part]) -> dict[str, list[Finding]]:
    """What stands in the way of databases of which parts failed."""
    broken: dict[str, list[Finding]] = {}
    for part in parts:
        if "failed" in part:
            broken.setdefault(part["batch"]["database"], []).extend(received(part["failed"]))
    return broken


def sums(parts: Sequence[Part]) -> Part:
    """What a pack came to: its parts, and what they add up to, under the names that a single batch has."""
    from airflow_provider_tdengine.migration.copying import Tally

    done = [part for part in parts if "copied" in part]
    counts = ("rows", "bytes", "rejected", "expired", "collisions", "seconds")
    tally = sum((Tally.from_dict(part["copied"]["tally"]) for part in done), Tally())
    return {
        "parts": list(parts),
        "copied": {"tally": tally.to_dict()},
        **{name: sum(part[name] for part in done) for name in counts},
        "failed": len(parts) - len(done),
    }
