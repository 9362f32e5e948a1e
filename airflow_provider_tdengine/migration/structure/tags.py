"""Tags of subtables: as SQL says them, compared, and what the target's may become."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from airflow_provider_tdengine.client.block import Value
from airflow_provider_tdengine.client.geometry import well_known_text
from airflow_provider_tdengine.client.result import as_name
from airflow_provider_tdengine.client.sql import identifier, literal, own_names, string, where
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Scope, Subtable, Table
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.rows import TagTranscoder

TAG_PAGE = 2000
"""Subtables whose tags are compared with one query: their names must fit into a statement."""

_SHOWN = 5
"""Tags that a finding names at most."""

_NOTHING: tuple[object, ...] = (None, "", {})
"""What 3.x stores as NULL where a JSON tag says it."""

# A larger one hangs the target: 1e50 is fine, from 1e100 on a vnode of 3.3.3.0 never answers again (measured).
_LARGEST_IN_JSON = 1e50

_SMALLEST_DOUBLE = sys.float_info.min


@dataclass(frozen=True, slots=True)
class TagDifference:
    """A tag of a subtable of the target that has another value than it should have.

    Parameters:
        tag: the target's tag.
        ours: the value that it should have.
        theirs: the value that it has.
        is_new: whether the target's super table does not have the tag yet, so that its value says nothing.
    """

    tag: Field
    ours: Value
    theirs: Value
    is_new: bool

    def correction(self, table: str) -> str:
        """The statement that gives it the value.

        Parameters:
            table: the subtable in SQL.
        """
        return f"ALTER TABLE {table} SET TAG {identifier(self.tag.name)} = {tag_literal(self.tag, self.ours)}"

    def __str__(self) -> str:
        there, here = wording.values(self.theirs, self.ours)
        return f"{self.tag.name} is {there} and would be {here}"


@dataclass(frozen=True, slots=True)
class OtherTags:
    """A subtable that the target has already, with other tags.

    Parameters:
        subtable: as the target should have it.
        differences: the tags that differ.
        has_rows: whether it has rows in the target.
    """

    subtable: Subtable
    differences: list[TagDifference]
    has_rows: bool

    def stops(self, constants: Container[str], *, update_tags: bool) -> bool:
        """Whether it may be another device's, whose rows and tags would be overwritten.

        Without rows nobody's data hangs on it. The value of a constant tag says whose it is; only a subtable that has
        none may be this migration's.

        Parameters:
            constants: names of the tags that this migration gives one value to.
            update_tags: the option.
        """
        if not self.has_rows:
            return False
        if update_tags:
            return self._is_another_site_s(constants)
        return any(not each.is_new or each.tag.name in constants for each in self.differences)

    def _is_another_site_s(self, constants: Container[str]) -> bool:
        return any(each.theirs is not None and each.tag.name in constants for each in self.differences)

    def finding(self, constants: Container[str]) -> Finding:
        """What to say where it stops the migration."""
        shown = [str(each) for each in self.differences[:_SHOWN]]
        if len(self.differences) > _SHOWN:
            shown.append(f"{len(self.differences) - _SHOWN} more differ")
        rename = "give rename_tables a rule that keeps them apart, such as * -> site_*"
        if self._is_another_site_s(constants):
            action = f"It is another site's: {rename}"
        else:
            action = f"If it is another device, {rename}, and add_tags a tag that says where it is from; "
            action += "if it is the same one, set update_tags"
        found = f"the target has it already, with rows and with other tags: {', '.join(shown)}"
        return Finding(f"Table {self.subtable.name!r}", found, action, kind="other tags")


def other_tags(
    target: Catalog, stable: Table, known: Container[str], tags: TagTranscoder, subtables: Sequence[Subtable]
) -> Iterator[OtherTags]:
    """Those of a super table's subtables in the target whose tags are not what they should be.

    Parameters:
        target: the target database.
        stable: the super table as the target should have it.
        known: names of the tags that it has there.
        tags: how the subtables' tags become the target's.
        subtables: as the target should have them; not more than `TAG_PAGE`. It has all of them in this super table.

    Raises:
        RowRejected: a tag's value cannot be held by the target.
    """
    if not subtables:
        return
    there = replace(stable, tags=tuple(tag for tag in stable.tags if tag.name in known))
    names = [tag.name for tag in there.tags]
    found = target.subtables(there, Scope(), [own_names([subtable.name for subtable in subtables])])
    theirs = {other.name: dict(zip(names, other.tags, strict=True)) for other in found}
    differing = {}
    for subtable in subtables:
        if (values := theirs.get(subtable.name)) is None:
            # It has been dropped since.
            continue
        ours = zip(tags.fields, tags(subtable.tags), strict=True)
        differences = [
            TagDifference(tag, value, values.get(tag.name), tag.name not in values)
            for tag, value in ours
            if not same_tag(tag, value, values.get(tag.name))
        ]
        if differences:
            differing[subtable.name] = (subtable, differences)
    filled = _with_rows(target, stable, list(differing))
    for name, (subtable, differences) in differing.items():
        yield OtherTags(subtable, differences, name in filled)


def _with_rows(target: Catalog, stable: Table, names: Sequence[str]) -> set[str]:
    """Those of some subtables of a super table that have rows."""
    if not names:
        return set()
    conditions = where([own_names(names)])
    statement = target.client.dialect.by_table(target.table(stable.name), ["COUNT(*)"], conditions)
    return {as_name(name) for name, rows in target.stream(statement, 2) if rows}


def same_tag(tag: Field, ours: Value, theirs: Value) -> bool:
    """Whether a tag's value in the target is the one that it should have.

    Parameters:
        tag: the target's tag.
        ours: the source's value, as the target's tag holds it.
        theirs: the value in the target.
    """
    if tag.type is Type.JSON:
        return _same_json(*(json.loads(str(value)) if value else None for value in (ours, theirs)))
    return ours == theirs


def _same_json(ours: object, theirs: object) -> bool:
    """Whether two JSON values are the same to 3.x, which says numbers with 15 digits, and nothing as NULL."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same_json(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-14)
    return ours == theirs or (ours in _NOTHING and theirs in _NOTHING)


