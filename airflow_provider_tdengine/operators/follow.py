"""Realtime: the tasks that follow rows as they arrive, and what divides the tables among them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import Asset

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.compat import AirflowFailException, AirflowSkipException
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import digest
from airflow_provider_tdengine.operators.asking import AskingOperator
from airflow_provider_tdengine.operators.migration import (
    MigrationOperator,
    OptionValues,
    clear_failures,
    failure,
    run_name,
)
from airflow_provider_tdengine.operators.progress import asset_progress, fruitless_tries, task_progress
from airflow_provider_tdengine.operators.stay import POSITION, Stay
from airflow_provider_tdengine.triggers.follow import (
    ASKED,
    Ending,
    Event,
    TDengineFollowTrigger,
    Wait,
    has_succeeded,
    said,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.catalog import Catalog
    from airflow_provider_tdengine.migration.comparing import Comparison, Deletion
    from airflow_provider_tdengine.migration.copying import ProgressStore
    from airflow_provider_tdengine.migration.following import Follower, Position, Shard

log = logging.getLogger(__name__)

LINGER = 300.0
"""Seconds without a row after which a follow leaves the worker: then it comes back 288 times a day at most."""

_SHOWN = 20
"""Statements that a failure names."""

LONGEST = 6 * 3600.0
"""Seconds after which it leaves the worker even if rows keep coming: Celery's brokers hand on what takes a day."""

MOST_RETRIES = 100_000
"""Tries of a follow that comes further between them: one every five minutes, for a year."""


class TDengineShardsOperator(MigrationOperator):
    """Divides the tables among the mapped tasks that follow.

    Returns:
        A `migration.following.Shard` each, as dictionaries. With mode history it is skipped.
    """

    def execute(self, context: Context) -> list[dict[str, str | None]]:
        """Read the names of the tables, if there is more than one shard."""
        from airflow_provider_tdengine.migration.following import shards

        options = self.migration_options(context)
        if not options.follows:
            raise AirflowSkipException("Mode is history: nothing is followed")
        with clear_failures():
            return [asdict(shard) for shard in shards(self.source(options), options)]


