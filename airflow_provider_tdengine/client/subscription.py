"""Subscriptions: what has changed in a database, read through the adapter's WebSocket `/rest/tmq`.

A topic (`Dialect.create_topic`) over a database tells all that is written to it, from its write-ahead log: rows, also
late and overwritten ones, and changes of tables. Each vgroup has a log and positions of its own; the database's
`WAL_RETENTION_PERIOD` says how many seconds of it are kept.

Measured on 3.0.5.2, 3.3.3.0 and 3.3.5.2 (`tests/contract/subscription-*.jsonl`):

- Positions are versions of a vgroup's log: in 3.3 the next one to be read, in 3.0 the last one that was. What a
  message calls its `offset` is the position behind it in 3.0; in 3.3 it is that for changes of tables, and the one
  before it for rows. The raw form of rows has both.
- A position that the log has no longer is no error: reading goes on at the first one that there is, and the adapter
  says nothing. `seek` looks before, and `assignments` tells where logs begin.
- Adapters leave errors of a poll unsaid: it has no message then. A consumer that lost its place gets none, ever.
- Within a group, consumers share vgroups, each read by one of them. Where one leaves or is cut off, the others have
  its vgroups some seconds later, at the last position that was committed or sought.
- 3.0 goes back to the last position committed or sought whenever it is asked for its assignments, and where there is
  none, and the log begins later than 0, it then passes over the first version of the log. Seeking needs them in both.
- 3.0 tells an empty text as NULL, in rows of any form.
- The adapter of 3.3.5.2 does not answer a poll before a topic is subscribed. A topic can be dropped there only when
  those that have left it were counted (code 1007, for a second or two).
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_tdengine.client.address import APP, CONNECTOR, Address
from airflow_provider_tdengine.client.answers import Answer, precision_of, queried_columns, raise_if_failed
from airflow_provider_tdengine.client.block import raw_fields, raw_length
from airflow_provider_tdengine.client.changes import Change, changes_in
from airflow_provider_tdengine.client.errors import AnswerError, BlockError, PositionGone, ServerBusy
from airflow_provider_tdengine.client.exchange import UNNUMBERED, Exchange
from airflow_provider_tdengine.client.raw_rows import TableRows, rows_in

log = logging.getLogger(__name__)

PATH = "/rest/tmq"

# Where positions are the next version rather than the last one. 3.1 and 3.2 were not measured; what is taken for a gap
# there, and is none, costs a comparison.
_NEXT_SINCE = (3, 1)

_ROWS, _CHANGES, _BOTH = 1, 2, 3

# A time, the numbers of request and message; then, of a raw message, its kind, its length and the type of what it has.
_BLOCK_HEAD = struct.Struct("<QQQ")
_RAW_HEAD = struct.Struct("<QQQQIH")


class Start(Enum):
    """Where a group that has committed nothing begins."""

    EARLIEST = "earliest"
    """At the first change that the logs still have."""
    LATEST = "latest"
    """Behind the last one."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A vgroup that is read by this subscription.

    Parameters:
        vgroup: its number.
        position: where reading goes on.
        begin: the first version that its log has.
        end: the last one in 3.0, the one behind it in 3.3.
        first: the position before all that its log has.
    """

    vgroup: int
    position: int
    begin: int
    end: int
    first: int


@dataclass(frozen=True, slots=True)
class Message:
    """What a poll brought: changes of tables, then rows of tables, of one vgroup.

    Parameters:
        id: its number in this subscription.
        vgroup: where it comes from.
        position: where reading goes on behind it.
        changes: of tables, in the order in which they happened, before the rows.
        rows: of tables, in the order in which they were written; a table can be there several times.
    """

    id: int
    vgroup: int
    position: int
    changes: tuple[Change, ...]
    rows: tuple[TableRows, ...]


class Subscription(Exchange):
    """A consumer of one topic; one thread uses it at a time. It starts where its group was, or at `start`.

    Logging in takes 1 to 2 seconds, and leaving up to 4: servers hand out vgroups once a second.

    Parameters:
        address: the server and account.
        topic: its name.
        group: consumers of the same group share vgroups, and what was committed.
        version: of the server, such as (3, 3, 3, 0).
        start: where a group begins that has committed nothing, found out by the first poll. 3.0 begins at the second
            version of a log that is cut where `assignments` is asked before that; with `LATEST` nothing is lost.

    Raises:
        TopicMissing: there is no such topic.
        StatementRejected: the login, group or topic was refused; an adapter says the same of all of them.
        PathMissing: the adapter serves no subscriptions; those of 2.x do not.
        ConnectionFailed: nobody there, or no answer in time.
    """

    def __init__(
        self, address: Address, topic: str, group: str, version: tuple[int, ...], start: Start = Start.EARLIEST
    ) -> None:
        super().__init__(address, PATH, pings=False)
        self.topic = topic
        self.group = group
        self._counts_next = version >= _NEXT_SINCE
        self._reads_raw = True
        self._timeout = address.timeout
        self._assignments: dict[int, Assignment] = {}
        try:
            self._ask(
                "subscribe",
                "subscribe",
                **_account(address),
                group_id=group,
                client_id="airflow",
                # Older adapters have the one, which is a slip of the pen, newer ones both.
                offset_rest=start.value,
                offset_reset=start.value,
                topics=[topic],
                auto_commit="false",
                with_table_name="true",
                app=APP,
                connector=CONNECTOR,
            )
        except BaseException:
            self.close()
            raise

    # --- Positions

    def assignments(self) -> tuple[Assignment, ...]:
        """The vgroups that this subscription reads, as they are now; in 3.0, as they were when this was asked first.

        Raises:
            ServerBusy: another consumer of the group has come and gone.
            TDengineError: it has lost its place in the group.
        """
        # 3.0 would read again what has not been committed.
        if self._counts_next or not self._assignments:
            self._assignments = {each.vgroup: each for each in self._ask_assignments()}
        return tuple(self._assignments.values())

    def positions(self) -> dict[int, int]:
        """Where reading goes on, by vgroup; nothing in 3.0.

        Behind the last message, or further: logs also have what is not told. Only where the last poll brought nothing:
        3.3 may have fetched ahead.

        Raises:
            TDengineError: the server refuses to say.
        """
        return self._positions_of([each.vgroup for each in self.assignments()]) if self._counts_next else {}

    def seek(self, vgroup: int, position: int) -> None:
        """Go on at a position, which becomes the group's, too. Only before the first poll: 3.3 brings once more what
        it has fetched ahead.

        Parameters:
            vgroup: one of those that are read.
            position: of a `Message`.

        Raises:
            PositionGone: the vgroup's log has not all that comes behind the position, or the vgroup is another's.
            TDengineError: the server refuses it.
        """
        if not self._assignments:
            self.assignments()
        there = self._assignments.get(vgroup)
        if there is None:
            raise PositionGone(f"Topic {self.topic!r} at {self._address} has no vgroup {vgroup} for this subscription")
        # 3.0 goes on at the beginning of a log by itself from what is before it, and takes no such position.
        if there.position <= position == there.first < there.begin:
            return
        if position < there.begin:
            raise PositionGone(
                f"The log of vgroup {vgroup} of topic {self.topic!r} at {self._address} begins at {there.begin}; "
                f"what was written behind {position} is gone"
            )
        self._ask("seek", "go to a position", topic=self.topic, vgroup_id=vgroup, offset=position)

    def commit(self, message: Message) -> None:
        """Let the group, wherever it is read next, go on behind a message.

        3.3 commits all vgroups where they were polled last; 3.0 the message's vgroup, and lets go of all messages
        before it.

        Raises:
            TDengineError: the server refuses it.
        """
        self._ask("commit", "commit", message_id=message.id)

    # --- Messages

    def poll(self, wait: float) -> Message | None:
        """The next message; None where there is none in time, or none for this consumer any more.

        Parameters:
            wait: seconds until there must be one; the server then has the address's time-out to answer.

        Raises:
            BlockError: rows arrived that cannot be read.
            AnswerError: a change arrived that cannot be read.
            TDengineError: of the kind of failure.
        """
        answer = self._ask("poll", "answer a poll", patience=wait, blocking_time=round(wait * 1000))
        if not answer.flag("have_message"):
            return None
        number, kind = answer.whole("message_id"), answer.whole("message_type")
        if kind not in (_ROWS, _CHANGES, _BOTH):
            raise answer.wrong(f"a message of the unknown type {kind}")
        vgroup, position = answer.whole("vgroup_id"), answer.whole("offset")
        changes = tuple(self._changes(number)) if kind != _ROWS else ()
        rows: list[TableRows] = []
        if kind != _CHANGES:
            position, rows = self._rows(number, vgroup, position)
        return Message(number, vgroup, position, changes, tuple(rows))

    def _changes(self, message: int) -> Iterator[Change]:
        return changes_in(self._ask("fetch_json_meta", "tell changes", message_id=message).part("data"))

    def _rows(self, message: int, vgroup: int, offset: int) -> tuple[int, list[TableRows]]:
        """The position behind a message, and its rows."""
        if self._reads_raw:
            try:
                return rows_in(self._raw(message))
            except BlockError as error:
                self._reads_raw = False
                log.warning(
                    "%s sends rows in a form that is not known (%s); going on block by block", self._address, error
                )
        return self._behind(vgroup, offset), list(self._blocks(message))

    def _behind(self, vgroup: int, offset: int) -> int:
        """The position behind rows whose `offset` is known."""
        return self._positions_of([vgroup])[vgroup] if self._counts_next else offset

    def _positions_of(self, vgroups: Sequence[int]) -> dict[int, int]:
        asked = [{"topic": self.topic, "vgroup_id": vgroup} for vgroup in vgroups]
        positions = self._ask("position", "tell its position", topic_vgroup_ids=asked).wholes("position")
        if len(positions) != len(vgroups):
            raise AnswerError(f"{self._address} answers with {len(positions)} positions, {len(vgroups)} were asked for")
        return dict(zip(vgroups, positions, strict=True))

    def _raw(self, message: int) -> memoryview:
        frame = self._frame("fetch_raw", message)
        length = _RAW_HEAD.unpack_from(frame)[4] if len(frame) >= _RAW_HEAD.size else -1
        if length != len(frame) - _RAW_HEAD.size:
            raise BlockError(f"a raw message arrived that is cut: {len(frame)} bytes")
        return frame[_RAW_HEAD.size :]

    def _blocks(self, message: int) -> Iterator[TableRows]:
        while True:
            answer = self._ask("fetch", "send rows", message_id=message)
            if answer.flag("completed"):
                return
            block = self._frame("fetch_block", message)[_BLOCK_HEAD.size :]
            if raw_length(block) != len(block):
                raise BlockError(f"a block arrived that is cut: {len(block)} bytes of {raw_length(block)}")
            # The answer lacks the digits of a DECIMAL (3.3.5.2); the block has them.
            fields = raw_fields(block, [field.name for field in queried_columns(answer)])
            yield TableRows(answer.text("table_name"), fields, precision_of(answer), block)

    # --- Frames

    def _ask(self, action: str, wait: str, *, patience: float = 0.0, **arguments: object) -> Answer:
        request = self._send_text(action, **arguments)
        return self._take_answer(request, None, wait, patience=patience)

    def _frame(self, action: str, message: int) -> memoryview:
        """The binary answer to a request about a message; of blocks it has the number of the `fetch` before."""
        request = self._send_text(action, message_id=message)
        answer = self._await(None, "send rows", UNNUMBERED, request)
        if isinstance(answer, Answer):
            raise_if_failed(answer, None)
            raise self._not_an_adapter()
        if len(answer) < _BLOCK_HEAD.size or _BLOCK_HEAD.unpack_from(answer)[2] != message:
            raise BlockError(f"a frame of {len(answer)} bytes arrived that belongs to another message")
        return answer

    def _ask_assignments(self) -> Iterator[Assignment]:
        for part in self._ask("assignment", "assign vgroups", topic=self.topic).parts("assignment"):
            begin = part.whole("begin", least=-1)
            if begin < 0:
                # 3.3 has given it back, and does not know it any more.
                raise ServerBusy(f"Another consumer has read topic {self.topic!r} at {self._address} meanwhile")
            first = begin if self._counts_next else begin - 1
            yield Assignment(part.whole("vgroup_id"), part.whole("offset"), begin, part.whole("end"), first)

    def unsubscribe(self) -> None:
        """Leave the group, so that the topic can be dropped; nothing can be polled any more.

        Raises:
            TDengineError: the server did not confirm it.
        """
        self._ask("unsubscribe", "end the subscription")


def _account(address: Address) -> dict[str, Any]:
    """Who subscribes; a token is an option of the consumer (by the adapter's code of 3.4)."""
    if address.bearer_token:
        return {"config": {"td.connect.token": address.bearer_token}}
    return {"user": address.user, "password": address.password}
