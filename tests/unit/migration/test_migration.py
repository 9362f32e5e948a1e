"""A database of either generation arrives in a 3.x one: every type, every table, equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.block import Block, column_from_list, encode_block, encode_fields
from airflow_provider_tdengine.client.dialect import Dialect
from airflow_provider_tdengine.client.errors import RowRejected, StatementRejected
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.copying import DeadLetters, MemoryProgress, copy_batch, kept, replay
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.testing import TDengineBox

from .conftest import CREATED, SOURCE, TARGET, Pair, T, address

COLUMNS = (
    "ts timestamp, b bool, i8 tinyint, i16 smallint, i32 int, i64 bigint, u8 tinyint unsigned, "
    "u16 smallint unsigned, u32 int unsigned, u64 bigint unsigned, f32 float, f64 double, "
    "bin binary(20), nc nchar(20), t2 timestamp"
)
TAGS = (
    "tb bool, ti8 tinyint, ti64 bigint, tu64 bigint unsigned, tf32 float, tf64 double, "
    "tbin binary(24), tnc nchar(24), tts timestamp"
)
ROWS = (
    f"({T},true,1,2,3,4,5,6,7,8,1.5,2.5,'abc','你好',{T})"
    f"({T + 1},null,null,null,null,null,null,null,null,null,null,null,null,null,null)"
    f"({T + 2},false,-127,-32767,-2147483647,-9223372036854775807,254,65534,4294967294,18446744073709551614,"
    "-3.4e38,1.7e308,'','',0)"
    f"({T + 3},true,127,32767,2147483647,9223372036854775807,0,0,0,0,0.1,0.1,'it\\'s \\\\ \"q\"','a\\\\b😀',{T})"
    f"({T + 4},true,0,0,0,0,0,0,0,0,1e-37,2.3e-308,'0123456789abcdef','零一二三四五六七八九零一二三四五',-1)"
)


@pytest.fixture
def filled(pair: Pair) -> Pair:
    """Every type, names that need quotes, an empty subtable, a normal table."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.alltypes ({COLUMNS}) tags ({TAGS})",
        f"create table {SOURCE}.c1 using {SOURCE}.alltypes tags "
        f"(true,-127,9223372036854775807,18446744073709551614,0.1,0.1,'it\\'s \"q\" \\\\','标签\\n',{T})",
        f"create table {SOURCE}.c2 using {SOURCE}.alltypes tags (null,null,null,null,null,null,null,null,null)",
        f"create table {SOURCE}.empty using {SOURCE}.alltypes tags (false,0,0,0,-3.25,1e300,'','',0)",
        f"create stable {SOURCE}.`Mixed Case` (`Ts` timestamp, `Value` int, `select` float) tags (`Group Id` int)",
        f"create table {SOURCE}.`Sub-1 测试` using {SOURCE}.`Mixed Case` tags (7)",
        f"create stable {SOURCE}.`full` (ts timestamp, v int) tags (info json)",
        f'create table {SOURCE}.j1 using {SOURCE}.`full` tags (\'{{"site":"a b","n":3}}\')',
        f"create table {SOURCE}.j2 using {SOURCE}.`full` tags (null)",
        f"create table {SOURCE}.plain (ts timestamp, v double, note nchar(20))",
        f"create table {SOURCE}.bare (ts timestamp, v double)",
        f"insert into {SOURCE}.c1 values {ROWS}",
        f"insert into {SOURCE}.c2 values {ROWS}",
        f"insert into {SOURCE}.`Sub-1 测试` values ({T}, 1, 1.5) ({T + 1000}, 2, 2.5)",
        f"insert into {SOURCE}.j1 values ({T}, 1) {SOURCE}.j2 values ({T}, null)",
        f"insert into {SOURCE}.plain values ({T}, 1.25, 'p1') ({T + 1}, null, null)",
    )
    return pair


@pytest.mark.parametrize("strategy", ["dense", "sparse", "auto"])
def test_all_of_it_arrives(filled: Pair, strategy: str) -> None:
    comparison = filled.migrate(strategy=strategy)
    source, target = filled.both()
    assert target == source
    assert not comparison.differences
    assert (comparison.rows, comparison.target_rows, comparison.tables) == (16, 16, 6)
    rows = {name: total.rows for name, total in comparison.stables.items()}
    assert rows == {"alltypes": 10, "Mixed Case": 2, "full": 2, "": 2}
    # Of super tables, what was copied is proven by the target alone; normal tables are read on both sides.
    assert comparison.levels == {"digest": 3, "full": 1}


