"""What differs is mended: schema sync gives tags their values, and the part of a table that differs is copied again."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.sql import identifier
from airflow_provider_tdengine.migration.catalog import Catalog, Extent
from airflow_provider_tdengine.migration.comparing.row_comparer import Piece
from airflow_provider_tdengine.migration.comparing.verify import Comparison, verify
from airflow_provider_tdengine.migration.copying import (
    Batch,
    Known,
    MemoryProgress,
    comparable_since,
    copy_batch,
    window,
)
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.structure import SchemaSync, Structure, TablePair, read_structure

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repair:
    """What a round of repair did.

    Parameters:
        differences: how many there were before it.
        tables: of how many tables rows were copied again.
        rows: how many rows.
        deleted: how many rows that only the target had were deleted.
        tags: how many tag values were corrected.
    """

    differences: int
    tables: int
    rows: int
    deleted: int
    tags: int


def prove(
    source: Catalog,
    target: Catalog,
    options: MigrationOptions,
    dead_letters: Mapping[str, list[int]] | None = None,
    *,
    stop: threading.Event | None = None,
) -> tuple[Comparison, list[Repair]]:
    """Compare both sides, mend what differs, and compare again, as often as the option `repair_rounds` says.

    Parameters:
        source: the source database.
        target: the target database.
        options: as for `verify`.
        dead_letters: as for `verify`; tables that have some are compared, and not mended.
        stop: set by somebody who wants it to stop soon.

    Returns:
        The last comparison, and what was done before it. Where a repair cannot be made, it says why.

    Raises:
        MigrationStopped: a database or super table is missing.
        TDengineError: what no retry cured.
    """
    stop = stop or threading.Event()
    comparison = verify(source, target, options, dead_letters, stop=stop)
    repairs: list[Repair] = []
    while comparison.differences and len(repairs) < options.repair_rounds:
        log.warning("%d differences; repair round %d", len(comparison.differences), len(repairs) + 1)
        try:
            repairs.append(_repair(source, target, options, comparison, stop))
        except TDengineError as error:
            if error.retryable:
                raise
            log.error("It cannot be mended: %s", error)
            comparison.obstacle = str(error)
            break
        comparison = verify(source, target, options, dead_letters, stop=stop)
    return comparison, repairs


def _repair(
    source: Catalog, target: Catalog, options: MigrationOptions, comparison: Comparison, stop: threading.Event
) -> Repair:
    tags = 0
    if options.schema != "none":
        # What differs may be a table or column that is new; and tags.
        tags = SchemaSync(source, target, options).run().tags
    structure = read_structure(source, target, options)
    rename = structure.transform.tables
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for piece in comparison.pieces:
        if rename(piece.table) not in comparison.dead_letters:
            pieces[piece.table].append(piece)
    deleted = 0
    if options.delete_extra and not structure.source.keep:
        log.warning("Nothing is deleted: the account may not see the source's KEEP, by which rows may have gone there")
    elif options.delete_extra:
        deleted = sum(_delete_extra(target, structure, piece) for own in pieces.values() for piece in own)
    rows = 0
    for batch, known in _batches(structure, options, pieces):
        log.info("Copying again: %s, %d rows", batch.label, batch.rows)
        rows += copy_batch(source, target, batch, options, MemoryProgress(), known=known, stop=stop).rows
    return Repair(len(comparison.differences), len(pieces), rows, deleted, tags)


def _pair_of(structure: Structure, piece: Piece) -> TablePair:
    return next(pair for pair in structure.pairs if pair.source.name == (piece.stable or piece.table))


def _delete_extra(target: Catalog, structure: Structure, piece: Piece) -> int:
    """Delete the rows of a piece that only the target has.

    Returns:
        How many there were.
    """
    if not piece.runs:
        return 0
    table = target.table(structure.transform.tables(piece.table))
    time = identifier(_pair_of(structure, piece).wanted.time_column)
    for first, last in piece.runs:
        target.execute(f"DELETE FROM {table} WHERE {time} >= {first} AND {time} <= {last}")
    log.warning("Deleted %d rows of %s that only the target had", piece.extra, table)
    return piece.extra


def _batches(
    structure: Structure, options: MigrationOptions, pieces: Mapping[str, list[Piece]]
) -> Iterator[tuple[Batch, Known]]:
    """What is copied again: tables that the target lacks together, of others the period that differs."""
    lacking: dict[str | None, list[Extent]] = defaultdict(list)
    for name, own in pieces.items():
        first = own[0]
        if first.is_all:
            assert first.start is not None
            assert first.end is not None
            lacking[first.stable].append(Extent(name, first.rows, first.start, first.end - 1))
            continue
        start = min((piece.start for piece in own if piece.start is not None), default=None)
        end = max((piece.end for piece in own if piece.end is not None), default=None)
        rows = sum(piece.rows for piece in own)
        if rows:
            yield Batch(first.stable, name, name, 1, start, end, rows), Known(structure, None)
    assert structure.target is not None
    start, end = window(options, structure.source)
    start = comparable_since(start, structure.source.precision, structure.source, structure.target)
    for stable, extents in lacking.items():
        extents.sort(key=lambda extent: extent.name)
        rows = sum(extent.rows for extent in extents)
        batch = Batch(stable, extents[0].name, extents[-1].name, len(extents), start, end, rows)
        yield batch, Known(structure, extents)
