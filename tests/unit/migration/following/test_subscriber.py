"""Following by subscription: what a source tells arrives, whatever happens on the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.following import (
    ChangesProposed,
    Position,
    Subscriber,
    TopicLookout,
    choose,
    dropped,
    feed,
    subscriber,
    topic_of,
)
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import SchemaSync
from airflow_provider_tdengine.testing import TDengineBox

T = 1700000000000
BEGIN = "2023-11-14T00:00:00Z"


class Follow:
    """A source and a target, and who follows one into the other; each is a new one after `kill`."""

    def __init__(self, source: TDengineBox, target: TDengineBox, **values: object) -> None:
        self.source_box, self.target_box = source, target
        given = {"source_conn_id": "a", "target_conn_id": "b", "source_database": "d", "target_database": "e"}
        mode = {"mode": "realtime", "start_from": BEGIN}
        self.options = MigrationOptions.checked({**given, **mode, **values})
        self.stored: dict[str, Any] | None = None
        self.letters: Path | None = None
        self.approved = frozenset[str]()
        self.sides = [self._catalog(source, "d"), self._catalog(target, "e")]
        self.subscriber: Subscriber | None = None
        self.position: Position | None = None

    @staticmethod
    def _catalog(box: TDengineBox, name: str) -> Catalog:
        return Catalog(Client(Address(scheme="ws", host="127.0.0.1", port=box.port, timeout=10)), name)

    def sync(self) -> None:
        SchemaSync(*self.sides, self.options).run()

    def begin(self) -> None:
        source, target = self.sides
        topic = topic_of(source, target, self.options)
        self.subscriber = Subscriber(
            source, target, self.options, topic, save=self._save, letters=self.letters, approved=self.approved
        )
        self.position = self.subscriber.position(self.stored)

    def _save(self, position: Position) -> None:
        self.stored = position.to_dict()

    def kill(self) -> None:
        assert self.subscriber
        self.subscriber.close()
        self.subscriber = None

    def round(self) -> int:
        if self.subscriber is None:
            self.begin()
        assert self.subscriber
        assert self.position
        done = self.subscriber.round(self.position)
        self.position = done.position
        return done.rows

    def drain(self) -> int:
        """Rounds until nothing has been told for a while."""
        rows = self.round()
        while not (self.position and self.position.vgroups is not None and self.position.counted == 0):
            rows += self.round()
        return rows

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self.source_box.execute(statement)

    def held(self, box: TDengineBox, database: str, columns: str, stable: str = "m") -> list[tuple[Any, ...]]:
        found = box.execute(f"select tbname, {columns} from {database}.`{stable}`")
        return sorted(found, key=repr)

    def is_equal(self, columns: str = "ts, v, s") -> bool:
        return self.held(self.source_box, "d", columns) == self.held(self.target_box, "e", columns)


@pytest.fixture(params=["3.0.5.2", "3.3.3.0"])
def source(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    with TDengineBox(version=request.param) as running:
        running.execute("create database d vgroups 3 keep 36500 wal_retention_period 3600")
        running.execute("create stable d.m (ts timestamp, v int, s varchar(20)) tags (g int, name nchar(8))")
        for i in range(4):
            running.execute(f"create table d.d{i} using d.m tags ({i}, 'n{i}')")
        running.execute("create table d.plain (ts timestamp, v int)")
        yield running


@pytest.fixture
def target() -> Iterator[TDengineBox]:
    with TDengineBox(version="3.3.3.0") as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "QUIET", 0.05)


@pytest.fixture
def follow(source: TDengineBox, target: TDengineBox) -> Iterator[Follow]:
    made = Follow(source, target)
    made.sync()
    yield made
    if made.subscriber:
        made.kill()


def test_what_was_there_before_and_what_is_told_after_it(follow: Follow) -> None:
    follow.sql(f"insert into d.d0 values ({T}, 1, 'a') d.d1 values ({T}, 2, '')")
    follow.sql(f"insert into d.d0 values ({int(time.time() * 1000) + 3_600_000}, 9, 'future')")
    follow.drain()
    assert follow.is_equal()
    follow.sql(
        f"insert into d.d0 values ({T}, 7, 'overwritten') ({T - 5}, 3, '') d.plain values ({T}, 1)",
        f"insert into d.d3 (ts, v) values ({T}, 1)",
        f"insert into d.d3 (ts, s) values ({T}, 'both')",
    )
    follow.drain()
    assert follow.is_equal()
    assert follow.target_box.execute("select * from e.plain") == follow.source_box.execute("select * from d.plain")


def test_structure_comes_over(follow: Follow) -> None:
    follow.drain()
    follow.sql(
        f"insert into d.n1 using d.m tags (7, 'new') values ({T}, 1, 'x')",
        "alter table d.m add column w double",
        f"insert into d.d0 values ({T + 1}, 1, 'x', 1.5)",
        "alter table d.d1 set tag g = 99",
        "create table d.other (ts timestamp, x bigint)",
        f"insert into d.other values ({T}, 5)",
        "create stable d.m2 (ts timestamp, v int, s varchar(9)) tags (g int)",
        f"insert into d.k1 using d.m2 tags (1) values ({T}, 4, 'z')",
    )
    follow.drain()
    assert follow.is_equal("ts, v, s, w, g, name")
    [row] = follow.source_box.execute("select * from d.k1")
    assert follow.held(follow.target_box, "e", "ts, v, s, g", "m2") == [("k1", *row, 1)]
    assert follow.target_box.execute("select x from e.other") == [(5,)]
    follow.kill()
    follow.sql("alter table d.d0 set tag g = 98")
    follow.drain()
    assert follow.is_equal("ts, v, s, w, g, name"), "of tables that nobody has told of, too"


def test_decimals_come_over_also_where_a_column_has_other_digits_since() -> None:
    with TDengineBox(version="3.3.5.2") as source, TDengineBox(version="3.3.5.2") as target:
        source.execute("create database d vgroups 2 keep 36500")
        source.execute("create stable d.m (ts timestamp, v decimal(10,2), w decimal(38,10), s int) tags (g int)")
        follow = Follow(source, target)
        follow.sync()
        follow.drain()
        follow.sql(f"insert into d.d0 using d.m tags (0) values ({T}, -1.25, '1234567890123456789012345678.5', 1)")
        follow.drain()
        assert follow.is_equal("ts, v, w, s")
        follow.sql(f"insert into d.d0 values ({T + 1}, 9.75, null, 2)")
        for box, database in ((source, "d"), (target, "e")):
            box.execute(f"alter stable {database}.m drop column v")
            box.execute(f"alter stable {database}.m add column v decimal(12,4)")
        follow.sql(f"insert into d.d0 (ts, v, s) values ({T + 2}, 1.2345, 3)")
        follow.drain()
        assert follow.is_equal("ts, v, w, s")
        follow.kill()


@pytest.mark.parametrize("is_killed", [False, True])
def test_rows_that_a_tag_hides_are_not_lost(target: TDengineBox, *, is_killed: bool) -> None:
    """3.3.5 tells a group nothing more of a subtable whose tag is set, nor what it was not told yet."""
    with TDengineBox(version="3.3.5.2") as source:
        source.execute("create database d vgroups 1 keep 36500")
        source.execute("create stable d.m (ts timestamp, v int, s varchar(20)) tags (g int)")
        source.execute(
            f"insert into d.a using d.m tags (0) values ({T}, 0, 'x') d.b using d.m tags (0) values ({T}, 0, 'x')"
        )
        follow = Follow(source, target)
        follow.sync()
        follow.drain()
        for number in range(1, 13, 3):
            follow.sql(f"insert into d.a values ({T + number}, 1, 'before') d.b values ({T + number}, 1, 'before')")
            if number % 2:
                follow.round()
            follow.sql(
                f"insert into d.a values ({T + number + 1}, 1, 'not told yet') d.b values ({T + number + 1}, 1, 'x')",
                f"alter table d.a set tag g = {number}",
            )
            follow.sql(f"insert into d.b values ({T + number + 2}, 1, 'y')")
            if is_killed:
                follow.round()
                follow.kill()
            follow.sql(f"insert into d.a values ({T + number + 2}, 1, 'after') d.b values ({T + number + 2}, 1, 'z')")
        follow.drain()
        assert follow.is_equal("ts, v, s, g")
        follow.kill()


def test_deleted_rows_stay_unless_they_are_to_go(follow: Follow) -> None:
    follow.sql(f"insert into d.d0 values ({T}, 1, 'a') ({T + 1}, 2, 'b') d.d1 values ({T}, 3, 'c')")
    follow.drain()
    follow.sql(f"delete from d.d0 where ts = {T}")
    follow.drain()
    assert len(follow.held(follow.target_box, "e", "ts")) == 3
    follow.kill()
    follow.options = replace(follow.options, on_delete="apply")
    follow.sql(
        f"delete from d.d0 where ts >= {T}",
        f"insert into d.d0 values ({T + 1}, 5, 'came back')",
        f"insert into d.d2 values ({T}, 1, 'a') ({T + 9}, 2, 'b')",
        f"delete from d.m where ts <= {T}",
        "drop table d.d3",
        "drop table d.plain",
    )
    follow.drain()
    assert follow.is_equal()
    tables = follow.target_box.execute("select table_name from information_schema.ins_tables where db_name = 'e'")
    assert sorted(name for (name,) in tables) == ["d0", "d1", "d2"]


TRANSFORM = {
    "rename_tables": "* -> site_*",
    "rename_columns": "v -> value",
    "exclude_columns": "s",
    "add_tags": "site VARCHAR(8) = 'x'",
}


@pytest.mark.parametrize(
    "values",
    [TRANSFORM, {"exclude": "d1, plain"}, {"where": "v < 50"}, {"database_options": "PRECISION 'us'"}],
    ids=["transform", "exclude", "where", "finer"],
)
def test_what_changes_on_the_way_and_what_is_not_meant(
    source: TDengineBox, target: TDengineBox, values: dict[str, str]
) -> None:
    follow = Follow(source, target, **values)
    follow.sync()
    follow.drain()
    follow.sql(
        f"insert into d.d0 values ({T}, 1, 'a') ({T + 1}, 99, 'b') d.d1 values ({T - 7}, 3, 'c')",
        f"insert into d.plain values ({T}, 1)",
        f"insert into d.n0 using d.m tags (5, 'n') values ({T}, 4, '')",
    )
    follow.drain()
    wanted = follow.source_box.execute("select tbname, v from d.m")
    if values is TRANSFORM:
        assert sorted(target.execute("select tbname, `value` from e.m")) == sorted((f"site_{n}", v) for n, v in wanted)
    elif "exclude" in values:
        assert sorted(target.execute("select tbname, v from e.m")) == sorted((n, v) for n, v in wanted if n != "d1")
    elif "where" in values:
        assert sorted(target.execute("select tbname, v from e.m")) == sorted((n, v) for n, v in wanted if v < 50)
    else:
        assert sorted(target.execute("select tbname, v from e.m")) == sorted(wanted)
    follow.kill()


def test_refused_rows_become_dead_letters_or_end_it(source: TDengineBox, target: TDengineBox, tmp_path: Path) -> None:
    follow = Follow(source, target, database_options="PRECISION 'ns'", on_error="dead_letter", dead_letter_path="x")
    follow.sync()
    follow.letters = tmp_path / "follow"
    follow.drain()
    # More than nanoseconds can count.
    future = 9_999_999_999_999
    follow.sql(f"insert into d.d0 values ({T}, 1, 'a') ({future}, 2, 'refused') d.d1 values ({T}, 2, 'b')")
    follow.drain()
    assert len(follow.held(follow.target_box, "e", "ts")) == 2
    (file,) = tmp_path.rglob("*.jsonl")
    assert file.read_text(encoding="utf-8").count("\n") == 1
    follow.kill()
    follow.letters, follow.options = None, replace(follow.options, on_error="fail")
    follow.sql(f"insert into d.d0 values ({future + 1}, 2, 'refused')")
    with pytest.raises(RowRejected, match="The target refuses a row of table 'd0'"):
        follow.drain()


class Killed(Exception):
    pass


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_and_whenever_it_is_killed_both_sides_are_equal(
    follow: Follow, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows late, overwritten and deleted, new tables, columns and tags, in three vgroups; it dies after rows have been
    written and before that is saved."""
    chance = random.Random(seed)
    follow.options = replace(follow.options, on_delete="apply")
    save, dies = follow._save, False

    def dying(position: Position) -> None:
        if dies:
            raise Killed
        save(position)

    monkeypatch.setattr(follow, "_save", dying)
    follow.drain()
    tables, columns = [f"d{i}" for i in range(4)], ["v", "s"]
    for number in range(12):
        statements = []
        for _ in range(chance.randint(1, 6)):
            table = chance.choice(tables)
            some = chance.sample(columns, chance.randint(1, len(columns)))
            texts = [f"'{chance.choice(['', 'x', 'ü'])}'" if c == "s" else str(chance.randrange(99)) for c in some]
            rows = " ".join(
                f"({T + chance.randrange(40)}, {', '.join(texts)})" for _ in range(chance.choice([1, 1, 3, 130]))
            )
            statements.append(f"insert into d.{table} (ts, {', '.join(some)}) values {rows}")
        what = chance.randrange(5)
        if what == 0:
            low = T + chance.randrange(40)
            statements.append(f"delete from d.{chance.choice(tables)} where ts >= {low} and ts <= {low + 5}")
        elif what == 1:
            tables.append(f"n{number}")
            statements.append(f"create table d.n{number} using d.m tags ({number}, 'new')")
        elif what == 2:
            statements.append(f"alter table d.{chance.choice(tables)} set tag g = {number + 100}")
        elif what == 3 and len(columns) < 4:
            columns.append(f"c{number}")
            statements.append(f"alter table d.m add column c{number} int")
        chance.shuffle(statements)
        # A new table's rows, and a new column's, come after it.
        statements.sort(key=lambda statement: statement.startswith("insert"))
        follow.sql(*statements)
        dies = chance.random() < 0.5
        try:
            follow.round()
        except Killed:
            follow.kill()
        dies = False
    follow.drain()
    assert follow.is_equal(", ".join(["ts", *columns, "g", "name"]))


