"""Databases to migrate: on boxes of both generations, and on real servers where there are some."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.catalog import Catalog, Scope
from airflow_provider_tdengine.migration.comparing import Comparison, verify
from airflow_provider_tdengine.migration.copying import Batch, Copied, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.migration.structure import SchemaReport, SchemaSync
from airflow_provider_tdengine.testing import TDengineBox

SOURCE, TARGET = "mig_src", "mig_dst"
CREATED = datetime(2022, 1, 1, tzinfo=timezone.utc)
T = 1609459200000
"""2021-01-01T00:00:00Z in milliseconds."""

BLOCK = 400
"""Rows of a box's blocks, at most: a tenth of a server's, so that few rows are several blocks."""

ROWS_A_METER = 1_000


@dataclass
class Pair:
    """A source and a target server, and a migration between them."""

    source: Client
    target: Client

    def sql(self, *statements: str) -> None:
        """Run statements at the source; over REST, since WebSocket messages of 2.4 are short."""
        with RestSession(self.source.address, self.source.generation) as session:
            for statement in statements:
                session.query(statement)

    @property
    def has_new_types(self) -> bool:
        """Whether both sides have what came with 3.3: VARBINARY, GEOMETRY, second keys, storage options of columns."""
        return all(side.dialect.has_storage for side in (self.source, self.target))

    @property
    def catalogs(self) -> tuple[Catalog, Catalog]:
        return Catalog(self.source, SOURCE), Catalog(self.target, TARGET)

    def options(self, **values: object) -> MigrationOptions:
        given = {"source_conn_id": "a", "target_conn_id": "b", "source_database": SOURCE, "target_database": TARGET}
        return MigrationOptions.checked({**given, **values}).ended(CREATED)

    def sync(self, **values: object) -> SchemaReport:
        return SchemaSync(*self.catalogs, self.options(**values)).run()

    def copy(self, **values: object) -> list[Copied]:
        return list(self.copy_batches(**values).values())

    def copy_batches(self, **values: object) -> dict[Batch, Copied]:
        """What each batch of a plan came to."""
        options = self.options(**values)
        batches = make_plan(*self.catalogs, options)
        return {batch: copy_batch(*self.catalogs, batch, options, MemoryProgress()) for batch in batches}

    def verify(
        self,
        *,
        copied: Mapping[Batch, Copied] | None = None,
        refused: dict[str, list[int]] | None = None,
        is_end_implied: bool = False,
        **values: object,
    ) -> Comparison:
        """The comparison, which mends nothing.

        Parameters:
            copied: what was copied; None to read both sides.
            refused: dead letters, which are not expected.
            is_end_implied: whether nobody asked for the end of the period.
        """
        return self.prove(copied=copied, refused=refused, is_end_implied=is_end_implied, repair_rounds=0, **values)

    def prove(
        self,
        *,
        copied: Mapping[Batch, Copied] | None = None,
        refused: dict[str, list[int]] | None = None,
        is_end_implied: bool = False,
        **values: object,
    ) -> Comparison:
        """The comparison of what is left when all has been mended that can be."""
        return verify(
            *self.catalogs,
            self.options(**values),
            refused,
            batches=None if copied is None else list(copied),
            copied={batch.identity: one for batch, one in (copied or {}).items()},
            is_end_implied=is_end_implied,
        )

    def migrate(self, **values: object) -> Comparison:
        """Structure, rows, and the comparison with what the copy says, as a run does it; it mends nothing."""
        self.sync(**values)
        return self.verify(copied=self.copy_batches(**values), **values)

    def contents(self, client: Client, database: str) -> dict[str, tuple[tuple[Value, ...], list[tuple[object, ...]]]]:
        """Tags and rows of every table; floats by their exact text."""
        catalog = Catalog(client, database)
        found = {}
        for table in catalog.tables(Scope()):
            tags = {table.name: ()}
            if table.is_super:
                tags = {
                    subtable.name: tuple(
                        canonical(tag, value) for tag, value in zip(table.tags, subtable.tags, strict=True)
                    )
                    for subtable in catalog.subtables(table, Scope())
                }
            for name, values in tags.items():
                rows = client.rows(f"select * from {client.dialect.database(database)}.{identifier(name)}")
                exact = [tuple(repr(value) if isinstance(value, float) else value for value in row) for row in rows]
                found[name] = (values, sorted(exact, key=lambda row: row[:2] if table.second_key else row[:1]))
        return found

    def both(self) -> tuple[object, object]:
        """All that the source holds and all that the target holds."""
        return self.contents(self.source, SOURCE), self.contents(self.target, TARGET)


@dataclass
class BoxPair(Pair):
    """A pair on boxes, whose insides a test may see."""

    source_box: TDengineBox
    target_box: TDengineBox


def canonical(tag: Field, value: Value) -> Value:
    """A tag's value; of JSON, which 3.x sorts by key, a text in one order."""
    return json.dumps(json.loads(value), sort_keys=True) if tag.type is Type.JSON and value else value


@pytest.fixture(scope="session")
def boxes() -> Iterator[Callable[[str], TDengineBox]]:
    """Boxes, each started once a version and role."""
    started: dict[str, TDengineBox] = {}

    def box(role: str) -> TDengineBox:
        if role not in started:
            started[role] = TDengineBox(version=role.partition(" ")[0], block_rows=BLOCK)
            started[role].start()
        return started[role]

    yield box
    for running in started.values():
        running.stop()


