"""One batch of rows brought over: read, converted, written, confirmed, and remembered."""

from airflow_provider_tdengine.migration.copying.batch import ROWS_A_BATCH, Batch, at_or_after, slices, window
from airflow_provider_tdengine.migration.copying.brakes import BURST, Brakes, TokenBucket
from airflow_provider_tdengine.migration.copying.brief import Brief, StructureOutdated, brief_of, transcoder_of
from airflow_provider_tdengine.migration.copying.copy import (
    ROWS_A_UNIT,
    Copied,
    choose_strategy,
    copied_facts,
    copy_batch,
)
from airflow_provider_tdengine.migration.copying.dead_letters import (
    DeadLetters,
    batch_folder,
    check_refused,
    first_letters,
    kept,
    known,
    replay,
    short_name,
)
from airflow_provider_tdengine.migration.copying.dense import read_unit
from airflow_provider_tdengine.migration.copying.expired import (
    MARGIN,
    Border,
    SkipExpired,
    expired_findings,
    find_expired,
    kept_since,
    settle,
)
from airflow_provider_tdengine.migration.copying.pack import Pack, packed
from airflow_provider_tdengine.migration.copying.progress import (
    Checkpoint,
    MemoryProgress,
    ProgressNotSaved,
    ProgressStore,
)
from airflow_provider_tdengine.migration.copying.rejected import Fail, Refused, Rejections, isolate
from airflow_provider_tdengine.migration.copying.sparse import (
    Confirm,
    by_table,
    groups,
    lies_in_hay,
    read_group,
    rows_a_group,
    rows_of,
    send_rows,
)
from airflow_provider_tdengine.migration.copying.units import Rows, Sessions, Step, Tally, Unit, count, sessions
from airflow_provider_tdengine.migration.copying.writing import write_block

__all__ = [
    "BURST",
    "MARGIN",
    "ROWS_A_BATCH",
    "ROWS_A_UNIT",
    "Batch",
    "Border",
    "Brakes",
    "Brief",
    "Checkpoint",
    "Confirm",
    "Copied",
    "DeadLetters",
    "Fail",
    "MemoryProgress",
    "Pack",
    "ProgressNotSaved",
    "ProgressStore",
    "Refused",
    "Rejections",
    "Rows",
    "Sessions",
    "SkipExpired",
    "Step",
    "StructureOutdated",
    "Tally",
    "TokenBucket",
    "Unit",
    "at_or_after",
    "batch_folder",
    "brief_of",
    "by_table",
    "check_refused",
    "choose_strategy",
    "copied_facts",
    "copy_batch",
    "count",
    "expired_findings",
    "find_expired",
    "first_letters",
    "groups",
    "isolate",
    "kept",
    "kept_since",
    "known",
    "lies_in_hay",
    "packed",
    "read_group",
    "read_unit",
    "replay",
    "rows_a_group",
    "rows_of",
    "send_rows",
    "sessions",
    "settle",
    "short_name",
    "slices",
    "transcoder_of",
    "window",
    "write_block",
]
