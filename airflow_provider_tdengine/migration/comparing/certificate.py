"""What proves a migration: a JSON document with a hash of its content, and the same as a page that stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing.conclude import Comparison
from airflow_provider_tdengine.migration.comparing.verdict import Kind, Verdict
from airflow_provider_tdengine.migration.documents import days, rendered, sealed, write_document
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import preflight
from airflow_provider_tdengine.migration.structure import Made, read_structure

_LEVELS = {
    "count": "rows, first and last timestamp of every table",
    "aggregate": "rows, first and last timestamp of every table, and what both servers say of every column",
    "full": "every row of both sides, by a digest of its values",
    "digest": "every row of the target, by the digest of what was copied",
}
"""What is compared where, see `BatchComparison.level`."""

_MEANINGS = {
    Kind.EQUAL.value: "Nothing differs.",
    Kind.EQUAL_BUT.value: "What was left out is explained below; nothing else differs.",
    Kind.DIFFERENT.value: "Source and target are not the same; this page says where.",
    Kind.NOT_COMPARED.value: "Nothing is known of what arrived.",
}
"""Verdicts for somebody who reads the first one, see `_meaning`."""


DIFFERENCES = 1000
"""Differences that a certificate names; it says how many there are."""


def certificate(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    comparison: Comparison,
    period: tuple[datetime, datetime],
    made: Iterable[Made] = (),
) -> dict[str, object]:
    """What was asked, what was compared, and what it came to; no secrets.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        comparison: the last one.
        period: begin of the migration, and the end of the comparison.
        made: what else was made in the target, or was to be.

    Returns:
        A document for JSON. Its `sha256` is that of all other keys, as JSON with sorted keys and without blanks.
    """
    verdict = comparison.verdict
    structure = read_structure(source, target, options)
    level = {"level": options.verify, "batches": comparison.levels, "tags": options.schema != "none"}
    content: dict[str, object] = {
        "migration": options.label,
        "equal": verdict.is_equal,
        "verdict": {**verdict.to_dict(), "label": verdict.label, "notes": verdict.notes},
        "begin": period[0].isoformat(timespec="seconds"),
        "end": period[1].isoformat(timespec="seconds"),
        "source": source.to_dict(),
        "target": target.to_dict(),
        "options": options.given,
        "compared": level,
        "super_tables": {name or "(normal tables)": asdict(total) for name, total in comparison.stables.items()},
        "tables": comparison.tables,
        "rows": comparison.rows,
        "target_rows": comparison.target_rows,
        "differences": [asdict(difference) for difference in comparison.differences[:DIFFERENCES]],
        "different": comparison.different,
        "differing_rows": comparison.shown,
        "obstacle": comparison.obstacle,
        "mended": {
            "tables": comparison.mended,
            "rows": comparison.mended_rows,
            "deleted": comparison.deleted,
            "tags": comparison.tags,
        },
        "findings": [
            *(finding.to_dict() for finding in preflight(source, target, structure, options)),
            *(one.finding.to_dict() for one in made),
        ],
        "refused": comparison.refused,
        "dead_letters": comparison.dead_letters,
        "dead_letter_tables": comparison.dead_letter_tables,
        "collisions": comparison.collisions,
        "expired": comparison.expired,
        "after_end": comparison.after_end,
        "vanished": comparison.vanished,
        "late": comparison.late,
        "read_again": comparison.reread,
        "other_tables_in_target": comparison.extra_tables,
    }
    return sealed(content)


def fleet_certificate(
    options: MigrationOptions,
    verdict: Verdict,
    databases: Sequence[Mapping[str, object]],
    broken: Mapping[str, Sequence[Finding]],
) -> dict[str, object]:
    """What proves a fleet: the totals, and the certificate of each database.

    Parameters:
        options: of the fleet.
        verdict: what it came to.
        databases: of those that were compared, see `certificate`.
        broken: those that were not, and why.

    Returns:
        A document for JSON, see `documents.sealed`; each certificate in it has a hash of its own, too.
    """
    return sealed(
        {
            "migration": options.label,
            "equal": verdict.is_equal and not broken,
            "verdict": {**verdict.to_dict(), "label": verdict.label, "notes": verdict.notes},
            "begin": min(str(one["begin"]) for one in databases),
            "end": max(str(one["end"]) for one in databases),
            "options": options.given,
            "tables": verdict.tables,
            "rows": verdict.rows,
            "target_rows": verdict.arrived,
            "different": verdict.different,
            "databases": list(databases),
            "broken": {name: [one.to_dict() for one in found] for name, found in broken.items()},
        }
    )


def page(document: Mapping[str, object]) -> str:
    """A certificate as HTML."""
    begin, end = (datetime.fromisoformat(str(document[name])) for name in ("begin", "end"))
    verdict: dict[str, object] = document["verdict"]  # type: ignore[assignment]
    databases: list[Mapping[str, object]] = document.get("databases", [document])  # type: ignore[assignment]
    return rendered(
        "certificate.html",
        {"broken": {}, **document, "databases": [_shown(one) for one in databases]},
        took=wording.duration((end - begin).total_seconds()),
        when=days(begin, end),
        meaning=_meaning(verdict),
        is_fleet="databases" in document,
        overview=[{**one, "words": one["verdict"]["words"]} for one in databases],  # type: ignore[index]
    )


def _shown(document: Mapping[str, object]) -> dict[str, object]:
    """What the certificate of a database says of it, with what only people read."""
    compared: dict[str, object] = document["compared"]  # type: ignore[assignment]
    totals: dict[str, dict[str, int]] = document["super_tables"]  # type: ignore[assignment]
    return {
        **document,
        "how": _how(compared["batches"]),  # type: ignore[arg-type]
        "totals": [{"name": name, **total} for name, total in totals.items()],
    }


def _meaning(verdict: Mapping[str, object]) -> str:
    """What a verdict means, and of what it speaks."""
    kind = str(verdict["kind"])
    both = "The target was compared with what was copied. "
    if verdict["as_of"] is None:
        both = "Source and target were compared. "
    return (both if kind in (Kind.EQUAL.value, Kind.EQUAL_BUT.value) else "") + _MEANINGS.get(kind, "")


def _how(batches: Mapping[str, int]) -> str:
    """What was compared, of so many batches at each level."""
    if len(batches) < 2:
        return "".join(_LEVELS[level] for level in batches) or "no rows, since there are none"
    return "; ".join(
        f"{_LEVELS[level]} ({wording.number(count, 'batch', 'batches')})" for level, count in sorted(batches.items())
    )


def write(document: Mapping[str, object], folder: Path) -> Path:
    """Write `certificate.json` and `certificate.html`, see `documents.write_document`."""
    return write_document("certificate", document, page(document), folder)
