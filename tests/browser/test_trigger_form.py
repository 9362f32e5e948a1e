"""The trigger form of the ready-made DAG, filled in as a person does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tdengine.migration.options import OPTIONS, Option

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SECTIONS = ["Migration", "Source", "Target", "Scope", "Reading", "Writing", "Realtime", "Transform", "Verification"]


@pytest.fixture
def form(page: Page) -> Locator:
    """The form, its sections closed."""
    page.goto("/dags/tdengine_migration")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("button", name=SECTIONS[-1], exact=True)).to_be_visible()
    return form


def options(section: str) -> Iterator[tuple[str, Option]]:
    return ((name, option) for name, option in OPTIONS.items() if option.section == section)


def test_sections_are_in_order(form: Locator) -> None:
    assert [section for section, _ in groupby(option.section for option in OPTIONS.values())] == SECTIONS
    titles = form.locator("[data-part=item-trigger]")
    expect(titles).to_have_text([*SECTIONS, "Advanced Options"])


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_is_explained(form: Locator, section: str) -> None:
    form.get_by_role("button", name=section, exact=True).click()
    for name, option in options(section):
        field = form.locator(f"[name=element_{name}]")
        expect(field).to_have_count(1)
        expect(form.get_by_text(option.title, exact=True).last).to_be_visible()
        plain = f"{option.explanation} Default: {option.default}. {option.change}".replace("`", "")
        expect(form.get_by_text(plain)).to_be_visible()
    form.page.screenshot(path=f"/tmp/form-{section}.png")
