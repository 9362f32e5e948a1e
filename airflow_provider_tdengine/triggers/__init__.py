"""Triggers: what waits for a server without a worker."""
