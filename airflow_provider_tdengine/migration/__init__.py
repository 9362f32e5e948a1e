"""The engine: catalog, schema, plan, copy, verify. Knows no Airflow."""
