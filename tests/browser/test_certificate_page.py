"""The certificate's page, on a screen and on a telephone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tdengine.migration.comparing import Verdict, page

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")
LONG = "x" * 192
VERDICT = Verdict(3, 36009, 35951, refused=3, expired=5, different=2, missing=50, extra=1)
DOCUMENT: dict[str, object] = {
    "migration": "plant north",
    "begin": "2026-11-24T19:46:25+00:00",
    "end": "2026-11-24T19:47:19+00:00",
    "verdict": {**VERDICT.to_dict(), "label": VERDICT.label, "notes": VERDICT.notes},
    "source": {
        "address": "ws://a-server-with-a-long-name.example.org:6041",
        "version": "2.4.0.18",
        "database": "power",
    },
    "target": {"address": "ws://127.0.0.1:39991", "version": "3.3.3.0", "database": "power"},
    "options": {"allow_lossy_precision": True, "rename_tables": f"* -> {LONG}"},
    "compared": {"level": "full", "batches": {"digest": 1200, "full": 1}, "tags": True},
    "super_tables": {
        name: {
            "tables": 99,
            "rows": 39_600_000_000,
            "target_rows": 39_600_000_000,
            "measures": 5,
            "read": 3,
            "different": 2,
            "refused": 3,
        }
        for name in ("Transformers", LONG)
    },
    "differences": [{"table": LONG, "what": "first", "source": 1795664748055123456, "target": LONG[:100]}],
    "different": 3,
    "differing_rows": [f"{LONG}: 2026-11-26 03:45:48 (1795664748055) only in the source"],
    "obstacle": "",
    "mended": {"tables": 2, "rows": 39_600_000, "deleted": 0, "tags": 4},
    "findings": [{"severity": "warning", "object": f"Table {LONG}", "found": "a long story " * 9, "action": "Wait"}],
    "dead_letters": {f"{number}{LONG[1:]}": 1 for number in range(30)},
    "dead_letter_tables": 30,
    "other_tables_in_target": 1,
    "package": "airflow-provider-tdengine 0.1.0",
    "sha256": "0123456789abcdef" * 4,
}


@pytest.fixture(params=[390, 820, 1300])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """The page in a window of some width."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    (tmp_path / "certificate.html").write_text(page(DOCUMENT), encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = browser.new_page(viewport={"width": request.param, "height": 1500})
        found.goto(f"file://{tmp_path}/certificate.html")
        yield found
        browser.close()


def test_nothing_is_cut_off_or_squeezed(shown: Page) -> None:
    """On a telephone, names had a column of one letter, and numbers were beyond the edge."""
    width = shown.viewport_size["width"]  # type: ignore[index]
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    cells = shown.locator("td span")
    for place in range(cells.count()):
        box = cells.nth(place).bounding_box()
        if text := cells.nth(place).inner_text():
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width
            assert box["height"] <= 25 * max(1, 0.2 * len(text)), f"{text[:30]} is squeezed"


def test_every_number_has_its_name_beside_it(shown: Page) -> None:
    width = shown.viewport_size["width"]  # type: ignore[index]
    heads = shown.get_by_text("rows in the target", exact=True)
    labels = shown.evaluate(
        "[...document.querySelectorAll('td.number')].map(cell => getComputedStyle(cell, '::before').content)"
    )
    if width < 700:
        assert not heads.is_visible()
        assert '"rows in the target"' in labels
    else:
        assert heads.is_visible()
        assert set(labels) == {"none"}


def test_the_verdict_is_what_is_read_first(shown: Page) -> None:
    assert shown.title() == "plant north: different"
    assert shown.locator(".verdict").inner_text() == VERDICT.words
    assert shown.locator(".verdict").evaluate("it => getComputedStyle(it).color") == "rgb(163, 32, 29)"
    how = (
        "Compared: every row of the target, by the digest of what was copied (1,200 batches); "
        "every row of both sides, by a digest of its values (1 batch); tags of every subtable."
    )
    assert shown.get_by_text(how, exact=True).is_visible()
    for note in VERDICT.notes:
        assert shown.get_by_text(note, exact=True).is_visible()
    assert shown.get_by_text("and 10 more tables").is_visible()
