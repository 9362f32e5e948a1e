"""The page's routes: HTML for people, nothing but reading.

Each asks for Airflow's login, and for the right to see a DAG.

What buttons do goes from the browser to Airflow's own REST API, with the session of who presses them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.migration.comparing import page as certificate_page
from airflow_provider_tdengine.migration.documents import COLORS
from airflow_provider_tdengine.migration.options import OPTIONS
from airflow_provider_tdengine.migration.planning import assessment_page
from airflow_provider_tdengine.page import reading
from airflow_provider_tdengine.page.databases import members
from airflow_provider_tdengine.page.migrations import Migration, State
from airflow_provider_tdengine.page.numbers import lags, speed, totals
from airflow_provider_tdengine.page.plugin import PREFIX
from airflow_provider_tdengine.page.showing import rendered
from airflow_provider_tdengine.page.steering import actions
from airflow_provider_tdengine.page.wanted import PAGE, SORTS, Wanted

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

app = FastAPI(title="Migrations", docs_url=None, redoc_url=None, openapi_url=None)

_STATIC = {file.name: file for file in (*(Path(__file__).parent / "static").iterdir(), COLORS)}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)

_POLICY_OF_A_DOCUMENT = (
    "default-src 'none'; style-src 'sha256-{digest}'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""Of a document that stands alone: nothing but its own style element."""

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


