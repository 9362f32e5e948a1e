"""A source that lives: tables come, go and change super table while they are copied, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.copying import Batch, Checkpoint, Copied, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.copying import copy as copying
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T

ROWS = 30


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without long pauses."""
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 0.3)


def rows(first: int = 0, count: int = ROWS) -> str:
    return "".join(f"({T + row},{row})" for row in range(first, first + count))


@pytest.fixture
def devices(faulty: BoxPair) -> BoxPair:
    """Ten subtables of one super table, none of another one, and two normal tables; in the target's schema already."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        *(f"create stable {SOURCE}.{stable} (ts timestamp, v int) tags (g int)" for stable in ("m", "other")),
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values {rows()}" for i in range(10)),
        *(f"create table {SOURCE}.n{i} (ts timestamp, v int)" for i in range(2)),
        *(f"insert into {SOURCE}.n{i} values {rows()}" for i in range(2)),
    )
    faulty.sync()
    return faulty


def copy(pair: Pair, meanwhile: Callable[[], None], **values: object) -> dict[Batch, Copied]:
    """Copy all batches; something happens at the source when tables of the first one have been counted."""
    options = pair.options(**values)
    copied = {}

    def report(checkpoint: Checkpoint) -> None:
        if not copied and not happened:
            happened.append(True)
            meanwhile()

    happened: list[bool] = []
    for batch in make_plan(*pair.catalogs, options):
        copied[batch] = copy_batch(*pair.catalogs, batch, options, MemoryProgress(), report=report)
    assert happened
    return copied


def first_of(copied: dict[Batch, Copied]) -> Copied:
    return next(iter(copied.values()))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_subtable_that_goes_while_its_batch_is_copied(
    devices: BoxPair, strategy: str, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"strategy": strategy, "workers": workers}
    copied = copy(devices, lambda: devices.sql(f"drop table {SOURCE}.d3"), **values)
    assert (first_of(copied).rows, first_of(copied).vanished) == (9 * ROWS, 1)
    assert "Gone from the source: 1 table of batch m d0…d9 · 2021-01-01" in caplog.text
    comparison = devices.verify(copied=copied, **values)
    assert not comparison.differences
    assert (comparison.vanished, comparison.rows, comparison.extra_tables) == (1, 11 * ROWS, 1)
    source, target = devices.both()
    assert target.pop("d3") == ((3,), [])
    assert target == source


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_subtables_that_went_before_their_batch_was_copied(devices: BoxPair, strategy: str) -> None:
    options = devices.options(strategy=strategy)
    batch = make_plan(*devices.catalogs, options)[0]
    devices.sql(f"drop table {SOURCE}.d3", f"drop table {SOURCE}.d9")
    copied = copy_batch(*devices.catalogs, batch, options, MemoryProgress())
    assert (copied.rows, copied.tables, copied.vanished) == (8 * ROWS, 8, 2)


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_super_table_that_goes(devices: BoxPair, strategy: str) -> None:
    copied = copy(devices, lambda: devices.sql(f"drop stable {SOURCE}.m"), strategy=strategy)
    assert (first_of(copied).rows, first_of(copied).vanished) == (0, 10)
    comparison = devices.verify(copied=copied, strategy=strategy)
    assert not comparison.differences
    assert (comparison.rows, comparison.vanished) == (2 * ROWS, 10)


def test_a_normal_table_that_goes(devices: BoxPair) -> None:
    copied = copy(devices, lambda: devices.sql(f"drop table {SOURCE}.n1"), tables="n?")
    assert (first_of(copied).rows, first_of(copied).vanished) == (ROWS, 1)
    assert not devices.verify(copied=copied, tables="n?").differences


@pytest.mark.parametrize("column", ["bigint", "int"], ids=lambda column: f"of-{column}")
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_subtable_that_changes_its_super_table(devices: BoxPair, strategy: str, column: str) -> None:
    """It has gone from its batch; in the target, where it is still of the old one, it stands in the way of the new."""
    devices.sql(f"drop stable {SOURCE}.other", f"create stable {SOURCE}.other (ts timestamp, v {column}) tags (g int)")
    devices.target.execute(f"drop stable {TARGET}.other")
    devices.sync()

    def meanwhile() -> None:
        devices.sql(
            f"drop table {SOURCE}.d3",
            f"insert into {SOURCE}.d3 using {SOURCE}.other tags (3) values ({T + 7}, 77)",
        )

    copied = copy(devices, meanwhile, strategy=strategy)
    if (strategy, column) != ("dense", "int"):
        # Of the same columns, a table that is read by its name alone looks as before.
        assert (first_of(copied).rows, first_of(copied).vanished) == (9 * ROWS, 1)
    assert "d3" in {difference.table for difference in devices.verify(copied=copied, strategy=strategy).differences}
    comparison = devices.prove(copied=copied, strategy=strategy)
    assert "d3" in {difference.table for difference in comparison.differences}
    said = "column type or bytes not equal" if column == "bigint" else "'d3': it would be a subtable of 'other', and is"
    assert said in comparison.obstacle
    devices.target.execute(f"drop table {TARGET}.d3")
    comparison = devices.prove(copied=copied, strategy=strategy)
    assert not comparison.differences
    source, target = devices.both()
    assert target == source


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_subtable_that_came_before_its_batch_was_copied(devices: BoxPair, strategy: str, workers: int) -> None:
    """Batches leave out no name: it is in one of them, and the target gets the table that schema sync did not see."""
    options = devices.options(strategy=strategy, workers=workers)
    batches = make_plan(*devices.catalogs, options)
    devices.sql(
        f"insert into {SOURCE}.`a new` using {SOURCE}.m tags (5) values {rows()}",
        f"insert into {SOURCE}.d3x using {SOURCE}.m tags (6) values {rows()}",
        f"create table {SOURCE}.n00 (ts timestamp, v int)",
        f"insert into {SOURCE}.n00 values {rows()}",
    )
    copied = {batch: copy_batch(*devices.catalogs, batch, options, MemoryProgress()) for batch in batches[:1]}
    assert (first_of(copied).rows, first_of(copied).tables) == (12 * ROWS, 12)
    # The normal table is new in the target, too: its batch has to be told, or the comparison mends it.
    copied |= {batch: copy_batch(*devices.catalogs, batch, options, MemoryProgress()) for batch in batches[1:]}
    comparison = devices.prove(copied=copied, strategy=strategy, workers=workers)
    assert not comparison.differences
    source, target = devices.both()
    assert target == source


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_tag_that_the_source_changes_is_not_another_devices(devices: BoxPair, strategy: str) -> None:
    """A subtable that comes has the structure looked at, where another one has rows and an old tag."""
    copied = devices.copy_batches(strategy=strategy)
    devices.sql(
        f"alter table {SOURCE}.d1 set tag g = 77",
        f"insert into {SOURCE}.d3x using {SOURCE}.m tags (6) values {rows()}",
    )
    options = devices.options(strategy=strategy)
    assert copy_batch(*devices.catalogs, next(iter(copied)), options, MemoryProgress()).tables == 11
    source, target = devices.both()
    assert target == source


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_subtable_that_comes_while_its_batch_is_copied(devices: BoxPair, strategy: str) -> None:
    def meanwhile() -> None:
        devices.sql(f"insert into {SOURCE}.d3x using {SOURCE}.m tags (6) values {rows()}")

    copied = copy(devices, meanwhile, strategy=strategy)
    comparison = devices.verify(copied=copied, strategy=strategy)
    assert [str(difference) for difference in comparison.differences] == [
        f"d3x: rows {ROWS} in the source, 0 in the target",
        "d3x: table there in the source, missing in the target",
    ]
    comparison = devices.prove(copied=copied, strategy=strategy)
    assert not comparison.differences
    assert (comparison.reread, comparison.mended, comparison.mended_rows) == (1, 1, ROWS)
    source, target = devices.both()
    assert target == source


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_somebody_elses_schema_gets_no_subtables(devices: BoxPair, strategy: str) -> None:
    options = devices.options(schema="none", strategy=strategy)
    batch = make_plan(*devices.catalogs, options)[0]
    devices.sql(f"insert into {SOURCE}.d3x using {SOURCE}.m tags (6) values {rows()}")
    with pytest.raises(MigrationStopped, match="Clear sync_schema"):
        copy_batch(*devices.catalogs, batch, options, MemoryProgress())
    assert "d3x" not in devices.both()[1]


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_subtable_that_is_made_anew_meanwhile(devices: BoxPair, strategy: str) -> None:
    """It has fewer rows than were counted, and will never have more."""

    def meanwhile() -> None:
        devices.sql(
            f"drop table {SOURCE}.d3",
            f"insert into {SOURCE}.d3 using {SOURCE}.m tags (3) values {rows(1_000, 3)}",
        )

    copied = copy(devices, meanwhile, strategy=strategy)
    assert first_of(copied).rows == 9 * ROWS + 3
    assert not devices.verify(copied=copied, strategy=strategy).differences
    source, target = devices.both()
    assert target == source


def test_what_has_gone_is_counted_once(devices: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is seen to have gone by several units, and when tables are counted again."""
    monkeypatch.setattr(copying, "ROWS_A_UNIT", 7)
    devices.target.execute(f"drop table {TARGET}.d7")
    copied = copy(devices, lambda: devices.sql(f"drop table {SOURCE}.d3"), strategy="dense", workers=2)
    assert (first_of(copied).rows, first_of(copied).vanished) == (9 * ROWS, 1)


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_stopped_batch_goes_on_without_what_has_gone(
    devices: BoxPair, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subtable at which it stopped is the one that goes."""
    monkeypatch.setattr(copying, "ROWS_A_UNIT", ROWS)
    options = devices.options(strategy=strategy, workers=1)
    batch, progress = make_plan(*devices.catalogs, options)[0], MemoryProgress()
    devices.target_box.faults.answer_with(0x2600, "syntax error", 1, "d4")
    with pytest.raises(Exception, match="syntax error"):
        copy_batch(*devices.catalogs, batch, options, progress)
    devices.sql(f"drop table {SOURCE}.d3", f"drop table {SOURCE}.d4")
    copied = copy_batch(*devices.catalogs, batch, options, progress)
    assert copied.vanished == 2
    comparison = devices.verify(copied={batch: copied}, strategy=strategy)
    assert not [difference for difference in comparison.differences if difference.table.startswith("d")]
