"""Fresh tables, queues and streams under unique names, for tests that share one emulator."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4


class ClientFactory(Protocol):
    """What `EmbeddedAws.client` and the fixture `clients` give: a boto3 client by the service's name."""

    def __call__(self, service: str, /) -> Any:
        """For example `clients("sqs")`."""


def fresh_name(kind: str) -> str:
    """A name that no other test uses, for example `queue-3f2a…`."""
    return f"{kind}-{uuid4().hex[:12]}"


def status_table(
    clients: ClientFactory, *, ttl: bool = False, stream: bool = True, name: str | None = None
) -> str:
    """A table with the status table's key and stream; its name.

    With `ttl=False` the emulator deletes nothing, however long an item has been expired.
    """
    name = name or fresh_name("status")
    specification = {"StreamEnabled": stream} | ({"StreamViewType": "NEW_AND_OLD_IMAGES"} if stream else {})
    create_table(clients, name, "requestId", StreamSpecification=specification)
    if ttl:
        clients("dynamodb").update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
        )
    return name


def leases_table(clients: ClientFactory) -> str:
    """An empty leases table; its name."""
    name = fresh_name("leases")
    create_table(clients, name, "leaseKey")
    return name


def queue_pair(
    clients: ClientFactory,
    *,
    fifo: bool = False,
    max_receive_count: int = 60,
    visibility_seconds: int = 120,
    attributes: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """An event queue with its dead-letter queue; their URLs, the event queue's first."""
    sqs = clients("sqs")
    suffix, kind = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
    dlq_url: str = sqs.create_queue(QueueName=fresh_name("dlq") + suffix, Attributes=kind)["QueueUrl"]
    dlq_arn = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    queue_url: str = sqs.create_queue(
        QueueName=fresh_name("events") + suffix,
        Attributes={
            "VisibilityTimeout": str(visibility_seconds),
            "RedrivePolicy": json.dumps(
                {"deadLetterTargetArn": dlq_arn, "maxReceiveCount": max_receive_count}
            ),
            **kind,
            **(attributes or {}),
        },
    )["QueueUrl"]
    return queue_url, dlq_url


def audit_stream(clients: ClientFactory, *, shards: int = 2) -> str:
    """A Kinesis data stream that takes records; its name."""
    kinesis, name = clients("kinesis"), fresh_name("audit")
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    return name


def item_of(clients: ClientFactory, table: str, request_id: str) -> dict[str, Any] | None:
    """The stored item in DynamoDB's own form, read consistently, or None."""
    answer = clients("dynamodb").get_item(
        TableName=table, Key={"requestId": {"S": request_id}}, ConsistentRead=True
    )
    item: dict[str, Any] | None = answer.get("Item")
    return item


def items_of(clients: ClientFactory, table: str) -> dict[str, dict[str, str | int]]:
    """The stored items by request id, without DynamoDB's types, read consistently."""
    pages = clients("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return {
        item["requestId"]["S"]: {
            name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()
        }
        for page in pages
        for item in page["Items"]
    }


def messages_in(clients: ClientFactory, queue_url: str) -> int:
    """How many messages a queue holds, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = clients("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def stream_arn(clients: ClientFactory, table: str) -> str:
    """The ARN of the table's stream."""
    arn: str = clients("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    return arn


def stream_records(clients: ClientFactory, table: str) -> Sequence[dict[str, Any]]:
    """Every record of the table's stream, as boto3 gives them, shard by shard."""
    streams, arn = clients("dynamodbstreams"), stream_arn(clients, table)
    records: list[dict[str, Any]] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator is not None:
            page = streams.get_records(ShardIterator=iterator)
            if not page["Records"]:
                break
            records += page["Records"]
            iterator = page.get("NextShardIterator")
    return records


def drained_messages(clients: ClientFactory, queue_url: str) -> Sequence[dict[str, Any]]:
    """Takes every visible message out of a queue, with all attributes, and deletes it there."""
    sqs = clients("sqs")
    messages: list[dict[str, Any]] = []
    while True:
        page = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        if not page:
            return messages
        for message in page:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        messages += page


def create_table(clients: ClientFactory, name: str, key: str, **more: Any) -> None:
    """A table on demand with a partition key of type S; more are arguments of CreateTable."""
    dynamodb = clients("dynamodb")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        **more,
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
