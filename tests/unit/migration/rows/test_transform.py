"""What changes on the way: names, constant tags, columns and rows; as rules, and from server to server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.migration.catalog import Scope, Table
from airflow_provider_tdengine.migration.copying import MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.migration.rows import Renaming, Transform, pinned_renaming
from airflow_provider_tdengine.migration.storage import this_host

from ..conftest import SOURCE, TARGET, Pair, T

NAMES = st.text(st.characters(exclude_characters="`", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("rules", "old", "new"),
    [
        ("", "d1", "d1"),
        ("d1 -> kitchen", "d1", "kitchen"),
        ("d1 -> kitchen", "d11", "d11"),
        ("* -> site_*", "d1", "site_d1"),
        ("* -> *_old", "d1", "d1_old"),
        ("d* -> m*", "d.1", "m.1"),
        ("d? -> m?", "d1", "m1"),
        ("d? -> m?", "d12", "d12"),
        ("a*b? -> x*y?", "a12bc", "x12yc"),
        ("a.* -> b.*", "axc", "axc"),
        ("* -> \\1*", "d1", "\\1d1"),
        ("/^old_/ -> ", "old_d1", "d1"),
        ("/^d(\\d+)$/ -> meter_\\1", "d17", "meter_17"),
        ("/(?P<n>\\d)/ -> <\\g<n>>", "d17", "d<1>7"),
        ("/\\./ -> _", "a.b", "a_b"),
        ("d1 -> one; * -> x*", "d1", "one"),
        ("d1 -> one\n* -> x*\n* -> y*", "d2", "xd2"),
        ("* -> x*; d1 -> one", "d1", "one"),
    ],
)
def test_rules(rules: str, old: str, new: str) -> None:
    assert Renaming.parse(rules)(old) == new


@given(NAMES, NAMES)
def test_a_prefix_and_a_suffix_keep_the_name(name: str, more: str) -> None:
    plain = more.replace("*", "").replace("?", "").replace(";", "").strip()
    if not plain or plain[0] in "/@" or "->" in plain:
        return
    assert Renaming.parse(f"* -> {plain}*")(name) == plain + name
    assert Renaming.parse(f"* -> *{plain}")(name) == name + plain


def test_columns_may_be_named_with_their_table() -> None:
    rename = Renaming.parse("meters.v -> volts; v -> value; weather.* -> w_*")
    assert [rename("v", "meters"), rename("v", "pumps"), rename("t", "weather")] == ["value", "value", "w_t"]
    assert Renaming.parse("meters.v -> volts")("v", "meters") == "volts"
    assert Renaming.parse("meters.v -> volts")("v", "pumps") == "v"


def test_names_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text('d1,kitchen\n"d,2","a ""b"""\n\n测试,test\n', encoding="utf-8")
    rename = Renaming.parse(f"@{file}\n* -> x*")
    assert [rename(name) for name in ("d1", "d,2", "测试", "d3")] == ["kitchen", 'a "b"', "test", "xd3"]


