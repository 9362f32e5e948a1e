"""Comparing: a task for each batch, one that adds up, and one that looks after a past period."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSkipException,
    AssetAlias,
)

from airflow_provider_tdengine.assets import MIGRATED, create_asset
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing import (
    BatchComparison,
    Comparison,
    Kind,
    Verdict,
    certificate,
    compare_batch,
    conclude,
    verify,
    write,
)
from airflow_provider_tdengine.migration.copying import Batch, Copied, kept
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import make_objects
from airflow_provider_tdengine.migration.wording import number
from airflow_provider_tdengine.operators.metrics import Metrics
from airflow_provider_tdengine.operators.migration import MigrationOperator, clear_failures, failure, told

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

_STOPPED = "The comparison was stopped; cleared, it begins anew"

_SHOWN = 20
"""Differences, rows and batches that a message names."""


class ComparingOperator(MigrationOperator):
    """What those who compare have in common."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Made when the task runs: an operator is copied and pickled before.
        self._stop: threading.Event | None = None

    def refused(self, options: MigrationOptions, context: Context) -> dict[str, list[int]]:
        """Timestamps of refused rows by table of the target, as far as their files are seen here."""
        folder = self.dead_letter_folder(options, context)
        return kept(folder) if folder else {}

    def on_kill(self) -> None:
        """Let the comparison end soon."""
        if self._stop:
            self._stop.set()


