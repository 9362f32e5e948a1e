"""What a comparison came to, in one sentence: equal, equal but for what was left out, different, not compared.

All who tell of a comparison, the logs, the certificate, XComs, assets and the command line, take their words from here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from enum import Enum

from airflow_provider_tdengine.migration.wording import number


class Kind(str, Enum):
    """What kind of verdict it is."""

    EQUAL = "equal"
    """The target has all rows of the source, and no others."""
    EQUAL_BUT = "equal_but"
    """What was compared is the same, and rows of the source have been left out, which are counted."""
    DIFFERENT = "different"
    NOT_COMPARED = "not_compared"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was counted, and what that means.

    Parameters:
        tables: how many tables with rows were compared.
        rows: rows of the source in the migration's scope and period, when they were compared; those that have been
            left out may be among them.
        arrived: rows of the target in these tables.
        refused: rows that the target refused, and that wait as dead letters.
        expired: rows that were left behind at the border of KEEP: one side does not keep them, or soon will not.
        collisions: rows for which a later one stands, since the target counts coarser steps.
        after_end: rows at or after the end of history, where nobody has asked for that end.
        vanished: tables that the source had when the migration was planned, and has no more.
        late: rows that the source has got while it was compared; they are followed.
        reread: batches whose source had other rows than those that were copied, and was read again.
        different: how many tables differ.
        missing: rows that the target lacks, as far as they have been told apart.
        changed: rows with other values there, as far as they have been told apart.
        extra: rows that only the target has, as far as they have been told apart.
        as_of: since when rows were read that were compared by the copy's digest, in seconds since 1970; None where
            both sides were read, or asked.
        not_compared: why nothing was compared; empty where something was.
    """

    tables: int = 0
    rows: int = 0
    arrived: int = 0
    refused: int = 0
    expired: int = 0
    collisions: int = 0
    after_end: int = 0
    vanished: int = 0
    late: int = 0
    reread: int = 0
    different: int = 0
    missing: int = 0
    changed: int = 0
    extra: int = 0
    as_of: float | None = None
    not_compared: str = ""

    @classmethod
    def of(cls, databases: Mapping[str, Verdict], broken: Collection[str]) -> Verdict:
        """What the databases of a fleet came to together.

        Parameters:
            databases: those that were compared.
            broken: those that were not.
        """
        found = databases.values()
        sums = {
            one.name: sum(getattr(verdict, one.name) for verdict in found) for one in fields(cls) if one.type == "int"
        }
        # One that has too many rows, and one that has too few, are not equal together.
        sums["different"] += sum(not verdict.different for verdict in found if verdict.kind is Kind.DIFFERENT)
        return cls(
            **sums,
            as_of=min((verdict.as_of for verdict in found if verdict.as_of is not None), default=None),
            not_compared=f"{', '.join(broken)}, of {len(databases) + len(broken):,} databases" if broken else "",
        )

    @property
    def kind(self) -> Kind:
        """Different is what was found to be so, and what does not add up."""
        if self.different or not self._adds_up:
            return Kind.DIFFERENT
        if self.not_compared:
            return Kind.NOT_COMPARED
        if self._left_out or self.after_end or self.vanished:
            return Kind.EQUAL_BUT
        return Kind.EQUAL

    @property
    def is_equal(self) -> bool:
        """Whether the target has all rows of the source, and no others."""
        return self.kind is Kind.EQUAL

    @property
    def is_whole(self) -> bool:
        """Whether all has arrived that was to arrive: nothing differs, and no row was refused."""
        return self.kind in (Kind.EQUAL, Kind.EQUAL_BUT) and not self.refused

    @property
    def label(self) -> str:
        """The verdict in a few words, such as for a title."""
        if self.kind is Kind.EQUAL_BUT:
            return f"{number(self.refused, 'row')} refused" if self.refused else f"equal but for {self._exceptions}"
        return str(self.kind.value).replace("_", " ")

    @property
    def words(self) -> str:
        """The verdict in a sentence. It is never called equal when rows were refused."""
        if self.kind is Kind.DIFFERENT:
            return self._different
        if self.kind is Kind.NOT_COMPARED:
            return f"Not compared: {self.not_compared}"
        if self.refused:
            besides = f"; left out as well: {self._exceptions}" if self._exceptions else ""
            return f"{self._share} rows arrived, {self.refused:,} refused{besides}"
        where = f"in {number(self.tables, 'table')}"
        equal = "Equal" if self.as_of is None else "Equal as copied"
        if self.kind is Kind.EQUAL:
            return f"{equal}: {number(self.rows, 'row')} {where}"
        rows = f"{self._share} rows" if self._left_out else number(self.arrived, "row")
        return f"{equal} but for {self._exceptions}: {rows} {where}"

    @property
    def notes(self) -> list[str]:
        """A sentence for each thing that has been left out, and why."""
        return list(self._notes())

    def to_dict(self) -> dict[str, object]:
        """For JSON: kind, words, and the counts."""
        return {"kind": self.kind.value, "words": self.words, **asdict(self)}

    @property
    def _left_out(self) -> int:
        """Rows of the source that the target is not expected to have."""
        return self.refused + self.expired + self.collisions + self.late

    @property
    def _adds_up(self) -> bool:
        """Whether rows that the target lacks can be those that were left out."""
        return bool(self.not_compared) or 0 <= self.rows - self.arrived <= self._left_out

    @property
    def _share(self) -> str:
        return f"{self.arrived:,} of {self.arrived + self._left_out:,}"

    @property
    def _exceptions(self) -> str:
        """What has been left out beside refused rows."""
        counts = [
            (self.expired, f"{number(self.expired, 'expired row')}"),
            (self.collisions, f"{number(self.collisions, 'row')} for which a later one stands"),
            (self.late, f"{number(self.late, 'row')} that came meanwhile"),
            (self.after_end, f"{number(self.after_end, 'row')} at or after the end of history"),
            (self.vanished, f"{number(self.vanished, 'table')} that vanished from the source"),
        ]
        *most, last = [text for count, text in counts if count] or [""]
        return f"{', '.join(most)} and {last}" if most else last

    @property
    def _different(self) -> str:
        of_all = f" of {self.tables:,}" if self.different <= self.tables else ""
        counts = [(self.missing, "missing"), (self.changed, "changed"), (self.extra, "only in the target")]
        rows = ", ".join(f"{count:,} {what}" for count, what in counts if count)
        if not self.different:
            said = f"{number(self.rows, 'row')} in the source, {self.arrived:,} in the target"
        else:
            noun = "table" if (self.tables if of_all else self.different) == 1 else "tables"
            said = f"{self.different:,}{of_all} {noun}" + (f"; of their rows {rows}" if rows else "")
        return f"Different: {said}" + (f"; {number(self.refused, 'row')} refused" if self.refused else "")

    def _notes(self) -> Iterator[str]:
        if self.refused:
            yield f"The target refused {number(self.refused, 'row')}; dead letters keep them."
        if self.expired:
            yield f"Left out as one side does not keep rows that old, or soon will not: {number(self.expired, 'row')}."
        if self.collisions:
            yield (
                f"{number(self.collisions, 'row')} of the source {_have(self.collisions)} the timestamp of a later one "
                "when it is cut to the target's precision; the later one is there."
            )
        if self.after_end:
            yield (
                f"At or after the end of history, where this run was created, the source has "
                f"{number(self.after_end, 'row')}: give a later end, or follow them with mode both."
            )
        if self.late:
            yield f"While it was compared, the source got {number(self.late, 'row')} of that time: they are followed."
        if self.vanished:
            yield f"Since the migration was planned, {number(self.vanished, 'table')} vanished from the source."
        if self.reread:
            yield (
                f"The source of {number(self.reread, 'batch', 'batches')} changed after it was copied, and was read "
                "again."
            )
        if self.as_of is not None and self.kind in (Kind.EQUAL, Kind.EQUAL_BUT):
            moment = datetime.fromtimestamp(self.as_of, timezone.utc)
            yield (
                f"The target has what the source had when it was copied, from {moment:%Y-%m-%d %H:%M:%S} UTC on. "
                "Values that were changed there since have not been compared."
            )


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
