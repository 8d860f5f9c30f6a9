"""The consumer that one writes in an hour: receive ten, one update and one delete for each, one thread."""

import json
import os
from datetime import datetime

import boto3
from botocore.exceptions import ClientError

ADVANCES = "attribute_not_exists(requestId) OR #status IN (:p, :q)"
EARLIER = {"pending": ["-", "-"], "processing": ["pending", "-"]}


def main() -> None:
    """Runs until it is ended."""
    queue_url, table_name = (
        os.environ["SQS_EXPORT_EVENTS_QUEUE_URL"],
        os.environ["DYNAMODB_EXPORT_STATUS_TABLE"],
    )
    sqs = boto3.client("sqs")
    table = boto3.resource("dynamodb").Table(table_name)
    while True:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", []):
            event = json.loads(message["Body"])
            created = datetime.fromisoformat(event["createdAt"])
            first, second = EARLIER.get(event["status"], ["pending", "processing"])
            try:
                table.update_item(
                    Key={"requestId": event["requestId"]},
                    UpdateExpression="SET #status = :status, updatedAt = :updated, fileName = :file, "
                    "createdAt = if_not_exists(createdAt, :created), #ttl = if_not_exists(#ttl, :ttl)",
                    ConditionExpression=ADVANCES,
                    ExpressionAttributeNames={"#status": "status", "#ttl": "ttl"},
                    ExpressionAttributeValues={
                        ":status": event["status"],
                        ":updated": event["occurredAt"],
                        ":created": event["createdAt"],
                        ":file": event.get("fileName", ""),
                        ":ttl": int(created.timestamp()) + 900,
                        ":p": first,
                        ":q": second,
                    },
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
