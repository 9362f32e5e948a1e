"""Digests: the same rows come to the same, in any order and any blocks; other rows, or rows elsewhere, do not."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Value, column_from_list, concatenate
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration.copying import Tally
from airflow_provider_tdengine.migration.rows import NOTHING, Digest, column_hashes, name_hash, name_hashes, row_hashes

from .test_text import FIELDS, block_of, row

T = 1609459200000

rows_of = st.lists(row, min_size=1, max_size=12).map(
    lambda rows: [(T + number, *values) for number, values in enumerate(rows)]
)


def digest(rows: Sequence[tuple[object, ...]], table: str = "d1") -> Digest:
    return Digest.of(row_hashes(block_of(rows), name_hash(table)))


@given(rows=rows_of, cuts=st.lists(st.integers(0, 12), max_size=3), seed=st.integers(0, 99))
def test_order_and_blocks_do_not_matter(rows: list[tuple[object, ...]], cuts: list[int], seed: int) -> None:
    mixed = random.Random(seed).sample(rows, len(rows))
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [digest(mixed[low:high]) for low, high in pairwise(bounds)]
    assert sum(parts, NOTHING) == digest(rows)
    assert digest(rows) - digest(rows[:3]) == digest(rows[3:])


@given(rows=rows_of, data=st.data())
def test_another_value_is_another_digest(rows: list[tuple[object, ...]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(1, len(FIELDS) - 1))
    other = list(rows)
    value = data.draw(row)[column - 1]
    other[place] = (*rows[place][:column], value, *rows[place][column + 1 :])
    assert (digest(other) == digest(rows)) == same(FIELDS[column], value, rows[place][column])


def same(own: Field, one: object, other: object) -> bool:
    """Whether two values are the same to the bit, as their column holds them."""
    if one is None or other is None:
        return one is other
    first, second = (column_from_list(own, [value]) for value in (one, other))  # type: ignore[list-item]
    if isinstance(first, FixedColumn) and isinstance(second, FixedColumn):
        return first.values.tobytes() == second.values.tobytes()
    return one == other


def of_column(own: Field, values: list[Value]) -> list[int]:
    block = Block((own,), (column_from_list(own, values),), len(values))
    return [int(one) for one in row_hashes(block, np.uint64(0))]


@pytest.mark.parametrize("kind", [Type.FLOAT, Type.DOUBLE], ids=lambda kind: kind.name)
def test_every_nan_is_one_and_zeros_have_signs(kind: Type) -> None:
    """Servers hand on the bits of a NaN, or make another one of it; 0.0 and -0.0 they tell apart."""
    wide = kind is Type.DOUBLE
    nans = [0x7FF8 << 48, 0xFFF8 << 48, (0x7FF8 << 48) + 1] if wide else [0x7FC00000, 0xFFC00000, 0x7FC00001]
    values = np.frombuffer(struct.pack("<3Q" if wide else "<3I", *nans), "<f8" if wide else "<f4")
    own = Field("v", kind, values.itemsize)
    column: Column = FixedColumn(values, np.zeros(3, np.bool_))
    first, *others = (int(one) for one in row_hashes(Block((own,), (column,), 3), np.uint64(0)))
    assert others == [first, first]
    assert of_column(own, [math.nan]) == [first]
    numbers: list[Value] = [math.nan, 0.0, -0.0, math.inf, -math.inf, None, 1.0, -1.0]
    assert len(set(of_column(own, numbers))) == len(numbers)


def test_what_is_nearly_nothing_is_told_apart() -> None:
    for own, values in {
        Field("v", Type.VARCHAR, 8): [None, b"", b"\0", b"\0\0", b" ", b"NULL", b"a", b"a\0", b"\0a"],
        Field("v", Type.NCHAR, 8): [None, "", "0", " ", "零"],
        Field("v", Type.BOOL, 1): [None, False, True],
        Field("v", Type.INT, 4): [None, 0, 1, -1, 2**31 - 1],
        Field("v", Type.UBIGINT, 8): [None, 0, 1, 2**63, 2**64 - 1],
        Field("v", Type.TIMESTAMP, 8): [None, 0, -1, T],
    }.items():
        assert len(set(of_column(own, values))) == len(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "values"), [(Type.DOUBLE, (1.5, 2.5)), (Type.VARCHAR, ("ab", "c")), (Type.INT, (0, 1))]
)
def test_swapped_columns_and_moved_text(kind: Type, values: tuple[Value, Value]) -> None:
    fields = (Field("a", kind, 8), Field("b", kind, 8))

    def of(*row: Value) -> Digest:
        columns = tuple(column_from_list(own, [value]) for own, value in zip(fields, row, strict=True))
        return Digest.of(row_hashes(Block(fields, columns, 1), name_hash("d")))

    one, other = values
    rows = [(one, other), (other, one), (one, one), (other, other), (one, None), (None, one), (None, None)]
    rows += [("a", "bc"), ("abc", ""), ("", "abc")] if kind is Type.VARCHAR else []
    assert len({of(*row) for row in rows}) == len(rows)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=9))
def test_a_text_does_not_know_its_neighbours(texts: list[bytes]) -> None:
    own = Field("v", Type.VARCHAR, 40)
    together = of_column(own, list(texts))
    assert together == [of_column(own, [text])[0] for text in texts]
    block = Block((own,), (column_from_list(own, list(texts)),), len(texts))
    parts = [block.take(slice(place, place + 1)) for place in range(len(texts))]
    joined = concatenate([*parts[::2], *parts[1::2]])
    assert sorted(row_hashes(joined, np.uint64(0)).tolist()) == sorted(together)


@given(rows=rows_of)
def test_rows_in_a_wrong_table_are_noticed(rows: list[tuple[object, ...]]) -> None:
    assert digest(rows, "d1") != digest(rows, "d2")
    if len(rows) > 1:
        # The rows of two tables, exchanged; and one that is in the other's table.
        assert digest(rows[:1], "d1") + digest(rows[1:], "d2") != digest(rows[:1], "d2") + digest(rows[1:], "d1")


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=9))
def test_names_are_the_same_one_by_one_and_as_a_column(names: list[str]) -> None:
    """Dense copies and readings know the table, sparse ones read `tbname`, as VARCHAR with a length of its own."""
    as_column = column_hashes(column_from_list(Field("tbname", Type.VARCHAR, 192), names))
    assert as_column.tolist() == name_hashes(names).tolist() == [name_hash(name) for name in names]


def test_a_whole_column_of_nothing() -> None:
    """Columns of which no value is known count, too: their number is that of the table's."""
    own, nothing = Field("a", Type.INT, 4), Field("b", Type.VARCHAR, 8)
    a, b = column_from_list(own, [1, 2]), column_from_list(nothing, [None, None])
    assert row_hashes(Block((own, nothing), (a, b), 2), np.uint64(0)).tolist() != of_column(own, [1, 2])


counts = st.integers(0, 10**12)
tallies = st.builds(Tally, counts, counts, counts, counts, counts, st.integers(0, 2**64 - 1))


@given(tallies, tallies)
def test_tallies_add_up_and_survive_json(one: Tally, other: Tally) -> None:
    assert one + other - other == one
    assert (one + other).digest == one.digest + other.digest
    assert Tally.from_dict(one.to_dict()) == one
    assert all(not isinstance(value, int) or value < 2**53 for value in one.to_dict().values())


@pytest.mark.parametrize("kind", Type, ids=lambda kind: kind.name)
def test_no_rows_have_no_hashes(kind: Type) -> None:
    field = Field("c", kind, 16, 10, 2)
    assert row_hashes(Block((field,), (column_from_list(field, []),), 0), np.uint64(0)).tolist() == []
