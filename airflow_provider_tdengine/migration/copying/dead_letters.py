"""Dead letters: refused rows as JSON lines in files, and how they are brought back when the cause is mended.

A line holds one row as the source has it, under the names of the target database:
`{"database": …, "table": …, "key": [name, …], "precision": "ms", "columns": [[name, type, value], …], "column": …,
"code": …, "reason": …, "refused": …}`, the last one the moment at which that was. Binary values are base64, decimals
text; floats are the shortest text that reads back to the same bits.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypedDict

from airflow_provider_tdengine.client.block import Block, Value, column_from_list
from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.types import DECIMALS, Field, Precision, field_from_sql
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.catalog import Catalog, Table, TimeScale
from airflow_provider_tdengine.migration.copying.batch import Batch
from airflow_provider_tdengine.migration.copying.rejected import Refused, Rejected, isolate
from airflow_provider_tdengine.migration.copying.writing import write_block
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped, stop_on
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.rows import Transcoder
from airflow_provider_tdengine.migration.storage import storage, this_host, write_whole


class _Letter(TypedDict):
    database: str
    table: str
    key: list[str]
    precision: str
    columns: list[tuple[str, str, object]]
    column: str | None
    code: int | None
    reason: str
    refused: str


_READABLE = 30
"""Characters of a name that is made short: with the hash far below the 255 bytes that a file's name may have."""


def short_name(text: str, *whole: str) -> str:
    """A name for a file or folder: the begin of a text for people, and a hash of all of it.

    Parameters:
        text: of any length and any characters.
        whole: what else makes it another name.
    """
    readable = re.sub(r"[^\w-]+", "_", text)[:_READABLE]
    return f"{readable}-{hashlib.sha256(json.dumps([text, *whole]).encode()).hexdigest()[:16]}"


def batch_folder(folder: Path, batch: Batch, options: MigrationOptions) -> Path:
    """A batch's own folder in one of many batches: named by what it holds, since a new plan gives it another number.

    Parameters:
        folder: of all batches.
        batch: whose rows may be refused.
        options: of the migration; mapped tasks may copy the same tables of several databases.
    """
    readable = "_".join(name for name in (batch.stable or "tables", batch.first) if name)
    return folder / short_name(readable, batch.identity, str(options.to_dict()))


