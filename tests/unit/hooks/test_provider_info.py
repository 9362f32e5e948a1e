import dataclasses
import json
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.get_provider_info import conn_fields, get_provider_info
from airflow_provider_tdengine.hooks.tdengine import TDengineHook


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_the_metadata_follow_airflow_s_schema(schema: str) -> None:
    path = Path(airflow.__file__).parent / schema
    if not path.exists():
        pytest.skip(f"this Airflow has no {schema}")
    rules = json.loads(path.read_text())
    # For releases of Airflow's own providers.
    rules["required"] = [key for key in rules["required"] if key in get_provider_info()]
    jsonschema.validate(get_provider_info(), rules)


def test_every_setting_of_an_address_is_in_the_form() -> None:
    settings = {field.name for field in dataclasses.fields(Address)}
    standard = {"scheme", "host", "port", "user", "password", "database"}
    assert set(conn_fields()) == settings - standard | {"protocol", "timezone"}


def test_defaults_in_the_form_are_those_of_an_address() -> None:
    fields = conn_fields()
    address = Address()
    assert fields["protocol"]["schema"]["default"] == address.scheme
    assert fields["verify"]["schema"]["default"] is address.verify
    assert fields["compression"]["schema"]["default"] is address.compression
    assert f"(default {address.connect_timeout:g})" in fields["connect_timeout"]["description"]
    assert f"(default {address.timeout:g})" in fields["timeout"]["description"]


def test_airflow_finds_the_hook_without_warnings(caplog: pytest.LogCaptureFixture) -> None:
    manager = ProvidersManager()
    assert "airflow-provider-tdengine" in manager.providers, "install this package, with pip install -e ."
    manager.initialize_providers_hooks()
    hook = manager._hooks_lazy_dict["tdengine"]
    assert (hook.connection_type, hook.hook_name, hook.connection_id_attribute_name) == (
        "tdengine",
        TDengineHook.hook_name,
        TDengineHook.conn_name_attr,
    )
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_the_token_is_a_secret_of_the_form() -> None:
    widgets = ProvidersManager().connection_form_widgets
    # Airflow 3.1 has none without the provider FAB.
    assert widgets or airflow.__version__.startswith("3.1.")
    if widgets:
        assert getattr(widgets["extra__tdengine__token"], "is_sensitive", True) is True
    for name in ("token", "bearer_token", "totp_secret"):
        assert conn_fields()[name]["schema"]["format"] == "password"
