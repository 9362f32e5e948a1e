"""TTL and COMMENT of tables arrive; what would delete rows of the target stops a migration."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.findings import MigrationStopped

from ..conftest import SOURCE, TARGET, Pair, T

COMMENTS = (
    "'plain'",
    r"'it\'s'",
    "'it''s'",
    '"it\'s"',
    r'"say \"it\'s\""',
    '"say ""x"""',
    r"'a\\b\n'",
    "'a\tb\n你好😀 %s {0}'",
    r"'ends with \\'",
)


def options(catalog: Catalog) -> dict[str, tuple[object, ...]]:
    """TTL and comment by table, as the server lists them."""
    database = f"where db_name = '{catalog.name}'"
    stables = catalog.client.rows(f"select stable_name, table_comment from information_schema.ins_stables {database}")
    tables = catalog.client.rows(
        f"select table_name, `ttl`, table_comment from information_schema.ins_tables {database}"
    )
    return {str(name): tuple(others) for name, *others in [*stables, *tables]}


OF_3 = pytest.mark.source(since=(3,))
"""Tables of 2.x have neither TTL nor COMMENT (measured 2.4.0.18, 2.6.0.66)."""


@OF_3
def test_ttl_and_comment_arrive(pair: Pair) -> None:
    created = [
        statement
        for i, comment in enumerate(COMMENTS)
        for statement in (
            f"create stable {SOURCE}.s{i} (ts timestamp, v int) tags (g int) comment {comment}",
            f"create table {SOURCE}.c{i} using {SOURCE}.s{i} tags (1) ttl {i + 300} comment {comment}",
            f"create table {SOURCE}.d{i} using {SOURCE}.s{i} tags (1)",
            f"create table {SOURCE}.n{i} (ts timestamp, v int) ttl {i + 400} comment {comment}",
        )
    ]
    pair.sql(f"create database {SOURCE} keep 36500", *created, f"insert into {SOURCE}.c1 values ({T}, 1)")
    assert not pair.migrate().differences
    source, target = map(options, pair.catalogs)
    assert target == source
    assert source["c1"][0] == 301
    assert not pair.sync().changed


@OF_3
def test_they_follow_a_table_to_its_new_name(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int) comment 'super'",
        f"create table {SOURCE}.c using {SOURCE}.s tags (1) ttl 300",
        f"create table {SOURCE}.n (ts timestamp, v int) comment 'normal'",
    )
    pair.sync(rename_stables="s -> stable", rename_tables="* -> new_*")
    assert options(pair.catalogs[1]) == {"stable": ("super",), "new_c": (300, None), "new_n": (0, "normal")}


def test_a_ttl_that_would_delete_rows(pair: Pair) -> None:
    ttl = "ttl 300" if pair.source.generation == 3 else ""
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.c using {SOURCE}.s tags (1)",
        f"create table {SOURCE}.d using {SOURCE}.s tags (1) {ttl}",
        f"create table {SOURCE}.n (ts timestamp, v int)",
    )
    for statement in (
        f"create database {TARGET} keep 36500",
        f"create stable {TARGET}.s (ts timestamp, v int) tags (g int)",
        f"create table {TARGET}.c using {TARGET}.s tags (1) ttl 90",
        f"create table {TARGET}.d using {TARGET}.s tags (1) ttl 299",
        f"create table {TARGET}.n (ts timestamp, v int) ttl 1",
    ):
        pair.target.execute(statement)
    with pytest.raises(MigrationStopped) as caught:
        pair.sync()
    of_d = ("300 days after its own", 300) if ttl else ("keeps it", 0)
    assert sorted(map(str, caught.value.findings)) == [
        f"Table '{name}': the target drops it {days} days after its creation (TTL), the source {source}. "
        f"In the target: ALTER TABLE `{TARGET}`.`{name}` TTL {wanted}."
        for name, days, source, wanted in (
            ("c", 90, "keeps it", 0),
            ("d", 299, *of_d),
            ("n", 1, "keeps it", 0),
        )
    ]
    for finding in caught.value.findings:
        pair.target.execute(finding.action.removeprefix("In the target: "))
    assert pair.sync().existing == 3


@OF_3
def test_a_longer_ttl_is_left_alone(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE} keep 36500", f"create table {SOURCE}.n (ts timestamp, v int) ttl 300")
    pair.target.execute(f"create database {TARGET} keep 36500")
    pair.target.execute(f"create table {TARGET}.n (ts timestamp, v int) ttl 301")
    assert pair.sync().existing == 1


@pytest.mark.source(since=(3, 3))  # 3.0 does not say which SMA a table has.
def test_options_that_stay_behind(pair: Pair) -> None:
    pair.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int, w double) tags (g int) comment 'c' sma(v, w)",
        f"create stable {SOURCE}.plain (ts timestamp, v int) tags (g int) comment 'SMA(`v`)'",
    )
    left = pair.sync().not_migrated
    assert [one for one in left if one["kind"] == "table option"] == [
        {"kind": "table option", "name": "s", "definition": "SMA(`v`,`w`)"}
    ]
