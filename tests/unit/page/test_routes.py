"""Who may ask what: without a login, as a viewer, as an admin, and for a DAG that somebody may not see."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest
from airflow import settings
from airflow.api_fastapi.app import _AuthManagerState
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.orm import sessionmaker

from airflow_provider_tdengine.page.app import app

from ..migration.documents import ASSESSMENT, CERTIFICATE
from .conftest import Metadata
from .test_reading import DONE, a_running_one

ONE, SECRET = "/migrations/m/r", "/migrations/secret/r"
EVIL = "</style><style>p{}</style><script>alert(1)</script>"
DOCUMENTS = {
    "certificate": ("certify", "certificate", {**CERTIFICATE, "migration": EVIL}),
    "followed": ("finish", "certificate", {**CERTIFICATE, "migration": EVIL}),
    "assessment": ("plan", "assessment", {**ASSESSMENT, "assessment": EVIL}),
}
PATHS = ["/migrations", ONE, "/new", "/new/m"]
PATHS += [f"{ONE}/{name}.{kind}" for name in DOCUMENTS for kind in ("html", "json")]
PATHS += ["/static/page.css", "/static/colors.css", "/static/page.js", "/static/icon.svg", "/static/icon-dark.svg"]


class Careful(SimpleAuthManager):
    """Airflow's simple login, but one DAG is nobody's business."""

    def is_authorized_dag(self, *, details: DagDetails | None = None, **given: object) -> bool:
        hidden = details is not None and details.id == "secret"
        return not hidden and super().is_authorized_dag(details=details, **given)  # type: ignore[arg-type]


@pytest.fixture
def client(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    a_running_one(metadata)
    for stage, key, document in DOCUMENTS.values():
        metadata.xcom("m", 1, stage, key, document)
    metadata.dag("secret", "tdengine")
    metadata.run("secret", "r", 2)
    metadata.tasks("secret", "r", DONE)
    metadata.session.commit()
    sessions = sessionmaker(metadata.session.get_bind())
    for name in ("Session", "NonScopedSession"):
        monkeypatch.setattr(settings, name, sessions)
    monkeypatch.setattr(_AuthManagerState, "instance", Careful())
    with TestClient(app, headers={"Accept": "text/html"}) as client:
        yield client
    app.dependency_overrides.clear()


def log_in(role: str) -> None:
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username=role.lower(), role=role)


def test_all_routes_are_asked_for_here() -> None:
    patterns = [re.sub(r"\{\w+\}", "[^/]+", route.path) for route in app.routes if isinstance(route, APIRoute)]
    assert [one for one in patterns if not any(re.fullmatch(one, path) for path in PATHS)] == []
    assert all(route.methods == {"GET"} for route in app.routes if isinstance(route, APIRoute))


@pytest.mark.parametrize("path", [*PATHS, "/migrations/none/r", "/static/none"])
def test_nobody_without_a_login(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert "plant" not in answer.text
    assert 'href="/auth/login?next=' in answer.text
    assert client.get(path, headers={"Accept": "application/json"}).json() == {"detail": "Not authenticated"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["VIEWER", "ADMIN"])
def test_a_viewer_sees_and_an_admin_steers(client: TestClient, role: str, path: str) -> None:
    log_in(role)
    answer = client.get(path)
    if path.startswith("/new"):
        # There are no serialized DAGs: an admin is told so.
        assert answer.status_code == {"VIEWER": 403, "ADMIN": 404 if path == "/new/m" else 200}[role]
    else:
        assert answer.status_code == 200, answer.text
    assert ("<button" in answer.text) == (path == "/migrations" or (role == "ADMIN" and path == ONE))


@pytest.mark.parametrize(
    "path", [SECRET, "/new/secret", *(path.replace(ONE, SECRET) for path in PATHS if path.startswith(f"{ONE}/"))]
)
def test_a_dag_that_somebody_may_not_see(client: TestClient, path: str) -> None:
    log_in("ADMIN")
    assert client.get(path).status_code == 403
    assert "secret" not in client.get("/migrations").text


def test_nothing_from_elsewhere_and_no_script_in_the_page(client: TestClient) -> None:
    log_in("ADMIN")
    for path in PATHS[:2]:
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'; " in policy
        assert "unsafe" not in policy
        assert re.findall(r"<script(?![^>]* src=\"/)|<style| style=| on\w+=|https?://", answer.text) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_has_its_own_style_and_nothing_else(client: TestClient, name: str) -> None:
    log_in("VIEWER")
    answer = client.get(f"{ONE}/{name}.html")
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "script" not in policy
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert client.get(f"{ONE}/{name}.json").json() == DOCUMENTS[name][2]
    assert answer.headers["Content-Disposition"] == f'inline; filename="{name}.html"'
    assert client.get(f"{ONE}/letter.html").status_code == 422


def test_what_a_dry_run_found_is_shown(client: TestClient) -> None:
    log_in("VIEWER")
    text = client.get(ONE).text
    assert (
        '<p class="banner blocked">1 thing stands in the way <span class="links"><a href="/migrations'
        in text.replace("/tdengine", "")
    )
    assert 'download="assessment.json"' in text
    assert "What a run would do" in text
    assert "Topic &#39;alarms&#39;" in text


def test_what_is_not_there_is_said(client: TestClient, metadata: Metadata) -> None:
    log_in("ADMIN")
    metadata.run("m", "bare", 8)
    metadata.tasks("m", "bare", DONE)
    metadata.session.commit()
    for path, said in (
        ("/migrations/m/none", "There is no such migration"),
        (f"{ONE}?group=north", "There is no such migration"),
        ("/migrations/none/r/certificate.json", "There is no such migration"),
        ("/static/none", "There is no file none"),
        ("/migrations/m/bare/certificate.html", "There is no certificate: nothing has been compared yet"),
        ("/migrations/m/bare/assessment.html", "There is no assessment: only a dry run makes one"),
    ):
        answer = client.get(path)
        assert (answer.status_code, said in answer.text) == (404, True)
    answer = client.get("/migrations?sort=color")
    assert (answer.status_code, "sort is color; it can be name, source" in answer.text) == (400, True)


def test_a_password_in_an_option_is_not_shown(client: TestClient, metadata: Metadata) -> None:
    log_in("VIEWER")
    url = "s3://key:hush-hush@letters"
    given = {"source_database": "plant", "dead_letter_path": url, "name": url}
    metadata.run("m", "open", 7, conf=given)
    metadata.tasks("m", "open", {"resolve": "failed"})
    metadata.session.commit()
    for path in ("/migrations", "/migrations/m/open"):
        text = client.get(path).text
        assert ("letters" in text, "hush" in text) == (True, False)


def test_the_list_leads_to_each_migration(client: TestClient) -> None:
    log_in("VIEWER")
    text = client.get("/migrations").text
    assert 'href="/migrations/m/r"' in text.replace("/tdengine", "")
    assert "50 % · 2,500,000,007 of 5,000,000,000 rows" in text
    assert "No migration matches" in client.get("/migrations?state=failed").text