_OF_A_RUN = [
    Depends(requires_access_dag(method="GET", access_entity=entity))
    for entity in (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
]
"""What somebody must be allowed to see of a DAG, since the page shows it."""


def _html(request: Request, template: str, status: int = 200, **values: object) -> Response:
    root = str(request.scope.get("root_path", "")).removesuffix(PREFIX)
    text = rendered(template, airflow=root, here=f"{root}{PREFIX}", version=__version__, **values)
    return _safe(HTMLResponse(text, status))


def _safe(response: Response, policy: str = _POLICY) -> Response:
    """With the headers that forbid what the page does not do."""
    response.headers.update(
        {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
    )
    return response


@app.exception_handler(AnyHTTPException)
async def _say_why(request: Request, error: AnyHTTPException) -> Response:
    """An error as a page: what it is, and the way to the login."""
    if "text/html" not in request.headers.get("accept", ""):
        return _safe(JSONResponse({"detail": error.detail}, error.status_code))
    login = ""
    if error.status_code == 401:
        login = f"{get_auth_manager().get_url_login()}?{urlencode({'next': str(request.url)})}"
    return _html(request, "message.html", error.status_code, detail=str(error.detail), login=login)


@app.get("/static/{name}")
def static(name: str, user: GetUserDep) -> Response:
    """A file of the page."""
    if name not in _STATIC:
        raise HTTPException(404, f"There is no file {name}")
    response = _safe(FileResponse(_STATIC[name]))
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response


@app.get("/migrations", dependencies=_OF_A_RUN)
def list_migrations(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    state: str = "",
    mode: str = "",
    name: str = "",
    database: str = "",
    sort: str = "-created",
    page: Annotated[int, Query(ge=1)] = 1,
    skipped: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Response:
    """All migrations that somebody may see."""
    column = sort.removeprefix("-")
    if column not in SORTS:
        raise HTTPException(400, f"sort is {sort}; it can be {', '.join(SORTS)}, with a - before it for the other way")
    wanted = Wanted(state, mode, name, database, column, sort.startswith("-"), page)
    now = datetime.now(timezone.utc)
    visible = _visible(user)
    if wanted.is_plain:
        found = reading.newest_places(session, visible, skipped)
        known = len(found)
    else:
        migrations = reading.newest(session, visible, skipped)
        found = [one.place for one in wanted.of(migrations, now)]
        known = len(migrations)
    return _html(
        request,
        "list.html",
        migrations=reading.with_progress(session, found[(page - 1) * PAGE : page * PAGE]),
        count=len(found),
        known=known,
        skipped=skipped,
        newer=max(0, skipped - reading.NEWEST),
        older=skipped + reading.NEWEST if reading.has_older(session, visible, skipped) else None,
        pages=-(-len(found) // PAGE),
        triggers=_triggers(user),
        wanted=wanted,
        states=list(State),
        modes=["history", "realtime", "both"],
        now=now,
    )


def _visible(user: BaseUser) -> set[str]:
    """The DAGs that somebody may see."""
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


_MIGRATES = {"source_conn_id", "target_conn_id", "source_database"}
"""What a DAG asks for that starts a migration."""

_REPLAY = {"path", "target_conn_id", "target_database"}
"""What a DAG asks for that brings dead letters back."""

_TRIGGERS = [Depends(requires_access_dag(method="POST", access_entity=DagAccessEntity.RUN))]


@app.get("/new", dependencies=_TRIGGERS)
def choose_form(request: Request, user: GetUserDep, session: SessionDep) -> Response:
    """The DAGs that start a migration; where there is but one, its form."""
    forms = reading.forms(session, _visible(user), _MIGRATES)
    if len(forms) == 1:
        return _form(request, forms[0], {})
    return _html(request, "choose.html", forms=forms)


@app.get("/new/{dag_id}", dependencies=_TRIGGERS)
def show_form(request: Request, dag_id: str, user: GetUserDep, session: SessionDep, like: str = "") -> Response:
    """The form of a DAG, filled in like a run of it, or with what the address says."""
    forms = reading.forms(session, _visible(user) & {dag_id}, ())
    if not forms:
        raise HTTPException(404, f"There is no DAG {dag_id} with the tag tdengine")
    return _form(request, forms[0], reading.conf(session, dag_id, like) if like else dict(request.query_params))


def _form(request: Request, form: reading.Form, given: Mapping[str, object]) -> Response:
    fields = {name: {**field, "filled": given.get(name, field["value"])} for name, field in form.fields.items()}
    sections = {str(field.get("section") or ""): None for field in fields.values()}
    migrates = form.fields.keys() >= _MIGRATES
    return _html(request, "form.html", form=form, fields=fields, sections=list(sections), migrates=migrates)


_ONE = "/migrations/{dag_id}/{run_id}"


@app.get(_ONE, dependencies=_OF_A_RUN)
def show_migration(
    request: Request, dag_id: str, run_id: str, user: GetUserDep, session: SessionDep, group: str = ""
) -> Response:
    """One migration: its stages and batches, what was found, what it came to, and what can be done with it."""
    migration = _found(session, dag_id, run_id, group)
    now = datetime.now(timezone.utc)
    batches, shards = (reading.cells(session, migration, stage) for stage in ("copy", "follow"))
    shown = {
        name: reading.document(session, migration, stage, key)
        for name, stage, key in (
            ("assessment", "plan", "assessment"),
            ("created", "sync_schema", "return_value"),
            ("certificate", "certify", "certificate"),
            ("followed", "finish", "certificate"),
            ("letters", "dead_letters", "letters"),
        )
    }
    steering = []
    if _may("PUT", migration, user):
        steering = actions(
            migration,
            reading.unfinished(session, migration),
            user.get_name(),
            has_store=reading.HAS_STORE,
            deletes=_may("DELETE", migration, user),
        )
    return _html(
        request,
        "detail.html",
        migration=migration,
        members=members(session, migration, shown["certificate"]),
        totals=totals(migration, batches, shown["created"], shown["certificate"], now),
        batches=batches,
        shards=shards,
        speed=speed(batches or shards, now),
        lags=lags(shards),
        actions=steering,
        triggers=_triggers(user, dag_id),
        findings=reading.findings(session, migration),
        options=OPTIONS,
        replays=[form.dag_id for form in reading.forms(session, _visible(user), _REPLAY)] if shown["letters"] else [],
        now=now,
        **shown,
    )


_DOCUMENTS = {
    "certificate": ("certify", "certificate", certificate_page, "nothing has been compared yet"),
    "followed": ("finish", "certificate", certificate_page, "what was followed has not been compared yet"),
    "assessment": ("plan", "assessment", assessment_page, "only a dry run makes one"),
}
"""Of each document, the stage whose XCom it is, the XCom, its page, and why there is none."""


@app.get(_ONE + "/{name}.{kind}", dependencies=_OF_A_RUN)
def show_document(
    request: Request,
    dag_id: str,
    run_id: str,
    name: Literal["certificate", "followed", "assessment"],
    kind: Literal["html", "json"],
    session: SessionDep,
    group: str = "",
) -> Response:
    """What proves a migration, or what a dry run found: as a page that stands alone, or as what it is made of."""
    stage, key, page, why = _DOCUMENTS[name]
    document = reading.document(session, _found(session, dag_id, run_id, group), stage, key)
    if document is None:
        raise HTTPException(404, f"There is no {key}: {why}")
    if kind == "json":
        text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        response = _safe(Response(text, media_type="application/json"))
    else:
        response = _alone(page(document))
    response.headers["Content-Disposition"] = f'inline; filename="{name}.{kind}"'
    return response


def _alone(text: str) -> Response:
    """A document that stands alone, as an answer."""
    style = "".join(_STYLE.findall(text)[:1])
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _safe(HTMLResponse(text), _POLICY_OF_A_DOCUMENT.format(digest=digest))


def _found(session: Session, dag_id: str, run_id: str, group: str) -> Migration:
    migration = reading.one(session, dag_id, run_id, group)
    if migration is None:
        raise HTTPException(404, "There is no such migration. Its run may have been deleted")
    return migration


def _may(method: ResourceMethod, migration: Migration, user: BaseUser) -> bool:
    """Whether somebody may change a run; Airflow's REST API asks the same once more."""
    return all(
        _is_authorized(method, entity, migration.run.dag_id, user)
        for entity in (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE)
    )


def _triggers(user: BaseUser, dag_id: str | None = None) -> bool:
    """Whether somebody may trigger a DAG, or, without one, DAGs at all."""
    return _is_authorized("POST", DagAccessEntity.RUN, dag_id, user)


def _is_authorized(method: ResourceMethod, entity: DagAccessEntity, dag_id: str | None, user: BaseUser) -> bool:
    details = DagDetails(id=dag_id, team_name=reading.team_of(dag_id)) if dag_id else None
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)
