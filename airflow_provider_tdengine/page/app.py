"""The page's routes: HTML for people, nothing but reading. Each asks for Airflow's login, and for the right to see a DAG.

What buttons do goes from the browser to Airflow's own REST API, with the session of who presses them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.page import reading
from airflow_provider_tdengine.page.migrations import PAGE, SORTS, State, Wanted
from airflow_provider_tdengine.page.plugin import PREFIX
from airflow_provider_tdengine.page.showing import rendered

app = FastAPI(title="Migrations", docs_url=None, redoc_url=None, openapi_url=None)

_STATIC = Path(__file__).parent / "static"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{style}; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def _seen(entity: DagAccessEntity) -> object:
    return Depends(requires_access_dag(method="GET", access_entity=entity))


_OF_A_RUN = [_seen(DagAccessEntity.RUN), _seen(DagAccessEntity.TASK_INSTANCE), _seen(DagAccessEntity.XCOM)]
"""What somebody must be allowed to see of a DAG, since the page shows it."""


def _html(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    root = str(request.scope.get("root_path", "")).removesuffix(PREFIX)
    text = rendered(template, airflow=root, here=f"{root}{PREFIX}", version=__version__, **values)
    return _safe(HTMLResponse(text, status))


def _safe(response: Response, style: str = "") -> Response:
    """With the headers that forbid what the page does not do.

    Parameters:
        response: to a browser.
        style: the content of its own style element, for a document that stands alone.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    response.headers.update(
        {
            "Content-Security-Policy": _POLICY.format(style=f" 'sha256-{digest}'" if style else ""),
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
    if name not in {file.name for file in _STATIC.iterdir()}:
        raise HTTPException(404, f"There is no file {name}")
    response = _safe(FileResponse(_STATIC / name))
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
) -> Response:
    """All migrations that somebody may see."""
    column = sort.removeprefix("-")
    if column not in SORTS:
        raise HTTPException(400, f"sort is {sort}; it can be {', '.join(SORTS)}, with a - before it for the other way")
    wanted = Wanted(state, mode, name, database, column, sort.startswith("-"), page)
    now = datetime.now(timezone.utc)
    dags = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    known = reading.newest(session, dags)
    found = wanted.of(known, now)
    shown = reading.with_progress(session, found[(page - 1) * PAGE : page * PAGE])
    return _html(
        request,
        "list.html",
        migrations=shown,
        count=len(found),
        known=len(known),
        most=reading.NEWEST,
        pages=-(-len(found) // PAGE),
        wanted=wanted,
        states=list(State),
        modes=["history", "realtime", "both"],
        now=now,
    )
