"""Logging in: with tokens, one-time codes and certificates, at any host of a cluster, under a name that a DBA knows."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.client import Address, Client
from airflow_provider_tdengine.client.errors import AddressError, AuthenticationFailed, ConnectionFailed
from airflow_provider_tdengine.client.rest import RestSession
from airflow_provider_tdengine.client.subscription import Subscription
from airflow_provider_tdengine.client.websocket import WebSocketSession

from .conftest import Certificate, Peer, answer, encrypted_key, running_http, running_websocket

Start = Callable[..., Address]

SUCCESS = json.dumps({"code": 0, "column_meta": [["1", "INT", 4]], "data": [[1]], "rows": 1}).encode()
REFUSED = json.dumps({"code": 0x357, "desc": "Authentication failure"}).encode()

NAMED = {"app": "airflow", "connector": f"airflow-provider-tdengine {__version__}"}

# The secret of RFC 6238's test vectors, as base32.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def nothing(connection: ServerConnection, peer: Peer) -> None:
    """The login is all that there is."""


# --- Tokens and codes


def test_a_session_says_who_it_is() -> None:
    with running_websocket(nothing, user="u", password="p") as peer, WebSocketSession(peer.address, "/ws"):
        login = peer.messages[0]["args"]
    assert login == {"req_id": 1, "user": "u", "password": "p", "db": "", **NAMED}


def test_a_bearer_token_takes_the_place_of_user_and_password() -> None:
    with running_websocket(nothing, bearer_token="t0ken") as peer, WebSocketSession(peer.address, "/ws"):
        login = peer.messages[0]["args"]
    assert login == {"req_id": 1, "bearer_token": "t0ken", "db": "", **NAMED}
    with running_http(lambda sql: (200, SUCCESS), bearer_token="t0ken") as peer:
        with RestSession(peer.address) as session:
            session.query("select 1")
        assert peer.headers[0]["Authorization"] == "Bearer t0ken"
        assert peer.messages[0][0] == "/rest/sql?app=airflow"


def test_a_token_that_is_refused_is_not_shown() -> None:
    with (
        running_http(lambda sql: (401, REFUSED), bearer_token="t0ken") as peer,
        RestSession(peer.address) as session,
        pytest.raises(AuthenticationFailed, match="refuses the token") as error,
    ):
        session.query("select 1")
    assert "t0ken" not in f"{error.value} {peer.address} {peer.address!r}"


def test_a_subscription_takes_the_token_too() -> None:
    def talk(connection: ServerConnection, peer: Peer) -> None:
        request = json.loads(connection.recv())
        peer.messages.append(request)
        answer(connection, request)

    with running_websocket(talk, login=False, bearer_token="t0ken") as peer:
        Subscription(peer.address, "topic", "group", (3, 4, 0, 0)).close()
        asked = peer.messages[0]["args"]
    assert asked["config"] == {"td.connect.token": "t0ken"}
    assert not {"user", "password"} & asked.keys()
    assert {name: asked[name] for name in NAMED} == NAMED


@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(moment: float, code: str) -> None:
    assert Address(totp_secret=SECRET).totp_code(moment) == code
    assert Address(totp_secret=f" {SECRET[:4].lower()} {SECRET[4:]}").totp_code(moment) == code


def test_each_login_has_a_code_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_websocket(nothing, totp_secret=SECRET) as peer:
        monkeypatch.setattr("airflow_provider_tdengine.client.address.time.time", lambda: 59.0)
        WebSocketSession(peer.address, "/ws").close()
        login = peer.messages[0]["args"]
    assert (login["user"], login["password"], login["totp_code"]) == ("root", "taosdata", "287082")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"totp_secret": "s3cret!"}, "totp_secret is no base32"),
        ({"totp_secret": SECRET, "scheme": "http"}, "REST takes no one-time codes"),
        ({"token": "s3cret", "bearer_token": "s3cret"}, "There are token and bearer_token"),
    ],
)
def test_a_login_that_cannot_be_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(AddressError, match=said) as error:
        Address(**settings)  # type: ignore[arg-type]
    assert "s3cret" not in str(error.value)


# --- Several hosts


def test_hosts_of_a_cluster() -> None:
    address = Address.from_url("wss://u:p@Alpha,beta:443,[::1]:7/d?bearer_token=t")
    assert str(address) == "wss://alpha:6041,beta:443,[::1]:7"
    assert (address.user, address.password, address.database, address.bearer_token) == ("u", "p", "d", "t")
    assert Address.from_url("wss://alpha:6041,beta:443,[::1]:7/d?bearer_token=t", user="u", password="p") == replace(
        address, host="alpha:6041,beta:443,[::1]:7"
    )
    assert address.first == ("alpha", 6041)
    turns = [list(address.in_turn()) for _ in range(100)]
    for turn in turns:
        assert {(each.host, each.port) for each in turn} == {("alpha", 6041), ("beta", 443), ("::1", 7)}
    # Sessions spread over them.
    assert len({turn[0].host for turn in turns}) == 3


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ws://root:s3cret@a,b:port", "One of several hosts is 'b:port'"),
        ("ws://root:s3cret@a,,b", "The host '' is not a host name"),
        ("ws://root:s3cret@a,b:0", "The port 0 is not a TCP port"),
    ],
)
def test_one_of_several_hosts_that_cannot_be_is_named(url: str, said: str) -> None:
    with pytest.raises(AddressError) as error:
        Address.from_url(url)
    assert said in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_the_host_that_is_there_is_found(scheme: str, box: Start, free_port: int) -> None:
    there = box("3.3.3.0", scheme)
    address = replace(there, host=f"127.0.0.1:{free_port},127.0.0.1:{there.port}")
    for _ in range(8):
        assert Client(address).rows("select 1") == [(1,)]


def test_a_session_that_was_lost_is_opened_anew_at_another_host(box: Start) -> None:
    hosts = [box(), box()]
    address = replace(hosts[0], host=",".join(f"127.0.0.1:{host.port}" for host in hosts))
    client = Client(address)
    assert client.rows("select 1") == [(1,)]
    box.boxes[hosts[0].port].stop()  # type: ignore[attr-defined]
    for _ in range(8):
        assert client.rows("select 1") == [(1,)]


def test_what_is_wrong_with_each_of_several_hosts_is_said(free_port: int) -> None:
    address = Address(host=f"127.0.0.1:{free_port},no-such-host.invalid", connect_timeout=5)
    with pytest.raises(ConnectionFailed, match="No host of ws://") as error:
        Client(address).rows("select 1")
    assert "Nothing listens at" in str(error.value)
    assert "'no-such-host.invalid'" in str(error.value)
    assert error.value.retryable


# --- A client's own certificate


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_server_that_asks_for_a_certificate_gets_it(
    scheme: str, box: Start, certificate: Certificate, tmp_path: Path
) -> None:
    certificate.context.load_verify_locations(certificate.ca_file)
    certificate.context.verify_mode = ssl.CERT_REQUIRED
    address = replace(box("3.3.3.0", scheme, ssl_context=certificate.context), ca_file=certificate.ca_file)
    with pytest.raises(ConnectionFailed, match="if it asks for a certificate of its clients, give one as cert_file"):
        Client(address).rows("select 1")
    own = str(tmp_path / "server.pem")
    assert Client(replace(address, cert_file=own)).rows("select 1") == [(1,)]
    assert Client(replace(address, cert_file=own, key_file=own)).rows("select 1") == [(1,)]
    encrypted = str(encrypted_key(own))
    files = {"cert_file": own, "key_file": encrypted}
    assert Client(replace(address, **files, key_password="s3cret")).rows("select 1") == [(1,)]  # type: ignore[arg-type]
    for password in ("wrong", None):
        with pytest.raises(AddressError, match="with the key_password given"):
            replace(address, **files, key_password=password).ssl_context()  # type: ignore[arg-type]


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path, certificate: Certificate) -> None:
    missing, without_key = str(tmp_path / "missing.pem"), certificate.ca_file
    for settings, said in (
        ({"cert_file": missing}, f"cert_file '{missing}' cannot be read"),
        ({"cert_file": without_key}, f"cert_file '{without_key}' cannot be read"),
        ({"cert_file": without_key, "key_file": missing}, f"and key_file '{missing}' cannot be read"),
    ):
        with pytest.raises(AddressError) as error:
            Address(scheme="wss", **settings).ssl_context()  # type: ignore[arg-type]
        assert said in str(error.value)
