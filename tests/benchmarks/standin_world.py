"""What the stand-in holds: a queue whose events are released at once or arrive by the clock, and the table.

It keeps only what is in flight, so its answers take as long at the millionth event as at the first. On a day
SQS gives short pages: below a thousand waiting messages a receive gives fewer than asked, at random, and a
short poll misses some, as the real service does ("Amazon SQS short and long polling"). Of a day, each event's
time from arrival to its write is kept.
"""

import asyncio
import base64
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.audit.kinesis_standin import Kinesis
from tests.benchmarks.standin_table import ACCOUNT, REGION, Answer, Refused, Table, describe_table
from tests.handlers.model_table import StoredItem

QUEUE, DLQ = "bench-events", "bench-events-dlq"
STATUSES = ("pending", "processing", "completed")
BLOCK = 1_000  # released events of one export lie so far apart, more than any consumer here holds
FILE_NAME = "report.csv"
SIGNED_URL = "https://bench.s3.us-east-1.amazonaws.com/exports/report.csv?X-Amz-Signature=" + "0" * 400
HANDLE_PADDING = "AQEB" + "x" * 300  # as long as SQS's own
FULL_PAGES_FROM = 1_000
SHORT_POLL_MISSES = 0.3
REPEATS = 0.05
STEP_SECONDS = 1.0
"""On average from one status of an export to the next, on a day."""

Operation = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DayPlan:
    """How events arrive.

    Attributes:
        events_per_second: on average.
        seconds: how long.
        even: one export's first event at equal distances, instead of Poisson arrivals of whole exports.
        held_seconds: how long nothing can be received at first, while events arrive.
        seed: of the randomness.
    """

    events_per_second: float
    seconds: float
    even: bool = False
    held_seconds: float = 0.0
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Poll:
    """A ReceiveMessage that waits."""

    request: Mapping[str, Any]
    is_gone: Callable[[], bool]
    answer: Callable[[Answer], None]


@dataclass(slots=True)
class Waiting:
    """A message that was not deleted yet."""

    number: int
    key: str
    status: str
    arrived: float
    sent_at: datetime
    receive_count: int = 0


