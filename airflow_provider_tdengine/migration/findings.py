"""What is found out about a migration, in words: all of it at once, before anything is written.

A million subtables may have the same thing wrong: of findings of one kind the first are said, of the others names and
their number. So findings take little memory, and fit into a message and an XCom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.secrets import masked
from airflow_provider_tdengine.migration import wording

_SHOWN = 50
"""Lines of a message."""

_SENT = 100
"""Findings that are handed over as JSON, and characters of each of their texts, see `sent`."""
_CHARACTERS = 500

_ALONE, _NAMED = 9, 20
"""Findings of a kind that stand for themselves; names of the others that are said."""


class Severity(str, Enum):
    """What a finding means for the migration."""

    BLOCKER = "blocker"
    """Nothing is written before it is gone."""
    WARNING = "warning"
    """The migration can go on, and something will be missing or otherwise than expected."""
    INFO = "info"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Parameters:
        object: what it is about: an option, a database, a table, a column.
        found: what is there, and what was expected.
        action: what to do.
        severity: what it means; most findings stand in the way.
        kind: what findings have in common that say something else of each object, such as its tags; empty where those
            of a kind say the same.
    """

    object: str
    found: str
    action: str
    severity: Severity = Severity.BLOCKER
    kind: str = ""

    @property
    def is_blocker(self) -> bool:
        return self.severity is Severity.BLOCKER

    @property
    def common(self) -> tuple[str, ...]:
        """What findings of one kind have in common."""
        said = (self.kind,) if self.kind else (self.found, self.action)
        return (self.severity.value, *said)

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        said = {name: masked(value) for name, value in asdict(self).items() if name != "kind"}
        return {**said, "severity": self.severity.value}

    def lines(self) -> list[str]:
        """What was found, and below it what to do."""
        return [masked(f"{self.object}: {self.found}."), masked(f"  → {self.action}.")]

    def __str__(self) -> str:
        return masked(f"{self.object}: {self.found}. {self.action}.")


@dataclass(slots=True)
class _Alike:
    """Findings of one kind.

    Parameters:
        first: those that are said; the last one stands for all others, too.
        names: what some of the others are about.
        others: how many there are.
    """

    first: list[Finding] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    others: int = 0

    def add(self, finding: Finding) -> None:
        if len(self.first) <= _ALONE:
            self.first.append(finding)
            return
        self.others += 1
        if len(self.names) < _NAMED:
            self.names.append(finding.object)

    def said(self) -> list[Finding]:
        if not self.others:
            return self.first
        last = self.first[-1]
        # Such as: Table 'd4' and 96 more ('d5', 'd6', …).
        what = last.object.partition("'")[0]
        names = ", ".join(name.removeprefix(what) for name in self.names)
        more = ", …" if self.others > len(self.names) else ""
        return [*self.first[:-1], replace(last, object=f"{last.object} and {self.others:,} more ({names}{more})")]


class Findings:
    """Findings of any number in little memory, by kind in the order in which kinds came up.

    Parameters:
        found: the first ones.
    """

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self._kinds: dict[tuple[str, ...], _Alike] = {}
        self.add(found)

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
            self._kinds.setdefault(finding.common, _Alike()).add(finding)

    def said(self) -> list[Finding]:
        """All of them: the first ones of a kind as they are, the others as one."""
        return [finding for alike in self._kinds.values() for finding in alike.said()]


def sent(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Findings for JSON that others keep, such as XCom: the most severe ones first, long texts without their end."""
    order = list(Severity)
    ordered = sorted(findings, key=lambda finding: order.index(finding.severity))
    first, rest = ordered[:_SENT], ordered[_SENT:]
    if rest:
        action = "The log of the task has them"
        first.append(Finding(f"{len(rest):,} more findings", "they are left out here", action, rest[0].severity))
    return [{name: wording.beginning(text, _CHARACTERS) for name, text in one.to_dict().items()} for one in first]


def received(findings: Iterable[Mapping[str, str]]) -> list[Finding]:
    """The inverse of `sent`, of findings that stand in the way."""
    return [Finding(one["object"], one["found"], one["action"]) for one in findings]


class MigrationStopped(TDengineError):
    """The migration cannot go on, and trying again would not help.

    Parameters:
        findings: all that stands in the way, at once.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = Findings(findings).said()
        count = len(self.findings)
        lines = [str(finding) for finding in self.findings[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"and {count - _SHOWN:,} more")
        super().__init__(lines[0] if count == 1 else "\n".join([f"{count:,} findings:", *lines]))


def in_lines(error: TDengineError) -> list[str]:
    """An error for people: of findings, each cause and each remedy is a line of its own."""
    if not isinstance(error, MigrationStopped):
        return str(error).splitlines()
    found = error.findings
    more = [f"and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
    heading = [f"{len(found):,} findings:"] if len(found) > 1 else []
    return [*heading, *(line for finding in found[:_SHOWN] for line in finding.lines()), *more]


def stop_on(findings: Iterable[Finding]) -> None:
    """Stop if anything stands in the way.

    Raises:
        MigrationStopped: with all that does.
    """
    if found := Findings(finding for finding in findings if finding.is_blocker).said():
        raise MigrationStopped(found)
