"""What goes wrong: each fault does its harm, and heals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random

from ..faults.proxy import Fault
from .plant import PARTS, PASSWORD, Plant, Side

_LINES = ("cut", "reset", "half-open", "stall", "refuse", "slow")
_LINES_OF_TARGET = ("corrupt", "lose", "garbage")
"""What the source says is believed where no TLS sees that it was changed on the way; a target is compared."""

_ERRORS = {
    "busy": (0x0024, "Network is busy"),
    "no disk space": (0x012B, "No disk space"),
    "read only": (0x0303, "Insufficient privilege for operation"),
}


@dataclass(frozen=True)
class Harm:
    """A kind of fault.

    Parameters:
        name: of it.
        do: causes it, and ends when it is over.
    """

    name: str
    do: Callable[[Random], None]


def harms(plant: Plant) -> list[Harm]:
    """All faults that can be tried on these servers."""
    found = [Harm(f"{part} killed", partial(_kill_part, plant, part)) for part in PARTS]
    found += [Harm("worker killed", partial(_kill_worker, plant))] * 3
    found += [Harm("metadata database away", partial(_metadata_away, plant))]
    for side in (plant.source, plant.target):
        kinds = _LINES + (_LINES_OF_TARGET if side is plant.target else ())
        found += [Harm(f"{side.name}: line {kind}", partial(_line, side, kind)) for kind in kinds]
        found += [Harm(f"{side.name}: login revoked", partial(_login, side))]
        if side.restart:
            found += [Harm(f"{side.name}: restart", partial(_restart, side.restart))]
        if side.box:
            found += [Harm(f"{side.name}: HTTP {status}", partial(_refuse, side, status)) for status in (429, 503)]
            found += [Harm(f"{side.name}: clock jumps", partial(_clock, side))]
            errors = ("busy",) if side is plant.source else _ERRORS
            found += [Harm(f"{side.name}: {error}", partial(_error, side, error)) for error in errors]
    return found


def _line(side: Side, kind: str, rng: Random) -> None:
    direction = rng.choice(["up", "down"])
    after = side.line.passed[direction] + rng.randrange(20_000)
    side.line.faults.append(Fault(kind, direction, after, rng.choice([0.5, 2.5, 10.0])))


def _login(side: Side, rng: Random) -> None:
    side.log_in_as("Somebody-1")
    try:
        side.line.drop()
        time.sleep(rng.uniform(1, 10))
    finally:
        side.log_in_as(PASSWORD)


def _restart(restart: Callable[[float], None], rng: Random) -> None:
    restart(rng.uniform(0.5, 10))


def _refuse(side: Side, status: int, rng: Random) -> None:
    assert side.box
    side.box.faults.refuse(status, rng.randint(1, 20))
    side.line.drop()


def _clock(side: Side, rng: Random) -> None:
    assert side.box
    side.box.faults.set_clock(rng.choice([-3600, -60, -2, 2, 60, 3600]))
    time.sleep(rng.uniform(1, 10))
    side.box.faults.set_clock(0)


def _error(side: Side, error: str, rng: Random) -> None:
    assert side.box
    # Of tables that migrations read, or of databases that they write to.
    matching = " from " if error == "busy" else "_copy`"
    side.box.faults.answer_with(*_ERRORS[error], times=rng.randint(1, 5), matching=matching)


def _kill_part(plant: Plant, part: str, _: Random) -> None:
    plant.kill(part)


def _kill_worker(plant: Plant, rng: Random) -> None:
    """As the kernel does when memory runs out."""
    running = [one for one in plant.api.running() if one["pid"]]
    if running:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(running)["pid"], signal.SIGKILL)


def _metadata_away(plant: Plant, rng: Random) -> None:
    plant.postgres.stop()
    time.sleep(rng.uniform(2, 30))
    plant.postgres.start()
