"""What is proposed for the target, with its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog, Database
from airflow_provider_tdengine.migration.planning import (
    Disk,
    Growth,
    Machines,
    Part,
    Preview,
    proposal,
    target_findings,
)

from ..conftest import TARGET, Pair
from ..documents import a_preview

GB = 10**9
DAY = 1440


def found(pair: Pair, tables: int, rows: int, size: int, growth: Growth, **options: object) -> Preview:
    """A dry run of a database whose rows have 100 bytes of values, and take `size` on disk."""
    return replace(
        a_preview("power", target_database=TARGET, **options),
        parts=[Part("meters", tables, rows, 100 * rows, size, False, 1.0)],
        disk=Disk({"meters": size / rows}, frozenset(), 1, {"meters": rows}),
        database=Database("power", Precision.US, (3650 * DAY,), 10 * DAY),
        growth=growth,
        target=Catalog(pair.target, TARGET).to_dict(),
    )


@pytest.mark.parametrize(
    ("tables", "size", "cores", "vgroups"),
    [
        (1, 1, 8, 1),
        (100_000, GB, 8, 1),
        (250_000, GB, 8, 3),
        (10, 450 * GB, 8, 5),
        (10, 4500 * GB, 8, 8),
        (10, 4500 * GB, None, 45),
    ],
)
@pytest.mark.parametrize("pair", ["3.3.3.0"], indirect=True)
def test_vgroups_follow_tables_and_disk(pair: Pair, tables: int, size: int, cores: int | None, vgroups: int) -> None:
    wanted = proposal(found(pair, tables, 10**9, size, Growth()), pair.catalogs[1], Machines(1, cores))
    assert wanted.vgroups == vgroups
    assert ("not more than the target has cores" in wanted.reasons["VGROUPS"]) == (vgroups == cores)
    assert f"VGROUPS {vgroups} BUFFER 16" in wanted.statement
    assert "PRECISION 'us' KEEP 5256000m DURATION 14400m" in wanted.statement
    assert wanted.disk == pytest.approx(1.3 * size, abs=1)


@pytest.mark.parametrize(("daily", "buffer"), [(0, 16), (24 * 10**5, 32), (24 * 10**6, 256), (24 * 10**9, 256)])
@pytest.mark.parametrize("pair", ["3.3.3.0"], indirect=True)
def test_a_third_of_the_buffer_holds_an_hour(pair: Pair, daily: int, buffer: int) -> None:
    """10^5 rows of 100 bytes an hour are 10 MB."""
    wanted = proposal(found(pair, 10, 10**9, GB, Growth(daily, 0)), pair.catalogs[1], Machines())
    assert wanted.buffer == buffer
    assert wanted.memory == buffer * 2**20 + 2_000_000


@pytest.mark.parametrize(("keep", "in_a_year"), [(3650, 465), (100, 100), (10, 100), (200, 200)])
@pytest.mark.parametrize("pair", ["3.3.3.0"], indirect=True)
def test_disk_in_a_year_is_no_more_than_keep_lets_stay(pair: Pair, keep: int, in_a_year: int) -> None:
    """100 GB, and a GB a day."""
    one = found(pair, 10, 10**9, 100 * GB, Growth(10**7, GB))
    one = replace(one, database=Database("power", Precision.MS, (keep * DAY,), DAY))
    assert proposal(one, pair.catalogs[1], Machines()).disk_in_a_year == pytest.approx(1.3 * in_a_year * GB)


@pytest.mark.parametrize("pair", ["3.3.3.0"], indirect=True)
def test_what_is_there_or_asked_for_is_not_proposed_anew(pair: Pair) -> None:
    one = found(pair, 10, 10**9, GB, Growth(), database_options="VGROUPS 6 CACHEMODEL 'both'")
    asked = proposal(one, pair.catalogs[1], Machines())
    assert (asked.vgroups, asked.reasons["VGROUPS"]) == (6, "as database_options says it")
    assert "VGROUPS 6 CACHEMODEL 'both' BUFFER 16" in asked.statement
    pair.target.execute(asked.statement)
    there = proposal(replace(one, exists=True), pair.catalogs[1], Machines())
    assert (there.vgroups, there.statement) == (6, "")
    assert there.reasons["VGROUPS"] == "as the target has it already"


@pytest.mark.parametrize("pair", ["3.3.3.0"], indirect=True)
def test_what_all_of_them_take_is_compared_with_the_machines(pair: Pair) -> None:
    wanted = [proposal(found(pair, 10, 10**9, GB, Growth()), pair.catalogs[1], Machines())] * 40
    assert not list(target_findings(wanted, Machines(), "ws://t"))
    assert not list(target_findings(wanted, Machines(1, 2, 2 * GB, 2, 42), "ws://t"))
    memory, vnodes = target_findings(wanted, Machines(1, 2, GB, 2, 41), "ws://t")
    assert memory.found == "751.1 MB of 1.0 GB would be the buffers of 40 new databases"
    assert (vnodes.found, vnodes.is_blocker) == ("39 are free, and 40 are needed for 40 new databases", True)
