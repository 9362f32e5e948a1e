"""Columns that a target gets when rows are there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.testing import TDengineBox

from ..conftest import SOURCE, TARGET, BoxPair, address


@pytest.mark.parametrize("version", ["3.0.5.2", "3.3.3.0"])
def test_a_target_that_would_end_of_a_new_column_is_flushed(boxes: Callable[[str], TDengineBox], version: str) -> None:
    """3.0.5.2, where a row of before and one with the new column would be in memory together."""
    source, target = boxes("2.4.0.18 source"), boxes(f"{version} target")
    pair = BoxPair(Client(address(source)), Client(address(target)), source, target)
    pair.sql(f"create database {SOURCE} keep 36500", f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)")
    pair.sync()
    pair.sql(f"alter table {SOURCE}.m add column w int")
    target.statements.clear()
    pair.sync()
    done = [text for text in target.statements if text.startswith(("ALTER", "FLUSH"))]
    flush = [f"FLUSH DATABASE `{TARGET}`"] if version == "3.0.5.2" else []
    assert done == [f"ALTER STABLE `{TARGET}`.`m` ADD COLUMN `w` INT", *flush]
    pair.source.rows(f"drop database {SOURCE}")
    pair.target.rows(f"drop database {TARGET}")
