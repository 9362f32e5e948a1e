"""Sensors: tasks that wait for a source."""
