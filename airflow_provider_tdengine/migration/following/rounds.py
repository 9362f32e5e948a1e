"""Following in a process that stays, such as the command line; Airflow waits in its triggerer instead."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.following.follow import Follower, Round
from airflow_provider_tdengine.migration.following.lookout import Lookout
from airflow_provider_tdengine.migration.following.position import Position, Shard
from airflow_provider_tdengine.migration.options import MigrationOptions

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def rounds(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    follower: Follower,
    position: Position,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[Round]:
    """One round after the other, to the moment at which following is to stop; servers that are away are waited for.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        follower: of all its tables.
        position: where to begin.
        pause: waits for so many seconds.

    Raises:
        MigrationStopped: it cannot go on.
        TDengineError: what waiting cannot cure.
    """
    trouble = ""

    def tried(action: Callable[[], _T]) -> _T | None:
        """What servers answer; None after a pause where they do not."""
        nonlocal trouble
        try:
            answer, trouble = action(), ""
        except TDengineError as error:
            if not error.retryable:
                raise
            if str(error) != trouble:
                log.warning("Waiting until both servers answer again: %s", error)
            trouble = str(error)
            pause(options.poll_interval)
            return None
        return answer

    while True:
        if (done := tried(partial(follower.round, position))) is None:
            continue
        position = done.position
        yield done
        if follower.is_at_end(position):
            return
        if follower.waits or not position.has_caught_up(options):
            continue
        lookout = Lookout(source, target, options, Shard(), position)
        while True:
            pause(options.poll_interval)
            if tried(lookout.look):
                break
