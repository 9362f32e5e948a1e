"""What stays behind is named in the report of schema sync."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..conftest import SOURCE, Pair


def test_a_user_stays_behind_and_is_named(pair: Pair) -> None:
    pair.sql(f"create database {SOURCE} keep 36500", f"create stable {SOURCE}.s (ts timestamp, v int) tags (g int)")
    pair.sql("create user mig_left pass 'Left_1234'")
    try:
        left = pair.sync().not_migrated
    finally:
        pair.sql("drop user mig_left")
    assert ("user", "mig_left") in {(leftover["kind"], leftover["name"]) for leftover in left}
    # The server's own users, and the index that 3.x makes on a first tag, are not left behind.
    assert not {"root", "_root", "monitor", "g_s"} & {leftover["name"] for leftover in left}
    assert not {(o["kind"], o["name"]) for o in pair.sync().not_migrated} & {("user", "mig_left")}


@pytest.mark.source(since=(3,), boxes=False)  # 2.x has no topics, and takes real libraries only.
def test_what_stays_behind_is_named_with_its_definition(pair: Pair, tmp_path: Path) -> None:
    library = tmp_path / "mig_f.so"
    library.write_bytes(b"any file")
    topic = f"create topic mig_topic as select v from {SOURCE}.t"
    # 3.0 has topics only where rows stay in the WAL for a while.
    pair.sql(f"create database {SOURCE} keep 36500 wal_retention_period 3600")
    pair.sql(f"create table {SOURCE}.t (ts timestamp, v int)")
    pair.sql(topic, f"create aggregate function mig_f as '{library}' outputtype double bufsize 64")
    try:
        left = {(left["kind"], left["name"], left["definition"]) for left in pair.sync().not_migrated}
    finally:
        pair.sql("drop function mig_f", "drop topic mig_topic")
    function = (
        "CREATE AGGREGATE FUNCTION `mig_f` AS 'mig_f, from where it was built' "
        "OUTPUTTYPE DOUBLE BUFSIZE 64 LANGUAGE 'C'"
    )
    assert {("topic", "mig_topic", topic), ("function", "mig_f", function)} <= left


@pytest.mark.source(before=(3,), boxes=False)
def test_a_continuous_query_is_named_with_its_definition(pair: Pair) -> None:
    made = f"select count(*) from {SOURCE}.t interval(1m)"
    pair.sql(f"create database {SOURCE} keep 36500", f"create table {SOURCE}.t (ts timestamp, v int)")
    pair.sql(f"create table {SOURCE}.cq as {made}")
    wanted = {"kind": "continuous query", "name": "cq", "definition": f"CREATE TABLE `cq` AS {made}"}
    # The server lists it a second later.
    deadline = time.monotonic() + 20
    while wanted not in (left := pair.sync().not_migrated) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert wanted in left
