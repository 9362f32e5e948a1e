"""Rows that the target refused: held against what the copy tasks say, brought back, and accounted for."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import Asset, ObjectStoragePath

from airflow_provider_tdengine.compat import AirflowFailException, AirflowSkipException
from airflow_provider_tdengine.operators.comparison import TDengineVerifyOperator
from airflow_provider_tdengine.operators.dead_letters import (
    TDengineDeadLettersOperator,
    TDengineReplayDeadLettersOperator,
)
from airflow_provider_tdengine.operators.migration import (
    TDenginePlanOperator,
    TDengineRangeMigrationOperator,
    TDengineSchemaSyncOperator,
)

from .conftest import Plant, dag_run, task_instance

T = 1609459200000

FAR = 9_999_999_999_999
"""A moment that milliseconds can count, and nanoseconds cannot."""


def context(pushed: dict[str, Any] | None = None) -> Any:
    said = {} if pushed is None else pushed
    instance = task_instance("copy", 0, xcom_push=lambda key, value: said.update({key: value}))
    run = dag_run(datetime.now(timezone.utc) + timedelta(hours=1))
    return {"ti": instance, "dag_run": run, "dag": SimpleNamespace(dag_id="m", max_active_tasks=16)}


@pytest.fixture(params=["file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder of a file system, and one of an object storage."""
    if request.param == "file":
        return f"file://{tmp_path}"
    place = f"memory://{uuid4().hex}"
    try:
        ObjectStoragePath(place).exists()
    except ValueError as error:  # Airflow 3.1
        pytest.skip(str(error))
    return place


class Events:
    """What assets are told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def __getitem__(self, key: object) -> Events:
        return self

    def add(self, asset: Asset, extra: Any = None) -> None:
        self.said.append((asset.uri, extra))


class Refusing:
    """A migration into a database of nanoseconds, which refuses a row of each of three subtables."""

    def __init__(self, plant: Plant, url: str) -> None:
        self.plant = plant
        self.url = url
        self.options = {
            "source_database": "plant",
            "target_database": "nano",
            "database_options": "PRECISION 'ns'",
            "on_error": "dead_letter",
            "dead_letter_path": url,
        }
        plant.source.execute("create stable plant.w (ts timestamp, due timestamp) tags (g int)")
        for i in range(3):
            plant.source.execute(f"create table plant.w{i} using plant.w tags ({i})")
            plant.source.execute(f"insert into plant.w{i} values ({T + i},{FAR})")
        plant.source.execute(f"insert into plant.w0 values ({T + 10},{T})")
        plant.source.execute(f"insert into plant.w1 values ({T + 10},{T})")
        TDengineSchemaSyncOperator(task_id="sync_schema", options=self.options).execute(context())
        batches = TDenginePlanOperator(task_id="plan", options=self.options).execute(context())
        self.copied = [self.copy(batch) for batch in batches]

    def copy(self, batch: dict[str, Any]) -> dict[str, Any]:
        return TDengineRangeMigrationOperator(task_id="copy", options=self.options, batch=batch).execute(context())

    def verify(self, **options: object) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
        """What the comparison came to, and the events of assets."""
        events = Events()
        operator = TDengineVerifyOperator(task_id="verify", options={**self.options, **options})
        return operator.execute({**context(), "outlet_events": events}), events.said

    def look(self, copied: Any = None, task_id: str = "dead_letters", pushed: dict[str, Any] | None = None) -> None:
        TDengineDeadLettersOperator(task_id=task_id, options=self.options, copied=copied).execute(context(pushed))

    def correct(self) -> None:
        """Somebody writes another moment into each letter."""
        for file in ObjectStoragePath(self.url).rglob("*.jsonl"):
            file.write_text(file.read_text().replace(str(FAR), str(T)))

    def replay(self) -> int:
        return TDengineReplayDeadLettersOperator(
            task_id="replay", path=self.url, target_database="nano", retries=0
        ).execute(context())

    def arrived(self) -> list[tuple[object, ...]]:
        return sorted(self.plant.target.execute("select tbname, ts, due from nano.w"))


@pytest.fixture
def refusing(plant: Plant, storage: str) -> Refusing:
    return Refusing(plant, storage)


def test_the_way_of_a_refused_row(refusing: Refusing, caplog: pytest.LogCaptureFixture) -> None:
    (copied,) = refusing.copied
    assert (copied["rows"], copied["rejected"], copied["expired"]) == (2, 3, 0)
    assert copied["dead_letters"].startswith(f"{refusing.url}/m/r/copy/w-")
    for known in (refusing.copied, None):
        with pytest.raises(AirflowFailException) as failed:
            refusing.look(known)
        text = str(failed.value)
        assert "The target refused 3 rows; dead letters keep them in\n  " in text
        assert "/m/r\n  w0: 1 row\n  w1: 1 row\n  w2: 1 row\n  → Each line of its files says why" in text
        assert "on this host" not in text
    pushed: dict[str, Any] = {}
    with pytest.raises(AirflowFailException):
        refusing.look(refusing.copied, pushed=pushed)
    letters = pushed["letters"]
    assert (letters["rows"], letters["folder"].endswith("/m/r")) == (3, True)
    assert [(one["table"], one["row"]) for one in letters["first"]] == [(f"w{i}", str(T + i)) for i in range(3)]
    with pytest.raises(AirflowFailException, match="0 rows arrived, 3 are still refused"):
        refusing.replay()
    refusing.correct()
    assert refusing.replay() == 3
    late = [(f"w{i}", (T + 10) * 10**6, T * 10**6) for i in range(2)]
    assert refusing.arrived() == sorted([*late, *((f"w{i}", (T + i) * 10**6, T * 10**6) for i in range(3))])
    assert refusing.replay() == 0
    with caplog.at_level(logging.INFO):
        refusing.look(refusing.copied)
        refusing.look()
    assert caplog.messages.count("All of them have been brought back") == 2


def test_rows_that_were_refused_are_not_equal(plant: Plant, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Log, XCom and certificate said that all was equal, and assets were told of rows that were not there."""
    refusing = Refusing(plant, f"file://{tmp_path / 'letters'}")
    plant.source.execute("create table plant.n (ts timestamp, v double)")
    plant.source.execute(f"insert into plant.n values ({T},1)")
    plant.target.execute("create table nano.n (ts timestamp, v double)")
    plant.target.execute(f"insert into nano.n values ({T}000000,1)")
    with caplog.at_level(logging.INFO):
        found, events = refusing.verify(certificate_path=f"file://{tmp_path}")
    assert (found["verdict"]["kind"], found["verdict"]["words"]) == ("equal_but", "3 of 6 rows arrived, 3 refused")
    (level,) = [level for _, level, text in caplog.record_tuples if "verdict             3 of 6 rows arrived" in text]
    assert level == logging.WARNING
    assert "No asset event for w: 2 of 5 rows arrived, 3 refused" in caplog.messages
    told = {uri.rpartition("/")[2]: (extra["rows"], extra["verdict"]) for uri, extra in events}
    assert told == {"m": (0, "Equal: 0 rows in 0 tables"), "nano": (1, "Equal: 1 row in 1 table")}
    certificate = json.loads((tmp_path / "m" / "r" / "verify-0" / "certificate.json").read_text(encoding="utf-8"))
    assert certificate["equal"] is False
    assert certificate["super_tables"]["w"]["refused"] == 3
    page = (tmp_path / "m" / "r" / "verify-0" / "certificate.html").read_text(encoding="utf-8")
    assert "3 of 6 rows arrived, 3 refused" in page
    assert "The target refused 3 rows; dead letters keep them." in page
    assert "equal" not in re.sub(r"<[^>]*>", "", page.partition("</style>")[2]).lower()
    refusing.correct()
    refusing.replay()
    for i in range(3):
        plant.source.execute(f"insert into plant.w{i} values ({T + i},{T})")
    assert sorted(extra["verdict"] for _, extra in refusing.verify()[1]) == [
        "Equal: 0 rows in 0 tables",
        "Equal: 1 row in 1 table",
        "Equal: 5 rows in 3 tables",
    ]