class FollowingOperator(AskingOperator, MigrationOperator):
    """What those who follow have in common: one way to choose, to go on, and to be told of."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._follower: Follower | None = None
        self._reached: Position | None = None
        self._asked = -math.inf
        self._is_ended = False

    def chosen(self, options: MigrationOptions, stored: Mapping[str, object] | None) -> MigrationOptions:
        """The options with the way to follow that the source allows; the log says which, and why.

        Parameters:
            options: of the migration.
            stored: the position to go on from.

        Raises:
            MigrationStopped: `follow_by` is subscription, and something stands in the way.
            TDengineError: what no retry cured.
        """
        from airflow_provider_tdengine.migration.following import choose, was_told

        choice = choose(self.source(options), self.target(options), options, is_copied=True, is_begun=was_told(stored))
        log.info("%s", wording.folded([choice.why]))
        return replace(options, follow_by=choice.by)

    def catch_up(
        self,
        context: Context,
        options: MigrationOptions,
        shard: Shard,
        progress: ProgressStore,
        stored: Mapping[str, object] | None,
        *,
        remembers: bool,
        linger: float | None = 0.0,
    ) -> Position:
        """Rounds until what is left is what the next one would have had to wait for.

        Where `on_schema_change` is ask, a person is asked at each change of structure.

        Parameters:
            context: of the task.
            options: of the migration.
            shard: the tables that are followed.
            progress: where the position is kept.
            stored: the position to go on from.
            remembers: what None means for it, see `Follower.position`.
            linger: seconds after the last row for which it stays; where none has come, it does not. None to stay until
                the moment at which following is to stop.

        Returns:
            The position, saved.

        Raises:
            AirflowException: `on_kill` was called.
            AirflowFailException: a change was not approved.
            TDengineError: what no retry cured.
        """
        from airflow_provider_tdengine.migration.following import ChangesProposed

        approved = frozenset[str]()
        while True:
            try:
                return self._caught_up(context, options, shard, progress, stored, remembers, linger, approved)
            except ChangesProposed as proposed:
                told = proposed.statements
                if approved.issuperset(told):
                    raise
                self._ask_for(context, options, told)
                approved = approved.union(told)
                stored = self._reached.to_dict() if self._reached else stored

    def _ask_for(self, context: Context, options: MigrationOptions, statements: Sequence[str]) -> None:
        """Ask a person whether statements may be run in the target.

        Raises:
            AirflowFailException: it was not approved.
        """
        subject = f"The structure of {options.source_database} has changed: change {options.target}, too?"
        rejected = "Until then nothing is followed; rejected, the task fails."
        if not self.is_approved(context, subject, rejected, statements):
            cure = "Clear this task to be asked again, or make the change in the target by hand first"
            raise failure([f"{subject} Nobody has approved it", *statements[:_SHOWN], f"  → {cure}"])

    def _caught_up(
        self,
        context: Context,
        options: MigrationOptions,
        shard: Shard,
        progress: ProgressStore,
        stored: Mapping[str, object] | None,
        remembers: bool,
        linger: float | None,
        approved: frozenset[str],
    ) -> Position:
        """Rounds, until a change of the structure that is not among the approved statements."""
        from airflow_provider_tdengine.migration.following import follower_of, rounds

        folder, self._reached = self.letters_folder(options, context), None
        if options.follow_by == "auto":
            options = self.chosen(options, stored)
        with Stay(context, progress, folder) as stay:
            self._follower = follower = follower_of(
                self.source(options),
                self.target(options),
                options,
                shard,
                save=stay.save,
                letters=folder,
                approved=approved,
            )
            began, busy = time.monotonic(), -math.inf
            try:
                position = follower.position(stored, remembers=remembers)
                stay.begin(position, follower.moment(position.watermark))
                for done in rounds(follower, options, position):
                    stay.add(done)
                    self._reached = done.position
                    now = time.monotonic()
                    busy = now if done.rows else busy
                    has_caught_up = follower.has_caught_up(done.position)
                    if linger is None:
                        continue
                    if self._is_to_end(context):
                        break
                    if (has_caught_up and now - busy >= linger) or (linger and now - began >= self._longest):
                        break
            except Stopped:
                raise failure(["Following was stopped; it goes on from its watermark"], retryable=True) from None
            finally:
                follower.close()
        return self._reached or position

    def _ending(self, context: Context) -> Ending | None:
        """The task that ends it, None where there is no such task."""
        return None

    def _is_to_end(self, context: Context) -> bool:
        """Whether the task has succeeded that ends it; Airflow is asked now and then."""
        ending, now = self._ending(context), time.monotonic()
        if ending and not self._is_ended and now - self._asked >= ASKED:
            self._asked = now
            self._is_ended = has_succeeded(ending)
        return self._is_ended

    @property
    def _longest(self) -> float:
        """Seconds after which the worker is left even if rows keep coming."""
        return min(LONGEST, self.execution_timeout.total_seconds() / 2) if self.execution_timeout else LONGEST

    def refused_rows(self, folder: Path) -> int:
        """How many refused rows wait in a folder."""
        from airflow_provider_tdengine.migration.copying import kept

        with clear_failures():
            return sum(map(len, kept(folder).values()))

    def letters_folder(self, options: MigrationOptions, context: Context) -> Path | None:
        """Where this task keeps refused rows; None where they fail it."""
        folder = self.dead_letter_folder(options, context)
        return folder / f"{context['ti'].task_id}-{context['ti'].map_index}" if folder else None

    def on_kill(self) -> None:
        """Let the round end; the watermark stays where it was before."""
        if self._follower:
            self._follower.stop()


class TDengineFollowOperator(FollowingOperator):
    """Copies rows as they arrive, until the moment `stop_at`, or somebody stops it: marks the task as success.

    It stays in the worker while rows keep coming, and waits for others in the triggerer, which costs no worker. After
    a stop, a failure or a clear it goes on from its watermark, which it keeps in the task state store of Airflow (3.3);
    without one it goes on from the target's last timestamp, and copies tables again that differ before it.

    It lives for months, in which workers are killed more often than any `retries` foresees. With `fruitless_retries`,
    and with `MOST_RETRIES` as `retries`, only tries in a row count that came no further.

    Parameters:
        shard: one of the dictionaries that `TDengineShardsOperator` returns; None for all tables.
        linger: seconds after the last row for which it stays in the worker. A longer time costs a worker, a shorter
            one rows of Airflow's database: each time it comes back takes some.
        fruitless_retries: how often in a row it is tried again without having come any further, then it fails for
            good; None where Airflow's `retries` say it all. Without the state store, all tries count.
        ended_by: the id of a task whose success ends it, such as the approval of a cutover; what the source has by then
            is copied by `TDengineFinishOperator`.
        options: as of all stages.
    """

    map_index_template = "{{ task.shard_label }}"
    template_fields: Sequence[str] = ("options", "shard")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "shard": "json"}

    def __init__(
        self,
        *,
        shard: Mapping[str, str | None] | None = None,
        linger: float = LINGER,
        fruitless_retries: int | None = None,
        ended_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("map_index_template", self.map_index_template)
        super().__init__(**kwargs)
        self.shard = shard
        self.linger = linger
        self.fruitless_retries = fruitless_retries
        self.ended_by = ended_by

    @property
    def shard_label(self) -> str:
        """What the grid calls it."""
        return self._shard.label

    def execute(self, context: Context) -> None:
        """Go on from the stored position. A retry waits first, until both servers answer."""
        options = self.migration_options(context)
        if not options.follows:
            raise AirflowSkipException("Mode is history: nothing is followed")
        self._check_tries(context)
        if context["ti"].try_number > 1:
            self._wait_for_answers(context, options, None)
        self.resume(context)

    def resume(
        self,
        context: Context,
        event: Event | None = None,
        position: Mapping[str, object] | None = None,
        in_trouble: bool = False,
        blind: str = "",
    ) -> None:
        """Copy until nothing has arrived for a while, then wait in the triggerer.

        Parameters:
            context: of the task.
            event: what has been waited for.
            position: up to where the follow had come before it waited.
            in_trouble: whether servers were waited for. If they fail again at once, Airflow has to know.
            blind: what kept the triggerer from looking the last time.
        """
        from airflow_provider_tdengine.migration.copying import MemoryProgress

        if event:
            log.log(logging.WARNING if event["blind"] else logging.INFO, "%s", wording.folded(said(event)))
        options = self.migration_options(context)
        progress = task_progress(context, "goes on from the target's last timestamp, and compares what is before")
        stored, remembers = position or progress.load(), not isinstance(progress, MemoryProgress)
        with clear_failures():
            try:
                part = options.divided(options.follow_shards)
                reached = self.catch_up(
                    context, part, self._shard, progress, stored, remembers=remembers, linger=self.linger
                )
            except TDengineError as error:
                if not error.retryable or (in_trouble and not self._reached):
                    raise
                log.warning("Waiting until both servers answer again: %s", error)
                self._wait_for_answers(context, options, self._reached.to_dict() if self._reached else position)
        if self._follower and self._follower.is_at_end(reached):
            log.info("All rows before %s have been copied", options.stop_at)
            return
        if self._is_to_end(context):
            log.info(
                "Following ends, since task %s has succeeded; finish copies what has arrived by then", self.ended_by
            )
            return
        unseen = event["what"] if event and event["blind"] else ""
        if event and unseen and unseen == blind:
            raise failure([*said(event), "This worker can. Clear this task then; it goes on where it stopped"])
        log.info("From here on it waits in the triggerer, which has a log of its own")
        self._wait(context, options, reached.to_dict(), reached.to_dict(), unseen)

    def execute_complete(self, context: Context, event: object) -> None:
        """Go on when a question has been answered."""
        self.resume(context)

    def _check_tries(self, context: Context) -> None:
        """Fail where too many tries in a row, some of which were killed, came no further.

        Raises:
            AirflowFailException: there were.
        """
        allowed = self.fruitless_retries
        if allowed is not None and (fruitless := fruitless_tries(context)) > allowed:
            tries, retries = wording.number(fruitless, "try", "tries"), wording.number(allowed, "retry", "retries")
            raise failure(
                [
                    f"{tries} in a row came no further, and there may be {retries}; the logs of those tries say why",
                    "Fix the cause, then clear this task; it goes on where it stopped",
                ]
            )

    def _ending(self, context: Context) -> Ending | None:
        run = context["dag_run"]
        return Ending(dag_id=run.dag_id, run_id=run.run_id, task_id=self.ended_by) if self.ended_by else None

    def _wait(
        self,
        context: Context,
        options: MigrationOptions,
        watched: Mapping[str, object] | None,
        position: Mapping[str, object] | None,
        blind: str = "",
    ) -> NoReturn:
        """Leave the worker.

        Parameters:
            context: of the task.
            options: of the migration.
            watched: the position that is to be left behind; None where only answers are waited for.
            position: where to go on, None for the position that is stored.
            blind: what kept the triggerer from looking the last time.
        """
        # Servers that are away are waited for, whoever has approved meanwhile.
        ending = self._ending(context) if watched else None
        wait = Wait(options=options.to_dict(), shard=asdict(self._shard), position=watched, ending=ending)
        self.defer(
            trigger=TDengineFollowTrigger(wait),
            method_name="resume",
            kwargs={"position": position, "in_trouble": watched is None, "blind": blind},
        )

    def _wait_for_answers(
        self, context: Context, options: MigrationOptions, position: Mapping[str, object] | None
    ) -> NoReturn:
        self._wait(context, options, None, position)

    @property
    def _shard(self) -> Shard:
        from airflow_provider_tdengine.migration.following import Shard

        return Shard(**(self.shard or {}))


class TDengineFinishOperator(FollowingOperator):
    """Ends following: copies what has arrived until now, or until `stop_at`, and compares all that was followed.

    It runs when `follow` has ended: by itself at `stop_at`, or since somebody has marked it as success, which is all
    that it takes to finish a migration. It fails where a difference stays, and while rows that the target refused lie
    aside, whether they were copied or followed.

    Parameters:
        shards: the dictionaries that `TDengineShardsOperator` returned; None where it was skipped, as with mode
            history, and this task is, too.
        followed: the task that followed them, whose XComs say how far it came.
        is_last: whether nobody is to write to the source any more, as at a cutover. Then all rows are compared, those
            of history, too, and it fails where the source has rows that came meanwhile, or that lie in the future.
        options: as of all stages.

    What proves it is the XCom `certificate`, and is written where `certificate_path` says, whether it fails or not: it
    is of the rows from the end of history on, or of all of them.

    Returns:
        The verdict, see `migration.comparing.Verdict`; it is the XCom `verdict`, too, whether it fails or not.
    """

    template_fields: Sequence[str] = ("options", "shards", "followed")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "shards": "json"}

    def __init__(
        self, *, shards: Iterable[Mapping[str, str | None]] | None, followed: str, is_last: bool = False, **kwargs: Any
    ) -> None:
        # Some of them may have been skipped by hand.
        kwargs.setdefault("trigger_rule", "none_failed")
        super().__init__(**kwargs)
        self.shards = shards
        self.followed = followed
        self.is_last = is_last

    def execute(self, context: Context) -> dict[str, object]:
        """Copy what is left, then compare."""
        from airflow_provider_tdengine.migration.comparing import (
            Kind,
            Verdict,
            certificate,
            keep_results,
            verify,
            write,
        )
        from airflow_provider_tdengine.migration.copying import MemoryProgress, kept
        from airflow_provider_tdengine.migration.following import Quiet, Shard, dropped, topic_of

        if self.shards is None:
            raise AirflowSkipException("Nothing was followed")
        options = self.migration_options(context)
        shards = [Shard(**shard) for shard in self.shards]
        reached = [self._position(context, number) for number in range(len(shards))]
        with clear_failures(context), self.source(options) as source, self.target(options) as target:
            end = options.follows_until or self._end(context, source, digest(reached))
            last = replace(options, stop_at=end.isoformat(), delay=0.0)
            caught_up = [
                self.catch_up(context, last, shard, MemoryProgress(), position, remembers=False, linger=None)
                for shard, position in zip(shards, reached, strict=True)
            ]
            begin = options.window_end
            assert begin is not None
            since = options.start if self.is_last and options.copies_history else begin.isoformat()
            past = replace(options, mode="history", start_from=None, stop_at=None, start=since, end=end.isoformat())
            quiet = Quiet(source, target, past) if self.is_last else None
            verdict, lines = Verdict(not_compared="verify is none"), list[str]()
            if options.verify != "none":
                folder = self.dead_letter_folder(options, context)
                letters = kept(folder) if folder else {}

                def compare(approved: frozenset[Deletion]) -> Comparison:
                    return verify(source, target, past, letters, approved=approved)

                began = time.monotonic()
                comparison = self.compared_as_approved(context, past, compare(frozenset()), compare)
                keep_results(source, target, options, comparison, run_name(context), time.monotonic() - began)
                verdict, lines = comparison.verdict, [f"  {one}" for one in comparison.differences]
                proof = certificate(source, target, options, comparison, (begin, end))
                context["ti"].xcom_push("certificate", proof)
                if options.certificate_path:
                    log.info("The certificate is %s", write(proof, self.document_folder(options, context)))
        context["ti"].xcom_push("verdict", verdict.to_dict())
        rows = f"Rows from {since}" if since else "All rows"
        log.info("%s to %s: %s", rows, end.isoformat(), verdict.words)
        if verdict.kind is Kind.DIFFERENT:
            cure = "Clear this task to repair and compare once more"
            raise failure([verdict.words, *lines, cure])
        if quiet:
            with clear_failures(context), source, target:
                quiet.check(self._told(context, last, shards, caught_up))
        if options.follow_by != "poll":
            with source:
                dropped(topic_of(source, target, options))
        self._check_letters(options, context)
        return verdict.to_dict()

    def _told(
        self, context: Context, last: MigrationOptions, shards: Sequence[Shard], reached: Sequence[Position]
    ) -> int:
        """How many rows the source's topic has told of since; they have been copied. 0 where there is no topic."""
        from airflow_provider_tdengine.migration.copying import MemoryProgress
        from airflow_provider_tdengine.migration.following import was_told

        told = 0
        end = datetime.fromtimestamp(self.source(last).behind_now(), timezone.utc)
        now = replace(last, stop_at=end.isoformat())
        for shard, position in zip(shards, reached, strict=True):
            stored = position.to_dict()
            if was_told(stored):
                again = self.catch_up(context, now, shard, MemoryProgress(), stored, remembers=False, linger=None)
                told += again.rows - position.rows
        return told

    def _position(self, context: Context, number: int) -> Mapping[str, object] | None:
        """How far one of those that followed has come; None where it does not say."""
        found = context["ti"].xcom_pull(task_ids=self.followed, key=POSITION, map_indexes=number)
        return found if isinstance(found, Mapping) else None

    def _end(self, context: Context, source: Catalog, reached: str) -> datetime:
        """Behind the present moment of the source; that of an earlier try, if nobody has followed any further since.

        Parameters:
            context: of the task.
            source: the source database.
            reached: a digest of how far they came.
        """
        from airflow_provider_tdengine.migration.copying import ProgressNotSaved

        behind_now = datetime.fromtimestamp(source.behind_now(), timezone.utc)
        if self.is_last:
            # Whoever has stopped the writers since an earlier try means all of it.
            return behind_now
        progress = task_progress(context, "copies what has arrived by then")
        if (stored := progress.load()) and stored.get("of") == reached:
            return datetime.fromisoformat(str(stored["end"]))
        end = behind_now
        try:
            progress.save({"of": reached, "end": end.isoformat()})
        except ProgressNotSaved as error:
            log.warning("The end was not saved: %s", error)
        return end

    def _check_letters(self, options: MigrationOptions, context: Context) -> None:
        """Fail while refused rows wait.

        Raises:
            AirflowFailException: they do; it says where.
        """
        folder = self.dead_letter_folder(options, context)
        if folder and (waiting := self.refused_rows(folder)):
            raise failure(
                [
                    f"The target refused {wording.number(waiting, 'row')}; dead letters keep them in",
                    f"  {folder}",
                    "Fix the cause, run TDengineReplayDeadLettersOperator on that folder, then clear this task",
                ]
            )


