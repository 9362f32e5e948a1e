"""Rows that the target refuses: found by halving what was refused until they stand alone, then named or kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Protocol

from airflow_provider_tdengine.client.block import Block, Value
from airflow_provider_tdengine.client.errors import RowRejected, printable
from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.migration.rows import Transcoder

OUTSIDE_KEEP = 0x060B
"""The code of a row that is older than the target keeps rows, or too far in the future."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that the target refused.

    Parameters:
        table: the table's name in the target.
        fields: the source's columns, with their names in the target.
        values: of the row, in the order of the fields.
        key: the names of its primary key's columns: the timestamp's, and the second key's where there is one.
        precision: of its timestamps.
        column: the column that is at fault, as far as it can be told.
        error: what the target said.
        number: of the row in its block.
    """

    table: str
    fields: tuple[Field, ...]
    values: tuple[Value, ...]
    key: tuple[str, ...]
    precision: Precision
    column: str | None
    error: RowRejected
    number: int = 0

    @property
    def moment(self) -> str:
        """The row's timestamp, readable where Python has such a date."""
        steps = int(str(self.values[0]))
        microseconds = steps * 1_000_000 // self.precision.per_second
        try:
            return f"{(_EPOCH + timedelta(microseconds=microseconds)).isoformat()} ({steps})"
        except OverflowError:
            return str(steps)

    def __str__(self) -> str:
        row = dict(zip((field.name for field in self.fields), self.values, strict=True))
        shown = repr(row if self.column is None else row[self.column])
        what = "with values" if self.column is None else f"whose column {self.column!r} is"
        cut = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({len(shown)} characters)"
        return f"a row of table {self.table!r} at {self.moment}, {what} {cut}: {self.error.message}"


@dataclass(frozen=True, slots=True)
class Refused:
    """What became of rows of a block that the target refused: their numbers in the block.

    Parameters:
        rejected: those that are kept as dead letters.
        expired: those that were let go, since they are older than the target keeps and `on_expired` is skip.
    """

    rejected: tuple[int, ...] = ()
    expired: tuple[int, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """All of them."""
        return self.rejected + self.expired


NONE_REFUSED = Refused()


class Rejections(Protocol):
    """What becomes of the refused rows of a batch."""

    def clear(self) -> None:
        """Forget what an earlier try has kept: the batch begins anew."""
        ...

    def take(self, rows: Iterator[Rejected]) -> Refused:
        """Do something about the refused rows of one block.

        Raises:
            RowRejected: the copy must not go on.
        """
        ...


class Fail:
    """Refused rows end the copy: the error names the first one."""

    def clear(self) -> None:
        pass

    def take(self, rows: Iterator[Rejected]) -> Refused:
        for row in rows:
            raise RowRejected(
                f"The target refuses {row}. Fix the target or the row, or set on_error to dead_letter",
                code=row.error.code,
            ) from row.error
        return NONE_REFUSED


def isolate(
    table: str,
    block: Block,
    transcode: Transcoder,
    precision: Precision,
    write: Callable[[Block], None],
    number: int = 0,
) -> Iterator[Rejected]:
    """Write a block whose rows were refused: halves of it, and halves of those, until refused rows stand alone.

    Parameters:
        table: the table's name in the target.
        block: rows of the source.
        transcode: how they become rows of the target.
        precision: of the source.
        write: writes some of the rows; raises RowRejected where one of them is refused.
        number: of the first row.

    Returns:
        The refused rows; all others are written when the last of them has been taken.
    """
    try:
        write(block)
    except RowRejected as error:
        if block.rows > 1:
            half = block.rows // 2
            yield from isolate(table, block.take(slice(0, half)), transcode, precision, write, number)
            yield from isolate(table, block.take(slice(half, None)), transcode, precision, write, number + half)
            return
        fields = tuple(
            Field(other.name, own.type, own.length, own.digits, own.scale)
            for own, other in zip(block.fields, transcode.fields, strict=True)
        )
        (values,) = block.to_rows()
        places = [0] if transcode.second_key is None else [0, transcode.second_key]
        key = tuple(fields[place].name for place in places)
        at_fault = _at_fault(values, transcode.fields, error)
        yield Rejected(table, fields, values, key, precision, at_fault, error, number)


def _at_fault(values: tuple[Value, ...], target: tuple[Field, ...], error: RowRejected) -> str | None:
    """The column because of which a row is refused, None where that cannot be told."""
    if error.code == OUTSIDE_KEEP:
        return target[0].name
    for value, field in zip(values, target, strict=True):
        if field.info.sized and value is not None and _size(field, value) > field.length:
            return field.name
    return next((field.name for value, field in zip(values, target, strict=True) if _is_no_text(field, value)), None)


def _is_no_text(field: Field, value: Value) -> bool:
    """Whether it is NCHAR with numbers that are no characters."""
    return field.type is Type.NCHAR and isinstance(value, str) and not value.isascii() and value != printable(value)


def _size(field: Field, value: Value) -> int:
    """A value's length as its column counts it: characters of NCHAR, else bytes."""
    text = str(value) if not isinstance(value, bytes) else value.decode("utf-8", "surrogateescape")
    return len(text) if field.type is Type.NCHAR else len(text.encode("utf-8", "surrogateescape"))
