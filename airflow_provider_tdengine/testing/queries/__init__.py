"""SELECT: from stored rows to the rows of an answer."""

from airflow_provider_tdengine.testing.queries.expressions import like_pattern
from airflow_provider_tdengine.testing.queries.frames import (
    Frame,
    Functions,
    Scan,
    Vector,
    block_frame,
    number_vector,
    text_vector,
)
from airflow_provider_tdengine.testing.queries.query import Result, select_frame, select_scan
from airflow_provider_tdengine.testing.queries.where import equalities, narrow

__all__ = [
    "Frame",
    "Functions",
    "Result",
    "Scan",
    "Vector",
    "block_frame",
    "equalities",
    "like_pattern",
    "narrow",
    "number_vector",
    "select_frame",
    "select_scan",
    "text_vector",
]
