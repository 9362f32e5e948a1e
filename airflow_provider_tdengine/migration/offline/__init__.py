"""Migrations by files, where no line goes from source to target: an export into a folder, and that folder as a source.

It needs pyarrow, an extra, and says so where that is missing.
"""

from airflow_provider_tdengine.migration.offline.export import Export, Exported
from airflow_provider_tdengine.migration.offline.stored import StoredCatalog, opened

__all__ = ["Export", "Exported", "StoredCatalog", "opened"]
