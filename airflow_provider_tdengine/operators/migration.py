"""One operator a stage of a migration: resolve, schema sync, plan, copy of one batch, verify.

Each is a thin face of a function in `migration`; on its own, or put together by `dags.migration_dag`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from urllib.parse import quote

from airflow.sdk import BaseOperator, ObjectStoragePath
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.log import mask_secret

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.secrets import secrets_in
from airflow_provider_tdengine.compat import AirflowException, AirflowFailException
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.findings import (
    Finding,
    Findings,
    MigrationStopped,
    Severity,
    in_lines,
    received,
    sent,
    stop_on,
)
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.options import (
    OPTIONS,
    MigrationOptions,
    fleet_of,
    is_connection,
    no_connection,
)
from airflow_provider_tdengine.migration.storage import digest, folder_findings
from airflow_provider_tdengine.operators.asking import check_dag
from airflow_provider_tdengine.operators.lineage import added, batch_lineage
from airflow_provider_tdengine.operators.metrics import Metrics
from airflow_provider_tdengine.operators.packs import INSTANCE, Part, broken_of, each_part, label_of, sums
from airflow_provider_tdengine.operators.progress import Pace, plan_store, task_progress
from airflow_provider_tdengine.operators.shared import mark_folders, not_shared, run_folder

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from jinja2 import Environment
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import RunFacet

    from airflow_provider_tdengine.client import Client
    from airflow_provider_tdengine.migration.catalog import Catalog
    from airflow_provider_tdengine.migration.copying import Batch, Checkpoint, Copied, Pack, ProgressStore
    from airflow_provider_tdengine.migration.fleet import Outcome

log = logging.getLogger(__name__)

_LEVELS = {Severity.BLOCKER: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}

_T = TypeVar("_T")

BROKEN = "broken"
"""The XCom of a stage that says what stands in the way of which database of a fleet; the page Migrations reads it."""

_SHOWN = 10
"""Findings of a database that are handed over."""

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
        # Made when the task runs: an operator is copied and pickled before.
        self._stops: list[threading.Event] = []
        self._is_killed = False

    def stop_event(self) -> threading.Event:
        """What is set when the task is to end; one for each batch or database, since what fails sets its own."""
        stop = threading.Event()
        self._stops.append(stop)
        if self._is_killed:
            stop.set()
        return stop

    def on_kill(self) -> None:
        """Let what goes on end soon; what the target has confirmed is in the checkpoint."""
        self._is_killed = True
        for stop in self._stops:
            stop.set()

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

    instances_before: int | None = None
    """How many instances of mapped tasks before this one count; None for all that have pushed something."""

    def migration_options(self, context: Context) -> MigrationOptions:
        """The options, checked; history ends at the run's creation where nothing else is said.

        Raises:
            AirflowFailException: all that is wrong with them.
        """
        return self._checked(context).ended(context["dag_run"].run_after)

    def batch_options(self, context: Context, batch: Batch) -> MigrationOptions:
        """The options for a batch, with its part of the limits that are for the whole migration."""
        options = self.migration_options(context)
        (own,) = [one for one in options.members if batch.database in ("", one.source_database)]
        return own.divided(self._parallel(context, batch))

    def _parallel(self, context: Context, batch: Batch) -> int:
        """How many batches may be worked on at the same time."""
        return min(batch.batches, self.parallel_batches or context["dag"].max_active_tasks)

    def _checked(self, context: Context) -> MigrationOptions:
        with clear_failures():
            given = self._given(context)
            options = MigrationOptions.checked(given)
            stop_on(not_shared(options, given, context))
            return options

    def dead_letter_folder(self, options: MigrationOptions, context: Context, database: str = "") -> Path | None:
        """Where the migration of a run, or of a task group, keeps refused rows; None where they fail the copy.

        It has the methods of `pathlib.Path`, whatever storage the option's URL names.

        Parameters:
            options: of the migration.
            context: of a task of it.
            database: one of a fleet, whose own folder is meant; empty for that of all.
        """
        if options.on_error != "dead_letter":
            return None
        folder = run_folder(options.dead_letter_path, context)
        # A DAG may have several migrations, each with its own task `dead_letters`.
        group = self.task_id.rpartition(".")[0]
        return folder.joinpath(*(quote(part, safe="") for part in (group, database) if part))

    def document_folder(self, options: MigrationOptions, context: Context) -> Path:
        """Where a task leaves documents: a folder of its own in that of its run, and one for each mapped instance."""
        index = context["ti"].map_index
        name = self.task_id if index is None or index < 0 else f"{self.task_id}-{index}"
        return run_folder(options.certificate_path, context) / quote(name, safe="")

    def ends(self, options: MigrationOptions) -> Callable[[MigrationOptions], tuple[Catalog, Catalog]]:
        """Gives source and target of each database of a migration, all of them by one client a server.

        Raises:
            MigrationStopped: there is no such connection.
            AddressError: it cannot be right.
        """
        from airflow_provider_tdengine.migration.catalog import Catalog

        if not options.is_fleet:
            return lambda one: (self.source(one), self.target(one))
        source = client(options.source_conn_id, "source_conn_id")
        target = client(options.target_conn_id, "target_conn_id")
        return lambda one: (Catalog(source, one.source_database), Catalog(target, one.target))

    def broken_before(self, options: MigrationOptions, context: Context) -> dict[str, list[Finding]]:
        """What stands in the way of databases of a fleet, as tasks before this one have found it."""
        found = self.pushed_before(BROKEN, context) if options.is_fleet else []
        return {database: received(findings) for pushed in found for database, findings in pushed.items()}

    def left_out(self, options: MigrationOptions, context: Context) -> dict[str, list[Finding]]:
        """What this task finds to stand in the way of databases of a fleet, without looking at them."""
        return {}

    def pushed_before(self, key: str, context: Context) -> list[Mapping[str, Any]]:
        """The XComs of a key of all tasks before this one; of another migration of the DAG, which has a group of its
        own, they are none.
        """
        group = self.task_id.rpartition(".")[0]
        dag = self.get_dag()
        before = sorted(self.get_flat_relative_ids(upstream=True)) if dag else []
        own = [task for task in before if task.rpartition(".")[0] == group]
        counted = self.instances_before
        some = [task for task in own if dag and counted is not None and dag.get_task(task).is_mapped]
        whole = [task for task in own if task not in some]
        pull = partial(context["ti"].xcom_pull, key=key)
        # Without map_indexes where that can be: of what is not there, the log says nothing then.
        found = [*pull(task_ids=whole)] if whole else []
        if some and counted:
            found += pull(task_ids=some, map_indexes=range(counted))
        return [one for one in found if one]

    def of_each(
        self, options: MigrationOptions, context: Context, action: Callable[[MigrationOptions, Catalog, Catalog], _T]
    ) -> Outcome[_T]:
        """Do something with each database; what is broken of a fleet is said, and left out from here on.

        Parameters:
            options: of the migration.
            context: of the task, whose XCom `BROKEN` says what stands in the way of which database.
            action: takes the migration of a database, its source and its target.

        Returns:
            What it came to; broken are those, too, that were so before.

        Raises:
            MigrationStopped: no database is left.
            TDengineError: what no retry cured.
        """
        return self.of_each_in_turn(options, context, lambda *given: partial(same, action(*given)))

    def of_each_in_turn(
        self,
        options: MigrationOptions,
        context: Context,
        action: Callable[[MigrationOptions, Catalog, Catalog], Callable[[], _T]],
    ) -> Outcome[_T]:
        """The same, where something is left to do at the end that only the thread may do which runs the task.

        Parameters:
            options: of the migration.
            context: of the task.
            action: gives what is left to do.
        """
        from airflow_provider_tdengine.migration.fleet import in_turn, of_each

        ends = self.ends(options)

        def act(one: MigrationOptions) -> Callable[[], _T]:
            source, target = ends(one)
            with source, target:
                return action(one, source, target)

        before = self.broken_before(options, context)
        outcome = in_turn(options, of_each(options, act, {**self.left_out(options, context), **before}))
        tell_broken({name: found for name, found in outcome.broken.items() if name not in before}, context)
        return outcome

    def is_end_implied(self, options: MigrationOptions, context: Context) -> bool:
        """Whether history ends at the run's creation only since nobody has said otherwise."""
        run = context["dag_run"]
        interval = [moment.isoformat() for moment in (run.data_interval_start, run.data_interval_end) if moment]
        # A scheduled run is created when its interval ends.
        is_interval = [options.start, options.end] == interval
        return options.mode == "history" and options.end == run.run_after.isoformat() and not is_interval

    def preview(self, options: MigrationOptions, context: Context) -> None:
        """Say what a run would do, and push it as XCom `assessment`; what stands in the way fails the task."""
        from airflow_provider_tdengine.migration.fleet import named
        from airflow_provider_tdengine.migration.planning import assessment, preview, write_assessment

        with clear_failures():
            outcome = self.of_each(options, context, lambda one, source, target: preview(source, target, one))
        previews = list(outcome.done.values())
        document = assessment(options.label, previews, datetime.now(timezone.utc))
        for found in previews:
            heading = f"Dry run, nothing is written. Migration {found.options.label}:"
            log.info("%s", wording.folded([heading, *found.lines()]))
        context["ti"].xcom_push("assessment", document)
        rows, batches = sum(found.rows for found in previews), sum(len(found.batches) for found in previews)
        context["ti"].xcom_push("planned", {"rows": rows, "batches": batches})
        with clear_failures():
            if options.certificate_path:
                place = write_assessment(document, self.document_folder(options, context))
                log.info("The assessment is %s", place)
            blockers = {name: found.blockers for name, found in outcome.done.items()} | outcome.broken
            stop_on(
                one for name, found in blockers.items() for one in (named(name, found) if options.is_fleet else found)
            )

    def source(self, options: MigrationOptions) -> Catalog:
        """The source database."""
        from airflow_provider_tdengine.migration.catalog import Catalog

        return Catalog(client(options.source_conn_id, "source_conn_id"), options.source_database)

    def target(self, options: MigrationOptions) -> Catalog:
        """The target database."""
        from airflow_provider_tdengine.migration.catalog import Catalog

        return Catalog(client(options.target_conn_id, "target_conn_id"), options.target)


