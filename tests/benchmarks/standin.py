"""A local stand-in for SQS, DynamoDB and Kinesis that costs its clients as little waiting as possible.

It speaks the JSON protocols over HTTP on 127.0.0.1 and counts the calls. `python -m tests.benchmarks.standin
SECONDS` answers each call after this time.

`POST /control` gives the counts; with `{"events": n}` it puts n more events into the queue, and with
`{"day": …}` it lets events arrive by the clock (see `DayPlan`).
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.standin_table import Answer
from tests.benchmarks.standin_world import DayPlan, Poll, World


class Connection(asyncio.Protocol):
    """One keep-alive connection; botocore never sends the next request before the answer."""

    def __init__(self, world: World, latency_seconds: float) -> None:
        self._world = world
        self._latency_seconds = latency_seconds
        self._buffer = b""

    @property
    def is_closed(self) -> bool:
        return self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._handle(lines[0].split()[1], headers, json.loads(body or b"{}"))

    def answer(self, answer: Answer) -> None:
        """Sends an answer, or drops it where the client has left."""
        if self.is_closed:
            return
        status, members = answer
        body = json.dumps(members).encode()
        head = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Bad Request'}\r\n"
            "Content-Type: application/x-amz-json-1.0\r\n"
            f"x-amzn-RequestId: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def _handle(self, path: str, headers: Mapping[str, str], request: dict[str, Any]) -> None:
        world = self._world
        if path == "/control":
            if "day" in request:
                world.begin(DayPlan(**request["day"]))
            else:
                world.release(int(request.get("events", 0)))
            self.answer((200, world.state()))
            return
        operation = headers.get("x-amz-target", "").partition(".")[2]
        answer = world.call(operation, request)
        if operation == "ReceiveMessage" and not answer[1] and request.get("WaitTimeSeconds"):
            world.wait(Poll(request, lambda: self.is_closed, self.answer))
        elif self._latency_seconds:
            asyncio.get_running_loop().call_later(self._latency_seconds, self.answer, answer)
        else:
            self.answer(answer)


async def serve(world: World, latency_seconds: float) -> None:
    """Serves until it is ended; the first line on standard output is the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world, latency_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(World(), float(sys.argv[1])))
