"""Damage to bytes and to JSON, by a random number generator: a seed is an input."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

INTEGERS = (0, 1, 2, 4, 7, 255, 4096, 65535, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -2, -(2**31))

_HEAD = 60
"""Bytes that say where everything is; they are damaged as often as all the rest."""


def damaged_bytes(random: Random, samples: Sequence[bytes]) -> bytes:
    """One of some samples with a few blows."""
    raw = bytearray(random.choice(samples))
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, min(len(raw), _HEAD) if random.random() < 0.5 else len(raw))
        number = random.choice(INTEGERS) if random.random() < 0.7 else random.randrange(2**32)
        count = random.randint(1, 64)
        kind = random.choice((1, 2, 4, 8, "cut", "fill", "copy", "insert"))
        if isinstance(kind, int):
            value = (number % 2 ** (8 * kind)).to_bytes(kind, "little")
            raw[at : at + kind] = value[: len(raw) - at]
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


def damaged_json(random: Random, samples: Sequence[str]) -> str:
    """One of some JSON texts with parts replaced, missing or twice; or the text itself cut or overwritten."""
    value = json.loads(random.choice(samples))
    for _ in range(random.randint(0, 3)):
        places = _places(value)
        if not places:
            break
        # Few of the parts are near the top, and these say most.
        parent, key = random.choice(places[:12] if random.random() < 0.5 else places)
        what = random.choice(("replace", "replace", "delete", "twice"))
        if what == "replace":
            parent[key] = copy.deepcopy(random.choice(VALUES))
        elif what == "delete":
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    depth = random.choice((200, 800, 100_000))
    text = text.replace(json.dumps(_DEEP), "[" * depth + "]" * depth)
    if random.random() < 0.25:
        at = random.randint(0, len(text))
        sign = random.choice(("", "]", "}", ",", "1", '"', "\ud800", "-0", "[" * 5000))
        text = text[:at] + sign + text[at + 1 :]
    return text
