"""Waiting for the moment at which readers and writers can go over to the target."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.compat import AirflowSkipException
from airflow_provider_tdengine.migration import wording
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.operators.migration import OptionValues, clear_failures, client

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class TDengineCutoverSensor(BaseSensorOperator):
    """Succeeds when all that is older than `max_lag` has arrived: rows, tables, columns and tags are equal.

    It compares, as the option `verify` says, the last part of the past up to `max_lag` ago; nothing is written. What is
    before that part is the migration's own comparison to prove.

    Parameters:
        options: those of the migration that follows; mode and period mean nothing here.
        max_lag: how far the target may be behind.
        past: how far back is compared.

    Returns:
        `rows` and `tables` that were compared, and `end`, the moment up to which.
    """

    template_fields: Sequence[str] = ("options",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}
    ui_color = "#e8f3ff"

    def __init__(
        self,
        *,
        options: OptionValues,
        max_lag: timedelta = timedelta(seconds=30),
        past: timedelta = timedelta(hours=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not timedelta(0) <= max_lag < past:
            raise ValueError(f"past is {past} and max_lag is {max_lag}; past must be longer, and max_lag not negative")
        self.options = options
        self.max_lag = max_lag
        self.past = past

    def poke(self, context: Context) -> PokeReturnValue:
        """Whether both sides are equal up to `max_lag` ago."""
        from airflow_provider_tdengine.migration.catalog import Catalog
        from airflow_provider_tdengine.migration.comparing import Kind, verify

        with clear_failures():
            options = MigrationOptions.checked(self.options)
            if options.dry_run:
                raise AirflowSkipException("Dry run: nothing was copied")
            source = Catalog(client(options.source_conn_id, "source_conn_id"), options.source_database)
            target = Catalog(client(options.target_conn_id, "target_conn_id"), options.target)
            try:
                with source, target:
                    now = datetime.fromtimestamp(source.clock(), timezone.utc)
                    start, end = (now - self.past).isoformat(), (now - self.max_lag).isoformat()
                    options = replace(options, mode="history", start_from=None, start=start, end=end, repair_rounds=0)
                    comparison = verify(source, target, options)
            except TDengineError as error:
                if not error.retryable:
                    raise
                log.warning("Waiting until it answers again: %s", error)
                return PokeReturnValue(is_done=False)
        if comparison.verdict.kind is Kind.DIFFERENT:
            first = "".join(f"; the first difference is {one}" for one in comparison.differences[:1])
            log.info("Not yet: %s%s", comparison.verdict.words, first)
            return PokeReturnValue(is_done=False)
        log.info(
            "Readers and writers can be switched: %s of %s up to %s are equal%s",
            wording.number(comparison.rows, "row"),
            wording.number(comparison.tables, "table"),
            end,
            "" if options.schema == "none" else ", and all tags",
        )
        return PokeReturnValue(True, {"rows": comparison.rows, "tables": comparison.tables, "end": end})
