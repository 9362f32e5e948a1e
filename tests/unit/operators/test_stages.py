"""The stages of a run, one operator after the other, as Airflow calls them: what is copied, compared, told and kept."""

from __future__ import annotations

import json
import logging
import platform
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset

from airflow_provider_tdengine.compat import AirflowFailException, AirflowSkipException
from airflow_provider_tdengine.dags import migration
from airflow_provider_tdengine.migration import headway
from airflow_provider_tdengine.migration.comparing import batches as comparing_batches
from airflow_provider_tdengine.migration.copying import Batch
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import plan as planning
from airflow_provider_tdengine.migration.storage import this_host
from airflow_provider_tdengine.operators.comparison import TDengineVerifyBatchOperator, TDengineVerifyOperator
from airflow_provider_tdengine.operators.migration import (
    TDenginePlanOperator,
    TDengineRangeMigrationOperator,
    TDengineResolveOperator,
    TDengineSchemaSyncOperator,
)
from airflow_provider_tdengine.operators.shared import mark_folders, not_shared

from .conftest import Plant, Store, dag_run, task_instance
from .test_asking import People

T = 1609459200000

TABLES, ROWS = 9, 100
ROWS_A_BATCH = 300


class Events:
    """What assets are told."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def __getitem__(self, key: object) -> Events:
        return self

    def add(self, asset: Asset, extra: Any = None) -> None:
        self.said[asset.uri.rpartition("/")[2]] = extra["rows"]


@dataclass
class Run:
    """A run of the ready-made DAG, its tasks called one by one; all that goes from one to the other is JSON.

    Attributes:
        asking: what Airflow says of questions to people.
        has_store: whether Airflow keeps something for tasks, as 3.3 does.
        states: of the tasks before the one that adds up.
    """

    plant: Plant
    options: dict[str, Any]
    has_store: bool = True
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    stores: dict[tuple[str, int], Store] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    xcoms: dict[tuple[str, int, str], Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    asking: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with DAG("m", schedule=None) as dag:
            migration(prefix_group_id=False)
        self.dag = dag

    def context(self, task_id: str, index: int = -1) -> Any:
        def push(key: str, value: object) -> None:
            self.xcoms[task_id, index, key] = json.loads(json.dumps(value))

        def states(*, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, str]]:
            assert (dag_id, run_ids) == ("m", ["r"])
            # As Airflow names mapped instances: `verify_3`.
            own = re.compile(rf"({'|'.join(task_ids)})(_\d+)?")
            return {"r": {task: state for task, state in self.states.items() if own.fullmatch(task)}}

        def pull(
            *,
            task_ids: list[str],
            key: str = "return_value",
            map_indexes: range | int | None = None,
            **elsewhere: Any,
        ) -> Any:
            if elsewhere:
                return self.asking["xcom_pull"](task_ids=task_ids, map_indexes=map_indexes, **elsewhere)
            some = [map_indexes] if isinstance(map_indexes, int) else map_indexes
            return [
                value
                for (task, index, name), value in self.xcoms.items()
                if task in task_ids and name == key and (some is None or index in some)
            ]

        attempt = self.tries.get(task_id, 1)
        own = {**self.asking, "xcom_push": push, "xcom_pull": pull, "get_task_states": states}
        instance = task_instance(task_id, index, try_number=attempt, **own)
        self.events = Events()
        given = {"ti": instance, "dag_run": dag_run(self.created), "dag": self.dag, "outlet_events": self.events}
        if self.has_store:
            given["task_state_store"] = self.stores.setdefault((task_id, index), Store())
        return given

    def _execute(self, operator: Any, index: int = -1, *, is_answered: bool = False) -> Any:
        """Try it; where it had asked, and goes on when that is answered, its XComs are still there."""
        if not is_answered:
            self.xcoms = {key: value for key, value in self.xcoms.items() if key[:2] != (operator.task_id, index)}
        result = json.loads(json.dumps(operator.execute(self.context(operator.task_id, index))))
        self.xcoms[operator.task_id, index, "return_value"] = result
        return result

    def resolve(self) -> list[dict[str, str]]:
        """What was found."""
        self.resolved = self._execute(TDengineResolveOperator(task_id="resolve", options=self.options))
        found: list[dict[str, str]] = self.xcoms["resolve", -1, "findings"]
        return found

    def sync(self) -> Any:
        return self._execute(TDengineSchemaSyncOperator(task_id="sync_schema", options=self.resolved))

    def plan(self) -> list[dict[str, Any]]:
        batches: list[dict[str, Any]] = self._execute(TDenginePlanOperator(task_id="plan", options=self.resolved))
        return batches

    def copy(self, batches: Sequence[dict[str, Any]], *which: int) -> list[dict[str, Any]]:
        """Copy all batches, or some of them."""
        return [
            self._execute(TDengineRangeMigrationOperator(task_id="copy", options=self.resolved, batch=batch), index)
            for index, batch in enumerate(batches)
            if not which or index in which
        ]

    def verify(self, copied: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the tasks say for the one that adds up, whether they fail or not."""
        for index, one in enumerate(copied):
            operator = TDengineVerifyBatchOperator(task_id="verify", options=self.resolved, copied=one)
            try:
                self._execute(operator, index)
            except AirflowFailException as failure:
                self.xcoms["verify", index, "failure"] = str(failure)
        said = ((task, index, key) for task, index, key in sorted(self.xcoms))
        return [self.xcoms[one] for one in said if one[0] == "verify" and one[2] == "return_value"]

    def certify(
        self, batches: Sequence[dict[str, Any]] | None, compared: Sequence[dict[str, Any]], *, is_answered: bool = False
    ) -> Any:
        # It knows which tasks are before it; their XComs come when it runs.
        (operator,) = [task for task in self.dag.tasks if task.task_id == "certify"]
        assert isinstance(operator, TDengineVerifyOperator)
        operator.options, operator.batches, operator.compared = self.resolved, batches, compared
        operator.copied = [self.xcoms[one] for one in sorted(self.xcoms) if one[0::2] == ("copy", "return_value")]
        return self._execute(operator, is_answered=is_answered)

    def all(self) -> Any:
        """From the first stage to the last; what certify says."""
        self.resolve()
        self.sync()
        batches = self.plan()
        return self.certify(batches, self.verify(self.copy(batches)))


