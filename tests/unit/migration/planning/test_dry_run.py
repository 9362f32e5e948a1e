"""What a dry run says: the plan, without a trace of it in the target."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.planning import Preview, preview

from ..conftest import SOURCE, TARGET, Pair, T

DAY = 86_400_000


@pytest.fixture
def power(pair: Pair) -> Pair:
    """Three subtables of ten rows and a normal table of one, all of January 2021."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, v int, note nchar(8)) tags (g int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.meters tags ({i})" for i in range(3)),
        f"create table {SOURCE}.plain (ts timestamp, v double)",
        *(
            f"insert into {SOURCE}.d{i} values " + "".join(f"({T + row * DAY},{row},'n')" for row in range(10))
            for i in range(3)
        ),
        f"insert into {SOURCE}.plain values ({T},1)",
    )
    return pair


def look(pair: Pair, **values: object) -> Preview:
    return preview(*pair.catalogs, pair.options(**values))


def test_it_says_what_would_happen(power: Pair) -> None:
    found = look(power)
    assert (found.tables, found.rows, found.blockers) == (4, 31, [])
    assert [(batch.label, strategy) for batch, strategy in found.batches] == [
        ("meters d0…d2 · 2021-01", "sparse"),
        ("tables plain · 2021-01-01", "dense"),
    ]
    # A timestamp and an INT, and the text of one character with its length.
    assert 31 * 12 < found.bytes < 31 * 60
    assert found.seconds > 0
    assert found.strategies == {"sparse": 1, "dense": 1}
    lines = list(found.lines())
    assert lines[0].startswith("4 tables, 31 rows, about ")
    assert "  meters d0…d2 · 2021-01: 3 tables, 30 rows, sparse" in lines
    assert "Nothing stands in the way" in lines
    assert power.catalogs[1].database() is None


def test_it_agrees_with_the_run(power: Pair) -> None:
    planned = look(power, start="2021-01-03")
    power.sync()
    copied = power.copy(start="2021-01-03")
    assert [strategy for _, strategy in planned.batches] == [batch.strategy for batch in copied]
    assert planned.rows == sum(batch.rows for batch in copied) == 24


def test_limits_make_it_longer(power: Pair) -> None:
    assert look(power, max_rows_per_second=1).seconds >= 31
    assert look(power, max_bytes_per_second=1).seconds >= 31 * 12


def test_all_findings_at_once(power: Pair) -> None:
    power.target.execute(f"create database {TARGET} precision 'ms' keep 90 duration 10")
    power.target.execute(f"create table {TARGET}.meters (ts timestamp, v int)")
    found = look(power)
    text = "\n".join(found.lines())
    assert {finding.object for finding in found.blockers} == {"Table 'meters'", "Table 'plain'"}
    assert "it is a super table in the source and a normal table in the target" in text
    assert "30 rows from 2021-01-01 on are older than the 90 days" in text
    assert look(power, on_expired="raise_keep", exclude="meters").blockers == []
    database = power.catalogs[1].database()
    assert database is not None
    assert max(database.keep) == 90 * 1440


def test_a_target_that_must_be_there(power: Pair) -> None:
    (finding,) = look(power, schema="none").blockers
    assert "has no database" in str(finding)


def test_structure_alone_has_no_batches(power: Pair) -> None:
    assert look(power, schema="only").batches == []


@pytest.mark.parametrize(
    ("first", "last", "is_part", "expected"),
    [
        (T, T + 5, False, "2021-01-01"),
        (T, T + 30 * DAY, False, "2021-01"),
        (T, T + 31 * DAY, False, "2021-01…2021-02"),
        (T, T + 90_000_000, True, "2021-01-01 00:00…2021-01-02 01:00"),
        (-1, -1, False, "1969-12-31"),
        (T, 2**62, False, ""),
    ],
)
def test_periods(first: int, last: int, is_part: bool, expected: str) -> None:
    assert wording.period(first, last, Precision.MS, is_part=is_part) == expected


def test_names_fit_into_the_grid() -> None:
    assert wording.name("d1") == "d1"
    assert len(wording.name("x" * 192)) < 61


def test_sizes_and_durations() -> None:
    assert [wording.size(n) for n in (0, 999, 1000, 1_234_567, 10**16)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "1.2 MB",
        "10000.0 TB",
    ]
    assert [wording.duration(n) for n in (0, 59, 61, 3600, 11_100, 200_000)] == [
        "1 s",
        "59 s",
        "1 min",
        "1 h",
        "3 h 5 min",
        "2 d 7 h",
    ]
