"""Both sides compared, what differs mended, and a certificate of it."""

from airflow_provider_tdengine.migration.comparing.batches import BatchComparison, Difference, compare_batch
from airflow_provider_tdengine.migration.comparing.certificate import certificate, fleet_certificate, page, write
from airflow_provider_tdengine.migration.comparing.conclude import Comparison, Total, conclude, verify
from airflow_provider_tdengine.migration.comparing.deletions import Deletion, by_table
from airflow_provider_tdengine.migration.comparing.results import keep_results
from airflow_provider_tdengine.migration.comparing.tags import TagComparison, compare_tags
from airflow_provider_tdengine.migration.comparing.verdict import Kind, Verdict

__all__ = [
    "BatchComparison",
    "Comparison",
    "Deletion",
    "Difference",
    "Kind",
    "TagComparison",
    "Total",
    "Verdict",
    "by_table",
    "certificate",
    "compare_batch",
    "compare_tags",
    "conclude",
    "fleet_certificate",
    "keep_results",
    "page",
    "verify",
    "write",
]
