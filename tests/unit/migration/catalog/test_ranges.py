"""A range that ends right behind a name: one that a server understands, and that has this name in it."""

from __future__ import annotations

from airflow_provider_tdengine.migration.catalog import Scope, holdings

from ..conftest import SOURCE, Pair, T


def test_a_range_may_end_right_behind_a_name(pair: Pair) -> None:
    """It ends with the lowest character that a statement may hold: NUL is a syntax error on 2.x."""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.`{name}` using {SOURCE}.s tags (1) values ({T}, 1)" for name in ("a", "b", "b1", "c")),
    )
    source, _ = pair.catalogs
    found = holdings(source, source.describe("s"), Scope().between("b", "b\x01"), (None, None))
    assert found.names == ["b"]
