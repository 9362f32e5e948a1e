"""One operator a stage of a migration: resolve, schema sync, plan, copy of one batch, verify.

Each is a thin face of a function in `migration`; on its own, or put together by `dags.migration_dag`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    BaseOperator,
)
from airflow.sdk import ObjectStoragePath
from airflow.sdk.log import mask_secret

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.secrets import secrets_in
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Checkpoint,
    Copied,
    DeadLetters,
    ProgressStore,
    batch_folder,
    copied_facts,
    copy_batch,
)
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, Severity, in_lines, sent, stop_on
from airflow_provider_tdengine.migration.following import choose, obstacle
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import OPTIONS, MigrationOptions, is_connection, no_connection
from airflow_provider_tdengine.migration.planning import (
    assessment,
    make_plan,
    on_source_clock,
    plan_facts,
    preflight,
    preview,
    requested,
    write_assessment,
)
from airflow_provider_tdengine.migration.storage import folder_findings
from airflow_provider_tdengine.migration.structure import SchemaSync
from airflow_provider_tdengine.operators.lineage import batch_lineage
from airflow_provider_tdengine.operators.metrics import Metrics
from airflow_provider_tdengine.operators.progress import Pace, plan_store, task_progress
from airflow_provider_tdengine.operators.shared import mark_folders, not_shared, run_folder

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from jinja2 import Environment
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import RunFacet

log = logging.getLogger(__name__)

_LEVELS = {Severity.BLOCKER: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}

OptionValues = Mapping[str, str | float | bool | None]


class OptionsOperator(BaseOperator):
    """What operators with options have in common.

    Parameters:
        options: values by option name, templated. None takes them from the run's Params.
    """

    template_fields: Sequence[str] = ("options",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}
    ui_color = "#e8f3ff"
    option_names: ClassVar[Collection[str]] = OPTIONS.keys()
    """Which of the run's Params are options."""

    def __init__(self, *, options: OptionValues | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options = options

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """The same as of all operators; a password in an option, which stops the task, is masked before it is kept."""
        super().render_template_fields(context, jinja_env)
        for given in map(partial(getattr, self), self.template_fields):
            for text in given.values() if isinstance(given, Mapping) else (given,):
                for secret in secrets_in(text) if isinstance(text, str) else ():
                    mask_secret(secret)

    def _given(self, context: Context) -> Mapping[str, object]:
        """Values by option name, as they were given."""
        if self.options is not None:
            return self.options
        return {name: value for name, value in context["params"].items() if name in self.option_names}


class MigrationOperator(OptionsOperator):
    """What the stages have in common: options, and the two databases that they name.

    Parameters:
        options: values by the names in `migration.options.OPTIONS`, templated; or what
            `TDengineResolveOperator` returned. None takes them from the run's Params.
    """

    parallel_batches: int | None = None
    """How many batches are worked on at the same time at most; None for as many as the DAG has tasks at a time."""

    def migration_options(self, context: Context) -> MigrationOptions:
        """The options, checked; history ends at the run's creation where nothing else is said.

        Raises:
            AirflowFailException: all that is wrong with them.
        """
        return self._checked(context).ended(context["dag_run"].run_after)

    def batch_options(self, context: Context, batch: Batch) -> MigrationOptions:
        """The options for a batch, with its part of the limits that are for the whole migration."""
        parallel = min(batch.batches, self.parallel_batches or context["dag"].max_active_tasks)
        return self.migration_options(context).divided(parallel)

    def _checked(self, context: Context) -> MigrationOptions:
        with clear_failures():
            given = self._given(context)
            options = MigrationOptions.checked(given)
            stop_on(not_shared(options, given, context))
            return options

    def dead_letter_folder(self, options: MigrationOptions, context: Context) -> Path | None:
        """Where the migration of a run, or of a task group, keeps refused rows; None where they fail the copy.

        It has the methods of `pathlib.Path`, whatever storage the option's URL names.
        """
        if options.on_error != "dead_letter":
            return None
        folder = run_folder(options.dead_letter_path, context)
        # A DAG may have several migrations, each with its own task `dead_letters`.
        group = self.task_id.rpartition(".")[0]
        return folder / quote(group, safe="") if group else folder

    def document_folder(self, options: MigrationOptions, context: Context) -> Path:
        """Where a task leaves documents: a folder of its own in that of its run, and one for each mapped instance."""
        index = context["ti"].map_index
        name = self.task_id if index is None or index < 0 else f"{self.task_id}-{index}"
        return run_folder(options.certificate_path, context) / quote(name, safe="")

    def is_end_implied(self, options: MigrationOptions, context: Context) -> bool:
        """Whether history ends at the run's creation only since nobody has said otherwise."""
        run = context["dag_run"]
        interval = [moment.isoformat() for moment in (run.data_interval_start, run.data_interval_end) if moment]
        # A scheduled run is created when its interval ends.
        is_interval = [options.start, options.end] == interval
        return options.mode == "history" and options.end == run.run_after.isoformat() and not is_interval

    def preview(self, options: MigrationOptions, context: Context) -> None:
        """Say what a run would do, and push it as XCom `assessment`; what stands in the way fails the task."""
        with clear_failures(), self.source(options) as source, self.target(options) as target:
            found = preview(source, target, options)
        document = assessment(options.label, [found], datetime.now(timezone.utc))
        heading = f"Dry run, nothing is written. Migration {options.label}:"
        log.info("%s", wording.folded([heading, *found.lines()]))
        context["ti"].xcom_push("assessment", document)
        context["ti"].xcom_push("planned", {"rows": found.rows, "batches": len(found.batches)})
        with clear_failures():
            if options.certificate_path:
                place = write_assessment(document, self.document_folder(options, context))
                log.info("The assessment is %s", place)
            stop_on(found.blockers)

    def source(self, options: MigrationOptions) -> Catalog:
        """The source database."""
        return Catalog(client(options.source_conn_id, "source_conn_id"), options.source_database)

    def target(self, options: MigrationOptions) -> Catalog:
        """The target database."""
        return Catalog(client(options.target_conn_id, "target_conn_id"), options.target)


def client(connection_id: str, option: str) -> Client:
    """The client of an Airflow connection.

    Parameters:
        connection_id: its name.
        option: which said it.

    Raises:
        MigrationStopped: there is no such connection.
        AddressError: it cannot be right.
    """
    if not is_connection(connection_id):
        raise MigrationStopped([no_connection(option)])
    try:
        return TDengineHook(connection_id).get_client()
    except AirflowException as error:
        finding = Finding(f"Option {option!r}", str(error), "Create that connection under Admin, Connections")
        raise MigrationStopped([finding]) from error


def told(title: str, facts: wording.Facts, level: int = logging.INFO) -> None:
    """Log what a stage came to."""
    log.log(level, "%s", wording.folded(wording.facts(title, facts)))


def failure(lines: Sequence[str], *, retryable: bool = False) -> AirflowException:
    """What to raise where sentences say all about a failure.

    They are logged before, as lines of their own: of an exception, Airflow's log view shows the beginning of a line,
    and a traceback that no task can leave out.

    Parameters:
        lines: what has happened, and what to do.
        retryable: whether Airflow may try again.
    """
    log.error("%s", wording.folded(lines))
    return (AirflowException if retryable else AirflowFailException)("\n".join(lines))


@contextmanager
def clear_failures(context: Context | None = None) -> Iterator[None]:
    """Failures that a retry cannot cure end the task at once; the others are Airflow's to retry.

    What is known says all in sentences; where it came from is in the log of level DEBUG. All else is raised on.

    Parameters:
        context: of a task whose XCom `findings` is to say why, for the page Migrations; None for no XCom.
    """
    try:
        yield
    except MigrationStopped as error:
        if context:
            context["ti"].xcom_push("findings", sent(error.findings))
        raise failure(in_lines(error)) from None
    except TDengineError as error:
        if context:
            context["ti"].xcom_push("findings", [_finding_of(context["ti"].task_id, error)])
        log.debug("It came from here", exc_info=error)
        raise failure(in_lines(error), retryable=error.retryable) from None


def _finding_of(task_id: str, error: TDengineError) -> dict[str, str]:
    """A failure as `migration.findings.sent` gives findings."""
    found = wording.beginning(str(error), 500)
    return {
        "object": f"Task {task_id}",
        "found": found,
        "action": "Its log has more",
        "severity": Severity.BLOCKER.value,
    }


class TDengineResolveOperator(MigrationOperator):
    """Checks the options and both servers; the first task of a migration.

    What it finds that does not stand in the way is logged, and is the XCom `findings`: a list of object, found, action
    and severity, the first hundred of them (`migration.planning.preflight`).

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

    def execute(self, context: Context) -> dict[str, str | float | bool | None]:
        """Check; nothing is written but a mark in the folders of options, for the hosts of other tasks."""
        with clear_failures(context):
            request = requested(self._given(context), client, lambda options: self._of_run(options, context))
            options = request.options
            if not options.dry_run:
                stop_on(folder_findings(options.folders, lambda folder: cast(Path, ObjectStoragePath(folder))))
            with request.source as source, request.target as target:
                implied = self.is_end_implied(options, context)
                if implied or options.follows:
                    options = on_source_clock(source, options, context["dag_run"].run_after)
                findings = preflight(source, target, request.structure, options, is_end_implied=implied)
            if (
                options.follows
                and options.follow_by == "subscription"
                and (found := obstacle(source, request.target, options))
            ):
                findings.append(found)
            # A dry run shows them all, with what schema sync and plan find.
            stop_on([] if options.dry_run else findings)
            if options.follows and not options.dry_run:
                # Before history is read: what is written meanwhile is told.
                choice = choose(source, request.target, options)
                log.info("%s", wording.folded([choice.why]))
                options = replace(options, follow_by=choice.by)
            resolved_on = {} if options.dry_run else mark_folders(options, context)
        for finding in findings:
            log.log(_LEVELS[finding.severity], "%s", wording.folded(finding.lines()))
        context["ti"].xcom_push("findings", sent(findings))
        told("This is what was asked for", request.facts(options))
        return {**options.to_dict(), **resolved_on}


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
        with clear_failures(context), self.source(options) as source, self.target(options) as target:
            report = SchemaSync(source, target, options).run_patiently()
        Metrics(context).created(report)
        told("The target has all tables now" if report.changed else "The target had all tables already", report.facts())
        return report.to_dict()


class TDenginePlanOperator(MigrationOperator):
    """Cuts the migration into batches, for the mapped copy tasks.

    What it adds up to is the XCom `planned`: rows and batches.

    Returns:
        A `migration.planning.Batch` each, as dictionaries; none with `dry_run`, which shows the plan and stops.
    """

    def execute(self, context: Context) -> list[dict[str, str | int | None]]:
        """Count rows by subtable, and cut."""
        options = self.migration_options(context)
        if options.dry_run:
            self.preview(options, context)
            return []
        if not options.copies_history:
            log.info("No rows of before are copied: schema is %s, mode is %s", options.schema, options.mode)
            return []
        kept = plan_store(context, options)
        with clear_failures(context), self.source(options) as source, self.target(options) as target:
            batches = make_plan(source, target, options, kept.load())
        kept.save(batches)
        Metrics(context).planned(batches)
        told("The plan", plan_facts(batches))
        context["ti"].xcom_push("planned", {"rows": sum(batch.rows for batch in batches), "batches": len(batches)})
        return [batch.to_dict() for batch in batches]


class TDengineRangeMigrationOperator(MigrationOperator):
    """Copies one batch; at a retry it goes on from its checkpoint.

    Parameters:
        batch: one of the dictionaries that `TDenginePlanOperator` returns.
        parallel_batches: how many batches of a plan are copied at the same time at most, among which the limits are
            divided; as `max_active_tis_per_dagrun`, which sees to it. None for as many as the DAG has tasks at a time.
        options: as of all stages.

    With `.partial(map_index_template=TDengineRangeMigrationOperator.map_index_template)` the grid names the tables.

    Returns:
        The batch, what its copy came to (`migration.copying.Copied`), and of that for people: rows that arrived, bytes,
        refused rows and the folder of their dead letters, rows left behind as too old, collisions of cut timestamps,
        seconds of this try, strategy.
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

    def execute(self, context: Context) -> dict[str, object]:
        """Copy the batch."""
        batch = Batch.from_dict(dict(self.batch))
        options = self.batch_options(context, batch)
        metrics, pace, headway = Metrics(context), Pace(context), Headway("Copying", batch.rows)
        earlier: int | None = None

        def report(checkpoint: Checkpoint) -> None:
            nonlocal earlier
            # At the beginning, it is what earlier tries have copied.
            earlier = checkpoint.tally.rows if earlier is None else earlier
            headway.at(checkpoint.tally.rows, earlier)
            metrics.copied(batch, checkpoint, options.workers)
            pace.add(checkpoint.tally.rows)

        progress: ProgressStore = task_progress(context, "copies its batch from the beginning", force=options.force)
        folder = self.dead_letter_folder(options, context)
        letters = None
        if folder:
            own = batch_folder(folder / self.task_id, batch, self.migration_options(context))
            letters = DeadLetters(own, options.max_rejected)
        self._stop = threading.Event()
        with clear_failures(context), headway:
            try:
                copied = copy_batch(
                    self.source(options),
                    self.target(options),
                    batch,
                    options,
                    progress,
                    dead_letters=letters,
                    stop=self._stop,
                    report=report,
                )
            except Stopped as stopped:
                raise failure([str(stopped)], retryable=True) from None
            finally:
                metrics.idle()
        metrics.finished(batch)
        self._copied = copied
        if copied.tally.rejected:
            refused = wording.number(copied.tally.rejected, "row")
            log.warning("The target refused %s; dead letters keep them in\n  %s", refused, folder)
        if copied.left_behind:
            left = wording.number(copied.left_behind, "row")
            log.warning("Left behind: %s that are, or are about to be, too old", left)
        if copied.tally.collisions:
            cut = wording.number(copied.tally.collisions, "row")
            log.warning("With the timestamp of a later one when it is cut: %s", cut)
        told(f"Copied: batch {batch.label}", copied_facts([copied], copied.seconds))
        return {
            "batch": batch.to_dict(),
            "copied": copied.to_dict(),
            "rows": copied.tally.confirmed,
            "bytes": copied.tally.bytes,
            "rejected": copied.tally.rejected,
            "expired": copied.left_behind,
            "dead_letters": str(letters.folder) if letters and copied.tally.rejected else None,
            "collisions": copied.tally.collisions,
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
        tally = self._copied.tally
        return batch_lineage(self.source(options), self.target(options), batch, options, tally.confirmed, tally.bytes)

    def on_kill(self) -> None:
        """Let the workers end; what the target has confirmed is in the checkpoint."""
        if self._stop:
            self._stop.set()
