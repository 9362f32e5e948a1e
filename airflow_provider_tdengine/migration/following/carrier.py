"""Who brings rows and structure over for a follow, a round of it or a look beside the rounds."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from airflow_provider_tdengine.client.errors import AlreadyExists, StructureChanged, TableMissing
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped, until_stopped
from airflow_provider_tdengine.migration.catalog import Catalog, Holding, Holdings, Period, Scope, holdings
from airflow_provider_tdengine.migration.copying import (
    ROWS_A_BATCH,
    Batch,
    DeadLetters,
    MemoryProgress,
    StructureOutdated,
    copy_batch,
    kept_since,
    settle,
    short_name,
    window,
)
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.following.lookout import changes
from airflow_provider_tdengine.migration.options import ASK, MigrationOptions
from airflow_provider_tdengine.migration.planning import cut_batches
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.structure import (
    SchemaReport,
    SchemaSync,
    Structure,
    TablePair,
    read_structure,
)

log = logging.getLogger(__name__)

_T = TypeVar("_T")

CURES = 5
"""How often it begins again since columns have come up, or tables have gone, in its middle."""


class ChangesProposed(MigrationStopped):
    """The source's structure has changed, and a person is to be asked before the target gets the same.

    Parameters:
        statements: what would be run in the target.
    """

    def __init__(self, statements: Sequence[str]) -> None:
        found = f"it is ask, and {wording.number(len(statements), 'statement')} would be run, such as {statements[0]}"
        super().__init__([Finding("Option 'on_schema_change'", found, "Run them, or set it to evolve")])
        self.statements = tuple(statements)


OUTDATED = (StructureOutdated, StructureChanged, TableMissing)
"""What is raised where tables or columns are not those that were read."""


@dataclass(slots=True)
class Counts:
    """What has been copied so far.

    Parameters:
        rows: rows that the target confirmed.
        tables: how many tables had rows.
        rejected: rows that the target refused and that are kept as dead letters.
    """

    rows: int = 0
    tables: int = 0
    rejected: int = 0


class Carrier:
    """Brings rows and structure over.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        scope: what is followed.
        letters: where refused rows are kept, beside those of history; None where the first one ends it.
        approved: statements that a person has approved, where `on_schema_change` is ask.
    """

    def __init__(
        self,
        source: Catalog,
        target: Catalog,
        options: MigrationOptions,
        scope: Scope,
        letters: Path | None,
        approved: Container[str] = (),
    ) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._scope = scope
        self._letters = letters
        self._approved = approved
        self._stop = threading.Event()
        self._stopping = False
        self._structure: Structure | None = None
        self._parts = 1
        """Among how many limits of speed are divided."""
        self._lacking: set[str] = set()
        """Tables that the target was seen not to have: they wait until the structure is looked at."""

    def stop(self) -> None:
        """End what runs soon."""
        self._stopping = True
        self._stop.set()

    def _ask(self, action: Callable[[], _T]) -> _T:
        """Ask the servers something, over retries, and not beyond a stop."""
        stop = self._new_stop()
        return until_stopped(partial(persist, action, stop), stop)

    def _new_stop(self) -> threading.Event:
        """What a stop will set. Each action has one of its own: a batch that fails sets it, too."""
        self._stop = threading.Event()
        if self._stopping:
            raise Stopped
        return self._stop

    def _cured(self, action: Callable[[], _T]) -> _T:
        """Do something, again where tables or columns turn out not to be those that were read."""
        for cures in range(CURES + 1):
            try:
                return action()
            except OUTDATED as outdated:
                if cures == CURES:
                    raise
                self._adapt(outdated)
        raise AssertionError

    # --- Rows

    @property
    def _period(self) -> tuple[int | None, int]:
        """From when on rows are meant at all, None for the first one, and from when on they are followed."""
        start, end = window(self._options, self._current().source)
        assert end is not None
        return (end if self._options.mode == "realtime" else start), end

    def _lookback(self, watermark: int) -> int:
        """From when on rows are read that come before a watermark."""
        start = watermark - self._options.lookback * self._current().source.precision.per_second
        begin, _ = self._period
        return start if begin is None else max(begin, start)

    def _kept(self, start: int, end: int) -> int:
        """The start of a period, later where rows are skipped that are older than the target keeps."""
        period, treatment = (start, end), self._options.on_expired
        structure = self._current()
        self._ask(lambda: settle(self._source, self._target, structure, period, treatment))
        if treatment == "skip" and structure.target:
            # By the clock of the one who keeps them.
            now = datetime.fromtimestamp(self._ask(self._target.clock), timezone.utc)
            return kept_since(start, structure.target, now, structure.source.precision) or start
        return start

    def _holdings(self, pair: TablePair, start: int | None, end: int, scope: Scope | None = None) -> Holdings:
        return self._ask(lambda: holdings(self._source, pair.source, scope or self._scope, (start, end)))

    def _copy(self, found: Mapping[str, Holdings], start: int | None, end: int, counts: Counts) -> int:
        """Copy rows of a period; those of tables that the target does not have are left to the next look.

        Parameters:
            found: where they lie, by super table or normal table.
            start: the period's start.
            end: the period's end.
            counts: what is added to.

        Returns:
            How many rows the target confirmed.
        """
        structure = self._current()
        groups: dict[str | None, list[Holding]] = defaultdict(list)
        for pair in structure.pairs:
            there = found.get(pair.source.name, ())
            if pair.target is None and self._evolves:
                self._lacking.update(one.name for one in there)
            groups[pair.source.name if pair.source.is_super else None] += there
        copied = 0
        for stable, group in groups.items():
            counts.tables += len(group)
            known = self._without_lacking(Holdings.of(group))
            for batch in cut_batches(stable, known, (start, end), ROWS_A_BATCH, structure.time.denominator):
                part = known.take(np.array([_is_in(batch, name) for name in known.names], np.bool_))
                copied += self._copy_batch(batch, part, (start, end), counts)
        counts.rows += copied
        return copied

    def _copy_batch(self, batch: Batch, known: Holdings, period: Period, counts: Counts) -> int:
        """Copy a batch of tables, without those that the target turns out not to have.

        Returns:
            How many rows the target confirmed.
        """
        # Tables that are new are the next look's: it knows which, and may not take place all the time.
        options = replace(self._options.divided(self._parts), schema="none")
        while known := self._without_lacking(known):
            try:
                result = copy_batch(
                    self._source,
                    self._target,
                    replace(batch, first=known.names[0], before=f"{known.names[-1]}\x01"),
                    options,
                    MemoryProgress(),
                    structure=self._current(),
                    known=known if batch.period == period else None,
                    # One for each round: a copy begins with none, and a stop then must not lose earlier ones.
                    dead_letters=self._dead_letters(f"{batch.start}-{batch.end}-{known.names[0]}"),
                    stop=self._new_stop(),
                )
            except StructureOutdated as outdated:
                if not (self._evolves and isinstance(outdated.__cause__, TableMissing) and self._note_lacking(known)):
                    raise
            else:
                counts.rejected += result.tally.rejected
                return result.rows
        return 0

    def _dead_letters(self, batch: str) -> DeadLetters | None:
        if not self._letters:
            return None
        return DeadLetters(self._letters / short_name(batch), self._options.max_rejected, self._options.target)

    @property
    def _evolves(self) -> bool:
        return self._options.on_schema_change == "evolve"

    def _note_lacking(self, known: Holdings) -> bool:
        """Note which of some tables the target does not have; whether there are such."""
        rename = self._current().transform.tables
        there = self._ask(lambda: self._target.those_of([rename(name) for name in known.names]))
        lacking = {name for name in known.names if rename(name) not in there}
        self._lacking |= lacking
        return bool(lacking)

    def _without_lacking(self, known: Holdings) -> Holdings:
        if self._lacking.isdisjoint(known.names):
            return known
        return known.take(np.array([name not in self._lacking for name in known.names], np.bool_))

    # --- Structure

    def _current(self) -> Structure:
        """Both sides' structure, as it was read last."""
        if self._structure is None:
            structure = self._ask(lambda: read_structure(self._source, self._target, self._options, self._scope))
            if structure.target is None:
                raise MigrationStopped([self._target.missing("target_database")])
            self._structure = structure
        return self._structure

    def _adapt(self, outdated: Exception | None = None) -> None:
        """Do with a changed structure what the option `on_schema_change` says.

        Parameters:
            outdated: what a changed structure has led to, None where it was seen in time.

        Raises:
            ChangesProposed: a person is to be asked.
            MigrationStopped: what has changed, or why it cannot be brought over.
        """
        if outdated:
            # Its own words are for a copy, which somebody has to clear.
            log.info("A table is new, or has changed; its structure is read again: %s", outdated.__cause__ or outdated)
        self._structure = None
        if self._options.on_schema_change != "fail":
            self._evolve()
            return
        structure = self._current()
        self._ask(lambda: stop_on(changes(self._source, self._target, structure, self._options)))
        if outdated:
            raise outdated

    def _evolve(self, scope: Scope | None = None) -> None:
        """Bring the source's structure into the target.

        Parameters:
            scope: of what; None for all that is followed.
        """
        report, withheld = self._synced(scope or self._scope)
        if report.changed:
            log.info(
                "The source's structure has changed; brought over: %s",
                ", ".join(
                    wording.number(count, what)
                    for count, what in (
                        (len(report.stables), "super table"),
                        (report.tables, "table"),
                        (len(report.columns), "column"),
                        (report.tags, "tag"),
                    )
                    if count
                ),
            )
        self._structure = None
        if withheld:
            raise ChangesProposed(withheld)

    def _synced(self, scope: Scope) -> tuple[SchemaReport, list[str]]:
        """What was brought over, and the statements that a person is to be asked for."""
        approved = self._approved if self._options.on_schema_change == ASK else None
        sync = SchemaSync.again(self._source, self._target, self._options, scope, approved)
        for _ in range(CURES):
            try:
                return self._ask(sync.run), sync.withheld
            except AlreadyExists as error:
                log.info("Another shard was faster: %s", error)
        return self._ask(sync.run), sync.withheld


def _is_in(batch: Batch, name: str) -> bool:
    """Whether a table is in a batch's range of names."""
    return (batch.first is None or name >= batch.first) and (batch.before is None or name < batch.before)
