"""What tests of the package as a whole share."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

# These need parts of Airflow 3.3: its tables, its metrics, and what it keeps beside assets.
_OF_3_3 = ["page", "operators/test_metrics.py", "operators/test_increments.py"]
collect_ignore = [] if find_spec("airflow.models.task_state_store") else _OF_3_3


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an Airflow of its own, without a database yet."""
    home = tmp_path_factory.mktemp("airflow")
    others = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return others | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
