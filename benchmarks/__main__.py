"""`python -m benchmarks`, or `make bench`: measure, print tables, and keep the figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from itertools import product, starmap
from pathlib import Path

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.demo.home import DemoError
from benchmarks.fleet import ALL, FLEET, drop_copies, measure_fleet
from benchmarks.measure import CROSSING, WIDTHS, measure_crossing, measure_files, measure_shape, measure_structure
from benchmarks.report import Report, merged
from benchmarks.runners import BenchmarkFailed, drop_copy, why_no_taosdump
from benchmarks.servers import Server, servers
from benchmarks.shapes import MEMORY, SHAPES, STRUCTURE, Shape, crossing, drop

_REAL_RUNS = 5


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    names = ", ".join(shape.name for shape in SHAPES)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures migrations on simulated servers, or on those that TDENGINE_SOURCE_URL and "
        "TDENGINE_TARGET_URL name, such as ws://root:taosdata@localhost:6041. Databases bench_* are made there; those "
        "of the shapes are kept in the source for the next time.",
    )
    parser.add_argument("shapes", nargs="*", type=_shape, metavar="shape", help=f"of {names} (default: all)")
    parser.add_argument("--crossing", action="store_true", help="dense against sparse, 10 to 5000 rows a subtable")
    parser.add_argument("--schema", action="store_true", help="schema sync of 20,000 subtables")
    parser.add_argument("--files", action="store_true", help="by an export and its import, beside the direct way")
    parser.add_argument("--fleet", action="store_true", help="40 databases of 250,000 rows beside one, by Airflow")
    parser.add_argument("--database-options", default="", help="of what --fleet makes, such as 'VGROUPS 1'")
    parser.add_argument("--memory", action="store_true", help="1 million against 50 million rows")
    parser.add_argument("--runs", type=int, help="of which the median is taken (default: 5; simulated servers: 1)")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many subtables (default: 1)")
    parser.add_argument("--alone", action="store_true", help="the engine only, without script and taosdump")
    parser.add_argument(
        "--json", type=Path, default=Path(".bench.json"), help="where figures go (default: .bench.json)"
    )
    parser.add_argument("--markdown", type=Path, nargs="+", help="print the tables of such files, and measure nothing")
    parser.add_argument("--clean", action="store_true", help="remove the databases bench_*, and measure nothing")
    return parser.parse_args(given)


def _shape(name: str) -> Shape:
    for shape in SHAPES:
        if shape.name == name:
            return shape
    raise argparse.ArgumentTypeError(f"there is no shape {name!r}")


def main(given: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for.

    Returns:
        The exit status: 0, or 1 where something did not do its work.
    """
    arguments = _arguments(given)
    if arguments.markdown:
        reports = [Report.from_dict(json.loads(path.read_text(encoding="utf-8"))) for path in arguments.markdown]
        print(merged(reports).markdown())
        return 0
    try:
        with servers() as (sources, target):
            if arguments.clean:
                _clean(sources, target)
                return 0
            report = _measure(arguments, sources, target)
    except (BenchmarkFailed, DemoError, TDengineError, ValueError) as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.text()}")
    arguments.json.write_text(json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nThe figures are in {arguments.json}")
    return 0


def _measure(arguments: argparse.Namespace, sources: list[Server], target: Server) -> Report:
    simulated = target.simulated
    runs = arguments.runs or (1 if simulated else _REAL_RUNS)
    report = Report.begin(simulated=simulated)
    others = arguments.crossing or arguments.schema or arguments.memory or arguments.fleet
    for shape in arguments.shapes or (() if others else SHAPES):
        source = _source_of(shape, sources)
        if source is None:
            report.left_out.append(f"{shape.name} needs a source of {shape.generation}.x")
            continue
        if arguments.files:
            report.files.append(measure_files(shape.scaled(arguments.scale), source, target, runs, _say))
            continue
        why = why_no_taosdump(source, target)
        rivals = [] if arguments.alone else ["script"] if why else ["script", "taosdump"]
        if why and not arguments.alone:
            report.left_out.append(f"taosdump for {shape.name} ({why})")
        report.shapes.append(measure_shape(shape.scaled(arguments.scale), source, target, runs, rivals, _say))
    if arguments.memory:
        for shape in (shape.scaled(arguments.scale) for shape in MEMORY):
            report.shapes.append(measure_shape(shape, sources[0], target, 1, (), _say))
            drop(sources[0].client, shape.database)
    if arguments.crossing:
        report.crossing = measure_crossing(sources[0], target, runs, arguments.scale, _say)
    if arguments.schema:
        report.structures = [measure_structure(source, target, runs, arguments.scale, _say) for source in sources]
    if arguments.fleet:
        fleet = measure_fleet(sources[0], target, runs, arguments.scale, arguments.database_options, _say)
        report.fleets.append(fleet)
    return report


def _source_of(shape: Shape, sources: list[Server]) -> Server | None:
    fitting = [source for source in sources if shape.generation in (None, source.client.generation)]
    return fitting[0] if fitting else None


def _clean(sources: list[Server], target: Server) -> None:
    for shape in (*SHAPES, *MEMORY, STRUCTURE, *starmap(crossing, product(CROSSING, WIDTHS))):
        for source in sources:
            drop(source.client, shape.database)
        drop_copy(shape, target)
    for shape in (ALL, *FLEET):
        for source in sources:
            drop(source.client, shape.database)
    drop_copies(target)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  load {os.getloadavg()[0]:.1f}  {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
