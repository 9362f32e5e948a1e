"""What a task that follows tells and keeps as it goes: log, metrics, pace, XCom and position.

A source that writes a row now and then has a round for it each time; Airflow's database is not to hear of each one.
"""

from __future__ import annotations

import logging
import math
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRuntimeError
from typing_extensions import Self

from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.operators.metrics import Metrics
from airflow_provider_tdengine.operators.migration import told
from airflow_provider_tdengine.operators.progress import Pace

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_tdengine.migration.copying import ProgressStore
    from airflow_provider_tdengine.migration.following import Position, Round

log = logging.getLogger(__name__)

POSITION = "position"
"""The XCom of a task that follows: how far it has come."""

_KEPT, _TOLD = 5.0, 60.0
"""Seconds between two writes to Airflow's state store, and of the XCom. The last ones come when the worker is left."""

_SILENCE = 600.0
"""Seconds between two lines of the log while nothing arrives."""


class Stay:
    """One stay of a task in a worker; what was held back is kept and told when it is left.

    Parameters:
        context: of the task.
        progress: where the position is kept.
        letters: where refused rows are, None where the first one fails the task.

    Attributes:
        reached: up to where rounds have come, None before the first one.
    """

    def __init__(self, context: Context, progress: ProgressStore, letters: Path | None) -> None:
        self.reached: Position | None = None
        self._instance = context["ti"]
        self._progress = progress
        self._letters = letters
        self._metrics, self._pace = Metrics(context), Pace(context)
        self._headway = Headway("Following", silence=_SILENCE)
        self._unsaved: Position | None = None
        # The first round of a stay is kept at once: whoever is killed in it has come further.
        self._kept = -math.inf
        self._told = self._paced = time.monotonic()
        self._before = 0
        self._done: Round | None = None

    def __enter__(self) -> Self:
        self._headway.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from airflow_provider_tdengine.migration.following import follow_facts

        self._headway.__exit__(kind, error, trace)
        self._keep()
        self._tell()
        if self._done:
            position = self._done.position
            self._pace.add(position.rows, position.lag)
            facts = follow_facts(self._done.watermark, position.rows - self._before, position.lag)
            told("Followed", [*facts, ("rows since following began", f"{position.rows:,}")])

    def begin(self, position: Position, watermark: datetime) -> None:
        """Say where it begins, and which moment that is."""
        self._before = position.rows
        rows, moment = wording.number(position.rows, "row"), watermark.isoformat(timespec="seconds")
        log.info("Following goes on from %s; %s have been copied since it began", moment, rows)

    def save(self, position: Position) -> None:
        """Keep a position, now or some seconds later: what was copied behind it does no harm when it comes again."""
        self._unsaved = position
        if time.monotonic() - self._kept >= _KEPT:
            self._keep()

    def add(self, done: Round) -> None:
        """Tell of a round."""
        is_new = self._done is None
        if done.rows and self._done and not self._done.rows:
            self._headway.resume()
        self._done, self.reached = done, done.position
        self._headway.at(done.position.rows - self._before)
        self._headway.note = (
            f"{done.position.rows:,} since following began, the newest is {done.position.lag:.1f} s behind"
        )
        if done.rejected:
            refused = wording.number(done.rejected, "row")
            log.warning("The target refused %s; dead letters keep them in\n  %s", refused, self._letters)
        self._metrics.followed(done.rows, done.rejected, done.position.lag)
        now = time.monotonic()
        if is_new or now - self._paced >= _KEPT:
            self._paced = now
            self._pace.add(done.position.rows, done.position.lag)
        if is_new or now - self._told >= _TOLD:
            self._tell()

    def _keep(self) -> None:
        from airflow_provider_tdengine.migration.copying import ProgressNotSaved

        position, self._unsaved = self._unsaved, None
        if position is None:
            return
        self._kept = time.monotonic()
        try:
            self._progress.save(position.to_dict())
        except ProgressNotSaved as error:
            log.warning("The position was not saved: %s", error)

    def _tell(self) -> None:
        """Push how far it is: who finishes is another task, and reads it."""
        self._told = time.monotonic()
        if self.reached is None:
            return
        try:
            self._instance.xcom_push(POSITION, self.reached.to_dict())
        except AirflowRuntimeError as error:
            log.warning("Progress was not pushed: %s", error)
