"""The demo: a TDengine 2.4 database arrives in a 3.x one, through a real Airflow DAG. Run it with `make demo`."""
