"""A source that nobody is to write to any more: whether it is so."""

from __future__ import annotations

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, each
from airflow_provider_tdengine.migration.copying import window
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import read_structure


class Quiet:
    """Counts the rows of a source before it is compared, and again afterwards.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the comparison; its period has an end.

    Raises:
        TDengineError: what no retry cured.
    """

    def __init__(self, source: Catalog, target: Catalog, options: MigrationOptions) -> None:
        self._source = source
        self._options = options
        self._structure = read_structure(source, target, options)
        self._before = self._count(*window(options, self._structure.source))

    def check(self) -> None:
        """See that all is as it was, and that nothing lies behind what was compared.

        Raises:
            MigrationStopped: rows have come, have gone, or lie behind the end.
            TDengineError: what no retry cured.
        """
        start, end = window(self._options, self._structure.source)
        findings = []
        if (now := self._count(start, end)) != self._before:
            found = f"it had {wording.number(self._before, 'row')} before they were compared, and {now:,} afterwards"
            action = "It is still written to: stop whoever writes, then clear this task"
            findings.append(Finding(f"Source database {self._source.name!r}", found, action))
        if end is not None and (behind := self._count(end, None)):
            found = f"it has {wording.number(behind, 'row')} from {self._options.end} on, where the comparison ends"
            action = (
                "If it is still written to, stop whoever writes, then clear this task. If they lie in the future, copy "
                "them with a migration of mode history whose start is that moment"
            )
            findings.append(Finding(f"Source database {self._source.name!r}", found, action))
        if findings:
            raise MigrationStopped(findings)

    def _count(self, start: int | None, end: int | None) -> int:
        tables = [pair.source for pair in self._structure.pairs]
        return sum(one.rows for one in each(self._source, tables, self._structure.scope, (start, end)))
