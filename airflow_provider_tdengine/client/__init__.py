"""TDengine's REST and WebSocket protocols. Knows no Airflow and no migration."""
