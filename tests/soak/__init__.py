"""A whole Airflow that migrates while everything around it breaks; `python -m tests.soak --help`."""