@pytest.fixture
def run(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Nine subtables in three batches, and the target without database."""
    monkeypatch.setattr(planning, "ROWS_A_BATCH", ROWS_A_BATCH)
    plant.target.execute("drop database follower")
    for i in range(TABLES):
        if i > 3:
            plant.source.execute(f"create table plant.d{i} using plant.m tags ({i})")
        rows = "".join(f"({T + row},{row})" for row in range(ROWS))
        plant.source.execute(f"insert into plant.d{i} values {rows}")
    return Run(plant, {"source_database": "plant", "target_database": "follower"})


def read(plant: Plant, action: Callable[[], object]) -> tuple[int, int]:
    """How many rows of the source and of the target something reads."""
    before = plant.source.rows_read, plant.target.rows_read
    action()
    return plant.source.rows_read - before[0], plant.target.rows_read - before[1]


# --- Comparing by batch


def test_each_batch_is_compared_by_a_task_of_its_own_which_reads_the_target_alone(run: Run) -> None:
    run.resolve()
    run.sync()
    batches = run.plan()
    assert [batch["rows"] for batch in batches] == [ROWS_A_BATCH] * 3
    copied = run.copy(batches)
    compared: list[dict[str, Any]] = []
    assert read(run.plant, lambda: compared.extend(run.verify(copied))) == (0, TABLES * ROWS)
    assert [(one["level"], one["rows"], one["target_rows"]) for one in compared] == [("digest", 300, 300)] * 3
    certified: list[Any] = []
    assert read(run.plant, lambda: certified.append(run.certify(batches, compared))) == (0, 0)
    assert certified[0]["verdict"]["words"] == "Equal as copied: 900 rows in 9 tables"
    assert run.events.said == {"m": TABLES * ROWS}


SUMMARIES = {
    "This is what was asked for": r"source +plant on ws:.*\n  target +follower on .*, to be created\n  mode +history",
    "The target has all tables now": r"super tables created +1\n  tables created +9\n",
    "The plan": r"batches +3\n  super tables +1\n  tables with rows +9\n  rows +900$",
    "Copied: batch m d0…d2 · 2021-01-01": r"rows +300\n  tables with rows +3\n  points +300\n.*rows/s$",
    "Compared: batch m d0…d2 · 2021-01-01": r"verdict +Equal as copied: 300 rows in 3 tables\n",
    "Compared: the whole migration": r"rows in the target +900\n.*compared +3 batches by the digest of the copy$",
}
GOING_ON = [
    "Looking at tables and tags",
    "Creating tables",
    "Counting the rows",
    "Copying",
    "Comparing",
    "Comparing tags",
]


def test_each_stage_says_how_far_it_is_and_what_it_came_to(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headway, "EVERY", 0.001)
    caplog.set_level(logging.INFO)
    run.plant.source.faults.delay(0.01)
    run.all()
    for title, expected in SUMMARIES.items():
        (text, *_) = [text for text in caplog.messages if text.startswith(f"{title}\n")]
        assert re.search(expected, text, re.DOTALL), text
    for what in GOING_ON:
        assert [text for text in caplog.messages if text.startswith(what)], f"nothing was said of {what}"
    # Copying, rows are as many as the batch has.
    (last, *_) = [text for text in caplog.messages[::-1] if text.startswith("Copying: ")]
    assert " of about 300 rows, " in last


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True, ids=["from-3.3.3.0"])
def test_a_plan_that_is_newer_than_its_copy_is_no_green_run(run: Run) -> None:
    run.options["verify"] = "none"
    run.resolve()
    run.sync()
    run.copy(run.plan())
    run.plant.source.execute("create table plant.n (ts timestamp, v int)")
    run.plant.source.execute(f"insert into plant.n values ({T},1)")
    run.sync()
    batches = run.plan()
    with pytest.raises(AirflowFailException, match="1 of 4 batches have not been copied:\n  tables n"):
        run.certify(batches, [])


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True, ids=["from-3.3.3.0"])
def test_a_removed_task_compares_no_batch_of_a_smaller_plan(run: Run) -> None:
    """Somebody marks the one that compares it now as a success, before it has said anything."""
    run.resolve()
    run.sync()
    batches = run.plan()
    compared = run.verify(run.copy(batches))
    with pytest.raises(AirflowFailException, match="1 of 2 batches have not been compared"):
        run.certify(batches[1:], [compared[1], compared[2] | {"instance": 2}])


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True, ids=["from-3.3.3.0"])
def test_what_another_version_has_said_is_to_be_said_again(run: Run) -> None:
    run.resolve()
    run.sync()
    batches = run.plan()
    compared = run.verify(run.copy(batches))
    deletion = {"table": "d0", "first": T, "last": T, "rows": 1, "example": "v 1.0", "precision": "ms"}
    compared[0]["deletions"] = [deletion]
    with pytest.raises(AirflowFailException, match=r"another version of this package .*\n  → Clear those that compare"):
        run.certify(batches, compared)


def test_one_that_is_cleared_reads_both_sides(run: Run) -> None:
    """Its copy may be of days ago, and the source have other values since, in as many rows."""
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    values = "".join(f"({T + row},{-row})" for row in range(ROWS))
    run.plant.source.execute("drop table plant.d4")
    run.plant.source.execute(f"insert into plant.d4 using plant.m tags (4) values {values}")
    said = run.certify(batches, run.verify(copied))["verdict"]
    assert (said["words"], said["changed"]) == ("Equal as copied: 900 rows in 9 tables", 0)
    run.tries["verify"] = 2
    compared = run.verify(copied)
    assert [(one["level"], one["mended"]) for one in compared] == [("full", 0), ("full", 1), ("full", 0)]
    assert run.certify(batches, compared)["verdict"]["words"] == "Equal: 900 rows in 9 tables"


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True, ids=["from-3.3.3.0"])
def test_other_objects_are_made_when_nothing_differs(run: Run) -> None:
    run.plant.source.execute("create topic shop with meta as database plant")
    run.options["objects"] = "topics, views"
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    assert run.plant.target.execute("show topics") == []
    run.certify(batches, run.verify(copied))
    assert run.plant.target.execute("show topics") == [("shop",)]
    findings = run.xcoms["certify", -1, "certificate"]["findings"]
    made = "Its statement is create topic shop with meta as database `follower`"
    assert [("Topic 'shop'", "it was made", made)] == [
        (one["object"], one["found"], one["action"]) for one in findings if "shop" in one["object"]
    ]


def test_a_difference_in_one_batch_is_that_task_s_and_the_certificate_s(run: Run, tmp_path: Path) -> None:
    run.options |= {"certificate_path": str(tmp_path), "repair_rounds": 0}
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    run.plant.target.execute(f"insert into follower.d4 values ({T + 5},-5)")
    compared = run.verify(copied)
    assert [one["different"] for one in compared] == [0, 1, 0]
    assert [key[1] for key in run.xcoms if key[2] == "failure"] == [1]
    assert "d4: values some in the source, others in the target" in run.xcoms["verify", 1, "failure"]
    with pytest.raises(AirflowFailException, match="Different: 1 of 9 tables"):
        run.certify(batches, compared)
    assert run.events.said == {}
    (file,) = tmp_path.rglob("certificate.json")
    certificate = json.loads(file.read_text(encoding="utf-8"))
    assert (certificate["equal"], certificate["different"]) == (False, 1)
    # The page Migrations shows what the failure would have taken away.
    assert run.xcoms["certify", -1, "certificate"] == certificate
    assert run.xcoms["certify", -1, "verdict"]["kind"] == "different"
    assert run.xcoms["plan", -1, "planned"] == {"rows": 900, "batches": 3}
    # Mended by clearing that task alone, with what follows.
    del run.options["repair_rounds"]
    run.resolve()
    compared[1] = run.verify(copied)[1]
    assert run.certify(batches, compared)["mended"] == 1


def test_a_host_that_does_not_have_a_folder_of_the_run_says_so_before_anything_is_written(
    run: Run, tmp_path: Path
) -> None:
    run.options |= {"on_error": "dead_letter", "dead_letter_path": str(tmp_path)}
    run.resolve()
    # As it looks from another one.
    shutil.rmtree(tmp_path / "m")
    with pytest.raises(
        AirflowFailException, match=f"Option 'dead_letter_path': {this_host()} does not have the folder"
    ):
        run.sync()
    assert ("follower",) not in run.plant.target.execute("show databases")
    run.resolve()
    run.sync()
    assert sum(one["rows"] for one in run.copy(run.plan())) == TABLES * ROWS


def test_a_mark_of_an_earlier_resolve_on_this_host_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = {"a": tmp_path / "a", "b": tmp_path / "b"}
    options = MigrationOptions(certificate_path=str(tmp_path / "proofs"))
    context: Any = {"dag_run": dag_run()}

    def on(host: str, action: Callable[[], Any]) -> Any:
        monkeypatch.setattr(platform, "node", lambda: host)
        disks[host].mkdir(exist_ok=True)
        folder = disks[host].rename(tmp_path / "proofs")
        try:
            return action()
        finally:
            folder.rename(disks[host])

    on("a", lambda: mark_folders(options, context))
    # It is cleared, and runs on another host.
    given = on("b", lambda: mark_folders(options, context))
    assert on("b", lambda: [*not_shared(options, given, context)]) == []
    (found,) = on("a", lambda: [*not_shared(options, given, context)])
    assert found.found.startswith("host a does not have the folder")


def test_a_dry_run_leaves_an_assessment_even_where_something_stands_in_the_way(run: Run, tmp_path: Path) -> None:
    run.options |= {"dry_run": True, "certificate_path": f"file://{tmp_path}", "database_options": "KEEP 30"}
    run.resolve()
    run.sync()
    with pytest.raises(AirflowFailException, match="are older than the 30 days"):
        run.plan()
    found = run.xcoms["plan", -1, "assessment"]
    assert (found["kind"], found["rows"], found["databases"][0]["batches_in_all"]) == ("blocked", 900, 3)
    assert run.xcoms["plan", -1, "planned"] == {"rows": 900, "batches": 3}
    (file,) = tmp_path.glob("m/r/plan/assessment.json")
    assert json.loads(file.read_text(encoding="utf-8")) == found
    assert "1 thing stands in the way" in file.with_suffix(".html").read_text(encoding="utf-8")
    assert ("follower",) not in run.plant.target.execute("show databases")


def test_batches_that_were_not_compared_are_named(run: Run) -> None:
    run.resolve()
    run.sync()
    batches = run.plan()
    compared = run.verify(run.copy(batches))
    for left_out in (1, 2):
        with pytest.raises(AirflowFailException, match="1 of 3 batches has not been compared") as failed:
            run.certify(batches, [one for index, one in enumerate(compared) if index != left_out])
        assert f"\n  m d{3 * left_out}…d{3 * left_out + 2} · 2021-01-01\n" in str(failed.value)
    # As many results as batches are not enough: a batch that was planned in place of another one has none.
    with pytest.raises(AirflowFailException, match="1 of 3 batches has not been compared"):
        run.certify(batches, [compared[0], compared[1], compared[1]])
    assert run.events.said == {}


@pytest.mark.parametrize("verify", ["full", "none"])
@pytest.mark.parametrize(("task", "instance"), [("plan", ""), ("verify", ""), ("verify", "_2")])
def test_what_an_earlier_try_has_left_is_not_added_up(run: Run, task: str, instance: str, verify: str) -> None:
    """XComs of a task, or of one of its mapped instances, that does not run again after a clear stay what they were."""
    run.options["verify"] = verify
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    compared = run.verify(copied) if verify == "full" else []
    run.states = {"resolve": "success", task + instance: "upstream_failed", "verify_0": "success"}
    with pytest.raises(AirflowFailException, match=rf"Nothing was compared: .* \({task} did not run\)"):
        run.certify(batches, compared)
    assert run.events.said == {}
    run.states = {"resolve": "success", "plan": "success"}
    run.certify(batches, compared)
    with pytest.raises(AirflowFailException, match="Nothing was compared: a task before this one failed"):
        run.certify(None, compared)


def test_what_a_plan_of_more_batches_has_left_is_not_added_up(run: Run) -> None:
    """XComs of mapped instances that there are no more stay what they were."""
    run.resolve()
    run.sync()
    batches = run.plan()
    compared = run.verify(run.copy(batches))
    rows = run.certify(batches, compared)["rows"]
    left = [{**compared[1], "rows": 7}, {**compared[0], "batch": "another one"}]
    old = [{**one, "instance": instance} for instance, one in enumerate(left, len(batches))]
    assert run.certify(batches, [*compared, *old])["rows"] == rows


def test_with_verify_none_nothing_is_compared_and_nobody_told(run: Run) -> None:
    run.options["verify"] = "none"
    run.resolve()
    run.sync()
    batches = run.plan()
    (copied, *_) = run.copy(batches)
    operator = TDengineVerifyBatchOperator(task_id="verify", options=run.resolved, copied=copied)
    with pytest.raises(AirflowSkipException, match="verify is none"):
        operator.execute(run.context("verify", 0))
    assert run.certify(batches, [])["verdict"]["kind"] == "not_compared"
    assert run.events.said == {}


def test_what_is_copied_again_keeps_to_its_batch_s_part_of_the_limits(run: Run) -> None:
    run.options["max_rows_per_second"] = 1000
    run.resolve()
    run.sync()
    copied = run.copy(run.plan())
    operator = TDengineVerifyBatchOperator(task_id="verify", options=run.resolved, copied=copied[0], parallel_batches=2)
    batch = Batch.from_dict(copied[0]["batch"])
    assert operator.batch_options(run.context("verify", 0), batch).max_rows_per_second == 500


# --- What no batch holds


def test_a_super_table_that_comes_after_the_plan_is_compared_and_mended(run: Run) -> None:
    source, target = run.plant.source, run.plant.target
    run.resolve()
    run.sync()
    batches = run.plan()
    compared = run.verify(run.copy(batches))
    source.execute("create stable plant.late (ts timestamp, v double) tags (g int)")
    source.execute("create table plant.late0 using plant.late tags (0)")
    source.execute(f"insert into plant.late0 values ({T},1) ({T + 1},2)")
    source.execute("create table plant.plain (ts timestamp, v double)")
    source.execute(f"insert into plant.plain values ({T},1)")
    found = run.certify(batches, compared)
    assert found["verdict"]["words"] == "Equal as copied: 903 rows in 11 tables"
    assert found["mended_rows"] == 3
    assert run.events.said == {"m": 900, "late": 2, "follower": 1}
    assert target.execute("select count(*) from follower.late") == [(2,)]
    # Nobody mends where that is not wanted: then it is a difference.
    source.execute(f"insert into plant.late0 values ({T + 2},3)")
    run.options["repair_rounds"] = 0
    run.resolve()
    with pytest.raises(AirflowFailException, match="late0: rows 3 in the source, 2 in the target"):
        run.certify(batches, compared)


def test_a_subtable_that_comes_after_its_batch_was_copied_is_mended_by_that_batch(run: Run) -> None:
    run.resolve()
    run.sync()
    batches = run.plan()
    copied = run.copy(batches)
    run.plant.source.execute("create table plant.d4x using plant.m tags (7)")
    run.plant.source.execute(f"insert into plant.d4x values ({T},1)")
    compared = run.verify(copied)
    assert [(one["level"], one["mended_rows"]) for one in compared] == [("digest", 0), ("full", 1), ("digest", 0)]
    assert run.certify(batches, compared)["verdict"]["arrived"] == TABLES * ROWS + 1


def test_rows_after_the_implied_end_are_found_and_counted(run: Run) -> None:
    """Devices whose clocks say local time: 20 rows were never mentioned."""
    ahead = int((time.time() + 8 * 3600) * 1000)
    rows = "".join(f"({ahead + row},{row})" for row in range(20))
    run.plant.source.execute(f"insert into plant.d0 values {rows}")
    found = [one for one in run.resolve() if "where history ends" in one["found"]]
    assert [(one["object"], one["severity"]) for one in found] == [("Table 'm'", "warning")]
    assert found[0]["found"].startswith("20 rows lie at or after ")
    run.sync()
    batches = run.plan()
    verdict = run.certify(batches, run.verify(run.copy(batches)))["verdict"]
    assert (verdict["kind"], verdict["after_end"]) == ("equal_but", 20)
    assert "20 rows at or after the end of history" in verdict["words"]


def test_an_end_that_somebody_asked_for_hides_nothing(run: Run) -> None:
    ahead = int((time.time() + 8 * 3600) * 1000)
    run.plant.source.execute(f"insert into plant.d0 values ({ahead},1)")
    run.options["end"] = (datetime.now(timezone.utc) + timedelta(minutes=1)).isoformat()
    assert not [one for one in run.resolve() if "where history ends" in one["found"]]
    run.sync()
    batches = run.plan()
    assert run.certify(batches, run.verify(run.copy(batches)))["verdict"]["kind"] == "equal"


def test_the_end_of_a_run_s_interval_is_not_implied(run: Run) -> None:
    """A scheduled run is created when its interval ends; what comes later is the next one's."""
    run.plant.source.execute(f"insert into plant.d0 values ({int((time.time() + 3600) * 1000)},1)")
    operator = TDengineResolveOperator(task_id="resolve", options=run.options, by_interval=True)
    context = run.context("resolve")
    context["dag_run"].data_interval_start = run.created - timedelta(days=1)
    context["dag_run"].data_interval_end = run.created
    run.resolved = operator.execute(context)
    assert run.resolved["end"] == run.created.isoformat()
    assert not [one for one in run.xcoms["resolve", -1, "findings"] if "where history ends" in one["found"]]


# --- Nothing starts over


def test_a_plan_that_is_cleared_throws_no_progress_away(run: Run) -> None:
    """A subtable more moved the borders of all batches, whose checkpoints were none of theirs any more."""
    plant = run.plant
    run.resolve()
    run.sync()
    batches = run.plan()
    run.copy(batches, 1, 2)
    plant.source.execute("create table plant.d0x using plant.m tags (7)")
    plant.source.execute(f"insert into plant.d0x values ({T},1)")
    run.sync()
    again = run.plan()
    assert again == batches
    copied: list[dict[str, Any]] = []
    assert read(plant, lambda: copied.extend(run.copy(again)))[0] == 3 * ROWS + 1, "only what is new is read"
    assert run.certify(again, run.verify(copied))["verdict"]["words"] == "Equal as copied: 901 rows in 10 tables"


def test_of_a_cleared_run_only_the_batch_with_something_new_is_read(run: Run) -> None:
    plant = run.plant
    run.all()
    plant.source.execute("create table plant.d8x using plant.m tags (7)")
    plant.source.execute(f"insert into plant.d8x values ({T},1)")
    plant.source.execute("create stable plant.other (ts timestamp, v double) tags (g int)")
    plant.source.execute("create table plant.o using plant.other tags (7)")
    plant.source.execute(f"insert into plant.o values ({T},1)")
    run.sync()
    batches = run.plan()
    assert [batch["stable"] for batch in batches] == ["m", "m", "m", "other"]
    copied: list[dict[str, Any]] = []
    assert read(plant, lambda: copied.extend(run.copy(batches)))[0] == (3 * ROWS + 1) + 1
    assert run.certify(batches, run.verify(copied))["verdict"]["words"] == "Equal as copied: 902 rows in 11 tables"


@pytest.mark.parametrize("lost", ["plan-0", "plan"])
def test_a_plan_that_was_kept_in_part_is_made_anew(run: Run, lost: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its tables would have been in no batch: neither copied nor compared, and the run green."""
    run.resolve()
    run.sync()
    batches = run.plan()
    run.stores["plan", -1].delete(lost)
    assert run.plan() == batches
    run.stores["plan", -1].set("plan-0", batches[:1])
    with caplog.at_level(logging.WARNING):
        assert run.plan() == batches
    assert "The plan that was kept is not whole; it is made anew" in caplog.messages


@pytest.mark.parametrize("damage", ["x", {"spans": [["a"]]}, {"parts": "x"}])
def test_what_airflow_keeps_is_made_anew_where_it_is_none(run: Run, damage: Any) -> None:
    """Its stores can be edited in the browser."""
    run.resolve()
    run.sync()
    first = run.plan()
    run.copy(first)
    for (task, _), store in run.stores.items():
        for key in list(store.text):
            kept = store.get(key)
            store.set(key, {**kept, **damage} if isinstance(damage, dict) and isinstance(kept, dict) else damage)
            assert task in ("plan", "copy")
    assert run.all()["verdict"]["words"] == "Equal as copied: 900 rows in 9 tables"


@pytest.mark.parametrize("option", ["dead_letter_path", "certificate_path"])
def test_a_folder_that_cannot_be_written_is_said_first(run: Run, option: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run.options |= {"on_error": "dead_letter", "dead_letter_path": f"file://{tmp_path}"}
    run.options[option] = f"file://{tmp_path}/file/folder"
    with pytest.raises(AirflowFailException, match=rf"Option '{option}': the folder .* cannot be written"):
        run.resolve()


def test_a_plan_of_other_options_is_not_used(run: Run) -> None:
    run.resolve()
    run.sync()
    run.plan()
    run.options["tables"] = "d1, d2"
    run.resolve()
    assert [(batch["tables"], batch["rows"]) for batch in run.plan()] == [(2, 200)]


def test_without_a_state_store_a_run_is_as_whole(run: Run) -> None:
    """Airflow 3.1 and 3.2: a plan that is cleared has other batches, and all of them are copied and compared."""
    run.has_store = False
    assert run.all()["verdict"]["words"] == "Equal as copied: 900 rows in 9 tables"
    run.plant.source.execute("create table plant.d0x using plant.m tags (7)")
    run.plant.source.execute(f"insert into plant.d0x values ({T},1)")
    old = [run.xcoms["verify", index, "return_value"] for index in range(3)]
    run.sync()
    batches = run.plan()
    with pytest.raises(AirflowFailException, match="batches have not been compared"):
        run.certify(batches, old)
    run.xcoms.clear()
    assert (
        run.certify(batches, run.verify(run.copy(batches)))["verdict"]["words"]
        == "Equal as copied: 901 rows in 10 tables"
    )


# --- Asking


@pytest.fixture
def people(run: Run) -> People:
    """Who is asked before rows are deleted."""
    people = People()
    run.options["delete_extra"] = "ask"
    run.asking = people.says
    return people


def copied(run: Run) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The plan, and what its batches came to."""
    run.resolve()
    run.sync()
    batches = run.plan()
    return batches, run.copy(batches)


def test_one_question_is_for_all_batches_of_a_run(run: Run, people: People) -> None:
    batches, done = copied(run)
    run.plant.target.execute(f"insert into follower.d0 values ({T + 5000},1) follower.d8 values ({T + 5000},2)")
    compared = run.verify(done)
    assert not [key for key in run.xcoms if key[2] == "failure"]
    assert [one["deletions"] and one["deletions"][0]["table"] for one in compared] == ["d0", [], "d8"]
    question = people.asked(lambda: run.certify(batches, compared))
    assert question["subject"] == "Delete 2 rows of follower that plant does not have?"
    assert re.findall(r"(d\d): 1 row, 2021-01-01 00:00:05\.000; the first one has v (\S+)", question["body"]) == [
        ("d0", "1.0"),
        ("d8", "2.0"),
    ]
    people.answer("success")
    found = run.certify(batches, compared)
    assert (found["deleted"], found["verdict"]["kind"]) == (2, "equal")


def answered(run: Run, people: People, batches: Any, compared: Any) -> Any:
    """What certify says when what it asks for is approved."""
    people.asked(lambda: run.certify(batches, compared))
    people.answer("success")
    return run.certify(batches, compared)


def test_rows_that_come_while_a_person_thinks_are_asked_for_and_deleted(run: Run, people: People) -> None:
    batches, done = copied(run)
    run.plant.target.execute(f"insert into follower.d0 values ({T + 5000},3)")
    compared = run.verify(done)
    people.asked(lambda: run.certify(batches, compared))
    run.plant.target.execute(f"insert into follower.d0 values ({T + 5001},4)")
    people.answer("success")
    assert answered(run, people, batches, compared)["deleted"] == 2


def test_more_than_a_question_has_is_asked_for_one_after_the_other(
    run: Run, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing_batches, "_MOST_DELETIONS", 2)
    rows = "".join(f"({T + 1000 + 10 * row},1)" for row in range(5))
    run.plant.source.execute(f"insert into plant.d0 values {rows}")
    batches, done = copied(run)
    rows = "".join(f"({T + 1005 + 10 * row},1)" for row in range(3))
    run.plant.target.execute(f"insert into follower.d0 values {rows}")
    compared = run.verify(done)
    people.asked(lambda: run.certify(batches, compared))
    people.answer("success")
    found = answered(run, people, batches, compared)
    assert (found["extra"], found["verdict"]["kind"]) == (0, "equal")


def test_what_vanished_is_still_told_of_when_rows_were_deleted(run: Run, people: People) -> None:
    batches, done = copied(run)
    run.plant.source.execute("drop table plant.d2")
    run.plant.target.execute(f"insert into follower.d0 values ({T + 5000},3)")
    found = answered(run, people, batches, run.verify(done))
    assert (found["vanished"], found["deleted"]) == (1, 1)