def test_a_second_run_changes_nothing(filled: Pair) -> None:
    filled.migrate()
    before = filled.both()[1]
    report = filled.sync()
    assert not report.database
    assert (report.stables, report.tables, report.columns, report.existing) == ([], 0, [], 8)
    filled.copy()
    assert filled.both()[1] == before


def test_only_structure(filled: Pair) -> None:
    report = filled.sync(schema="only")
    assert report.database
    assert sorted(report.stables) == ["Mixed Case", "alltypes", "full"]
    assert report.tables == 8
    source, target = filled.both()
    assert {name: tags for name, (tags, _) in target.items()} == {name: tags for name, (tags, _) in source.items()}
    assert not any(rows for _, rows in target.values())


def test_a_period_has_its_start_and_not_its_end(filled: Pair) -> None:
    filled.migrate(start="2021-01-01T00:00:00.001Z", end="2021-01-01T00:00:00.003Z")
    _, target = filled.both()
    assert [row[0] for row in target["c1"][1]] == [T + 1, T + 2]
    assert [row[0] for row in target["plain"][1]] == [T + 1]
    assert filled.verify(start="2021-01-01T00:00:00.001Z", end="2021-01-01T00:00:00.003Z").rows == 5


def test_rows_from_after_the_creation_are_not_history(filled: Pair) -> None:
    later = int(CREATED.timestamp() * 1000)
    filled.sql(f"insert into {SOURCE}.plain values ({later - 1}, 1, 'before') ({later}, 2, 'at')")
    filled.migrate()
    assert [row[2] for row in filled.both()[1]["plain"][1]] == ["p1", None, "before"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"stables": "Mixed*"}, {"Sub-1 测试"}),
        ({"tables": "c1, plain"}, {"c1", "plain"}),
        ({"stables": "alltypes", "tables": "c?"}, {"c1", "c2"}),
    ],
)
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_scope(filled: Pair, scope: dict[str, str], expected: set[str], strategy: str) -> None:
    comparison = filled.migrate(strategy=strategy, **scope)
    source, target = filled.both()
    assert {name for name in target if name != "empty"} == expected
    assert all(target[name] == source[name] for name in expected)
    assert not comparison.differences


@pytest.mark.parametrize("precision", ["us", "ns"])
def test_precision_is_kept(pair: Pair, precision: str) -> None:
    first = T * (1000 if precision == "us" else 1_000_000) + 1
    pair.sql(
        f"create database {SOURCE} precision '{precision}' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
        f"insert into {SOURCE}.t values ({first}, 1) ({first + 1}, 2)",
    )
    assert not pair.migrate().differences
    assert pair.both()[1]["t"][1] == [(first, 1), (first + 1, 2)]


def test_a_finer_target_holds_the_same_moments(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, t2 timestamp, v int) tags (made timestamp)",
        f"insert into {SOURCE}.a using {SOURCE}.s tags ({T + 3}) values ({T}, {T + 7}, 1) ({T + 1}, null, 2)",
    )
    pair.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    assert not pair.migrate().differences
    factor = 1_000_000
    tags, rows = pair.both()[1]["a"]
    assert tags == ((T + 3) * factor,)
    assert rows == [(T * factor, (T + 7) * factor, 1), ((T + 1) * factor, None, 2)]


def test_a_moment_that_a_finer_target_cannot_hold_is_refused(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, forever timestamp)",
        f"insert into {SOURCE}.t values ({T}, 253402300799000)",
    )
    pair.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    pair.sync()
    with pytest.raises(RowRejected, match=r"a timestamp in column 'forever' is too far away"):
        pair.copy()
    assert pair.both()[1]["t"][1] == []


def test_a_coarser_target_is_refused_before_anything_is_written(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
    )
    pair.target.execute(f"create database {TARGET} precision 'ms' keep 36500")
    with pytest.raises(MigrationStopped, match=r"the target counts ms, the source us"):
        pair.sync()
    assert pair.both()[1] == {}


def test_columns_are_added_and_widened(filled: Pair) -> None:
    filled.sync()
    filled.sql(
        f"alter stable {SOURCE}.alltypes add column extra int",
        f"alter stable {SOURCE}.alltypes modify column bin binary(40)",
        f"insert into {SOURCE}.c1 (ts, bin, extra) values ({T + 9}, '0123456789012345678901234567890123456789', 5)",
    )
    report = filled.sync()
    assert sorted(report.columns) == ["alltypes.bin", "alltypes.extra"]
    filled.copy()
    source, target = filled.both()
    assert target["c1"] == source["c1"]


