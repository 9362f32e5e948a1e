"""What is done with hostile answers: all that the package does with them until they are columns, tables and counts."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timezone
from functools import cache
from random import Random
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np

from airflow_provider_tdengine.client import Address, Client, Server
from airflow_provider_tdengine.client.answers import (
    Answer,
    block_of_3x,
    fetched_block,
    moment_of,
    precision_of,
    queried_columns,
    raise_if_failed,
    sorted_in,
    version_of,
)
from airflow_provider_tdengine.client.block import (
    Block,
    VariableColumn,
    concatenate,
    decode_block,
    decode_block2,
    decode_fields,
    encode_block,
    encode_fields,
    raw_rows,
    raw_timestamps,
    times_of,
)
from airflow_provider_tdengine.client.errors import StatementRejected, TDengineError
from airflow_provider_tdengine.client.rest import RestResult
from airflow_provider_tdengine.client.result import Result, Session, counted
from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.hooks.dbapi import _rows
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.catalog import EVERYTHING, Catalog, count, holdings, measured, name_findings
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.planning.disk import row_on_disk
from airflow_provider_tdengine.migration.rows import row_hashes
from airflow_provider_tdengine.migration.structure.not_migrated import leftovers
from airflow_provider_tdengine.migration.structure.privileges import rights
from airflow_provider_tdengine.migration.structure.table_options import table_options, table_options_not_taken
from airflow_provider_tdengine.testing import TDengineBox

from . import corpus
from .damage import INTEGERS, damaged_bytes, damaged_json

ANYWHERE = Address()

ALLOWED, FACTOR = 1_000_000, 50
"""Bytes that any input may take, and bytes for each of its own: one byte of JSON can be a Python object."""


@dataclass(frozen=True)
class Target:
    """A way of taking an answer apart.

    Parameters:
        make: a hostile answer.
        act: what is done with one.
        size: its bytes on the wire.
    """

    make: Callable[[Random], Any]
    act: Callable[[Any], None]
    size: Callable[[Any], int] = len


class TooMuchMemory(AssertionError):
    """An input took more memory than its bytes allow."""


def check(name: str, seed: int) -> int:
    """Take one input apart: only the package's own errors come out of it, in bounded memory.

    Parameters:
        name: of the target.
        seed: of the input.

    Returns:
        Bytes of memory that it took.
    """
    target = TARGETS[name]
    given = target.make(Random(f"{name} {seed}"))
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with suppress(TDengineError, MigrationStopped):
        target.act(given)
    taken, size = tracemalloc.get_traced_memory()[1] - before, target.size(given)
    if taken > ALLOWED + FACTOR * size:
        raise TooMuchMemory(f"an input of {size} bytes took {taken}")
    return taken


# --- Blocks


def _use(block: Block) -> None:
    assert len(list(block.to_rows())) == (block.rows if block.columns else 0)
    row_hashes(block, np.uint64(0))
    for column in block.columns:
        assert len(column) == block.rows
        if isinstance(column, VariableColumn):
            column.run_starts()
            column.words()
            column.is_utf8()
            assert len(column.ended_by_nul()) == column.size + block.rows
    with suppress(TDengineError):
        times_of(block)
    encode_fields(block.fields)
    again = concatenate([block, block.take(slice(0, 1))])
    assert decode_block(encode_block(again)).rows == again.rows


def _block_of_3x(raw: bytes) -> None:
    for read in (raw_rows, raw_timestamps, decode_fields):
        with suppress(TDengineError):
            read(raw)
    _use(decode_block(raw))


def _announced(random: Random) -> tuple[tuple[Field, ...], list[int], int, bytes]:
    """A block of 2.x with what was said of it."""
    queried, fetched, raw = random.choice(corpus.blocks_of_2x())
    fields = queried_columns(Answer(queried, ANYWHERE))
    lengths, rows = list(fetched["lengths"]), fetched["rows"]
    if random.random() < 0.3:
        lengths[random.randrange(len(lengths))] = random.choice(INTEGERS)
    if random.random() < 0.3:
        rows = random.choice(INTEGERS)
    damaged = damaged_bytes(random, (raw[8:],))
    if random.random() < 0.7:
        damaged = damaged.ljust(len(raw) - 8, b"\xff")[: len(raw) - 8]
    return fields, lengths, rows, damaged


def _block_of_2x(given: tuple[tuple[Field, ...], list[int], int, bytes]) -> None:
    fields, lengths, rows, raw = given
    _use(decode_block2(raw, fields, lengths, rows))


def _whole_block(random: Random) -> bytes:
    """A block of 3.x; the head of most is mended, which would hide all other damage."""
    raw = damaged_bytes(random, corpus.blocks_of_3x())
    mended = random.random() < 0.7 and len(raw) >= 8
    return b"\1\0\0\0" + len(raw).to_bytes(4, "little") + raw[8:] if mended else raw


# --- Messages of a WebSocket


_DEEP = 150


def _conversation(random: Random) -> tuple[str | bytes, ...]:
    parts = list(random.choice(corpus.conversations()))
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(parts))
        part = parts[at]
        parts[at] = damaged_json(random, (part,)) if _is_json(part) else damaged_bytes(random, (_bytes(part),))
    return tuple(parts)


def _is_json(part: str | bytes) -> bool:
    """Whether it can be damaged as JSON: one that is deep already cannot."""
    if isinstance(part, bytes) or part.count("[") > _DEEP:
        return False
    with suppress(ValueError):
        return isinstance(json.loads(part), dict)
    return False


def _bytes(part: str | bytes) -> bytes:
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part


def _conversed(parts: tuple[str | bytes, ...]) -> None:
    """As `WebSocketSession` and `WebSocketResult` do it, without a socket."""
    messages: Iterator[Answer | bytes] = (sorted_in(part, ANYWHERE)[1] for part in parts)
    queried = next(messages)
    if isinstance(queried, bytes):
        return
    raise_if_failed(queried, "select")
    fields, result = queried_columns(queried), queried.whole("id")
    precision_of(queried)
    for announced in messages:
        if isinstance(announced, bytes):
            continue
        raise_if_failed(announced, "select")
        message = next(messages, b"")
        if announced.flag("completed") or isinstance(message, Answer):
            continue
        block = block_of_3x(announced, memoryview(message), result, len(fields))
        if block is not None:
            _use(decode_block(block, [field.name for field in fields]))
        else:
            _use(decode_block2(message[8:], fields, announced.wholes("lengths"), announced.whole("rows")))


def _fetched(raw: bytes) -> None:
    sorted_in(raw, ANYWHERE)
    block = fetched_block(memoryview(raw), "select")
    if block is not None:
        _use(decode_block(block))


# --- Answers over REST


def _rest(text: str) -> None:
    result = RestResult(Answer.of(text, ANYWHERE), "select")
    for block in result.blocks():
        _use(block)
    with suppress(TDengineError):
        counted(result)
    _rows(result, timezone.utc)


def _said(text: str) -> None:
    moment_of(text)
    version_of(text)


# --- What a catalog makes of answers


class Told(Client):
    """A client of a server that says what it is told to say.

    Parameters:
        version: of the server.
        answer: the JSON that it answers to a statement.
    """

    def __init__(self, version: str, answer: Callable[[str], str]) -> None:
        super().__init__(ANYWHERE)
        self._server = Server(version, version_of(version), None, binary=False, max_message=2**20)
        self._answer = answer

    def session(self, database: str | None = None) -> Session:
        return _ToldSession(self._answer)


class _ToldSession:
    """One of its sessions: an answer over REST to each statement."""

    database: str | None = None
    waited = 0.0
    bytes_sent = 0

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer

    def query(self, statement: str) -> Result:
        return RestResult(Answer.of(self._answer(statement), ANYWHERE), statement)

    def start(self, statement: str) -> Callable[[], Result]:
        return lambda: self.query(statement)

    def streams(self, statement: str) -> bool:
        return False

    def close(self) -> None: ...

    def __enter__(self) -> _ToldSession:
        return self

    def __exit__(self, *_: object) -> None: ...


_VERSIONS = ("2.4.0.18", "3.0.5.2", "3.3.3.0")
_FILL = (
    "create database d keep 36500",
    "create stable d.s (ts timestamp, v int, n nchar(8)) tags (g int, t binary(8))",
    "create table d.a using d.s tags (1, 'x')",
    "create table d.b using d.s tags (null, null)",
    "create table d.n (ts timestamp, v double)",
    "insert into d.a values (1609459200000, 1, 'x') (1609459200001, null, null)",
    "insert into d.n values (1609459200000, 1.5)",
)


def _look(client: Client) -> None:
    """All that a catalog is asked."""
    catalog = Catalog(client, "d")
    catalog.database()
    catalog.missing("source_database")
    tables = catalog.tables(EVERYTHING)
    catalog.missing_tables(EVERYTHING, tables)
    catalog.nothing_meant(EVERYTHING, tables, may_come=False)
    catalog.owners()
    for table in tables:
        list(name_findings(table))
        if table.is_super:
            list(catalog.subtables(table, EVERYTHING))
        found = holdings(catalog, table, EVERYTHING, (None, None))
        count(catalog, table, EVERYTHING, (0, None))
        list(measured(catalog, table, EVERYTHING, (None, None), found, ["COUNT(*)"]))
        row_on_disk(catalog, table.name)
    catalog.has_table("a", "s")
    list(table_options(catalog))
    list(table_options_not_taken(catalog, tables))
    leftovers(catalog)
    rights(catalog)


@cache
def _recorded(version: str) -> dict[str, str]:
    """What a box answers to all that a catalog asks."""
    answers: dict[str, str] = {}
    with TDengineBox(version=version) as box, httpx.Client(auth=("root", "taosdata"), trust_env=False) as http:
        path = f"{box.url}/rest/{'sqlt' if version[0] == '2' else 'sql'}"

        def ask(statement: str) -> str:
            answers[statement] = http.post(path, content=statement.encode()).text
            return answers[statement]

        for statement in _FILL:
            ask(statement)
        _look(Told(version, ask))
    return {statement: answer for statement, answer in answers.items() if statement not in _FILL}


_ENOUGH = 150
"""Statements after which an answer that is asked for again and again is no longer damaged, but refused."""


def _lies(random: Random) -> tuple[str, dict[str, str]]:
    """A version, and what it says to some statements."""
    version = random.choice(_VERSIONS)
    answers = _recorded(version)
    chosen = random.sample(sorted(answers), random.randint(1, 3))
    return version, {statement: damaged_json(random, (answers[statement],)) for statement in chosen}


def _catalogued(given: tuple[str, dict[str, str]]) -> None:
    version, lies = given
    answers = {**_recorded(version), **lies}
    asked = 0

    def answer(statement: str) -> str:
        nonlocal asked
        asked += 1
        if asked > _ENOUGH:
            raise StatementRejected("enough")
        # What is asked because of a lie has the answer to something else.
        return answers.get(statement) or answers[min(answers, key=lambda known: abs(len(known) - len(statement)))]

    with patch.object(retry, "PAUSE", 0.0), patch.object(retry.log, "warning"):
        _look(Told(version, answer))


_DATES = ("Fri, 27 Nov 2026 08:00:00 GMT", "Fri, 27 Nov 2026 08:00:00 -0000", "3.3.3.0.alpha", "27 Nov 99 8:0 +9999")


def _headers(random: Random) -> str:
    return damaged_bytes(random, [text.encode() for text in _DATES]).decode("utf-8", "replace")


def _written_columns(random: Random) -> bytes:
    return damaged_bytes(random, [encode_fields([Field(f"c{i}", kind, 8) for i, kind in enumerate(Type)])])


TARGETS = {
    "block-3": Target(_whole_block, _block_of_3x),
    "block-2": Target(_announced, _block_of_2x, lambda given: len(given[3])),
    "columns": Target(_written_columns, decode_fields),
    "conversation": Target(_conversation, _conversed, lambda parts: sum(map(len, parts))),
    "binary": Target(lambda random: damaged_bytes(random, corpus.binary_answers()), _fetched),
    "rest": Target(lambda random: damaged_json(random, corpus.rest_answers()), _rest),
    "header": Target(_headers, _said),
    "catalog": Target(_lies, _catalogued, lambda given: sum(map(len, given[1].values())) + 20_000),
}
"""By name. What a catalog is told besides the lies counts, too."""
