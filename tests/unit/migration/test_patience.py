"""What passes is waited for at every stage, as in copying; what does not is said soon."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from airflow_provider_tdengine.client.errors import ServerBusy, TDengineError
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.planning import make_plan, preflight, preview, requested
from airflow_provider_tdengine.migration.structure import SchemaSync, read_structure

from .conftest import SOURCE, TARGET, BoxPair, Pair
from .test_cli import run

BUSY = (0x0024, "Network busy")


@pytest.fixture(autouse=True)
def soon(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without long pauses."""
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 20.0)
    monkeypatch.setattr(retry, "FIRST_CONTACT", 10.0)


def discover(pair: Pair) -> object:
    values = {"source_conn_id": "a", "target_conn_id": "b", "source_database": SOURCE, "target_database": TARGET}
    return requested(values, lambda name, _: pair.source if name == "a" else pair.target)


def look_first(pair: Pair) -> object:
    structure = retry.persist(lambda: read_structure(*pair.catalogs, pair.options()))
    return preflight(*pair.catalogs, structure, pair.options())


STAGES: dict[str, Callable[[Pair], object]] = {
    "discovery": discover,
    "preflight": look_first,
    "dry run": lambda pair: preview(*pair.catalogs, pair.options()),
    "schema sync": lambda pair: SchemaSync(*pair.catalogs, pair.options()).run_patiently(),
    "plan": lambda pair: make_plan(*pair.catalogs, pair.options()),
}


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("stage", STAGES)
def test_a_busy_server_is_waited_for(meters: BoxPair, stage: str) -> None:
    """Each stage ended at the first statement that a server was too busy for."""
    for box, side in ((meters.source_box, "source"), (meters.target_box, "target")):
        box.statements.clear()
        STAGES[stage](meters)
        asked = [sql for sql in box.statements if "server_version" not in sql]
        assert asked, side
        # Of what it asks, the first, one in the middle and the last.
        for sql in {asked[0], asked[len(asked) // 2], asked[-1]}:
            box.faults.answer_with(*BUSY, times=2, matching=sql)
        STAGES[stage](meters)


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_is_busy_for_good_is_given_up(
    meters: BoxPair, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, also where what waits is a part of what waits."""
    monkeypatch.setattr(retry, "PATIENCE", 0.0)
    meters.source_box.faults.answer_with(*BUSY, times=1000)
    with pytest.raises(TDengineError, match="Network busy") as failed:
        STAGES[stage](meters)
    assert failed.value.retryable


def test_what_waits_inside_is_not_waited_for_outside() -> None:
    now, tries = 0.0, 0

    def fail() -> None:
        nonlocal now, tries
        tries, now = tries + 1, now + 5
        raise ServerBusy("busy")

    def inner() -> None:
        retry.persist(fail, clock=lambda: now)

    with pytest.raises(ServerBusy):
        retry.persist(inner, clock=lambda: now)
    assert (tries, now) == (5, 25.0)


def test_what_was_created_before_a_failure_is_counted_once(faulty: BoxPair) -> None:
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)",
        *(f"create table {SOURCE}.c{i} using {SOURCE}.s tags ({i})" for i in range(3)),
        f"create table {SOURCE}.a (ts timestamp, v int)",
        f"create table {SOURCE}.z (ts timestamp, v int)",
    )
    faulty.target_box.faults.answer_with(*BUSY, matching=f"create table if not exists `{TARGET}`.`z`")
    report = SchemaSync(*faulty.catalogs, faulty.options()).run_patiently()
    assert (report.database, report.stables, report.tables, report.existing) == (True, ["s"], 5, 0)
    report = SchemaSync(*faulty.catalogs, faulty.options()).run_patiently()
    assert (report.changed, report.existing) == (False, 5)


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_the_command_line_waits_for_servers_that_start(
    meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are away when it begins."""
    boxes = [meters.source_box, meters.target_box]
    for box in boxes:
        box.stop()
    timers = [threading.Timer(0.5, box.start) for box in boxes]
    for timer in timers:
        timer.start()
    try:
        assert run(capsys, "migrate", *call)[0] == 0
    finally:
        for timer in timers:
            timer.join()
