"""All that a topic tells, from stored positions on: each change at least once, and what is lost is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from airflow_provider_tdengine.client.connection import Client
from airflow_provider_tdengine.client.errors import PositionGone, ServerBusy
from airflow_provider_tdengine.client.subscription import Assignment, Message, Start
from airflow_provider_tdengine.migration.background import in_background

Positions = Mapping[int, int]
"""Where reading goes on, by vgroup."""

_TOGETHER = 0.1
"""Seconds after a first message for which more are waited for: what is written together is told in several."""

_SILENT = 0.8
"""Seconds of reading after which a vgroup that tells nothing has nothing to tell."""

_FRESH = 900.0
"""Seconds after which a feed is opened anew, see `Feed.is_stale`; a quarter of the time for which logs have to last."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a feed has told.

    Parameters:
        messages: of a vgroup in the order in which it happened.
        positions: behind all of them.
        gaps: vgroups whose log has lost what was before; then there are no messages.
        is_drained: whether all has been told by now that was in the logs when the feed was opened.
        began: when reading began, by the monotonic clock: without messages, all was told that was written before.
    """

    messages: tuple[Message, ...]
    positions: Positions
    gaps: frozenset[int]
    is_drained: bool
    began: float


class Feed:
    """The one consumer of a topic, over all of its vgroups.

    What has been taken counts as read: who takes it saves its positions when the target has confirmed all of it. After
    a failure a new feed goes on from the positions that were saved last.

    Parameters:
        client: of the source.
        topic: its name.
        group: the group, of which there is no other consumer.
        vgroups: how many there are.
        stored: the positions that were saved; None to begin where the group's last feed did, or, where there was none,
            with what is written from now on.

    Raises:
        ServerBusy: an earlier consumer still has some of the vgroups; it loses them some seconds after it ended.
        TDengineError: see `Subscription`.
    """

    def __init__(self, client: Client, topic: str, group: str, vgroups: int, stored: Positions | None) -> None:
        self._address = client.address
        start = Start.LATEST if stored is None else Start.EARLIEST
        self._consumer = client.subscription(topic, group, start)
        self._opened = time.monotonic()
        self._positions: dict[int, int] = {}
        self._gaps: set[int] = set()
        """Vgroups whose log has not all that comes behind where reading was to go on; what is left of it is read."""
        self._interrupted = threading.Event()
        self._ends: dict[int, int] = {}
        """Where logs ended when the feed was opened."""
        self._undrained: dict[int, float] = {}
        """Seconds for which vgroups have told nothing that have not been told up to there."""
        try:
            for each in self._assigned(vgroups):
                wanted = each.position if stored is None else stored.get(each.vgroup, each.first)
                self._positions[each.vgroup] = self._go_to(each, wanted)
                self._ends[each.vgroup], self._undrained[each.vgroup] = each.end, 0.0
        except BaseException:
            self.close()
            raise

    def _assigned(self, vgroups: int) -> tuple[Assignment, ...]:
        """The vgroups that this one reads, which are all of them.

        Raises:
            ServerBusy: another consumer has some. 3.0 says so only before it reads.
        """
        assigned = self._consumer.assignments()
        if len(assigned) < vgroups:
            raise ServerBusy(
                f"Another consumer reads topic {self._consumer.topic!r} at {self._address}: "
                f"{len(assigned)} of its {vgroups} vgroups are free"
            )
        return assigned

    def _go_to(self, assigned: Assignment, position: int) -> int:
        """Go on at a position, which is the group's from now on, too; where it is gone, at the first that there is."""
        try:
            self._consumer.seek(assigned.vgroup, position)
        except PositionGone:
            self._gaps.add(assigned.vgroup)
            position = assigned.first if assigned.position < assigned.begin else assigned.begin
            self._consumer.seek(assigned.vgroup, position)
        return position

    @property
    def is_stale(self) -> bool:
        """Whether it is time to open another one: only then it is known how far logs go that tell nothing, and the
        position before that must not grow older than what they keep."""
        return time.monotonic() - self._opened > _FRESH

    @property
    def positions(self) -> dict[int, int]:
        """Behind all that was taken."""
        return dict(self._positions)

    def take(self, most: int, wait: float, wanted: threading.Event | None = None) -> Taken:
        """What has happened, message by message.

        Parameters:
            most: rows after which no more messages are taken.
            wait: seconds until there must be a first message.
            wanted: more is read until this is set; None for what is wanted at once.

        Raises:
            ServerBusy: another consumer of the group has come, and has some of the vgroups.
            TDengineError: see `Subscription.poll`.
        """
        began, messages, rows, until = time.monotonic(), list[Message](), 0, 0.0
        while rows < most and not self._gaps and not self._interrupted.is_set():
            is_wanted = wanted is None or wanted.is_set()
            if messages and is_wanted and time.monotonic() >= until:
                break
            message = self._polled(wait if is_wanted and not messages else _TOGETHER)
            if message:
                until = until or time.monotonic() + _TOGETHER
                messages.append(message)
                rows += sum(each.rows for each in message.rows)
            elif is_wanted:
                break
        if not messages:
            self._look_behind()
        gaps, self._gaps = frozenset(self._gaps), set()
        return Taken(tuple(messages), self.positions, gaps, not self._undrained, began)

    def _polled(self, wait: float) -> Message | None:
        began = time.monotonic()
        message = self._consumer.poll(wait)
        if message:
            self._positions[message.vgroup] = message.position
        seconds = time.monotonic() - began
        if message:
            # Each vgroup may have one message that waits behind those of others.
            seconds = min(seconds, _TOGETHER / len(self._positions))
        for vgroup in list(self._undrained):
            self._hear(vgroup, 0.0 if message and message.vgroup == vgroup else self._undrained[vgroup] + seconds)
        return message

    def _hear(self, vgroup: int, silent: float) -> None:
        """Note for how many seconds a vgroup has told nothing whose log is not known to have been told."""
        self._undrained[vgroup] = silent
        if self._positions[vgroup] >= self._ends[vgroup]:
            del self._undrained[vgroup]
        elif silent >= _SILENT:
            # Logs also have what is not told; what is another consumer's is no silence.
            self._assigned(len(self._positions))
            self._positions[vgroup] = self._ends[vgroup]
            del self._undrained[vgroup]

    def _look_behind(self) -> None:
        """Where nothing is told, logs go on all the same, and what they have no longer may have been of interest."""
        for each in self._assigned(len(self._positions)):
            if each.first > self._positions.get(each.vgroup, each.first):
                self._gaps.add(each.vgroup)
        self._positions |= self._consumer.positions()

    def interrupt(self) -> None:
        """Let reading, which another thread does, end soon."""
        self._interrupted.set()

    def close(self) -> None:
        """End; harmless when it has ended."""
        self._consumer.close()


class Reader:
    """Reads a feed on while what it has told is written.

    Parameters:
        feed: which nobody else uses from now on.
        most: see `Feed.take`.
        wait: see `Feed.take`.
    """

    def __init__(self, feed: Feed, most: int, wait: float) -> None:
        self._feed = feed
        self._most = most
        self._wait = wait
        self._wanted = threading.Event()
        self._ahead: Future[Taken] | None = None

    def _read_on(self) -> Future[Taken]:
        self._wanted = threading.Event()
        return in_background(partial(self._feed.take, self._most, self._wait, self._wanted))

    def take(self) -> Taken:
        """What was told since this was asked last; where that is nothing, what is told in the next moment.

        Raises:
            TDengineError: see `Feed.take`; it must be closed then.
        """
        ahead = self._ahead or self._read_on()
        self._wanted.set()
        taken = ahead.result()
        # Where there is nothing to write, whoever leaves must not wait for what is read.
        self._ahead = self._read_on() if taken.messages else None
        return taken

    def close(self) -> None:
        """End when the read that is going on has ended; it is not waited for."""
        self._feed.interrupt()
        if self._ahead:
            self._ahead.add_done_callback(lambda _: self._feed.close())
        else:
            self._feed.close()
