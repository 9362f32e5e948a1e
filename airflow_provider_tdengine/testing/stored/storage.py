"""Tables and their rows: columns sorted by timestamp, put together when they are read."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count, pairwise

import numpy as np

from airflow_provider_tdengine.client.block import Column, FixedColumn, Flags, Ints, Value, VariableColumn
from airflow_provider_tdengine.client.types import DECIMALS, Field, Precision, Type
from airflow_provider_tdengine.testing.generations import Generation
from airflow_provider_tdengine.testing.stored.order import by_tag, slot_of, vgroup_of

_UIDS = count(9851624185499648)

_ENCODINGS = {
    Type.BOOL: "bit-packing",
    Type.TIMESTAMP: "delta-i",
    Type.FLOAT: "delta-d",
    Type.DOUBLE: "delta-d",
    **dict.fromkeys(DECIMALS, "disabled"),
}


class OnDuplicate(Enum):
    """What happens to a row whose timestamp, and second key, is there already."""

    KEEP_FIRST = "the first row stays (2.x, UPDATE 0)"
    REPLACE = "the last row replaces it whole (2.x, UPDATE 1)"
    FILL = "values of the last row replace it where they are not NULL (2.x, UPDATE 2)"
    UPSERT = "columns that the last row names replace it, NULL too (3.x)"


# --- Columns


def null_column(column: Field, rows: int) -> Column:
    """A column of NULL."""
    nulls = np.ones(rows, np.bool_)
    if column.info.dtype is not None:
        return FixedColumn(np.zeros(rows, column.info.dtype), nulls)
    zeros = np.zeros(rows, np.int64)
    return VariableColumn(np.zeros(0, np.uint8), zeros, zeros, nulls)


def compact(column: Column) -> Column:
    """The same values without the parts of the buffer that none of them uses."""
    if isinstance(column, FixedColumn):
        return column
    starts = np.cumsum(column.lengths) - column.lengths
    return VariableColumn(column.joined(), starts, column.lengths, column.nulls)


def split(column: Column, bounds: Sequence[int]) -> list[Column]:
    """A compact column, cut at row numbers."""
    pairs = list(pairwise(bounds))
    if isinstance(column, FixedColumn):
        return [column.take(slice(low, high)) for low, high in pairs]
    edges = np.append(column.starts, len(column.data))[np.asarray(bounds)].tolist()
    parts: list[Column] = []
    for (low, high), start, end in zip(pairs, edges[:-1], edges[1:], strict=True):
        rows = slice(low, high)
        parts.append(
            VariableColumn(
                column.data[start:end], column.starts[rows] - start, column.lengths[rows], column.nulls[rows]
            )
        )
    return parts


def concatenate(columns: Sequence[Column]) -> Column:
    """Columns of one type, one after the other."""
    if len(columns) == 1:
        return columns[0]
    first = columns[0]
    nulls = np.concatenate([column.nulls for column in columns])
    if isinstance(first, FixedColumn):
        values = [column.values for column in columns if isinstance(column, FixedColumn)]
        return FixedColumn(np.concatenate(values), nulls)
    parts = [compact_if_sparse(column) for column in columns if isinstance(column, VariableColumn)]
    sizes = np.array([len(part.data) for part in parts], np.int64)
    shift = np.repeat(np.cumsum(sizes) - sizes, [len(part) for part in parts])
    return VariableColumn(
        np.concatenate([part.data for part in parts]),
        np.concatenate([part.starts for part in parts]) + shift,
        np.concatenate([part.lengths for part in parts]),
        nulls,
    )


def compact_if_sparse(column: VariableColumn) -> VariableColumn:
    """Compact where the buffer is much larger than the values."""
    if len(column.data) <= 2 * int(column.lengths.sum()) + 64:
        return column
    compacted = compact(column)
    assert isinstance(compacted, VariableColumn)
    return compacted


def characters(column: VariableColumn) -> Ints:
    """How many characters each text has."""
    text = column.joined()
    first = np.concatenate(([0], np.cumsum((text & 0xC0) != 0x80)))
    ends = np.cumsum(column.lengths)
    counts: Ints = first[ends] - first[ends - column.lengths]
    return counts


# --- Rows


@dataclass
class Part:
    """Some rows, in the order in which they came.

    Parameters:
        rows: how many.
        columns: by name; a table's other columns were not named when the rows were written.
    """

    rows: int
    columns: dict[str, Column]


def _fixed(column: Column) -> FixedColumn:
    if not isinstance(column, FixedColumn):
        raise TypeError("a key has values of one width")
    return column


class Rows:
    """The rows of a table."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._merged = True

    def append(self, part: Part) -> None:
        """Add rows; they are put in their places when somebody reads."""
        if part.rows:
            self._parts.append(part)
            self._merged = False

    def forget(self, name: str) -> None:
        """Drop a column, so that a later one of the same name starts empty."""
        for part in self._parts:
            part.columns.pop(name, None)

    def rename(self, old: str, new: str) -> None:
        """Give a column another name."""
        for part in self._parts:
            if old in part.columns:
                part.columns[new] = part.columns.pop(old)

    def read(self, columns: Sequence[Field], keys: Sequence[str], rule: OnDuplicate) -> Part:
        """All rows by key, each once.

        Parameters:
            columns: of the table.
            keys: the timestamp's name, and that of the second key if there is one.
            rule: what to do about rows that came twice.
        """
        if not self._parts:
            return Part(0, {column.name: null_column(column, 0) for column in columns})
        if not self._merged:
            self._merge(columns, keys, rule)
        part = self._parts[0]
        for column in columns:
            if column.name not in part.columns:
                part.columns[column.name] = null_column(column, part.rows)
        return part

    def keep(self, chosen: Flags) -> None:
        """Delete the other rows; only after `read`."""
        part = self._parts[0]
        self._parts = []
        rows = int(np.count_nonzero(chosen))
        self.append(Part(rows, {name: column.take(chosen) for name, column in part.columns.items()}))

    def _merge(self, columns: Sequence[Field], keys: Sequence[str], rule: OnDuplicate) -> None:
        parts = self._parts
        key_columns = [
            _fixed(concatenate([part.columns[key] for part in parts if key in part.columns])).values for key in keys
        ]
        rows = len(key_columns[0])
        if _is_sorted(key_columns):
            merged = {
                column.name: _complete(parts, column)
                for column in columns
                if any(column.name in p.columns for p in parts)
            }
            self._parts, self._merged = [Part(rows, merged)], True
            return
        order = np.lexsort(tuple(reversed(key_columns)))
        is_first = np.zeros(rows, np.bool_)
        is_first[:1] = True
        for values in key_columns:
            ordered = values[order]
            is_first[1:] |= ordered[1:] != ordered[:-1]
        starts = np.flatnonzero(is_first)
        ends = np.append(starts[1:], rows) - 1
        merged = {}
        for column in columns:
            if not any(column.name in part.columns for part in parts):
                continue
            values_of = _complete(parts, column)
            if rule in (OnDuplicate.KEEP_FIRST, OnDuplicate.REPLACE):
                merged[column.name] = values_of.take(order[starts if rule is OnDuplicate.KEEP_FIRST else ends])
                continue
            if rule is OnDuplicate.UPSERT:
                named = np.concatenate([np.full(part.rows, column.name in part.columns) for part in parts])
            else:
                named = ~values_of.nulls
            last = np.maximum.reduceat(np.where(named[order], np.arange(rows), -1), starts)
            picked = values_of.take(order[np.maximum(last, 0)])
            picked.nulls = picked.nulls | (last < 0)
            merged[column.name] = picked
        self._parts, self._merged = [Part(len(starts), merged)], True


