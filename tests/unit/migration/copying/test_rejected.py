"""Rows that the target refuses: named, or kept as dead letters and brought back later; all others arrive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Checkpoint,
    DeadLetters,
    MemoryProgress,
    Tally,
    batch_folder,
    copy_batch,
    kept,
    known,
    replay,
)
from airflow_provider_tdengine.migration.copying.rejected import Rejected
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import SOURCE, TARGET, Pair, T

OLD = 1000000000000
"""2001-09-09T01:46:40Z, which a target with ten years of KEEP does not take."""

TYPES = (
    "ts timestamp, b bool, i tinyint, big bigint, u bigint unsigned, f float, d double, x binary(8), n nchar(4), "
    "t timestamp"
)
VALUES = "true, -127, 9223372036854775807, 18446744073709551614, 0.1, 1e300, 'a\\\\\\'b', '零😀', -1"


@pytest.fixture
def aged(pair: Pair) -> Pair:
    """Three subtables, two of them with rows that are older than the target will keep."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters ({TYPES}) tags (g int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.meters tags ({i})" for i in range(3)),
    )
    for i in range(3):
        rows = "".join(f"({T + row},{VALUES})" for row in range(50))
        pair.sql(f"insert into {SOURCE}.d{i} values {rows}")
    pair.sql(
        f"insert into {SOURCE}.d0 values ({OLD},{VALUES}) ({OLD + 1},null,null,null,null,null,null,null,null,null)",
        f"insert into {SOURCE}.d2 values ({OLD + 7},{VALUES})",
    )
    pair.target.execute(f"create database {TARGET} keep 36500")
    pair.sync()
    return pair


def copy(pair: Pair, folder: Path | None, *, shortens: bool = True, **values: object) -> Tally:
    """Copy a batch; the target keeps ten years only from the moment on at which its rows begin to come."""
    options = pair.options(**values)
    (batch,) = make_plan(*pair.catalogs, options)
    letters = None if folder is None else DeadLetters(folder, options.max_rejected)

    def report(checkpoint: Checkpoint) -> None:
        nonlocal shortens
        if shortens and not checkpoint.tally.rows:
            pair.target.execute(f"alter database {TARGET} keep 3650")
            # 3.0 refuses an ALTER that changes nothing (906).
            shortens = False

    return copy_batch(*pair.catalogs, batch, options, MemoryProgress(), dead_letters=letters, report=report).tally


