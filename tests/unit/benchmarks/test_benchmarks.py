"""The benchmarks, tiny and on boxes: they run, and what they call copied is there."""

import json
import os
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

import airflow_provider_tdengine
from airflow_provider_tdengine.demo.compare import compare
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.testing import TDengineBox
from benchmarks.__main__ import main
from benchmarks.fleet import ALL, FLEET, STAGES, Fleet
from benchmarks.measure import (
    Crossing,
    cpu_crosses_at,
    crosses_at,
    measure_crossing,
    measure_files,
    measure_shape,
    measure_structure,
)
from benchmarks.report import Report, merged
from benchmarks.runners import BenchmarkFailed, run_engine, run_script, why_no_taosdump
from benchmarks.servers import Server
from benchmarks.shapes import SHAPES, Shape, count, create, fill

TINY = {shape.name: replace(shape, subtables=3, rows=min(shape.rows, 700)) for shape in SHAPES}


def test_by_files_it_arrives_as_well(make_tdengine_box) -> None:  # type: ignore[no-untyped-def]
    one, other = (server(make_tdengine_box(version="3.3.3.0")) for _ in range(2))
    files = measure_files(TINY["dense"], one, other, 1, quiet)
    assert set(files.seconds) == {"export", "open", "schema", "plan", "copy", "verify"}
    assert files.values_mb == pytest.approx(3 * 700 * 20 / 1e6)
    assert files.mb > 0
    report = Report.begin(simulated=True)
    report.files.append(files)
    assert Report.from_dict(report.to_dict()).files == [files]
    assert "dense, 3.3.3.0 → 3.3.3.0 | 2,100 |" in report.markdown()


def test_a_fleet_has_a_line_beside_one_database() -> None:
    stages = {stage: [number, 2.0 * number] for number, stage in enumerate(STAGES)}
    fleet = Fleet(40, 10_000_000, "3.3.3.0.alpha", "3.3.5.2", "VGROUPS 1", 0.5, 5, 40.0, 50.0, 1.24, stages)
    report = Report.begin(simulated=False)
    report.fleets.append(fleet)
    assert Report.from_dict(report.to_dict()).fleets == [fleet]
    alone, many = (line for line in report.markdown().splitlines() if line.startswith("| 10,000,000"))
    assert alone.startswith("| 10,000,000 in 1, 3.3.3.0 → 3.3.5.2, VGROUPS 1 | 0.0 s | 1.0 s |")
    assert many.endswith("| 10.0 s | 50.0 s | 1.24 | 0.5 |")
    assert ALL.total == sum(shape.total for shape in FLEET) == 10_000_000
    assert not fnmatch(ALL.database, "bench_fleet_*"), "the pattern of the fleet means it not"


def test_the_package_does_without_them() -> None:
    for file in Path(airflow_provider_tdengine.__file__).parent.rglob("*.py"):
        assert "import benchmarks" not in (text := file.read_text(encoding="utf-8"))
        assert "from benchmarks" not in text


def quiet(_: str) -> None:
    """Nobody listens."""


def server(box: TDengineBox) -> Server:
    return Server(f"ws://root:taosdata@{box.host}:{box.port}", simulated=True)


@pytest.fixture
def source(shape: Shape, tdengine_2: TDengineBox, tdengine_3: TDengineBox) -> Server:
    return server(tdengine_2 if shape.generation == 2 else tdengine_3)


@pytest.fixture
def target(make_tdengine_box) -> Server:  # type: ignore[no-untyped-def]
    return server(make_tdengine_box(version="3.3.3.0"))


@pytest.mark.parametrize("shape", TINY.values(), ids=TINY)
def test_shapes_arrive_value_by_value(shape: Shape, source: Server, target: Server) -> None:
    assert fill(source.client, shape)
    assert not fill(source.client, shape), "what is there is used again"
    database = f"{shape.database}_copy"
    figures = run_engine(shape, source, target)
    assert (figures.rows, figures.verified) == (shape.total, shape.total)
    assert set(figures.seconds) == set(figures.cpu) == {"schema", "plan", "copy", "verify"}
    assert figures.imports_mb > 10
    for moved in (figures, run_script(shape, source, target)):
        groups = compare(Catalog(source.client, shape.database), Catalog(target.client, database), lambda _: None)
        assert [(group.subtables, group.rows, group.differences) for group in groups] == [(3, shape.total, [])], moved


