"""What dry runs, and assessments of whole servers, found, as a document for people and as one for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.database_options import DAY
from airflow_provider_tdengine.migration.documents import day, rendered, sealed, write_document
from airflow_provider_tdengine.migration.findings import Severity, sent
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning.dry_run import HEADINGS, Preview
from airflow_provider_tdengine.migration.planning.survey import Survey

_KINDS = {
    "blocked": "A migration would stop before it writes anything. This page says what to do about it.",
    "ready-but": "A migration can start; read first what will be missing or different afterwards.",
    "ready": "A migration can start.",
}
"""What an assessment can come to, and what that means."""

_SHOWN = 20
"""Findings of a severity in a log and on a terminal."""

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
    content = {**_verdict(name, counts, made), **_sums(previews), "databases": list(map(_database, previews))}
    return sealed({**content, "seconds": sum(preview.seconds for preview in previews)})


def survey_document(survey: Survey, made: datetime) -> dict[str, object]:
    """What an assessment of whole servers found; no secrets.

    Parameters:
        survey: the assessment.
        made: when.

    Returns:
        A document for JSON, see `documents.sealed`.
    """
    counts = Counter(finding.severity for finding in survey.all_findings)
    previews = [one.found for one in survey.databases]
    proposals = [one.proposal for one in survey.databases if one.proposal]
    rows, size = survey.growth
    new = [one for one in proposals if one.statement]
    return sealed(
        {
            **_verdict(survey.name, counts, made),
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


def _verdict(name: str, counts: Mapping[Severity, int], made: datetime) -> dict[str, object]:
    """What is read first."""
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
            "facts": _facts(one),
        }
        for one in document["databases"]
    ]
    is_survey = "schedule" in document
    more = _survey(document) if is_survey else {"overview": [_line(one) for one in databases]}
    return rendered(
        "survey.html" if is_survey else "assessment.html",
        {**document, "databases": databases},
        meaning=_ready(databases) if is_survey else _KINDS.get(document["kind"], ""),
        took=_duration(document["rows"], document["seconds"]),
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
        "time": _duration(one["rows"], one["time"]["seconds"]),
        "disk": wording.size(one["disk"]["target"]),
        "blockers": one["blockers"],
    }


def _survey(document: Mapping[str, Any]) -> dict[str, object]:
    """What the page of whole servers shows besides."""
    several = len(document["sources"]) > 1

    def named(source: str, database: str) -> str:
        return f"{database} ({source})" if several else database

    overview = [
        {**database_line(one), "name": named(one["source"]["address"], one["source"]["database"])}
        for one in document["databases"]
    ]
    slots = [
        {
            "name": named(slot["source"], slot["database"]),
            "begin": wording.duration(slot["begin"]) if slot["begin"] else "at once",
            "end": wording.duration(slot["end"]),
            "fits": "yes" if slot["fits"] else "no",
        }
        for slot in document["schedule"]["slots"]
    ]
    needs = [
        {
            **one["proposal"],
            "name": one["target"]["database"],
            "buffer": f"{one['proposal']['buffer']} MB",
            **{key: wording.size(one["proposal"][key]) for key in ("memory", "disk", "disk_in_a_year")},
        }
        for one in document["databases"]
        if one["proposal"]
    ]
    trial = "Some rows were copied into scratch databases of the target, which were dropped."
    return {
        "overview": overview,
        "slots": slots,
        "needs": needs,
        "target_facts": _target_facts(document["target"]),
        "written": trial if document["options"].get("measure_writing") else "Nothing was written to any database.",
    }


def survey_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """What people read of a survey in a log."""
    yield f"{document['assessment']}: {document['words']}"
    for one in document["databases"]:
        line = database_line(one)
        yield (
            f"  {line['name']}: {one['rows']:,} rows in {wording.number(one['tables'], 'table')}, {line['on_disk']} on "
            f"disk, {line['daily']} a day, about {line['time']}; blockers, warnings, notes: {line['found']}"
        )
    yield f"  {document['schedule']['words']}"
    yield f"  {document['speed']['how']}"
    yield from target_lines(document)
    yield from finding_lines(document)


def target_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """What the target of a survey has, and what is asked of it."""
    yield from wording.facts("", _target_facts(document["target"]))[1:]


def finding_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The findings of a survey, the most severe ones first; what several databases have is said once."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in ({"source": {"database": ""}, "findings": document["findings"]}, *document["databases"]):
        for finding in one["findings"]:
            said = tuple(finding[key] for key in ("severity", "object", "found", "action"))
            alike.setdefault(said, []).append(one["source"]["database"])
    for severity, heading in HEADINGS.items():
        own = {said: names for said, names in alike.items() if said[0] == severity.value}
        if own:
            yield f"{heading} ({len(own):,}):"
        for (_, what, found, action), names in list(own.items())[:_SHOWN]:
            where = f"{wording.enumerated(names)}: " if names != [""] else ""
            yield f"  {where}{what}: {found}."
            yield f"    → {action}."
        if len(own) > _SHOWN:
            yield f"  and {len(own) - _SHOWN:,} more"


def database_facts(one: Mapping[str, Any]) -> dict[str, object]:
    """A database of a survey's document in a few numbers."""
    severities = Counter(finding["severity"] for finding in one["findings"])
    return {
        "source": one["source"]["address"],
        "database": one["source"]["database"],
        "rows": one["rows"],
        "tables": one["tables"],
        "disk": one["disk"]["source"],
        "rows_a_day": one["growth"]["rows"],
        "seconds": one["seconds"],
        "findings": {severity.value: severities[severity.value] for severity in Severity},
    }


