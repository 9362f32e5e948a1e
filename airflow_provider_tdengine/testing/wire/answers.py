"""Answers as bytes: blocks of 2.x and 3.x, and the JSON of each generation's REST interface."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from json.encoder import encode_basestring
from zoneinfo import ZoneInfo

import numpy as np

from airflow_provider_tdengine.client.block import Block, Column, FixedColumn, Ints, Value, column_to_list, encode_block
from airflow_provider_tdengine.client.types import DECIMALS, Field, Precision, Type
from airflow_provider_tdengine.testing.generations import BoxError, Generation
from airflow_provider_tdengine.testing.language import format_times
from airflow_provider_tdengine.testing.queries import Result

# --- Blocks


def wire_widths(fields: Sequence[Field], generation: Generation) -> list[int]:
    """Bytes that a value of each column may take, as the answer to `fetch` gives them."""
    return [generation.json_wire if field.type is Type.JSON else field.wire_bytes for field in fields]


def block_bytes(block: Block, generation: Generation) -> bytes:
    """A block as the generation sends it."""
    if generation.number == 2:
        widths = wire_widths(block.fields, generation)
        cells = zip(block.fields, block.columns, widths, strict=True)
        return b"".join(_cells_of_2(field, column, width) for field, column, width in cells)
    raw = encode_block(block)
    if any(field.type is Type.JSON for field in block.fields) and not generation.closes_json:
        length = len(raw) - 1
        return raw[:4] + struct.pack("<i", length) + raw[8:length]
    return raw


def _cells_of_2(field: Field, column: Column, width: int) -> bytes:
    """A column of 2.x: every value in a cell of the same width, and values that mean NULL."""
    rows = len(column)
    null = np.frombuffer(field.info.null2, np.uint8)
    if isinstance(column, FixedColumn):
        cells = np.ascontiguousarray(column.values).view(np.uint8).reshape(rows, width).copy()
        cells[column.nulls] = null
        raw: bytes = cells.tobytes()
        return raw
    cells = np.zeros((rows, width), np.uint8)
    lengths = np.where(column.nulls, len(null), column.lengths)
    cells[:, 0], cells[:, 1] = lengths & 0xFF, lengths >> 8
    starts = np.cumsum(column.lengths) - column.lengths
    text = column.joined()
    inside = np.arange(len(text)) - np.repeat(starts, column.lengths) + 2
    cells[np.repeat(np.arange(rows), column.lengths), inside] = text
    cells[column.nulls, 2 : 2 + len(null)] = null
    return cells.tobytes()


# --- JSON

_INFINITE = "\0"
"""Stands for a number that JSON cannot say until the answer is whole; no text in JSON has this character as it is."""


def rest_error(error: BoxError, generation: Generation) -> str:
    """An error as REST answers it."""
    head = {"status": "error"} if generation.number == 2 else {}
    return _dump({**head, "code": error.code, "desc": error.message})


def rest_affected(rows: int, generation: Generation) -> str:
    """The answer to a statement without result."""
    if generation.number == 2:
        meta = [["affected_rows", 4, 4]]
        return _dump({"status": "succ", "head": ["affected_rows"], "column_meta": meta, "rows": 1, "data": [[rows]]})
    return _dump({"code": 0, "column_meta": [["affected_rows", "INT", 4]], "data": [[rows]], "rows": 1})


def rest_rows(result: Result, generation: Generation, times: TimeFormat) -> str:
    """The answer to a query.

    Parameters:
        result: the rows.
        generation: whose JSON.
        times: turns a column of timestamps into JSON texts.
    """
    block = result.block
    if generation.number == 2:
        names = [field.name for field in block.fields]
        meta: list[list[object]] = [[f.name, int(f.type), f.length] for f in block.fields]
        head = f'{{"status":"succ","head":{_dump(names)},"column_meta":{_dump(meta)}'
    else:
        meta = [[f.name, _type_name(f, generation), f.length] for f in block.fields]
        head = f'{{"code":0,"column_meta":{_dump(meta)}'
    columns = [
        _json_column(field, column, result.precision, times)
        for field, column in zip(block.fields, block.columns, strict=True)
    ]
    rows = ",".join(f"[{row}]" for row in map(",".join, zip(*columns, strict=True)))
    answer = f'{head},"data":[{rows}],"rows":{block.rows}}}'
    if _INFINITE not in answer or generation.infinity == "null":
        return answer.replace(_INFINITE, "null")
    return answer.partition(_INFINITE)[0] if generation.infinity == "cut" else ""


def _type_name(field: Field, generation: Generation) -> str:
    return field.sql_type if field.type in DECIMALS else generation.type_name(field.type)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_utf8(text: str) -> bytes:
    """JSON as bytes; as Go does, U+FFFD stands for bytes that are no UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


