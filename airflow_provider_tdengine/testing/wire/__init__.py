"""How clients reach the engine: REST and WebSocket, and answers as JSON and as blocks."""

from airflow_provider_tdengine.testing.wire.rest import RestInterface
from airflow_provider_tdengine.testing.wire.subscription import SubscriptionInterface
from airflow_provider_tdengine.testing.wire.websocket import WebSocketInterface

__all__ = ["RestInterface", "SubscriptionInterface", "WebSocketInterface"]
