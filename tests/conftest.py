"""How tests are divided between two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a whole Airflow stay together: they share one, and mostly wait for it while others run."""
    for item in items:
        if item.path.relative_to(_HERE).parts[0] in ("system", "browser"):
            item.add_marker(pytest.mark.xdist_group("airflow"))