def same(value: _T) -> _T:
    """What is given; of what is done already, nothing is left to do."""
    return value


def tell_broken(broken: Mapping[str, Sequence[Finding]], context: Context) -> None:
    """Say which databases of a fleet are left out from here on, and push why as XCom `BROKEN`."""
    from airflow_provider_tdengine.migration.fleet import named

    if not broken:
        return
    for database, findings in broken.items():
        for finding in named(database, findings):
            log.error("%s", wording.folded(finding.lines()))
    names = ", ".join(broken)
    log.warning("Left out from here on, while all others go on: %s", names)
    context["ti"].xcom_push(BROKEN, {name: sent(findings)[:_SHOWN] for name, findings in broken.items()})


def leave_out(parts: Sequence[Part], context: Context) -> None:
    """Say which databases are left out since parts of a pack failed.

    Parameters:
        parts: of the pack, all of which have been tried.
        context: of the task.

    Raises:
        AirflowException: a retry may cure it, and there is one.
    """
    from airflow_provider_tdengine.migration.fleet import named

    broken, instance = broken_of(parts), context["ti"]
    if any(part.get("retryable") for part in parts) and instance.try_number <= instance.max_tries:
        findings = [one for database, found in broken.items() for one in named(database, found)]
        raise failure(in_lines(MigrationStopped(findings)), retryable=True)
    tell_broken(broken, context)


