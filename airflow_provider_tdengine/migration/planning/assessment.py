"""What dry runs, and assessments of whole servers, found, as a document for people and as one for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.documents import day, rendered, sealed, write_document
from airflow_provider_tdengine.migration.findings import Finding, Severity, sent
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.dry_run import HEADINGS, Preview
from airflow_provider_tdengine.migration.planning.survey import Survey
from airflow_provider_tdengine.migration.planning.surveyed import facts_of, shown_of_survey, taking

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
    findings = [finding for preview in previews for finding in preview.findings]
    content = {**_verdict(name, findings, made), **_sums(previews), "databases": list(map(_database, previews))}
    return sealed({**content, "seconds": sum(preview.seconds for preview in previews)})


def survey_document(survey: Survey, made: datetime) -> dict[str, object]:
    """What an assessment of whole servers found; no secrets.

    Parameters:
        survey: the assessment.
        made: when.

    Returns:
        A document for JSON, see `documents.sealed`.
    """
    previews = [one.found for one in survey.databases]
    proposals = [one.proposal for one in survey.databases if one.proposal]
    rows, size = survey.growth
    new = [one for one in proposals if one.statement]
    return sealed(
        {
            **_verdict(survey.name, survey.all_findings, made),
            **_sums(previews),
            "seconds": survey.schedule.seconds,
            "took": round(survey.seconds, 1),
            "growth": {"rows": rows, "bytes": size},
            "counts": survey.counts,
            "findings": sent(survey.findings),
            "sources": {address: asdict(one) for address, one in survey.sources.items()},
            "target": {
                "address": survey.address,
                **asdict(survey.target),
                "new_databases": len(new),
                "new_memory": sum(one.memory for one in new),
                "new_vnodes": sum(one.vnodes for one in new),
                "disk": sum(one.disk for one in proposals),
                "disk_in_a_year": sum(one.disk_in_a_year for one in proposals),
            },
            "speed": {**asdict(survey.speed), "how": survey.speed.how},
            "schedule": {**survey.schedule.to_dict(), "words": survey.window_said},
            "options": survey.options.given,
            "databases": [
                {
                    **_database(one.found),
                    "seconds": one.seconds,
                    "proposal": asdict(one.proposal) if one.proposal else None,
                }
                for one in survey.databases
            ],
        }
    )


def _verdict(name: str, findings: Sequence[Finding], made: datetime) -> dict[str, object]:
    """What is read first."""
    counts = Counter(finding.severity for finding in findings)
    blockers, warnings = counts[Severity.BLOCKER], counts[Severity.WARNING]
    said = "Nothing stands in the way"
    if blockers:
        said = f"{wording.number(blockers, 'thing')} {'stands' if blockers == 1 else 'stand'} in the way"
    elif warnings:
        said += f"; {wording.number(warnings, 'thing')} will be missing or different afterwards"
    return {
        "assessment": name,
        "made": made.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "kind": "blocked" if blockers else "ready-but" if warnings else "ready",
        "words": said,
    }


def _sums(previews: Sequence[Preview]) -> dict[str, int]:
    return {
        "tables": sum(preview.tables for preview in previews),
        "rows": sum(preview.rows for preview in previews),
        "disk": sum(round(preview.disk.target) for preview in previews),
    }


def _database(preview: Preview) -> dict[str, object]:
    return {**preview.to_dict(), "what": _what(preview.options), "blockers": len(preview.blockers)}


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
    """An assessment as HTML, of dry runs or of whole servers."""
    databases = [
        {
            **one,
            "shown": [_shown(part) for part in one["super_tables"]],
            "disk_said": _disk(one["disk"]),
            "facts": facts_of(one),
        }
        for one in document["databases"]
    ]
    is_survey = "schedule" in document
    more = shown_of_survey(document) if is_survey else {"overview": [_line(one) for one in databases]}
    return rendered(
        "survey.html" if is_survey else "assessment.html",
        {**document, "databases": databases},
        meaning=_ready(databases) if is_survey else _KINDS.get(document["kind"], ""),
        took=taking(document["rows"], document["seconds"]),
        headings=[(severity.value, heading, _ABOUT[severity]) for severity, heading in HEADINGS.items()],
        is_survey=is_survey,
        **more,
    )


def _ready(databases: Sequence[Mapping[str, Any]]) -> str:
    """How many of a survey's databases can be copied as they are."""
    count = sum(not one["blockers"] for one in databases)
    if count == len(databases):
        return f"{'The database' if count == 1 else f'All {count} databases'} can be copied."
    can = f"{count} of {wording.number(len(databases), 'database')} can be copied"
    return f"{can}; this page says what to do about the others."


def _line(one: Mapping[str, Any]) -> dict[str, object]:
    """A database among those of several dry runs."""
    return {
        "name": one["source"]["database"],
        "tables": one["tables"],
        "rows": one["rows"],
        "time": taking(one["rows"], one["time"]["seconds"]),
        "disk": wording.size(one["disk"]["target"]),
        "blockers": one["blockers"],
    }


def _shown(part: Mapping[str, Any]) -> dict[str, object]:
    sizes = {
        "values": wording.size(part["bytes"]),
        "on_disk": "not said" if part["guessed"] else wording.size(part["disk"]),
    }
    return {
        **part,
        **sizes,
        "name": part["name"] or "(normal tables)",
        "time": taking(part["rows"], part["seconds"]),
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


def write_assessment(document: Mapping[str, object], folder: Path) -> Path:
    """Write `assessment.json` and `assessment.html`, see `documents.write_document`."""
    return write_document("assessment", document, page(document), folder)
