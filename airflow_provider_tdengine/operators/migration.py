"""One operator a stage of a migration: resolve, schema sync, plan, copy of one batch, verify.

Each is a thin face of a function in `migration`; on its own, or put together by `dags.migration_dag`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AssetAlias,
    BaseOperator,
)
from airflow.sdk import ObjectStoragePath

from airflow_provider_tdengine.assets import MIGRATED, create_asset
from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing import Comparison, certificate, prove, write
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Checkpoint,
    Copied,
    DeadLetters,
    ProgressStore,
    copy_batch,
    kept,
)
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, Severity, stop_on
from airflow_provider_tdengine.migration.options import OPTIONS, MigrationOptions
from airflow_provider_tdengine.migration.planning import make_plan, preflight, preview, requested
from airflow_provider_tdengine.migration.structure import SchemaSync
from airflow_provider_tdengine.operators.lineage import batch_lineage
from airflow_provider_tdengine.operators.metrics import Metrics
from airflow_provider_tdengine.operators.progress import task_progress

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import RunFacet

log = logging.getLogger(__name__)

_LEVELS = {Severity.BLOCKER: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}

OptionValues = Mapping[str, str | int | bool | None]


class MigrationOperator(BaseOperator):
    """What the stages have in common: options, and the two databases that they name.

    Parameters:
        options: values by the names in `migration.options.OPTIONS`, templated; or what
            `TDengineResolveOperator` returned. None takes them from the run's Params.
    """

    template_fields: Sequence[str] = ("options",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}
    ui_color = "#e8f3ff"

    def __init__(self, *, options: OptionValues | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options

    def migration_options(self, context: Context) -> MigrationOptions:
        """The options, checked; history ends at the run's creation where nothing else is said.

        Raises:
            AirflowFailException: all that is wrong with them.
        """
        return self._checked(context).ended(context["dag_run"].run_after)

    def _checked(self, context: Context) -> MigrationOptions:
        with clear_failures():
            return MigrationOptions.checked(self._given(context))

    def _given(self, context: Context) -> Mapping[str, object]:
        """Values by option name, as they were given."""
        if self.options is not None:
            return self.options
        return {name: value for name, value in context["params"].items() if name in OPTIONS}

    def dead_letter_folder(self, options: MigrationOptions, context: Context) -> Path | None:
        """Where a run keeps refused rows; None where they fail the copy.

        It has the methods of `pathlib.Path`, whatever storage the option's URL names.
        """
        if options.on_error != "dead_letter":
            return None
        return _run_folder(options.dead_letter_path, context)

    def source(self, options: MigrationOptions) -> Catalog:
        """The source database."""
        return Catalog(client(options.source_conn_id, "source_conn_id"), options.source_database)

    def target(self, options: MigrationOptions) -> Catalog:
        """The target database."""
        return Catalog(client(options.target_conn_id, "target_conn_id"), options.target)


def _run_folder(path: str, context: Context) -> Path:
    """A run's own folder in a storage that an option names."""
    run = context["dag_run"]
    return cast(Path, ObjectStoragePath(path) / quote(run.dag_id, safe="") / quote(run.run_id, safe=""))


def client(connection_id: str, option: str) -> Client:
    """The client of an Airflow connection.

    Parameters:
        connection_id: its name.
        option: which said it.

    Raises:
        MigrationStopped: there is no such connection.
        AddressError: it cannot be right.
    """
    try:
        return TDengineHook(connection_id).get_client()
    except AirflowException as error:
        finding = Finding(f"Option {option!r}", str(error), "Create that connection under Admin, Connections")
        raise MigrationStopped([finding]) from error


@contextmanager
def clear_failures() -> Iterator[None]:
    """Failures that a retry cannot cure end the task at once; the others are Airflow's to retry."""
    try:
        yield
    except MigrationStopped as error:
        raise AirflowFailException(str(error)) from None
    except TDengineError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from error


