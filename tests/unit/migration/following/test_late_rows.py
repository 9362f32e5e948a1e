"""Rows that no round can see: later than the lookback, or of tables that the target got from somebody else."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_tdengine.migration.following import Follower, known

from ..conftest import CREATED, SOURCE, TARGET, BoxPair, Pair
from .test_follow import C, Follow, devices, equal, rows, times

__all__ = ["devices"]


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
