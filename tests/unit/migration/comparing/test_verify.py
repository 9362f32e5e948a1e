"""Single faults put into a target: what each level of comparison sees, and what a repair makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import IncompleteResult
from airflow_provider_tdengine.client.sql import literal
from airflow_provider_tdengine.migration import retry

from ..conftest import ROWS_A_METER, SOURCE, TARGET, BoxPair, Pair, T, address

ROWS = 40
TABLES = ("d0", "d1", "d2", "t")
COLUMNS = ("i", "f", "d", "n", "b")


def row(number: int) -> tuple[object, ...]:
    """Values of a row; every fifth has none."""
    if number % 5 == 0:
        return (None,) * 5
    return number, number / 10, number / 3, f"测{number}", True


def values(number: int, time: int | None = None) -> str:
    texts = [str(T + number * 1000 if time is None else time), *map(literal, row(number))]  # type: ignore[arg-type]
    return f"({', '.join(texts)})"


@pytest.fixture
def devices(pair: Pair) -> Pair:
    """Three subtables with rows, an empty one and a normal table, migrated."""
    columns = "ts timestamp, i int, f float, d double, n nchar(8), b bool"
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s ({columns}) tags (g int)",
        f"create table {SOURCE}.t ({columns})",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.s tags ({i})" for i in range(4)),
        *(f"insert into {SOURCE}.{table} values {''.join(map(values, range(ROWS)))}" for table in TABLES),
    )
    assert not pair.migrate(verify="full").differences
    return pair


def changed(column: str, number: int) -> str:
    """Another value of a column in a row, as different as it can hardly be."""
    before = row(number)[COLUMNS.index(column)]
    if before is None:
        return {"n": "''", "b": "false"}.get(column, "0")
    return {
        "i": f"{number + 1}",
        # The next FLOAT, and the next DOUBLE but a few.
        "f": f"{number / 10 * (1 + 2**-23)!r}",
        "d": f"{number / 3 * (1 + 2**-51)!r}",
        "n": f"'测{number - 1}'" if len(str(number - 1)) == len(str(number)) else "'测x'",
        "b": "false",
    }[column]


@dataclass(frozen=True)
class Fault:
    """Something that is wrong in a target.

    Parameters:
        name: what.
        tables: those that differ by it.
        statements: what makes it so.
    """

    name: str
    tables: frozenset[str]
    statements: tuple[str, ...]


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    table, other = draw(st.permutations(TABLES))[:2]
    number = draw(st.integers(0, ROWS - 1))
    time = T + number * 1000
    column = draw(st.sampled_from(COLUMNS))
    delete = f"delete from {TARGET}.{{}} where ts = {time}"

    def insert(into: str, text: str) -> str:
        return f"insert into {TARGET}.{into} values {text}"

    makers: dict[str, Callable[[], tuple[set[str], list[str]]]] = {
        "row missing": lambda: ({table}, [delete.format(table)]),
        "row doubled in another table": lambda: ({other}, [insert(other, values(number, time + 500))]),
        "value changed": lambda: (
            {table},
            [f"insert into {TARGET}.{table} (ts, {column}) values ({time}, {changed(column, number)})"],
        ),
        "row shifted": lambda: ({table}, [delete.format(table), insert(table, values(number, time + 1))]),
        "rows swapped": lambda: (
            {table},
            [
                insert(table, values(number, T + (number + 1) % ROWS * 1000)),
                insert(table, values((number + 1) % ROWS, time)),
            ],
        ),
        "row in an empty table": lambda: ({"d3"}, [insert("d3", values(number))]),
        "tag changed": lambda: ({"d1"}, [f"alter table {TARGET}.d1 set tag g = {number + 100}"]),
        "table missing": lambda: ({"d2"}, [f"drop table {TARGET}.d2"]),
    }
    name = draw(st.sampled_from(sorted(makers)))
    tables, statements = makers[name]()
    return Fault(name, frozenset(tables), tuple(statements))


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(fault=faults())
def test_every_fault_is_found_and_mended(devices: Pair, fault: Fault) -> None:
    for statement in fault.statements:
        devices.target.execute(statement)
    comparison = devices.verify(verify="full")
    assert {difference.table for difference in comparison.differences} == fault.tables
    last = devices.prove(delete_extra=True, update_tags=True)
    assert last.verdict.is_equal, last.verdict.words
    source, target = devices.both()
    assert source == target


def test_tags_are_mended_only_where_somebody_asks_for_it(devices: Pair) -> None:
    devices.sql(f"alter table {SOURCE}.d0 set tag g = 77")
    comparison = devices.prove()
    assert [str(difference) for difference in comparison.differences] == ["d0: tag g 77 in the source, 0 in the target"]
    assert "if it is the same one, set update_tags" in comparison.obstacle
    comparison = devices.prove(update_tags=True)
    assert (comparison.differences, comparison.tags) == ([], 1)


@pytest.mark.parametrize("level", ["count", "aggregate", "full"])
def test_what_a_level_sees(devices: Pair, level: str) -> None:
    """A changed value is beyond counts; text of the same length is beyond sums."""
    devices.target.execute(f"insert into {TARGET}.d0 (ts, i) values ({T + 7000}, 8)")
    devices.target.execute(f"insert into {TARGET}.d1 (ts, n) values ({T + 7000}, '测8')")
    seen = {"count": set(), "aggregate": {"d0"}, "full": {"d0", "d1"}}[level]
    assert {difference.table for difference in devices.verify(verify=level).differences} == seen


def test_the_first_differing_rows_are_shown(devices: Pair) -> None:
    for number in (7, 8, 9, 11):
        devices.target.execute(f"insert into {TARGET}.d0 (ts, i) values ({T + number * 1000}, 99)")
    found = devices.verify()
    assert (found.different, found.missing, found.changed, found.extra) == (1, 0, 4, 0)
    assert found.shown[0] == f"d0: 2021-01-01 00:00:07 ({T + 7000}) has i 7 and 99"
    assert len(found.shown) == 3


def test_of_long_values_the_part_that_differs_is_shown(devices: Pair) -> None:
    devices.sql(
        f"create table {SOURCE}.x (ts timestamp, v binary(16000))",
        f"insert into {SOURCE}.x values ({T}, '{'a' * 7_000}b{'c' * 7_000}')",
    )
    assert not devices.migrate().differences
    devices.target.execute(f"insert into {TARGET}.x values ({T}, '{'a' * 7_000}d')")
    (shown,) = devices.verify(verify="full").shown
    assert len(shown) < 350
    assert "aab" + "c" * 49 + "… and …" in shown
    assert shown.endswith("aad'")


def test_what_cannot_be_mended_is_named(devices: Pair) -> None:
    devices.target.execute(f"drop table {TARGET}.d1")
    comparison = devices.prove(schema="none")
    assert {difference.table for difference in comparison.differences} == {"d1"}
    assert "Clear sync_schema" in comparison.obstacle
    assert comparison.mended_rows == 0


def test_extra_rows_stay_until_somebody_allows_to_delete_them(devices: Pair) -> None:
    devices.target.execute(f"insert into {TARGET}.d0 values {values(3, T + 500)}")
    comparison = devices.prove()
    assert [str(difference) for difference in comparison.differences] == ["d0: rows 40 in the source, 41 in the target"]
    assert comparison.deleted == 0
    comparison = devices.prove(delete_extra=True)
    assert (comparison.differences, comparison.deleted) == ([], 1)


@pytest.mark.parametrize("level", ["count", "full"])
def test_what_has_no_rows_is_missed_too(devices: Pair, level: str) -> None:
    columns = "ts timestamp, v int"
    devices.sql(
        f"create stable {SOURCE}.s2 ({columns}) tags (g int)",
        f"create table {SOURCE}.e using {SOURCE}.s2 tags (1)",
        f"create table {SOURCE}.t2 ({columns})",
        f"create stable {SOURCE}.k ({columns}) tags (g int)",
    )
    devices.target.execute(f"create table {TARGET}.k ({columns})")
    assert {str(difference) for difference in devices.verify(verify=level).differences} == {
        "s2: table there in the source, missing in the target",
        "t2: table there in the source, missing in the target",
        "k: kind super table in the source, normal table in the target",
    }
    devices.target.execute(f"drop table {TARGET}.k")
    comparison = devices.prove(verify=level)
    assert not comparison.differences
    assert devices.both()[0] == devices.both()[1]


def test_columns_and_tags_that_came_since(devices: Pair) -> None:
    devices.sql(
        f"alter table {SOURCE}.s add column w int",
        f"alter table {SOURCE}.s add tag h int",
        f"alter table {SOURCE}.d0 set tag h = 5",
        f"insert into {SOURCE}.d0 (ts, w) values ({T}, 7)",
    )
    assert [str(difference) for difference in devices.verify(verify="full").differences] == [
        "s: column w INT in the source, nothing in the target",
        "s: tag h INT in the source, nothing in the target",
    ]
    assert not devices.verify(verify="full", exclude_columns="w", schema="none").differences
    assert not devices.prove().differences
    assert devices.both()[0] == devices.both()[1]


def test_what_an_answer_lacks_is_not_deleted(meters: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer that is cut, the other rows seem to be only in the target."""
    meters.migrate()
    meters.target.execute(f"insert into {TARGET}.d0 values ({T + 10_000}, 99, 'n')")
    over_rest = BoxPair(Client(address(meters.source_box, "http")), meters.target, *(2 * [meters.source_box]))
    meters.source_box.faults.truncate_rest(20)
    monkeypatch.setattr(retry, "PAUSE", 0.0)
    with pytest.raises(IncompleteResult):
        over_rest.prove(delete_extra=True)
    meters.source_box.faults.clear()
    assert meters.target.rows(f"select count(*) from {TARGET}.d0") == [(ROWS_A_METER,)]


