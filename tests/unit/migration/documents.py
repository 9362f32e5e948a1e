"""A certificate, an assessment and a survey that have something of everything, for the tests of their pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.assessment_options import AssessmentOptions
from airflow_provider_tdengine.migration.catalog import Database
from airflow_provider_tdengine.migration.comparing import Verdict
from airflow_provider_tdengine.migration.documents import sealed
from airflow_provider_tdengine.migration.findings import Finding, Severity
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import (
    Assessed,
    Disk,
    Growth,
    Machines,
    Part,
    Preview,
    Proposal,
    Sample,
    Speed,
    Survey,
    Work,
    assessment,
    schedule,
    survey_document,
)

LONG = "x" * 192
SOURCE = {"address": "ws://a-server-with-a-long-name.example.org:6041", "version": "2.4.0.18", "database": "power"}
TARGET = {"address": "ws://127.0.0.1:39991", "version": "3.3.3.0", "database": "power"}
MADE = datetime(2026, 11, 24, 19, 46, 25, tzinfo=timezone.utc)
VERDICT = Verdict(3, 36009, 35951, refused=3, expired=5, different=2, missing=50, extra=1)

_TOTAL = {"tables": 99, "rows": 39_600_000_000, "target_rows": 39_600_000_000, "read": 3, "different": 2, "refused": 3}
_FINDING = Finding(f"Table {LONG!r}", "it has a long story " * 9, "Wait, and then look at it once more")

CERTIFICATE = sealed(
    {
        "migration": "plant north",
        "begin": MADE.isoformat(),
        "end": "2026-11-24T19:47:19+00:00",
        "verdict": {**VERDICT.to_dict(), "label": VERDICT.label, "notes": VERDICT.notes},
        "source": SOURCE,
        "target": TARGET,
        "options": {"allow_lossy_precision": True, "rename_tables": f"* -> {LONG}", "max_rows_per_second": 100_000},
        "compared": {"level": "full", "batches": {"digest": 1200, "full": 1}, "tags": True},
        "super_tables": dict.fromkeys(("Transformers", LONG), _TOTAL),
        "tables": 198,
        "rows": 79_200_000_000,
        "target_rows": 79_200_000_000,
        "differences": [{"table": LONG, "what": "first", "source": 1795664748055123456, "target": LONG[:100]}],
        "different": 3,
        "differing_rows": [f"{LONG}: 2026-11-26 03:45:48 (1795664748055) only in the source"],
        "obstacle": "rows of one timestamp cannot be told apart",
        "mended": {"tables": 2, "rows": 39_600_000, "deleted": 0, "tags": 4},
        "findings": [Finding(LONG, "a story", "Wait", Severity.WARNING).to_dict()],
        "dead_letters": {f"{number}{LONG[1:]}": 1 for number in range(30)},
        "dead_letter_tables": 30,
        "other_tables_in_target": 1,
    }
)


def a_preview(database: str, *findings: Finding, **options: object) -> Preview:
    """What a dry run of a database might find.

    Parameters:
        database: its name on both sides.
        findings: that it had.
        options: of the migration.
    """
    given = {"source_conn_id": "a", "target_conn_id": "b", "source_database": database, **options}
    parts = [Part("meters", 40_000, 2_000_000_000, 60_000_000_000, 9_000_000_000, False, 7200.0)]
    parts += [Part(LONG, 12, 18_000, 455_000, 455_000, True, 0.2), Part("", 1, 2, 41, 41, True, 0.001)]
    rows = {part.name or "remarks": part.rows for part in parts}
    row_bytes = {part.name or "remarks": part.disk / part.rows for part in parts}
    return Preview(
        MigrationOptions.checked(given).ended(MADE),
        {**SOURCE, "database": database},
        {**TARGET, "database": database},
        False,
        parts,
        Sample(20_002, 600_000, 0.1),
        Disk(row_bytes, frozenset({LONG, "remarks"}), 3, rows),
        findings=list(findings),
    )


WARNING = Finding(
    "Database option UPDATE 0", "it is not carried over", "Later rows replace earlier ones", Severity.WARNING
)
INFO = Finding("Topic 'alarms'", "it is not migrated", "Create it anew", Severity.INFO)
ASSESSMENT = assessment("all plants", [a_preview("power", _FINDING, WARNING, INFO), a_preview("water")], MADE)


def a_survey() -> Survey:
    """What an assessment of two servers might find: a database that can be copied, a large one, one with a fault."""
    known: dict[str, Any] = {
        "database": Database("x", Precision.NS, (5_256_000,), 14_400, {"vgroups": "2", LONG: LONG})
    }
    known |= {"growth": Growth(10_000_000, 800_000_000), "objects": {"topic": 1, "index": 20}}
    found = [replace(a_preview(name, *findings), **known) for name, findings in (("power", [INFO]), (LONG, []))]
    found.append(a_preview("water", _FINDING, WARNING, INFO))
    reasons = {"VGROUPS": f"one for {LONG}", "BUFFER": "a third of it holds an hour", "disk": "the rows as they are"}
    wanted = Proposal(4, 64, 270_000_000, 4, 11 * 10**9, 40 * 10**9, f"CREATE DATABASE `{LONG}` VGROUPS 4", reasons)
    works = [Work(one.source["address"], one.source["database"], 3600.0, 1) for one in found[:2]]
    return Survey(
        AssessmentOptions(source_conn_ids="north, south", window_hours=1, name="all plants"),
        [Assessed(one, 3600.0, wanted if one.database else None) for one in found],
        [WARNING, _FINDING],
        {SOURCE["address"]: Machines(1, 8, None, 4), "ws://south:6041": Machines()},
        TARGET["address"],
        Machines(3, 48, 192 * 10**9, 6, 96),
        Speed(measured={"dense": "200,000 rows of power in 1.2 s"}),
        schedule(works, 3600.0, 1),
        12.3,
    )


SURVEY = survey_document(a_survey(), MADE)
