"""Waiting, in the triggerer, until there is something to follow."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, TypedDict

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.background import in_background
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.operators.migration import client

if TYPE_CHECKING:
    from airflow_provider_tdengine.migration.following import Lookout, TopicLookout

log = logging.getLogger(__name__)


ASKED = 5.0
"""Seconds between two questions to Airflow whether the task has succeeded that ends a follow."""


class Ending(TypedDict):
    """A task whose success ends a follow."""

    dag_id: str
    run_id: str
    task_id: str


class Wait(TypedDict):
    """What a wait begins with; no secrets, since Airflow stores it.

    Parameters:
        options: of the migration, with the ids of its two connections.
        shard: the tables that are followed.
        position: up to where the follow has come; None where only an answer of both servers is waited for.
        ending: the task that ends it; None where there is no such task.
    """

    options: Mapping[str, object]
    shard: Mapping[str, str | None]
    position: Mapping[str, object] | None
    ending: Ending | None


class Event(TypedDict):
    """What a wait has come to.

    Parameters:
        what: there is to do, or keeps the triggerer from looking, in words.
        blind: the host of a triggerer that cannot look, however long it waits; empty where it could.
    """

    what: str
    blind: str


def said(event: Event) -> list[str]:
    """What people read of it."""
    if not event["blind"]:
        return [f"There is something to do: {event['what']}"]
    return [
        f"The triggerer on {event['blind']} cannot look whether there is something to do: {event['what']}",
        "If it is a file that it cannot read: that has to be there by the same path, for the triggerer as for workers",
    ]


class TDengineFollowTrigger(BaseTrigger):
    """Fires when a source has rows, or a structure, that a follow has not seen; and its servers answer.

    Each look has a thread of its own: neither the loop of the triggerer nor the threads that all triggers share are
    held up by a server that is silent, however many of them there are.

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
        try:
            if self._wait["position"]:
                log.info("Checking every %g s for something to do", self._poll_interval)
                await asyncio.sleep(self._poll_interval)
            event = await self._event()
            for line in said(event):
                log.info("%s", line)
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]
        finally:
            if self._lookout:
                in_background(self._lookout.close)

    async def _event(self) -> Event:
        trouble, asked, ending = "", -math.inf, self._wait["ending"]
        while True:
            if ending and time.monotonic() - asked >= ASKED:
                asked = time.monotonic()
                if await sync_to_async(has_succeeded, thread_sensitive=False)(ending):
                    return Event(what=f"{ending['task_id']} has succeeded", blind="")
            try:
                if self._lookout is None:
                    # One of asgiref's threads: they may ask Airflow for connections, in Airflow 3.1 no other ones.
                    self._lookout = await sync_to_async(lookout, thread_sensitive=False)(self._wait)
                found = await asyncio.wrap_future(in_background(self._lookout.look))
            except TDengineError as error:
                if not error.retryable:
                    # Whether the task meets it, too, is for the worker to say.
                    return Event(what=str(error), blind=socket.gethostname())
                if str(error) != trouble:
                    log.warning("Waiting until it answers again: %s", error)
                trouble = str(error)
            else:
                if found:
                    return Event(what=found, blind="")
                trouble = ""
            await asyncio.sleep(self._poll_interval)


def has_succeeded(ending: Ending) -> bool:
    """Whether the task has succeeded that ends a follow."""
    run, task = ending["run_id"], ending["task_id"]
    states = RuntimeTaskInstance.get_task_states(dag_id=ending["dag_id"], task_ids=[task], run_ids=[run])
    return bool(states.get(run, {}).get(task) == "success")


def lookout(wait: Wait) -> Lookout | TopicLookout:
    """What looks for it; nothing is sent yet.

    Parameters:
        wait: what it begins with.

    Raises:
        MigrationStopped: something is wrong with the options, or there is no such connection.
        AddressError: a connection cannot be right.
    """
    from airflow_provider_tdengine.migration.catalog import Catalog
    from airflow_provider_tdengine.migration.following import Position, Shard, lookout_of

    options, position = MigrationOptions.checked(wait["options"]), wait["position"]
    source = Catalog(client(options.source_conn_id, "source_conn_id"), options.source_database)
    target = Catalog(client(options.target_conn_id, "target_conn_id"), options.target)
    reached = Position.from_dict(position) if position else None
    return lookout_of(source, target, options, Shard(**wait["shard"]), reached)
