"""Rows that no round can see: later than the lookback, or of tables that the target got from somebody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Ints
from airflow_provider_tdengine.client.errors import TableMissing
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.catalog import Catalog, Scope
from airflow_provider_tdengine.migration.following import Follower, known, look
from airflow_provider_tdengine.migration.following.known import Gap, Slices, gaps

from ..conftest import CREATED, SOURCE, TARGET, BoxPair, Pair
from .test_follow import C, Follow, devices, equal, rows, times

__all__ = ["devices"]

METERS = f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int, name nchar(8))"


@pytest.mark.parametrize("mode", ["realtime", "both"])
def test_rows_later_than_the_lookback_are_noticed_and_brought(devices: Pair, mode: str) -> None:
    devices.copy(mode="both")
    follow = Follow(devices, {"lookback": 3, "mode": mode, "schema_poll_interval": 60})
    devices.sql(rows("d0", 1000, 30_000), rows("d1", 2000), rows("plain", 3000))
    follow.round(60)
    follow.round(60)
    lookout = follow.lookout()
    devices.sql(rows("d0", 2000, 5000), rows("plain", 1), rows("d2", 7))
    assert lookout.look() == "", "the next look is to come"
    follow.now += 60
    assert lookout.look() == "4 rows more, or fewer, than were before the watermark"
    assert follow.round(looks=False).rows == 0
    done = follow.round()
    assert [times(devices, table)[-3:] for table in ("d0", "plain", "d2")] == [[2000, 5000, 30_000], [1, 3000], [7]]
    assert done.rows == (8 if mode == "both" else 7), "small tables whole"
    assert follow.lookout().look() == ""
    follow.now += 60
    assert follow.lookout().look() == ""
    assert follow.round().rows == 0


def test_only_the_part_of_a_table_is_copied_in_which_rows_are_late(
    devices: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "ENOUGH", 10)
    follow = Follow(devices, {"lookback": 0})
    devices.sql(rows("d0", *range(0, 1000, 2)))
    follow.round(2)
    devices.sql(rows("d0", 501, 777))
    assert follow.round(1).rows < 30
    assert len(times(devices, "d0")) == 502


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 999), st.booleans()), max_size=60), st.integers(1, 40))
def test_what_is_to_be_copied_covers_all_that_differs(there: list[tuple[int, int, bool]], enough: int) -> None:
    """And no part of it has many rows, unless the target has none of them."""
    ours, theirs = np.zeros((5, 1000), np.int64), np.zeros((5, 1000), np.int64)
    for table, moment, is_there in there:
        ours[table, moment] += 1
        theirs[table, moment] += is_there

    def slices(rows: Ints) -> Slices:
        def ask(names: Sequence[str], low: int, high: int, width: int) -> Ints:
            wide = np.zeros((len(names), -(-high // width) - low // width), np.int64)
            for moment in range(low, high):
                wide[:, moment // width - low // width] += rows[list(map(int, names)), moment]
            return wide

        return ask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "ENOUGH", enough)
        patch.setattr(known, "_MOST", 7)
        names = [str(table) for table in range(5) if ours[table].any()]
        whole = Gap(names, ours[list(map(int, names))].sum(1), 0, 1000)
        found = list(gaps(slices(ours), slices(theirs), whole, 1)) if names else []
    for gap in found:
        part = np.ix_(list(map(int, gap.names)), range(gap.low, gap.high))
        assert gap.rows.tolist() == ours[part].sum(1).tolist()
        assert ours[part].sum() <= enough or not theirs[part].any() or gap.high - gap.low == 1
        ours[part] = theirs[part] = 0
    assert (ours == theirs).all()


def test_late_rows_of_many_tables_are_brought_with_few_statements(
    faulty: BoxPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asked table by table, and by halves of each: thousands of statements."""
    monkeypatch.setattr(known, "ENOUGH", 1000)
    faulty.sql(f"create database {SOURCE} precision 'ms' keep 36500", METERS)
    for i in range(100):
        faulty.source_box.execute(f"create table {SOURCE}.d{i} using {SOURCE}.m tags ({i}, '')")
        faulty.source_box.execute(rows(f"d{i}", *range(i, 100_000, 1000)))
    faulty.sync()
    follow = Follow(faulty, {"lookback": 0, "strategy": "sparse"})
    follow.round(100)
    for i in range(0, 100, 2):
        faulty.source_box.execute(rows(f"d{i}", 20_005 + 200 * i, 30_004 + 20 * i))
    asked = faulty.source_box.statements, faulty.target_box.statements
    for statements in asked:
        statements.clear()
    assert 100 < follow.round(1).rows < 3000
    assert max(map(len, asked)) < 60, asked
    assert equal(faulty)


