"""The DynamoDB Streams API as the stream consumer uses it: complete listings, iterators, raw records."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from processor.aws.calls import call
from processor.aws.errors import INCOMPLETE, Transient, member
from processor.streams.leases.lease import Position
from processor.streams.record_processor import Record
from processor.streams.shards import Listing, Shard, StreamStatus

MAX_RECORDS = 1_000
"""GetRecords, Amazon DynamoDB Streams API Reference: at most 1,000 records or 1 MB."""

MAX_PAGES = 1_000
"""Pages of 100 shards after which a listing ends incomplete: far more than a table can have."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of GetRecords."""

    records: tuple[Record, ...]
    next_iterator: str | None
    """None at the end of a closed shard, whose last records the page holds."""


def position_of(record: Record) -> Position:
    """The position after a record."""
    return Position(str(record["dynamodb"]["SequenceNumber"]), written_at(record))


def written_at(record: Record) -> float | None:
    """When a record was written (Unix seconds, to the second), None if it does not say."""
    value = record["dynamodb"].get("ApproximateCreationDateTime")
    return float(value) if isinstance(value, int | float) else None


class StreamApi:
    """Calls the API. All methods raise `AwsError`s; `NotFound` is the stream's or the shard's absence.

    Args:
        client: of DynamoDB Streams, its GetRecords answers holding raw records (`Aws.streams()`).
        clock: monotonic seconds.
    """

    def __init__(self, client: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock

    def list_streams(self, table: str) -> tuple[frozenset[str], bool]:
        """The ARNs of a table's streams, and whether the answer was complete."""
        arns: set[str] = set()
        cursors: list[str] = []
        while len(cursors) < MAX_PAGES:
            cursor = {"ExclusiveStartStreamArn": cursors[-1]} if cursors else {}
            answer = call(self._client.list_streams, TableName=table, **cursor)
            arns.update(stream["StreamArn"] for stream in answer.get("Streams", ()))
            last = answer.get("LastEvaluatedStreamArn")
            if not last:
                return frozenset(arns), True
            if last in cursors:
                break
            cursors.append(last)
        return frozenset(arns), False

    def listing(self, stream_arn: str) -> "ListingRequest":
        """A listing of a stream's shards, to be asked for page by page."""
        return ListingRequest(self._description, stream_arn, self._clock())

    def describe(self, stream_arn: str) -> Listing:
        """Every shard of a stream, all pages at once."""
        request = self.listing(stream_arn)
        while (listing := request.next_page()) is None:
            pass
        return listing

    def children(self, stream_arn: str, shard_id: str) -> tuple[Shard, ...]:
        """The children of a shard, as far as one call shows them: emulators answer with every shard."""
        description = self._description(
            StreamArn=stream_arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard_id}
        )
        return Listing(stream_arn, _shards(description)).children_of(shard_id)

    def _description(self, **arguments: Any) -> Mapping[str, Any]:
        answer = call(self._client.describe_stream, **arguments)
        found: Mapping[str, Any] = member(answer, "StreamDescription", "DescribeStream")
        return found

    def iterator(self, stream_arn: str, shard_id: str, position: Position) -> str:
        """An iterator that begins behind a position."""
        where = {"ShardIteratorType": "TRIM_HORIZON"}
        if position.sequence_number is not None:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "SequenceNumber": position.sequence_number,
            }
        answer = call(self._client.get_shard_iterator, StreamArn=stream_arn, ShardId=shard_id, **where)
        return str(member(answer, "ShardIterator", "GetShardIterator"))

    def page(self, iterator: str) -> Page:
        """The next records of a shard.

        Raises:
            Transient: also if there is no list of records, which must not be taken for the shard's end, or
                if a record has no sequence number.
        """
        answer = call(self._client.get_records, ShardIterator=iterator, Limit=MAX_RECORDS)
        try:
            records = tuple(answer["Records"])
            for record in records:
                record["dynamodb"]["SequenceNumber"]
        except (KeyError, TypeError):
            raise Transient("GetRecords", INCOMPLETE) from None
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

    def next_page(self) -> Listing | None:
        """Asks for one page; a page that fails may be asked for again.

        Returns:
            The listing after the last page, else None.
        """
        cursor = {"ExclusiveStartShardId": self._cursors[-1]} if self._cursors else {}
        page = self._describe(StreamArn=self._stream_arn, **cursor)
        self._shards |= _shards(page)
        last = page.get("LastEvaluatedShardId")
        if last and last not in self._cursors and len(self._cursors) + 1 < MAX_PAGES:
            self._cursors.append(last)
            return None
        disabled = page.get("StreamStatus") == StreamStatus.DISABLED.value
        status = StreamStatus.DISABLED if disabled else StreamStatus.ENABLED
        view_type = page.get("StreamViewType")
        return Listing(self._stream_arn, self._shards, self._started_at, status, view_type, complete=not last)


def _shards(description: Mapping[str, Any]) -> dict[str, Shard]:
    shards = {}
    for answer in description.get("Shards", ()):
        numbers = answer.get("SequenceNumberRange", {})
        shards[answer["ShardId"]] = Shard(
            shard_id=answer["ShardId"],
            parent_id=answer.get("ParentShardId") or None,
            starting_sequence_number=numbers.get("StartingSequenceNumber"),
            ending_sequence_number=numbers.get("EndingSequenceNumber"),
        )
    return shards