def test_no_repair_without_rounds(devices: Pair) -> None:
    devices.target.execute(f"delete from {TARGET}.d0 where ts = {T}")
    comparison = devices.prove(repair_rounds=0)
    assert (comparison.different, comparison.missing, comparison.mended_rows) == (1, 1, 0)


def test_a_batch_is_proven_by_reading_the_target_alone(meters: BoxPair) -> None:
    """Copying has seen every row; comparing reads none of the source again."""
    meters.sync()
    copied = meters.copy_batches()
    before, known = meters.source_box.rows_read, len(meters.source_box.statements)
    found = meters.verify(copied=copied)
    assert (found.verdict.words, found.levels) == ("Equal as copied: 3,000 rows in 3 tables", {"digest": 1})
    asked = [statement for statement in meters.source_box.statements[known:] if f"{SOURCE}`.`meters" in statement]
    asked = [statement for statement in asked if "TAGS" not in statement and "DESCRIBE" not in statement]
    assert all("COUNT(" in statement.upper() for statement in asked)
    assert meters.source_box.rows_read - before <= len(asked) + 3


def test_a_source_that_changed_since_is_read_again(meters: BoxPair) -> None:
    meters.sync()
    copied = meters.copy_batches()
    meters.sql(f"insert into {SOURCE}.d1 values ({T + 1}, 7, 'late')")
    found = meters.prove(copied=copied)
    assert (found.verdict.kind.value, found.reread, found.mended) == ("equal", 1, 1)
    assert meters.target.rows(f"select count(*) from {TARGET}.d1") == [(ROWS_A_METER + 1,)]


def test_a_server_that_is_busy_is_waited_for(meters: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed the comparison, and with it the run."""
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    meters.sync()
    copied = meters.copy_batches()
    meters.target_box.faults.answer_with(0x0914, "Sync leader is restoring", times=1, matching="from `mig_dst`")
    assert meters.verify(copied=copied).verdict.is_equal


def test_of_many_sites_only_the_own_one_is_read(meters: BoxPair) -> None:
    """A super table of the target may hold other tables than those that are compared."""
    meters.migrate(rename_tables="* -> north_*")
    for i in range(5):
        meters.target.execute(f"insert into {TARGET}.south_{i} using {TARGET}.meters tags (1) values ({T}, 1, 'n')")
    before = meters.target_box.rows_read
    copied = meters.copy_batches(rename_tables="* -> north_*")
    found = meters.verify(copied=copied, rename_tables="* -> north_*")
    assert found.levels == {"digest": 1}
    assert meters.target_box.rows_read - before <= 3 * ROWS_A_METER + 50