TimeFormat = Callable[[Ints, Precision], list[str]]


def times_as_integers(values: Ints, _: Precision) -> list[str]:
    """/rest/sqlt of 2.x."""
    return [str(value) for value in values.tolist()]


def times_as_text(values: Ints, precision: Precision) -> list[str]:
    """/rest/sql of 2.x: 2021-01-01 00:00:00.000."""
    return [f'"{text}"' for text in format_times(values, precision, " ", "")]


def times_as_utc(values: Ints, precision: Precision) -> list[str]:
    """/rest/sqlutc of 2.x: no zeros at the end."""
    return [f'"{text}"' for text in format_times(values, precision, "T", "Z", trim=True)]


def times_as_rfc3339(values: Ints, precision: Precision) -> list[str]:
    """/rest/sql of 3.x."""
    return [f'"{text}"' for text in format_times(values, precision, "T", "Z")]


def times_in_zone(zone: ZoneInfo) -> TimeFormat:
    """/rest/sql?tz= of 3.x."""

    def times(values: Ints, precision: Precision) -> list[str]:
        texts = []
        for value in values.tolist():
            moment = datetime.fromtimestamp(value // precision.per_second, timezone.utc).astimezone(zone)
            offset = moment.utcoffset()
            seconds = 0 if offset is None else int(offset.total_seconds())
            shifted = np.array([value + seconds * precision.per_second])
            suffix = moment.isoformat()[-6:] if seconds else "Z"
            texts.append(f'"{format_times(shifted, precision, "T", suffix)[0]}"')
        return texts

    return times


def _json_column(field: Field, column: Column, precision: Precision, times: TimeFormat) -> list[str]:
    """A column's values as JSON texts."""
    if field.type is Type.TIMESTAMP:
        assert isinstance(column, FixedColumn)
        texts = times(column.values.astype(np.int64), precision)
    else:
        writer = str if field.type in _WHOLE else _decimal_text if field.type in DECIMALS else _WRITERS[field.type]
        texts = ["null" if value is None else writer(value) for value in column_to_list(field, column)]
    if column.nulls.any():
        texts = ["null" if null else text for text, null in zip(texts, column.nulls.tolist(), strict=True)]
    return texts


def go_float(value: float) -> str:
    """A number as Go's JSON writes it: no exponent between 1e-6 and 1e21, no `.0`; a mark where it is none."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = np.format_float_positional(value, trim="-")
        return str(text)
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return _INFINITE
    sign, digits = exponent[0], exponent[1:].lstrip("0")
    return f"{mantissa}e{sign}{digits.rjust(1 if sign == '-' else 2, '0')}"


def _float_text(value: Value) -> str:
    number = float(str(value)) if not isinstance(value, float) else value
    text = repr(number)
    if "e" in text or "n" in text:
        return go_float(number)
    return text.removesuffix(".0")


def _decimal_text(value: Value) -> str:
    return f'"{value:f}"' if isinstance(value, Decimal) else _string_text(value)


def _bool_text(value: Value) -> str:
    return "true" if value else "false"


def _string_text(value: Value) -> str:
    return encode_basestring(str(value))


def _hex_text(value: Value) -> str:
    return f'"{value.hex()}"' if isinstance(value, bytes) else _string_text(value)


_WHOLE = frozenset(
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
_WRITERS: dict[Type, Callable[[Value], str]] = {
    Type.BOOL: _bool_text,
    Type.FLOAT: _float_text,
    Type.DOUBLE: _float_text,
    Type.VARCHAR: _string_text,
    Type.NCHAR: _string_text,
    Type.JSON: str,
    Type.VARBINARY: _hex_text,
    Type.GEOMETRY: _hex_text,
    Type.BLOB: _hex_text,
}
