"""The pages of certificate and assessment: on a screen, on a telephone, in the dark, and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tdengine.migration.comparing import page as certificate_page
from airflow_provider_tdengine.migration.planning import assessment_page

from ..chromium import chromium
from ..unit.migration.documents import ASSESSMENT, CERTIFICATE, SURVEY, VERDICT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

HTML = {"certificate": certificate_page(CERTIFICATE), "assessment": assessment_page(ASSESSMENT)}
PAGES = {**HTML, "survey": assessment_page(SURVEY)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


Show = Callable[..., "Page"]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Opens a document from a file, in a window of some width."""
    pages = []

    def open_it(name: str, width: int = 1400, scheme: str = "light") -> Page:
        file = tmp_path / f"{name}.html"
        file.write_text(PAGES[name], encoding="utf-8")
        pages.append(browser.new_page(viewport={"width": width, "height": 1500}, color_scheme=scheme))
        pages[-1].goto(f"file://{file}")
        return pages[-1]

    yield open_it
    for page in pages:
        page.close()


@pytest.mark.parametrize(
    ("name", "width"), [*((name, width) for name in HTML for width in (390, 820, 1400)), ("survey", 390)]
)
def test_nothing_is_cut_off_or_squeezed(show: Show, name: str, width: int) -> None:
    """On a telephone, names had a column of one letter, and numbers were beyond the edge."""
    page = show(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        "[...document.querySelectorAll('td, .cards th[scope=row], dd, .ends div')].map(it => { const box = "
        "(it.querySelector('span') ?? it).getBoundingClientRect(); "
        "return [it.innerText, box.left, box.right, box.height]; })"
    )
    assert len(boxes) > 40
    for text, left, right, height in boxes:
        assert 0 <= left <= right <= width
        assert height <= 90 + 5 * len(text), f"{text[:30]} is squeezed"


@pytest.mark.parametrize(
    ("name", "head"), [("certificate", "Rows in the target"), ("assessment", "Disk in the source")]
)
@pytest.mark.parametrize("width", [390, 820])
def test_every_number_has_its_name_beside_it(show: Show, name: str, head: str, width: int) -> None:
    page = show(name, width)
    labels = page.evaluate(
        "[...document.querySelectorAll('td.number')].map(cell => getComputedStyle(cell, '::before').content)"
    )
    table = page.locator("table", has_text=head)
    heads = table.locator("thead").first.bounding_box()
    assert heads is not None
    if width < 700:
        assert f'"{head}"' in labels
        # A long one would lie under its number.
        assert page.locator("td.number").first.evaluate("it => getComputedStyle(it).whiteSpace") == "normal"
        assert heads["width"] <= 1
    else:
        assert set(labels) == {"none"}
        assert heads["width"] > 500


def test_the_verdict_is_what_is_read_first(show: Show) -> None:
    page = show("certificate")
    assert page.title() == "plant north: different"
    assert page.locator(".verdict strong").inner_text() == VERDICT.words
    assert page.locator(".verdict").evaluate("it => getComputedStyle(it).color") == "rgb(163, 32, 29)"
    how = (
        "Compared: every row of the target, by the digest of what was copied (1,200 batches); "
        "every row of both sides, by a digest of its values (1 batch); tags of every subtable."
    )
    assert page.get_by_text(how, exact=True).is_visible()
    for note in VERDICT.notes:
        assert page.get_by_text(note, exact=True).is_visible()
    assert page.get_by_text("and 10 more tables").is_visible()


@pytest.mark.parametrize("name", HTML)
@pytest.mark.parametrize(
    ("width", "scheme", "ground"), [(1400, "light", "rgb(255, 255, 255)"), (390, "dark", "rgb(15, 23, 32)")]
)
def test_everybody_can_read_it(show: Show, name: str, width: int, scheme: str, ground: str) -> None:
    """axe finds no fault."""
    page = show(name, width, scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert [(one["id"], one["nodes"][0]["html"]) for one in axe.Axe().run(page).response["violations"]] == []


@pytest.mark.parametrize("name", HTML)
def test_on_paper(show: Show, name: str) -> None:
    """Dark text on white whatever the screen has, tables as tables, and all of it within the paper's width."""
    page = show(name, 680, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 35, 48)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator("thead").first.evaluate("it => getComputedStyle(it).display") == "table-header-group"
    assert page.pdf(format="A4").startswith(b"%PDF")
