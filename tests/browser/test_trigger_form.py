"""The trigger form of the ready-made DAG, filled in as a person does.

`SECTION=Scope SCREENSHOT=docs/images/form.png` makes the picture of the docs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tdengine.dags import migration_params
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


def options(section: str) -> Iterator[Option]:
    return (option for option in OPTIONS.values() if option.section == section)


def test_sections_are_in_order(form: Locator) -> None:
    assert [section for section, _ in groupby(option.section for option in OPTIONS.values())] == SECTIONS
    titles = form.locator("[data-part=item-trigger]")
    expect(titles).to_have_text([*SECTIONS, "Advanced Options"])


def test_every_option_is_explained(form: Locator) -> None:
    for section in SECTIONS:
        form.get_by_role("button", name=section, exact=True).click()
        for option in options(section):
            title = re.compile(rf"^{re.escape(option.title)}\s*\*?$")
            expect(form.get_by_text(title).last).to_be_visible()
            said = f"{option.explanation} Default: {option.default}. {option.change}"
            expect(form.get_by_text(said.replace("`", ""))).to_be_visible()
        if section == os.environ.get("SECTION"):
            form.screenshot(path=os.environ["SCREENSHOT"])


def test_what_is_filled_in_is_what_the_run_gets(form: Locator) -> None:
    trigger = form.get_by_role("button", name="Trigger", exact=True)
    expect(trigger).to_be_disabled()
    form.get_by_role("button", name="Source", exact=True).click()
    form.locator("[name=element_source_database]").fill("power")
    form.get_by_role("button", name="Scope", exact=True).click()
    form.locator("[name=element_stables]").fill("meters, sensor_*")
    form.get_by_role("button", name="Reading", exact=True).click()
    workers = form.locator("[name=element_workers]")
    workers.fill("4")
    workers.blur()
    with form.page.expect_request(
        lambda request: request.url.endswith("/dagRuns") and request.method == "POST"
    ) as sent:
        trigger.click()
    conf = sent.value.post_data_json["conf"]
    changed = {"source_database": "power", "stables": "meters, sensor_*", "workers": 4}
    defaults = {name: param.value for name, param in migration_params().items() if name != "source_database"}
    assert conf == defaults | changed
    response = sent.value.response()
    assert response is not None
    assert response.ok
