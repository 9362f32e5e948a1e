"""A catalog's sessions: one for a whole stage, closed at its end; and what must not be described."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.migration.catalog import Catalog, Patterns, Scope
from airflow_provider_tdengine.migration.catalog import catalog as catalogs
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.testing import TDengineBox

from ..conftest import SOURCE, Pair, address


class Watched(Client):
    """A client that remembers its sessions."""

    opened: list[Session]

    def session(self, database: str | None = None) -> Session:
        self.opened.append(super().session(database))
        return self.opened[-1]


@pytest.fixture
def catalog(pair: Pair) -> Catalog:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.d1 using {SOURCE}.s tags (1)",
        f"create table {SOURCE}.d2 using {SOURCE}.s tags (2)",
        *(f"create table {SOURCE}.n{i} (ts timestamp, v int)" for i in range(5)),
    )
    client = Watched(pair.source.address)
    client.opened = []
    return Catalog(client, SOURCE)


def opened(catalog: Catalog) -> list[Session]:
    assert isinstance(catalog.client, Watched)
    return catalog.client.opened


def is_open(session: Session) -> bool:
    try:
        session.query("select server_version()")
    except TDengineError:
        return False
    return True


def test_a_stage_has_one_session(catalog: Catalog) -> None:
    with catalog:
        assert len(catalog.tables(Scope())) == 6
        assert catalog.find("nobody") is None
        assert [row[0] for row in catalog.rows(f"select count(*) from {SOURCE}.n1")] in ([], [0])
        (session,) = opened(catalog)
        assert is_open(session)
    assert not is_open(session)


def test_readings_side_by_side_have_sessions_of_their_own(catalog: Catalog) -> None:
    with catalog:
        stable = catalog.describe("s")
        pairs = zip(catalog.subtables(stable, Scope()), catalog.subtables(stable, Scope()), strict=True)
        assert len(list(pairs)) == 2
        assert [is_open(session) for session in opened(catalog)] == [True, True]
        for _ in range(5):
            assert len(list(zip(*(catalog.subtables(stable, Scope()) for _ in range(2)), strict=True))) == 2
        assert len(opened(catalog)) == 2, "as many as were in use at the same time"
    assert not any(map(is_open, opened(catalog)))


def test_without_a_stage_each_reading_closes_its_session(catalog: Catalog) -> None:
    assert len(catalog.tables(Scope())) == 6
    assert len(opened(catalog)) > 6
    assert not any(map(is_open, opened(catalog)))


def test_a_session_that_is_lost_or_was_idle_for_long_is_not_used_again(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with catalog:
        catalog.describe("s")
        opened(catalog)[0].close()
        with pytest.raises(TDengineError, match="lost"):
            catalog.describe("s")
        assert catalog.describe("s").is_super
        monkeypatch.setattr(catalogs, "_IDLE", 0.0)
        assert catalog.describe("s").is_super
        assert [is_open(session) for session in opened(catalog)] == [False, False, True]


@pytest.fixture(params=["3.0.5.2", pytest.param("real", marks=pytest.mark.integration)])
def old(request: pytest.FixtureRequest, boxes: Callable[[str], TDengineBox]) -> Iterator[Catalog]:
    """A database of a server whose adapter dies of DESCRIBE of a table with GEOMETRY."""
    url = os.environ.get("TDENGINE_SOURCE_URL")
    if request.param == "real" and not url:
        pytest.skip("needs a real server in TDENGINE_SOURCE_URL")
    client = Client(
        Address.from_url(url) if url and request.param == "real" else address(boxes(f"{request.param} old"))
    )
    if client.dialect.describes_geometry:
        pytest.skip("the server in TDENGINE_SOURCE_URL describes GEOMETRY, or does not have it")
    client.execute(f"drop database if exists {SOURCE}")
    for statement in (
        f"create database {SOURCE}",
        f"create stable {SOURCE}.a (ts timestamp, p geometry(64)) tags (g int)",
        f"create stable {SOURCE}.b (ts timestamp, v int) tags (g int, p geometry(64))",
        f"create stable {SOURCE}.c (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.b1 using {SOURCE}.b tags (1, 'POINT(1 2)')",
        f"create table {SOURCE}.n (ts timestamp, p geometry(64))",
    ):
        client.execute(statement)
    yield Catalog(client, SOURCE)
    client.execute(f"drop database {SOURCE}")


def test_what_an_adapter_would_die_of_is_not_described(old: Catalog) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        old.tables(Scope())
    assert [finding.object for finding in stopped.value.findings] == ["Table 'a'", "Table 'b'", "Table 'n'"]
    with pytest.raises(MigrationStopped, match="it has GEOMETRY"):
        old.find("b")
    assert [table.name for table in old.tables(Scope(exclude=Patterns(("a", "b", "n"))))] == ["c"]


def test_rows_of_now_are_before_the_moment_that_is_behind_now(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE} keep 36500", f"create table {SOURCE}.t (ts timestamp, v int)")
    source = Catalog(pair.source, SOURCE)
    # The clock of 2.x is cut to a second: of several moments some would be behind it.
    for number in range(4):
        pair.sql(f"insert into {SOURCE}.t values (now + 0a, {number})")
        behind = int(source.behind_now() * 1000)
        assert pair.source.rows(f"select count(*) from {SOURCE}.t where ts < {behind}") == [(number + 1,)]
        time.sleep(0.27)
