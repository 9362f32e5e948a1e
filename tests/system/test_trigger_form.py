"""The trigger form of the ready-made DAG, filled in as a person does.

`SECTION="Run Parameters" SCREENSHOT=docs/images/form.png` makes the picture of the docs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from airflow_provider_tdengine.dags import migration_params
from airflow_provider_tdengine.migration.options import FIRST, OPTIONS, Option

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

OPEN = "Run Parameters"
"""What Airflow calls the section that it opens."""

SECTIONS = [
    OPEN,
    *(section for section in dict.fromkeys(option.section for option in OPTIONS.values()) if section != FIRST),
]


@pytest.fixture
def form(page: Page) -> Locator:
    """The form, its first section open."""
    page.goto("/dags/tdengine_migration")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("button", name=SECTIONS[-1], exact=True)).to_be_visible()
    return form


def options(section: str) -> Iterator[tuple[str, Option]]:
    return (
        (name, option) for name, option in OPTIONS.items() if option.section == (FIRST if section == OPEN else section)
    )


def test_it_opens_with_what_has_to_be_decided_first(form: Locator) -> None:
    assert [section for section, _ in groupby(option.section for option in OPTIONS.values())] == [FIRST, *SECTIONS[1:]]
    expect(form.locator("[data-part=item-trigger]")).to_have_text([*SECTIONS, "Advanced Options"])
    expect(form.locator("[name=element_source_database]")).to_be_visible()
    expect(form.get_by_text("Required. The database that is read.")).to_be_visible()
    expect(form.locator("[name=element_stables]")).not_to_be_visible()


def test_every_option_is_explained(form: Locator) -> None:
    for section in SECTIONS:
        if section != OPEN:
            form.get_by_role("button", name=section, exact=True).click()
        for name, option in options(section):
            title = re.compile(rf"^{re.escape(option.title)}\s*\*?$")
            expect(form.get_by_text(title).last).to_be_visible()
            expect(form.get_by_text(option.explanation.replace("`", ""))).to_be_visible()
            expect(form.locator(f"[name=element_{name}][placeholder*='Start typing']")).to_have_count(0)
        if section == os.environ.get("SECTION"):
            form.screenshot(path=os.environ["SCREENSHOT"])


def test_what_is_filled_in_is_what_the_run_gets(form: Locator) -> None:
    trigger = form.get_by_role("button", name="Trigger", exact=True)
    expect(trigger).to_be_disabled()
    form.locator("[name=element_source_database]").fill("power")
    form.get_by_role("button", name="Scope", exact=True).click()
    form.locator("[name=element_stables]").fill("meters, sensor_*")
    form.get_by_role("button", name="Copying", exact=True).click()
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