def test_what_was_not_compared_is_not_said_to_be_equal(plant: Plant, tmp_path: Path) -> None:
    found, events = Refusing(plant, f"file://{tmp_path}").verify(verify="none")
    assert found["verdict"]["words"] == "Not compared: verify is none, schema is always, mode is history"
    assert events == []


def test_files_that_only_another_host_has(refusing: Refusing) -> None:
    """The task was skipped, and the run green."""
    (copied,) = refusing.copied
    there = ObjectStoragePath(copied["dead_letters"])
    letters = sorted(there.glob("*.jsonl"), key=str)
    letters[0].unlink()
    with pytest.raises(AirflowFailException) as failed:
        refusing.look(refusing.copied)
    text = str(failed.value)
    assert "The target refused 2 rows; dead letters keep them in\n  " in text
    assert "The copy tasks report 3 refused rows; 2 of them are in " in text
    assert f"\n  {copied['dead_letters']}: 3 rows, 2 of them here\n  → Bring them back on those hosts" in text
    for file in letters[1:]:
        file.unlink()
    with pytest.raises(AirflowFailException, match=r"^The copy tasks report 3 refused rows; 0 of them are in "):
        refusing.look(refusing.copied)


def test_letters_of_other_tasks_stand_for_none(refusing: Refusing) -> None:
    """A follow of the same run keeps letters, too; those of the copy are missing all the same."""
    (copied,) = refusing.copied
    there = ObjectStoragePath(copied["dead_letters"])
    for file in there.glob("*.jsonl"):
        moved = there.parent.parent / "follow-0"
        moved.mkdir(exist_ok=True)
        file.replace(moved / file.name)
    with pytest.raises(AirflowFailException, match=r"(?s)The target refused 3 rows.*report 3 refused rows; 0 of them"):
        refusing.look(refusing.copied)


def test_another_migration_of_the_dag_has_its_own(refusing: Refusing) -> None:
    with pytest.raises(AirflowSkipException, match="There are no dead letters"):
        refusing.look([], "south.dead_letters")


@pytest.mark.parametrize("copied", [None, [], [None], [{"rejected": 0, "dead_letters": None}]])
def test_without_refused_rows_it_is_skipped(tmp_path: Path, copied: Any) -> None:
    options = {"source_database": "a", "on_error": "dead_letter", "dead_letter_path": str(tmp_path)}
    with pytest.raises(AirflowSkipException, match="There are no dead letters"):
        TDengineDeadLettersOperator(task_id="d", options=options, copied=copied).execute(context())


def test_where_refused_rows_fail_the_copy_it_is_skipped() -> None:
    with pytest.raises(AirflowSkipException, match="Refused rows fail the copy"):
        TDengineDeadLettersOperator(task_id="d", options={"source_database": "a"}).execute(context())
