"""The command line with several databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.testing import TDengineBox

T = 1609459200000


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = cli.main(arguments)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_one_that_is_broken_stops_no_other_one_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TDengineBox("2.4.0.18") as source, TDengineBox() as target:
        for name in ("line_1", "line_2", "line_3", "plant"):
            source.execute(f"create database {name} keep 36500 update 1")
            source.execute(f"create table {name}.n (ts timestamp, v double)")
            source.execute(f"insert into {name}.n values ({T},1.5)({T + 1},2.5)")
        target.execute("create database line_2_new keep 36500")
        target.execute("create table line_2_new.n (ts timestamp, v timestamp)")
        call = ["--source-conn-id", source.url, "--target-conn-id", target.url]
        call += ["--state", str(tmp_path), "--target-database", "*_new", "--source-database"]
        status, said, _ = run(capsys, "migrate", *call, "line_*")
        assert status == 1
        assert "3 databases, 2 without failure" in said
        assert "Look above at line_2" in said
        assert target.execute("select v from line_3_new.n") == [(1.5,), (2.5,)]
        assert ("plant_new",) not in target.execute("show databases")
        target.execute("drop database line_2_new")
        assert run(capsys, "migrate", *call, "line_*")[0] == 0
        status, said, _ = run(capsys, "status", "--json", *call, "line_*")
        counts = [json.loads(line) for line in said.splitlines()]
        assert counts == [{f"line_{i}": {"n": {"source": 2, "target": 2}}} for i in (1, 2, 3)]
        status, said, _ = run(capsys, "migrate", *call, "Line_1, plant")
        assert status == 2
        assert "Perhaps 'line_1' is meant" in said


def test_one_that_only_a_pattern_means_may_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TDengineBox() as source, TDengineBox() as target:
        source.execute("create database line_1 keep 36500")
        source.execute("create table line_1.n (ts timestamp, v double)")
        source.execute(f"insert into line_1.n values ({T},1.5)")
        source.execute("create database line_2")
        call = ["--source-conn-id", source.url, "--target-conn-id", target.url]
        call += ["--state", str(tmp_path), "--target-database", "*_new", "--source-database"]
        status, said, _ = run(capsys, "migrate", *call, "line_*")
        assert (status, "It has no tables, and is left out" in said) == (0, True)
        assert run(capsys, "migrate", *call, "line_*, line_2")[0] == 1
