"""What a copy says is compared at the price of a count; what differs all the same is found, mended, and said."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import cycle

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.catalog import Holding, Subtable
from airflow_provider_tdengine.migration.comparing import Kind, batches, compare_batch, compare_tags
from airflow_provider_tdengine.migration.comparing.rows import Piece, RowReader
from airflow_provider_tdengine.migration.copying import Batch, Copied, expired
from airflow_provider_tdengine.migration.rows import SAME, TagTranscoder
from airflow_provider_tdengine.testing import BoxError, TDengineBox

from ..conftest import BLOCK, ROWS_A_METER, SOURCE, TARGET, BoxPair, T, address

ROWS = 20
TABLES = 30


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without long pauses."""
    monkeypatch.setattr(retry, "PAUSE", 0.01)


def rows(first: int = 0, count: int = ROWS) -> str:
    return "".join(f"({T + row * 1000},{row},'n{row}')" for row in range(first, first + count))


@pytest.fixture
def devices(faulty: BoxPair) -> BoxPair:
    """Thirty subtables, three of another super table, and a normal table; in the target's schema already."""
    columns = "ts timestamp, v int, note nchar(8)"
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        *(f"create stable {SOURCE}.{name} ({columns}) tags (g int)" for name in ("m", "other")),
        f"create table {SOURCE}.n ({columns})",
        "insert into " + " ".join(f"{SOURCE}.d{i:02} using {SOURCE}.m tags ({i}) values {rows()}" for i in range(30)),
        "insert into " + " ".join(f"{SOURCE}.o{i} using {SOURCE}.other tags ({i}) values {rows()}" for i in range(3)),
        f"insert into {SOURCE}.n values {rows()}",
    )
    faulty.sync()
    return faulty


FAULTS = {
    "a late row": (f"insert into {SOURCE}.d07 values ({T + 500}, 7, 'late')", ""),
    "a late row in a normal table": (f"insert into {SOURCE}.n values ({T + 500}, 7, 'late')", ""),
    "a row overwritten in the target": ("", f"insert into {TARGET}.d07 values ({T + 3000}, 3, 'N3')"),
    "a row that the target lost": ("", f"delete from {TARGET}.d07 where ts = {T + 3000}"),
    "a row that only the target has": ("", f"insert into {TARGET}.d07 values ({T + 3500}, 3, 'n3')"),
    "a row in a wrong table": (
        "",
        f"delete from {TARGET}.d07 where ts = {T + 19_000}; insert into {TARGET}.d08 values ({T + 20_000}, 19, 'n19')",
    ),
    "a subtable that the target lost": ("", f"drop table {TARGET}.d07"),
    "a super table that the target lost": ("", f"drop stable {TARGET}.other"),
    "a normal table that the target lost": ("", f"drop table {TARGET}.n"),
}


@pytest.mark.parametrize(("fault", "strategy"), zip(FAULTS, cycle(["dense", "sparse"])))
def test_a_fault_after_the_copy_is_found_and_mended(devices: BoxPair, strategy: str, fault: str) -> None:
    copied = devices.copy_batches(strategy=strategy)
    for pair_side, statements in zip((devices.sql, devices.target.execute), FAULTS[fault], strict=True):
        for statement in filter(None, statements.split("; ")):
            pair_side(statement)
    found = devices.verify(copied=copied, strategy=strategy)
    assert found.verdict.kind is Kind.DIFFERENT
    assert found.levels.get("digest", 0) < 2 or "normal" in fault, "the batch was not called proven"
    mended = devices.prove(copied=copied, strategy=strategy, delete_extra=True)
    assert mended.verdict.is_equal
    source, target = devices.both()
    assert target == source


