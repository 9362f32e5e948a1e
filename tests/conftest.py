"""How tests are divided between processes."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_SHARED = ("tests/browser", "tests/system")
"""Folders whose tests share an Airflow of the session; the demo has its own."""

_LONGEST = ("tests/system", "tests/system/test_demo.py", "tests/browser")
"""What takes minutes, the longest first: what comes last is to be short, so that no process waits for the others."""


def _scope(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder in _SHARED and not file.endswith("test_demo.py") else file


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
