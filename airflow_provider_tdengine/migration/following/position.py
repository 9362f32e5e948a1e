"""Up to where a follow has come, and which part of the tables it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from typing_extensions import Self

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Scope
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import typed


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of subtables and normal tables by name, by UTF-8 bytes.

    Parameters:
        first: the first name, None for no first one.
        before: the name before which it ends, None for no end.
    """

    first: str | None = None
    before: str | None = None

    def of(self, scope: Scope) -> Scope:
        """The part of a scope that is in this range."""
        return replace(scope, first=self.first, before=self.before)

    @property
    def label(self) -> str:
        """How it reads in Airflow's grid."""
        if self.first is None and self.before is None:
            return "all tables"
        return f"{self.first or ''} … before {self.before}" if self.before else f"{self.first} …"


def shards(source: Catalog, options: MigrationOptions) -> list[Shard]:
    """The tables of a migration in `follow_shards` ranges of about as many; later names lie in one of them, too."""
    if options.follow_shards == 1:
        return [Shard()]
    scope = Scope.of(options)
    names = sorted(
        (
            name
            for name, stable in source.owners().items()
            if (scope.has_normal_table(name) if stable is None else scope.has_subtable(name, stable))
        ),
        key=str.encode,
    )
    count = min(options.follow_shards, max(1, len(names)))
    bounds = [names[len(names) * i // count] for i in range(1, count)]
    return [Shard(first, before) for first, before in zip([None, *bounds], [*bounds, None], strict=True)]


def follow_facts(watermark: datetime, rows: int, lag: float) -> wording.Facts:
    """What people read of a follow.

    Parameters:
        watermark: all rows before this moment have been copied.
        rows: rows that were copied.
        lag: seconds from the watermark to the newest row.
    """
    return [
        ("rows copied", f"{rows:,}"),
        ("all rows before", watermark.isoformat(timespec="seconds")),
        ("newest row", f"{lag:,.1f} s later"),
    ]


@dataclass(frozen=True, slots=True)
class Known:
    """How many rows of before the watermark the source had when the target was last seen to have them.

    Parameters:
        since: from which timestamp on they were counted, None for the first row.
        until: before which timestamp.
        rows: how many, by groups of tables.
    """

    since: int | None
    until: int
    rows: tuple[int, ...]

    @classmethod
    def from_stored(cls, stored: object) -> Known | None:
        """The inverse of `asdict`, None for nothing.

        Raises:
            TypeError: it is something else.
        """
        match stored:
            case None:
                return None
            case {"since": int() | None as since, "until": int() as until, "rows": [*rows]}:
                return cls(since, until, tuple(map(int, rows)))
        raise TypeError(f"rows that are known are {stored!r}")


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a follow has come: a moment, whose rows before it are all in the target, whoever followed, and how.

    Who asks for rows by their timestamps goes on from that moment. Who is told of changes has a finer place to go on
    from, in the source's log; where the log has lost it, or is not used any more, the moment is still there.

    Parameters:
        of: what is followed; a position of something else is not used.
        watermark: all rows before this timestamp have been copied, in steps of the source.
        since: rows from this timestamp on were counted when the watermark was moved.
        counted: how many there were; None if there were more than could be copied at once.
        known: rows that were before it when both sides were last compared; None where they never were.
        structure: digest of the source's structure that the target has, too; None before the first look at it.
        next_look: when the source is to be looked at again, its structure and rows that are late, in POSIX seconds.
        soonest: when it may be, if there is a reason to.
        lag: seconds from the watermark to the newest row that the source had when it was moved.
        rows: rows that were copied so far; what was copied again counts again.
        vgroups: where in the source's log a subscription goes on, by vgroup; None where nothing was told by one yet,
            or what it told was not all.
        is_odd: whether something has changed that the subscription did not tell: both sides are to be compared.
    """

    of: str
    watermark: int
    since: int
    counted: int | None = 0
    known: Known | None = None
    structure: str | None = None
    next_look: float = 0.0
    soonest: float = 0.0
    lag: float = 0.0
    rows: int = 0
    vgroups: dict[str, int] | None = None
    is_odd: bool = False

    def has_caught_up(self, options: MigrationOptions) -> bool:
        """Whether what is left is what the next round would have had to wait for."""
        return self.counted is not None and self.lag <= options.poll_interval + options.delay

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        known = {**asdict(self.known), "rows": list(self.known.rows)} if self.known else None
        return {**asdict(self), "known": known}

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            TypeError: not what `to_dict` gives.
        """
        plain = {name: value for name, value in stored.items() if name not in ("known", "vgroups")}
        read = typed(cls, plain)
        return replace(read, known=Known.from_stored(stored.get("known")), vgroups=_vgroups(stored.get("vgroups")))


def was_told(stored: Mapping[str, object] | None) -> bool:
    """Whether a position, as it was stored, is that of a subscription."""
    return stored is not None and stored.get("vgroups") is not None


def _vgroups(stored: object) -> dict[str, int] | None:
    """Where a subscription goes on, as it was stored.

    Raises:
        TypeError: it is something else.
    """
    if stored is None:
        return None
    if not isinstance(stored, Mapping) or not all(isinstance(place, int) for place in stored.values()):
        raise TypeError(f"positions of vgroups are {stored!r}")
    return dict(stored)
