"""The one question: what tables hold, in pieces, and never believed where the answer may have been cut."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import IncompleteResult, StatementRejected
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.catalog import (
    Catalog,
    Holding,
    Holdings,
    Scope,
    count,
    holdings,
    in_slices,
    measured,
    together,
)
from airflow_provider_tdengine.migration.comparing import Comparison
from airflow_provider_tdengine.migration.copying import Batch, Copied, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.testing import TDengineBox

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T, address

module = importlib.import_module("airflow_provider_tdengine.migration.catalog.holdings")
"""The package has a function of the same name."""

TABLES = 50
CUT = 20
"""Rows to which answers over REST are cut."""

ALL = (None, None)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without pauses."""
    monkeypatch.setattr(retry, "PAUSE", 0.0)


def fill(pair: Pair) -> None:
    """Fifty subtables of one to three rows, one without, and a normal table."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int, d double) tags (g int)",
        f"create table {SOURCE}.empty using {SOURCE}.m tags (0)",
        f"create table {SOURCE}.n (ts timestamp, v int)",
        f"insert into {SOURCE}.n values ({T}, 1) ({T + 9}, 2)",
        "insert into "
        + " ".join(
            f"{SOURCE}.`D{i:02}` using {SOURCE}.m tags ({i}) values "
            + "".join(f"({T + i + row * 10},{row},{row})" for row in range(1 + i % 3))
            for i in range(TABLES)
        ),
    )


EXPECTED = [Holding(f"D{i:02}", 1 + i % 3, T + i, T + i + i % 3 * 10) for i in range(TABLES)]


@pytest.mark.parametrize("precision", list(Precision))
def test_rows_by_slices_of_time(pair: Pair, precision: Precision) -> None:
    """Slices begin at multiples of their width; other tables between those that are meant do not count."""
    step = precision.per_second // 1000
    pair.sql(
        f"create database {SOURCE} precision '{precision.value}' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.n (ts timestamp, v int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.m tags ({i})" for i in range(4)),
        *(
            f"insert into {SOURCE}.{table} values "
            + "".join(f"({T * step + row * 7 * step},1)" for row in range(count))
            for table, count in (("d0", 90), ("d1", 50), ("d3", 30), ("n", 40))
        ),
    )
    source, _ = pair.catalogs
    low, high, width = (T + 35) * step, (T + 400) * step, 53 * step
    for name, names, counts in (("m", ["d0", "d2", "d3"], [90, 0, 30]), ("n", ["n"], [40])):
        table = source.describe(name)
        found = in_slices(source, table, names, (low, high), width, precision)
        expected = np.zeros((len(names), -(-high // width) - low // width), np.int64)
        for line, rows in enumerate(counts):
            for time in range(T * step, T * step + rows * 7 * step, 7 * step):
                if low <= time < high:
                    expected[line, time // width - low // width] += 1
        assert found.tolist() == expected.tolist()
        assert not in_slices(source, table, names, ((T - 60) * step, T * step), width, precision).any()


def test_what_tables_hold(pair: Pair) -> None:
    fill(pair)
    source, _ = pair.catalogs
    stable, normal = source.describe("m"), source.describe("n")
    found = holdings(source, stable, Scope(), ALL)
    assert list(found) == EXPECTED
    assert found.total == sum(one.rows for one in EXPECTED)
    assert list(holdings(source, stable, Scope().between("D07", "D09"), ALL)) == EXPECTED[7:9]
    assert [one.rows for one in holdings(source, stable, Scope().between("D07", "D10"), (T + 9, T + 19))] == [1, 1, 1]
    assert not holdings(source, stable, Scope(), (T - 5, T))
    assert list(holdings(source, normal, Scope(), ALL)) == [Holding("n", 2, T, T + 9)]
    assert together(source, stable, Scope(), ALL) == Holding("m", found.total, T, T + 67)
    assert together(source, stable, Scope(), (T - 5, T)) is None
    assert (count(source, stable, Scope(), ALL), count(source, normal, Scope(), (T, T + 9))) == (found.total, 1)


def before_1970(pair: Pair) -> None:
    """One super table of two rows, and of subtables without."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.m tags ({i})" for i in range(8)),
        f"insert into {SOURCE}.d0 values (-6225516708,1) (-3280387013,2)",
    )
    source, _ = pair.catalogs
    stable = source.describe("m")
    assert together(source, stable, Scope(), ALL) == Holding("m", 2, -6225516708, -3280387013)
    assert list(holdings(source, stable, Scope(), ALL)) == [Holding("d0", 2, -6225516708, -3280387013)]
    assert together(source, stable, Scope(), (None, -6225516708)) is None


