"""What SHOW, DESCRIBE and information_schema tell about what is there."""

from airflow_provider_tdengine.testing.catalog.databases import show_create_database
from airflow_provider_tdengine.testing.catalog.information import information_schema, performance_schema
from airflow_provider_tdengine.testing.catalog.lists import SHOWN_OF_A_DATABASE, show
from airflow_provider_tdengine.testing.catalog.tables import describe, show_create_table
from airflow_provider_tdengine.testing.catalog.views import Catalog, View

__all__ = [
    "SHOWN_OF_A_DATABASE",
    "Catalog",
    "View",
    "describe",
    "information_schema",
    "performance_schema",
    "show",
    "show_create_database",
    "show_create_table",
]
