"""The DynamoDB Streams API as the audit pipeline uses it: complete listings, iterators, raw records."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from processor.aws.calls import call
from processor.aws.errors import member
from processor.streams.leases.lease import Position
from processor.streams.record_processor import Record
from processor.streams.shards import Listing, Shard, StreamStatus

MAX_RECORDS = 1_000
"""GetRecords, Amazon DynamoDB Streams API Reference: at most 1,000 records or 1 MB."""

MAX_PAGES = 1_000
"""Pages of 100 shards after which a listing ends incomplete: far more than a table can have."""


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
    """None at the end of a closed shard, whose last records the page holds."""

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

    def listing(self, stream_arn: str) -> "ListingRequest":
        """A listing of a stream's shards, to be asked for page by page."""
        return ListingRequest(self._description, stream_arn, self._clock())

    def describe(self, stream_arn: str) -> Listing:
        """Every shard of a stream, all pages at once."""
        request = self.listing(stream_arn)
        while True:
            listing = request.next_page()
            if listing is not None:
                return listing

    def children(self, stream_arn: str, shard_id: str) -> tuple[Shard, ...]:
        """The children of a shard, as far as one call shows them: emulators answer with every shard."""
        description = self._description(
            StreamArn=stream_arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard_id}
        )
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


class ListingRequest:
    """A listing on its way. A cursor that comes back ends the paging, its listing not complete.

    Args:
        describe: calls DescribeStream.
        stream_arn: the stream.
        started_at: when the listing began (monotonic seconds).
    """

    def __init__(
        self, describe: Callable[..., Mapping[str, Any]], stream_arn: str, started_at: float
    ) -> None:
        self._describe = describe
        self._stream_arn = stream_arn
        self._started_at = started_at
        self._shards: dict[str, Shard] = {}
        self._cursors: list[str] = []
        self._status = StreamStatus.ENABLED
        self._view_type: str | None = None

    def next_page(self) -> Listing | None:
        """Asks for one page; a page that fails may be asked for again.

        Returns:
            The listing after the last page, else None.
        """
        cursor = {"ExclusiveStartShardId": self._cursors[-1]} if self._cursors else {}
        page = self._describe(StreamArn=self._stream_arn, **cursor)
        self._shards.update((shard["ShardId"], _shard(shard)) for shard in page.get("Shards", ()))
        if page.get("StreamStatus") == StreamStatus.DISABLED.value:
            self._status = StreamStatus.DISABLED
        self._view_type = page.get("StreamViewType", self._view_type)
        last = page.get("LastEvaluatedShardId")
        if not last or last in self._cursors or len(self._cursors) + 1 >= MAX_PAGES:
            return self._listing(complete=not last)
        self._cursors.append(last)
        return None

    def _listing(self, *, complete: bool) -> Listing:
        return Listing(
            self._stream_arn, self._shards, self._started_at, self._status, self._view_type, complete
        )


def _shard(answer: Mapping[str, Any]) -> Shard:
    numbers = answer.get("SequenceNumberRange", {})
    return Shard(
        shard_id=answer["ShardId"],
        parent_id=answer.get("ParentShardId") or None,
        starting_sequence_number=numbers.get("StartingSequenceNumber"),
        ending_sequence_number=numbers.get("EndingSequenceNumber"),
    )
