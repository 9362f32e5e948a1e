"""A source that nobody is to write to any more: whether it is so."""

from __future__ import annotations

from functools import partial

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, each
from airflow_provider_tdengine.migration.copying import window
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.following.known import lowest
from airflow_provider_tdengine.migration.following.lookout import digest
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.rows import Transform
from airflow_provider_tdengine.migration.structure import read_structure

_STOP = "It is still written to: stop whoever writes, then clear this task"


class Quiet:
    """What a source has before it is compared, to see whether it has the same afterwards.

    Tables, columns, tags, and how many rows each table has. That a value was overwritten is only told by a topic.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the comparison; its period has an end.

    Raises:
        TDengineError: what no retry cured.
    """

    def __init__(self, source: Catalog, target: Catalog, options: MigrationOptions) -> None:
        structure = read_structure(source, target, options)
        start, end = window(options, structure.source)
        assert end is not None
        self._source = source
        self._scope = structure.scope
        self._transform = Transform.of(options)
        self._end = end
        self._until = options.end
        # Rows that are about to expire go by themselves.
        self._start = lowest(structure, start, end, None)
        self._structure = self._digest()
        self._rows = self._held(self._start, end)

    def check(self, told: int = 0) -> None:
        """See that all is as it was, and that nothing lies behind what was compared.

        Parameters:
            told: how many rows a topic has told of meanwhile.

        Raises:
            MigrationStopped: rows, tables or tags have come or gone, or rows lie behind the end.
            TDengineError: what no retry cured.
        """
        name, findings = f"Source database {self._source.name!r}", []
        if self._digest() != self._structure:
            found = "its tables, columns or tags are others than before they were compared"
            findings.append(Finding(name, found, _STOP))
        if told:
            found = f"{wording.number(told, 'row')} came, or got other values, while they were compared"
            findings.append(Finding(name, found, _STOP))
        now = self._held(self._start, self._end)
        if changed := sorted(dict(self._rows.items() ^ now.items())):
            table = changed[0]
            found = (
                f"{wording.number(len(changed), 'table')} with another number of rows than before they were compared, "
                f"such as {table!r}: {self._rows.get(table, 0):,} before, {now.get(table, 0):,} afterwards"
            )
            findings.append(Finding(name, found, _STOP))
        if behind := sum(self._held(self._end, None).values()):
            found = f"it has {wording.number(behind, 'row')} from {self._until} on, where the comparison ends"
            action = (
                "If it is still written to, stop whoever writes, then clear this task. If they lie in the future, copy "
                "them with a migration of mode history whose start is that moment"
            )
            findings.append(Finding(name, found, action))
        if findings:
            raise MigrationStopped(findings)

    def _digest(self) -> str:
        return persist(partial(digest, self._source, self._scope))

    def _held(self, start: int | None, end: int | None) -> dict[str, int]:
        """How many rows super tables and normal tables have in a period, those that have any."""
        tables = list(map(self._transform.selected, persist(partial(self._source.tables, self._scope))))
        return {one.name: one.rows for one in each(self._source, tables, self._scope, (start, end))}
