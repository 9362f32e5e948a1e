"""All mistakes of a form are said together, wherever they are found."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import ConnectionFailed, TDengineError
from airflow_provider_tdengine.migration.findings import Finding, MigrationStopped
from airflow_provider_tdengine.migration.planning import Request, requested

from ..conftest import SOURCE, TARGET, BoxPair, Pair, T

NOBODY = Client(Address(host="127.0.0.1", port=1))
"""Nothing listens there."""


@pytest.fixture
def site(pair: Pair) -> Pair:
    pair.sql(
        f"create database {SOURCE} precision 'ms' keep 36500",
        f"create stable {SOURCE}.m (ts timestamp, v int) tags (g int)",
        f"insert into {SOURCE}.d1 using {SOURCE}.m tags (1) values ({T}, 1)",
    )
    return pair


def ask(pair: Pair, **values: object) -> Request:
    def client(name: str, option: str) -> Client:
        if name == "nobody":
            return NOBODY
        if name == "nowhere":
            raise MigrationStopped([Finding(f"Option {option!r}", "there is no connection nowhere", "Create it")])
        if name == "odd":
            return Client(Address.from_url("ws://host:0"))
        if name == "stranger":
            return Client(replace(pair.source.address, password="wrong"))
        return pair.source if option == "source_conn_id" or name == "source" else pair.target

    given = {"source_conn_id": "a", "target_conn_id": "b", "source_database": SOURCE, "target_database": TARGET}
    return requested({**given, **values}, client)


def objects(pair: Pair, **values: object) -> list[str]:
    with pytest.raises(MigrationStopped) as stopped:
        ask(pair, **values)
    return [finding.object for finding in stopped.value.findings]


def test_what_may_be_had(site: Pair) -> None:
    request = ask(site)
    assert [pair.source.name for pair in request.structure.pairs] == ["m"]
    assert request.options.source_database == SOURCE


def test_mistakes_of_every_kind_at_once(site: Pair, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("only one column\n", encoding="utf-8")
    assert objects(
        site,
        workers=0,
        mode="sometimes",
        on_error="dead_letter",
        rename_stables="m => n",
        rename_tables=f"@{tmp_path}/names.csv",
        add_tags="=x",
        where="v > 0; drop",
        exclude=f"@{tmp_path}/none.txt",
        target_conn_id="nowhere",
        source_database="powr",
    ) == [
        "Option 'mode'",
        "Option 'workers'",
        "Option 'dead_letter_path'",
        "Option 'rename_stables'",
        "Option 'rename_tables'",
        "Option 'add_tags'",
        "Option 'where'",
        "Option 'exclude'",
        "Option 'target_conn_id'",
        "Option 'source_database'",
    ]


def test_what_is_wrong_contradicts_nothing(site: Pair) -> None:
    """A default stands for it, of which nobody has said anything."""
    assert objects(site, mode=1, start_from="2022-01-01", end="2021-01-01") == ["Option 'mode'"]
    assert objects(site, target_database=1, target_conn_id="a") == ["Option 'target_database'"]
    assert objects(site, start="yesterday", end="2021-01-01", workers=0) == ["Option 'start'", "Option 'workers'"]
    assert objects(site, source_conn_id=7) == ["Option 'source_conn_id'"]


def test_both_servers_and_the_databases(site: Pair) -> None:
    assert objects(site, source_conn_id="nobody", schema="none") == [
        "Option 'source_conn_id'",
        "Option 'target_database'",
    ]
    assert objects(site, source_database="powr", target_conn_id="odd") == [
        "Option 'target_conn_id'",
        "Option 'source_database'",
    ]
    with pytest.raises(MigrationStopped) as stopped:
        ask(site, source_database="powr", target_conn_id="nobody", create_database=False)
    assert "ws://127.0.0.1:1" in str(stopped.value)
    assert re.search(r"has no database 'powr'\. It has .*(mig_src|and \d+ more)", str(stopped.value))


def test_servers_that_do_not_answer_may_do_so_later(site: Pair) -> None:
    with pytest.raises(ConnectionFailed) as failed:
        ask(site, source_conn_id="nobody", target_conn_id="nobody", target_database="other")
    assert failed.value.retryable
    assert str(failed.value).startswith("2 findings:\nOption 'source_conn_id': ")
    assert "Option 'target_conn_id': " in str(failed.value)


def test_a_wrong_password_beside_a_table_that_is_not_there(site: Pair) -> None:
    with pytest.raises(TDengineError) as failed:
        ask(site, source_conn_id="stranger", workers=0)
    assert "Option 'source_conn_id': " in str(failed.value)
    assert "Correct user and password of that connection" in str(failed.value)
    assert objects(site, tables="d7", workers=0) == ["Option 'workers'", "Option 'tables'"]
    assert objects(site, exclude="*", workers=0) == ["Option 'workers'", "Option 'exclude'"]


def test_two_connections_to_one_database(site: Pair) -> None:
    with pytest.raises(MigrationStopped, match="a database cannot be copied onto itself"):
        ask(site, target_conn_id="source", target_database=SOURCE)


def test_nothing_is_written(faulty: BoxPair) -> None:
    faulty.sql(f"create database {SOURCE}", f"create table {SOURCE}.t (ts timestamp, v int)")
    ask(faulty)
    assert faulty.catalogs[1].database() is None
