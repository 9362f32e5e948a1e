"""Secrets in texts that people read: passwords and tokens of addresses, well written or not."""

from __future__ import annotations

import re

# `ws://root:word@host`, and what fingers make of it: `ws:/root:word@host`, `ws//root:word@host`. The last @ counts, as
# in any URL. Servers take no passwords of 1,000 characters; the bound keeps long texts with many addresses quick.
_PASSWORD = re.compile(r"(?P<head>(?<=\w)(?::/{1,2}|/{2})[^\s:@/'\"]*:)(?P<secret>[^\s'\"]{0,1000})(?=@)")
_TOKEN = re.compile(r"(?P<head>[?&](?:bearer_)?token=)(?P<secret>[^\s&'\"]+)")


def secrets_in(text: str) -> list[str]:
    """The passwords and tokens of addresses in a text."""
    return [match["secret"] for pattern in (_PASSWORD, _TOKEN) for match in pattern.finditer(text)]


def masked(text: str) -> str:
    """The same text without the passwords and tokens of addresses."""
    for pattern in (_PASSWORD, _TOKEN):
        text = pattern.sub(r"\g<head>***", text)
    return text
