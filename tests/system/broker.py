"""A Redis of the tests' own, from the machine's packages; nothing of it is kept."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import ConnectionError as NotYet

_START_SECONDS = 30


def is_there() -> bool:
    """Whether this machine has Redis."""
    return shutil.which("redis-server") is not None


@contextmanager
def redis(url: str) -> Iterator[None]:
    """A server at a URL of this machine."""
    with Redis.from_url(url) as client:
        port = str(client.connection_pool.connection_kwargs["port"])
        server = subprocess.Popen(
            ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", "/"],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait(client, server)
            yield
        finally:
            server.terminate()
            server.wait()


def _wait(client: Redis, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert server.poll() is None, "Redis ended at once"
        assert time.monotonic() < deadline, f"Redis did not start within {_START_SECONDS} s"
        try:
            client.ping()
            return
        except NotYet:
            time.sleep(0.05)
