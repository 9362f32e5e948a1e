"""The target database: how it is made from the source's options, and what is said of those that it does not get."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.dialect import Dialect
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog, Database
from airflow_provider_tdengine.migration.database_options import DAY, DatabaseOptions, minutes
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.structure import oldest
from airflow_provider_tdengine.migration.structure.database import NewDatabase, options_not_taken
from airflow_provider_tdengine.testing import TDengineBox

from ..conftest import SOURCE, TARGET, Pair, T, address

TABLE = f"create table {SOURCE}.t (ts timestamp, v int)"
"""A database without any table is none that could be migrated."""

NEWEST = Dialect.of((3, 3, 5, 2))


class TestOptionsAsText:
    """What database_options say."""

    @given(st.integers(0, 10**9), st.sampled_from([("m", 1), ("h", 60), ("d", DAY), ("", DAY), ("D", DAY)]))
    def test_lengths(self, count: int, unit: tuple[str, int]) -> None:
        assert minutes(f" {count}{unit[0]} ") == count * unit[1]

    @pytest.mark.parametrize("text", ["", "3w", "-1", "1.5d", "d", "1 d"])
    def test_no_length(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a number of days"):
            minutes(text)

    def test_words_and_what_they_say(self) -> None:
        options = DatabaseOptions.parse(
            "vgroups 8 KEEP 100, 200 ,300d Precision \"US\" CACHEMODEL'both' duration 12h retentions -:7d,1m:21d "
        )
        assert dict(options.words) == {
            "VGROUPS": "8",
            "KEEP": "100, 200 ,300d",
            "PRECISION": '"US"',
            "CACHEMODEL": "'both'",
            "DURATION": "12h",
            "RETENTIONS": "-:7d,1m:21d",
        }
        assert (options.precision, options.duration) == (Precision.US, 720)
        assert options.keep == (100 * DAY, 200 * DAY, 300 * DAY)

    def test_nothing(self) -> None:
        assert DatabaseOptions.parse(" ") == DatabaseOptions({}, None, (), None)

    @given(
        st.dictionaries(
            st.from_regex(r"[A-Z][A-Z_0-9]{0,20}", fullmatch=True).filter(
                lambda word: word not in ("KEEP", "DURATION", "PRECISION")
            ),
            st.from_regex(r"[0-9]{1,6}[dhm]?(,[0-9]{1,6}[dhm]?)?|'[a-z_ ]*'", fullmatch=True),
        )
    )
    def test_what_is_written_is_read(self, words: dict[str, str]) -> None:
        text = " ".join(f"{word} {value}" for word, value in words.items())
        assert DatabaseOptions.parse(text).words == words


def test_as_source_comes_first() -> None:
    assert DatabaseOptions.parse("VGROUPS 2").as_source is False
    assert DatabaseOptions.parse(" as  Source").as_source is True
    options = DatabaseOptions.parse("AS SOURCE vgroups 8")
    assert (options.as_source, options.words) == (True, {"VGROUPS": "8"})
    assert DatabaseOptions.parse("vgroups 8 as source").as_source is False


class TestNewDatabase:
    """PRECISION, KEEP and DURATION of a database that is to be created."""

    @pytest.mark.parametrize(
        ("keep", "duration", "options", "expected"),
        [
            ((3650,), 10, "", "PRECISION 'ms' KEEP 5256000m DURATION 14400m"),
            ((100, 200, 300), 10, "", "PRECISION 'ms' KEEP 144000m,288000m,432000m DURATION 14400m"),
            ((29,), 10, "", "PRECISION 'ms' KEEP 41760m DURATION 13920m"),
            ((1,), 1, "", "PRECISION 'ms' KEEP 1440m DURATION 480m"),
            ((36500,), 3650, "", "PRECISION 'ms' KEEP 52560000m DURATION {longest}m"),
            ((3650,), 10, "KEEP 5", "PRECISION 'ms' KEEP 5 DURATION 2400m"),
            ((5,), 1, "DURATION 60m VGROUPS 4", "PRECISION 'ms' KEEP 7200m DURATION 60m VGROUPS 4"),
            ((5,), 1, "precision 'ns'", "PRECISION 'ns' KEEP 7200m DURATION 1440m"),
        ],
    )
    def test_statement(self, pair: Pair, keep: tuple[int, ...], duration: int, options: str, expected: str) -> None:
        source = Database("x", Precision.MS, tuple(days * DAY for days in keep), duration * DAY)
        new = NewDatabase.like(source, TARGET, options, pair.target.dialect)
        statement = new.statement(pair.target.dialect)
        longest = min(3650 * DAY, pair.target.dialect.days_kept_local * DAY // 3)
        assert statement == f"CREATE DATABASE IF NOT EXISTS `{TARGET}` {expected.format(longest=longest)}"
        pair.target.execute(statement)
        assert list(new.findings(source)) == []

    @given(
        st.integers(1, 36500),
        st.integers(1, 3650),
        st.sampled_from(Precision),
    )
    def test_whatever_2x_has_fits(self, keep: int, days: int, precision: Precision) -> None:
        source = Database("x", precision, (max(keep, days) * DAY,), days * DAY)
        new = NewDatabase.like(source, "y", "", NEWEST)
        assert list(new.findings(source)) == []
        assert new.keep == source.keep
        assert 60 <= new.duration <= days * DAY

    @pytest.mark.parametrize(
        ("version", "options", "duration", "found"),
        [
            ((3, 0, 5, 2), "", 3650, ""),
            ((3, 3, 3, 0), "", 1216, ""),
            ((3, 3, 5, 2), "", 121, ""),
            ((3, 3, 5, 2), "S3_KEEPLOCAL 1000d", 333, ""),
            ((3, 3, 5, 2), "DURATION 122d S3_KEEPLOCAL 366d", 122, ""),
            ((3, 0, 5, 2), "DURATION 3650", 3650, ""),
            ((3, 3, 5, 2), "DURATION 122", 122, "DURATION would be 122d, and .* at most, which would be 365d"),
        ],
    )
    def test_a_file_spans_a_third_of_what_is_kept_locally(
        self, version: tuple[int, ...], options: str, duration: int, found: str
    ) -> None:
        source = Database("x", Precision.MS, (36500 * DAY,), 3650 * DAY)
        new = NewDatabase.like(source, "y", options, Dialect.of(version))
        assert new.duration // DAY == duration
        findings = [finding.found for finding in new.findings(source)]
        assert len(findings) == bool(found)
        assert all(re.search(found, text) for text in findings)

    def test_nanoseconds_do_not_reach_back_as_far(self) -> None:
        source = Database("x", Precision.MS, (365_000 * DAY,), 10 * DAY)
        assert list(NewDatabase.like(source, "y", "", NEWEST).findings(source)) == []
        (finding,) = NewDatabase.like(source, "y", "PRECISION 'ns'", NEWEST).findings(source)
        assert finding.found == "KEEP would be 365000d, and TDengine 3 takes 1d to 106580d with precision ns"


def test_shared_storage_has_another_name_since_337() -> None:
    options = {"name": "x", "precision": "ms", "vgroups": "2", "keep": "3650d", "replica": "1", "s3_keeplocal": "100d"}
    source = Database("x", Precision.MS, (3650 * DAY,), DAY, {**options, "keep_time_offset": "3"})
    new = NewDatabase.like(source, "y", "AS SOURCE", NEWEST, known={"ss_keeplocal", "vgroups"})
    assert new.words == {"VGROUPS": "2", "SS_KEEPLOCAL": "100d"}
    target = Database("y", Precision.MS, (3650 * DAY,), DAY, {"vgroups": "2", "ss_keeplocal": "365d"})
    assert {one.name: one.definition for one in options_not_taken(source, target)} == {
        "S3_KEEPLOCAL 100d": "the target has SS_KEEPLOCAL 365d; SS_KEEPLOCAL 100d in database_options gives a new one "
        "the same",
        "KEEP_TIME_OFFSET 3": "the target's version has no such option",
    }


def test_as_source_into_an_older_version(boxes: Callable[[str], TDengineBox]) -> None:
    """Of 3.3.5.2 into 3.3.3.0, which takes another STT_TRIGGER and has no COMPACT_INTERVAL."""
    pair = Pair(*(Client(address(boxes(f"{version} as source"))) for version in ("3.3.5.2", "3.3.3.0")))
    pair.sql(f"create database {SOURCE} keep 36500 cachemodel 'both' compact_interval 10d", TABLE)
    left = pair.sync(database_options="AS SOURCE").not_migrated
    assert [one["name"] for one in left if one["kind"] == "database option"] == ["COMPACT_INTERVAL 10d"]
    target = pair.catalogs[1].database()
    assert target
    assert target.options["cachemodel"] == "both"


@pytest.mark.parametrize(
    ("keep", "days", "expected"),
    [(300, 100, 144_000), (29, 10, 13_920), (2, 1, 960), (3650, 10, 14_400)],
)
def test_keep_and_duration_arrive(pair: Pair, keep: int, days: int, expected: int) -> None:
    # 3.x keeps rows as long as three files of them last.
    files = f"days {days}" if pair.source.generation == 2 else f"duration {min(days * DAY, keep * DAY // 3)}m"
    pair.sql(f"create database {SOURCE} keep {keep} {files} precision 'us'", TABLE)
    pair.sync()
    source, target = (catalog.database() for catalog in pair.catalogs)
    assert source
    assert target
    assert max(target.keep) == max(source.keep) == keep * DAY
    assert target.precision is Precision.US
    assert target.duration == expected


def test_timestamp_tags_count_as_the_new_database_does(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (made timestamp)",
        f"insert into {SOURCE}.a using {SOURCE}.s tags ({T + 3}) values ({T}, 1)",
    )
    assert not pair.migrate(database_options="PRECISION 'us'").differences
    assert pair.both()[1]["a"] == (((T + 3) * 1000,), [(T * 1000, 1)])


def test_a_coarser_precision_is_refused_before_anything_is_written(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE} precision 'us' keep 36500", f"create table {SOURCE}.t (ts timestamp, v int)")
    with pytest.raises(MigrationStopped, match="the target counts ms, the source us"):
        pair.sync(database_options="PRECISION 'ms'")
    assert Catalog(pair.target, TARGET).database() is None


class TestOptionsNotTaken:
    """Options of the source that the target does not get are named, with what to say for the same."""

    def not_taken(self, pair: Pair, **values: object) -> dict[str, str]:
        left = pair.sync(**values).not_migrated
        return {one["name"]: one["definition"] for one in left if one["kind"] == "database option"}

    def test_defaults_need_no_words(self, pair: Pair) -> None:
        pair.sql(f"create database {SOURCE} keep 36500", TABLE)
        left = self.not_taken(pair)
        if pair.source.generation == 3:
            left.pop("VGROUPS 2", None)  # Each server makes as many as suit its machine.
        assert left == (
            {}
            if pair.source.generation == 3
            else {
                "UPDATE 0": "the source kept the first row of a timestamp; in 3.x a later one replaces the columns "
                "that it names"
            }
        )

    def test_options_of_the_source(self, pair: Pair) -> None:
        if pair.source.generation == 2:
            words = "cachelast 3 wal 2 fsync 0 cache 32 blocks 9 update 2"
            named = ("CACHELAST 3", "WAL 2", "FSYNC 0", "CACHE 32 BLOCKS 9")
        else:
            words = "cachemodel 'both' wal_level 2 wal_fsync_period 0 buffer 288 vgroups 2"
            named = ("CACHEMODEL 'both'", "WAL_LEVEL 2", "WAL_FSYNC_PERIOD 0", "BUFFER 288")
        pair.sql(f"create database {SOURCE} keep 36500 comp 1 minrows 20 maxrows 5000 {words}", TABLE)
        left = self.not_taken(pair, database_options="VGROUPS 2")
        differences = {
            named[0]: ("CACHEMODEL 'none'", "CACHEMODEL 'both'"),
            named[1]: ("WAL_LEVEL 1", "WAL_LEVEL 2"),
            named[2]: ("WAL_FSYNC_PERIOD 3000", "WAL_FSYNC_PERIOD 0"),
            named[3]: ("BUFFER 256", "BUFFER 288"),
            "COMP 1": ("COMP 2", "COMP 1"),
            "MINROWS 20": ("MINROWS 100", "MINROWS 20"),
            "MAXROWS 5000": ("MAXROWS 4096", "MAXROWS 5000"),
        }
        expected = {
            name: f"the target has {theirs}; {ours} in database_options gives a new one the same"
            for name, (theirs, ours) in differences.items()
        }
        if pair.source.generation == 2:
            expected["UPDATE 2"] = (
                "the source kept a value where a later row had NULL; in 3.x a NULL that is written replaces it"
            )
        assert left == expected
        wanted = " ".join(ours for _, ours in differences.values())
        pair.target.execute(f"drop database {TARGET}")
        assert set(self.not_taken(pair, database_options=f"VGROUPS 2 {wanted}")) <= {"UPDATE 2"}

    def test_all_as_the_source_has_it(self, pair: Pair) -> None:
        if pair.source.generation == 2:
            words, of_2x = "cachelast 3 wal 2 fsync 100 cache 32 blocks 9 update 2", {"UPDATE 2"}
        else:
            words, of_2x = (
                "cachemodel 'both' wal_level 2 wal_fsync_period 100 buffer 288 wal_retention_period 77",
                set(),
            )
        pair.sql(f"create database {SOURCE} keep 36500 comp 1 minrows 20 maxrows 5000 {words}", TABLE)
        left = self.not_taken(pair, database_options="AS SOURCE VGROUPS 3 COMP 0")
        # What is said besides comes first; it is said what differs.
        assert set(left) - {"VGROUPS 2"} == of_2x | {"COMP 1"}
        target = pair.catalogs[1].database()
        assert target
        wanted = {"cachemodel": "both", "wal_level": "2", "wal_fsync_period": "100", "buffer": "288", "vgroups": "3"}
        wanted |= {"comp": "0", "minrows": "20", "maxrows": "5000", "replica": "1"}
        wanted |= {} if of_2x else {"wal_retention_period": "77"}
        assert {name: target.options[name] for name in wanted} == wanted

    def test_what_is_said_in_database_options_is_not_missing(self, pair: Pair) -> None:
        caching = "cachelast 1" if pair.source.generation == 2 else "cachemodel 'last_row'"
        pair.sql(f"create database {SOURCE} keep 36500 {caching}", TABLE)
        left = self.not_taken(pair, database_options="CACHEMODEL 'last_row' VGROUPS 2")
        assert not [name for name in left if "CACHE" in name]

    def test_a_target_that_keeps_rows_for_less_time(self, pair: Pair) -> None:
        pair.sql(f"create database {SOURCE} keep 36500", TABLE)
        pair.target.execute(f"create database {TARGET} keep 100")
        assert self.not_taken(pair)["KEEP 36500d"] == "the target keeps rows for 100d"


def test_the_oldest_moment(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE} keep 36500")
    pair.target.execute(f"create database {TARGET} keep 100")
    pair.target.execute(f"create table {TARGET}.t (ts timestamp, v int)")
    target = pair.catalogs[1].database()
    assert target
    moment = oldest(target, datetime.now(timezone.utc), Precision.MS)
    assert moment
    assert moment == pytest.approx((time.time() - 100 * 86400) * 1000, abs=10_000)
    with pytest.raises(RowRejected):
        pair.target.execute(f"insert into {TARGET}.t values ({moment - 60_000}, 1)")
    pair.target.execute(f"insert into {TARGET}.t values ({moment + 60_000}, 1)")
    assert oldest(Database("x", Precision.MS), datetime.now(timezone.utc), Precision.MS) is None
