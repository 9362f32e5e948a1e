"""Blocks on their way into one table: a few in flight, each confirmed, refused ones taken apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from airflow_provider_tdengine.client.block import Block, Ints, decode_block, encode_fields, times_of
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.sql import cut
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.client.websocket import MAX_MESSAGE, WebSocketResult, WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying.rejected import NONE_REFUSED, Refused, Rejections, isolate
from airflow_provider_tdengine.migration.copying.units import Tally
from airflow_provider_tdengine.migration.rows import Hashes, Transcoder, insert_parts, name_hash, row_hashes

_IN_FLIGHT = 4
"""Blocks that are written before the first is confirmed: enough to hide a round trip."""

_BYTES_IN_FLIGHT = 8_000_000
"""Bytes of them."""


@dataclass(frozen=True, slots=True)
class Written:
    """A block that the target has confirmed.

    Parameters:
        times: (rows,) its timestamps, in steps of the source.
        hashes: (rows,) of each row as the target has it, 0 where it refused the row.
        bytes: what was sent.
        points: values of a row, without its timestamp.
        refused: what became of the rows that the target refused.
        collisions: for how many other rows these stand.
    """

    times: Ints
    hashes: Hashes
    bytes: int
    points: int
    refused: Refused = NONE_REFUSED
    collisions: int = 0

    @property
    def besides(self) -> Tally:
        """What is counted with the block, and with none of its rows."""
        points = self.collisions * self.points
        return Tally(self.collisions, self.bytes, collisions=self.collisions, points=points, blocks=1)

    def tally(self, start: int, end: int) -> Tally:
        """Of the rows from a number on and before one."""
        rejected, expired = (
            sum(start <= number < end for number in numbers)
            for numbers in (self.refused.rejected, self.refused.expired)
        )
        hashes = int(self.hashes[start:end].sum(dtype=np.uint64))
        return Tally(end - start, 0, rejected, expired, 0, hashes, points=(end - start) * self.points)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A block that is not confirmed yet.

    Parameters:
        requests: whose confirmations are due; None where it was refused before it was sent.
        block: its rows as the source has them.
        written: what it comes to if it is confirmed.
    """

    requests: list[int] | None
    block: Block
    written: Written


class TableWriter:
    """Writes blocks of a source table into a table of the target.

    Parameters:
        session: at the target.
        target: the target database.
        table: the table's name there.
        transcode: how blocks become the target's.
        precision: of the source.
        rejections: what becomes of refused rows.
    """

    def __init__(
        self,
        session: Session,
        target: Catalog,
        table: str,
        transcode: Transcoder,
        precision: Precision,
        rejections: Rejections,
    ) -> None:
        self._session = session
        self.takes_raw_blocks = isinstance(session, WebSocketSession)
        self._target = target
        self._table = table
        self._hash = name_hash(table)
        self._transcode = transcode
        self._precision = precision
        self._rejections = rejections

    def write(self, blocks: Iterable[tuple[Block, int]]) -> Iterator[Written]:
        """Convert and write blocks; they are confirmed in their order.

        Parameters:
            blocks: each with the number of rows for which its rows stand, too.

        Raises:
            RowRejected: the target refuses a row, and the copy must not go on.
            TDengineError: of the kind of failure.
        """
        return self._confirmed(self._send(block, collisions) for block, collisions in blocks)

    def write_unopened(self, result: WebSocketResult) -> Iterator[Written]:
        """Write the blocks of a 3.x result as they are; only where `transcode.unchanged`."""
        names = [field.name for field in self._transcode.fields]
        fields = encode_fields([replace(field, name=name) for field, name in zip(result.fields, names, strict=True)])
        return self._confirmed(self._send_raw(raw, fields, names) for raw in result.raw_blocks())

    def _send(self, block: Block, collisions: int) -> _Sent:
        times, before, points = times_of(block), self._session.bytes_sent, len(block.columns) - 1
        try:
            wanted = self._transcode(block)
            hashes = row_hashes(wanted, self._hash)
            if isinstance(self._session, WebSocketSession):
                requests = self._session.write_block(self._table, wanted) if block.rows else []
            else:
                requests = []
                write_block(self._session, self._target, self._table, wanted)
        except RowRejected:
            return _Sent(None, block, Written(times, np.zeros(block.rows, np.uint64), 0, points, collisions=collisions))
        size = self._session.bytes_sent - before
        return _Sent(requests, block, Written(times, hashes, size, points, collisions=collisions))

    def _send_raw(self, raw: memoryview, fields: bytes, names: list[str]) -> _Sent:
        assert isinstance(self._session, WebSocketSession)
        block = decode_block(raw, names)
        if not block.rows or len(raw) + len(fields) >= MAX_MESSAGE:
            return self._send(block, 0)
        before = self._session.bytes_sent
        # Sent before it is hashed: the target works meanwhile.
        request = self._session.write_raw_block(self._table, raw, fields)
        size = self._session.bytes_sent - before
        written = Written(times_of(block), row_hashes(block, self._hash), size, len(block.columns) - 1)
        return _Sent([request], block, written)

    def _confirmed(self, sent: Iterable[_Sent]) -> Iterator[Written]:
        pending: deque[_Sent] = deque()
        for each in sent:
            pending.append(each)
            while len(pending) >= _IN_FLIGHT or sum(block.written.bytes for block in pending) > _BYTES_IN_FLIGHT:
                yield self._confirm(pending.popleft())
        while pending:
            yield self._confirm(pending.popleft())

    def _confirm(self, sent: _Sent) -> Written:
        if sent.requests is not None and _confirm_all(self._session, self._table, sent.requests) is None:
            return sent.written
        block = sent.block
        rows = isolate(self._table, block, self._transcode, self._precision, self._write)
        refused = self._rejections.take(rows)
        arrived = np.ones(block.rows, np.bool_)
        arrived[list(refused.rows)] = False
        hashes = np.zeros(block.rows, np.uint64)
        hashes[arrived] = row_hashes(self._transcode(block.take(arrived)), self._hash)
        return replace(sent.written, hashes=hashes, refused=refused)

    def _write(self, block: Block) -> None:
        write_block(self._session, self._target, self._table, self._transcode(block))


def write_block(session: Session, target: Catalog, table: str, block: Block) -> int:
    """Write a block of the target's columns and wait until it is confirmed.

    Parameters:
        session: at the target.
        target: the target database.
        table: the table's name.
        block: rows, with the target's fields.

    Returns:
        Bytes sent.

    Raises:
        RowRejected: the target refuses a row.
        TDengineError: of the kind of failure.
    """
    before = session.bytes_sent
    if isinstance(session, WebSocketSession):
        if refusal := _confirm_all(session, table, session.write_block(table, block)):
            raise refusal
    else:
        for statement, _ in cut("INSERT INTO", insert_parts([(target.table(table), block.rows)], block)):
            session.query(statement)
    return session.bytes_sent - before


def _confirm_all(session: Session, table: str, requests: list[int]) -> RowRejected | None:
    """Take all confirmations of a block, also those after a refusal.

    Returns:
        The first refusal, if there is one.
    """
    refusal = None
    for request in requests:
        assert isinstance(session, WebSocketSession)
        try:
            session.confirm(request, table)
        except RowRejected as error:
            refusal = refusal or error
    return refusal