def test_a_run_means_the_new_names_that_a_file_said_when_it_was_resolved(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text("d1,kitchen\n", encoding="utf-8-sig")
    options = MigrationOptions(rename_tables=f"@{file}; * -> x*", rename_columns="a -> b; c -> d")
    resolved = pinned_renaming(options)
    assert pinned_renaming(resolved) == resolved
    assert resolved.rename_columns == "a -> b; c -> d"
    assert Transform.of(resolved).tables("d1") == "kitchen"
    file.write_text("d1,cellar\n")
    with pytest.raises(MigrationStopped) as stopped:
        Transform.of(resolved)
    assert str(stopped.value) == (
        f"Option 'rename_tables': the file '{file}' has changed since the run was resolved, or is another one on "
        f"{this_host()}. Bring back what it was, the same on all workers, or start a new run."
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rename_tables": "d1"}, "Option 'rename_tables': 'd1' is not a rule such as old -> new"),
        ({"rename_tables": "d1 ->"}, "Option 'rename_tables': 'd1 ->' is not a rule such as old -> new"),
        ({"rename_stables": "d* -> x"}, "'d*' -> 'x': both sides need the same * and ?, in the same order"),
        ({"rename_columns": "/(/ -> x"}, "'/(/' -> 'x' is not a regular expression and its replacement: missing )"),
        ({"rename_columns": "/a/ -> \\1"}, "'/a/' -> '\\\\1' is not a regular expression and its replacement: invalid"),
        ({"rename_columns": "/a -> x"}, "the regular expression '/a' must stand between two slashes"),
        ({"rename_tables": "@/no/such.csv"}, "the file '/no/such.csv' cannot be read as UTF-8 text on host "),
        ({"add_tags": "site"}, "Option 'add_tags': 'site' is not a tag such as site=beijing or line:INT=3"),
        ({"add_tags": "line:INT=x"}, "'x' is not a value of INT, the type of tag 'line'"),
        ({"add_tags": "line:TINYINT=128"}, "'128' is not a value of TINYINT, the type of tag 'line'"),
        ({"add_tags": "x:DOUBLE=nan"}, "'nan' is not a value of DOUBLE, the type of tag 'x'"),
        ({"add_tags": "x:JSON={}"}, "'{}' is not a value of JSON, the type of tag 'x'"),
        ({"add_tags": "x:NCHAR(2)=abc"}, "'abc' is too long for NCHAR(2), the type of tag 'x'"),
        ({"add_tags": "x:WORD=1"}, "'WORD' of column 'x' is not a TDengine type"),
        ({"where": "v > 0; drop database x"}, "has ';', which no single condition has outside of quotes"),
        ({"where": "v > 0 -- all"}, "has '--', which no single condition has outside of quotes"),
        ({"where": "v > 0) or (v < 0"}, "has brackets that do not match"),
        ({"where": "v > 'x"}, 'has "\'", which no single condition has outside of quotes'),
        ({"where": "note = 'tbname' and TBNAME in ('d1')"}, "asks for tbname; tables and exclude are there to name"),
        ({"where": "v > 0 limit 1"}, "says limit, which no condition does; quote it if it is a name"),
    ],
)
def test_bad_rules_are_findings(values: dict[str, str], sentence: str) -> None:
    options = MigrationOptions.checked({"source_database": "a", "target_database": "b", **values})
    with pytest.raises(MigrationStopped) as stopped:
        Transform.of(options)
    assert sentence in str(stopped.value)


@pytest.mark.parametrize(
    ("text", "sql_type", "value"),
    [
        ("site=beijing", "VARCHAR(64)", "beijing"),
        ("a=" + "x" * 100, "VARCHAR(100)", "x" * 100),
        ("a:NCHAR(2)=北京", "NCHAR(2)", "北京"),
        ("a:INT=-3", "INT", -3),
        ("a:bigint unsigned=18446744073709551615", "BIGINT UNSIGNED", 2**64 - 1),
        ("a:BOOL=True", "BOOL", True),
        ("a:DOUBLE=0.1", "DOUBLE", 0.1),
        ("a = b = c", "VARCHAR(64)", "b = c"),
    ],
)
def test_constant_tags(text: str, sql_type: str, value: Value) -> None:
    options = MigrationOptions.checked({"source_database": "a", "target_database": "b", "add_tags": text})
    (tag,) = Transform.of(options).tags
    assert (tag.field.sql_type, tag.value) == (sql_type, value)


