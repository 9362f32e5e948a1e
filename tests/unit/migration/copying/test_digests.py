"""The digest in a checkpoint is that of what the target holds: each row counts once, whatever happens on the way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airflow_provider_tdengine.client.block import concatenate
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Checkpoint,
    Copied,
    DeadLetters,
    MemoryProgress,
    copy_batch,
    kept,
    sparse,
    writing,
)
from airflow_provider_tdengine.migration.copying import copy as copying
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.migration.rows import NOTHING, Digest, name_hash, row_hashes

from ..conftest import BLOCK, ROWS_A_METER, SOURCE, TARGET, BoxPair, Pair, T

ROWS = 3 * ROWS_A_METER


def held(pair: Pair, tables: Iterable[str]) -> Digest:
    """What the target's rows come to, read a table at a time."""
    digest = NOTHING
    for name in tables:
        with pair.target.session(TARGET) as session:
            blocks = list(session.query(f"select * from {TARGET}.{identifier(name)}").blocks())
        if blocks:
            digest += Digest.of(row_hashes(concatenate(blocks), name_hash(name)))
    return digest


@dataclass
class Killed(MemoryProgress):
    """Keeps each checkpoint; a process that was killed knows one of them, and maybe not the last."""

    all: list[str] = field(default_factory=list)

    def load(self) -> dict[str, object] | None:
        return json.loads(self.all[-1]) if self.all else None

    def save(self, checkpoint: dict[str, object]) -> None:
        self.all.append(json.dumps(checkpoint))

    def forget(self, some: random.Random) -> None:
        """The last checkpoints were not saved, now and then."""
        del self.all[len(self.all) - some.choice([0, 0, 0, 1, 2, 5]) :]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No error is cured by a retry within the task, and checkpoints are saved early, of small parts of tables."""
    monkeypatch.setattr(retry, "PAUSE", 0.0)
    monkeypatch.setattr(retry, "PATIENCE", 0.0)
    monkeypatch.setattr(copying, "SAVE_EVERY", 0.005)
    monkeypatch.setattr(writing, "_IN_FLIGHT", 1)


def copy_in_pieces(
    pair: BoxPair, batch: Batch, seed: int, letters: DeadLetters | None = None, **values: object
) -> tuple[Copied, int]:
    """Copy a batch whose task is killed several times, at any moment.

    Returns:
        What it came to, and how often it was killed.
    """
    some, progress, options = random.Random(seed), Killed(), pair.options(**values)
    for kills in range(20):
        if kills < 6:
            # Blocks are cut, and statements, of which a sparse copy writes, refused.
            some.choice([pair.source_box, pair.target_box]).faults.cut_after_blocks(some.randint(0, 5))
            if some.random() < 0.5:
                pair.target_box.faults.answer_with(0x0914, "busy", 1, some.choice(["d0", "d1", "d2", "insert"]))
        try:
            copied = copy_batch(*pair.catalogs, batch, options, progress, dead_letters=letters)
        except TDengineError:
            progress.forget(some)
            pair.source_box.faults.clear()
            pair.target_box.faults.clear()
        else:
            pair.source_box.faults.clear()
            pair.target_box.faults.clear()
            stored = Checkpoint.from_dict(json.loads(progress.all[-1]))
            assert stored.tally == copied.tally
            return copied, kills
    raise AssertionError("it came to no end")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment(
    meters: BoxPair, strategy: str, workers: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROWS_A_UNIT", random.Random(seed).choice([150, 400, 1_000_000]))
    monkeypatch.setattr(sparse, "VALUES_A_GROUP", random.Random(seed).choice([3 * ROWS_A_METER, 6 * ROWS_A_METER]))
    (batch,) = make_plan(*meters.catalogs, meters.options())
    copied, kills = copy_in_pieces(meters, batch, seed, strategy=strategy, workers=workers)
    assert kills
    assert copied.tally.rows == ROWS
    assert copied.tally.digest == held(meters, ["d0", "d1", "d2"])
    comparison = meters.verify(copied={batch: copied})
    assert (comparison.differences, comparison.levels) == ([], {"digest": 1})


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("times", [1, 7, 30])
@pytest.mark.parametrize("seed", range(2))
def test_several_rows_at_one_timestamp(faulty: BoxPair, times: int, seed: int) -> None:
    """A position is a timestamp, and blocks, of 400 rows, end in the middle of its rows."""
    count = 3 * BLOCK // times
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, k int primary key, v int) tags (g int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.s tags ({i})" for i in range(2)),
    )
    rows = "".join(f"({T + moment},{key},{key * 7})" for moment in range(times) for key in range(count))
    faulty.sql(*(f"insert into {SOURCE}.d{i} values {rows}" for i in range(2)))
    faulty.sync()
    (batch,) = make_plan(*faulty.catalogs, faulty.options())
    copied, kills = copy_in_pieces(faulty, batch, seed, strategy="dense", workers=1)
    assert kills
    assert copied.tally.rows == 2 * times * count
    assert copied.tally.digest == held(faulty, ["d0", "d1"])
    source, target = faulty.both()
    assert target == source


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize("seed", range(2))
def test_timestamps_that_are_cut(faulty: BoxPair, strategy: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows for which a later one stands are counted once, too: the source has to have as many as were copied."""
    monkeypatch.setattr(sparse, "VALUES_A_GROUP", 2_000)
    monkeypatch.setattr(copying, "ROWS_A_UNIT", 500)
    step = 1_000_000
    faulty.sql(
        f"create database {SOURCE} precision 'ns' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
    )
    for i in range(3):
        rows = "".join(f"({T * step + row * (step // (1 + i)) + i},{row})" for row in range(ROWS_A_METER))
        faulty.sql(f"insert into {SOURCE}.d{i} using {SOURCE}.s tags ({i}) values {rows}")
    faulty.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    values = {"allow_lossy_precision": True, "strategy": strategy}
    faulty.sync(**values)
    (batch,) = make_plan(*faulty.catalogs, faulty.options(**values))
    copied, kills = copy_in_pieces(faulty, batch, seed, workers=1, **values)
    assert kills
    there = held(faulty, ["d0", "d1", "d2"])
    assert copied.tally.digest == there
    assert (copied.tally.rows, copied.tally.collisions) == (ROWS, ROWS - there.rows)
    assert faulty.verify(copied={batch: copied}, **values).levels == {"digest": 1}


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize("seed", range(2))
def test_refused_rows(faulty: BoxPair, strategy: str, seed: int, tmp_path: Path) -> None:
    """Moments that the target cannot count: at the begin and the end of blocks, and at positions."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, t timestamp) tags (g int)",
    )
    faulty.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    bad = {0, 1, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, ROWS_A_METER - 1}
    for i in range(3):
        rows = "".join(f"({T + row},{9_999_999_999_999 if row in bad else row})" for row in range(ROWS_A_METER))
        faulty.sql(f"insert into {SOURCE}.d{i} using {SOURCE}.s tags ({i}) values {rows}")
    faulty.sync()
    (batch,) = make_plan(*faulty.catalogs, faulty.options())
    copied, kills = copy_in_pieces(faulty, batch, seed, DeadLetters(tmp_path), strategy=strategy, workers=2)
    assert kills
    assert (copied.tally.rows, copied.tally.rejected) == (ROWS, 3 * len(bad))
    assert copied.tally.digest == held(faulty, ["d0", "d1", "d2"])
    assert {name: len(times) for name, times in kept(tmp_path).items()} == {f"d{i}": len(bad) for i in range(3)}
    # Where their files are not seen, too: what was refused is known, and nothing else is missing.
    comparison = faulty.verify(copied={batch: copied})
    assert (comparison.differences, comparison.refused, comparison.levels) == ([], 3 * len(bad), {"digest": 1})