@pytest.mark.parametrize("shape", [TINY["dense"]], ids=str)
def test_rows_too_many_or_too_few_are_noticed(
    shape: Shape, source: Server, target: Server, tdengine_3: TDengineBox
) -> None:
    fill(source.client, shape)
    tdengine_3.faults.truncate_rest(100)
    assert run_script(shape, source, target).lost == 3 * 600
    tdengine_3.faults.clear()
    tdengine_3.execute(f"INSERT INTO {shape.database}.d00001 VALUES (1609459200001, 1, 1, 1)")
    with pytest.raises(BenchmarkFailed, match="dense: 2100 rows were to be copied, 2101 were"):
        run_engine(shape, source, target)
    assert fill(source.client, shape), "what is not as it shall be is made anew"


@pytest.mark.parametrize("shape", [TINY["sparse"]], ids=str)
def test_the_script_is_reckoned_where_it_stops(shape: Shape, source: Server, target: Server) -> None:
    fill(source.client, shape)
    rival = run_script(shape, source, target, seconds=0)
    assert (rival.rows, rival.lost) == (10, 0)
    assert count(target.client, f"{shape.database}_copy") == 10


@pytest.mark.parametrize("shape", [TINY["dense"]], ids=str)
def test_failures_say_what_failed(shape: Shape, source: Server, target: Server) -> None:
    create(source.client, shape.database, shape)
    with pytest.raises(BenchmarkFailed, match=r"benchmarks.engine failed(?s:.*)workers"):
        run_engine(shape, source, target, workers=0)


@pytest.mark.parametrize("shape", [TINY["dense"]], ids=str)
def test_a_report_says_the_same_after_a_round_trip(
    shape: Shape, source: Server, target: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "taosdump"
    broken.write_text("#!/bin/sh\necho cannot; exit 3\n", encoding="ascii")
    broken.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    report = Report.begin(simulated=True)
    report.shapes = [measure_shape(shape, source, target, 1, ["script", "taosdump"], quiet)]
    report.structures = [measure_structure(source, target, 1, 0.001, quiet)]
    report.crossing = measure_crossing(source, target, 1, 0.01, quiet, [500])
    report.left_out = [f"taosdump ({why_no_taosdump(source, target)})"]
    again = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again == report
    for text in (again.text(), again.markdown()):
        assert "dense, 3.3.3.0 → 3.3.3.0" in text
        assert "2,100" in text
        assert "simulated servers do not speak its protocol" in text
        assert "taosdump failed on dense: taosdump ended with 3: cannot" in text
    table = merged([report, again]).markdown().splitlines()
    assert [line.count("|") for line in table[:4]] == [14] * 4
    assert not target.client.rows("SELECT name FROM information_schema.ins_databases WHERE name LIKE 'bench%'")


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([4, 2, 0.5, 0.25], 200),
        ([4, 0.9, 2, 0.5], 400),
        ([0.5, 0.4], 100),
        ([2, 3], None),
    ],
)
def test_where_dense_becomes_faster(ratios: list[float], expected: int | None) -> None:
    points = [Crossing(10, 100 * 2**i, 4, ratio, 1.0, ratio, 1.0) for i, ratio in enumerate(ratios)]
    between = 2**0.5 if ratios[0] > 1 else 1
    for found in (crosses_at(points), cpu_crosses_at(points)):
        assert found == (None if expected is None else pytest.approx(expected * between))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for role in ("SOURCE", "TARGET"):
        monkeypatch.delenv(f"TDENGINE_{role}_URL", raising=False)
    file = tmp_path / "figures.json"
    assert main(["old", "--scale", "0.1", "--alone", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "old, 2.4.0.18 → 3.3.3.0" in printed
    assert main(["--markdown", str(file)]) == 0
    assert "| old, 2.4.0.18 → 3.3.3.0 | 20,000 | 7 | dense |" in capsys.readouterr().out
    monkeypatch.setenv("TDENGINE_SOURCE_URL", "ws://localhost")
    assert main([]) == 1
    assert "set both" in capsys.readouterr().err
