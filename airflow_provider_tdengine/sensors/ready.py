"""Waiting for the moment at which somebody can be asked whether to switch over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_tdengine.operators.stay import POSITION

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

_LIVES = {"running", "deferred"}
"""States of a task that follows."""

_WAITS = timedelta(days=3650)
"""People may take their time."""


class TDengineReadySensor(BaseSensorOperator):
    """Succeeds when history is proven and all that follows is up to date; it waits without a worker.

    Parameters:
        certified: the task that compared history.
        followed: the task that follows.
        most_lag: seconds that the target may be behind.
        poke_interval: seconds between two looks at how far it is.

    Returns:
        What somebody who approves is to read: `verdict` of history, `lag` in seconds, and `rows` that were followed.
    """

    template_fields: Sequence[str] = ("certified", "followed")
    ui_color = "#e8f3ff"

    def __init__(
        self,
        *,
        certified: str,
        followed: str,
        most_lag: float = 10.0,
        poke_interval: timedelta | float = 10,
        timeout: timedelta | float = _WAITS,
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, mode=mode, **kwargs)
        self.certified = certified
        self.followed = followed
        self.most_lag = most_lag

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether it is time to ask."""
        instance, run = context["ti"], context["dag_run"]
        states: Mapping[str, object] = instance.get_task_states(
            dag_id=run.dag_id, task_ids=[self.followed], run_ids=[run.run_id]
        ).get(run.run_id, {})
        if not states or not {str(state) for state in states.values()} <= _LIVES:
            log.info("%s does not follow: %s", self.followed, ", ".join(map(str, states.values())) or "not begun")
            return PokeReturnValue(is_done=False)
        shards = range(len(states))
        told = [instance.xcom_pull(task_ids=self.followed, key=POSITION, map_indexes=shard) for shard in shards]
        positions = [position for position in told if isinstance(position, Mapping)]
        lag = max((float(str(position["lag"])) for position in positions), default=0.0)
        if len(positions) < len(states) or lag > self.most_lag:
            log.info("The target is %.1f s behind, and may be %g s", lag, self.most_lag)
            return PokeReturnValue(is_done=False)
        verdict = instance.xcom_pull(task_ids=self.certified, key="verdict")
        words = verdict.get("words") if isinstance(verdict, Mapping) else None
        rows = sum(int(str(position["rows"])) for position in positions)
        return PokeReturnValue(is_done=True, xcom_value={"verdict": words, "lag": round(lag, 1), "rows": rows})
