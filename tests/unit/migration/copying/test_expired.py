"""Rows that are older than the target keeps: said before anything is copied, left behind, or kept after all."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from airflow_provider_tdengine.migration.copying import Checkpoint, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T

OLD = 1000000000000
"""2001-09-09T01:46:40Z."""


@pytest.fixture
def aged(pair: Pair) -> Pair:
    """A super table and a normal table with rows that a target with ten years of KEEP does not take."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.d1 using {SOURCE}.meters tags (1)",
        f"create table {SOURCE}.d2 using {SOURCE}.meters tags (2)",
        f"create table {SOURCE}.plain (ts timestamp, v int)",
        f"insert into {SOURCE}.d1 values ({OLD}, 1) ({OLD + 1}, 2) ({T}, 3)",
        f"insert into {SOURCE}.d2 values ({OLD + 5}, 4) ({T}, 5) ({T + 1}, 6)",
        f"insert into {SOURCE}.plain values ({OLD + 86400000}, 7)",
    )
    pair.target.execute(f"create database {TARGET} keep 3650")
    pair.sync()
    return pair


def test_the_migration_stops_and_counts_them(aged: Pair) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        aged.copy()
    assert str(stopped.value) == (
        "2 findings:\n"
        f"Table 'meters': 3 rows from 2001-09-09 on are older than the 3,650 days that '{TARGET}' keeps. "
        "Set on_expired to raise_keep or skip, or give a later start.\n"
        f"Table 'plain': 1 rows from 2001-09-10 on are older than the 3,650 days that '{TARGET}' keeps. "
        "Set on_expired to raise_keep or skip, or give a later start."
    )
    assert [rows for _, rows in aged.both()[1].values()] == [[], [], []]


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_they_stay_behind(aged: Pair, strategy: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        comparison = aged.migrate(on_expired="skip", strategy=strategy)
    assert not comparison.differences
    assert (comparison.rows, comparison.expired) == (3, 4)
    assert {name: [row[1] for row in rows] for name, (_, rows) in aged.both()[1].items()} == {
        "d1": [3],
        "d2": [5, 6],
        "plain": [],
    }
    assert "Skipped: 3 rows of meters, older than the target keeps" in caplog.text
    assert "Skipped: 1 row of plain, older than the target keeps" in caplog.text


def test_the_target_keeps_them_after_all(aged: Pair) -> None:
    comparison = aged.migrate(on_expired="raise_keep")
    assert (comparison.rows, comparison.expired, len(comparison.differences)) == (7, 0, 0)
    source, target = aged.both()
    assert target == source


def test_a_missing_table_is_mended_without_them(aged: Pair) -> None:
    aged.migrate(on_expired="skip")
    aged.target.execute(f"drop table {TARGET}.d1")
    comparison = aged.prove()
    assert (len(comparison.differences), comparison.expired) == (0, 4)
    assert (comparison.mended, comparison.mended_rows) == (1, 1)


def test_a_later_start_has_none(aged: Pair) -> None:
    assert aged.migrate(start="2020-01-01").rows == 3


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_rows_that_expire_after_the_plan_stay_behind_too(
    aged: Pair, strategy: str, caplog: pytest.LogCaptureFixture
) -> None:
    aged.target.execute(f"alter database {TARGET} keep 36500")
    options = aged.options(on_expired="skip", strategy=strategy, workers=1)
    batches = make_plan(*aged.catalogs, options)
    assert sum(batch.rows for batch in batches) == 7
    aged.target.execute(f"alter database {TARGET} keep 3650")
    copied = {batch: copy_batch(*aged.catalogs, batch, options, MemoryProgress()) for batch in batches}
    assert sum(each.rows for each in copied.values()) == 3
    assert sum(each.tally.rejected for each in copied.values()) == 0
    assert sum(each.left_behind for each in copied.values()) == 4
    assert "rows of batch meters d1…d2 · 2001-09…2021-01, about to expire" in caplog.text
    comparison = aged.verify(copied=copied, on_expired="skip")
    assert (comparison.differences, comparison.expired) == ([], 4)


# --- At the border of KEEP, which moves while rows are counted, read and written

HOUR = 3_600_000
AGES = (10 / 60, 40 / 60, 2.0, 5.0, 24.0)
"""Hours that rows have left until they expire: those of the first hour stay behind."""

TABLES = 6


def times(hours: tuple[float, ...] = AGES) -> list[int]:
    border = round(time.time() * 1000) - 3 * 24 * HOUR
    return [border + round(HOUR * left) for left in hours]


@pytest.fixture
def bordering(faulty: BoxPair) -> BoxPair:
    """Subtables whose rows are as old as the source keeps them, and a normal table."""
    keep = "keep 3 days 1" if faulty.source.generation == 2 else "keep 3d duration 1d"
    faulty.sql(
        f"create database {SOURCE} precision 'ms' {keep}",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.n (ts timestamp, v int)",
    )
    fill(faulty, times())
    faulty.sync(end="2100-01-01")
    return faulty


def fill(pair: Pair, moments: list[int]) -> None:
    rows = "".join(f"({moment},{number})" for number, moment in enumerate(moments))
    pair.sql(
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values {rows}" for i in range(TABLES)),
        f"insert into {SOURCE}.n values {rows}",
    )


def expire(pair: Pair, moments: list[int]) -> None:
    """Let the source have no others than these rows; a box keeps what a server would have let go."""
    pair.sql(
        *(f"drop table {SOURCE}.d{i}" for i in range(TABLES)),
        f"drop table {SOURCE}.n",
        f"create table {SOURCE}.n (ts timestamp, v int)",
    )
    fill(pair, moments)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_rows_that_expire_while_they_are_copied(bordering: BoxPair, strategy: str, workers: int) -> None:
    """Dense failed at once, and sparse after six readings: fewer rows came than were counted."""
    values = {"end": "2100-01-01", "strategy": strategy, "workers": workers}
    options, moments = bordering.options(**values), times()
    gone = threading.Event()

    def report(checkpoint: Checkpoint) -> None:
        if not gone.is_set():
            gone.set()
            expire(bordering, moments[1:])

    batches = make_plan(*bordering.catalogs, options)
    copied = {
        batch: copy_batch(*bordering.catalogs, batch, options, MemoryProgress(), report=report) for batch in batches
    }
    assert gone.is_set()
    stable, normal = copied.values()
    assert (stable.rows, stable.expired, stable.vanished) == (TABLES * 3, TABLES * 2, 0)
    # Nothing of the normal table expires within a quarter of an hour from then on.
    assert (normal.rows, normal.expired, normal.vanished) == (4, 0, 0)
    comparison = bordering.verify(copied=copied, **values)
    assert not comparison.differences
    rows = TABLES * 3 + 4
    assert (comparison.rows, comparison.target_rows, comparison.expired) == (rows, rows, TABLES * 2)


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_the_border_of_the_target_is_one_too(bordering: BoxPair, strategy: str) -> None:
    bordering.target.execute(f"drop database {TARGET}")
    bordering.target.execute(f"create database {TARGET} keep 2d duration 12h")
    values = {"end": "2100-01-01", "strategy": strategy, "on_expired": "skip"}
    bordering.sync(**values)
    expire(bordering, times((24.1, 26.0)))
    copied = bordering.copy_batches(**values)
    assert [(each.rows, each.expired) for each in copied.values()] == [(TABLES, TABLES), (1, 1)]
    comparison = bordering.verify(copied=copied, **values)
    assert (comparison.differences, comparison.expired) == ([], TABLES + 1)


@pytest.mark.parametrize("moments", [AGES, (24.0,)], ids=["rows-at-the-border", "a-gap-at-the-border"])
def test_a_target_that_keeps_longer_is_an_archive(bordering: BoxPair, moments: tuple[float, ...]) -> None:
    """What the source has let go since is no difference, and nothing that may be deleted."""
    bordering.target.execute(f"alter database {TARGET} keep 3650d")
    values = {"end": "2100-01-01", "strategy": "sparse"}
    expire(bordering, times(moments))
    copied = bordering.copy_batches(**values)
    old = times((-24.0, -48.0))
    for i in range(TABLES):
        bordering.target.execute(f"insert into {TARGET}.d{i} values ({old[0]}, 1) ({old[1]}, 2)")
    bordering.target.execute(f"insert into {TARGET}.n values ({old[0]}, 1)")
    for known in (copied, None):
        comparison = bordering.prove(copied=known, delete_extra=True, **values)
        assert (comparison.differences, comparison.deleted) == ([], 0)
    assert bordering.target.rows(f"select count(*) from {TARGET}.m where ts < {old[0] + 1}") == [(2 * TABLES,)]
