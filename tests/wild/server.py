"""A server as the wild test sees it: a few lines of REST, and a WebSocket for what JSON has no words for.

Nothing here is of the package, so that a mistake in its client is not made twice. Values have one form for servers of
all versions: None, bool, int (timestamps too, in steps of the database), and text for all else; floats are the shortest
text of their bits, with -0.0, nan and inf; binary types are hexadecimal.
"""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import connect

Value = None | bool | int | str
Row = tuple[Value, ...]

_SIGNED = ("TINYINT", "SMALLINT", "INT", "BIGINT")
_UNSIGNED = tuple(f"{kind} UNSIGNED" for kind in _SIGNED)
_TYPES_2 = ("NULL", "BOOL", *_SIGNED, "FLOAT", "DOUBLE", "VARCHAR", "TIMESTAMP", "NCHAR", *_UNSIGNED, "JSON")
"""What 2.x says by number."""

INTEGERS = {
    **{kind: (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) for kind, size in zip(_SIGNED, (1, 2, 4, 8), strict=True)},
    **{kind: (0, (1 << 8 * size) - 1) for kind, size in zip(_UNSIGNED, (1, 2, 4, 8), strict=True)},
}
"""The smallest and the largest number of each type."""

_BUSY_SECONDS = 60


class Refused(Exception):
    """What a server does not do."""


class Number(str):
    """A number as JSON has it, with all digits."""


class Server:
    """A server that is asked and told.

    Parameters:
        url: such as ws://root:taosdata@localhost:6041.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        self.url = url
        self._place = f"{'s' if secure else ''}://{parts.hostname}:{parts.port or 6041}"
        self._account = (parts.username or "root", parts.password or "taosdata")
        self._http = httpx.Client(base_url=f"http{self._place}", auth=self._account, timeout=120)
        self._path = "sql"
        self.version_text = str(self.rows("select server_version()")[0][0])
        self.version = tuple(int(part) for part in self.version_text.split(".")[:4] if part.isdigit())
        self.generation = self.version[0]
        if self.generation == 2:
            self._path = "sqlt"

    def close(self) -> None:
        self._http.close()

    def run(self, sql: str) -> None:
        """Carry out a statement.

        Raises:
            Refused: the server does not.
        """
        self._answer(self._post(sql))

    def rows(self, sql: str) -> list[Row]:
        """The rows of an answer.

        Raises:
            Refused: the server does not answer.
            ValueError: the answer has a number that is none in JSON.
        """
        answer = self._answer(self._post(sql))
        kinds = [_TYPES_2[kind] if isinstance(kind, int) else kind for _, kind, *_ in answer["column_meta"]]
        return [
            tuple(_canonical(kind, value) for kind, value in zip(kinds, row, strict=True)) for row in answer["data"]
        ]

    def numbers(self, sql: str) -> list[Row]:
        """The rows of an answer of 8-byte integers and floats, infinite ones too: over the WebSocket of 3.x."""
        path = "/ws" if self.version >= (3, 3) else "/rest/ws"
        found: list[Row] = []
        with connect(f"ws{self._place}{path}", max_size=None) as socket:

            def ask(action: str, **more: object) -> dict[str, Any]:
                socket.send(json.dumps({"action": action, "args": {"req_id": 1, **more}}))
                answer: dict[str, Any] = json.loads(socket.recv())
                if answer["code"]:
                    raise Refused(answer["message"])
                return answer

            user, password = self._account
            ask("conn", user=user, password=password)
            result = ask("query", sql=sql)
            while not ask("fetch", id=result["id"])["completed"]:
                socket.send(json.dumps({"action": "fetch_block", "args": {"req_id": 1, "id": result["id"]}}))
                block = socket.recv()
                assert isinstance(block, bytes)
                found += _block(block[16:])
        return found

    def _post(self, sql: str) -> bytes:
        """What the server says, as soon as it is not busy with itself."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            answer = self._http.post(f"/rest/{self._path}", content=sql.encode("utf-8", "surrogateescape")).content
            if not any(word in answer for word in _BUSY) or time.monotonic() > deadline:
                return answer
            time.sleep(0.2)

    def _answer(self, body: bytes) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(
            body.decode("utf-8", "surrogateescape"), parse_int=Number, parse_float=Number, parse_constant=_no_number
        )
        if said.get("status") == "error" or said.get("code", "0") != "0":
            raise Refused(f"{said.get('code')} {said.get('desc')}")
        for column in said["column_meta"]:
            if isinstance(column[1], Number):
                column[1] = int(column[1])
        return said


_BUSY = (b"Database not ready", b"creating status", b"Vgroup could not be", b"Conflict transaction")
"""What a server says right after a database was made or dropped."""


def _no_number(text: str) -> None:
    raise ValueError(text)


def _canonical(kind: str, value: object) -> Value:
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    if kind == "TIMESTAMP" and not isinstance(value, Number):
        return _steps(text)
    if kind in INTEGERS or kind == "TIMESTAMP":
        return int(text)
    if kind in ("FLOAT", "DOUBLE"):
        return repr(as_float(float(text)) if kind == "FLOAT" else float(text))
    return json.dumps(_as_floats(value), sort_keys=True) if kind == "JSON" else text


def _steps(text: str) -> int:
    """A timestamp of 3.x, such as 2021-01-01T00:00:00.001Z, as so many steps since 1970; its digits say of which size.

    Years may be negative or have more than four digits, which `datetime` does not know.
    """
    found = re.fullmatch(r"(-?\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(?:\.(\d+))?Z", text)
    assert found, text
    year, month, day, hours, minutes, seconds = map(int, found.groups()[:6])
    digits = found[7] or ""
    # Every 400 years, the calendar repeats itself after 146,097 days.
    cycles, year = divmod(year - 2000, 400)
    days = date(2000 + year, month, day).toordinal() - date(1970, 1, 1).toordinal() + cycles * 146_097
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return whole * int(10 ** len(digits)) + int(digits or 0)


def as_float(value: float) -> float:
    """A number as FLOAT holds it."""
    (narrow,) = struct.unpack("<f", struct.pack("<f", value))
    return float(narrow)


def _as_floats(value: object) -> object:
    """JSON of a tag, whose numbers are all DOUBLE in 3.x."""
    if isinstance(value, Number):
        return float(value)
    if isinstance(value, dict):
        return {key: _as_floats(each) for key, each in value.items()}
    return [_as_floats(each) for each in value] if isinstance(value, list) else value


def _block(block: bytes) -> list[Row]:
    """The rows of a block of 3.x whose columns are all of numbers."""
    rows, columns = struct.unpack_from("<ii", block, 8)
    kinds = [block[28 + 5 * column] for column in range(columns)]
    at = 28 + 9 * columns
    found: list[Sequence[Value]] = []
    for kind in kinds:
        letter = {5: "q", 6: "f", 7: "d", 9: "q"}[kind]
        nulls, at = block[at : at + (rows + 7) // 8], at + (rows + 7) // 8
        values = struct.unpack_from(f"<{rows}{letter}", block, at)
        at += rows * struct.calcsize(letter)
        found.append(
            [
                None if nulls[i // 8] & (128 >> i % 8) else value if letter == "q" else repr(value)
                for i, value in enumerate(values)
            ]
        )
    return list(zip(*found, strict=True))


def name(text: str) -> str:
    """A name as statements say it."""
    return f"`{text}`"


def quoted(text: str) -> str:
    """Text as statements say it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
