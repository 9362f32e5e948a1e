"""Links from Airflow's task instances to the page Migrations.

The API server makes them when somebody looks at a task instance: they are there as soon as that is, without XComs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink

from airflow_provider_tdengine.compat import conf

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class _MigrationLink(BaseOperatorLink):
    """A link to something of the migration that a task belongs to; none where there is no such thing yet."""

    name: ClassVar[str]
    stages: ClassVar[tuple[str, ...]] = ()
    """Of which stages the tasks have it, see `page.migrations.STAGES`; all for none."""
    document: ClassVar[tuple[str, str] | None] = None
    """The stage and the XCom without which there is nothing to show."""
    place: ClassVar[str] = ""
    """Below the migration's page."""
    anchor: ClassVar[str] = ""

    @property
    def operators(self) -> list[Any]:  # type: ignore[override]
        """The operators of the stages. Loaded when Airflow asks for them: workers load plugins, too."""
        from airflow_provider_tdengine import dags  # noqa: PLC0415
        from airflow_provider_tdengine.page.migrations import STAGES  # noqa: PLC0415

        return [getattr(dags, name) for name, stage in STAGES.items() if not self.stages or stage in self.stages]

    def get_link(self, operator: object, *, ti_key: TaskInstanceKey) -> str:
        """Its address on this server; empty for none."""
        from airflow.utils.session import create_session  # noqa: PLC0415

        from airflow_provider_tdengine.page import reading  # noqa: PLC0415
        from airflow_provider_tdengine.page.plugin import PREFIX  # noqa: PLC0415
        from airflow_provider_tdengine.page.showing import page_of  # noqa: PLC0415

        with create_session(scoped=False) as session:
            migration = reading.one(session, ti_key.dag_id, ti_key.run_id, ti_key.task_id.rpartition(".")[0])
            if migration is None or (self.document and reading.document(session, migration, *self.document) is None):
                return ""
        root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        return f"{root}{PREFIX}{page_of(migration, self.place)}{self.anchor}"


class MigrationLink(_MigrationLink):
    """To the migration."""

    name = "Migration"


class AssessmentLink(_MigrationLink):
    """To what a dry run has found."""

    name = "Assessment"
    stages = ("plan",)
    document = ("plan", "assessment")
    place = "/assessment.html"


class CertificateLink(_MigrationLink):
    """To what proves it."""

    name = "Certificate"
    stages = ("certify",)
    document = ("certify", "certificate")
    place = "/certificate.html"


class DeadLettersLink(_MigrationLink):
    """To the rows that the target refused."""

    name = "Dead letters"
    stages = ("copy", "dead_letters")
    document = ("dead_letters", "letters")
    anchor = "#letters"
