"""What a database has beside its tables is made in the target, is the same there, or is left with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from airflow_provider_tdengine.client.errors import StatementRejected
from airflow_provider_tdengine.migration.catalog import is_own_topic, own_topic
from airflow_provider_tdengine.migration.structure import Made, make_objects
from airflow_provider_tdengine.migration.structure.objects import readdressed

from ..conftest import SOURCE, TARGET, Pair, T


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("create view src.v as select a from src.t", "create view `dst`.v as select a from `dst`.t"),
        ("CREATE VIEW `src`.`v` AS SELECT `src`.`t`.`a` FROM SRC.t",
         "CREATE VIEW `dst`.`v` AS SELECT `dst`.`t`.`a` FROM `dst`.t"),
        ("create topic x with meta as database src", "create topic x with meta as database `dst`"),
        ("create topic x as select src from src . t", "create topic x as select src from `dst` . t"),
        ("create view src.v as select 'src.t', \"src.t\", 'it''s src.t' from src2.t",
         "create view `dst`.v as select 'src.t', \"src.t\", 'it''s src.t' from src2.t"),
        ("create topic asrc as select * from a_src.t", "create topic asrc as select * from a_src.t"),
    ],
)  # fmt: skip
def test_the_database_is_named_anew_wherever_it_qualifies_a_name(statement: str, expected: str) -> None:
    assert readdressed(statement, "src", "dst") == expected


@pytest.mark.parametrize("label", ["", "power", "Größe & more", "x" * 200])
def test_topics_of_our_own_are_known(label: str) -> None:
    assert is_own_topic(own_topic(label, "0123456789abcdef"))
    for other in ("airflow_power", "power_0123456789abcdef", "airflow_0123456789ABCDEF"):
        assert not is_own_topic(other)


@pytest.fixture
def plant(pair: Pair) -> Iterator[Pair]:
    """A super table, and no topic or stream of an earlier test."""

    def drop() -> None:
        for client in (pair.source, pair.target):
            if client.generation == 3:
                for name in ("mig_topic", "mig_made"):
                    client.execute(f"drop topic if exists {name}")

    drop()
    retention = "wal_retention_period 3600" if pair.source.generation == 3 else ""
    pair.sql(
        f"create database {SOURCE} keep 36500 {retention}",
        f"create stable {SOURCE}.m (ts timestamp, v double) tags (g int, h int)",
        f"insert into {SOURCE}.d1 using {SOURCE}.m tags (1, 2) values ({T}, 1)",
    )
    yield pair
    drop()


def made(pair: Pair, kinds: str) -> dict[tuple[str, str], Made]:
    with pair.catalogs[0] as source, pair.catalogs[1] as target:
        return {(one.kind, one.name): one for one in make_objects(source, target, pair.options(objects=kinds))}


@pytest.mark.target(since=(3, 3))
@pytest.mark.source(since=(3,))
def test_a_topic_of_the_database_is_made_there_too(plant: Pair) -> None:
    topic = f"create topic mig_topic with meta as database {SOURCE}"
    plant.sql(topic, f"create topic airflow_x_0123456789abcdef with meta as database {SOURCE}")
    try:
        plant.sync()
        # One server, both databases: a topic's name is the server's.
        one_server = str(plant.source.address) == str(plant.target.address)
        found = made(plant, "topics, views")
        assert [name for _, name in found] == ["mig_topic"]
        (one,) = found.values()
        if one_server:
            assert one.outcome == "left"
            assert "the target has another one" in one.reason or "the target refuses it" in one.reason
            return
        assert one == Made("topic", "mig_topic", topic.replace(SOURCE, f"`{TARGET}`"), "made")
        assert {one.outcome for one in made(plant, "topics").values()} == {"there"}
        plant.target.execute("drop topic mig_topic")
        # What is made is no leftover; what is not, is.
        for kinds, expected in (("all", set()), ("views", {"mig_topic"}), ("", {"mig_topic"})):
            left = {one["name"] for one in plant.sync(objects=kinds).not_migrated if one["kind"] == "topic"}
            assert left == expected
    finally:
        plant.sql("drop topic airflow_x_0123456789abcdef")


@pytest.mark.target(since=(3, 3))
@pytest.mark.source(since=(3, 3), boxes=False)
def test_all_kinds_of_a_real_database(plant: Pair) -> None:
    plant.sql(
        f"create index mig_index on {SOURCE}.m (h)",
        f"create tsma mig_tsma on {SOURCE}.m function(avg(v)) interval(5m)",
        f"create stream mig_stream into {SOURCE}.agg as select _wstart, avg(v) from {SOURCE}.m interval(1m)",
    )
    try:
        plant.sync(tables="d1", stables="m")
        found = made(plant, "all")
        # Names of streams, which a TSMA is, too, are the server's, and here both databases may be on one.
        one_server = str(plant.source.address) == str(plant.target.address)
        streams = "left" if one_server else "made"
        outcomes = {kind: one.outcome for (kind, _), one in found.items()}
        assert outcomes == {"index": "made", "tsma": streams, "stream": streams}
        again = made(plant, "all")
        assert again["index", "mig_index"].outcome == "there"
        assert again["tsma", "mig_tsma"].outcome in ("there", "left")
    finally:
        for client, database in ((plant.source, SOURCE), (plant.target, TARGET)):
            client.execute("drop stream if exists mig_stream")
            with suppress(StatementRejected):  # 3.3.5.2 knows IF EXISTS, and refuses one that is missing.
                client.execute(f"drop tsma if exists {database}.mig_tsma")


@pytest.mark.source(since=(3,))
def test_what_cannot_be_made_is_left_with_a_reason(plant: Pair) -> None:
    plant.sql(f"create topic mig_topic with meta as database {SOURCE}")
    plant.sync()
    with plant.catalogs[0] as source, plant.catalogs[1] as target:
        renamed = plant.options(objects="all", rename_stables="m -> n")
        (one,) = (one for one in make_objects(source, target, renamed) if one.kind == "topic")
    assert (one.outcome, one.reason) == (
        "left",
        "tables or columns have other names in the target; adapt the statement",
    )
    assert "Make it by hand: create topic mig_topic" in str(one.finding)


def test_what_objects_may_name(pair: Pair) -> None:
    assert pair.options().object_kinds == ()
    assert pair.options(objects="views,indexes").object_kinds == ("index", "view")
    assert len(pair.options(objects="all").object_kinds) == 7
    with pytest.raises(Exception, match="there is no kind 'dashboards'"):
        pair.options(objects="views, dashboards")
