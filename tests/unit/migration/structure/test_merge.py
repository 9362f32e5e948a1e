"""Several sources into one database: a subtable of another device is never overwritten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.following import Follower
from airflow_provider_tdengine.migration.planning import preview
from airflow_provider_tdengine.migration.structure import tags

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T


def site(pair: Pair, name: str, value: int, *more: str) -> None:
    """The source of a site: two devices of which one has rows, called the same in all sites."""
    pair.sql(
        f"drop database if exists {SOURCE}",
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (loc nchar(10), line int)",
        f"create table {SOURCE}.d1 using {SOURCE}.m tags ('{name}', 1)",
        f"create table {SOURCE}.d2 using {SOURCE}.m tags ('{name}', 2)",
        f"insert into {SOURCE}.d1 values ({T}, {value}) ({T + 1}, {value})",
        *(text.replace("{}", SOURCE) for text in more),
    )


@pytest.fixture
def north(pair: Pair) -> Pair:
    """The site north has been migrated; the source is the site south now, which has more tables."""
    site(pair, "north", 1)
    assert not pair.migrate().differences
    site(pair, "south", 2, "create table {}.d3 using {}.m tags ('south', 3)", "create table {}.t (ts timestamp, v int)")
    return pair


NORTH = {"d1": (("north", 1), [(T, 1), (T + 1, 1)]), "d2": (("north", 2), [])}


def test_a_second_site_with_the_same_names_stops_before_anything_is_written(north: Pair) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        north.sync()
    assert str(stopped.value) == (
        "Table 'd1': the target has it already, with rows and with other tags: loc is 'north' and would be 'south'. "
        "If it is another device, give rename_tables a rule that keeps them apart, such as * -> site_*, and add_tags "
        "a tag that says where it is from; if it is the same one, set update_tags."
    )
    assert north.both()[1] == NORTH


def test_a_dry_run_says_so(north: Pair) -> None:
    (finding,) = preview(*north.catalogs, north.options()).blockers
    assert "loc is 'north' and would be 'south'" in finding.found


def test_names_of_its_own_are_a_way_out(north: Pair) -> None:
    assert not north.migrate(rename_tables="* -> south_*", add_tags="site=south").differences
    found = {name: (set(values), rows) for name, (values, rows) in north.both()[1].items()}
    assert found["d1"] == ({"north", 1, None}, [(T, 1), (T + 1, 1)])
    assert found["south_d1"] == ({"south", 1}, [(T, 2), (T + 1, 2)])


def test_the_same_devices_are_the_other_way_out(north: Pair) -> None:
    assert north.sync(update_tags=True).tags == 2
    north.copy(update_tags=True)
    assert north.both()[1] == north.both()[0]


def test_tags_of_a_subtable_without_rows_are_corrected(north: Pair) -> None:
    """Nobody's data hangs on it."""
    report = north.sync(exclude="d1")
    assert (report.tags, report.tables) == (1, 2)
    assert north.both()[1] == {**NORTH, "d2": (("south", 2), []), "d3": (("south", 3), []), "t": ((), [])}


@pytest.mark.parametrize("update_tags", [False, True])
def test_the_value_of_a_constant_tag_says_whose_a_subtable_is(pair: Pair, update_tags: bool) -> None:
    site(pair, "x", 1)
    pair.migrate(add_tags="site=north")
    site(pair, "x", 2)
    with pytest.raises(MigrationStopped, match=r"site is 'north' and would be 'south'\. It is another site's: give"):
        pair.sync(add_tags="site=south", update_tags=update_tags)
    assert pair.sync(add_tags="site=south", exclude="d1").tags == 1


def test_a_subtable_without_a_constant_tag_may_be_another_sites(pair: Pair) -> None:
    site(pair, "x", 1)
    pair.migrate()
    with pytest.raises(MigrationStopped, match="site is None and would be 'south'"):
        pair.sync(add_tags="site=south")
    assert pair.sync(add_tags="site=south", update_tags=True).tags == 2


def test_a_tag_that_the_target_never_had_is_filled(pair: Pair) -> None:
    """It says nothing of whose a subtable is."""
    site(pair, "x", 1)
    pair.migrate()
    pair.sql(f"alter table {SOURCE}.m add tag h int", f"alter table {SOURCE}.d1 set tag h = 5")
    report = pair.sync()
    assert (report.columns, report.tags) == (["m.h"], 1)
    assert pair.both()[0] == pair.both()[1]


def test_a_value_that_the_target_cannot_hold_is_a_finding_where_the_subtable_is_there(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (forever timestamp)",
        f"create table {SOURCE}.d1 using {SOURCE}.m tags (253402300799000)",
    )
    pair.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    pair.target.execute(f"create stable {TARGET}.m (ts timestamp, v int) tags (forever timestamp)")
    pair.target.execute(f"create table {TARGET}.d1 using {TARGET}.m tags (1)")
    with pytest.raises(MigrationStopped, match="Table 'd1': a timestamp in column 'forever' is too far away for"):
        pair.sync()


def test_it_costs_few_statements(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of names at a time; only those that differ are asked for rows."""
    monkeypatch.setattr(tags, "TAG_PAGE", 10)
    monkeypatch.setattr("airflow_provider_tdengine.migration.structure.schema.TAG_PAGE", 10)
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values ({T}, 1)" for i in range(25)),
    )
    faulty.migrate()
    faulty.target_box.statements.clear()
    faulty.sync()
    by_name = [text for text in faulty.target_box.statements if "tbname IN" in text]
    assert [text for text in by_name if "COUNT" in text] == []
    assert len(by_name) == 3
    faulty.sql(f"alter table {SOURCE}.d7 set tag g = 99")
    faulty.target_box.statements.clear()
    with pytest.raises(MigrationStopped, match="Table 'd7'"):
        faulty.sync()
    (asked,) = [text for text in faulty.target_box.statements if "tbname IN" in text and "COUNT" in text]
    assert "'d7'" in asked
    assert "'d1'" not in asked


def test_following_corrects_tags_and_stops_at_another_sites_subtable(pair: Pair) -> None:
    site(pair, "x", 1)
    options = pair.options(mode="realtime", add_tags="site=south")
    pair.sync(add_tags="site=south")
    pair.copy(add_tags="site=south")
    pair.sql(f"alter table {SOURCE}.d1 set tag line = 7")
    follower = Follower(*pair.catalogs, options)
    position = follower.round(follower.position(None)).position
    assert pair.both()[1]["d1"][0] == ("x", 7, "south")
    pair.target.execute(f"insert into {TARGET}.d3 using {TARGET}.m tags ('x', 3, 'north') values ({T}, 1)")
    pair.sql(f"create table {SOURCE}.d3 using {SOURCE}.m tags ('x', 3)")
    with pytest.raises(MigrationStopped, match=r"Table 'd3': .* site is 'north' and would be 'south'"):
        follower.round(replace(position, next_look=0.0))