def _is_sorted(keys: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]) -> bool:
    """True if rows are in order and no key is there twice; false as well if only the second key orders some."""
    first = keys[0].astype(np.int64, copy=False)
    return bool((first[1:] > first[:-1]).all())


def _complete(parts: Iterable[Part], column: Field) -> Column:
    return concatenate([part.columns.get(column.name) or null_column(column, part.rows) for part in parts])


# --- Tables


@dataclass(eq=False)
class Schema:
    """The columns of a table or super table.

    Parameters:
        columns: the timestamp first.
        tags: of a super table; none for a normal table.
        composite: the second column belongs to the primary key.
        column_options: ENCODE, COMPRESS and LEVEL by column, where given.
        options: COMMENT, TTL and the like.
    """

    columns: list[Field]
    tags: list[Field] = field(default_factory=list)
    composite: bool = False
    column_options: dict[str, dict[str, str]] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [column.name for column in self.columns[: 1 + self.composite]]

    @property
    def timestamp(self) -> str:
        return self.columns[0].name

    def storage(self, column: Field, compression: Mapping[Type, str]) -> tuple[str, str, str]:
        """ENCODE, COMPRESS and LEVEL of a column in 3.3.

        Parameters:
            column: one of these.
            compression: see `Generation`.
        """
        default = {
            "encode": _ENCODINGS.get(column.type, "disabled" if column.info.dtype is None else "simple8b"),
            "compress": compression.get(column.type, "lz4"),
            "level": "medium",
        }
        given = default | self.column_options.get(column.name, {})
        return given["encode"], given["compress"], given["level"]

    def find(self, name: str) -> Field | None:
        """A column or tag by name."""
        return next((column for column in (*self.columns, *self.tags) if column.name == name), None)


