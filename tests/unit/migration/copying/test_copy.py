"""Copying goes on over faults and after a stop, and never says done too early."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import IncompleteResult, StatementRejected
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Checkpoint,
    MemoryProgress,
    ProgressNotSaved,
    copy_batch,
    dense,
    sparse,
    writing,
)
from airflow_provider_tdengine.migration.copying import copy as copying
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import BLOCK, ROWS_A_METER, SOURCE, TARGET, BoxPair, Pair, T, address

ROWS = 3 * ROWS_A_METER


def batch_of(pair: Pair) -> Batch:
    (batch,) = make_plan(*pair.catalogs, pair.options())
    return batch


def run(pair: Pair, progress: MemoryProgress | None = None, **values: Any) -> Any:
    return copy_batch(*pair.catalogs, batch_of(pair), pair.options(**values), progress or MemoryProgress())


def arrived(pair: BoxPair, stable: str = "meters") -> int:
    return len(pair.target_box.execute(f"select * from {TARGET}.{stable}"))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without long pauses."""
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 0.3)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize("unit", [1_000_000, 100])
def test_workers_share_a_batch(
    meters: BoxPair, workers: int, strategy: str, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROWS_A_UNIT", unit)
    copied = run(meters, workers=workers, strategy=strategy)
    assert (copied.rows, copied.strategy) == (ROWS, strategy)
    assert copied.tally.bytes > ROWS * 10
    source, target = meters.both()
    assert target == source


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_a_lost_connection_costs_little(meters: BoxPair, side: str, blocks: int) -> None:
    box = meters.source_box if side == "source" else meters.target_box
    batch = batch_of(meters)
    before = meters.source_box.rows_read
    box.faults.cut_after_blocks(blocks)
    copy_batch(*meters.catalogs, batch, meters.options(workers=1), MemoryProgress())
    read = meters.source_box.rows_read - before
    source, target = meters.both()
    assert target == source
    # What was on its way is read again: blocks in flight, not the tables.
    assert ROWS <= read <= ROWS + 8 * BLOCK


@pytest.fixture
def many(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> BoxPair:
    """Forty subtables of 50 rows, copied in groups of four."""
    monkeypatch.setattr(sparse, "VALUES_A_GROUP", 400)
    monkeypatch.setattr(copying, "SAVE_EVERY", 0.01)
    faulty.sql(f"create database {SOURCE} keep 36500", f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)")
    for i in range(40):
        rows = "".join(f"({T + row},{row})" for row in range(50))
        faulty.sql(f"insert into {SOURCE}.d{i:02} using {SOURCE}.m tags ({i}) values {rows}")
    faulty.sync()
    return faulty


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_lost_connection_between_groups(many: BoxPair, side: str) -> None:
    batch = batch_of(many)
    box = many.source_box if side == "source" else many.target_box
    box.faults.cut_after_blocks(6) if side == "source" else box.faults.answer_with(0x18, "broken", 1, "`d10`")
    copied = copy_batch(*many.catalogs, batch, many.options(workers=1), MemoryProgress())
    assert copied.strategy == "sparse"
    source, target = many.both()
    assert target == source


@pytest.mark.parametrize("then", ["sparse", "dense", "auto"])
def test_a_sparse_batch_goes_on(many: BoxPair, then: str) -> None:
    progress = MemoryProgress()
    batch = batch_of(many)
    many.target_box.faults.answer_with(0x2600, "syntax error", 1, "`d21`")
    with pytest.raises(StatementRejected):
        copy_batch(*many.catalogs, batch, many.options(workers=1, strategy="sparse"), progress)
    before = many.source_box.rows_read
    copied = copy_batch(*many.catalogs, batch, many.options(workers=1, strategy=then), progress)
    # Counting by subtable reads a row each.
    assert many.source_box.rows_read - before <= 20 * 50 + 2 * 40
    assert copied.strategy == "sparse"
    source, target = many.both()
    assert target == source


@pytest.mark.parametrize("tables", ["d03,d17,d31", "d?7,d?8"])
def test_of_few_subtables_among_many_only_their_rows_are_read(
    many: BoxPair, monkeypatch: pytest.MonkeyPatch, tables: str
) -> None:
    monkeypatch.setattr(sparse, "_NEEDLE", 2)
    scope = {"tables": tables, "strategy": "sparse"}
    options = many.options(**scope)
    batch = make_plan(*many.catalogs, options)[0]
    before = many.source_box.rows_read
    copied = copy_batch(*many.catalogs, batch, options, MemoryProgress())
    assert copied.rows == batch.tables * 50
    # Counting by subtable reads a row each.
    assert many.source_box.rows_read - before <= copied.rows + 40
    assert arrived(many, "m") == copied.rows


@pytest.mark.parametrize(("tables", "is_list_of_2x"), [("*", False), ("*0", True)])
def test_a_range_is_read_where_a_list_would_go_over_rest(faulty: BoxPair, tables: str, is_list_of_2x: bool) -> None:
    """A list of names is best but for 2.4, unless most of the rows in the range are not wanted."""
    faulty.sql(f"create database {SOURCE} keep 36500", f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)")
    names = [f"{'subtable' * 8}{i:03}" for i in range(120)]
    parts = (f"{SOURCE}.{name} using {SOURCE}.m tags (1) values ({T}, 1) ({T + 1}, 2)" for name in names)
    faulty.sql(f"insert into {' '.join(parts)}")
    faulty.sync(tables=tables)
    box = faulty.source_box
    box.statements.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "_NEEDLE", 5)
        (copied,) = faulty.copy(tables=tables, strategy="sparse", workers=1)
    (query,) = (statement for statement in box.statements if statement.startswith("SELECT tbname, `ts`, `v`"))
    assert ("tbname IN (" in query) == (faulty.source.generation == 3 or is_list_of_2x)
    assert copied.rows == arrived(faulty, "m") == 2 * sum(name.endswith("0") or tables == "*" for name in names)


def test_a_large_subtable_among_small_ones_goes_as_blocks(many: BoxPair) -> None:
    many.sql(f"insert into {SOURCE}.d07 values " + "".join(f"({T + row},{row})" for row in range(50, 900)))
    assert run(many, strategy="sparse").strategy == "sparse"
    source, target = many.both()
    assert target == source


@pytest.mark.parametrize("unit", [1_000_000, 3, 1])
def test_there_are_no_more_spans_than_workers(faulty: BoxPair, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "ROWS_A_UNIT", unit)
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
        f"insert into {SOURCE}.t values " + "".join(f"({T + day * 86_400_000},{day})" for day in range(0, 300, 3)),
    )
    faulty.sync()
    progress = MemoryProgress()
    assert run(faulty, progress, workers=2).rows == 100
    saved = progress.load()
    assert saved is not None
    assert isinstance(saved["spans"], list)
    assert len(saved["spans"]) <= 2
    source, target = faulty.both()
    assert target == source


