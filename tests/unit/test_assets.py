"""Tables as assets: one way to write each URI."""

from __future__ import annotations

import pytest
from airflow.sdk import Asset

from airflow_provider_tdengine.assets import create_asset


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tdengine://Cluster/power/meters", "tdengine://cluster:6041/power/meters"),
        ("tdengine://cluster:6042/power/", "tdengine://cluster:6042/power"),
        ("TDENGINE://root:x@[::1]/power/电表?a=b#c", "tdengine://[::1]:6041/power/%E7%94%B5%E8%A1%A8"),
        ("tdengine://cluster/power/%E7%94%B5%E8%A1%A8", "tdengine://cluster:6041/power/%E7%94%B5%E8%A1%A8"),
    ],
)
@pytest.mark.filterwarnings("ignore:An Asset URI should not contain a password")
def test_airflow_writes_each_in_one_way(given: str, expected: str) -> None:
    assert Asset(given).uri == expected


@pytest.mark.parametrize("given", ["tdengine://cluster", "tdengine:///power", "tdengine://cluster/power/meters/d1"])
def test_what_is_no_table_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is not of the form tdengine://host:port/database/super_table"):
        Asset(given)


def test_names_are_quoted() -> None:
    asset = create_asset(host="::1", database="Q/x", table="a b?", extra={"rows": 1})
    assert asset.uri == "tdengine://[::1]:6041/Q%2Fx/a%20b%3F"
    assert asset.extra == {"rows": 1}
    assert create_asset(host="a", port=1, database="power").uri == "tdengine://a:1/power"


def test_airflow_knows_the_parts() -> None:
    # Of Airflow 3.2 and later.
    runtime = pytest.importorskip("airflow.sdk.providers_manager_runtime")
    manager = runtime.ProvidersManagerTaskRuntime()
    assert manager.asset_factories["tdengine"] is create_asset
    assert "tdengine" in manager.asset_uri_handlers
