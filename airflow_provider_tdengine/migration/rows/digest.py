"""Rows as numbers: a hash of each row's values, the same on both sides, and what the rows of a table come to.

Hashes are added up, so that it does not matter in which order rows arrive, and any part of a table can be compared.
They are of 64 bits: that two different tables come to the same is as likely as 1 to 10^19.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import Block, Column, Ints, VariableColumn

Hashes: TypeAlias = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NULL = np.uint64(0x2545F4914F6CDD1D)


def row_hashes(block: Block) -> Hashes:
    """(rows,) a hash of each row. Values count as they are stored: 0.0 is not -0.0, and no text is not NULL.

    Parameters:
        block: columns of the same types, in the same order, on both sides.
    """
    total = np.zeros(block.rows, np.uint64)
    for number, column in enumerate(block.columns):
        seed = _mix(np.array([number + 1], np.uint64) * _GOLDEN)
        values = _mix(_values(column) + seed)
        total += np.where(column.nulls, _mix(seed ^ _NULL), values)
    return _mix(total)


def _mix(values: Hashes) -> Hashes:
    """A change of one bit changes half of the others (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = values ^ (values >> np.uint64(31))
    return mixed


def _values(column: Column) -> Hashes:
    """(rows,) each value as 64 bits; those of more than 8 bytes are mixed."""
    if isinstance(column, VariableColumn):
        return _texts(column)
    values = column.values
    if values.dtype.kind == "f":
        bits = values.view(np.uint32 if values.dtype.itemsize == 4 else np.uint64).astype(np.uint64)
        # There are many NaNs; servers do not tell them apart.
        return np.where(np.isnan(values), _GOLDEN, bits)
    if values.dtype.kind in "iub":
        return values.astype(np.int64 if values.dtype.kind == "i" else np.uint64).astype(np.uint64)
    halves = np.ascontiguousarray(values).view(np.uint64).reshape(len(values), -1)
    total = np.zeros(len(values), np.uint64)
    for half in halves.T:
        total = _mix(total + half)
    return total


def _texts(column: VariableColumn) -> Hashes:
    """(rows,) of each text the sum of its bytes, each times a number that is its place's own, and of its length."""
    data = column.joined().astype(np.uint64) + np.uint64(1)
    ends = np.cumsum(column.lengths)
    places = np.arange(len(data)) - np.repeat(ends - column.lengths, column.lengths)
    weights = _mix(np.arange(1, int(column.lengths.max(initial=0)) + 1, dtype=np.uint64) * _GOLDEN)
    sums = span_sums(data * (weights[places] | np.uint64(1)), column.lengths)
    hashes: Hashes = sums + column.lengths.astype(np.uint64) * _GOLDEN
    return hashes


def span_sums(values: Hashes, lengths: Ints) -> Hashes:
    """(spans,) sums modulo 2^64 of so many values each.

    Parameters:
        values: one span's directly after the other's.
        lengths: (spans,) how many values each has.
    """
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])
    ends = np.cumsum(lengths)
    spans: Hashes = sums[ends] - sums[ends - lengths]
    return spans
