"""Changes of tables as a subscription tells them: typed events out of the JSON of `fetch_json_meta`.

Shapes measured on 3.0.5.2, 3.3.3.0 and 3.3.5.2 (`tests/contract/subscription-*.jsonl`); numbers of `alterType` after
TDengine's `tmsg.h`. Every vgroup tells a change of a super table, so that it comes as often as there are vgroups. Of a
DECIMAL, events say neither digits nor scale: what they are is asked of the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

from airflow_provider_tdengine.client.answers import Answer
from airflow_provider_tdengine.client.types import Field, described_field


@dataclass(frozen=True, slots=True)
class StableCreated:
    """A super table is there.

    Parameters:
        name: of the super table.
        columns: the timestamp first.
        tags: at least one.
    """

    name: str
    columns: tuple[Field, ...]
    tags: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class TableCreated:
    """A subtable or a normal table is there.

    What its tags are is asked of the source: events leave out those that are NULL, and cut a GEOMETRY at its first
    zero byte (measured 3.3.3.0).

    Parameters:
        name: of the table.
        stable: its super table; None for a normal table.
        columns: of a normal table; none for a subtable.
    """

    name: str
    stable: str | None = None
    columns: tuple[Field, ...] = ()


class Alteration(IntEnum):
    """What was done to a table's structure, by the numbers of `alterType`."""

    ADD_TAG = 1
    DROP_TAG = 2
    RENAME_TAG = 3
    SET_TAG = 4
    ADD_COLUMN = 5
    DROP_COLUMN = 6
    WIDEN_COLUMN = 7
    WIDEN_TAG = 8
    SET_OPTIONS = 9
    RENAME_COLUMN = 10
    ADD_TAG_INDEX = 11
    DROP_TAG_INDEX = 12
    COMPRESS_COLUMN = 13
    ADD_COLUMN_COMPRESSED = 14
    SET_TAGS = 15


class Kind(Enum):
    """What kind of table an event is about."""

    SUPER = "super"
    CHILD = "child"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class TableAltered:
    """A table or super table has another structure, other options or, a subtable, another tag value.

    Parameters:
        name: of the table.
        kind: of the table; for options of a subtable, 3.x says normal.
        how: what was done.
        column: the column or tag it was done to; empty for options, and where several tags were set.
        new_name: where it was renamed.
        field: of what was added or widened.
    """

    name: str
    kind: Kind
    how: Alteration
    column: str = ""
    new_name: str = ""
    field: Field | None = None


@dataclass(frozen=True, slots=True)
class TablesDropped:
    """Tables are gone; there may have been other tables of these names before and after.

    Parameters:
        names: of subtables and normal tables.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StableDropped:
    """A super table is gone, and all its subtables."""

    name: str


@dataclass(frozen=True, slots=True)
class RowsDeleted:
    """Rows are gone, or there were none: a DELETE is told whatever it met, by each vgroup with bounds of its own.

    Parameters:
        table: a table or super table; of a super table those of its subtables that are in the event's vgroup, whatever
            else the statement's WHERE asked for.
        column: its timestamp.
        first: the first timestamp, in steps of the database's precision.
        last: the last one.
    """

    table: str
    column: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a kind that this package does not know.

    Parameters:
        text: what it says.
    """

    text: str


Change: TypeAlias = StableCreated | TableCreated | TableAltered | TablesDropped | StableDropped | RowsDeleted | Unknown

_DELETE = re.compile(r"delete from `(.+)` where `(.+)` >= (-?\d+) and `\2` <= (-?\d+)", re.ASCII | re.DOTALL)


def changes_in(event: Answer) -> Iterator[Change]:
    """The changes that the `data` of an answer to `fetch_json_meta` tells.

    Raises:
        AnswerError: a part of it is missing, or of another kind.
    """
    match event.text("type"), event.text("tableType"):
        case "create", "super":
            columns, tags = _fields(event, "columns"), _fields(event, "tags")
            yield StableCreated(_name(event, "tableName"), columns, tags)
        case "create", "child":
            # `createList` has all of them where a statement made several, and is empty for one of its own.
            for child in event.parts("createList") or [event]:
                yield TableCreated(_name(child, "tableName"), _name(child, "using"))
        case "create", "normal":
            yield TableCreated(_name(event, "tableName"), columns=_fields(event, "columns"))
        case "alter", ("super" | "child" | "normal") as kind:
            yield _alteration(event, Kind(kind))
        case "drop", "super":
            yield StableDropped(_name(event, "tableName"))
        case "drop", "":
            yield TablesDropped(tuple(event.texts("tableNameList")))
        case "delete", _:
            yield _deletion(event)
        case _:
            yield Unknown(event.said())


def _alteration(event: Answer, kind: Kind) -> Change:
    number = event.whole("alterType")
    if number not in Alteration.__members__.values():
        return Unknown(event.said())
    how = Alteration(number)
    field = _field(event, "col", event.text("colName")) if event.whole("colType") else None
    return TableAltered(_name(event, "tableName"), kind, how, event.text("colName"), event.text("colNewName"), field)


def _deletion(event: Answer) -> Change:
    statement = event.text("sql")
    match = _DELETE.fullmatch(statement)
    if match is None:
        return Unknown(statement)
    return RowsDeleted(match[1], match[2], int(match[3]), int(match[4]))


def _fields(event: Answer, name: str) -> tuple[Field, ...]:
    return tuple(_field(part, "", _name(part, "name")) for part in event.parts(name))


def _field(part: Answer, prefix: str, name: str) -> Field:
    """A column; its type and length are called `type` and `length`, or `colType` and `colLength`."""
    number, length = (part.whole(f"{prefix}{word}") for word in (("Type", "Length") if prefix else ("type", "length")))
    try:
        field = described_field(name, number, length)
    except ValueError as error:
        raise part.wrong(f"a column {name!r} that cannot be: {error}") from error
    return described_field(name, number, field.info.width or length)


def _name(event: Answer, name: str) -> str:
    value = event.text(name)
    if not value:
        raise event.wrong(f"an event without {name!r}")
    return value
