"""The DynamoDB Streams API as the audit pipeline uses it: complete listings, iterators, raw records."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from processor.aws.calls import call
from processor.aws.errors import Rejected, member
from processor.streams.leases.lease import Position
from processor.streams.record_processor import Record
from processor.streams.shards import Listing, Shard, StreamStatus

MAX_RECORDS = 1_000
"""GetRecords, Amazon DynamoDB Streams API Reference: at most 1,000 records or 1 MB."""

MAX_PAGES = 1_000
"""Pages of 100 shards after which a listing is given up: far more than a table can have."""


class StreamsClient(Protocol):
    """As much of the DynamoDB Streams client as is called, its GetRecords answers holding raw records."""

    @property
    def list_streams(self) -> Callable[..., Any]:
        """ListStreams."""

    @property
    def describe_stream(self) -> Callable[..., Any]:
        """DescribeStream."""

    @property
    def get_shard_iterator(self) -> Callable[..., Any]:
        """GetShardIterator."""

    @property
    def get_records(self) -> Callable[..., Any]:
        """GetRecords."""


class MalformedPage(Exception):
    """GetRecords answered with something that has no records, or none with a number to go on from."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of GetRecords."""

    records: tuple[Record, ...]
    next_iterator: str | None
    """None at the end of a closed shard; the records beside it are its last ones."""

    def last_position(self) -> Position:
        """The position after the page's last record; the page must not be empty."""
        return position_of(self.records[-1])


def position_of(record: Record) -> Position:
    """The position after a record."""
    return Position(str(record["dynamodb"]["SequenceNumber"]), written_at(record))


def written_at(record: Record) -> float | None:
    """When a record was written (Unix seconds, to the second), None if it does not say."""
    value = record["dynamodb"].get("ApproximateCreationDateTime")
    return float(value) if isinstance(value, int | float) else None


class StreamApi:
    """Calls the API. All methods raise `AwsError`s; `NotFound` is the stream's or the shard's absence."""

    def __init__(self, client: StreamsClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock

    def list_streams(self, table: str) -> tuple[frozenset[str], bool]:
        """The ARNs of a table's streams, and whether the answer was complete."""
        arns: set[str] = set()
        cursor: dict[str, str] = {}
        cursors: set[str] = set()
        for _ in range(MAX_PAGES):
            answer = call(self._client.list_streams, TableName=table, **cursor)
            arns.update(stream["StreamArn"] for stream in answer.get("Streams", ()))
            last = answer.get("LastEvaluatedStreamArn")
            if not last:
                return frozenset(arns), True
            if last in cursors:
                break
            cursors.add(last)
            cursor = {"ExclusiveStartStreamArn": last}
        return frozenset(arns), False

    def describe(self, stream_arn: str) -> Listing:
        """Every shard of a stream. A cursor that comes back ends the paging, its listing not complete."""
        started_at = self._clock()
        shards: dict[str, Shard] = {}
        cursor: dict[str, str] = {}
        cursors: set[str] = set()
        status, view_type, complete = StreamStatus.ENABLED, None, False
        for _ in range(MAX_PAGES):
            description = self._description(StreamArn=stream_arn, **cursor)
            shards.update((shard["ShardId"], _shard(shard)) for shard in description.get("Shards", ()))
            if description.get("StreamStatus") == StreamStatus.DISABLED.value:
                status = StreamStatus.DISABLED
            view_type = description.get("StreamViewType", view_type)
            last = description.get("LastEvaluatedShardId")
            if not last:
                complete = True
                break
            if last in cursors:
                break
            cursors.add(last)
            cursor = {"ExclusiveStartShardId": last}
        return Listing(stream_arn, shards, started_at, status, view_type, complete)

    def children(self, stream_arn: str, shard_id: str) -> tuple[Shard, ...]:
        """The children of a shard, as far as they are listed already.

        What the filter lets through is looked at again: emulators answer with every shard, or refuse it.
        """
        try:
            description = self._description(
                StreamArn=stream_arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard_id}
            )
        except Rejected:
            shards = list(self.describe(stream_arn).shards.values())
        else:
            shards = [_shard(shard) for shard in description.get("Shards", ())]
        return tuple(shard for shard in shards if shard.parent_id == shard_id)

    def _description(self, **arguments: Any) -> Mapping[str, Any]:
        answer = call(self._client.describe_stream, **arguments)
        found: Mapping[str, Any] = member(answer, "StreamDescription", "DescribeStream")
        return found

    def iterator(self, stream_arn: str, shard_id: str, position: Position) -> str:
        """An iterator that begins behind a position."""
        where = (
            {"ShardIteratorType": "TRIM_HORIZON"}
            if position.sequence_number is None
            else {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.sequence_number}
        )
        answer = call(self._client.get_shard_iterator, StreamArn=stream_arn, ShardId=shard_id, **where)
        return str(member(answer, "ShardIterator", "GetShardIterator"))

    def page(self, iterator: str) -> Page:
        """The next records of a shard.

        Raises:
            MalformedPage: if there is no list of records, which must not be taken for the shard's end, or
                if a record has no sequence number.
        """
        answer = call(self._client.get_records, ShardIterator=iterator, Limit=MAX_RECORDS)
        try:
            records = tuple(answer["Records"])
            for record in records:
                record["dynamodb"]["SequenceNumber"]
        except (KeyError, TypeError):
            raise MalformedPage from None
        return Page(records, answer.get("NextShardIterator") or None)


def _shard(answer: Mapping[str, Any]) -> Shard:
    numbers = answer.get("SequenceNumberRange", {})
    return Shard(
        shard_id=answer["ShardId"],
        parent_id=answer.get("ParentShardId") or None,
        starting_sequence_number=numbers.get("StartingSequenceNumber"),
        ending_sequence_number=numbers.get("EndingSequenceNumber"),
    )
