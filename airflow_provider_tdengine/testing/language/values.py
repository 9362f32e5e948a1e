"""Values as SQL writes them, to columns as tables hold them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

import numpy as np

from airflow_provider_tdengine.client.block import Column, FixedColumn, Ints, Value, column_from_list, column_to_list
from airflow_provider_tdengine.client.errors import BlockError
from airflow_provider_tdengine.client.types import DECIMALS, Field, Precision, Type
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.language.geometry import well_known_binary
from airflow_provider_tdengine.testing.language.parser import unquote

_QUOTES = ("'", '"')
_FLOAT_MAX = 3.4028234663852886e38
_DOUBLE_TINY = 2.2250738585072014e-308

_INTEGERS = frozenset(
    {
        Type.TINYINT,
        Type.SMALLINT,
        Type.INT,
        Type.BIGINT,
        Type.UTINYINT,
        Type.USMALLINT,
        Type.UINT,
        Type.UBIGINT,
    }
)

_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ](\d\d?):(\d\d?)(?::(\d\d?)(?:\.(\d{1,9}))?)?)?\s*(Z|z|[+-]\d\d:?\d\d)?"
)
_NOW = re.compile(r"now(?:\s*\(\s*\))?((?:\s*[+-]\s*\d+[buasmhdw])*)", re.IGNORECASE)
_STEP = re.compile(r"([+-])\s*(\d+)([buasmhdw])")
_NANOSECONDS = {
    "b": 1,
    "u": 10**3,
    "a": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_EPOCH = date(1970, 1, 1).toordinal()


class BadValueError(Exception):
    """A value that its column cannot take.

    Parameters:
        index: which of the values.
        why: the server's words.
        too_long: it is right except for its length.
    """

    def __init__(self, index: int, why: str, too_long: bool = False) -> None:
        super().__init__(why)
        self.index = index
        self.why = why
        self.too_long = too_long


# --- Time


def now(precision: Precision) -> int:
    """The time of now in steps of a precision."""
    return time.time_ns() // (10**9 // precision.per_second)


def duration_steps(count: int, unit: str, precision: Precision) -> int:
    """A duration such as 5a in steps of a precision.

    Raises:
        ValueError: n and y are no fixed lengths.
    """
    if unit not in _NANOSECONDS:
        raise ValueError(f"the box knows no durations in {unit!r}")
    return count * _NANOSECONDS[unit] * precision.per_second // 10**9


def parse_time(text: str, precision: Precision) -> int:
    """A moment such as 2021-01-01T00:00:00.123Z in steps of a precision; UTC where it names no zone.

    Raises:
        ValueError: not a moment.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no timestamp")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    days = date(int(year), int(month), int(day)).toordinal() - _EPOCH
    seconds = days * 86400 + int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    if zone and zone not in "Zz":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds += offset if zone[0] == "-" else -offset
    steps = int((fraction or "0").ljust(9, "0")) * precision.per_second // 10**9
    return seconds * precision.per_second + steps


# --- Columns of values


@dataclass(frozen=True)
class Literals:
    """How literals read: of which generation, into which precision.

    Parameters:
        generation: whose rules.
        precision: of the database.
    """

    generation: Generation
    precision: Precision

    def column(self, field: Field, texts: Sequence[str]) -> Column:
        """A column from its values as they stand in a statement.

        Raises:
            BadValueError: the column cannot take a value.
        """
        nulls = [text in ("null", "NULL") or text.lower() == "null" for text in texts]
        if field.type in _INTEGERS:
            return self._integers(field, texts, nulls)
        if field.type in (Type.FLOAT, Type.DOUBLE):
            return self._floats(field, texts, nulls)
        if field.type is Type.TIMESTAMP:
            return self._timestamps(field, texts, nulls)
        readers: dict[Type, Callable[[str], Value]] = {
            Type.BOOL: _bool,
            Type.NCHAR: _characters,
            Type.VARBINARY: _binary,
            Type.GEOMETRY: lambda text: well_known_binary(_text(text)),
            Type.JSON: self._json,
        }
        reader = _decimal if field.type in DECIMALS else readers.get(field.type, _text)
        values = _read(reader, texts, nulls)
        if field.type in (Type.VARCHAR, Type.NCHAR, Type.VARBINARY, Type.GEOMETRY):
            _check_lengths(field, values)
        try:
            return column_from_list(field, values)
        except BlockError as error:
            raise BadValueError(0, error.message) from error

    def value(self, field: Field, text: str) -> Value:
        """One value, as a tag has it.

        Raises:
            BadValueError: the tag cannot take it.
        """
        return column_to_list(field, self.column(field, [text]))[0]

    def _integers(self, field: Field, texts: Sequence[str], nulls: list[bool]) -> Column:
        name = field.info.sql.lower()
        values: list[int] = []
        try:
            values = [0 if null else int(text) for text, null in zip(texts, nulls, strict=True)]
        except ValueError:
            values = [0 if null else _integer(i, texts[i], name) for i, null in enumerate(nulls)]
        dtype = field.info.dtype
        assert dtype is not None
        limits = np.iinfo(dtype.name)
        low, high = int(limits.min), int(limits.max)
        if self.generation.null_minimum:
            low, high = (low + 1, high) if low else (low, high - 1)
        if values and (min(values) < low or max(values) > high):
            index = next(i for i, value in enumerate(values) if not low <= value <= high)
            raise BadValueError(index, f"{name} data overflow")
        return FixedColumn(np.array(values, dtype), np.array(nulls, np.bool_))

    def _floats(self, field: Field, texts: Sequence[str], nulls: list[bool]) -> Column:
        name = field.info.sql.lower()
        try:
            values = [0.0 if null else float(text) for text, null in zip(texts, nulls, strict=True)]
        except ValueError:
            values = [0.0 if null else _float(i, texts[i], name) for i, null in enumerate(nulls)]
        array = np.array(values, np.float64)
        size = np.abs(array)
        bad = ~np.isfinite(array)
        if field.type is Type.FLOAT:
            bad |= size > _FLOAT_MAX
        if not self.generation.denormal_floats:
            bad |= (size < _DOUBLE_TINY) & (size > 0)
        if bad.any():
            raise BadValueError(int(np.argmax(bad)), "illegal float data")
        return FixedColumn(array.astype(field.info.dtype), np.array(nulls, np.bool_))

    def _timestamps(self, field: Field, texts: Sequence[str], nulls: list[bool]) -> Column:
        try:
            return column_from_list(field, [int(text) for text in texts])
        except (ValueError, BlockError):
            return column_from_list(field, _read(self._timestamp, texts, nulls))

    def _timestamp(self, text: str) -> int:
        body = _text(text)
        if body.removeprefix("-").isdecimal():
            if not -(1 << 63) <= int(body) < 1 << 63:
                raise ValueError("invalid timestamp")
            return int(body)
        if text[0] in _QUOTES:
            return self._moment(body)
        match = _NOW.fullmatch(text)
        if match is None or (self.generation.number == 2 and "(" in text):
            raise ValueError("invalid timestamp")
        moment = now(self.precision)
        for sign, count, unit in _STEP.findall(match[1]):
            steps = duration_steps(int(count), unit, self.precision)
            moment += steps if sign == "+" else -steps
        return moment

    def _moment(self, text: str) -> int:
        try:
            return parse_time(text, self.precision)
        except ValueError as error:
            raise ValueError("invalid timestamp") from error

    def _json(self, text: str) -> str | None:
        body = _text(text)
        if not body.strip():
            return None
        try:
            value = json.loads(body)
        except json.JSONDecodeError as error:
            raise ValueError("json parse error") from error
        if not isinstance(value, dict):
            raise ValueError("json parse error")
        if not self.generation.normalizes_json:
            return body
        return json.dumps(dict(sorted(value.items())), separators=(",", ":"), ensure_ascii=False)


