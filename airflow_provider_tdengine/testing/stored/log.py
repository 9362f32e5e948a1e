"""What the vgroups of a database of 3.x remember of its changes, and who reads it: logs, topics and consumers.

Positions are the next version to be read, as those of 3.3 are; 3.0 says the one before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.types import Field
from airflow_provider_tdengine.testing.stored.storage import OnDuplicate, Part, Rows, Table

Told = Mapping[str, object]
"""A change of tables, as subscriptions tell it in JSON."""

_KEPT_UNREAD, _KEPT = 1_000, 1_000_000
"""Changes and tables with rows that a log keeps while no topic reads it, and else; the box lets go of older ones."""


@dataclass(frozen=True, eq=False, slots=True)
class Written:
    """Rows as they were written to a table.

    Parameters:
        table: where.
        schema: its columns then.
        parts: the rows, in the order in which they came.
    """

    table: Table
    schema: Sequence[Field]
    parts: Sequence[Part]

    @property
    def columns(self) -> list[Field]:
        """Those that the writer named, in the table's order."""
        return [column for column in self.schema if any(column.name in part.columns for part in self.parts)]

    def read(self) -> Part:
        """The rows by time, each timestamp once: the native client sorts them so before they are sent."""
        rows = Rows()
        for part in self.parts:
            rows.append(part)
        keys = [column.name for column in self.schema[: 1 + self.table.schema.composite]]
        return rows.read(self.columns, keys, OnDuplicate.UPSERT)


@dataclass(frozen=True, eq=False, slots=True)
class Named:
    """A subtable that an INSERT said USING of, known or not.

    Parameters:
        table: the subtable.
        tags: their values then.
    """

    table: Table
    tags: Sequence[Value]


@dataclass(frozen=True, eq=False)
class Entry:
    """What one statement did in a vgroup.

    Parameters:
        version: its number in the log.
        change: of tables, None where rows were written.
        named: the subtables that an INSERT said USING of.
        rows: table by table.
    """

    version: int
    change: Told | None = None
    named: Sequence[Named] = ()
    rows: Sequence[Written] = ()

    @property
    def size(self) -> int:
        """How much it counts for what a log keeps."""
        return 1 + len(self.rows)


class Log:
    """The log of a vgroup.

    Attributes:
        begin: the first version that it still has.
        next: the version that comes next.
        is_read: a topic reads it.
    """

    def __init__(self) -> None:
        self.begin = 0
        self.next = 1
        self.is_read = False
        self._entries: dict[int, Entry] = {}
        self._size = 0

    def add(
        self,
        change: Told | None = None,
        named: Sequence[Named] = (),
        rows: Sequence[Written] = (),
    ) -> None:
        """Remember what a statement did."""
        entry = self._entries[self.next] = Entry(self.next, change, named, rows)
        self.next += 1
        self._size += entry.size
        self._keep(_KEPT if self.is_read else _KEPT_UNREAD)

    def forget(self) -> None:
        """Let go of all that there is, as if it were older than WAL_RETENTION_PERIOD."""
        self._keep(0)

    def _keep(self, size: int) -> None:
        while self._size > size:
            oldest = next(iter(self._entries))
            self._size -= self._entries.pop(oldest).size
            self.begin = oldest + 1

    def at(self, version: int) -> Entry | None:
        """The entry of a version, if the log has it."""
        return self._entries.get(version)


class Start(Enum):
    """Where a group begins that has committed nothing."""

    EARLIEST = "earliest"
    LATEST = "latest"


@dataclass(eq=False)
class Group:
    """Consumers that share the vgroups of a topic.

    Parameters:
        committed: positions by vgroup, counted from 0.
        members: the consumers.
        hidden: tables whose rows it is not told, see `Generation.forgets_tagged`.
        rebalanced: when vgroups were handed out last, in milliseconds since 1970.
    """

    committed: dict[int, int] = field(default_factory=dict)
    members: list[Consumer] = field(default_factory=list)
    hidden: set[Table] = field(default_factory=set)
    rebalanced: int = 0

    def rebalance(self) -> None:
        """Hand out the vgroups, since a consumer has come or gone."""
        self.rebalanced = max(self.rebalanced + 1, time.time_ns() // 10**6)


@dataclass(eq=False)
class Topic:
    """All that is written to a database.

    Parameters:
        name: of the topic.
        database: its name.
        sql: the statement that made it.
        logs: of the database's vgroups.
        groups: by name.
    """

    name: str
    database: str
    sql: str
    logs: Sequence[Log]
    groups: dict[str, Group] = field(default_factory=dict)
    created: int = field(default_factory=lambda: time.time_ns() // 10**6)


@dataclass(eq=False)
class Consumer:
    """A member of a group.

    Parameters:
        topic: what it reads.
        group: with whom.
        start: see `Start`.
    """

    topic: Topic
    group: Group
    start: Start
    _positions: dict[int, int] = field(default_factory=dict)

    def join(self) -> None:
        self.group.members.append(self)
        self.group.rebalance()

    def leave(self) -> None:
        """Let the others have its vgroups; harmless when it has left."""
        if self in self.group.members:
            self.group.members.remove(self)
            self.group.rebalance()
        self._positions.clear()

    @property
    def vgroups(self) -> list[int]:
        """Those that it reads; each is read by one member of the group."""
        members = self.group.members
        mine = range(members.index(self), len(self.topic.logs), len(members)) if self in members else ()
        return list(mine)

    def position(self, vgroup: int) -> int:
        """Where it goes on in a vgroup."""
        if vgroup not in self._positions:
            log = self.topic.logs[vgroup]
            begin = log.begin if self.start is Start.EARLIEST else log.next
            self._positions[vgroup] = self.group.committed.get(vgroup, begin)
        return self._positions[vgroup]

    def go_to(self, vgroup: int, position: int) -> None:
        self._positions[vgroup] = position
