"""Packs: batches of several databases, together about as large as one is otherwise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.migration.copying import ROWS_A_BATCH, Batch, Pack, packed
from airflow_provider_tdengine.migration.copying.pack import PARTS, ROWS_A_PACK


def batch(database: str, rows: int, stable: str = "m") -> Batch:
    return Batch(stable, None, None, 1, None, None, rows, database=database, names="d1")


_batches = st.lists(st.builds(batch, st.sampled_from("abc"), st.integers(0, 3 * ROWS_A_BATCH)), max_size=40)


@given(before=_batches, behind=_batches)
def test_nothing_is_left_out_and_what_was_packed_stays_when_more_comes(
    before: list[Batch], behind: list[Batch]
) -> None:
    earlier = packed(before, [], 1024)
    known = [part for pack in earlier for part in pack.parts]
    packs = packed(behind, known, 1024)
    assert [part.identity for pack in packs for part in pack.parts] == [one.identity for one in [*before, *behind]]
    assert [pack.parts for pack in packs[: len(earlier)]] == [
        tuple(replace(part, batches=len(packs)) for part in pack.parts) for pack in earlier
    ]
    for number, pack in enumerate(packs):
        assert len(pack.parts) == 1 or pack.rows <= ROWS_A_PACK
        assert {part.pack for part in pack.parts} == {number}


def small(count: int, rows: int) -> list[int]:
    """How many of so many databases of so many rows are in each pack."""
    return [len(pack.parts) for pack in packed([batch(f"b{i}", rows) for i in range(count)], [], 1024)]


def test_many_small_databases_are_a_few_packs_however_many() -> None:
    assert small(40, 250_000) == [10] * 4
    assert small(3, 800_000) == [1] * 3
    assert small(PARTS + 1, 1) == [PARTS, 1]
    assert len(packed([batch(f"b{i}", 2 * ROWS_A_BATCH) for i in range(500)], [], 64)) <= 64


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