def run_name(context: Context) -> str:
    """What a run is called beside those of other DAGs."""
    run = context["dag_run"]
    return f"{run.dag_id} {run.run_id}"


def client(connection_id: str, option: str) -> Client:
    """The client of an Airflow connection.

    Parameters:
        connection_id: its name.
        option: which said it.

    Raises:
        MigrationStopped: there is no such connection.
        AddressError: it cannot be right.
    """
    from airflow_provider_tdengine.hooks.tdengine import TDengineHook

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


@dataclass(frozen=True, slots=True)
class _Looked:
    """What is asked for.

    Parameters:
        options: complete.
        findings: which do not stand in the way.
        facts: what people read.
    """

    options: MigrationOptions
    findings: list[Finding]
    facts: wording.Facts


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
            given = self._given(context)
            options, mistakes = MigrationOptions.read(given)
            if options.is_fleet:
                stop_on(mistakes)
                looked = self._look_at_fleet(self._of_run(options, context), context)
            else:
                looked = self._look(given, client, context)
            if not looked.options.dry_run:
                folders = looked.options.folders
                stop_on(folder_findings(folders, lambda folder: cast(Path, ObjectStoragePath(folder))))
                if looked.options.asking:
                    check_dag(context)
            resolved_on = {} if looked.options.dry_run else mark_folders(looked.options, context)
        for finding in looked.findings:
            log.log(_LEVELS[finding.severity], "%s", wording.folded(finding.lines()))
        context["ti"].xcom_push("findings", sent(looked.findings))
        told("This is what was asked for", looked.facts)
        return {**looked.options.to_dict(), **resolved_on}

    def _look(self, given: Mapping[str, object], client: Callable[[str, str], Client], context: Context) -> _Looked:
        """What is asked for, and found, of one database."""
        from airflow_provider_tdengine.migration.following import choose, obstacle
        from airflow_provider_tdengine.migration.planning import on_source_clock, preflight, requested

        request = requested(given, client, lambda options: self._of_run(options, context))
        options = request.options
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
        return _Looked(options, findings, request.facts(options))

    def _look_at_fleet(self, asked: MigrationOptions, context: Context) -> _Looked:
        """The same of several databases; those that only a pattern means are left out where they have no tables."""
        from airflow_provider_tdengine.migration.catalog import NO_TABLES
        from airflow_provider_tdengine.migration.fleet import named, of_each
        from airflow_provider_tdengine.migration.planning import expanded

        known = cache(client)
        source = known(asked.source_conn_id, "source_conn_id")
        options = expanded(asked, source, known(asked.target_conn_id, "target_conn_id"))
        outcome = of_each(options, lambda one: self._look(one.to_dict(), known, context))
        empty = {
            name: [replace(one, severity=Severity.INFO) for one in findings]
            for name, findings in outcome.broken.items()
            if name not in asked.databases and all(one.kind == NO_TABLES for one in findings)
        }
        tell_broken({name: found for name, found in outcome.broken.items() if name not in empty}, context)
        findings = {name: looked.findings for name, looked in outcome.done.items()} | empty
        # What else was found out is the same of all of them, such as the moment at which history ends.
        first = next(iter(outcome.done.values()))
        names = [name for name in options.databases if name not in empty]
        options = replace(
            first.options,
            source_database=fleet_of(names),
            target_database=options.target_database,
            name=options.name,
        )
        facts = [
            ("migration", options.label),
            ("source", f"{wording.number(len(names), 'database')} on {source.address}: {', '.join(names)}"),
            ("target", f"{options.target} on {known(options.target_conn_id, 'target_conn_id').address}"),
            ("no tables, left out", ", ".join(empty)),
        ]
        own = {name for name, _ in facts}
        return _Looked(
            options,
            Findings(one for name, found in findings.items() for one in named(name, found)).said(),
            [*facts, *(fact for fact in first.facts if fact[0] not in own)],
        )


