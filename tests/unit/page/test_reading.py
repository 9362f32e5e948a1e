"""What is read of migrations, out of Airflow's metadata database."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_tdengine.page import reading
from airflow_provider_tdengine.page.migrations import Migration, State

from .conftest import NOW, Metadata, copied

DONE = {"resolve": "success", "sync_schema": "success", "plan": "success"}
REST = {"certify": "-", "dead_letters": "-", "shards": "-", "follow": "-", "finish": "-"}


def listed(metadata: Metadata) -> list[Migration]:
    """The first page of a list that is not filtered."""
    return reading.with_progress(metadata.session, reading.newest_places(metadata.session, {"m"})[:25])


def a_running_one(metadata: Metadata) -> None:
    """Two batches are done, one runs, one waits for its next try, one has not begun."""
    metadata.dag("m", "tdengine")
    metadata.run("m", "r", 1, conf={"source_database": "plant", "color": "red"}, triggering_user_name="eve")
    copies = {"copy": "success success running up_for_retry -", "verify": "-"}
    metadata.tasks("m", "r", {**DONE, **copies, **REST})
    metadata.xcom("m", 1, "resolve", "return_value", {"source_database": "plant", "target_database": "far"})
    metadata.xcom("m", 1, "plan", "planned", {"rows": 5_000_000_000, "batches": 5})
    for index in range(2):
        metadata.xcom("m", 1, "copy", "return_value", copied(1_000_000_000, rejected=3), index)
        # Its checkpoint is kept, and counts only once.
        metadata.store("m", 1, "r", "copy", index, "checkpoint", {"tally": {"rows": 1_000_000_000}})
    for index, rows in ((2, 500_000_000), (3, 7)):
        tally = {"rows": rows, "bytes": rows, "rejected": 0, "points": 0, "blocks": 1}
        metadata.store("m", 1, "r", "copy", index, "checkpoint", {"tally": tally})
        metadata.store("m", 1, "r", "copy", index, "pace", {"rate": 1000.5, "points": [[NOW.timestamp(), 0, None]]})


def test_rows_are_those_of_done_batches_and_of_checkpoints(metadata: Metadata) -> None:
    a_running_one(metadata)
    (found,) = listed(metadata)
    assert (found.source, found.target, found.run.user) == ("plant", "far", "eve")
    progress = found.progress
    assert progress.rows == 2_500_000_007
    one = reading.one(metadata.session, "m", "r", "")
    assert one is not None
    assert (one.progress.rejected, one.progress.blocks, one.progress.points) == (6, 6, 6_000_000_000)
    assert progress.rate == 1000.5, "only of those that run"
    assert (found.state, found.share) == (State.RUNNING, 2_500_000_007 / 5_000_000_000)
    cells = reading.cells(metadata.session, found, "copy")
    assert [cell.rows for cell in cells] == [1_000_000_000, 1_000_000_000, 500_000_000, 7, 0]
    assert reading.cells(metadata.session, found, "verify") == []


def test_a_batch_that_was_done_before_a_pause_counts_once(metadata: Metadata) -> None:
    """Airflow calls all instances of a task failed when somebody ends a run in which one runs."""
    metadata.dag("m", "tdengine")
    metadata.run("m", "r", 1, "failed")
    metadata.note(1, "Paused by eve\nhands off")
    metadata.tasks("m", "r", {**DONE, "copy": "failed failed skipped", "verify": "skipped", "certify": "skipped"})
    metadata.xcom("m", 1, "plan", "planned", {"rows": 300, "batches": 3})
    metadata.xcom("m", 1, "copy", "return_value", copied(100), 0)
    metadata.store("m", 1, "r", "copy", 0, "checkpoint", {"tally": {"rows": 100}})
    metadata.store("m", 1, "r", "copy", 1, "checkpoint", {"tally": {"rows": 50}})
    (found,) = listed(metadata)
    assert (found.state, found.progress.rows) == (State.PAUSED, 150)
    unfinished = reading.unfinished(metadata.session, found)
    assert unfinished.done == ["copy"]
    assert set(unfinished.tasks) == {("copy", 1), ("copy", 2), ("verify", 0), "certify"}


def test_a_comparison_that_differed_is_not_done(metadata: Metadata) -> None:
    metadata.dag("m", "tdengine")
    metadata.run("m", "r", 1, "failed")
    metadata.tasks("m", "r", {**DONE, "copy": "success success", "verify": "failed failed", "certify": "skipped"})
    for index, different in enumerate((0, 2)):
        metadata.xcom("m", 1, "verify", "return_value", {"different": different}, index)
    (found,) = reading.newest(metadata.session, {"m"})
    unfinished = reading.unfinished(metadata.session, found)
    assert (unfinished.done, set(unfinished.tasks)) == (["verify"], {("verify", 1), "certify"})


def test_each_group_with_a_migration_is_one(metadata: Metadata) -> None:
    metadata.dag("two", "tdengine")
    metadata.run("two", "r", 1, "failed")
    metadata.tasks("two", "r", {"structure": "success"})
    metadata.tasks("two", "r", {**DONE, "copy": "success", "certify": "success"}, "north.")
    metadata.tasks("two", "r", {**DONE, "copy": "failed", "certify": "failed"}, "south.")
    found = reading.newest(metadata.session, {"two"})
    assert [(one.group, one.state) for one in found] == [("north", State.COMPLETED), ("south", State.FAILED)]
    assert reading.newest_places(metadata.session, {"two"}) == [one.place for one in found]
    assert reading.one(metadata.session, "two", "r", "") is None
    one = reading.one(metadata.session, "two", "r", "south")
    assert one is not None
    assert one.state is State.FAILED


def test_what_is_no_migration_or_must_not_be_seen_is_left_out(metadata: Metadata) -> None:
    for number, (dag_id, tags) in enumerate({"m": ["tdengine"], "secret": ["tdengine"], "other": []}.items()):
        metadata.dag(dag_id, *tags)
        metadata.run(dag_id, "r", number)
        metadata.tasks(dag_id, "r", DONE)
    metadata.dag("sql", "tdengine")
    metadata.run("sql", "r", 9)
    metadata.tasks("sql", "r", {"statement": "success"})
    assert [one.run.dag_id for one in reading.newest(metadata.session, {"m", "other", "sql"})] == ["m"]


def test_following_is_as_late_as_its_slowest_shard(metadata: Metadata) -> None:
    metadata.dag("m", "tdengine")
    metadata.run("m", "r", 1)
    ended = {"copy": "success", "verify": "success", "certify": "success", "shards": "success"}
    metadata.tasks("m", "r", {**DONE, **ended, "follow": "deferred running"})
    for index, (rows, lag) in enumerate(((70, 1.5), (30, 4.25))):
        metadata.store("m", 1, "r", "follow", index, "checkpoint", {"rows": rows, "lag": lag})
    (found,) = listed(metadata)
    assert (found.state, found.lag, found.progress.followed) == (State.FOLLOWING, 4.25, 100)


def test_a_value_that_another_backend_keeps_elsewhere_is_passed_over(metadata: Metadata) -> None:
    a_running_one(metadata)
    metadata.session.execute(
        reading.TaskStateStoreModel.__table__.update().values(value="s3://bucket/key")  # type: ignore[attr-defined]
    )
    (found,) = listed(metadata)
    assert found.progress.rows == 2_000_000_000


def test_rows_of_what_was_compared_are_those_of_the_verdict(metadata: Metadata) -> None:
    metadata.dag("m", "tdengine")
    metadata.run("m", "r", 1, "success")
    metadata.tasks("m", "r", {**DONE, "copy": "success success", "certify": "success", "follow": "skipped"})
    metadata.xcom("m", 1, "plan", "planned", {"rows": 300, "batches": 2})
    metadata.xcom("m", 1, "certify", "verdict", {"kind": "equal", "rows": 310})
    (found,) = listed(metadata)
    assert (found.state, found.progress.rows, found.share) == (State.COMPLETED, 310, 1.0)
    assert found.average(NOW) == 310 / 120


def test_a_failed_migration_says_why(metadata: Metadata) -> None:
    """The first thing that stood in the way; without one, which task failed."""
    metadata.dag("m", "tdengine")
    failed = {"copy": "success failed failed", "certify": "failed"}
    minor = {"object": "Database plant", "found": "KEEP is short", "action": "", "severity": "warning"}
    grave = {"object": "Task copy", "found": "The target refuses a row of d7\nof many", "severity": "blocker"}
    for number, run in enumerate(("said", "unsaid", "dry")):
        metadata.run("m", run, number, "failed")
        metadata.tasks("m", run, {**DONE, **failed, **({"plan": "failed"} if run == "dry" else {})})
    metadata.xcom("m", 0, "resolve", "findings", [minor])
    for index, finding in ((2, {**grave, "found": "another"}), (1, grave)):
        metadata.xcom("m", 0, "copy", "findings", [minor, finding], index)
    metadata.xcom("m", 1, "resolve", "findings", [minor])
    metadata.xcom("m", 2, "plan", "preview", {"findings": [{**grave, "object": "Database far"}]})
    assert [one.failure for one in listed(metadata)] == [
        "Task copy: The target refuses a row of d7",
        "copy and certify failed; the log says why",
        "Database far: The target refuses a row of d7",
    ]
    why = [cell.why for cell in reading.cells(metadata.session, listed(metadata)[0], "copy")]
    assert why == ["", "Task copy: The target refuses a row of d7\nof many", "Task copy: another"]


def test_older_runs_are_there_in_parts(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "NEWEST", 2)
    metadata.dag("m", "tdengine")
    for number, state in enumerate(("running", "success", "failed")):
        metadata.run("m", f"r{number}", number, state)
        metadata.tasks("m", f"r{number}", DONE)
    for skipped, runs in ((0, ["r0", "r1"]), (2, ["r2"])):
        found = reading.newest(metadata.session, {"m"}, skipped)
        assert [one.run.run_id for one in found] == runs
        assert reading.newest_places(metadata.session, {"m"}, skipped) == [one.place for one in found]
        assert reading.has_older(metadata.session, {"m"}, skipped) == (skipped == 0)


def test_the_number_of_statements_does_not_grow_with_migrations(metadata: Metadata) -> None:
    """The time of each is measured by benchmarks; here, that there are no more of them."""

    def asked(count: int) -> int:
        for number in range(count):
            run: Any = f"more{count}-{number}"
            metadata.run("m", run, 1000 * count + number)
            metadata.tasks("m", run, {**DONE, "copy": "success success"})
        del metadata.statements[:]
        listed(metadata)
        return len(metadata.statements)

    metadata.dag("m", "tdengine")
    assert asked(2) == asked(30)
