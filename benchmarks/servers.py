"""Where is measured: boxes in processes of their own, or the servers that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

from airflow_provider_tdengine.client import Address, Client

_SOURCE, _TARGET = "TDENGINE_SOURCE_URL", "TDENGINE_TARGET_URL"


@dataclass(frozen=True)
class Server:
    """A server and how it is reached.

    Parameters:
        url: with account, such as ws://root:taosdata@localhost:6041.
        simulated: whether it is a box.
    """

    url: str
    simulated: bool

    @cached_property
    def client(self) -> Client:
        return Client(Address.from_url(self.url))

    @property
    def version(self) -> str:
        """As it says it, such as 3.3.3.0.alpha."""
        return self.client.server.version_text


@contextmanager
def servers() -> Iterator[tuple[list[Server], Server]]:
    """The sources and the target: those of the environment if it names both, else boxes of 3.3 and 2.4.

    Raises:
        ValueError: the environment names only one of them.
    """
    urls = [os.environ.get(name) for name in (_SOURCE, _TARGET)]
    if all(urls):
        yield [Server(str(urls[0]), simulated=False)], Server(str(urls[1]), simulated=False)
    elif any(urls):
        raise ValueError(f"set both {_SOURCE} and {_TARGET}, or neither for simulated servers")
    else:
        with ExitStack() as stack:
            one, two, target = (stack.enter_context(_box(version)) for version in ("3.3.3.0", "2.4.0.18", "3.3.3.0"))
            yield [one, two], target


@contextmanager
def _box(version: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "airflow_provider_tdengine.testing", "--port", "0", "--version", version]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().rpartition("//")[2].strip()
            yield Server(f"ws://root:taosdata@{address}", simulated=True)
        finally:
            process.terminate()
