"""Waiting, in the triggerer, until there is something to follow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypedDict

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.migration.background import in_background
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.following import Lookout, Position, Shard, TopicLookout, topic_of
from airflow_provider_tdengine.migration.options import MigrationOptions

log = logging.getLogger(__name__)


class Wait(TypedDict):
    """What a wait begins with; no secrets, since Airflow stores it.

    Parameters:
        options: of the migration, with the ids of its two connections.
        shard: the tables that are followed.
        position: up to where the follow has come; None where only an answer of both servers is waited for.
    """

    options: Mapping[str, object]
    shard: Mapping[str, str | None]
    position: Mapping[str, object] | None


class TDengineFollowTrigger(BaseTrigger):
    """Fires when a source has rows, or a structure, that a follow has not seen; and its servers answer.

    Each look is made in a thread, so that the others who wait in the triggerer are not held up.

    Parameters:
        wait: what it begins with.
    """

    def __init__(self, wait: Wait) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._wait = wait
        self._poll_interval = MigrationOptions.checked(wait["options"]).poll_interval
        self._lookout: Lookout | TopicLookout | None = None

    def serialize(self) -> tuple[str, dict[str, Wait]]:
        """For Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"wait": self._wait}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again, until there is something to do; a server that is away is waited for.

        The round before has looked itself: the first look is a poll interval after it.
        """
        # Not sensitive: each look has a thread of its own. asgiref's threads may ask Airflow for connections.
        look = sync_to_async(self._look, thread_sensitive=False)
        try:
            if self._wait["position"]:
                await asyncio.sleep(self._poll_interval)
            async for event in self._events(look):
                yield event
        finally:
            if self._lookout:
                in_background(self._lookout.close)

    async def _events(self, look: Callable[[], Awaitable[str]]) -> AsyncIterator[TriggerEvent]:
        trouble = ""
        while True:
            try:
                found, trouble = await look(), ""
            except TDengineError as error:
                # What waiting cannot cure, the task will meet and say.
                found = "" if error.retryable else str(error)
                if error.retryable and str(error) != trouble:
                    log.warning("Waiting until it answers again: %s", error)
                trouble = str(error)
            if found:
                yield TriggerEvent(found)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self._poll_interval)

    def _look(self) -> str:
        """What there is to do; the connections are those that Airflow has at the first look."""
        if self._lookout is None:
            self._lookout = lookout(self._wait)
        return self._lookout.look()


def lookout(wait: Wait) -> Lookout | TopicLookout:
    """What looks for it.

    Parameters:
        wait: what it begins with.

    Raises:
        MigrationStopped: something is wrong with the options.
        AddressError: a connection cannot be right.
    """
    options, position = MigrationOptions.checked(wait["options"]), wait["position"]
    source = Catalog(TDengineHook(options.source_conn_id).get_client(), options.source_database)
    target = Catalog(TDengineHook(options.target_conn_id).get_client(), options.target)
    reached = Position.from_dict(position) if position else None
    if reached and reached.vgroups is not None and options.follow_by != "poll":
        return TopicLookout(source, topic_of(source, target, options), options, reached)
    return Lookout(source, target, options, Shard(**wait["shard"]), reached)
