"""One batch of rows brought over: read, converted, written, confirmed, and remembered."""

from airflow_provider_tdengine.migration.copying.batch import ROWS_A_BATCH, Batch, slices, window
from airflow_provider_tdengine.migration.copying.brakes import BURST, Brakes, TokenBucket
from airflow_provider_tdengine.migration.copying.copy import (
    Copied,
    Known,
    StructureOutdated,
    choose_strategy,
    copy_batch,
)
from airflow_provider_tdengine.migration.copying.dead_letters import (
    DeadLetters,
    batch_folder,
    kept,
    known,
    replay,
    short_name,
)
from airflow_provider_tdengine.migration.copying.dense import read_unit
from airflow_provider_tdengine.migration.copying.expired import (
    comparable_since,
    expired_findings,
    find_expired,
    kept_since,
    settle,
)
from airflow_provider_tdengine.migration.copying.progress import (
    Checkpoint,
    MemoryProgress,
    ProgressNotSaved,
    ProgressStore,
)
from airflow_provider_tdengine.migration.copying.rejected import Refused
from airflow_provider_tdengine.migration.copying.sparse import group_query, groups, owners_of, rows_a_group
from airflow_provider_tdengine.migration.copying.units import Sessions, Step, Unit, count

__all__ = [
    "BURST",
    "ROWS_A_BATCH",
    "Batch",
    "Brakes",
    "Checkpoint",
    "Copied",
    "DeadLetters",
    "Known",
    "MemoryProgress",
    "ProgressNotSaved",
    "ProgressStore",
    "Refused",
    "Sessions",
    "Step",
    "StructureOutdated",
    "TokenBucket",
    "Unit",
    "batch_folder",
    "choose_strategy",
    "comparable_since",
    "copy_batch",
    "count",
    "expired_findings",
    "find_expired",
    "group_query",
    "groups",
    "kept",
    "kept_since",
    "known",
    "owners_of",
    "read_unit",
    "replay",
    "rows_a_group",
    "settle",
    "short_name",
    "slices",
    "window",
]