# --- A look and rounds

HELD = pytest.mark.parametrize("held", ["digest", "counts_of"])
"""Where a look is held up: at the structure, or while it compares."""


@pytest.fixture
def gate(held: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What holds up looks until it is set."""
    opened, question = threading.Event(), getattr(look, held)

    def ask(*arguments: object) -> object:
        assert opened.wait(60), "the gate was never opened"
        return question(*arguments)

    monkeypatch.setattr(look, held, ask)
    yield opened
    opened.set()


@HELD
def test_rows_go_on_while_a_look_takes_its_time(devices: Pair, gate: threading.Event) -> None:
    follow = Follow(devices, {"poll_interval": 0.1, "lookback": 0})
    follower = follow.follower
    position = follower.position(None)
    for second in range(3):
        devices.sql(rows("d0", second * 1000 + 500))
        follow.now += 1
        position = follower.round(position).position
        assert position.watermark == C + 1000 * (second + 1)
        assert not follower.has_caught_up(position)
    assert times(devices, "d0") == [500, 1500, 2500]
    assert position.structure is None, "what the look comes to is in no position yet"
    devices.sql(rows("d1", 700))
    gate.set()
    while not follower.has_caught_up(position):
        position = follower.round(position).position
    assert position.structure
    follow.now += 100
    while not times(devices, "d1"):
        position = follower.round(position).position
    follower.close()


@HELD
def test_a_kill_in_a_look_loses_nothing(devices: Pair, gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late rows and those of a table that came up: the next one looks anew."""
    options = {"mode": "both", "poll_interval": 0.1, "lookback": 1}
    follow = Follow(devices, options)
    devices.copy(mode="both")
    follower = follow.follower
    position = follower.position(None)
    for second in range(3):
        devices.sql(
            rows("d0", second * 1000 + 500, second - 40_000),
            f"create table {SOURCE}.n{second} using {SOURCE}.m tags (9, '')",
            rows(f"n{second}", second * 1000 + 500, -90_000),
        )
        follow.now += 1
        position = follower.round(position).position
    follower.stop()
    with pytest.raises(Stopped):
        follower.round(position)
    monkeypatch.undo()
    gate.set()
    follow.values["poll_interval"] = 60
    follow.round(1)
    assert equal(devices)


@pytest.mark.parametrize("held", ["counts_of"])
def test_a_table_that_comes_up_in_a_look_is_not_taken_for_compared(devices: Pair, gate: threading.Event) -> None:
    follow = Follow(devices, {"mode": "both", "poll_interval": 0.1})
    devices.copy(mode="both")
    follower = follow.follower
    position = follower.round(follower.position(None)).position
    devices.sql(f"create table {SOURCE}.n9 using {SOURCE}.m tags (9, '')", rows("n9", -90_000))
    gate.set()
    for seconds in (0, 1000):
        follow.now += seconds
        position = follower.round(position).position
        while not follower.has_caught_up(position):
            position = follower.round(position).position
    assert equal(devices)
    follower.close()


@HELD
def test_the_end_waits_for_the_last_look(devices: Pair, gate: threading.Event) -> None:
    """One that has begun before it does not do."""
    options = {"poll_interval": 0.1, "lookback": 0, "stop_at": (CREATED + timedelta(seconds=9)).isoformat()}
    follow = Follow(devices, options)
    follower = follow.follower
    devices.sql(rows("d0", 5000))
    follow.now += 6
    position = follower.round(follower.position(None)).position
    assert not follower.is_at_end(position)
    devices.sql(rows("d0", 1), rows("d1", 2), rows("d0", 8000))
    follow.now += 6
    threading.Timer(0.3, gate.set).start()
    position = follower.round(position).position
    assert follower.is_at_end(position)
    assert (times(devices, "d0"), times(devices, "d1")) == ([1, 5000, 8000], [2])
    follower.close()


def test_a_table_that_goes_while_a_look_lists_does_not_end_it(devices: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, asked = look.digest, list[Scope]()

    def gone_at_first(source: Catalog, scope: Scope) -> str:
        asked.append(scope)
        if len(asked) == 1:
            raise TableMissing("Table does not exist")
        return digest(source, scope)

    follow = Follow(devices, {})
    devices.sql(rows("d0", 1000))
    with monkeypatch.context() as patch:
        patch.setattr(look, "digest", gone_at_first)
        follow.round(60)
    assert len(asked) == 2
    assert times(devices, "d0") == [1000]


@pytest.mark.source(since=(3,))
def test_rows_that_were_deleted_in_the_source_bring_nothing_back(devices: Pair) -> None:
    follow = Follow(devices, {"lookback": 0})
    devices.sql(rows("d0", 5, 6, 7), rows("d1", 5, 6))
    follow.round(1)
    devices.sql(f"delete from {SOURCE}.d0 where ts = {C + 6}")
    follow.now += 10
    assert follow.lookout().look()
    assert follow.round().rows == 0
    devices.sql(rows("d1", 8))
    assert follow.round(10).rows == 3
    assert follow.lookout().look() == ""


@pytest.mark.parametrize("maker", ["follow", "reconcile", "somebody"])
def test_a_table_that_is_new_to_the_target_gets_all_its_rows_whoever_made_it(devices: Pair, maker: str) -> None:
    follow = Follow(devices, {"mode": "both"})
    devices.copy(mode="both")
    follow.round(1)
    devices.sql(
        f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, 'x')", rows("d9", -30 * 86_400_000, -90_000_000, -5, 10)
    )
    if maker == "reconcile":
        # The nightly one, of the last week, was faster than the look of the follow.
        end = (CREATED + timedelta(seconds=1)).isoformat()
        devices.prove(start=(CREATED - timedelta(days=7)).isoformat(), end=end)
        assert times(devices, "d9") == [-90_000_000, -5, 10]
    elif maker == "somebody":
        devices.target.execute(f"create table {TARGET}.d9 using {TARGET}.m tags (9, 'x')")
    follow.round(100)
    assert equal(devices)


def test_many_normal_tables_are_asked_for_together(faulty: BoxPair) -> None:
    """A new row beside 200 normal tables took 605 statements at the source; their structure takes one each."""
    faulty.sql(f"create database {SOURCE} precision 'ms' keep 36500")
    for i in range(101):
        faulty.source_box.execute(f"create table {SOURCE}.n{i} (ts timestamp, v double)")
    faulty.sync()
    follow = Follow(faulty, {})
    faulty.sql(rows("n7", 100), rows("n100", 200))
    follow.round(1)
    assert (times(faulty, "n7"), times(faulty, "n100")) == ([100], [200])
    faulty.sql(rows("n7", 1500))
    faulty.source_box.statements.clear()
    follow.now += 1
    assert follow.lookout().look()
    assert follow.round().rows == 3
    asked = [one for one in faulty.source_box.statements if not one.startswith("DESCRIBE")]
    assert len(asked) < 40, asked


def test_tables_that_are_created_all_the_time_never_stop_it(faulty: BoxPair) -> None:
    """Known tables go on, new ones follow at the next look: it was stopped by the sixth new table in one round."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int, name nchar(8))",
        f"create table {SOURCE}.d0 using {SOURCE}.m tags (0, '')",
    )
    faulty.sync()
    options = faulty.options(mode="realtime", start_from=datetime.now(timezone.utc).isoformat())
    made, enough = 0, threading.Event()

    def present() -> int:
        return int(datetime.now(timezone.utc).timestamp() * 1000)

    def create() -> None:
        nonlocal made
        while not enough.wait(0.02):
            made += 1
            faulty.source_box.execute(
                f"insert into {SOURCE}.n{made} using {SOURCE}.m tags ({made}, '') values ({present()}, 1)"
            )
            if made % 10 == 0:
                faulty.source_box.execute(f"create table {SOURCE}.p{made} (ts timestamp, v double)")
                faulty.source_box.execute(f"insert into {SOURCE}.p{made} values ({present()}, 1)")

    creating = threading.Thread(target=create, daemon=True)
    creating.start()
    follower = Follower(*faulty.catalogs, options)
    position = follower.position(None)
    try:
        while made < 60:
            # Each resume of the task is a follower of its own; in between, one goes on.
            position = follower.round(position).position
            if made % 3:
                follower = Follower(*faulty.catalogs, options)
    finally:
        enough.set()
        creating.join()
    faulty.source_box.faults.set_clock(30)
    position = follower.round(position).position
    faulty.source_box.faults.set_clock(60)
    follower.round(position)
    assert equal(faulty)
