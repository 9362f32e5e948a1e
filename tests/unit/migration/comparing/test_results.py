"""Results of comparisons, as a dashboard asks for them."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_tdengine.migration.comparing import keep_results, verify

from ..conftest import SOURCE, TARGET, BoxPair, T

DRIFT = (
    "select run, super_table, source_rows, target_rows, missing_rows, extra_rows, verdict, seconds "
    "from results.verification order by ts"
)


def night(pair: BoxPair, run: str) -> None:
    """A comparison that mends nothing, and what is kept of it."""
    options = pair.options(repair_rounds=0, results_database="results")
    keep_results(*pair.catalogs, options, verify(*pair.catalogs, options), run, 1.25)


@pytest.fixture
def devices(faulty: BoxPair) -> BoxPair:
    """A super table with a subtable of two rows, and a normal table with one."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int)",
        f"create table {SOURCE}.d0 using {SOURCE}.m tags (0)",
        f"create table {SOURCE}.plain (ts timestamp, v double)",
        f"insert into {SOURCE}.d0 values ({T},1) ({T + 1},2)",
        f"insert into {SOURCE}.plain values ({T},1)",
    )
    faulty.migrate()
    faulty.target.execute("drop database if exists results")
    return faulty


def test_each_comparison_adds_a_row_for_each_super_table(devices: BoxPair) -> None:
    night(devices, "first")
    devices.target.execute(f"delete from {TARGET}.d0 where ts = {T + 1}")
    devices.target.execute(f"insert into {TARGET}.plain values ({T + 5},1)")
    night(devices, "second")
    found = devices.target.rows(DRIFT)
    assert sorted(found[:2]) == [
        ("first", "(normal tables)", 1, 1, 0, 0, "equal", 1.25),
        ("first", "m", 2, 2, 0, 0, "equal", 1.25),
    ]
    assert sorted(found[2:]) == [
        ("second", "(normal tables)", 1, 2, 0, 1, "different", 1.25),
        ("second", "m", 2, 1, 1, 0, "different", 1.25),
    ]
    who = "select distinct migration, source_database, target_database from results.verification"
    assert devices.target.rows(who) == [(f"{SOURCE} to {TARGET}", SOURCE, TARGET)]


def test_results_that_cannot_be_kept_are_a_warning(devices: BoxPair, caplog: pytest.LogCaptureFixture) -> None:
    devices.target_box.faults.answer_with(0x0303, "Insufficient privilege", times=9, matching="create database")
    with caplog.at_level(logging.WARNING):
        night(devices, "first")
    assert "The results were not added to database results: " in caplog.text
