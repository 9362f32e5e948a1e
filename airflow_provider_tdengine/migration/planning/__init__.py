"""What is to be done, and what stands in its way: batches, and findings before anything is written."""

from airflow_provider_tdengine.migration.planning.assessment import assessment, write_assessment
from airflow_provider_tdengine.migration.planning.assessment import page as assessment_page
from airflow_provider_tdengine.migration.planning.disk import Disk, row_of, row_on_disk
from airflow_provider_tdengine.migration.planning.dry_run import Part, Preview, preview
from airflow_provider_tdengine.migration.planning.estimate import SAMPLE, Sample, history_seconds, sample
from airflow_provider_tdengine.migration.planning.plan import (
    MOST_BATCHES,
    cut_batches,
    make_batches,
    make_plan,
    plan_facts,
)
from airflow_provider_tdengine.migration.planning.preflight import preflight
from airflow_provider_tdengine.migration.planning.request import (
    Request,
    expanded,
    on_source_clock,
    requested,
    requested_of_source,
)

__all__ = [
    "MOST_BATCHES",
    "SAMPLE",
    "Disk",
    "Part",
    "Preview",
    "Request",
    "Sample",
    "assessment",
    "assessment_page",
    "cut_batches",
    "expanded",
    "history_seconds",
    "make_batches",
    "make_plan",
    "on_source_clock",
    "plan_facts",
    "preflight",
    "preview",
    "requested",
    "requested_of_source",
    "row_of",
    "row_on_disk",
    "sample",
    "write_assessment",
]
