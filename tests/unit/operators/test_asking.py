"""Questions to people: what is asked, what an answer allows, and what is asked anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.standard.triggers.external_task import DagStateTrigger
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_provider_tdengine.approval import approval_dag
from airflow_provider_tdengine.compat import AirflowFailException, DagRunTriggerException
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing import batches
from airflow_provider_tdengine.operators.asking import APPROVAL_DAG
from airflow_provider_tdengine.operators.comparison import TDengineReconcileOperator
from airflow_provider_tdengine.operators.follow import TDengineFollowOperator
from airflow_provider_tdengine.operators.migration import TDengineResolveOperator

from .conftest import Plant, Store, dag_run, task_instance
from .test_reconcile import Events, ago, reconcile

NIGHT = dag_run()

from_3 = pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True, ids=["from-3.3.3.0"])


@dataclass
class People:
    """Who is asked: runs of the DAG for questions, by their id, with their state.

    Attributes:
        runs: these.
        approved: those in which somebody has pressed Approve.
        is_paused: of the DAG; None where it is not there.
        max_tries: of the task that asks; clearing it raises this.
        pushed: its XComs, which stay until it is tried again.
    """

    runs: dict[str, str] = field(default_factory=dict)
    approved: set[str] = field(default_factory=set)
    is_paused: bool | None = False
    max_tries: int = 0
    pushed: dict[str, Any] = field(default_factory=dict)

    def get_dr_count(self, dag_id: str, run_ids: list[str], states: list[str] | None = None) -> int:
        assert dag_id == APPROVAL_DAG
        return sum(run in self.runs and (states is None or self.runs[run] in states) for run in run_ids)

    def xcom_pull(
        self, *, task_ids: str, map_indexes: int | None, dag_id: str = "m", run_id: str = "r", key: str = ""
    ) -> Any:
        if key:
            return [self.pushed.get(key)]
        assert (dag_id, task_ids) == (APPROVAL_DAG, "approve")
        # One that is rejected fails, and returns nothing.
        return {"chosen_options": ["Approve"]} if run_id in self.approved else None

    def get_dag(self, dag_id: str) -> SimpleNamespace:
        if self.is_paused is None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={"status_code": 404}))
        return SimpleNamespace(is_paused=self.is_paused)

    @property
    def says(self) -> dict[str, Any]:
        """What an instance of a task is told of these."""
        return {"get_dr_count": self.get_dr_count, "get_dag": self.get_dag, "xcom_pull": self.xcom_pull}

    def context(self, task_id: str, **more: Any) -> Any:
        own = {"xcom_push": self.pushed.__setitem__, **self.says}
        instance = task_instance(task_id, max_tries=self.max_tries, **own)
        return {"dag_run": NIGHT, "ti": instance, "outlet_events": Events(), **more}

    def asked(self, action: Any) -> dict[str, str]:
        """What is asked, of a question that nobody has answered yet."""
        with pytest.raises(DagRunTriggerException) as question:
            action()
        assert question.value.trigger_dag_id == APPROVAL_DAG
        assert question.value.deferrable
        assert question.value.dag_run_id not in self.runs
        self.runs[question.value.dag_run_id] = "running"
        assert question.value.conf
        return question.value.conf

    def answer(self, state: str, *, is_pressed: bool = True) -> None:
        """Answer the last question, or mark its run."""
        run = list(self.runs)[-1]
        self.runs[run] = state
        if is_pressed and state == "success":
            self.approved.add(run)


@pytest.fixture
def people() -> People:
    return People()


def compared(plant: Plant, people: People, **options: Any) -> Any:
    return TDengineReconcileOperator(
        task_id="reconcile", options={**plant.options, "delete_extra": "ask", **options}
    ).execute_complete(people.context("reconcile"), None)


def test_just_what_was_shown_is_deleted(plant: Plant, people: People) -> None:
    late = ago(hours=30)
    plant.source.execute(f"insert into plant.d0 values ({late},2)")
    assert compared(plant, people)["deleted"] == 0, "nothing is extra, and nobody is asked"
    plant.target.execute(f"insert into follower.d0 values ({late + 1},3) ({late + 2},4)")
    question = people.asked(lambda: compared(plant, people))
    assert question["subject"] == "Delete 2 rows of follower that plant does not have?"
    assert "d0: 2 rows, 20" in question["body"]
    assert "the first one has v 3.0" in question["body"]

    # Tried again before somebody answers, it waits for the same answer.
    with pytest.raises(TaskDeferred):
        compared(plant, people)
    # What comes between showing and doing is another question.
    plant.target.execute(f"insert into follower.d1 values ({late + 3},5)")
    people.answer("success")
    assert "d1: 1 row, 20" in people.asked(lambda: compared(plant, people))["body"]
    assert len(plant.rows("target")) == 4
    people.answer("success")
    found = compared(plant, people)
    assert (found["deleted"], found["extra"], found["deletions"]) == (3, 0, [])
    assert [row[1:] for row in plant.rows("target")] == [(late, 2.0)]


def test_what_was_approved_and_done_is_asked_for_again_after_a_clear(plant: Plant, people: People) -> None:
    late = ago(hours=30)
    plant.source.execute(f"insert into plant.d0 values ({late},2)")
    plant.target.execute(f"insert into follower.d0 values ({late + 1},3)")
    people.asked(lambda: compared(plant, people))
    people.answer("success")
    assert compared(plant, people)["deleted"] == 1
    # Somebody brings it back.
    plant.target.execute(f"insert into follower.d0 values ({late + 1},3)")
    people.max_tries = 1
    people.asked(lambda: compared(plant, people))


@pytest.mark.parametrize(
    ("there", "then"),
    [({1: 3}, {700: 3}), ({1: 3, 2: 4}, {1: 3, 2: 99})],
    ids=["another row of the same second", "other values behind the first row"],
)
def test_other_rows_than_those_that_were_shown_are_another_question(
    plant: Plant, people: People, there: dict[int, int], then: dict[int, int]
) -> None:
    late = ago(hours=30) // 1000 * 1000
    plant.source.execute(f"insert into plant.d0 values ({late},2)")
    for rows in (there, then):
        plant.target.execute(f"delete from follower.d0 where ts > {late}")
        values = "".join(f"({late + step},{value})" for step, value in rows.items())
        plant.target.execute(f"insert into follower.d0 values {values}")
        people.asked(lambda: compared(plant, people))
        people.answer("success")


@pytest.mark.parametrize(
    ("state", "is_pressed"), [("failed", True), ("success", False)], ids=["rejected", "marked as a success, or skipped"]
)
def test_rows_stay_that_nobody_has_approved_and_the_task_says_so(
    plant: Plant, people: People, state: str, is_pressed: bool
) -> None:
    late = ago(hours=30)
    plant.target.execute(f"insert into follower.d0 values ({late},3)")
    plant.source.execute(f"insert into plant.d0 values ({late + 1},2)")
    people.asked(lambda: compared(plant, people))
    people.answer(state, is_pressed=is_pressed)
    with pytest.raises(AirflowFailException, match="1 row that only the target has would have been deleted"):
        compared(plant, people)
    assert len(plant.rows("target")) == 2
    reconcile(plant, options={"delete_extra": True})


def test_the_night_changes_no_structure_that_a_person_is_asked_for(plant: Plant, people: People) -> None:
    late, asks = ago(hours=30), {"on_schema_change": "ask"}
    plant.source.execute(f"insert into plant.d0 values ({late},2)")
    plant.source.execute("create table plant.d9 using plant.m tags (9)")
    plant.source.execute(f"insert into plant.d9 values ({late},2)")
    plant.source.execute("alter table plant.d3 set tag g = 33")
    with pytest.raises(AirflowFailException, match="Different: "):
        reconcile(plant, options=asks)
    assert plant.rows("target") == plant.rows("source")[:1]
    assert plant.target.execute("select distinct tbname from follower.m where g in (9, 33)") == []
    plant.source.execute("alter table plant.m add column w int")
    with pytest.raises(AirflowFailException, match="Different: "):
        reconcile(plant, options=asks)
    assert "w" not in [row[0] for row in plant.target.execute("describe follower.m")]
    reconcile(plant)
    assert plant.is_equal


@from_3
def test_more_rows_than_are_asked_for_at_once_are_asked_for_one_after_the_other(
    plant: Plant, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MOST_DELETIONS", 2)
    late = ago(hours=30)
    for step in range(5):
        plant.source.execute(f"insert into plant.d0 values ({late + 2 * step},2)")
        plant.target.execute(f"insert into follower.d0 values ({late + 2 * step + 1},3)")
    subjects = []
    for _ in range(3):
        subjects.append(people.asked(lambda: compared(plant, people))["subject"])
        people.answer("success")
    rows = ["2 of 5 rows", "2 of 3 rows", "1 row"]
    assert subjects == [f"Delete {each} of follower that plant does not have?" for each in rows]
    found = compared(plant, people)
    assert (found["verdict"]["kind"], found["deleted"]) == ("equal", 5)


@pytest.mark.parametrize(("is_paused", "sentence"), [(True, "it is paused"), (None, "it is not there")])
def test_nobody_waits_for_a_question_that_cannot_be_asked(
    plant: Plant, people: People, is_paused: bool | None, sentence: str
) -> None:
    people.is_paused = is_paused
    resolve = TDengineResolveOperator(task_id="resolve", options={**plant.options, "on_schema_change": "ask"})
    with pytest.raises(AirflowFailException, match=f"'tdengine_approval', whose runs ask people: {sentence}"):
        resolve.execute(people.context("resolve"))


def follow(plant: Plant, people: People, store: Store) -> Any:
    """A return to a worker."""
    operator = TDengineFollowOperator(
        task_id="follow", options={**plant.options, "on_schema_change": "ask", "schema_poll_interval": 1}, linger=0
    )
    return lambda: operator.execute_complete(people.context("follow", task_state_store=store), None)


@contextmanager
def listed_backwards() -> Iterator[None]:
    """Servers list tables in any order."""
    subtables = Catalog.subtables
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "subtables", lambda *given: reversed(list(subtables(*given))))
        yield


def test_a_follow_stops_at_a_change_and_goes_on_when_it_is_approved(plant: Plant, people: People) -> None:
    task = follow(plant, people, Store())
    with pytest.raises(TaskDeferred):
        task()
    plant.source.execute("create table plant.d9 using plant.m tags (9)")
    plant.source.execute("create table plant.d91 using plant.m tags (91)")
    plant.source.execute("alter table plant.d3 set tag g = 33")
    plant.insert("d9", "d0")
    question = people.asked(task)
    assert question["subject"] == "The structure of plant has changed: change follower, too?"
    # Another order of the same is no other question.
    with pytest.raises(TaskDeferred) as deferred, listed_backwards():
        task()
    assert isinstance(deferred.value.trigger, DagStateTrigger)
    assert "CREATE TABLE IF NOT EXISTS `follower`.`d9` USING `follower`.`m` (`g`) TAGS (9)" in question["body"]
    assert "ALTER TABLE `follower`.`d3` SET TAG `g` = 33" in question["body"]
    assert plant.target.execute("select distinct tbname from follower.m where g in (9, 33)") == []
    people.answer("success")
    # Another one comes: the approved ones are made, the other one is asked for.
    plant.source.execute("alter table plant.m add column w int")
    body = people.asked(task)["body"]
    assert "ALTER STABLE `follower`.`m` ADD COLUMN `w` INT" in body
    assert "d9" in body, "nothing was approved of a question that asked for less"
    people.answer("success")
    with pytest.raises(TaskDeferred):
        task()
    assert sorted(plant.target.execute("select distinct tbname, g from follower.m"))[-3:] == [
        ("d3", 33),
        ("d9", 9),
        ("d91", 91),
    ]
    assert len(plant.rows("target")) == 2
    plant.source.execute("create table plant.d8 using plant.m tags (8)")
    plant.source.execute(f"insert into plant.d8 values ({int(time.time() * 1000)},1,1)")
    people.asked(task)
    people.answer("failed")
    with pytest.raises(
        AirflowFailException, match=r"Nobody has approved it\nCREATE TABLE IF NOT EXISTS `follower`.`d8`"
    ):
        task()
    assert ("d8", 8) not in plant.target.execute("select distinct tbname, g from follower.m")


def test_the_dag_of_questions_asks_what_a_run_says() -> None:
    (task,) = approval_dag().tasks
    assert (task.task_id, task.subject, task.body) == ("approve", "{{ params.subject }}", "{{ params.body }}")
    assert task.fail_on_reject
