"""What real servers answered: `tests/contract/*.jsonl`, as the tests of the client read them."""

from __future__ import annotations

import base64
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

VERSIONS = ("2.4.0.18", "2.6.0.66", "3.0.5.2", "3.3.3.0")
OF_2X, OF_3X = VERSIONS[:2], VERSIONS[2:]
START = 1609459200000
"""2021-01-01T00:00:00Z in milliseconds, where the recorded rows begin."""

_CONTRACT = Path(__file__).parents[2] / "contract"


@cache
def exchanges(version: str) -> list[dict[str, Any]]:
    """All exchanges with one server, in their order."""
    lines = (_CONTRACT / f"tdengine-{version}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def exchange(version: str, step: str) -> dict[str, Any]:
    return next(line for line in exchanges(version) if line["step"] == step)


def frame(message: Any) -> bytes:
    """A recorded binary frame."""
    return base64.b64decode(message["base64"])


def is_frame(message: Any) -> bool:
    return set(message) == {"base64"}


def fetched(version: str, statement: str) -> tuple[dict[str, Any], list[tuple[dict[str, Any], bytes]]]:
    """A query over WebSocket: its answer, and each block with the answer to `fetch` that announced it."""
    for line in exchanges(version):
        if line["step"].startswith("ws_query_") and line["sent"][0]["args"]["sql"] == statement:
            received = line["received"]
            pairs = itertools.pairwise(received)
            return received[0], [(before, frame(message)) for before, message in pairs if is_frame(message)]
    raise LookupError(statement)


def rest_bodies(version: str) -> list[dict[str, Any]]:
    """The exchanges over REST."""
    return [line for line in exchanges(version) if "body" in line]
