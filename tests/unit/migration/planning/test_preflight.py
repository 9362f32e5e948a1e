"""What is said before anything is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.catalog import Table
from airflow_provider_tdengine.migration.findings import Finding, Severity
from airflow_provider_tdengine.migration.planning import preflight, row_of, row_on_disk
from airflow_provider_tdengine.migration.structure import limit_findings, limits, read_structure
from airflow_provider_tdengine.testing import TDengineBox

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T, address

OLD = 10**12


@pytest.fixture
def aged(pair: Pair) -> Pair:
    """A table with a row of 2001."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
        f"insert into {SOURCE}.t values ({OLD}, 1) ({T}, 2)",
    )
    return pair


def look(pair: Pair, **values: object) -> list[Finding]:
    options = pair.options(**values)
    return preflight(*pair.catalogs, read_structure(*pair.catalogs, options), options)


@pytest.mark.parametrize(
    ("on_expired", "severity"),
    [("fail", Severity.BLOCKER), ("skip", Severity.WARNING), ("raise_keep", Severity.INFO)],
)
def test_expired_rows_are_counted_before_there_is_a_target(aged: Pair, on_expired: str, severity: Severity) -> None:
    options = {"database_options": "KEEP 9000", "on_expired": on_expired}
    (finding,) = (finding for finding in look(aged, **options) if finding.object == "Table 't'")
    assert finding.severity is severity
    assert finding.found == f"1 rows from 2001-09-09 on are older than the 9,000 days that {TARGET!r} keeps"
    assert not [finding for finding in look(aged, **options, start="2020-01-01") if finding.object == "Table 't'"]
    assert not [finding for finding in look(aged) if finding.object == "Table 't'"]


def test_clocks_agree(aged: Pair) -> None:
    assert not [finding for finding in look(aged) if "Clock" in finding.object]


@pytest.mark.parametrize(
    ("version", "scheme", "count"),
    [("3.3.8.0", "http", 1), ("3.3.8.0", "ws", 0), ("3.3.3.0", "http", 0), ("2.4.0.18", "http", 0)],
)
def test_numbers_that_rest_says_as_null(
    boxes: Callable[[str], TDengineBox], version: str, scheme: str, count: int
) -> None:
    pair = Pair(*(Client(address(boxes(f"{which} infinite"), scheme)) for which in (version, "3.3.3.0")))
    pair.sql(
        f"drop database if exists {SOURCE}",
        f"create database {SOURCE} keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
        f"create stable {SOURCE}.s (ts timestamp, v float) tags (g int)",
    )
    found = [finding for finding in look(pair) if finding.object == "Connection of the source"]
    assert [(finding.severity, "1 table has FLOAT or DOUBLE" in finding.found) for finding in found] == [
        (Severity.WARNING, True)
    ] * count


@pytest.mark.parametrize(
    ("seconds", "said"), [(60, "(59|60) s ahead of"), (-60, "(59|60) s behind"), (4, ""), (-4, "")]
)
def test_clocks_that_differ(faulty: BoxPair, seconds: int, said: str) -> None:
    faulty.sql(f"create database {SOURCE}", f"create table {SOURCE}.t (ts timestamp, v int)")
    faulty.target_box.faults.set_clock(seconds)
    found = [finding.found for finding in look(faulty) if finding.object == "Clock of the target"]
    assert [bool(re.search(said, text)) for text in found] == ([True] if said else [])


@pytest.mark.source(before=(3,))
@pytest.mark.parametrize("update", [0, 1, 2])
def test_what_a_second_row_of_a_timestamp_does(pair: Pair, update: int) -> None:
    pair.sql(f"create database {SOURCE} update {update}", f"create table {SOURCE}.t (ts timestamp, v int)")
    (finding,) = (finding for finding in look(pair) if "UPDATE" in finding.object)
    assert (finding.object, finding.severity) == (f"Database option UPDATE {update}", Severity.INFO)
    assert "3.x" in finding.action


def test_it_is_json(aged: Pair) -> None:
    found = [finding.to_dict() for finding in look(aged, database_options="KEEP 9000")]
    assert json.loads(json.dumps(found)) == found
    assert found[0]["severity"] == "blocker"


def test_nothing_is_written(aged: Pair) -> None:
    look(aged)
    assert aged.catalogs[1].database() is None


TEXT, UNICODE = Type.VARCHAR, Type.NCHAR


