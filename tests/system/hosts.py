"""Machines of their own: each a network and a name of its own, in which only some ports of this machine answer."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.faults.proxy import Line

_ROOT = Path(__file__).parents[2]
_OWN = ("--net", "--uts")
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


def _unshare() -> list[str]:
    # Whoever is not root is it in a user namespace, where the machine allows one.
    return ["unshare", *_OWN, *(["--map-root-user"] if os.geteuid() else [])]


def obstacle() -> str | None:
    """Why there can be no other host here; None where there can."""
    if not shutil.which("unshare"):
        return "there is no unshare; on Debian and Ubuntu: apt-get install util-linux"
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return f"this machine allows no network namespaces ({tried.stderr.strip()})" if tried.returncode else None


class Host:
    """A host on which one command runs.

    Parameters:
        name: of the host.
        process: of the command.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End all that runs there; by default as if somebody had pulled the plug."""
        if self._process.poll() is None:
            command = psutil.Process(self._process.pid)
            for process in (command, *command.children(recursive=True)):
                process.send_signal(number)
        self._process.wait()


@contextmanager
def host(name: str, ports: Iterable[int], *command: str, environment: Mapping[str, str], log: Path) -> Iterator[Host]:
    """Run a command on a host of its own; it ends with the context.

    Parameters:
        name: of the host.
        ports: of this machine's 127.0.0.1 that answer there under the same address. Nothing else does.
        command: a program and its arguments.
        environment: all of it.
        log: where it says what it says.
    """
    ports = list(ports)
    with ExitStack() as stack, log.open("ab") as file:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        process = subprocess.Popen(
            [*_unshare(), sys.executable, "-m", __name__, name, str(theirs.fileno()), *map(str, ports), "--", *command],
            env=dict(environment),
            stdout=file,
            stderr=file,
            cwd=_ROOT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        there = Host(name, process)
        stack.callback(there.end)
        _, listeners, _, _ = socket.recv_fds(ours, 1, len(ports))
        assert len(listeners) == len(ports), f"{name} did not start; see {log}"
        for port, listener in zip(ports, listeners, strict=True):
            stack.enter_context(Line(port, listener=socket.socket(fileno=listener)))
        try:
            yield there
        finally:
            # Before its lines end, of which it would complain.
            there.end()


def _become(name: str, channel: int, ports: list[int], command: list[str]) -> None:
    """Set up this namespace, hand out its listening sockets, and become the command."""
    socket.sethostname(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH", b"lo", _UP_AND_RUNNING))
    listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
    with socket.socket(fileno=channel) as parent:
        socket.send_fds(parent, [b"."], [listener.fileno() for listener in listeners])
    os.execvp(command[0], command)


if __name__ == "__main__":
    end = sys.argv.index("--")
    _become(sys.argv[1], int(sys.argv[2]), [int(port) for port in sys.argv[3:end]], sys.argv[end + 1 :])
