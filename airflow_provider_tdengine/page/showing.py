"""What a browser gets: templates, and how they say numbers and moments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader

from airflow_provider_tdengine.client.secrets import masked
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.page.migrations import STAGES, Migration
from airflow_provider_tdengine.page.numbers import Curve
from airflow_provider_tdengine.page.steering import Request

_PAGES = Environment(
    loader=PackageLoader("airflow_provider_tdengine", "page/templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(template: str, **values: object) -> str:
    """A page.

    Parameters:
        template: its file.
        values: what it shows; all of it is escaped.
    """
    return _PAGES.get_template(template).render(values)


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}" if moment else ""


def _short(moment: datetime | None) -> str:
    return f"{moment.astimezone(timezone.utc):%b %d, %H:%M}" if moment else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    """Never rounded up: of 100 % nothing is left to do."""
    return "" if share is None else f"{int(100 * share)} %"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else wording.duration(seconds)


def _slug(text: str) -> str:
    """A word of the model as a class of the style sheet."""
    return text.replace("_", "-").replace(" ", "-") or "none"


def _quoted(text: str) -> str:
    """A part of an address, as a browser writes it that has read it: nothing is escaped that need not be.

    Airflow's page (3.3.2) takes what is in its frame for another address if it is written in another way, and loads it
    again, with what somebody has begun there.
    """
    return quote(text, safe=":+@!$&'()*,;=")


def page_of(migration: Migration, below: str = "") -> str:
    """Where a migration is shown, or something below it, from the place of the page."""
    place = f"/migrations/{_quoted(migration.run.dag_id)}/{_quoted(migration.run.run_id)}{below}"
    return f"{place}?{urlencode({'group': migration.group})}" if migration.group else place


def _document_of(address: str, file: str) -> str:
    """Where a document is, such as certificate.html, of the migration that is shown at an address."""
    place, mark, rest = address.partition("?")
    return f"{place}/{file}{mark}{rest}"


def _requests(requests: Sequence[Request]) -> str:
    """What a button sends, for the script."""
    return json.dumps([asdict(request) for request in requests])


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, timezone.utc):%b %d, %H:%M}"


def _area(curve: Curve) -> str:
    """The path of a chart, 800 wide and 120 high."""
    step, scale = 800 / max(1, len(curve.values) - 1), 114 / (curve.highest or 1)
    points = [f"{place * step:.1f},{120 - value * scale:.1f}" for place, value in enumerate(curve.values)]
    return f"M0,120 L{' '.join(points)} L800,120 Z"


_MARKS = re.compile(r"\*\*|`|\\(?=[\\`*_\[\]<>#|~])")


def _unmarked(text: str) -> str:
    """Markdown as the form of Airflow has it, as plain text."""
    return _MARKS.sub("", text).replace("\n\n", "\n")


def _query(values: Mapping[str, object]) -> str:
    return urlencode({name: value for name, value in values.items() if value not in ("", None)})


_PAGES.filters |= {
    "moment": _moment,
    "short": _short,
    "number": _number,
    "percent": _percent,
    "duration": _duration,
    "size": wording.size,
    "slug": _slug,
    "page_of": page_of,
    "query": _query,
    "requests": _requests,
    "unmarked": _unmarked,
    "masked": lambda value: masked(value) if isinstance(value, str) else value,
    "clock": _clock,
    "area": _area,
    "quoted": _quoted,
}
_PAGES.globals |= {
    "count_of": wording.number,
    "document_of": _document_of,
    "stage_names": list(STAGES.values()),
}
