"""Comparing: a task for each batch, one that adds up, and one that looks after a past period."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import AssetAlias

from airflow_provider_tdengine.assets import MIGRATED, create_asset
from airflow_provider_tdengine.compat import AirflowSkipException
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import ASK, MigrationOptions
from airflow_provider_tdengine.migration.retry import persist
from airflow_provider_tdengine.migration.wording import number
from airflow_provider_tdengine.operators.asking import AskingOperator
from airflow_provider_tdengine.operators.metrics import Metrics
from airflow_provider_tdengine.operators.migration import (
    MigrationOperator,
    clear_failures,
    failure,
    leave_out,
    run_name,
    same,
    told,
)
from airflow_provider_tdengine.operators.packs import INSTANCE, Part, done_parts, each_part, label_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.catalog import Catalog
    from airflow_provider_tdengine.migration.comparing import BatchComparison, Comparison, Deletion, Verdict
    from airflow_provider_tdengine.migration.copying import Batch
    from airflow_provider_tdengine.migration.fleet import Outcome
    from airflow_provider_tdengine.migration.structure import Made

log = logging.getLogger(__name__)

_STOPPED = "The comparison was stopped; cleared, it begins anew"

_CURE = "The logs of their tasks say why; clear those"

_SHOWN = 20
"""Differences, rows and batches that a message names."""


class ComparingOperator(AskingOperator, MigrationOperator):
    """What those who compare have in common."""

    def refused(self, options: MigrationOptions, context: Context, database: str = "") -> dict[str, list[int]]:
        """Timestamps of refused rows by table of the target, as far as their files are seen here.

        Parameters:
            options: of the migration.
            context: of the task.
            database: whose rows they are, of a fleet.
        """
        from airflow_provider_tdengine.migration.copying import kept

        folder = self.dead_letter_folder(options, context, database)
        return kept(folder) if folder else {}


class TDengineVerifyBatchOperator(ComparingOperator):
    """Compares a batch that was copied, or a pack, and mends what differs; a difference that stays fails the task.

    Parameters:
        copied: what `TDengineRangeMigrationOperator` returned.
        parallel_batches: how many batches are compared at the same time at most, among which the limits are divided
            for what is copied again; see `TDengineRangeMigrationOperator`.
        options: as of all stages.

    Returns:
        What was compared, see `migration.comparing.BatchComparison`, and the number of the instance; of a pack, that of
        each part as `parts`.
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
        parts = self.copied.get("parts")
        return label_of(self.copied["batch"] if parts is None else {"parts": [part["batch"] for part in parts]})

    def execute(self, context: Context) -> dict[str, object]:
        """Compare, mend, and compare again."""
        from airflow_provider_tdengine.migration.comparing import Comparison, Kind
        from airflow_provider_tdengine.migration.copying import Batch

        options = self.migration_options(context)
        if options.verify == "none":
            raise AirflowSkipException("Nothing is compared: verify is none")
        if "parts" in self.copied:
            return self._compare_pack(self.copied["parts"], options, context)
        batch = Batch.from_dict(self.copied["batch"])
        with clear_failures(context):
            try:
                result = self._compare(self.copied, (self.source(options), self.target(options)), context)
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
        returned = {INSTANCE: context["ti"].map_index, **result.to_dict()}
        # Pushed before it may fail: the task that adds up reads it.
        context["ti"].xcom_push("return_value", returned)
        whole = Comparison()
        whole.add(result)
        if whole.waits:
            log.warning("%s; the task that adds up asks a person", whole.verdict.words)
        elif whole.verdict.kind is Kind.DIFFERENT:
            cure = "Clear this task to repair and compare once more, or the copy of this batch to copy all of it"
            raise failure(_in_words(whole, cure))
        told(f"Compared: batch {batch.label}", whole.facts())
        return returned

    def _compare_pack(self, copied: Sequence[Part], options: MigrationOptions, context: Context) -> dict[str, object]:
        """Compare batch by batch; what fails for good is put down, and the next one begun."""
        from airflow_provider_tdengine.migration.comparing import Comparison, Kind
        from airflow_provider_tdengine.migration.copying import Batch

        own = {one.source_database: one for one in options.members}
        done = {Batch.from_dict(part["batch"]): part for part in copied if "copied" in part}
        compared: dict[str, Comparison] = {}
        with clear_failures(context):
            ends = self.ends(options)

            def compare(batch: Batch) -> Part:
                result = self._compare(done[batch], ends(own[batch.database]), context)
                compared.setdefault(batch.database, Comparison()).add(result)
                return result.to_dict()

            try:
                parts = each_part([batch for batch in done if batch.database in own], compare)
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
        for name, one in compared.items():
            if one.waits:
                log.warning("%s: %s; the task that adds up asks a person", name, one.verdict.words)
        differing = {
            name: one for name, one in compared.items() if one.verdict.kind is Kind.DIFFERENT and not one.waits
        }
        result: dict[str, object] = {
            INSTANCE: context["ti"].map_index,
            "parts": parts,
            "rows": sum(one.rows for one in compared.values()),
            "different": len(differing),
            "failed": sum("failed" in part for part in parts),
        }
        context["ti"].xcom_push("return_value", result)
        for name, one in compared.items():
            if name not in differing:
                told(f"Compared: {name}", one.facts())
        cure = "Clear this task to repair and compare once more, or the copy of this pack to copy it again"
        said = [line for name, one in differing.items() for line in (f"Database {name!r}:", *_in_words(one, cure))]
        leave_out(parts, context)
        if said:
            raise failure(said)
        return result

    def _compare(self, part: Mapping[str, Any], ends: tuple[Catalog, Catalog], context: Context) -> BatchComparison:
        """Compare one batch.

        Parameters:
            part: what its copy returned.
            ends: source and target.
            context: of the task.
        """
        from airflow_provider_tdengine.migration.comparing import compare_batch
        from airflow_provider_tdengine.migration.copying import Batch, Copied

        batch, copied = Batch.from_dict(part["batch"]), Copied.from_dict(part["copied"])
        options = self.batch_options(context, batch)
        refused = self.refused(options, context, batch.database) if copied.tally.rejected else {}
        # A task that is cleared compares what the source holds by then; its copy may be of days ago.
        again = context["ti"].try_number > 1
        return compare_batch(*ends, batch, options, copied=copied, again=again, refused=refused, stop=self.stop_event())


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
        copied: what the tasks `TDengineRangeMigrationOperator` returned, which is held against the plan where `verify`
            is none; None to hold nothing against it then.
        options: as of all stages.

    The verdict is the XCom `verdict`, too, and what proves it the XCom `certificate`, whether it is different or not.

    Returns:
        What was compared, see `migration.comparing.Comparison`.
    """

    template_fields: Sequence[str] = ("options", "batches", "compared", "copied")
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(template_fields, "json")

    def __init__(
        self,
        *,
        batches: Sequence[Mapping[str, object]] | None = None,
        compared: Sequence[Mapping[str, object]] | None = None,
        copied: Sequence[Mapping[str, object]] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["outlets"] = [*kwargs.get("outlets", ()), AssetAlias(MIGRATED)]
        if batches is not None:
            kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(**kwargs)
        self._is_last = batches is not None
        self._known: _Known | None = None
        self._is_fleet, self._at_once = False, 1
        self._failed: list[str] = []
        self.batches = batches
        self.compared = compared
        self.copied = copied

    def execute(self, context: Context) -> dict[str, object]:
        """Compare, mend, and compare again; then say what it came to."""
        from airflow_provider_tdengine.migration.comparing import Kind, write
        from airflow_provider_tdengine.migration.fleet import at_once, named

        if self._is_last:
            self._check_upstream(context)
        options = self.migration_options(context)
        if options.dry_run:
            raise AirflowSkipException("Dry run: there is nothing to compare")
        self._is_fleet, self._at_once = options.is_fleet, at_once(options)
        if options.verify == "none" or not options.copies_history:
            return self._pass_by(options, context)
        with clear_failures():
            self._known = self._said_before(options)
            try:
                outcome = self.of_each_in_turn(options, context, partial(self._look, context))
            except Stopped:
                raise failure([_STOPPED], retryable=True) from None
        verdict, proof = _proved(options, outcome)
        with clear_failures():
            if options.certificate_path:
                log.info("The certificate is %s", write(proof, self.document_folder(options, context)))
        Metrics(context).compared(sum(one.comparison.different for one in outcome.done.values()))
        # Pushed before it may fail: the page Migrations shows them.
        context["ti"].xcom_push("verdict", verdict.to_dict())
        context["ti"].xcom_push("certificate", proof)
        cure = (
            "Clear the tasks that compare these tables to repair them and compare again, or those that copy them"
            if self._is_last
            else "Clear this task to repair and compare once more"
        )
        wrong: list[str] = []
        for name, one in outcome.done.items():
            if one.comparison.verdict.kind is Kind.DIFFERENT:
                wrong += [*([f"Database {name!r}:"] if options.is_fleet else []), *_in_words(one.comparison, cure)]
            else:
                self._tell(name if options.is_fleet else "", one, context)
        wrong += [line for name, found in outcome.broken.items() for one in named(name, found) for line in one.lines()]
        if self._failed and not wrong:
            # What they say may be of before: XComs of tasks outlive these.
            wrong = [f"{', '.join(self._failed[:_SHOWN])} failed", f"  → {_CURE}"]
        if wrong:
            raise failure(wrong)
        if not options.is_fleet:
            return outcome.done[options.source_database].comparison.to_dict()
        told(f"Compared: {number(len(outcome.done), 'database')}", [("verdict", verdict.words)])
        return {
            "tables": verdict.tables,
            "rows": verdict.rows,
            "target_rows": verdict.arrived,
            "verdict": verdict.to_dict(),
            "databases": {name: one.comparison.to_dict() for name, one in outcome.done.items()},
        }

    def _pass_by(self, options: MigrationOptions, context: Context) -> dict[str, object]:
        """Compare nothing, but see that all has been done that was planned."""
        from airflow_provider_tdengine.migration.comparing import Verdict
        from airflow_provider_tdengine.migration.fleet import named
        from airflow_provider_tdengine.migration.structure import make_objects

        why = f"verify is {options.verify}, schema is {options.schema}, mode is {options.mode}"
        verdict = Verdict(not_compared=why)
        log.warning("%s", verdict.words)
        context["ti"].xcom_push("verdict", verdict.to_dict())

        def make(one: MigrationOptions, source: Catalog, target: Catalog) -> list[Made]:
            self._check_copied(one)
            if persist(source.database) is None:
                raise MigrationStopped([source.missing("source_database")])
            return make_objects(source, target, one)

        with clear_failures():
            self._known = self._said_before(options)
            made = self.of_each(options, context, make)
            if made.broken:
                verdict = Verdict(not_compared=f"{', '.join(made.broken)} failed; {why}")
                context["ti"].xcom_push("verdict", verdict.to_dict())
            stop_on(one for name, found in made.broken.items() for one in named(name, found))
        return {"verdict": verdict.to_dict()}

    def left_out(self, options: MigrationOptions, context: Context) -> dict[str, list[Finding]]:
        """Databases of which the plan and the list that is meant by now do not agree."""
        if not (self._is_last and options.is_fleet and options.copies_history):
            return {}
        pushed = self.pushed_before("planned", context)
        planned = [name for one in pushed for name in one.get("databases", ())]
        earlier = [name for one in pushed for name in one.get("gone", ())]
        return {**_gone(options, (*planned, *earlier)), **_unplanned(options, planned)}

    def _look(
        self, context: Context, options: MigrationOptions, source: Catalog, target: Catalog
    ) -> Callable[[], _Looked]:
        """Compare a database.

        Returns:
            What is left to do: to make its other objects where nothing differs; and before, if need be, to ask.
        """
        began = time.monotonic()
        compare = self._comparing(source, target, options, context)
        comparison = compare(frozenset())
        conclude = partial(self._conclude, context, options, source, target, time.monotonic() - began)
        if options.delete_extra != ASK:
            return partial(same, conclude(comparison))

        def ask() -> _Looked:
            with source, target:
                return conclude(self.compared_as_approved(context, options, comparison, compare))

        return ask

    def _conclude(
        self,
        context: Context,
        options: MigrationOptions,
        source: Catalog,
        target: Catalog,
        seconds: float,
        comparison: Comparison,
    ) -> _Looked:
        """Keep what a comparison came to, and make the database's other objects where nothing differs."""
        from airflow_provider_tdengine.migration.comparing import Kind, certificate, keep_results
        from airflow_provider_tdengine.migration.structure import make_objects

        keep_results(source, target, options, comparison, run_name(context), seconds)
        made = [] if comparison.verdict.kind is Kind.DIFFERENT else make_objects(source, target, options)
        began = context["dag_run"].start_date or context["dag_run"].run_after
        proof = certificate(source, target, options, comparison, (began, datetime.now(timezone.utc)), made)
        return _Looked(options, comparison, proof, target.client.address.first)

    def _tell(self, name: str, looked: _Looked, context: Context) -> None:
        """Say what a database came to, to people and to assets."""
        verdict = looked.comparison.verdict
        level = logging.INFO if verdict.is_equal else logging.WARNING
        for note in verdict.notes:
            log.log(level, "%s", wording.folded([f"{name}: {note}" if name else note]))
        told(f"Compared: {name or 'the whole migration'}", looked.comparison.facts(), level)
        self._tell_assets(looked, context)

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
        idle = [task for task in upstream if task in failed or [*_instances(task, failed)]]
        # Of a copy that has returned nothing this time, what the comparison said before is still there.
        removed = {task for task, state in states.items() if state == "removed"}
        planned = len(self.batches or ())
        idle += [task for task in upstream if any(number < planned for number in _instances(task, removed))]
        # Of a plan that had more batches, what the last tasks said is still there.
        self.instances_before = planned if removed else None
        wrong = {task for task, state in states.items() if state == "failed"}
        self._failed = [
            f"{task}[{number}]" for task in upstream for number in sorted(_instances(task, wrong)) if number < planned
        ]
        if idle or self.batches is None:
            names = f" ({', '.join(idle)} did not run)" if idle else ""
            raise failure([f"Nothing was compared: a task before this one failed{names}", "  → Clear that one"])

    def _said_before(self, options: MigrationOptions) -> _Known | None:
        """What the tasks before came to, None where there are none; what was copied where nothing was compared.

        Raises:
            MigrationStopped: it cannot be read.
        """
        if self.batches is None:
            return None
        compared, copied = (None, self.copied) if options.verify == "none" else (self.compared, None)
        try:
            # Only a slice of XComs is fetched by one call.
            return _Known.of(self.batches[:], (compared or ())[:], None if copied is None else copied[:])
        except (KeyError, TypeError) as error:
            log.debug("It cannot be read", exc_info=error)
            raise MigrationStopped(
                [
                    Finding(
                        "What the tasks before this one have said",
                        "another version of this package has written it",
                        "Clear those that compare the batches, with all that follows",
                    )
                ]
            ) from None

    def _check_copied(self, options: MigrationOptions) -> None:
        """See that all batches of a database have been copied, where nothing is compared: a plan may be newer.

        Raises:
            MigrationStopped, AirflowFailException: one has not.
        """
        if self._known and self._known.copied is not None:
            self._done(self._known, options.source_database if self._is_fleet else "", self._known.copied, "copied")

    def _done(self, known: _Known, name: str, done: Collection[str], what: str) -> list[Batch]:
        """The batches of a database, all of which have been done.

        Parameters:
            known: what the tasks before came to.
            name: of the database, of a fleet.
            done: identities of batches.
            what: was done to them.

        Raises:
            MigrationStopped, AirflowFailException: one has not been done.
        """
        batches = [batch for batch in known.batches if batch.database in ("", name)]
        missing = [batch.label for batch in batches if batch.identity not in done]
        if not missing:
            return batches
        verb = "has" if len(missing) == 1 else "have"
        found = f"{len(missing):,} of {number(len(batches), 'batch', 'batches')} {verb} not been {what}"
        if self._is_fleet:
            raise MigrationStopped([Finding(f"Database {name!r}", found, _CURE)])
        lines = [f"  {label}" for label in missing[:_SHOWN]]
        more = [f"  and {len(missing) - _SHOWN:,} more"] if len(missing) > _SHOWN else []
        raise failure([f"{found}:", *lines, *more, f"  → {_CURE}"])

    def _comparing(
        self, source: Catalog, target: Catalog, options: MigrationOptions, context: Context
    ) -> Callable[[frozenset[Deletion]], Comparison]:
        """What compares, mends, and deletes what has been approved."""
        from airflow_provider_tdengine.migration.comparing import compare_batch, conclude, verify

        implied, known = self.is_end_implied(options, context), self._known
        name = options.source_database if self._is_fleet else ""
        refused, stop = self.refused(options, context, name), self.stop_event()

        def own(approved: frozenset[Deletion]) -> MigrationOptions:
            """The limits are of all databases together; when somebody has approved, one is compared after the other."""
            return options if approved else options.divided(self._at_once)

        def compare(approved: frozenset[Deletion]) -> Comparison:
            return verify(source, target, own(approved), refused, approved=approved, is_end_implied=implied, stop=stop)

        if known is None:
            return compare
        batches = self._done(known, name, known.compared, "compared")
        compared = [known.compared[batch.identity] for batch in batches]

        def add_up(approved: frozenset[Deletion]) -> Comparison:
            again = partial(compare_batch, source, target, again=True, refused=refused, approved=approved, stop=stop)
            done = [
                again(batch, options).after(one) if approved.intersection(one.deletions) else one
                for batch, one in zip(batches, compared, strict=True)
            ]
            # What was deleted is counted once.
            compared[:] = [replace(one, deleted=0) for one in done]
            return conclude(
                source,
                target,
                own(approved),
                batches,
                done,
                refused=refused,
                approved=approved,
                is_end_implied=implied,
                stop=stop,
            )

        return add_up

    def _tell_assets(self, looked: _Looked, context: Context) -> None:
        options, (host, port) = looked.options, looked.place
        events = context["outlet_events"][AssetAlias(MIGRATED)]
        moments = {"start": options.window_start, "end": options.window_end}
        window = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
        for stable, total in looked.comparison.stables.items():
            verdict = total.verdict
            if not verdict.is_whole:
                log.warning("No asset event for %s: %s", stable or "normal tables", verdict.words)
                continue
            asset = create_asset(host=host, port=port, database=options.target, table=stable or None)
            events.add(
                asset, extra={"migration": options.label, "rows": verdict.arrived, "verdict": verdict.words, **window}
            )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tasks before came to.

    Parameters:
        batches: of the plan.
        compared: by their identity.
        copied: identities of batches that have been copied, where nothing is compared; None where that is not known.
    """

    batches: list[Batch]
    compared: dict[str, BatchComparison]
    copied: set[str] | None = None

    @classmethod
    def of(
        cls,
        planned: Sequence[Mapping[str, Any]],
        compared: Sequence[Mapping[str, Any]],
        copied: Sequence[Mapping[str, Any]] | None = None,
    ) -> _Known:
        """From what tasks returned, of batches or of packs.

        Raises:
            KeyError, TypeError: another version has written it.
        """
        from airflow_provider_tdengine.migration.comparing import BatchComparison
        from airflow_provider_tdengine.migration.copying import Batch

        batches = [Batch.from_dict(batch) for one in planned for batch in one.get("parts", [one])]
        results = [BatchComparison.from_dict(part) for part in done_parts(compared, len(planned))]
        copies = [Batch.from_dict(part["batch"]).identity for part in done_parts(copied or (), len(planned))]
        return cls(batches, {result.batch: result for result in results}, None if copied is None else {*copies})


@dataclass(frozen=True, slots=True)
class _Looked:
    """A database that was compared.

    Parameters:
        options: of its migration.
        comparison: what it came to.
        certificate: what proves it.
        place: host and port of the target.
    """

    options: MigrationOptions
    comparison: Comparison
    certificate: dict[str, object]
    place: tuple[str, int]


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


def _proved(options: MigrationOptions, outcome: Outcome[_Looked]) -> tuple[Verdict, dict[str, object]]:
    """The verdict, and the certificate, of all databases."""
    from airflow_provider_tdengine.migration.comparing import Verdict, fleet_certificate

    if not options.is_fleet:
        (looked,) = outcome.done.values()
        return looked.comparison.verdict, looked.certificate
    verdict = Verdict.of({name: one.comparison.verdict for name, one in outcome.done.items()}, outcome.broken)
    proofs = [one.certificate for one in outcome.done.values()]
    return verdict, fleet_certificate(options, verdict, proofs, outcome.broken)


def _gone(options: MigrationOptions, planned: Iterable[str]) -> dict[str, list[Finding]]:
    """What to say of databases that are not meant any more: a pattern meant them when they were planned."""
    return {
        name: [
            Finding(
                f"Database {name!r}",
                "it was planned, and the source has it no more, or no tables in it",
                "See whether that was meant; if so, start over, or start a new run",
            )
        ]
        for name in planned
        if name not in options.databases
    }


def _unplanned(options: MigrationOptions, planned: Collection[str]) -> dict[str, list[Finding]]:
    """What to say of databases that the plan has left out, such as those that were mended since."""
    return {
        name: [Finding(f"Database {name!r}", "it has not been planned", "Clear plan with all that follows")]
        for name in options.databases
        if name not in planned
    }


def _instances(task: str, names: Iterable[str]) -> Iterator[int]:
    """Of some names, the numbers of those that are of mapped instances of a task: 3 of `verify_3`."""
    for name in names:
        own, _, number = name.rpartition("_")
        if own == task and number.isdecimal():
            yield int(number)


def _in_words(comparison: Comparison, cure: str) -> list[str]:
    """What differs, where, and what to do about it."""
    mended = f", after {number(comparison.mended, 'table')} had been copied again" if comparison.mended else ""
    lines = [f"{comparison.verdict.words}{mended}", *(f"  {one}" for one in comparison.differences[:_SHOWN])]
    if comparison.shown:
        lines += ["Rows that differ, the first ones:", *(f"  {row}" for row in comparison.shown[:_SHOWN])]
    if comparison.obstacle:
        lines.append(f"It cannot be repaired: {comparison.obstacle}")
    if comparison.waiting:
        rows = number(comparison.waiting, "row")
        lines.append(
            f"  → {rows} that only the target has would have been deleted; nobody has approved that, or it did not help"
        )
    elif comparison.extra:
        lines.append("  → Rows that only the target has are deleted with the option delete_extra")
    return [*lines, f"  → {cure}"]
