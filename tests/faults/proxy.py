"""The proxy between the service and its AWS that makes calls go wrong: a process of its own on loopback.

`python -m tests.faults.proxy CONFIGURATION` takes JSON, prints its address as JSON, and ends when standard
input does. A POST to `/control` changes the plan, reshards the stream and tells what has happened.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.faults.aws_answers import Answer, failed, partial, throttled
from tests.faults.fault_plan import Fault, FaultPlan
from tests.faults.stream_front import StreamFront

PATIENCE_SECONDS: Mapping[str, float] = {
    "Status": 3.0,
    "Leases": 3.0,
    "SQS": 5.0,
    "Streams": 10.0,
    "Kinesis": 10.0,
}
"""How long the service's clients wait for an answer, by service."""

LONGER_SECONDS = 0.5
IDLE_CONNECTION_SECONDS = 5.0

_SERVICES = {
    "AmazonSQS": "SQS",
    "DynamoDB_20120810": "Status",
    "DynamoDBStreams_20120810": "Streams",
    "Kinesis_20131202": "Kinesis",
}
_STREAM_METHODS = {
    "ListStreams": "list_streams",
    "DescribeStream": "describe_stream",
    "GetShardIterator": "get_shard_iterator",
    "GetRecords": "get_records",
}


@dataclass(slots=True)
class Request:
    """One request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes
    operation: str = ""

    def encoded(self, body: bytes | None = None) -> bytes:
        """The request for the upstream, with another body if one is given."""
        content = self.body if body is None else body
        headers = self.headers | {"content-length": str(len(content)), "connection": "keep-alive"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.line}\r\n{head}\r\n".encode("latin-1") + content


@dataclass(slots=True)
class Upstream:
    """One emulator, with the connections to it that are free at the moment."""

    host: str
    port: int
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = field(default_factory=list)

    async def ask(self, request: bytes) -> Answer:
        """Sends a request and reads the whole answer; the connection of a cancelled call is closed."""
        reader, writer = await self._connection()
        try:
            writer.write(request)
            answer, stays_open = await _read_answer(reader)
        except BaseException:
            writer.transport.abort()
            raise
        if stays_open:
            self.free.append((reader, writer, time.monotonic()))
        else:
            writer.close()
        return answer

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.free:
            reader, writer, since = self.free.pop()
            if not reader.at_eof() and time.monotonic() - since < IDLE_CONNECTION_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.host, self.port, limit=2**24)


class Proxy:
    """Forwards each call to the emulator of its service, as the plan has it."""

    def __init__(
        self,
        upstreams: Mapping[str, str],
        front: StreamFront | None,
        *,
        leases_table: str,
        poll_seconds: float,
        visibility_seconds: int,
    ) -> None:
        """Takes the emulators' addresses by service, who answers for the Streams API, how long a poll of
        the service waits, and which visibility timeout it is told that its queue has."""
        self._upstreams = {
            service: Upstream(str(urlsplit(url).hostname), int(urlsplit(url).port or 80))
            for service, url in upstreams.items()
        }
        self._front = front
        self._leases_table = json.dumps(leases_table).encode()
        # The client waits nine seconds more. But a task whose receive hangs for longer than its drain budget
        # says so with status 1, which is right, and would look like a finding here.
        self._patience = {**PATIENCE_SECONDS, "SQS.ReceiveMessage": poll_seconds + 1.0}
        self._visibility_seconds = visibility_seconds
        self._plan = FaultPlan()
        self._plan_began = time.monotonic()
        self._connections: set[asyncio.Task[None] | None] = set()
        """Keeps what nobody else holds: the event loop itself refers to waiting tasks only weakly."""
        self._calls: Counter[str] = Counter()
        self._faults: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def serve(self, announce: Callable[[str], None]) -> None:
        """Listens on a free port of loopback until the process ends."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=2**24)
        announce(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await _read_request(reader)) is not None:
                if request.line.startswith("POST /control"):
                    _write(writer, self._control(json.loads(request.body)))
                else:
                    await self._handle(request, reader, writer)
                await writer.drain()
                if writer.transport.is_closing():
                    break
        writer.close()
        self._connections.discard(task)

    async def _handle(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        operation = request.operation = self._name(request)
        number = self._calls[operation]
        self._calls[operation] += 1
        fault, dice = self._plan.fault(operation, number, time.monotonic() - self._plan_began)
        self._faults[operation][fault.value] += 1
        patience = self._patience.get(operation) or self._patience[operation.partition(".")[0]]
        patience += LONGER_SECONDS
        match fault:
            case Fault.THROTTLE:
                _write(writer, throttled(operation, dice))
            case Fault.ERROR:
                _write(writer, failed(operation, dice))
            case Fault.RESET:
                _reset(writer)
            case Fault.STALL:
                await asyncio.sleep(patience)
                _reset(writer)
            case Fault.LATE_REQUEST:
                await asyncio.sleep(patience)
                await self._forward(request)
                _reset(writer)
            case Fault.LATE_ANSWER:
                answer = await self._forward(request)
                await asyncio.sleep(patience)
                _write(writer, answer)
            case Fault.LOST_ANSWER:
                await self._forward(request)
                _reset(writer)
            case Fault.PARTIAL if batch := partial(operation, request.body, dice):
                forwarded = batch.forwarded()
                answer = Answer(200, b"{}") if forwarded is None else await self._forward(request, forwarded)
                if answer.status == 200:
                    answer = Answer(200, batch.completed(json.loads(answer.body)), _plain(answer.headers))
                _write(writer, answer)
            case _:
                await self._pass(request, reader, writer)

    async def _pass(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forwards; a client that leaves during a long poll takes its call with it, as it would on AWS."""
        call = asyncio.ensure_future(self._forward(request))
        if request.operation == "SQS.ReceiveMessage":
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({call, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                call.cancel()
                writer.transport.abort()
                return
            # Nothing was read: a client sends its next request only after the answer to this one.
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
        _write(writer, await call)

    async def _forward(self, request: Request, body: bytes | None = None) -> Answer:
        service, method, *_ = request.operation.split(".")
        if service == "Streams" and self._front is not None:
            return self._front.answer(_STREAM_METHODS[method], request.body)
        try:
            answer = await self._upstreams[service].ask(request.encoded(body))
        except (OSError, asyncio.IncompleteReadError):
            return Answer(502, b"the emulator does not answer")
        if method == "GetQueueAttributes" and answer.status == 200:
            told = json.loads(answer.body)
            told["Attributes"]["VisibilityTimeout"] = str(self._visibility_seconds)
            return Answer(200, json.dumps(told).encode(), answer.headers)
        return answer

    def _name(self, request: Request) -> str:
        target, _, method = request.headers["x-amz-target"].partition(".")
        service = _SERVICES[target]
        if service == "Status" and self._leases_table in request.body:
            service = "Leases"
        if method == "GetRecords" and self._front is not None and self._front.reads_first_shard(request.body):
            method += ".first"
        return f"{service}.{method}"

    def _control(self, command: Mapping[str, Any]) -> Answer:
        if "plan" in command:
            self._plan = FaultPlan.from_json(command["plan"])
            self._plan_began = time.monotonic()
        told: dict[str, Any] = {"calls": self._calls, "faults": self._faults}
        if self._front is not None:
            if "reshard" in command:
                told["shards"] = self._front.reshard(command["reshard"])
            if "roll_all" in command:
                told["shards"] = self._front.roll_all()
            if "forget_seconds" in command:
                self._front.forget(command["forget_seconds"])
            told |= {"stream": self._front.state()}
        return Answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


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


def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    headers = {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "keep-alive"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} -\r\n{head}\r\n".encode("latin-1") + answer.body)


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without DynamoDB's checksum of a body that was changed."""
    return {name: value for name, value in headers.items() if name.lower() != "x-amz-crc32"}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST, so that the client sees a reset and not an orderly end."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serves until standard input ends."""
    configuration = json.loads(sys.argv[1])
    threading.Thread(target=_end_with_input, name="end of input", daemon=True).start()
    front = None
    if configuration["shards"]:
        front = StreamFront(
            configuration["upstreams"]["Status"], configuration["table"], shards=configuration["shards"]
        )
        front.start()
    proxy = Proxy(
        configuration["upstreams"],
        front,
        leases_table=configuration["leases_table"],
        poll_seconds=configuration["poll_seconds"],
        visibility_seconds=configuration["visibility_seconds"],
    )

    def announce(endpoint_url: str) -> None:
        sys.stdout.write(json.dumps({"endpoint_url": endpoint_url}) + "\n")
        sys.stdout.flush()

    asyncio.run(proxy.serve(announce))


if __name__ == "__main__":
    main()
