"""Measurements as JSON, as tables for people, and as Markdown for the README."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from benchmarks.fleet import STAGES, Fleet
from benchmarks.measure import Crossing, Files, Measured, Structure, cpu_crosses_at, crosses_at
from benchmarks.runners import Rival
from benchmarks.script import ROWS_AN_INSERT

_NOTES = [
    "rows/s, MB/s and CPU (of the engine, a million rows) are those of copying. Memory is the engine's peak above the "
    "interpreter with imports. Load is the machine's before the first run.",
]
_FILES_NOTES = [
    "An import looks at the SHA-256 of all files, then copies; verify compares what arrived with the export."
]
_FLEET_NOTES = [
    "Runs of Airflow with LocalExecutor, four tasks at a time; a stage is as long as from the begin of its first task "
    "to the end of its last. What a run takes beside its stages is Airflow's scheduling. The ratio is that of runs "
    "that followed each other."
]
_RIVAL_NOTES = [
    f"The script reads subtable after subtable with taosrest and writes INSERT statements of {ROWS_AN_INSERT} rows; "
    "where it copied a part of the rows, its time is reckoned from that.",
    "Times as fast: copying alone / all stages, against the other's whole time.",
]


@dataclass
class Report:
    """All that was measured on one machine.

    Parameters:
        simulated: whether the servers were boxes.
        date: when it began, UTC.
        machine: processor, cores, memory, system.
        versions: of what took part.
        shapes: a line each.
        crossing: dense against sparse.
        structures: schema sync.
        files: by an export and its import.
        fleets: many databases beside one.
        left_out: what was not measured, and why.
    """

    simulated: bool
    date: str
    machine: dict[str, str | int]
    versions: dict[str, str]
    shapes: list[Measured] = field(default_factory=list)
    crossing: list[Crossing] = field(default_factory=list)
    structures: list[Structure] = field(default_factory=list)
    files: list[Files] = field(default_factory=list)
    fleets: list[Fleet] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, *, simulated: bool) -> Report:
        """A report of this machine, with nothing measured."""
        packages = ("airflow-provider-tdengine", "numpy", "websockets", "taospy")
        versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
        if shutil.which("taosdump"):
            said = subprocess.run(["taosdump", "--version"], capture_output=True, text=True, check=False).stdout
            versions["taosdump"] = said.partition("\n")[0].rpartition(" ")[2]
        return cls(simulated, f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}", _machine(), versions)

    @classmethod
    def from_dict(cls, stored: dict[str, object]) -> Report:
        """The inverse of `to_dict`."""
        given: dict[str, list[dict[str, object]]] = stored  # type: ignore[assignment]
        kinds = {"shapes": _measured, "crossing": Crossing, "structures": Structure, "files": Files, "fleets": Fleet}
        lists = {name: [kind(**values) for values in given.get(name, [])] for name, kind in kinds.items()}  # type: ignore[operator]
        return cls(**{**stored, **lists})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    # --- For people

    @property
    def heading(self) -> str:
        """Date, machine and versions."""
        about = self.machine
        servers = "simulated servers, which say nothing about real ones" if self.simulated else "real servers"
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.date} UTC, {servers}, all on one machine: {about['cores']} cores of {about['processor']}, "
            f"{about['memory_gb']} GB, {about['system']}; {packages}"
        )

    def tables(self) -> list[tuple[list[str], list[list[str]]]]:
        """Heads and lines of what was measured."""
        kinds = (
            (_SHAPE_HEADS, [_shape_line(one) for one in self.shapes]),
            (_RIVAL_HEADS, [_rival_line(one) for one in self.shapes if one.script or one.taosdump]),
            (_CROSSING_HEADS, [_crossing_line(one) for one in self.crossing]),
            (_STRUCTURE_HEADS, [_structure_line(one) for one in self.structures]),
            (_FILES_HEADS, [_files_line(one) for one in self.files]),
            (_FLEET_HEADS, [line for one in self.fleets for line in _fleet_lines(one)]),
        )
        return [(heads, lines) for heads, lines in kinds if lines]

    def notes(self) -> list[str]:
        """What must be known to read the tables."""
        notes = [*_NOTES] if self.shapes else []
        notes += _FILES_NOTES if self.files else []
        notes += _FLEET_NOTES if self.fleets else []
        notes += _RIVAL_NOTES if any(one.script for one in self.shapes) else []
        for columns in sorted({one.columns for one in self.crossing}):
            points = [one for one in self.crossing if one.columns == columns]
            for what, rows in (("time", crosses_at(points)), ("CPU", cpu_crosses_at(points))):
                since = (
                    "nowhere" if rows is None else f"from {rows:.0f} rows ({rows * columns:.0f} values) a subtable on"
                )
                notes.append(f"{columns} columns: dense takes less {what} than sparse {since}.")
        notes += [failure for one in self.shapes for failure in one.failures]
        return notes + [f"Left out: {what}." for what in self.left_out]

    def text(self) -> str:
        """For a terminal."""
        parts = [self.heading]
        for heads, lines in self.tables():
            widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
            parts.append("\n".join(_aligned(line, widths) for line in (heads, *lines)))
        return "\n\n".join(filter(None, [*parts, "\n".join(self.notes())]))

    def markdown(self) -> str:
        """For the README."""
        parts = []
        for heads, lines in self.tables():
            rule = ["---", *["---:"] * (len(heads) - 1)]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines)))
        return "\n\n".join([*parts, *self.notes(), self.heading])


def merged(reports: Sequence[Report]) -> Report:
    """Measurements of several runs on one machine under the last one's heading."""
    last = reports[-1]
    return Report(
        last.simulated,
        last.date,
        last.machine,
        {name: number for report in reports for name, number in report.versions.items()},
        [one for report in reports for one in report.shapes],
        [one for report in reports for one in report.crossing],
        [one for report in reports for one in report.structures],
        [one for report in reports for one in report.files],
        [one for report in reports for one in report.fleets],
    )


