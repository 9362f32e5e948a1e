"""What stands in the way of a migration, in words: all of it at once, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import TDengineError

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands in the way.

    Parameters:
        object: what it is about: an option, a database, a table, a column.
        found: what is there, and what was expected.
        action: what to do.
    """

    object: str
    found: str
    action: str

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
    """Stop if anything was found.

    Raises:
        MigrationStopped: with all findings.
    """
    if found := list(findings):
        raise MigrationStopped(found)