def test_a_column_of_another_type_is_refused(filled: Pair) -> None:
    filled.target.execute(f"create database {TARGET} keep 36500")
    filled.target.execute(f"create table {TARGET}.plain (ts timestamp, v int, note nchar(20))")
    with pytest.raises(MigrationStopped, match=r"'plain', column 'v': DOUBLE in the source does not fit INT"):
        filled.sync()


WIDER = (
    ("i", "int", "bigint", -5, -5),
    ("u", "tinyint unsigned", "int", 254, 254),
    ("w", "smallint", "double", -32767, "-32767.0"),
    ("f", "float", "double", 0.1, "0.10000000149011612"),
    ("x", "bool", "tinyint", True, 1),
    ("b", "binary(8)", "nchar(8)", "'äö'", "äö"),
    ("n", "nchar(3)", "varchar(12)", "'a测😀'", "a测😀"),
    ("y", "binary(8)", "varbinary(9)", "'it\\'s'", b"it's"),
    ("t", "timestamp", "bigint", T, T),
    ("m", "bigint", "timestamp", -1, -1),
)
"""Name, type in the source and in the target, value in the source's SQL, value in the target."""


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_wider_types_take_the_same_values(pair: Pair, strategy: str) -> None:
    # 3.0 has no VARBINARY.
    wider = [one for one in WIDER if pair.target.server.version >= (3, 1) or "varbinary" not in one[2]]
    names = [name for name, *_ in wider]
    theirs, ours = (
        tuple(", ".join(f"{side}{name} {types[i]}" for name, *types in wider) for side in "ct") for i in (1, 0)
    )
    values = ", ".join(str(value) for *_, value, _ in wider)
    nulls = ", ".join("null" for _ in wider)
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, {ours[0]}) tags ({ours[1]})",
        f"create table {SOURCE}.a using {SOURCE}.s tags ({values})",
        f"create table {SOURCE}.z using {SOURCE}.s tags ({nulls})",
        f"insert into {SOURCE}.a values ({T}, {values}) ({T + 1}, {nulls}) {SOURCE}.z values ({T}, {values})",
    )
    pair.target.execute(f"create database {TARGET} keep 36500")
    pair.target.execute(f"create stable {TARGET}.s (ts timestamp, {theirs[0]}) tags ({theirs[1]})")
    assert not pair.migrate(strategy=strategy).differences
    wanted = tuple(value for *_, value in wider)
    tags = tuple(float(str(value)) if name in "wf" else value for name, value in zip(names, wanted, strict=True))
    empty = (None,) * len(wider)
    assert pair.both()[1] == {
        "a": (tags, [(T, *wanted), (T + 1, *empty)]),
        "z": (empty, [(T, *wanted)]),
    }
    assert not pair.sync().changed
    pair.target.execute(f"alter table {TARGET}.a set tag tf = 0.1")
    assert [str(difference) for difference in pair.verify().differences] == [
        "a: tag tf 0.10000000149011612 in the source, 0.1 in the target"
    ]
    assert pair.sync(update_tags=True).tags == 1
    assert not pair.verify().differences


