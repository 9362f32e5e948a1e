"""How tests are divided between two processes."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_SHARED = ("tests/browser", "tests/system")
"""Folders whose tests share an Airflow of the session; the demo has its own."""


class Scheduling(LoadScopeScheduling):
    """Tests of a file stay together, and those that share an Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in _SHARED and not file.endswith("test_demo.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)
