"""What dry runs found, as a document: what would be copied, how long, how much disk, what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.documents import day, rendered, sealed, write_document
from airflow_provider_tdengine.migration.findings import Severity
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.dry_run import HEADINGS, Preview

_KINDS = {
    "blocked": "A migration would stop before it writes anything. This page says what to do about it.",
    "ready-but": "A migration can start; read first what will be missing or different afterwards.",
    "ready": "A migration can start.",
}
"""What an assessment can come to, and what that means."""

_ABOUT = {
    Severity.BLOCKER: "Nothing is written before all of this is gone.",
    Severity.WARNING: "A migration goes on in spite of it.",
    Severity.INFO: "None of it stops a migration.",
}


def assessment(name: str, previews: Sequence[Preview], made: datetime) -> dict[str, object]:
    """What one or several dry runs found; no secrets.

    Parameters:
        name: what it is called.
        previews: of each database.
        made: when.

    Returns:
        A document for JSON, see `documents.sealed`.
    """
    counts = Counter(finding.severity for preview in previews for finding in preview.findings)
    blockers, warnings = counts[Severity.BLOCKER], counts[Severity.WARNING]
    said = "Nothing stands in the way"
    if blockers:
        said = f"{wording.number(blockers, 'thing')} {'stands' if blockers == 1 else 'stand'} in the way"
    elif warnings:
        said += f"; {wording.number(warnings, 'thing')} will be missing or different afterwards"
    return sealed(
        {
            "assessment": name,
            "made": made.astimezone(timezone.utc).isoformat(timespec="seconds"),
            "kind": "blocked" if blockers else "ready-but" if warnings else "ready",
            "words": said,
            "tables": sum(preview.tables for preview in previews),
            "rows": sum(preview.rows for preview in previews),
            "seconds": sum(preview.seconds for preview in previews),
            "disk": sum(round(preview.disk.target) for preview in previews),
            "databases": [
                {**preview.to_dict(), "what": _what(preview.options), "blockers": len(preview.blockers)}
                for preview in previews
            ],
        }
    )


def _what(options: MigrationOptions) -> str:
    """Which rows are copied."""
    if options.schema == "only":
        return "The structure is copied: tables, columns and tags, but no rows."
    end = f"{day(options.window_end)}" if options.window_end else "the start of the migration"
    if options.mode == "realtime":
        return f"Rows that arrive from {end} on are copied as they come, until somebody stops it; none of before."
    since = f"from {day(options.window_start)} up to" if options.window_start else "before"
    later = "; after that, new rows as they come, until somebody stops it" if options.follows else ""
    return f"Rows {since} {end}{later}."


def page(document: Mapping[str, Any]) -> str:
    """An assessment as HTML."""
    databases = [
        {**one, "shown": [_shown(part) for part in one["super_tables"]], "disk_said": _disk(one["disk"])}
        for one in document["databases"]
    ]
    overview = [
        {
            "name": one["source"]["database"],
            "tables": one["tables"],
            "rows": one["rows"],
            "time": _duration(one["rows"], one["time"]["seconds"]),
            "disk": wording.size(one["disk"]["target"]),
            "blockers": one["blockers"],
        }
        for one in databases
    ]
    return rendered(
        "assessment.html",
        {**document, "databases": databases},
        meaning=_KINDS.get(document["kind"], ""),
        took=_duration(document["rows"], document["seconds"]),
        headings=[(severity.value, heading, _ABOUT[severity]) for severity, heading in HEADINGS.items()],
        overview=overview,
    )


def _shown(part: Mapping[str, Any]) -> dict[str, object]:
    sizes = {
        "values": wording.size(part["bytes"]),
        "on_disk": "not said" if part["guessed"] else wording.size(part["disk"]),
    }
    return {
        **part,
        **sizes,
        "name": part["name"] or "(normal tables)",
        "time": _duration(part["rows"], part["seconds"]),
    }


def _disk(disk: Mapping[str, Any]) -> str:
    """What the disk of a database is estimated from."""
    copies = f" for {disk['replicas']} copies of each row" if disk["replicas"] > 1 else ""
    said = f"About {wording.size(disk['target'])} in the target{copies}, {disk['how']}"
    if disk["guessed"]:
        said += ": where the source does not say what rows take on disk, their values are counted; they will take less"
    else:
        said += f", where it is {wording.size(disk['source'])}"
    return f"{said}. The target's write-ahead log needs some more."


def _duration(rows: int, seconds: float) -> str:
    if not rows:
        return "none"
    return wording.duration(seconds) if seconds >= 1 else "under 1 s"


def write_assessment(document: Mapping[str, object], folder: Path) -> Path:
    """Write `assessment.json` and `assessment.html`, see `documents.write_document`."""
    return write_document("assessment", document, page(document), folder)
