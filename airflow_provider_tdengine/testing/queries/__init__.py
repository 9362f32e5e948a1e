"""SELECT: from stored rows to the rows of an answer."""

from airflow_provider_tdengine.testing.queries.expressions import (
    like_pattern,
)
from airflow_provider_tdengine.testing.queries.frames import (
    Frame,
    Scan,
    Vector,
    block_frame,
    number_vector,
    text_vector,
)
from airflow_provider_tdengine.testing.queries.query import (
    Result,
    equalities,
    narrow,
    select_frame,
    select_scan,
)

__all__ = [
    "Frame",
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