def table(columns: list[tuple[Type, int]], tags: list[tuple[Type, int]]) -> Table:
    fields = (
        tuple(Field(f"{letter}{i}", kind, length) for i, (kind, length) in enumerate(kinds))
        for letter, kinds in (("c", columns), ("t", tags))
    )
    rest, of_tags = fields
    return Table("s", (Field("ts", Type.TIMESTAMP, 8), *rest), of_tags)


INT = (Type.INT, 4)
LARGEST = [
    (table([INT] * (limits.COLUMNS - 2), [INT]), ""),
    (table([INT] * (limits.COLUMNS - 1), [INT]), "4097 columns and tags, and TDengine 3 takes 4096"),
    (table([INT], [INT] * limits.TAGS), ""),
    (table([INT], [INT] * (limits.TAGS + 1)), "129 tags, and TDengine 3 takes 128"),
    (table([(TEXT, 40000), (TEXT, 25519)], [INT]), ""),
    (table([(TEXT, 40000), (TEXT, 25520)], [INT]), "65532 bytes in a row, and TDengine 3 takes 65531"),
    (table([(UNICODE, 10000), (UNICODE, 6379), (Type.BOOL, 1), (Type.SMALLINT, 2)], [INT]), ""),
    (table([(UNICODE, 10000), (UNICODE, 6380)], [INT]), "65532 bytes in a row, and TDengine 3 takes 65531"),
    (table([INT], [(TEXT, 10000), (TEXT, 6380)]), ""),
    (table([INT], [(TEXT, 10000), (TEXT, 6381)]), "16385 bytes in its tags, and TDengine 3 takes 16384"),
]


@pytest.mark.parametrize(("wanted", "found"), LARGEST)
def test_limits_of_a_table(wanted: Table, found: str) -> None:
    said = [finding.found for finding in limit_findings(wanted, None)]
    assert said == ([f"it would have {found}"] if found else [])


@pytest.mark.source(boxes=False)
@pytest.mark.parametrize(("wanted", "found"), LARGEST)
def test_a_real_target_has_these_limits(pair: Pair, wanted: Table, found: str) -> None:
    pair.target.execute(f"create database {TARGET}")
    columns, tags = (
        ", ".join(f"{field.name} {field.sql_type}" for field in each) for each in (wanted.columns, wanted.tags)
    )
    statement = f"create stable {TARGET}.s ({columns}) tags ({tags})"
    with pytest.raises(TDengineError, match=r"exceeds|many|number of tag") if found else nullcontext():
        pair.target.execute(statement)


def test_what_only_the_target_has_counts_too() -> None:
    ts = Field("ts", Type.TIMESTAMP, 8)
    ours = Table("t", (ts, *(Field(f"a{i}", Type.INT, 4) for i in range(3000))))
    theirs = Table("t", (ts, *(Field(f"b{i}", Type.INT, 4) for i in range(3000))))
    (finding,) = limit_findings(ours, theirs)
    assert "6001 columns and tags" in finding.found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Of 3.3.3.0, 3.0.5.2 and 2.4.0.18, as they said it.
        (
            "Total_Blocks=[866] Total_Size=[26834.65 KiB] Average_size=[30.99 KiB] Compression_Ratio=[41.26 %]\n"
            "Block_Rows=[3330000] MinRows=[2472] MaxRows=[4096] AvgRows=[3845]\nInmem_Rows=[1670000] Stt_Rows=[0] ",
            26834.65 * 1024 / 3330000,
        ),
        (
            "Total_Blocks=[0] Total_Size=[0.00 KB] Average_size=[0.00 KB] Compression_Ratio=[0.00 %]\n"
            "Total_Rows=[0] Inmem_Rows=[2] MinRows=[0] MaxRows=[0] Average_Rows=[0]",
            None,
        ),
        (
            "summary: \n\t Min=[344(Rows)] Max=[3276(Rows)] Avg=[2857(Rows)] Stddev=[1024.59] \n"
            "\t Rows=[200000], Blocks=[70], SmallBlocks=[10], Size=[4135.864(Kb)] Comp=[0.39214]\n"
            "\t RowsInMem=[0] \n\t",
            4135.864 * 1024 / 200000,
        ),
        ("another version", None),
    ],
)
def test_a_row_on_disk_is_compressed(text: str, expected: float | None) -> None:
    assert row_of(text) == (None if expected is None else pytest.approx(expected))


def test_the_server_is_asked(aged: Pair) -> None:
    """Rows that have just come are in memory; boxes do not say it at all."""
    assert row_on_disk(aged.catalogs[0], "t") is None
