"""Following in a process that stays: one round after the other, and looks between them while nothing arrives."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.following.follow import Follower, Round
from airflow_provider_tdengine.migration.following.position import Position
from airflow_provider_tdengine.migration.options import MigrationOptions

log = logging.getLogger(__name__)


def rounds(follower: Follower, options: MigrationOptions, position: Position) -> Iterator[Round]:
    """One round after the other, to the moment at which following is to stop.

    While nothing arrives it looks every `poll_interval` seconds; each of these looks is a round without rows.

    Parameters:
        follower: who copies.
        options: of the migration.
        position: where to begin.

    Raises:
        MigrationStopped: it cannot go on.
        Stopped: somebody asked for a stop.
        TDengineError: what no retry cured; another call goes on from the position of the last round.
    """
    while True:
        done = follower.round(position)
        position = done.position
        yield done
        if follower.is_at_end(position):
            return
        if follower.waits or not follower.has_caught_up(position):
            continue
        nothing = replace(done, rows=0, tables=0, rejected=0, seconds=0.0)
        lookout = follower.lookout(position)
        follower.pause(options.poll_interval)
        while not follower.sees(lookout):
            yield nothing
            follower.pause(options.poll_interval)


def lasting_rounds(follower: Follower, options: MigrationOptions, position: Position) -> Iterator[Round]:
    """The same for who has nobody to leave it to, such as the command line: servers that are away are waited for.

    Raises:
        MigrationStopped: it cannot go on.
        Stopped: somebody asked for a stop.
        TDengineError: what waiting cannot cure.
    """
    trouble = ""
    while True:
        try:
            for done in rounds(follower, options, position):
                position, trouble = done.position, ""
                yield done
        except TDengineError as error:
            if not error.retryable:
                raise
            if str(error) != trouble:
                log.warning("Waiting until both servers answer again: %s", error)
            trouble = str(error)
            follower.pause(options.poll_interval)
        else:
            return