@pytest.fixture
def edge(pair: Pair) -> Pair:
    """Two super tables and a normal table, with names that an edge site would give."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, v int, note nchar(8)) tags (g int)",
        f"create stable {SOURCE}.pumps (ts timestamp, v double, on_off bool) tags (g int)",
        f"create table {SOURCE}.d1 using {SOURCE}.meters tags (1)",
        f"create table {SOURCE}.d2 using {SOURCE}.meters tags (2)",
        f"create table {SOURCE}.p1 using {SOURCE}.pumps tags (null)",
        f"create table {SOURCE}.plain (ts timestamp, v int)",
        f"insert into {SOURCE}.d1 values ({T}, 1, 'a') ({T + 1}, 2, null) ({T + 2}, -3, '零')",
        f"insert into {SOURCE}.d2 values ({T}, 4, 'd')",
        f"insert into {SOURCE}.p1 values ({T}, 0.1, true) ({T + 1}, null, false)",
        f"insert into {SOURCE}.plain values ({T}, 7)",
    )
    return pair


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_everything_renamed(edge: Pair, strategy: str, tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text("d1,kitchen\nplain,list\n", encoding="utf-8")
    values = {
        "strategy": strategy,
        "rename_stables": "meters -> power_meters; * -> *_all",
        "rename_tables": f"@{file}\n/^([a-z])/ -> bj_\\1",
        "rename_columns": "v -> value\nts -> moment\npumps.on_off -> running\ng -> group",
    }
    comparison = edge.migrate(**values)
    assert not comparison.differences
    rows = {name: total.rows for name, total in comparison.stables.items()}
    assert rows == {"power_meters": 4, "pumps_all": 2, "": 1}
    source, target = edge.both()
    new = {"d1": "kitchen", "d2": "bj_d2", "p1": "bj_p1", "plain": "list"}
    assert target == {new[name]: content for name, content in source.items()}
    fields = {table.name: [field.name for field in table.columns + table.tags] for table in tables(edge)}
    assert fields == {
        "power_meters": ["moment", "value", "note", "group"],
        "pumps_all": ["moment", "value", "running", "group"],
        "list": ["moment", "value"],
    }
    assert not edge.sync(**values).changed


def tables(pair: Pair) -> list[Table]:
    return pair.catalogs[1].tables(Scope())


def test_a_finished_batch_with_new_names_is_not_copied_again(edge: Pair) -> None:
    options = edge.options(rename_tables="d1 -> z1; d2 -> a2", stables="meters")
    edge.sync(rename_tables=options.rename_tables, stables="meters")
    (batch,) = make_plan(*edge.catalogs, options)
    progress = MemoryProgress()
    first = copy_batch(*edge.catalogs, batch, options, progress)
    again = copy_batch(*edge.catalogs, batch, options, progress)
    assert (first.rows, again.rows) == (4, 4)
    edge.target.execute(f"delete from {TARGET}.z1 where ts = {T}")
    assert copy_batch(*edge.catalogs, batch, options, progress).rows == 4
    assert not edge.verify(rename_tables=options.rename_tables, stables="meters").differences


def test_many_sites_in_one_centre(edge: Pair) -> None:
    """Each site keeps its own tables, also when the second run comes."""
    beijing = {"add_tags": "site=beijing; line:INT=1", "rename_tables": "* -> beijing_*"}
    shanghai = {"add_tags": "site=shanghai; line:INT=2", "rename_tables": "* -> shanghai_*"}
    for values in (beijing, shanghai, beijing):
        assert not edge.migrate(**values).differences
    rows = edge.target.rows(f"select site, line, count(*) from {TARGET}.meters partition by site, line")
    assert sorted(rows) == [("beijing", 1, 4), ("shanghai", 2, 4)]
    assert edge.verify(**beijing).extra_tables == 0, "other sites' tables are not even listed"
    edge.target.execute(f"create table {TARGET}.beijing_d9 using {TARGET}.meters (site) tags ('beijing')")
    assert edge.verify(**beijing).extra_tables == 1
    assert not edge.sync(**shanghai).changed


def test_another_sites_table_is_found_before_anything_is_written(edge: Pair) -> None:
    edge.migrate(add_tags="site=beijing")
    edge.sql(f"create table {SOURCE}.d3 using {SOURCE}.meters tags (3)")
    with pytest.raises(MigrationStopped) as stopped:
        edge.sync(add_tags="site=shanghai")
    assert (
        "Table 'd1': the target has it already, with rows and with other tags: site is 'beijing' and would be "
        "'shanghai'. It is another site's: give rename_tables a rule that keeps them apart, such as * -> site_*."
        in str(stopped.value)
    )
    assert str(stopped.value).startswith("3 findings:\n")
    assert "d3" not in edge.both()[1]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"rename_tables": "/\\d/ -> "},
            "Tables 'd1', 'd2': all of them would be called 'd' in the target. "
            "Give rename_stables or rename_tables rules with different results, or leave some out with exclude.",
        ),
        ({"rename_tables": "d1 -> p1"}, "Tables 'd1', 'p1': all of them would be called 'p1' in the target"),
        (
            {"rename_stables": "/.*/ -> all"},
            "Tables 'meters', 'pumps': all of them would be called 'all' in the target",
        ),
        (
            {"rename_columns": "meters.note -> v"},
            "Table 'meters': it would have several columns or tags called 'v' in the target. "
            "Give rename_columns or add_tags other names.",
        ),
        ({"add_tags": "v=1"}, "Table 'meters': it would have several columns or tags called 'v' in the target"),
        (
            {"rename_tables": "d1 -> meters"},
            "Table 'meters': a super table has this name, too. Give it another one with rename_tables.",
        ),
        (
            {"rename_tables": "d1 -> a.b"},
            "Table 'a.b': its name has a dot, which TDengine 3 refuses. "
            "Give it another one with rename_stables or rename_tables, or leave it out.",
        ),
        ({"rename_tables": "/d1/ -> "}, "Table '': its name is empty or has a single backtick, which SQL cannot say"),
        ({"rename_columns": "note -> " + "x" * 65}, "its name has more than 64 bytes. Give it another one with rename"),
        ({"columns": "volts"}, "Option 'columns': no table in scope has a column 'volts'. Give columns that are there"),
        ({"exclude_columns": "x*"}, "Option 'exclude_columns': no table in scope has a column 'x*'"),
        ({"where": "note is not null"}, "Option 'where': the source refuses it for table 'p"),
    ],
)
def test_findings_before_anything_is_written(edge: Pair, values: dict[str, str], sentence: str) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        edge.sync(**values)
    assert sentence in str(stopped.value)
    assert edge.catalogs[1].database() is None


def test_collisions_are_found_without_schema_sync_too(edge: Pair) -> None:
    edge.sync()
    with pytest.raises(MigrationStopped, match="Tables 'd1', 'd2': all of them would be called 'd1' in the target"):
        edge.copy(schema="none", rename_tables="d2 -> d1")


def test_a_time_column_of_another_name_says_how_to_map_it(edge: Pair) -> None:
    edge.target.execute(f"create database {TARGET} keep 36500")
    edge.target.execute(f"create stable {TARGET}.meters (`when` timestamp, v int, note nchar(8)) tags (g int)")
    with pytest.raises(MigrationStopped) as stopped:
        edge.sync()
    assert "its time column would be 'ts', and the target's is 'when'. Say ts -> when in rename_columns." in str(
        stopped.value
    )
    assert not edge.migrate(stables="meters", rename_columns="ts -> when").differences


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
@pytest.mark.parametrize("values", [{"columns": "v"}, {"exclude_columns": "meters.note, on_*"}])
def test_columns_that_stay_behind(edge: Pair, strategy: str, values: dict[str, str]) -> None:
    assert not edge.migrate(strategy=strategy, **values).differences
    source, target = edge.both()
    assert target == {name: (tags, [row[:2] for row in rows]) for name, (tags, rows) in source.items()}


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_rows_that_are_filtered(edge: Pair, strategy: str) -> None:
    comparison = edge.migrate(strategy=strategy, where="v > 1 AND v < 5", stables="meters")
    assert not comparison.differences
    assert comparison.rows == 2
    assert {name: [row[1] for row in rows] for name, (_, rows) in edge.both()[1].items()} == {"d1": [2], "d2": [4]}
