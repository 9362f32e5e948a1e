"""A source and a target with connections of Airflow, and what Airflow keeps for tasks and assets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.operators.migration import TDengineSchemaSyncOperator
from airflow_provider_tdengine.testing import TDengineBox

SECRET = "s3cret-word"


class Store:
    """What Airflow keeps for a task or an asset, as JSON."""

    def __init__(self) -> None:
        self.text: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.text[key]) if key in self.text else None

    def set(self, key: str, value: object, retention: timedelta | None = None) -> None:
        self.text[key] = json.dumps(value)
        assert json.loads(self.text[key]) == value, "Airflow takes lists, and no tuples"

    def delete(self, key: str) -> None:
        self.text.pop(key, None)


def dag_run(run_after: datetime | None = None) -> SimpleNamespace:
    """A run that somebody triggered: at a moment, None for now."""
    return SimpleNamespace(
        run_after=run_after or datetime.now(timezone.utc),
        start_date=None,
        data_interval_start=None,
        data_interval_end=None,
        dag_id="m",
        run_id="r",
    )


def task_instance(task_id: str, map_index: int = -1, **more: Any) -> SimpleNamespace:
    """An instance of a task in that run, at its first try."""
    given = {"dag_id": "m", "try_number": 1, "max_tries": 0, "task": SimpleNamespace(retries=0)}
    given["xcom_push"] = lambda key, value: None
    given["get_ti_count"] = lambda **which: 1
    return SimpleNamespace(task_id=task_id, map_index=map_index, **{**given, **more})


@dataclass
class Plant:
    """A source and a target, and connections to them."""

    source: TDengineBox
    target: TDengineBox
    options: dict[str, Any]

    def insert(self, *tables: str, late: float = 0) -> None:
        """A row of now, or of so many seconds ago, in each table."""
        moment = int((time.time() - late) * 1000)
        self.source.execute("insert into " + " ".join(f"plant.{table} values ({moment},1.5)" for table in tables))

    def rows(self, side: str) -> list[tuple[object, ...]]:
        box, database = (self.source, "plant") if side == "source" else (self.target, "follower")
        return sorted(box.execute(f"select tbname, ts, v from {database}.m"))

    @property
    def is_equal(self) -> bool:
        return self.rows("source") == self.rows("target")


@pytest.fixture(params=["2.4.0.18", "3.3.3.0"], ids=lambda version: f"from-{version}")
def plant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    with TDengineBox(version=request.param, password=SECRET) as source, TDengineBox(password=SECRET) as target:
        for name, box in (("SOURCE", source), ("TARGET", target)):
            address = Address.from_url(box.url)
            connection = {
                "conn_type": "tdengine",
                "host": address.host,
                "port": address.port,
                "login": "root",
                "password": SECRET,
                "extra": {"connect_timeout": 2},
            }
            monkeypatch.setenv(f"AIRFLOW_CONN_TDENGINE_{name}", json.dumps(connection))
        monkeypatch.setattr(retry, "PATIENCE", 0.1)
        monkeypatch.setattr(retry, "FIRST_CONTACT", 0.0)
        update = " update 1" if request.param.startswith("2") else ""
        source.execute(f"create database plant precision 'ms' keep 36500{update}")
        source.execute("create stable plant.m (ts timestamp, v double) tags (g int)")
        for i in range(4):
            source.execute(f"create table plant.d{i} using plant.m tags ({i})")
        if request.param.startswith("2"):
            # It says whole seconds, for which each row would have to be waited for.
            monkeypatch.setattr(Catalog, "clock", lambda self: time.time() + source.faults.clock)
        options = {
            "source_database": "plant",
            "target_database": "follower",
            "mode": "realtime",
            "follow_by": "poll",
            "start_from": datetime.now(timezone.utc).isoformat(),
            "poll_interval": 0.2,
            "lookback": 0,
            "schema_poll_interval": 3600,
        }
        context: Any = {"dag_run": dag_run(), "ti": task_instance("sync_schema")}
        TDengineSchemaSyncOperator(task_id="sync_schema", options=options).execute(context)
        yield Plant(source, target, options)
