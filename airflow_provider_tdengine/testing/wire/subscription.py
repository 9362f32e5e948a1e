"""`/rest/tmq` of 3.x: consumers that subscribe, poll and fetch what the logs of a database's vgroups tell."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from aiohttp import WSMsgType, web

from airflow_provider_tdengine.client.block import Block, VariableColumn
from airflow_provider_tdengine.testing import changes
from airflow_provider_tdengine.testing.engine import Engine
from airflow_provider_tdengine.testing.faults import Faults
from airflow_provider_tdengine.testing.generations import BoxError
from airflow_provider_tdengine.testing.stored import Consumer, Entry, Group, Start, Table, Told, Written
from airflow_provider_tdengine.testing.wire.answers import as_utf8, block_bytes
from airflow_provider_tdengine.testing.wire.raw_message import TableBlock, raw_message

Json: TypeAlias = dict[str, object]
Answer: TypeAlias = Json | bytes | None

PATH = "/rest/tmq"

_FIRST_VGROUP = 2
"""What information_schema calls the first vgroup of any database."""

_ROWS_A_MESSAGE = 4096
_NAP = 0.01
_BLOCK_HEAD = struct.Struct("<QQQ")
_RAW_HEAD = struct.Struct("<QQQQIH")
_RAW_MESSAGE = 3
_ROWS, _CHANGE, _BOTH = 1, 2, 3
_NOTHING_COMMITTED = -2147467247


@dataclass
class _Message:
    """What a poll has brought.

    Parameters:
        number: of the message, counted from 1.
        vgroup: counted from 0.
        start: the position before it.
        end: the position behind it.
        change: of tables.
        blocks: rows of tables.
        fetched: how many of them have been.
    """

    number: int
    vgroup: int
    start: int
    end: int
    change: Told | None
    blocks: Sequence[TableBlock]
    fetched: int = 0

    @property
    def kind(self) -> int:
        if self.change is None:
            return _ROWS
        return _BOTH if self.blocks else _CHANGE


class SubscriptionInterface:
    """Subscriptions over one engine; 2.x has none.

    Parameters:
        engine: has the topics.
        faults: what is to go wrong; an action counts as a statement that is called `tmq` and the action's name.
    """

    def __init__(self, engine: Engine, faults: Faults) -> None:
        self.engine = engine
        self.faults = faults

    def routes(self) -> list[web.RouteDef]:
        """What the interface answers to."""
        return [web.get(PATH, self.serve)] if self.engine.generation.number > 2 else []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One consumer, until it is closed or cut; then it leaves its group."""
        if status := self.faults.refusal():
            return web.Response(status=status)
        socket = web.WebSocketResponse(compress=False)
        session = _Session(self)
        try:
            await socket.prepare(request)
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                answer = await session.answer(message.data)
                await asyncio.sleep(self.faults.seconds)
                if answer is not None and self.faults.block_is_cut():
                    if request.transport is not None:
                        request.transport.abort()
                    break
                if isinstance(answer, bytes):
                    await socket.send_bytes(answer)
                elif answer is not None:
                    await socket.send_str(as_utf8(json.dumps(answer, ensure_ascii=False)).decode())
        except ConnectionError:
            pass  # The client has gone; there is nobody left to tell.
        finally:
            session.leave()
        return socket


