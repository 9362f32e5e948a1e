"""Packs: batches of several databases, together about as large as one is otherwise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.migration.copying import ROWS_A_BATCH, Batch, Pack, packed
from airflow_provider_tdengine.migration.copying.pack import PARTS


def batch(database: str, rows: int, stable: str = "m") -> Batch:
    return Batch(stable, None, None, 1, None, None, rows, database=database, names="d1")


_batches = st.lists(st.builds(batch, st.sampled_from("abc"), st.integers(0, 3 * ROWS_A_BATCH)), max_size=40)


@given(before=_batches, behind=_batches)
def test_nothing_is_left_out_and_what_was_packed_stays_when_more_comes(
    before: list[Batch], behind: list[Batch]
) -> None:
    packs = [pack.parts for pack in packed([*before, *behind], 1024)]
    assert [part.identity for pack in packs for part in pack] == [one.identity for one in [*before, *behind]]
    for pack in packs:
        assert len(pack) == 1 or sum(part.rows for part in pack) <= ROWS_A_BATCH
    earlier = [pack.parts for pack in packed(before, 1024)]
    for old, new in zip(earlier[:-1], packs, strict=False):
        assert [part.identity for part in old] == [part.identity for part in new]


def test_many_small_databases_are_a_few_packs_however_many() -> None:
    assert [len(pack.parts) for pack in packed([batch(f"b{i}", 250_000) for i in range(40)], 1024)] == [4] * 10
    assert [len(pack.parts) for pack in packed([batch(f"b{i}", 1) for i in range(PARTS + 1)], 1024)] == [PARTS, 1]
    assert len(packed([batch(f"b{i}", 2 * ROWS_A_BATCH) for i in range(500)], 64)) <= 64


@pytest.mark.parametrize(
    ("parts", "label"),
    [
        ([batch("a", 1)], "a: m d1"),
        ([batch("a", 1), batch("a", 1, "n")], "a: 2 batches"),
        ([batch("a", 1), batch("b", 1), batch("c", 1)], "a…c"),
    ],
)
def test_a_pack_goes_through_json_and_has_a_label(parts: list[Batch], label: str) -> None:
    pack = Pack(tuple(parts))
    assert Pack.from_dict(json.loads(json.dumps(pack.to_dict()))) == pack
    assert pack.label == label


def test_batches_of_two_databases_are_two_and_that_of_one_is_what_it_was() -> None:
    assert batch("a", 1).identity != batch("b", 1).identity
    assert batch("", 1).identity == '["m", null, null, null, null]'
