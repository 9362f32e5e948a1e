"""What happens to rows on the way: other types, names and precisions, text for statements, and digests."""

from airflow_provider_tdengine.migration.rows.collisions import last_ones, without_collisions
from airflow_provider_tdengine.migration.rows.convert import (
    PAIRS,
    SAME,
    Change,
    Pair,
    TagTranscoder,
    Transcoder,
    conversion,
)
from airflow_provider_tdengine.migration.rows.digest import (
    NOTHING,
    SIZE,
    Digest,
    Hashes,
    column_hashes,
    name_hash,
    name_hashes,
    row_hashes,
)
from airflow_provider_tdengine.migration.rows.text import TEXTLESS, has_no_text, insert_parts
from airflow_provider_tdengine.migration.rows.transform import Renaming, Transform, pinned_renaming

__all__ = [
    "NOTHING",
    "PAIRS",
    "SAME",
    "SIZE",
    "TEXTLESS",
    "Change",
    "Digest",
    "Hashes",
    "Pair",
    "Renaming",
    "TagTranscoder",
    "Transcoder",
    "Transform",
    "column_hashes",
    "conversion",
    "has_no_text",
    "insert_parts",
    "last_ones",
    "name_hash",
    "name_hashes",
    "pinned_renaming",
    "row_hashes",
    "without_collisions",
]
