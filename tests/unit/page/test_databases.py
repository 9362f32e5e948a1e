"""A fleet on the page: one row of the list, and its databases one by one."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from airflow_provider_tdengine.migration.copying import Batch, Pack
from airflow_provider_tdengine.operators.progress import part_key
from airflow_provider_tdengine.page import reading
from airflow_provider_tdengine.page.databases import members
from airflow_provider_tdengine.page.migrations import State
from airflow_provider_tdengine.page.steering import actions

from .conftest import Metadata, copied
from .test_reading import DONE, REST
from .test_routes import client, log_in

__all__ = ["client"]

RESOLVED = {"source_database": "a, b, c, d, e", "target_database": "*_new"}


def batch(database: str) -> Batch:
    return Batch("m", None, None, 3, None, None, 100, database=database)


WHY = {
    "object": "Table 'm', column 'v'",
    "found": "DOUBLE does not fit INT",
    "action": "Change it",
    "severity": "blocker",
}


@pytest.fixture
def fleet(metadata: Metadata) -> Metadata:
    """Of five databases one was broken, one failed, one is done, one goes on, and one waits."""
    metadata.dag("f", "tdengine")
    metadata.run("f", "r", 7, conf={"source_database": "*"})
    metadata.tasks("f", "r", {**DONE, "copy": "failed running", "verify": "-", **REST})
    metadata.xcom("f", 7, "resolve", "return_value", RESOLVED)
    metadata.xcom("f", 7, "sync_schema", "broken", {"e": [WHY]})
    metadata.xcom("f", 7, "plan", "planned", {"rows": 400, "batches": 2, "databases": dict.fromkeys("abcd", 100)})
    packs = [Pack((batch("a"), batch("b"))), Pack((batch("c"), batch("d")))]
    metadata.xcom("f", 7, "plan", "return_value", [pack.to_dict() for pack in packs])
    done = {**copied(100), "batch": batch("a").to_dict()}
    failed = {"batch": batch("b").to_dict(), "failed": [WHY], "retryable": False}
    metadata.xcom("f", 7, "copy", "return_value", {**copied(100), "parts": [done, failed], "failed": 1}, 0)
    metadata.store("f", 7, "r", "copy", 1, part_key(batch("c").identity), {"tally": {"rows": 40, "rejected": 0}})
    return metadata


def test_each_database_says_how_far_it_is_and_what_stands_in_its_way(fleet: Metadata) -> None:
    found = reading.one(fleet.session, "f", "r", "")
    assert found is not None
    assert (found.source_words, found.target, found.name) == ("5 databases", "*_new", "5 databases to *_new")
    assert found.heading == "* → *_new, history"
    assert (found.progress.rows, found.share) == (140, 0.35)
    assert [cell.label for cell in reading.cells(fleet.session, found, "copy")] == ["a…b", "c…d"]
    known = {one.name: (one.target, one.state, one.rows, one.planned) for one in members(fleet.session, found, None)}
    assert known == {
        "a": ("a_new", State.RUNNING, 100, 100),
        "b": ("b_new", State.FAILED, 0, 100),
        "c": ("c_new", State.RUNNING, 40, 100),
        "d": ("d_new", State.WAITING, 0, 100),
        "e": ("e_new", State.FAILED, 0, None),
    }
    verdict = {"kind": "equal", "words": "Equal: 100 rows in 3 tables"}
    proof = {"databases": [{"source": {"database": "a"}, "verdict": verdict}]}
    (first, *_) = members(fleet.session, found, proof)
    assert (first.state, first.words, first.kind) == (State.COMPLETED, "Equal: 100 rows in 3 tables", "equal")
    fleet.xcom("f", 7, "certify", "broken", {"c": [WHY]})
    assert [one.state for one in members(fleet.session, found, proof) if one.name == "c"] == [State.FAILED]


def test_a_database_that_is_gone_or_not_planned_is_shown_with_why(fleet: Metadata) -> None:
    found = reading.one(fleet.session, "f", "r", "")
    assert found is not None
    gone = {**WHY, "object": "Database 'x'", "found": "it was planned, and the source has it no more"}
    fleet.xcom("f", 7, "certify", "broken", {"x": [gone]})
    last = members(fleet.session, found, None)[-1]
    assert (last.name, last.target, last.state) == ("x", "x_new", State.FAILED)
    assert last.words == "Database 'x': it was planned, and the source has it no more. Change it"


def test_a_retry_begins_where_a_database_was_found_broken(fleet: Metadata) -> None:
    fleet.run("f", "r2", 8, "failed")
    fleet.tasks("f", "r2", {**DONE, "copy": "success", "verify": "success", "certify": "failed"})
    fleet.xcom("f", 8, "sync_schema", "broken", {"e": [WHY]})
    found = reading.one(fleet.session, "f", "r2", "")
    assert found is not None
    unfinished = reading.unfinished(fleet.session, found)
    (retry,) = [one for one in actions(found, unfinished, "eve", has_store=True, deletes=False) if "Retry" in one.label]
    bodies = [one.body or {} for one in retry.requests]
    assert [(one.get("task_ids"), "include_downstream" in one, one["only_failed"]) for one in bodies] == [
        (["sync_schema"], True, False),
        (None, False, True),
    ]


def test_a_fleet_is_one_row_and_has_a_table_of_databases(fleet: Metadata, client: TestClient) -> None:
    log_in("Viewer")
    listed = client.get("/migrations").text
    assert listed.count("5 databases<span") == 1
    shown = client.get("/migrations/f/r").text
    assert shown.count('data-label="Target"') == 5
    assert "DOUBLE does not fit INT. Change it" in shown.replace("&#39;", "'")
