"""A stop waits for no server: what would take an hour ends at once, and the checkpoint is kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.background import Stopped, in_background
from airflow_provider_tdengine.migration.copying import Batch, Checkpoint, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.copying import copy as copying
from airflow_provider_tdengine.migration.planning import make_plan

from ..conftest import ROWS_A_METER, BoxPair, Pair, address

HOUR = 3600.0


def ends(pair: Pair, batch: Batch, stop: threading.Event, limit: int = 0, **arguments: Any) -> MemoryProgress:
    """Copy until somebody sets `stop`; half a minute is what a machine that is busy with other tests may take."""
    progress = MemoryProgress()
    options = pair.options(workers=1, strategy="dense", max_rows_per_second=limit)
    copied = in_background(lambda: copy_batch(*pair.catalogs, batch, options, progress, stop=stop, **arguments))
    with pytest.raises(Stopped, match="was stopped; its progress is saved"):
        copied.result(timeout=30)
    return progress


def stop_soon(stop: threading.Event) -> None:
    threading.Timer(0.3, stop.set).start()


@pytest.fixture
def patient(meters: BoxPair) -> BoxPair:
    """The same boxes, and clients that wait for their answers for an hour."""
    source, target = (
        Client(replace(address(box), timeout=HOUR, connect_timeout=HOUR))
        for box in (meters.source_box, meters.target_box)
    )
    return replace(meters, source=source, target=target)


@pytest.fixture
def batch(meters: BoxPair) -> Batch:
    (batch,) = make_plan(*meters.catalogs, meters.options())
    return batch


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("is_known", [True, False])
def test_while_a_server_is_silent_from_the_start(patient: BoxPair, batch: Batch, side: str, is_known: bool) -> None:
    stop = threading.Event()
    if is_known:
        assert patient.source.server
        assert patient.target.server
    box = patient.source_box if side == "source" else patient.target_box
    box.faults.delay(HOUR)
    stop_soon(stop)
    assert ends(patient, batch, stop).load() is None


@pytest.mark.parametrize("side", ["source", "target"])
def test_while_a_server_falls_silent(
    patient: BoxPair, batch: Batch, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    monkeypatch.setattr(copying, "SAVE_EVERY", 0.01)
    stop = threading.Event()
    patient.target_box.faults.delay(0.05)
    box = patient.source_box if side == "source" else patient.target_box

    def report(checkpoint: Checkpoint) -> None:
        if checkpoint.tally.rows and box.faults.seconds < HOUR:
            box.faults.delay(HOUR)
            stop_soon(stop)

    saved = ends(patient, batch, stop, report=report).load()
    assert saved is not None
    assert 0 < saved["tally"]["rows"] < 3 * ROWS_A_METER


def test_between_retries(meters: BoxPair, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE", HOUR)
    stop = threading.Event()
    meters.target_box.faults.answer_with(0x0914, "Sync leader is restoring", times=1000, matching="write_raw_block")
    stop_soon(stop)
    assert ends(meters, batch, stop).load() is not None


def test_while_a_limit_is_waited_for(meters: BoxPair, batch: Batch) -> None:
    stop = threading.Event()
    stop_soon(stop)
    saved = ends(meters, batch, stop, limit=1).load()
    assert saved is not None
    assert 0 < saved["tally"]["rows"] < 3 * ROWS_A_METER


def test_before_it_begins(meters: BoxPair, batch: Batch) -> None:
    stop = threading.Event()
    stop.set()
    assert ends(meters, batch, stop).load() is None


@pytest.fixture
def mute() -> Iterator[Client]:
    """A server that takes connections and says nothing, not even that it speaks WebSocket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Client(Address(host="127.0.0.1", port=listening.getsockname()[1], connect_timeout=HOUR))


def test_while_nobody_speaks(meters: BoxPair, batch: Batch, mute: Client) -> None:
    stop = threading.Event()
    stop_soon(stop)
    assert ends(replace(meters, source=mute), batch, stop).load() is None
