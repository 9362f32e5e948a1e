"""Passwords and tokens of addresses, well written or not, are found in any text, and nothing else is."""

from __future__ import annotations

import pytest

from airflow_provider_tdengine.client.errors import AddressError
from airflow_provider_tdengine.client.secrets import masked, secrets_in


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("ws://root:word@h:6041", ["word"], "ws://root:***@h:6041"),
        ("no 'ws:/root:word@h' there", ["word"], "no 'ws:/root:***@h' there"),
        ("wss//root:word@h", ["word"], "wss//root:***@h"),
        ("ws://root:w/o@r:d@h", ["w/o@r:d"], "ws://root:***@h"),
        ("a ws://u:one@h and http://:two@i", ["one", "two"], "a ws://u:***@h and http://:***@i"),
        ("https://h/?token=abc-1&x", ["abc-1"], "https://h/?token=***&x"),
        ("ws://h/d?bearer_token=abc.1", ["abc.1"], "ws://h/d?bearer_token=***"),
        ("ws://127.0.0.1:6041 has no 'a@b'", [], "ws://127.0.0.1:6041 has no 'a@b'"),
        ("s3://key@bucket/a, file:///var/lib", [], "s3://key@bucket/a, file:///var/lib"),
        ("note = 'mailto:a@b' AND x > 1", [], "note = 'mailto:a@b' AND x > 1"),
        ("/^a:b@/ -> x", [], "/^a:b@/ -> x"),
    ],
)
def test_a_text_without_its_secrets(text: str, secrets: list[str], shown: str) -> None:
    assert (secrets_in(text), masked(text)) == (secrets, shown)
    assert str(AddressError(text)) == shown
