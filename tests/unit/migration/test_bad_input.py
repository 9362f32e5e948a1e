"""Each mistake is one clear sentence, before anything was written."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.options import OPTIONS, MigrationOptions
from airflow_provider_tdengine.migration.structure import read_structure

from .conftest import SOURCE, TARGET, Pair

REQUIRED = {"source_conn_id": "a", "target_conn_id": "b", "source_database": "power"}


def sentence(**values: object) -> str:
    with pytest.raises(MigrationStopped) as stopped:
        MigrationOptions.checked({**REQUIRED, **values})
    return str(stopped.value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"source_database": ""}, "Option 'source_database': it is empty. Give one; The database that is read."),
        ({"mode": "realtimes"}, "Option 'mode': 'realtimes' is not one of its values. Choose one of history."),
        (
            {"schema": "some"},
            "Option 'schema': 'some' is not one of its values. Choose one of always, none, only.",
        ),
        (
            {"start": "2022-01-01", "end": "2021-01-01"},
            "Options 'start' and 'end': start 2022-01-01 is not before end 2021-01-01. "
            "Give a start that is earlier than the end.",
        ),
        (
            {"start": "yesterday"},
            "Option 'start': 'yesterday' is not a moment. Give one such as 2021-01-01T00:00:00Z.",
        ),
        (
            {"unit": "3 parsecs"},
            "Option 'unit': '3 parsecs' is not a duration. Give auto, or a number with s, m, h, d or w.",
        ),
        ({"unit": "0d"}, "Option 'unit': '0d' is not a duration. Give auto, or a number with s, m, h, d or w."),
        ({"workers": 0}, "Option 'workers': 0 is out of range. Give a number from 1 to 64."),
        ({"workers": "two"}, "Option 'workers': 'two' is a str. Give a int."),
        ({"create_database": "maybe"}, "Option 'create_database': 'maybe' is a str. Give a bool."),
        ({"end": "12:00"}, "Option 'end': '12:00' is not a moment. Give one such as 2021-01-01T00:00:00Z."),
        ({"workers": True}, "Option 'workers': True is a bool. Give a int."),
        (
            {"database_options": "VGROUPS 2; DROP DATABASE power"},
            "Option 'database_options': a semicolon ends the statement. "
            "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'.",
        ),
        (
            {"database_options": "KEEP 10w"},
            "Option 'database_options': '10w' is not a number of days, nor one with m, h or d. "
            "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'.",
        ),
        (
            {"database_options": "VGROUPS 2 = 3"},
            "Option 'database_options': '= 3' is not an option with its value. "
            "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'.",
        ),
        (
            {"database_options": "VGROUPS 2 vgroups 3"},
            "Option 'database_options': VGROUPS is there twice. "
            "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'.",
        ),
        (
            {"database_options": "PRECISION 's'"},
            "Option 'database_options': PRECISION 's' is none of 'ms', 'us' and 'ns'. "
            "Give options with their values, such as VGROUPS 8 CACHEMODEL 'both'.",
        ),
        (
            {"target_conn_id": "a"},
            "Options 'source_conn_id' and 'target_conn_id': both name 'a', and the database 'power'. "
            "Give another connection or another target_database; a database cannot be copied onto itself.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options(values: dict[str, object], expected: str) -> None:
    assert sentence(**values) == expected


def test_an_unknown_option() -> None:
    assert sentence(worker=3).startswith("Option 'worker': there is no such option. The options are name, mode,")


def test_all_findings_at_once() -> None:
    text = sentence(mode="x", workers=100, unit="y")
    assert text.startswith("3 findings:\n")
    assert all(name in text for name in ("'mode'", "'workers'", "'unit'"))


def test_text_from_templates() -> None:
    options = MigrationOptions.checked(
        {**REQUIRED, "workers": "3", "create_database": "False", "start": "None", "end": ""}
    )
    assert (options.workers, options.create_database, options.start) == (3, False, None)
    assert options.window_end is None


def test_every_option_is_explained() -> None:
    for name, option in OPTIONS.items():
        assert option.title, name
        assert option.explanation.endswith("."), name
        assert option.section, name


def stopped(pair: Pair, **values: object) -> str:
    """What a migration says that cannot begin; nothing is written."""
    with pytest.raises(MigrationStopped) as caught:
        pair.sync(**values)
    return str(caught.value)


def test_a_missing_database(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE}x")
    try:
        text = stopped(pair)
    finally:
        pair.sql(f"drop database {SOURCE}x")
    assert text.startswith(f"Option 'source_database': {pair.source.address} has no database '{SOURCE}'. It has ")
    assert f"{SOURCE}x" in text
    assert Catalog(pair.target, TARGET).database() is None


def test_a_missing_super_table(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE}", f"create stable {SOURCE}.meters (ts timestamp, v int) tags (g int)")
    assert stopped(pair, stables="metres") == (
        f"Option 'stables': the database '{SOURCE}' of {pair.source.address} has no super table 'metres'. "
        "It has meters."
    )
    assert Catalog(pair.target, TARGET).database() is None


@pytest.mark.parametrize("pattern", ["d2", "d[1", "D1*", "?", "s"])
def test_a_missing_table(pair: Pair, pattern: str) -> None:
    pair.sql(
        f"create database {SOURCE}",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.`d[1]` using {SOURCE}.s tags (1)",
        f"create table {SOURCE}.plain (ts timestamp, v int)",
    )
    assert stopped(pair, tables=f"d[1], {pattern}") == (
        f"Option 'tables': the database '{SOURCE}' of {pair.source.address} has no subtable or normal table "
        f"'{pattern}'. It has d[1], plain."
    )
    assert pair.sync(tables="d[1]").tables == 1


def test_a_missing_target_database_that_must_not_be_created(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE}", f"create table {SOURCE}.t (ts timestamp, v int)")
    text = stopped(pair, create_database=False)
    assert text.startswith(f"Option 'target_database': {pair.target.address} has no database '{TARGET}'. It has ")


def test_reading_structure_names_what_is_there(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE}", f"create table {SOURCE}.t (ts timestamp, v int)")
    structure = read_structure(*pair.catalogs, pair.options())
    assert [(each.source.name, each.target) for each in structure.pairs] == [("t", None)]
    assert structure.target is None
