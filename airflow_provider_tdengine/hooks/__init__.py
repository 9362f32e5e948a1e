"""Airflow's way to a TDengine server: the hook, and the DB-API connection that it hands out."""