class TDengineResolveOperator(MigrationOperator):
    """Checks the options and both servers; the first task of a migration.

    What it finds that does not stand in the way is logged, and is the XCom `findings`: a list of object, found, action
    and severity (`migration.preflight`).

    Parameters:
        by_interval: whether the period is the run's data interval, where start and end are not given.
        options: as of all stages.

    Returns:
        The options, complete, with the end of the period fixed, and digests of the files of tables.
    """

    def __init__(self, *, by_interval: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by_interval = by_interval

    def _checked(self, context: Context) -> MigrationOptions:
        with clear_failures():
            return self._of_run(super()._checked(context), context)

    def _of_run(self, options: MigrationOptions, context: Context) -> MigrationOptions:
        """The options with the period of the run.

        Raises:
            MigrationStopped: the run has no period.
        """
        run = context["dag_run"]
        if self.by_interval:
            options = options.of_interval(run.data_interval_start, run.data_interval_end)
        return options.ended(run.run_after)

    def execute(self, context: Context) -> dict[str, str | int | bool | None]:
        """Check; nothing is written."""
        with clear_failures():
            request = requested(self._given(context), client, lambda options: self._of_run(options, context))
            options = request.options
            with request.source as source, request.target as target:
                findings = preflight(source, target, request.structure, options)
            # A dry run shows them all, with what schema sync and plan find.
            stop_on([] if options.dry_run else findings)
        for finding in findings:
            log.log(_LEVELS[finding.severity], "%s", finding)
        context["ti"].xcom_push("findings", [finding.to_dict() for finding in findings])
        begin = options.start_from if options.mode == "realtime" else options.start or "the first"
        end = "a stop" if options.follows else options.end
        log.info("Migration %s: rows from %s up to %s", options.label, begin, end)
        return options.to_dict()


class TDengineSchemaSyncOperator(MigrationOperator):
    """Creates in the target what it lacks: database, super tables, subtables with tags, normal tables.

    Returns:
        What was created, see `migration.structure.SchemaReport`.
    """

    def execute(self, context: Context) -> dict[str, object]:
        """Compare both sides, then create; findings stop it before anything is written."""
        options = self.migration_options(context)
        if options.schema == "none" or options.dry_run:
            log.info("Nothing is created: schema is %s, dry_run is %s", options.schema, options.dry_run)
            return {}
        with clear_failures(), self.source(options) as source, self.target(options) as target:
            report = SchemaSync(source, target, options).run()
        if report.changed:
            log.info(
                "Created: %d super tables, %d tables, %d columns; %d tags corrected; %d tables were there",
                len(report.stables),
                report.tables,
                len(report.columns),
                report.tags,
                report.existing,
            )
        else:
            log.info("Nothing to do: the target has all %d tables already", report.existing)
        return report.to_dict()


class TDenginePlanOperator(MigrationOperator):
    """Cuts the migration into batches, for the mapped copy tasks.

    Returns:
        A `migration.planning.Batch` each, as dictionaries; none with `dry_run`, which shows the plan and stops.
    """

    def execute(self, context: Context) -> list[dict[str, str | int | None]]:
        """Count rows by subtable, and cut."""
        options = self.migration_options(context)
        if options.dry_run:
            self._preview(options, context)
            return []
        if not options.copies_history:
            log.info("No rows of before are copied: schema is %s, mode is %s", options.schema, options.mode)
            return []
        with clear_failures(), self.source(options) as source, self.target(options) as target:
            batches = make_plan(source, target, options)
        return [batch.to_dict() for batch in batches]

    def _preview(self, options: MigrationOptions, context: Context) -> None:
        """Say what a run would do, and push it as XCom `preview`; what stands in the way fails the task."""
        with clear_failures(), self.source(options) as source, self.target(options) as target:
            found = preview(source, target, options)
        log.info("Dry run, nothing is written. Migration %s:\n%s", options.label, "\n".join(found.lines()))
        context["ti"].xcom_push("preview", found.to_dict())
        with clear_failures():
            stop_on(found.blockers)


class TDengineRangeMigrationOperator(MigrationOperator):
    """Copies one batch; at a retry it goes on from its checkpoint.

    Parameters:
        batch: one of the dictionaries that `TDenginePlanOperator` returns.
        parallel_batches: how many batches of a plan are copied at the same time at most, among which the limits are
            divided; as `max_active_tis_per_dagrun`, which sees to it. None for as many as the DAG has tasks at a time.
        options: as of all stages.

    With `.partial(map_index_template=TDengineRangeMigrationOperator.map_index_template)` the grid names the tables.

    Returns:
        Rows, bytes, refused rows, collisions of cut timestamps, seconds and strategy.
    """

    map_index_template = "{{ task.batch_label }}"
    template_fields: Sequence[str] = ("options", "batch")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "batch": "json"}

    def __init__(self, *, batch: Mapping[str, object], parallel_batches: int | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", self.map_index_template)
        super().__init__(**kwargs)
        self.batch = batch
        self.parallel_batches = parallel_batches
        self._stop: threading.Event | None = None
        self._copied: Copied | None = None

    @property
    def batch_label(self) -> str:
        """What the grid calls it, as soon as the task runs."""
        return Batch.from_dict(dict(self.batch)).label

    def batch_options(self, context: Context, batch: Batch) -> MigrationOptions:
        """The options, with a batch's part of the limits that are for the whole migration."""
        parallel = min(batch.batches, self.parallel_batches or context["dag"].max_active_tasks)
        return self.migration_options(context).divided(parallel)

    def execute(self, context: Context) -> dict[str, str | int | float]:
        """Copy the batch."""
        batch = Batch.from_dict(dict(self.batch))
        options = self.batch_options(context, batch)
        metrics = Metrics(context)

        def report(checkpoint: Checkpoint) -> None:
            _report(batch, checkpoint)
            metrics.copied(checkpoint)

        progress: ProgressStore = task_progress(context, "copies its batch from the beginning", force=options.force)
        folder = self.dead_letter_folder(options, context)
        place = f"{context['ti'].task_id}-{context['ti'].map_index}"
        self._stop = threading.Event()
        with clear_failures():
            try:
                copied = copy_batch(
                    self.source(options),
                    self.target(options),
                    batch,
                    options,
                    progress,
                    dead_letters=DeadLetters(folder / place) if folder else None,
                    stop=self._stop,
                    report=report,
                )
            except Stopped as stopped:
                raise AirflowException(str(stopped)) from None
        self._copied = copied
        rate = copied.rows / copied.seconds if copied.seconds else 0
        log.info("Batch %s: %d rows, %.0f rows/s", batch.label, copied.rows, rate)
        if copied.rejected:
            log.warning("The target refused %d rows; they are dead letters in %s", copied.rejected, folder)
        if copied.collisions:
            log.warning("%d of the rows have the timestamp of a later one when it is cut", copied.collisions)
        return {
            "rows": copied.rows,
            "bytes": copied.bytes,
            "rejected": copied.rejected,
            "collisions": copied.collisions,
            "seconds": round(copied.seconds, 3),
            "strategy": copied.strategy,
        }

    def get_openlineage_facets_on_complete(
        self, task_instance: RuntimeTaskInstance
    ) -> OperatorLineage[Dataset, RunFacet] | None:
        """Which columns became which; OpenLineage calls it in the task's process, after `execute`."""
        if self._copied is None:
            return None
        options = self.migration_options(task_instance.get_template_context())
        batch = Batch.from_dict(dict(self.batch))
        copied = self._copied
        return batch_lineage(self.source(options), self.target(options), batch, options, copied.rows, copied.bytes)

    def on_kill(self) -> None:
        """Let the workers end; what the target has confirmed is in the checkpoint."""
        if self._stop:
            self._stop.set()


def _report(batch: Batch, checkpoint: Checkpoint) -> None:
    share = min(100.0, 100 * checkpoint.rows / batch.rows) if batch.rows else 100.0
    log.info("Batch %s: %d of about %d rows, %.0f %%", batch.label, checkpoint.rows, batch.rows, share)


class TDengineVerifyOperator(MigrationOperator):
    """Compares every table of source and target, and mends what differs; a difference that stays fails the task.

    Where there is none, it says so to Airflow's assets: an event for each super table of the target, with the period
    and the number of its rows; normal tables are together an event of the database. All of them are events of the
    asset alias `assets.MIGRATED`, too.

    Returns:
        What was compared, see `migration.comparing.Comparison`, and `repairs`, see `migration.comparing.Repair`.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs["outlets"] = [*kwargs.get("outlets", ()), AssetAlias(MIGRATED)]
        super().__init__(**kwargs)
        self._stop: threading.Event | None = None

    def execute(self, context: Context) -> dict[str, object]:
        """Compare, mend, and compare again."""
        options = self.migration_options(context)
        if options.dry_run:
            raise AirflowSkipException("Dry run: there is nothing to compare")
        if options.verify == "none" or not options.copies_history:
            said = options.verify, options.schema, options.mode
            log.warning("Nothing is compared (verify is %s, schema is %s, mode is %s)", *said)
            return {}
        folder = self.dead_letter_folder(options, context)
        refused = kept(folder) if folder else {}
        self._stop = threading.Event()
        with clear_failures(), self.source(options) as source, self.target(options) as target:
            try:
                comparison, repairs = prove(source, target, options, refused, stop=self._stop)
            except Stopped:
                raise AirflowException("The comparison was stopped; cleared, it begins anew") from None
            if options.certificate_path:
                began = context["dag_run"].start_date or context["dag_run"].run_after
                proof = certificate(source, target, options, comparison, repairs, (began, datetime.now(timezone.utc)))
                log.info("The certificate is %s", write(proof, self._certificate_folder(options, context)))
        if comparison.differences:
            raise AirflowFailException(_in_words(comparison, len(repairs)))
        log.info("Equal: %d tables, %d rows (verify is %s)", comparison.tables, comparison.rows, options.verify)
        if comparison.collisions:
            log.warning("The target lacks %d rows: a later one has their timestamp, cut", comparison.collisions)
        if comparison.expired:
            log.warning("Not compared: %d rows are older than the target keeps", comparison.expired)
        self._tell_assets(options, comparison, context)
        return {**comparison.to_dict(), "repairs": [asdict(repair) for repair in repairs]}

    def on_kill(self) -> None:
        """Let a repair end soon."""
        if self._stop:
            self._stop.set()

    def _certificate_folder(self, options: MigrationOptions, context: Context) -> Path:
        """A folder of its own for each task of a run that compares, and for each mapped instance of one."""
        index = context["ti"].map_index
        name = self.task_id if index is None or index < 0 else f"{self.task_id}-{index}"
        return _run_folder(options.certificate_path, context) / quote(name, safe="")

    def _tell_assets(self, options: MigrationOptions, comparison: Comparison, context: Context) -> None:
        server = self.target(options).client.address
        events = context["outlet_events"][AssetAlias(MIGRATED)]
        moments = {"start": options.window_start, "end": options.window_end}
        window = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
        for stable, total in comparison.stables.items():
            asset = create_asset(host=server.host, port=server.port, database=options.target, table=stable or None)
            events.add(asset, extra={"migration": options.label, "rows": total.rows, **window})


class TDengineReconcileOperator(TDengineVerifyOperator):
    """Compares a past period again, and mends what has come late, was changed or deleted since; for a nightly DAG.

    New tables, columns and changed tags (as with `update_tags`) are carried over, too, unless schema is none. With mode
    realtime or both, it is the period that counts, not the mode.

    Parameters:
        past: how far back from the run's moment it goes.
        spare: how much of that, next to the run's moment, is left out: rows that are still being copied.
        options: as of all stages; start and end are not needed.
    """

    def __init__(
        self, *, past: timedelta = timedelta(days=7), spare: timedelta = timedelta(hours=1), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not timedelta(0) <= spare < past:
            raise ValueError(f"past is {past} and spare is {spare}; past must be longer, and spare not negative")
        self.past = past
        self.spare = spare

    def _checked(self, context: Context) -> MigrationOptions:
        moment = context["dag_run"].run_after
        start, end = (moment - self.past).isoformat(), (moment - self.spare).isoformat()
        options = super()._checked(context)
        # It looks after a migration that exists: the target's subtables are those of the source.
        tags = options.schema != "none"
        return replace(options, mode="history", start_from=None, start=start, end=end, update_tags=tags)


def _in_words(comparison: Comparison, rounds: int) -> str:
    """What differs, where, and what to do about it."""
    mended = f" after {rounds} rounds of repair" if rounds else ""
    lines = [f"{len(comparison.differences)} differences in {comparison.tables} tables{mended}, the first ones:"]
    lines += [f"  {difference}" for difference in comparison.differences[:20]]
    if shown := [f"  {piece.table}: {row}" for piece in comparison.pieces for row in piece.shown][:20]:
        lines += ["Rows that differ, the first ones:", *shown]
    if comparison.obstacle:
        lines.append(f"It cannot be mended: {comparison.obstacle}")
    if any(piece.extra for piece in comparison.pieces):
        lines.append("Rows that only the target has are deleted with the option delete_extra")
    lines.append("Clear this task to mend and compare once more, or the copy tasks of these tables to copy all of them")
    return "\n".join(lines)
