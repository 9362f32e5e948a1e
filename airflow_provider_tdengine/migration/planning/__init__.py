"""What is to be done, and what stands in its way: batches, and findings before anything is written."""

from airflow_provider_tdengine.migration.planning.disk import row_of, row_on_disk
from airflow_provider_tdengine.migration.planning.dry_run import Preview, preview
from airflow_provider_tdengine.migration.planning.plan import MOST_BATCHES, cut_batches, make_batches, make_plan
from airflow_provider_tdengine.migration.planning.preflight import preflight
from airflow_provider_tdengine.migration.planning.request import Request, on_source_clock, requested

__all__ = [
    "MOST_BATCHES",
    "Preview",
    "Request",
    "cut_batches",
    "make_batches",
    "make_plan",
    "on_source_clock",
    "preflight",
    "preview",
    "requested",
    "row_of",
    "row_on_disk",
]
