"""TDengine in a box: an in-process server for demos and tests. Knows no Airflow and no migration.

with TDengineBox(version="2.4.0.18") as box:
    box.execute("create database d")
    ...  # clients connect to box.url
"""

from airflow_provider_tdengine.testing.box import TDengineBox
from airflow_provider_tdengine.testing.errors import BoxError

__all__ = ["BoxError", "TDengineBox"]
