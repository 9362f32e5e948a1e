"""Whose clock counts: the source's, where rows have their time; not the worker's, nor that of who created the run."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_tdengine.migration.following import Follower, Lookout, Position, Shard
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import on_source_clock

from ..conftest import SOURCE, BoxPair

AHEAD = pytest.mark.parametrize("ahead", [0, 60, -60])


def insert(pair: BoxPair, moment: float) -> None:
    """A row of this moment."""
    pair.sql(f"insert into {SOURCE}.t values ({int(moment * 1000)}, 1)")


@pytest.fixture
def device(faulty: BoxPair) -> BoxPair:
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500", f"create table {SOURCE}.t (ts timestamp, v double)"
    )
    faulty.sync()
    return faulty


@AHEAD
def test_rows_are_followed_by_the_clock_of_the_source(device: BoxPair, ahead: float) -> None:
    device.source_box.faults.set_clock(ahead)
    present = time.time() + ahead
    start = datetime.fromtimestamp(present - 30, timezone.utc).isoformat()
    options = device.options(mode="realtime", start_from=start, schema_poll_interval=3600)
    insert(device, present - 2)
    follower = Follower(*device.catalogs, options)
    done = follower.round(follower.position(None))
    assert (done.rows, done.position.lag) == (1, 0)
    device.source_box.faults.set_clock(ahead + 5)
    lookout = Lookout(*device.catalogs, options, Shard(), Position.from_dict(done.position.to_dict()))
    assert lookout.look() == ""
    insert(device, present + 2)
    assert "2 rows" in lookout.look()
    done = follower.round(done.position)
    assert done.position.lag == 0
    assert device.both()[0] == device.both()[1]


# An API server that is behind, among others that agree, is not to be told from a run that waited: with mode history,
# whose end is the creation, it is not tried.
@pytest.mark.parametrize(
    ("mode", "api_server"), [("history", 0), ("history", 60), ("both", 0), ("both", 60), ("both", -60)]
)
@AHEAD
def test_no_row_of_after_the_creation_is_left_to_nobody(
    faulty: BoxPair, mode: str, ahead: float, api_server: float
) -> None:
    """Clocks of a source, and of an API server, that are not the worker's; one of them at a time is wrong."""
    faulty.source_box.faults.set_clock(ahead)
    faulty.sql(f"create database {SOURCE}")
    began = time.time()
    created = datetime.fromtimestamp(began + api_server, timezone.utc)
    given = MigrationOptions(source_database=SOURCE, mode=mode).ended(created)
    options = on_source_clock(faulty.catalogs[0], given, created)
    assert options.window_end
    moment = options.window_end.timestamp() - (began + ahead)
    if not ahead and not api_server:
        assert options == given
    elif mode == "history":
        # All rows of before the creation, and few of after it.
        assert -1.5 <= moment <= 10
    else:
        # All rows of after the creation.
        assert moment <= 1


def test_a_moment_that_was_asked_for_stays(faulty: BoxPair) -> None:
    faulty.source_box.faults.set_clock(60)
    created = datetime.now(timezone.utc)
    asked = MigrationOptions(end=(created - timedelta(days=1)).isoformat())
    assert on_source_clock(faulty.catalogs[0], asked, created) == asked