def test_equal_batches_beside_a_fault_are_proven_all_the_same(devices: BoxPair) -> None:
    """A fault in one batch costs the reading of this one."""
    copied = devices.copy_batches()
    devices.target.execute(f"delete from {TARGET}.o1 where ts = {T}")
    before = devices.source_box.rows_read
    assert devices.verify(copied=copied).levels == {"digest": 1, "full": 2}
    # Of the other super table and the normal table, and a row for each table that is asked for its tags.
    assert devices.source_box.rows_read - before < TABLES * ROWS


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_value_that_the_source_changed_after_the_copy(devices: BoxPair, strategy: str) -> None:
    """No number of rows tells of it: the verdict says as of when it is, and one that is asked for again reads it."""
    before = time.time()
    copied = devices.copy_batches(strategy=strategy)
    after = time.time()
    changed = rows().replace("'n3'", "'new'")
    devices.sql(f"drop table {SOURCE}.d07", f"insert into {SOURCE}.d07 using {SOURCE}.m tags (7) values {changed}")
    found = devices.verify(copied=copied, strategy=strategy)
    assert found.verdict.words == "Equal as copied: 680 rows in 34 tables"
    assert found.as_of is not None
    assert before <= found.as_of <= after
    (note,) = found.verdict.notes
    assert "Values that were changed there since have not been compared" in note
    (batch,) = [one for one in copied if one.stable == "m"]
    result = compare_batch(
        *devices.catalogs, batch, devices.options(strategy=strategy), copied=copied[batch], again=True
    )
    assert (result.level, result.as_of, result.mended, result.different) == ("full", None, 1, 0)
    source, target = devices.both()
    assert target == source


# --- What one server says is not believed at once


@pytest.mark.parametrize("repair_rounds", [0, 2])
def test_a_server_that_is_busy_whatever_it_is_asked(
    devices: BoxPair, monkeypatch: pytest.MonkeyPatch, repair_rounds: int
) -> None:
    """Each statement and each block is refused once: one such answer failed the run."""
    copied = devices.copy_batches()
    if repair_rounds:
        devices.target.execute(f"drop table {TARGET}.d07")
        devices.target.execute(f"delete from {TARGET}.o1 where ts = {T}")
        devices.target.execute(f"insert into {TARGET}.d08 values ({T + 500}, 3, 'x')")
    with monkeypatch.context() as patch:
        refused = [busy(box, patch) for box in (devices.source_box, devices.target_box)]
        comparison = devices.prove(copied=copied, repair_rounds=repair_rounds, delete_extra=True)
    assert comparison.verdict.is_equal
    assert (comparison.mended, comparison.deleted) == ((3, 1) if repair_rounds else (0, 0))
    assert all(len(texts) > 4 for texts in refused)


