"""TDengine's REST and WebSocket protocols. Knows no Airflow and no migration."""

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.connection import Client, Server

__all__ = ["Address", "Client", "Server"]
