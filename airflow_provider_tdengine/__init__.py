"""Apache Airflow provider that migrates data from old TDengine servers to a current cluster."""

__version__ = "0.1.0"

TAG = "tdengine"
"""The tag of DAGs with migrations, by which the page Migrations finds their runs."""
