"""Pieces of SQL: identifiers, literals, conditions, and statements cut by bytes.

What is written here reads back equal in 2.4.0.18, 2.6.0.66, 3.0.5.2 and 3.3.3.0 (measured).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal

import numpy as np

from airflow_provider_tdengine.client.errors import UnspeakableName
from airflow_provider_tdengine.client.types import Precision

MAX_STATEMENT_BYTES = 1_000_000
"""The longest statement that every version takes: `maxSQLLength` of 2.x is 1,048,576 by default."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


_QUOTED = re.compile("`((?:[^`]|``)*)`")


def is_speakable(name: str) -> bool:
    """Whether SQL can say a name: it is not empty, and its backticks come in pairs.

    Between backticks, 3.x takes two of them for a part of the name, and both stay in it (measured 3.0.5.2, 3.3.3.0). A
    name with a single one comes from schemaless writing, and no statement reaches it. 2.x takes none.
    """
    return bool(name) and "`" not in name.replace("``", "")


def identifier(name: str) -> str:
    """A table, column or tag name in backticks, which keep its case and let keywords be names.

    Raises:
        UnspeakableName: see `is_speakable`.
    """
    if not is_speakable(name):
        raise UnspeakableName(f"{name!r} cannot be a name: it is empty or has a single backtick, which SQL cannot say")
    return f"`{name}`"


def as_inserted(sql: str) -> str:
    """Names in backticks as INSERT needs them: there alone, two backticks stand for one (measured 3.0.5.2, 3.3.3.0).

    Parameters:
        sql: of names as `identifier` gives them, and what is between them.
    """
    return _QUOTED.sub(lambda name: f"`{name[1].replace('`', '``')}`", sql) if "``" in sql else sql


def string(text: str | bytes) -> str:
    """A string literal; only backslash and single quote need anything.

    A NUL character is beyond SQL: all versions refuse a statement with one (measured).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def strings(values: bytes) -> list[str]:
    """The literals of many values, at a quarter of what they cost one by one.

    Parameters:
        values: one directly after the other, with a NUL behind each; there is no literal for one that has a NUL.
    """
    return string(values).replace("\0", "'\0'").split("\0")[:-1]


def timestamp(moment: datetime, precision: Precision) -> int:
    """A moment as a number of steps since 1970-01-01 UTC.

    Parameters:
        moment: an aware datetime; one without a zone is taken as UTC.
        precision: of the database that the number is for.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    passed = aware - _EPOCH
    microseconds = (passed.days * 86400 + passed.seconds) * 1_000_000 + passed.microseconds
    if precision is Precision.NS:
        return microseconds * 1000
    return microseconds if precision is Precision.US else microseconds // 1000


def literal(value: object) -> str:
    """A value as SQL text: the text that reads back to exactly this value.

    Raises:
        ValueError: the value has no text that TDengine reads (NaN, infinity, an unknown type).
    """
    if value is None:
        return "NULL"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be written in SQL")
        return format(value, "f") if isinstance(value, Decimal) else float.__repr__(value)
    if isinstance(value, (str, bytes)):
        return string(value)
    if isinstance(value, datetime):
        return string(
            (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).isoformat(timespec="microseconds")
        )
    raise ValueError(f"a {type(value).__name__} cannot be written in SQL")


_PLACEHOLDER = re.compile(
    r"""'(?:\\.|''|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|--[^\n]*|/\*.*?\*/|(?P<positional>\?|%s)|%\((?P<name>\w+)\)s|(?P<percent>%%)""",
    re.DOTALL,
)


def bind(statement: str, parameters: Iterable[object] | dict[str, object] | None) -> str:
    """A statement with its placeholders replaced by literals; text in quotes is left alone.

    Parameters:
        statement: with `?` or `%s` for a sequence of parameters, `%(name)s` for a mapping.
        parameters: None means that the statement is sent as it is.

    Raises:
        ValueError: too few or too many parameters, a name that is missing, or a value without a literal.
    """
    if parameters is None:
        return statement
    named = parameters if isinstance(parameters, dict) else {}
    positional = iter(() if isinstance(parameters, dict) else parameters)

    def replace(match: re.Match[str]) -> str:
        if match["percent"]:
            return "%"
        if match["name"]:
            if match["name"] not in named:
                raise ValueError(f"the statement asks for parameter {match['name']!r}, which was not given")
            return literal(named[match["name"]])
        if not match["positional"]:
            return match[0]
        try:
            return literal(next(positional))
        except StopIteration:
            raise ValueError("the statement has more placeholders than parameters") from None

    bound = _PLACEHOLDER.sub(replace, statement)
    left = sum(1 for _ in positional)
    if left:
        raise ValueError(f"{left} parameters more than the statement has placeholders")
    return bound


def name_range(first: str | None, last: str | None, column: str = "tbname") -> list[str]:
    """Conditions that a subtable's name lies between two names, both included.

    Names compare as UTF-8 bytes, as a server compares them (measured in all four versions).

    Parameters:
        first: the first name, None for no first one.
        last: the last name, None for no last one.
        column: what holds the name: `tbname`, or `table_name` of a view that lists tables.
    """
    return [f"{column} {sign} {string(name)}" for sign, name in ((">=", first), ("<=", last)) if name is not None]


def own_names(names: Sequence[str], column: str = "tbname") -> str:
    """The condition that a subtable's name is one of these, all of which are of the super table that is asked.

    3.x finds such tables by their names alone, fast, and takes those of other super tables, too: a query of one super
    table reads rows of another one (measured 3.0.5.2, 3.3.3.0).
    """
    return f"{column} IN ({','.join(map(string, names))})"


def name_list(names: Sequence[str], column: str = "tbname") -> str:
    """The condition that a subtable's name is one of these, whatever tables they are of; see `own_names`.

    With OR, 3.x looks at the super table's own subtables.
    """
    return f"({own_names(names, column)} OR {own_names(names[:1], column)})"


def time_range(column: str, start: int | None, end: int | None) -> list[str]:
    """Conditions that `start <= column < end`, in steps of the database's precision."""
    return [f"{identifier(column)} {sign} {bound}" for sign, bound in ((">=", start), ("<", end)) if bound is not None]


def where(conditions: Iterable[str]) -> str:
    """A WHERE clause with a space before it, or nothing."""
    text = " AND ".join(conditions)
    return f" WHERE {text}" if text else ""


def cut(head: str, parts: Iterable[str], limit: int = MAX_STATEMENT_BYTES) -> Iterator[tuple[str, int]]:
    """Statements of as many parts as fit into a number of bytes.

    Parameters:
        head: what every statement starts with.
        parts: pieces of which any number may follow the head.
        limit: bytes of UTF-8 that a statement may have; a part that is longer stands alone.

    Returns:
        Statements, each with the number of its parts.
    """
    start = len(head.encode("utf-8", "surrogateescape"))
    pending: list[str] = []
    size = start
    for part in parts:
        length = 1 + (len(part) if part.isascii() else len(part.encode("utf-8", "surrogateescape")))
        if pending and size + length > limit:
            yield f"{head} {' '.join(pending)}", len(pending)
            pending, size = [], start
        pending.append(part)
        size += length
    if pending:
        yield f"{head} {' '.join(pending)}", len(pending)
