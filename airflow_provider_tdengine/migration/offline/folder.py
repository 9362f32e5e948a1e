"""What lies in the folder of an export, and whether it is what was written.

    schema.json              source, period, database options, super tables, normal tables: all structure but subtables
    plan.json                the batches, so that an export that was stopped goes on with the same ones
    subtables/*.parquet      the subtables of each super table, with their tags
    rows/TABLE/*.parquet     rows: of a super table's subtables, or of normal tables with the same columns
    index/*.parquet          of each batch, which table's rows lie where, how many, from when to when, and their digest
    parts/*.json             of each batch, and each list of subtables, that is complete: its files with their SHA-256
    manifest.json            all of these; without it, the export is not complete

Each file is written under another name first, and has its own when it is complete. JSON has a hash of itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from typing_extensions import Self

from airflow_provider_tdengine.client.types import Field, Precision, Type
from airflow_provider_tdengine.migration.catalog import Database, Table
from airflow_provider_tdengine.migration.copying import short_name
from airflow_provider_tdengine.migration.documents import content_hash, sealed
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.storage import storage, typed, write_whole

FORMAT = 1

SCHEMA, PLAN, MANIFEST = "schema.json", "plan.json", "manifest.json"

_SEAL = ("package", "sha256")
"""What `sealed` adds."""

_ROOMS = ("parts", "subtables", "rows", "index")

NORMAL_TABLES = "normal-tables"

_PLAIN = re.compile(r"[a-z0-9_]{1,60}")

_CHUNK = 1 << 20
_READERS = 2


@dataclass(frozen=True, slots=True)
class File:
    """A file of an export.

    Parameters:
        name: its path in the folder, with slashes.
        bytes: its length.
        sha256: of its content.
        rows: how many it has.
    """

    name: str
    bytes: int
    sha256: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A batch that is complete.

    Parameters:
        batch: its identity, see `Batch`.
        stable: its super table, None for normal tables.
        files: of rows.
        index: of these.
        rows: how many.
        tables: how many tables have some.
        values: bytes of their values.
        vanished: tables that the source had when the batch was planned, and had no more when it was read to its end;
            of those that went meanwhile, rows may be there.
    """

    batch: str
    stable: str | None
    files: tuple[File, ...]
    index: File
    rows: int
    tables: int
    values: int
    vanished: int = 0

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Self:
        """The inverse of `dataclasses.asdict`.

        Raises:
            KeyError, TypeError: not what that gives.
        """
        files = stored["files"]
        if not isinstance(files, list):
            raise TypeError("the files of a batch are no list")
        index = typed(File, stored["index"])
        return cls(**{**stored, "files": tuple(typed(File, one) for one in files), "index": index})  # type: ignore[arg-type]


class Folder:
    """The folder of an export.

    Parameters:
        path: a folder, or what behaves as one, of any storage.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    # --- JSON

    def load(self, name: str) -> dict[str, object] | None:
        """What was saved in a JSON file, None where there is none.

        Raises:
            MigrationStopped: it is damaged.
            StorageFailed: it cannot be read.
        """
        place = self._place(name)
        with storage("The file", place):
            if not place.exists():
                return None
            text = place.read_text(encoding="utf-8")
        try:
            document = json.loads(text)
            is_whole = isinstance(document, dict) and document.get("sha256") == content_hash(document)
        except ValueError:
            is_whole = False
        if not is_whole:
            found = "its content does not have the SHA-256 that it says of itself"
            raise MigrationStopped([self.damaged(name, found, is_read_again=name != MANIFEST)])
        return {key: value for key, value in document.items() if key not in _SEAL}

    def save(self, name: str, content: Mapping[str, object]) -> None:
        """Write a JSON file, with a hash of itself.

        Raises:
            StorageFailed: it cannot be written.
        """
        place = self._place(name)
        with storage("The file", place):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, json.dumps(sealed(content), indent=1, ensure_ascii=False) + "\n")

    def others(self) -> str | None:
        """The first thing where an export writes that is of none, since there is no schema; None where nothing is.

        Raises:
            StorageFailed: the folder cannot be read.
        """
        with storage("The folder", self.path):
            if self._place(SCHEMA).exists():
                return None
            names = (name for name in (PLAN, MANIFEST, *_ROOMS) if any(_files(self._place(name))))
            return next(names, None)

    def clear(self) -> None:
        """Remove what an export has written.

        The schema goes last: it says of all else, in a folder that was not cleared to the end, that it is an export's.

        Raises:
            StorageFailed: it cannot be removed.
        """
        with storage("The folder", self.path):
            for name in (MANIFEST, *_ROOMS, PLAN, SCHEMA):
                for file in list(_files(self._place(name))):
                    file.unlink()

    # --- Other files

    @contextmanager
    def written(self, name: str) -> Iterator[tuple[IO[bytes], Callable[[int], File]]]:
        """Write a file, which is there when all of it is.

        Parameters:
            name: its path in the folder.

        Returns:
            Where to write, and what says of the file that has been written, by its rows, what it is.

        Raises:
            StorageFailed: it cannot be written.
        """
        place = self._place(name)
        fresh = place.with_name(f"{place.name}.new")
        with storage("The file", place):
            place.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as opened:
                hashed = _Hashed(opened)
                yield hashed, lambda rows: File(name, hashed.length, hashed.sha256.hexdigest(), rows)  # type: ignore[misc]
            fresh.replace(place)

    def readable(self, name: str) -> str | IO[bytes]:
        """A file of its path in the folder, as Parquet is read from it: on a disk, without a copy of its bytes.

        Raises:
            StorageFailed: it cannot be read.
        """
        place = self._place(name)
        if isinstance(place, Path) and type(place).__module__.startswith("pathlib"):
            return str(place)
        with storage("The file", place):
            return place.open("rb")

    def wrong(self, files: Sequence[File]) -> list[Finding]:
        """What is missing or damaged of some files; all of each is read."""
        with ThreadPoolExecutor(_READERS, thread_name_prefix="checksum") as pool:
            return [finding for finding in pool.map(self._wrong, files) if finding]

    def _wrong(self, file: File) -> Finding | None:
        place = self._place(file.name)
        digest, length = hashlib.sha256(), 0
        with storage("The file", place):
            try:
                with place.open("rb") as opened:
                    while chunk := opened.read(_CHUNK):
                        digest.update(chunk)
                        length += len(chunk)
            except FileNotFoundError:
                return self.damaged(file.name, "it is missing")
        if length != file.bytes:
            return self.damaged(file.name, f"it has {length:,} bytes where {file.bytes:,} were written")
        if digest.hexdigest() != file.sha256:
            return self.damaged(file.name, "its bytes are not those that were written (SHA-256)")
        return None

    def damaged(self, name: str, found: str, *, is_read_again: bool = False) -> Finding:
        """What to say of a file that is not what was written.

        Parameters:
            name: its path in the folder.
            found: what is wrong with it.
            is_read_again: whether an export that goes on reads it, and so stops at it, too.
        """
        again = " with force, which writes all of it anew" if is_read_again else ", which writes it anew"
        action = f"Copy it once more from where it was exported, or run the export again{again}"
        return Finding(f"File {str(self._place(name))!r}", found, action, kind="file of an export")

    def _place(self, name: str) -> Path:
        return self.path.joinpath(*name.split("/"))


def _files(place: Path) -> Iterator[Path]:
    """A file, or all those in a folder and in folders in it; what links lead to is somebody else's."""
    if place.is_symlink() or place.is_file():
        yield place
    elif place.is_dir():
        for inner in place.iterdir():
            yield from _files(inner)


