"""What the document of an assessment of whole servers says to people: on its page, on a terminal, in a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.database_options import DAY
from airflow_provider_tdengine.migration.findings import Severity
from airflow_provider_tdengine.migration.planning.dry_run import HEADINGS

_SHOWN = 20
"""Findings of a severity in a log and on a terminal."""


def taking(rows: int, seconds: float) -> str:
    """How long something takes, about; of no rows none."""
    if not rows:
        return "none"
    return wording.duration(seconds) if seconds >= 1 else "under 1 s"


def shown_of_survey(document: Mapping[str, Any]) -> dict[str, object]:
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
    return {
        "overview": overview,
        "slots": slots,
        "needs": needs,
        "target_facts": _target_facts(document["target"]),
        "written": _written(document["speed"]),
    }


def _written(speed: Mapping[str, Any]) -> str:
    if speed["failed"]:
        return (
            "Some rows were copied into scratch databases of the target; one of a trial that failed may be there still."
        )
    if speed["measured"]:
        return "Some rows were copied into scratch databases of the target, which were dropped."
    return "Nothing was written to any database."


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
        "time": taking(one["rows"], one["seconds"]),
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


def facts_of(one: Mapping[str, Any]) -> list[tuple[str, str]]:
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
