"""Realtime: the tasks that follow rows as they arrive, and what divides the tables among them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.dead_letters import DeadLetters
from airflow_provider_tdengine.migration.follow import Follower, Round
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.position import Position, Shard, shards
from airflow_provider_tdengine.migration.progress import MemoryProgress, ProgressNotSaved
from airflow_provider_tdengine.operators.migration import MigrationOperator, clear_failures
from airflow_provider_tdengine.operators.progress import task_progress
from airflow_provider_tdengine.triggers.follow import TDengineFollowTrigger, Wait

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


class TDengineShardsOperator(MigrationOperator):
    """Divides the tables among the mapped tasks that follow.

    Returns:
        A `migration.position.Shard` each, as dictionaries; none with mode history.
    """

    def execute(self, context: Context) -> list[dict[str, str | None]]:
        """Read the names of the tables, if there is more than one shard."""
        options = self.migration_options(context)
        if not options.follows:
            log.info("Mode is history: nothing is followed")
            return []
        with clear_failures():
            return [asdict(shard) for shard in shards(self.source(options), options)]


class TDengineFollowOperator(MigrationOperator):
    """Copies rows as they arrive, until somebody stops it: marks the task as success or failed.

    It waits in the triggerer, which costs no worker. After a stop, a failure or a clear it goes on from its watermark,
    which it keeps in the task state store of Airflow (3.3); without one it compares all tables first, and copies those
    that differ.

    Parameters:
        shard: one of the dictionaries that `TDengineShardsOperator` returns; None for all tables.
        options: as of all stages.
    """

    map_index_template = "{{ shard_label }}"
    template_fields: Sequence[str] = ("options", "shard")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json", "shard": "json"}

    def __init__(self, *, shard: Mapping[str, str | None] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", self.map_index_template)
        super().__init__(**kwargs)
        self.shard = shard
        self._follower: Follower | None = None

    def execute(self, context: Context) -> None:
        """Go on from the stored position. A retry waits first, until both servers answer."""
        options = self.migration_options(context)
        if not options.follows:
            raise AirflowSkipException("Mode is history: nothing is followed")
        if context["ti"].try_number > 1:
            self._wait_for_answers(options, None)
        self.resume(context)

    def resume(
        self,
        context: Context,
        event: str | None = None,
        position: Mapping[str, object] | None = None,
        in_trouble: bool = False,
    ) -> None:
        """Copy until all that has arrived is copied, then wait in the triggerer.

        Parameters:
            context: of the task.
            event: what has been waited for.
            position: up to where the follow had come before it waited.
            in_trouble: whether servers were waited for. If they fail again at once, Airflow has to know.
        """
        if event:
            log.info("There is something to do: %s", event)
        options = self.migration_options(context)
        context["shard_label"] = self._shard.label  # type: ignore[typeddict-unknown-key]
        with clear_failures():
            try:
                reached = self._catch_up(context, options, position)
            except Stopped:
                raise AirflowException("Following was stopped; it goes on from its watermark") from None
            except TDengineError as error:
                if in_trouble or not error.retryable:
                    raise
                log.warning("Waiting until both servers answer again: %s", error)
                self._wait_for_answers(options, position)
        self._wait(options, reached.to_dict(), reached.to_dict())

    def _catch_up(self, context: Context, options: MigrationOptions, known: Mapping[str, object] | None) -> Position:
        """Rounds until what is left is what the next one would have had to wait for.

        Parameters:
            context: of the task.
            options: of the migration.
            known: up to where the follow has come, None for the position that is stored.
        """
        progress = task_progress(context, "compares all tables and copies those that differ")

        def save(position: Position) -> None:
            try:
                progress.save(position.to_dict())
            except ProgressNotSaved as error:
                log.warning("The watermark was not saved: %s", error)

        folder = self.dead_letter_folder(options, context)
        place = f"{context['ti'].task_id}-{context['ti'].map_index}"
        self._follower = follower = Follower(
            self.source(options),
            self.target(options),
            options.divided(options.follow_shards),
            self._shard,
            save=save,
            dead_letters=(lambda name: DeadLetters(folder / place / name)) if folder else None,
        )
        position = follower.position(known or progress.load(), remembers=not isinstance(progress, MemoryProgress))
        while True:
            done = follower.round(position)
            _report(done)
            position = done.position
            if position.counted is not None and position.lag <= options.poll_interval + options.delay:
                return position

    def _wait(
        self, options: MigrationOptions, watched: Mapping[str, object] | None, position: Mapping[str, object] | None
    ) -> NoReturn:
        """Leave the worker.

        Parameters:
            options: of the migration.
            watched: the position that is to be left behind; None where only answers are waited for.
            position: where to go on, None for the position that is stored.
        """
        wait = Wait(options=options.to_dict(), shard=asdict(self._shard), position=watched)
        self.defer(
            trigger=TDengineFollowTrigger(wait),
            method_name="resume",
            kwargs={"position": position, "in_trouble": watched is None},
        )

    def _wait_for_answers(self, options: MigrationOptions, position: Mapping[str, object] | None) -> NoReturn:
        self._wait(options, None, position)

    @property
    def _shard(self) -> Shard:
        return Shard(**(self.shard or {}))

    def on_kill(self) -> None:
        """Let the round end; the watermark stays where it was before."""
        if self._follower:
            self._follower.stop()


def _report(done: Round) -> None:
    log.info(
        "%d rows of %d tables in %.1f s; all rows before %s have been copied, the newest one is %.1f s behind that",
        done.rows,
        done.tables,
        done.seconds,
        done.watermark.isoformat(),
        done.position.lag,
    )
    if done.rejected:
        log.warning("The target refused %d rows; they are dead letters", done.rejected)
