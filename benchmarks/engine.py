"""One migration in a process of its own, so that CPU and memory are the engine's alone.

Reads a `Job` as JSON from its input, and writes `Figures` as JSON to its output.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing import verify
from airflow_provider_tdengine.migration.copying import MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.offline import Export, opened
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import make_plan
from airflow_provider_tdengine.migration.structure import SchemaSync

_MB = 1_000_000


@dataclass(frozen=True)
class Job:
    """A migration to measure.

    Parameters:
        source: the source's URL.
        target: the target's URL.
        options: of the migration; with schema `only` the structure is synchronised twice, and no row is copied.
        folder: where it goes by an export and its import; empty for a direct one.
    """

    source: str
    target: str
    options: dict[str, object]
    folder: str = ""


@dataclass
class Figures:
    """What a migration took.

    Parameters:
        seconds: of each stage: export, open, schema, again, plan, copy, verify.
        cpu: CPU seconds of each stage, user and system.
        rows: rows that were copied.
        bytes: in how many bytes of blocks and statements.
        strategies: how batches were copied: dense, sparse.
        verified: rows of the target in tables without a difference to the source; None if nothing was compared.
        differences: the first ones, as text.
        imports_mb: memory of the interpreter with imports, in 10^6 bytes.
        peak_mb: how much more it was at most.
        files: bytes of the files of an export.
        values: bytes of the values in them.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0
    strategies: list[str] = field(default_factory=list)
    verified: int | None = None
    differences: list[str] = field(default_factory=list)
    imports_mb: float = 0.0
    peak_mb: float = 0.0
    files: int = 0
    values: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs in it is measured under this name."""
        started, before = time.monotonic(), _cpu()
        yield
        self.seconds[name] = time.monotonic() - started
        self.cpu[name] = _cpu() - before


def migrate(job: Job) -> Figures:
    """Carry out a migration stage by stage, batch by batch."""
    figures = Figures(imports_mb=_peak_memory())
    options = MigrationOptions.checked(job.options).ended(datetime.now(timezone.utc))
    source = Catalog(Client(Address.from_url(job.source)), options.source_database)
    target = Catalog(Client(Address.from_url(job.target)), options.target)
    if job.folder:
        source = _by_files(source, options, Path(job.folder), figures)
    with figures.stage("schema"):
        SchemaSync(source, target, options).run()
    if options.schema == "only":
        with figures.stage("again"):
            SchemaSync(source, target, options).run()
    else:
        _copy(source, target, options, figures)
    figures.peak_mb = _peak_memory() - figures.imports_mb
    return figures


def _by_files(source: Catalog, options: MigrationOptions, folder: Path, figures: Figures) -> Catalog:
    """Export, and look at all files, as an import begins."""
    with figures.stage("export"):
        done = Export(source, options, folder).run()
    figures.files, figures.values = done.bytes, done.values
    with figures.stage("open"):
        return opened(folder)


def _copy(source: Catalog, target: Catalog, options: MigrationOptions, figures: Figures) -> None:
    with figures.stage("plan"):
        batches = make_plan(source, target, options)
    with figures.stage("copy"):
        copied = {batch.identity: copy_batch(source, target, batch, options, MemoryProgress()) for batch in batches}
    figures.rows = sum(batch.rows for batch in copied.values())
    figures.bytes = sum(batch.tally.bytes for batch in copied.values())
    figures.strategies = sorted({batch.strategy for batch in copied.values()})
    with figures.stage("verify"):
        comparison = verify(source, target, options, batches=batches, copied=copied)
    figures.differences = [str(difference) for difference in comparison.differences[:5]]
    figures.verified = 0 if comparison.different else comparison.target_rows


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_memory() -> float:
    """The most memory that this process has had, in 10^6 bytes."""
    try:
        # ru_maxrss of Linux begins with the size of the process that started this one.
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MB
    return next(int(line.split()[1]) * 1024 / _MB for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(asdict(migrate(Job(**json.load(sys.stdin))))))
