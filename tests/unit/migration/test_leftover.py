"""What stays behind is named in the report of schema sync."""

from __future__ import annotations

from .conftest import SOURCE, Pair


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