def folder_name(table: str) -> str:
    """What the files of a super table are called: as it is, unless a file system might take it for another one."""
    return table if _PLAIN.fullmatch(table) else short_name(table)


class _Hashed:
    """A file that is written, and what is known of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.length = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.length += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Whoever has opened the file closes it."""


def parts_of(manifest: Mapping[str, object]) -> list[Part]:
    """The batches that a manifest lists.

    Raises:
        KeyError, TypeError: it is none.
    """
    return [Part.from_dict(one) for one in manifest["batches"]]  # type: ignore[attr-defined]


def free_name(name: str, fields: Sequence[Field]) -> str:
    """A column's name that none of some others has."""
    taken = {field.name.lower() for field in fields}
    while name in taken:
        name += "_"
    return name


# --- Structure as JSON


def database_to_dict(database: Database) -> dict[str, object]:
    """For JSON."""
    return {
        "name": database.name,
        "precision": database.precision.value,
        "keep": list(database.keep),
        "duration": database.duration,
        "options": dict(database.options),
    }


def database_from_dict(stored: Mapping[str, object]) -> Database:
    """The inverse; of a database in files."""
    keep: list[int] = stored["keep"]  # type: ignore[assignment]
    options: dict[str, str] = stored["options"]  # type: ignore[assignment]
    duration: int | None = stored["duration"]  # type: ignore[assignment]
    precision = Precision(stored["precision"])
    return Database(str(stored["name"]), precision, tuple(keep), duration, options, is_stored=True)


def table_to_dict(table: Table) -> dict[str, object]:
    """For JSON."""
    return {
        "name": table.name,
        "columns": list(map(_field_to_dict, table.columns)),
        "tags": list(map(_field_to_dict, table.tags)),
        "second_key": table.second_key,
        "storage": dict(table.storage),
    }


def table_from_dict(stored: Mapping[str, object]) -> Table:
    """The inverse: all its columns are those that were exported."""
    columns, tags = (
        tuple(_field_from_dict(one) for one in stored[name])  # type: ignore[attr-defined]
        for name in ("columns", "tags")
    )
    second_key: str | None = stored["second_key"]  # type: ignore[assignment]
    kept: dict[str, str] = stored["storage"]  # type: ignore[assignment]
    return Table(str(stored["name"]), columns, tags, second_key, kept)


def _field_to_dict(field: Field) -> dict[str, object]:
    digits = {"digits": field.digits, "scale": field.scale} if field.digits else {}
    return {"name": field.name, "type": field.type.name, "length": field.length, **digits, "sql": field.sql_type}


def _field_from_dict(stored: Mapping[str, object]) -> Field:
    length, digits, scale = (int(str(stored.get(name, 0))) for name in ("length", "digits", "scale"))
    return Field(str(stored["name"]), Type[str(stored["type"])], length, digits, scale)
