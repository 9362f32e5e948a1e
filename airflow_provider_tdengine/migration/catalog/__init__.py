"""What a database holds: its tables, which of them are meant, and where their rows lie."""

from airflow_provider_tdengine.migration.catalog.catalog import Catalog, Database, Subtable, Table, is_virtual
from airflow_provider_tdengine.migration.catalog.extents import Extent, Extents, extents
from airflow_provider_tdengine.migration.catalog.names import misread, name_findings, table_name_findings
from airflow_provider_tdengine.migration.catalog.precision import TimeScale
from airflow_provider_tdengine.migration.catalog.scope import Patterns, Scope, pinned

__all__ = [
    "Catalog",
    "Database",
    "Extent",
    "Extents",
    "Patterns",
    "Scope",
    "Subtable",
    "Table",
    "TimeScale",
    "extents",
    "is_virtual",
    "misread",
    "name_findings",
    "pinned",
    "table_name_findings",
]
