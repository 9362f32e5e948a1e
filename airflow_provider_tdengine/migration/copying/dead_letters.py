"""Dead letters: refused rows as JSON lines in files, and how they are brought back when the cause is mended.

A line holds one row as the source has it, under the names of the target:
`{"table": …, "precision": "ms", "columns": [[name, type, value], …], "column": …, "code": …, "reason": …}`.
Binary values are base64, decimals text; floats are the shortest text that reads back to the same bits.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.errors import RowRejected, TDengineError
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.types import DECIMALS, Field, Precision, field_from_sql
from airflow_provider_tdengine.migration.catalog import Catalog, Table, TimeScale
from airflow_provider_tdengine.migration.copying.rejected import MOST, Refused, Rejected, isolate
from airflow_provider_tdengine.migration.copying.writing import write_block
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.rows import Transcoder


class _Letter(TypedDict):
    table: str
    precision: str
    columns: list[tuple[str, str, object]]
    column: str | None
    code: int | None
    reason: str


class DeadLetters:
    """Keeps refused rows of one batch, each block's in a file of its own.

    A file is complete before the checkpoint passes its rows; a block that is copied again replaces its file.

    Parameters:
        folder: where; any path with the methods of `pathlib.Path`, such as Airflow's `ObjectStoragePath`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken = 0

    def clear(self) -> None:
        """Forget what an earlier try has kept: the batch begins anew."""
        for file in files(self._folder):
            file.unlink()

    def take(self, rows: Iterator[Rejected]) -> Refused:
        """Keep rows.

        Raises:
            RowRejected: the target refuses too many.
        """
        letters = list(islice(rows, MOST + 1 - self._taken))
        self._taken += len(letters)
        if self._taken > MOST:
            raise RowRejected(
                f"The target refuses more than {MOST} rows of this batch, the last one {letters[-1]}. "
                "That is no matter of single rows: mend the target first"
            )
        if letters:
            first = letters[0]
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{quote(first.table, safe='')[:150]}-{first.values[0]!r}.jsonl"
            (self._folder / name).write_text("".join(map(_line, letters)), encoding="utf-8")
        return Refused(rejected=tuple(letter.number for letter in letters))


def files(folder: Path) -> list[Path]:
    """The files of dead letters in a folder and the folders in it, by name."""
    return sorted(folder.rglob("*.jsonl"), key=str) if folder.exists() else []


def _line(row: Rejected) -> str:
    columns = [
        (field.name, field.sql_type, _to_json(value)) for field, value in zip(row.fields, row.values, strict=True)
    ]
    letter = _Letter(
        table=row.table,
        precision=row.precision.value,
        columns=columns,
        column=row.column,
        code=row.error.code,
        reason=str(row.error),
    )
    return json.dumps(letter) + "\n"


def _to_json(value: Value) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, Decimal) else value


def _from_json(field: Field, value: object) -> Value:
    if field.type in DECIMALS:
        return None if value is None else Decimal(str(value))
    if isinstance(value, str) and field.is_binary:
        return base64.b64decode(value)
    assert value is None or isinstance(value, (bool, int, float, str))
    return value


def kept(folder: Path) -> dict[str, list[int]]:
    """The dead letters of each table of the target, those that were kept twice once: their timestamps."""
    rows: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    for file in files(folder):
        for letter in _read(file):
            values = [value for _, _, value in letter["columns"]]
            rows[letter["table"]][tuple(map(str, values))] = int(str(values[0]))
    return {table: sorted(times.values()) for table, times in rows.items()}


def _read(file: Path) -> Iterator[_Letter]:
    """The letters of a file.

    Raises:
        MigrationStopped: a line that is no letter.
    """
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            letter: _Letter = json.loads(line)
            Precision(letter["precision"])
            _fields(letter)
        except (ValueError, KeyError, TypeError) as error:
            found = f"line {number} is no dead letter ({error!r})"
            raise MigrationStopped([Finding(f"File {file}", found, "Mend or remove that line")]) from error
        yield letter


def _fields(letter: _Letter) -> tuple[Field, ...]:
    return tuple(field_from_sql(name, kind) for name, kind, _ in letter["columns"])


@dataclass(slots=True)
class Replayed:
    """What bringing dead letters back came to.

    Parameters:
        arrived: rows that the target has now.
        remaining: rows that it refuses still; they stay in their files.
        reasons: why, for the first of them.
    """

    arrived: int = 0
    remaining: int = 0
    reasons: tuple[str, ...] = ()


_REASONS = 10


def replay(folder: Path, target: Catalog) -> Replayed:
    """Write dead letters into the target; files whose rows all arrive are removed.

    Raises:
        MigrationStopped: no such folder, a line that is no letter, a table that is gone or does not fit.
        TDengineError: of the kind of failure; what has arrived by then may be brought again without harm.
    """
    if not folder.exists():
        found = Finding(f"Folder {folder}", "there is none", "Give the folder that the migration's log names")
        raise MigrationStopped([found])
    database = target.database()
    if database is None:
        raise MigrationStopped([target.missing("target_database")])
    result = Replayed()
    for file in files(folder):
        letters = list(_read(file))
        refused = list(_bring_back(letters, target, database.precision))
        result.arrived += len(letters) - len(refused)
        result.remaining += len(refused)
        result.reasons = (*result.reasons, *map(str, refused))[:_REASONS]
        if refused:
            file.write_text("".join(map(_line, refused)), encoding="utf-8")
        else:
            file.unlink()
    return result


def _bring_back(letters: list[_Letter], target: Catalog, precision: Precision) -> Iterator[Rejected]:
    """Write letters, a table at a time; what is refused again comes back."""
    groups: dict[tuple[object, ...], list[_Letter]] = defaultdict(list)
    for letter in letters:
        groups[letter["table"], letter["precision"], _fields(letter)].append(letter)
    with target.client.session(target.name) as session:
        for group in groups.values():
            table, own, fields = group[0]["table"], Precision(group[0]["precision"]), _fields(group[0])
            source = Table(table, fields)
            try:
                transcode = Transcoder(source, source, target.describe(table), TimeScale.between(own, precision))
            except (TDengineError, ValueError) as error:
                if isinstance(error, TDengineError) and error.retryable:
                    raise
                action = "Mend the table, then bring the letters back again"
                raise MigrationStopped([Finding(f"Table {table!r}", str(error), action)]) from error
            values = zip(*([value for _, _, value in letter["columns"]] for letter in group), strict=True)
            columns = tuple(
                column_from_list(field, [_from_json(field, value) for value in those])
                for field, those in zip(fields, values, strict=True)
            )
            block = Block(fields, columns, len(group))
            writer = partial(_write, session, target, table, transcode)
            yield from isolate(table, block, transcode.fields, own, writer)


def _write(session: Session, target: Catalog, table: str, transcode: Transcoder, block: Block) -> None:
    write_block(session, target, table, transcode(block))
