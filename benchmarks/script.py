"""What the engine is compared with: a migration as one writes it in an afternoon, with taosrest of taospy.

Reads its settings as JSON from its input, and writes what it did as JSON to its output.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TypedDict

import taosrest  # type: ignore[import-untyped]

ROWS_AN_INSERT = 500


class Settings(TypedDict):
    """A super table whose subtables are copied to the same super table of another database, which is there.

    Parameters:
        source_account: what `taosrest.connect` takes: user and password, or token.
        tags: names of the tags.
        seconds: after which it stops, with the subtable at which it is then.
    """

    source: str
    target: str
    source_account: dict[str, str]
    target_account: dict[str, str]
    source_database: str
    target_database: str
    stable: str
    tags: list[str]
    seconds: float


class Done(TypedDict):
    """How far it came.

    Parameters:
        listing: seconds until it knew the subtables.
        copying: seconds after that.
        tables: subtables that it copied.
    """

    listing: float
    copying: float
    tables: int


def migrate(settings: Settings) -> Done:
    """Copy one subtable after the other."""
    source = taosrest.connect(url=settings["source"], **settings["source_account"]).cursor()
    target = taosrest.connect(url=settings["target"], **settings["target_account"]).cursor()
    ours, theirs, stable = settings["source_database"], settings["target_database"], settings["stable"]
    started = time.monotonic()
    source.execute(f"SELECT DISTINCT tbname, {', '.join(settings['tags'])} FROM {ours}.{stable}")
    listed = time.monotonic()
    tables = 0
    for name, *tags in source.fetchall():
        source.execute(f"SELECT * FROM {ours}.{name}")
        rows = source.fetchall()
        head = f"INSERT INTO {theirs}.{name} USING {theirs}.{stable} TAGS ({', '.join(map(literal, tags))}) VALUES "
        for first in range(0, len(rows), ROWS_AN_INSERT):
            values = [f"({', '.join(map(literal, row))})" for row in rows[first : first + ROWS_AN_INSERT]]
            target.execute(head + " ".join(values))
        tables += 1
        if time.monotonic() - listed > settings["seconds"]:
            break
    return {"listing": listed - started, "copying": time.monotonic() - listed, "tables": tables}


def literal(value: object) -> str:
    """A value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


if __name__ == "__main__":
    print(json.dumps(migrate(json.load(sys.stdin))))
