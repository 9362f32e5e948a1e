"""The assessment: what a dry run says to a manager, for one database and for several; and that nothing injects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.migration.comparing import page as certificate_page
from airflow_provider_tdengine.migration.documents import content_hash
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.planning import assessment, assessment_page, preview

from ..conftest import BoxPair
from ..documents import ASSESSMENT, CERTIFICATE, INFO, MADE, SURVEY, WARNING, a_preview

BLOCKER = Finding("Table 'm'", "it has another type", "Change it")


def text_of(document: dict[str, object]) -> str:
    """What a page says, without its marks."""
    html = assessment_page(document)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.partition("<body>")[2])).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("findings", "kind", "words"),
    [
        ([INFO], "ready", "Nothing stands in the way"),
        ([INFO, WARNING], "ready-but", "Nothing stands in the way; 1 thing will be missing or different afterwards"),
        ([WARNING, BLOCKER], "blocked", "1 thing stands in the way"),
        ([BLOCKER, BLOCKER], "blocked", "2 things stand in the way"),
    ],
)
def test_what_is_read_first(findings: list[Finding], kind: str, words: str) -> None:
    document = assessment("plant", [a_preview("power", *findings)], MADE)
    assert (document["kind"], document["words"]) == (kind, words)
    text = text_of(document)
    assert f"plant Assessed on 24 November 2026, 19:46 UTC {words}" in text
    for finding in findings:
        assert f"{finding.object} {finding.found} {finding.action}" in text
    assert ("What stands in the way" in text) == (BLOCKER in findings)


def test_several_databases_are_added_up_and_each_is_shown() -> None:
    assert (ASSESSMENT["tables"], ASSESSMENT["rows"]) == (80_026, 4_000_036_004)
    assert ASSESSMENT["seconds"] == pytest.approx(14_400.4, abs=0.1)
    assert ASSESSMENT["disk"] == pytest.approx(6 * 9_000_455_041)
    text = text_of(ASSESSMENT)
    assert (
        "Rows to copy 4,000,036,004 Tables with rows 80,026 Time, about 4 h Disk in the target, about 54.0 GB" in text
    )
    assert "power 2,000,018,002 40,013 2 h 27.0 GB 1 " in text
    assert "water 2,000,018,002 40,013 2 h 27.0 GB 0 " in text
    assert "meters 40,000 2,000,000,000 60.0 GB 9.0 GB 2 h" in text
    assert "(normal tables) 1 2 41 bytes not said under 1 s" in text
    html = assessment_page(ASSESSMENT)
    assert re.findall("<h2>(.*?)</h2>", html) == ["Database by database", "power", "water"]
    assert ASSESSMENT["sha256"] == content_hash(ASSESSMENT) in html


def test_it_says_what_it_is_estimated_from() -> None:
    text = text_of(ASSESSMENT)
    assert "Measured: one session read 20,002 rows of the source as a sample, 200,020 rows a second" in text
    assert "About 27.0 GB in the target for 3 copies of each row, as compressed in the source, 2 of 3 tables" in text
    slow = a_preview("power", max_rows_per_second=1000, max_bytes_per_second=10**12)
    assert slow.seconds == pytest.approx(2_000_018.002)
    assert "Option max_rows_per_second allows no more" in slow.how


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "Rows before 24 November 2026, 19:46 UTC."),
        ({"start": "2026-01-01"}, "Rows from 1 January 2026, 00:00 UTC up to 24 November 2026, 19:46 UTC."),
        ({"mode": "both"}, "Rows before 24 November 2026, 19:46 UTC; after that, new rows as they come, until"),
        ({"mode": "realtime"}, "Rows that arrive from 24 November 2026, 19:46 UTC on are copied as they come"),
        ({"schema": "only"}, "The structure is copied: tables, columns and tags, but no rows."),
    ],
)
def test_which_rows(options: dict[str, object], what: str) -> None:
    assert what in text_of(assessment("plant", [a_preview("power", **options)], MADE))


EVIL = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>'\"&{{ 7 * 7 }}"


@pytest.mark.parametrize(
    ("document", "page"),
    [(ASSESSMENT, assessment_page), (SURVEY, assessment_page), (CERTIFICATE, certificate_page)],
    ids=["assessment", "survey", "certificate"],
)
def test_no_text_can_inject(document: dict[str, object], page: Callable[[dict[str, object]], str]) -> None:
    plain, html = page(document), page(hostile(document))  # type: ignore[arg-type]
    marks = re.compile(r"<[^>]*>")
    # The same marks, but for classes, which are the document's words.
    assert [mark.split()[0] for mark in marks.findall(plain)] == [mark.split()[0] for mark in marks.findall(html)]
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") > 20
    assert not re.search(r"<script|<link|<img|(src|href)=\"| on\w+=\"|url\(|@import", plain)


def hostile(value: object, name: str = "") -> object:
    """A document all of whose texts are hostile, names too; moments and numbers stay."""
    if isinstance(value, dict):
        fixed = name in ("databases", "batches") or not all(isinstance(one, dict) for one in value.values())
        return {
            key if fixed else f"{number}{EVIL}": hostile(one, key) for number, (key, one) in enumerate(value.items())
        }
    if isinstance(value, list):
        return [hostile(one) for one in value]
    keeps = name in ("begin", "end", "made", "kind", "severity")
    return EVIL if isinstance(value, str) and not keeps else value


def test_of_a_dry_run(meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command line writes it beside the place of the certificate, and prints the same."""
    assert cli.main(["plan", *call, "--certificate-path", "proof", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[0])
    (file,) = tmp_path.glob("proof/*/assessment.json")
    assert json.loads(file.read_text(encoding="utf-8")) == shown
    assert shown["sha256"] == content_hash(shown)
    html = file.with_suffix(".html").read_text(encoding="utf-8")
    assert "taosdata" not in html + file.read_text(encoding="utf-8")
    (one,) = shown["databases"]
    assert one["target"] == {**meters.catalogs[1].to_dict(), "exists": True}
    (part,) = one["super_tables"]
    assert (part["name"], part["tables"], part["rows"], part["guessed"]) == ("meters", 3, 3000, True)
    assert one["time"]["sample"]["rows"] == 3000
    found = preview(*meters.catalogs, meters.options())
    assert (found.rows, found.bytes, found.source) == (3000, part["bytes"], one["source"])
