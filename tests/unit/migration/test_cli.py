"""The command line, as a person or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_tdengine import cli
from airflow_provider_tdengine.migration.copying import copy_batch
from airflow_provider_tdengine.migration.planning import make_plan

from .conftest import SOURCE, TARGET, BoxPair, T


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    status = cli.main(arguments)
    said = capsys.readouterr()
    assert "taosdata@127" not in said.out + said.err
    return status, said.out


def test_a_migration_from_plan_to_status(
    meters: BoxPair, call: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = run(capsys, "plan", *call)
    assert status == 0
    assert "3 tables, 3,000 rows" in said
    assert not meters.target.rows(f"select * from {TARGET}.meters")
    status, said = run(capsys, "migrate", *call)
    assert status == 0
    assert "Equal as copied: 3,000 rows in 3 tables" in said
    status, said = run(capsys, "status", "--json", *call)
    assert json.loads(said) == {"meters": {"source": 3000, "target": 3000}}
    assert run(capsys, "verify", *call)[0] == 0
    meters.target.execute(f"drop table {TARGET}.d1")
    assert run(capsys, "verify", *call)[0] == 1
    assert run(capsys, "migrate", *call)[0] == 0
    assert not list(tmp_path.glob(".airflow-tdengine/*"))


@pytest.mark.parametrize("faulty", ["3.3.3.0"], indirect=True)
@pytest.mark.parametrize("verify", ["full", "none"])
def test_other_objects_are_said(
    meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str], verify: str
) -> None:
    meters.sql(f"create topic mig_topic with meta as database {SOURCE}")
    try:
        status, said = run(capsys, "migrate", "--objects", "all", "--verify", verify, *call)
        made = meters.target.rows("show topics")
    finally:
        meters.sql("drop topic mig_topic")
        meters.target.execute("drop topic if exists mig_topic")
    assert (status, made) == (0, [("mig_topic",)])
    assert "Topic 'mig_topic': it was made" in said
    assert "with meta as database" in said


def test_what_was_stopped_goes_on(
    meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [text for text in call if text not in ("--end", "2022-01-01")] + ["--verify", "count"]

    def interrupted(*given: object, **named: object) -> object:
        copy_batch(*given, **named)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cli, "copy_batch", interrupted)
        assert run(capsys, "migrate", *arguments)[0] == 1
    read = meters.source_box.rows_read
    assert run(capsys, "migrate", *arguments, "--verify", "none")[0] == 0
    again = meters.source_box.rows_read
    assert again - read >= 3000, "other options are another migration"
    status, said = run(capsys, "migrate", *arguments)
    assert status == 0
    assert meters.source_box.rows_read - again < 3000
    assert "3,000 rows, 0 of them now, 0 rows/s" in said


def test_expired_rows_that_are_to_be_skipped_are_no_failure(
    meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that expire between plan and copy were said to be refused, with exit status 1."""
    meters.target.execute(f"alter database {TARGET} keep 36500")
    meters.sql(f"insert into {SOURCE}.d0 values (1000000000000, 1.5, 'old') (1000000000001, 2.5, 'old')")

    def planned(*given: object) -> object:
        batches = make_plan(*given)  # type: ignore[arg-type]
        assert sum(batch.rows for batch in batches) == 3002
        meters.target.execute(f"alter database {TARGET} keep 3650")
        return batches

    monkeypatch.setattr(cli, "make_plan", planned)
    status, said = run(capsys, "migrate", "--on-expired", "skip", *call)
    assert status == 0
    assert "Left out as one side does not keep rows that old, or soon will not: 2 rows" in said
    assert "refused" not in said


def test_refused_rows_are_not_equal(meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` said 0 differences and exited with 0."""
    meters.sql(f"create table {SOURCE}.far (ts timestamp, due timestamp)")
    meters.sql(f"insert into {SOURCE}.far values ({T}, {T}) ({T + 1}, {T}) ({T + 2}, 9999999999999)")
    meters.target.execute(f"drop database {TARGET}")
    meters.target.execute(f"create database {TARGET} precision 'ns' keep 36500")
    letters = ["--on-error", "dead_letter", "--dead-letter-path", "letters", *call]
    status, said = run(capsys, "migrate", *letters)
    assert status == 1
    assert "3,002 of 3,003 rows arrived, 1 refused" in said
    assert "The target refused 1 row; they are in letters" in said
    status, said = run(capsys, "verify", *letters)
    assert status == 1
    assert "3,002 of 3,003 rows arrived, 1 refused" in said
    assert "qual" not in said
    status, said = run(capsys, "verify", "--verify", "none", *call)
    assert (status, said.strip()) == (0, "Not compared: verify is none")


def test_status_is_never_rounded_up(meters: BoxPair, call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "migrate", *call)
    assert "100.0 %" in run(capsys, "status", *call)[1]
    meters.target.execute(f"delete from {TARGET}.d1 where ts = {T}")
    # 2,999 of 3,000 are 99.97 %.
    assert "99.9 %" in run(capsys, "status", *call)[1]
    meters.target.execute(f"insert into {TARGET}.d1 values ({T}, 1, 'n') ({T + 1}, 1, 'n') ({T + 2}, 1, 'n')")
    assert "2 more than the source" in run(capsys, "status", *call)[1]
    # Tables of another site are not counted.
    meters.target.execute(f"delete from {TARGET}.d1 where ts > {T} and ts < {T + 10}")
    meters.target.execute(f"insert into {TARGET}.e1 using {TARGET}.meters tags (9) values ({T}, 1, 'n')")
    assert "100.0 %" in run(capsys, "status", *call)[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--workers", "0"], "Option 'workers': 0 is out of range"),
        (["--target-conn-id", "nosuch"], "nosuch"),
        (["--source-conn-id", "ftp://host"], "ftp"),
        (["--where", "v > 0 limit 1"], "says limit"),
        (["--rename-tables", "t => u"], "is not a rule"),
        (["--exclude", "*"], "no table of the database"),
        (["--tables", "d7"], "has no subtable or normal table 'd7'"),
        (["--source-conn-id", "ws://127.0.0.1:1"], "ws://127.0.0.1:1"),
        (["--source-database", "powr", "--target-conn-id", "ws://127.0.0.1:1", "--workers", "0"], "3 findings"),
    ],
)
def test_what_is_wrong_is_said(
    call: list[str], arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = run(capsys, "migrate", *call, *arguments)
    assert status == 2
    assert expected in said


def test_a_database_is_not_copied_onto_itself(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    onto = ["--target-conn-id", call[1], "--target-database", SOURCE]
    status, said = run(capsys, "migrate", *call, *onto)
    assert status == 2
    assert "cannot be copied onto itself" in said


def test_every_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "--max-rows-per-second" in said
    assert "--no-create-database" in said
