"""An export and its import, as a person calls them: what arrives, what goes on, what is found before it is written."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.client.block import Block
from airflow_provider_tdengine.client.errors import TableMissing
from airflow_provider_tdengine.client.result import Result
from airflow_provider_tdengine.migration import retry
from airflow_provider_tdengine.migration.background import Stopped
from airflow_provider_tdengine.migration.catalog import Catalog, Scope, each
from airflow_provider_tdengine.migration.copying import Copied, MemoryProgress, copy_batch
from airflow_provider_tdengine.migration.findings import MigrationStopped
from airflow_provider_tdengine.migration.headway import Headway
from airflow_provider_tdengine.migration.offline import Export, StoredCatalog, export, opened, row_file
from airflow_provider_tdengine.migration.offline.folder import Folder, parts_of
from airflow_provider_tdengine.migration.options import MigrationOptions
from airflow_provider_tdengine.migration.planning import make_plan, plan
from airflow_provider_tdengine.migration.structure import SchemaSync, things
from airflow_provider_tdengine.testing import catalog as box_catalog

from ..conftest import SOURCE, TARGET, BoxPair, T

FAR = 9 * 10**18

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Calls:
    """The command line, with what all calls have in common."""

    def __init__(self, pair: BoxPair, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder / "export"
        self._state = str(folder / "state")
        self._capsys = capsys
        source, target = (str(side.address).replace("://", "://root:taosdata@") for side in (pair.source, pair.target))
        self._source = ["--source-conn-id", source, "--source-database", SOURCE, "--folder", str(self.folder)]
        self._target = ["--target-conn-id", target, "--target-database", TARGET, "--folder", str(self.folder)]

    def _call(self, *arguments: str) -> tuple[int, str]:
        self._capsys.readouterr()
        status = cli.main(arguments)
        said = self._capsys.readouterr()
        assert "taosdata@127" not in said.out + said.err
        return status, said.out + said.err

    def export(self, *more: str) -> tuple[int, str]:
        return self._call("export", *self._source, *more)

    def bring(self, *more: str) -> tuple[int, str]:
        return self._call("import", *self._target, "--state", self._state, *more)

    @property
    def rows_files(self) -> list[Path]:
        return sorted(self.folder.rglob("rows/**/*.parquet"))


@pytest.fixture
def calls(faulty: BoxPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Calls:
    return Calls(faulty, tmp_path, capsys)


@pytest.fixture
def two(faulty: BoxPair, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> BoxPair:
    """Two subtables in two batches, in the source alone."""
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 500)
    faulty.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.meters (ts timestamp, v double, note nchar(8)) tags (g int)",
    )
    for i in range(2):
        values = "".join(f"({T + row * 10_000},{(row + i) / 7},'n{row}')" for row in range(500))
        faulty.sql(
            f"create table {SOURCE}.d{i} using {SOURCE}.meters tags ({i})", f"insert into {SOURCE}.d{i} values {values}"
        )
    return faulty


def of_all_kinds(pair: BoxPair) -> None:
    """Tables with rows and without, of both kinds, with odd names, and timestamps far away."""
    pair.sql(
        f"create database {SOURCE} precision 'us' keep 36500",
        f"create stable {SOURCE}.`Full` (ts timestamp, v float, t2 timestamp, raw binary(8)) "
        "tags (`site 1` nchar(8), n int)",
        f"create stable {SOURCE}.empty (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.`A b` using {SOURCE}.`Full` tags ('北京', null)",
        f"create table {SOURCE}.`a B` using {SOURCE}.`Full` tags (null, -1)",
        f"create table {SOURCE}.none_yet using {SOURCE}.`Full` tags ('x', 1)",
        f"create table {SOURCE}.alone (ts timestamp, tbname_ bool)",
        f"create table {SOURCE}.alike (ts timestamp, tbname_ bool)",
        f"create table {SOURCE}.nothing (ts timestamp, v int)",
        f"insert into {SOURCE}.`A b` values ({T * 1000}, 1.5, {-FAR}, 'x') ({T * 1000 + 1}, null, {FAR}, null)",
        f"insert into {SOURCE}.`a B` values ({T * 1000}, -2.25, 0, '')",
        f"insert into {SOURCE}.alone values ({T * 1000}, true)",
        f"insert into {SOURCE}.alike values ({T * 1000}, null)",
    )


def test_what_is_exported_arrives(faulty: BoxPair, calls: Calls, tmp_path: Path) -> None:
    of_all_kinds(faulty)
    status, said = calls.export("--json")
    assert (status, json.loads(said)["rows"], json.loads(said)["subtables"]) == (0, 5, 3)
    status, said = calls.bring("--certificate-path", str(tmp_path / "proof"))
    assert status == 0, said
    assert "Equal as copied: 5 rows in 4 tables" in said
    ours, theirs = faulty.both()
    assert ours == theirs
    (proof,) = (tmp_path / "proof").rglob("certificate.json")
    document = json.loads(proof.read_text())
    origin = document["source"]
    # What it says of the source is of the time at which that was read.
    assert document["verdict"]["as_of"] == datetime.fromisoformat(origin["exported"]).timestamp()
    assert origin["folder"] == str(calls.folder)
    assert origin["address"] == str(faulty.source.address)
    table = pq.read_table(next(file for file in calls.rows_files if "normal" in str(file)))
    assert sorted(table.column("tbname").to_pylist()) == ["alike", "alone"]


def test_names_precision_and_period_may_be_others(faulty: BoxPair, calls: Calls) -> None:
    of_all_kinds(faulty)
    assert calls.export()[0] == 0
    given = ["--rename-tables", "* -> new *", "--exclude", "alike", "--stables", "Full", "--columns", "v"]
    given += ["--database-options", "PRECISION 'ns'", "--end", "2021-01-01T00:00:00.000001Z"]
    status, said = calls.bring(*given)
    assert status == 0, said
    assert "2 rows in 2 tables" in said
    there = faulty.target.rows(f"select tbname, ts, v from {TARGET}.`Full`")
    assert sorted(there) == [("new A b", T * 1_000_000, 1.5), ("new a B", T * 1_000_000, -2.25)]


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_it_goes_on_where_it_stopped(two: BoxPair, calls: Calls) -> None:
    stop = threading.Event()

    class OneBatch(Headway):
        def at(self, done: int, earlier: int | None = None) -> None:
            if done:
                stop.set()

    options = two.options()
    with pytest.raises(Stopped):
        Export(two.catalogs[0], options, calls.folder, stop).run(OneBatch("export"))
    with pytest.raises(MigrationStopped, match="not complete"):
        opened(calls.folder)
    # What is there is not read again.
    two.sql(f"insert into {SOURCE}.d0 values ({T}, -1, 'changed')", f"create table {SOURCE}.new (ts timestamp, v int)")
    done = Export(two.catalogs[0], options, calls.folder).run()
    assert (done.batches, done.kept, done.rows) == (2, 1, 1000)
    assert calls.bring()[0] == 0
    assert two.target.rows(f"select note from {TARGET}.d0 limit 1") == [("n0",)]


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_an_import_goes_on_from_its_checkpoint(two: BoxPair, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 5000)
    monkeypatch.setattr(row_file, "_MOST_ROWS", 100)
    assert calls.export("--strategy", "dense")[0] == 0
    stored, target = opened(calls.folder), Catalog(two.target, TARGET)
    given = {"source_conn_id": "a", "target_conn_id": "b", "target_database": TARGET}
    options = MigrationOptions.checked(stored.given({**given, "workers": 1, "strategy": "dense"}))
    SchemaSync(stored, target, options).run()
    (batch,) = make_plan(stored, target, options)
    progress, stop, read = MemoryProgress(), threading.Event(), StoredCatalog.block

    def copy() -> Copied:
        return copy_batch(opened(calls.folder), target, batch, options, progress, stop=stop)

    def stop_in_the_middle(catalog: StoredCatalog, file: int, group: int) -> Any:
        if group == len(catalog.groups) - 1:
            # Of the second table some rows are left.
            stop.set()
        return read(catalog, file, group)

    with monkeypatch.context() as patch:
        patch.setattr(StoredCatalog, "block", stop_in_the_middle)
        with pytest.raises(Stopped):
            copy()
    saved = progress.load()
    assert saved
    before = cast("dict[str, int]", saved["tally"])["rows"]
    assert 500 <= before < 1000
    (there,) = two.target.rows(f"select count(*) from {TARGET}.d0")
    assert there == (500,)
    # What is written again has the note that it has in the files.
    marked = "".join(f"({T + row * 10_000},0,'here')" for row in range(500))
    two.target.execute(f"insert into {TARGET}.d0 values {marked}")
    stop.clear()
    copied = copy()
    assert (copied.rows, copied.tried) == (1000, 1000 - before)
    assert two.target.rows(f"select count(*) from {TARGET}.d0 where note = 'here'") == [(500,)]
    assert two.target.rows(f"select count(*), first(note), last(note) from {TARGET}.d1") == [(500, "n0", "n499")]


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_an_export_mends_its_own_files(two: BoxPair, calls: Calls) -> None:
    assert calls.export()[0] == 0
    calls.rows_files[0].unlink()
    (calls.folder / "manifest.json").write_text("{")
    status, said = calls.export("--json")
    assert (status, json.loads(said)["kept"]) == (0, 1)
    assert calls.bring()[0] == 0
    for file in ("schema.json", "plan.json", "parts/0001.json"):
        (calls.folder / file).write_text("{")
        status, said = calls.export()
        assert status
        assert f"{file}': its content does not have the SHA-256" in said
        assert "run the export again with force" in said
        status, said = calls.export("--force", "--json")
        assert (status, json.loads(said)["kept"]) == (0, 0)


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("damage", ["a byte", "the end", "the file", "the manifest", "all structure"])
def test_damage_is_found_before_anything_is_written(two: BoxPair, calls: Calls, damage: str) -> None:
    assert calls.export()[0] == 0
    file = calls.rows_files[0]
    if damage == "the file":
        file.unlink()
    elif damage in ("the manifest", "all structure"):
        file = calls.folder / ("manifest.json" if damage == "the manifest" else "schema.json")
        file.write_text(file.read_text().replace("meters", "meterz", 1))
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content if damage == "a byte" else content[:-1])
    status, said = calls.bring()
    assert status == 2
    assert file.name in said
    assert Catalog(two.target, TARGET).database() is None


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_rows_are_those_that_the_source_gave(two: BoxPair, calls: Calls) -> None:
    """However right the SHA-256 of a file is."""
    assert calls.export()[0] == 0
    folder = Folder(calls.folder)
    manifest = folder.load("manifest.json") or {}
    one, other = parts_of(manifest)
    file, another = one.files[0], other.files[0]
    (calls.folder / file.name).write_bytes((calls.folder / another.name).read_bytes())
    swapped = replace(one, files=(replace(another, name=file.name), *one.files[1:]))
    folder.save("manifest.json", {**manifest, "batches": [asdict(swapped), asdict(other)]})
    status, said = calls.bring()
    assert status
    assert "its rows are not those that the source gave" in said
    assert not two.target.rows(f"select * from {TARGET}.d0")


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_a_folder_is_of_one_export(two: BoxPair, calls: Calls) -> None:
    assert calls.export("--tables", "d0")[0] == 0
    status, said = calls.export()
    assert status == 2
    assert "was begun with tables 'd0', and would go on with ''" in said
    two.sql(f"alter stable {SOURCE}.meters add column more int")
    status, said = calls.export("--tables", "d0")
    assert status == 1
    assert "Table 'meters': it has other columns" in said
    status, said = calls.export("--force", "--json")
    assert (status, json.loads(said)["rows"]) == (0, 1000)
    two.sql(f"drop database {SOURCE}", f"create database {SOURCE}", f"create table {SOURCE}.t (ts timestamp, v int)")
    assert calls.export()[0]


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_tables_are_alike_that_are_read_alike(faulty: BoxPair, calls: Calls) -> None:
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create table {SOURCE}.a (ts timestamp, v int)",
        f"create table {SOURCE}.b (ts timestamp, v int, secret int)",
        f"insert into {SOURCE}.a values ({T}, 1)",
        f"insert into {SOURCE}.b values ({T}, 2, 3)",
    )
    assert calls.export("--exclude-columns", "secret")[0] == 0
    assert calls.bring()[0] == 0
    assert faulty.target.rows(f"select * from {TARGET}.b") == faulty.target.rows(f"select ts, v from {TARGET}.b")


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_a_super_table_may_have_the_name_of_a_batch(faulty: BoxPair, calls: Calls) -> None:
    faulty.sql(
        f"create database {SOURCE} keep 36500",
        f"create stable {SOURCE}.`0001` (ts timestamp, v int) tags (g int)",
        f"create table {SOURCE}.c using {SOURCE}.`0001` tags (1)",
        f"insert into {SOURCE}.c values ({T}, 1)",
    )
    assert calls.export()[0] == 0
    status, said = calls.export("--json")
    assert (status, json.loads(said)["kept"]) == (0, 1)


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_files_of_others_stay(two: BoxPair, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, linked = calls.folder / "rows" / "mine" / "thesis.txt", tmp_path / "elsewhere"
    mine.parent.mkdir(parents=True)
    linked.mkdir()
    (linked / "here").touch()
    (mine.parent / "link").symlink_to(linked)
    mine.touch()
    status, said = calls.export()
    assert status == 2
    assert "it holds 'rows', which is of no export" in said
    assert mine.exists()
    unlink = Path.unlink

    def killed(file: Path, missing_ok: bool = False) -> None:
        if file.name == "schema.json":
            raise Stopped
        unlink(file, missing_ok)

    assert calls.export("--force")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(Stopped):
            Folder(calls.folder).clear()
    # What was cleared in part is no folder of others.
    status, said = calls.export("--json")
    assert (status, json.loads(said)["kept"]) == (0, 0)
    assert not mine.exists()
    assert (linked / "here").exists()
    Folder(calls.folder).clear()
    assert calls.export()[0] == 0


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_files_do_not_expire(two: BoxPair, calls: Calls) -> None:
    """The source's KEEP says what the target keeps, and nothing of rows in files, which are years old some day."""
    assert calls.export()[0] == 0
    folder = Folder(calls.folder)
    schema, manifest = folder.load("schema.json") or {}, folder.load("manifest.json") or {}
    schema["database"] = {**cast("dict[str, object]", schema["database"]), "keep": [1440]}
    folder.save("schema.json", schema)
    from airflow_provider_tdengine.migration.storage import digest  # noqa: PLC0415

    folder.save("manifest.json", {**manifest, "schema": digest(schema)})
    status, said = calls.bring()
    assert status == 1
    assert "older" in said
    status, said = calls.bring("--database-options", "KEEP 36500")
    assert status == 0, said
    assert two.target.rows(f"select count(*) from {TARGET}.meters") == [(1000,)]


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_rows_that_are_damaged_in_the_target_come_from_the_files(two: BoxPair, calls: Calls) -> None:
    assert calls.export()[0] == 0
    two.sql(f"drop database {SOURCE}")
    assert calls.bring()[0] == 0
    two.target.execute(f"delete from {TARGET}.d1 where ts < {T + 5_000}")
    two.target.execute(f"insert into {TARGET}.d0 values ({T}, 0, 'other')")
    status, said = calls.bring()
    assert status == 0, said
    assert two.target.rows(f"select count(*), first(note) from {TARGET}.d1") == [(500, "n0")]
    assert two.target.rows(f"select first(note) from {TARGET}.d0") == [("n0",)]


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_any_storage_will_do(two: BoxPair, calls: Calls) -> None:
    folder = cast(Path, ObjectStoragePath(f"file://{calls.folder}"))
    assert not type(folder).__module__.startswith("pathlib")  # In Airflow 3.1 it is a Path of its own kind.
    done = Export(two.catalogs[0], two.options(), folder).run()
    assert done.rows == 1000
    assert Export(two.catalogs[0], two.options(), folder).run().kept == 2
    stored = opened(folder)
    with stored.session() as session:
        blocks = [block for block, _ in session.read(stored.describe("meters"), ["d0", "d1"], (None, None))]
    assert sum(block.rows for block in blocks) == 1000


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_lost_sessions_cost_nothing(two: BoxPair, calls: Calls) -> None:
    two.source_box.faults.cut_after_blocks(1)
    assert calls.export()[0] == 0
    status, said = calls.bring()
    assert status == 0, said
    ours, theirs = two.both()
    assert ours == theirs


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_rows_may_go_while_they_are_exported(two: BoxPair, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table is to have what it is counted to have then, also where slices of a large one lie before it."""
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 5000)
    monkeypatch.setattr(export, "ROWS_A_UNIT", 400)
    monkeypatch.setattr(export, "rows_a_group", lambda table: 550)
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    values = "".join(f"({T + row * 10_000},0,'more')" for row in range(500, 600))
    two.sql(
        f"insert into {SOURCE}.d0 values {values}",
        f"insert into {SOURCE}.d2 using {SOURCE}.meters tags (2) values ({T}, 1, '')",
    )
    read, reads = export.read_group, []

    def read_group(*given: Any, **more: Any) -> Any:
        reads.append(given)
        if len(reads) < 3:
            two.sql(f"delete from {SOURCE}.d1 where ts < {T + len(reads) * 10_000}")
        return read(*given, **more)

    monkeypatch.setattr(export, "read_group", read_group)
    status, said = calls.export("--strategy", "sparse", "--workers", "1", "--json")
    assert (status, json.loads(said.splitlines()[-1])["rows"]) == (0, 600 + 498 + 1)
    assert len(reads) == 3


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize(
    ("strategy", "asks", "rows"),
    [("dense", "make_batches", 500), ("dense", "read_unit", 900), ("sparse", "read_group", 500)],
)
def test_tables_that_go_meanwhile_are_said(
    two: BoxPair, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, asks: str, rows: int
) -> None:
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 5000)
    monkeypatch.setattr(retry, "PAUSE", 0.01)
    ask = getattr(export, asks)

    def meanwhile(*given: Any, **more: Any) -> Any:
        if asks == "read_group":
            two.sql(f"drop table if exists {SOURCE}.d1")
        found = ask(*given, **more)
        if asks == "make_batches":
            two.sql(f"drop table {SOURCE}.d1")
        return SimpleNamespace(blocks=lambda: cut_short(found)) if more_is_lost(*given) else found

    def more_is_lost(*given: Any) -> bool:
        return asks == "read_unit" and given[-1].table == "d1"

    def cut_short(found: Result) -> Iterator[Block]:
        yield next(iter(found.blocks()))
        two.sql(f"drop table {SOURCE}.d1")
        raise TableMissing("d1")

    monkeypatch.setattr(export, asks, meanwhile)
    for _ in range(2):
        status, said = calls.export("--strategy", strategy, "--json")
        done = json.loads(said.splitlines()[-1])
        assert (status, done["rows"], done["vanished"]) == (0, rows, 1)
    assert "tables that have gone 1" in " ".join(calls.export("--strategy", strategy)[1].split())
    status, said = calls.bring("--certificate-path", str(tmp_path / "proof"))
    assert status == 0, said
    assert "qual as copied but for 1 table that vanished from the source" in said
    (proof,) = (tmp_path / "proof").rglob("certificate.json")
    assert json.loads(proof.read_text())["verdict"]["vanished"] == 1


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_no_file_has_a_password(two: BoxPair, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, notify = "create stream s into t as select 1", "notify('ws://root:hidden@h')"
    # A definition is cut after 4,000 characters, which is in the password here.
    made = {"plain": plain, "leaky": f"{plain} {notify}", "long": f"{plain:3983}{notify}"}
    fields = box_catalog.information.fields_of("stream_name:192 source_db:64 sql:8192")
    rows = [(name, SOURCE, statement) for name, statement in made.items()]
    monkeypatch.setitem(box_catalog.information._INFORMATION_SCHEMA, "ins_streams", (fields, lambda *_: rows))
    assert calls.export()[0] == 0
    schema = (calls.folder / "schema.json").read_text()
    assert "notify('ws://root:***@h')" in schema
    assert "root:hid" not in schema
    # No masked statement is executed.
    assert {one.name: one.definition for one in things(opened(calls.folder), ["stream"])} == {
        "plain": plain,
        "leaky": "",
        "long": "",
    }


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
def test_tables_of_a_row_group_are_counted_with_one_reading(
    two: BoxPair, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only a part of the period of their rows is meant."""
    monkeypatch.setattr(plan, "ROWS_A_BATCH", 5000)
    for name in ("n0", "n1"):
        two.sql(
            f"create table {SOURCE}.{name} (ts timestamp, v int)",
            f"insert into {SOURCE}.{name} values ({T}, 0) ({T + 10_000}, 1)",
        )
    assert calls.export("--strategy", "sparse")[0] == 0
    stored, read, reads = opened(calls.folder), StoredCatalog._checked, []

    def checked(*given: Any) -> Block:
        reads.append(given)
        return read(*given)

    monkeypatch.setattr(StoredCatalog, "_checked", checked)
    for tables, rows in (["meters"], [998]), (["n0", "n1"], [1, 1]):
        reads.clear()
        held = each(stored, list(map(stored.describe, tables)), Scope(), (T + 10_000, None))
        assert ([one.rows for one in held], len(reads)) == (rows, 1)


def test_without_pyarrow_it_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None; from airflow_provider_tdengine.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "import", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'airflow-provider-tdengine[parquet]'" in done.stdout + done.stderr
