"""Where a server is and how to reach it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

from airflow_provider_tdengine.client.errors import AddressError, AuthenticationFailed

SCHEMES = ("ws", "wss", "http", "https")
DEFAULT_PORT = 6041

_EXPECTED = "expected ws://, wss://, http:// or https:// and a host, such as ws://root:taosdata@localhost:6041"
_ESCAPES = "in a password, / ? # @ : are written %2F %3F %23 %40 %3A"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A taosAdapter and the account that is used there.

    Parameters:
        scheme: ws or wss for WebSocket (REST serves what has no answer there), http or https for REST only.
        host: name or IP address.
        port: TCP port of the taosAdapter.
        user: account name.
        password: its password.
        token: TDengine Cloud token, in place of user and password.
        database: the database of statements that name none.
        connect_timeout: seconds for the connection (TCP, TLS and the opening of a WebSocket together) and for the
            login, each.
        timeout: seconds for each wait as a whole: until a message is taken, a statement answered (over REST with all
            of its rows), the next block there, or a written one confirmed.
        verify: whether the server's certificate must be trusted (wss and https).
        ca_file: file of certificates that are trusted in place of the system's.
        compression: whether WebSocket messages are compressed; it costs more time than a local network does.
    """

    scheme: str = "ws"
    host: str = "localhost"
    port: int = DEFAULT_PORT
    user: str = "root"
    password: str = field(default="taosdata", repr=False)
    token: str | None = field(default=None, repr=False)
    database: str | None = None
    connect_timeout: float = 20.0
    timeout: float = 300.0
    verify: bool = True
    ca_file: str | None = None
    compression: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without asking the server.

        Raises:
            AddressError: names the setting, what was found and what was expected.
        """
        if self.scheme not in SCHEMES:
            raise AddressError(f"The protocol {self.scheme!r} is not known; expected one of {', '.join(SCHEMES)}")
        if not _is_host(self.host):
            raise AddressError(f"The host {_without_secrets(self.host)} is not a host name; {_EXPECTED}")
        if not 0 < self.port < 65536:
            raise AddressError(f"The port {self.port} is not a TCP port; expected 1 to 65535, usually {DEFAULT_PORT}")
        for name in ("connect_timeout", "timeout"):
            if getattr(self, name) <= 0:
                raise AddressError(f"{name} is {getattr(self, name)}; expected seconds greater than 0")

    @classmethod
    def from_url(cls, url: str, **settings: object) -> Address:
        """An address from a URL such as `wss://user:password@host:6041/database?token=…`.

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
        try:
            port = DEFAULT_PORT if parts.port is None else parts.port
        except ValueError:
            raise AddressError(f"{shown} has a port that is no number from 1 to 65535; {_ESCAPES}") from None
        query = parse_qs(parts.query, keep_blank_values=True)
        if "#" in url or query.keys() - {"token"} or set("/@") & set(parts.path.strip("/")):
            raise AddressError(f"{shown} has more than a database and ?token=… after the host; {_ESCAPES}")
        given: dict[str, object] = {"scheme": parts.scheme, "host": parts.hostname or "", "port": port}
        if parts.username is not None:
            given["user"] = unquote(parts.username)
        if parts.password is not None:
            given["password"] = unquote(parts.password)
        if parts.path.strip("/"):
            given["database"] = unquote(parts.path.strip("/"))
        if "token" in query:
            given["token"] = query["token"][0] or None
        return cls(**{**given, **settings})  # type: ignore[arg-type]

    @property
    def is_websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("wss", "https")

    @property
    def netloc(self) -> str:
        """Host and port as an address has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

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
            AddressError: `ca_file` cannot be read.
        """
        if not self.is_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise AddressError(f"ca_file {self.ca_file!r} cannot be read as certificates: {error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def login_refused(address: Address, error: AuthenticationFailed) -> AuthenticationFailed:
    """The same error, saying which account was refused where."""
    account = "the token" if address.token else f"the account {address.user!r} with the password given"
    doubt = ", or its taosd is away, which TDengine 2.4 does not tell apart" if error.retryable else ""
    refusal = AuthenticationFailed(f"{address} refuses {account}{doubt}. {error.message}", code=error.code)
    refusal.retryable = error.retryable
    return refusal


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
