"""The demo, with fewer rows: an Airflow of its own, and the comparison row for row."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.demo import main as demo
from airflow_provider_tdengine.demo.compare import compare
from airflow_provider_tdengine.demo.data import fill
from airflow_provider_tdengine.demo.home import AirflowHome, DemoError
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.screen import Screen
from airflow_provider_tdengine.testing import TDengineBox
from airflow_provider_tdengine.testing.stored import Part, Rows

ROWS = 20_000
STAGES = ["fill", "airflow", "start", "resolve", "sync_schema", "plan", "copy", "verify", "certify", "compare"]


def stages(output: str) -> list[str]:
    return [line.split()[1] for line in output.splitlines() if line.strip().startswith("✓")]


def left_over(home: Path) -> list[int]:
    """Processes that have this demo's home in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def start(home: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "airflow_provider_tdengine.demo", "--rows", str(ROWS), "--home", str(home)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


# --- The whole demo


def test_everything_arrives(tmp_path: Path) -> None:
    """As `make demo` runs it, without a terminal."""
    process = start(tmp_path / "home")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert stages(output) == STAGES
    lines = [line.split() for line in output.splitlines()]
    assert ["power", "meters", "200", "16,000", "equal"] in lines
    assert ["power", "Transformers", "100", "1,386", "equal"] in lines
    assert ["power", "tariffs", "normal", "table", "1,014", "equal"] in lines
    assert ["plant_north", "pumps", "10", "800", "equal"] in lines
    assert "20,000 rows in 5 batches" in output
    assert "All 20,000 rows are equal" in output
    assert "[info" not in output, "Airflow's own talk belongs to the log"
    assert not left_over(tmp_path)


