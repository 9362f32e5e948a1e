"""A scope that means no table stops every stage: a run over nothing must not be green."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.planning import make_plan, preflight, preview
from airflow_provider_tdengine.migration.structure import read_structure

from ..conftest import SOURCE, TARGET, Pair, T

STAGES: dict[str, Callable[[Pair, dict[str, object]], object]] = {
    "preflight": lambda pair, values: stopped(
        preflight(*pair.catalogs, read_structure(*pair.catalogs, pair.options(**values)), pair.options(**values))
    ),
    "schema": lambda pair, values: pair.sync(**values),
    "dry run": lambda pair, values: stopped(preview(*pair.catalogs, pair.options(**values)).blockers),
    "plan": lambda pair, values: make_plan(*pair.catalogs, pair.options(**values)),
    "verify": lambda pair, values: pair.verify(**values),
}


def stopped(findings: list[Finding]) -> None:
    if blockers := [finding for finding in findings if finding.is_blocker]:
        raise MigrationStopped(blockers)


@pytest.fixture
def site(pair: Pair) -> Pair:
    """A super table with two subtables, one without, and a target that has all of them."""
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        f"create stable {SOURCE}.unused (ts timestamp, v int) tags (g int)",
        *(f"insert into {SOURCE}.d{i} using {SOURCE}.m tags ({i}) values ({T}, 1)" for i in range(2)),
    )
    pair.sync()
    return pair


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"exclude": "*"}, "Option 'exclude': no table of the database 'mig_src' of {} is left"),
        (
            {"tables": "d1", "exclude": "d*"},
            "Options 'tables' and 'exclude': no table of the database 'mig_src' of {} is",
        ),
        ({"exclude": "d*, unused"}, "Option 'exclude': no table of the database 'mig_src' of {} is left"),
        ({"stables": "x*"}, "Option 'stables': the database 'mig_src' of {} has no super table 'x*'"),
        ({"stables": "unused", "tables": "d1"}, "Option 'tables': "),
        ({"mode": "both", "exclude": "*"}, "Option 'exclude': no table of the database 'mig_src' of {} is left"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_nothing_is_meant(site: Pair, stage: str, values: dict[str, object], found: str) -> None:
    with pytest.raises(MigrationStopped) as caught:
        STAGES[stage](site, values)
    assert str(caught.value).startswith(found.format(site.source.address))


def test_it_says_what_there_is(site: Pair) -> None:
    with pytest.raises(MigrationStopped, match=r"is left\. Leave some of them in; it has d0, d1, m, unused\."):
        site.sync(exclude="*")


def test_nothing_is_written(site: Pair) -> None:
    site.target.execute(f"drop database {TARGET}")
    with pytest.raises(MigrationStopped):
        site.sync(tables="d1", exclude="d*")
    assert site.catalogs[1].database() is None


@pytest.mark.parametrize("values", [{"stables": "unused"}, {"exclude": "m"}, {"exclude": "d1"}, {"exclude": "m, d9*"}])
def test_structure_alone_is_something(site: Pair, values: dict[str, object]) -> None:
    for stage in STAGES.values():
        stage(site, values)


@pytest.mark.parametrize("stage", ["preflight", "schema", "dry run", "plan"])
def test_an_empty_database(pair: Pair, stage: str) -> None:
    pair.sql(f"create database {SOURCE}")
    pair.target.execute(f"create database {TARGET}")
    with pytest.raises(MigrationStopped, match=r"Option 'source_database': the database 'mig_src' of .* has no tables"):
        STAGES[stage](pair, {})
    for values in ({"mode": "both"}, {"mode": "realtime"}, {"mode": "both", "exclude": "test_*"}):
        STAGES[stage](pair, dict(values))
    for values in ({"mode": "both", "exclude": "*"}, {"mode": "both", "tables": "d*"}):
        with pytest.raises(MigrationStopped):
            STAGES[stage](pair, dict(values))
