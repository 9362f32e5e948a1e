"""`python -m airflow_provider_tdengine.demo`."""

from airflow_provider_tdengine.demo.main import main

if __name__ == "__main__":
    raise SystemExit(main())
