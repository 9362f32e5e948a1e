"""The connection form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


def test_the_form_shows_every_field(page: Page, tmp_path: Path) -> None:
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").first.click()
    page.keyboard.type("TDengine")
    form.get_by_role("option", name="TDengine", exact=True).click()

    for label in ("Host", "Port", "User", "Password", "Database"):
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    expect(form.locator("input[name=port]")).to_have_attribute("placeholder", "6041")

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    protocol = form.locator("input[name=element_protocol]")
    expect(protocol).to_have_value("ws")
    expect(form.locator("input[name=element_token]")).to_have_attribute("type", "password")
    for name in ("connect_timeout", "timeout", "ca_file", "timezone"):
        expect(form.locator(f"input[name=element_{name}]")).to_be_visible()
    expect(form.locator("input[name=element_verify]")).to_be_checked()
    expect(form.locator("input[name=element_compression]")).not_to_be_checked()

    form.get_by_role("combobox").nth(1).click()
    expect(form.get_by_role("option")).to_have_text(["ws", "wss", "http", "https"])
    page.screenshot(path=os.environ.get("SCREENSHOT") or tmp_path / "form.png")
    form.get_by_role("option", name="wss", exact=True).click()
    expect(protocol).to_have_value("wss")
