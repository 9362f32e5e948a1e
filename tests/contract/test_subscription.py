"""The box tells subscriptions what real servers told: the steps of `subscription.py`, done again and compared."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_tdengine.client.block import decode_block
from airflow_provider_tdengine.client.raw_rows import rows_in
from airflow_provider_tdengine.testing import TDengineBox

from . import subscription
from .subscription import Line

HERE = Path(__file__).parent
VERSIONS = ("3.0.5.2", "3.3.3.0", "3.3.5.2")

# Servers also number what is no change: another topic, a consumer, a commit. Only the order of versions is compared.
POSITIONS = {"offset", "begin", "end", "position", "committed"}

# Times, addresses, and the numbers of requests and vgroups.
VOLATILE = {"timing", "vgroup_id", "req_id", "create_time"}

DIFFERENCES: dict[tuple[str, str], str] = {
    ("3.3.5.2", "fetch_json_meta_of_nothing"): "the kind of the last message is looked at before its number",
}
"""Steps at which the box answers otherwise, and why."""


def recording(version: str) -> list[Line]:
    """The lines of a recording, without the first one."""
    lines = (HERE / f"subscription-{version}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines][1:]


def comparable(line: Line) -> Any:
    """What has to be equal of a line."""
    if "sql" in line:
        body = json.loads(line["body"])
        names = [column[0] for column in body.get("column_meta", ())]
        rows = [[v for name, v in zip(names, row, strict=True) if name not in VOLATILE] for row in body.get("data", ())]
        return body["code"], body.get("desc"), names, sorted(map(json.dumps, rows))
    answers = [answer for said in line["said"] if (answer := comparable_answer(said)) is not None]
    if len({answer["vgroup_id"] for answer in polled(line)}) < 2:
        return answers
    # Which vgroup answers first is chance, and so is which vgroup has which number.
    return sorted(json.dumps(answers[start:end]) for start, end in messages_in(answers))


def polled(line: Line) -> list[Line]:
    return [said["received"] for said in line.get("said", ()) if said["received"].get("have_message")]


def messages_in(answers: list[Any]) -> Iterator[tuple[int, int]]:
    starts = [number for number, answer in enumerate(answers) if "have_message" in answer]
    yield from zip(starts, [*starts[1:], len(answers)], strict=True)


def comparable_answer(said: Line) -> Any:
    """An answer without what is volatile; a frame as the rows that it has."""
    received = said["received"]
    if "base64" not in received:
        kept = {name: value for name, value in received.items() if name not in VOLATILE | POSITIONS}
        if "assignment" in kept:
            kept["assignment"] = len(kept["assignment"])
        kept.pop("message_id", None)
        return kept
    frame = base64.b64decode(received["base64"])
    if said["sent"]["action"] == "fetch_block":
        block = decode_block(memoryview(frame)[24:])
        return {"block": [[field.type, field.length] for field in block.fields], "rows": repr(list(block.to_rows()))}
    _, rows = rows_in(memoryview(frame)[38:])
    kind = int.from_bytes(frame[36:38], "little")
    tables = [
        (each.table, repr(each.fields), each.precision.value, repr(list(each.block().to_rows()))) for each in rows
    ]
    return {"raw": kind, "tables": tables}


@pytest.fixture(scope="module", params=VERSIONS)
def replayed(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[tuple[Line, Line]]]]:
    """The version, and what was recorded next to what the box answers."""
    with TDengineBox(version=request.param) as box, httpx.Client(base_url=box.url, auth=("root", "taosdata")) as http:

        def post(sql: str) -> str:
            return http.post("/rest/sql", content=sql.encode()).text

        player = subscription.Player(box.url, post, box.forget_log, wait=1, patience=0.3)
        steps = subscription.steps(request.param)
        yield request.param, list(zip(recording(request.param), map(player.play, steps), strict=True))


def test_the_box_tells_what_was_recorded(replayed: tuple[str, list[tuple[Line, Line]]]) -> None:
    version, pairs = replayed
    wrong = [
        f"{recorded['step']}\n  server {expected}\n  box    {actual}"
        for recorded, answered in pairs
        for expected, actual in [(comparable(recorded), comparable(answered))]
        if expected != actual and (version, recorded["step"]) not in DIFFERENCES
    ]
    assert len(pairs) > 150
    assert not wrong, f"{len(wrong)} of {len(pairs)} steps differ:\n" + "\n".join(wrong)


def test_positions_of_the_box_grow_as_those_of_servers(replayed: tuple[str, list[tuple[Line, Line]]]) -> None:
    """Of rows, 3.3 says where they begin; of all else, and in 3.0, both say what is behind."""
    version, pairs = replayed
    for told in zip(*pairs, strict=True):
        behind: dict[int, int] = {}
        for line in told:
            if line["step"] in ("subscribe_to_seek", "subscribe_3", "subscribe_short"):
                behind = {}
            for answer in polled(line):
                vgroup, offset = answer["vgroup_id"], answer["offset"]
                is_start = version != "3.0.5.2" and answer["message_type"] != 2
                assert offset >= behind.get(vgroup, 0) if is_start else offset > behind.get(vgroup, 0)
                behind[vgroup] = offset


def test_the_recordings_are_of_these_steps() -> None:
    for version in VERSIONS:
        assert [line["step"] for line in recording(version)] == [step[0] for step in subscription.steps(version)]
        asked = [line["sql"] for line in recording(version) if "sql" in line]
        assert asked == [step[2] for step in subscription.steps(version) if step[1] == "sql"]
