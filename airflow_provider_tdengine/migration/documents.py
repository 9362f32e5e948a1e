"""What a migration leaves for people: a JSON document with a hash of its content, and the same as a page.

A page is one file: its style is in it, it has no script, and needs nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.options import OPTIONS
from airflow_provider_tdengine.migration.storage import storage, write_whole

COLORS = Path(__file__).parent / "templates" / "colors.css"
"""The colours of all pages, those of Airflow's plugin, too."""

_PAGES = Environment(
    loader=PackageLoader("airflow_provider_tdengine", "migration/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def sealed(content: Mapping[str, object]) -> dict[str, object]:
    """A document: with the version that made it, and the hash of all the rest."""
    whole = {**content, "package": f"airflow-provider-tdengine {__version__}"}
    return {**whole, "sha256": content_hash(whole)}


def content_hash(document: Mapping[str, object]) -> str:
    """The SHA-256 of a document without its own `sha256`, as JSON with sorted keys and without blanks."""
    content = {name: value for name, value in document.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def rendered(template: str, document: Mapping[str, object], **more: object) -> str:
    """A document as HTML, for screen, telephone and paper.

    Parameters:
        template: its file.
        document: what it shows; all of it is escaped.
        more: what is made of it.
    """
    return _PAGES.get_template(template).render(document, **more)


def write_document(name: str, document: Mapping[str, object], html: str, folder: Path) -> Path:
    """Write a document as JSON and as a page.

    Parameters:
        name: of both files, such as "certificate".
        document: it.
        html: its page.
        folder: a folder, or what behaves as one, of any storage.

    Returns:
        The page's path.

    Raises:
        StorageFailed: it cannot be written.
    """
    place = folder / f"{name}.html"
    with storage(f"The {name}", place):
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
        write_whole(folder / f"{name}.json", text)
        write_whole(place, html)
    return place


def day(moment: datetime) -> str:
    """A moment as people say it, to the minute: `7 May 2026, 09:30 UTC`."""
    moment = moment.astimezone(timezone.utc)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def days(begin: datetime, end: datetime) -> str:
    """A period as people say it: `7 May 2026, 09:30 to 11:10 UTC`."""
    first, last = day(begin), day(end)
    if first == last:
        return first
    date, _, clock = last.partition(", ")
    return f"{first.removesuffix(' UTC')} to {clock if first.startswith(f'{date},') else last}"


def _plain(value: object) -> str:
    """A value of JSON as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


_PAGES.filters |= {
    "day": lambda text: day(datetime.fromisoformat(text)),
    "plain": _plain,
    "size": wording.size,
    "duration": wording.duration,
    "option": lambda name: OPTIONS[name].title if name in OPTIONS else name,
}
_PAGES.globals["count_of"] = wording.number
