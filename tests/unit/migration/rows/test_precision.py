"""Timestamps in finer and in coarser steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.migration.catalog import TimeScale
from airflow_provider_tdengine.migration.copying import MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.migration.rows import last_ones, without_collisions

from ..conftest import SOURCE, TARGET, Pair, T

SCALES = [TimeScale.between(source, target) for source in Precision for target in Precision]
STEPS = st.integers(-(10**12), 10**12)


@pytest.mark.parametrize("time", SCALES, ids=str)
@given(start=STEPS, length=st.integers(0, 10**7), offset=STEPS)
def test_a_period_of_the_target_holds_just_the_rows_of_the_source(
    time: TimeScale, start: int, length: int, offset: int
) -> None:
    low, high = time.window(start, start + length)
    assert low == time.apply(start)
    assert high is not None
    if length:
        assert low <= time.apply(start + offset % length) < high
        # What is outside falls at most onto the same step as the last row inside.
        assert high == (time.apply(start + length - 1) + 1 if time.cuts else time.apply(start + length))


@pytest.mark.parametrize("time", SCALES, ids=str)
@given(steps=st.lists(STEPS, max_size=9))
def test_arrays_are_as_numbers(time: TimeScale, steps: list[int]) -> None:
    array = np.array(steps, np.int64)
    assert time.apply_array(array).tolist() == [time.apply(step) for step in steps]
    assert time.holds(array)


def test_scales() -> None:
    assert TimeScale.between(Precision.MS, Precision.NS) == TimeScale(10**6, 1)
    assert TimeScale.between(Precision.NS, Precision.US) == TimeScale(1, 1000)
    assert TimeScale.between(Precision.US, Precision.US).is_one
    assert TimeScale.between(Precision.NS, Precision.MS).cuts
    assert TimeScale(1, 1000).apply(-1) == -1
    assert TimeScale(1, 1000).window(None, None) == (None, None)
    assert not TimeScale(1000, 1).holds(np.array([0, (1 << 63) // 1000 + 1]))


# --- Rows that have one primary key when timestamps are cut


@st.composite
def rows_in_order(draw: st.DrawFn) -> list[tuple[int, Value]]:
    """Timestamps and second keys of a table, as a source has them: each pair once, by time and key."""
    keys = draw(st.sampled_from([st.just(None), st.integers(0, 2), st.sampled_from(["a", "b", "b\0"])]))
    return sorted(draw(st.sets(st.tuples(st.integers(-30, 30), keys))), key=lambda row: (row[0], str(row[1])))


@given(rows=rows_in_order(), cuts=st.lists(st.integers(0, 40), max_size=3), denominator=st.sampled_from([1, 7, 1000]))
def test_the_last_row_of_a_step_stays(rows: list[tuple[int, Value]], cuts: list[int], denominator: int) -> None:
    fields = [Field("ts", Type.TIMESTAMP, 8), Field("n", Type.INT, 4)]
    second = next((key for _, key in rows), None)
    columns: list[list[Value]] = [[time for time, _ in rows], list(range(len(rows)))]
    if second is not None:
        fields.append(Field("k", Type.VARCHAR if isinstance(second, str) else Type.INT, 4))
        columns.append([key for _, key in rows])
    made = tuple(column_from_list(field, values) for field, values in zip(fields, columns, strict=True))
    whole = Block(tuple(fields), made, len(rows))
    time = TimeScale(1, denominator)
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    blocks = [whole.take(slice(low, high)) for low, high in pairwise(bounds)]
    written: dict[tuple[int, object], object] = {}
    stood_for = 0
    for staying, others in without_collisions(blocks, time, None if second is None else 2):
        identities = [(time.apply(int(str(row[0]))), row[2:]) for row in staying.to_rows()]
        assert len(set(identities)) == len(identities) > 0
        assert not set(identities) & set(written)
        written |= {identity: row[1] for identity, row in zip(identities, staying.to_rows(), strict=True)}
        stood_for += others
    wanted = {(time.apply(at), () if second is None else (key,)): number for number, (at, key) in enumerate(rows)}
    assert written == wanted
    assert stood_for == len(rows) - len(wanted)


def test_tables_do_not_collide_with_each_other() -> None:
    fields = (Field("ts", Type.TIMESTAMP, 8),)
    block = Block(fields, (column_from_list(fields[0], [1, 2, 11, 1, 2]),), 5)
    tables = np.array([0, 0, 0, 1, 1])
    assert last_ones(block, TimeScale(1, 10), None, tables).tolist() == [False, True, True, False, True]


FINE = T * 1_000_000
"""2021-01-01 in nanoseconds."""


@pytest.fixture
def fine(pair: Pair) -> Pair:
    """A source in nanoseconds with rows that are one in milliseconds, and an empty target in milliseconds."""
    pair.sql(
        f"create database {SOURCE} precision 'ns' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int, note nchar(8), t timestamp) tags (made timestamp, g int)",
        f"create table {SOURCE}.nobody using {SOURCE}.s tags (null, 0)",
        f"create table {SOURCE}.p (ts timestamp, v int)",
    )
    for number, made in enumerate((FINE + 1, -1)):
        rows = f"({FINE}, 1, 'a', {FINE + 999_999}) ({FINE + 1}, 2, null, -1) ({FINE + 999_999}, 3, null, null)"
        rows += f" ({FINE + 1_000_000}, 4, 'b', -1000001)"
        table = f"{SOURCE}.a{number} using {SOURCE}.s tags ({made}, {number})"
        pair.sql(f"create table {table}", f"insert into {SOURCE}.a{number} values {rows}")
    pair.sql(f"insert into {SOURCE}.p values ({FINE - 1}, 1) ({FINE}, 2) ({FINE + 5}, 3)")
    pair.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    return pair


CUT = [(T, 3, None, None), (T + 1, 4, "b", -2)]


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_timestamps_are_cut_where_that_is_allowed(fine: Pair, strategy: str) -> None:
    fine.sync(allow_lossy_precision=True)
    copied = fine.copy_batches(allow_lossy_precision=True, strategy=strategy)
    assert fine.both()[1] == {
        "a0": ((T, 0), CUT),
        "a1": ((-1, 1), CUT),
        "nobody": ((None, 0), []),
        "p": ((), [(T - 1, 1), (T, 3)]),
    }
    assert sum(one.rows for one in copied.values()) == 11
    assert sum(one.tally.collisions for one in copied.values()) == 5
    for known in (copied, None):
        comparison = fine.verify(copied=known, allow_lossy_precision=True)
        assert not comparison.differences
        assert (comparison.rows, comparison.target_rows, comparison.collisions) == (11, 6, 5)
        equal = "Equal as copied" if known else "Equal"
        assert comparison.verdict.words == (
            f"{equal} but for 5 rows for which a later one stands: 6 of 11 rows in 3 tables"
        )
    assert not fine.sync(allow_lossy_precision=True, update_tags=True).changed


def test_without_the_option_nothing_is_written(fine: Pair) -> None:
    for act in (fine.sync, fine.copy):
        with pytest.raises(MigrationStopped) as stopped:
            act()
        assert (
            f"Database '{TARGET}': the target counts ms, the source ns, so digits of timestamps would be lost. "
            "Give a target database of the same or a finer precision, or set allow_lossy_precision."
        ) in str(stopped.value)
    assert fine.both()[1] == {}


def test_a_row_that_is_missing_beside_collisions(fine: Pair) -> None:
    fine.sync(allow_lossy_precision=True)
    fine.copy(allow_lossy_precision=True)
    fine.target.execute(f"delete from {TARGET}.a0 where ts = {T + 1}")
    assert [str(difference) for difference in fine.verify(allow_lossy_precision=True).differences] == [
        "a0: rows 2 in the source, 1 in the target"
    ]


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_late_row_that_collides(fine: Pair, strategy: str) -> None:
    """It is one in the target with a row that was copied, and stands for it, or the other way round."""
    values = {"allow_lossy_precision": True, "strategy": strategy}
    fine.sync(**values)
    copied = fine.copy_batches(**values)
    fine.sql(
        f"insert into {SOURCE}.a0 values ({FINE + 1_000_007}, 5, 'c', null)",
        f"insert into {SOURCE}.a1 values ({FINE + 999_998}, 6, 'd', null)",
    )
    assert [str(one) for one in fine.verify(copied=copied, **values).differences] == [
        "a0: values some in the source, others in the target"
    ]
    comparison = fine.prove(copied=copied, **values)
    assert (comparison.rows, comparison.target_rows, comparison.collisions, comparison.differences) == (13, 6, 7, [])
    assert not comparison.verdict.different
    assert comparison.verdict.is_whole
    assert fine.both()[1]["a0"][1] == [CUT[0], (T + 1, 5, "c", None)]
    assert fine.both()[1]["a1"][1] == CUT


def test_a_value_that_differs_beside_collisions(fine: Pair) -> None:
    """Sums of the source are of rows that the target is not to have."""
    fine.sync(allow_lossy_precision=True)
    fine.copy(allow_lossy_precision=True)
    fine.target.execute(f"insert into {TARGET}.a0 (ts, v) values ({T}, 2)")
    comparison = fine.verify(allow_lossy_precision=True)
    assert [difference.table for difference in comparison.differences] == ["a0"]
    assert comparison.changed == 1


def test_a_batch_with_collisions_has_arrived(fine: Pair) -> None:
    options = fine.options(allow_lossy_precision=True, stables="s")
    fine.sync(allow_lossy_precision=True)
    (batch,) = make_plan(*fine.catalogs, options)
    progress = MemoryProgress()
    first = copy_batch(*fine.catalogs, batch, options, progress)
    assert copy_batch(*fine.catalogs, batch, options, progress).rows == first.rows
    fine.target.execute(f"delete from {TARGET}.a1 where ts = {T}")
    copy_batch(*fine.catalogs, batch, options, progress)
    assert fine.both()[1]["a1"][1] == CUT


@pytest.mark.parametrize("values", [{}, {"workers": 3}], ids=str)
def test_a_large_table_is_cut(pair: Pair, values: dict[str, object]) -> None:
    """Over several blocks, workers and units, and with rows of which only the value of the last one counts."""
    count, step = 9000, 333_333
    pair.sql(f"create database {SOURCE} precision 'ns' keep 36500", f"create table {SOURCE}.p (ts timestamp, v int)")
    for low in range(0, count, 3000):
        rows = "".join(f"({FINE + n * step},{n})" for n in range(low, low + 3000))
        pair.sql(f"insert into {SOURCE}.p values {rows}")
    pair.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    pair.sync(allow_lossy_precision=True)
    ((batch, copied),) = pair.copy_batches(allow_lossy_precision=True, **values).items()
    wanted = {(FINE + n * step) // 1_000_000: n for n in range(count)}
    assert pair.both()[1]["p"][1] == sorted(wanted.items())
    assert (copied.rows, copied.tally.collisions) == (count, count - len(wanted))
    comparison = pair.verify(copied={batch: copied}, allow_lossy_precision=True)
    assert not comparison.differences
    assert comparison.collisions == copied.tally.collisions


@pytest.mark.target(since=(3, 3))
@pytest.mark.source(since=(3, 3))
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_a_second_key_keeps_rows_apart(pair: Pair, strategy: str) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, k int primary key, v int) tags (g int)",
    )
    for name in "ab":
        pair.sql(
            f"create table {SOURCE}.{name} using {SOURCE}.s tags (1)",
            f"insert into {SOURCE}.{name} values ({T * 1000}, 7, 1) ({T * 1000}, 8, 2) ({T * 1000 + 7}, 7, null)",
        )
    pair.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    comparison = pair.migrate(allow_lossy_precision=True, strategy=strategy)
    assert pair.both()[1] == {name: ((1,), [(T, 7, None), (T, 8, 2)]) for name in "ab"}
    assert not comparison.differences
    assert comparison.collisions == 2


@pytest.mark.parametrize("lossy", [False, True])
def test_a_new_database_may_be_coarser(pair: Pair, lossy: bool) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (made timestamp)",
        f"create table {SOURCE}.a using {SOURCE}.s tags ({T * 1000 + 1})",
        f"insert into {SOURCE}.a values ({T * 1000 + 1}, 1)",
    )
    values: dict[str, object] = {"database_options": "PRECISION 'ms'", "allow_lossy_precision": lossy}
    if lossy:
        assert not pair.migrate(**values).differences
        assert pair.both()[1] == {"a": ((T,), [(T, 1)])}
        return
    with pytest.raises(MigrationStopped, match="or set allow_lossy_precision"):
        pair.sync(**values)
    assert pair.catalogs[1].database() is None


def test_a_tag_that_is_too_far_for_a_finer_target_is_a_finding(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (forever timestamp)",
        f"create table {SOURCE}.a using {SOURCE}.s tags (253402300799000)",
    )
    with pytest.raises(MigrationStopped, match="Table 'a': a timestamp in column 'forever' is too far away for"):
        pair.sync(database_options="PRECISION 'ns'")
