"""A proxy on loopback before an emulator, and what it does to the calls that pass.

`proxy(endpoint_url, treatment)` runs one in a thread. `tests/faults/proxy.py` stands before several.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HOST = "127.0.0.1"
IDLE_CONNECTION_SECONDS = 5.0
_BUFFER_BYTES = 2**24


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

    def encoded(self, body: bytes | None = None) -> bytes:
        """The request for the upstream, with another body if one is given."""
        content = self.body if body is None else body
        headers = self.headers | {"content-length": str(len(content)), "connection": "keep-alive"}
        return _message(self.line, headers, content)


class Upstream:
    """One emulator, with the idle connections to it."""

    def __init__(self, endpoint_url: str) -> None:
        parts = urlsplit(endpoint_url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def ask(self, request: Request, body: bytes | None = None) -> Answer:
        """Forwards a request and reads the whole answer. A cancelled call closes its connection.

        Args:
            request: as it came in.
            body: sent in place of the request's own.

        Returns:
            The emulator's answer; 502 if it gives none.
        """
        try:
            reader, writer = await self._connection()
            try:
                writer.write(request.encoded(body))
                answer, stays_open = await _read_answer(reader)
            except BaseException:
                writer.transport.abort()
                raise
        except (OSError, asyncio.IncompleteReadError):
            return Answer(502, b"the emulator does not answer")
        if stays_open:
            self._idle.append((reader, writer, time.monotonic()))
        else:
            writer.close()
        return answer

    def close(self) -> None:
        """Closes the idle connections."""
        for _, writer, _ in self._idle:
            writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if not reader.at_eof() and time.monotonic() - since < IDLE_CONNECTION_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port, limit=_BUFFER_BYTES)


class Client:
    """The connection that a request came in by."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def reset(self) -> None:
        """Ends the connection with RST, so that the client sees a reset and not an orderly end."""
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def unless_it_leaves(self, call: Awaitable[Answer]) -> Answer | None:
        """The answer to a call, or None if the client leaves before it comes: then the call is cancelled."""
        answer = asyncio.ensure_future(call)
        # A client sends its next request only after the answer to this one: nothing is read here.
        gone = asyncio.ensure_future(self._reader.read(1))
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            self._writer.transport.abort()
            return None
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        return await answer


Handler = Callable[[Request, Client], Awaitable[Answer | None]]
"""Gives the answer to a request, or None if its connection was ended instead."""

Treatment = Callable[[Request, Upstream], Awaitable[Answer]]
"""Gives the answer to a request to an emulator, mostly that of the emulator."""


class Server:
    """Gives each request to a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[asyncio.Task[None] | None] = set()
        """Keeps tasks alive: the event loop refers to waiting tasks only weakly."""

    async def serve(self, announce: Callable[[str], None]) -> None:
        """Listens on a free port of loopback until it is cancelled.

        Args:
            announce: called with the endpoint URL.
        """
        server = await asyncio.start_server(self._connected, HOST, 0, limit=_BUFFER_BYTES)
        announce(f"http://{HOST}:{server.sockets[0].getsockname()[1]}")
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def close(self) -> None:
        """Ends all connections. A request without an answer stays without one."""
        tasks = [task for task in self._connections if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while (request := await _read_request(reader)) is not None:
                    answer = await self._handler(request, Client(reader, writer))
                    if answer is None or writer.transport.is_closing():
                        break
                    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
                    writer.write(_message(f"HTTP/1.1 {answer.status} -", headers, answer.body))
                    await writer.drain()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            self._connections.discard(task)


@contextmanager
def serving(handler: Handler, *upstreams: Upstream) -> Iterator[str]:
    """The endpoint URL of a server in a thread.

    Args:
        handler: gives the answers. It runs in the server's thread.
        upstreams: closed in the end.
    """
    server = Server(handler)
    address: Future[str] = Future()
    stop: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        stop.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        try:
            await server.serve(address.set_result)
        finally:
            await server.close()
            for upstream in upstreams:
                upstream.close()

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(serve())

    thread = threading.Thread(target=run, name="proxy", daemon=True)
    thread.start()
    try:
        yield address.result(timeout=10)
    finally:
        stop.result()()
        thread.join()


@contextmanager
def proxy(endpoint_url: str, treatment: Treatment) -> Iterator[str]:
    """The endpoint URL of a proxy before an emulator.

    Args:
        endpoint_url: the emulator's.
        treatment: what is done to each request. It runs in the proxy's thread.
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

    async def refuse(request: Request, upstream: Upstream) -> Answer:
        if request.target in operations and next(refusals, None) is not None:
            return failure(code, status)
        if any(f"Action={action}".encode() in request.body for action in queries):
            error = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
            return Answer(status, (error if xml is None else xml).encode(), {"Content-Type": "text/xml"})
        return await upstream.ask(request)

    with proxy(endpoint_url, refuse) as url:
        yield url


@contextmanager
def freezing_proxy(endpoint_url: str) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """A proxy that falls silent: connections stay, and no answer comes any more.

    Returns:
        Its endpoint URL, the event that makes it silent, and the event that it sets when it holds a call.
    """
    frozen, held = threading.Event(), threading.Event()

    async def freeze(request: Request, upstream: Upstream) -> Answer:
        answer = Answer(500, b"") if frozen.is_set() else await upstream.ask(request)
        if frozen.is_set():
            held.set()
            await asyncio.Event().wait()
        return answer

    with proxy(endpoint_url, freeze) as url:
        yield url, frozen, held


def failure(code: str, status: int = 400) -> Answer:
    """An error in AWS's JSON protocols."""
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    return Answer(status, json.dumps({"__type": code}).encode(), headers)


def _message(line: str, headers: Mapping[str, str], body: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{line}\r\n{head}\r\n".encode("latin-1") + body


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await _read_head(reader)
    if head is None:
        return None
    line, headers = head
    return Request(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _read_answer(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    head = await _read_head(reader)
    if head is None:
        raise ConnectionResetError
    line, headers = head
    if headers.pop("transfer-encoding", "") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.pop("content-length", 0)))
    stays_open = headers.pop("connection", "keep-alive").lower() != "close"
    return Answer(int(line.split(" ")[1]), body, headers), stays_open


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as ended:
        if ended.partial:
            raise
        return None
    line, *lines = head[:-4].split("\r\n")
    headers = (each.partition(":") for each in lines)
    return line, {name.strip().lower(): value.strip() for name, _, value in headers}