def database_line(one: Mapping[str, Any]) -> dict[str, object]:
    """A database of a survey's document in a line of a table."""
    facts = database_facts(one)
    found: Mapping[str, int] = facts["findings"]  # type: ignore[assignment]
    options = one["database"]
    return {
        "name": one["source"]["database"],
        "rows": one["rows"],
        "tables": one["tables"],
        "on_disk": f"{'under ' if one['disk']['guessed'] else ''}{wording.size(one['disk']['source'])}",
        "daily": wording.number(round(one["growth"]["rows"]), "row"),
        "precision": options.get("precision", ""),
        "keep": _keep(options.get("keep", ())),
        "time": _duration(one["rows"], one["seconds"]),
        "found": " / ".join(map(str, found.values())),
    }


def _keep(minutes: Sequence[int]) -> str:
    return f"{max(minutes) // DAY:,} d" if minutes else "unknown"


def _target_facts(target: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the target has, and what is asked of it."""
    memory = f" of {wording.size(target['memory'])}" if target["memory"] else ""
    free = target["most_vnodes"] - target["vnodes"] if target["most_vnodes"] else None
    return [
        ("Server", f"{target['address']}" + (f", {target['cores']} cores" if target["cores"] else "")),
        ("Memory for buffers", f"{wording.size(target['new_memory'])}{memory}"),
        ("New vnodes", f"{target['new_vnodes']:,}" + (f" of {free:,} that are free" if free is not None else "")),
        (
            "Disk",
            f"{wording.size(target['disk'])} when all is copied, {wording.size(target['disk_in_a_year'])} in a year",
        ),
    ]


def _facts(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the source database is like."""
    options = one["database"]
    if not options:
        return []
    growth = one["growth"]
    days = f"in the last {growth['days']:.0f} days" if growth["days"] > 1 else "in the last day"
    objects = ", ".join(wording.number(count, kind, _plural(kind)) for kind, count in one["objects"].items())
    return [
        ("Precision", options["precision"]),
        ("KEEP", _keep(options["keep"])),
        ("Growth", f"{growth['rows']:,.0f} rows and {wording.size(growth['bytes'])} of disk a day, {days}"),
        ("Other objects", objects or "none"),
        (
            "Options",
            ", ".join(f"{name} {value}" for name, value in options["options"].items() if _is_said(name, value)),
        ),
    ]


def _plural(kind: str) -> str:
    return "indexes" if kind == "index" else f"{kind}s"


def _is_said(name: str, value: str) -> bool:
    """Whether an option says something that stands nowhere else."""
    return bool(value) and name not in ("name", "create_time", "created_time", "ntables", "status", "precision", "keep")


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
