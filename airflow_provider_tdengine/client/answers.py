"""What servers answer, taken apart: JSON and binary frames, before anything in them is believed.

What is not as TDengine's answers are is a typed error here, so that nobody behind has to look again.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.client.errors import AnswerError, BlockError, UnsupportedServer, error_for
from airflow_provider_tdengine.client.types import Field, Precision, described_field, field_from_sql

_NEW_STYLE = b"\xff" * 8
_FETCHED = struct.Struct("<QQHQQII")
_RESULT = struct.Struct("<QB")
_LENGTH = struct.Struct("<I")
_BLOCK_HEAD = struct.Struct("<iiii")
# What an adapter puts before the block that a `fetch_block` asked for: a time, and the result's number.
_TWO_STEPS = struct.Struct("<QQ")

_U64 = (1 << 64) - 1
_I64 = (1 << 63) - 1

_T = TypeVar("_T")


# --- JSON

_MINUS_ZERO = re.compile(r"-0[],]", re.ASCII)
"""How adapters write -0.0 (measured in all versions), which a whole number of Python cannot be."""


class Answer:
    """The JSON of an answer, whose parts are taken by name and kind. One that is missing or null has a value, too.

    Parameters:
        parts: by name.
        server: whose answer it is, for errors.
    """

    __slots__ = ("_parts", "_server")

    def __init__(self, parts: Mapping[str, object], server: Address) -> None:
        self._parts = parts
        self._server = server

    @classmethod
    def of(cls, text: str, server: Address) -> Answer:
        """The answer in a text.

        Raises:
            AnswerError: it is no JSON object, or nested deeper than can be read.
        """
        try:
            parts = json.loads(text, parse_int=_number) if _MINUS_ZERO.search(text) else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AnswerError(f"{server} answers with what is no JSON: {error}") from error
        if not isinstance(parts, dict):
            raise AnswerError(f"{server} answers with a JSON {_kind(parts)}, not an object")
        return cls(parts, server)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def whole(self, name: str, default: int = 0, *, least: int = 0, most: int = _I64) -> int:
        """A whole number.

        Raises:
            AnswerError: it is something else, or out of bounds.
        """
        value = self._taken(name, int, default)
        if not least <= value <= most:
            raise self.wrong(f"{value} as {name!r}, where {least} to {most} are possible")
        return value

    def flag(self, name: str) -> bool:
        """A truth value, false by default.

        Raises:
            AnswerError: it is something else.
        """
        return self._taken(name, bool, False)

    def text(self, name: str) -> str:
        """A text, empty by default.

        Raises:
            AnswerError: it is something else.
        """
        return self._taken(name, str, "")

    def parts(self, name: str) -> list[Answer]:
        """A list of objects, empty by default.

        Raises:
            AnswerError: it is something else.
        """
        return [Answer(part, self._server) for part in self._all(name, dict)]

    def part(self, name: str) -> Answer:
        """An object, empty by default.

        Raises:
            AnswerError: it is something else.
        """
        return Answer(self._taken(name, dict, {}), self._server)

    def items(self, name: str) -> list[object]:
        """A list of anything, empty by default.

        Raises:
            AnswerError: it is something else.
        """
        return self._taken(name, list, [])

    def wholes(self, name: str) -> list[int]:
        """A list of whole numbers, empty by default.

        Raises:
            AnswerError: it is something else.
        """
        return self._all(name, int)

    def texts(self, name: str) -> list[str]:
        """A list of texts, empty by default.

        Raises:
            AnswerError: it is something else.
        """
        return self._all(name, str)

    def _taken(self, name: str, kind: type[_T], default: _T) -> _T:
        value = self._parts.get(name)
        if value is None:
            return default
        # True is a whole number to Python, and none to a server.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(f"a JSON {_kind(value)} as {name!r}, where a {_KINDS[kind]} was expected")
        return value

    def _all(self, name: str, kind: type[_T]) -> list[_T]:
        items = self.items(name)
        # The type itself, of which True is none.
        right = [item for item in items if isinstance(item, kind) and type(item) is kind]
        if len(right) != len(items):
            raise self.wrong(f"a list {name!r} in which not everything is a {_KINDS[kind]}")
        return right

    def said(self) -> str:
        """All of it, as JSON."""
        return json.dumps(self._parts, ensure_ascii=False)

    def wrong(self, found: str) -> AnswerError:
        """The error that the answer is because of what is found in it."""
        return AnswerError(f"{self._server} answers with {found}")


_KINDS = {int: "number", float: "number", str: "text", bool: "truth value", list: "list", dict: "object"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "null")


def _number(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)


def raise_if_failed(answer: Answer, statement: str | None) -> None:
    """Raise the error that an answer over WebSocket is, if it is one.

    Raises:
        TDengineError: of the kind of failure.
    """
    if code := answer.whole("code", least=-_I64):
        raise error_for(code, answer.text("message"), statement)


# --- What an answer to a statement says of its rows


def queried_columns(answer: Answer) -> tuple[Field, ...]:
    """The columns that an answer over WebSocket describes.

    Raises:
        AnswerError: it does not describe them.
        UnsupportedServer: one is of a type that is not known.
    """
    names = answer.texts("fields_names")
    nothing = [0] * len(names)
    parts = [answer.wholes("fields_types"), answer.wholes("fields_lengths")]
    parts += [answer.wholes("fields_precisions") or nothing, answer.wholes("fields_scales") or nothing]
    if any(len(part) != len(names) for part in parts):
        raise answer.wrong(f"the names of {len(names)} columns and parts of {', '.join(str(len(p)) for p in parts)}")
    try:
        return tuple(described_field(name, *numbers) for name, *numbers in zip(names, *parts, strict=True))
    except ValueError as error:
        raise UnsupportedServer(f"The server sent columns that are not known: {error}") from error


def listed_columns(metas: Sequence[object]) -> tuple[Field, ...]:
    """The columns that `column_meta` of an answer over REST lists: a type's number in 2.x, its name in 3.x.

    Raises:
        UnsupportedServer: one is of a type that is not known.
    """
    try:
        return tuple(map(_listed_column, metas))
    except ValueError as error:
        raise UnsupportedServer(f"The server sent a column that is not known: {error}") from error


def _listed_column(meta: object) -> Field:
    match meta:
        case [_, bool(), _] | [_, _, bool()]:
            pass
        case [str(name), int(number), int(length)]:
            return described_field(name, number, length)
        case [str(name), str(sql_type), int(length)]:
            return field_from_sql(name, sql_type, length)
    raise ValueError("it has no name, type and length")


def precision_of(answer: Answer) -> Precision:
    """What the timestamps of an answer over WebSocket count.

    Raises:
        UnsupportedServer: the server has a precision that is not known.
    """
    try:
        return Precision.of_number(answer.whole("precision"))
    except ValueError as error:
        raise UnsupportedServer(f"The server sent an unknown precision: {error}") from error


# --- Frames


def sorted_in(message: str | memoryview, server: Address) -> tuple[int | None, Answer | memoryview]:
    """Which request a message of an adapter answers, None for a block, which does not say it; and what it says.

    Raises:
        AnswerError: it is no adapter's message.
    """
    if isinstance(message, str):
        answer = Answer.of(message, server)
        return answer.whole("req_id", -1, most=_U64), answer
    if message[:8] != _NEW_STYLE:
        return None, message
    if len(message) < _FETCHED.size:
        raise AnswerError(f"{server} answers with {len(message)} bytes, which is less than the head of an answer")
    return int(_FETCHED.unpack_from(message)[4]), message


def fetched_block(message: memoryview, statement: str) -> memoryview | None:
    """The block in an answer to `fetch_raw_block`, None at the end of a result.

    Raises:
        BlockError: the answer is cut.
        TDengineError: the answer is an error of this kind.
    """
    try:
        code, length = _FETCHED.unpack_from(message)[5:]
        end = _FETCHED.size + length
        if code:
            raise error_for(code, bytes(message[_FETCHED.size : end]).decode("utf-8", "replace"), statement)
        if _RESULT.unpack_from(message, end)[1]:
            return None
        start = end + _RESULT.size + _LENGTH.size
        size = _LENGTH.unpack_from(message, start - _LENGTH.size)[0]
    except struct.error as error:
        raise BlockError("an answer to a fetch arrived that is cut", statement=statement) from error
    block = message[start : start + size]
    if len(block) != size or size < _BLOCK_HEAD.size or _BLOCK_HEAD.unpack_from(block)[1] > size:
        raise BlockError(f"a block arrived with {len(block)} bytes of {size}", statement=statement)
    return block


def block_of_3x(announced: Answer, message: memoryview, result: int, columns: int) -> memoryview | None:
    """The block in an answer to `fetch_block`, by all that its head says and 2.x has values for; None for one of 2.x.

    Parameters:
        announced: the answer to `fetch`.
        message: the answer to `fetch_block`.
        result: the number of the result.
        columns: how many it has.
    """
    if len(message) < _TWO_STEPS.size + _BLOCK_HEAD.size or _TWO_STEPS.unpack_from(message)[1] != result:
        return None
    block = message[_TWO_STEPS.size :]
    _, length, rows, count = _BLOCK_HEAD.unpack_from(block)
    return block if (length, rows, count) == (len(block), announced.whole("rows"), columns) else None


# --- Other things that a server says of itself


def moment_of(date: str | None) -> datetime | None:
    """The moment that a `Date` header gives; None where it gives none."""
    try:
        moment = parsedate_to_datetime(date or "")
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (TypeError, ValueError, OverflowError, IndexError):
        # `email` raises all of them over what is no date.
        return None


_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def version_of(text: str) -> tuple[int, ...]:
    """A version such as "3.3.3.0.alpha" as numbers; nothing where there are none."""
    return tuple(int(part) for part in text.split(".") if _NUMBER.fullmatch(part))