class TDengineIncrementOperator(FollowingOperator):
    """Copies the rows that have arrived since the last run of the task, then ends.

    Its only outlet is the asset of the target; the position is kept in that asset's state store (Airflow 3.3). Where
    it is gone, it goes on from the target's last timestamp, and copies tables again that differ before it. A first run
    creates what the target lacks, unless `schema` is none. Rows of a run that fails come with the next one. The topic
    of a subscription stays from run to run, until somebody drops it.

    Parameters:
        options: values by option name, templated, the same in each run. Mode is realtime; `start_from` is the DAG's
            `start_date` where it is not given.

    Returns:
        The watermark, seconds of lag, and rows copied since the first run.
    """

    def __init__(self, *, options: OptionValues, **kwargs: Any) -> None:
        super().__init__(options=options, **kwargs)
        self.options: OptionValues = options

    def migration_options(self, context: Context) -> MigrationOptions:
        """The options, checked."""
        return increment_options(self.options, context)

    def execute(self, context: Context) -> dict[str, object]:
        """Go on from the stored watermark."""
        from airflow_provider_tdengine.migration.following import Shard
        from airflow_provider_tdengine.migration.structure import SchemaSync

        options = self.migration_options(context)
        progress = asset_progress(context, the_asset(self.outlets))
        stored = progress.load()
        with clear_failures():
            if stored is None and options.schema == "always":
                with self.source(options) as source, self.target(options) as target:
                    SchemaSync(source, target, options).run_patiently()
            options = self.chosen(options, stored)
            position = self.catch_up(context, options, Shard(), progress, stored, remembers=False)
        folder = self.letters_folder(options, context)
        if folder and (refused := self.refused_rows(folder)):
            raise failure(
                [f"The target refused {wording.number(refused, 'row')}; dead letters keep them in", f"  {folder}"]
            )
        return {"watermark": position.watermark, "lag": position.lag, "rows": position.rows}