class TDengineVerifyBatchOperator(ComparingOperator):
    """Compares a batch that was copied, and mends what differs; a difference that stays fails the task.

    Parameters:
        copied: what `TDengineRangeMigrationOperator` returned.
        parallel_batches: how many batches are compared at the same time at most, among which the limits are divided
            for what is copied again; see `TDengineRangeMigrationOperator`.
        options: as of all stages.

    Returns:
        What was compared, see `migration.comparing.BatchComparison`.
    """

    map_index_template = "{{ task.batch_label }}"
    template_fields: Sequence[str] = ("options", "copied")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "copied": "json"}

    def __init__(self, *, copied: Mapping[str, Any], parallel_batches: int | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", self.map_index_template)
        super().__init__(**kwargs)
        self.copied = copied
        self.parallel_batches = parallel_batches

    @property
    def batch_label(self) -> str:
        """What the grid calls it, as soon as the task runs."""
        return Batch.from_dict(self.copied["batch"]).label

    def execute(self, context: Context) -> dict[str, object]:
        """Compare, mend, and compare again."""
        batch, copied = Batch.from_dict(self.copied["batch"]), Copied.from_dict(self.copied["copied"])
        options = self.batch_options(context, batch)
        if options.verify == "none":
            raise AirflowSkipException("Nothing is compared: verify is none")
        refused = self.refused(options, context) if copied.tally.rejected else {}
        self._stop = threading.Event()
        with clear_failures(context):
            source, target = self.source(options), self.target(options)
            try:
                # A task that is cleared compares what the source holds by then; its copy may be of days ago.
                again = context["ti"].try_number > 1
                result = compare_batch(
                    source, target, batch, options, copied=copied, again=again, refused=refused, stop=self._stop
                )
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
        # Pushed before it may fail: the task that adds up reads it.
        context["ti"].xcom_push("return_value", result.to_dict())
        whole = Comparison()
        whole.add(result)
        if whole.verdict.kind is Kind.DIFFERENT:
            cure = "Clear this task to repair and compare once more, or the copy of this batch to copy all of it"
            raise failure(_in_words(whole, cure))
        told(f"Compared: batch {batch.label}", whole.facts())
        return result.to_dict()


class TDengineVerifyOperator(ComparingOperator):
    """Adds up what batches came to, and compares what none of them holds; or, without batches, the whole migration.

    A difference that stays fails the task. Where there is none, it says so to Airflow's assets: an event for each super
    table of the target, with the period and the number of its rows; normal tables are together an event of the
    database. All of them are events of the asset alias `assets.MIGRATED`, too. Tables with refused rows have no event.

    With batches, its trigger rule is all_done, so that a certificate says what differs. It fails where a batch has not
    been compared, and where a task before it did not run, whatever `verify` says.

    Parameters:
        batches: what `TDenginePlanOperator` returned; None to compare the whole migration here.
        compared: what the tasks `TDengineVerifyBatchOperator` returned.
        options: as of all stages.

    The verdict is the XCom `verdict`, too, and what proves it the XCom `certificate`, whether it is different or not.

    Returns:
        What was compared, see `migration.comparing.Comparison`.
    """

    template_fields: Sequence[str] = ("options", "batches", "compared")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "batches": "json", "compared": "json"}

    def __init__(
        self,
        *,
        batches: Sequence[Mapping[str, object]] | None = None,
        compared: Sequence[Mapping[str, object]] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["outlets"] = [*kwargs.get("outlets", ()), AssetAlias(MIGRATED)]
        if batches is not None:
            kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(**kwargs)
        self._is_last = batches is not None
        self.batches = batches
        self.compared = compared

    def execute(self, context: Context) -> dict[str, object]:
        """Compare, mend, and compare again; then say what it came to."""
        if self._is_last:
            self._check_upstream(context)
        options = self.migration_options(context)
        if options.dry_run:
            raise AirflowSkipException("Dry run: there is nothing to compare")
        if options.verify == "none" or not options.copies_history:
            why = f"verify is {options.verify}, schema is {options.schema}, mode is {options.mode}"
            verdict = Verdict(not_compared=why)
            log.warning("%s", verdict.words)
            context["ti"].xcom_push("verdict", verdict.to_dict())
            with clear_failures(), self.source(options) as source, self.target(options) as target:
                make_objects(source, target, options)
            return {"verdict": verdict.to_dict()}
        self._stop = threading.Event()
        with clear_failures(), self.source(options) as source, self.target(options) as target:
            try:
                comparison = self._compared(source, target, options, context)
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
            made = [] if comparison.verdict.kind is Kind.DIFFERENT else make_objects(source, target, options)
            began = context["dag_run"].start_date or context["dag_run"].run_after
            proof = certificate(source, target, options, comparison, (began, datetime.now(timezone.utc)), made)
            if options.certificate_path:
                log.info("The certificate is %s", write(proof, self.document_folder(options, context)))
        verdict = comparison.verdict
        Metrics(context).compared(comparison.different)
        # Pushed before it may fail: the page Migrations shows them.
        context["ti"].xcom_push("verdict", verdict.to_dict())
        context["ti"].xcom_push("certificate", proof)
        if verdict.kind is Kind.DIFFERENT:
            cure = (
                "Clear the tasks that compare these tables to repair them and compare again, or those that copy them"
                if self._is_last
                else "Clear this task to repair and compare once more"
            )
            raise failure(_in_words(comparison, cure))
        level = logging.INFO if verdict.is_equal else logging.WARNING
        for note in verdict.notes:
            log.log(level, "%s", wording.folded([note]))
        told("Compared: the whole migration", comparison.facts(), level)
        self._tell_assets(options, comparison, context)
        return comparison.to_dict()

    def _check_upstream(self, context: Context) -> None:
        """Make sure that what is added up is of this run of the tasks: XComs outlive a clear.

        Raises:
            AirflowFailException: a task before this one did not run, since one before it failed.
        """
        instance, run = context["ti"], context["dag_run"].run_id
        upstream = sorted(self.upstream_task_ids)
        states = instance.get_task_states(dag_id=instance.dag_id, task_ids=upstream, run_ids=[run]).get(run, {})
        failed = {task for task, state in states.items() if state == "upstream_failed"}
        # A mapped instance is called by its task's name and its number.
        idle = [task for task in upstream if task in failed or any(_instances(task, failed))]
        if idle or self.batches is None:
            names = f" ({', '.join(idle)} did not run)" if idle else ""
            raise failure([f"Nothing was compared: a task before this one failed{names}", "  → Clear that one"])

    def _compared(self, source: Catalog, target: Catalog, options: MigrationOptions, context: Context) -> Comparison:
        refused, implied = self.refused(options, context), self.is_end_implied(options, context)
        if self.batches is None:
            return verify(source, target, options, refused, is_end_implied=implied, stop=self._stop)
        batches = [Batch.from_dict(batch) for batch in self.batches[:]]
        known: dict[str, BatchComparison] = {}
        for one in map(BatchComparison.from_dict, (self.compared or ())[:]):
            # Of a plan that had more batches, the XComs of the last ones are still there.
            known.setdefault(one.batch, one)
        if missing := [batch.label for batch in batches if batch.identity not in known]:
            raise failure(
                [
                    f"{len(missing):,} of {number(len(batches), 'batch', 'batches')} have not been compared:",
                    *(f"  {label}" for label in missing[:_SHOWN]),
                    *([f"  and {len(missing) - _SHOWN:,} more"] if len(missing) > _SHOWN else []),
                    "  → The logs of their tasks say why; clear those",
                ]
            )
        compared = [known[batch.identity] for batch in batches]
        return conclude(
            source, target, options, batches, compared, refused=refused, is_end_implied=implied, stop=self._stop
        )

    def _tell_assets(self, options: MigrationOptions, comparison: Comparison, context: Context) -> None:
        host, port = self.target(options).client.address.first
        events = context["outlet_events"][AssetAlias(MIGRATED)]
        moments = {"start": options.window_start, "end": options.window_end}
        window = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
        for stable, total in comparison.stables.items():
            verdict = total.verdict
            if not verdict.is_whole:
                log.warning("No asset event for %s: %s", stable or "normal tables", verdict.words)
                continue
            asset = create_asset(host=host, port=port, database=options.target, table=stable or None)
            events.add(
                asset, extra={"migration": options.label, "rows": verdict.arrived, "verdict": verdict.words, **window}
            )


class TDengineReconcileOperator(TDengineVerifyOperator):
    """Compares a past period again, and mends what has come late, was changed or deleted since; for a nightly DAG.

    New tables, columns and changed tags are carried over, too, unless schema is none. With mode realtime or both, it
    is the period that counts, not the mode.

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
        # The tables are those of a migration that exists: their tags are looked after, too.
        return replace(
            options,
            mode="history",
            start_from=None,
            start=start,
            end=end,
            update_tags=options.schema != "none",
        )


def _instances(task: str, names: Iterable[str]) -> Iterator[str]:
    """Those of some names that are of mapped instances of a task: `verify_3` of `verify`."""
    for name in names:
        own, _, number = name.rpartition("_")
        if own == task and number.isdecimal():
            yield name


def _in_words(comparison: Comparison, cure: str) -> list[str]:
    """What differs, where, and what to do about it."""
    mended = f", after {number(comparison.mended, 'table')} had been copied again" if comparison.mended else ""
    lines = [f"{comparison.verdict.words}{mended}", *(f"  {one}" for one in comparison.differences[:_SHOWN])]
    if comparison.shown:
        lines += ["Rows that differ, the first ones:", *(f"  {row}" for row in comparison.shown[:_SHOWN])]
    if comparison.obstacle:
        lines.append(f"It cannot be repaired: {comparison.obstacle}")
    if comparison.extra:
        lines.append("  → Rows that only the target has are deleted with the option delete_extra")
    return [*lines, f"  → {cure}"]
