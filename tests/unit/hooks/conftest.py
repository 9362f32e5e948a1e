import json
import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

# Before anything imports Airflow: its files belong to no user's home.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.hooks.tdengine import TDengineHook
from airflow_provider_tdengine.testing import TDengineBox

MakeHook = Callable[..., TDengineHook]
TABLE = "create table hk_db.t (ts timestamp, `full` int, `A b` nchar(40), f double, o bool)"


@pytest.fixture
def make_hook(monkeypatch: pytest.MonkeyPatch) -> MakeHook:
    """Hooks of a connection `td` whose fields are given; extra is a dict."""

    def make(*, hook: dict[str, object] | None = None, **fields: object) -> TDengineHook:
        monkeypatch.setenv("AIRFLOW_CONN_TD", json.dumps({"conn_type": "tdengine", **fields}))
        return TDengineHook("td", **(hook or {}))

    return make


@pytest.fixture(scope="module", params=["2.4.0.18", "3.3.3.0"])
def box(request: pytest.FixtureRequest) -> Iterator[TDengineBox]:
    with TDengineBox(version=request.param) as box:
        box.execute("create database hk_db precision 'us' keep 36500")
        box.execute(TABLE)
        yield box


@pytest.fixture
def fields(box: TDengineBox) -> dict[str, object]:
    """The fields of a connection to the box."""
    address = Address.from_url(box.url)
    return {
        "host": address.host,
        "port": address.port,
        "login": address.user,
        "password": address.password,
        "extra": {"protocol": address.scheme},
    }


@pytest.fixture
def hook(box: TDengineBox, make_hook: MakeHook, fields: dict[str, object]) -> TDengineHook:
    """A hook of the box, its database `hk_db` with an empty table `t` (ts, full, A b, f, o)."""
    box.execute("drop table hk_db.t")
    box.execute(TABLE)
    return make_hook(**fields, schema="hk_db")
