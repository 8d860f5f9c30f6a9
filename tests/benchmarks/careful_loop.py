"""A careful hand-written consumer: 16 threads, low-level conditional updates, deletes in batches of ten."""

import json
import os
import threading
from datetime import datetime

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from types_boto3_dynamodb import DynamoDBClient
from types_boto3_sqs import SQSClient

THREADS = 16
ADVANCES = "attribute_not_exists(requestId) OR (#status IN (:p, :q) AND #ttl > :now)"
EARLIER = {"pending": ["-", "-"], "processing": ["pending", "-"]}
CONFIG = Config(max_pool_connections=THREADS, retries={"mode": "standard", "total_max_attempts": 3})


def main() -> None:
    """Runs until it is ended."""
    sqs: SQSClient = boto3.client("sqs", config=CONFIG)
    dynamodb: DynamoDBClient = boto3.client("dynamodb", config=CONFIG)
    for number in range(THREADS):
        threading.Thread(target=consume, args=(sqs, dynamodb), name=f"careful-{number}").start()


def consume(sqs: SQSClient, dynamodb: DynamoDBClient) -> None:
    """One thread: receive ten, write each, delete what was written."""
    queue_url, table = os.environ["SQS_EXPORT_EVENTS_QUEUE_URL"], os.environ["DYNAMODB_EXPORT_STATUS_TABLE"]
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=20,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )
        messages = answer.get("Messages", [])
        for message in messages:
            write(dynamodb, table, message["Body"])
        if messages:
            sqs.delete_message_batch(
                QueueUrl=queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(messages)
                ],
            )


def write(dynamodb: DynamoDBClient, table: str, body: str) -> None:
    """One conditional write; an event that comes too late for its export changes nothing."""
    event = json.loads(body)
    created = datetime.fromisoformat(event["createdAt"])
    occurred = datetime.fromisoformat(event["occurredAt"])
    first, second = EARLIER.get(event["status"], ["pending", "processing"])
    update = (
        "SET #status = :status, updatedAt = :updated, "
        "createdAt = if_not_exists(createdAt, :created), #ttl = if_not_exists(#ttl, :ttl)"
    )
    values = {
        ":status": {"S": event["status"]},
        ":updated": {"S": event["occurredAt"]},
        ":created": {"S": event["createdAt"]},
        ":ttl": {"N": str(int(created.timestamp()) + 900)},
        ":now": {"N": str(int(occurred.timestamp()))},
        ":p": {"S": first},
        ":q": {"S": second},
    }
    if "fileName" in event:
        update += ", fileName = if_not_exists(fileName, :file)"
        values[":file"] = {"S": event["fileName"]}
    if "signedUrl" in event:
        update += ", signedUrl = :url"
        values[":url"] = {"S": event["signedUrl"]}
    try:
        dynamodb.update_item(
            TableName=table,
            Key={"requestId": {"S": event["requestId"]}},
            UpdateExpression=update,
            ConditionExpression=ADVANCES,
            ExpressionAttributeNames={"#status": "status", "#ttl": "ttl"},
            ExpressionAttributeValues=values,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise


if __name__ == "__main__":
    main()