def write_no_character(pair: Pair) -> None:
    """Two rows of a subtable, the second of which has a number of NCHAR that is no character."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, n nchar(8)) tags (g int)",
        f"create table {SOURCE}.a using {SOURCE}.s tags (1)",
    )
    fields = (Field("ts", Type.TIMESTAMP, 8), Field("n", Type.NCHAR, 8))
    columns = (column_from_list(fields[0], [T, T + 1]), column_from_list(fields[1], ["abc", "B"]))
    raw = encode_block(Block(fields, columns, 2)).replace("B".encode("utf-32-le"), (0x110000).to_bytes(4, "little"))
    with pair.source.websocket_session(SOURCE) as session:
        session.confirm(session.write_raw_block("a", raw, encode_fields(fields)), "a")


@pytest.mark.source(since=(3, 3))
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_numbers_that_are_no_characters_arrive(pair: Pair, strategy: str) -> None:
    write_no_character(pair)
    assert not pair.migrate(strategy=strategy, verify="full").differences
    source, target = pair.both()
    assert source == target
    assert not pair.verify(verify="full").differences


@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_numbers_that_are_no_characters_are_refused_as_rows(
    boxes: Callable[[str], TDengineBox], strategy: str, tmp_path: Path
) -> None:
    pair = Pair(*(Client(address(boxes(f"{version} characters"))) for version in ("3.3.5.2", "3.4.0.0")))
    pair.source.execute(f"drop database if exists {SOURCE}")
    pair.target.execute(f"drop database if exists {TARGET}")
    write_no_character(pair)
    pair.sync()
    with pytest.raises(RowRejected, match=r"row of table 'a' at .*, whose column 'n' is .* Invalid parameters"):
        pair.copy(strategy=strategy)
    options = pair.options(strategy=strategy)
    (batch,) = make_plan(*pair.catalogs, options)
    letters = DeadLetters(tmp_path)
    copied = copy_batch(*pair.catalogs, batch, options, MemoryProgress(), dead_letters=letters)
    assert (copied.tally.rows, copied.tally.rejected) == (2, 1)
    assert pair.target.rows(f"select * from {TARGET}.a") == [(T, "abc")]
    still = replay(tmp_path, pair.catalogs[1])
    assert (still.arrived, still.remaining) == (0, 1)
    assert not pair.verify(refused=kept(tmp_path), verify="full").differences


def test_without_schema_sync_a_missing_table_is_a_finding(filled: Pair) -> None:
    filled.target.execute(f"create database {TARGET} keep 36500")
    with pytest.raises(MigrationStopped) as stopped:
        filled.copy(schema="none")
    text = str(stopped.value)
    assert text.startswith("5 findings:\n")
    assert "'Mixed Case': the target does not have it. Create it there, or run schema sync" in text


def test_a_subtable_of_another_super_table_is_a_finding(filled: Pair) -> None:
    filled.sync(schema="only", stables="Mixed*")
    filled.target.execute(f"create table {TARGET}.c1 using {TARGET}.`Mixed Case` tags (1)")
    with pytest.raises(
        MigrationStopped, match=r"'c1': it would be a subtable of 'alltypes', and is a subtable of 'Mixed Case'"
    ):
        filled.sync()


def test_exclude(filled: Pair) -> None:
    filled.migrate(exclude="full, c2, bare, Mixed*")
    source, target = filled.both()
    assert set(target) == {"c1", "empty", "plain"}
    assert all(target[name] == source[name] for name in target)


def test_tags_are_corrected_only_when_asked(filled: Pair) -> None:
    filled.migrate()
    filled.target.execute(f"alter table {TARGET}.c1 set tag tnc = 'old'")
    filled.target.execute(f"alter table {TARGET}.c2 set tag ti8 = 5")
    with pytest.raises(MigrationStopped, match="Table 'c1': the target has it already, with rows and with other tags"):
        filled.sync()
    assert filled.sync(update_tags=True).tags == 2
    source, target = filled.both()
    assert {name: tags for name, (tags, _) in target.items()} == {name: tags for name, (tags, _) in source.items()}
    assert filled.sync(update_tags=True).tags == 0


def test_options_of_the_created_database(filled: Pair) -> None:
    filled.sync(database_options="KEEP 20000 VGROUPS 3")
    database = filled.catalogs[1].database()
    assert database is not None
    assert (database.precision.value, database.keep[-1]) == ("ms", 20000 * 1440)


@pytest.mark.target(since=(3, 3))
def test_what_only_3x_has(pair: Pair) -> None:
    """Composite keys, VARBINARY, GEOMETRY, and how columns are stored."""
    if pair.source.server.version < (3, 3):
        pair.sql(f"create database {SOURCE}", f"create table {SOURCE}.t (ts timestamp, v int)")
        assert pair.catalogs[0].describe("t").storage == {}
        return
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.pk (ts timestamp encode 'delta-i' compress 'zstd' level 'high', k int primary key, "
        "v varbinary(16), g geometry(64), d double compress 'tsz') tags (vbt varbinary(8))",
        f"create table {SOURCE}.pk1 using {SOURCE}.pk tags ('\\x0102')",
        f"create table {SOURCE}.pk2 using {SOURCE}.pk tags (null)",
        f"insert into {SOURCE}.pk1 values ({T}, 1, '\\x00ff10', 'POINT(1 2)', 0.5) ({T}, 2, null, null, null) "
        f"({T + 1}, 1, '\\x', null, 5)",
        f"insert into {SOURCE}.pk2 values ({T}, 7, null, 'POINT(3 4)', 1)",
    )
    comparison = pair.migrate(strategy="auto")
    source, target = pair.both()
    assert target == source
    assert comparison.rows == 4
    ours, theirs = (catalog.describe("pk") for catalog in pair.catalogs)
    assert theirs == ours
    assert theirs.storage["ts"] == "ENCODE 'delta-i' COMPRESS 'zstd' LEVEL 'high'"
    assert theirs.second_key == "k"


def test_all_findings_before_anything_is_written(filled: Pair) -> None:
    filled.target.execute(f"create database {TARGET} keep 36500")
    filled.target.execute(f"create table {TARGET}.plain (ts timestamp, v int, note nchar(5))")
    filled.target.execute(f"create stable {TARGET}.other (ts timestamp, v int) tags (g int)")
    filled.target.execute(f"create table {TARGET}.c1 using {TARGET}.other tags (1)")
    with pytest.raises(MigrationStopped) as stopped:
        filled.sync()
    text = str(stopped.value)
    assert text.startswith("2 findings:\n")
    assert "'plain', column 'v': DOUBLE in the source does not fit INT in the target" in text
    assert "'c1': it would be a subtable of 'alltypes', and is a subtable of 'other' in the target" in text
    assert set(filled.both()[1]) == {"plain", "c1"}


def test_a_name_that_3x_cannot_hold_is_a_finding(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
    )
    pair.sql(f"create table {SOURCE}.c using {SOURCE}.s tags (1)")
    dotted = f"create table {SOURCE}.`a.b` using {SOURCE}.s tags (1)"
    if pair.source.generation == 3:
        with pytest.raises(StatementRejected, match=r"cannot contain '\.'"):
            pair.sql(dotted)
        return
    pair.sql(dotted)
    with pytest.raises(MigrationStopped, match=r"Table 'a\.b': its name has a dot, which TDengine 3 refuses"):
        pair.sync()
    assert pair.sync(exclude="a.b").stables == ["s"]


class TestVerification:
    """What is found without a copy that could say what should be there."""

    def test_a_missing_row(self, filled: Pair) -> None:
        filled.migrate()
        filled.target.execute(f"delete from {TARGET}.c1 where ts = {T + 2}")
        (difference,) = filled.verify().differences
        assert str(difference) == "c1: rows 5 in the source, 4 in the target"

    def test_a_row_in_an_empty_subtable(self, filled: Pair) -> None:
        filled.migrate()
        filled.target.execute(f"insert into {TARGET}.empty (ts) values ({T})")
        assert [str(difference) for difference in filled.verify().differences] == [
            "empty: rows 0 in the source, 1 in the target"
        ]

    def test_a_subtable_that_only_the_target_has_is_not_meant(self, filled: Pair) -> None:
        filled.migrate()
        filled.target.execute(f"insert into {TARGET}.other using {TARGET}.alltypes (ti8) tags (1) (ts) values ({T})")
        comparison = filled.verify()
        assert not comparison.differences
        assert comparison.extra_tables == 1

    def test_another_tag(self, filled: Pair) -> None:
        filled.migrate()
        filled.target.execute(f"alter table {TARGET}.c1 set tag ti8 = 99")
        assert [str(difference) for difference in filled.verify().differences] == [
            "c1: tag ti8 -127 in the source, 99 in the target"
        ]
        assert not filled.verify(schema="none").differences

    def test_an_empty_subtable_that_is_missing(self, filled: Pair) -> None:
        filled.migrate()
        filled.target.execute(f"drop table {TARGET}.empty")
        assert [str(difference) for difference in filled.verify().differences] == [
            "empty: table there in the source, missing in the target"
        ]


class Confused(Client):
    """A server that takes a column called tbname for the subtable's name, as 2.6.0.66 does; boxes do not."""

    @property
    def dialect(self) -> Dialect:
        return replace(super().dialect, confuses_tbname=True)


def test_a_column_called_tbname_hides_the_subtables_in_2_6(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.odd (ts timestamp, v int) tags (`tbname` int)",
    )
    if not pair.source.dialect.confuses_tbname:
        pair.sync(stables="odd")
        pair.target.execute(f"drop database {TARGET}")
    confused = replace(pair, source=Confused(pair.source.address))
    with pytest.raises(MigrationStopped) as stopped:
        confused.sync()
    assert str(stopped.value) == (
        "Table 'odd': it has a column or tag called tbname, which TDengine "
        f"{pair.source.server.version_text} takes for the subtable's name. "
        "Leave it out with exclude, or drop that column in the source."
    )
    assert pair.catalogs[1].database() is None