def _measured(**values: object) -> Measured:
    rivals = {name: Rival(**values[name]) if values[name] else None for name in ("script", "taosdump")}  # type: ignore[arg-type]
    return Measured(**{**values, **rivals})  # type: ignore[arg-type]


def _machine() -> dict[str, str | int]:
    processor = platform.processor() or platform.machine()
    if (about := Path("/proc/cpuinfo")).exists():
        models = [line for line in about.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        processor = models[0].partition(":")[2].strip() if models else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = os.cpu_count() or 1
    system = f"{platform.system()} {platform.release()}"
    return {"processor": processor, "cores": cores, "memory_gb": round(memory / 1e9), "system": system}


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *others = zip(line, widths, strict=True)
    return "   ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]).rstrip()


_STAGES = ("schema", "plan", "copy", "verify")
_SHAPE_HEADS = ["data", "rows", "columns", "way", *_STAGES, "rows/s", "MB/s", "CPU s/M rows", "memory", "load"]


def _shape_line(one: Measured) -> list[str]:
    return [
        _name(one),
        f"{one.total:,}",
        str(one.columns),
        one.strategy,
        *(f"{one.seconds[stage]:.2f} s" for stage in _STAGES),
        f"{one.total / one.copy:,.0f}",
        f"{one.mb / one.copy:.0f}",
        f"{one.cpu['copy'] / one.total * 1e6:.2f}",
        f"{one.peak_mb:.0f} MB",
        f"{one.load:.1f}",
    ]


_RIVAL_HEADS = ["data", "copy", "all stages", "taosrest script", "times as fast", "taosdump", "times as fast"]


def _rival_line(one: Measured) -> list[str]:
    rivals = (_rival_cells(one, one.script), _rival_cells(one, one.taosdump))
    return [_name(one), f"{one.copy:.2f} s", f"{one.whole:.2f} s", *(cell for cells in rivals for cell in cells)]


def _name(one: Measured) -> str:
    return f"{one.shape}, {_short(one.source)} → {_short(one.target)}"


def _rival_cells(one: Measured, rival: Rival | None) -> tuple[str, str]:
    if rival is None:
        return "", ""
    lost = f", {rival.lost:,} rows lost" if rival.lost else ""
    part = f" (from {rival.rows / one.total:.1%})" if rival.rows < one.total else ""
    return f"{rival.seconds:.1f} s{part}{lost}", f"{rival.seconds / one.copy:.1f} / {rival.seconds / one.whole:.1f}"


_CROSSING_HEADS = [
    "rows a subtable",
    "columns",
    "subtables",
    "dense",
    "sparse",
    "dense / sparse",
    "CPU dense",
    "CPU sparse",
]


def _crossing_line(one: Crossing) -> list[str]:
    return [
        f"{one.rows:,}",
        str(one.columns),
        f"{one.subtables:,}",
        f"{one.dense:.2f} s",
        f"{one.sparse:.2f} s",
        f"{one.dense / one.sparse:.2f}",
        f"{one.dense_cpu:.2f} s",
        f"{one.sparse_cpu:.2f} s",
    ]


_STRUCTURE_HEADS = ["schema sync", "subtables", "first", "tables/s", "CPU s", "again"]


def _structure_line(one: Structure) -> list[str]:
    return [
        f"{_short(one.source)} → {_short(one.target)}",
        f"{one.subtables:,}",
        f"{one.first:.2f} s",
        f"{one.subtables / one.first:,.0f}",
        f"{one.cpu:.2f}",
        f"{one.again:.2f} s",
    ]


_FILES_HEADS = [
    *("by files", "rows", "direct copy", "export", "times as long", "import", "times as long", "verify"),
    *("files", "of the values", "memory", "load"),
]


def _files_line(one: Files) -> list[str]:
    return [
        f"{one.shape}, {_short(one.source)} → {_short(one.target)}",
        f"{one.rows:,}",
        f"{one.direct:.2f} s",
        f"{one.seconds['export']:.2f} s",
        f"{one.seconds['export'] / one.direct:.2f}",
        f"{one.imported:.2f} s",
        f"{one.imported / one.direct:.2f}",
        f"{one.seconds['verify']:.2f} s",
        f"{one.mb:.1f} MB",
        f"{one.mb / one.values_mb:.0%}",
        f"{one.peak_mb:.0f} MB",
        f"{one.load:.1f}",
    ]


_FLEET_HEADS = ["rows in databases", *STAGES, "whole run", "ratio", "load"]


def _fleet_lines(one: Fleet) -> list[list[str]]:
    options = f", {one.options}" if one.options else ""
    where = f"{_short(one.source)} → {_short(one.target)}{options}"
    return [
        [
            f"{one.rows:,} in {databases:,}, {where}",
            *(f"{one.stages[stage][side]:.1f} s" for stage in STAGES),
            f"{seconds:.1f} s",
            f"{one.ratio:.2f}" if side else "",
            f"{one.load:.1f}",
        ]
        for side, (databases, seconds) in enumerate(((1, one.one), (one.databases, one.many)))
    ]


def _short(version_text: str) -> str:
    """3.3.3.0 of 3.3.3.0.alpha."""
    return ".".join(part for part in version_text.split(".") if part.isdecimal())