@dataclass(eq=False)
class Table:
    """A subtable or a normal table.

    Parameters:
        name: without backticks.
        schema: its own, or its super table's.
        rule: what happens to rows that come twice.
        stable: its super table.
        tags: their values, as many as the super table has tags.
        options: COMMENT and TTL of its own.
        spot: where lists have it: its vgroup in 3.x, its slot of a hash table in 2.x.
    """

    name: str
    schema: Schema
    rule: OnDuplicate
    stable: SuperTable | None = None
    tags: list[Value] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    spot: int = 0
    rows: Rows = field(default_factory=Rows)
    created: int = field(default_factory=lambda: time.time_ns() // 10**6)
    uid: int = field(default_factory=lambda: next(_UIDS))

    def read(self) -> Part:
        """All rows, sorted."""
        return self.rows.read(self.schema.columns, self.schema.keys, self.rule)

    def timestamps(self) -> Ints:
        """The timestamps of all rows, sorted."""
        return _fixed(self.read().columns[self.schema.timestamp]).values.astype(np.int64, copy=False)

    def between(self, low: int, high: int) -> slice:
        """The rows from one timestamp to another, both included."""
        times = self.timestamps()
        # Most tables are read whole, and comparing two values is cheaper than two searches.
        if not len(times) or (times[0] >= low and times[-1] <= high):
            return slice(0, len(times))
        start = int(np.searchsorted(times, low, "left"))
        return slice(start, max(start, int(np.searchsorted(times, high, "right"))))


@dataclass(eq=False)
class SuperTable:
    """A super table and its subtables.

    Parameters:
        name: without backticks.
        schema: columns and tags.
        reads_by_tag: the order in which its tables are read is that of their first tag.
        tables: the subtables by name, in the order of their creation.
    """

    name: str
    schema: Schema
    reads_by_tag: bool = False
    tables: dict[str, Table] = field(default_factory=dict)
    created: int = field(default_factory=lambda: time.time_ns() // 10**6)
    _sorted: list[str] | None = None
    _read: list[Table] | None = None

    def add(self, table: Table) -> None:
        self.tables[table.name] = table
        self._sorted = None
        self.reorder()

    def remove(self, name: str) -> None:
        del self.tables[name]
        self._sorted = None
        self.reorder()

    def reorder(self) -> None:
        """Forget in which order tables are read: a tag has changed."""
        self._read = None

    def place(self, table: Table) -> tuple[tuple[float, bytes], int]:
        """The key that the tables are read in the order of."""
        if self.reads_by_tag:
            return by_tag(self.schema.tags[0], table.tags[0]), table.uid
        return (table.spot, b""), table.uid

    def read(self) -> list[Table]:
        """All tables, in the order in which they are read."""
        if self._read is None:
            self._read = sorted(self.tables.values(), key=self.place)
        return self._read

    def names_between(self, low: str | None, high: str | None, low_open: bool, high_open: bool) -> list[str]:
        """The names of the subtables in a range, in order; text compares by code point, as UTF-8 does by byte."""
        if self._sorted is None:
            self._sorted = sorted(self.tables)
        names = self._sorted
        start = 0 if low is None else (bisect_right if low_open else bisect_left)(names, low)
        end = len(names) if high is None else (bisect_left if high_open else bisect_right)(names, high)
        return names[start:end]


class Database:
    """A database: options, super tables and tables."""

    def __init__(self, name: str, options: Mapping[str, str], generation: Generation) -> None:
        self.name = name
        self.generation = generation
        self.options = dict(generation.database_options) | dict(options)
        self.stables: dict[str, SuperTable] = {}
        self.tables: dict[str, Table] = {}
        self.created = time.time_ns() // 10**6

    @property
    def precision(self) -> Precision:
        return Precision(self.options["precision"].lower())

    @property
    def rule(self) -> OnDuplicate:
        """What happens to rows that come twice."""
        if self.generation.upsert:
            return OnDuplicate.UPSERT
        rules = {"0": OnDuplicate.KEEP_FIRST, "1": OnDuplicate.REPLACE, "2": OnDuplicate.FILL}
        return rules[self.options["update"]]

    def minutes(self, option: str) -> list[int]:
        """An option such as KEEP, whose values are days or durations, in minutes."""
        units = {"m": 1, "h": 60, "d": 1440, "w": 10080}
        return [
            int(text) * 1440 if text.isdigit() else int(text[:-1]) * units[text[-1]]
            for text in self.options[option].split(",")
        ]

    def listed(self, kind: str, names: Iterable[str]) -> list[str]:
        """Names in the order of lists.

        Parameters:
            kind: of what they are the names, such as "stables".
            names: in the order in which they were made.
        """
        newest_first = reversed(list(names))
        return sorted(newest_first, key=lambda name: slot_of(kind, f"{self.name}.{name}", self.generation))

    def listed_stables(self) -> list[SuperTable]:
        """The super tables, in the order of lists."""
        return [self.stables[name] for name in self.listed("stables", self.stables)]

    def listed_tables(self) -> list[Table]:
        """The tables, in the order of lists."""
        tables = self.tables.values()
        return sorted(reversed(tables) if "tables" in self.generation.slots else tables, key=lambda table: table.spot)

    def add_table(self, table: Table) -> None:
        if "tables" in self.generation.slots:
            table.spot = slot_of("tables", f"{self.name}.{table.name}", self.generation)
        else:
            table.spot = vgroup_of(self.name, table.name, int(self.options["vgroups"]))
        self.tables[table.name] = table
        if table.stable:
            table.stable.add(table)

    def drop_table(self, name: str) -> None:
        table = self.tables.pop(name)
        if table.stable:
            table.stable.remove(name)

    def drop_stable(self, name: str) -> None:
        for table in self.stables.pop(name).tables:
            del self.tables[table]

    def time_limits(self) -> tuple[int, int]:
        """The earliest and the latest timestamp that may be written now."""
        now = time.time_ns()
        per_step = 10**9 // self.precision.per_second
        low = (now - max(self.minutes("keep")) * 60 * 10**9) // per_step
        if not self.generation.future_is_limited:
            return low, (1 << 63) - 1
        return low, (now + self.minutes("days")[0] * 60 * 10**9) // per_step