def test_a_finished_batch_is_copied_again_when_the_target_has_lost_it(
    meters: BoxPair, caplog: pytest.LogCaptureFixture
) -> None:
    progress = MemoryProgress()
    run(meters, progress)
    meters.target.execute(f"drop database {TARGET}")
    meters.sync()
    run(meters, progress)
    assert arrived(meters) == ROWS
    assert "was finished, but source and target differ by now" in caplog.text


def test_a_finished_batch_is_copied_again_when_late_rows_came(meters: BoxPair) -> None:
    progress = MemoryProgress()
    run(meters, progress)
    meters.sql(f"insert into {SOURCE}.d1 values ({T + 500}, 1, 'late')")
    run(meters, progress)
    source, target = meters.both()
    assert target == source


def test_a_column_that_appears_meanwhile_is_noticed(many: BoxPair) -> None:
    class Meanwhile(MemoryProgress):
        def load(self) -> dict[str, object] | None:
            many.sql(f"alter stable {SOURCE}.m add column w int")
            return None

    with pytest.raises(MigrationStopped, match=r"the columns of 'm' have changed.*Clear sync_schema"):
        run(many, Meanwhile())


def test_a_checkpoint_that_cannot_be_saved_stops_nothing(meters: BoxPair, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryProgress):
        def save(self, checkpoint: dict[str, object]) -> None:
            raise ProgressNotSaved("the API server is away")

    assert run(meters, Broken()).rows == ROWS
    assert "was not saved: the API server is away" in caplog.text


def test_a_busy_server_is_waited_for(meters: BoxPair) -> None:
    meters.target_box.faults.answer_with(0x0914, "Sync leader is restoring", times=3, matching="d1")
    run(meters)
    assert arrived(meters) == ROWS


def test_a_server_that_stays_busy_fails_in_the_end(meters: BoxPair) -> None:
    meters.target_box.faults.answer_with(0x0914, "Sync leader is restoring", times=1000, matching="d1")
    with pytest.raises(Exception, match="Sync leader is restoring"):
        run(meters)


def test_a_stopped_batch_goes_on(meters: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "SAVE_EVERY", 0.01)
    progress, stop = MemoryProgress(), threading.Event()
    meters.target_box.faults.delay(0.05)

    def report(checkpoint: Checkpoint) -> None:
        if checkpoint.tally.rows >= ROWS_A_METER:
            stop.set()

    with pytest.raises(Stopped):
        copy_batch(*meters.catalogs, batch_of(meters), meters.options(workers=1), progress, stop=stop, report=report)
    saved = progress.load()
    assert saved is not None
    assert ROWS_A_METER <= saved["tally"]["rows"] < ROWS
    meters.target_box.faults.clear()
    before = meters.source_box.rows_read
    copied = run(meters, progress, workers=1)
    read = meters.source_box.rows_read - before
    assert read <= ROWS - saved["tally"]["rows"] + BLOCK
    assert copied.rows >= ROWS
    source, target = meters.both()
    assert target == source


