"""Where a server is and how to reach it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import platform
import random
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, quote, unquote, urlsplit

from airflow_provider_tdengine import __version__
from airflow_provider_tdengine.client.errors import AddressError, AuthenticationFailed

SCHEMES = ("ws", "wss", "http", "https")
DEFAULT_PORT = 6041

APP, CONNECTOR = "airflow", f"airflow-provider-tdengine {__version__}"
"""How sessions name themselves to a DBA, in `SHOW CONNECTIONS` (3.3.7 and later, by the adapter's code)."""

_EXPECTED = "expected ws://, wss://, http:// or https:// and a host, such as ws://root:taosdata@localhost:6041"
_ESCAPES = "in a password, / ? # @ : are written %2F %3F %23 %40 %3A"

_IN_QUERY = ("token", "bearer_token")
"""Settings that an address has behind its question mark."""

_CODE_SECONDS, _CODE_DIGITS = 30, 6


@dataclass(frozen=True, kw_only=True)
class Address:
    """A taosAdapter and the account that is used there.

    Parameters:
        scheme: ws or wss for WebSocket (REST serves what has no answer there), http or https for REST only.
        host: name or IP address; of a cluster several with commas between them, and with ports where they are others:
            "a,b,c:6042". A connection goes to one of them that accepts it, whichever it is.
        port: TCP port of the taosAdapter.
        user: account name.
        password: its password.
        token: TDengine Cloud token, in place of user and password.
        bearer_token: of 3.4 (`CREATE TOKEN`), in place of user and password.
        totp_secret: of an account of 3.4 that logs in with one-time codes, too (`CREATE TOTP_SECRET FOR USER`): the
            base32 text from which each login makes its code. WebSocket only.
        database: the database of statements that name none.
        connect_timeout: seconds for the connection (TCP, TLS and the opening of a WebSocket together) and for the
            login, each.
        timeout: seconds for each wait as a whole: until a message is taken, a statement answered (over REST with all
            of its rows), the next block there, or a written one confirmed.
        verify: whether the server's certificate must be trusted (wss and https).
        ca_file: file of certificates that are trusted in place of the system's.
        cert_file: file of the client's own certificate, for servers that ask for one (wss and https).
        key_file: file of its key; where it is None, `cert_file` has it.
        key_password: of that key, where it is encrypted.
        compression: whether WebSocket messages are compressed; it costs more time than a local network does.
    """

    scheme: str = "ws"
    host: str = "localhost"
    port: int = DEFAULT_PORT
    user: str = "root"
    password: str = field(default="taosdata", repr=False)
    token: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    totp_secret: str | None = field(default=None, repr=False)
    database: str | None = None
    connect_timeout: float = 20.0
    timeout: float = 300.0
    verify: bool = True
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    compression: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without asking the server.

        Raises:
            AddressError: names the setting, what was found and what was expected.
        """
        if self.scheme not in SCHEMES:
            raise AddressError(f"The protocol {self.scheme!r} is not known; expected one of {', '.join(SCHEMES)}")
        for host, port in self._hosts():
            if not _is_host(host):
                raise AddressError(f"The host {_without_secrets(host)} is not a host name; {_EXPECTED}")
            if not 0 < port < 65536:
                raise AddressError(f"The port {port} is not a TCP port; expected 1 to 65535, usually {DEFAULT_PORT}")
        if self.token and self.bearer_token:
            raise AddressError("There are token and bearer_token; give the one of TDengine Cloud, or the one of 3.4")
        if self.totp_secret:
            self.totp_code(0)
            if not self.is_websocket:
                raise AddressError("totp_secret is given, and REST takes no one-time codes; expected ws:// or wss://")
        for name in ("connect_timeout", "timeout"):
            if getattr(self, name) <= 0:
                raise AddressError(f"{name} is {getattr(self, name)}; expected seconds greater than 0")

    @classmethod
    def from_url(cls, url: str, **settings: object) -> Address:
        """An address from a URL such as `wss://user:password@host:6041/database`.

        Behind it, there may be `?token=…` or `?bearer_token=…`; of a cluster, `host:6041,host:6041` may be there.

        Parameters:
            url: with scheme and host; the rest has defaults.
            settings: the other parameters of this class.

        Raises:
            AddressError: no scheme, an unknown one, no host, or a port that is none.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise AddressError(f"{_without_secrets(url)} is no address ({error}); {_EXPECTED}") from None
        shown = f"{parts.scheme}://{parts.hostname}" if parts.hostname else "The address"
        if parts.scheme not in SCHEMES or "://" not in url:
            raise AddressError(f"{_without_secrets(url)} has no scheme that is known; {_EXPECTED}")
        host, port = parts.netloc.rpartition("@")[2].lower(), DEFAULT_PORT
        if "," not in host:
            host = parts.hostname or ""
            try:
                port = DEFAULT_PORT if parts.port is None else parts.port
            except ValueError:
                raise AddressError(f"{shown} has a port that is no number from 1 to 65535; {_ESCAPES}") from None
        query = parse_qs(parts.query, keep_blank_values=True)
        if "#" in url or query.keys() - set(_IN_QUERY) or set("/@") & set(parts.path.strip("/")):
            allowed = " or ".join(f"?{name}=…" for name in _IN_QUERY)
            raise AddressError(f"{shown} has more than a database and {allowed} after the host; {_ESCAPES}")
        given: dict[str, object] = {"scheme": parts.scheme, "host": host, "port": port}
        if parts.username is not None:
            given["user"] = unquote(parts.username)
        if parts.password is not None:
            given["password"] = unquote(parts.password)
        if parts.path.strip("/"):
            given["database"] = unquote(parts.path.strip("/"))
        given |= {name: values[0] or None for name, values in query.items()}
        return cls(**{**given, **settings})  # type: ignore[arg-type]

    @property
    def is_websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("wss", "https")

    @property
    def netloc(self) -> str:
        """Hosts and ports as an address has them."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self._hosts())

    @property
    def first(self) -> tuple[str, int]:
        """The host that is named first, and its port: what stands for a cluster where one can be named only."""
        return self._hosts()[0]

    def in_turn(self) -> Iterator[Address]:
        """The same for each of the hosts; any of them comes first, so that sessions spread over a cluster."""
        hosts = self._hosts()
        first = random.randrange(len(hosts))
        for host, port in (*hosts[first:], *hosts[:first]):
            yield replace(self, host=host, port=port) if len(hosts) > 1 else self

    def _hosts(self) -> list[tuple[str, int]]:
        """Each host with its port.

        Raises:
            AddressError: a port is none.
        """
        if "," not in self.host:
            return [(self.host, self.port)]
        return [self._host(each.strip()) for each in self.host.split(",")]

    def _host(self, text: str) -> tuple[str, int]:
        try:
            parts = urlsplit(f"//{text}")
            return parts.hostname or "", self.port if parts.port is None else parts.port
        except ValueError as error:
            raise AddressError(f"One of several hosts is {_without_secrets(text)} ({error}); {_EXPECTED}") from None

    def login(self) -> dict[str, str]:
        """What a WebSocket session says of its account."""
        if self.bearer_token:
            return {"bearer_token": self.bearer_token}
        code = {"totp_code": self.totp_code(time.time())} if self.totp_secret else {}
        return {"user": self.user, "password": self.password, **code}

    def totp_code(self, moment: float) -> str:
        """The one-time code of a moment, after RFC 6238 with SHA-1, as the adapter's own code makes it (3.4).

        Parameters:
            moment: POSIX seconds, by this machine's clock.

        Raises:
            AddressError: the secret is no base32.
        """
        secret = (self.totp_secret or "").replace(" ", "").rstrip("=").upper()
        try:
            key = base64.b32decode(secret + "=" * (-len(secret) % 8))
        except (binascii.Error, ValueError):
            raise AddressError("totp_secret is no base32; expected the text that CREATE TOTP_SECRET gave") from None
        digest = hmac.digest(key, int(moment // _CODE_SECONDS).to_bytes(8, "big"), hashlib.sha1)
        place = digest[-1] & 0xF
        number = int.from_bytes(digest[place : place + 4], "big") & 0x7FFFFFFF
        return f"{number % 10**_CODE_DIGITS:0{_CODE_DIGITS}}"

    @property
    def rest_url(self) -> str:
        """Where REST is served, without path."""
        return f"{'https' if self.is_tls else 'http'}://{self.netloc}"

    def websocket_url(self, path: str) -> str:
        """Where WebSocket sessions begin; it holds the token, so it is not for logs."""
        query = f"?token={quote(self.token, safe='')}" if self.token else ""
        return f"{'wss' if self.is_tls else 'ws'}://{self.netloc}{path}{query}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """How the server's certificate is checked, None without TLS.

        Raises:
            AddressError: `ca_file`, `cert_file` or `key_file` cannot be read, or `key_password` is not the key's.
        """
        if not self.is_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise AddressError(f"ca_file {self.ca_file!r} cannot be read as certificates on {_here(error)}") from error
        if self.cert_file:
            try:
                # Where the key is encrypted, and no password is given, OpenSSL would ask for it at the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password=lambda: self.key_password or "")
            except (OSError, ssl.SSLError) as error:
                files = f"cert_file {self.cert_file!r}" + (f" and key_file {self.key_file!r}" if self.key_file else "")
                raise AddressError(
                    f"{files} cannot be read as a certificate and its key, with the key_password given, if it is "
                    f"encrypted, on {_here(error)}"
                ) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def login_refused(address: Address, error: AuthenticationFailed) -> AuthenticationFailed:
    """The same error, saying which account was refused where."""
    account = (
        "the token"
        if address.token or address.bearer_token
        else f"the account {address.user!r} with the password given"
    )
    doubt = ", or its taosd is away, which TDengine 2.4 does not tell apart" if error.retryable else ""
    refusal = AuthenticationFailed(f"{address} refuses {account}{doubt}. {error.message}", code=error.code)
    refusal.retryable = error.retryable
    return refusal


def _here(error: OSError) -> str:
    """Where a file was looked for, what came of it, and what to do."""
    reason = error.strerror or error
    return f"host {platform.node()} ({reason}); all hosts that connect need it, under the same path"


def _is_host(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return bool(host) and host.isprintable() and not any(sign in host for sign in "/?#@[] ")


def _without_secrets(url: str) -> str:
    """An address as an error may show it."""
    _, at, tail = url.rpartition("@")
    return repr(("…@" + tail if at else tail).split("?")[0])
