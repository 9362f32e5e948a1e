"""What a migration keeps, damaged, foreign or on a disk that is full: it starts that part anew, or says a sentence."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.copying import Batch, Checkpoint, copy_batch
from airflow_provider_tdengine.migration.findings import Finding
from airflow_provider_tdengine.migration.following import Position
from airflow_provider_tdengine.migration.storage import StorageFailed, folder_findings, storage, typed

from .conftest import SOURCE, TARGET, BoxPair, T, address
from .test_cli import run


def as_folder(file: Path) -> None:
    """What not even root reads as a file."""
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_text(""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "garbage": lambda file: file.write_bytes(b"\xff\x00{"),
    "other JSON": lambda file: file.write_text("[1]"),
    "deep JSON": lambda file: file.write_text("[" * 100_000),
    "a digit": lambda file: file.write_text(file.read_text().replace("0", "1")),
    "a folder": as_folder,
}


@pytest.fixture
def stopped(meters: BoxPair, call: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    """The files of a migration that was stopped after its batch."""

    def interrupted(*given: object, **named: object) -> object:
        copy_batch(*given, **named)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "copy_batch", interrupted)
        assert run(capsys, "migrate", *call)[0] == 1
    files = sorted(tmp_path.glob(".airflow-tdengine/*/*"))
    assert [file.suffix for file in files] == [".json"] * 3, "created, plan and a checkpoint"
    return files


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_damaged_or_of_another_is_passed_over(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "position.json"
    progress = cli.FileProgress(file, "a")
    assert progress.load() is None
    assert not caplog.text
    progress.save({"watermark": 1000})
    assert progress.load() == {"watermark": 1000}
    assert cli.FileProgress(file, "b").load() is None
    caplog.clear()
    DAMAGES[damage](file)
    assert progress.load() is None
    assert f"The file {file} is passed over, and that part starts anew" in caplog.text


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("name", ["created", "plan", "checkpoint"])
def test_state_that_is_damaged_is_made_anew(
    stopped: list[Path], call: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (file for file in stopped if (file.stem if file.stem in ("created", "plan") else "checkpoint") == name)
    DAMAGES["garbage"](file)
    status, said = run(capsys, "migrate", *call)
    assert (status, "Equal as copied: 3,000 rows in 3 tables" in said) == (0, True)


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_state_of_another_migration_is_not_used(
    meters: BoxPair, stopped: list[Path], call: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody has moved a folder: the other target has none of the rows."""
    other = [*call[:-4], "--target-database", f"{TARGET}2", *call[-2:]]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cli.State, "keep_plan", _interrupt)
            run(capsys, "migrate", *other)
        (theirs,) = (folder for folder in tmp_path.glob(".airflow-tdengine/*") if folder != stopped[0].parent)
        for file in stopped:
            if file.stem != "created":
                file.rename(theirs / file.name)
        status, said = run(capsys, "migrate", *other)
        assert (status, "Equal as copied: 3,000 rows in 3 tables" in said) == (0, True)
        assert meters.target.rows(f"select count(*) from {TARGET}2.meters") == [(3000,)]
    finally:
        meters.target.execute(f"drop database if exists {TARGET}2")


