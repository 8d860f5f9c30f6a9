"""What the stand-in holds: a queue that makes its events as they are received, and the table.

It keeps only what is in flight, so its answers take as long at the millionth event as at the first.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tests.benchmarks.standin_table import ACCOUNT, FILE_NAME, REGION, Answer, Refused, Table, describe_table

QUEUE, DLQ = "bench-events", "bench-events-dlq"
STATUSES = ("pending", "processing", "completed")
BLOCK = 1_000  # events of one export lie so far apart, more than any consumer here holds
SIGNED_URL = "https://bench.s3.us-east-1.amazonaws.com/exports/report.csv?X-Amz-Signature=" + "0" * 400
HANDLE_PADDING = "AQEB" + "x" * 300  # as long as SQS's own

Operation = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Poll:
    """A ReceiveMessage that waits."""

    request: Mapping[str, Any]
    is_gone: Callable[[], bool]
    answer: Callable[[Answer], None]


class World:
    """The queue and the table."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._released = 0  # events that may be received
        self._made = 0
        self.deleted = 0
        self.dead_lettered = 0
        self._in_flight: set[int] = set()
        self._returned: deque[int] = deque()
        self._polls: deque[Poll] = deque()
        self._table = Table()
        self._operations: dict[str, Operation] = {
            "ReceiveMessage": self._receive_message,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": partial(batch, self._delete_message),
            "ChangeMessageVisibility": self._change_message_visibility,
            "ChangeMessageVisibilityBatch": partial(batch, self._change_message_visibility),
            "SendMessage": self._send_message,
            "SendMessageBatch": partial(batch, self._send_message),
            "GetQueueAttributes": get_queue_attributes,
            "GetQueueUrl": get_queue_url,
            "UpdateItem": self._table.update_item,
            "BatchExecuteStatement": self._table.batch_execute_statement,
            "DescribeTable": describe_table,
            "GetItem": self._table.get_item,
            "BatchGetItem": self._table.batch_get_item,
        }

    def call(self, operation: str, request: Mapping[str, Any]) -> Answer:
        """Counts the call and answers it: HTTP status and members."""
        self.calls[operation] += 1
        try:
            return 200, self._operations.get(operation, unknown_operation)(request)
        except Refused as refused:
            return refused.answer

    def state(self) -> dict[str, Any]:
        """What the control endpoint tells."""
        return {
            "calls": dict(self.calls),
            "deleted": self.deleted,
            "dead_lettered": self.dead_lettered,
            "applied": self._table.applied,
            "refused": self._table.refused,
        }

    def release(self, events: int) -> None:
        """Lets more events be received."""
        self._released += events
        self._serve_polls()

    def wait(self, poll: Poll) -> None:
        """Answers a long poll when there are messages, or when its time is over."""
        self._polls.append(poll)
        asyncio.get_running_loop().call_later(poll.request["WaitTimeSeconds"], self._end_poll, poll)

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
        """Up to ten of the next events, or nothing."""
        now = datetime.now(UTC)
        stamp = now.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        messages = []
        for _ in range(int(request.get("MaxNumberOfMessages", 1))):
            if self._returned:
                number = self._returned.popleft()
            elif self._made < self._released:
                number = self._made
                self._made += 1
            else:
                break
            self._in_flight.add(number)
            export, status = export_and_status(number)
            event = {
                "eventId": f"event-{number}",
                "requestId": f"bench-{export}",
                "status": status,
                "occurredAt": stamp,
                "createdAt": stamp,
            }
            if status == "completed":
                event |= {"fileName": FILE_NAME, "signedUrl": SIGNED_URL}
            messages.append(
                {
                    "MessageId": f"00000000-0000-4000-8000-{number:012d}",
                    "ReceiptHandle": f"{HANDLE_PADDING}{number}",
                    "MD5OfBody": "0" * 32,
                    "Body": json.dumps(event),
                    "Attributes": {
                        "ApproximateReceiveCount": "1",
                        "SentTimestamp": str(int(now.timestamp() * 1_000)),
                    },
                }
            )
        return {"Messages": messages} if messages else {}

    def _delete_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes one message; deleting it again changes nothing."""
        number = number_of(request)
        if number in self._in_flight:
            self._in_flight.remove(number)
            self.deleted += 1
            export, status = export_and_status(number)
            if status == STATUSES[-1]:
                self._table.forget(f"bench-{export}")
        return {}

    def _change_message_visibility(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The message comes back after these seconds."""
        number, seconds = number_of(request), float(request["VisibilityTimeout"])
        if number in self._in_flight:
            self._in_flight.remove(number)
            asyncio.get_running_loop().call_later(seconds, self._return, number)
        return {}

    def _return(self, number: int) -> None:
        self._returned.append(number)
        self._serve_polls()

    def _send_message(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Takes a copy for the dead-letter queue."""
        self.dead_lettered += 1
        return {
            "MessageId": f"00000000-0000-4000-9000-{self.dead_lettered:012d}",
            "MD5OfMessageBody": "0" * 32,
        }


def export_and_status(number: int) -> tuple[int, str]:
    """Which export an event is of: a block of exports is pending, then processing, then completed."""
    block, place = divmod(number, BLOCK * len(STATUSES))
    stage, export = divmod(place, BLOCK)
    return block * BLOCK + export, STATUSES[stage]


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
    dead_letter_target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DLQ}"
    attributes = {
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        "VisibilityTimeout": "120",
        "MessageRetentionPeriod": "345600",
    }
    if name == QUEUE:
        redrive = {"deadLetterTargetArn": dead_letter_target, "maxReceiveCount": 60}
        attributes["RedrivePolicy"] = json.dumps(redrive)
    return {"Attributes": attributes}


def get_queue_url(request: Mapping[str, Any]) -> dict[str, Any]:
    """The URL of a queue by name."""
    return {"QueueUrl": f"http://127.0.0.1/{ACCOUNT}/{request['QueueName']}"}
