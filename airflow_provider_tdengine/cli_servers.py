"""Servers as the command line names them: by a URL, or by an Airflow connection."""

from __future__ import annotations

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped


def is_address(text: str) -> bool:
    """Whether it is not the name of a connection: an address, or what was meant for one and may have a password."""
    return any(sign in text for sign in ("@", "?", "//", ":/"))


def client_of(text: str) -> Client:
    """The client of a URL or of an Airflow connection.

    Raises:
        AddressError: the URL cannot be right.
        MigrationStopped: there is no such connection.
    """
    if is_address(text):
        return Client(Address.from_url(text))
    # Importing Airflow takes seconds.
    from airflow_provider_tdengine.compat import AirflowException  # noqa: PLC0415
    from airflow_provider_tdengine.hooks.tdengine import TDengineHook  # noqa: PLC0415

    try:
        return TDengineHook(text).get_client()
    except AirflowException as error:
        action = "Create that connection, or give a URL such as ws://root:taosdata@host:6041"
        raise MigrationStopped([Finding(f"Connection {text!r}", str(error), action)]) from error
