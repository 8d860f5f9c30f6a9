"""HTTP/1.1 over kept connections: one request, one answer, and never a request twice.

Every failure is botocore's own exception, the one that its own HTTP session raises in that place.
"""

import select
import socket
import ssl
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions as bc

MAX_HEAD_BYTES = 65_536
_CHUNK_BYTES = 65_536
_NO_BODY = (204, 304)
_FAILURES: tuple[tuple[type[Exception], Any], ...] = (
    (TimeoutError, bc.ReadTimeoutError),
    (ssl.SSLError, bc.SSLError),
    (Exception, bc.ConnectionClosedError),
)
"""The first that fits is raised, once there is a connection."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers by their names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connections:
    """The connections to one host; any number of threads may use them.

    Args:
        url: the endpoint, without a path.
        tls: how certificates are checked; for `https` only.
        connect_seconds: for the connection, and for each step of TLS's handshake.
        read_seconds: for each part of an answer, not for the whole.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, connect_seconds: float, read_seconds: float) -> None:
        parts = urlsplit(url)
        self._url = url
        self._host = parts.hostname or ""
        self._tls = tls if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: deque[_Connection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def exchange(self, request: bytes) -> HttpAnswer:
        """Sends a request, head and body, and reads the answer.

        Raises:
            EndpointConnectionError, ConnectTimeoutError: nothing was sent.
            SSLError: the certificate is refused (nothing was sent), or TLS failed.
            ReadTimeoutError, ConnectionClosedError: the request may have been carried out.
        """
        connection = self._kept() or self._connect()
        try:
            answer, keep = connection.exchange(request)
        except (OSError, ValueError) as error:
            connection.close()
            raise self._failure(error) from error
        if keep:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _kept(self) -> "_Connection | None":
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()  # the last one used: the server may have closed the others
                if not connection.is_dropped():
                    return connection
                connection.close()
        return None

    def _connect(self) -> "_Connection":
        try:
            plain = socket.create_connection((self._host, self._port), self._connect_seconds)
        except TimeoutError as error:
            raise bc.ConnectTimeoutError(endpoint_url=self._url, error=error) from error
        except OSError as error:
            raise bc.EndpointConnectionError(endpoint_url=self._url, error=error) from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            found = self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except OSError as error:
            plain.close()
            raise self._failure(error) from error
        found.settimeout(self._read_seconds)
        return _Connection(found)

    def _failure(self, error: Exception) -> Exception:
        kind = next(kind for cause, kind in _FAILURES if isinstance(error, cause))
        failure: Exception = kind(endpoint_url=self._url, error=error)
        return failure


def _close_all(idle: "deque[_Connection]") -> None:
    while idle:
        idle.pop().close()


class _Connection:
    """One connection. Its errors are OSError, and ValueError for what is not HTTP."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.close = sock.close
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        # Readable without a request: the server has closed it, or speaks without being asked.
        self.is_dropped = partial(poller.poll, 0)

    def exchange(self, request: bytes) -> tuple[HttpAnswer, bool]:
        """The answer, and whether the connection can be used again."""
        with suppress(BrokenPipeError):  # the server may have answered before it closed
            self._socket.sendall(request)
        status = 100
        rest = b""
        while status == 100:
            head, rest = self._until(b"\r\n\r\n", rest)
            first, *lines = head.decode("latin-1").split("\r\n")
            version, _, reason = first.partition(" ")
            status = int(reason[:3])
            if not version.startswith("HTTP/1."):
                raise ValueError("the answer is not HTTP/1")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError("a header without a colon")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        keep = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
        if status in _NO_BODY:
            body = b""
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body, rest = self._chunks(rest)
        elif "content-length" in headers:
            body, rest = self._exactly(int(headers["content-length"]), rest)
        else:
            body, keep = b"".join([rest, *iter(partial(self._socket.recv, _CHUNK_BYTES), b"")]), False
        # What comes after the answer belongs to no request.
        return HttpAnswer(status, headers, body), keep and not rest

    def _receive(self) -> bytes:
        data = self._socket.recv(_CHUNK_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection before the end of its answer")
        return data

    def _until(self, mark: bytes, data: bytes) -> tuple[bytes, bytes]:
        while mark not in data:
            if len(data) > MAX_HEAD_BYTES or b"\n\n" in data:
                raise ValueError("the answer's head is not HTTP")
            data += self._receive()
        found, _, rest = data.partition(mark)
        return found, rest

    def _exactly(self, size: int, data: bytes) -> tuple[bytes, bytes]:
        if size < 0:
            raise ValueError("a negative length")
        found = bytearray(data)
        while len(found) < size:
            found += self._receive()
        return bytes(found[:size]), bytes(found[size:])

    def _chunks(self, data: bytes) -> tuple[bytes, bytes]:
        parts = []
        while True:
            line, data = self._until(b"\r\n", data)
            size = int(line.partition(b";")[0], 16)
            if not size:
                break
            part, data = self._exactly(size + 2, data)
            parts.append(part[:-2])
        while line:  # trailers
            line, data = self._until(b"\r\n", data)
        return b"".join(parts), data