def test_what_a_super_table_holds_from_before_1970(pair: Pair) -> None:
    before_1970(pair)


def test_what_a_super_table_of_3_0_holds_from_before_1970() -> None:
    """Its LAST is garbage: 0, or a number cut to 24 bits."""
    with TDengineBox("3.0.5.2") as box:
        client = Client(address(box))
        before_1970(Pair(client, client))
        assert client.rows(f"select last(ts) from {SOURCE}.m") == [(0,)]


def over_rest(pair: BoxPair, side: str = "source") -> BoxPair:
    box = pair.source_box if side == "source" else pair.target_box
    return replace(pair, **{side: Client(address(box, "http"))})


def test_a_listing_that_is_cut_is_not_believed(faulty: BoxPair) -> None:
    fill(faulty)
    source, _ = over_rest(faulty).catalogs
    stable = source.describe("m")
    faulty.source_box.faults.truncate_rest(CUT)
    with pytest.raises(IncompleteResult, match=r"39 rows of 'm' were listed where .* counts 99"):
        holdings(source, stable, Scope(), ALL)
    # SQL cannot say such a scope: it is the listing that is counted.
    with pytest.raises(IncompleteResult):
        count(source, stable, Scope.of(faulty.options(exclude="D03")), ALL)
    assert len(holdings(source, stable, Scope().between("D00", "D20"), ALL)) == CUT


@pytest.mark.parametrize("side", ["source", "target"])
class TestNoStageIsGreenOnListsThatAreCut:
    """20 of 50 tables were created, planned, copied and called equal. Now a stage fails, or does all of its work."""

    def test_structure(self, faulty: BoxPair, side: str) -> None:
        fill(faulty)
        if cut(faulty, side, lambda rest: rest.sync()):
            faulty.sync()
        assert set(faulty.both()[1]) == set(faulty.both()[0])

    def test_plan(self, faulty: BoxPair, side: str) -> None:
        fill(faulty)
        faulty.sync()
        batches: list[Batch] = []
        failed = cut(faulty, side, lambda rest: batches.extend(make_plan(*rest.catalogs, rest.options())))
        assert failed or sorted(batch.rows for batch in batches) == [2, 99]

    @pytest.mark.parametrize("strategy", ["dense", "sparse"])
    def test_copy(self, faulty: BoxPair, side: str, strategy: str) -> None:
        fill(faulty)
        faulty.sync()
        options = faulty.options(strategy=strategy)
        batches, progress = make_plan(*faulty.catalogs, options), [MemoryProgress(), MemoryProgress()]

        def copy(pair: BoxPair) -> list[Copied]:
            work = zip(batches, progress, strict=True)
            return [copy_batch(*pair.catalogs, batch, options, own) for batch, own in work]

        if cut(faulty, side, copy):
            copy(faulty)
        assert faulty.both()[1] == faulty.both()[0]

    @pytest.mark.parametrize("is_copied", [True, False])
    def test_comparison(self, faulty: BoxPair, side: str, is_copied: bool) -> None:
        fill(faulty)
        faulty.sync()
        copied = faulty.copy_batches() if is_copied else None
        if is_copied:
            assert cut(faulty, side, lambda rest: rest.verify(copied=copied)) or side == "source"
            faulty.target.execute(f"delete from {TARGET}.`D40`")
        found: list[Comparison] = []
        failed = cut(faulty, side, lambda rest: found.append(rest.verify(copied=copied)))
        assert failed or found[0].different == (1 if is_copied else TABLES + 1)


def cut(pair: BoxPair, side: str, act: Callable[[BoxPair], object]) -> bool:
    """Do something while answers over REST are cut at one side; whether it has failed by that."""
    box = pair.source_box if side == "source" else pair.target_box
    box.faults.truncate_rest(CUT)
    try:
        act(over_rest(pair, side))
    except IncompleteResult:
        return True
    finally:
        box.faults.clear()
    return False


