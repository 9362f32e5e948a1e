"""What Airflow is told about this provider; `conn_fields` also feeds the hook's form for Airflow 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from typing_extensions import Unpack

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.client.address import DEFAULT_PORT, SCHEMES

_PACKAGE = "airflow_provider_tdengine"
_HOOK = f"{_PACKAGE}.hooks.tdengine"
_ASSETS = f"{_PACKAGE}.assets"
_OPERATORS = ("assess", "comparison", "dead_letters", "follow", "migration", "offline")
_SENSORS = ("cutover", "new_rows")
_LINKS = ("MigrationLink", "AssessmentLink", "CertificateLink", "DeadLettersLink")


class ConnFieldSchema(TypedDict, total=False):
    """What a field may hold; keys of JSON schema."""

    type: list[str]
    default: str | bool
    enum: list[str]
    format: str
    minimum: float


class ConnField(TypedDict):
    """A field of the connection form that is stored in `extra`."""

    label: str
    description: str
    schema: ConnFieldSchema


RELABELING = {"schema": "Database", "login": "User"}
PLACEHOLDERS = {
    "host": "host name of the taosAdapter; of a cluster several: a,b,c:6042",
    "port": str(DEFAULT_PORT),
    "login": "root",
    "schema": "for statements that name none",
}


def get_provider_info() -> dict[str, object]:
    """The provider's metadata, after Airflow's provider_info.schema.json.

    Every process of Airflow asks for it when it starts. It names no plugin: that is an entry point of its own, and
    Airflow 3.3 refuses one that it meets twice.
    """
    return {
        "package-name": "airflow-provider-tdengine",
        "name": "TDengine",
        "description": "Migrates data from old `TDengine <https://tdengine.com/>`__ servers to a current cluster.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": "TDengine", "external-doc-url": "https://docs.tdengine.com/", "tags": ["service"]}
        ],
        "operators": _of_integration("operators", _OPERATORS),
        "sensors": _of_integration("sensors", _SENSORS),
        "triggers": _of_integration("triggers", ("follow",)),
        "hooks": _of_integration("hooks", ("tdengine",)),
        "transfers": [
            {
                "source-integration-name": "TDengine",
                "target-integration-name": "TDengine",
                "python-module": f"{_PACKAGE}.operators.migration",
            }
        ],
        "dialects": [{"dialect-type": "tdengine", "dialect-class-name": f"{_PACKAGE}.hooks.dialect.TDengineDialect"}],
        "extra-links": [f"{_PACKAGE}.page.links.{name}" for name in _LINKS],
        "asset-uris": [
            {
                "schemes": ["tdengine"],
                "handler": f"{_ASSETS}.sanitize_uri",
                "factory": f"{_ASSETS}.create_asset",
                "to_openlineage_converter": f"{_ASSETS}.convert_asset_to_openlineage",
            }
        ],
        "connection-types": [
            {
                "connection-type": "tdengine",
                "hook-class-name": f"{_HOOK}.TDengineHook",
                "hook-name": "TDengine",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": dict(RELABELING),
                    "placeholders": dict(PLACEHOLDERS),
                },
                "conn-fields": conn_fields(),
            }
        ],
    }


def _of_integration(kind: str, modules: Sequence[str]) -> list[dict[str, object]]:
    """The modules of a kind."""
    return [
        {"integration-name": "TDengine", "python-modules": [f"{_PACKAGE}.{kind}.{module}" for module in modules]},
    ]


def conn_fields() -> dict[str, ConnField]:
    """The fields of the connection form that are stored in `extra`."""
    return {
        "protocol": _field(
            "Protocol",
            "ws, wss: WebSocket (REST where the server has none). http, https: REST only. wss, https: with TLS",
            "string",
            default=SCHEMES[0],
            enum=list(SCHEMES),
        ),
        "token": _field(
            "Cloud token", "Token of TDengine Cloud, in place of user and password", "string", format="password"
        ),
        "bearer_token": _field(
            "Bearer token",
            "Token of TDengine 3.4 (CREATE TOKEN), in place of user and password",
            "string",
            format="password",
        ),
        "totp_secret": _field(
            "TOTP secret",
            "Of an account that logs in with one-time codes, too (3.4): what CREATE TOTP_SECRET gave. ws and wss only",
            "string",
            format="password",
        ),
        "connect_timeout": _field(
            "Connection time-out", "Seconds for the connection and the login, each (default 20)", "number", minimum=0
        ),
        "timeout": _field(
            "Answer time-out", "Seconds to wait for an answer to a statement (default 300)", "number", minimum=0
        ),
        "verify": _field(
            "Verify certificate",
            "Whether the server's certificate must be trusted (wss, https)",
            "boolean",
            default=True,
        ),
        "ca_file": _field(
            "CA file", "File on the workers with certificates to trust in place of the system's", "string"
        ),
        "cert_file": _field(
            "Certificate file", "File on the workers with the client's own certificate, if servers ask for it", "string"
        ),
        "key_file": _field("Key file", "File on the workers with its key (default: the certificate file)", "string"),
        "key_password": _field("Key password", "Of the key, if it is encrypted", "string", format="password"),
        "compression": _field(
            "Compression", "Compress WebSocket messages; worth it on slow networks only", "boolean", default=False
        ),
        "timezone": _field(
            "Time zone", "IANA name, such as Asia/Shanghai, of timestamps in results of SQL (default UTC)", "string"
        ),
    }


def _field(label: str, description: str, kind: str, **schema: Unpack[ConnFieldSchema]) -> ConnField:
    return {"label": label, "description": description, "schema": {**schema, "type": [kind, "null"]}}
