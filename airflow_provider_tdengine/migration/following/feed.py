"""All that a topic tells, from stored positions on: each change at least once, and what is lost is noticed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from airflow_provider_tdengine.client.changes import Alteration, TableAltered
from airflow_provider_tdengine.client.connection import Client
from airflow_provider_tdengine.client.errors import PositionGone, ServerBusy
from airflow_provider_tdengine.client.subscription import Assignment, Message, Start

Positions = Mapping[int, int]
"""Where reading goes on, by vgroup."""


_PAUSE, _LONGEST = 0.1, 0.4
"""Seconds without a message after which those that were taken are handed on, and seconds after the first one."""


class Feed:
    """The one consumer of a topic, over all of its vgroups.

    What has been taken counts as read: who takes it saves `positions` when the target has confirmed all of it. After a
    failure a new feed goes on from the positions that were saved last.

    Some servers (`Dialect.forgets_tagged`) tell a group nothing more of a subtable whose tag was set, nor what it was
    not told yet. Then `positions` trail: all that the logs had when these were reached has been told since, and no such
    change was among it. With one among it, the feed is to be closed, and a new group to go on from there.

    Parameters:
        client: of the source.
        topic: its name.
        group: the group, of which there is no other consumer.
        vgroups: how many there are.
        stored: the positions that were saved; None to begin where the group's last feed did, or, where there was none,
            with what is written from now on.

    Attributes:
        misses_rows: a tag was set that hides rows; `positions` are before all of them.
        gaps: vgroups whose log has not all that comes behind the stored position; what is left of it is read.

    Raises:
        ServerBusy: an earlier consumer still has some of the vgroups; it loses them some seconds after it ended.
        TDengineError: see `Subscription`.
    """

    def __init__(self, client: Client, topic: str, group: str, vgroups: int, stored: Positions | None) -> None:
        self._address = client.address
        start = Start.LATEST if stored is None else Start.EARLIEST
        self._consumer = client.subscription(topic, group, start)
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        """Where the logs ended when this began."""
        self._silent: dict[int, float] = {}
        """Seconds in which others were told, by vgroup."""
        self.gaps: set[int] = set()
        self.misses_rows = False
        self._watches = client.dialect.forgets_tagged
        try:
            for each in self._assigned(vgroups):
                wanted = each.position if stored is None else stored.get(each.vgroup, each.first)
                self._positions[each.vgroup] = self._go_to(each, wanted)
                self._ends[each.vgroup] = each.end
                self._silent[each.vgroup] = 0.0
            self._safe = self._looked_at = self._positions.copy()
            self._seen_ends = self._ends
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
            self.gaps.add(assigned.vgroup)
            position = assigned.first if assigned.position < assigned.begin else assigned.begin
            self._consumer.seek(assigned.vgroup, position)
        return position

    @property
    def positions(self) -> dict[int, int]:
        """Behind all that was taken, or before that."""
        return dict(self._safe if self._watches else self._positions)

    def has_passed(self, silence: float) -> bool:
        """Whether all that was written before this began has been taken, though others go on writing.

        Parameters:
            silence: seconds after which a vgroup that tells nothing, while others do, has nothing to tell: not all that
                logs have is told.

        Raises:
            TDengineError: see `take`.
        """
        behind = [vgroup for vgroup, end in self._ends.items() if self._positions[vgroup] < end]
        if any(self._silent[vgroup] < silence for vgroup in behind):
            return False
        self._assigned(len(self._positions))
        return True

    def take(self, most: int, wait: float) -> list[Message]:
        """What has happened, message by message; of a vgroup in the order in which it did.

        Parameters:
            most: rows after which no more messages are taken.
            wait: seconds until there must be a first message.

        Raises:
            ServerBusy: another consumer of the group has come, and has some of the vgroups.
            TDengineError: see `Subscription.poll`.
        """
        if self._watches:
            self._look_ahead()
        taken: list[Message] = []
        rows, until, began = 0, 0.0, time.monotonic()
        while rows < most and (not taken or time.monotonic() < until):
            message = self._consumer.poll(_PAUSE if taken else wait)
            if message is None:
                break
            now = time.monotonic()
            self._heard(message.vgroup, now - began)
            until, began = until or now + _LONGEST, now
            taken.append(message)
            rows += sum(each.rows for each in message.rows)
            self._positions[message.vgroup] = message.position
            self.misses_rows |= self._watches and self._hides_rows(message)
        if not taken:
            self._look_behind()
        return taken

    def _look_ahead(self) -> None:
        """Where all was told that the logs had at the last look, what was told before it is whole."""
        if all(self._positions[vgroup] >= end for vgroup, end in self._seen_ends.items()):
            self._safe, self._looked_at = self._looked_at, self._positions.copy()
            self._seen_ends = {each.vgroup: each.end for each in self._consumer.assignments()}

    def _hides_rows(self, message: Message) -> bool:
        """Whether a tag was set since this feed began."""
        return message.position > self._ends[message.vgroup] and any(
            isinstance(change, TableAltered) and change.how in (Alteration.SET_TAG, Alteration.SET_TAGS)
            for change in message.changes
        )

    def _heard(self, vgroup: int, seconds: float) -> None:
        """Note that a vgroup was told, and others were not, in some seconds of listening."""
        for other in self._silent:
            # Each vgroup may have one message that waits behind those of others.
            self._silent[other] += min(seconds, _PAUSE / len(self._silent))
        self._silent[vgroup] = 0.0

    def _look_behind(self) -> None:
        """Where nothing is told, logs go on all the same, and what they have no longer may have been of interest."""
        for each in self._assigned(len(self._positions)):
            if each.first > self._positions.get(each.vgroup, each.first):
                self.gaps.add(each.vgroup)
        self._positions |= self._consumer.positions()

    def close(self) -> None:
        """End; harmless when it has ended."""
        self._consumer.close()