def _largest_number(value: object) -> float:
    """The largest magnitude of a number anywhere in a JSON value."""
    if isinstance(value, (dict, list)):
        return max(map(_largest_number, value.values() if isinstance(value, dict) else value), default=0.0)
    return abs(float(value)) if isinstance(value, (int, float)) else 0.0


def tag_literal(tag: Field, value: Value) -> str:
    """A tag's value as CREATE TABLE … TAGS says it.

    Parameters:
        tag: the target's tag.
        value: its value.

    Raises:
        ValueError: the value has no text that TDengine reads.
    """
    if isinstance(value, bytes) and tag.type is Type.VARBINARY:
        return f"'\\x{value.hex()}'"
    if isinstance(value, bytes) and tag.type is Type.GEOMETRY:
        try:
            return string(well_known_text(value))
        except ValueError as error:
            raise ValueError(f"{error} (tag {tag.name!r})") from error
    if isinstance(value, str) and "\0" in value:
        raise ValueError(f"the value {value!r} of tag {tag.name!r} has a zero byte, which no statement carries")
    if tag.type is Type.JSON and value and _largest_number(json.loads(str(value))) > _LARGEST_IN_JSON:
        raise ValueError(
            f"the number in {str(value)[:80]!r}, the value of tag {tag.name!r}, is too large for TDengine 3"
        )
    if isinstance(value, bytes):
        raise ValueError(f"a value of tag {tag.name!r} of type {tag.sql_type} has no text in SQL")
    if tag.type is Type.DOUBLE and isinstance(value, float) and 0 < abs(value) < _SMALLEST_DOUBLE:
        raise ValueError(f"INSERT and CREATE of TDengine 3 refuse {value!r}, the value of tag {tag.name!r}")
    if tag.type is Type.FLOAT and isinstance(value, float):
        # All digits: the shortest text of the largest one is larger than it, and refused (3.3.3.0).
        return literal(float(np.float32(value)))
    return literal(value)
