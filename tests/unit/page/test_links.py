"""Where the buttons of task instances lead."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow import settings
from sqlalchemy.orm import sessionmaker

from airflow_provider_tdengine.operators.comparison import TDengineReconcileOperator, TDengineVerifyOperator
from airflow_provider_tdengine.page.links import AssessmentLink, CertificateLink, DeadLettersLink, MigrationLink
from airflow_provider_tdengine.page.migrations import STAGES

from .conftest import Metadata
from .test_reading import DONE

RUN = "manual__2026-11-27T08:00:00+00:00"
PLACE = "/tdengine/migrations/m/manual__2026-11-27T08:00:00+00:00"


@pytest.fixture
def of(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> Metadata:
    metadata.dag("m", "tdengine")
    metadata.run("m", RUN, 1, "failed")
    metadata.tasks("m", RUN, {**DONE, "certify": "success", "dead_letters": "failed"}, "north.")
    metadata.tasks("m", RUN, {"reconcile": "success"})
    metadata.session.commit()
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(metadata.session.get_bind()))
    return metadata


def links(task: str) -> list[str]:
    key = SimpleNamespace(dag_id="m", run_id=RUN, task_id=task, map_index=-1)
    kinds = (MigrationLink, AssessmentLink, CertificateLink, DeadLettersLink)
    return [kind().get_link(object(), ti_key=key) for kind in kinds]  # type: ignore[arg-type]


def test_they_lead_to_what_there_is(of: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    assert links("north.certify") == [f"{PLACE}?group=north", "", "", ""]
    of.xcom("m", 1, "north.certify", "certificate", {"migration": "m"})
    of.xcom("m", 1, "north.dead_letters", "letters", {"rows": 1})
    of.xcom("m", 1, "north.plan", "assessment", {"rows": 1})
    of.session.commit()
    assessment, *others = links("north.certify")[1:]
    assert assessment == f"{PLACE}/assessment.html?group=north"
    assert others == [f"{PLACE}/certificate.html?group=north", f"{PLACE}?group=north#letters"]
    assert links("reconcile") == [""] * 4, "a task of no migration"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/airflow/")
    assert links("north.certify")[0] == f"/airflow{PLACE}?group=north"


def test_each_is_at_the_tasks_that_it_is_for() -> None:
    names = [[operator.__name__ for operator in kind().operators] for kind in (MigrationLink, CertificateLink)]
    assert names == [list(STAGES), [TDengineVerifyOperator.__name__]]
    assert TDengineReconcileOperator not in MigrationLink().operators
