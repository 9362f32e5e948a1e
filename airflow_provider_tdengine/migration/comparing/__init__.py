"""Both sides compared, what differs mended, and a certificate of it."""

from airflow_provider_tdengine.migration.comparing.certificate import certificate, content_hash, page, write
from airflow_provider_tdengine.migration.comparing.measures import ask
from airflow_provider_tdengine.migration.comparing.repair import prove
from airflow_provider_tdengine.migration.comparing.row_comparer import RowComparer
from airflow_provider_tdengine.migration.comparing.verdict import Kind, Verdict
from airflow_provider_tdengine.migration.comparing.verify import Comparison, compare_tags, verify

__all__ = [
    "Comparison",
    "Kind",
    "RowComparer",
    "Verdict",
    "ask",
    "certificate",
    "compare_tags",
    "content_hash",
    "page",
    "prove",
    "verify",
    "write",
]
