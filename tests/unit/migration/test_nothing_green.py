"""Nothing is called equal of which rows are missing, and what was left out is counted, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import StatementRejected, TDengineError
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.comparing import Kind, compare_batch, conclude
from airflow_provider_tdengine.migration.copying import Border, MemoryProgress, copy_batch, dense, sparse
from airflow_provider_tdengine.migration.copying import copy as copying
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.testing import TDengineBox

from .conftest import SOURCE, TARGET, BoxPair, Pair, T, address

ROWS = 30


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without long pauses."""
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 0.3)


def rows(count: int = ROWS, first: int = T) -> str:
    return "".join(f"({first + row},{row})" for row in range(count))


@pytest.fixture
def devices(pair: Pair) -> Pair:
    """Three subtables with rows, one without, and another super table."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        *(f"create stable {SOURCE}.{name} (ts timestamp, v int) tags (g int)" for name in ("m", "other")),
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values {rows()}" for i in range(3)),
        f"create table {SOURCE}.e using {SOURCE}.m tags (9)",
    )
    pair.sync()
    return pair


# --- Between a batch's comparison and the last task


def test_a_subtable_that_came_after_its_batch_was_compared(devices: Pair) -> None:
    """It gets its rows, too, not its tags alone."""
    options = devices.options()
    (batch,) = make_plan(*devices.catalogs, options)
    copied = copy_batch(*devices.catalogs, batch, options, MemoryProgress())
    compared = compare_batch(*devices.catalogs, batch, options, copied=copied)
    for name in ("d", "d2x", "d2y"):
        devices.sql(f"insert into {SOURCE}.{name} using {SOURCE}.m tags (4) values {rows()}")
    comparison = conclude(*devices.catalogs, options, [batch], [compared])
    source, target = devices.both()
    assert target == source
    assert (comparison.rows, comparison.mended, comparison.verdict.kind) == (6 * ROWS, 3, Kind.EQUAL)


@pytest.mark.parametrize(("changes", "kind"), [("evolve", Kind.EQUAL), ("fail", Kind.DIFFERENT)])
def test_a_column_that_came_after_its_batch_was_compared_is_followed(devices: Pair, changes: str, kind: Kind) -> None:
    options = devices.options(mode="both", on_schema_change=changes)
    (batch,) = make_plan(*devices.catalogs, options)
    copied = copy_batch(*devices.catalogs, batch, options, MemoryProgress())
    compared = compare_batch(*devices.catalogs, batch, options, copied=copied)
    devices.sql(f"alter table {SOURCE}.m add column w int")
    assert conclude(*devices.catalogs, options, [batch], [compared]).verdict.kind is kind


def test_a_subtable_in_the_place_of_another_one(devices: Pair) -> None:
    """The source has as many rows as were copied, but not the same."""
    copied = devices.copy_batches()
    devices.sql(
        f"drop table {SOURCE}.d1",
        f"insert into {SOURCE}.d2x using {SOURCE}.m tags (4) values {rows()}",
    )
    comparison = devices.prove(copied=copied)
    source, target = devices.both()
    assert target.pop("d1") == ((1,), [*source["d2x"][1]])  # type: ignore[attr-defined,index]
    assert target == source
    assert (comparison.mended_rows, comparison.extra_tables) == (ROWS, 1)


@pytest.mark.parametrize(("what", "number"), [("table mig_src.d1", 1), ("stable mig_src.m", 3)])
def test_what_vanishes_between_copy_and_comparison_is_counted(devices: Pair, what: str, number: int) -> None:
    copied = devices.copy_batches()
    devices.sql(f"drop {what}")
    comparison = devices.verify(copied=copied)
    assert (comparison.vanished, comparison.verdict.kind) == (number, Kind.EQUAL_BUT)


# --- Rows that expire

OLD = 1000000000000
"""2001-09-09T01:46:40Z: a target with ten years of KEEP does not take it."""


@pytest.fixture
def aged(faulty: BoxPair) -> BoxPair:
    """Three subtables with ten old rows and five others each; the target keeps them all, until it is altered."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values {rows(10, OLD)}{rows(5)}" for i in range(3)),
    )
    faulty.target.execute(f"create database {TARGET} keep 36500")
    faulty.sync()
    return faulty


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize("workers", [1, 3])
def test_what_expires_while_a_batch_is_stopped_is_counted(
    aged: BoxPair, strategy: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse, "VALUES_A_GROUP", 30)
    options = aged.options(on_expired="skip", strategy=strategy, workers=workers)
    (batch,) = make_plan(*aged.catalogs, options)
    progress = MemoryProgress()
    aged.target_box.faults.answer_with(0x2600, "syntax error", 1, "d1")
    with pytest.raises(TDengineError, match="syntax error"):
        copy_batch(*aged.catalogs, batch, options, progress)
    aged.target.execute(f"alter database {TARGET} keep 3650")
    copied = copy_batch(*aged.catalogs, batch, options, progress)
    assert copied.rows + copied.left_behind == 3 * 15
    comparison = aged.verify(copied={batch: copied}, on_expired="skip")
    assert (comparison.rows, comparison.expired, comparison.verdict.kind) == (3 * 5, 3 * 10, Kind.EQUAL_BUT)


