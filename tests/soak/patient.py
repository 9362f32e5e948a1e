"""A server that is asked again where it is away, or refuses for reasons of the soak."""

from __future__ import annotations

import time

import httpx

from ..wild.server import Server

_PATIENCE = 120.0
_TRANSIENT = (b"Network is busy", b"No disk space", b"Insufficient privilege", b"not ready", b"creating status")
"""What a server says while something is wrong with it that will pass."""


class PatientServer(Server):
    """See `wild.server.Server`."""

    def _post(self, sql: str) -> bytes:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = super()._post(sql)
                if answer.startswith(b"{") and not any(words in answer for words in _TRANSIENT):
                    return answer
                said = answer.decode(errors="replace")
            except httpx.TransportError as error:
                said = str(error)
            if time.monotonic() > deadline:
                raise ConnectionError(f"{self.url} did not answer within {_PATIENCE:.0f} s: {said[:200]}")
            time.sleep(0.3)