def _interrupt(*given: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("option", ["state", "dead_letter_path", "certificate_path"])
def test_a_path_that_cannot_be_written_is_said_before_copying(
    meters: BoxPair, call: list[str], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    arguments = [f"--{option.replace('_', '-')}", "file/folder", *(["--on-error", "dead_letter"] * (option[0] == "d"))]
    read = meters.source_box.rows_read
    assert cli.main(["migrate", *call, *arguments]) == 1
    said = capsys.readouterr().out
    assert ("Not a directory" in said, said.count("file/folder"), "Traceback" in said) == (True, 1, False)
    assert meters.source_box.rows_read == read


class FullDisk:
    """Writing of files whose names end so fails, as on a disk that is full."""

    def __init__(self, patch: pytest.MonkeyPatch, ending: str) -> None:
        original = Path.write_text

        def write_text(file: Path, *given: Any, **named: Any) -> int:
            if file.name.removesuffix(".new").endswith(ending):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            return original(file, *given, **named)

        patch.setattr(Path, "write_text", write_text)
        patch.setattr(retry, "PATIENCE", 0.1)


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("ending", [".jsonl", "certificate.html", "plan.json", "created.json"])
def test_a_disk_that_becomes_full_is_a_sentence(
    meters: BoxPair, call: list[str], ending: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(monkeypatch, ending)
    meters.sql(f"create table {SOURCE}.far (ts timestamp, due timestamp)")
    meters.sql(f"insert into {SOURCE}.far values ({T}, {T}) ({T + 1}, 9999999999999)")
    meters.target.execute(f"drop database {TARGET}")
    meters.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    kept = ["--on-error", "dead_letter", "--dead-letter-path", "letters", "--certificate-path", "proof"]
    assert cli.main(["migrate", *call, *kept]) == 1
    said = capsys.readouterr()
    assert "cannot be read or written (No space left on device)" in said.out
    # The verdict is known before its certificate fails.
    assert ("3,001 of 3,002 rows arrived" in said.out) == (ending == "certificate.html")


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_a_checkpoint_that_cannot_be_written_is_a_warning(
    meters: BoxPair,
    call: list[str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = cli.FileProgress.write

    def write(self: cli.FileProgress, kept: dict[str, object]) -> None:
        if "spans" in kept:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, kept)

    monkeypatch.setattr(cli.FileProgress, "write", write)
    assert run(capsys, "migrate", *call)[0] == 0
    assert "was not saved: [Errno 28] No space left on device" in caplog.text


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("kind", ["zeros", "pipe", "folder", "NUL"])
def test_a_file_of_names_that_has_no_end_is_a_sentence(
    faulty: BoxPair, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nul").write_bytes(b"a,b\0\n")
    path = {"zeros": "/dev/zero", "pipe": tmp_path / "pipe", "folder": tmp_path, "NUL": tmp_path / "nul"}[kind]
    url = str(address(faulty.source_box)).replace("://", "://root:taosdata@")
    sides = ["--source-conn-id", url, "--target-conn-id", url, "--source-database", "a", "--target-database", "b"]
    options = ["tables", "stables", "exclude", "rename_tables", "rename_stables", "rename_columns"]
    flags = [f"--{option.replace('_', '-')}=@{path}" for option in options]
    assert cli.main(["plan", *sides, *flags]) == 2
    said = capsys.readouterr().out
    for option in options:
        assert kind == "NUL" or f"Option {option!r}: the file {str(path)!r} cannot be read" in said


@dataclass
class Plain:
    """What `typed` may be asked for."""

    name: str
    count: int | None
    share: float = 0.5


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        "x",
        {},
        {"name": "a"},
        {"name": 1, "count": 2},
        {"name": "a", "count": "2"},
        {"name": "a", "count": 1.5},
        {"name": "a", "count": 1, "share": "x"},
        {"name": "a", "count": 1, "more": 2},
        {"name": ["a"], "count": 1},
    ],
)
def test_what_is_not_what_was_stored_is_refused(stored: object) -> None:
    assert typed(Plain, {"name": "a", "count": None, "share": 1}) == Plain("a", None, 1)
    with pytest.raises(TypeError):
        typed(Plain, stored)


@pytest.mark.parametrize(
    "damage",
    [
        {"spans": [{"table": 5, "time": None, "last_table": "b", "last_time": None, "done": False}]},
        {"spans": [["a", None, "b", None, False]]},
        {"spans": "x"},
        {"strategy": "fast"},
        {"since": "x"},
        {"tally": {}},
    ],
)
def test_a_checkpoint_that_cannot_be_one_is_refused(damage: dict[str, object]) -> None:
    sound = Checkpoint("b", "dense").to_dict()
    Checkpoint.from_dict(sound)
    with pytest.raises((KeyError, TypeError, ValueError)):
        Checkpoint.from_dict({**sound, **damage})


def test_positions_and_batches_have_their_types() -> None:
    position, batch = Position("of", 5, 5).to_dict(), Batch("s", None, "d", 1, None, 9, 10).to_dict()
    assert (Position.from_dict(position).watermark, Batch.from_dict(batch).rows) == (5, 10)
    with pytest.raises(TypeError):
        Position.from_dict({**position, "watermark": "5"})
    with pytest.raises(TypeError):
        Batch.from_dict({**batch, "first": 7})


def test_runs_that_begin_together_probe_one_folder(tmp_path: Path) -> None:
    """One run's probe is not what another one removes."""

    def probe(_: int) -> list[Finding]:
        return list(folder_findings({"dead_letter_path": str(tmp_path)}))

    with ThreadPoolExecutor(8) as pool:
        assert [found for found in pool.map(probe, range(400)) if found] == []
    assert list(tmp_path.iterdir()) == []


def test_an_object_storage_that_answers_nonsense_is_a_sentence() -> None:
    """The library below has an error for it that is no OSError."""

    def answer(server: socket.socket) -> None:
        with server.accept()[0] as peer:
            peer.recv(1 << 16)
            peer.sendall(b"nonsense\r\n\r\n")

    async def read(url: str) -> None:
        async with aiohttp.request("GET", url):
            pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/power/schema.json"
        with pytest.raises(StorageFailed, match="cannot be read or written") as failed, storage("The file", url):
            asyncio.run(read(url))
    assert not isinstance(failed.value.__cause__, OSError)
    assert failed.value.retryable
