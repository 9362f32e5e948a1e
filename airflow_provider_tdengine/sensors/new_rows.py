"""Waiting for rows that the last increment has not copied."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseSensorOperator

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.operators.follow import increment_options, the_asset
from airflow_provider_tdengine.operators.migration import OptionValues, clear_failures, failure
from airflow_provider_tdengine.operators.progress import asset_progress
from airflow_provider_tdengine.triggers.follow import Event, TDengineFollowTrigger, Wait, lookout, said

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.following import Lookout, TopicLookout

log = logging.getLogger(__name__)


class TDengineNewRowsSensor(BaseSensorOperator):
    """Succeeds when the source has rows, or a structure, that the last `TDengineIncrementOperator` has not seen.

    Its only inlet is the asset in whose state that keeps its watermark. A server that is away is waited for.

    Parameters:
        options: those of the increment.
        deferrable: wait in the triggerer, which costs no worker.
        poke_interval: seconds between two looks; the option `poll_interval` means nothing here.
    """

    template_fields: Sequence[str] = ("options",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}
    ui_color = "#e8f3ff"

    def __init__(
        self,
        *,
        options: OptionValues,
        deferrable: bool = True,
        poke_interval: timedelta | float = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.options = options
        self.deferrable = deferrable
        self._lookout: Lookout | TopicLookout | None = None

    def execute(self, context: Context) -> None:
        """Look once, then wait for the trigger; or look again and again."""
        try:
            if not self.deferrable:
                super().execute(context)
            elif not self.poke(context):
                self.defer(
                    trigger=TDengineFollowTrigger(self._wait(context)),
                    method_name="resume",
                    timeout=timedelta(seconds=self.timeout),
                )
        finally:
            if self._lookout:
                self._lookout.close()

    def resume(self, context: Context, event: Event) -> None:
        """What has been waited for is there; or cannot be looked for."""
        if event["blind"]:
            raise failure(said(event))
        log.info("%s", *said(event))

    def poke(self, context: Context) -> bool:
        """Whether there is something to do."""
        with clear_failures():
            if self._lookout is None:
                self._lookout = lookout(self._wait(context))
            try:
                found = self._lookout.look()
            except TDengineError as error:
                if not error.retryable:
                    raise
                log.warning("Waiting until it answers again: %s", error)
                return False
        if found:
            log.info("There is something to do: %s", found)
        return bool(found)

    def _wait(self, context: Context) -> Wait:
        from airflow_provider_tdengine.migration.following import Shard

        options = increment_options(self.options, context)
        options = replace(options, poll_interval=max(0.1, float(self.poke_interval)))
        position = asset_progress(context, the_asset(self.inlets)).load()
        return Wait(options=options.to_dict(), shard=asdict(Shard()), position=position, ending=None)
