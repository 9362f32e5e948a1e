"""What is measured: a shape against its rivals, where dense and sparse cross, schema sync."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from statistics import median, median_low

from airflow_provider_tdengine.client.errors import TDengineError
from benchmarks.engine import Figures
from benchmarks.runners import BenchmarkFailed, Rival, drop_copy, repeat, run_engine, run_script, run_taosdump
from benchmarks.servers import Server
from benchmarks.shapes import STRUCTURE, Shape, crossing, drop, fill

CROSSING = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Rows a subtable at which dense and sparse are compared."""

WIDTHS = (4, 20)
"""Columns of these rows."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """A shape's figures, medians of the runs.

    Parameters:
        shape: its name.
        subtables: how many it had.
        rows: rows of each of them.
        columns: columns of a row.
        source: the source's version.
        target: the target's version.
        load: of the machine before the first run, processes that wanted to run in the minute before.
        runs: of the engine.
        strategy: dense or sparse.
        seconds: of each stage: schema, plan, copy, verify.
        cpu: CPU seconds of the engine in each stage.
        mb: 10^6 bytes of blocks and statements that the target took.
        imports_mb: memory of the interpreter with imports, in 10^6 bytes.
        peak_mb: how much more it was at most.
        failures: what a rival did not do.
        script: the script with taosrest; None if it was not asked for, or failed.
        taosdump: the same.
    """

    shape: str
    subtables: int
    rows: int
    columns: int
    source: str
    target: str
    load: float
    runs: int
    strategy: str
    seconds: dict[str, float]
    cpu: dict[str, float]
    mb: float
    imports_mb: float
    peak_mb: float
    failures: list[str]
    script: Rival | None
    taosdump: Rival | None

    @property
    def total(self) -> int:
        """Rows of all subtables."""
        return self.subtables * self.rows

    @property
    def copy(self) -> float:
        """Seconds of copying."""
        return self.seconds["copy"]

    @property
    def whole(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Crossing:
    """Seconds of copying in both ways, medians of the runs.

    Parameters:
        subtables: how many.
        rows: rows of each of them.
        columns: columns of a row.
        dense: one query a subtable.
        sparse: one query for many.
        dense_cpu: CPU seconds of the engine meanwhile.
        sparse_cpu: the same.
    """

    subtables: int
    rows: int
    columns: int
    dense: float
    sparse: float
    dense_cpu: float
    sparse_cpu: float


@dataclass(frozen=True)
class Structure:
    """Seconds of schema sync, medians of the runs.

    Parameters:
        source: the source's version.
        target: the target's version.
        subtables: how many, with five tags each.
        first: with an empty target.
        again: with nothing left to do.
        cpu: CPU seconds of the engine for the first.
    """

    source: str
    target: str
    subtables: int
    first: float
    again: float
    cpu: float


@dataclass(frozen=True)
class Files:
    """A shape by an export and its import, beside the direct way; medians of the runs.

    Parameters:
        shape: its name.
        rows: rows of all subtables.
        source: the source's version.
        target: the target's version.
        load: of the machine before the first run.
        direct: seconds of copying.
        seconds: of each stage by files: export, open, schema, plan, copy, verify.
        cpu: CPU seconds of the engine in each stage by files.
        mb: 10^6 bytes of the files.
        values_mb: 10^6 bytes of the values.
        peak_mb: memory above the interpreter with imports at most, by files, in 10^6 bytes.
    """

    shape: str
    rows: int
    source: str
    target: str
    load: float
    direct: float
    seconds: dict[str, float]
    cpu: dict[str, float]
    mb: float
    values_mb: float
    peak_mb: float

    @property
    def imported(self) -> float:
        """Seconds of an import's rows: all files looked at, and copied."""
        return self.seconds["open"] + self.seconds["copy"]


def measure_files(shape: Shape, source: Server, target: Server, runs: int, say: Say) -> Files:
    """Move a shape directly, and by an export and its import, in turn."""
    _fill(shape, source, say)
    load = os.getloadavg()[0]
    say(f"{shape.name}: {runs} times, directly and by files")
    direct, files = [], []
    for _ in range(runs):
        direct.append(run_engine(shape, source, target))
        with tempfile.TemporaryDirectory() as folder:
            files.append(run_engine(shape, source, target, folder))
    drop_copy(shape, target)
    return Files(
        shape.name,
        shape.total,
        source.version,
        target.version,
        load,
        _median(direct, "copy"),
        {stage: _median(files, stage) for stage in files[0].seconds},
        {stage: median(run.cpu[stage] for run in files) for stage in files[0].cpu},
        files[0].files / 1e6,
        files[0].values / 1e6,
        max(run.peak_mb for run in files),
    )