def test_target_that_loses_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append, losing = Rows.append, []

    def lose_one(rows: Rows, part: Part) -> None:
        """The table that is written first loses a row, and again with each repair."""
        losing.append(rows)
        if rows is losing[0]:
            columns = {name: column.take(slice(1, None)) for name, column in part.columns.items()}
            part = Part(part.rows - 1, columns)
        append(rows, part)

    def fill_then_lose(box: TDengineBox, rows: int, report: object) -> None:
        fill(box, rows, lambda done: None)
        monkeypatch.setattr(Rows, "append", lose_one)

    monkeypatch.setattr(demo, "fill", fill_then_lose)
    assert demo.main(["--rows", str(ROWS), "--home", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert stages(output)[-1] == "copy"
    assert "✗ verify" in output
    assert "The DAG run failed." in output
    assert re.search(r": rows \d+ in the source, \d+ in the target", output), output
    assert "airflow.log" in output
    assert "are equal" not in output


def test_value_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is found after a run that was green, too."""
    with (
        AirflowHome(tmp_path) as home,
        TDengineBox(version=demo.SOURCE_VERSION) as source,
        TDengineBox(version=demo.TARGET_VERSION) as target,
    ):
        for box in (source, target):
            fill(box, ROWS, lambda done: None)
        servers = demo.Servers(source, target, ROWS)
        assert demo.prove(Screen(), home, servers, 1)
        assert "All 20,000 rows are equal" in capsys.readouterr().out
        target.execute("INSERT INTO power.`电表180` (ts, voltage) VALUES ('2021-03-01T00:15:00Z', 11)")
        assert not demo.prove(Screen(), home, servers, 1)
    output = capsys.readouterr().out
    assert "✗ compare" in output
    assert "Source and target are not equal:" in output
    assert "电表180: voltage of the row at 2021-03-01 00:15:00 is " in output
    assert "11 in the target" in output
    assert "are equal" not in output


def test_ui_until_interrupted(tmp_path: Path) -> None:
    process = start(tmp_path, "--ui")
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    output = "".join(said)
    assert "http://localhost:" in output, output
    assert "admin" in output
    assert len(left_over(tmp_path)) >= 4
    time.sleep(1)  # Whoever interrupts rich while it prints a line gets that line twice.
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert rest.split() == ["Stopping", "...", "Stopped."]
    assert not left_over(tmp_path)


def test_stopped_while_it_prepares(tmp_path: Path) -> None:
    process = start(tmp_path)
    deadline = time.monotonic() + 120
    while not left_over(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert output.rstrip().endswith("Stopped.")
    assert not left_over(tmp_path)


# --- Its home


def test_a_home_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "airflow.cfg").touch()
    assert demo.main(["--home", str(tmp_path)]) == 1
    assert "was not made by the demo and is left alone" in capsys.readouterr().out
    assert (tmp_path / "airflow" / "airflow.cfg").exists()


def test_two_demos_need_two_homes(tmp_path: Path) -> None:
    with AirflowHome(tmp_path), pytest.raises(DemoError, match="is running"), AirflowHome(tmp_path):
        pass


def test_another_airflow_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/elsewhere")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_TDENGINE_SOURCE", "tdengine://elsewhere")
    with AirflowHome(tmp_path) as home:
        environment = home.environment()
    assert environment["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_TDENGINE_SOURCE" not in environment
    assert environment["PATH"] == os.environ["PATH"]


# --- Its comparison


STRUCTURE = [
    "create database power keep 36500",
    "create stable power.meters (ts timestamp, v double, note nchar(8)) tags (place nchar(8))",
    "create table power.a using power.meters tags ('北京')",
    "create table power.b using power.meters tags (null)",
    "insert into power.a values (1614556800000, 0.5, 'x') (1614556801000, null, '值')",
    "create table power.n (ts timestamp, v int)",
]


@pytest.fixture
def boxes() -> Iterator[tuple[TDengineBox, TDengineBox]]:
    # Blocks of different sizes, as real servers send them.
    with (
        TDengineBox(version="2.4.0.18", block_rows=3) as source,
        TDengineBox(version="3.3.3.0", block_rows=2) as target,
    ):
        for box in (source, target):
            for statement in STRUCTURE:
                box.execute(statement)
        yield source, target


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        (
            "insert into power.a (ts, v) values (1614556801000, 0)",
            "a: v of the row at 2021-03-01 00:00:01 is None",
        ),
        (
            "insert into power.a (ts, note) values (1614556800000, 'y')",
            "a: note of the row at 2021-03-01 00:00:00 is",
        ),
        ("insert into power.b values (1614556800000, 1, '')", "b: 0 rows in the source, 1 in the target"),
        ("drop table power.b", "b: only the source has it"),
        ("create table power.c using power.meters tags ('c')", "c: only the target has it"),
        ("alter table power.b set tag place = 'b'", "b: tags (None,) in the source, ('b',) in the target"),
        ("drop table power.n", "n: only the source has it"),
        ("create table power.m (ts timestamp, v int)", "m: only the target has it"),
        ("alter table power.n add column w int", "n: the columns or tags are not the same"),
    ],
)
def test_comparison_finds(boxes: tuple[TDengineBox, TDengineBox], statement: str, difference: str) -> None:
    source, target = (Catalog(Client(Address.from_url(f"ws://{box.host}:{box.port}")), "power") for box in boxes)
    rows = "".join(f"({1614556800000 + row}, {row}, 'n{row}')" for row in range(1, 50))
    for box in boxes:
        box.execute(f"insert into power.a values {rows}")
    groups = compare(source, target, lambda done: None)
    assert [(group.name, group.subtables, group.rows, group.differences) for group in groups] == [
        ("meters", 2, 51, []),
        ("n", None, 0, []),
    ]
    boxes[1].execute(statement)
    differences = [text for group in compare(source, target, lambda done: None) for text in group.differences]
    assert len(differences) == 1
    assert differences[0].startswith(difference)


def test_a_bar_without_a_terminal_says_little(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().bar("copy", 1000) as report:
        for done in range(0, 1001, 10):
            report(done)
    assert capsys.readouterr().out == ""
