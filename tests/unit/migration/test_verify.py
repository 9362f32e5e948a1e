"""Single faults put into a target: what each level of comparison sees, and what a repair makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_tdengine.migration.repair import prove

from .conftest import SOURCE, TARGET, Pair, T

ROWS = 40

FAULTS = {
    "a row is missing": f"delete from {TARGET}.d1 where ts = {T + 7}",
    "the first row is missing": f"delete from {TARGET}.d1 where ts = {T}",
    "a row too many": f"insert into {TARGET}.d1 values ({T + 7_500}, 1, 0.5, 0.25, 'x', true)",
    "an integer": f"insert into {TARGET}.d1 (ts, i) values ({T + 7_000}, 999)",
    "a last digit": f"insert into {TARGET}.d1 (ts, f) values ({T + 7_000}, 0.70000005)",
    "zero in place of NULL": f"insert into {TARGET}.d1 (ts, i) values ({T + 5_000}, 0)",
    "no text in place of NULL": f"insert into {TARGET}.d1 (ts, n) values ({T + 5_000}, '')",
    "another text of the same length": f"insert into {TARGET}.d1 (ts, n) values ({T + 7_000}, '测8')",
    "a flag": f"insert into {TARGET}.d1 (ts, b) values ({T + 7_000}, false)",
}


@pytest.fixture
def devices(pair: Pair) -> Iterator[Pair]:
    """Three subtables and a normal table, migrated; every fifth row of NULL."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, i int, f float, d double, n nchar(8), b bool) tags (g int)",
        f"create table {SOURCE}.t (ts timestamp, i int, f float, d double, n nchar(8), b bool)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.s tags ({i})" for i in range(4)),
    )
    values = "".join(
        f"({T + row * 1000},{'null,null,null,null,null' if row % 5 == 0 else f'{row},{row / 10},{row / 3},{chr(39)}测{row}{chr(39)},true'})"
        for row in range(ROWS)
    )
    for table in ("d0", "d1", "d2", "t"):
        pair.sql(f"insert into {SOURCE}.{table} values {values}")
    assert not pair.migrate(verify="full").differences
    yield pair


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_seen_and_mended(devices: Pair, fault: str) -> None:
    devices.target.execute(FAULTS[fault].replace(f"= {T + 7}", f"= {T + 7_000}"))
    comparison = devices.verify(verify="full")
    assert {difference.table for difference in comparison.differences} == {"d1"}
    assert [piece.table for piece in comparison.pieces] == ["d1"]
    assert len(comparison.pieces[0].shown) == 1
    last, repairs = prove(*devices.catalogs, devices.options(verify="full", delete_extra=True))
    assert not last.differences
    assert len(repairs) == 1
    assert devices.both()[0] == devices.both()[1]
