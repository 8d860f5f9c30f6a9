"""The proxy between the service and its AWS that makes calls go wrong."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.faults.aws_answers import failed, partial, throttled
from tests.faults.fault_plan import Fault, FaultPlan
from tests.faults.stream_front import StreamFront
from tests.support.proxy import Answer, Request, Reset, Upstream, serving

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


class FaultProxy:
    """Forwards each call to the emulator of its service, as the plan has it.

    Args:
        upstreams: the emulators' endpoint URLs by service.
        front: answers for the Streams API; None if an upstream does.
        leases_table: its calls are those of the service `Leases`.
        poll_seconds: how long a poll of the service waits.
        visibility_seconds: the visibility timeout that GetQueueAttributes reports.
    """

    def __init__(
        self,
        upstreams: Mapping[str, str],
        front: StreamFront | None,
        *,
        leases_table: str,
        poll_seconds: float,
        visibility_seconds: int,
    ) -> None:
        self._upstreams = {service: Upstream(url) for service, url in upstreams.items()}
        self._front = front
        self._leases_table = json.dumps(leases_table).encode()
        # The client waits nine seconds more. But a task whose receive hangs for longer than its drain budget
        # ends with status 1, which is right, and would look like a finding here.
        self._patience = {**PATIENCE_SECONDS, "SQS.ReceiveMessage": poll_seconds + 1.0}
        self._visibility_seconds = visibility_seconds
        self._plan = (FaultPlan(), time.monotonic())
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._seen: Counter[tuple[str, Fault]] = Counter()
        self.pause: Callable[[float], object] = lambda seconds: threading.Event().wait(seconds)
        """Waits for seconds, until a client has given up."""

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its endpoint URL, for as long as it runs."""
        with serving(self._handle, *self._upstreams.values()) as url:
            yield url

    def set_plan(self, plan: FaultPlan) -> None:
        """From now on calls go wrong as this plan has it; its clock starts."""
        self._plan = (plan, time.monotonic())

    @property
    def seen(self) -> Counter[tuple[str, Fault]]:
        """How many calls of each operation had each fault, or none."""
        with self._lock:
            return self._seen.copy()

    @property
    def faults(self) -> int:
        """How many calls it let fail."""
        return sum(count for (_, fault), count in self.seen.items() if fault is not Fault.NONE)

    def _handle(self, request: Request, client: socket.socket) -> Answer:
        operation = self._name(request)
        with self._lock:
            number = self._calls[operation]
            self._calls[operation] += 1
            plan, began = self._plan
            fault, dice = plan.fault(operation, number, time.monotonic() - began)
            self._seen[operation, fault] += 1
        patience = self._patience.get(operation) or self._patience[operation.partition(".")[0]]
        match fault:
            case Fault.THROTTLE:
                return throttled(operation, dice)
            case Fault.ERROR:
                return failed(operation, dice)
            case Fault.LATE_ANSWER:
                answer = self._forward(operation, request)
                self.pause(patience + LONGER_SECONDS)
                return answer
            case Fault.RESET | Fault.STALL | Fault.LATE_REQUEST | Fault.LOST_ANSWER:
                if fault in {Fault.STALL, Fault.LATE_REQUEST}:
                    self.pause(patience + LONGER_SECONDS)
                if fault in {Fault.LATE_REQUEST, Fault.LOST_ANSWER}:
                    self._forward(operation, request)
                raise Reset
            case Fault.PARTIAL if batch := partial(operation, request.body, dice):
                forwarded = batch.forwarded()
                answer = Answer(200, b"{}")
                if forwarded is not None:
                    answer = self._forward(operation, request, forwarded)
                if answer.status == 200:
                    answer = Answer(200, batch.completed(json.loads(answer.body)), _plain(answer.headers))
                return answer
            case _ if operation == "SQS.ReceiveMessage":
                # A client that leaves during a long poll ends its call, as on AWS.
                return self._upstreams["SQS"].ask(request, client=client)
            case _:
                return self._forward(operation, request)

    def _forward(self, operation: str, request: Request, body: bytes | None = None) -> Answer:
        service, method, *_ = operation.split(".")
        if service == "Streams" and self._front is not None:
            return self._front.answer(method, request.body)
        answer = self._upstreams[service].ask(request, body)
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


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without DynamoDB's checksum of a body that was changed."""
    return {name: value for name, value in headers.items() if name.lower() != "x-amz-crc32"}
