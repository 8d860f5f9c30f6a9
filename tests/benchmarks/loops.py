"""The consumers that the service is compared with: `python -m tests.benchmarks.loops floor` or `careful`.

`floor` is a bare loop with full batches that knows no error, no order and no second receiver's writes. Each
thread receives fifty messages by five calls, writes them by two batches of 25 and deletes them by five calls:
as few calls as SQS and DynamoDB allow. What is left is what boto3 takes, and a little JSON.

`careful` is what one writes by hand: low-level conditional updates, deletes in batches of ten.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ADVANCES = "attribute_not_exists(requestId) OR (#status IN (:p, :q) AND #ttl > :now)"
EARLIER = {"pending": ["-", "-"], "processing": ["pending", "-"]}
TTL_SECONDS = 900

Events = Sequence[dict[str, Any]]


def consume(sqs: Any, polls: int, write: Callable[[Events], None]) -> None:
    """One thread: receives by a number of polls, writes, and deletes what was written."""
    queue_url = os.environ["SQS_EXPORT_EVENTS_QUEUE_URL"]
    while True:
        messages: list[dict[str, Any]] = []
        for _ in range(polls):
            answer = sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0 if messages else 20,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
            messages += answer.get("Messages", [])
        write([json.loads(message["Body"]) for message in messages])
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages[start : start + 10])
            ]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)


def write_batches(dynamodb: Any, table: str, events: Events) -> None:
    """Batches of 25."""
    statements = [statement(table, event) for event in events]
    for start in range(0, len(statements), 25):
        dynamodb.batch_execute_statement(Statements=statements[start : start + 25])


def statement(table: str, event: dict[str, Any]) -> dict[str, Any]:
    """One event as a statement."""
    values = item_of(event)
    if event["status"] == "pending":
        members = ", ".join(f"'{name}': ?" for name in values)
        text = f'INSERT INTO "{table}" VALUE {{{members}}}'
        return {"Statement": text, "Parameters": [*values.values()]}
    key = values.pop("requestId")
    sets = " ".join(f'SET "{name}" = ?' for name in values)
    return {
        "Statement": f'UPDATE "{table}" {sets} WHERE "requestId" = ? AND "ttl" > ?',
        "Parameters": [*values.values(), key, {"N": "0"}],
    }


def write_carefully(dynamodb: Any, table: str, events: Events) -> None:
    """A conditional write for each event; one that comes too late for its export changes nothing."""
    for event in events:
        values = item_of(event)
        key = values.pop("requestId")
        kept = {name: f"if_not_exists(#{name}, :{name})" for name in ("createdAt", "ttl", "fileName")}
        first, second = EARLIER.get(event["status"], ["pending", "processing"])
        now = int(datetime.fromisoformat(event["occurredAt"]).timestamp())
        given = {f":{name}": value for name, value in values.items()}
        given |= {":now": {"N": str(now)}, ":p": {"S": first}, ":q": {"S": second}}
        try:
            dynamodb.update_item(
                TableName=table,
                Key={"requestId": key},
                UpdateExpression="SET "
                + ", ".join(f"#{name} = {kept.get(name, f':{name}')}" for name in values),
                ConditionExpression=ADVANCES,
                ExpressionAttributeNames={f"#{name}": name for name in values},
                ExpressionAttributeValues=given,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise


def item_of(event: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The attributes that an event sets."""
    created = datetime.fromisoformat(event["createdAt"])
    texts = {
        "requestId": event["requestId"],
        "status": event["status"],
        "updatedAt": event["occurredAt"],
        "createdAt": event["createdAt"],
    }
    texts |= {name: event[name] for name in ("fileName", "signedUrl") if name in event}
    ttl = {"N": str(int(created.timestamp()) + TTL_SECONDS)}
    return {**{name: {"S": text} for name, text in texts.items()}, "ttl": ttl}


WAYS = {"floor": (8, 5, write_batches), "careful": (16, 1, write_carefully)}
"""Threads, polls for a write, and how it writes."""


def main(name: str) -> None:
    """Runs until it is ended."""
    threads, polls, write = WAYS[name]
    table = os.environ["DYNAMODB_EXPORT_STATUS_TABLE"]
    config = Config(max_pool_connections=threads, retries={"mode": "standard", "total_max_attempts": 3})
    sqs, dynamodb = boto3.client("sqs", config=config), boto3.client("dynamodb", config=config)
    for number in range(threads):
        arguments = (sqs, polls, lambda events: write(dynamodb, table, events))
        threading.Thread(target=consume, args=arguments, name=f"{name}-{number}").start()


if __name__ == "__main__":
    main(sys.argv[1])
