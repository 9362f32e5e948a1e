"""Following as Airflow runs it: a task that goes and comes back, and the trigger between."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.module_loading import import_string

from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.compat import AirflowException, AirflowFailException, AirflowSkipException
from airflow_provider_tdengine.migration import comparing
from airflow_provider_tdengine.migration.copying import at_or_after
from airflow_provider_tdengine.operators.follow import (
    TDengineFinishOperator,
    TDengineFollowOperator,
    TDengineShardsOperator,
)
from airflow_provider_tdengine.operators.migration import TDengineSchemaSyncOperator
from airflow_provider_tdengine.triggers import follow as trigger
from airflow_provider_tdengine.triggers.follow import Event, TDengineFollowTrigger

from .conftest import SECRET, Plant, Store, dag_run

RETRIES = 3


@dataclass
class Task:
    """A task of Airflow: each try and each return is a new operator, all between them is JSON.

    Attributes:
        deferred: what it waits for, None while it does not.
    """

    options: dict[str, Any]
    shard: dict[str, Any] | None = None
    store: Store | None = field(default_factory=Store)
    tries: int = 0
    deferred: TaskDeferred | None = None
    pushed: dict[str, Any] = field(default_factory=dict)
    linger: float = 0.0
    attempts: int = RETRIES
    ended_by: str | None = None

    @property
    def operator(self) -> TDengineFollowOperator:
        return TDengineFollowOperator(
            task_id="follow",
            options=self.options,
            shard=self.shard,
            linger=self.linger,
            fruitless_retries=RETRIES,
            ended_by=self.ended_by,
        )

    def context(self) -> Any:
        run = dag_run()
        ti = SimpleNamespace(
            dag_id="d",
            try_number=self.tries,
            max_tries=self.attempts,
            task=SimpleNamespace(retries=RETRIES),
            task_id="follow",
            map_index=0,
            xcom_push=self.pushed.__setitem__,
        )
        store = {"task_state_store": self.store} if self.store else {}
        return {"dag_run": run, "ti": ti, **store}

    def start(self) -> Task:
        """The first try, or the next one after a failure or a clear."""
        self.tries += 1
        self.deferred = None
        with pytest.raises(TaskDeferred) as raised:
            self.operator.execute(self.context())
        self.deferred = raised.value
        return self

    def trigger(self) -> TDengineFollowTrigger:
        """What waits, as a triggerer that has just been started makes it."""
        assert self.deferred is not None
        name, arguments = self.deferred.trigger.serialize()
        trigger = import_string(name)(**json.loads(json.dumps(arguments)))
        assert isinstance(trigger, TDengineFollowTrigger)
        return trigger

    def wait(self, seconds: float = 60) -> Event:
        """What the trigger fires for."""
        return asyncio.run(asyncio.wait_for(first(self.trigger()), seconds))

    def is_waiting(self) -> bool:
        """Whether the trigger has seen nothing to do, at its first look."""
        try:
            self.wait(0.7)
        except asyncio.TimeoutError:
            return True
        return False

    def resume(self, event: Event) -> None:
        """Back on a worker."""
        assert self.deferred is not None
        kwargs = json.loads(json.dumps(self.deferred.kwargs))
        with pytest.raises(TaskDeferred) as raised:
            getattr(self.operator, self.deferred.method_name)(self.context(), event=event, **kwargs)
        self.deferred = raised.value

    def follow(self) -> str:
        """Wait, then copy; what was waited for."""
        event = self.wait()
        self.resume(event)
        return event["what"]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens within seconds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def first(trigger: TDengineFollowTrigger) -> Event:
    async for event in trigger.run():
        payload: Event = json.loads(json.dumps(event.payload))
        return payload
    raise AssertionError("the trigger ended without an event")


def test_rows_are_copied_and_the_task_waits_again(plant: Plant) -> None:
    plant.insert("d0", late=3600)
    plant.insert("d0", "d1")
    task = Task(plant.options).start()
    assert [row[0] for row in plant.rows("target")] == ["d0", "d1"], "the old row is none of realtime"
    assert task.is_waiting()
    plant.insert("d2")
    assert task.follow().endswith(" of them known")
    plant.insert("d2", "d3")
    task.follow()
    assert len(plant.rows("target")) == 5
    assert task.is_waiting()


def test_what_waits_is_stored_without_secrets(plant: Plant) -> None:
    task = Task(plant.options).start()
    assert task.deferred is not None
    stored = json.dumps([task.deferred.trigger.serialize(), task.deferred.kwargs])
    assert SECRET not in stored
    assert "root" not in stored
    assert "127.0.0.1" in stored, "the watermark says of which servers it is"
    assert task.store is not None
    assert SECRET not in "".join(task.store.text.values())
    assert task.trigger().serialize() == TDengineFollowTrigger(**task.trigger().serialize()[1]).serialize()


def test_the_lag_is_stored(plant: Plant) -> None:
    begin = datetime.now(timezone.utc) - timedelta(hours=1)
    plant.options |= {"delay": 60, "start_from": begin.isoformat()}
    plant.insert("d0")
    task = Task(plant.options).start()
    assert task.store is not None
    assert 0 < task.store.get("checkpoint")["lag"] <= 60
    plant.source.faults.set_clock(61)
    task.follow()
    assert task.store.get("checkpoint")["lag"] == 0
    assert plant.is_equal


def test_after_a_stop_or_a_clear_it_goes_on_from_its_watermark(plant: Plant) -> None:
    plant.insert("d0", "d1")
    task = Task(plant.options).start()
    plant.insert("d1", "d2")
    copied = plant.source.rows_read
    assert copied == 2
    # Stopped while it waited; the next try waits for answers first.
    task.start()
    assert task.follow() == "both servers answer"
    assert plant.is_equal
    assert plant.source.rows_read == copied + 2


def test_a_stop_while_it_copies_leaves_the_watermark(plant: Plant) -> None:
    plant.insert("d0")
    task = Task(plant.options)
    operator = task.operator
    plant.target.faults.delay(0.5)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(operator.execute, task.context())
        time.sleep(1)
        operator.on_kill()
        with pytest.raises(AirflowException, match="goes on from its watermark"):
            running.result()
    plant.target.faults.clear()
    assert plant.rows("target") == []
    task.start()
    assert plant.is_equal


def test_a_server_that_is_away_is_waited_for(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(plant.options).start()
    for box in (plant.source, plant.target):
        plant.insert("d0")
        box.stop()
        said = "Waiting until it answers again"
        assert any(task.is_waiting() and said in caplog.text for _ in range(20))
        assert caplog.text.count(said) == 1
        caplog.clear()
        box.start()
        task.follow()
        assert plant.is_equal


def test_a_server_that_goes_in_a_round_is_waited_for(plant: Plant) -> None:
    task = Task(plant.options).start()
    plant.insert("d0")
    event = task.wait()
    plant.target.stop()
    task.resume(event)
    assert task.is_waiting()
    plant.target.start()
    assert task.follow() == "both servers answer"
    assert plant.is_equal
    assert task.is_waiting()


def test_what_fails_again_at_once_is_a_failure(plant: Plant) -> None:
    task = Task(plant.options).start()
    plant.insert("d0")
    event = task.wait()
    plant.target.faults.answer_with(0x050C, "busy", times=1000, matching="insert")
    plant.target.faults.answer_with(0x050C, "busy", times=1000, matching="d0")
    task.resume(event)
    assert task.deferred is not None
    event = task.wait()
    kwargs = task.deferred.kwargs
    with pytest.raises(AirflowException, match="busy"):
        task.operator.resume(task.context(), event=event, **kwargs)  # type: ignore[arg-type]
    plant.target.faults.clear()
    task.start()
    task.follow()
    assert plant.is_equal


def test_it_stays_while_rows_keep_coming(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(plant.options, linger=1.5)
    plant.insert("d0")
    with ThreadPoolExecutor() as pool, caplog.at_level(logging.INFO):
        running = pool.submit(task.start)
        for _ in range(3):
            until(lambda: plant.is_equal)
            assert not running.done()
            plant.insert("d0")
        running.result()
    assert plant.is_equal
    assert task.pushed["position"]["rows"] == 4
    assert task.store is not None
    assert task.store.get("checkpoint") == task.pushed["position"]
    assert re.search(r"Followed\n *rows copied +4\n", caplog.text), "one line for all rounds"
    assert caplog.text.count("Looking every") == 0
    assert task.is_waiting()


def test_what_was_copied_is_not_read_again_after_a_server_went_away(plant: Plant) -> None:
    plant.insert("d0", "d1")
    task = Task(plant.options, linger=60)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(task.start)
        until(lambda: "position" in task.pushed)
        plant.source.stop()
        running.result()
    assert task.deferred
    assert task.deferred.kwargs["position"] == task.pushed["position"]
    plant.source.start()
    task.linger = 0
    read = plant.source.rows_read
    assert task.follow() == "both servers answer"
    assert plant.source.rows_read == read


def test_only_tries_in_a_row_that_came_no_further_use_up_the_retries(plant: Plant) -> None:
    task = Task(plant.options)
    for _ in range(RETRIES + 4):
        # As when its worker is killed: nobody hears of an error.
        task.start()
        if task.tries == 3:
            plant.insert("d0")
            task.follow()
    with pytest.raises(AirflowFailException, match="4 tries in a row came no further, and there may be 3 retries"):
        task.start()
    task.attempts = task.tries + RETRIES
    task.start()
    assert task.follow() == "both servers answer", "a clear begins anew"


def test_a_file_that_only_workers_have_is_no_hot_loop(plant: Plant, tmp_path: Path) -> None:
    """The triggerer is on another host: what it looks at is not there while it does."""
    names = tmp_path / "names"
    names.write_text("d0\nd1\n", encoding="utf-8")
    plant.options["tables"] = f"@{names}"
    task = Task(plant.options).start()

    def event() -> Event:
        names.rename(tmp_path / "elsewhere")
        found = task.wait()
        (tmp_path / "elsewhere").rename(names)
        return found

    plant.insert("d0")
    assert event()["blind"] == socket.gethostname()
    task.resume(event())
    assert plant.is_equal, "the worker has the file"
    with pytest.raises(AirflowFailException) as raised:
        task.resume(event())
    assert str(names) in str(raised.value)
    assert f"The triggerer on {socket.gethostname()} cannot look" in str(raised.value)
    assert "has to be there by the same path" in str(raised.value)


def test_silent_servers_hold_up_nobody_else_in_the_triggerer(plant: Plant) -> None:
    triggers = [Task(plant.options).start().trigger() for _ in range(3)]
    plant.source.faults.delay(30)

    async def others() -> str:
        # A triggerer's threads, which all who wait there share.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waiting = [asyncio.ensure_future(first(trigger)) for trigger in triggers]
        await asyncio.sleep(0.7)
        answer = await asyncio.wait_for(asyncio.to_thread(lambda: "here"), 10)
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting, timeout=10)
        assert all(one.cancelled() for one in waiting)
        return answer

    assert asyncio.run(others()) == "here"
    plant.source.faults.clear()


def test_a_source_that_is_dropped_ends_it_with_a_sentence(plant: Plant) -> None:
    task = Task(plant.options).start()
    plant.source.execute("drop database plant")
    event = task.wait()
    assert "has no database 'plant'" in event["what"]
    with pytest.raises(AirflowFailException, match="has no database 'plant'"):
        task.operator.resume(task.context(), event)


def test_new_tables_columns_and_tags_come_over(plant: Plant) -> None:
    plant.options["schema_poll_interval"] = 1
    task = Task(plant.options).start()
    plant.source.execute("alter table plant.d3 set tag g = 33")
    plant.source.execute("create table plant.d9 using plant.m tags (9)")
    assert task.follow() == "another structure"
    found = plant.target.execute("select distinct tbname, g from follower.m")
    assert sorted(found) == [("d0", 0), ("d1", 1), ("d2", 2), ("d3", 33), ("d9", 9)]
    plant.source.execute("alter stable plant.m add column w int")
    plant.source.execute(f"insert into plant.d9 values ({int(time.time() * 1000)}, 1, 2)")
    task.follow()
    assert plant.target.execute("select w from follower.d9") == [(2,)]


def test_a_change_stops_it_where_it_is_told_so(plant: Plant) -> None:
    plant.options |= {"schema_poll_interval": 1, "on_schema_change": "fail"}
    task = Task(plant.options).start()
    plant.source.execute("create table plant.d9 using plant.m tags (9)")
    event = task.wait()
    with pytest.raises(AirflowFailException, match="Table 'd9': the target does not have this subtable"):
        task.operator.resume(task.context(), event)


def test_without_a_state_store_it_goes_on_from_the_last_timestamp_of_the_target(plant: Plant) -> None:
    plant.insert("d0")
    task = Task(plant.options, store=None).start()
    plant.insert("d1", "d2")
    task.follow()
    read = plant.source.rows_read
    task.start()
    plant.insert("d3")
    task.follow()
    assert plant.is_equal
    assert plant.source.rows_read - read == 3, "the new row, and two at the last timestamp"


def test_shards_are_followed_apart(plant: Plant) -> None:
    plant.options["follow_shards"] = 2
    context: Any = {"dag_run": SimpleNamespace(run_after=datetime.now(timezone.utc))}
    shards = TDengineShardsOperator(task_id="shards", options=plant.options).execute(context)
    assert shards == [{"first": None, "before": "d2"}, {"first": "d2", "before": None}]
    plant.insert("d0", "d1", "d2")
    tasks = [Task(plant.options, shard) for shard in shards]
    tasks[0].start()
    assert [row[0] for row in plant.rows("target")] == ["d0", "d1"]
    tasks[1].start()
    assert plant.is_equal
    plant.insert("d3")
    assert tasks[0].is_waiting()
    tasks[1].follow()
    assert plant.is_equal


def refusing(plant: Plant, folder: Path, **options: object) -> Task:
    """What follows into a target that refuses a moment which nanoseconds cannot count."""
    plant.source.execute("create stable plant.w (ts timestamp, due timestamp) tags (g int)")
    plant.source.execute("create table plant.w0 using plant.w tags (0)")
    letters = {"on_error": "dead_letter", "dead_letter_path": f"file://{folder}"}
    plant.options |= {"target_database": "nano", "database_options": "PRECISION 'ns'", **letters, **options}
    task = Task(plant.options)
    TDengineSchemaSyncOperator(task_id="sync_schema", options=plant.options).execute(task.context())
    return task


def test_refused_rows_are_kept_and_the_others_arrive(
    plant: Plant, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = refusing(plant, tmp_path)
    now = int(time.time() * 1000)
    # The later moment is more than nanoseconds can count.
    plant.source.execute(f"insert into plant.w0 values ({now},{now}) ({now + 1},9999999999999)")
    time.sleep(0.01)
    task.start()
    assert plant.target.execute("select count(*) from nano.w") == [(1,)]
    assert f"The target refused 1 row; dead letters keep them in\n  file://{tmp_path}/m/r" in caplog.text
    (file,) = tmp_path.rglob("*.jsonl")
    assert len(file.read_text(encoding="utf-8").splitlines()) == 1
    assert task.is_waiting()


# --- The end


@dataclass
class Finish:
    """The task behind those that follow, which reads how far they came."""

    options: dict[str, Any]
    positions: list[dict[str, Any] | None]
    store: Store = field(default_factory=Store)
    pushed: dict[str, Any] = field(default_factory=dict)
    is_last: bool = False

    def execute(self) -> dict[str, object]:
        shards = [{"first": None, "before": None}] if len(self.positions) == 1 else SHARDS
        operator = TDengineFinishOperator(
            task_id="finish",
            options=json.loads(json.dumps(self.options)),
            shards=shards,
            followed="follow",
            is_last=self.is_last,
        )
        run = dag_run()
        ti = SimpleNamespace(
            dag_id="d",
            try_number=1,
            task_id="finish",
            map_index=-1,
            xcom_push=self.pushed.__setitem__,
            xcom_pull=lambda task_ids, key, map_indexes: self.positions[map_indexes],
        )
        context: Any = {"dag_run": run, "ti": ti, "task_state_store": self.store}
        return operator.execute(context)


SHARDS: list[dict[str, Any]] = [{"first": None, "before": "d2"}, {"first": "d2", "before": None}]


def test_finishing_copies_what_is_left_and_compares(plant: Plant, tmp_path: Path) -> None:
    plant.insert("d0")
    time.sleep(0.01)
    task = Task(plant.options).start()
    plant.insert("d1", "d2")
    time.sleep(0.01)
    options = {**plant.options, "certificate_path": tmp_path.as_uri()}
    finish = Finish(options, [json.loads(json.dumps(task.pushed["position"]))])
    assert finish.execute()["rows"] == 3
    assert plant.is_equal
    assert finish.pushed["verdict"]["kind"] == "equal"
    assert finish.pushed["certificate"]["rows"] == 3
    assert list(tmp_path.rglob("finish/certificate.html"))
    plant.insert("d3")
    time.sleep(0.01)
    assert finish.execute()["rows"] == 3, "a retry has the same end"
    finish.positions = [None]
    assert finish.execute()["rows"] == 4, "somebody has followed on"


def test_finishing_brings_rows_of_the_time_of_history_that_came_since_the_last_look(plant: Plant) -> None:
    plant.options["mode"] = "both"
    task = Task(plant.options).start()
    plant.insert("d1", late=3600)
    time.sleep(0.01)
    Finish(plant.options, [task.pushed["position"]]).execute()
    assert plant.is_equal


@pytest.mark.parametrize("positions", [[None], [None, None]], ids=["one", "shards"])
def test_finishing_without_a_memory_compares_all_the_same(plant: Plant, positions: list[Any]) -> None:
    Task(plant.options).start()
    plant.insert("d1", "d3")
    time.sleep(0.01)
    assert Finish(plant.options, positions).execute()["rows"] == 2
    assert plant.is_equal


def test_a_difference_that_stays_fails_the_run(plant: Plant) -> None:
    plant.insert("d1")
    time.sleep(0.01)
    task = Task(plant.options).start()
    plant.target.execute(f"insert into follower.d1 values ({int(time.time() * 1000)}, 7)")
    time.sleep(0.01)
    finish = Finish({**plant.options, "repair_rounds": 0}, [task.pushed["position"]])
    with pytest.raises(AirflowFailException, match="d1: rows 1 in the source, 2 in the target"):
        finish.execute()
    assert finish.pushed["verdict"]["kind"] == "different"


def test_at_a_cutover_all_rows_are_compared(plant: Plant) -> None:
    """Those of history, too, whatever has become of them since."""
    plant.options["mode"] = "both"
    plant.insert("d0", late=3600)
    task = Task(plant.options).start()
    plant.target.execute("delete from follower.d0")
    plant.insert("d1")
    time.sleep(0.01)
    finish = Finish(plant.options, [task.pushed["position"]], is_last=True)
    assert finish.execute()["rows"] == 2
    assert plant.is_equal


def written_while_compared(monkeypatch: pytest.MonkeyPatch, finish: Finish, write: Callable[[], object]) -> str:
    """What a cutover says of a source that somebody writes to when it has just been compared."""
    compare = comparing.verify

    def compare_then_write(*arguments: Any, **named: Any) -> Any:
        compared = compare(*arguments, **named)
        write()
        return compared

    with monkeypatch.context() as patch:
        patch.setattr(comparing, "verify", compare_then_write)
        with pytest.raises(AirflowFailException, match="still written to") as failure:
            finish.execute()
    return str(failure.value)


def test_a_cutover_is_not_green_while_the_source_is_written_to(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a late row, and one of the future: of the time that was compared, and of behind it."""
    plant.options["mode"] = "both"
    task = Task(plant.options).start()

    def write() -> None:
        plant.insert("d2", late=60)
        plant.insert("d2", late=-5)

    finish = Finish(plant.options, [task.pushed["position"]], is_last=True)
    said = written_while_compared(monkeypatch, finish, write)
    assert "1 table with another number of rows" in said
    assert f"1 row from {finish.pushed['certificate']['end'][:16]}" in said
    plant.source.faults.set_clock(10)
    assert finish.execute()["rows"] == 2, "cleared, it has another end"
    assert plant.is_equal


