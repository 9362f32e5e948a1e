"""What a migration keeps: files that are whole or not there, values with their types, and a sentence where that fails.

A path is any that has the methods of `pathlib.Path`, such as Airflow's `ObjectStoragePath`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar, get_type_hints
from uuid import uuid4

from airflow_provider_tdengine.client.errors import TDengineError
from airflow_provider_tdengine.migration.findings import Finding

_T = TypeVar("_T")

_LONGEST = 500_000_000
"""Bytes of a file of names that are read, at most: two names of 192 bytes for each of a million tables."""

_PINNED = re.compile(r"(.*)#sha256=([0-9a-f]+)")
_DIGITS = 16

_OF_LIBRARIES = {
    "aiohttp": "ClientError",
    "azure.core.exceptions": "AzureError",
    "botocore.exceptions": "BotoCoreError",
    "google.auth.exceptions": "GoogleAuthError",
}
"""By module, what libraries below object storages raise that is no OSError, such as botocore where no S3 answers."""

# What waiting does not cure; a full disk, and a storage behind a network, may be there again.
_LASTING = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


class StorageFailed(TDengineError):
    """A file or folder cannot be read or written."""


class NamesUnread(ValueError):
    """A file of names is not what an option means, on this host.

    Parameters:
        found: what is wrong with it.
        action: what to do.
    """

    def __init__(self, found: str, action: str) -> None:
        super().__init__(found)
        self.action = action


def this_host() -> str:
    """The host of this process, for sentences about what others may not have."""
    return f"host {platform.node()}"


def _errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What reading or writing a file may raise, on a disk or in an object storage, and others."""
    theirs = (getattr(sys.modules[module], name) for module, name in _OF_LIBRARIES.items() if module in sys.modules)
    return OSError, *theirs, *others


@contextmanager
def storage(what: str, path: Path | str) -> Iterator[None]:
    """Do something with a file or folder.

    Parameters:
        what: which one it is, for people, such as "The certificate".
        path: where it is.

    Raises:
        StorageFailed: in place of an OSError, of one of an object storage, or of text that is not UTF-8.
    """
    try:
        yield
    except _errors(UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        failed = StorageFailed(f"{what} {path} cannot be read or written ({reason})")
        failed.retryable = not isinstance(error, (UnicodeDecodeError, *_LASTING))
        raise failed from error


def write_whole(file: Path, text: str) -> None:
    """Write a file, or replace it as a whole: a process may end in the middle of writing.

    Raises:
        OSError: it cannot be written.
    """
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def folder_findings(folders: Mapping[str, str], path: Callable[[str], Path] = Path) -> Iterator[Finding]:
    """Options whose folders cannot be written; those that can are there afterwards.

    Parameters:
        folders: by option, as it says them; empty where it says none.
        path: what a text names.
    """
    for option, folder in folders.items():
        if not folder:
            continue
        try:
            there = path(folder)
            there.mkdir(parents=True, exist_ok=True)
            # Runs that begin at the same time may share a folder.
            probe = there / f".tdengine-probe-{uuid4().hex}"
            probe.write_text("written and removed\n", encoding="utf-8")
            probe.unlink()
        except _errors(ValueError, ImportError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or error
            found = f"the folder {folder!r} cannot be written on {this_host()} ({reason})"
            yield Finding(f"Option {option!r}", found, "Give a folder with room that this account may write")


def pinned_path(path: str) -> str:
    """The path of a file of names with a digest of what it holds now, which `read_names` looks at.

    Parameters:
        path: with a digest already, or of a file that cannot be read, it stays as it is.
    """
    if _PINNED.fullmatch(path):
        return path
    try:
        return f"{path}#sha256={_digest_of(_content(path))}"
    except (OSError, ValueError):
        return path


def read_names(path: str) -> str:
    """What is in a file of names that an option says.

    Parameters:
        path: from `pinned_path`, or as the option says it.

    Raises:
        NamesUnread: it cannot be read on this host, is no file of text, has no end, or has changed.
    """
    path, expected = match.groups() if (match := _PINNED.fullmatch(path)) else (path, None)
    try:
        content = _content(path)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        found = f"the file {path!r} cannot be read as UTF-8 text on {this_host()} ({reason})"
        raise NamesUnread(found, "Put it where all workers can read it, under the same path") from error
    if expected and expected != _digest_of(content):
        found = f"the file {path!r} has changed since the run was resolved, or is another one on {this_host()}"
        raise NamesUnread(found, "Bring back what it was, the same on all workers, or start a new run")
    return text


def _content(path: str) -> bytes:
    file = Path(path)
    if file.exists() and not file.is_file():
        raise OSError("it is no regular file")
    with file.open("rb") as opened:
        content = opened.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise OSError(f"it has more than {_LONGEST:,} bytes")
    return content


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def digest(value: object) -> str:
    """A digest of something that JSON can say: a stored value that another one belongs to is damaged."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def typed(kind: type[_T], stored: object) -> _T:
    """A dataclass of plain values, from what was stored of it as JSON.

    Raises:
        TypeError: it is no mapping, or a field is missing, unknown, or of another type.
    """
    if not isinstance(stored, Mapping):
        raise TypeError(f"a {kind.__name__} is {stored!r}")
    hints = _hints(kind)  # type: ignore[arg-type]
    for name, value in stored.items():
        if name in hints and not isinstance(value, (hints[name], int) if hints[name] is float else hints[name]):
            raise TypeError(f"{name} of a {kind.__name__} is {value!r}")
    return kind(**stored)


@cache
def _hints(kind: Hashable) -> dict[str, type]:
    return get_type_hints(kind)
