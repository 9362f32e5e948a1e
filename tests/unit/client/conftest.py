"""Servers for the client's tests: a box for all that TDengine does, stubs only for what no TDengine should do."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from airflow_provider_tdengine.client.address import Address
from airflow_provider_tdengine.testing import TDengineBox

LOGIN = {"code": 0, "message": "", "action": "conn"}


# --- TDengine in a box


@pytest.fixture
def box() -> Iterator[Callable[..., Address]]:
    """Starts boxes: `box("2.4.0.18")` is the address of a new one."""
    with ExitStack() as stack:

        def start(version: str = "3.3.3.0", scheme: str = "ws", **settings: Any) -> Address:
            options = {name: settings.pop(name) for name in ("token", "ssl_context", "block_rows") if name in settings}
            running = stack.enter_context(TDengineBox(version=version, **options))
            started = Address(scheme=scheme, host="127.0.0.1", port=running.port, timeout=10, **settings)
            boxes[started.port] = running
            return started

        boxes: dict[int, TDengineBox] = {}
        start.boxes = boxes  # type: ignore[attr-defined]
        yield start


# --- Stubs that misbehave


@dataclass
class Peer:
    """What a stub saw, and where it is."""

    address: Address
    messages: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)


def answer(socket_: ServerConnection, request: Any, **values: Any) -> None:
    """Answer a text request."""
    message = {"code": 0, "message": "", "action": request["action"], "req_id": request["args"]["req_id"]}
    socket_.send(json.dumps({**message, **values}))


@contextmanager
def running_websocket(
    talk: Callable[[ServerConnection, Peer], None], login: bool = True, **settings: Any
) -> Iterator[Peer]:
    """A WebSocket server that answers the login, then does what `talk` does."""
    peers: list[Peer] = []

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        peers[0].headers.append(dict(connection.request.headers.raw_items()))
        try:
            if login:
                request = json.loads(connection.recv())
                peers[0].messages.append(request)
                answer(connection, request)
            talk(connection, peers[0])
            # Stays open, and silent, until the client goes.
            while True:
                connection.recv()
        except ConnectionClosed:
            pass
        finally:
            peers[0].closed.set()

    with serve(handle, "127.0.0.1", 0, compression=None, max_size=None, close_timeout=0.1) as server:
        address = Address(host="127.0.0.1", port=server.socket.getsockname()[1], connect_timeout=5, timeout=5)
        peers.append(Peer(Address(**{**_settings(address), **settings})))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield peers[0]
        finally:
            server.shutdown()
            thread.join(5)


@contextmanager
def running_http(respond: Callable[[str], tuple[int, bytes]], **settings: Any) -> Iterator[Peer]:
    """An HTTP server that answers every statement with what `respond` makes of it, and no WebSocket."""
    peers: list[Peer] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: the kernel delays the second by 40 ms otherwise.
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            peers[0].messages.append((self.path, body))
            peers[0].headers.append(dict(self.headers.items()))
            self._send(*respond(body.decode("utf-8", "surrogateescape")))

        def do_GET(self) -> None:
            peers[0].messages.append((self.path, b""))
            self._send(404, b"not here")

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        given = {"scheme": "http", "host": "127.0.0.1", "port": server.server_port, "timeout": 5, **settings}
        peers.append(Peer(Address(**given)))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield peers[0]
        finally:
            server.shutdown()
            thread.join(5)


@contextmanager
def running_tcp(talk: Callable[[socket.socket], None], **settings: Any) -> Iterator[Peer]:
    """A TCP server that speaks no protocol at all."""
    done = threading.Event()

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = {"host": "127.0.0.1", "port": listener.getsockname()[1], "connect_timeout": 5, "timeout": 5, **settings}
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield Peer(Address(**given))
        finally:
            done.set()
            # Wakes the thread that waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _settings(address: Address) -> dict[str, Any]:
    return {name: getattr(address, name) for name in Address.__dataclass_fields__}


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- Certificates


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, and the file of the authority that signed it."""

    context: ssl.SSLContext
    ca_file: str


def make_certificate(folder: Path, *names: str) -> Certificate:
    """A certificate for host names and IP addresses, signed by an authority of its own."""
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)

    def build(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
        )

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"),
        False,
    )  # fmt: skip
    authority = (
        build("authority of a test", "authority of a test", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    addresses = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    certificate = (
        build(names[0], "authority of a test", key)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(authority.public_bytes(pem))
    chain.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return Certificate(context, str(ca_file))


def encrypted_key(chain: str, password: str = "s3cret") -> Path:
    """The key of a chain in a file of its own beside it, encrypted."""
    key = serialization.load_pem_private_key(Path(chain).read_bytes(), None)
    file = Path(chain).with_suffix(".key")
    encryption = serialization.BestAvailableEncryption(password.encode())
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return file


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path, "127.0.0.1", "localhost")
