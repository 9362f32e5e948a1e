"""Which column may be copied into which, and how its values change on the way.

Whether timestamps may be cut is not asked here, but once for both databases (`migration.structure.compare`).
`PAIRS` is the one list of it: `conversion` and `docs/types.md` are drawn from it. What it does not name is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np

from airflow_provider_tdengine.client.block import (
    Block,
    Column,
    FixedColumn,
    Value,
    VariableColumn,
    column_from_list,
    column_to_list,
)
from airflow_provider_tdengine.client.errors import BlockError, RowRejected
from airflow_provider_tdengine.client.types import DECIMALS, MOST_DIGITS, TYPES, Field, Type
from airflow_provider_tdengine.migration.catalog import Table, TimeScale

Conversion: TypeAlias = Callable[[Column], Column]

Making: TypeAlias = Callable[[Field, Field, TimeScale], Conversion]
"""Makes the conversion for a column of the source and its counterpart in the target."""

Condition: TypeAlias = Callable[[Field, Field, TimeScale], bool]

SAME = TimeScale()
"""Both sides count the same steps."""


class Change(Enum):
    """What becomes of a value."""

    EXACT = "exact"
    """It stays what it is."""

    WIDENING = "widening"
    """It stays what it is, in a type that could hold more."""

    CHECKED = "checked"
    """It stays what it is; a row whose value the target cannot hold is refused."""

    LOSSY = "lossy"
    """It becomes less exact, which somebody has allowed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A type of the source that a type of the target takes.

    Parameters:
        source: the source's type.
        target: the target's type.
        change: what becomes of values.
        when: the condition in words, empty where there is none.
        holds: the condition.
        making: how values change.
    """

    source: Type
    target: Type
    change: Change
    when: str
    holds: Condition
    making: Making


_INTEGERS = (
    *(Type.TINYINT, Type.SMALLINT, Type.INT, Type.BIGINT),
    *(Type.UTINYINT, Type.USMALLINT, Type.UINT, Type.UBIGINT),
)

# Whole numbers up to this one are values of the type, without a gap.
_WHOLE = {Type.FLOAT: 1 << 24, Type.DOUBLE: 1 << 53}


def _range(integer: Type) -> tuple[int, int]:
    if integer is Type.BOOL:
        return 0, 1
    limits = np.iinfo(str(TYPES[integer].dtype))
    return int(limits.min), int(limits.max)


def _always(source: Field, target: Field, time: TimeScale) -> bool:
    return True


def _as_long(source: Field, target: Field, time: TimeScale) -> bool:
    return target.length >= source.length


def _four_times_as_long(source: Field, target: Field, time: TimeScale) -> bool:
    return target.length >= source.length * 4


def _same_digits(source: Field, target: Field, time: TimeScale) -> bool:
    return (target.digits, target.scale) == (source.digits, source.scale)


def _more_digits(source: Field, target: Field, time: TimeScale) -> bool:
    return target.scale >= source.scale and target.digits - target.scale >= source.digits - source.scale


def _whole_digits(source: Field, target: Field, time: TimeScale) -> bool:
    return target.digits - target.scale >= len(str(_range(source.type)[1]))


def _same_precision(source: Field, target: Field, time: TimeScale) -> bool:
    return time.is_one


def _finer(source: Field, target: Field, time: TimeScale) -> bool:
    return not time.is_one and not time.cuts


def _coarser(source: Field, target: Field, time: TimeScale) -> bool:
    return time.cuts


def _same(column: Column) -> Column:
    return column


def _as_it_is(source: Field, target: Field, time: TimeScale) -> Conversion:
    return _same


def _as_number(source: Field, target: Field, time: TimeScale) -> Conversion:
    def convert(column: Column) -> Column:
        assert isinstance(column, FixedColumn)
        return FixedColumn(column.values.astype(target.info.dtype), column.nulls)

    return convert


def _value_by_value(source: Field, target: Field, time: TimeScale) -> Conversion:
    def convert(column: Column) -> Column:
        try:
            return column_from_list(target, column_to_list(source, column))
        except BlockError as error:
            raise RowRejected(error.message) from error

    return convert


def _as_text(source: Field, target: Field, time: TimeScale) -> Conversion:
    def convert(column: Column) -> Column:
        assert isinstance(column, VariableColumn)
        if (column.joined() > 0x7F).any():
            for value in column.to_bytes_list():
                try:
                    (value or b"").decode()
                except UnicodeDecodeError as error:
                    raise RowRejected(f"the value {value!r} of column {source.name!r} is not UTF-8 text") from error
        return column

    return convert


def _in_steps(source: Field, target: Field, time: TimeScale) -> Conversion:
    def convert(column: Column) -> Column:
        assert isinstance(column, FixedColumn)
        steps = column.values.astype(np.int64)
        if not time.holds(steps[~column.nulls]):
            raise RowRejected(f"a timestamp in column {source.name!r} is too far away for the target's precision")
        return FixedColumn(time.apply_array(steps), column.nulls)

    return convert


def _same_types() -> Iterator[Pair]:
    for kind, info in TYPES.items():
        if kind is Type.TIMESTAMP:
            yield Pair(kind, kind, Change.EXACT, "both databases have the same precision", _same_precision, _as_it_is)
            yield Pair(kind, kind, Change.CHECKED, "the target's precision is finer", _finer, _in_steps)
            when = "the target's precision is coarser, with `allow_lossy_precision`"
            yield Pair(kind, kind, Change.LOSSY, when, _coarser, _in_steps)
        elif kind in DECIMALS:
            yield Pair(kind, kind, Change.EXACT, "as many digits, before and after the point", _same_digits, _as_it_is)
        elif info.sized:
            yield Pair(kind, kind, Change.EXACT, "the target is at least as long", _as_long, _as_it_is)
        else:
            yield Pair(kind, kind, Change.EXACT, "", _always, _as_it_is)


def _wider_integers() -> Iterator[Pair]:
    for source in (Type.BOOL, *_INTEGERS):
        low, high = _range(source)
        for target in _INTEGERS:
            lowest, highest = _range(target)
            if source is not target and lowest <= low and high <= highest:
                yield Pair(source, target, Change.WIDENING, "", _always, _as_number)


def _wider_numbers() -> Iterator[Pair]:
    for source in _INTEGERS:
        for target, largest in _WHOLE.items():
            if max(map(abs, _range(source))) <= largest:
                yield Pair(source, target, Change.WIDENING, "", _always, _as_number)
        digits = len(str(_range(source)[1]))
        for target, most in MOST_DIGITS.items():
            if digits <= most:
                when = f"the target has {digits} digits or more before the point"
                yield Pair(source, target, Change.WIDENING, when, _whole_digits, _value_by_value)
    yield Pair(Type.FLOAT, Type.DOUBLE, Change.WIDENING, "", _always, _as_number)


def _decimals() -> Iterator[Pair]:
    for target in DECIMALS:
        for source in DECIMALS:
            when = "more digits, and not fewer before or after the point"
            yield Pair(source, target, Change.WIDENING, when, _more_digits, _value_by_value)
        for source in _WHOLE:
            when = "as the shortest text that reads back to the same value: 0.1 is 0.1"
            yield Pair(source, target, Change.CHECKED, when, _always, _value_by_value)


PAIRS: tuple[Pair, ...] = (
    *_same_types(),
    *_wider_integers(),
    *_wider_numbers(),
    *_decimals(),
    Pair(
        Type.VARCHAR,
        Type.NCHAR,
        Change.CHECKED,
        "at least as many characters as the source has bytes; the bytes are UTF-8",
        _as_long,
        _as_text,
    ),
    Pair(
        Type.NCHAR,
        Type.VARCHAR,
        Change.EXACT,
        "at least four bytes for each character of the source",
        _four_times_as_long,
        _as_it_is,
    ),
    Pair(Type.VARCHAR, Type.VARBINARY, Change.EXACT, "the target is at least as long", _as_long, _as_it_is),
    *(
        Pair(
            *types,
            Change.EXACT,
            "both databases have the same precision; not the first column",
            _same_precision,
            _as_it_is,
        )
        for types in ((Type.TIMESTAMP, Type.BIGINT), (Type.BIGINT, Type.TIMESTAMP))
    ),
)
"""Which type goes into which; of several pairs of the same types, the first whose condition holds."""

_BY_TYPES: defaultdict[tuple[Type, Type], list[Pair]] = defaultdict(list)
for _pair in PAIRS:
    _BY_TYPES[_pair.source, _pair.target].append(_pair)


def conversion(source: Field, target: Field, time: TimeScale = SAME) -> Conversion | None:
    """How values of one column become values of another without losing anything but digits of timestamps.

    Parameters:
        source: the column that is read.
        target: the column that is written.
        time: how timestamps of the source become those of the target.

    Returns:
        A function of columns, which raises `RowRejected` for a value that the target cannot hold; None where
        the types are refused.
    """
    for pair in _BY_TYPES.get((source.type, target.type), ()):
        if pair.holds(source, target, time):
            return pair.making(source, target, time)
    return None


def _conversions(
    source: tuple[Field, ...], target: tuple[Field, ...], time: TimeScale
) -> Iterator[tuple[Field, Conversion]]:
    """The counterpart of each field, and how values become its values.

    Raises:
        ValueError: a field has no counterpart, or its values do not go into it.
    """
    there = {field.name: field for field in target}
    for field in source:
        counterpart = there.get(field.name)
        convert = None if counterpart is None else conversion(field, counterpart, time)
        if counterpart is None or convert is None:
            found = "nothing" if counterpart is None else counterpart.sql_type
            raise ValueError(f"column {field.name!r} is {field.sql_type} in the source and {found} in the target")
        yield counterpart, convert


class Transcoder:
    """Turns blocks of a source table into blocks of its counterpart in the target.

    Parameters:
        source: the table as it is read.
        wanted: the same with the names of the target.
        target: as the target has it, with columns in any order; those that the source lacks stay NULL.
        time: how timestamps of the source become those of the target.

    Raises:
        ValueError: a column is missing in the target or cannot be copied without loss.
    """

    def __init__(self, source: Table, wanted: Table, target: Table, time: TimeScale) -> None:
        self.source = source
        self.time = time
        self.second_key = next((i for i, own in enumerate(source.columns) if own.name == source.second_key), None)
        """The number of the column that is the second part of the primary key, None if there is none."""
        pairs = list(_conversions(wanted.columns, target.columns, time))
        self.fields = tuple(field for field, _ in pairs)
        self._conversions = [convert for _, convert in pairs]
        self.unchanged = all(
            convert is _same and before.type == field.type
            for before, (field, convert) in zip(source.columns, pairs, strict=True)
        )
        """Whether blocks of 3.x may pass unopened: the server compares types only where widths differ, too."""

    def __call__(self, block: Block) -> Block:
        """The block as the target takes it; of the source's columns, in their order.

        Raises:
            RowRejected: the target cannot hold a value.
        """
        columns = tuple(convert(column) for convert, column in zip(self._conversions, block.columns, strict=True))
        return Block(self.fields, columns, block.rows)


class TagTranscoder:
    """Turns the tags of a source's subtables into those of their counterparts in the target.

    Parameters:
        source: the super table's tags, with the names of the target.
        target: the counterpart's tags, in any order.
        time: how timestamps of the source become those of the target.

    Raises:
        ValueError: a tag is missing in the target or cannot be copied without loss.
    """

    def __init__(self, source: tuple[Field, ...], target: tuple[Field, ...], time: TimeScale) -> None:
        pairs = list(_conversions(source, target, time))
        self.fields = tuple(field for field, _ in pairs)
        self._changes = [
            (i, before, field, convert)
            for i, (before, (field, convert)) in enumerate(zip(source, pairs, strict=True))
            if convert is not _same or before.type != field.type
        ]

    def __call__(self, values: tuple[Value, ...]) -> tuple[Value, ...]:
        """The values as the target's tags hold them, in the source's order.

        Raises:
            RowRejected: the target cannot hold a value.
        """
        if not self._changes:
            return values
        changed = list(values)
        for i, before, field, convert in self._changes:
            changed[i] = column_to_list(field, convert(column_from_list(before, [values[i]])))[0]
        return tuple(changed)
