"""Migrations by files: a task that exports a database into a folder, and one that migrates from such a folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.sdk import ObjectStoragePath

from airflow_provider_tdengine.compat import AirflowSkipException
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.findings import stop_on
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import MigrationOptions, check_secrets
from airflow_provider_tdengine.migration.storage import folder_findings
from airflow_provider_tdengine.migration.wording import number
from airflow_provider_tdengine.operators.comparison import TDengineVerifyOperator
from airflow_provider_tdengine.operators.migration import MigrationOperator, clear_failures, client, failure, told
from airflow_provider_tdengine.operators.progress import is_first_try, plan_store, task_progress

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.catalog import Catalog
    from airflow_provider_tdengine.migration.comparing import Comparison, Deletion
    from airflow_provider_tdengine.migration.copying import Batch, Copied
    from airflow_provider_tdengine.migration.offline import StoredCatalog

_STOPPED = "It was stopped; a retry goes on from there"


def _folder(text: str) -> Path:
    """The folder of an export.

    Raises:
        MigrationStopped: its address has a password, which would be kept and shown.
    """
    stop_on(check_secrets("folder", text))
    return cast(Path, ObjectStoragePath(text))


class TDengineExportOperator(MigrationOperator):
    """Exports a database into a folder of Parquet files; a retry goes on where it stopped (docs/offline.md).

    It needs the extra `parquet`.

    Parameters:
        folder: where to, templated: a folder, or any URL of Airflow's object storage. Each export has one of its own.
        options: those that say what is read, and how; others mean nothing here.

    Returns:
        What it came to, see `migration.offline.Exported`.
    """

    template_fields: Sequence[str] = ("options", "folder")

    def __init__(self, *, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self._stop: threading.Event | None = None

    def execute(self, context: Context) -> dict[str, object]:
        """Export what is not there yet."""
        from airflow_provider_tdengine.migration.offline import Export
        from airflow_provider_tdengine.migration.planning import requested_of_source

        self._stop = threading.Event()
        with clear_failures(context), Headway("Exporting") as headway:
            folder = _folder(self.folder)
            options, source = requested_of_source(self._given(context), client)
            options = replace(options, force=options.force and is_first_try(context))
            stop_on(folder_findings({"folder": self.folder}, lambda _: folder))
            try:
                done = Export(source, options, folder, self._stop).run(headway)
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
        told(f"Exported into {self.folder}", done.facts())
        return asdict(done)

    def on_kill(self) -> None:
        """Let the workers end; batches that are complete stay."""
        if self._stop:
            self._stop.set()


class TDengineImportOperator(TDengineVerifyOperator):
    """Migrates from the folder of an export: structure, rows, comparison, repair, certificate (docs/offline.md).

    One task does it all; a retry goes on from the checkpoints of its batches. It needs the extra `parquet`.

    Parameters:
        folder: of the export, templated: a folder, or any URL of Airflow's object storage.
        options: of the migration; its source is the export, whatever they say of one.

    Returns:
        What was compared, see `migration.comparing.Comparison`.
    """

    template_fields: Sequence[str] = ("options", "folder")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}

    def __init__(self, *, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self._stored: StoredCatalog | None = None
        self._stop: threading.Event | None = None
        self._batches: list[Batch] = []
        self._copied: dict[str, Copied] = {}

    def _given(self, context: Context) -> Mapping[str, object]:
        return self.stored.given({name: value for name, value in super()._given(context).items() if value is not None})

    @property
    def stored(self) -> StoredCatalog:
        """The export, whose files are looked at once."""
        if self._stored is None:
            from airflow_provider_tdengine.migration.offline import opened

            self._stored = opened(_folder(self.folder))
        return self._stored

    def source(self, options: MigrationOptions) -> Catalog:
        return self.stored

    def execute(self, context: Context) -> dict[str, object]:
        """Create, copy, compare and mend."""
        self._stop = self.stop_event()
        with clear_failures(context):
            try:
                self._bring(context)
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
        compared = super().execute(context)
        if refused := sum(copied.tally.rejected for copied in self._copied.values()):
            raise failure([f"The target refused {number(refused, 'row')}; dead letters keep them"])
        return compared

    def _bring(self, context: Context) -> None:
        """Structure and rows."""
        from airflow_provider_tdengine.migration.copying import copied_facts
        from airflow_provider_tdengine.migration.planning import make_plan, plan_facts, preflight, requested
        from airflow_provider_tdengine.migration.structure import SchemaSync

        request = requested(self._given(context), client, source=self.stored)
        options, target = self.migration_options(context), request.target
        if options.dry_run:
            self.preview(options, context)
            raise AirflowSkipException("Dry run: nothing was written")
        path = cast("type[Path]", ObjectStoragePath)
        with request.source as source, target:
            stop_on(folder_findings(options.folders, path))
            stop_on(preflight(source, target, request.structure, options))
            told("This is what was asked for", request.facts(options))
            if options.schema != "none":
                told("The target has all tables now", SchemaSync(source, target, options).run_patiently().facts())
            if not options.copies_history:
                return
            kept = plan_store(context, options)
            self._batches = make_plan(source, target, options, kept.load())
            kept.save(self._batches)
            told("The plan", plan_facts(self._batches))
            for batch in self._batches:
                self._copied[batch.identity] = self._copy(source, target, batch, options, context)
        seconds = sum(copied.seconds for copied in self._copied.values())
        told("Copied", copied_facts(list(self._copied.values()), seconds))

    def _copy(
        self, source: Catalog, target: Catalog, batch: Batch, options: MigrationOptions, context: Context
    ) -> Copied:
        from airflow_provider_tdengine.migration.copying import DeadLetters, batch_folder, copy_batch

        folder = self.dead_letter_folder(options, context)
        letters = None
        if folder:
            own = batch_folder(folder / self.task_id, batch, options)
            letters = DeadLetters(own, options.max_rejected, options.target)
        name = hashlib.sha256(batch.identity.encode()).hexdigest()[:16]
        progress = task_progress(context, "copies from the beginning", force=options.force, of=name)
        with Headway(f"Copying {batch.label}", batch.rows) as headway:
            return copy_batch(
                source,
                target,
                batch,
                options,
                progress,
                dead_letters=letters,
                stop=self._stop,
                report=lambda checkpoint: headway.at(checkpoint.tally.rows),
            )

    def _comparing(
        self, source: Catalog, target: Catalog, options: MigrationOptions, context: Context
    ) -> Callable[[frozenset[Deletion]], Comparison]:
        """What compares by the digests of the copy, which this task has made itself."""
        from airflow_provider_tdengine.migration.comparing import verify

        return lambda approved: verify(
            source,
            target,
            options,
            self.refused(options, context),
            batches=self._batches,
            copied=self._copied,
            approved=approved,
            is_end_implied=self.is_end_implied(options, context),
            stop=self._stop,
        )
