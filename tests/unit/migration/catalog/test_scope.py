"""Scope: the same tables are meant whether the server says it or this package."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.migration.catalog import Patterns, Scope, count, holdings, pinned, together
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.storage import this_host

from ..conftest import SOURCE, Pair, T

NAMES = [
    "a_b",
    "axb",
    "a%b",
    "a\\b",
    "Abc",
    "abc",
    "测试_1",
    "测x1",
    "测试",
    "it's",
    'a "b"',
    "a_b_c",
    "a*b",
    "x" * 150,
]


@pytest.fixture
def named(pair: Pair) -> Pair:
    """A super table with a subtable of each name, each with a row."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.{identifier(name)} using {SOURCE}.s tags (1) values ({T}, 1)" for name in NAMES),
    )
    return pair


@st.composite
def globs(draw: st.DrawFn) -> str:
    """A name in which some characters have given way to wildcards or to others, perhaps with a super table."""
    signs = list(draw(st.sampled_from(NAMES)))
    for _ in range(draw(st.integers(0, 3))):
        i = draw(st.integers(0, len(signs) - 1))
        signs[i : i + draw(st.integers(0, 3))] = draw(st.sampled_from("**?aA_%\\测'"))
    return draw(st.sampled_from(["", "", "s.", "?.", "*."])) + "".join(signs)


def test_a_server_is_asked_for_all_that_is_meant(named: Pair) -> None:
    source, _ = named.catalogs
    stable = source.describe("s")

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(globs(), max_size=3), st.lists(globs(), max_size=2))
    def check(tables: list[str], exclude: list[str]) -> None:
        scope = Scope(tables=Patterns(tuple(tables)), exclude=Patterns(tuple(exclude)))
        meant = {name for name in NAMES if scope.has_subtable(name, "s")}
        assert {subtable.name for subtable in source.subtables(stable, scope)} == meant
        found = holdings(source, stable, scope, (None, T + 1))
        assert set(found.names) == meant
        assert count(source, stable, scope, (None, T + 1)) == len(meant)
        assert getattr(together(source, stable, scope, (None, T + 1)), "rows", 0) == len(meant)

    check()


