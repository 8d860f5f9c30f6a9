"""boto3's floor: a bare loop with full batches that knows no error, no order and no second receiver's writes.

Each thread receives fifty messages by five calls, writes them by two batches of 25 and deletes them by five
calls: as few calls as SQS and DynamoDB allow. What is left is what boto3 takes, and a little JSON.
"""

import json
import os
import threading
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config

THREADS = 8
COLUMNS = ("requestId", "status", "updatedAt", "createdAt", "ttl")


def main() -> None:
    """Runs until it is ended."""
    config = Config(max_pool_connections=THREADS)
    sqs, dynamodb = boto3.client("sqs", config=config), boto3.client("dynamodb", config=config)
    for number in range(THREADS):
        threading.Thread(target=consume, args=(sqs, dynamodb), name=f"floor-{number}").start()


def consume(sqs: Any, dynamodb: Any) -> None:
    """One thread."""
    queue_url, table = os.environ["SQS_EXPORT_EVENTS_QUEUE_URL"], os.environ["DYNAMODB_EXPORT_STATUS_TABLE"]
    while True:
        messages: list[dict[str, Any]] = []
        for _ in range(5):
            answer = sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0 if messages else 20,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
            messages += answer.get("Messages", [])
        statements = [statement(table, json.loads(message["Body"])) for message in messages]
        for start in range(0, len(statements), 25):
            dynamodb.batch_execute_statement(Statements=statements[start : start + 25])
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages[start : start + 10])
            ]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)


def statement(table: str, event: dict[str, Any]) -> dict[str, Any]:
    """One event as a statement."""
    created = datetime.fromisoformat(event["createdAt"])
    values = [
        {"S": event["requestId"]},
        {"S": event["status"]},
        {"S": event["occurredAt"]},
        {"S": event["createdAt"]},
        {"N": str(int(created.timestamp()) + 900)},
    ]
    names = list(COLUMNS)
    for name in ("fileName", "signedUrl"):
        if name in event:
            names.append(name)
            values.append({"S": event[name]})
    if event["status"] == "pending":
        members = ", ".join(f"'{name}': ?" for name in names)
        return {"Statement": f'INSERT INTO "{table}" VALUE {{{members}}}', "Parameters": values}
    sets = " ".join(f'SET "{name}" = ?' for name in names[1:])
    return {
        "Statement": f'UPDATE "{table}" {sets} WHERE "requestId" = ? AND "ttl" > ?',
        "Parameters": [*values[1:], values[0], {"N": "0"}],
    }


if __name__ == "__main__":
    main()