class DeadLetters:
    """Keeps refused rows of one batch, each block's in a file of its own.

    A file is complete before the checkpoint passes its rows. It is named by the first and the last row in it: a block
    that is copied again replaces its own file. Where other blocks are read at a retry, a row may be kept twice; those
    who read count it once.

    Parameters:
        folder: where; any path with the methods of `pathlib.Path`, such as Airflow's `ObjectStoragePath`.
        most: how many rows may be refused; 0 for any number.
        database: the target; empty where letters are not to say it.
    """

    def __init__(self, folder: Path, most: int = 0, database: str = "") -> None:
        self.folder = folder
        self._database = database
        self._most = most
        self._taken = 0

    def clear(self) -> None:
        """Forget what an earlier try has kept: the batch begins anew."""
        with storage("The folder of dead letters", self.folder):
            for file in (*_files(self.folder, _WAITING), *_files(self.folder, _ARRIVED)):
                file.unlink()

    def take(self, rows: Iterator[Rejected]) -> Refused:
        """Keep rows.

        Raises:
            RowRejected: the target refuses too many.
        """
        letters = list(islice(rows, self._most + 1 - self._taken if self._most else None))
        self._taken += len(letters)
        if self._most and self._taken > self._most:
            found = f"the target refuses more than {self._most} rows of this batch, the last one {letters[-1]}"
            raise MigrationStopped([_too_many(found)])
        if letters:
            now = datetime.now(timezone.utc).isoformat()
            lines = [_letter(row, now, self._database) for row in letters]
            with storage("The folder of dead letters", self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            _write_file(self.folder / f"{short_name(*_key(lines[0]), *_key(lines[-1]))}{_WAITING}", lines)
        return Refused(rejected=tuple(row.number for row in letters))


def check_refused(folder: Path, most: int) -> None:
    """Make sure that no more rows are refused than may be.

    Parameters:
        folder: where they are kept.
        most: how many may be; 0 for any number.

    Raises:
        MigrationStopped: there are more.
    """
    if most and (refused := known(folder)) > most:
        stop_on([_too_many(f"the target refused {refused} rows; they are dead letters in {folder}")])


def _too_many(found: str) -> Finding:
    action = "With that many, more is wrong than single rows: fix the target, or give a larger number, or 0 for any"
    return Finding("Option 'max_rejected'", found, action)


_WAITING = ".jsonl"
"""Files of letters that wait for somebody to bring them back."""

_ARRIVED = ".arrived"
"""Files of letters that were brought back, each beside the one in which they waited: what was refused stays known."""


def _files(folder: Path, suffix: str) -> list[Path]:
    """The files in a folder and the folders in it, by name."""
    with storage("The folder of dead letters", folder):
        return sorted(folder.rglob(f"*{suffix}"), key=str) if folder.exists() else []


def _letter(row: Rejected, refused: str = "", database: str = "") -> _Letter:
    columns = [
        (field.name, field.sql_type, _to_json(value)) for field, value in zip(row.fields, row.values, strict=True)
    ]
    return _Letter(
        database=database,
        table=row.table,
        key=list(row.key),
        precision=row.precision.value,
        columns=columns,
        column=row.column,
        code=row.error.code,
        reason=str(row.error),
        refused=refused,
    )


_Key: TypeAlias = tuple[str, ...]
"""A row's table and the values of its primary key, as texts."""


def _key(letter: _Letter) -> _Key:
    values = {name: value for name, _, value in letter["columns"]}
    return letter["table"], *(str(values[name]) for name in letter["key"])


def _write_file(file: Path, letters: Iterable[_Letter]) -> None:
    with storage("The file of dead letters", file):
        write_whole(file, "".join(json.dumps(letter) + "\n" for letter in letters))


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
    rows: dict[str, dict[_Key, int]] = defaultdict(dict)
    for file in _files(folder, _WAITING):
        for letter in _read(file):
            _, _, time = letter["columns"][0]
            rows[letter["table"]][_key(letter)] = int(str(time))
    return {table: sorted(times.values()) for table, times in rows.items()}


def first_letters(folder: Path, count: int) -> list[dict[str, str]]:
    """Some of the dead letters, for people: `table`, `row` by its primary key, and `reason`."""
    letters = (letter for file in _files(folder, _WAITING) for letter in _read(file))
    return [
        {"table": table, "row": ", ".join(key), "reason": letter["reason"]}
        for letter in islice(letters, count)
        for table, *key in [_key(letter)]
    ]


def known(folder: Path) -> int:
    """How many refused rows a folder knows of: those that wait, and those that were brought back."""
    files = (*_files(folder, _WAITING), *_files(folder, _ARRIVED))
    return len({_key(letter) for file in files for letter in _read(file)})


def _read(file: Path) -> Iterator[_Letter]:
    """The letters of a file.

    Raises:
        MigrationStopped: a line that is no letter.
        StorageFailed: it cannot be read.
    """
    with storage("The file of dead letters", file):
        lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            letter: _Letter = json.loads(line)
            Precision(letter["precision"])
            # Letters that an earlier version has kept say neither their target, nor their key, nor when that was.
            letter = {"database": "", "key": [_fields(letter)[0].name], "refused": "", **letter}
            _key(letter)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            found = f"line {number} is no dead letter ({error!r})"
            raise MigrationStopped([Finding(f"File {file}", found, "Correct or remove that line")]) from error
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
    """Write dead letters into the target, those first that were refused first; a row that arrives waits no longer.

    What was begun may be done again: a letter is put aside after its row has arrived, and never removed.

    Raises:
        MigrationStopped: no such folder, a line that is no letter, rows of another database, a table that is gone or
            does not fit.
        TDengineError: of the kind of failure; what has arrived by then may be brought again without harm.
    """
    if not folder.exists():
        action = "Give the folder that the migration's log names; a folder on a disk must be on this host"
        raise MigrationStopped([Finding(f"Folder {folder}", f"there is none on {this_host()}", action)])
    database = target.database()
    if database is None:
        raise MigrationStopped([target.missing("target_database")])
    files = _by_time(_files(folder, _WAITING))
    stop_on(_of_others(folder, files, target.name))
    result = Replayed()
    for file in files:
        letters = list(_read(file))
        refused = {_key(_letter(row)): row for row in _bring_back(letters, target, database.precision)}
        arrived = [letter for letter in letters if _key(letter) not in refused]
        remaining = [_again(letter, refused[_key(letter)]) for letter in letters if _key(letter) in refused]
        result.arrived += len(arrived)
        result.remaining += len(remaining)
        result.reasons = (*result.reasons, *map(str, refused.values()))[:_REASONS]
        if arrived:
            beside = file.with_suffix(_ARRIVED)
            _write_file(beside, [*(_read(beside) if beside.exists() else ()), *arrived])
        if remaining:
            _write_file(file, remaining)
        else:
            with storage("The file of dead letters", file):
                file.unlink()
    return result


def _of_others(folder: Path, files: Iterable[Path], database: str) -> Iterator[Finding]:
    """What to say of letters of other databases than the one that is written: the folder of a fleet has them all."""
    named = {letter["database"] for file in files for letter in _read(file)}
    if others := named - {"", database}:
        found = f"it has rows of {wording.enumerated(others)}, and target_database is {database!r}"
        yield Finding(
            f"Folder {folder}", found, "Give a folder in it that has those of one database, and that database"
        )


def _by_time(files: Iterable[Path]) -> list[Path]:
    """Files in the order in which their letters were refused: of two letters of a row, the later one is to stay.

    Raises:
        MigrationStopped: all files with a line that is no letter.
    """
    times: dict[Path, str] = {}
    findings: list[Finding] = []
    for file in files:
        try:
            times[file] = min((letter["refused"] for letter in _read(file)), default="")
        except MigrationStopped as damaged:
            findings += damaged.findings
    stop_on(findings)
    return sorted(times, key=times.__getitem__)


def _again(letter: _Letter, row: Rejected) -> _Letter:
    """A letter that was refused again, with what was said this time."""
    return {**letter, "column": row.column, "code": row.error.code, "reason": str(row.error)}


def _bring_back(letters: list[_Letter], target: Catalog, precision: Precision) -> Iterator[Rejected]:
    """Write letters, a table at a time; what is refused again comes back."""
    groups: dict[tuple[object, ...], list[_Letter]] = defaultdict(list)
    for letter in letters:
        groups[letter["table"], letter["precision"], _fields(letter), tuple(letter["key"])].append(letter)
    with target.client.session(target.name) as session:
        for group in groups.values():
            table, own, fields = group[0]["table"], Precision(group[0]["precision"]), _fields(group[0])
            source = Table(table, fields, second_key=next(iter(group[0]["key"][1:]), None))
            try:
                transcode = Transcoder(source, source, target.describe(table), TimeScale.between(own, precision))
            except (TDengineError, ValueError) as error:
                if isinstance(error, TDengineError) and error.retryable:
                    raise
                action = "Fix the table, then bring the letters back again"
                raise MigrationStopped([Finding(f"Table {table!r}", str(error), action)]) from error
            values = zip(*([value for _, _, value in letter["columns"]] for letter in group), strict=True)
            columns = tuple(
                column_from_list(field, [_from_json(field, value) for value in those])
                for field, those in zip(fields, values, strict=True)
            )
            block = Block(fields, columns, len(group))
            writer = partial(_write, session, target, table, transcode)
            yield from isolate(table, block, transcode, own, writer)


def _write(session: Session, target: Catalog, table: str, transcode: Transcoder, block: Block) -> None:
    write_block(session, target, table, transcode(block))
