"""Tables and columns that the target lacks and is to go without: `on_schema_change` ignore."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from airflow_provider_tdengine.client.sql import name_list
from airflow_provider_tdengine.migration.catalog import Catalog, Extent, Scope
from airflow_provider_tdengine.migration.structure.structure import Structure, TablePair

log = logging.getLogger(__name__)

_NAMES = 2000
"""Subtables that are looked for with one query."""


def without_absent_columns(structure: Structure) -> Structure:
    """The same structure without the columns that the target's tables lack; each is said in the log."""
    absent = {
        (pair.source.name, own.name)
        for pair in structure.pairs
        if pair.target
        for own, wanted in zip(pair.source.columns, pair.wanted.columns, strict=True)
        if wanted.name not in {column.name for column in pair.target.columns}
    }
    for table, column in sorted(absent):
        log.warning("Column %s of %s stays behind: the target does not have it", column, table)
    transform = replace(structure.transform, absent=frozenset(absent))
    pairs = []
    for pair in structure.pairs:
        source = transform.selected(pair.source)
        pairs.append(TablePair(source, transform.renamed(source), pair.target))
    return replace(structure, transform=transform, pairs=pairs)


def present(target: Catalog, structure: Structure, pair: TablePair, found: Sequence[Extent]) -> Iterator[Extent]:
    """Those of a super table's subtables that the target has; or the normal table itself, if it does.

    Parameters:
        target: the target database.
        structure: both sides' structure.
        pair: the super table or normal table.
        found: subtables with rows, or the normal table.
    """
    if pair.target is None:
        return
    if not pair.source.is_super:
        yield from found
        return
    rename, table = structure.transform.tables, replace(pair.target, tags=())
    for i in range(0, len(found), _NAMES):
        some = {rename(extent.name): extent for extent in found[i : i + _NAMES]}
        for subtable in target.subtables(table, Scope(), [name_list(list(some))]):
            yield some[subtable.name]
