"""What was found out before or after copying, in words and for machines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum

from airflow_provider_tdengine.client.errors import TDengineError

_SHOWN = 50


class Severity(str, Enum):
    """How bad it is."""

    BLOCKER = "blocker"
    """The migration does not start."""

    WARNING = "warning"
    """It starts; somebody should know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands out.

    Parameters:
        object: what it is about: an option, a database, a table, a column.
        found: what is there, and what was expected.
        action: what to do.
        severity: how bad it is.
    """

    object: str
    found: str
    action: str
    severity: Severity = Severity.BLOCKER

    def __str__(self) -> str:
        return f"{self.object}: {self.found}. {self.action}."

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return {
            name: str(value.value if isinstance(value, Severity) else value) for name, value in asdict(self).items()
        }


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


def stop_on_blockers(findings: Iterable[Finding]) -> None:
    """Raise what must be mended first.

    Raises:
        MigrationStopped: with all findings that are blockers.
    """
    blockers = [finding for finding in findings if finding.severity is Severity.BLOCKER]
    if blockers:
        raise MigrationStopped(blockers)
