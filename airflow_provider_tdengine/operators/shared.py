"""Folders on a disk that options name: whether the hosts of all tasks of a run share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from airflow.sdk import ObjectStoragePath

from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.options import RESOLVED_ON, MigrationOptions
from airflow_provider_tdengine.migration.storage import storage, this_host

if TYPE_CHECKING:
    from airflow.sdk import Context

_DISK = ("", "file", "local")
"""Protocols of paths on a disk."""

_MARK = ".resolved"
"""A file in a run's folder; who sees it sees the disk of the task `resolve`."""


def run_folder(path: str, context: Context) -> Path:
    """A run's own folder in a storage that an option names."""
    run = context["dag_run"]
    return cast(Path, ObjectStoragePath(path) / quote(run.dag_id, safe="") / quote(run.run_id, safe=""))


def mark_folders(options: MigrationOptions, context: Context) -> dict[str, str]:
    """Mark the run's folders on this host's disk.

    Returns:
        What tasks after this one must be given beside the options; empty where there is no such folder.

    Raises:
        StorageFailed: one cannot be written.
    """
    folders = _on_disk(options, context)
    for folder in folders.values():
        with storage("The folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _MARK).write_text(f"{this_host()}\n", encoding="utf-8")
    return {RESOLVED_ON: this_host()} if folders else {}


def not_shared(options: MigrationOptions, given: Mapping[str, object], context: Context) -> Iterator[Finding]:
    """Folders that this host does not share with the one that has marked them.

    Parameters:
        options: which name them.
        given: what they were made of, with what `mark_folders` has said.
        context: of a task of the same run.

    Raises:
        StorageFailed: one cannot be looked into.
    """
    resolved_on = given.get(RESOLVED_ON)
    if resolved_on is None or options.dry_run:
        return
    for option, folder in _on_disk(options, context).items():
        with storage("The folder", folder):
            mark = folder / _MARK
            # An earlier try of resolve may have left one on another host.
            is_shared = mark.exists() and mark.read_text(encoding="utf-8").strip() == resolved_on
        if not is_shared:
            found = f"{this_host()} does not have the folder {folder} that task resolve has made on {resolved_on}"
            yield Finding(
                f"Option {option!r}",
                found,
                "Give a URL of an object storage, or a folder that all workers share, and start a new run; "
                "if they do share it, clear resolve",
            )


def _on_disk(options: MigrationOptions, context: Context) -> dict[str, Path]:
    """The run's folders, by option, that are on a disk."""
    named = {option: run_folder(folder, context) for option, folder in options.folders.items() if folder}
    return {option: folder for option, folder in named.items() if cast(ObjectStoragePath, folder).protocol in _DISK}
