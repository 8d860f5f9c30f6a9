"""The proxy between the service and its AWS that makes calls go wrong: a separate process on loopback.

`python -m tests.faults.proxy CONFIGURATION` takes JSON, prints its address as JSON, and ends when standard
input does. A POST to `/control` changes the plan, reshards the stream and reports what has happened.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from tests.faults.aws_answers import failed, partial, throttled
from tests.faults.fault_plan import Fault, FaultPlan
from tests.faults.stream_front import StreamFront
from tests.support.proxy import Answer, Client, Request, Server, Upstream

PATIENCE_SECONDS: Mapping[str, float] = {
    "Status": 3.0,
    "Leases": 3.0,
    "SQS": 5.0,
    "Streams": 10.0,
    "Kinesis": 10.0,
}
"""How long the service's clients wait for an answer, by service."""

LONGER_SECONDS = 0.5

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
        the service waits, and the visibility timeout that GetQueueAttributes reports."""
        self._upstreams = {service: Upstream(url) for service, url in upstreams.items()}
        self._front = front
        self._leases_table = json.dumps(leases_table).encode()
        # The client waits nine seconds more. But a task whose receive hangs for longer than its drain budget
        # ends with status 1, which is right, and would look like a finding here.
        self._patience = {**PATIENCE_SECONDS, "SQS.ReceiveMessage": poll_seconds + 1.0}
        self._visibility_seconds = visibility_seconds
        self._plan = FaultPlan()
        self._plan_began = time.monotonic()
        self._calls: Counter[str] = Counter()
        self._faults: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def handle(self, request: Request, client: Client) -> Answer | None:
        """Answers one request. None if its connection was ended instead."""
        if request.line.startswith("POST /control"):
            return self._control(json.loads(request.body))
        return await self._call(request, client)

    async def _call(self, request: Request, client: Client) -> Answer | None:
        operation = self._name(request)
        number = self._calls[operation]
        self._calls[operation] += 1
        fault, dice = self._plan.fault(operation, number, time.monotonic() - self._plan_began)
        self._faults[operation][fault.value] += 1
        patience = self._patience.get(operation) or self._patience[operation.partition(".")[0]]
        patience += LONGER_SECONDS
        match fault:
            case Fault.THROTTLE:
                return throttled(operation, dice)
            case Fault.ERROR:
                return failed(operation, dice)
            case Fault.RESET:
                client.reset()
                return None
            case Fault.STALL:
                await asyncio.sleep(patience)
                client.reset()
                return None
            case Fault.LATE_REQUEST:
                await asyncio.sleep(patience)
                await self._forward(operation, request)
                client.reset()
                return None
            case Fault.LATE_ANSWER:
                answer = await self._forward(operation, request)
                await asyncio.sleep(patience)
                return answer
            case Fault.LOST_ANSWER:
                await self._forward(operation, request)
                client.reset()
                return None
            case Fault.PARTIAL if batch := partial(operation, request.body, dice):
                forwarded = batch.forwarded()
                answer = Answer(200, b"{}")
                if forwarded is not None:
                    answer = await self._forward(operation, request, forwarded)
                if answer.status == 200:
                    answer = Answer(200, batch.completed(json.loads(answer.body)), _plain(answer.headers))
                return answer
            case _ if operation == "SQS.ReceiveMessage":
                # A client that leaves during a long poll ends its call, as on AWS.
                return await client.unless_it_leaves(self._forward(operation, request))
            case _:
                return await self._forward(operation, request)

    async def _forward(self, operation: str, request: Request, body: bytes | None = None) -> Answer:
        service, method, *_ = operation.split(".")
        if service == "Streams" and self._front is not None:
            return self._front.answer(_STREAM_METHODS[method], request.body)
        answer = await self._upstreams[service].ask(request, body)
        if method == "GetQueueAttributes" and answer.status == 200:
            attributes = json.loads(answer.body)
            attributes["Attributes"]["VisibilityTimeout"] = str(self._visibility_seconds)
            return Answer(200, json.dumps(attributes).encode(), answer.headers)
        return answer

    def _name(self, request: Request) -> str:
        target, _, method = request.target.partition(".")
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
        report: dict[str, Any] = {"calls": self._calls, "faults": self._faults}
        if self._front is not None:
            if "reshard" in command:
                report["shards"] = self._front.reshard(command["reshard"])
            if "roll_all" in command:
                report["shards"] = self._front.roll_all()
            if "forget_seconds" in command:
                self._front.forget(command["forget_seconds"])
            report |= {"stream": self._front.state()}
        return Answer(200, json.dumps(report).encode(), {"Content-Type": "application/json"})


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without DynamoDB's checksum of a body that was changed."""
    return {name: value for name, value in headers.items() if name.lower() != "x-amz-crc32"}


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

    asyncio.run(Server(proxy.handle).serve(announce))


if __name__ == "__main__":
    main()
