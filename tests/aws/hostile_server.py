"""A server on 127.0.0.1 that answers as AWS should not: cut, late, wrong or not at all."""

import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

CLOSE, RESET, STALL, PAUSE, RESET_FIRST = "close", "reset", "stall", "pause", "reset first"
"""The last one ends the connection after the first byte of a request."""
Step = bytes | str
_HANDSHAKE = b"\x16\x03"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, see socket(7)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Servers' certificates, each its own authority, and a bundle that names them."""

    bundle: Path
    server: Path  # for 127.0.0.1
    other: Path  # for another host


def make_certificates(folder: Path) -> Certificates:
    """Certificates that only their own bundle names."""
    server, other, bundle = folder / "server.pem", folder / "other.pem", folder / "bundle.pem"
    bundle.write_bytes(_make_certificate(server, "127.0.0.1") + _make_certificate(other, "127.0.0.2"))
    return Certificates(bundle, server, other)


def _make_certificate(path: Path, host: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate)
    return certificate


class HostileServer:
    """Gives every request the same scripted answer, and keeps the requests that came whole."""

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listening = listening
        self._tls = tls
        self._stopped = threading.Event()
        self.port: int = listening.getsockname()[1]
        self.script: Sequence[Step] = ()
        self.first: list[Sequence[Step]] = []  # in place of the script, one for each request
        self.requests: list[bytes] = []
        self.closed: list[threading.Event] = []
        """For each request an event that is set when its connection is closed."""

    def run(self) -> None:
        """Accepts connections until it is stopped."""
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        """Ends stalled answers and accepts no more connections."""
        self._stopped.set()
        self._listening.shutdown(socket.SHUT_RDWR)

    def _serve(self, plain: socket.socket) -> None:
        closed = threading.Event()
        with suppress(OSError):
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            with connection:
                while self._answer(connection, closed):
                    pass
        closed.set()

    def _answer(self, connection: socket.socket, closed: threading.Event) -> bool:
        if RESET_FIRST in self.script:
            connection.recv(1)
            _reset(connection)
            return False
        request = _read_request(connection)
        if request is None:
            return False
        self.closed.append(closed)
        self.requests.append(request)
        for step in self.first.pop(0) if self.first else self.script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step == PAUSE:
                self._stopped.wait(0.05)
            elif step == STALL:
                self._stopped.wait()
                return False
            else:
                if step == RESET:
                    _reset(connection)
                return False
        return True


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    # The file descriptor alone: TLS would say goodbye.
    socket.socket(fileno=connection.detach()).close()


def _read_request(connection: socket.socket) -> bytes | None:
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        if end:
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if len(body) >= int(length[1] if length else 0):
                return data
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
        if data.startswith(_HANDSHAKE):  # TLS, on a server without
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return None


@contextmanager
def hostile_server(certificate: Path | None = None) -> Iterator[HostileServer]:
    """A running server; with a certificate it speaks TLS."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = HostileServer(listening, tls)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()
