"""Backticks and `*` in names: what 3.x can say is copied, all else is a finding.

Measured on 3.0.5.2 and 3.3.3.0: two backticks are a part of a name, in which both stay; INSERT alone takes two for one.
"""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing import verify
from airflow_provider_tdengine.migration.copying import MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.migration.structure import SchemaSync

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T, rename_as_schemaless


@pytest.mark.source(since=(3,))
@pytest.mark.parametrize("strategy", ["dense", "sparse"])
def test_names_with_pairs_of_backticks_are_copied(pair: Pair, strategy: str) -> None:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.`s``t` (`t``s` timestamp, `v``1` int, `w``` nchar(9)) tags (`g``1` int, h binary(9))",
        f"create table {SOURCE}.`n``1` (`t``s` timestamp, `v``1` int)",
        f"insert into {SOURCE}.`n````1` values ({T}, 1) ({T + 1}, 2)",
    )
    for i in range(3):
        pair.sql(
            f"create table {SOURCE}.`c``{i}` using {SOURCE}.`s``t` tags ({i}, 'x`y')",
            f"insert into {SOURCE}.`c````{i}` values ({T}, {i}, 'a`b') ({T + 1}, 2, 'c')",
        )
    assert pair.migrate(strategy=strategy).verdict.is_whole
    ours, theirs = pair.both()
    assert ours == theirs
    assert set(theirs) == {"n``1", "c``0", "c``1", "c``2"}


def test_a_target_database_with_backticks(faulty: BoxPair) -> None:
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create table {SOURCE}.t (ts timestamp, v int)",
        f"insert into {SOURCE}.t values ({T}, 1)",
    )
    target = Catalog(faulty.target, f"{TARGET}``")
    options = faulty.options(target_database=target.name)
    source = faulty.catalogs[0]
    try:
        SchemaSync(source, target, options).run()
        batches = make_plan(source, target, options)
        copied = {batch.identity: copy_batch(source, target, batch, options, MemoryProgress()) for batch in batches}
        assert verify(source, target, options, {}, batches=batches, copied=copied).verdict.is_whole
        assert target.rows(f"select v from `{TARGET}```.t") == [(1,)]
    finally:
        faulty.target.execute(f"drop database if exists `{TARGET}```")


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("name", ["s", "c", "t", "v", "g"])
def test_what_no_statement_can_say_is_a_finding_at_every_stage(faulty: BoxPair, name: str) -> None:
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.c using {SOURCE}.s tags (1)",
        f"create table {SOURCE}.t (ts timestamp, x int)",
        f"insert into {SOURCE}.c values ({T}, 1)",
        f"insert into {SOURCE}.t values ({T}, 1)",
    )
    faulty.sync()
    rename_as_schemaless(faulty.source_box, name, "a`b")
    for stage in (faulty.sync, faulty.copy):
        with pytest.raises(TDengineError, match="single backtick"):
            stage(strategy="dense")
    excluded = {"exclude": "a`b" if name in "sct" else "s"}
    assert faulty.migrate(**excluded).verdict.is_whole


@pytest.mark.parametrize("kind", ["column", "tag"])
def test_a_star_never_comes_into_a_statement_of_3x(faulty: BoxPair, kind: str) -> None:
    columns, tags = ("ts timestamp, `*` int", "g int") if kind == "column" else ("ts timestamp, v int", "`*` int")
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s ({columns}) tags ({tags})",
        f"create table {SOURCE}.c using {SOURCE}.s tags (1)",
        f"insert into {SOURCE}.c values ({T}, 1)",
    )
    faulty.target.execute(f"create database {TARGET} keep 36500")
    faulty.target.execute(f"create stable {TARGET}.s ({columns}) tags ({tags})")
    faulty.target.execute(f"create table {TARGET}.c using {TARGET}.s tags (1)")
    boxes = [faulty.target_box] + ([faulty.source_box] if faulty.source.generation == 3 else [])
    for box in boxes:
        box.statements.clear()
    for stage in (faulty.sync, faulty.copy, faulty.verify):
        for schema in ("always", "none"):
            with pytest.raises(MigrationStopped, match=r"all columns|misreads"):
                stage(schema=schema)
    for box in boxes:
        assert [sql for sql in box.statements if "`*`" in sql] == []
