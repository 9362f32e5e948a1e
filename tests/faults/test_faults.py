"""Some faults over TLS; `python -m tests.faults` has all of them, with and without it, for as long as you like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_tdengine.testing import TDengineBox

from ..unit.client.conftest import make_certificate
from ..wild.comparer import read
from ..wild.generator import SIZES, fill
from ..wild.server import Server
from .proxy import KINDS
from .trial import SOURCE, TARGET, Trials

_DATA = 1
"""Seed of a database that has rows in several batches of frames, and is copied in seconds."""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    certificate = make_certificate(tmp_path_factory.mktemp("tls"), "localhost")
    with TDengineBox(version="2.4.0.18", block_rows=400) as old, TDengineBox(block_rows=400) as new:
        source, target = (Server(box.url.replace("http://", "ws://root:taosdata@")) for box in (old, new))
        fill(source, SOURCE, _DATA, SIZES["small"], target.version)
        with Trials(source, target, certificate) as running:
            assert read(target, TARGET).rows == read(source, SOURCE).rows > 0
            yield running
        source.close()
        target.close()


@pytest.mark.parametrize("kind", ["cut", "half-open", "refuse", "corrupt"])
def test_it_ends_equal_or_red_and_the_next_run_is_equal(trials: Trials, kind: str) -> None:
    outcome = trials.run(KINDS.index(kind))
    assert outcome.is_good, f"{outcome}\n{outcome.runs[-1].said}"
    assert outcome.faults, "no fault happened"
