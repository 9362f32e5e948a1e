"""How tests are divided between processes."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_FIRST = ("connection_form", "follow", "migrations_page", "resume", "trigger_form")
"""Files of tests/system which share an Airflow, about half of its work; the others have another one."""

_LONGEST = (
    "first Airflow",
    "second Airflow",
    "tests/system/test_demo.py",
    "tests/wild/test_wild.py",
    "tests/unit/migration/structure/test_findings.py",
    "tests/unit/benchmarks/test_benchmarks.py",
)
"""What takes longest, in this order: what comes last is to be short, so that no process waits for the others."""


def _scope(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    if file in _LONGEST or not file.startswith("tests/system/"):
        return file
    is_first = file.removeprefix("tests/system/test_").removesuffix(".py") in _FIRST
    return _LONGEST[0] if is_first else _LONGEST[1]


class Scheduling(LoadScopeScheduling):
    """Tests of a file stay together, and those that share an Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    ranks = {scope: rank for rank, scope in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(_scope(item.nodeid), len(ranks)))
