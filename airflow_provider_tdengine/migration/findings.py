"""What is found out about a migration, in words: all of it at once, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum

from airflow_provider_tdengine.client.errors import TDengineError

_SHOWN = 50


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
    """

    object: str
    found: str
    action: str
    severity: Severity = Severity.BLOCKER

    @property
    def is_blocker(self) -> bool:
        return self.severity is Severity.BLOCKER

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return {**asdict(self), "severity": self.severity.value}

    def __str__(self) -> str:
        return f"{self.object}: {self.found}. {self.action}."


class MigrationStopped(TDengineError):
    """The migration cannot go on, and trying again would not help.

    Parameters:
        findings: all that stands in the way, at once.
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)
        count = len(self.findings)
        lines = [str(finding) for finding in self.findings[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"and {count - _SHOWN} more")
        super().__init__(lines[0] if count == 1 else "\n".join([f"{count} findings:", *lines]))


def stop_on(findings: Iterable[Finding]) -> None:
    """Stop if anything stands in the way.

    Raises:
        MigrationStopped: with all that does.
    """
    if found := [finding for finding in findings if finding.is_blocker]:
        raise MigrationStopped(found)
