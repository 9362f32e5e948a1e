"""What comparisons came to over time, as rows of a TDengine database, which any dashboard can ask."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from functools import partial

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.sql import cut, identifier, literal, string
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.comparing.conclude import Comparison, Total
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.retry import persist

log = logging.getLogger(__name__)

VERIFICATION = "verification"
"""The super table of results."""

_COUNTS = (
    *("compared_tables", "source_rows", "target_rows", "different_tables", "missing_rows", "changed_rows"),
    *("extra_rows", "refused_rows", "expired_rows", "collided_rows", "late_rows"),
)
_TEXTS = {"verdict": 16, "run": 512}
_TAGS = {"migration": 256, "source_server": 256, "source_database": 64, "target_database": 64, "super_table": 192}
"""Columns of text, and tags, with their longest length in bytes. None of the names is a keyword of 3.0 or 3.3."""


def keep_results(
    source: Catalog, target: Catalog, options: MigrationOptions, comparison: Comparison, run: str, seconds: float
) -> None:
    """Add a row for each super table, and one for all normal tables, where the option `results_database` names a place.

    What keeps them from being written is a warning: it says nothing of what was compared.

    Parameters:
        source: the source database.
        target: the target database, on whose server the results are.
        options: of the migration.
        comparison: what it came to.
        run: who has compared, such as a DAG and its run.
        seconds: how long it took.
    """
    if not options.results_database:
        return
    results = Catalog(target.client, options.results_database)
    try:
        with results:
            persist(partial(_keep, source, results, options, comparison, run, seconds))
    except TDengineError as error:
        log.warning("The results were not added to database %s: %s", options.results_database, error)


def _keep(
    source: Catalog, results: Catalog, options: MigrationOptions, comparison: Comparison, run: str, seconds: float
) -> None:
    dialect = results.client.dialect
    if results.database() is None:
        # A row a night is little: 3.x would take 256 MB for each of two vnodes.
        results.execute(f"CREATE DATABASE IF NOT EXISTS {dialect.database(results.name)} VGROUPS 1 BUFFER 16")
    if (database := results.database()) is None:
        raise MigrationStopped([results.missing("results_database")])
    columns = [
        "`ts` TIMESTAMP",
        *(f"{identifier(name)} BIGINT" for name in _COUNTS),
        *(f"{identifier(name)} VARCHAR({length})" for name, length in _TEXTS.items()),
        "`seconds` DOUBLE",
    ]
    tags = ", ".join(f"{identifier(name)} VARCHAR({length})" for name, length in _TAGS.items())
    stable = results.table(VERIFICATION)
    results.execute(f"CREATE STABLE IF NOT EXISTS {stable} ({', '.join(columns)}) TAGS ({tags})")
    named = ", ".join(map(identifier, ("ts", *_COUNTS, *_TEXTS, "seconds")))
    # By the server's clock, as dashboards ask; those of workers may be wrong.
    now = int(results.clock() * 1000) * database.precision.per_second // Precision.MS.per_second

    def parts() -> Iterator[str]:
        for name, total in comparison.stables.items():
            who = (options.label, str(source.client.address), source.name, options.target, name or "(normal tables)")
            tags = ", ".join(_text(text, length) for text, length in zip(who, _TAGS.values(), strict=True))
            table = results.table(f"v_{hashlib.md5(repr(who).encode(), usedforsecurity=False).hexdigest()}")
            values = ", ".join(_values(now, total, run, seconds))
            yield f"{table} USING {stable} TAGS ({tags}) ({named}) VALUES ({values})"

    for statement, _ in cut("INSERT INTO", parts()):
        results.execute(statement)


def _values(now: int, total: Total, run: str, seconds: float) -> Iterator[str]:
    counts = (
        *(total.tables, total.rows, total.target_rows, total.different, total.missing, total.changed, total.extra),
        *(total.refused, total.expired, total.collisions, total.late),
    )
    texts = zip((total.verdict.kind.value, run), _TEXTS.values(), strict=True)
    yield from map(literal, (now, *counts))
    yield from (_text(text, length) for text, length in texts)
    yield literal(round(seconds, 3))


def _text(text: str, length: int) -> str:
    """A literal, of a very long text its beginning."""
    return string(text.encode()[:length].decode(errors="ignore"))