@pytest.mark.parametrize("on_delete", ["ignore", "apply"])
def test_what_a_log_has_lost_is_compared(follow: Follow, on_delete: str, caplog: pytest.LogCaptureFixture) -> None:
    """Rows that were new, late, overwritten and deleted, and a table that was made."""
    follow.options = replace(follow.options, on_delete=on_delete)
    follow.drain()
    follow.sql(f"insert into d.d0 values ({T}, 1, 'before') d.d1 values ({T}, 1, 'a') ({T + 5}, 2, 'deleted')")
    follow.drain()
    follow.kill()
    now = int(time.time() * 1000)
    follow.sql(
        f"insert into d.d0 values ({now}, 1, 'a') d.d1 values ({T + 1}, 2, 'late') d.d2 values ({now + 9999}, 3, '')",
        f"insert into d.d0 values ({T}, 9, 'overwritten') d.n1 using d.m tags (9, 'new') values ({T}, 7, 'new')",
        f"delete from d.d1 where ts = {T + 5}",
    )
    follow.source_box.forget_log("d")
    follow.sql(f"insert into d.d0 values ({now + 1}, 1, 'a') d.d1 values ({T + 1}, 2, 'late')")
    follow.drain()
    assert "The source's log has lost what was written" in caplog.text
    ours, theirs = (follow.held(*side, "ts, v, s, g") for side in [(follow.source_box, "d"), (follow.target_box, "e")])
    extra = [("d1", T + 5, 2, "deleted", 1)] if on_delete == "ignore" else []
    assert theirs == sorted([*ours, *extra], key=repr)


