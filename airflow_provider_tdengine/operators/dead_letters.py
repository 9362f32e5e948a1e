"""Rows that the target refused: the task that makes them visible, and the one that brings them back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, BaseOperator
from airflow.sdk import ObjectStoragePath

from airflow_provider_tdengine.migration.catalog import Catalog
from airflow_provider_tdengine.migration.copying import kept, replay
from airflow_provider_tdengine.operators.migration import MigrationOperator, clear_failures, client

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

_SHOWN = 10


class TDengineDeadLettersOperator(MigrationOperator):
    """Fails when a run has dead letters, naming tables and their number; else it is skipped.

    A task of its own, so that the grid shows at once why a run is red whose rows have else arrived.
    """

    def execute(self, context: Context) -> None:
        """Count them."""
        folder = self.dead_letter_folder(self.migration_options(context), context)
        with clear_failures():
            found = kept(folder) if folder else {}
        if not found:
            raise AirflowSkipException("There are no dead letters")
        tables = [f"  {table}: {len(times)}" for table, times in sorted(found.items())]
        shown = tables[:_SHOWN] + ([f"  and {len(tables) - _SHOWN} more tables"] if len(tables) > _SHOWN else [])
        lines = "\n".join(shown)
        raise AirflowFailException(
            f"The target refused {sum(map(len, found.values()))} rows; they are dead letters in {folder}:\n{lines}\n"
            "Each line says why. Mend the cause, run TDengineReplayDeadLettersOperator on that folder, then clear "
            "verify and this task"
        )


class TDengineReplayDeadLettersOperator(BaseOperator):
    """Writes dead letters into the target after their cause is mended; fails while the target still refuses some.

    Parameters:
        path: the folder that the migration's `dead_letters` task named; a folder with several runs in it will do.
        target_conn_id: the Airflow connection of the target.
        target_database: the target database.

    Returns:
        How many rows arrived.
    """

    template_fields: Sequence[str] = ("path", "target_conn_id", "target_database")
    ui_color = MigrationOperator.ui_color

    def __init__(
        self, *, path: str, target_database: str, target_conn_id: str = "tdengine_target", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.target_conn_id = target_conn_id
        self.target_database = target_database

    def execute(self, context: Context) -> int:
        """Write them; files whose rows have all arrived are removed."""
        with clear_failures():
            target = Catalog(client(self.target_conn_id, "target_conn_id"), self.target_database)
            done = replay(cast(Path, ObjectStoragePath(self.path)), target)
        if done.remaining:
            reasons = "\n".join(f"  {reason}" for reason in done.reasons)
            raise AirflowFailException(
                f"{done.arrived} rows arrived, {done.remaining} are still refused, the first ones:\n{reasons}"
            )
        log.info("%d rows arrived", done.arrived)
        return done.arrived