def test_what_expires_before_its_unit_is_read_is_counted(aged: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch began when it was not yet about to expire."""
    options = aged.options(on_expired="skip", strategy="dense", workers=1, start="2000-01-01")
    (batch,) = make_plan(*aged.catalogs, options)
    border = T - 1_000_000
    calls = iter(range(1_000))
    # What is asked first is asked when the batch begins.
    monkeypatch.setattr(Border, "is_near", lambda self, first: next(calls) > 0 and first < border)
    monkeypatch.setattr(Border, "after", lambda self, start: max(start or 0, border))
    copied = copy_batch(*aged.catalogs, batch, options, MemoryProgress())
    assert (copied.tally.confirmed, copied.left_behind) == (3 * 5, 3 * 10)


def test_rows_about_to_expire_are_counted_without_a_copy(pair: Pair) -> None:
    """The target keeps them, for some minutes more."""
    first = int(time.time() * 1000) - 86_400_000 * 30 + 600_000
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 30",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        f"insert into {SOURCE}.d0 using {SOURCE}.m tags (1) values {rows(5, first)}",
    )
    pair.sync()
    comparison = pair.verify(end="2100-01-01T00:00:00Z")
    assert (comparison.rows, comparison.expired, comparison.verdict.kind) == (0, 5, Kind.EQUAL_BUT)


# --- Rows for which later ones stand


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_each_collision_is_counted_once(pair: Pair, strategy: str) -> None:
    """Also of a block of one timestamp."""
    values = rows(5, T * 1000) + rows(5, T * 1000 + 5000)
    pair.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values {values}" for i in range(2)),
    )
    pair.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    pair.sync(allow_lossy_precision=True)
    copied = pair.copy_batches(allow_lossy_precision=True, strategy=strategy)
    (one,) = copied.values()
    assert (one.rows, one.tally.collisions, one.tally.digest.rows) == (20, 16, 4)
    comparison = pair.verify(copied=copied, allow_lossy_precision=True)
    assert (comparison.collisions, comparison.levels) == (16, {"digest": 1})


def test_a_copy_that_stops_behind_a_collision_counts_it(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on at the row that stands for others, which are not read again."""
    values = rows(5, T * 1000) + rows(5, T * 1000 + 5000)
    faulty.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values {values}" for i in range(2)),
    )
    faulty.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    faulty.sync(allow_lossy_precision=True)
    options = faulty.options(allow_lossy_precision=True, strategy="dense", workers=1)
    (batch,) = make_plan(*faulty.catalogs, options)
    progress, counted, count = MemoryProgress(), [], dense.count

    def fails_first(session: Session, *asked: Any) -> int:
        counted.append(asked)
        if len(counted) == 1:
            raise StatementRejected("lost")
        return count(session, *asked)

    # A slice of a table is counted when its rows have been read.
    monkeypatch.setattr(copying, "ROWS_A_UNIT", 5)
    monkeypatch.setattr(dense, "count", fails_first)
    with pytest.raises(StatementRejected, match="lost"):
        copy_batch(*faulty.catalogs, batch, options, progress)
    copied = copy_batch(*faulty.catalogs, batch, options, progress)
    assert (copied.rows, copied.tally.collisions, copied.tally.digest.rows) == (20, 16, 4)


# --- Rows that the target cannot hold


@pytest.mark.parametrize("precision", ["ms", "us"])
@pytest.mark.parametrize("level", ["full", "count"])
def test_a_row_that_the_target_cannot_hold_is_missing(
    boxes: Callable[[str], TDengineBox], precision: str, level: str
) -> None:
    """It is neither one for which a later one stands, nor one that has expired."""
    source, target = boxes("3.3.3.0 source"), boxes("3.3.6.0 target")
    pair = BoxPair(Client(address(source)), Client(address(target)), source, target)
    factor = 1000 if precision == "us" else 1
    pair.sql(
        f"drop database if exists {SOURCE}",
        f"create database {SOURCE} precision '{precision}' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int)",
        f"insert into {SOURCE}.d0 using {SOURCE}.m tags (1) values ({T * factor},1)({(T + 1) * factor},1e12)",
        f"insert into {SOURCE}.d0 values ({OLD * factor},1)",
    )
    for statement in (
        f"drop database if exists {TARGET}",
        f"create database {TARGET} precision 'ms' keep 3650",
        f"create stable {TARGET}.m (ts timestamp, v decimal(8,2)) tags (g int)",
        f"insert into {TARGET}.d0 using {TARGET}.m tags (1) values ({T},1)",
    ):
        pair.target.execute(statement)
    comparison = pair.verify(allow_lossy_precision=True, verify=level)
    assert (comparison.expired, comparison.collisions, comparison.missing) == (1, 0, 1)
    assert comparison.verdict.kind is Kind.DIFFERENT
