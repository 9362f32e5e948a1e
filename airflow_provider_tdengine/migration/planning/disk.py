"""How much disk rows will take in the target, by what they take in the source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Database
from airflow_provider_tdengine.migration.findings import Finding, Severity

# What both generations answer, in their own spelling (measured 2.4.0.18, 3.0.5.2 and 3.3.3.0).
_KIBIBYTES = re.compile(r"\b(?:Total_)?Size=\[(\d{1,18}(?:\.\d+)?) ?\(?(?:KiB|KB|Kb)")
_ROWS = re.compile(r"\b(?:Block_|Total_)?Rows=\[(\d{1,18})\]")


def row_on_disk(catalog: Catalog, table: str) -> float | None:
    """Compressed bytes of a row, from the rows that a server has on disk.

    Parameters:
        catalog: the database.
        table: a super table or normal table.

    Returns:
        None where no rows are on disk yet, or the server does not say it.
    """
    try:
        rows = catalog.rows(catalog.client.dialect.distribution(catalog.table(table)), 1)
    except TDengineError as error:
        if error.retryable:
            raise
        return None
    return row_of("\n".join(str(line) for (line,) in rows))


def row_of(text: str) -> float | None:
    """Compressed bytes of a row, from what a server says of a table's files; None where there are none."""
    size, stored = _KIBIBYTES.search(text), _ROWS.search(text)
    if size is None or stored is None or not int(stored[1]):
        return None
    return float(size[1]) * 1024 / int(stored[1])


@dataclass(frozen=True, slots=True)
class Disk:
    """How much disk the rows of some tables take.

    Parameters:
        row_bytes: of each table, how many bytes of disk a row takes in the source.
        guessed: tables of which the source does not say it; there, they are the bytes of the values.
        replicas: copies that the target keeps of each row.
        rows: of each table.
    """

    row_bytes: Mapping[str, float]
    guessed: frozenset[str]
    replicas: int
    rows: Mapping[str, int]

    def of(self, table: str) -> float:
        """Bytes in the source of a table's rows."""
        return self.rows[table] * self.row_bytes[table]

    @property
    def source(self) -> float:
        """Bytes in the source, of one copy."""
        return sum(map(self.of, self.rows))

    @property
    def target(self) -> float:
        """Bytes in the target, of all copies, if it compresses them like the source."""
        return self.source * self.replicas

    @property
    def how(self) -> str:
        """What that is taken from, in a few words."""
        if not self.guessed:
            return "as compressed in the source"
        if len(self.guessed) == len(self.rows):
            return "uncompressed"
        return f"as compressed in the source, {len(self.guessed)} of {len(self.rows)} tables uncompressed"

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "source": round(self.source),
            "target": round(self.target),
            "replicas": self.replicas,
            "guessed": len(self.guessed),
            "how": self.how,
        }

    def findings(self, target: str) -> Iterator[Finding]:
        """What to say of the disk that a migration into a database needs."""
        if not any(self.rows.values()):
            return
        found = f"the rows take about {wording.size(round(self.target))} ({self.how}"
        found += f", {self.replicas} replicas)" if self.replicas > 1 else ")"
        yield Finding(
            f"Database {target!r}",
            found,
            "See that the data directories of the target have that much room, and its WAL some more",
            Severity.INFO,
        )


def disk_of(source: Catalog, target: Database, rows: Mapping[str, int], values: Mapping[str, float]) -> Disk:
    """How much disk rows take.

    Parameters:
        source: the source database.
        target: the target database, whose replicas count.
        rows: of each super table and normal table of the source that are copied.
        values: the length of their values, a row, which stands for what the source does not say.
    """
    sizes = {name: row_on_disk(source, name) for name in rows}
    known = {name: values[name] if size is None else size for name, size in sizes.items()}
    guessed = frozenset(name for name, size in sizes.items() if size is None)
    return Disk(known, guessed, int(target.options.get("replica") or 1), rows)
