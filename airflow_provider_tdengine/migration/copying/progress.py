"""How far a batch has come, in a form that survives the process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Protocol

from typing_extensions import Self


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
        rows: rows confirmed by the target; what was read again counts again.
        bytes: bytes of blocks and statements confirmed by the target.
        rejected: rows that the target refused and that are kept as dead letters.
        expired: rows that were let go, since they are older than the target keeps and `on_expired` is skip.
        collisions: rows that a later row stands for, since the target counts coarser steps; they count as confirmed.
        retries: how often a worker met an error that a retry may cure.
    """

    batch: str
    strategy: str
    spans: list[Span] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    rejected: int = 0
    expired: int = 0
    collisions: int = 0
    retries: int = 0

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            TypeError, KeyError: not what `to_dict` gives.
        """
        spans = stored["spans"]
        if not isinstance(spans, list):
            raise TypeError("a checkpoint's spans are no list")
        return cls(
            str(stored["batch"]),
            str(stored["strategy"]),
            [Span(**span) for span in spans],
            int(str(stored["rows"])),
            int(str(stored["bytes"])),
            int(str(stored["rejected"])),
            int(str(stored["expired"])),
            int(str(stored["collisions"])),
            int(str(stored["retries"])),
        )


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
