"""Rows as numbers: a hash of each row and of its table's name, and what the rows of a table come to.

Hashes are added up modulo 2^64, so that it does not matter in which order rows arrive or where blocks end, and any part
of a table can be compared. A row's hash is a sum over its columns, each value folded and times a number that is the
column's own, which is mixed once at the end: that two different rows come to the same is as likely as 1 to 10^19.
It is added up while rows are copied, so it must cost next to nothing: 5 operations a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from airflow_provider_tdengine.client.block import Block, Column, Flags, Ints, VariableColumn, column_from_list
from airflow_provider_tdengine.client.types import Field, Type

Hashes: TypeAlias = npt.NDArray[np.uint64]

SIZE = 1 << 64
"""Digests count modulo this."""

_NAN = np.uint64(0x9E3779B97F4A7C15)
"""What every NaN counts as: there are many, and servers do not tell them apart."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What rows come to.

    Parameters:
        rows: how many there are.
        sum: of their hashes, modulo 2^64.
    """

    rows: int = 0
    sum: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, (self.sum + other.sum) % SIZE)

    def __sub__(self, other: Digest) -> Digest:
        return Digest(self.rows - other.rows, (self.sum - other.sum) % SIZE)

    @classmethod
    def of(cls, hashes: Hashes) -> Digest:
        """Of rows with these hashes."""
        return cls(len(hashes), int(hashes.sum(dtype=np.uint64)))


NOTHING = Digest()


def total(digests: Iterable[Digest]) -> Digest:
    """What several digests come to together."""
    return sum(digests, NOTHING)


@cache
def _weights(count: int, kind: int) -> tuple[np.uint64, ...]:
    """Odd numbers without pattern: for each column (0), its NULL (1), and each word of a text (2)."""
    return tuple(np.uint64(_number(f"{kind} {place}".encode()) | 1) for place in range(count))


def _number(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def name_hash(table: str) -> np.uint64:
    """What a table's name adds to the hash of each of its rows, so that rows in a wrong table are noticed."""
    return name_hashes([table])[0]  # type: ignore[no-any-return]


def name_hashes(tables: Sequence[str]) -> Hashes:
    """(tables,) the same of many."""
    return column_hashes(column_from_list(Field("tbname", Type.VARCHAR), tables))


def column_hashes(names: Column) -> Hashes:
    """(rows,) the same of a column of names, such as `tbname`."""
    return _mixed(_values(names))


def row_hashes(block: Block, tables: np.uint64 | Hashes) -> Hashes:
    """(rows,) a hash of each row. Values count as they are stored: 0.0 is not -0.0, and no text is not NULL.

    Parameters:
        block: columns of the same types, in the same order, on both sides.
        tables: `name_hash` of the table, or (rows,) of each row's.
    """
    total = np.empty(block.rows, np.uint64)
    total[...] = tables
    columns = len(block.columns)
    for column, weight, null in zip(block.columns, _weights(columns, 0), _weights(columns, 1), strict=True):
        values = _values(column)
        values *= weight
        if np.count_nonzero(column.nulls):
            values[column.nulls] = null
        total += values
    return _mixed(total)


def _mixed(values: Hashes) -> Hashes:
    """In place: a change of one bit changes half of the others (the finaliser of SplitMix64)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _folded(values: Hashes) -> Hashes:
    """As a new array: doubles differ in their upper half only, which a product alone would leave there."""
    folded: Hashes = values >> np.uint64(32)
    folded ^= values
    return folded


def _values(column: Column) -> Hashes:
    """(rows,) each value as 64 bits, in an array of its own."""
    if isinstance(column, VariableColumn):
        return _texts(column)
    values = column.values
    width = values.dtype.itemsize
    if values.dtype.kind == "f":
        bits = values.view(np.uint64 if width == 8 else np.uint32)
        numbers: Hashes = _folded(bits) if width == 8 else bits.astype(np.uint64)
        is_nan: Flags = np.isnan(values)
        if np.count_nonzero(is_nan):
            numbers[is_nan] = _NAN
        return numbers
    if values.dtype.kind in "iub":
        if width == 8:
            return _folded(values.view(np.uint64))
        return values.astype(np.int64 if values.dtype.kind == "i" else np.uint64).view(np.uint64)
    halves = np.ascontiguousarray(values).view(np.uint64).reshape(len(values), width // 8)
    number = np.zeros(len(values), np.uint64)
    for half in halves.T:
        number += half
        _mixed(number)
    return number


def _texts(column: VariableColumn) -> Hashes:
    """(rows,) of each text the sum of its words of 8 bytes, each times its place's own number, and of its length."""
    words, counts = column.words()
    longest = int(counts.max(initial=0))
    weights = np.array(_weights(max(longest, 64), 2), np.uint64)
    places = np.arange(len(words)) - np.repeat(np.cumsum(counts) - counts, counts)
    products = _folded(words)
    products *= weights[places]
    # Not folded before it is added up, a text would count as the sum of its parts in any column.
    sums = span_sums(products, counts)
    sums += column.lengths.astype(np.uint64) * _NAN
    return _folded(sums)


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
