"""What the stand-in holds: a queue that makes its events as they are received, and a table.

It keeps only what is in flight, so its answers take as long at the millionth event as at the first.
"""

import asyncio
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

ACCOUNT = "123456789012"
REGION = "us-east-1"
QUEUE, DLQ, TABLE = "bench-events", "bench-events-dlq", "bench-status"
STATUSES = ("pending", "processing", "completed")
RANKS = {"pending": 0, "processing": 1, "completed": 2, "failed": 2}
BLOCK = 1_000  # events of one export lie so far apart, more than any consumer here has in hand
SIGNED_URL = "https://bench.s3.us-east-1.amazonaws.com/exports/report.csv?X-Amz-Signature=" + "0" * 400
FILE_NAME = "report.csv"
HANDLE_PADDING = "AQEB" + "x" * 300  # as long as SQS's own
CREATED_AT = "2026-11-22T10:00:00.000Z"  # of every stored item: nothing here depends on it
STATUS_ASSIGNED = re.compile(r"(#?\w+)\s*=\s*(:\w+)")

Answer = tuple[int, dict[str, Any]]
Operation = Callable[[Mapping[str, Any]], dict[str, Any]]
Item = dict[str, dict[str, str]]


class Refused(Exception):
    """An AWS error answer."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.answer: Answer = (400, {"__type": f"com.amazonaws#{code}", "message": code, **members})


class World:
    """The queue and the table."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.released = 0  # events that may be received
        self.made = 0
        self.deleted = 0
        self.dead_lettered = 0
        self.applied = 0
        self.refused = 0
        self._in_flight: set[int] = set()
        self._returned: deque[int] = deque()
        self._items: dict[str, Item] = {}  # of exports whose last event is not deleted yet
        self._operations: dict[str, Operation] = {
            "ReceiveMessage": self.receive_message,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": partial(batch, self._delete_message),
            "ChangeMessageVisibility": self._change_message_visibility,
            "ChangeMessageVisibilityBatch": partial(batch, self._change_message_visibility),
            "SendMessage": self._send_message,
            "SendMessageBatch": partial(batch, self._send_message),
            "GetQueueAttributes": get_queue_attributes,
            "GetQueueUrl": get_queue_url,
            "UpdateItem": self._update_item,
            "BatchExecuteStatement": self._batch_execute_statement,
            "DescribeTable": describe_table,
            "GetItem": self._get_item,
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
        names = ("released", "made", "deleted", "dead_lettered", "applied", "refused")
        return {"calls": dict(self.calls), **{name: getattr(self, name) for name in names}}

    def receive_message(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Up to ten of the next events, or nothing."""
        now = datetime.now(UTC)
        stamp = now.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        messages = []
        for _ in range(int(request.get("MaxNumberOfMessages", 1))):
            if self._returned:
                number = self._returned.popleft()
            elif self.made < self.released:
                number = self.made
                self.made += 1
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
                self._items.pop(f"bench-{export}", None)
        return {}

    def _change_message_visibility(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The message comes back after so many seconds."""
        number, seconds = number_of(request), float(request["VisibilityTimeout"])
        if number in self._in_flight:
            self._in_flight.remove(number)
            asyncio.get_running_loop().call_later(seconds, self._returned.append, number)
        return {}

    def _send_message(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Takes a copy for the dead-letter queue."""
        self.dead_lettered += 1
        return {
            "MessageId": f"00000000-0000-4000-9000-{self.dead_lettered:012d}",
            "MD5OfMessageBody": "0" * 32,
        }

    def _update_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One conditional write. What it sets `status` to decides; one that sets none fills in something."""
        key = request["Key"]["requestId"]["S"]
        names, values = request.get("ExpressionAttributeNames", {}), request["ExpressionAttributeValues"]
        assigned = STATUS_ASSIGNED.findall(request["UpdateExpression"])
        status = next((values[value]["S"] for name, value in assigned if names.get(name) == "status"), None)
        creates = "attribute_not_exists(requestId)" in request["ConditionExpression"]
        if status is None or self._move(key, status, creates=creates, names_file=":file" in str(assigned)):
            return {}
        raise Refused("ConditionalCheckFailedException", **self._old_item(key, request))

    def _batch_execute_statement(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """PartiQL INSERT (fails on an existing key) and UPDATE (fails on a missing one), each on its own."""
        return {"Responses": [self._statement(statement) for statement in request["Statements"]]}

    def _get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The item as it is."""
        item = self._items.get(request["Key"]["requestId"]["S"])
        return {"Item": item} if item else {}

    def _statement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        text, texts = (
            statement["Statement"],
            [parameter.get("S", "") for parameter in statement["Parameters"]],
        )
        status = next((text for text in texts if text in RANKS), "")  # SET comes before WHERE
        key = next((text for text in texts if text.startswith("bench-")), "")
        inserts = text.startswith("INSERT")
        kept = '"fileName" IS MISSING' in text and self._items.get(key, {}).get("fileName") is not None
        if inserts and key in self._items:
            error = {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
        elif kept or not self._move(key, status, creates=inserts, names_file="fileName" in text):
            error = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        else:
            return {"TableName": TABLE}
        return {"TableName": TABLE, "Error": {**error, **self._old_item(key, statement)}}

    def _old_item(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = "ReturnValuesOnConditionCheckFailure" in request
        return {"Item": self._items[key]} if asked and key in self._items else {}

    def _move(self, key: str, status: str, *, creates: bool, names_file: bool) -> bool:
        item = self._items.get(key)
        if (item is None and not creates) or (item and RANKS[item["status"]["S"]] >= RANKS[status]):
            self.refused += 1
            return False
        self.applied += 1
        file_name = {"fileName": {"S": FILE_NAME}} if names_file or (item and "fileName" in item) else {}
        self._items[key] = {
            "requestId": {"S": key},
            "status": {"S": status},
            "createdAt": {"S": CREATED_AT},
            "updatedAt": {"S": CREATED_AT},
            "ttl": {"N": "4102444800"},
            **file_name,
        }
        return True


def export_and_status(number: int) -> tuple[int, str]:
    """Which export an event is of: a block of exports is pending, then processing, then completed."""
    block, place = divmod(number, BLOCK * len(STATUSES))
    stage, export = divmod(place, BLOCK)
    return block * BLOCK + export, STATUSES[stage]


def number_of(request: Mapping[str, Any]) -> int:
    """The event that a receipt handle stands for."""
    return int(str(request["ReceiptHandle"]).removeprefix(HANDLE_PADDING))


def unknown_operation(_request: Mapping[str, Any]) -> dict[str, Any]:
    """What AWS says to a call that does not exist; the count by operation shows which one it was."""
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


def describe_table(request: Mapping[str, Any]) -> dict[str, Any]:
    """A table as `infra/data.yaml` has it."""
    name = request["TableName"]
    table = {
        "TableName": name,
        "TableArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}",
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "requestId", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "requestId", "AttributeType": "S"}],
    }
    return {"Table": table}