@pytest.mark.parametrize(
    ("tables", "condition"),
    [
        ([], []),
        (["d1", "it's"], [r"(tbname IN ('d1','it\'s') OR tbname IN ('d1'))"]),
        (["meters.d1", "gauges.d2"], ["(tbname IN ('d1','gauges.d2','meters.d1') OR tbname IN ('d1'))"]),
        (["d1", "d2*"], ["(tbname IN ('d1') OR (tbname >= 'd2' AND tbname < 'd3'))"]),
        (["meters.d2*"], ["((tbname >= 'meters.d2' AND tbname < 'meters.d3') OR (tbname >= 'd2' AND tbname < 'd3'))"]),
        (["测*", "a_?%*\\b"], ["(tbname LIKE '测%%' OR tbname LIKE 'a%b%')"]),
        (["*"], []),
        (["d1", "m*.d2"], []),
        (["x?" + "y" * 100], [f"(tbname LIKE 'x%{'y' * 22}%')"]),
        ([f"d{i}" for i in range(100_000)], []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_a_server_is_asked(tables: list[str], condition: list[str]) -> None:
    assert Scope(tables=Patterns(tuple(tables)), exclude=Patterns(("d9",))).conditions("meters") == condition


@pytest.mark.parametrize(
    ("pattern", "name", "stable", "meant"),
    [
        ("meters.d1", "d1", "meters", True),
        ("meters.d1", "d1", "gauges", False),
        ("meters.d1", "meters.d1", None, True),
        ("a.b.c", "c", "a.b", True),
        ("a.b.c", "b.c", "a", True),
        ("meters.*", "d1", "meters", True),
        ("m*", "d1", "meters", False),
        ("*.d?", "d1", "meters", True),
        ("*.d?", "d1", None, False),
        ("d?", "d", "meters", False),
        ("d[1]", "d1", None, False),
    ],
)
def test_a_dot_names_the_super_table_or_belongs_to_the_name(
    pattern: str, name: str, stable: str | None, meant: bool
) -> None:
    assert Patterns((pattern,)).match(name, stable) is meant


def options(**values: object) -> MigrationOptions:
    return MigrationOptions.checked(
        {"source_conn_id": "a", "target_conn_id": "b", "source_database": "power", **values}
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tables.txt"
    path.write_bytes("\ufeff# the north\n\nd1,5\r\n  d2*  \n".encode())
    return path


def test_a_file_of_names(file: Path) -> None:
    scope = Scope.of(options(tables=f"c1, @{file}", exclude=f"@{file}"))
    assert scope.tables.texts == ("c1", "d1,5", "d2*")
    assert scope.exclude.texts == ("d1,5", "d2*")


def test_a_run_means_what_the_file_said_when_it_was_resolved(file: Path) -> None:
    resolved = pinned(options(tables=f"c1, @{file}"))
    assert resolved.tables.startswith(f"c1, @{file}#sha256=")
    assert pinned(resolved) == resolved
    assert Scope.of(resolved).tables.texts == ("c1", "d1,5", "d2*")
    file.write_text("d3\n")
    with pytest.raises(MigrationStopped) as stopped:
        Scope.of(resolved)
    assert str(stopped.value) == (
        f"Option 'tables': the file '{file}' has changed since the run was resolved, or is another one on "
        f"{this_host()}. Bring back what it was, the same on all workers, or start a new run."
    )


def test_files_that_name_nothing(tmp_path: Path) -> None:
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.write_text("# nothing yet\n")
    latin.write_bytes("tür".encode("latin-1"))
    with pytest.raises(MigrationStopped) as stopped:
        Scope.of(options(stables=f"@{tmp_path}/none.txt", tables=f"@{empty}", exclude=f"@{latin}"))
    stables, tables, exclude = (str(finding) for finding in stopped.value.findings)
    assert stables == (
        f"Option 'stables': the file '{tmp_path}/none.txt' cannot be read as UTF-8 text on {this_host()} (No such file "
        "or directory). Put it where all workers can read it, under the same path."
    )
    assert tables == f"Option 'tables': '@{empty}' names nothing. Leave it empty to mean all."
    assert exclude.startswith(f"Option 'exclude': the file '{latin}' cannot be read as UTF-8 text on {this_host()} (")
    assert not Scope.of(options(exclude=f"@{empty}")).exclude


def test_names_of_a_file_that_are_not_there(named: Pair, file: Path) -> None:
    file.write_text("s.abc\na_*\nnope\ns.d*\n")
    with pytest.raises(MigrationStopped) as stopped:
        named.sync(tables=f"@{file}")
    there = ", ".join(sorted(NAMES)[:10]) + " and 4 more"
    assert [str(finding) for finding in stopped.value.findings] == [
        f"Option 'tables': the database '{SOURCE}' of {named.source.address} has no subtable or normal table "
        f"'{name}'. It has {there}."
        for name in ("nope", "s.d*")
    ]
    file.write_text("s.abc\na_*\n")
    assert named.migrate(tables=f"@{file}").tables == 3


@pytest.mark.parametrize("tables", ["a1, a2", "a1, b2", "a1, b?", "a.a1, plain", "a1"])
def test_a_name_is_of_one_super_table(pair: Pair, tables: str) -> None:
    """3.x answers `tbname IN` with tables of other super tables, too."""
    kinds = {"a": "int", "b": "bigint"}
    pair.sql(
        f"create database {SOURCE} keep 36500",
        *(f"create stable {SOURCE}.{s} (ts timestamp, v {kind}) tags (g {kind})" for s, kind in kinds.items()),
        f"create table {SOURCE}.plain (ts timestamp, v int)",
        *(f"create table {SOURCE}.{s}{i} using {SOURCE}.{s} tags ({i})" for s in kinds for i in range(1, 4)),
        *(f"insert into {SOURCE}.{s}{i} values ({T}, {i}) ({T + 1}, -{i})" for s in kinds for i in range(1, 4)),
    )
    comparison = pair.migrate(tables=tables)
    source, target = pair.both()
    meant = Scope(Patterns(), Patterns(tuple(tables.split(", "))))
    assert set(target) == {
        name
        for name in source
        if (meant.has_normal_table(name) if name == "plain" else meant.has_subtable(name, name[0]))
    }
    assert target == {name: source[name] for name in target}
    assert comparison.rows == sum(len(rows) for _, rows in target.values())
    assert not comparison.differences


@pytest.mark.parametrize("pattern", ["d2", "d[1", "D1*", "?", "s"])
def test_patterns_that_mean_nothing(pair: Pair, pattern: str) -> None:
    pair.sql(
        f"create database {SOURCE}",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.`d[1]` using {SOURCE}.s tags (1)",
        f"create table {SOURCE}.plain (ts timestamp, v int)",
    )
    with pytest.raises(MigrationStopped) as stopped:
        pair.sync(tables=f"d[1], {pattern}")
    assert f"has no subtable or normal table '{pattern}'. It has d[1], plain." in str(stopped.value)
    assert pair.sync(tables="d[1]").tables == 1
