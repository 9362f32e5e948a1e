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

from .conftest import Metadata
from .test_reading import DONE, a_running_one

ONE, SECRET = "/migrations/m/r", "/migrations/secret/r"
EVIL = "</style><style>p{}</style><script>alert(1)</script>"
CERTIFICATE = {
    "migration": EVIL,
    "begin": "2026-11-24T19:46:25+00:00",
    "end": "2026-11-24T19:47:19+00:00",
    "verdict": {"kind": "equal", "words": "Equal", "label": "equal", "notes": []},
    "source": {"address": "ws://127.0.0.1:1", "version": "2.4.0.18", "database": EVIL},
    "target": {"address": "ws://127.0.0.1:2", "version": "3.3.3.0", "database": EVIL},
    "options": {},
    "compared": {"level": "full", "batches": {}, "tags": True},
    "super_tables": {},
    "differences": [],
    "different": 0,
    "differing_rows": [],
    "obstacle": "",
    "mended": {"tables": 0, "rows": 0, "deleted": 0, "tags": 0},
    "findings": [],
    "dead_letters": {},
    "other_tables_in_target": 0,
    "package": "airflow-provider-tdengine 0.1.0",
    "sha256": "0123",
}
PATHS = ["/migrations", ONE, f"{ONE}/certificate.html", f"{ONE}/certificate.json", "/new", "/new/m"]
PATHS += ["/static/page.css", "/static/page.js", "/static/icon.svg", "/static/icon-dark.svg"]


class Careful(SimpleAuthManager):
    """Airflow's simple login, but one DAG is nobody's business."""

    def is_authorized_dag(self, *, details: DagDetails | None = None, **given: object) -> bool:
        hidden = details is not None and details.id == "secret"
        return not hidden and super().is_authorized_dag(details=details, **given)  # type: ignore[arg-type]


@pytest.fixture
def client(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    a_running_one(metadata)
    metadata.xcom("m", 1, "certify", "certificate", CERTIFICATE)
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


@pytest.mark.parametrize("path", [SECRET, f"{SECRET}/certificate.json", f"{SECRET}/certificate.html", "/new/secret"])
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


def test_a_certificate_has_its_own_style_and_nothing_else(client: TestClient) -> None:
    log_in("VIEWER")
    answer = client.get(f"{ONE}/certificate.html")
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'self' 'sha256-{digest}';" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert client.get(f"{ONE}/certificate.json").json() == CERTIFICATE


def test_what_is_not_there_is_said(client: TestClient) -> None:
    log_in("ADMIN")
    for path, said in (
        ("/migrations/m/none", "There is no such migration"),
        (f"{ONE}?group=north", "There is no such migration"),
        ("/migrations/none/r/certificate.json", "There is no such migration"),
        ("/static/none", "There is no file none"),
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
    assert "No migration is like that" in client.get("/migrations?state=failed").text