def _read(reader: Callable[[str], Value], texts: Sequence[str], nulls: Sequence[bool]) -> list[Value]:
    """Each value by itself; an error says which one it was."""
    values: list[Value] = []
    for text, null in zip(texts, nulls, strict=True):
        try:
            values.append(None if null else reader(text))
        except ValueError as error:
            raise BadValueError(len(values), str(error)) from error
    return values


def _integer(index: int, text: str, name: str) -> int:
    body = unquote(text) if text[0] in _QUOTES else text
    constants = {"true": 1, "false": 0}
    try:
        return constants[body.lower()] if body.lower() in constants else int(body, 0)
    except ValueError as error:
        raise BadValueError(index, f"invalid {name} data") from error


def _float(index: int, text: str, name: str) -> float:
    body = unquote(text) if text[0] in _QUOTES else text
    try:
        return float(body)
    except ValueError as error:
        raise BadValueError(index, f"illegal {name} data") from error


def _bool(text: str) -> bool:
    body = (unquote(text) if text[0] in _QUOTES else text).lower()
    if body in ("true", "false"):
        return body == "true"
    try:
        return float(body) != 0
    except ValueError as error:
        raise ValueError("invalid bool data") from error


def _text(text: str) -> str:
    return unquote(text) if text[0] in _QUOTES else text


def _characters(text: str) -> str:
    body = _text(text)
    try:
        body.encode()
    except UnicodeEncodeError as error:
        raise ValueError("invalid nchar data") from error
    return body


def _binary(text: str) -> bytes:
    body = _text(text)
    if not body.lower().startswith("\\x"):
        return body.encode()
    try:
        return bytes.fromhex(body[2:])
    except ValueError as error:
        raise ValueError("invalid varbinary data") from error


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(_text(text))
    except InvalidOperation as error:
        raise ValueError("invalid decimal data") from error


def _check_lengths(field: Field, values: Sequence[Value]) -> None:
    for index, value in enumerate(values):
        if not isinstance(value, (str, bytes)) or len(value) * 4 <= field.length:
            continue
        if field.type is Type.NCHAR or isinstance(value, bytes):
            size = len(value)
        else:
            size = len(value.encode("utf-8", "surrogateescape"))
        if size > field.length:
            raise BadValueError(index, "string data overflow", too_long=True)


# --- Timestamps as text


def format_times(values: Ints, precision: Precision, separator: str, zone: str, trim: bool = False) -> list[str]:
    """Timestamps as text, with as many digits as the precision has.

    Parameters:
        values: in steps of the precision, already moved into the zone.
        precision: of the values.
        separator: between date and time.
        zone: what follows, such as "Z".
        trim: leave out zeros at the end of the fraction.
    """
    moments = values.astype(f"datetime64[{precision.value}]")
    texts: list[str] = np.datetime_as_string(moments, unit=precision.value).tolist()
    if separator != "T":
        texts = [text.replace("T", separator) for text in texts]
    if trim:
        texts = [text.rstrip("0").rstrip(".") for text in texts]
    return [text + zone for text in texts]
