"""Rows that are older than the target keeps: said before anything is copied, left behind, or kept after all."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_tdengine.migration.comparing import prove
from airflow_provider_tdengine.migration.copying import MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import SOURCE, TARGET, Pair, T

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
        f"Table 'meters': 3 rows from 2001-09-09 on are older than the 3650 days that '{TARGET}' keeps. "
        "Set on_expired to raise_keep or skip, or give a later start.\n"
        f"Table 'plain': 1 rows from 2001-09-10 on are older than the 3650 days that '{TARGET}' keeps. "
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
    assert "Skipped: 3 rows of meters are older than the target keeps" in caplog.text
    assert "Skipped: 1 rows of plain are older than the target keeps" in caplog.text


def test_the_target_keeps_them_after_all(aged: Pair) -> None:
    comparison = aged.migrate(on_expired="raise_keep")
    assert (comparison.rows, comparison.expired, len(comparison.differences)) == (7, 0, 0)
    source, target = aged.both()
    assert target == source


def test_a_missing_table_is_mended_without_them(aged: Pair) -> None:
    aged.migrate(on_expired="skip")
    aged.target.execute(f"drop table {TARGET}.d1")
    comparison, repairs = prove(*aged.catalogs, aged.options())
    assert (len(comparison.differences), comparison.expired) == (0, 4)
    assert [repair.rows for repair in repairs] == [1]


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
    copied = [copy_batch(*aged.catalogs, batch, options, MemoryProgress()) for batch in batches]
    assert sum(each.rows for each in copied) == 3
    assert [sum(each.rejected for each in copied), sum(each.expired for each in copied)] == [0, 4]
    assert "rows have become older than the target keeps" in caplog.text
    assert not aged.verify(on_expired="skip").differences
