"""How far a batch has come, in a form that survives the process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

from typing_extensions import Self

from airflow_provider_tdengine.migration.copying.units import Tally
from airflow_provider_tdengine.migration.storage import typed


@dataclass(slots=True)
class Span:
    """A worker's part of a batch: from a position to an end, by table name and then by time.

    Parameters:
        table: the subtable that is next.
        time: from which timestamp on it is next, in steps of the source; None for its beginning.
        last_table: the subtable at which the span ends.
        last_time: before which timestamp it ends there; None for its end.
        done: whether the end is reached.
    """

    table: str
    time: int | None
    last_table: str
    last_time: int | None
    done: bool = False


@dataclass(slots=True)
class Checkpoint:
    """What is known to have arrived of a batch.

    Parameters:
        batch: the batch's identity; a checkpoint of another one is not used.
        strategy: dense or sparse; a position of one means nothing to the other.
        spans: position of each worker.
        since: from which timestamp on rows are copied: later than the batch's start where older ones were about to
            expire.
        tally: of the rows before the positions.
        expired: rows that were left behind since they were about to expire, when the batch began.
        vanished: tables that the source had when the batch was planned, and has no more.
        retries: how often a worker met an error that a retry may cure.
        began: when it was made, before a row was read, in seconds since 1970 by the worker's clock.
    """

    batch: str
    strategy: str
    spans: list[Span] = field(default_factory=list)
    since: int | None = None
    tally: Tally = field(default_factory=Tally)
    expired: int = 0
    vanished: int = 0
    retries: int = 0
    began: float = field(default_factory=time.time)

    @property
    def is_done(self) -> bool:
        """Whether all of the batch has been copied."""
        return all(span.done for span in self.spans)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "tally": self.tally.to_dict()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            TypeError, KeyError, ValueError: not what `to_dict` gives.
        """
        spans, tally, since = stored["spans"], stored["tally"], stored["since"]
        if not isinstance(spans, list) or not isinstance(tally, Mapping):
            raise TypeError("a checkpoint's spans are no list, or its tally is none")
        return cls(
            str(stored["batch"]),
            _strategy(stored["strategy"]),
            [typed(Span, span) for span in spans],
            None if since is None else int(str(since)),
            Tally.from_dict(tally),
            int(str(stored["expired"])),
            int(str(stored["vanished"])),
            int(str(stored["retries"])),
            float(str(stored["began"])),
        )


def _strategy(stored: object) -> str:
    if stored not in ("dense", "sparse"):
        raise ValueError(f"a checkpoint's strategy is {stored!r}")
    return str(stored)


class ProgressNotSaved(Exception):
    """A checkpoint could not be kept; copying goes on, and the next one may be."""


class ProgressStore(Protocol):
    """Where the checkpoint of one batch is kept."""

    def load(self) -> dict[str, object] | None:
        """What was saved last, None if nothing was."""
        ...

    def save(self, checkpoint: dict[str, object]) -> None:
        """Keep it, in place of what was saved before.

        Raises:
            ProgressNotSaved: it is not kept.
        """
        ...


class MemoryProgress:
    """Keeps a checkpoint in this process, for programs that do not outlive it."""

    def __init__(self) -> None:
        self._saved: dict[str, object] | None = None

    def load(self) -> dict[str, object] | None:
        return self._saved

    def save(self, checkpoint: dict[str, object]) -> None:
        self._saved = checkpoint
