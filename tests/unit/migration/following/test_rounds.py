"""Following in a process that stays."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.following import Follower, lasting_rounds

from ..conftest import SOURCE, TARGET, BoxPair


@pytest.fixture
def site(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> BoxPair:
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 0.1)
    monkeypatch.setattr(retry, "FIRST_CONTACT", 0.1)
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
    )
    faulty.sync()
    return faulty


def insert(pair: BoxPair) -> None:
    pair.source_box.execute(f"insert into {SOURCE}.t values ({int(time.time() * 1000)}, 1)")


def arrived(pair: BoxPair) -> int:
    return len(pair.target_box.execute(f"select * from {TARGET}.t"))


def test_it_looks_until_there_is_something_and_waits_for_servers(
    site: BoxPair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = site.options(mode="realtime", start_from=datetime.now(timezone.utc).isoformat(), poll_interval=7)
    follower = Follower(*site.catalogs, options)
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            # Nothing has arrived: the next look will find this row, but no server that could be asked for it.
            insert(site)
            site.source_box.stop()
        elif len(pauses) == 3:
            site.source_box.start()

    monkeypatch.setattr(follower, "pause", pause)
    going = lasting_rounds(follower, options, follower.position(None))
    assert next(going).rows == 0
    assert next(done.rows for done in going if done.rows) == 1
    assert arrived(site) == 1
    assert set(pauses) == {7}
    assert caplog.text.count("Waiting until both servers answer again") == 1


def test_what_waiting_cannot_cure_ends_it(site: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    options = site.options(mode="realtime", start_from=datetime.now(timezone.utc).isoformat())
    follower = Follower(*site.catalogs, options)
    monkeypatch.setattr(follower, "pause", lambda seconds: insert(site))
    going = lasting_rounds(follower, options, follower.position(None))
    next(going)
    site.target.execute(f"drop database {TARGET}")
    with pytest.raises(TDengineError):
        list(going)
