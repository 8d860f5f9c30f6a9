"""A proxy on loopback before an emulator, and what it does to the calls that pass.

`proxy(endpoint_url, treatment)` is one in a thread. `tests/faults/proxy.py` stands before several emulators.
"""

import contextlib
import json
import selectors
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"


class Reset(Exception):
    """The connection of a request ends with RST, and without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `Content-Length` is added when it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """One request as it came in. Names of headers are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """The header X-Amz-Target, such as `DynamoDB_20120810.UpdateItem`; empty in the query protocol."""
        return self.headers.get("x-amz-target", "")


class Upstream:
    """One emulator, with the idle connections to it."""

    def __init__(self, endpoint_url: str) -> None:
        self._address = urlsplit(endpoint_url).netloc
        self._idle: list[HTTPConnection] = []
        self._is_closed = False

    def ask(self, request: Request, body: bytes | None = None, client: socket.socket | None = None) -> Answer:
        """Forwards a request and reads the whole answer.

        Args:
            request: as it came in.
            body: sent in place of the request's own.
            client: if it leaves before the answer comes, the call ends.

        Returns:
            The emulator's answer; 502 if it gives none.

        Raises:
            Reset: if the client left.
        """
        content = request.body if body is None else body
        headers = request.headers | {"content-length": str(len(content)), "connection": "keep-alive"}
        method, path, _ = request.line.split(" ")
        connection = self._connection()
        try:
            connection.request(method, path, content, headers)
            has_left = client is not None and _first_to_speak(connection.sock, client) is client
            answer = None if has_left else _read_answer(connection)
        except (OSError, HTTPException):
            connection.close()
            return Answer(502, b"the emulator does not answer")
        if answer is None or self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)
        if answer is None:
            raise Reset
        return answer

    def close(self) -> None:
        """Closes the idle connections, and each other after its answer."""
        self._is_closed = True
        for connection in self._idle:
            connection.close()

    def _connection(self) -> HTTPConnection:
        with contextlib.suppress(IndexError):
            while True:
                connection = self._idle.pop()
                # An emulator closes a connection that was idle for long: then its end can be read.
                with contextlib.suppress(BlockingIOError):
                    if connection.sock is not None:
                        connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                    connection.close()
                    continue
                return connection
        return HTTPConnection(self._address)


Handler = Callable[[Request, socket.socket], Answer]
"""Gives the answer to a request of a client, or raises `Reset`."""

Treatment = Callable[[Request, Upstream], Answer]
"""Gives the answer to a request to an emulator, mostly that of the emulator."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: "_Server"

    def do_POST(self) -> None:
        """Answers one request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        try:
            answer = self.server.handler(Request(self.requestline, headers, body), self.connection)
        except Reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST  # noqa: N815 - the name that the base class calls

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: Handler) -> None:
        super().__init__((HOST, 0), _Connection)
        self.handler = handler
        self._open: set[Any] = set()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves one connection."""
        self._open.add(request)
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """An orderly end before the close would hide a reset."""
        self._open.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed in the middle of a call are no error."""

    def end_connections(self) -> None:
        """A request without an answer stays without one."""
        for each in [*self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(handler: Handler, *upstreams: Upstream) -> Iterator[str]:
    """The endpoint URL of a server in threads.

    Args:
        handler: gives the answers. Each connection has a thread.
        upstreams: closed in the end.
    """
    with _Server(handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="proxy", daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.end_connections()
            for upstream in upstreams:
                upstream.close()


@contextmanager
def proxy(endpoint_url: str, treatment: Treatment) -> Iterator[str]:
    """The endpoint URL of a proxy before an emulator.

    Args:
        endpoint_url: the emulator's.
        treatment: what is done to each request.
    """
    upstream = Upstream(endpoint_url)
    with serving(lambda request, _: treatment(request, upstream), upstream) as url:
        yield url


@contextmanager
def refusing_proxy(
    endpoint_url: str,
    *operations: str,
    code: str = "AccessDeniedException",
    status: int = 400,
    queries: tuple[str, ...] = (),
    times: int = 1_000_000,
    xml: str | None = None,
) -> Iterator[str]:
    """The endpoint URL of a server that answers some operations with an error, and forwards all others.

    Args:
        endpoint_url: the emulator's.
        operations: as X-Amz-Target has them, such as `DynamoDB_20120810.UpdateItem`.
        code: AWS's error code.
        status: HTTP's.
        queries: actions of the query protocol, such as `GetCallerIdentity`.
        times: how many calls it refuses; it forwards those that come after.
        xml: what the query protocol's actions get in place of an error with that code.
    """
    refusals = iter(range(times))

    def refuse(request: Request, upstream: Upstream) -> Answer:
        if request.target in operations and next(refusals, None) is not None:
            return failure(code, status)
        if any(f"Action={action}".encode() in request.body for action in queries):
            error = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
            return Answer(status, (error if xml is None else xml).encode(), {"Content-Type": "text/xml"})
        return upstream.ask(request)

    with proxy(endpoint_url, refuse) as url:
        yield url


@contextmanager
def freezing_proxy(
    endpoint_url: str, operation: str
) -> Iterator[tuple[str, threading.Event, threading.Event, threading.Event]]:
    """A proxy that can hold the calls of one operation: its connections stay, and no answer comes.

    Args:
        endpoint_url: the emulator's.
        operation: as X-Amz-Target has it.

    Returns:
        Its endpoint URL, the event that makes it silent, the one that it sets when it holds a call, and the
        one that ends the silence.
    """
    frozen, held, over = threading.Event(), threading.Event(), threading.Event()

    def freeze(request: Request, upstream: Upstream) -> Answer:
        if request.target != operation:
            return upstream.ask(request)
        answer = None if frozen.is_set() else upstream.ask(request)
        if frozen.is_set():
            held.set()
            over.wait()
        return answer or upstream.ask(request)

    with proxy(endpoint_url, freeze) as url:
        yield url, frozen, held, over
        over.set()


def failure(code: str, status: int = 400) -> Answer:
    """An error in AWS's JSON protocols."""
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    return Answer(status, json.dumps({"__type": code}).encode(), headers)


def _read_answer(connection: HTTPConnection) -> Answer:
    response = connection.getresponse()
    own = {"content-length", "transfer-encoding", "connection"}
    kept = {name: value for name, value in response.getheaders() if name.lower() not in own}
    return Answer(response.status, response.read(), kept)


def _first_to_speak(emulator: socket.socket, client: socket.socket) -> object:
    """The socket that can be read first: a client that has no answer yet only leaves."""
    with selectors.DefaultSelector() as selector:
        for each in (emulator, client):
            selector.register(each, selectors.EVENT_READ)
        return selector.select()[0][0].fileobj