class _Session:
    """One client of a subscription."""

    def __init__(self, interface: SubscriptionInterface) -> None:
        self.interface = interface
        self.engine = interface.engine
        self.generation = interface.engine.generation
        self.counts_next = self.generation.counts_next
        self.consumer: Consumer | None = None
        self.is_subscribed = False
        self.messages: dict[int, _Message] = {}
        self.starts: dict[int, int] = {}
        """Where the last message of each vgroup began."""
        self.last_number = 0
        self.turn = 0

    # --- Messages in, answers out

    async def answer(self, text: str) -> Answer:
        request = json.loads(text)
        action, arguments = str(request["action"]), request.get("args") or {}
        number = _number(arguments, "req_id")
        began = time.perf_counter_ns()
        head: Json = {"code": 0, "message": "", "action": action, "req_id": number}
        try:
            self.interface.faults.check(f"tmq {action}")
            if action == "poll" and self.consumer is None and not self.generation.answers_any_poll:
                return None
            if action == "poll":
                answer: Answer = await self.poll(arguments)
            elif action == "version":
                return {"code": 0, "message": "", "action": action, "version": self.engine.store.version}
            else:
                handler = self.actions().get(action)
                if handler is None:
                    return None
                answer = handler(arguments)
        except BoxError as error:
            about = {"message_id": arguments["message_id"]} if action.startswith("fetch") else {}
            return {**head, "code": error.code, "message": error.message, "timing": 0, **about}
        if not isinstance(answer, dict):
            return answer
        return {**head, "timing": time.perf_counter_ns() - began, **answer}

    def actions(self) -> dict[str, Callable[[Json], Answer]]:
        actions: dict[str, Callable[[Json], Answer]] = {
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
            "assignment": self.assignment,
            "seek": self.seek,
            "commit": self.commit,
            "fetch": self.fetch,
            "fetch_block": self.fetch_block,
            "fetch_raw": self.fetch_raw,
            "fetch_json_meta": self.fetch_json_meta,
        }
        if self.counts_next:
            actions |= {"position": self.position, "committed": self.committed}
        return actions

    def error(self, name: str) -> BoxError:
        return self.generation.errors(name)

    def leave(self) -> None:
        if self.consumer is not None:
            self.consumer.leave()

    def known(self) -> Consumer:
        if self.consumer is None:
            raise self.error("not_subscribed")
        return self.consumer

    # --- Subscribing

    def subscribe(self, arguments: Json) -> Json:
        if self.is_subscribed:
            raise self.error("subscribed_already")
        starts = {start.value: start for start in Start}
        start = starts.get(str(arguments.get("offset_reset") or arguments.get("offset_rest") or "latest"))
        if start is None:
            raise self.error("bad_consumer_option")
        store = self.engine.store
        try:
            store.accounts.login(str(arguments.get("user", "")), str(arguments.get("password", "")))
        except BoxError as refused:
            raise self.error("consumer_refused") from refused
        group_name = str(arguments.get("group_id", ""))
        if not group_name:
            raise self.error("no_consumer")
        topics = arguments.get("topics")
        topic = store.topics.get(str(topics[0])) if isinstance(topics, list) and topics else None
        if topic is None:
            raise self.error("topic_missing")
        self.consumer = Consumer(topic, topic.groups.setdefault(group_name, Group()), start)
        self.consumer.join()
        self.is_subscribed = True
        return {}

    def unsubscribe(self, _: Json) -> Json:
        self.known().leave()
        self.messages.clear()
        self.is_subscribed = False
        return {}

    # --- Positions

    def shown(self, position: int) -> int:
        """A position as the version says it."""
        return position if self.counts_next else max(position - 1, 0)

    def vgroup(self, arguments: Json) -> int:
        """A vgroup that this consumer reads."""
        vgroup = _number(arguments, "vgroup_id") - _FIRST_VGROUP
        if arguments.get("topic") != self.known().topic.name:
            raise self.error("topic_of_others")
        if vgroup not in self.known().vgroups:
            raise self.error("vgroup_of_others")
        return vgroup

    def assignment(self, arguments: Json) -> Json:
        consumer = self.known()
        if arguments.get("topic") != consumer.topic.name:
            raise self.error("topic_of_others")
        assigned = []
        for vgroup in consumer.vgroups:
            log = consumer.topic.logs[vgroup]
            is_fresh = vgroup not in consumer.group.committed and consumer.position(vgroup) == log.begin > 0
            if is_fresh and not self.counts_next:
                # From here on 3.0 takes the first version of the log for one that has been read (measured 3.0.5.2).
                consumer.go_to(vgroup, log.begin + 1)
            position = self.starts.get(vgroup, consumer.position(vgroup))
            assigned.append(
                {
                    "vgroup_id": vgroup + _FIRST_VGROUP,
                    "offset": self.shown(position if self.counts_next else consumer.position(vgroup)),
                    "begin": log.begin,
                    "end": self.shown(log.next),
                }
            )
        return {"assignment": assigned}

    def seek(self, arguments: Json) -> Json:
        consumer, vgroup, offset = self.known(), self.vgroup(arguments), _number(arguments, "offset")
        log = consumer.topic.logs[vgroup]
        if not log.begin <= offset <= self.shown(log.next):
            raise self.error("offset_out_of_range")
        position = offset if self.counts_next else offset + 1
        consumer.go_to(vgroup, position)
        consumer.group.committed[vgroup] = position
        self.starts.pop(vgroup, None)
        return {}

    def commit(self, arguments: Json) -> Json:
        consumer, number = self.known(), _number(arguments, "message_id")
        if self.counts_next:
            consumer.group.committed |= {vgroup: consumer.position(vgroup) for vgroup in consumer.vgroups}
        elif number in self.messages:
            message = self.messages[number]
            consumer.group.committed[message.vgroup] = message.end
            self.messages = {n: each for n, each in self.messages.items() if n > number}
        return {"message_id": number}

    def position(self, arguments: Json) -> Json:
        return {"position": [self.known().position(vgroup) for vgroup in self.asked(arguments)]}

    def committed(self, arguments: Json) -> Json:
        committed = self.known().group.committed
        return {"committed": [committed.get(vgroup, _NOTHING_COMMITTED) for vgroup in self.asked(arguments)]}

    def asked(self, arguments: Json) -> list[int]:
        places = arguments.get("topic_vgroup_ids")
        return [self.vgroup(place) for place in places] if isinstance(places, list) else []

    # --- Messages

    async def poll(self, arguments: Json) -> Json:
        consumer = self.known()
        deadline = time.monotonic() + _number(arguments, "blocking_time") / 1000
        message = self.next_message(consumer)
        while message is None and time.monotonic() < deadline:
            await asyncio.sleep(_NAP)
            message = self.next_message(consumer)
        if message is None:
            nothing: Json = dict.fromkeys(("vgroup_id", "message_type", "message_id", "offset"), 0)
            return {"have_message": False, "topic": "", "database": "", **nothing}
        # 3.3 lets go of a message at the next poll, 3.0 at a commit.
        self.messages = {message.number: message, **({} if self.counts_next else self.messages)}
        is_rows = message.change is None or message.blocks
        return {
            "have_message": True,
            "topic": consumer.topic.name,
            "database": consumer.topic.database,
            "vgroup_id": message.vgroup + _FIRST_VGROUP,
            "message_type": message.kind,
            "message_id": message.number,
            "offset": message.start if self.counts_next and is_rows else self.shown(message.end),
        }

    def next_message(self, consumer: Consumer) -> _Message | None:
        with self.engine.lock:
            vgroups = consumer.vgroups
            for step in range(len(vgroups)):
                vgroup = vgroups[(self.turn + step) % len(vgroups)]
                if message := self.message_of(consumer, vgroup):
                    self.turn += step + 1
                    return message
        return None

    def message_of(self, consumer: Consumer, vgroup: int) -> _Message | None:
        """The next message of a vgroup: one change of tables, or rows until there is one, or are enough."""
        log = consumer.topic.logs[vgroup]
        start = consumer.position(vgroup)
        # What the log has no longer is passed over, without a word.
        position = max(start, log.begin)
        entries: list[Entry] = []
        rows = 0
        while position < log.next and rows < _ROWS_A_MESSAGE:
            entry = log.at(position)
            if entry is not None and entry.change is not None and entries:
                break
            position += 1
            if entry is not None and (entry.change is not None or self.there(entry)):
                entries.append(entry)
                rows += sum(part.rows for written in entry.rows for part in written.parts)
                if entry.change is not None or (entry.named and not self.counts_next):
                    break
        consumer.go_to(vgroup, position)
        if not entries:
            return None
        self.starts[vgroup] = start
        self.last_number += 1
        change, blocks = self.told(consumer, entries)
        return _Message(self.last_number, vgroup, start, position, change, blocks)

    def there(self, entry: Entry) -> bool:
        """Whether a table of which rows were written is still there; nothing is told of others."""
        return any(self.is_there(written.table) for written in entry.rows)

    def is_there(self, table: Table) -> bool:
        return self.engine.store.databases[self.known().topic.database].tables.get(table.name) is table

    def told(self, consumer: Consumer, entries: Sequence[Entry]) -> tuple[Told | None, list[TableBlock]]:
        if entries[0].change is not None:
            return entries[0].change, []
        named = {each.table: each for entry in entries for each in entry.named if self.is_there(each.table)}
        created = [changes.child(each.table, each.tags) for each in named.values()]
        precision = self.engine.store.databases[consumer.topic.database].precision
        blocks = [
            TableBlock(written.table.name, self.block(written), precision)
            for entry in entries
            for written in entry.rows
            if self.is_there(written.table)
        ]
        return changes.children_created(created) if created else None, blocks

    def block(self, written: Written) -> Block:
        part, fields = written.read(), written.columns
        columns = [part.columns[field.name] for field in fields]
        if not self.generation.tells_empty_text:
            columns = [
                replace(column, nulls=column.nulls | (column.lengths == 0))
                if isinstance(column, VariableColumn)
                else column
                for column in columns
            ]
        return Block(tuple(fields), tuple(columns), part.rows)

    def message(self, arguments: Json, missing: str) -> _Message:
        self.known()
        message = self.messages.get(_number(arguments, "message_id"))
        if message is None:
            raise self.error(missing)
        return message

    def fetch(self, arguments: Json) -> Json:
        message = self.message(arguments, "no_message_to_fetch")
        message.fetched += 1
        is_over = message.fetched > len(message.blocks)
        block = None if is_over else message.blocks[message.fetched - 1]
        fields = block.block.fields if block else ()
        return {
            "message_id": message.number,
            "completed": is_over,
            "table_name": block.table if block else "",
            "rows": block.block.rows if block else 0,
            "fields_count": len(fields),
            "fields_names": [field.name for field in fields] if block else None,
            "fields_types": [int(field.type) for field in fields] if block else None,
            "fields_lengths": [field.length for field in fields] if block else None,
            "precision": block.precision.number if block else 0,
        }

    def fetch_block(self, arguments: Json) -> bytes:
        message = self.message(arguments, "no_message")
        block = block_bytes(message.blocks[message.fetched - 1].block, self.generation)
        return _BLOCK_HEAD.pack(0, _number(arguments, "req_id") - 1, message.number) + block

    def fetch_raw(self, arguments: Json) -> bytes:
        message = self.message(arguments, "no_message_of_that_number")
        start, end = (message.start, message.end) if self.counts_next else (message.start - 1, message.end - 1)
        raw = raw_message(message.blocks, start, end, message.change is not None, self.generation)
        kind = 4 if message.change is not None else 2
        head = _RAW_HEAD.pack(0, _number(arguments, "req_id"), message.number, _RAW_MESSAGE, len(raw), kind)
        return head + raw

    def fetch_json_meta(self, arguments: Json) -> Json:
        message = self.message(arguments, "no_message_of_that_number")
        return {"message_id": message.number, "data": message.change}


def _number(arguments: Json, name: str) -> int:
    value = arguments.get(name)
    return value if isinstance(value, int) else 0
