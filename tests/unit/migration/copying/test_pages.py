"""Servers without WebSocket: rows are read by pages of the primary key, and none is lost or doubled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.migration.copying import dense

from ..conftest import SOURCE, BoxPair, T, address


@pytest.fixture
def rest(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> BoxPair:
    """A pair whose source speaks REST only, with pages of seven rows."""
    monkeypatch.setattr(dense, "_PAGE_ROWS", 7)
    return replace(faulty, source=Client(address(faulty.source_box, "http")))


@pytest.mark.parametrize("rows", [0, 1, 6, 7, 8, 14, 50])
def test_pages_by_time(rest: BoxPair, rows: int) -> None:
    rest.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, u bigint unsigned, big bigint, note nchar(9))",
        *(
            f"insert into {SOURCE}.t values ({T * 1000 + row}, {2**64 - 2 - row}, {-(2**62) - row}, '页{row}')"
            for row in range(rows)
        ),
    )
    comparison = rest.migrate()
    assert (comparison.rows, comparison.differences) == (rows, [])
    source, target = rest.both()
    assert target == source
    assert len(source["t"][1]) == rows


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("times", [1, 4, 30])
def test_pages_by_both_keys(rest: BoxPair, times: int) -> None:
    """Thirty rows at one, four or thirty timestamps: a page ends in the middle of a timestamp."""
    rest.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, k int primary key, v int)",
        *(f"insert into {SOURCE}.t values ({T + row % times}, {row - 15}, {row})" for row in range(30)),
    )
    assert not rest.migrate().differences
    source, target = rest.both()
    assert target == source
    assert len(source["t"][1]) == 30
