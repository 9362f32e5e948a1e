"""The certificate: what it says, that its hash holds, and that its page stands alone."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from airflow_provider_tdengine.migration.comparing import certificate, page, write
from airflow_provider_tdengine.migration.documents import content_hash

from ..conftest import TARGET, BoxPair, T

PERIOD = (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), datetime(2026, 1, 2, 3, 5, 47, tzinfo=timezone.utc))


def made(pair: BoxPair, **values: object) -> dict[str, object]:
    options = pair.options(**values)
    return certificate(*pair.catalogs, options, pair.prove(**values), PERIOD)


def test_of_a_migration_that_arrived(meters: BoxPair, tmp_path: Path) -> None:
    meters.migrate()
    document = made(meters, verify="full", name="<old>", certificate_path="s3://key@bucket/a")
    assert document["equal"] is True
    total: dict[str, int] = document["super_tables"]["meters"]  # type: ignore[index]
    assert total == {**total, "tables": 3, "rows": 3000, "target_rows": 3000, "read": 3, "different": 0}
    assert document["source"]["version"] == meters.source.server.version_text  # type: ignore[index]
    written = write(document, tmp_path / "a" / "b")
    stored = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    assert stored["sha256"] == content_hash(stored)
    assert stored["sha256"] != content_hash({**stored, "rows": 2999})
    html = written.read_text(encoding="utf-8")
    assert "Equal: 3,000 rows in 3 tables" in html
    assert "&lt;old&gt;" in html
    assert "<old>" not in html
    assert stored["sha256"] in html
    assert "taosdata" not in html + json.dumps(stored)
    assert "s3://key@bucket/a" in html
    assert not re.search(r"(src|href)=", html), "it needs nothing from elsewhere"


def test_of_differences_and_repairs(meters: BoxPair) -> None:
    meters.migrate()
    meters.target.execute(f"delete from {TARGET}.d1 where ts = {T}")
    meters.target.execute(f"insert into {TARGET}.d2 values ({T + 1}, 1.5, 'extra')")
    document = made(meters)
    assert document["equal"] is False
    assert [one["table"] for one in document["differences"]] == ["d2"]  # type: ignore[attr-defined]
    assert document["mended"] == {"tables": 1, "rows": 1000, "deleted": 0, "tags": 0}
    html = page(document)
    assert "Different: 1 of 3 tables" in html
    assert "only in the target" in html
    assert "What was repaired" in html


@pytest.mark.parametrize("level", ["count", "aggregate", "full"])
def test_it_says_what_was_compared(meters: BoxPair, level: str) -> None:
    meters.migrate()
    html = page(made(meters, verify=level))
    assert ("every row" in html) is (level == "full")
