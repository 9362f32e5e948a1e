"""How much disk rows will take in the target, by what they take in the source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

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


def disk_findings(
    source: Catalog, target: Database, rows: Mapping[str, int], row_bytes: Mapping[str, float]
) -> Iterator[Finding]:
    """What to say of the disk that a migration needs.

    Parameters:
        source: the source database.
        target: the target database, whose replicas count.
        rows: of each super table and normal table of the source that are copied.
        row_bytes: the length of their values, a row, which stands for what the source does not say.
    """
    if not any(rows.values()):
        return
    sizes = {name: row_on_disk(source, name) for name in rows}
    stored = [number * (row_bytes[name] if (size := sizes[name]) is None else size) for name, number in rows.items()]
    guessed = sum(size is None for size in sizes.values())
    replicas = int(target.options.get("replica") or 1)
    how = "as compressed in the source" if not guessed else "uncompressed"
    if 0 < guessed < len(sizes):
        how = f"as compressed in the source, {guessed} of {len(sizes)} tables uncompressed"
    found = f"the rows take about {wording.size(round(sum(stored) * replicas))} ({how}"
    found += f", {replicas} replicas)" if replicas > 1 else ")"
    yield Finding(
        f"Database {target.name!r}",
        found,
        "See that the data directories of the target have that much room, and its WAL some more",
        Severity.INFO,
    )