def busy(box: TDengineBox, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Let a server be busy when it is asked something for the first time.

    Returns:
        What it has been asked.
    """
    seen: set[str] = set()
    check = box.faults.check

    def check_or_refuse(text: str) -> None:
        if text not in seen:
            seen.add(text)
            raise BoxError(0x0914, "Sync leader is restoring")
        check(text)

    monkeypatch.setattr(box.faults, "check", check_or_refuse)
    return seen


# --- Deleting


class Later(datetime):
    """A clock that tests set ahead."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime.now(timezone.utc) + cls.ahead


def after_reading(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let something happen when a batch has been read, and before anything is mended."""
    pieces = RowReader.pieces

    def read(self: RowReader, tables: Iterator[Holding]) -> list[Piece]:
        found = list(pieces(self, tables))
        meanwhile()
        return found

    monkeypatch.setattr(RowReader, "pieces", read)


@pytest.mark.parametrize("is_copied", [True, False])
def test_what_the_source_has_by_now_is_not_deleted(
    devices: BoxPair, monkeypatch: pytest.MonkeyPatch, is_copied: bool
) -> None:
    """A producer that writes to both sides was first at the target."""
    copied = devices.copy_batches()
    devices.target.execute(f"insert into {TARGET}.d07 values ({T + 500}, 7, 'new') ({T + 700}, 8, 'old')")
    after_reading(monkeypatch, lambda: devices.sql(f"insert into {SOURCE}.d07 values ({T + 500}, 7, 'new')"))
    comparison = devices.prove(copied=copied if is_copied else None, delete_extra=True)
    assert devices.target.rows(f"select count(*) from {TARGET}.d07 where ts = {T + 500}") == [(1,)]
    # Between two rows of the source nothing is deleted by halves: the next run finds the one that is left.
    assert (comparison.deleted, comparison.verdict.kind) == (0, Kind.DIFFERENT)
    monkeypatch.undo()
    assert devices.prove(delete_extra=True).deleted == 1


@pytest.mark.parametrize("follow_by", ["poll", "subscription"])
def test_a_source_that_goes_on_while_it_is_compared_is_followed(
    devices: BoxPair, monkeypatch: pytest.MonkeyPatch, follow_by: str
) -> None:
    """Late rows, tags and tables never stop coming; with mode both, following brings them."""
    copied = devices.copy_batches(mode="both")
    times = iter(range(T + 1, T + 900, 2))

    def write() -> None:
        time = next(times)
        for name, when in (("d03", time), (f"d{time % 30:02}", time + 1)):
            devices.sql(f"insert into {SOURCE}.{name} values ({when}, 1, 'late')")
        devices.sql(f"insert into {SOURCE}.x{time} using {SOURCE}.m tags (7) values ({time}, 1, 'new')")
        devices.sql(f"alter table {SOURCE}.d05 set tag g = {time % 1000 + 100}")
        if follow_by == "subscription":
            devices.sql(f"insert into {SOURCE}.d09 values ({T}, {time % 1000 + 100}, 'again')")

    write()
    after_reading(monkeypatch, write)
    comparison = devices.prove(copied=copied, mode="both", follow_by=follow_by)
    assert comparison.verdict.kind is Kind.EQUAL_BUT, comparison.verdict.words
    assert "that came meanwhile" in comparison.verdict.words
    assert comparison.late > 0
    (note,) = [each for each in comparison.verdict.notes if "followed" in each]
    assert f"got {comparison.late} rows of that time" in note


def test_what_cannot_be_mended_differs_though_the_source_goes_on(
    devices: BoxPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = devices.copy_batches(mode="both")
    devices.target.execute(f"delete from {TARGET}.d07 where ts = {T + 3000}")
    times = iter(range(T + 1, T + 900, 2))
    after_reading(monkeypatch, lambda: devices.sql(f"insert into {SOURCE}.d07 values ({next(times)}, 1, 'late')"))
    monkeypatch.setattr(batches, "copy_batch", lambda *_, **__: next(iter(copied.values())))
    comparison = devices.prove(copied=copied, mode="both")
    assert comparison.verdict.kind is Kind.DIFFERENT


def test_what_the_source_has_let_go_meanwhile_is_not_deleted(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took hours to compare the batches before this one, and the source's KEEP went on."""
    keep = "keep 3 days 1" if faulty.source.generation == 2 else "keep 3d duration 1d"
    old = round(datetime.now(timezone.utc).timestamp() * 1000) - 3 * 86_400_000 + 2 * 3_600_000
    young = old + 40 * 3_600_000
    create, values = f"create table {SOURCE}.d using {SOURCE}.m tags (1)", {"end": "2100-01-01", "strategy": "dense"}
    faulty.sql(
        f"create database {SOURCE} precision 'ms' {keep}",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        create,
        f"insert into {SOURCE}.d values ({old},1)({old + 1},2)({young},3)",
    )
    faulty.target.execute(f"create database {TARGET} precision 'ms' keep 3650")
    faulty.sync(**values)
    faulty.copy(**values)
    # A reason to read it, and what is to be mended.
    faulty.target.execute(f"delete from {TARGET}.d where ts = {young}")
    monkeypatch.setattr(expired, "datetime", Later)
    located = RowReader._located

    def hours_later(self: RowReader, *given: object) -> list[Piece]:
        monkeypatch.setattr(Later, "ahead", timedelta(hours=3))
        faulty.sql(f"drop table {SOURCE}.d", create, f"insert into {SOURCE}.d values ({young},3)")
        return located(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(RowReader, "_located", hours_later)
    comparison = faulty.prove(delete_extra=True, **values)
    assert comparison.deleted == 0
    assert faulty.target.rows(f"select count(*) from {TARGET}.d") == [(3,)]


# --- What nobody has asked for


def test_rows_behind_the_implied_end_are_counted(devices: BoxPair) -> None:
    """A device whose clock says local time: its rows are in the future, and were never mentioned."""
    copied = devices.copy_batches()
    later = T + 366 * 86_400_000
    devices.sql(f"insert into {SOURCE}.d07 values " + "".join(f"({later + row},1,'x')" for row in range(100)))
    devices.sql(f"insert into {SOURCE}.n values ({later},1,'x')")
    comparison = devices.verify(copied=copied, is_end_implied=True)
    assert (comparison.after_end, comparison.differences, comparison.levels) == (101, [], {"digest": 2, "full": 1})
    assert comparison.verdict.kind is Kind.EQUAL_BUT
    assert comparison.verdict.words.startswith("Equal as copied but for 101 rows at or after the end of history")
    assert devices.verify(copied=copied).verdict.is_equal, "somebody has asked for just this end"


def test_of_many_tables_with_dead_letters_those_with_the_most_are_named(devices: BoxPair) -> None:
    """The XComs of a comparison have an end, however many tables a mistake is in."""
    refused = {f"x{number}": [T] * number for number in range(151)}
    comparison = devices.verify(copied=devices.copy_batches(), refused=refused)
    assert (comparison.dead_letter_tables, len(comparison.dead_letters)) == (150, 100)
    assert comparison.dead_letters == {f"x{number}": number for number in range(150, 50, -1)}


def test_the_target_is_asked_for_no_more_than_is_meant(devices: BoxPair) -> None:
    """Its super table may hold hundreds of other sites' subtables."""
    scope = {"tables": "d07"}
    copied = devices.copy_batches(**scope)
    others = " ".join(f"{TARGET}.x{i:03} using {TARGET}.m tags ({i}) values ({T}, 1, 'x')" for i in range(200))
    devices.target.execute(f"insert into {others}")
    before = devices.target_box.rows_read
    devices.target_box.statements.clear()
    assert devices.verify(copied=copied, **scope).verdict.is_equal
    asked = [text for text in devices.target_box.statements if "tbname" in text and "TAGS" not in text]
    assert asked
    assert all("tbname >= 'd07'" in text or "tbname IN ('d07')" in text for text in asked)
    assert devices.target_box.rows_read - before < 100


# --- What it costs


class Counted(Client):
    """A client that counts its sessions."""

    logins = 0

    def session(self, database: str | None = None):  # type: ignore[no-untyped-def]
        self.logins += 1
        return super().session(database)


def test_a_few_logins_whatever_there_is_to_compare(devices: BoxPair) -> None:
    """Two a subtable, 206 for one new row, 412 to mend one: servers have a limit of sessions, and each login costs."""
    copied: dict[Batch, Copied] = {}
    devices.source, devices.target = (Counted(address(box)) for box in (devices.source_box, devices.target_box))

    def logins(act: Callable[[], object]) -> int:
        devices.source.logins = devices.target.logins = 0  # type: ignore[attr-defined]
        act()
        return devices.source.logins + devices.target.logins  # type: ignore[attr-defined,no-any-return]

    assert logins(lambda: copied.update(devices.copy_batches(strategy="dense"))) < 50
    assert logins(lambda: devices.verify(copied=copied)) < 15
    assert logins(devices.verify) < 15
    devices.target.execute(f"delete from {TARGET}.d07 where ts = {T}")
    assert logins(lambda: devices.prove(copied=copied)) < 30


def test_few_tables_among_many_are_mended_without_the_others(devices: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 2.x, the whole super table was read, into memory."""
    monkeypatch.setattr("airflow_provider_tdengine.migration.copying.sparse._NEEDLE", 5)
    devices.copy()
    for name in ("d03", "d26"):
        devices.target.execute(f"drop table {TARGET}.{name}")
    before = devices.source_box.rows_read
    comparison = devices.prove(verify="count", strategy="sparse")
    assert (comparison.verdict.kind, comparison.mended_rows) == (Kind.EQUAL, 2 * ROWS)
    # They are read to be compared, and to be copied; counting reads some rows besides.
    assert devices.source_box.rows_read - before < 6 * ROWS + 4 * (TABLES + 4)


def test_memory_for_tags_is_a_few_bytes_a_subtable() -> None:
    """Their values are of any length, and there may be a million subtables."""
    count, fields = 20_000, (Field("a", Type.VARCHAR, 200), Field("b", Type.INT, 4))
    transcoder = TagTranscoder(fields, fields, SAME)

    def subtables(changed: int | None = None) -> Iterator[Subtable]:
        for i in range(count):
            yield Subtable(f"device_{i:08}", (f"{i}" * 20, None if i == changed else i))

    tracemalloc.start()
    found = compare_tags(transcoder, subtables, lambda: subtables(7_777))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [str(one) for one in found.differences] == ["device_00007777: tag b 7777 in the source, None in the target"]
    assert (found.tables, found.others) == (count, 0)
    assert peak < 120 * count


def test_memory_for_rows_is_that_of_blocks(meters: BoxPair) -> None:
    """Also of the side that differs: a piece of it is compared row by row."""
    copied = meters.copy_batches()
    meters.target.execute(f"insert into {TARGET}.d1 (ts, v) values ({T}, 77)")
    before = meters.source_box.rows_read, meters.target_box.rows_read
    assert meters.verify(copied=copied, workers=1).different == 1
    for box, earlier in zip((meters.source_box, meters.target_box), before, strict=True):
        # The whole batch once or twice, and the table that differs by halves, twice.
        assert box.rows_read - earlier <= 2 * 3 * ROWS_A_METER + 3 * ROWS_A_METER + BLOCK
