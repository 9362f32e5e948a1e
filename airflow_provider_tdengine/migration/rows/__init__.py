"""What happens to rows on the way: other types, names and precisions, text for statements, and digests."""

from airflow_provider_tdengine.migration.rows.collisions import Collisions, distinct_rows, last_ones
from airflow_provider_tdengine.migration.rows.convert import (
    PAIRS,
    SAME,
    Change,
    Pair,
    TagTranscoder,
    Transcoder,
    conversion,
)
from airflow_provider_tdengine.migration.rows.digest import row_hashes
from airflow_provider_tdengine.migration.rows.text import TEXTLESS, has_no_text, insert_parts
from airflow_provider_tdengine.migration.rows.transform import Renaming, Transform

__all__ = [
    "PAIRS",
    "SAME",
    "TEXTLESS",
    "Change",
    "Collisions",
    "Pair",
    "Renaming",
    "TagTranscoder",
    "Transcoder",
    "Transform",
    "conversion",
    "distinct_rows",
    "has_no_text",
    "insert_parts",
    "last_ones",
    "row_hashes",
]
