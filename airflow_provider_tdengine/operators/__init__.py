"""Operators: the engine's stages as Airflow tasks."""
