"""What is to be done, and what stands in its way: batches, and findings before anything is written."""

from airflow_provider_tdengine.migration.planning.assessment import (
    assessment,
    database_facts,
    database_line,
    finding_lines,
    survey_document,
    survey_lines,
    write_assessment,
)
from airflow_provider_tdengine.migration.planning.assessment import page as assessment_page
from airflow_provider_tdengine.migration.planning.disk import Disk, row_of, row_on_disk
from airflow_provider_tdengine.migration.planning.dry_run import Part, Preview, preview
from airflow_provider_tdengine.migration.planning.estimate import Sample, history_seconds
from airflow_provider_tdengine.migration.planning.growth import Growth
from airflow_provider_tdengine.migration.planning.names import selected
from airflow_provider_tdengine.migration.planning.plan import (
    MOST_BATCHES,
    cut_batches,
    make_batches,
    make_plan,
    plan_facts,
)
from airflow_provider_tdengine.migration.planning.preflight import preflight
from airflow_provider_tdengine.migration.planning.request import Request, on_source_clock, requested
from airflow_provider_tdengine.migration.planning.survey import Survey, survey

__all__ = [
    "MOST_BATCHES",
    "Disk",
    "Growth",
    "Part",
    "Preview",
    "Request",
    "Sample",
    "Survey",
    "assessment",
    "assessment_page",
    "cut_batches",
    "database_facts",
    "database_line",
    "finding_lines",
    "history_seconds",
    "make_batches",
    "make_plan",
    "on_source_clock",
    "plan_facts",
    "preflight",
    "preview",
    "requested",
    "row_of",
    "row_on_disk",
    "selected",
    "survey",
    "survey_document",
    "survey_lines",
    "write_assessment",
]
