"""Apache Airflow provider that migrates data from old TDengine servers to a current cluster."""

__version__ = "0.1.0"
