"""Servers behind TLS, and the secrets of their connections, in a whole Airflow."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, inspect, text

from airflow_provider_tdengine.testing import TDengineBox

from ..unit.client.conftest import encrypted_key, make_certificate
from .conftest import DAG, FRAGILE, Airflow

T = 1609459200000

PASSWORD, TOKEN, KEY, WRONG = "p4ss?m4rked~word", "t0ken?m4rked~word", "k3y?m4rked~word", "wr0ng?m4rked~word"
"""Secrets that nobody would write by chance; with characters that an address has to quote."""

REFUSED = {
    "tls_stranger": "is not trusted",
    "tls_wrong_name": "is for another host (Hostname mismatch, certificate is not valid for 'localhost'.)",
    "tls_wrong_key_password": "with the key_password given",
    "tls_wrong_password": "refuses the account 'root' with the password given",
}
"""What resolve says of connections that cannot work."""


@pytest.fixture(scope="module")
def tls(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TDengineBox, TDengineBox]]:
    """A source that wants a certificate, a target with a token, and the connections to them."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder, "127.0.0.1")
    own, key = str(folder / "server.pem"), str(encrypted_key(str(folder / "server.pem"), KEY))
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asking.load_cert_chain(own)
    asking.load_verify_locations(certificate.ca_file)
    asking.verify_mode = ssl.CERT_REQUIRED
    with (
        TDengineBox("2.4.0.18", password=PASSWORD, ssl_context=asking) as source,
        TDengineBox("3.3.3.0", token=TOKEN, ssl_context=certificate.context) as target,
    ):
        files = {"cert_file": own, "key_file": key, "key_password": KEY}
        trusted = {"protocol": "wss", "ca_file": certificate.ca_file, "connect_timeout": 5}
        connections: dict[str, tuple[TDengineBox, dict[str, object]]] = {
            "tls_source": (source, {**trusted, **files}),
            "tls_target": (target, {**trusted, "protocol": "https", "token": TOKEN}),
            "tls_stranger": (source, {**trusted, **files, "ca_file": None}),
            "tls_wrong_name": (source, {**trusted, **files}),
            "tls_wrong_key_password": (source, {**trusted, **files, "key_password": WRONG}),
            "tls_wrong_password": (target, {**trusted, "protocol": "https"}),
        }
        for name, (box, extra) in connections.items():
            body = {
                "connection_id": name,
                "conn_type": "tdengine",
                "host": "localhost" if name == "tls_wrong_name" else box.host,
                "port": box.port,
                "login": "root",
                "password": WRONG if name == "tls_wrong_password" else PASSWORD,
                "extra": json.dumps(extra),
            }
            airflow.api.post("/api/v2/connections", json=body).raise_for_status()
        source.execute("create database sealed precision 'ms' keep 36500")
        source.execute("create stable sealed.meters (ts timestamp, v int) tags (g int)")
        for i in range(2):
            rows = "".join(f"({T + row},{row})" for row in range(200))
            source.execute(f"create table sealed.d{i} using sealed.meters tags ({i})")
            source.execute(f"insert into sealed.d{i} values {rows}")
        yield source, target


@pytest.fixture(scope="module")
def runs(airflow: Airflow, tls: tuple[TDengineBox, TDengineBox]) -> dict[str, str]:
    """A migration that ends well, and those of connections that cannot work, side by side; ended."""
    airflow.unpause(FRAGILE)
    stop = (datetime.now(timezone.utc) + timedelta(seconds=30)).isoformat()
    options = {"source_database": "sealed", "target_conn_id": "tls_target", "certificate_path": certificates(airflow)}
    followed = {**options, "source_conn_id": "tls_source", "mode": "both", "stop_at": stop, "update_tags": True}
    started = {"tls_source": airflow.trigger(followed)}
    for name in REFUSED:
        # A 2.4 does not tell a wrong password from a server that is away, which is waited for.
        sides = {"target_conn_id": name} if name == "tls_wrong_password" else {"source_conn_id": name}
        started[name] = airflow.trigger({"source_conn_id": "tls_source", **options, **sides}, FRAGILE)
    for name, run in started.items():
        dag = FRAGILE if name in REFUSED else DAG
        airflow.wait_for(partial(is_ended, airflow, run, dag))
    return started


def is_ended(airflow: Airflow, run: str, dag: str) -> bool:
    return airflow.state(run, dag) in ("success", "failed")


def certificates(airflow: Airflow) -> str:
    return f"file://{airflow.home.directory / 'certificates'}"


def test_a_migration_over_tls(airflow: Airflow, tls: tuple[TDengineBox, TDengineBox], runs: dict[str, str]) -> None:
    """Both servers have an authority of their own; the source asks for a certificate, whose key is encrypted."""
    run = runs["tls_source"]
    assert airflow.state(run) == "success", {key: task["state"] for key, task in airflow.tasks(run).items()}
    source, target = tls
    statement = "select tbname, g, ts, v from sealed.meters"
    assert sorted(target.execute(statement)) == sorted(source.execute(statement))
    assert airflow.xcom(run, "finish")["rows"] == 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_connection_is_said(airflow: Airflow, runs: dict[str, str], name: str) -> None:
    run = runs[name]
    assert airflow.state(run, FRAGILE) == "failed"
    resolve = airflow.tasks(run, FRAGILE)["resolve", -1]
    assert resolve["state"] == "failed"
    # Long lines are folded.
    log = airflow.log(run, "resolve", attempt=resolve["try_number"], dag=FRAGILE).replace("\\n", "\n")
    assert REFUSED[name] in " ".join(log.split())


def test_no_secret_is_in_anything_that_airflow_wrote(airflow: Airflow, runs: dict[str, str]) -> None:
    """In its database (XComs, rendered templates, state store, triggers, events, audit log), files and answers."""
    tested = [
        airflow.api.post("/api/v2/connections/test", json=airflow.api.get(f"/api/v2/connections/{name}").json()).text
        for name in ("tls_source", *REFUSED)
    ]
    shown = airflow.api.get("/api/v2/connections", params={"limit": 100}).raise_for_status().text
    written = {"connections": shown, "tests of connections": "\n".join(tested), **tables(airflow), **files(airflow)}
    assert len(written) > 50
    assert runs["tls_source"] in written["table xcom"]
    assert runs["tls_source"] in written["table task_state_store"]
    assert any(name.endswith(".html") for name in written)
    found = [
        f"{secret} in {name}: {content[max(0, content.find(form) - 200) :][:400]}"
        for name, content in written.items()
        for secret in (PASSWORD, TOKEN, KEY, WRONG)
        for form in forms(secret)
        if form in content
    ]
    assert not found


def forms(secret: str) -> set[str]:
    """How a secret may be written: as it is, quoted, in JSON, as hexadecimal digits, and within base64."""
    padded = [secret.encode()[start:] for start in range(3)]
    encoded = [base64.b64encode(part[: len(part) // 3 * 3]).decode() for part in padded]
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.encode().hex(), *encoded}


def tables(airflow: Airflow) -> dict[str, str]:
    """All that the metadata database holds."""
    engine = create_engine(airflow.home.environment()["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        return {
            f"table {name}": "\n".join(connection.execute(text(f'select t::text from "{name}" t')).scalars())
            for name in inspect(connection).get_table_names()
        }


def files(airflow: Airflow) -> dict[str, str]:
    """All files of Airflow's home and log, and the documents of migrations."""
    directory: Path = airflow.home.directory
    return {
        str(file.relative_to(directory)): file.read_text(encoding="utf-8", errors="replace")
        for file in directory.rglob("*")
        if file.is_file()
    }
