"""Users, passwords, rights, tokens and TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from airflow_provider_tdengine.client.types import Field, Type
from airflow_provider_tdengine.testing import BoxError, TDengineBox

from ..box_client import TS, Socket, block_of, rest

T = 1609459200000
ANNA = ("anna", "Secret_1")


def test_users_log_in(box: TDengineBox) -> None:
    box.execute("create user anna pass 'Secret_1'")
    version = "select server_version()"
    assert rest(box, version, auth=ANNA)["data"] == [[box.version]]
    assert "data" not in rest(box, version, auth=("anna", "wrong"))
    assert Socket(box, user="anna", password="Secret_1").login["code"] == 0
    assert Socket(box, user="anna", password="wrong").login["code"] != 0
    box.execute("alter user anna pass 'Other_2'")
    assert "data" not in rest(box, version, auth=ANNA)
    box.execute("drop user anna")
    assert "data" not in rest(box, version, auth=("anna", "Other_2"))


def test_nothing_without_login(box: TDengineBox) -> None:
    with Socket(box, password="wrong") as socket:
        assert socket.ask("query", sql="select * from d.a")["code"] != 0
    assert rest(box, "select * from d.a", auth=None)["code"] == 0x1105


def test_readers_of_2_write_nothing(tdengine_2: TDengineBox) -> None:
    box = tdengine_2
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, v int)")
    box.execute("create user anna pass 'Secret_1'")
    insert = f"insert into d.t values ({T}, 1)"
    assert rest(box, insert, auth=ANNA)["status"] == "succ"
    box.execute("alter user anna privilege read")
    for sql in (insert, "create table d.u (ts timestamp, v int)", "drop table d.t", "create user bob pass 'x'"):
        assert rest(box, sql, auth=ANNA)["status"] == "error", sql
    assert rest(box, "select v from d.t", auth=ANNA)["data"] == [[1]]


def test_rights_of_3_are_granted_and_revoked(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    for sql in (
        "create database d keep 36500",
        "create table d.t (ts timestamp, v int)",
        "create user anna pass 'Secret_1' sysinfo 1",
    ):
        box.execute(sql)
    insert, select = f"insert into d.t values ({T}, 1)", "select v from d.t"
    assert [rest(box, sql, auth=ANNA)["code"] for sql in (insert, select)] == [9796, 9796]
    box.execute("grant read on d.* to anna")
    assert [rest(box, sql, auth=ANNA)["code"] for sql in (insert, select)] == [9796, 0]
    box.execute("grant write on *.* to anna")
    box.execute("revoke read on d.* from anna")
    assert [rest(box, sql, auth=ANNA)["code"] for sql in (insert, select)] == [0, 9796]
    assert box.execute("select user_name, privilege, db_name from information_schema.ins_user_privileges") == [
        ("root", "all", "all"),
        ("anna", "write", "d"),
    ]


def test_blocks_need_the_right_to_write(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create database d keep 36500")
    box.execute("create table d.t (ts timestamp, v int)")
    box.execute("create user anna pass 'Secret_1'")
    block = block_of((TS, [T]), (Field("v", Type.INT, 4), [1]))
    with Socket(box, "d", *ANNA) as socket:
        assert socket.write("t", block)["code"] == 9796
        box.execute("grant all on d.* to anna")
        assert socket.write("t", block)["code"] == 0


def test_only_some_create_databases(tdengine_3: TDengineBox) -> None:
    box = tdengine_3
    box.execute("create user anna pass 'Secret_1' sysinfo 1 createdb 0")
    box.execute("create user bob pass 'Secret_1' sysinfo 1 createdb 1")
    assert rest(box, "create database a", auth=ANNA)["code"] == 0x0303
    assert rest(box, "create database b", auth=("bob", "Secret_1"))["code"] == 0
    assert rest(box, "create table b.t (ts timestamp, v int)", auth=("bob", "Secret_1"))["code"] == 0
    box.execute("alter user anna createdb 1")
    assert rest(box, "create database a", auth=ANNA)["code"] == 0


def test_users_are_there_once(box: TDengineBox) -> None:
    box.execute("create user anna pass 'Secret_1'")
    with pytest.raises(BoxError, match="exists"):
        box.execute("create user anna pass 'Secret_1'")
    with pytest.raises(BoxError, match="privilege"):
        box.execute("drop user root")


def test_tokens_of_a_login(box: TDengineBox) -> None:
    token = httpx.get(f"{box.url}/rest/login/root/taosdata").json()["desc"]
    answer = rest(box, "select count(*) from d.a", auth=None, headers={"Authorization": f"Taosd {token}"})
    assert answer["data"] == [[3]]
    assert "data" not in rest(box, "select count(*) from d.a", auth=None, headers={"Authorization": "Taosd nosuch"})
    assert httpx.get(f"{box.url}/rest/login/root/wrong").json()["code"] != 0


def test_tokens_in_addresses(make_tdengine_box) -> None:  # type: ignore[no-untyped-def]
    box = make_tdengine_box(token="t0ken")
    assert rest(box, "select 1", "sql?token=t0ken", auth=None)["code"] == 0
    assert rest(box, "select 1", "sql?token=other", auth=None)["code"] == 0x1105


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls(tmp_path: Path, make_tdengine_box) -> None:  # type: ignore[no-untyped-def]
    pem, key = tmp_path / "pem", tmp_path / "key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-out",
            pem,
            "-keyout",
            key,
            *subject,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    box = make_tdengine_box(ssl_context=context)
    assert box.url.startswith("https://")
    with pytest.raises(httpx.ConnectError, match="certificate"):
        rest(box, "select 1")
    trusted = ssl.create_default_context(cafile=str(pem))
    assert rest(box, "select 1", verify=trusted)["data"] == [[1]]
