"""The notes of runs: what a migration is about, and what it came to, beside what people have written."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow import settings
from airflow.models.dagrun import DagRun, DagRunNote
from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict
from sqlalchemy.orm import sessionmaker

from airflow_provider_tdengine.page import notes
from airflow_provider_tdengine.page.migrations import Migration
from airflow_provider_tdengine.page.noted import LONGEST_NOTE, noted

from .conftest import Metadata
from .test_migrations import RUN, migration
from .test_reading import DONE

HALL = {"source_database": "hall", "target_database": "slow"}
DIFFERENT = {"kind": "different", "words": "3 of 9 tables differ"}


def over(state: str, options: dict[str, object] | None = None, note: str = "", **stages: str) -> Migration:
    return migration(replace(RUN, state=state, note=note), {**HALL, **(options or {})}, **stages)


def line(found: Migration, why: str = "") -> str:
    return noted("", [found], {found.key: why})


def test_a_note_says_what_a_migration_is_and_what_it_came_to() -> None:
    assert line(over("running", copy="running")) == "hall → slow, history"
    assert line(over("running", {"mode": "both"}, follow="deferred")) == "hall → slow, both"
    done = replace(over("success", copy="success"), verdict={"kind": "equal", "words": "Equal: 3,000 rows"})
    assert line(done) == "hall → slow, history: Equal: 3,000 rows"
    assert line(over("success", {"schema": "only"}, plan="success")) == "hall → slow, history: completed"
    dry = replace(over("success", {"dry_run": True}, plan="success"), planned={"rows": 80_002, "batches": 1})
    assert line(dry) == "hall → slow, history, dry run: 80,002 rows in 1 batch would be copied; nothing was written"
    different = replace(over("failed", certify="failed"), verdict=DIFFERENT)
    assert line(different) == "hall → slow, history: failed: 3 of 9 tables differ"
    failed = over("failed", resolve="failed")
    assert line(failed, "Option 'stables': it is x") == "hall → slow, history: failed: Option 'stables': it is x"
    assert line(over("failed", note="Paused by eve", copy="failed")) == "hall → slow, history: paused"


def test_what_people_have_written_stays() -> None:
    done = over("success", copy="success")
    for note in ("ask Ann", "Paused by eve\nask Ann", "hall → slow, history of it"):
        begun = noted(note, [over("running", copy="running")], {})
        assert begun == f"{note}\nhall → slow, history"
        assert noted(begun, [done], {}) == f"{note}\nhall → slow, history: completed"
    mixed = "before\nhall → slow, history: failed\nbehind"
    assert noted(mixed, [done], {}) == "before\nhall → slow, history: completed\nbehind"
    full = "x" * LONGEST_NOTE
    assert noted(full, [done], {}) == full
    assert replace(done, run=replace(done.run, note=mixed)).remarks == "before\nbehind"


def test_each_migration_of_a_run_has_a_line_and_no_secret_is_in_any() -> None:
    north = replace(over("success", copy="success"), group="north")
    south = replace(over("failed", {"source_database": "ws://root:taosdata@h:6041"}, resolve="failed"), group="south")
    found = noted("", [north, south], {south.key: "it is ws://root:taosdata@h:6041. " + "long " * 100})
    first, second = found.split("\n")
    assert first == "north: hall → slow, history: completed"
    assert "taosdata" not in second
    assert second.startswith("south: ws://")
    assert len(second) == 300
    assert noted(found, [north, south], {south.key: "other"}).count("\n") == 1


@pytest.fixture
def sessions(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> Metadata:
    metadata.dag("m", "tdengine")
    metadata.dag("other")
    for number, dag_id in enumerate(("m", "other"), 1):
        metadata.run(dag_id, "r", number)
        metadata.tasks(dag_id, "r", {**DONE, "copy": "running"})
    metadata.session.commit()
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(metadata.session.get_bind()))
    return metadata


def change(metadata: Metadata, number: int, state: str, *tags: str) -> str | None:
    """What Airflow does when a run changes its state; its note afterwards."""
    run = metadata.session.get(DagRun, number)
    assert run is not None
    run.state = state
    params = ParamsDict({"source_database": Param("hall"), "mode": Param("both"), "color": Param("red")})
    run.dag = SimpleNamespace(tags={*tags}, params=params)  # type: ignore[assignment]
    {"running": notes.on_dag_run_running, "success": notes.on_dag_run_success, "failed": notes.on_dag_run_failed}[
        state
    ](run)
    assert metadata.session.get(DagRunNote, number) is None, "not before the change is committed"
    metadata.session.commit()
    note = metadata.session.get(DagRunNote, number)
    content = None if note is None else note.content
    metadata.session.expunge_all()
    return content


def test_it_is_written_once_a_change_is_committed(sessions: Metadata) -> None:
    assert change(sessions, 2, "running", "else") is None
    assert change(sessions, 1, "running", "tdengine", "else") == "hall → hall, both"
    sessions.session.commit()


def test_a_note_that_fails_holds_up_nothing(
    sessions: Metadata, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("no session")

    monkeypatch.setattr(settings, "NonScopedSession", broken)
    assert change(sessions, 1, "running", "tdengine") is None
    assert "The run's note was not written" in caplog.text
    run = sessions.session.get(DagRun, 1)
    assert run is not None
    assert run.state == "running"