def test_a_listing_whose_rows_change_meanwhile_is_believed(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that lives has other rows before the listing than after it; what lies between may be true."""
    fill(faulty)
    source, _ = faulty.catalogs
    stable = source.describe("m")
    listed = module._listed

    def meanwhile(*given: object) -> Holdings:
        faulty.sql(f"insert into {SOURCE}.`D07` values ({T + 500}, 1, 1)")
        found: Holdings = listed(*given)
        faulty.sql(f"insert into {SOURCE}.`D07` values ({T + 600}, 1, 1)")
        return found

    monkeypatch.setattr(module, "_listed", meanwhile)
    assert holdings(source, stable, Scope(), ALL).total == 100


@pytest.mark.parametrize("question", ["holdings", "in_slices", "together", "count"])
def test_tables_that_came_a_moment_ago_are_asked(faulty: BoxPair, question: str) -> None:
    """An adapter of 2.x that has seen no subtable goes on finding none for 20 s."""
    faulty.sql(f"create database {SOURCE} keep 36500", f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)")
    source = Catalog(faulty.source, SOURCE)
    table, all_of_it = source.describe("m"), (Scope(), (T, T + 10))
    # By somebody else, who looks too early.
    faulty.source.rows(f"select count(*) from {SOURCE}.m")
    faulty.sql(f"insert into {SOURCE}.d0 using {SOURCE}.m tags (0) values ({T}, 1)")
    asked: dict[str, Callable[[], object]] = {
        "holdings": lambda: holdings(source, table, *all_of_it).total,
        "in_slices": lambda: in_slices(source, table, ["d0"], (T, T + 10), 10, Precision.MS).sum(),
        "together": lambda: together(source, table, *all_of_it),
        "count": lambda: count(source, table, *all_of_it),
    }
    assert asked[question]() in (1, Holding("m", 1, T, T))


def test_what_cannot_be_asked_is_raised(faulty: BoxPair) -> None:
    fill(faulty)
    source, _ = faulty.catalogs
    stable = source.describe("m")
    faulty.source_box.faults.answer_with(0x2600, "syntax error", 1, "count(")
    with pytest.raises(StatementRejected, match="syntax error"):
        holdings(source, stable, Scope(), ALL)
    faulty.source_box.faults.answer_with(0x0914, "Sync leader is restoring", 1, "count(")
    assert len(holdings(source, stable, Scope(), ALL)) == TABLES


# --- Measures


def sums(source: Catalog, scope: Scope, expressions: list[str]) -> list[Holdings]:
    stable = source.describe("m")
    return list(measured(source, stable, scope, ALL, holdings(source, stable, scope, ALL), expressions))


def test_measures_come_in_pieces(faulty: BoxPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred DOUBLE columns, a million tables' answers took gigabytes: they are in memory piece by piece."""
    fill(faulty)
    source, _ = faulty.catalogs
    expressions = ["COUNT(`v`)", "SUM(`v`)", "MAX(`d`)"]
    (whole,) = sums(source, Scope(), expressions)
    monkeypatch.setattr(module, "ANSWERS_A_QUERY", 7 * len(expressions))
    monkeypatch.setattr(module, "EXPRESSIONS_A_QUERY", 2)
    faulty.source_box.statements.clear()
    parts = sums(source, Scope(), expressions)
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert all("SUM(`v`), MAX(`d`)" not in statement for statement in faulty.source_box.statements)
    assert [name for part in parts for name in part.names] == whole.names == [one.name for one in EXPECTED]
    for place in range(len(expressions)):
        values = [value for part in parts for value in part.measures[place].values.tolist()]
        assert values == whole.measures[place].values.tolist()
    assert [int(value) for value in whole.measures[1].values] == [sum(range(one.rows)) for one in EXPECTED]


def test_tables_of_which_there_is_no_whole_answer_are_left_out(faulty: BoxPair) -> None:
    """They are compared by their rows: 2.x adapters cut the JSON of a sum beyond DOUBLE, and the lists of others."""
    fill(faulty)
    source, _ = over_rest(faulty).catalogs
    stable = source.describe("m")
    known = holdings(source, stable, Scope(), ALL)
    faulty.source_box.faults.truncate_rest(CUT)
    found = [name for part in measured(source, stable, Scope(), ALL, known, ["SUM(`v`)"]) for name in part.names]
    assert sorted(found) == sorted(set(found))
    assert set(found) <= set(known.names)


def test_a_plan_says_what_is_missing(faulty: BoxPair) -> None:
    fill(faulty)
    with pytest.raises(MigrationStopped, match="has no database 'mig_dst'"):
        make_plan(*faulty.catalogs, faulty.options())
