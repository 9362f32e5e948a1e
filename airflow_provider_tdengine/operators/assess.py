"""The operator that assesses whole servers, before anybody decides how they are migrated."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.assessment_options import ASSESSMENT_OPTIONS, AssessmentOptions
from airflow_provider_tdengine.operators.migration import OptionsOperator, clear_failures, client
from airflow_provider_tdengine.operators.shared import run_folder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.planning import Survey

log = logging.getLogger(__name__)


class TDengineAssessOperator(OptionsOperator):
    """Looks at all databases of one or several servers, and writes nothing but for a trial that is allowed.

    It is green whatever stands in the way of a database: that is what it is to find out.

    Parameters:
        options: values by the names in `migration.assessment_options.ASSESSMENT_OPTIONS`, templated; None takes them
            from the run's Params.

    Returns:
        What is read first (`kind`, `words`, `window`), where the documents are (`document`, None where no folder was
        given), findings by severity (`counts`), and of each database what one line of the tables says (`databases`).
    """

    option_names = ASSESSMENT_OPTIONS.keys()

    def execute(self, context: Context) -> dict[str, object]:
        """Look, log what was found, and keep the documents."""
        from airflow_provider_tdengine.migration.planning import (
            databases_meant,
            survey,
            survey_document,
            survey_lines,
            write_assessment,
        )

        with clear_failures():
            options = AssessmentOptions.checked(self._given(context))
            sources = {name: client(name, "source_conn_ids") for name in options.sources}
            target = client(options.target_conn_id, "target_conn_id")
            meant = databases_meant(sources, target, options)
            found = survey(meant, sources, target, options, context["dag_run"].run_after)
        document = survey_document(found, datetime.now(timezone.utc))
        log.info("%s", wording.folded(survey_lines(document)))
        place = None
        if options.certificate_path:
            folder = run_folder(options.certificate_path, context) / quote(self.task_id, safe="")
            with clear_failures():
                place = str(write_assessment(document, folder))
            log.info("The assessment is %s", place)
        return _summary(found, document, place)


def _summary(found: Survey, document: Mapping[str, Any], place: str | None) -> dict[str, object]:
    """What other tasks may want to know, in a few kilobytes."""
    from airflow_provider_tdengine.migration.planning import database_facts

    first = {name: document[name] for name in ("assessment", "kind", "words", "tables", "rows", "counts")}
    databases = [database_facts(one) for one in document["databases"]]
    return {**first, "window": found.window_said, "document": place, "databases": databases}
