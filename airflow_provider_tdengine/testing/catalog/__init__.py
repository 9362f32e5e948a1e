"""What SHOW, DESCRIBE and information_schema tell about what is there."""

from airflow_provider_tdengine.testing.catalog.views import (
    SHOWN_OF_A_DATABASE,
    Catalog,
    View,
    describe,
    information_schema,
    show,
    show_create_database,
    show_create_table,
)

__all__ = [
    "SHOWN_OF_A_DATABASE",
    "Catalog",
    "View",
    "describe",
    "information_schema",
    "show",
    "show_create_database",
    "show_create_table",
]
