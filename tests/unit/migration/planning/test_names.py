"""Which databases of a server are meant."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import selected

THERE = ["power", "plant_b", "plant_a", "Weather", "log", "audit", "information_schema", "performance_schema"]


def meant(patterns: str, there: list[str] = THERE) -> list[str]:
    return selected(there, patterns, "databases", "ws://a")


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("*", ["Weather", "plant_a", "plant_b", "power"]),
        ("power, plant_*", ["plant_a", "plant_b", "power"]),
        ("plant_?, plant_a", ["plant_a", "plant_b"]),
        ("log, p*r", ["log", "power"]),
        ("*, audit", ["Weather", "audit", "plant_a", "plant_b", "power"]),
    ],
)
def test_names_and_patterns(patterns: str, names: list[str]) -> None:
    assert meant(patterns) == names


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ("POWER", "ws://a has no database 'POWER'. Perhaps 'power' is meant; it has Weather, plant_a, plant_b, power"),
        ("weather", "ws://a has no database 'weather'. Perhaps 'Weather' is meant"),
        ("pover", "Perhaps 'power' is meant"),
        ("zzz", "ws://a has no database 'zzz'. It has Weather, plant_a"),
        ("power, site_*", "ws://a has no database 'site_*'"),
        ("lo*", "ws://a has no database 'lo*'"),
        ("information_schema", "ws://a has no database 'information_schema'"),
        (" , ", "Option 'databases': it is empty. Give names and patterns"),
    ],
)
def test_what_means_nothing_is_an_error(patterns: str, said: str) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        meant(patterns)
    assert said in str(stopped.value)


def test_all_that_is_unknown_is_said_at_once() -> None:
    with pytest.raises(MigrationStopped) as stopped:
        meant("a, power, b")
    assert [finding.found for finding in stopped.value.findings] == [
        "ws://a has no database 'a'",
        "ws://a has no database 'b'",
    ]