def measure_shape(shape: Shape, source: Server, target: Server, runs: int, rivals: Sequence[str], say: Say) -> Measured:
    """Fill a shape in, and move it by the engine and by its rivals.

    Parameters:
        shape: what is moved.
        source: where it is filled in, if it is not there.
        target: where it is moved to, and removed again.
        runs: how often; a rival that takes long runs less often.
        rivals: of "script" and "taosdump".
        say: told what goes on.

    Raises:
        BenchmarkFailed: the engine did not do its work.
        TDengineError: a server did not do its own.
    """
    _fill(shape, source, say)
    load = os.getloadavg()[0]
    say(f"{shape.name}: {runs} times by the engine")
    figures = [run_engine(shape, source, target) for _ in range(runs)]
    results: dict[str, Rival | None] = {"script": None, "taosdump": None}
    failures: list[str] = []
    for name, run in (("script", run_script), ("taosdump", run_taosdump)):
        if name in rivals:
            say(f"{shape.name}: by {name}")
            try:
                results[name] = _median_rival(repeat(runs, partial(run, shape, source, target)))
            except (BenchmarkFailed, TDengineError) as error:
                failures.append(f"{name} failed on {shape.name}: {error}")
    drop_copy(shape, target)
    return Measured(
        shape=shape.name,
        subtables=shape.subtables,
        rows=shape.rows,
        columns=len(shape.columns),
        source=source.version,
        target=target.version,
        load=load,
        runs=runs,
        strategy=" and ".join(figures[0].strategies),
        seconds={stage: median(run.seconds[stage] for run in figures) for stage in figures[0].seconds},
        cpu={stage: median(run.cpu[stage] for run in figures) for stage in figures[0].cpu},
        mb=median(run.bytes for run in figures) / 1e6,
        imports_mb=median(run.imports_mb for run in figures),
        peak_mb=max(run.peak_mb for run in figures),
        failures=failures,
        **results,
    )


def measure_crossing(
    source: Server, target: Server, runs: int, scale: float, say: Say, steps: Sequence[int] = CROSSING
) -> list[Crossing]:
    """Copy the same rows dense and sparse, for more and more rows a subtable."""
    found = []
    for columns, rows in product(WIDTHS, steps):
        shape = crossing(rows, columns).scaled(scale)
        _fill(shape, source, say)
        say(f"{shape}, dense and sparse")
        # In turn, so that what else goes on does not hit one of them alone.
        both = [[run_engine(shape, source, target, strategy=way) for way in ("dense", "sparse")] for _ in range(runs)]
        dense, sparse = zip(*both, strict=True)
        found.append(
            Crossing(
                shape.subtables,
                rows,
                columns,
                _median(dense, "copy"),
                _median(sparse, "copy"),
                median(run.cpu["copy"] for run in dense),
                median(run.cpu["copy"] for run in sparse),
            )
        )
        drop_copy(shape, target)
        drop(source.client, shape.database)
    return found


def crosses_at(points: Sequence[Crossing]) -> float | None:
    """From how many rows a subtable on dense takes less time, between measured points; None if it never does."""
    return _crosses_at([(point.rows, point.dense / point.sparse) for point in points])


def cpu_crosses_at(points: Sequence[Crossing]) -> float | None:
    """The same for the engine's CPU."""
    return _crosses_at([(point.rows, point.dense_cpu / point.sparse_cpu) for point in points])


def _crosses_at(ratios: list[tuple[int, float]]) -> float | None:
    logs = [(rows, math.log(ratio)) for rows, ratio in ratios]
    if logs[-1][1] > 0:
        return None
    # From the end: what lies behind the last point at which sparse was better.
    for (rows, ratio), (more, less) in reversed(list(pairwise(logs))):
        if ratio > 0:
            return float(rows * (more / rows) ** (ratio / (ratio - less)))
    return float(logs[0][0])


def measure_structure(source: Server, target: Server, runs: int, scale: float, say: Say) -> Structure:
    """Create many subtables, then find that they are there."""
    shape = STRUCTURE.scaled(scale)
    _fill(shape, source, say)
    say(f"schema sync: {shape.subtables:,} subtables, {runs} times")
    figures = [run_engine(shape, source, target, schema="only") for _ in range(runs)]
    drop_copy(shape, target)
    drop(source.client, shape.database)
    cpu = median(run.cpu["schema"] for run in figures)
    first, again = _median(figures, "schema"), _median(figures, "again")
    return Structure(source.version, target.version, shape.subtables, first, again, cpu)


def _fill(shape: Shape, source: Server, say: Say) -> None:
    say(f"{shape}, from {source.version}")
    if fill(source.client, shape):
        say(f"{shape.name}: filled")


def _median(figures: Sequence[Figures], stage: str) -> float:
    return median(run.seconds[stage] for run in figures)


def _median_rival(runs: list[Rival]) -> Rival:
    return Rival(
        median(run.seconds for run in runs), median_low(run.rows for run in runs), max(run.lost for run in runs)
    )
