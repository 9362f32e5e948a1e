"""Addresses: what is wrong is said in one sentence before anything is sent, and secrets are never in it."""

from __future__ import annotations

import contextlib
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_tdengine.client import Address
from airflow_provider_tdengine.client.errors import AddressError, TDengineError

from .conftest import Certificate


def test_a_full_address() -> None:
    address = Address.from_url("wss://user%40corp:p%2Fa%23s%3As@Example.org:443/my%20db?token=a%2Bb", timeout=7)
    assert (address.scheme, address.host, address.port) == ("wss", "example.org", 443)
    assert (address.user, address.password, address.token) == ("user@corp", "p/a#s:s", "a+b")
    assert (address.database, address.timeout) == ("my db", 7)
    assert address.rest_url == "https://example.org:443"
    assert address.websocket_url("/ws") == "wss://example.org:443/ws?token=a%2Bb"
    assert str(address) == "wss://example.org:443"


def test_defaults() -> None:
    address = Address.from_url("ws://h")
    assert (address.port, address.user, address.password) == (6041, "root", "taosdata")
    assert address.token is address.database is address.ca_file is None
    assert address.verify is True
    assert address.compression is False


@pytest.mark.parametrize(
    ("scheme", "websocket", "tls"),
    [("ws", True, False), ("wss", True, True), ("http", False, False), ("https", False, True)],
)
def test_schemes(scheme: str, websocket: bool, tls: bool) -> None:
    address = Address.from_url(f"{scheme}://h:1")
    assert (address.is_websocket, address.is_tls) == (websocket, tls)
    assert address.rest_url == ("https://h:1" if tls else "http://h:1")
    assert address.websocket_url("/ws") == ("wss://h:1/ws" if tls else "ws://h:1/ws")
    assert (address.ssl_context() is not None) == tls


def test_ipv6() -> None:
    address = Address.from_url("ws://[::1]:6041")
    assert address.host == "::1"
    assert address.rest_url == "http://[::1]:6041"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6041", "'localhost:6041' has no scheme that is known; expected ws://"),
        ("localhost", "'localhost' has no scheme"),
        ("root:s3cret@localhost:6041", "'…@localhost:6041' has no scheme"),
        ("taos://root:s3cret@h:6030", "'…@h:6030' has no scheme that is known"),
        ("ws:localhost", "no scheme that is known"),
        ("", "no scheme"),
        ("ws://", "The host '' is not a host name"),
        ("ws://:6041", "The host '' is not a host name"),
        ("ws://h:0", "The port 0 is not a TCP port"),
        ("ws://h:65536", "port that is no number from 1 to 65535"),
        ("ws://h:port", "port that is no number"),
        ("ws://[::1", "is no address"),
        ("ws://a b:1", "is not a host name"),
        ("ws://a..b", "The host 'a..b' is not a host name"),
        ("ws://" + "x" * 64, "is not a host name"),
        ("ws://root:s3cret#s3cret@h:6041", "in a password"),
        ("ws://root:1#s3cret@h:6041", "in a password"),
        ("ws://root:s3cret/s3cret@h:6041", "in a password"),
        ("ws://root:1/s3cret@h:6041", "in a password"),
        ("ws://root:1?s3cret@h:6041", "in a password"),
        ("ws://h:6041/db/other", "more than a database"),
        ("ws://h:6041/db?s3cret=1", "more than a database"),
    ],
)
def test_an_address_that_cannot_be_is_refused_in_one_sentence(url: str, said: str) -> None:
    with pytest.raises(AddressError) as error:
        Address.from_url(url)
    assert said in str(error.value)
    assert "s3cret" not in str(error.value) + repr(error.value)
    assert "\n" not in str(error.value)
    assert not error.value.retryable
    # What an error drags along is shown in Airflow's log as well.
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scheme": "taos"}, "The protocol 'taos' is not known; expected one of ws, wss, http, https"),
        ({"host": ""}, "The host '' is not a host name"),
        ({"host": "http://h"}, "is not a host name"),
        ({"host": "h\nx"}, "is not a host name"),
        ({"port": 0}, "The port 0 is not a TCP port; expected 1 to 65535, usually 6041"),
        ({"port": 70000}, "The port 70000"),
        ({"timeout": 0}, "timeout is 0; expected seconds greater than 0"),
        ({"connect_timeout": -1}, "connect_timeout is -1"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(AddressError, match=re.escape(said)):
        Address(**settings)


@given(st.text(), st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_text_is_an_address_or_refused(url: str, user: str, password: str) -> None:
    for candidate in (url, f"ws://{url}", f"ws://{user}:{password}@host:6041/{url}"):
        with contextlib.suppress(AddressError):
            Address.from_url(candidate)


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_account_passes_when_it_is_quoted(user: str, password: str) -> None:
    address = Address.from_url(f"ws://{quote(user, safe='')}:{quote(password, safe='')}@h")
    assert (address.user, address.password) == (user, password)


def test_neither_password_nor_token_is_shown() -> None:
    address = Address(password="s3cret-word", token="s3cret-token", key_password="s3cret-key")
    assert "s3cret" not in f"{address} {address!r}"


def test_a_file_of_certificates_that_cannot_be_read_is_named(tmp_path: Path, certificate: Certificate) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for ca_file in (str(tmp_path / "missing.pem"), str(empty)):
        with pytest.raises(
            AddressError, match=re.escape(f"ca_file {ca_file!r} cannot be read as certificates on host ")
        ):
            Address(scheme="wss", ca_file=ca_file).ssl_context()
    context = Address(scheme="wss", ca_file=certificate.ca_file).ssl_context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert issubclass(AddressError, TDengineError)