class TDengineSchemaSyncOperator(MigrationOperator):
    """Creates in the target what it lacks: database, super tables, subtables with tags, normal tables.

    Returns:
        What was created, see `migration.structure.SchemaReport`.
    """

    def execute(self, context: Context) -> dict[str, object]:
        """Compare both sides, then create; findings stop it before anything is written."""
        from airflow_provider_tdengine.migration.structure import SchemaReport, SchemaSync

        options = self.migration_options(context)
        if options.schema == "none" or options.dry_run:
            log.info("Nothing is created: schema is %s, dry_run is %s", options.schema, options.dry_run)
            return {}
        with clear_failures(context):
            reports = self.of_each(
                options, context, lambda one, source, target: SchemaSync(source, target, one).run_patiently()
            ).done
        report = SchemaReport.of(reports)
        Metrics(context).created(report)
        title = "The target has all tables now" if report.changed else "The target had all tables already"
        told(f"{title}{_of_databases(options, reports)}", report.facts())
        return report.to_dict()


class TDenginePlanOperator(MigrationOperator):
    """Cuts the migration into batches, for the mapped copy tasks.

    What it adds up to is the XCom `planned`: rows and batches; of a fleet the rows of each of its `databases`, too, and
    those that are `gone` of an earlier plan of this run.

    Returns:
        A `migration.planning.Batch` each, as dictionaries; none with `dry_run`, which shows the plan and stops.
    """

    def execute(self, context: Context) -> Sequence[Mapping[str, object]]:
        """Count rows by subtable, and cut."""
        from airflow_provider_tdengine.migration.copying import packed
        from airflow_provider_tdengine.migration.planning import MOST_BATCHES, make_plan, plan_facts

        options = self.migration_options(context)
        if options.dry_run:
            self.preview(options, context)
            return []
        if not options.copies_history:
            log.info("No rows of before are copied: schema is %s, mode is %s", options.schema, options.mode)
            return []
        kept = plan_store(context, options)
        known, before = kept.load(), kept.databases
        with clear_failures(context):
            plans = self.of_each(
                options,
                context,
                lambda one, source, target: make_plan(
                    source, target, one, [batch for batch in known if batch.database in ("", one.source_database)]
                ),
            ).done
        if not options.is_fleet:
            (batches,) = plans.values()
            tasks: Sequence[Batch | Pack] = batches
        else:
            # What was planned before stays in its task, so that checkpoints do.
            there = {batch.identity for batch in known}
            plans = {name: [replace(one, database=name) for one in own] for name, own in plans.items()}
            new = [batch for own in plans.values() for batch in own if batch.identity not in there]
            packs = packed(new, known, MOST_BATCHES)
            tasks, batches = packs, [batch for pack in packs for batch in pack.parts]
        # Those that have gone since: nothing else knows of one without rows.
        before = list(dict.fromkeys([*before, *plans])) if options.is_fleet else []
        kept.save(batches, before)
        Metrics(context).planned(batches)
        told(f"The plan{_of_databases(options, plans)}", plan_facts(batches))
        planned: dict[str, object] = {"rows": sum(batch.rows for batch in batches), "batches": len(tasks)}
        if options.is_fleet:
            planned["databases"] = {name: sum(batch.rows for batch in own) for name, own in plans.items()}
            planned["gone"] = [name for name in before if name not in options.databases]
        context["ti"].xcom_push("planned", planned)
        return [task.to_dict() for task in tasks]


