"""Damage to a target, one fault a table: what `verify` has to find, and `migrate` to mend."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random

from .comparer import Column, Table
from .server import INTEGERS, Refused, Row, Server, Value, name, quoted

_TEXT = ("VARCHAR", "NCHAR")


def inject(server: Server, database: str, holds: dict[str, Table], rng: Random, count: int) -> dict[str, str]:
    """Damage some tables.

    Parameters:
        server: the target.
        database: its database.
        holds: the tables of that.
        rng: what decides.
        count: how many tables, at most.

    Returns:
        What was done to each table; nothing is said where it was begun and refused.
    """
    done: dict[str, str] = {}
    names = sorted(holds)
    rng.shuffle(names)
    for text in names:
        if sum(map(bool, done.values())) == count:
            break
        fault = rng.choice(_FAULTS)
        table = _Damage(server, f"{database}.{name(text)}", holds[text], rng)
        try:
            if said := fault(table):
                done[text] = said
        except Refused:
            # Such as a number that INSERT has no words for.
            done[text] = ""
    return done


class _Damage:
    """A table that is damaged.

    Parameters:
        server: where it is.
        spelt: its name in statements.
        table: what it holds.
        rng: what decides.
    """

    def __init__(self, server: Server, spelt: str, table: Table, rng: Random) -> None:
        self.server = server
        self.spelt = spelt
        self.table = table
        self.rng = rng
        self.columns = table.structure.columns
        self.keys = table.structure.keys

    def row(self) -> Row | None:
        return self.rng.choice(self.table.rows) if self.table.rows else None

    def cell(self, fits: Callable[[Column, Value], bool]) -> tuple[Row, int] | None:
        """A row and a column whose value is one of these."""
        rows = self.rng.sample(self.table.rows, min(len(self.table.rows), 50))
        places = [
            (row, i) for row in rows for i in range(self.keys, len(self.columns)) if fits(self.columns[i], row[i])
        ]
        return self.rng.choice(places) if places else None

    def write(self, row: Row, *columns: int) -> None:
        """Write some values of a row, its key among them; all without a list."""
        places = [*range(self.keys), *columns] if columns else list(range(len(self.columns)))
        names = ", ".join(name(self.columns[i].name) for i in places)
        values = ", ".join(literal(self.columns[i].kind, row[i]) for i in places)
        self.server.run(f"insert into {self.spelt} ({names}) values ({values})")

    def put(self, place: tuple[Row, int] | None, value: Callable[[Column, Value], Value], what: str) -> str:
        """Write another value into a cell."""
        if not place:
            return ""
        row, i = place
        changed = (*row[:i], value(self.columns[i], row[i]), *row[i + 1 :])
        self.write(changed, i)
        return f"{what}: {self.columns[i].name!r} {self.columns[i].kind} at {row[0]} {row[i]!r} became {changed[i]!r}"

    def delete(self, row: Row) -> None:
        self.server.run(f"delete from {self.spelt} where {name(self.columns[0].name)} = {row[0]}")

    def is_free(self, time: int) -> bool:
        return all(row[0] != time for row in self.table.rows)


def _time(row: Row) -> int:
    assert isinstance(row[0], int)
    return row[0]


def literal(kind: str, value: Value) -> str:
    """A value as INSERT says it."""
    if value is None:
        return "NULL"
    if kind == "GEOMETRY":
        # As the generator's points are; others are not written again.
        data = bytes.fromhex(str(value))
        if len(data) != 21:
            raise Refused("only points are written again")
        return "'POINT({!r} {!r})'".format(*struct.unpack("<dd", data[5:]))
    if kind == "VARBINARY":
        return f"'\\x{value}'"
    return quoted(str(value)) if kind in (*_TEXT, "JSON") else str(value).lower()


def _other(column: Column, value: Value) -> Value:
    """The value that is hardest to tell from another one."""
    kind = column.kind
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value - 1 if value == INTEGERS.get(kind, (0, 2**63 - 1))[1] else value + 1
    text = str(value)
    if kind == "DOUBLE":
        return repr(math.nextafter(float(text), 0.5))
    if kind == "FLOAT":
        bits = struct.unpack("<i", struct.pack("<f", float(text)))[0]
        return repr(struct.unpack("<f", struct.pack("<i", bits - 1 if bits & 0x7FFFFFFF else 0x3F800000))[0])
    if kind in _TEXT:
        last = text[-1]
        return text[:-1] + ("b" if last == "a" else "a") + "a" * (len(last.encode("utf-8", "surrogateescape")) - 1)
    if kind == "VARBINARY":
        return text[:-1] + ("0" if text[-1] == "1" else "1")
    raise Refused(f"{kind} stays as it is")


def _changed_value(table: _Damage) -> str:
    fits = table.cell(lambda column, value: value not in (None, "", "inf", "-inf", "nan") and column.kind != "NCHAR")
    return table.put(fits, _other, "another value")


def _same_length(table: _Damage) -> str:
    fits = table.cell(lambda column, value: column.kind in _TEXT and bool(value) and str(value)[-1].isascii())
    return table.put(fits, _other, "text of the same length")


def _zero_or_null(table: _Damage) -> str:
    numbers = (*INTEGERS, "FLOAT", "DOUBLE", "TIMESTAMP")
    fits = table.cell(lambda column, value: column.kind in numbers and value in (None, 0, "0.0"))
    return table.put(fits, lambda _, value: 0 if value is None else None, "0 and NULL")


def _empty_or_null(table: _Damage) -> str:
    fits = table.cell(lambda column, value: column.kind in _TEXT and value in (None, ""))
    return table.put(fits, lambda _, value: "" if value is None else None, "'' and NULL")


def _sign_of_zero(table: _Damage) -> str:
    fits = table.cell(lambda column, value: column.kind in ("FLOAT", "DOUBLE") and value in ("0.0", "-0.0"))
    return table.put(fits, lambda _, value: "0.0" if value == "-0.0" else "-0.0", "the sign of a zero")


def _lost_value(table: _Damage) -> str:
    fits = table.cell(lambda column, value: value not in (None, 0, "", "0.0"))
    return table.put(fits, lambda _column, _value: None, "a value lost")


def _lost_row(table: _Damage) -> str:
    row = table.row()
    if row:
        table.delete(row)
    return f"a row lost: {row[0]}" if row else ""


def _shifted_row(table: _Damage) -> str:
    row = table.row()
    if not row or not table.is_free(_time(row) + 1) or table.keys > 1:
        return ""
    moved = (_time(row) + 1, *row[1:])
    table.write(moved)
    table.delete(row)
    return f"a row a step later: {row[0]}"


def _more_rows(table: _Damage) -> str:
    row = table.row()
    if not row or not table.is_free(_time(row) - 1):
        return ""
    table.write((_time(row) - 1, *row[1:]))
    return f"a row more: {_time(row) - 1}"


def _swapped(table: _Damage) -> str:
    """Two rows have each other's value."""
    rows = table.rng.sample(table.table.rows, min(len(table.table.rows), 2))
    for i in range(table.keys, len(table.columns)):
        if len(rows) == 2 and rows[0][i] != rows[1][i] and None not in (rows[0][i], rows[1][i]):
            for row, other in (rows, rows[::-1]):
                table.write((*row[:i], other[i], *row[i + 1 :]), i)
            return f"swapped values: {table.columns[i].name!r} {table.columns[i].kind} at {rows[0][0]} and {rows[1][0]}"
    return ""


def _dropped(table: _Damage) -> str:
    if not table.table.stable:
        return ""
    table.server.run(f"drop table {table.spelt}")
    return "dropped"


def _changed_tag(table: _Damage) -> str:
    if not table.table.tags:
        return ""
    i = table.rng.randrange(len(table.table.tags))
    tag, value = table.table.structure.tags[i], table.table.tags[i]
    if tag.kind == "JSON":
        other: Value = '{"other":1}'
    elif value in (None, ""):
        other = "a" if tag.kind in _TEXT else "false" if tag.kind == "BOOL" else "" if tag.kind == "VARBINARY" else 0
    else:
        other = table.rng.choice([None, _other(tag, value)])
    table.server.run(f"alter table {table.spelt} set tag {name(tag.name)} = {literal(tag.kind, other)}")
    return f"a tag: {tag.name!r} {tag.kind} {value!r} became {other!r}"


_FAULTS: list[Callable[[_Damage], str]] = [
    _changed_value,
    _changed_value,
    _same_length,
    _zero_or_null,
    _empty_or_null,
    _sign_of_zero,
    _lost_value,
    _lost_row,
    _shifted_row,
    _more_rows,
    _swapped,
    _dropped,
    _changed_tag,
]
