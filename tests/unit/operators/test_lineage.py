"""Which columns become which, for OpenLineage."""

from __future__ import annotations

import importlib.util

from airflow_provider_tdengine.migration.plan import make_plan
from airflow_provider_tdengine.operators.lineage import batch_lineage, table_lineages

from ..migration.conftest import SOURCE, Pair, T, boxes, pair  # noqa: F401


def test_columns_by_super_table(pair: Pair) -> None:  # noqa: F811
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, current float, debug int) tags (g int)",
        f"create table {SOURCE}.d1 using {SOURCE}.meters tags (1)",
        f"create table {SOURCE}.plain (ts timestamp, v double)",
        f"insert into {SOURCE}.d1 values ({T}, 1, 2)",
        f"insert into {SOURCE}.plain values ({T}, 1)",
    )
    values = {
        "rename_stables": "meters -> power_meters",
        "rename_columns": "current -> amperes",
        "exclude_columns": "debug",
        "add_tags": "site=beijing",
    }
    pair.sync(**values)
    options = pair.options(**values)
    batches = make_plan(*pair.catalogs, options)
    (meters,), (plain,) = (list(table_lineages(pair.catalogs[0], batch, options)) for batch in batches)
    assert (meters.source, meters.target) == ("meters", "power_meters")
    assert [(before.name, after.name) for before, after in meters.columns] == [
        ("ts", "ts"),
        ("current", "amperes"),
        ("g", "g"),
    ]
    assert [tag.name for tag in meters.constants] == ["site"]
    assert [(before.name, after.sql_type) for before, after in plain.columns] == [("ts", "TIMESTAMP"), ("v", "DOUBLE")]

    told = batch_lineage(*pair.catalogs, batches[0], options, 1, 20)
    if importlib.util.find_spec("airflow.providers.openlineage") is None:
        assert told is None
        return
    (dataset,) = told.outputs
    assert dataset.name.endswith(".power_meters")
    assert set(dataset.facets["columnLineage"].fields) == {"ts", "amperes", "g"}