def increment_options(given: OptionValues, context: Context) -> MigrationOptions:
    """The options of increments, which one run after the other copies.

    Parameters:
        given: values by option name.
        context: of the task; the DAG's `start_date` is where rows begin if `start_from` is not given.

    Raises:
        AirflowFailException: all that is wrong with them.
    """
    with clear_failures():
        options = MigrationOptions.checked({"mode": "realtime", **given})
        if options.mode != "realtime":
            raise MigrationStopped(
                [Finding("Option 'mode'", f"it is {options.mode}", "Leave it out, or give realtime")]
            )
        begin = context["dag"].start_date
        if options.start_from is None and begin is None:
            action = "Give it, or give the DAG a start_date: rows from then on are copied"
            raise MigrationStopped([Finding("Option 'start_from'", "it is empty", action)])
        return options.ended(begin) if begin else options


def the_asset(assets: Sequence[object]) -> Asset:
    """The one asset among inlets or outlets, in whose state the watermark is kept.

    Raises:
        AirflowFailException: there is none, or there are several.
    """
    found = [asset for asset in assets if isinstance(asset, Asset)]
    if len(found) != 1:
        raise AirflowFailException(
            f"There are {len(found)} assets. Give one, as outlet of the increment and as inlet of the sensor: "
            "the watermark is kept with it"
        )
    return found[0]
