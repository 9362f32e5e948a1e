"""Options of a database as SQL says them: which are set, and what PRECISION, KEEP and those of files say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import Self

if TYPE_CHECKING:
    from airflow_provider_tdengine.client.types import Precision

DAY = 1440
"""Minutes."""

_UNITS = {"m": 1, "h": 60, "d": DAY, "": DAY}
_LENGTH = re.compile(r"(\d+)([mhd]?)", re.IGNORECASE)

KEEP_LOCAL = frozenset({"S3_KEEPLOCAL", "SS_KEEPLOCAL"})
"""How long rows are not in shared storage; 3.3.7 calls it by the second name."""

_AS_SOURCE = re.compile(r"\s*AS\s+SOURCE\b", re.IGNORECASE)

_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s,'"]+)"""
_OPTION = re.compile(rf"""\s*([A-Za-z]\w*)(?:\s+|(?=['"]))({_VALUE}(?:\s*,\s*{_VALUE})*)""")


def minutes(text: str) -> int:
    """The minutes of a length of time such as "5256000m" or "10d"; a bare number counts days.

    Raises:
        ValueError: it is none. TDengine takes m, h and d here (measured 3.0.5.2, 3.3.3.0, 3.3.5.2).
    """
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a number of days, nor one with m, h or d")
    return int(match[1]) * _UNITS[match[2].lower()]


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """What somebody wants of a new database.

    Parameters:
        words: the options that are set, in upper case, with their values as they are written.
        precision: of the timestamps, None where it is not said.
        keep: minutes for which rows are kept, one value a storage tier; nothing where it is not said.
        duration: minutes that one data file spans, None where it is not said.
        as_source: whether all others are to be the source's.
    """

    words: Mapping[str, str]
    precision: Precision | None
    keep: tuple[int, ...]
    duration: int | None
    as_source: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Options such as "VGROUPS 8 KEEP 3650d PRECISION 'us'"; "AS SOURCE" may stand before them.

        Raises:
            ValueError: the text is something else, or says something that no version takes.
        """
        if ";" in text:
            # 3.x runs what stands before it and drops the rest without a word (measured 3.0.5.2, 3.3.3.0).
            raise ValueError("a semicolon ends the statement")
        words: dict[str, str] = {}
        as_source = _AS_SOURCE.match(text)
        at = as_source.end() if as_source else 0
        while text[at:].strip():
            match = _OPTION.match(text, at)
            if match is None:
                raise ValueError(f"{text[at:].strip()!r} is not an option with its value")
            if match[1].upper() in words:
                raise ValueError(f"{match[1].upper()} is there twice")
            words[match[1].upper()] = match[2]
            at = match.end()
        for word in KEEP_LOCAL & words.keys():
            minutes(words[word])
        return cls(
            words,
            _precision(words["PRECISION"]) if "PRECISION" in words else None,
            tuple(map(minutes, words["KEEP"].split(","))) if "KEEP" in words else (),
            minutes(words["DURATION"]) if "DURATION" in words else None,
            as_source is not None,
        )


def _precision(text: str) -> Precision:
    # It brings numpy, which a form has no use for.
    from airflow_provider_tdengine.client.types import Precision  # noqa: PLC0415

    try:
        return Precision(text.strip("'\"").lower())
    except ValueError:
        raise ValueError(f"PRECISION {text} is none of 'ms', 'us' and 'ns'") from None