class World:
    """The queue and the table, and an audit stream that takes everything."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._sent = self._deleted = self._dead_lettered = self._records = self._data_chars = 0
        self._messages: dict[int, Waiting] = {}
        self._visible: deque[int] = deque()
        self._polls: deque[Poll] = deque()
        self._created: dict[str, str] = {}
        self._table = Table(self._written)
        self._day = False
        self._rng = random.Random(1)
        self._held_until = 0.0
        self._to_come = 0  # events of the day that have not arrived
        self._unwritten: dict[str, list[Waiting]] = {}
        self._latencies: list[float] = []
        self._late_written = 0  # of the events that arrived after the queue was held
        self._operations: dict[str, Operation] = {
            "ReceiveMessage": self._receive_message,
            "DeleteMessageBatch": partial(batch, self._delete_message),
            "ChangeMessageVisibilityBatch": partial(batch, self._change_message_visibility),
            "SendMessageBatch": partial(batch, self._send_message),
            "GetQueueAttributes": get_queue_attributes,
            "UpdateItem": self._table.update_item,
            "BatchExecuteStatement": self._table.batch_execute_statement,
            "DescribeTable": describe_table,
            "GetItem": self._table.get_item,
            "BatchGetItem": self._table.batch_get_item,
            "PutRecords": self._put_records,
        }

    def call(self, operation: str, request: Mapping[str, Any]) -> Answer:
        """Counts the call and answers it: HTTP status and members."""
        self.calls[operation] += 1
        try:
            return 200, self._operations.get(operation, unknown_operation)(request)
        except Refused as refused:
            return refused.answer

    def state(self) -> dict[str, Any]:
        """Counts, and once a day is over its times from arrival to write (seconds)."""
        arriving = self._to_come > 0
        return {
            "calls": dict(self.calls),
            "counts": {
                "sent": self._sent,
                "deleted": self._deleted,
                "dead_lettered": self._dead_lettered,
                "applied": self._table.applied,
                "refused": self._table.refused,
                "late_written": self._late_written,
                "records": self._records,
                "data_chars": self._data_chars,
            },
            "waiting": len(self._messages),
            "arriving": arriving,
            "latencies": [] if arriving or self._messages else self._latencies,
        }

    def release(self, events: int) -> None:
        """Puts more events into the queue. A block of exports is pending, then processing, then completed."""
        for _ in range(events):
            block, place = divmod(self._sent, BLOCK * len(STATUSES))
            stage, export = divmod(place, BLOCK)
            self._add(f"bench-{block * BLOCK + export}", STATUSES[stage])
        self._serve_polls()

    def begin(self, plan: DayPlan) -> None:
        """Lets a day's events arrive from now on."""
        self._day, self._rng = True, random.Random(plan.seed)
        loop, now = asyncio.get_running_loop(), time.monotonic()
        self._latencies, self._late_written = [], 0
        self._held_until, self._to_come = now + plan.held_seconds, 0
        loop.call_later(plan.held_seconds, self._serve_polls)
        run = f"{self._sent}"
        for delay, export, status in self._arrivals(plan):
            self._to_come += 1
            loop.call_later(delay, self._arrive, f"bench-{run}-{export}", status)

    def wait(self, poll: Poll) -> None:
        """Answers a long poll when there are messages, or when its time is over."""
        self._polls.append(poll)
        asyncio.get_running_loop().call_later(poll.request["WaitTimeSeconds"], self._end_poll, poll)

    def _arrivals(self, plan: DayPlan) -> Iterator[tuple[float, int, str]]:
        at, export = 0.0, 0
        while True:
            gap = len(STATUSES) / plan.events_per_second
            at += 1 / plan.events_per_second if plan.even else self._rng.expovariate(1 / gap)
            if at >= plan.seconds:
                return
            export += 1
            if plan.even:
                yield at, export, STATUSES[0]
                continue
            step = at
            for status in STATUSES:
                yield step, export, status
                if self._rng.random() < REPEATS:
                    yield step + self._rng.expovariate(1 / STEP_SECONDS), export, status
                step += self._rng.expovariate(1 / STEP_SECONDS)

    def _add(self, key: str, status: str) -> Waiting:
        message = Waiting(self._sent, key, status, time.monotonic(), datetime.now(UTC))
        self._created.setdefault(key, stamp(message.sent_at))
        self._sent += 1
        self._messages[message.number] = message
        self._visible.append(message.number)
        return message

    def _arrive(self, key: str, status: str) -> None:
        self._to_come -= 1
        message = self._add(key, status)
        if rank(self._table.items.get(key)) < STATUSES.index(status):
            self._unwritten.setdefault(key, []).append(message)
        self._serve_polls()

    def _written(self, key: str, item: StoredItem) -> None:
        """Of an export's events that had arrived, those up to its status are written now."""
        now, waiting = time.monotonic(), self._unwritten.pop(key, [])
        for message in waiting:
            if STATUSES.index(message.status) > rank(item):
                self._unwritten.setdefault(key, []).append(message)
                continue
            self._latencies.append(now - message.arrived)
            self._late_written += message.arrived >= self._held_until

    def _end_poll(self, poll: Poll) -> None:
        if poll in self._polls:
            self._polls.remove(poll)
            poll.answer((200, {}))

    def _serve_polls(self) -> None:
        while self._polls:
            poll = self._polls[0]
            answer = {} if poll.is_gone() else self._receive_message(poll.request)
            if not answer and not poll.is_gone():
                return
            self._polls.popleft()
            poll.answer((200, answer))

    def _receive_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        most = min(int(request.get("MaxNumberOfMessages", 1)), len(self._visible))
        if not most or time.monotonic() < self._held_until:
            return {}
        if self._day and len(self._visible) < FULL_PAGES_FROM:
            if not request.get("WaitTimeSeconds") and self._rng.random() < SHORT_POLL_MISSES:
                return {}
            most = self._rng.choice((most, most, self._rng.randint(1, most)))
        return {"Messages": [self._received(self._visible.popleft()) for _ in range(most)]}

    def _received(self, number: int) -> dict[str, Any]:
        message = self._messages[number]
        message.receive_count += 1
        event = {
            "eventId": f"event-{number}",
            "requestId": message.key,
            "status": message.status,
            "occurredAt": stamp(message.sent_at),
            "createdAt": self._created.get(message.key, stamp(message.sent_at)),
        }
        if message.status == STATUSES[-1]:
            event |= {"fileName": FILE_NAME, "signedUrl": SIGNED_URL}
        return {
            "MessageId": f"00000000-0000-4000-8000-{number:012d}",
            "ReceiptHandle": f"{HANDLE_PADDING}{number}",
            "MD5OfBody": "0" * 32,
            "Body": json.dumps(event),
            "Attributes": {
                "ApproximateReceiveCount": str(message.receive_count),
                "SentTimestamp": str(int(message.sent_at.timestamp() * 1_000)),
            },
        }

    def _delete_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes one message; deleting it again changes nothing."""
        message = self._messages.pop(number_of(request), None)
        if message is not None:
            self._deleted += 1
            if message.status == STATUSES[-1] and not self._day:  # nothing more comes of this export
                self._table.items.pop(message.key, None)
                self._created.pop(message.key, None)
        return {}

    def _change_message_visibility(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The message comes back after these seconds."""
        seconds = float(request["VisibilityTimeout"])
        asyncio.get_running_loop().call_later(seconds, self._return, number_of(request))
        return {}

    def _return(self, number: int) -> None:
        if number in self._messages:
            self._visible.append(number)
            self._serve_polls()

    def _send_message(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Takes a copy for the dead-letter queue."""
        self._dead_lettered += 1
        return {"MessageId": f"00000000-0000-4000-9000-{self._dead_lettered:012d}"}

    def _put_records(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._records += len(request["Records"])
        self._data_chars += sum(len(record["Data"]) for record in request["Records"])
        # Without a hash key the middle one: one record an entry has only its partition key.
        whole = [
            {"ExplicitHashKey": str(2**127), **record, "Data": base64.b64decode(record["Data"])}
            for record in request["Records"]
        ]
        return Kinesis().put_records(StreamName=request["StreamName"], Records=whole)


def stamp(moment: datetime) -> str:
    """As producers write it."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def rank(item: StoredItem | None) -> int:
    """How far an export has come."""
    return STATUSES.index(str(item["status"]["S"])) if item else -1


def number_of(request: Mapping[str, Any]) -> int:
    """The event that a receipt handle stands for."""
    return int(str(request["ReceiptHandle"]).removeprefix(HANDLE_PADDING))


def unknown_operation(_request: Mapping[str, Any]) -> dict[str, Any]:
    """AWS's answer to an unknown operation; the count by operation names it."""
    raise Refused("UnknownOperationException")


def batch(operation: Operation, request: Mapping[str, Any]) -> dict[str, Any]:
    """The batch form of an SQS call."""
    entries = request["Entries"]
    if not 1 <= len(entries) <= 10:
        raise Refused("TooManyEntriesInBatchRequest")
    return {"Successful": [{"Id": entry["Id"], **operation(entry)} for entry in entries], "Failed": []}


def get_queue_attributes(request: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as `infra/data.yaml` has them."""
    name = str(request["QueueUrl"]).rsplit("/", 1)[-1]
    attributes = {
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        "VisibilityTimeout": "120",
        "MessageRetentionPeriod": "345600",
    }
    if name == QUEUE:
        target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DLQ}"
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 60})
    return {"Attributes": attributes}
