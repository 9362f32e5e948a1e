"""Following by subscription from a real server: random changes, and who follows ends and begins anew among them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.types import field_from_sql
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.following import Position, Subscriber, choose, dropped, topic_of
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import SchemaSync

pytestmark = pytest.mark.integration

T = 1700000000000
SOURCE, TARGET = "follow_src", "follow_dst"


MONEY = field_from_sql("money", "DECIMAL(10,2)")


def has_decimal(*clients: Client) -> bool:
    return all(client.has_type(MONEY) for client in clients)


@pytest.fixture
def sides() -> Iterator[tuple[Catalog, Catalog]]:
    urls = [os.environ.get(f"TDENGINE_{role}_URL") for role in ("SOURCE", "TARGET")]
    if not all(urls):
        pytest.skip("needs TDENGINE_SOURCE_URL and TDENGINE_TARGET_URL")
    source, target = (Client(Address.from_url(str(url))) for url in urls)
    if source.generation == 2:
        pytest.skip("2.x serves no subscriptions")
    source.rows(f"create database {SOURCE} vgroups 3 keep 36500 wal_retention_period 3600")
    money = f", {MONEY.name} {MONEY.sql_type}" if has_decimal(source, target) else ""
    source.rows(f"create stable {SOURCE}.m (ts timestamp, v int, s varchar(20){money}) tags (g int, name nchar(8))")
    for i in range(10):
        source.rows(f"create table {SOURCE}.d{i} using {SOURCE}.m tags ({i}, 'n{i}')")
    try:
        yield Catalog(source, SOURCE), Catalog(target, TARGET)
    finally:
        source.rows(f"drop database {SOURCE}")
        target.rows(f"drop database if exists {TARGET}")


def test_both_sides_are_equal_in_the_end(sides: tuple[Catalog, Catalog]) -> None:
    source, target = sides
    options = MigrationOptions.checked(
        {
            "source_conn_id": "a",
            "target_conn_id": "b",
            "source_database": SOURCE,
            "target_database": TARGET,
            "mode": "realtime",
            "start_from": "2023-11-14T00:00:00Z",
            "on_delete": "apply",
        }
    )
    SchemaSync(source, target, options).run()
    topic = choose(source, target, options).topic
    assert topic
    stored: dict[str, Any] | None = None

    def save(position: Position) -> None:
        nonlocal stored
        stored = position.to_dict()

    def begun() -> tuple[Subscriber, Position]:
        made = Subscriber(source, target, options, topic_of(source, target, options), save=save)
        return made, made.position(stored)

    def sql(statement: str) -> None:
        source.client.rows(statement)

    chance = random.Random(1)
    tables, columns = [f"d{i}" for i in range(10)], ["v", "s"]
    if has_decimal(source.client, target.client):
        columns.append(MONEY.name)
    follower, position = begun()
    try:
        for number in range(12):
            what, table, low = chance.randrange(6), chance.choice(tables), T + chance.randrange(200)
            if what == 0:
                sql(f"delete from {SOURCE}.{table} where ts >= {low} and ts <= {low + 5}")
            elif what == 1:
                tables.append(f"n{number}")
                sql(f"create table {SOURCE}.n{number} using {SOURCE}.m tags ({number}, 'new')")
            elif what == 2:
                sql(f"alter table {SOURCE}.{table} set tag g = {number + 100}")
            elif what == 3 and len(columns) < 5:
                columns.append(f"c{number}")
                sql(f"alter table {SOURCE}.m add column c{number} int")
                # Vnodes know it a moment later.
                time.sleep(1)
            elif what == 4:
                sql(f"delete from {SOURCE}.m where ts >= {low} and ts <= {low + 5}")
            for _ in range(chance.randint(1, 5)):
                some = chance.sample(columns, chance.randint(1, len(columns)))
                rows = " ".join(
                    f"({T + chance.randrange(200)}, {', '.join(_value(chance, column) for column in some)})"
                    for _ in range(chance.choice([1, 3, 130]))
                )
                sql(f"insert into {SOURCE}.{chance.choice(tables)} (ts, {', '.join(some)}) values {rows}")
            if number % 5 == 4:
                follower.close()
                follower, position = begun()
            else:
                position = follower.round(position).position
        while position.vgroups is None or position.counted != 0:
            position = follower.round(position).position
    finally:
        follower.close()
        dropped(topic)
    query = f"select tbname, ts, {', '.join(columns)}, g, name from {{}}.m order by tbname, ts"
    assert source.rows(query.format(SOURCE)) == target.rows(query.format(TARGET))


def _value(chance: random.Random, column: str) -> str:
    if column == "s":
        return f"'{chance.choice(['', 'x', 'ü'])}'"
    return f"{chance.randrange(-999, 999) / 100}" if column == MONEY.name else str(chance.randrange(99))
