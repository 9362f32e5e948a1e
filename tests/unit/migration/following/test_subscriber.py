"""Following by subscription: what a source tells arrives, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.following import Position, Subscriber, subscriber, topic_of
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import SchemaSync
from airflow_provider_tdengine.testing import TDengineBox

T = 1700000000000
BEGIN = "2023-11-14T00:00:00Z"


class Follow:
    """A source and a target, and who follows one into the other; each is a new one after `kill`."""

    def __init__(self, source: TDengineBox, target: TDengineBox, **values: object) -> None:
        self.source_box, self.target_box = source, target
        given = {"source_conn_id": "a", "target_conn_id": "b", "source_database": "d", "target_database": "e"}
        mode = {"mode": "realtime", "start_from": BEGIN}
        self.options = MigrationOptions.checked({**given, **mode, **values})
        self.stored: dict[str, Any] | None = None
        self.letters: Path | None = None
        self.sides = [self._catalog(source, "d"), self._catalog(target, "e")]
        self.subscriber: Subscriber | None = None
        self.position: Position | None = None

    @staticmethod
    def _catalog(box: TDengineBox, name: str) -> Catalog:
        return Catalog(Client(Address(scheme="ws", host="127.0.0.1", port=box.port, timeout=10)), name)

    def sync(self) -> None:
        SchemaSync(*self.sides, self.options).run()

    def begin(self) -> None:
        source, target = self.sides
        topic = topic_of(source, target, self.options)
        self.subscriber = Subscriber(source, target, self.options, topic, save=self._save, letters=self.letters)
        self.position = self.subscriber.position(self.stored)

    def _save(self, position: Position) -> None:
        self.stored = position.to_dict()

    def kill(self) -> None:
        assert self.subscriber
        self.subscriber.close()
        self.subscriber = None

    def round(self) -> int:
        if self.subscriber is None:
            self.begin()
        assert self.subscriber
        assert self.position
        done = self.subscriber.round(self.position)
        self.position = done.position
        return done.rows

    def drain(self) -> int:
        """Rounds until nothing has been told for a while."""
        rows = self.round()
        while not (self.position and self.position.vgroups is not None and self.position.counted == 0):
            rows += self.round()
        return rows

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self.source_box.execute(statement)

    def held(self, box: TDengineBox, database: str, columns: str, stable: str = "m") -> list[tuple[Any, ...]]:
        found = box.execute(f"select tbname, {columns} from {database}.`{stable}`")
        return sorted(found, key=repr)

    def is_equal(self, columns: str = "ts, v, s") -> bool:
        return self.held(self.source_box, "d", columns) == self.held(self.target_box, "e", columns)


@pytest.fixture(params=["3.0.5.2", "3.3.3.0"])
def source(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    with TDengineBox(version=request.param) as running:
        running.execute("create database d vgroups 3 keep 36500 wal_retention_period 3600")
        running.execute("create stable d.m (ts timestamp, v int, s varchar(20)) tags (g int, name nchar(8))")
        for i in range(4):
            running.execute(f"create table d.d{i} using d.m tags ({i}, 'n{i}')")
        running.execute("create table d.plain (ts timestamp, v int)")
        yield running


@pytest.fixture
def target() -> Iterator[TDengineBox]:
    with TDengineBox(version="3.3.3.0") as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "QUIET", 0.05)


@pytest.fixture
def follow(source: TDengineBox, target: TDengineBox) -> Iterator[Follow]:
    made = Follow(source, target)
    made.sync()
    yield made
    if made.subscriber:
        made.kill()


def test_what_was_there_before_and_what_is_told_after_it(follow: Follow) -> None:
    follow.sql(f"insert into d.d0 values ({T}, 1, 'a') d.d1 values ({T}, 2, '')")
    follow.sql(f"insert into d.d0 values ({int(time.time() * 1000) + 3_600_000}, 9, 'future')")
    follow.drain()
    assert follow.is_equal()
    follow.sql(
        f"insert into d.d0 values ({T}, 7, 'overwritten') ({T - 5}, 3, '') d.plain values ({T}, 1)",
        f"insert into d.d3 (ts, v) values ({T}, 1)",
        f"insert into d.d3 (ts, s) values ({T}, 'both')",
    )
    follow.drain()
    assert follow.is_equal()
    assert follow.target_box.execute("select * from e.plain") == follow.source_box.execute("select * from d.plain")


def test_structure_comes_over(follow: Follow) -> None:
    follow.drain()
    follow.sql(
        f"insert into d.n1 using d.m tags (7, 'new') values ({T}, 1, 'x')",
        "alter table d.m add column w double",
        f"insert into d.d0 values ({T + 1}, 1, 'x', 1.5)",
        "alter table d.d1 set tag g = 99",
        "create table d.other (ts timestamp, x bigint)",
        f"insert into d.other values ({T}, 5)",
        "create stable d.m2 (ts timestamp, v int, s varchar(9)) tags (g int)",
        f"insert into d.k1 using d.m2 tags (1) values ({T}, 4, 'z')",
    )
    follow.drain()
    assert follow.is_equal("ts, v, s, w, g, name")
    assert follow.held(follow.target_box, "e", "ts, v, s, g", "m2") == [
        ("k1", *follow.source_box.execute("select * from d.k1")[0], 1)
    ]
    assert follow.target_box.execute("select x from e.other") == [(5,)]