def test_a_comparison_that_is_interrupted_is_made_anew(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    follow.drain()
    follow.sql(f"insert into d.d0 values ({T}, 1, 'before')")
    follow.drain()
    follow.kill()
    follow.sql(f"insert into d.d0 values ({T}, 9, 'overwritten')")
    follow.source_box.forget_log("d")
    monkeypatch.setattr(subscriber, "verify", Mock(side_effect=Killed))
    with pytest.raises(Killed):
        follow.drain()
    monkeypatch.undo()
    follow.kill()
    follow.drain()
    assert follow.is_equal()


def test_a_feed_is_opened_anew_now_and_then(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_FRESH", -1.0)
    follow.drain()
    source, target = follow.sides
    assert follow.position
    watch = TopicLookout(source, topic_of(source, target, follow.options), follow.options, follow.position)
    with closing(watch):
        assert watch.look() == "the position has to keep up with the source's log"
        follow.sql(f"insert into d.d0 values ({T}, 1, 'a')")
        assert watch.look() == "the source tells of changes"
    opened = follow.subscriber and follow.subscriber._feed
    follow.drain()
    assert follow.is_equal()
    assert follow.subscriber
    assert follow.subscriber._feed is not opened


def test_a_table_that_comes_and_goes_between_two_rounds(follow: Follow) -> None:
    follow.drain()
    follow.sql(
        f"insert into d.n1 using d.m tags (7, 'new') values ({T}, 1, 'x') d.d0 values ({T}, 1, 'x')",
        "drop table d.n1",
    )
    follow.drain()
    assert follow.is_equal()


def test_rows_in_any_order_arrive_as_they_were_written_last(follow: Follow) -> None:
    """Many rows of a table, which may go on as they are only where no other ones of the same time are told."""
    follow.drain()

    def some(first: int, value: int) -> str:
        return " ".join(f"({T + first + i}, {value}, 'x')" for i in range(150))

    follow.sql(
        f"insert into d.d0 values {some(0, 1)}",
        f"insert into d.d1 values {some(0, 1)}",
        f"insert into d.d1 values {some(100, 2)}",
        f"insert into d.d1 values ({T + 7}, 3, 'x')",
        f"insert into d.d2 values ({T + 7}, 4, NULL) {some(100, 2)} ({T + 999}, 5, '')",
    )
    follow.drain()
    assert follow.is_equal()


def test_constant_load_ends_at_the_moment_to_stop(follow: Follow) -> None:
    """Rows of devices whose clocks are behind never come to that moment."""
    follow.drain()
    follow.kill()
    stop = time.time() + 2
    follow.options = replace(follow.options, stop_at=datetime.fromtimestamp(stop, timezone.utc).isoformat())
    ended = threading.Event()

    def write() -> None:
        for number in count():
            if ended.is_set():
                return
            follow.sql(f"insert into d.d0 values ({T + number}, 1, 'x')")
            if number == 0 or time.time() < stop:
                before[0] = number
            time.sleep(0.02)

    before = [0]
    writer = threading.Thread(target=write)
    writer.start()
    try:
        follow.begin()
        assert follow.subscriber
        assert follow.position
        while not follow.subscriber.is_at_end(follow.position):
            follow.round()
            assert time.time() < stop + 180
    finally:
        ended.set()
        writer.join()
    assert time.time() >= stop
    [(rows,)] = follow.target_box.execute("select count(*) from e.d0")
    assert rows > before[0]


def test_which_way_is_chosen_and_why(follow: Follow) -> None:
    source, target = follow.sides
    chosen = choose(source, target, follow.options)
    assert chosen.by == "subscription"
    assert chosen.topic
    assert chosen.topic.name.startswith("airflow_e_")
    assert [name for (name,) in source.rows("show topics")] == [chosen.topic.name]
    follow.sql(f"insert into d.d0 values ({T}, 1, 'meanwhile')")
    follow.drain()
    follow.kill()
    dropped(chosen.topic)
    assert source.rows("show topics") == []
    assert choose(source, target, replace(follow.options, follow_by="poll")).by == "poll"
    assert "follow_shards is 2" in choose(source, target, replace(follow.options, follow_shards=2)).why
    follow.sql("alter database d wal_retention_period 60")
    polled = choose(source, target, follow.options)
    assert polled.by == "poll"
    assert "Run ALTER DATABASE `d` WAL_RETENTION_PERIOD 3600 there" in polled.why
    with pytest.raises(MigrationStopped, match="WAL_RETENTION_PERIOD 3600"):
        choose(source, target, replace(follow.options, follow_by="subscription"))


def test_the_log_lasts_as_long_as_history_takes(follow: Follow) -> None:
    """Twice what is estimated, in whole hours."""
    rows = " ".join(f"({T + i}, 1, 'x')" for i in range(4000))
    follow.sql(f"insert into d.d0 values {rows}")
    source, target = follow.sides
    slow = replace(follow.options, mode="both", start_from=None, follow_by="subscription", max_rows_per_second=1)
    with pytest.raises(MigrationStopped, match="Run ALTER DATABASE `d` WAL_RETENTION_PERIOD 10800 there"):
        choose(source, target, slow)
    assert choose(source, target, slow, is_copied=True).by == "subscription"
    assert choose(source, target, replace(slow, max_rows_per_second=0)).by == "subscription"
    follow.sql("alter database d wal_retention_period 10800")
    assert choose(source, target, slow).by == "subscription"


def test_a_person_is_asked_before_what_was_told_changes_the_target(source: TDengineBox, target: TDengineBox) -> None:
    follow = Follow(source, target, on_schema_change="ask")
    follow.sync()
    follow.drain()
    follow.sql(
        "alter table d.m add column w int",
        "create table d.d9 using d.m tags (9, 'n9')",
        "alter table d.d3 set tag g = 33",
        f"insert into d.d9 values ({T},1,'a',2) d.d0 values ({T},2,'b',3)",
    )
    with pytest.raises(ChangesProposed) as proposed:
        follow.drain()
    assert proposed.value.statements == (
        "ALTER STABLE `e`.`m` ADD COLUMN `w` INT",
        "CREATE TABLE IF NOT EXISTS `e`.`d9` USING `e`.`m` (`g`, `name`) TAGS (9, 'n9')",
        "ALTER TABLE `e`.`d3` SET TAG `g` = 33",
    )
    assert follow.held(target, "e", "v") == []
    follow.kill()
    # Of what is approved, nothing is left out; of the rest, nothing is done.
    follow.approved = frozenset(proposed.value.statements[:2])
    with pytest.raises(ChangesProposed) as proposed:
        follow.drain()
    assert proposed.value.statements == ("ALTER TABLE `e`.`d3` SET TAG `g` = 33",)
    follow.kill()
    follow.approved |= frozenset(proposed.value.statements)
    follow.drain()
    assert follow.held(target, "e", "v, w, g") == [("d0", 2, 3, 0), ("d9", 1, 2, 9)]
    assert follow.is_equal("ts, v, s, w, g, name")
    follow.kill()
