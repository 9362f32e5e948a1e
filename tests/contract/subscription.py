"""Record what real servers answer to subscriptions: topics, positions, rows and changes of tables.

    python subscription.py http://localhost:6041 subscription-3.x.jsonl      drops and creates contract_sub*

One line a step: {"step", "sql", "body"} over REST; {"step", "said": [{"sent", "received"}, …]} over `/rest/tmq`, where
{"base64": …} is a binary frame, and {} no answer. Needs `requests` and `websockets`.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

T = 1700000000000
D, MANY, SHORT = "contract_sub", "contract_sub3", "contract_subshort"

Step = tuple[Any, ...]
"""A name, what to do, and what to do it with."""

Line = dict[str, Any]
"""A line of a recording; JSON, so of any shape."""

PREPARED = [
    f"drop topic if exists {D}",
    f"drop topic if exists `Quoted {D}`",
    f"drop topic if exists {MANY}",
    f"drop topic if exists {SHORT}",
    f"drop database if exists {D}",
    f"drop database if exists {MANY}",
    f"drop database if exists {SHORT}",
]

# Each is followed by all that the subscription tells of it.
CHANGES = [
    ("create_children", f"create table {D}.c2 using {D}.st tags (2,null) {D}.c3 using {D}.st tags (3,'z')"),
    (
        "insert",
        f"insert into {D}.c2 values ({T},1,'你')({T + 1},2,null) {D}.c3 values ({T},5,'x') "
        f"{D}.c2 values ({T + 2},3,'')",
    ),
    (
        "insert_creates",
        f"insert into {D}.auto1 using {D}.st tags (9,'auto') values ({T},5,'x') "
        f"{D}.auto2 using {D}.st tags (10,'a') values ({T},5,'x')",
    ),
    ("insert_creates_one", f"insert into {D}.auto3 using {D}.st (g) tags (11) values ({T},5,'x')"),
    ("insert_into_known", f"insert into {D}.auto1 using {D}.st tags (9,'auto') values ({T + 1},6,'y')"),
    ("insert_some_columns", f"insert into {D}.c2 (ts, s) values ({T + 3},'only')"),
    ("insert_late", f"insert into {D}.c2 values ({T - 86400000},7,'late')"),
    ("insert_again", f"insert into {D}.c2 values ({T},100,'over')"),
    ("add_column", f"alter stable {D}.st add column d double"),
    ("insert_new_column", f"insert into {D}.c2 values ({T + 4},1,'n',2.5)"),
    ("widen_column", f"alter stable {D}.st modify column s nchar(20)"),
    ("drop_column", f"alter stable {D}.st drop column v"),
    ("insert_after_drop", f"insert into {D}.c2 values ({T + 5},'m',3.5)"),
    ("add_tag", f"alter stable {D}.st add tag t2 binary(8)"),
    ("rename_tag", f"alter stable {D}.st rename tag g gg"),
    ("widen_tag", f"alter stable {D}.st modify tag n nchar(20)"),
    ("drop_tag", f"alter stable {D}.st drop tag t2"),
    ("set_tag", f"alter table {D}.c1 set tag n='it''s \"q\"'"),
    ("set_tag_number", f"alter table {D}.c1 set tag gg=77"),
    ("set_tag_null", f"alter table {D}.c1 set tag n=null"),
    ("delete_nothing", f"delete from {D}.c1 where ts < {T - 1000000000}"),
    ("delete_range", f"delete from {D}.c2 where ts >= {T + 1} and ts < {T + 3}"),
    ("delete_all", f"delete from {D}.c1"),
    ("delete_stable", f"delete from {D}.st where ts = {T + 3}"),
    ("create_normal", f"create table {D}.`Plain 测试` (ts timestamp, v int, x varchar(5))"),
    ("rename_column", f"alter table {D}.`Plain 测试` rename column v vv"),
    ("add_normal", f"alter table {D}.`Plain 测试` add column j bigint unsigned"),
    ("drop_normal", f"alter table {D}.`Plain 测试` drop column x"),
    ("comment_normal", f"alter table {D}.`Plain 测试` comment 'hi'"),
    ("insert_normal", f"insert into {D}.`Plain 测试` values ({T},1,18446744073709551614)"),
    (
        "create_types",
        f"create stable {D}.ty (ts timestamp, b bool, i8 tinyint, i16 smallint, i64 bigint, u8 tinyint unsigned, "
        "u16 smallint unsigned, u32 int unsigned, u64 bigint unsigned, f float, d double, bn binary(16), nc nchar(16), "
        "t timestamp) tags (tb bool, ti8 tinyint, tu64 bigint unsigned, ti64 bigint, tf float, td double, "
        "tbn binary(20), tnc nchar(20), tt timestamp)",
    ),
    (
        "create_types_child",
        f"create table {D}.ty1 using {D}.ty tags (true,-3,18446744073709551614,-9223372036854775807,0.5,0.1,"
        f"'a\"b\\\\c','é\n你',{T})",
    ),
    ("create_types_nulls", f"create table {D}.ty2 using {D}.ty tags ({','.join(['null'] * 9)})"),
    (
        "insert_types",
        f"insert into {D}.ty1 values ({T},true,1,2,3,4,5,6,18446744073709551614,1.5,2.5,'abc','你好',{T})"
        f"({T + 1},{','.join(['null'] * 13)})({T + 2},false,-127,-32767,-9223372036854775807,0,0,0,0,-0.5,0.1,'','',0)",
    ),
    ("create_json", f"create stable {D}.js (ts timestamp, v int) tags (info json)"),
    ("create_json_child", f'create table {D}.j1 using {D}.js tags (\'{{"a":1,"b":"x y","c":null,"d":true}}\')'),
    ("create_json_null", f"create table {D}.j2 using {D}.js tags (null)"),
    ("insert_json", f"insert into {D}.j1 values ({T},1)"),
    ("drop_tables", f"drop table {D}.c3, {D}.`Plain 测试`"),
    ("drop_stable", f"drop stable {D}.js"),
]

# What 3.0 has not.
CHANGES_OF_33 = [
    ("create_modern", f"create stable {D}.mo (ts timestamp, vb varbinary(16), g geometry(64)) tags (vbt varbinary(8))"),
    ("create_modern_child", f"create table {D}.mo1 using {D}.mo tags ('\\x0102')"),
    ("insert_modern", f"insert into {D}.mo1 values ({T},'\\xff00','POINT(3 4)')({T + 1},null,null)"),
    ("create_composite", f"create stable {D}.pk (ts timestamp, k int primary key, v int) tags (g int)"),
    ("insert_composite", f"insert into {D}.pk1 using {D}.pk tags (1) values ({T},1,1)({T},2,2)"),
]

# What only a 3.3.5 that has DECIMAL, and 3.3.6, have.
CHANGES_WITH_DECIMAL = [
    ("create_decimal", f"create stable {D}.dc (ts timestamp, a decimal(10,2), b decimal(38,10)) tags (g int)"),
    (
        "insert_decimal",
        f"insert into {D}.dc1 using {D}.dc tags (1) values ({T},1.25,'-9999999999999999999999999999.0123456789')"
        f"({T + 1},null,null)",
    ),
    ("drop_decimal", f"alter stable {D}.dc drop column a"),
    ("add_decimal", f"alter stable {D}.dc add column a decimal(12,4)"),
    ("insert_other_decimal", f"insert into {D}.dc1 (ts, a) values ({T + 2},1.2345)"),
    ("create_normal_decimal", f"create table {D}.nd (ts timestamp, a decimal(5,1))"),
    ("insert_normal_decimal", f"insert into {D}.nd values ({T},-0.5)"),
]


def steps(version: str) -> Iterator[Step]:
    """What is done, in order.

    Parameters:
        version: of the server, such as "3.0.5.2".
    """
    is_33 = not version.startswith("3.0")
    has_decimal = not version.startswith(("3.0", "3.3.3"))
    for number, sql in enumerate(PREPARED):
        yield f"prepare_{number}", "sql", sql
    yield "no_database", "sql", f"create topic {D} with meta as database {D}"
    yield "create_without_log", "sql", f"create database {D} wal_retention_period 0"
    yield "topic_without_log", "sql", f"create topic {D} with meta as database {D}"
    yield "drop_without_log", "sql", f"drop database {D}"
    yield "create", "sql", f"create database {D} vgroups 1 keep 36500 wal_retention_period 3600"
    yield "create_stable", "sql", f"create stable {D}.st (ts timestamp, v int, s nchar(10)) tags (g int, n nchar(10))"
    yield "create_child", "sql", f"create table {D}.c1 using {D}.st tags (1,'é''x')"
    yield "insert_before", "sql", f"insert into {D}.c1 values ({T},1,'你')"
    yield "topic", "sql", f"create topic {D} with meta as database {D}"
    yield "topic_again", "sql", f"create topic {D} with meta as database {D}"
    yield "topic_if_not_exists", "sql", f"create topic if not exists {D} with meta as database {D}"
    yield "topic_quoted", "sql", f"create topic `Quoted {D}` with meta as database {D}"
    yield "show_topics", "sql", "show topics"
    yield "ins_topics", "sql", "select * from information_schema.ins_topics"
    yield "drop_topic_quoted", "sql", f"drop topic `Quoted {D}`"
    yield "drop_topic_missing", "sql", f"drop topic `Quoted {D}`"
    yield "drop_topic_if_exists", "sql", f"drop topic if exists `Quoted {D}`"
    yield "poll_first", "ask", "s0", "poll", {"blocking_time": 10}
    yield "assignment_first", "ask", "s0", "assignment", {"topic": D}
    yield "unsubscribe_first", "ask", "s0", "unsubscribe", {}
    yield "wrong_password", "ask", "s0", "subscribe", subscribe(D, "g9", password="wrong")
    yield "topic_missing", "ask", "s0", "subscribe", subscribe("nosuch", "g9")
    yield "bad_reset", "ask", "s0", "subscribe", subscribe(D, "g9", "later")
    yield "close_s0", "close", "s0"
    yield "subscribe", "ask", "s1", "subscribe", subscribe(D, "g1")
    yield "subscribe_again", "ask", "s1", "subscribe", subscribe(D, "g1")
    yield "assignment", "ask", "s1", "assignment", {"topic": D}
    yield "earliest", "drain", "s1"
    for name, sql in [*CHANGES, *(CHANGES_OF_33 if is_33 else ()), *(CHANGES_WITH_DECIMAL if has_decimal else ())]:
        yield name, "sql", sql
        yield f"{name}_told", "drain", "s1"
    yield "drop_topic_in_use", "sql", f"drop topic {D}"
    yield "drop_database_with_topic", "sql", f"drop database {D}"
    for action in ("fetch", "fetch_block", "fetch_json_meta", "fetch_raw"):
        yield f"{action}_of_nothing", "ask", "s1", action, {"message_id": 999}
    yield "seek_elsewhere", "ask", "s1", "seek", {"topic": D, "vgroup_id": 1, "offset": 0}
    yield "seek_other_topic", "ask", "s1", "seek", {"topic": "nosuch", "vgroup_id": 1, "offset": 0}
    yield "assignment_other_topic", "ask", "s1", "assignment", {"topic": "nosuch"}
    yield "insert_to_commit", "sql", f"insert into {D}.c2 values ({T + 10},'before commit',0)"
    yield "told_to_commit", "drain", "s1"
    yield "commit", "commit", "s1"
    if is_33:
        yield "position", "ask", "s1", "position", {"topic_vgroup_ids": [{"topic": D, "vgroup_id": "first"}]}
        yield "committed", "ask", "s1", "committed", {"topic_vgroup_ids": [{"topic": D, "vgroup_id": "first"}]}
    yield "unsubscribe", "ask", "s1", "unsubscribe", {}
    yield "poll_after", "ask", "s1", "poll", {"blocking_time": 10}
    yield "close_s1", "close", "s1"
    yield "insert_meanwhile", "sql", f"insert into {D}.c2 values ({T + 11},'meanwhile',0)"
    yield "subscribe_committed", "ask", "s2", "subscribe", subscribe(D, "g1")
    yield "assignment_committed", "ask", "s2", "assignment", {"topic": D}
    yield "told_since_commit", "drain", "s2"
    yield "unsubscribe_s2", "ask", "s2", "unsubscribe", {}
    yield "close_s2", "close", "s2"
    yield "subscribe_latest", "ask", "s3", "subscribe", subscribe(D, "g2", "latest")
    yield "assignment_latest", "ask", "s3", "assignment", {"topic": D}
    yield "nothing_new", "drain", "s3"
    yield "insert_new", "sql", f"insert into {D}.c2 values ({T + 12},'new',0)"
    yield "told_new", "drain", "s3"
    yield "unsubscribe_s3", "ask", "s3", "unsubscribe", {}
    yield "close_s3", "close", "s3"
    yield "subscribe_to_seek", "ask", "s4", "subscribe", subscribe(D, "g3", "latest")
    yield "assignment_to_seek", "ask", "s4", "assignment", {"topic": D}
    yield "seek_too_far", "ask", "s4", "seek", {"topic": D, "vgroup_id": "first", "offset": 10000}
    yield "seek_too_low", "ask", "s4", "seek", {"topic": D, "vgroup_id": "first", "offset": -5}
    yield "seek", "ask", "s4", "seek", {"topic": D, "vgroup_id": "first", "offset": "last"}
    yield "told_since_seek", "drain", "s4"
    yield "unsubscribe_s4", "ask", "s4", "unsubscribe", {}
    yield "close_s4", "close", "s4"
    yield "drop_topic", "sql", f"drop topic {D}"
    yield "drop", "sql", f"drop database {D}"
    yield from several_vgroups()
    yield from short_retention()


def several_vgroups() -> Iterator[Step]:
    """A database of three vgroups: what each of them tells."""
    yield "create_3", "sql", f"create database {MANY} vgroups 3 keep 36500 wal_retention_period 3600"
    yield "topic_3", "sql", f"create topic {MANY} with meta as database {MANY}"
    yield "subscribe_3", "ask", "m1", "subscribe", subscribe(MANY, "g")
    yield "assignment_3", "ask", "m1", "assignment", {"topic": MANY}
    yield "create_stable_3", "sql", f"create stable {MANY}.st (ts timestamp, v int) tags (g int)"
    yield "create_stable_3_told", "drain", "m1"
    rows = " ".join(f"{MANY}.c{i} using {MANY}.st tags ({i}) values ({T},{i})" for i in range(9))
    yield "insert_3", "sql", f"insert into {rows}"
    yield "insert_3_told", "drain", "m1"
    yield "alter_3", "sql", f"alter stable {MANY}.st add column w int"
    yield "alter_3_told", "drain", "m1"
    yield "delete_3", "sql", f"delete from {MANY}.st where ts >= {T}"
    yield "delete_3_told", "drain", "m1"
    yield "drop_tables_3", "sql", f"drop table {', '.join(f'{MANY}.c{i}' for i in range(6))}"
    yield "drop_tables_3_told", "drain", "m1"
    yield "drop_stable_3", "sql", f"drop stable {MANY}.st"
    yield "drop_stable_3_told", "drain", "m1"
    yield "unsubscribe_3", "ask", "m1", "unsubscribe", {}
    yield "close_m1", "close", "m1"
    yield "drop_topic_3", "sql", f"drop topic {MANY}"
    yield "drop_3", "sql", f"drop database {MANY}"


def short_retention() -> Iterator[Step]:
    """A log that is shorter than a consumer is away."""
    yield "create_short", "sql", f"create database {SHORT} vgroups 1 keep 36500 wal_retention_period 1"
    yield "create_table_short", "sql", f"create table {SHORT}.t (ts timestamp, v int)"
    yield "insert_short", "sql", f"insert into {SHORT}.t values ({T},1)"
    yield "topic_short", "sql", f"create topic {SHORT} with meta as database {SHORT}"
    yield "subscribe_short", "ask", "h1", "subscribe", subscribe(SHORT, "g")
    yield "assignment_short", "ask", "h1", "assignment", {"topic": SHORT}
    yield "told_short", "drain", "h1"
    yield "commit_short", "commit", "h1"
    yield "unsubscribe_short", "ask", "h1", "unsubscribe", {}
    yield "close_h1", "close", "h1"
    yield "insert_lost", "sql", f"insert into {SHORT}.t values ({T + 1},2)"
    yield "forget", "forget", SHORT
    yield "insert_kept", "sql", f"insert into {SHORT}.t values ({T + 2},3)"
    yield "subscribe_gone", "ask", "h2", "subscribe", subscribe(SHORT, "g")
    yield "assignment_gone", "ask", "h2", "assignment", {"topic": SHORT}
    yield "seek_gone", "ask", "h2", "seek", {"topic": SHORT, "vgroup_id": "first", "offset": 1}
    yield "told_gone", "drain", "h2"
    yield "unsubscribe_gone", "ask", "h2", "unsubscribe", {}
    yield "close_h2", "close", "h2"
    yield "drop_topic_short", "sql", f"drop topic {SHORT}"
    yield "drop_short", "sql", f"drop database {SHORT}"


def subscribe(topic: str, group: str, reset: str = "earliest", password: str = "taosdata") -> dict[str, Any]:
    """The arguments of a `subscribe`."""
    return {
        "user": "root",
        "password": password,
        "group_id": group,
        "client_id": "contract",
        "offset_rest": reset,
        "offset_reset": reset,
        "topics": [topic],
        "auto_commit": "false",
        "with_table_name": "true",
    }


class Player:
    """Does the steps at a server, real or not, and says what it answered.

    Parameters:
        url: of its REST interface.
        post: answers a statement over REST.
        forget: lets a database's log begin anew.
        wait: milliseconds that a poll waits for something.
        patience: seconds after which there is no answer any more.
    """

    def __init__(
        self, url: str, post: Callable[[str], str], forget: Callable[[str], None], wait: int, patience: float
    ) -> None:
        self.place = urlsplit(url).netloc
        self.post, self.forget, self.wait, self.patience = post, forget, wait, patience
        self.sockets: dict[str, Any] = {}
        self.requests = 0
        self.vgroups: list[int] = []
        self.message = 0
        self.offset = 0

    def play(self, step: Step) -> Line:
        """What a step's line is."""
        name, kind, *rest = step
        if kind == "sql":
            return {"step": name, "sql": rest[0], "body": self.post(rest[0])}
        said: list[Line] = []
        if kind == "forget":
            self.forget(rest[0])
        elif kind == "close":
            self.sockets.pop(rest[0]).close()
        elif kind == "commit":
            said.append(self.say(rest[0], "commit", {"message_id": self.message}))
        elif kind == "drain":
            said = list(self.drain(rest[0]))
        else:
            said.append(self.say(rest[0], rest[1], self.meant(rest[2])))
            if rest[1] == "assignment" and not said[0]["received"]["code"]:
                self.vgroups = [each["vgroup_id"] for each in said[0]["received"]["assignment"]]
        return {"step": name, "said": said}

    def meant(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments, with vgroup and offset for what a step calls the first and the last."""
        meant = {
            name: [self.meant(each) for each in value] if name == "topic_vgroup_ids" else value
            for name, value in arguments.items()
        }
        if meant.get("vgroup_id") == "first":
            meant["vgroup_id"] = self.vgroups[0]
        if meant.get("offset") == "last":
            meant["offset"] = self.offset
        return meant

    def say(self, consumer: str, action: str, arguments: dict[str, Any]) -> Line:
        """A message and its answer."""
        from websockets.sync.client import connect  # noqa: PLC0415

        if consumer not in self.sockets:
            self.sockets[consumer] = connect(f"ws://{self.place}/rest/tmq", max_size=None, compression=None)
        self.requests += 1
        sent = {"action": action, "args": {"req_id": self.requests, **arguments}}
        self.sockets[consumer].send(json.dumps(sent))
        try:
            answer = self.sockets[consumer].recv(timeout=self.patience)
        except TimeoutError:
            return {"sent": sent, "received": {}}
        is_frame = isinstance(answer, bytes)
        received = {"base64": base64.b64encode(answer).decode()} if is_frame else json.loads(answer)
        return {"sent": sent, "received": received}

    def drain(self, consumer: str) -> Iterator[Line]:
        """All messages that there are, in all their forms."""
        while True:
            polled = self.say(consumer, "poll", {"blocking_time": self.wait})
            yield polled
            message = polled["received"]
            if not message.get("have_message"):
                return
            number = {"message_id": message["message_id"]}
            self.message, self.offset = message["message_id"], message["offset"]
            if message["message_type"] != 1:
                yield self.say(consumer, "fetch_json_meta", number)
            if message["message_type"] != 2:
                yield self.say(consumer, "fetch_raw", number)
                while True:
                    fetched = self.say(consumer, "fetch", number)
                    yield fetched
                    if fetched["received"]["code"] or fetched["received"]["completed"]:
                        break
                    yield self.say(consumer, "fetch_block", number)


def main() -> None:
    """Record a server."""
    import requests  # noqa: PLC0415

    url, path = sys.argv[1:3]

    def post(sql: str) -> str:
        return requests.post(f"{url}/rest/sql", data=sql.encode(), auth=("root", "taosdata"), timeout=60).text

    def forget(database: str) -> None:
        # A file of the log is closed by one flush, and is old enough for the next.
        post(f"flush database {database}")
        time.sleep(3)
        post(f"flush database {database}")
        time.sleep(2)

    version = json.loads(post("select server_version()"))["data"][0][0]
    player = Player(url, post, forget, wait=1500, patience=20)
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps({"step": "meta", "version": version}) + "\n")
        for step in steps(version):
            out.write(json.dumps(player.play(step), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
