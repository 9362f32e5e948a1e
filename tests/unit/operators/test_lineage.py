"""Which columns become which, for OpenLineage."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying import Batch
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.operators.lineage import batch_lineage, table_lineages

from ..migration.conftest import SOURCE, TARGET, Pair, T, boxes, pair  # noqa: F401

RENAMED = {
    "rename_stables": "meters -> power_meters",
    "rename_columns": "current -> amperes",
    "exclude_columns": "debug",
    "add_tags": "site=beijing",
}


@pytest.fixture
def planned(pair: Pair) -> tuple[Pair, list[Batch]]:  # noqa: F811
    """A super table and a normal table with rows, their structure in the target, where the super table has more."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, current float, debug int) tags (g int)",
        f"create table {SOURCE}.d1 using {SOURCE}.meters tags (1)",
        f"create table {SOURCE}.plain (ts timestamp, v double)",
        f"insert into {SOURCE}.d1 values ({T}, 1, 2)",
        f"insert into {SOURCE}.plain values ({T}, 1)",
    )
    with pair.target.session() as session:
        session.query(f"create database {TARGET} keep 36500")
        session.query(
            f"create stable {TARGET}.power_meters (ts timestamp, own int, amperes double) "
            "tags (g bigint, site binary(64))"
        )
    pair.sync(**RENAMED)
    return pair, make_plan(*pair.catalogs, pair.options(**RENAMED))


def test_columns_by_super_table(planned: tuple[Pair, list[Batch]]) -> None:
    pair, batches = planned  # noqa: F811
    (meters,), (plain,) = (list(table_lineages(*pair.catalogs, batch, pair.options(**RENAMED))) for batch in batches)
    assert (meters.source.name, meters.target.name) == ("meters", "power_meters")
    # What stays behind is no lineage, nor is what only the target has: a column of its own, a constant tag.
    assert meters.columns == {"ts": "ts", "amperes": "current", "g": "g"}
    assert (plain.source.name, plain.target.name) == ("plain", "plain")
    assert plain.columns == {"ts": "ts", "v": "v"}


def types(dataset: dict[str, Any]) -> dict[str, str]:
    """What the schema of a dataset says."""
    return {field["name"]: field["type"] for field in dataset["facets"]["schema"]["fields"]}


def test_what_openlineage_is_told(planned: tuple[Pair, list[Batch]]) -> None:
    pytest.importorskip("airflow.providers.openlineage.extractors", reason="OpenLineage's provider is not installed")
    from openlineage.client.serde import Serde  # noqa: PLC0415

    pair, (meters, plain) = planned  # noqa: F811
    source, target = pair.catalogs
    shouted = Catalog(Client(replace(target.client.address, host="LOCALHOST")), target.name)
    told = batch_lineage(source, shouted, meters, pair.options(**RENAMED), 1, 20)
    assert told is not None
    read, written = (json.loads(Serde.to_json(dataset)) for (dataset,) in (told.inputs, told.outputs))
    # Servers are written as in the URIs of assets.
    assert read["namespace"] == f"tdengine://{source.client.address.host}:{source.client.address.port}"
    assert written["namespace"] == f"tdengine://localhost:{target.client.address.port}"
    assert (read["name"], written["name"]) == (f"{SOURCE}.meters", f"{TARGET}.power_meters")

    # Each table as its own server has it.
    assert types(read) == {"ts": "TIMESTAMP", "current": "FLOAT", "debug": "INT", "g": "INT"}
    assert types(written) == {
        "ts": "TIMESTAMP",
        "own": "INT",
        "amperes": "DOUBLE",
        "g": "BIGINT",
        "site": "VARCHAR(64)",
    }
    lineage = written["facets"]["columnLineage"]["fields"]
    assert {after: [field["field"] for field in of["inputFields"]] for after, of in lineage.items()} == {
        "ts": ["ts"],
        "amperes": ["current"],
        "g": ["g"],
    }
    (field,) = lineage["amperes"]["inputFields"]
    assert (field["namespace"], field["name"]) == (read["namespace"], read["name"])
    assert field["transformations"] == [{"type": "DIRECT", "subtype": "IDENTITY"}]
    statistics = written["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (1, 20)

    told = batch_lineage(*pair.catalogs, plain, pair.options(**RENAMED), 1, 20)
    assert told is not None
    assert [dataset.name for dataset in (*told.inputs, *told.outputs)] == [f"{SOURCE}.plain", f"{TARGET}.plain"]


def test_without_openlineage_servers_are_not_asked(
    planned: tuple[Pair, list[Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, (meters, _) = planned  # noqa: F811
    nowhere = Catalog(Client(Address(host="127.0.0.1", port=1)), SOURCE)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    assert batch_lineage(nowhere, nowhere, meters, pair.options(**RENAMED), 1, 20) is None
