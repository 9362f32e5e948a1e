"""Damage to bytes and to JSON, as strategies of hypothesis."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

INTEGERS = (0, 1, 2, 4, 7, 255, 4096, 65535, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -2, -(2**31))

_PLACES = st.integers(0, 60) | st.integers(0, 2**20)
"""The heads, which say where everything is, as often as all the rest."""


@st.composite
def _blow(draw: st.DrawFn) -> tuple[str, int, int, int]:
    kinds = ("byte", "u16", "u32", "u64", "cut", "fill", "copy", "insert")
    return (
        draw(st.sampled_from(kinds)),
        draw(_PLACES),
        draw(st.sampled_from(INTEGERS) | st.integers(0, 2**32)),
        draw(st.integers(1, 64)),
    )


@st.composite
def damaged_bytes(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of some samples with a few blows."""
    raw = bytearray(draw(st.sampled_from(samples)))
    for kind, place, number, count in draw(st.lists(_blow(), min_size=1, max_size=6)):
        at = place % (len(raw) + 1)
        width = {"byte": 1, "u16": 2, "u32": 4, "u64": 8}.get(kind)
        if width:
            value = (number % 2 ** (8 * width)).to_bytes(width, "little")
            raw[at : at + width] = value[: len(raw) - at]
        elif kind == "cut":
            del raw[at:]
        elif kind == "fill":
            raw[at : at + count] = bytes([number % 256]) * len(raw[at : at + count])
        elif kind == "copy":
            other = number % (len(raw) + 1)
            raw[at : at + count] = raw[other : other + count]
        else:
            raw[at:at] = bytes([number % 256]) * count
    return bytes(raw)


_DEEP = "\x00deep"

VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "5", "\ud800", "\udcff", "a`b", "'", "*", "(null)", "1E+999999", "9" * 400, "NaN",
    "2021-01-01T00:00:00.0000000000000Z", "-290308-12-21T19:59:05.224193Z", "999999999-01-01T00:00:00Z", 0, 1, -1, 0.5,
    -0.0, float("nan"), float("inf"), *INTEGERS, 10**400, [], {}, [[]], [1], ["x"], {"a": 1}, [None], _DEEP, "x" * 2000,
    "TIMESTAMP", "NCHAR(1073741824)", "DECIMAL(99999999999,3)", "VARBINARY", "JSON", "BLOB", "affected_rows",
)  # fmt: skip
"""What takes the place of a part of an answer."""


def _places(node: Any) -> list[tuple[Any, Any]]:
    """All parts of a JSON value: what each is in, and its name or number there."""
    found = []
    for key, part in list(node.items() if isinstance(node, dict) else enumerate(node)):
        found.append((node, key))
        if isinstance(part, (dict, list)):
            found += _places(part)
    return found


@st.composite
def damaged_json(draw: st.DrawFn, samples: Sequence[str]) -> str:
    """One of some JSON texts with parts replaced, missing or twice; or the text itself cut or overwritten."""
    value = json.loads(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 3))):
        places = _places(value)
        if not places:
            break
        # Few of the parts are near the top, and these say most.
        near = st.integers(0, min(len(places), 12) - 1)
        parent, key = places[draw(near | st.integers(0, len(places) - 1))]
        what = draw(st.sampled_from(("replace", "replace", "delete", "twice")))
        if what == "replace":
            parent[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif what == "delete":
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    depth = draw(st.sampled_from((200, 800, 100_000)))
    text = text.replace(json.dumps(_DEEP), "[" * depth + "]" * depth)
    if not draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from(("", "]", "}", ",", "1", '"', "\ud800", "-0", "[" * 5000)))
            + text[at + 1 :]
        )
    return text
