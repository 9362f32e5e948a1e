"""Writes docs/types.md from the engine's pairs of types: `python docs/make_types.py`; a test says when it is due."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_tdengine.client.types import TYPES
from airflow_provider_tdengine.migration.rows import PAIRS

FILE = Path(__file__).parent / "types.md"

HEAD = """\
# Types of columns and tags

Schema sync creates columns and tags of the source's type: same type, same length, and in 3.3 the same storage. 2.x
says BINARY where 3.x says VARCHAR; that is one type.

Where the target has a table already, its columns and tags may be of another type. This is what goes into what; all
else is refused, with a finding that names the column, before anything is written. Columns are matched by name; the
first one, the timestamp, must have the same name on both sides.

- **exact**: every value stays what it is.
- **widening**: every value stays what it is, in a type that could hold more. A FLOAT in a DOUBLE is the same number,
  which reads 0.10000000149011612 where the FLOAT reads 0.1.
- **checked**: every value stays what it is; one that the target cannot hold fails the batch, or, in a tag, is a
  finding. The message has the column and the value.
- **lossy**: digits are cut. A timestamp goes to the step of the target at or before it, also before 1970. Rows of a
  table that have one timestamp then (with a second key: one timestamp and key) are one row in the target, the last of
  them; the copy tasks report how many the others were, and verification expects that many rows less.

A VARCHAR, NCHAR, VARBINARY or GEOMETRY of the target that is shorter than the source's is lengthened by schema sync.

A type that the target does not have is a finding, before anything is written. The server is asked: versions do not
tell, since DECIMAL came with 3.3.6, and a branch of 3.3.5.2 has it.

- **DECIMAL** of both widths, to 18 and to 38 digits, measured on 3.3.5.2: copied by each strategy and over REST,
  compared by all levels (smallest and largest value to the digit, the sum as a DOUBLE), followed, and kept in dead
  letters as text. 3.3.5.2 refuses it as a tag and as a key. BLOB was not measured.
- **Infinity and NaN** of FLOAT and DOUBLE arrive over WebSocket (measured 3.3.3.0, 3.3.5.2). Over REST 3.3 does not
  answer for rows that have one, which stops the batch with a sentence; since 3.3.8, by its documents, it says NULL,
  which is a warning before anything is written: copy over WebSocket.
- **NCHAR** that holds numbers which are no characters, as raw writers leave them, arrives as it is (measured 3.3.3.0,
  3.3.5.2); as text such a value has bytes that are not UTF-8. Where the target refuses a block that has
  such values, as 3.4 does by its documents, their rows are refused rows, and may become dead letters.

This page is made by `python docs/make_types.py`.

| source | target | | when |
|---|---|---|---|
"""


def render() -> str:
    """The page: a line for the targets that take a type in the same way."""
    order = list(dict.fromkeys(info.sql for info in TYPES.values()))
    lines: dict[tuple[str, str, str], list[str]] = {}
    for pair in sorted(PAIRS, key=lambda pair: order.index(TYPES[pair.source].sql)):
        targets = lines.setdefault((TYPES[pair.source].sql, pair.change.value, pair.when), [])
        if TYPES[pair.target].sql not in targets:
            targets.append(TYPES[pair.target].sql)
    rows = (
        f"| {source} | {', '.join(targets)} | {change} | {when} |\n"
        for (source, change, when), targets in lines.items()
    )
    return HEAD + "".join(rows)


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
