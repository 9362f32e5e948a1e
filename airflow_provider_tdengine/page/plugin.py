"""What puts the page into Airflow: the entry point `airflow.plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_tdengine.page import notes
from airflow_provider_tdengine.page.links import AssessmentLink, CertificateLink, DeadLettersLink, MigrationLink

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PREFIX = "/tdengine"
"""Where the API server has the page."""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The page's routes. Loaded when they are first asked for: workers load plugins, too, and have no use for them."""
    from airflow_provider_tdengine.page.app import app  # noqa: PLC0415

    await app(scope, receive, send)


class TDenginePlugin(AirflowPlugin):
    """The page Migrations, links to it, and the notes of runs."""

    name = "tdengine"
    fastapi_apps: list[Any] = [{"name": "tdengine", "app": application, "url_prefix": PREFIX}]  # noqa: RUF012
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Migrations",
            "href": f"{PREFIX}/migrations",
            "destination": "nav",
            "url_route": "migrations",
            "icon": f"{PREFIX}/static/icon.svg",
            "icon_dark_mode": f"{PREFIX}/static/icon-dark.svg",
            "nav_top_level": True,
        }
    ]
    operator_extra_links: list[Any] = [MigrationLink(), AssessmentLink(), CertificateLink(), DeadLettersLink()]  # noqa: RUF012
    listeners: list[Any] = [notes]  # noqa: RUF012