def address(box: TDengineBox, scheme: str = "ws") -> Address:
    return Address.from_url(box.url.replace("http://", f"{scheme}://root:taosdata@"), timeout=20.0)


FAULTY = ("2.4.0.18", "3.3.3.0")
"""Versions of the source that `faulty` has."""


def rename_as_schemaless(box: TDengineBox, old: str, new: str) -> None:
    """Give a table, column or tag of a box a name that only schemaless writing makes."""
    database = box._engine.store.databases[SOURCE]
    for tables in (database.stables, database.tables):
        for table in list(tables.values()):
            table.schema.columns[:] = [
                replace(one, name=new) if one.name == old else one for one in table.schema.columns
            ]
            table.schema.tags[:] = [replace(one, name=new) if one.name == old else one for one in table.schema.tags]
    if stable := database.stables.pop(old, None):
        stable.name = new
        database.stables[new] = stable
    if old in database.tables:
        table = database.tables[old]
        database.drop_table(old)
        table.name = new
        database.add_table(table)


@pytest.fixture(params=FAULTY, ids=lambda version: f"from-{version}")
def faulty(request: pytest.FixtureRequest, boxes: Callable[[str], TDengineBox]) -> Iterator[BoxPair]:
    """Two boxes whose faults a test may set."""
    source, target = boxes(f"{request.param} source"), boxes("3.3.3.0 target")
    pair = BoxPair(Client(address(source)), Client(address(target)), source, target)
    for box in (source, target):
        box.faults.clear()
    _drop(pair)
    yield pair
    for box in (source, target):
        box.faults.clear()
    _drop(pair)


@pytest.fixture
def meters(faulty: BoxPair) -> BoxPair:
    """Three subtables of some blocks, a row every ten seconds, in the target's schema already."""
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, v double, note nchar(8)) tags (g int)",
        *(f"create table {SOURCE}.d{i} using {SOURCE}.meters tags ({i})" for i in range(3)),
    )
    for i in range(3):
        values = "".join(f"({T + row * 10_000},{row / 7},'n{row}')" for row in range(ROWS_A_METER))
        faulty.sql(f"insert into {SOURCE}.d{i} values {values}")
    faulty.sync()
    return faulty


@pytest.fixture
def call(meters: BoxPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What all calls of the command line have in common."""
    monkeypatch.chdir(tmp_path)
    return [
        "--source-conn-id",
        str(meters.source.address).replace("://", "://root:taosdata@"),
        "--target-conn-id",
        str(meters.target.address).replace("://", "://root:taosdata@"),
        "--source-database",
        SOURCE,
        "--target-database",
        TARGET,
        "--end",
        "2022-01-01",
    ]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has never answered is given up at once; tests of patience say otherwise."""
    monkeypatch.setattr(retry, "FIRST_CONTACT", 0.0)


def _concerns(mark: pytest.Mark | None, version: tuple[int, ...]) -> bool:
    """Whether a test is for servers of this version: `@pytest.mark.source(since=(3, 3), before=(4,), boxes=False)`."""
    if mark is None:
        return True
    return mark.kwargs.get("since", (0,)) <= version < mark.kwargs.get("before", (99,))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the boxes that tests with `@pytest.mark.source(...)` are not for."""
    left_out = []
    for item in items:
        mark = item.get_closest_marker("source")
        version = item.callspec.params.get("pair", "real") if isinstance(item, pytest.Function) and mark else "real"
        if mark and version != "real":
            is_for = _concerns(mark, tuple(map(int, version.split(".")))) and mark.kwargs.get("boxes", True)
            left_out += [] if is_for else [item]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _drop(pair: Pair) -> None:
    if pair.source.generation == 3:
        for (topic,) in pair.source.rows("show topics"):
            if str(topic).startswith(f"airflow_{TARGET}_"):
                # A follow that was stopped has left it, to go on.
                pair.source.execute(f"drop topic {topic}")
    pair.source.execute(f"drop database if exists {SOURCE}")
    pair.target.execute(f"drop database if exists {TARGET}")


@pytest.fixture(
    params=["2.4.0.18", "3.3.3.0", pytest.param("real", marks=pytest.mark.integration)],
    ids=lambda version: f"from-{version}",
)
def pair(request: pytest.FixtureRequest, boxes: Callable[[str], TDengineBox]) -> Iterator[Pair]:
    """Two servers with no trace of an earlier test."""
    if request.param == "real":
        source, target = (os.environ.get(f"TDENGINE_{role}_URL") for role in ("SOURCE", "TARGET"))
        if not source or not target:
            pytest.skip("needs real servers in TDENGINE_SOURCE_URL and TDENGINE_TARGET_URL")
        pair = Pair(Client(Address.from_url(source)), Client(Address.from_url(target)))
        for role, client in (("source", pair.source), ("target", pair.target)):
            if not _concerns(request.node.get_closest_marker(role), client.server.version):
                has = f"TDENGINE_{role.upper()}_URL has {client.server.version_text}"
                pytest.skip(f"{has}, which this does not concern")
    else:
        roles = f"{request.param} source", f"{max(request.param, '3.3.3.0')} target"
        pair = Pair(*(Client(address(boxes(role))) for role in roles))
    _drop(pair)
    yield pair
    _drop(pair)