def counts(folder: Path) -> dict[str, int]:
    return {table: len(times) for table, times in kept(folder).items()}


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_the_error_names_the_row(aged: Pair, strategy: str) -> None:
    with pytest.raises(RowRejected) as refused:
        copy(aged, None, strategy=strategy, workers=1)
    text = str(refused.value)
    assert "a row of table 'd0' at 2001-09-09T01:46:40+00:00 (1000000000000), whose column 'ts' is" in text
    assert "[code 1547, 0x060B]" in text
    assert "Fix the target or the row, or set on_error to dead_letter" in text


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_all_others_arrive_and_dead_letters_come_back(aged: Pair, strategy: str, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    copied = copy(aged, folder, strategy=strategy)
    assert (copied.rows, copied.rejected, copied.digest.rows) == (153, 3, 150)
    assert counts(folder) == {"d0": 2, "d2": 1}
    still = replay(folder, aged.catalogs[1])
    assert (still.arrived, still.remaining) == (0, 3)
    assert "a row of table 'd0' at 2001-09-09T01:46:40" in "\n".join(still.reasons)
    aged.target.execute(f"alter database {TARGET} keep 36500")
    assert [str(difference) for difference in aged.verify().differences] == [
        "d0: rows 52 in the source, 50 in the target",
        "d2: rows 51 in the source, 50 in the target",
    ]
    comparison = aged.verify(refused=kept(folder))
    assert not comparison.differences
    assert (comparison.rows, comparison.target_rows) == (153, 150)
    back = replay(folder, aged.catalogs[1])
    assert (back.arrived, back.remaining) == (3, 0)
    assert counts(folder) == {}
    source, target = aged.both()
    assert target == source


@pytest.mark.parametrize("change", range(10))
def test_a_replay_that_is_interrupted_loses_nothing(
    aged: Pair, change: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends before a file is changed, or in the middle of it: each row is in the target, or a letter, or both."""
    young = OLD + 9 * 365 * 86400 * 1000
    for i in range(2):
        aged.sql(f"insert into {SOURCE}.d{i} values ({young},{VALUES}) ({young + 1},{VALUES})")
    copied = copy(aged, tmp_path, strategy="dense", workers=1)
    assert copied.rejected == 7
    aged.target.execute(f"alter database {TARGET} keep 7300")
    left = change

    def ends(method: Callable[..., object]) -> Callable[..., object]:
        def wrapped(file: Path, *given: object, **named: object) -> object:
            nonlocal left
            if left:
                left -= 1
                return method(file, *given, **named)
            if method is write_text:
                file.write_bytes(str(given[0]).encode()[:100])
            raise SystemExit

        return wrapped

    write_text = Path.write_text
    with monkeypatch.context() as patch:
        for name in ("write_text", "replace", "unlink"):
            patch.setattr(Path, name, ends(getattr(Path, name)))
        if change < 9:
            with pytest.raises(SystemExit):
                replay(tmp_path, aged.catalogs[1])
        else:
            replay(tmp_path, aged.catalogs[1])
    there = sum(int(str(count)) for (count,) in aged.target.rows(f"select count(*) from {TARGET}.meters"))
    waiting = sum(counts(tmp_path).values())
    assert known(tmp_path) == 7
    assert waiting >= 3
    assert there - 150 + waiting >= 7
    again = replay(tmp_path, aged.catalogs[1])
    assert (again.remaining, counts(tmp_path), known(tmp_path)) == (3, {"d0": 2, "d2": 1}, 7)
    aged.target.execute(f"alter database {TARGET} keep 36500")
    assert replay(tmp_path, aged.catalogs[1]).arrived == 3
    source, target = aged.both()
    assert target == source


def test_what_differs_beside_dead_letters(aged: Pair, tmp_path: Path) -> None:
    """A row too few, refused, hides no other one that is elsewhere or otherwise."""
    copy(aged, tmp_path, strategy="dense")
    aged.target.execute(f"alter database {TARGET} keep 36500")
    aged.target.execute(f"insert into {TARGET}.d0 (ts, i) values ({T + 3}, 5)")
    aged.target.execute(f"delete from {TARGET}.d2 where ts = {T + 3}")
    aged.target.execute(f"insert into {TARGET}.d2 (ts, i) values ({T + 1000}, 5)")
    for level in ("count", "aggregate", "full"):
        comparison = aged.verify(verify=level, refused=kept(tmp_path))
        assert {difference.table for difference in comparison.differences} == {"d0", "d2"}


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_files_of_long_names_do_not_overwrite_each_other(pair: Pair, strategy: str, tmp_path: Path) -> None:
    """Names were cut at 150 characters, of which a Chinese one took nine: all five tables had one file."""
    names = [f"北京市海淀区中关村大街一号楼总电表{i:03d}" for i in range(5)] + [f"{'m' * 180}{i}" for i in range(2)]
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, v int) tags (g int)",
        *(f"create table {SOURCE}.`{name}` using {SOURCE}.meters tags (1)" for name in names),
        *(f"insert into {SOURCE}.`{name}` values ({OLD}, 1) ({T}, 2)" for name in names),
    )
    pair.target.execute(f"create database {TARGET} keep 36500")
    pair.sync()
    assert copy(pair, tmp_path, strategy=strategy).rejected == 7
    assert counts(tmp_path) == dict.fromkeys(names, 1)
    assert max(len(file.name.encode()) for file in tmp_path.rglob("*")) < 128


INT, NOTE = Field("k", Type.INT), Field("v", Type.NCHAR, 40)


def refused(*rows: tuple[int, int, str], table: str = "d", key: tuple[str, ...] = ("ts", "k")) -> Iterator[Rejected]:
    """Rows of one table that a target has refused: time, second key and value."""
    fields = (Field("ts", Type.TIMESTAMP), INT, NOTE)
    return iter([Rejected(table, fields, row, key, Precision.MS, None, RowRejected("no", code=1)) for row in rows])


def test_a_block_of_other_rows_replaces_no_file_of_earlier_ones(tmp_path: Path) -> None:
    """Blocks of a retry may be shorter: those that come next may have been copied, and are not read again."""
    rows = [(T + i, 0, "x") for i in range(5)]
    DeadLetters(tmp_path).take(refused(*rows))
    again = DeadLetters(tmp_path)
    again.take(refused(*rows[:3]))
    again.take(refused(*rows[2:4]))
    assert kept(tmp_path) == {"d": [T + i for i in range(5)]}
    again.take(refused(*rows))
    assert len(list(tmp_path.iterdir())) == 3


def test_rows_of_one_timestamp_are_told_apart_by_their_second_key(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    for number in range(3):
        letters.take(refused((T, number, "x")))
    letters.take(refused((T, 2, "changed since")))
    letters.take(refused((T, 2, "x"), table="D"))
    assert counts(tmp_path) == {"d": 3, "D": 1}
    assert known(tmp_path) == 4


def test_a_file_that_was_not_written_to_its_end_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(file: Path, text: str, encoding: str) -> NoReturn:
        file.write_bytes(text.encode()[:50])
        raise SystemExit

    DeadLetters(tmp_path).take(refused((T, 1, "x")))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", ends)
        with pytest.raises(SystemExit):
            DeadLetters(tmp_path).take(refused((T, 1, "y")))
        with pytest.raises(SystemExit):
            DeadLetters(tmp_path).take(refused((T, 2, "y")))
    assert counts(tmp_path) == {"d": 1}


def test_a_batch_has_one_folder_whatever_its_number_is(pair: Pair, tmp_path: Path) -> None:
    options = pair.options()
    batch = Batch("m/..", "表" * 60, "z", 2, None, None, 5)
    folder = batch_folder(tmp_path, batch, options)
    assert folder == batch_folder(tmp_path, replace(batch, rows=7, batches=3, tables=3), options)
    assert folder.parent == tmp_path
    assert len(folder.name.encode()) < 128
    others = [replace(batch, before="zz"), replace(batch, end=5), replace(batch, stable=None)]
    assert len({folder, *(batch_folder(tmp_path, other, options) for other in others)}) == 4
    assert batch_folder(tmp_path, batch, pair.options(target_database="other")) != folder


@pytest.mark.target(since=(3, 3))
@pytest.mark.source(since=(3, 3))
def test_a_second_key_beside_a_dead_letter(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, k int primary key, v int) tags (g int)",
        f"create table {SOURCE}.d using {SOURCE}.s tags (1)",
        f"insert into {SOURCE}.d values ({T}, 1, 1) ({T}, 2, 2) ({T + 1}, 1, 1)",
    )
    assert not pair.migrate().differences
    pair.target.execute(f"delete from {TARGET}.d where ts = {T}")
    pair.target.execute(f"insert into {TARGET}.d values ({T}, 1, 1)")
    for level in ("aggregate", "full"):
        assert not pair.verify(verify=level, refused={"d": [T]}).differences
    pair.target.execute(f"insert into {TARGET}.d values ({T + 1}, 1, 9)")
    (difference,) = pair.verify(refused={"d": [T]}).differences
    assert (difference.table, difference.what) == ("d", "values")


def test_a_letter_says_why(aged: Pair, tmp_path: Path) -> None:
    aged.sync(rename_columns="x -> y")
    copy(aged, tmp_path, strategy="dense", rename_columns="x -> y", tables="d0")
    (file,) = tmp_path.glob("*.jsonl")
    first, second = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert (first["table"], first["precision"], first["column"], first["code"]) == ("d0", "ms", "ts", 0x060B)
    assert first["columns"][:3] == [["ts", "TIMESTAMP", OLD], ["b", "BOOL", True], ["i", "TINYINT", -127]]
    assert first["columns"][7] == ["y", "VARCHAR(8)", "a\\'b"]
    assert [value for _, _, value in second["columns"][1:]] == [None] * 9
    assert "1547" in first["reason"]


def test_a_batch_that_begins_anew_forgets_its_letters(aged: Pair, tmp_path: Path) -> None:
    copy(aged, tmp_path, strategy="dense")
    aged.target.execute(f"alter database {TARGET} keep 36500")
    assert copy(aged, tmp_path, shortens=False, strategy="dense").rejected == 0
    assert counts(tmp_path) == {}


def test_a_block_copied_again_is_counted_once(aged: Pair, tmp_path: Path) -> None:
    copy(aged, tmp_path / "a", strategy="dense")
    aged.target.execute(f"alter database {TARGET} keep 36500")
    copy(aged, tmp_path / "b", strategy="dense")
    assert counts(tmp_path) == {"d0": 2, "d2": 1}


def test_many_refused_rows_are_no_matter_of_rows(aged: Pair, tmp_path: Path) -> None:
    said = "Option 'max_rejected': the target refuses more than 1 rows of this batch, the last one a row of table 'd"
    with pytest.raises(MigrationStopped, match=said):
        copy(aged, tmp_path, strategy="dense", workers=1, max_rejected=1)


def test_a_moment_that_the_target_cannot_count_is_a_refused_row(pair: Pair, tmp_path: Path) -> None:
    """9,000,000,000 seconds fit into 64 bits of milliseconds, not of nanoseconds."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, t timestamp)",
        f"insert into {SOURCE}.t values ({T}, 9999999999999) ({T + 1}, 1)",
    )
    pair.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    pair.sync()
    with pytest.raises(RowRejected, match="a row of table 't' at 2021-01-01T00:00:00"):
        copy(pair, None, shortens=False)
    assert copy(pair, tmp_path, shortens=False).rejected == 1
    assert counts(tmp_path) == {"t": 1}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{}", "line 1 is no dead letter (KeyError('precision'))"),
        ("x", "line 1 is no dead letter (JSONDecodeError("),
        ('{"precision":"ms","columns":[["a","WORD",1]]}', "'WORD' of column 'a' is not a TDengine type"),
    ],
)
def test_a_line_that_is_no_letter(pair: Pair, tmp_path: Path, line: str, sentence: str) -> None:
    pair.target.execute(f"create database {TARGET}")
    (tmp_path / "a.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(MigrationStopped) as stopped:
        replay(tmp_path, pair.catalogs[1])
    assert sentence in str(stopped.value)
    assert "Correct or remove that line" in str(stopped.value)


def test_replaying_what_is_not_there(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(
        MigrationStopped, match=r"Folder .*none: there is none on host .*\. Give the folder that the migration's"
    ):
        replay(tmp_path / "none", pair.catalogs[1])
    letter = {"table": "t", "precision": "ms", "columns": [["ts", "TIMESTAMP", T]], "column": None, "code": 1}
    (tmp_path / "a.jsonl").write_text(json.dumps({**letter, "reason": "x"}) + "\n", encoding="utf-8")
    with pytest.raises(MigrationStopped, match=f"has no database '{TARGET}'"):
        replay(tmp_path, pair.catalogs[1])
    pair.target.execute(f"create database {TARGET} keep 36500")
    with pytest.raises(MigrationStopped, match=r"Table 't': .*Fix the table, then bring the letters back again"):
        replay(tmp_path, pair.catalogs[1])
