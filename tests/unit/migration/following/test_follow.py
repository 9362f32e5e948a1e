"""Rows that arrive while a migration runs: rounds from a watermark on, whatever the source does in between."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.catalog import Scope, Subtable
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.following import Follower, Lookout, Position, Round, Shard, shards
from airflow_provider_tdengine.migration.following import follow as follow_module

from ..conftest import CREATED, SOURCE, TARGET, BoxPair, Pair

C = int(CREATED.timestamp() * 1000)
"""The creation of the migration, from which on rows are followed, in milliseconds."""


@dataclass
class Follow:
    """A follow of tests, at a time that they set; each round is in a process of its own, as far as it can know."""

    pair: Pair
    values: dict[str, object]
    now: float = CREATED.timestamp()
    shard: Shard = field(default_factory=Shard)
    stored: dict[str, object] | None = None
    saved: list[Position] = field(default_factory=list)

    @property
    def follower(self) -> Follower:
        options = self.pair.options(**{"mode": "realtime", **self.values})
        return Follower(*self.pair.catalogs, options, self.shard, save=self.save, clock=lambda: self.now)

    def save(self, position: Position) -> None:
        self.saved.append(position)
        self.stored = position.to_dict()

    def round(self, seconds: float = 0, *, looks: bool = True) -> Round:
        """A round so many seconds later."""
        self.now += seconds
        if self.stored and not looks:
            self.stored["next_look"] = self.now + 1
        elif self.stored:
            self.stored["next_look"] = 0
        follower = self.follower
        try:
            return follower.round(follower.position(self.stored))
        finally:
            follower.close()

    def lookout(self) -> Lookout:
        options = self.pair.options(**{"mode": "realtime", **self.values})
        assert self.stored
        position = Position.from_dict(self.stored)
        return Lookout(*self.pair.catalogs, options, self.shard, position, lambda: self.now)


def rows(table: str, *times: int, v: float = 1.5) -> str:
    """An INSERT of rows at these milliseconds after the creation."""
    return f"insert into {SOURCE}.{table} values " + "".join(f"({C + time},{v})" for time in times)


@pytest.fixture
def devices(pair: Pair) -> Pair:
    """A super table of three subtables and a normal table, in both databases; one old row."""
    update = " update 1" if pair.source.generation == 2 else ""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500{update}",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int, name nchar(8))",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.m tags ({i}, '站{i}')" for i in range(3)),
        f"create table {SOURCE}.plain (ts timestamp, v double)",
        rows("d0", -60_000),
    )
    pair.sync()
    return pair


def equal(pair: Pair) -> bool:
    source, target = pair.both()
    return source == target


def times(pair: Pair, table: str) -> list[int]:
    """The timestamps of a table of the target, in milliseconds after the creation."""
    found = pair.target.rows(f"select * from {TARGET}.`{table}`")
    return sorted(int(str(row[0])) - C for row in found)


def test_rows_from_the_creation_on_are_copied(devices: Pair) -> None:
    follow = Follow(devices, {})
    devices.sql(rows("d0", -1, 0, 1000), rows("d1", 500), rows("plain", 700))
    done = follow.round(2)
    assert (done.rows, done.tables, done.position.watermark, done.position.lag) == (4, 3, C + 2000, 0)
    assert [times(devices, table) for table in ("d0", "d1", "d2", "plain")] == [[0, 1000], [500], [], [700]]
    assert follow.stored == done.position.to_dict()
    devices.sql(rows("d2", 2000, 2500))
    assert follow.round(1).rows == 2 + 4
    assert times(devices, "d2") == [2000, 2500]
    assert follow.round(100).position.rows == 4 + 6 + 6


def test_both_has_neither_gap_nor_overlap(devices: Pair) -> None:
    devices.sql(rows("d0", -1, 0, 1, 1000), rows("plain", -1, 0))
    devices.copy(mode="both")
    assert [times(devices, table) for table in ("d0", "plain")] == [[-60_000, -1], [-1]]
    Follow(devices, {"mode": "both", "lookback": 0}).round(2)
    assert equal(devices)


def test_rows_are_copied_from_where_the_user_says(devices: Pair) -> None:
    devices.sql(rows("d0", -20_000, -10_000))
    Follow(devices, {"start_from": "2021-12-31T23:59:50Z"}).round(1)
    assert times(devices, "d0") == [-10_000]


def test_rows_wait_for_the_delay_and_late_ones_are_found_by_the_lookback(devices: Pair) -> None:
    follow = Follow(devices, {"delay": 5, "lookback": 3})
    devices.sql(rows("d0", 0, 5000))
    assert follow.round(4).position.watermark == C
    assert follow.round(5).rows == 1
    assert times(devices, "d0") == [0]
    devices.sql(rows("d1", 900, 1100), rows("d0", 0, v=7))
    follow.round(4, looks=False)
    assert [times(devices, table) for table in ("d0", "d1")] == [[0, 5000], [1100]]
    assert follow.stored
    assert follow.stored["since"] == C + 1000


def test_values_that_change_within_the_lookback_arrive(devices: Pair) -> None:
    follow = Follow(devices, {})
    devices.sql(rows("d1", 1000))
    follow.round(2)
    devices.sql(rows("d1", 1000, v=-3))
    follow.round(2)
    assert devices.target.rows(f"select v from {TARGET}.d1") == [(-3.0,)]


def test_rows_in_the_future_wait_until_it_is_their_time(devices: Pair) -> None:
    follow = Follow(devices, {"lookback": 0})
    devices.sql(rows("d0", 50_000))
    done = follow.round(10)
    assert (done.rows, done.position.lag) == (0, 0)
    assert follow.round(40).rows == 0
    assert follow.round(1).rows == 1


def test_the_lag_is_what_the_delay_has_left(devices: Pair) -> None:
    follow = Follow(devices, {"delay": 20})
    devices.sql(rows("d0", *range(0, 100_000, 1000)))
    assert follow.round(60).position.lag == 19
    assert follow.round(20).position.lag == 19


def test_a_large_round_is_cut_and_the_watermark_moves_piece_by_piece(
    devices: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_module, "ROWS_A_ROUND", 25)
    follow = Follow(devices, {"lookback": 0})
    devices.sql(*(rows(f"d{i}", *range(0, 100_000, 1000)) for i in range(3)))
    marks, done = [], follow.round(100)
    while done.position.counted is None:
        assert 0 < done.rows < 100
        assert follow.lookout().look()
        marks.append(done.position.watermark)
        done = follow.round()
    assert len(marks) > 10
    assert sorted(set(marks)) == marks
    assert [len(times(devices, f"d{i}")) for i in range(3)] == [100] * 3


# --- Structure


def subtables(pair: Pair) -> list[Subtable]:
    """The subtables of `m` in the target, by name."""
    target = pair.catalogs[1]
    return sorted(target.subtables(target.describe("m"), Scope()), key=lambda subtable: subtable.name)


def test_tables_columns_and_tags_that_come_up_are_carried_over(devices: Pair) -> None:
    follow = Follow(devices, {"mode": "both"})
    devices.copy(mode="both")
    devices.sql(rows("d0", 100))
    follow.round(1)
    devices.sql(
        f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, null)",
        rows("d9", -90_000_000, -50_000, 1500),
        f"create stable {SOURCE}.other (ts timestamp, n int) tags (t nchar(4))",
        f"create table {SOURCE}.o1 using {SOURCE}.other tags ('新')",
        f"insert into {SOURCE}.o1 values ({C - 5},1)({C + 1},2)",
        f"create table {SOURCE}.fresh (ts timestamp, n int)",
        f"insert into {SOURCE}.fresh values ({C + 2},1)",
        f"alter table {SOURCE}.m add column w int",
        f"alter table {SOURCE}.m add tag extra nchar(8)",
        f"alter table {SOURCE}.m modify tag name nchar(20)" if devices.source.generation == 3 else "select 1",
        f"alter table {SOURCE}.d1 set tag g = 77",
        f"alter table {SOURCE}.d2 set tag extra = '加'",
        f"insert into {SOURCE}.d1 values ({C + 1200},1,2)",
    )
    follow.round(1)
    assert equal(devices)


def test_new_tables_have_rows_from_the_creation_on_only_in_realtime(devices: Pair) -> None:
    follow = Follow(devices, {})
    follow.round(100)
    devices.sql(f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, '')", rows("d9", -5, 5, 50_000, 99_999, 100_000))
    follow.round(1)
    assert times(devices, "d9") == [5, 50_000, 99_999, 100_000]


@pytest.mark.parametrize("table", ["d9", "p9"])
def test_a_table_that_comes_up_between_two_looks_does_not_fail_the_round(devices: Pair, table: str) -> None:
    follow = Follow(devices, {"lookback": 0})
    follow.round(1)
    using = f"using {SOURCE}.m tags (9, 'n')" if table == "d9" else "(ts timestamp, v double)"
    devices.sql(f"create table {SOURCE}.{table} {using}", rows(table, 3, 1500), rows("d0", 1600))
    follow.round(1, looks=False)
    assert times(devices, table) == [3, 1500]
    assert times(devices, "d0") == [1600]


@pytest.mark.parametrize("rows_each", [1, 800], ids=["sparse", "dense"])
def test_a_column_that_comes_up_between_two_looks_loses_no_value(devices: Pair, rows_each: int) -> None:
    follow = Follow(devices, {})
    devices.sql(rows("d0", 1), rows("d1", 1))
    follow.round(1)
    values = "".join(f"({C + 1000 + i},1,{i})" for i in range(rows_each))
    devices.sql(
        f"alter table {SOURCE}.m add column w int",
        f"insert into {SOURCE}.d0 values {values}",
        f"insert into {SOURCE}.d1 values {values}",
    )
    follow.round(5, looks=False)
    assert devices.target.rows(f"select sum(w) from {TARGET}.m") == [(sum(range(rows_each)) * 2,)]
    assert [len(times(devices, table)) for table in ("d0", "d1")] == [1 + rows_each] * 2


def test_a_follow_that_knows_the_structure_notices_it_too(devices: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """A follower that goes on in the same process has read the structure before."""
    caplog.set_level("INFO")
    follow = Follow(devices, {"lookback": 0})
    follower = follow.follower
    position = follower.round(follower.position(None)).position
    devices.sql(
        f"alter table {SOURCE}.m add column w int",
        f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, 'n')",
        f"insert into {SOURCE}.d9 values ({C + 1},1,2)",
        f"insert into {SOURCE}.d0 values ({C + 1},1,3)",
        f"create table {SOURCE}.p9 (ts timestamp, v double)",
        rows("p9", 1),
    )
    follow.now += 1
    position = follower.round(position).position
    assert "its structure is read again" in caplog.text
    assert "Clear sync_schema" not in caplog.text  # Which is what a copy advises.
    assert [times(devices, table) for table in ("d0", "d9")] == [[1], [1]]
    follow.now += 10
    follower.round(position)
    assert times(devices, "p9") == [1]


def test_a_stop_between_creating_and_filling_new_tables_loses_no_row(devices: Pair) -> None:
    follow = Follow(devices, {})
    follow.round(100)
    devices.sql(f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, '')", rows("d9", 5, 50_000), rows("d0", 60_000))
    devices.sync(update_tags=True)
    assert follow.round(1).rows == 3
    assert times(devices, "d9") == [5, 50_000]
    assert times(devices, "d0") == [60_000]


def test_fail_names_each_change(devices: Pair) -> None:
    follow = Follow(devices, {"on_schema_change": "fail"})
    follow.round(1)
    follow.round(1)
    devices.sql(
        f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, '')",
        f"alter table {SOURCE}.d1 set tag g = 77",
        f"create table {SOURCE}.p9 (ts timestamp, v double)",
    )
    with pytest.raises(MigrationStopped) as stopped:
        follow.round(1)
    text = str(stopped.value)
    assert "Table 'd9': the target does not have this subtable" in text
    assert "Table 'd1': its tag g is 77 in the source, 1 in the target" in text
    assert "Table 'p9': the target does not have it" in text
    assert text.startswith("3 findings")


@pytest.mark.parametrize("change", ["alter table {}.m add column w int", "create table {}.d9 using {}.m tags (9,'')"])
def test_fail_stops_before_a_row_is_written_without_its_column_or_table(devices: Pair, change: str) -> None:
    follow = Follow(devices, {"on_schema_change": "fail", "lookback": 0})
    follow.round(1)
    devices.sql(change.format(SOURCE, SOURCE))
    last = ",5" if "column" in change else ""
    devices.sql(f"insert into {SOURCE}.{'d0' if last else 'd9'} values ({C + 1500},1{last})")
    with pytest.raises(MigrationStopped, match=r"no column 'w'|'d9': the target does not have this subtable"):
        follow.round(1, looks=False)
    assert follow.stored
    assert follow.stored["watermark"] == C + 1000
    assert times(devices, "d0") == []


def test_renamed_tables_and_columns_are_followed(devices: Pair) -> None:
    names = {"rename_stables": "* -> s_*", "rename_tables": "* -> t_*", "rename_columns": "v -> value"}
    values = {**names, "add_tags": "site=north"}
    devices.sync(**values)
    follow = Follow(devices, values)
    devices.sql(rows("d0", 5))
    follow.round(10)
    devices.sql(
        f"create table {SOURCE}.d9 using {SOURCE}.m tags (9, 'x')",
        rows("d9", 6, 10_500),
        f"alter table {SOURCE}.m add column w int",
    )
    follow.round(1)
    assert [times(devices, table) for table in ("t_d0", "t_d9")] == [[5], [6, 10_500]]
    assert devices.target.rows(f"select distinct g, site from {TARGET}.t_d9") == [(9, "north")]
    assert [column.name for column in devices.catalogs[1].describe("s_m").columns] == ["ts", "value", "w"]


# --- Where it goes on


def test_a_stored_position_of_something_else_is_not_trusted(devices: Pair, caplog: pytest.LogCaptureFixture) -> None:
    follow = Follow(devices, {"lookback": 0})
    devices.sql(rows("d0", 5), rows("d1", 6))
    follow.round(1)
    devices.target.execute(f"drop table {TARGET}.d0")
    devices.sync()
    follow.shard = Shard(None, "d2")
    follow.now += 60
    done = follow.round()
    assert "is of another migration" in caplog.text
    assert times(devices, "d0") == [5]
    assert done.rows == 2, "the table that differs, and the target's last row"


def test_without_a_memory_it_goes_on_from_the_last_timestamp_of_the_target(
    devices: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    devices.sql(rows("d0", 5, 10), rows("d1", 6), rows("plain", 7))
    Follow(devices, {"lookback": 0}).round(1)
    # Missing before the last timestamp: in a table that differs, and in one that is not there.
    devices.sql(rows("d0", 7), rows("d2", 8))
    devices.sql(rows("d1", 500, 600))
    follow = Follow(devices, {"lookback": 0}, now=CREATED.timestamp() + 1)
    follower = follow.follower
    position = follower.position(None, remembers=False)
    assert (position.watermark, position.known) == (C + 10, None)
    assert "the target's last timestamp, 2022-01-01T00:00:00.010000+00:00" in caplog.text
    done = follower.round(position)
    assert times(devices, "d0") == [5, 7, 10]
    assert times(devices, "d1") == [6, 500, 600]
    assert times(devices, "d2") == [8]
    assert done.rows == 7


def test_without_a_memory_and_with_an_empty_target_it_begins_at_the_beginning(devices: Pair) -> None:
    devices.sql(rows("d0", 5))
    follower = Follow(devices, {}, now=CREATED.timestamp() + 1).follower
    position = follower.position(None, remembers=False)
    assert position.watermark == C
    assert follower.round(position).rows == 1


def test_the_watermark_stays_where_it_is_when_a_copy_fails(faulty: BoxPair) -> None:
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500", f"create table {SOURCE}.d0 (ts timestamp, v double)"
    )
    faulty.sync()
    follow = Follow(faulty, {})
    follow.round(1)
    faulty.sql(rows("d0", 1500))
    follower = follow.follower
    follow.now += 1
    threading.Timer(0.5, follower.stop).start()
    faulty.target_box.faults.delay(3)
    with pytest.raises(Stopped):
        follower.round(follower.position(follow.stored))
    assert follow.stored
    assert follow.stored["watermark"] == C + 1000
    with pytest.raises(Stopped):
        follower.round(follower.position(follow.stored))
    faulty.target_box.faults.clear()
    follow.round()
    assert times(faulty, "d0") == [1500]


# --- Waiting


def test_a_lookout_sees_new_rows_late_rows_and_nothing_else(devices: Pair) -> None:
    follow = Follow(devices, {"lookback": 3, "schema_poll_interval": 60})
    devices.sql(rows("d0", 5, 8000), rows("plain", 6))
    follow.round(10)
    lookout = follow.lookout()
    for _ in range(3):
        assert lookout.look() == ""
        follow.now += 1
    devices.sql(rows("d1", 8500))
    assert lookout.look() == "4 rows, 3 of them known"
    follow.round(looks=False)
    lookout = follow.lookout()
    assert lookout.look() == ""
    devices.sql(rows("plain", 13_000))
    assert lookout.look() == ""
    follow.now += 1
    assert lookout.look()


@pytest.mark.parametrize(
    "change",
    [
        "create table {0}.d9 using {0}.m tags (9, 'x')",
        "create table {0}.p9 (ts timestamp, v double)",
        "create stable {0}.m9 (ts timestamp, v double) tags (g int)",
        "alter table {0}.m add column w int",
        "alter table {0}.m add tag w int",
        "alter table {0}.d1 set tag g = 5",
        "alter table {0}.d1 set tag name = null",
    ],
)
def test_a_lookout_sees_each_change_of_the_structure_once(devices: Pair, change: str) -> None:
    follow = Follow(devices, {})
    follow.round(1)
    lookout = follow.lookout()
    follow.now += 100
    assert lookout.look() == ""
    devices.sql(change.format(SOURCE))
    assert lookout.look() == "", "it has just looked"
    follow.now += 100
    assert lookout.look() == "another structure"
    follow.round()
    follow.now += 100
    assert follow.lookout().look() == ""


def test_a_lookout_passes_over_rows_out_of_scope(devices: Pair) -> None:
    follow = Follow(devices, {"exclude": "d1"})
    follow.round(1)
    devices.sql(rows("d1", 1500))
    follow.now += 1
    lookout = follow.lookout()
    assert lookout.look() == ""
    devices.sql(rows("d2", 1600))
    assert lookout.look() == "1 row, 0 of them known"


# --- Shards


def test_shards_have_all_tables_between_them(devices: Pair) -> None:
    devices.sql(*(f"create table {SOURCE}.`站 {i}` using {SOURCE}.m tags ({i}, '')" for i in range(5)))
    devices.sync()
    devices.copy(mode="both")
    parts = shards(devices.catalogs[0], devices.options(follow_shards=4))
    assert len(parts) == 4
    follows = [Follow(devices, {"mode": "both", "follow_shards": 4}, shard=part) for part in parts]
    devices.sql(*(rows(f"`{name}`", 5) for name in devices.catalogs[0].owners()))
    done = [follow.round(1) for follow in follows]
    assert sum(one.rows for one in done) == 9
    assert max(one.rows for one in done) < 6
    devices.sql(
        f"create table {SOURCE}.`a` using {SOURCE}.m tags (1, '')",
        f"create table {SOURCE}.`zz` using {SOURCE}.m tags (1, '')",
        f"create table {SOURCE}.`站 11` (ts timestamp, v double)",
        f"alter table {SOURCE}.m add column w int",
        *(f"insert into {SOURCE}.`{name}` values ({C + 6},1,2)" for name in ("a", "zz", "d1")),
        rows("`站 11`", 7),
    )
    for follow in follows:
        follow.round(1)
    devices.copy(mode="both")
    assert equal(devices)


def test_one_shard_is_everything(devices: Pair) -> None:
    assert shards(devices.catalogs[0], devices.options()) == [Shard()]
    assert shards(devices.catalogs[0], devices.options(follow_shards=64, tables="d0")) == [Shard()]


# --- Whatever happens

INSERT = st.tuples(st.just("insert"), st.integers(0, 5), st.integers(0, 4000), st.integers(0, 100))
EVENT = st.one_of(
    INSERT,
    INSERT,
    st.tuples(st.just("round"), st.integers(0, 2000), st.booleans()),
    st.tuples(st.just("create"), st.integers(0, 5)),
    st.tuples(st.just("column")),
    st.tuples(st.just("tag"), st.integers(0, 5), st.integers(0, 9)),
    st.tuples(st.just("crash"), st.integers(0, 5)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENT, max_size=25), st.booleans())
def test_both_sides_are_equal_in_the_end(pair: Pair, events: list[tuple], same_process: bool) -> None:  # type: ignore[type-arg]
    """Rows up to four seconds late in random order, new subtables, columns and tag values, rounds and lost saves."""
    pair.source.execute(f"drop database if exists {SOURCE}")
    pair.target.execute(f"drop database if exists {TARGET}")
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, c0 int) tags (g int)",
        f"create table {SOURCE}.d0 using {SOURCE}.m tags (0)",
    )
    pair.sync()
    follow = Follow(pair, {"lookback": 4, "mode": "both"})
    follower = follow.follower
    there, columns = {0}, 1

    def create(i: int) -> None:
        if i not in there:
            pair.sql(f"create table {SOURCE}.d{i} using {SOURCE}.m tags ({i})")
            there.add(i)

    def advance(looks: bool) -> None:
        nonlocal follower
        if not same_process:
            follower = follow.follower
        if follow.stored:
            follow.stored["next_look"] = 0 if looks else follow.now + 1
        follower.round(follower.position(follow.stored))

    for event, *values in events:
        if event == "insert":
            table, late, value = values
            create(table)
            cells = ",".join([str(value)] * columns)
            pair.sql(f"insert into {SOURCE}.d{table} values ({int(follow.now * 1000) - late},{cells})")
        elif event == "create":
            create(*values)
        elif event == "column":
            pair.sql(f"alter table {SOURCE}.m add column c{columns} int")
            columns += 1
        elif event == "tag":
            table, value = values
            create(table)
            pair.sql(f"alter table {SOURCE}.d{table} set tag g = {value}")
        elif event == "crash":
            # The process ended, and some of what it had saved last with it.
            back = follow.saved[-1 - values[0] :][:1]
            follow.stored = back[0].to_dict() if back else None
            follower = follow.follower
        else:
            follow.now += values[0] / 1000
            advance(values[1])
    follow.now += 1
    advance(True)
    assert equal(pair)
