"""One run's own table, queues, streams and proxy on shared emulators, and what is found in them."""

import base64
import functools
import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from processor.localaws.clients import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, emulator_client
from processor.localaws.embedded_aws import isolated_environment
from tests.audit.kcl_oracle import Shard, accepted
from tests.faults.backends import Backends
from tests.faults.checker import DeadLetter, Delivered, Item
from tests.faults.proxy import FaultProxy
from tests.faults.stream_front import StreamFront
from tests.faults.traffic import TTL_SECONDS
from tests.resources import (
    ClientFactory,
    audit_stream,
    drained_messages,
    leases_table,
    queue_pair,
    status_table,
)

REPOSITORY = Path(__file__).parents[2]
SERVICE_VISIBILITY_SECONDS = 30
"""The shortest visibility timeout that the service accepts; a run may use a shorter one behind its back, so
that a killed task's messages come back sooner."""

DRAIN_SECONDS = 12
"""EXPORT_DRAIN_SECONDS; a poll is five seconds shorter."""


class World:
    """The resources of one run. Everything but `environment` goes to the emulators directly, past the proxy.

    Args:
        at: the emulators.
        shards: how many the table's stream begins with.
        visibility_seconds: the queue's timeout.
    """

    def __init__(self, at: Backends, *, shards: int, visibility_seconds: int) -> None:
        dynamodb, sqs, kinesis = (_clients(url) for url in (at.dynamodb, at.sqs, at.kinesis))
        self.dynamodb, self.sqs, self.kinesis = dynamodb("dynamodb"), sqs("sqs"), kinesis("kinesis")
        self._sqs = sqs
        self.table = status_table(dynamodb)
        self.leases = leases_table(dynamodb)
        self.queue_url, self.dlq_url = queue_pair(sqs, visibility_seconds=visibility_seconds)
        self.stream = audit_stream(kinesis, shards=2)
        self._positions: dict[str, str] = {}
        self._ranges: dict[str, Shard] = {}
        for shard in self.kinesis.list_shards(StreamName=self.stream)["Shards"]:
            bounds = shard["HashKeyRange"]
            self._ranges[shard["ShardId"]] = Shard(
                int(bounds["StartingHashKey"]), int(bounds["EndingHashKey"])
            )
            self._positions[shard["ShardId"]] = self.kinesis.get_shard_iterator(
                StreamName=self.stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
        self.front = StreamFront(at.dynamodb, self.table, shards=shards)
        self.proxy = FaultProxy(
            {"SQS": at.sqs, "Status": at.dynamodb, "Leases": at.dynamodb, "Kinesis": at.kinesis},
            self.front,
            leases_table=self.leases,
            poll_seconds=DRAIN_SECONDS - 5,
            visibility_seconds=max(visibility_seconds, SERVICE_VISIBILITY_SECONDS),
        )
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._running.enter_context(self.front.following())
        self.endpoint_url = self._running.enter_context(self.proxy.running())
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        for table in (self.table, self.leases):
            self.dynamodb.delete_table(TableName=table)
        for url in (self.queue_url, self.dlq_url):
            self.sqs.delete_queue(QueueUrl=url)
        self.kinesis.delete_stream(StreamName=self.stream)

    def environment(self) -> dict[str, str]:
        """The settings of a task: all of AWS is the proxy."""
        return isolated_environment() | {
            "PYTHONPATH": str(REPOSITORY),
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "DYNAMODB_EXPORT_STATUS_TABLE": self.table,
            "DYNAMODB_EXPORT_LEASES_TABLE": self.leases,
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.queue_url,
            "KINESIS_EXPORT_AUDIT_STREAM": self.stream,
            "EXPORT_AUDIT_SINKS": "kinesis,log",
            "EXPORT_STATUS_TTL_SECONDS": str(TTL_SECONDS),
            "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "EXPORT_METRICS_SECONDS": "0",
            "LOG_FORMAT": "json",
        }

    def messages_in_queue(self) -> int:
        """How many messages the event queue holds, visible or not."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def items(self) -> dict[str, Item]:
        """The table's items by request id."""
        return self._scanned()

    def ended_items(self, now: float) -> dict[str, Item]:
        """Those whose `ttl` has come by this instant (Unix seconds)."""
        return self._scanned(
            FilterExpression="#ttl <= :now",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":now": {"N": str(int(now))}},
        )

    def delete(self, request_ids: Sequence[str]) -> None:
        """Deletes items."""
        for start in range(0, len(request_ids), 25):
            left: Any = {
                self.table: [
                    {"DeleteRequest": {"Key": {"requestId": {"S": each}}}}
                    for each in request_ids[start : start + 25]
                ]
            }
            while left:
                left = self.dynamodb.batch_write_item(RequestItems=left)["UnprocessedItems"]

    def lease_owners(self) -> dict[str, str]:
        """The leases that are owned, by key."""
        rows = self.dynamodb.scan(TableName=self.leases, ConsistentRead=True)["Items"]
        return {row["leaseKey"]["S"]: row["leaseOwner"]["S"] for row in rows if "leaseOwner" in row}

    def dead_letters(self) -> list[DeadLetter]:
        """Takes everything out of the dead-letter queue."""
        return [
            DeadLetter(
                message["Body"],
                {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()},
            )
            for message in drained_messages(self._sqs, self.dlq_url)
        ]

    def new_entries(self) -> list[Delivered]:
        """The audit entries in the Kinesis stream since the last call, as a KCL application sees them."""
        found: list[Delivered] = []
        for shard_id, position in self._positions.items():
            iterator = position
            while True:
                page = self.kinesis.get_records(ShardIterator=iterator, Limit=1_000)
                iterator = page["NextShardIterator"]
                for record in page["Records"]:
                    datas = accepted(record["Data"], self._ranges[shard_id])
                    place = int(record["SequenceNumber"])
                    found += [
                        Delivered("kinesis", (place, index), json.loads(data))
                        for index, data in enumerate(datas)
                    ]
                if not page["Records"]:
                    break
            self._positions[shard_id] = iterator
        return found

    def _scanned(self, **conditions: Any) -> dict[str, Item]:
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.table, ConsistentRead=True, **conditions
        )
        return {item["requestId"]["S"]: _plain(item) for page in pages for item in page["Items"]}


class Reaper:
    """Stands in for DynamoDB's TTL, whose engine deletes about two items a second: a thread that deletes
    what has expired, half of it at once and half of it late. The stream front adds the `userIdentity`.

    Args:
        world: where it deletes.
        late_seconds: how late the second half is deleted.
    """

    def __init__(self, world: World, *, late_seconds: float) -> None:
        self._world = world
        self._late_seconds = late_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            now = time.time()
            ended = self._world.ended_items(now)
            self._world.delete([key for key, item in ended.items() if self._due(key, item) <= now])

    def _due(self, key: str, item: Item) -> float:
        is_late = hashlib.sha256(key.encode()).digest()[0] % 2 == 0
        return int(item["ttl"]) + (self._late_seconds if is_late else 0.0)


def _clients(endpoint_url: str) -> ClientFactory:
    return functools.cache(functools.partial(emulator_client, endpoint_url=endpoint_url))


def _plain(item: Mapping[str, Mapping[str, Any]]) -> Item:
    """DynamoDB's form without the types."""
    return {
        name: int(value["N"]) if "N" in value else str(value.get("S", base64.b64encode(repr(value).encode())))
        for name, value in item.items()
    }
