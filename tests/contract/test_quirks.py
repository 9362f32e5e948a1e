"""The box has the quirks of five real servers: the recordings of `quirks.py`, replayed in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_tdengine.testing import TDengineBox

from . import quirks
from .test_contract import literal_json, turned

HERE = Path(__file__).parent
VERSIONS = ("2.4.0.18", "2.6.0.27", "3.0.5.2", "3.3.3.0", "3.3.5.2-decimal")

Exchange = dict[str, Any]
"""A line of a recording; JSON, so of any shape."""

# Columns whose values are never the same twice, by step. They are compared as far as their type goes.
VOLATILE = {"case_show": {"created_time"}, "case_tables": {"created_time", "uid", "tid", "vgId"}}

# The recorded servers had other databases, too.
DATABASES = ("information_schema", "performance_schema", "contract_quirks")

# 3.3 answers DISTINCT in the order of a hash table of the rows, which the box does not know.
UNORDERED = {("3.3.3.0", "order_tags"), ("3.3.5.2-decimal", "order_tags")}


def recording(version: str) -> tuple[str, list[Exchange]]:
    """The version that the server said it was, and the exchanges."""
    lines = (HERE / f"quirks-{version}.jsonl").read_text(encoding="utf-8").splitlines()
    meta, *exchanges = map(json.loads, lines)
    return meta["version"], exchanges


def comparable(version: str, exchange: Exchange) -> tuple[Any, ...]:
    """All of an answer but what is volatile; JSON that is cut counts to the letter."""
    step = exchange["step"]
    try:
        body = literal_json(exchange["body"])
    except ValueError:
        return exchange["status"], exchange["body"]
    body.pop("timing", None)
    rows = body.pop("data", [])
    if step == "case_show":
        rows = [row for row in rows if row[0] in DATABASES]
        body.pop("rows", None)
    names = [column[0] for column in body.get("column_meta", ())]
    volatile = VOLATILE.get(step, set())
    rows = [[type(v).__name__ if name in volatile else v for name, v in zip(names, row, strict=True)] for row in rows]
    texts = [json.dumps(row) for row in rows]
    if (version, step) in UNORDERED:
        texts.sort()
    return exchange["status"], json.dumps(body), texts if version.startswith("2") else turned(texts)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_box_has_the_quirks_of_real_servers(version: str) -> None:
    said, exchanges = recording(version)
    wrong = []
    with TDengineBox(version=said) as box, httpx.Client(base_url=box.url, auth=("root", "taosdata")) as http:
        for recorded in exchanges:
            response = http.post("/rest/sql", content=recorded["sql"].encode())
            answered = recorded | {"status": response.status_code, "body": response.text}
            expected, actual = comparable(version, recorded), comparable(version, answered)
            if expected != actual:
                wrong.append(f"{recorded['step']}: {recorded['sql']}\n  server {expected}\n  box    {actual}")
    assert len(exchanges) > 100
    assert not wrong, f"{len(wrong)} of {len(exchanges)} exchanges differ:\n" + "\n".join(wrong)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recordings_are_of_these_statements(version: str) -> None:
    _, exchanges = recording(version)
    asked = [(exchange["step"], exchange["sql"]) for exchange in exchanges]
    assert asked == list(quirks.steps(int(version[0])))
