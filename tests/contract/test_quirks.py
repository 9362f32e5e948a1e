"""The box has the quirks of five real servers: the recordings of `quirks.py`, replayed in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_tdengine.testing import TDengineBox

from . import quirks
from .test_contract import literal_json

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


def answer(exchange: Exchange) -> tuple[object, list[Any]]:
    """All of an answer but its rows, without what is volatile; and the rows. JSON that is cut counts to the letter."""
    step = exchange["step"]
    try:
        body = literal_json(exchange["body"])
    except ValueError:
        return (exchange["status"], exchange["body"]), []
    body.pop("timing", None)
    rows = body.pop("data", [])
    if step == "case_show":
        rows = [row for row in rows if row[0] in DATABASES]
        body.pop("rows", None)
    names = [column[0] for column in body.get("column_meta", ())]
    volatile = VOLATILE.get(step, set())
    rows = [[type(v).__name__ if name in volatile else v for name, v in zip(names, row, strict=True)] for row in rows]
    return (exchange["status"], json.dumps(body)), rows


def is_turned(rows: list[Any], others: list[Any]) -> bool:
    """The same rows in the same order, but begun elsewhere.

    3.x asks the vgroups of a database, here two, at the same time: which one answers first is chance.
    """
    return any(rows[start:] + rows[:start] == others for start in range(max(len(rows), 1)))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_box_has_the_quirks_of_real_servers(version: str) -> None:
    said, exchanges = recording(version)
    wrong = []
    with TDengineBox(version=said) as box, httpx.Client(base_url=box.url, auth=("root", "taosdata")) as http:
        for recorded in exchanges:
            response = http.post("/rest/sql", content=recorded["sql"].encode())
            expected, rows = answer(recorded)
            actual, box_rows = answer(recorded | {"status": response.status_code, "body": response.text})
            if (version, recorded["step"]) in UNORDERED:
                same = sorted(map(json.dumps, rows)) == sorted(map(json.dumps, box_rows))
            else:
                same = rows == box_rows or (version.startswith("3") and is_turned(rows, box_rows))
            if expected != actual or not same:
                wrong.append(
                    f"{recorded['step']}: {recorded['sql']}\n  server {expected} {rows}\n  box    {actual} {box_rows}"
                )
    assert len(exchanges) > 100
    assert not wrong, f"{len(wrong)} of {len(exchanges)} exchanges differ:\n" + "\n".join(wrong)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recordings_are_of_these_statements(version: str) -> None:
    _, exchanges = recording(version)
    asked = [(exchange["step"], exchange["sql"]) for exchange in exchanges]
    assert asked == list(quirks.steps(int(version[0])))
