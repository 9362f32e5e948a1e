"""Nothing starts over: what is killed, cleared or paused in the middle of a copy goes on where it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import DAG, FRAGILE, Airflow, is_alive

T = 1609459200000
TABLES, ROWS = 4, 20_000

HISTORY = 2000
"""Old rows of what is followed: many more than rounds read."""


@pytest.fixture(scope="module")
def grid(airflow: Airflow) -> Airflow:
    """A source database of 80,000 rows, all in one batch."""
    execute = airflow.source.execute
    execute("create database grid precision 'ms' keep 36500 update 1")
    execute("create stable grid.meters (ts timestamp, v int) tags (n int)")
    for i in range(TABLES):
        execute(f"create table grid.d{i} using grid.meters tags ({i})")
        for start in range(0, ROWS, 5000):
            rows = "".join(f"({T + row * 1000},{row})" for row in range(start, start + 5000))
            execute(f"insert into grid.d{i} values {rows}")
    return airflow


def start(airflow: Airflow, target: str, **options: object) -> str:
    """A run that is in the middle of its copy, and slow; its id."""
    run = airflow.trigger({"source_database": "grid", "target_database": target, "workers": 1, **options})
    airflow.wait_for(lambda: airflow.tasks(run)["plan", -1]["state"] in ("running", "success"))
    # 313 blocks, four in flight: about forty seconds of copying, if nobody interrupts it.
    airflow.target.faults.delay(0.5)
    airflow.wait_for(lambda: ("copy", 0) in airflow.tasks(run))
    # The first checkpoint comes after three seconds.
    airflow.wait_for(lambda: (airflow.stored(run, "copy", "checkpoint", 0) or {"tally": {"rows": 0}})["tally"]["rows"])
    return run


def end(airflow: Airflow, run: str) -> None:
    """Let it run, as fast as it can, to a green end."""
    airflow.target.faults.clear()
    airflow.wait_for(lambda: airflow.state(run) in ("success", "failed"))
    assert airflow.state(run) == "success"


def arrived(airflow: Airflow, target: str) -> int:
    return int(str(airflow.target.execute(f"select count(*) from {target}.meters")[0][0]))


def assert_equal(airflow: Airflow, target: str) -> None:
    source, arrived = (
        [sorted(box.execute(f"select * from {name}.d{i}")) for i in range(TABLES)]
        for box, name in ((airflow.source, "grid"), (airflow.target, target))
    )
    assert arrived == source


def change(airflow: Airflow, value: int) -> None:
    """Give a row another value; neither number of rows nor first and last timestamp say so."""
    airflow.source.execute(f"insert into grid.d0 values ({T + 5000}, {-value})")


def kill_task(airflow: Airflow, run: str) -> None:
    """As the kernel does when memory runs out."""
    os.kill(airflow.tasks(run)["copy", 0]["pid"], signal.SIGKILL)


def kill_scheduler(airflow: Airflow, run: str) -> None:
    """With LocalExecutor, its workers are part of it."""
    airflow.kill("scheduler")
    airflow.ui.start_part("scheduler")


def clear_task(airflow: Airflow, run: str) -> None:
    airflow.clear(run, "copy")


@pytest.mark.parametrize("interrupt", [kill_task, kill_scheduler, clear_task], ids=lambda function: function.__name__)
def test_an_interrupted_copy_goes_on_from_its_checkpoint(
    grid: Airflow, interrupt: Callable[[Airflow, str], None]
) -> None:
    before, target = grid.source.rows_read, interrupt.__name__
    run = start(grid, target)
    first = grid.tasks(run)["copy", 0]["pid"]
    interrupt(grid, run)
    grid.wait_for(lambda: not is_alive(first))
    done = arrived(grid, target)
    assert 0 < done < TABLES * ROWS
    end(grid, run)
    assert_equal(grid, target)
    assert grid.tasks(run)["copy", 0]["try_number"] == 2
    grid.wait_for(lambda: "goes on after" in grid.log(run, "copy", 0, attempt=2))
    again = grid.source.rows_read - before - TABLES * ROWS
    print(f"interrupted after {done} rows; {again} rows were read again")
    assert again < done


def test_a_copy_is_not_repeated_after_a_pause_of_its_dag_or_a_clear(grid: Airflow) -> None:
    before = grid.source.rows_read
    # The comparison would read rows, too, and mend what is changed.
    run = start(grid, "paused", verify="none")
    grid.unpause(DAG, paused=True)
    grid.target.faults.clear()
    grid.wait_for(lambda: grid.tasks(run)["copy", 0]["state"] == "success")
    assert grid.state(run) == "running"
    grid.unpause(DAG)
    end(grid, run)
    assert_equal(grid, "paused")
    assert grid.tasks(run)["copy", 0]["try_number"] == 1
    change(grid, 1)
    grid.clear(run, "copy")
    end(grid, run)
    assert grid.tasks(run)["copy", 0]["try_number"] == 2
    assert grid.source.rows_read - before == TABLES * ROWS


def test_a_cleared_copy_starts_over_by_force(grid: Airflow) -> None:
    run = grid.run({"source_database": "grid", "target_database": "forced", "force": True, "verify": "none"})
    change(grid, 2)
    before = grid.source.rows_read
    grid.clear(run, "copy")
    end(grid, run)
    assert grid.tasks(run)["copy", 0]["try_number"] == 2
    assert grid.source.rows_read - before == TABLES * ROWS
    assert_equal(grid, "forced")


def test_following_goes_on_from_its_watermark_after_the_triggerer_was_killed(airflow: Airflow) -> None:
    execute, target = airflow.source.execute, airflow.target
    execute("create database line precision 'ms' keep 36500")
    execute("create table line.plain (ts timestamp, v int)")
    execute("insert into line.plain values " + "".join(f"({T + row},{row})" for row in range(HISTORY)))
    run = airflow.trigger({"source_database": "line", "mode": "both", "poll_interval": 1})

    def follow(key: str) -> object:
        return airflow.tasks(run).get(("follow", 0), {}).get(key)

    airflow.wait_for(lambda: follow("state") == "deferred")
    before = airflow.source.rows_read
    airflow.kill("triggerer")
    execute(f"insert into line.plain values ({int(time.time() * 1000)}, -1)")
    airflow.ui.start_part("triggerer")
    airflow.wait_for(lambda: target.execute("select count(*) from line.plain") == [(HISTORY + 1,)])
    airflow.wait_for(lambda: follow("state") == "deferred")
    assert follow("try_number") == 1
    assert airflow.source.rows_read - before < HISTORY, "old rows are not read again"
    airflow.set_state(run, "follow", "success", 0)
    airflow.wait_for(lambda: airflow.state(run) == "success")


def test_a_follow_outlives_more_kills_than_it_has_retries(airflow: Airflow) -> None:
    airflow.source.execute("create database mill precision 'ms' keep 36500")
    airflow.source.execute("create table mill.plain (ts timestamp, v int)")
    airflow.unpause(FRAGILE)
    run = airflow.trigger({"source_database": "mill", "mode": "realtime", "poll_interval": 0.5}, FRAGILE)

    def follow(key: str) -> Any:
        return airflow.tasks(run, FRAGILE).get(("follow", 0), {}).get(key)

    def has_come(rows: int) -> bool:
        reached = airflow.stored(run, "follow", "checkpoint", 0, FRAGILE) or {}
        if reached.get("rows", 0) < rows or follow("state") != "running":
            return False
        # The checkpoint counts those again that were read once more.
        return len(airflow.target.execute("select * from mill.plain")) == rows

    for number in range(3):
        airflow.source.execute(f"insert into mill.plain values ({int(time.time() * 1000)}, {number})")
        airflow.wait_for(lambda number=number: has_come(number + 1))  # type: ignore[misc]
        if number < 2:
            os.kill(follow("pid"), signal.SIGKILL)
            airflow.wait_for(lambda: follow("state") != "running")
    assert follow("try_number") == 3, "with one retry"
    assert len(airflow.target.execute("select * from mill.plain")) == 3
    airflow.set_state(run, "follow", "success", 0, FRAGILE)
    airflow.wait_for(lambda: airflow.state(run, FRAGILE) == "success")
