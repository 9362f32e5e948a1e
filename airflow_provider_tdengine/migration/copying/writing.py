"""Blocks on their way into one table: a few in flight, each confirmed, refused ones taken apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from airflow_provider_tdengine.client.block import (
    Block,
    Ints,
    decode_block,
    encode_fields,
    raw_timestamps,
    times_of,
)
from airflow_provider_tdengine.client.errors import RowRejected
from airflow_provider_tdengine.client.result import Session
from airflow_provider_tdengine.client.sql import cut
from airflow_provider_tdengine.client.types import Precision
from airflow_provider_tdengine.client.websocket import MAX_MESSAGE, WebSocketResult, WebSocketSession
from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying.rejected import NONE_REFUSED, Refused, Rejections, isolate
from airflow_provider_tdengine.migration.rows import Collisions, Transcoder, insert_parts

_IN_FLIGHT = 4
"""Blocks that are written before the first is confirmed: enough to hide a round trip."""

_BYTES_IN_FLIGHT = 8_000_000
"""Bytes of them."""


@dataclass(frozen=True, slots=True)
class Written:
    """A block that the target has confirmed.

    Parameters:
        times: (rows,) its timestamps, in steps of the source.
        bytes: what was sent.
        refused: what became of those of the rows that the target refused.
        collisions: how many of the rows a later one stands for.
    """

    times: Ints
    bytes: int
    refused: Refused
    collisions: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """A block that is not confirmed yet.

    Parameters:
        requests: whose confirmations are due; None where it was refused before it was sent.
        block: gives its rows as the source has them.
        times: see `Written`.
        bytes: see `Written`.
        collisions: see `Written`.
    """

    requests: list[int] | None
    block: Callable[[], Block]
    times: Ints
    bytes: int
    collisions: int = 0


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
        self._transcode = transcode
        self._precision = precision
        self._rejections = rejections

    def write(self, blocks: Iterable[Block]) -> Iterator[Written]:
        """Convert and write blocks; they are confirmed in their order.

        Raises:
            RowRejected: the target refuses a row, and the copy must not go on.
            TDengineError: of the kind of failure.
        """
        transcode = self._transcode
        if not transcode.time.cuts:
            return self._confirmed(map(self._send, blocks))
        collisions = Collisions(transcode.time, transcode.second_key)
        # One by one: a session's blocks may be written in any order, and the last row is to stay.
        return self._confirmed((self._send_last_ones(block, collisions) for block in blocks), 1)

    def write_unopened(self, result: WebSocketResult) -> Iterator[Written]:
        """Write the blocks of a 3.x result as they are; only where `transcode.unchanged`."""
        names = [field.name for field in self._transcode.fields]
        fields = encode_fields([replace(field, name=name) for field, name in zip(result.fields, names, strict=True)])
        return self._confirmed(self._send_raw(raw, fields, names) for raw in result.raw_blocks())

    def _send(self, block: Block) -> _Sent:
        requests, size = self._try_to_send(block)
        return _Sent(requests, lambda: block, times_of(block), size)

    def _send_last_ones(self, block: Block, collisions: Collisions) -> _Sent:
        before = collisions.count
        sent = self._send(collisions.without(block))
        return replace(sent, times=times_of(block), collisions=collisions.count - before)

    def _try_to_send(self, block: Block) -> tuple[list[int] | None, int]:
        try:
            block = self._transcode(block)
            if not isinstance(self._session, WebSocketSession):
                return [], write_block(self._session, self._target, self._table, block)
            before = self._session.bytes_sent
            return self._session.write_block(self._table, block), self._session.bytes_sent - before
        except RowRejected:
            return None, 0

    def _send_raw(self, raw: memoryview, fields: bytes, names: list[str]) -> _Sent:
        assert isinstance(self._session, WebSocketSession)
        times = raw_timestamps(raw)
        block = partial(decode_block, raw, names)
        if not len(times):
            return _Sent([], block, times, 0)
        if len(raw) + len(fields) < MAX_MESSAGE:
            before = self._session.bytes_sent
            request = self._session.write_raw_block(self._table, raw, fields)
            return _Sent([request], block, times, self._session.bytes_sent - before)
        requests, size = self._try_to_send(block())
        return _Sent(requests, block, times, size)

    def _confirmed(self, sent: Iterable[_Sent], in_flight: int = _IN_FLIGHT) -> Iterator[Written]:
        pending: deque[_Sent] = deque()
        for each in sent:
            pending.append(each)
            while len(pending) >= in_flight or sum(block.bytes for block in pending) > _BYTES_IN_FLIGHT:
                yield self._confirm(pending.popleft())
        while pending:
            yield self._confirm(pending.popleft())

    def _confirm(self, sent: _Sent) -> Written:
        refused = NONE_REFUSED
        if self._is_refused(sent):
            rows = isolate(self._table, sent.block(), self._transcode, self._precision, self._write_alone)
            refused = self._rejections.take(rows)
        return Written(sent.times, sent.bytes, refused, sent.collisions)

    def _is_refused(self, sent: _Sent) -> bool:
        """Take all confirmations of a block, also those after a refusal."""
        return sent.requests is None or _confirm_all(self._session, self._table, sent.requests) is not None

    def _write_alone(self, block: Block) -> None:
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