@pytest.mark.parametrize(
    "statement",
    [
        "create table plant.d9 using plant.m tags (9)",
        "create table plant.n (ts timestamp, v double)",
        "alter table plant.d1 set tag g = 77",
    ],
)
def test_also_by_what_changes_no_count(plant: Plant, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    plant.options["mode"] = "both"
    task = Task(plant.options).start()
    finish = Finish(plant.options, [task.pushed["position"]], is_last=True)
    said = written_while_compared(monkeypatch, finish, lambda: plant.source.execute(statement))
    assert "its tables, columns or tags are others" in said


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True)
def test_also_by_a_value_that_a_topic_tells_of(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.options |= {"mode": "both", "follow_by": "subscription"}
    row = int(time.time() * 1000) - 3_600_000
    plant.source.execute(f"insert into plant.d1 values ({row}, 1.5)")
    task = Task(plant.options).start()
    finish = Finish(plant.options, [task.pushed["position"]], is_last=True)
    said = written_while_compared(
        monkeypatch, finish, lambda: plant.source.execute(f"insert into plant.d1 values ({row}, 99.5)")
    )
    assert "1 row came, or got other values" in said
    assert plant.is_equal


def test_a_cutover_that_compares_nothing_looks_whether_the_source_is_written_to(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.options |= {"mode": "both", "verify": "none"}
    task = Task(plant.options).start()
    plant.insert("d1", late=-60)
    with pytest.raises(AirflowFailException, match="1 row from"):
        Finish(plant.options, [task.pushed["position"]], is_last=True).execute()


def test_a_task_that_succeeds_ends_following(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it waits in the triggerer then, or follows in its worker."""
    task, states = Task(plant.options, ended_by="approve"), {"approve": "awaiting_input"}

    def get_task_states(*, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, str]]:
        assert (dag_id, task_ids) == ("m", ["approve"])
        return dict.fromkeys(run_ids, states)

    monkeypatch.setattr(trigger, "RuntimeTaskInstance", SimpleNamespace(get_task_states=get_task_states))
    task.start()
    assert task.deferred
    states["approve"] = "success"
    event = task.wait()
    assert event["what"] == "approve has succeeded"
    plant.insert("d1")
    task.operator.resume(task.context(), event=event, **json.loads(json.dumps(task.deferred.kwargs)))
    task.operator.resume(task.context())
    # A server that is away is waited for all the same.
    task.tries = 2
    plant.source.stop()
    with pytest.raises(TaskDeferred) as deferred:
        task.operator.execute(task.context())
    assert deferred.value.trigger.serialize()[1]["wait"]["ending"] is None
    plant.source.start()
    states["approve"] = "failed"
    with pytest.raises(TaskDeferred):
        task.operator.resume(task.context())


def test_refused_rows_that_were_followed_make_the_run_red(
    plant: Plant, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = refusing(plant, tmp_path, max_rejected=2)

    def insert(count: int) -> None:
        now = int(time.time() * 1000)
        # More than nanoseconds can count.
        rows = "".join(f"({now + i},9999999999999)" for i in range(count))
        plant.source.execute(f"insert into plant.w0 values {rows} ({now + count},{now})")
        time.sleep(0.02)

    insert(2)
    task.start()
    with pytest.raises(AirflowFailException, match="The target refused 2 rows; dead letters keep them in\n  file://"):
        Finish(plant.options, [task.pushed["position"]]).execute()
    insert(1)
    with pytest.raises(AirflowFailException, match="'max_rejected': the target refused 3 rows"):
        task.operator.resume(task.context(), position=task.pushed["position"])
    assert plant.target.execute("select count(*) from nano.w") == [(2,)]


def test_it_ends_by_itself_at_a_moment(plant: Plant) -> None:
    stop = datetime.now(timezone.utc) + timedelta(seconds=60)
    plant.options["stop_at"] = stop.isoformat()
    plant.insert("d0")
    time.sleep(0.01)
    task = Task(plant.options).start()
    moment = at_or_after(stop, Precision.MS) or 0
    plant.source.execute(f"insert into plant.d1 values ({moment - 1},1.5) ({moment},1.5) ({moment + 1000},1.5)")
    plant.source.faults.set_clock(61)
    event = task.wait()
    while "time to stop" not in event["what"]:
        task.resume(event)
        event = task.wait()
    assert task.deferred
    task.operator.resume(task.context(), event=event, **json.loads(json.dumps(task.deferred.kwargs)))
    assert [row[:2] for row in plant.rows("target")][1:] == [("d1", moment - 1)]
    assert Finish(plant.options, [task.pushed["position"]]).execute()["rows"] == 2


def test_history_follows_nothing(plant: Plant) -> None:
    options = {**plant.options, "mode": "history", "start_from": None}
    for operator in (Task(options).operator, TDengineShardsOperator(task_id="shards", options=options)):
        with pytest.raises(AirflowSkipException):
            operator.execute(Task(options).context())


def test_the_operator_can_be_copied_and_pickled() -> None:
    operator = TDengineFollowOperator(task_id="follow")
    assert pickle.loads(pickle.dumps(copy.deepcopy(operator))).task_id == "follow"
    operator.on_kill()


# --- By subscription


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True)
def test_what_the_source_tells_is_copied_until_the_end_and_the_topic_is_dropped(plant: Plant) -> None:
    hour = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    plant.options |= {"follow_by": "subscription", "on_delete": "apply", "start_from": hour}
    plant.insert("d0")
    task = Task(plant.options).start()
    assert len(plant.rows("target")) == 1
    plant.insert("d1", late=1800)
    assert task.follow() == "the source tells of changes"
    assert plant.is_equal
    plant.source.execute("delete from plant.d0")
    plant.insert("d2")
    finish = Finish(plant.options, [json.loads(json.dumps(task.pushed["position"]))])
    assert finish.execute()["kind"] == "equal"
    assert plant.is_equal
    assert plant.source.execute("show topics") == []


@pytest.mark.parametrize("plant", ["3.3.3.0"], indirect=True)
def test_finishing_ends_while_the_source_is_written_on(plant: Plant) -> None:
    plant.options |= {"follow_by": "subscription", "on_delete": "apply"}
    task = Task(plant.options).start()
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.02):
            plant.insert("d0", "d1", "d2", "d3")

    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write)
        try:
            finishing = threads.submit(Finish(plant.options, [json.loads(json.dumps(task.pushed["position"]))]).execute)
            assert finishing.result(180)["kind"] == "equal"
        finally:
            ended.set()
            writing.result()
