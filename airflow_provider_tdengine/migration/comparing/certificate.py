"""What proves a migration: a JSON document with a hash of its content, and the same as a page that stands alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing.conclude import Comparison
from airflow_provider_tdengine.migration.options import OPTIONS, MigrationOptions
from airflow_provider_tdengine.migration.planning import preflight
from airflow_provider_tdengine.migration.storage import storage, write_whole
from airflow_provider_tdengine.migration.structure import read_structure

_PAGES = Environment(
    loader=PackageLoader("airflow_provider_tdengine", "migration/comparing"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_LEVELS = {
    "count": "rows, first and last timestamp of every table",
    "aggregate": "rows, first and last timestamp of every table, and what both servers say of every column",
    "full": "every row of both sides, by a digest of its values",
    "digest": "every row of the target, by the digest of what was copied",
}
"""What is compared where, see `BatchComparison.level`."""


DIFFERENCES = 1000
"""Differences that a certificate names; it says how many there are."""


def certificate(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    comparison: Comparison,
    period: tuple[datetime, datetime],
) -> dict[str, object]:
    """What was asked, what was compared, and what it came to; no secrets.

    Parameters:
        source: the source database.
        target: the target database.
        options: of the migration.
        comparison: the last one.
        period: begin of the migration, and the end of the comparison.

    Returns:
        A document for JSON. Its `sha256` is that of all other keys, as JSON with sorted keys and without blanks.
    """
    verdict = comparison.verdict
    structure = read_structure(source, target, options)
    own = MigrationOptions().to_dict()
    given = {name: value for name, value in options.to_dict().items() if value != own[name] or OPTIONS[name].required}
    level = {"level": options.verify, "batches": comparison.levels, "tags": options.schema != "none"}
    content: dict[str, object] = {
        "migration": options.label,
        "equal": verdict.is_equal,
        "verdict": {**verdict.to_dict(), "label": verdict.label, "notes": verdict.notes},
        "begin": period[0].isoformat(timespec="seconds"),
        "end": period[1].isoformat(timespec="seconds"),
        "source": _side(source),
        "target": _side(target),
        "options": given,
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
        "findings": [finding.to_dict() for finding in preflight(source, target, structure, options)],
        "refused": comparison.refused,
        "dead_letters": comparison.dead_letters,
        "dead_letter_tables": comparison.dead_letter_tables,
        "collisions": comparison.collisions,
        "expired": comparison.expired,
        "after_end": comparison.after_end,
        "vanished": comparison.vanished,
        "read_again": comparison.reread,
        "other_tables_in_target": comparison.extra_tables,
        "package": f"airflow-provider-tdengine {__version__}",
    }
    return {**content, "sha256": content_hash(content)}


def _side(catalog: Catalog) -> dict[str, str]:
    client = catalog.client
    return {"address": str(client.address), "version": client.server.version_text, "database": catalog.name}


def content_hash(document: Mapping[str, object]) -> str:
    """The SHA-256 of a certificate without its own `sha256`."""
    content = {name: value for name, value in document.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def page(document: Mapping[str, object]) -> str:
    """A certificate as HTML: one file, for screen and paper."""
    begin, end = (datetime.fromisoformat(str(document[name])) for name in ("begin", "end"))
    compared: dict[str, object] = document["compared"]  # type: ignore[assignment]
    totals: dict[str, dict[str, int]] = document["super_tables"]  # type: ignore[assignment]
    return _PAGES.get_template("certificate.html").render(
        document,
        took=wording.duration((end - begin).total_seconds()),
        how=_how(compared["batches"]),  # type: ignore[arg-type]
        number=wording.number,
        sides=[{"side": side, **document[side]} for side in ("source", "target")],  # type: ignore[dict-item]
        totals=[{"name": name, "facts": 3 + total["measures"], **total} for name, total in totals.items()],
    )


def _how(batches: Mapping[str, int]) -> str:
    """What was compared, of so many batches at each level."""
    if len(batches) < 2:
        return "".join(_LEVELS[level] for level in batches) or "no rows, since there are none"
    return "; ".join(
        f"{_LEVELS[level]} ({wording.number(count, 'batch', 'batches')})" for level, count in sorted(batches.items())
    )


def write(document: Mapping[str, object], folder: Path) -> Path:
    """Write `certificate.json` and `certificate.html`.

    Parameters:
        document: what `certificate` gives.
        folder: a folder, or what behaves as one, of any storage.

    Returns:
        The page's path.

    Raises:
        StorageFailed: it cannot be written.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
    place = folder / "certificate.html"
    with storage("The certificate", place):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "certificate.json", text)
        write_whole(place, page(document))
    return place
