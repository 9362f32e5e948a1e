"""What SELECT, SHOW and ALTER do in the box, beyond what the recordings tell."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.testing import BoxError, TDengineBox

T = 1609459200000


def is_2(box: TDengineBox) -> bool:
    return box.version.startswith("2")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f"ts = {T + 1000}", [None]),
        (f"ts > {T} and ts <= {T + 2000}", [None, 3]),
        (f"{T} < ts", [None, 3]),
        (f"ts between {T} and {T + 1000}", [1, None]),
        ("ts >= '2021-01-01T08:00:01+08:00'", [None, 3]),
        ("ts >= '2021-01-01 00:00:02'", [3]),
        ("ts < now - 1d", [1, None, 3]),
        ("ts > now + 1w", []),
        ("v is null", [None]),
        ("v is not null", [1, 3]),
        ("v <> 1", [3]),
        ("not v = 1", [3]),
        ("v = 1 or v = 3", [1, 3]),
        ("v in (3, 4)", [3]),
        ("v not in (3, 4)", [1]),
        ("v + 1 > 3", [3]),
        ("-v < -2", [3]),
        ("v % 2 = 1 and v * 2 = 2", [1]),
        ("t like 'x%'", [1]),
        ("t like '_好'", [None]),
        ("t = '你好'", [None]),
        ("t is null or t = 'x'", [1, 3]),
        (f"(ts = {T} or ts = {T + 2000}) and v > 1", [3]),
    ],
)
def test_where(box: TDengineBox, condition: str, expected: list[int | None]) -> None:
    assert box.execute(f"select v from d.a where {condition}") == [(value,) for value in expected]


def test_names_of_tables_narrow_a_super_table(box: TDengineBox) -> None:
    count = "select count(*) from d.s where"
    assert box.execute(f"{count} tbname = 'a'") == [(3,)]
    assert box.execute(f"{count} tbname >= 'b' and tbname <= 'c'") == [(3,)]
    assert box.execute(f"{count} tbname > 'a' and tbname < 'b'") == ([] if is_2(box) else [(0,)])
    assert box.execute(f"{count} tbname in ('a', 'nosuch') and ts > {T}") == [(2,)]
    assert box.execute(f"{count} tbname like '%b'") == [(3,)]
    assert box.execute(f"{count} g > 1 and n = 'two'") == [(3,)]
    assert box.execute(f"{count} g > 1 and v > 15") == [(2,)]


def test_groups_by_table(box: TDengineBox) -> None:
    rows = box.execute("select count(*), first(ts), last(v), sum(v) from d.s group by tbname order by first(ts)")
    filled = [(3, T, 3, 4), (3, T + 1000, 30, 60)]
    if is_2(box):
        assert rows == [(*filled[0], "a"), (*filled[1], "b")]
    else:
        assert rows == [(0, None, None, None), *filled]


def test_groups_without_a_count_leave_empty_tables_out(box: TDengineBox) -> None:
    rows = box.execute("select tbname, max(v) from d.s group by tbname")
    assert sorted(row[:2] for row in rows) == [("a", 3), ("b", 30)]


def test_groups_by_tag_and_by_value(box: TDengineBox) -> None:
    assert sorted(row[:2] for row in box.execute("select g, count(*) from d.s group by g")) == [(1, 3), (2, 3)]
    by_moment = box.execute("select ts, sum(v) from d.s group by ts order by ts")
    assert [row[:2] for row in by_moment] == [(T, 1), (T + 1000, 10), (T + 2000, 23), (T + 3000, 30)]


def test_aggregates(box: TDengineBox) -> None:
    columns = "count(*), count(v), sum(v), avg(v), min(v), max(v), first(v), last(v), last_row(v), spread(v)"
    assert box.execute(f"select {columns} from d.s") == [(6, 5, 64, 12.8, 1, 30, 1, 30, 30, 29.0)]
    assert box.execute("select last(v), last_row(t) from d.a") == [(3, None)]
    assert box.execute("select first(*) from d.b") == [(T + 1000, 10, "y")]


def test_nothing_to_aggregate(box: TDengineBox) -> None:
    assert box.execute("select sum(v), last(ts) from d.c") == []
    assert box.execute("select count(*), last(ts) from d.c") == ([] if is_2(box) else [(0, None)])


def test_order_limit_offset(box: TDengineBox) -> None:
    assert box.execute("select tbname, v from d.s order by ts desc limit 2") == [("b", 30), ("a", 3)]
    assert box.execute("select v from d.s order by v desc limit 2 offset 1") == [(20,), (10,)]
    assert box.execute("select v from d.s order by v limit 1, 2") == [(1,), (3,)]
    assert box.execute("select t, v from d.s order by 1 desc limit 1") == [("你好", None)]


def test_tags_and_columns_of_a_super_table(box: TDengineBox) -> None:
    assert box.execute(f"select * from d.s where ts = {T}") == [(T, 1, "x", 1, "one")]
    assert sorted(box.execute("select distinct tbname, g, n from d.s")) == [
        ("a", 1, "one"),
        ("b", 2, "two"),
        ("c", 3, None),
    ]
    assert box.execute("select tbname, g from d.a limit 1") == [("a", 1)]


def test_distinct_values(box: TDengineBox) -> None:
    assert sorted(box.execute("select distinct ts from d.s")) == [(T,), (T + 1000,), (T + 2000,), (T + 3000,)]


def test_a_query_in_a_query(tdengine_3: TDengineBox) -> None:
    tdengine_3.execute("create database d keep 36500")
    tdengine_3.execute("create stable d.s (ts timestamp, v int) tags (g int)")
    tdengine_3.execute("create table d.a using d.s tags (1) d.b using d.s tags (1)")
    assert tdengine_3.execute("select count(*) from (select distinct tbname from d.s)") == [(2,)]


def test_functions_of_3(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, b binary(20), n nchar(20), f double)")
    box.execute(f"insert into d.t values ({T}, 'Abc', '你好a', -1.5)")
    texts = box.execute("select length(b), length(n), char_length(n), upper(b), lower(b) from d.t")
    assert texts == [(3, 12, 3, "ABC", "abc")]
    casts = box.execute("select abs(f), cast(f as int), cast(ts as bigint), cast(b as nchar(2)) from d.t")
    assert casts == [(1.5, -1, T, "Ab")]


def test_intervals_of_each_table(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create stable d.s (ts timestamp, v int) tags (g int)")
    box.execute(
        f"insert into d.a using d.s tags (1) values ({T}, 1) ({T + 1500}, 2) d.b using d.s tags (2) values ({T}, 3)"
    )
    rows = box.execute(
        "select tbname, _wstart, sum(v) from d.s partition by tbname interval(1s) order by tbname, _wstart"
    )
    assert rows == [("a", T, 1), ("a", T + 1000, 2), ("b", T, 3)]


def test_names_keep_their_case_only_between_backticks(box: TDengineBox) -> None:
    box.execute("create table d.MiXed (TS timestamp, `VaL` int)")
    box.execute("create table d.`MiXed` (ts timestamp, v int)")
    names = {row[0] for row in box.execute("show tables like '%i%ed'", database="d")}
    assert names == {"mixed", "MiXed"}
    assert [row[0] for row in box.execute("describe d.mixed")] == ["ts", "VaL"]


def test_backticks_in_names_come_in_pairs_and_stay(tdengine_3: TDengineBox) -> None:
    """As 3.0.5.2 and 3.3.3.0 do it: both backticks are in the name, and INSERT alone takes two of them for one."""
    box = tdengine_3
    box.execute("create database `d``1` keep 36500")
    box.execute("create table `d``1`.`n``1` (`t``s` timestamp, `v``` int)")
    assert box.execute("show `d``1`.tables") == [("n``1",)]
    assert [row[0] for row in box.execute("describe `d``1`.`n``1`")] == ["t``s", "v``"]
    box.execute(f"insert into `d````1`.`n````1` (`t````s`, `v`````) values ({T}, 1)")
    box.execute("create stable `d``1`.s (ts timestamp, v int) tags (`g``1` int)")
    box.execute("create table `d``1`.`c``1` using `d``1`.s (`g``1`) tags (5)")
    box.execute(f"insert into `d````1`.`c````2` using `d````1`.s (`g````1`) tags (6) values ({T}, 2)")
    assert box.execute("select `v``` from `d``1`.`n``1` where `t``s` > 0") == [(1,)]
    assert box.execute("select tags tbname, `g``1` from `d``1`.s") == [("c``1", 5), ("c``2", 6)]
    for wrong in (
        f"insert into `d``1`.`n``1` values ({T}, 1)",
        f"insert into `d````1`.`n````1` (`t``s`) values ({T})",
        "create table `d``1`.`a`b` (ts timestamp, v int)",
        "create table `d``1`.a (ts timestamp, `v`` int)",
    ):
        with pytest.raises(BoxError):
            box.execute(wrong)


def test_2x_takes_no_backtick_in_a_name(tdengine_2: TDengineBox) -> None:
    tdengine_2.execute("create database d")
    tdengine_2.execute("create stable d.s (ts timestamp, v int) tags (g int)")
    for wrong in ("`n``1` (ts timestamp, v int)", "n (ts timestamp, `v``1` int)", "`n``1` using d.s tags (1)"):
        with pytest.raises(BoxError, match="syntax error"):
            tdengine_2.execute(f"create table d.{wrong}")


def test_databases_without_prefix(box: TDengineBox) -> None:
    assert box.execute("select count(*) from s", database="d") == [(6,)]
    with pytest.raises(BoxError, match="Database not specified"):
        box.execute("select count(*) from s")


def test_columns_come_and_go(box: TDengineBox) -> None:
    box.execute("alter table d.s add column w double")
    box.execute(f"insert into d.a (ts, w) values ({T + 5000}, 1.5)")
    assert box.execute(f"select v, w from d.a where ts >= {T + 2000}") == [(3, None), (None, 1.5)]
    box.execute("alter stable d.s drop column w")
    box.execute("alter stable d.s add column w int")
    assert box.execute("select count(w), count(ts) from d.s") == [(0, 7)]
    box.execute("alter stable d.s modify column t nchar(20)")
    box.execute(f"insert into d.a (ts, t) values ({T + 6000}, '01234567890123456789')")
    assert box.execute("select last(t) from d.a") == [("01234567890123456789",)]


def test_tags_come_and_change(box: TDengineBox) -> None:
    box.execute("alter stable d.s add tag more nchar(10)")
    box.execute("alter table d.a set tag more = '你''s'")
    assert sorted(box.execute("select distinct tbname, more from d.s"), key=str) == [
        ("a", "你's"),
        ("b", None),
        ("c", None),
    ]
    box.execute("alter stable d.s drop tag more")
    with pytest.raises(BoxError):
        box.execute("select more from d.s")


def test_dropping(box: TDengineBox) -> None:
    box.execute("drop table d.a")
    assert {row[0] for row in box.execute("show d.tables")} == {"b", "c"}
    box.execute("drop table if exists d.a")
    box.execute("drop stable d.s")
    assert box.execute("show d.tables") == []
    box.execute("drop database d")
    with pytest.raises(BoxError):
        box.execute("show d.tables")


def test_deleting_in_3(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create stable d.s (ts timestamp, v int) tags (g int)")
    for table, tag in (("a", 1), ("b", 2)):
        box.execute(f"insert into d.{table} using d.s tags ({tag}) values ({T}, 1) ({T + 1}, 2) ({T + 2}, 3)")
    assert box.execute(f"delete from d.s where ts > {T} and g = 1") == [(2,)]
    assert box.execute("select tbname, v from d.s where v > 1") == [("b", 2), ("b", 3)]
    assert box.execute("delete from d.b") == [(3,)]
    assert box.execute("select count(*) from d.s") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("frobnicate d.s", "frobnicate d.s"),
        ("select v frm d.s where", "d.s where"),
        ("select v from d.s where v >", "syntax error near"),
        ("select frobnicate(v) from d.s", "function"),
        ("select nosuch from d.s", "column"),
        ("show frobs", "show frobs"),
        ("create function f as 'x'", "create function f"),
        ("insert into d.a values (1, 2", "syntax error near"),
        ("insert into d.a values", "syntax error near"),
        (f"insert into d.a values ({T}, 1)", f"{T}, 1"),
        ("alter table d.s rename column", "syntax error near"),
        ("create database e precision 'ps'", "ps"),
        ("select * from d.s, d.a", "select * from d.s, d.a"),
    ],
)
def test_what_is_not_understood_is_named(box: TDengineBox, sql: str, named: str) -> None:
    with pytest.raises(BoxError) as raised:
        box.execute(sql)
    assert named in raised.value.message


def test_long_lists_of_names(box: TDengineBox) -> None:
    names = ", ".join(f"'t{number}'" for number in range(20_000))
    assert box.execute(f"select count(*) from d.s where tbname in ('a', {names})") == [(3,)]
