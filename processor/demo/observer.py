"""Watches the status table through its stream: every change, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an item; `item` is the new item, or the old one where it was removed."""

    event_id: str
    sequence_number: str
    removed: bool
    by_ttl: bool
    item: Mapping[str, str | int]

    @property
    def status(self) -> str:
        """The item's status."""
        return str(self.item.get("status", ""))


def observe(
    streams: Any, dynamodb: Any, table: str, *, stop: Event, on_change: Callable[[Change], None]
) -> None:
    """Reports every change of the table from the stream's beginning on, until `stop` is set.

    Args:
        streams: a boto3 client of DynamoDB Streams; its stream must have a single shard, as in moto.
        dynamodb: a boto3 client of DynamoDB.
        table: the table's name.
        stop: ends the watch.
        on_change: called with each change, by the calling thread.
    """
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    position = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = streams.get_shard_iterator(**position)["ShardIterator"]
    while True:
        page = streams.get_records(ShardIterator=iterator)
        for record in page["Records"]:
            on_change(_change(record))
        iterator = page["NextShardIterator"]
        if not page["Records"] and stop.wait(POLL_SECONDS):
            return


def _change(record: Mapping[str, Any]) -> Change:
    removed = record["eventName"] == "REMOVE"
    image = record["dynamodb"]["OldImage" if removed else "NewImage"]
    return Change(
        event_id=record["eventID"],
        sequence_number=record["dynamodb"]["SequenceNumber"],
        removed=removed,
        by_ttl=record.get("userIdentity", {}).get("Type") == "Service",
        item={name: int(value["N"]) if "N" in value else value["S"] for name, value in image.items()},
    )
