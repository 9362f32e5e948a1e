"""How a target database might be made: VGROUPS, BUFFER and room on disk, each with its reason.

Rules of thumb, to be looked at again once it runs. What they rest on: a vnode's BUFFER is three pools, of which one is
written to files when it is full (by TDengine's sources), and a vnode takes `BUFFER + PAGES x PAGESIZE + CACHESIZE` of
memory (by its documentation); `PAGES` 256, `PAGESIZE` 4 KB and `CACHESIZE` 1 MB are the defaults of 3.0 to 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.database_options import DAY, DatabaseOptions
from airflow_provider_tdengine.migration.findings import Finding, Severity
from airflow_provider_tdengine.migration.planning.dry_run import Preview
from airflow_provider_tdengine.migration.planning.machines import Machines
from airflow_provider_tdengine.migration.structure import new_database

_TABLES, _SIZE = 100_000, 100e9
"""Tables, and bytes of disk in a year, for which a database gets one more vgroup."""

_POOLS = 3
_LEAST, _MOST = 16, 256
"""MB of BUFFER: less saves nothing worth it; more is for databases that somebody knows well. 256 is the default."""

_BESIDE = 2_000_000
"""Bytes of a vnode beside its BUFFER."""

_YEAR = 365

_ROOM = 1.3
"""Of the rows' disk, so much is to be there: for the WAL, and files that are merged."""

_SHARE = 0.5
"""Of the memory, so much may be buffers: queries and the system want the rest."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A target database.

    Parameters:
        vgroups: how many.
        buffer: MB of each vnode.
        memory: bytes, of all its vnodes.
        vnodes: how many there will be, with replicas.
        disk: bytes when all has been copied, with all replicas and room to work.
        disk_in_a_year: bytes a year later.
        statement: that creates it; empty where it is there already.
        reasons: of each of these, in words.
    """

    vgroups: int
    buffer: int
    memory: int
    vnodes: int
    disk: int
    disk_in_a_year: int
    statement: str
    reasons: dict[str, str]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def proposal(found: Preview, target: Catalog, there: Machines) -> Proposal:
    """How the target of a dry run might be made; of one that is there already, what it takes.

    Parameters:
        found: by the dry run.
        target: where it is to be.
        there: the target's machines.

    Raises:
        TDengineError: of the kind of failure.
    """
    assert found.database is not None
    words = {name: int(value) for name, value in _words(found, target).items() if value.isdecimal()}
    replicas = found.disk.replicas
    keep = max(found.database.keep, default=_YEAR * DAY) / DAY
    in_a_year = _in_a_year(found, keep)
    vgroups, why_vgroups = _vgroups(found, in_a_year, there)
    vgroups = words.get("VGROUPS", vgroups)
    buffer, why_buffer = _buffer(found, vgroups)
    buffer = words.get("BUFFER", buffer)
    said = "as the target has it already" if found.exists else "as database_options says it"
    vnodes = vgroups * replicas
    reasons = {
        "VGROUPS": said if "VGROUPS" in words else why_vgroups,
        "BUFFER": said if "BUFFER" in words else why_buffer,
        "disk": _why_disk(found, keep),
    }
    return Proposal(
        vgroups,
        buffer,
        round(vnodes * (buffer * 2**20 + _BESIDE)),
        vnodes,
        round(found.disk.target * _ROOM),
        round(in_a_year * replicas * _ROOM),
        "" if found.exists else _statement(found, target, vgroups, buffer),
        reasons,
    )


def _words(found: Preview, target: Catalog) -> dict[str, str]:
    """Options that are not to be chosen: those of a database that is there, or that the user gives."""
    if not found.exists:
        return dict(DatabaseOptions.parse(found.options.database_options).words)
    there = target.database()
    return {} if there is None else {name.upper(): value for name, value in there.options.items()}


def _in_a_year(found: Preview, keep: float) -> float:
    """Bytes of disk of one copy, a year from now.

    Parameters:
        found: by the dry run.
        keep: days for which rows are kept.
    """
    grown = found.disk.source + _YEAR * found.growth.bytes
    return min(grown, max(found.disk.source, keep * found.growth.bytes))


def _vgroups(found: Preview, in_a_year: float, there: Machines) -> tuple[int, str]:
    by_tables, by_size = math.ceil(found.tables / _TABLES), math.ceil(in_a_year / _SIZE)
    wanted = max(1, by_tables, by_size)
    said = (
        f"one for {_TABLES:,} tables and one for {wording.size(_SIZE)} of disk in a year: here "
        f"{wording.number(found.tables, 'table')} and {wording.size(in_a_year)}"
    )
    if there.cores and wanted > there.cores:
        return there.cores, f"{said}; not more than the target has cores"
    return wanted, said


def _buffer(found: Preview, vgroups: int) -> tuple[int, str]:
    hourly = found.growth.rows / 24 * found.bytes / max(1, found.rows) / vgroups
    wanted = _POOLS * hourly / 2**20
    size = 2 ** math.ceil(math.log2(max(1.0, wanted)))
    said = (
        f"a third of it holds what a vgroup gets in an hour ({wording.size(hourly)}), so that files are written rarely"
    )
    return min(_MOST, max(_LEAST, size)), f"{said}; from {_LEAST} to {_MOST} MB"


def _why_disk(found: Preview, keep: float) -> str:
    growth = found.growth
    said = f"the rows as they are, and {wording.size(growth.bytes)} a day"
    said += f" for as long as KEEP ({keep:,.0f} days)" if keep < _YEAR else " for a year"
    replicas = f", {found.disk.replicas} replicas" if found.disk.replicas > 1 else ""
    return f"{said}{replicas}; {round(100 * (_ROOM - 1))} % more for the write-ahead log and files that are merged"


def _statement(found: Preview, target: Catalog, vgroups: int, buffer: int) -> str:
    """CREATE DATABASE as a migration would run it with these in `database_options`."""
    assert found.database is not None
    given = found.options.database_options
    words = DatabaseOptions.parse(given).words
    more = {"VGROUPS": vgroups, "BUFFER": buffer}
    added = " ".join(f"{name} {value}" for name, value in more.items() if name not in words)
    options = replace(found.options, database_options=f"{given} {added}".strip())
    try:
        return new_database(found.database, target, options).statement(target.client.dialect)
    except TDengineError as error:
        if error.retryable:
            raise
        # Its name cannot be said, which is among the findings.
        return ""


def target_findings(proposals: Sequence[Proposal], there: Machines, address: str) -> Iterator[Finding]:
    """What the target's machines lack for all of these together.

    Parameters:
        proposals: of all databases.
        there: the target's machines.
        address: of the target.
    """
    new = [one for one in proposals if one.statement]
    memory, vnodes = sum(one.memory for one in new), sum(one.vnodes for one in new)
    what = wording.number(len(new), "new database")
    if there.memory and memory > _SHARE * there.memory:
        yield Finding(
            f"Memory of {address}",
            f"{wording.size(memory)} of {wording.size(there.memory)} would be the buffers of {what}",
            "Give a smaller BUFFER in database_options, bring databases together, or give the target more memory",
            Severity.WARNING,
        )
    if there.free_vnodes is not None and vnodes > there.free_vnodes:
        yield Finding(
            f"Vnodes of {address}",
            f"{there.free_vnodes:,} are free, and {vnodes:,} are needed for {what}",
            "Raise supportVnodes in the taos.cfg of the target, or add nodes",
        )
