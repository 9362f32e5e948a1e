"""The page Migrations as a person uses it: in Chromium, in Airflow's own frame, over migrations that run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from .conftest import DAG, PATIENCE, VIEWER, Airflow, is_alive, log_in, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
expect = sync_api.expect
expect.set_options(timeout=1000 * PATIENCE)

T = 1609459200000
LAMPS, ROWS = 30, 3000
SOME = re.compile(r"^[1-9]\d{0,2}$")
"""A progress that has begun and has not ended, of 1000."""

EVIL = "<img src=x onerror=\"document.title='owned'\">"
SLOW = {"source_database": "hall", "target_database": "slow", "workers": 1, "strategy": "dense"}


@pytest.fixture(scope="module")
def hall(airflow: Airflow) -> Airflow:
    execute = airflow.source.execute
    execute("create database hall precision 'ms' keep 36500")
    execute("create stable hall.lamps (ts timestamp, v int) tags (g int)")
    values = "".join(f"({T + row},{row})" for row in range(ROWS // LAMPS))
    for lamp in range(LAMPS):
        execute(f"create table hall.l{lamp} using hall.lamps tags ({lamp})")
        execute(f"insert into hall.l{lamp} values {values}")
    return airflow


@pytest.fixture(scope="module")
def pages(hall: Airflow, browser: Browser) -> Iterator[Callable[[str], Page]]:
    """A page for somebody who is logged in; the browser must not complain of anything."""
    complaints: list[str] = []

    def of(user: str) -> Page:
        page = open_page(hall, browser, user, viewport={"width": 1400, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        return page

    yield of
    assert complaints == []


@pytest.fixture(scope="module")
def page(pages: Callable[[str], Page]) -> Page:
    return pages("admin")


def opened(page: Page) -> FrameLocator:
    """The page Migrations, as the navigation opens it."""
    page.goto("/plugin/migrations")
    return page.frame_locator("iframe")


def press(frame: FrameLocator, label: str) -> None:
    frame.get_by_role("button", name=label, exact=True).click()


def has_state(frame: FrameLocator, state: str) -> None:
    expect(frame.locator("h1 .state")).to_have_text(state)


def rows(airflow: Airflow) -> int:
    """That the slow migration has written."""
    return len(airflow.target.execute("select ts from slow.lamps"))


def test_a_migration_is_watched_paused_and_resumed(hall: Airflow, page: Page) -> None:
    run = hall.trigger({**SLOW, "name": EVIL}, note="ask Ann")
    hall.wait_for(lambda: hall.tasks(run)["plan", -1]["state"] in ("running", "success"))
    # A minute of copying, if nobody pauses it.
    hall.source.faults.delay(0.5)
    frame = opened(page)
    row = frame.get_by_role("row").filter(has_text=EVIL)
    expect(row).to_contain_text("hall → slow")
    expect(row.locator(".state")).to_have_text("running")
    # Nobody loads the page again: it is the same document that shows more and more rows.
    frame.locator("body").evaluate("body => { body.dataset.same = 'yes'; }")
    progress = row.locator("progress")
    expect(progress).to_have_attribute("value", SOME)
    first = progress.get_attribute("value")
    expect(progress).not_to_have_attribute("value", str(first))
    assert frame.locator("body").get_attribute("data-same") == "yes"
    loaded: list[str] = []
    page.on("requestfinished", lambda request: loaded.append(request.url) if request.is_navigation_request() else None)
    row.get_by_role("link").first.click()
    expect(frame.get_by_role("heading", name=EVIL)).to_be_visible()
    assert page.title() != "owned"

    copying = hall.tasks(run)["copy", 0]["pid"]
    press(frame, "Pause")
    has_state(frame, "paused")
    # Once: Airflow's page loads it again where it does not know the address for its own, and a dialog would be gone.
    assert len(loaded) == 1, loaded
    hall.wait_for(lambda: hall.note(run) == "Paused by admin\nask Ann\nhall → slow, history: paused")
    # The task hears of it with its next heartbeat.
    hall.wait_for(lambda: not is_alive(copying))
    stopped = rows(hall)
    assert 0 < stopped < ROWS
    page.wait_for_timeout(2000)
    assert rows(hall) == stopped
    log = hall.api.get("/api/v2/eventLogs", params={"event": "patch_dag_run", "dag_id": DAG}).raise_for_status()
    assert log.json()["event_logs"][0]["owner"] == "admin"

    hall.source.faults.clear()
    press(frame, "Resume")
    has_state(frame, "completed")
    expect(frame.locator(".banner")).to_contain_text(f"{ROWS:,} rows in {LAMPS} tables")
    assert "goes on after" in hall.log(run, "copy", 0, attempt=2)
    assert hall.tasks(run)["resolve", -1]["try_number"] == 1
    equal = f"Equal as copied: {ROWS:,} rows in {LAMPS} tables"
    hall.wait_for(lambda: hall.note(run) == f"ask Ann\nhall → slow, history: {equal}")
    expect(frame.locator(".note")).to_have_text("ask Ann")


def test_buttons_ask_airflow(hall: Airflow, page: Page) -> None:
    """A failed run is retried, then copied with other options; that one is compared again, started over, deleted."""
    failed = hall.run({"source_database": "hall", "target_database": "fast", "stables": "lamp", "name": "typo"})
    frame = opened(page)
    frame.get_by_role("link", name="typo", exact=True).click()
    has_state(frame, "failed")
    press(frame, "Retry failed")
    hall.wait_for(lambda: hall.tasks(failed)["resolve", -1]["try_number"] == 2)
    has_state(frame, "failed")

    frame.get_by_role("link", name="Copy as new").click()
    expect(frame.get_by_label("Source database")).to_have_value("hall")
    assert "stables" in hall.api.get(f"/api/v2/dags/{DAG}/dagRuns/{failed}").json()["conf"]
    frame.locator("[name=stables]").fill("")
    frame.locator("[name=name]").fill("mended")
    press(frame, "Trigger")
    expect(frame.get_by_role("heading", name="mended")).to_be_visible()
    has_state(frame, "completed")
    run = hall.runs(DAG)[-1]
    conf = hall.api.get(f"/api/v2/dags/{DAG}/dagRuns/{run}").json()["conf"]
    assert conf == {"source_database": "hall", "target_database": "fast", "name": "mended"}

    press(frame, "Compare again")
    hall.wait_for(lambda: hall.tasks(run)["certify", -1]["try_number"] == 2)
    has_state(frame, "completed")
    assert hall.tasks(run)["copy", 0]["try_number"] == 1

    press(frame, "Start over")
    frame.get_by_role("dialog").get_by_role("button", name="Leave it").click()
    assert hall.state(run) == "success"
    press(frame, "Start over")
    frame.get_by_role("dialog").get_by_role("button", name="Start over").click()
    hall.wait_for(lambda: hall.tasks(run).get(("copy", 0), {}).get("try_number") == 2)
    has_state(frame, "completed")
    assert "goes on after" not in hall.log(run, "copy", 0, attempt=2)

    press(frame, "Delete")
    frame.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(frame.get_by_role("heading", name="Migrations")).to_be_visible()
    expect(frame.get_by_role("link", name="mended", exact=True)).to_have_count(0)
    assert run not in hall.runs(DAG)


def test_lag_is_drawn_dead_letters_are_brought_back_and_following_ends(
    hall: Airflow, page: Page, tmp_path: Path
) -> None:
    """Of a run that follows, whose target refuses a moment that nanoseconds cannot count."""
    hall.source.execute("create database late precision 'ms' keep 36500 update 1")
    hall.source.execute("create table late.t (ts timestamp, due timestamp)")
    hall.source.execute(f"insert into late.t values ({T},{T}) ({T + 1},9999999999999)")
    conf = {"source_database": "late", "target_database": "nano", "name": "late", "mode": "both", "poll_interval": 1}
    letters = {"on_error": "dead_letter", "dead_letter_path": f"file://{tmp_path}"}
    run = hall.trigger({**conf, **letters, "database_options": "PRECISION 'ns'"})
    hall.unpause("tdengine_dead_letters")
    frame = opened(page)
    frame.get_by_role("link", name="late", exact=True).click()
    has_state(frame, "following")
    chart = frame.get_by_role("img", name="Lag over time")
    for _ in range(120):
        now = int(time.time() * 1000)
        hall.source.execute(f"insert into late.t values ({now},{now})")
        page.wait_for_timeout(1000)
        if chart.count():
            break
    expect(chart.locator("path")).to_have_attribute("d", re.compile(r"^M0,120 L0\.0,"))

    expect(frame.get_by_role("heading", name="Dead letters")).to_be_visible()
    expect(frame.get_by_role("row").filter(has_text=str(T + 1))).to_be_visible()
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_text(file.read_text().replace("9999999999999", str(T)))
    frame.get_by_role("link", name="Bring back with tdengine_dead_letters").click()
    expect(frame.locator("[name=target_database]")).to_have_value("nano")
    press(frame, "Trigger")
    page.wait_for_url("**/dags/tdengine_dead_letters/runs/*")
    (back,) = hall.runs("tdengine_dead_letters")[-1:]
    hall.wait_for(lambda: hall.state(back, "tdengine_dead_letters") == "success")
    assert hall.target.execute(f"select count(*) from nano.t where ts <= {(T + 1) * 1_000_000}") == [(2,)]

    frame = opened(page)
    frame.get_by_role("link", name="late", exact=True).click()
    press(frame, "Finish")
    frame.get_by_role("dialog").get_by_role("button", name="Finish").click()
    hall.wait_for(lambda: hall.tasks(run)["finish", -1]["state"] == "success")
    assert hall.xcom(run, "finish", key="verdict")["kind"] == "equal"


def test_the_certificate_is_shown_and_links_lead_into_airflow(hall: Airflow, page: Page) -> None:
    hall.run({"source_database": "hall", "target_database": "proven", "name": "proof"})
    frame = opened(page)
    frame.get_by_role("link", name="proof", exact=True).click()
    frame.get_by_role("link", name="certify", exact=True).click()
    page.wait_for_url(f"**/dags/{DAG}/runs/**/tasks/certify")
    # From the task instance back to the migration, and to its certificate.
    page.goto(f"{page.url}/details")
    page.get_by_role("link", name="Migration", exact=True).click()
    expect(page.get_by_role("heading", name="proof")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="Certificate", exact=True).click()
    expect(page.get_by_role("heading", name="proof")).to_be_visible()
    assert page.locator(".verdict").evaluate("it => getComputedStyle(it).borderLeftStyle") == "solid"


def test_a_viewer_sees_and_may_not_steer(hall: Airflow, pages: Callable[[str], Page]) -> None:
    run = hall.trigger({"source_database": "hall", "target_database": "watched", "name": "watched", "dry_run": True})
    page = pages(VIEWER)
    frame = opened(page)
    expect(frame.get_by_role("link", name="New migration")).to_have_count(0)
    frame.get_by_role("link", name="watched", exact=True).click()
    has_state(frame, "dry run")
    expect(frame.get_by_text("What a run would do")).to_be_visible()
    expect(frame.get_by_role("button")).to_have_count(0)
    frame.get_by_role("link", name="Assessment").click()
    expect(page.get_by_role("heading", name="What would be copied")).to_be_visible()
    assert page.locator(".banner").evaluate("it => getComputedStyle(it).borderLeftStyle") == "solid"
    headers = {"Authorization": f"Bearer {log_in(hall, VIEWER)}"}
    answer = httpx.patch(
        f"{hall.ui.address}/api/v2/dags/{DAG}/dagRuns/{run}", json={"state": "failed"}, headers=headers
    )
    assert answer.status_code == 403


def test_without_a_login_there_is_the_way_to_it(hall: Airflow, browser: Browser) -> None:
    page = browser.new_page(base_url=hall.ui.address)
    page.goto("/tdengine/migrations")
    page.get_by_role("link", name="Log in to Airflow").click()
    expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_everybody_can_use_it(hall: Airflow, page: Page, scheme: str, width: int) -> None:
    """axe finds no serious fault; nothing is wider than a telephone."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/tdengine/migrations")
    places = ["/tdengine/migrations", f"/tdengine/new/{DAG}"]
    places.append(str(page.locator("tbody a").first.get_attribute("href")))
    for place in places:
        page.goto(place)
        found = axe.Axe().run(page).response["violations"]
        grave = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert grave == [], place
        assert page.evaluate("document.documentElement.scrollWidth") <= width
