"""Whole servers assessed: random databases are found with all their rows, and what is said of them is right."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.assessment_options import AssessmentOptions
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.documents import content_hash
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning import (
    Machines,
    Survey,
    assessment_page,
    databases_meant,
    machines,
    speed,
    survey,
    survey_document,
    survey_lines,
)
from airflow_provider_tdengine.testing import TDengineBox

from ..conftest import Pair, address
from .test_assessment import text_of

DAY = 86_400


class Plants:
    """Random databases of a server: of each, its rows by their age in days.

    Parameters:
        box: the server.
        seed: of chance.
    """

    def __init__(self, box: TDengineBox, seed: str) -> None:
        self.box = box
        chance = random.Random(seed)
        self.ages: dict[str, list[float]] = {}
        self.tables: dict[str, int] = {}
        box.execute("create database empty")
        for place in range(3):
            name, keep = f"plant_{place}", chance.choice([1000, 3650])
            precision = chance.choice(["ms", "us"])
            box.execute(f"create database {name} precision '{precision}' keep {keep}")
            box.execute(f"create stable {name}.meters (ts timestamp, v double, note binary(20)) tags (g int)")
            box.execute(f"create table {name}.plain (ts timestamp, v int)")
            self.ages[name], self.tables[name] = [], 0
            for table in ("plain", *(f"d{i}" for i in range(chance.randrange(3, 20)))):
                self._fill(name, table, chance, 1000 if precision == "ms" else 1_000_000)

    @property
    def box_address(self) -> str:
        """Without a password."""
        return str(address(self.box))

    @property
    def url(self) -> str:
        """With a password."""
        return self.box_address.replace("//", "//root:taosdata@")

    def _fill(self, name: str, table: str, chance: random.Random, per_second: int) -> None:
        if table != "plain":
            self.box.execute(f"create table {name}.{table} using {name}.meters tags (1)")
        ages = [chance.uniform(0.1, 30) for _ in range(chance.randrange(0, 20))]
        values = "1" if table == "plain" else "1.5, 'x'"
        rows = "".join(f"({int((time.time() - age * DAY) * per_second)}, {values})" for age in ages)
        if ages:
            self.box.execute(f"insert into {name}.{table} values {rows}")
        self.ages[name] += ages
        self.tables[name] += bool(ages)


@pytest.fixture(params=["2.4.0.18", "3.0.5.2", "3.3.3.0"], ids=lambda version: f"from-{version}", scope="module")
def plants(request: pytest.FixtureRequest, boxes: Callable[[str], TDengineBox]) -> Plants:
    return Plants(boxes(f"{request.param} plants"), request.param)


@pytest.fixture
def target(boxes: Callable[[str], TDengineBox]) -> Client:
    return Client(address(boxes("3.3.3.0 new plant")))


def look(plants: Plants, target: Client, **values: object) -> Survey:
    options = AssessmentOptions.checked({"source_conn_ids": "old", **values})
    return looked({"old": Client(address(plants.box))}, target, options)


def looked(sources: dict[str, Client], target: Client, options: AssessmentOptions) -> Survey:
    meant = databases_meant(sources, target, options)
    return survey(meant, sources, target, options, datetime.now(timezone.utc))


def test_all_that_is_there_is_found(plants: Plants, target: Client) -> None:
    found = look(plants, target)
    by_name = {one.found.source["database"]: one for one in found.databases}
    assert by_name.keys() == {"empty", *plants.ages}
    assert [finding.object for finding in found.blockers] == ["Option 'source_database'"], "one has no tables"
    assert not by_name["empty"].is_work
    for name, ages in plants.ages.items():
        one = by_name[name]
        assert (one.found.rows, one.found.tables) == (len(ages), plants.tables[name])
        assert one.found.growth.rows == pytest.approx(sum(age < 7 for age in ages) / 7)
        assert one.seconds > 0
        assert one.proposal is not None
        assert f"CREATE DATABASE IF NOT EXISTS `{name}`" in one.proposal.statement
    assert {slot.database for slot in found.schedule.slots} == set(plants.ages)
    assert set(Catalog(target, "").database_names()) == {"information_schema", "performance_schema"}
    assert "was not measured: writing was not allowed" in found.speed.how


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_its_document_says_it_to_people_and_to_programs(plants: Plants, target: Client) -> None:
    found = look(plants, target, databases="plant_*", window_hours=1, name="all plants")
    document: Any = survey_document(found, datetime.now(timezone.utc))
    assert json.loads(json.dumps(document)) == document
    assert document["sha256"] == content_hash(document)
    rows = sum(map(len, plants.ages.values()))
    assert (document["rows"], document["counts"]["blocker"]) == (rows, 0)
    assert document["schedule"]["words"].startswith("All fit into 1 h. 3 databases take about ")
    text = text_of(document)
    assert f"all plants Assessed on {found_day(document)}" in text
    assert f"Databases 3 Rows {rows:,} Tables with rows" in text
    for name, ages in plants.ages.items():
        assert f"{name} {len(ages):,} {plants.tables[name]} under" in text
    for said in ("When each is copied", "What the target needs", "Nothing was written to any database", "Options"):
        assert said in text
    assert any(line.startswith("  plant_0: ") for line in survey_lines(document))
    assert "<script" not in assessment_page(document)


def found_day(document: dict[str, Any]) -> str:
    moment = datetime.fromisoformat(document["made"])
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def test_a_trial_measures_both_servers_and_leaves_nothing(
    plants: Plants, target: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_FEWEST_ROWS", 10)
    monkeypatch.setattr(speed, "_FEWEST_TABLES", 2)
    found = look(plants, target, databases="plant_*", measure_writing=True)
    assert {"sparse", "tables"} <= found.speed.measured.keys()
    assert found.speed.how.startswith("Measured by a trial with both servers: ")
    assert set(Catalog(target, "").database_names()) == {"information_schema", "performance_schema"}
    document = survey_document(found, datetime.now(timezone.utc))
    assert "Some rows were copied into scratch databases of the target, which were dropped" in text_of(document)


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_a_target_that_refuses_the_trial_is_no_failure(
    plants: Plants, target: Client, monkeypatch: pytest.MonkeyPatch, boxes: Callable[[str], TDengineBox]
) -> None:
    monkeypatch.setattr(speed, "_FEWEST_ROWS", 10)
    boxes("3.3.3.0 new plant").faults.answer_with(0x0303, "Insufficient privilege", times=2, matching="create database")
    found = look(plants, target, databases="plant_1", measure_writing=True)
    assert not found.speed.measured
    assert "a trial failed" in found.speed.how


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_a_scratch_database_that_stays_is_named(
    plants: Plants, target: Client, monkeypatch: pytest.MonkeyPatch, boxes: Callable[[str], TDengineBox]
) -> None:
    monkeypatch.setattr(speed, "_FEWEST_ROWS", 10)
    faults = boxes("3.3.3.0 new plant").faults
    faults.answer_with(0x0303, "Insufficient privilege", matching="drop database")
    found = look(plants, target, databases="plant_1", measure_writing=True)
    faults.clear()
    (name,) = set(Catalog(target, "").database_names()) - {"information_schema", "performance_schema"}
    target.rows(f"drop database {name}")
    assert found.speed.measured
    assert f"A trial failed, in database {name} (" in found.speed.how
    text = text_of(survey_document(found, datetime.now(timezone.utc)))
    assert "one of a trial that failed may be there still" in text


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_databases_of_several_servers_that_would_become_one(
    plants: Plants, target: Client, boxes: Callable[[str], TDengineBox]
) -> None:
    other = boxes("3.3.3.0 other plant")
    other.execute("create database if not exists plant_0")
    other.execute("create table if not exists plant_0.t (ts timestamp, v int)")
    sources = {"north": Client(address(plants.box)), "south": Client(address(other))}
    options = AssessmentOptions.checked({"source_conn_ids": "north, south", "databases": "plant_0, plant_1"})
    found = looked(sources, target, options)
    assert [one.place for one in found.databases] == [
        (str(plants.box_address), "plant_0"),
        (str(plants.box_address), "plant_1"),
        (str(sources["south"].address), "plant_0"),
    ]
    (finding,) = found.findings
    assert finding.object == "Database 'plant_0'"
    assert "have one of that name" in finding.found
    assert f"plant_0 ({sources['south'].address})" in text_of(survey_document(found, datetime.now(timezone.utc)))


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_users_of_a_server_are_said_once(plants: Plants, target: Client) -> None:
    plants.box.execute("create user ops pass 'Secret_1x'")
    found = look(plants, target, databases="plant_*")
    said = [finding for finding in found.all_findings if "'ops'" in finding.object]
    assert [finding.object for finding in said] == [f"User 'ops' of {plants.box_address}"]


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_is_copied_onto_itself(plants: Plants, host: str) -> None:
    found = look(plants, Client(replace(address(plants.box), host=host)), databases="plant_*")
    assert {finding.object for finding in found.blockers} == {"Options 'source_conn_id' and 'target_conn_id'"}
    assert (len(found.blockers), found.schedule.slots) == (3, [])
    assert "0 of 3 databases can be copied" in text_of(survey_document(found, datetime.now(timezone.utc)))


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_a_server_that_goes_away_is_no_finding(plants: Plants, target: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PATIENCE", 0.1)
    plants.box.faults.answer_with(0x000B, "Unable to establish connection", times=10_000, matching="ins_stables")
    try:
        with pytest.raises(TDengineError, match="Unable to establish connection"):
            look(plants, target, databases="plant_*")
    finally:
        plants.box.faults.clear()


def test_what_is_wrong_with_options_is_said_at_once() -> None:
    with pytest.raises(MigrationStopped) as stopped:
        AssessmentOptions.checked(
            {"source_conn_ids": " ", "window_hours": -1, "database_options": "VGROUPS", "x": 1, "workers": "many"}
        )
    assert {finding.object for finding in stopped.value.findings} == {
        f"Option {name!r}" for name in ("source_conn_ids", "window_hours", "database_options", "x", "workers")
    }


@pytest.mark.parametrize("url", ["ws://root:secret@a:6041, b", "ws://root:secret@a:6041"])
def test_an_address_is_no_connection_and_not_repeated(url: str) -> None:
    with pytest.raises(MigrationStopped) as stopped:
        AssessmentOptions.checked({"source_conn_ids": url})
    assert "secret" not in str(stopped.value)


@pytest.mark.parametrize("plants", ["3.3.3.0"], indirect=True)
def test_on_the_command_line(
    plants: Plants, target: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The exit status says whether something stands in the way, and passwords are in no document."""
    call = [
        "assess",
        "--source-conn-ids",
        plants.url,
        "--target-conn-id",
        str(target.address).replace("//", "//root:taosdata@"),
    ]
    assert cli.main([*call, "--databases", "plant_*", "--json", "--certificate-path", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[0])
    assert document["rows"] == sum(map(len, plants.ages.values()))
    assert json.loads((tmp_path / "assessment.json").read_text(encoding="utf-8")) == document
    html = (tmp_path / "assessment.html").read_text(encoding="utf-8")
    assert "taosdata" not in html + json.dumps(document)
    assert cli.main([*call, "--window-hours", "2"]) == 1
    out = capsys.readouterr().out
    for said in (
        "plant_2 ",
        "All fit into 2 h.",
        "What the target needs",
        "What stands in the way (1):",
        "empty: Option",
    ):
        assert said in out
    assert "…" not in out.partition("What stands")[0], "what goes into a file is not cut"
    assert cli.main([*call, "--databases", "plant_x"]) == 2
    assert "Perhaps 'plant_" in capsys.readouterr().out
    assert cli.main([*call, "--workers", "0"]) == 2
    capsys.readouterr()
    assert cli.main(["assess", "--source-conn-ids", "ws://127.0.0.1:1", plants.url, *call[3:]]) == 2
    out = capsys.readouterr().out
    assert "Option 'source_conn_ids': Nothing listens at ws://127.0.0.1:1" in out


@pytest.mark.source(boxes=False)
def test_what_servers_say_of_their_machines(pair: Pair) -> None:
    """Cores of both, memory and room for vnodes of 3.x."""
    source, target = map(machines, pair.catalogs)
    assert source.nodes == target.nodes == 1
    assert source.cores
    assert target.cores
    assert (target.memory or 0) > 10**8
    assert (target.free_vnodes or 0) > 0
    assert pair.source.generation == 3 or source.free_vnodes is None


def test_a_box_says_little_of_its_machines(target: Client) -> None:
    assert machines(Catalog(target, "")) == Machines(1, None, None, 2, 16)
