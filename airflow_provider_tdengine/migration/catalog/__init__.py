"""What a database holds: its tables, which of them are meant, and where their rows lie."""

from airflow_provider_tdengine.migration.catalog.catalog import (
    NO_TABLES,
    OWN_DATABASES,
    VIEWS,
    Catalog,
    Database,
    Row,
    Subtable,
    Table,
    is_virtual,
)
from airflow_provider_tdengine.migration.catalog.holdings import (
    NAME_BYTES,
    Holding,
    Holdings,
    Period,
    count,
    each,
    holdings,
    in_slices,
    measured,
    row_owners,
    together,
)
from airflow_provider_tdengine.migration.catalog.names import (
    is_own_topic,
    name_findings,
    own_topic,
    table_name_findings,
    unspeakable,
)
from airflow_provider_tdengine.migration.catalog.patience import meet, patiently
from airflow_provider_tdengine.migration.catalog.precision import TimeScale
from airflow_provider_tdengine.migration.catalog.scope import EVERYTHING, Patterns, Scope, pinned

__all__ = [
    "EVERYTHING",
    "NAME_BYTES",
    "NO_TABLES",
    "OWN_DATABASES",
    "VIEWS",
    "Catalog",
    "Database",
    "Holding",
    "Holdings",
    "Patterns",
    "Period",
    "Row",
    "Scope",
    "Subtable",
    "Table",
    "TimeScale",
    "count",
    "each",
    "holdings",
    "in_slices",
    "is_own_topic",
    "is_virtual",
    "measured",
    "meet",
    "name_findings",
    "own_topic",
    "patiently",
    "pinned",
    "row_owners",
    "table_name_findings",
    "together",
    "unspeakable",
]