def _of_databases(options: MigrationOptions, of: Sized) -> str:
    """What to say behind a title of a fleet's sum."""
    return f" of {wording.number(len(of), 'database')}" if options.is_fleet else ""


class TDengineRangeMigrationOperator(MigrationOperator):
    """Copies one batch, or of a fleet a pack of them; at a retry it goes on from its checkpoints.

    What fails of a pack for good stops no other database; it is said at the end, and `certify` is red.

    Parameters:
        batch: one of the dictionaries that `TDenginePlanOperator` returns.
        parallel_batches: how many batches of a plan are copied at the same time at most, among which the limits are
            divided; as `max_active_tis_per_dagrun`, which sees to it. None for as many as the DAG has tasks at a time.
        shared: whether the limits are of all runs of the DAG together, and not of each.
        options: as of all stages.

    The limits are divided among those that copy at the moment: what one leaves, the others use some seconds later.

    With `.partial(map_index_template=TDengineRangeMigrationOperator.map_index_template)` the grid names the tables.

    Returns:
        The number of the instance, the batch, what its copy came to (`migration.copying.Copied`), and of that for
        people: rows that arrived, bytes, refused rows and the folder of their dead letters, rows left behind as too
        old, collisions of cut timestamps, seconds of this try, strategy. Of a pack the same of each part as `parts`,
        those that failed with `failed`, and the sums.
    """

    map_index_template = "{{ task.batch_label }}"
    template_fields: Sequence[str] = ("options", "batch")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "batch": "json"}

    def __init__(
        self, *, batch: Mapping[str, object], parallel_batches: int | None = None, shared: bool = False, **kwargs: Any
    ) -> None:
        kwargs.setdefault("map_index_template", self.map_index_template)
        super().__init__(**kwargs)
        self.batch = batch
        self.parallel_batches = parallel_batches
        self.shared = shared
        self._copied: list[tuple[Batch, Copied]] = []

    @property
    def batch_label(self) -> str:
        """What the grid calls it, as soon as the task runs."""
        return label_of(self.batch)

    def execute(self, context: Context) -> dict[str, object]:
        """Copy the batch, or the pack."""
        from airflow_provider_tdengine.migration.copying import Batch, Pack

        options = self.migration_options(context)
        if "parts" in self.batch:
            return self._copy_pack(Pack.from_dict(self.batch), options, context)
        batch = Batch.from_dict(dict(self.batch))
        progress: ProgressStore = task_progress(context, "copies its batch from the beginning", force=options.force)
        with clear_failures(context), Headway("Copying", batch.rows) as headway:
            try:
                ends = self.source(options), self.target(options)
                copied = self._copy(batch, options, ends, progress, Pace(context), headway, context)
            except Stopped as stopped:
                raise failure([str(stopped)], retryable=True) from None
        return {INSTANCE: context["ti"].map_index, **copied}

    def _copy_pack(self, pack: Pack, options: MigrationOptions, context: Context) -> dict[str, object]:
        """Copy batch by batch; what fails for good is put down, and the next one begun."""
        own, pace = {one.source_database: one for one in options.members}, Pace(context)
        with clear_failures(context), Headway("Copying", pack.rows) as headway:
            ends = self.ends(options)

            def copy(batch: Batch) -> dict[str, object]:
                member = own[batch.database]
                progress = task_progress(
                    context, "copies its batches from the beginning", force=options.force, of=digest(batch.identity)
                )
                return self._copy(batch, member, ends(member), progress, pace, headway, context)

            try:
                # Of a plan that was made before, databases may have gone from the list.
                parts = each_part([batch for batch in pack.parts if batch.database in own], copy)
            except Stopped as stopped:
                raise failure([str(stopped)], retryable=True) from None
        leave_out(parts, context)
        return {INSTANCE: context["ti"].map_index, **sums(parts)}

    def _copy(
        self,
        batch: Batch,
        options: MigrationOptions,
        ends: tuple[Catalog, Catalog],
        progress: ProgressStore,
        pace: Pace,
        headway: Headway,
        context: Context,
    ) -> dict[str, object]:
        """Copy one batch.

        Parameters:
            batch: the batch.
            options: of the migration of its database.
            ends: source and target.
            progress: where its checkpoint is kept.
            pace: of the task.
            headway: of the task, which may have copied other batches before.
            context: of the task.
        """
        from airflow_provider_tdengine.migration.copying import DeadLetters, batch_folder, copied_facts, copy_batch

        metrics, before = Metrics(context), headway.done
        earlier: int | None = None

        def report(checkpoint: Checkpoint) -> None:
            nonlocal earlier
            # At the beginning, it is what earlier tries have copied.
            if earlier is None:
                earlier = checkpoint.tally.rows
                headway.skip(earlier)
            headway.at(before + checkpoint.tally.rows)
            metrics.copied(batch, checkpoint, options.workers)
            pace.add(before + checkpoint.tally.rows)

        folder = self.dead_letter_folder(options, context, batch.database)
        letters = None
        if folder:
            own = batch_folder(folder / self.task_id, batch, options)
            letters = DeadLetters(own, options.max_rejected, options.target)
        divided = self.batch_options(context, batch)
        is_limited = divided.max_rows_per_second or divided.max_bytes_per_second
        try:
            copied = copy_batch(
                *ends,
                batch,
                divided,
                progress,
                factor=partial(self._factor, batch, context) if is_limited else None,
                dead_letters=letters,
                stop=self.stop_event(),
                report=report,
            )
        finally:
            metrics.idle()
        metrics.finished(batch)
        self._copied.append((batch, copied))
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

    def _factor(self, batch: Batch, context: Context) -> float:
        """How many times its part of the limits this task may have, since more or fewer tasks copy than may."""
        instance, runs = context["ti"], None if self.shared else [context["dag_run"].run_id]
        tasks = [task.task_id for task in context["dag"].tasks if task.task_type == self.task_type]
        try:
            count = instance.get_ti_count(
                dag_id=instance.dag_id,
                task_ids=tasks if self.shared else [self.task_id],
                run_ids=runs,
                states=["running"],
            )
        except AirflowRuntimeError as error:
            log.debug("How many tasks copy was not said: %s", error)
            return 1.0
        return self._parallel(context, batch) / max(1, count)

    def get_openlineage_facets_on_complete(
        self, task_instance: RuntimeTaskInstance
    ) -> OperatorLineage[Dataset, RunFacet] | None:
        """Which columns became which; OpenLineage calls it in the task's process, after `execute`."""
        if not self._copied:
            return None
        options = self.migration_options(task_instance.get_template_context())
        ends, own = self.ends(options), {one.source_database: one for one in options.members}
        lineages = []
        for batch, copied in self._copied:
            one = own.get(batch.database, options)
            lineages.append(batch_lineage(*ends(one), batch, one, copied.tally.confirmed, copied.tally.bytes))
        return added(lineages)
