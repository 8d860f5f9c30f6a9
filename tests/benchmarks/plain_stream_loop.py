"""What one writes first: a boto3 loop over one shard that prints what expired and stores where it is.

It knows one task, one shard and no faults; it is what the audit pipeline's CPU is compared with. With the
argument `bare` it reads and calls as the service does: what is left is the least that such a reader takes.
"""

import json
import os
import sys
import threading
from pathlib import Path

import boto3

from processor.aws.clients import Aws
from processor.aws.fast_choice import FastChoice
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import AwsSettings

TTL_IDENTITIES = (
    {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
    {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
)


def main() -> None:
    """Reads the table's only shard to its end, then waits until it is ended."""
    streams, dynamodb = boto3.client("dynamodbstreams"), boto3.client("dynamodb")
    if sys.argv[1:] == ["bare"]:
        settings = AwsSettings(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        health = Health(Path(os.devnull), warn=print)
        aws = Aws(settings, fast_calls=FastChoice("on", {}, Metrics(), health))
        streams, dynamodb = aws.streams(), aws.leases()
    table, leases = os.environ["DYNAMODB_EXPORT_STATUS_TABLE"], os.environ["DYNAMODB_EXPORT_LEASES_TABLE"]
    arn = streams.list_streams(TableName=table)["Streams"][0]["StreamArn"]
    shard_id = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    dynamodb.put_item(
        TableName=leases,
        Item={"leaseKey": {"S": shard_id}, "checkpoint": {"S": "TRIM_HORIZON"}},
        ConditionExpression="attribute_not_exists(leaseKey)",
    )
    iterator: str | None = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    position = "TRIM_HORIZON"
    while iterator:
        page = streams.get_records(ShardIterator=iterator, Limit=1_000)
        for record in page["Records"]:
            if record["eventName"] != "REMOVE" or record.get("userIdentity") not in TTL_IDENTITIES:
                continue
            image = record["dynamodb"]["OldImage"]
            line = {
                "auditId": record["eventID"],
                "requestId": image["requestId"]["S"],
                "lastStatus": image["status"]["S"],
                "deletedAt": record["dynamodb"]["ApproximateCreationDateTime"],
            }
            sys.stdout.write(json.dumps(line, default=str) + "\n")
            sys.stdout.flush()
        if page["Records"]:
            before, position = position, page["Records"][-1]["dynamodb"]["SequenceNumber"]
            dynamodb.update_item(
                TableName=leases,
                Key={"leaseKey": {"S": shard_id}},
                UpdateExpression="SET checkpoint = :new",
                ConditionExpression="checkpoint = :old",
                ExpressionAttributeValues={":new": {"S": position}, ":old": {"S": before}},
            )
        iterator = page.get("NextShardIterator")
    sys.stdout.write('{"event": "done"}\n')
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
