"""What a table of 3.x can hold (measured 3.0.5.2, 3.3.3.0 and 3.3.5.2)."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_tdengine.client import Client
from airflow_provider_tdengine.client.types import DECIMALS, Field, Type
from airflow_provider_tdengine.migration.catalog import Table
from airflow_provider_tdengine.migration.findings import Finding

COLUMNS = 4096
"""Columns of a table, the timestamp and the tags among them."""

TAGS = 128
ROW_BYTES = 65_531
"""Of a row whose values are all as long as they may be; text has two more bytes, a character of NCHAR four."""

TAG_BYTES = 16_384
"""Of the tags of a subtable, counted in the same way."""

_LATE = frozenset({Type.VARBINARY, Type.BLOB, *DECIMALS})
"""Types that 3.x did not have from its beginning."""

_SECOND_KEYS = (3, 3)
"""The first version whose tables have a second key; 3.0.5.2 calls it a syntax error."""


def limit_findings(wanted: Table, there: Table | None) -> Iterator[Finding]:
    """A table that the target cannot hold.

    Parameters:
        wanted: as the target should have it.
        there: as the target has it, None while it is missing; what only it has, stays.
    """
    columns = _together(wanted.columns, there.columns if there else ())
    tags = _together(wanted.tags, there.tags if there else ())
    for what, size, limit, option in (
        ("columns and tags", len(columns) + len(tags), COLUMNS, "columns"),
        ("tags", len(tags), TAGS, "columns or add_tags"),
        ("bytes in a row", _bytes(columns), ROW_BYTES, "columns"),
        ("bytes in its tags", _bytes(tags), TAG_BYTES, "columns or add_tags"),
    ):
        if size > limit:
            yield Finding(
                f"Table {wanted.name!r}",
                f"it would have {size} {what}, and TDengine 3 takes {limit}",
                f"Take fewer with {option}, or leave the table out with exclude",
            )


def type_findings(wanted: Table, there: Table | None, target: Client) -> Iterator[Finding]:
    """Columns and tags that are to be created, of types that the target's version does not have.

    Parameters:
        wanted: as the target should have it.
        there: as the target has it, None while it is missing.
        target: the server.
    """
    known = {field.name for field in (*there.columns, *there.tags)} if there else set()
    for field in (*wanted.columns, *wanted.tags):
        if field.name not in known and field.type in _LATE and not target.has_type(field):
            yield Finding(
                f"Table {wanted.name!r}, column {field.name!r}",
                f"it is {field.sql_type}, and TDengine {target.server.version_text} of the target has no "
                f"{field.info.sql}",
                "Leave it out with columns, or upgrade the target",
            )


def key_findings(wanted: Table, there: Table | None, target: Client) -> Iterator[Finding]:
    """A second key of a table that is to be created, where the target's version has none; parameters as above."""
    if wanted.second_key and there is None and target.server.version < _SECOND_KEYS:
        yield Finding(
            f"Table {wanted.name!r}, column {wanted.second_key!r}",
            f"it is a second key, and TDengine {target.server.version_text} of the target has none",
            "Upgrade the target to 3.3 or later, or leave the table out with exclude",
        )


def _together(ours: tuple[Field, ...], theirs: tuple[Field, ...]) -> list[Field]:
    """The fields of both, each with the longer of two lengths."""
    fields = {field.name: field for field in theirs}
    for field in ours:
        other = fields.get(field.name)
        if other is None or (other.type == field.type and other.length < field.length):
            fields[field.name] = field
    return list(fields.values())


def _bytes(fields: list[Field]) -> int:
    return sum(field.info.width or field.wire_bytes for field in fields)
