"""What is to be done, and what stands in its way: batches, and findings before anything is written."""

from airflow_provider_tdengine.migration.planning.assessment import assessment, survey_document, write_assessment
from airflow_provider_tdengine.migration.planning.assessment import page as assessment_page
from airflow_provider_tdengine.migration.planning.disk import Disk, row_of, row_on_disk
from airflow_provider_tdengine.migration.planning.dry_run import Part, Preview, preview
from airflow_provider_tdengine.migration.planning.estimate import SAMPLE, Sample, history_seconds, sample
from airflow_provider_tdengine.migration.planning.growth import Growth
from airflow_provider_tdengine.migration.planning.machines import Machines, machines
from airflow_provider_tdengine.migration.planning.names import selected
from airflow_provider_tdengine.migration.planning.plan import (
    MOST_BATCHES,
    cut_batches,
    make_batches,
    make_plan,
    plan_facts,
)
from airflow_provider_tdengine.migration.planning.preflight import preflight
from airflow_provider_tdengine.migration.planning.proposal import Proposal, proposal, target_findings
from airflow_provider_tdengine.migration.planning.request import (
    Request,
    expanded,
    on_source_clock,
    requested,
    requested_of_source,
)
from airflow_provider_tdengine.migration.planning.schedule import Schedule, Work, schedule
from airflow_provider_tdengine.migration.planning.speed import Speed, trial
from airflow_provider_tdengine.migration.planning.survey import Assessed, Survey, databases_meant, survey
from airflow_provider_tdengine.migration.planning.surveyed import (
    database_facts,
    database_line,
    finding_lines,
    survey_lines,
    target_lines,
)

__all__ = [
    "MOST_BATCHES",
    "SAMPLE",
    "Assessed",
    "Disk",
    "Growth",
    "Machines",
    "Part",
    "Preview",
    "Proposal",
    "Request",
    "Sample",
    "Schedule",
    "Speed",
    "Survey",
    "Work",
    "assessment",
    "assessment_page",
    "cut_batches",
    "database_facts",
    "database_line",
    "databases_meant",
    "expanded",
    "finding_lines",
    "history_seconds",
    "machines",
    "make_batches",
    "make_plan",
    "on_source_clock",
    "plan_facts",
    "preflight",
    "preview",
    "proposal",
    "requested",
    "requested_of_source",
    "row_of",
    "row_on_disk",
    "sample",
    "schedule",
    "selected",
    "survey",
    "survey_document",
    "survey_lines",
    "target_findings",
    "target_lines",
    "trial",
    "write_assessment",
]
