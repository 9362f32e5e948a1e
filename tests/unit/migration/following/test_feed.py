"""What a topic tells from stored positions on, wherever reading was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import ServerBusy, TopicMissing
from airflow_provider_tdengine.client.subscription import Message
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.findings import Severity
from airflow_provider_tdengine.migration.following import Feed, Positions, Topic
from airflow_provider_tdengine.testing import TDengineBox

T = 1700000000000
VGROUPS = 3


@pytest.fixture(params=["3.0.5.2", "3.3.3.0"])
def box(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    with TDengineBox(version=request.param) as running:
        running.execute(f"create database d vgroups {VGROUPS} keep 36500 wal_retention_period 3600")
        running.execute("create stable d.st (ts timestamp, v int) tags (g int)")
        yield running


@pytest.fixture
def source(box: TDengineBox) -> Catalog:
    return Catalog(Client(Address(scheme="ws", host="127.0.0.1", port=box.port, timeout=10)), "d")


@pytest.fixture
def topic(source: Catalog) -> Topic:
    made = Topic(source, "a migration")
    made.create()
    return made


def feed(source: Catalog, topic: Topic, stored: Positions | None) -> Feed:
    return Feed(source.client, topic.name, topic.group, VGROUPS, stored)


def write(box: TDengineBox, number: int) -> None:
    """A row for each of ten tables, in all vgroups."""
    rows = " ".join(f"d.t{i} using d.st tags ({i}) values ({T + number},{number})" for i in range(10))
    box.execute(f"insert into {rows}")


def rows(taken: list[Message]) -> list[tuple[str, object]]:
    return sorted((each.table, row) for message in taken for each in message.rows for row in each.block().to_rows())


def expected(*numbers: int) -> list[tuple[str, object]]:
    return sorted((f"t{i}", (T + number, number)) for number in numbers for i in range(10))


def drained(reader: Feed) -> list[Message]:
    taken: list[Message] = []
    while found := reader.take(1000, 0.02).messages:
        taken += found
    return taken


def test_a_first_feed_begins_with_what_is_written_from_now_on(box: TDengineBox, source: Catalog, topic: Topic) -> None:
    write(box, 0)
    with closing(feed(source, topic, None)) as reader:
        write(box, 1)
        assert rows(drained(reader)) == expected(1)
        assert len(reader.positions) == VGROUPS


@pytest.mark.parametrize("messages", range(4))
def test_nothing_is_lost_wherever_a_feed_ends(box: TDengineBox, source: Catalog, topic: Topic, messages: int) -> None:
    """It ends after some messages; the positions behind them were saved, those of none before they were confirmed."""
    with closing(feed(source, topic, None)) as reader:
        saved = reader.positions
        write(box, 1)
        found = [message for _ in range(messages) for message in reader.take(1, 0.02).messages]
        saved = reader.positions if found else saved
        lost = list(reader.take(1, 0.02).messages)
    write(box, 2)
    with closing(feed(source, topic, saved)) as reader:
        again = drained(reader)
    assert rows(found + again) == expected(1, 2)
    assert rows(lost) == [row for row in rows(again) if row in rows(lost)]


def test_a_log_that_was_too_short_is_noticed(box: TDengineBox, source: Catalog, topic: Topic) -> None:
    with closing(feed(source, topic, None)) as reader:
        write(box, 1)
        assert rows(drained(reader)) == expected(1)
        saved = reader.positions
    for number in (2, 3):
        write(box, number)
    box.forget_log("d")
    write(box, 4)
    write(box, 5)
    with closing(feed(source, topic, saved)) as reader:
        first = reader.take(1000, 0.02)
        assert not first.messages
        # The other vgroup has no tables, and lost nothing.
        assert first.gaps == {
            vgroup for (vgroup,) in box.execute("select vgroup_id from information_schema.ins_tables")
        }
        assert len(first.gaps) == VGROUPS - 1
        assert rows(drained(reader)) == expected(4, 5)


def test_a_log_that_is_cut_while_it_is_read_is_noticed(box: TDengineBox, source: Catalog, topic: Topic) -> None:
    with closing(feed(source, topic, None)) as reader:
        assert not reader.take(1, 0).gaps
        write(box, 1)
        box.forget_log("d")
        cut = reader.take(1, 0)
        assert not cut.messages
        # 3.0 must not be asked while it is read.
        assert bool(cut.gaps) == (source.client.server.version > (3, 1))


def test_an_earlier_consumer_that_has_not_gone(source: Catalog, topic: Topic) -> None:
    with closing(feed(source, topic, None)) as first:
        with pytest.raises(ServerBusy, match=r"[12] of its 3 vgroups are free"):
            feed(source, topic, None)
        saved = first.positions
    with closing(feed(source, topic, saved)) as reader:
        assert reader.positions == saved


@pytest.mark.parametrize("box", ["3.3.3.0"], indirect=True)
def test_another_consumer_that_comes_is_noticed(box: TDengineBox, source: Catalog, topic: Topic) -> None:
    """What it has is not told: that is no silence."""
    with closing(feed(source, topic, None)) as reader:
        saved = reader.positions
        with closing(source.client.subscription(topic.name, topic.group)):
            write(box, 1)
            with pytest.raises(ServerBusy, match=r"[12] of its 3 vgroups are free"):
                drained(reader)
    with closing(feed(source, topic, saved)) as reader:
        assert rows(drained(reader)) == expected(1)


def test_topics_are_told_apart_and_dropped(source: Catalog, topic: Topic) -> None:
    other = Topic(source, "another migration")
    assert other.name != topic.name
    with pytest.raises(TopicMissing):
        feed(source, other, None)
    topic.create()
    topic.drop()
    topic.drop()
    assert source.rows("show topics") == []


@pytest.mark.parametrize(("kept", "is_enough"), [(0, False), (3599, False), (3600, True), (-1, True)])
def test_how_long_a_log_has_to_last(box: TDengineBox, source: Catalog, kept: int, is_enough: bool) -> None:
    box.execute("drop database d")
    box.execute("create database d")
    box._engine.store.databases["d"].options["wal_retention_period"] = str(kept)
    found = list(Topic(source, "a migration").findings(3600))
    assert bool(found) != is_enough
    for finding in found:
        assert finding.is_blocker
        assert f"it keeps its log for {kept} s" in finding.found
        assert finding.action.startswith("Run ALTER DATABASE `d` WAL_RETENTION_PERIOD 3600 there")


def test_a_log_of_limited_size(box: TDengineBox, source: Catalog) -> None:
    box.execute("alter database d wal_retention_size 100")
    [finding] = Topic(source, "a migration").findings(3600)
    assert finding.severity is Severity.WARNING
    assert "at most 100 KiB" in finding.found
