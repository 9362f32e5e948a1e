"""What a migration is doing, how far it is, and what can be done with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_tdengine.page.migrations import Cell, Migration, Progress, Run, Stage, State
from airflow_provider_tdengine.page.numbers import lags, speed, totals
from airflow_provider_tdengine.page.showing import rendered
from airflow_provider_tdengine.page.steering import Unfinished, actions
from airflow_provider_tdengine.page.wanted import Wanted

from .conftest import NOW

RUN = Run(1, "m", "manual__2026-11-27T08:00:00+00:00", "running", NOW, NOW - timedelta(minutes=5))


def migration(run: Run = RUN, options: dict[str, object] | None = None, **states: str) -> Migration:
    """With stages of these states, several in a word for several instances."""
    stages = {}
    for name, text in states.items():
        counts: dict[str, int] = {}
        for state in text.split():
            counts["" if state == "none" else state] = counts.get("" if state == "none" else state, 0) + 1
        stages[name] = Stage(name, name, counts, NOW - timedelta(minutes=4), NOW - timedelta(minutes=2))
    return Migration(run, "", stages, options or {"source_database": "plant"})


CASES: dict[str, tuple[str, dict[str, str], dict[str, object], State]] = {
    "queued": ("queued", {"resolve": "none"}, {}, State.CREATED),
    "resolving": ("running", {"resolve": "running", "plan": "none"}, {}, State.RUNNING),
    "between two tasks": ("running", {"resolve": "success", "plan": "none"}, {}, State.WAITING),
    "no slot": ("running", {"resolve": "success", "plan": "queued"}, {}, State.WAITING),
    "next try": ("running", {"copy": "success up_for_retry", "verify": "none"}, {}, State.WAITING),
    "one fails, one goes on": ("running", {"copy": "failed running"}, {}, State.RUNNING),
    "follows": ("running", {"copy": "success", "follow": "deferred"}, {"mode": "both"}, State.FOLLOWING),
    "follow fails": ("failed", {"copy": "success", "follow": "failed"}, {"mode": "both"}, State.FAILED),
    "done": ("success", {"copy": "success", "follow": "skipped"}, {}, State.COMPLETED),
    "dry": ("success", {"plan": "success", "copy": "skipped"}, {"dry_run": True}, State.DRY_RUN),
    "dry with blockers": ("failed", {"plan": "failed", "copy": "upstream_failed"}, {"dry_run": True}, State.FAILED),
    "letters": ("failed", {"certify": "success", "dead_letters": "failed"}, {}, State.DEAD_LETTERS),
    "different": ("failed", {"certify": "failed", "dead_letters": "skipped"}, {}, State.FAILED),
    "failed otherwise": ("failed", {"copy": "success"}, {}, State.FAILED),
}


@pytest.mark.parametrize("case", CASES)
def test_states(case: str) -> None:
    state, stages, options, expected = CASES[case]
    run = replace(RUN, state=state, started=None if state == "queued" else RUN.started)
    assert migration(run, {"source_database": "plant", **options}, **stages).state is expected


def test_only_a_note_tells_a_pause_from_a_failure() -> None:
    run = replace(RUN, state="failed", note="Paused by eve")
    assert migration(run, copy="failed skipped").state is State.PAUSED
    assert migration(replace(run, note="Not Paused by eve"), copy="failed skipped").state is State.FAILED
    assert migration(replace(run, state="running"), copy="running").state is State.RUNNING


def test_it_is_never_100_percent_before_all_batches_are_done() -> None:
    one = migration(copy="success running")
    planned = {"rows": 100, "batches": 2}
    for rows, share in ((0, 0), (50, 0.5), (100, 0.999), (150, 0.999)):
        assert replace(one, planned=planned, progress=Progress(rows)).share == share
    done = migration(copy="success success")
    # Rows have gone since they were counted.
    assert replace(done, planned=planned, progress=Progress(90)).share == 1
    assert replace(one, planned={"rows": 0, "batches": 2}).share == 0.5
    assert one.share is None


def test_time_left_is_said_only_where_it_is_known() -> None:
    one = replace(migration(copy="running"), planned={"rows": 1000, "batches": 2})
    assert replace(one, progress=Progress(400, rate=10.0)).left(NOW) == 60
    assert replace(one, progress=Progress(400, rate=0.0)).left(NOW) is None
    assert replace(one, progress=Progress(1400, rate=10.0)).left(NOW) is None


def test_a_name_is_the_option_s_or_the_databases() -> None:
    for options, name in (
        ({"source_database": "a", "target_database": "b", "name": "north"}, "north"),
        ({"source_database": "a", "target_database": "b"}, "a to b"),
        ({"source_database": "a", "target_database": ""}, "a"),
        ({}, RUN.run_id),
    ):
        assert Migration(RUN, "", {}, options).name == name


def test_filters_and_order() -> None:
    found = [
        replace(
            migration(replace(RUN, created=NOW + timedelta(minutes=number)), options, copy=state), group=str(number)
        )
        for number, (options, state) in enumerate(
            [
                ({"source_database": "Alpha", "mode": "both"}, "running"),
                ({"source_database": "beta", "target_database": "alphabet"}, "queued"),
                ({"source_database": "gamma", "name": "x"}, "running"),
            ]
        )
    ]

    def shown(**wanted: Any) -> str:
        return "".join(one.group for one in Wanted(**wanted).of(found, NOW))

    assert shown() == "210"
    assert shown(is_reversed=False) == "012"
    assert shown(database="ALPHA") == "10"
    assert shown(state="running") == "20"
    assert shown(mode="both") == "0"
    assert shown(name="X") == "2"
    assert shown(sort="source", is_reversed=False) == "012"


def buttons(one: Migration, *, deletes: bool = True, has_store: bool = True) -> dict[str, Any]:
    unfinished = Unfinished([("copy", 1), "certify"], ["copy"])
    return {action.label: action for action in actions(one, unfinished, "eve", has_store=has_store, deletes=deletes)}


def test_which_buttons_there_are() -> None:
    assert list(buttons(migration(copy="running"))) == ["Pause"]
    over = replace(RUN, state="failed")
    assert list(buttons(migration(replace(over, note="Paused by x")))) == ["Resume", "Start over", "Delete"]
    assert list(buttons(migration(over, copy="failed"))) == ["Retry failed", "Start over", "Delete"]
    assert list(buttons(migration(over, copy="failed"), deletes=False)) == ["Retry failed"]
    done = replace(migration(replace(RUN, state="success"), copy="success"), verdict={"kind": "equal"})
    assert list(buttons(done)) == ["Compare again", "Start over", "Delete"]
    assert {label for label, one in buttons(done).items() if one.question} == {"Start over", "Delete"}


def test_a_pause_is_a_note_before_the_old_one_and_a_resume_takes_it_away() -> None:
    (pause,) = buttons(migration(replace(RUN, note="ours"), copy="running"))["Pause"].requests
    assert (pause.method, pause.body) == ("PATCH", {"state": "failed", "note": "Paused by eve\nours"})
    assert pause.path == "/api/v2/dags/m/dagRuns/manual__2026-11-27T08%3A00%3A00%2B00%3A00"
    paused = migration(
        replace(RUN, state="failed", note="Paused by eve\nours\nplant → plant, history: paused"), copy="failed failed"
    )
    done, clear, note = buttons(paused)["Resume"].requests
    assert done.path == f"{pause.path}/taskInstances/copy"
    assert done.body == {"new_state": "success"}
    assert clear.path == "/api/v2/dags/m/clearTaskInstances"
    assert clear.body == {
        "dry_run": False,
        "dag_run_id": RUN.run_id,
        "only_failed": False,
        "reset_dag_runs": True,
        "task_ids": [("copy", 1), "certify"],
    }
    assert note.body == {"note": "ours\nplant → plant, history"}


def test_finishing_ends_the_task_that_follows_well_and_leaves_the_rest_to_the_one_behind_it() -> None:
    following = migration(options={"mode": "both"}, copy="success", follow="deferred deferred", finish="none")
    assert list(buttons(following)) == ["Pause", "Finish"]
    (request,) = buttons(following)["Finish"].requests
    assert (request.method, request.body) == ("PATCH", {"new_state": "success"})
    assert request.path.endswith("/taskInstances/follow")
    assert "Finish" not in buttons(migration(copy="success", follow="deferred")), "a DAG of an earlier version"


def test_start_over_forgets_checkpoints_where_airflow_keeps_them() -> None:
    over = migration(replace(RUN, state="success"), plan="success", copy="success")
    paths = [(one.method, one.path.rpartition("/taskInstances/")[2]) for one in buttons(over)["Start over"].requests]
    assert paths == [
        ("DELETE", "plan/state-store?all_map_indices=true"),
        ("DELETE", "copy/state-store?all_map_indices=true"),
        ("POST", "/api/v2/dags/m/clearTaskInstances"),
    ]
    assert len(buttons(over, has_store=False)["Start over"].requests) == 1


def cell(index: int = 0, **values: Any) -> Cell:
    given = {"state": "success", "label": f"b{index}", "tries": 1, "started": NOW, "ended": NOW, **values}
    return Cell(index=index, **given)


def test_speed_is_spread_over_the_time_in_which_rows_came() -> None:
    at = NOW.timestamp()
    curve = speed(
        [
            cell(rows=800, seconds=80.0),
            cell(1, rows=400, state="running", ended=None, pace={"points": [[at - 40, 0, None], [at - 20, 400, None]]}),
        ],
        NOW,
    )
    assert curve is not None
    assert (curve.began, curve.ended) == (at - 80, at)
    step = (curve.ended - curve.began) / len(curve.values)
    assert sum(curve.values) * step == pytest.approx(1200)
    assert [round(curve.values[place], 6) for place in (0, 39, 50, 70)] == [10, 10, 30, 10]
    assert speed([], NOW) is None


def test_lag_is_that_of_the_slowest() -> None:
    at = NOW.timestamp()
    shards = [
        cell(0, pace={"points": [[at - 80, 0, 1.0], [at, 0, 2.0]]}),
        cell(1, pace={"points": [[at - 40, 0, 9.0]]}),
    ]
    curve = lags(shards)
    assert curve is not None
    assert (curve.values[0], curve.highest, curve.values[-1]) == (1.0, 9.0, 9.0)
    assert lags([cell()]) is None


def test_totals() -> None:
    one = replace(migration(copy="success running"), progress=Progress(150, 2, 2_000_000, 900, 7, 12.0))
    again = replace(one, run=replace(RUN, started=NOW - timedelta(minutes=1)))
    assert totals(again, [], None, None, NOW)["Execution time, this try"] == "1 min"
    cells = [cell(tables=3, tries=2), cell(1, tables=4, state="running")]
    found = totals(one, cells, {"tables": 8, "tags": 1}, {"super_tables": {"m": {}, "(normal tables)": {}}}, NOW)
    assert found == {
        "Super tables": 1,
        "Tables": 7,
        "Finished tables": 3,
        "Created tables": 8,
        "Updated tags": 1,
        "Rows": 150,
        "Refused rows": 2,
        "Points": 900,
        "Blocks": 7,
        "Written": "2.0 MB",
        "Batches at a time": 1,
        "Read concurrency": one.option("workers"),
        "Execution time": "4 min",
        "Copying, last tries": "12 s",
        "Tries": 2,
    }


FINDING = ("object", "found", "action", "severity")
EVIL = "</script><img src=x onerror=alert(1)>'\"&"


def test_names_and_errors_cannot_inject() -> None:
    one = migration(
        replace(RUN, run_id=EVIL, note=EVIL, user=EVIL), {"source_database": EVIL, "name": EVIL}, copy="running"
    )
    one = replace(one, group=EVIL, verdict={"kind": EVIL, "words": EVIL})
    text = rendered(
        "detail.html",
        airflow="",
        here="",
        version="1",
        migration=one,
        totals={EVIL: EVIL},
        batches=[cell(label=EVIL, state="failed")],
        shards=[],
        speed=None,
        lags=None,
        triggers=True,
        actions=list(buttons(one).values()),
        options={},
        replays=[EVIL],
        now=NOW,
        findings=[],
        assessment={
            "kind": EVIL,
            "words": EVIL,
            "tables": 1,
            "rows": 1,
            "seconds": 1,
            "disk": 1,
            "databases": [{"batches_in_all": 1, "findings": [dict.fromkeys(FINDING, EVIL)]}],
        },
        created=None,
        followed=None,
        certificate={"differences": [{"table": EVIL, "what": EVIL, "source": EVIL, "target": EVIL}], "different": 1},
        letters={"rows": 1, "folder": EVIL, "first": [{"table": EVIL, "row": EVIL, "reason": EVIL}]},
    )
    assert "<img" not in text
    assert text.count("<script") == text.count("</script") == 1
    assert "onerror=alert(1)&gt;" in text
