"""The subtables of both sides and their tags: compared by hashes, so that a million of them take a few megabytes."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass

import numpy as np

from airflow_provider_tdengine.client.block import Ints, Value
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Subtable
from airflow_provider_tdengine.migration.comparing.batches import Difference
from airflow_provider_tdengine.migration.rows import TagTranscoder
from airflow_provider_tdengine.migration.structure import same_tag

_DIGITS = 14
"""Digits of a JSON number that count in a hash; 3.x says 15 of them."""


@dataclass(frozen=True, slots=True)
class TagComparison:
    """What the subtables of a super table came to.

    Parameters:
        tables: how many subtables the source has.
        others: how many others the target's super table has; they are not part of the migration.
        differences: subtables that the target lacks, and tags that differ.
    """

    tables: int
    others: int
    differences: list[Difference]


def compare_tags(
    tags: TagTranscoder, ours: Callable[[], Iterable[Subtable]], theirs: Callable[[], Iterable[Subtable]]
) -> TagComparison:
    """Compare all subtables of a super table, those without rows, too.

    Parameters:
        tags: how the source's tags become the target's.
        ours: reads the source's subtables, as the target should have them; once more where something differs.
        theirs: reads the target's.
    """

    def wanted() -> Iterator[Subtable]:
        return (Subtable(one.name, tags(one.tags)) for one in ours())

    names, values = _hashed(wanted(), tags.fields)
    there, others = _hashed(theirs(), tags.fields)
    order = np.argsort(there)
    places = np.minimum(np.searchsorted(there, names, sorter=order), max(0, len(there) - 1))
    found = there[order[places]] == names if len(there) else np.zeros(len(names), np.bool_)
    odd = ~found
    odd[found] = others[order[places[found]]] != values[found]
    suspects = set(names[odd].tolist())
    differences = list(_differences(tags.fields, suspects, wanted(), theirs())) if suspects else []
    return TagComparison(len(names), len(there) - int(np.count_nonzero(found)), differences)


def _hashed(subtables: Iterable[Subtable], fields: tuple[Field, ...]) -> tuple[Ints, Ints]:
    """(subtables,) hashes of names, and of tags: Python's, which are the same for equal values in one process."""
    names, values = array("q"), array("q")
    json_tags = [place for place, field in enumerate(fields) if field.type is Type.JSON]
    for subtable in subtables:
        names.append(hash(subtable.name))
        tags = list(subtable.tags)
        for place in json_tags:
            tags[place] = _canonical(tags[place])
        values.append(hash(tuple(tags)))
    return np.array(names, np.int64), np.array(values, np.int64)


def _canonical(value: Value) -> str | None:
    """JSON as text that is the same for what 3.x holds to be the same."""
    return json.dumps(_without_nothing(json.loads(str(value))), sort_keys=True) if value else None


def _without_nothing(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nothing(one) for name, one in value.items()}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.{_DIGITS}g}"
    return value or None


def _differences(
    fields: tuple[Field, ...], suspects: Set[int], ours: Iterable[Subtable], theirs: Iterable[Subtable]
) -> Iterator[Difference]:
    """What the suspects, known by the hashes of their names, really differ in."""
    there = {subtable.name: subtable.tags for subtable in theirs if hash(subtable.name) in suspects}
    for subtable in ours:
        if hash(subtable.name) not in suspects:
            continue
        if subtable.name not in there:
            yield Difference(subtable.name, "table", "there", "missing")
            continue
        for tag, one, other in zip(fields, subtable.tags, there[subtable.name], strict=True):
            if not same_tag(tag, one, other):
                yield Difference(subtable.name, f"tag {tag.name}", *wording.values(one, other))
