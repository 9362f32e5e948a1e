"""TDengine's REST and WebSocket protocols. Knows no Airflow and no migration."""

from importlib import import_module
from typing import TYPE_CHECKING

from airflow_provider_tdengine.client.address import Address

if TYPE_CHECKING:
    from airflow_provider_tdengine.client.connection import Client, Server

__all__ = ["Address", "Client", "Server"]


def __getattr__(name: str) -> object:
    """What brings numpy and websockets, loaded when it is first asked for: a DAG that is parsed has no use for them.

    Raises:
        AttributeError: there is nothing of that name.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("airflow_provider_tdengine.client.connection"), name)
