"""Names, values, periods and sizes as people say them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_tdengine.client.types import Precision

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


_LONGEST_NAME = 60
"""Three of them and a period fit into the 250 characters that Airflow has for a mapped task's name."""


def name(table: str) -> str:
    """A table's name, a very long one without its middle."""
    half = _LONGEST_NAME // 2 - 1
    return table if len(table) <= _LONGEST_NAME else f"{table[:half]}…{table[-half:]}"


def beginning(text: str, characters: int) -> str:
    """A text, a very long one without its end."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


_LONGEST_VALUE = 100


def values(one: object, other: object) -> tuple[str, str]:
    """Two values that differ; of very long ones the part where they begin to do so."""
    said = repr(one), repr(other)
    if max(map(len, said)) <= _LONGEST_VALUE:
        return said
    differing = (place for place, signs in enumerate(zip(*said, strict=False)) if signs[0] != signs[1])
    start = max(0, next(differing, min(map(len, said))) - _LONGEST_VALUE // 2)
    first, second = (_part(text, start) for text in said)
    return first, second


def _part(text: str, start: int) -> str:
    end = start + _LONGEST_VALUE
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


def period(first: int, last: int, precision: Precision, *, is_part: bool = False) -> str:
    """When rows are, in UTC: a day, a month, or from one to another.

    Parameters:
        first: the first row's timestamp, in steps of the precision.
        last: the last row's timestamp.
        precision: of both.
        is_part: whether there are other rows of the same tables before or after them; then it is said to the minute.
    """
    moments = [moment for steps in (first, last) if (moment := _moment(steps, precision))]
    if len(moments) < 2:
        return ""
    ways = ["%Y-%m-%d %H:%M"] if is_part else ["%Y-%m-%d", "%Y-%m"]
    for way in ways:
        said = list(dict.fromkeys(f"{moment:{way}}" for moment in moments))
        if len(said) == 1:
            break
    return "…".join(said)


def _moment(steps: int, precision: Precision) -> datetime | None:
    """None for one that no calendar has."""
    try:
        return _EPOCH + timedelta(seconds=steps // precision.per_second)
    except OverflowError:
        return None


def moment(steps: int, precision: Precision, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A timestamp in UTC; as the number that it is where no calendar has it.

    Parameters:
        steps: of the precision.
        precision: what they count.
        form: as `strftime` takes it.
    """
    found = _moment(steps, precision)
    return str(steps) if found is None else f"{found:{form}}"


def number(count: int, one: str, many: str = "") -> str:
    """A number of things: `1 row`, `3,000 rows`.

    Parameters:
        count: how many there are.
        one: what one of them is called.
        many: what several are called, where that is not just an s more.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def enumerated(names: Iterable[str], most: int = 10) -> str:
    """The first of some names, by name, and how many more there are; of any number, in little memory."""
    first: list[str] = []
    more = 0
    for name in names:
        first = sorted([*first, name])
        more += len(first) > most
        first = first[:most]
    return (", ".join(first) + (f" and {more} more" if more else "")) or "none"


Facts = list[tuple[str, str]]
"""What something came to: names, each with what there is to say of it."""


def facts(title: str, found: Facts) -> list[str]:
    """Facts as lines under a title, in two columns; those that say nothing are left out."""
    told = [(name, text) for name, text in found if text]
    width = max((len(name) for name, _ in told), default=0)
    return [title, *(f"  {name:<{width}}  {text}" for name, text in told)]


_FIRST, _OTHERS = 100, 125
"""Characters of a message that Airflow's log view shows at 1400 pixels; the moment is before its first line."""


def folded(lines: Iterable[str]) -> str:
    """Lines as one message, long ones broken between words, and what follows of them indented."""
    found: list[str] = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        width = _OTHERS if found else _FIRST
        found += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(found)


def share(there: int, rows: int) -> str:
    """How many of the source's rows the target has: `99.9 %`, never rounded up, so that `100.0 %` is all of them."""
    if there > rows:
        return f"{there - rows:,} more than the source"
    if not rows:
        return ""
    tenths = 1000 * there // rows
    return f"{tenths // 10}.{tenths % 10} %"


def size(length: float) -> str:
    """A number of bytes: `1.2 GB`."""
    if length < 1000:
        return f"{length:.0f} bytes"
    power = min(4, int(math.log10(length) / 3))
    return f"{length / 1000**power:.1f} {' kMGT'[power]}B"


def duration(seconds: float) -> str:
    """A length of time: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join([f"{number} {unit}" for number, unit in parts if number][:2])