def test_a_finished_batch_is_not_copied_again(meters: BoxPair) -> None:
    progress = MemoryProgress()
    run(meters, progress)
    before = meters.source_box.rows_read
    assert run(meters, progress).rows == ROWS
    assert meters.source_box.rows_read == before


def test_a_checkpoint_of_another_batch_is_not_used(meters: BoxPair, caplog: pytest.LogCaptureFixture) -> None:
    progress = MemoryProgress()
    run(meters, progress)
    saved = progress.load()
    assert saved is not None
    other = MemoryProgress()
    other.save({**saved, "batch": "meters|x|y|None|1"})
    meters.target.execute(f"delete from {TARGET}.d1")
    run(meters, other)
    assert "The stored checkpoint is of another batch (meters|x|y|None|1)" in caplog.text
    assert arrived(meters) == ROWS


def test_a_damaged_checkpoint_is_not_used(meters: BoxPair, caplog: pytest.LogCaptureFixture) -> None:
    progress = MemoryProgress()
    progress.save({"batch": batch_of(meters).identity, "spans": 7})
    run(meters, progress)
    assert "The stored checkpoint cannot be read" in caplog.text
    assert arrived(meters) == ROWS


def over_rest(meters: BoxPair) -> BoxPair:
    return replace(meters, source=Client(address(meters.source_box, "http")))


def test_a_result_that_is_cut_is_read_on(meters: BoxPair, caplog: pytest.LogCaptureFixture) -> None:
    """REST of old adapters may cut a result and call it success."""
    rest = over_rest(meters)
    batch = batch_of(rest)
    meters.source_box.faults.truncate_rest(300)
    copy_batch(*rest.catalogs, batch, rest.options(strategy="dense", workers=1), MemoryProgress())
    meters.source_box.faults.clear()
    source, target = meters.both()
    assert target == source
    assert "was cut after 300 of 1,000 rows; going on behind them" in caplog.text


def test_a_sparse_result_that_is_cut_is_noticed(meters: BoxPair) -> None:
    rest = over_rest(meters)
    batch = batch_of(rest)
    meters.source_box.faults.truncate_rest(900)
    with pytest.raises(IncompleteResult, match=r"900 rows of \d subtables of 'meters' from 'd\d' on arrived where"):
        copy_batch(*rest.catalogs, batch, rest.options(strategy="sparse", workers=1), MemoryProgress())
    assert arrived(meters) == 0


@pytest.mark.parametrize(("source", "target"), [("http", "ws"), ("ws", "http"), ("http", "http")])
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_over_rest(meters: BoxPair, source: str, target: str, strategy: str) -> None:
    clients = {
        "source": Client(address(meters.source_box, source)),
        "target": Client(address(meters.target_box, target)),
    }
    assert run(replace(meters, **clients), strategy=strategy).rows == ROWS
    ours, theirs = meters.both()
    assert theirs == ours


@pytest.mark.parametrize(("page_bytes", "first", "most"), [(1, 1, 1), (500, 10, 30), (1_000_000, 20_000, 20_000)])
def test_wide_rows_are_read_by_pages(
    meters: BoxPair, monkeypatch: pytest.MonkeyPatch, page_bytes: int, first: int, most: int
) -> None:
    """A server sends 4096 rows a block, however wide they are."""
    monkeypatch.setattr(dense, "_BLOCK_BYTES", 0)
    monkeypatch.setattr(dense, "_PAGE_BYTES", page_bytes)
    end = "2021-01-01T00:10:00Z"
    options = meters.options(strategy="dense", end=end)
    (batch,) = make_plan(*meters.catalogs, options)
    meters.source_box.statements.clear()
    assert copy_batch(*meters.catalogs, batch, options, MemoryProgress()).rows == batch.rows == 180
    limits = [int(text.split("LIMIT ")[1]) for text in meters.source_box.statements if "LIMIT" in text]
    # The second page knows that values are shorter than they may be.
    assert limits[0] == first
    assert first <= max(limits) <= most
    assert (max(limits) > first) == (most > first)
    assert not meters.verify(end=end).differences


def test_a_missing_target_table_names_it(meters: BoxPair) -> None:
    batch = batch_of(meters)
    meters.target.execute(f"drop stable {TARGET}.meters")
    with pytest.raises(MigrationStopped, match=r"Table 'meters' of the target.*Run schema sync first"):
        copy_batch(*meters.catalogs, batch, meters.options(), MemoryProgress())


def test_rows_and_blocks_in_memory_are_bounded() -> None:
    """What flat memory rests on: both ways hold a fixed number of rows."""
    assert writing._IN_FLIGHT <= 8
    assert sparse.VALUES_A_GROUP <= 400_000
