"""The DynamoDB Streams API over the simulated table: boto3's method names, AWS's errors, faults on demand."""

import base64
import json
import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from tests.simulated_stream.model import SimulatedShard, SimulatedStream, SimulatedTable, number_of

ITERATOR_SECONDS = 15 * 60
DESCRIBE_PAGE = 100


@dataclass(slots=True)
class Faults:
    """What goes wrong at the moment; all of it can be changed at any time."""

    errors: deque[tuple[str | None, str]] = field(default_factory=deque)
    """The next calls' errors: (operation or None for any, code), each once."""
    describe_page: int = DESCRIBE_PAGE
    max_records: int = 1_000
    empty_pages: int = 0
    """So many answers of GetRecords are empty although there are records."""
    hidden_ends: bool = False
    """Closed shards are listed without an ending sequence number."""
    child_delay_seconds: float = 0.0
    """How long after the end of a parent its children are listed."""
    repeats_cursor: bool = False
    """DescribeStream's cursor does not move on."""
    null_iterator: bool = True
    """At a shard's end, NextShardIterator is null; otherwise the key is missing."""
    end_apart: bool = False
    """A closed shard's end comes in a separate empty answer, not with the last records."""
    refused_streams: set[str] = field(default_factory=set)
    """Streams whose description is denied."""
    unreadable: set[str] = field(default_factory=set)
    """Shards that are listed, and that reads do not find."""
    ignores_filter: bool = False
    """ShardFilter is ignored, as emulators do."""


class SimulatedStreamsClient:
    """Answers as boto3's client of DynamoDB Streams does, GetRecords with raw JSON records."""

    def __init__(self, table: SimulatedTable, faults: Faults | None = None) -> None:
        self._table = table
        self.faults = faults or Faults()
        self.calls: Counter[str] = Counter()
        self.called_at: dict[str, list[float]] = defaultdict(list)
        """When each operation was called, for its rate."""
        self.reads: dict[str, list[float]] = defaultdict(list)
        """When each shard was read, for the rate."""
        self._expired_before = 0
        self._iterators = 0
        self._lock = threading.Lock()

    def expire_iterators(self) -> None:
        """Every iterator that was given out counts as too old."""
        self._expired_before = self._iterators

    def fail(self, code: str, *, times: int = 1, operation: str | None = None) -> None:
        """Lets the next calls fail."""
        self.faults.errors.extend([(operation, code)] * times)

    def list_streams(self, **arguments: Any) -> dict[str, Any]:
        """ListStreams."""
        self._begin("ListStreams")
        with self._table.lock:
            if arguments.get("TableName", self._table.name) != self._table.name:
                return {"Streams": []}
            return {
                "Streams": [
                    {"StreamArn": arn, "TableName": self._table.name, "StreamLabel": arn.rsplit("/", 1)[1]}
                    for arn in self._table.streams
                ]
            }

    def describe_stream(self, **arguments: Any) -> dict[str, Any]:
        """DescribeStream, with paging and CHILD_SHARDS."""
        self._begin("DescribeStream")
        with self._table.lock:
            stream = self._stream(arguments["StreamArn"], "DescribeStream")
            if stream.arn in self.faults.refused_streams:
                raise error("AccessDeniedException", "DescribeStream")
            shards = [shard for shard in stream.shards.values() if self._is_listed(shard, stream)]
            wanted = arguments.get("ShardFilter")
            if wanted and not self.faults.ignores_filter:
                shards = [shard for shard in shards if shard.parent_id == wanted["ShardId"]]
            start = arguments.get("ExclusiveStartShardId")
            ids = [shard.shard_id for shard in shards]
            begin = ids.index(start) + 1 if start in ids else 0
            if self.faults.repeats_cursor:
                begin = 0
            page = shards[begin : begin + self.faults.describe_page]
            description: dict[str, Any] = {
                "StreamArn": stream.arn,
                "StreamStatus": stream.status,
                "StreamViewType": stream.view_type,
                "TableName": self._table.name,
                "Shards": [self._describe(shard) for shard in page],
            }
            if page and (begin + len(page) < len(shards) or self.faults.repeats_cursor):
                description["LastEvaluatedShardId"] = page[-1].shard_id
            return {"StreamDescription": description}

    def get_shard_iterator(self, **arguments: Any) -> dict[str, Any]:
        """GetShardIterator."""
        self._begin("GetShardIterator")
        with self._table.lock:
            stream = self._stream(arguments["StreamArn"], "GetShardIterator")
            shard = self._shard(stream, arguments["ShardId"], "GetShardIterator")
            match arguments["ShardIteratorType"]:
                case "TRIM_HORIZON":
                    after = shard.trimmed_to
                case "AFTER_SEQUENCE_NUMBER":
                    after = int(arguments["SequenceNumber"])
                case other:
                    raise AssertionError(f"{other} would skip records")
            if after < shard.trimmed_to:
                raise error("TrimmedDataAccessException", "GetShardIterator")
            return {"ShardIterator": self._token(stream, shard, after)}

    def get_records(self, **arguments: Any) -> dict[str, Any]:
        """GetRecords."""
        token = json.loads(base64.b64decode(arguments["ShardIterator"]))
        with self._lock:
            self.reads[token["shard"]].append(self._table.now())
        self._begin("GetRecords")
        with self._table.lock:
            too_old = self._table.now() - token["made"] > ITERATOR_SECONDS
            if too_old or token["number"] <= self._expired_before:
                raise error("ExpiredIteratorException", "GetRecords")
            stream = self._stream(token["stream"], "GetRecords")
            shard = self._shard(stream, token["shard"], "GetRecords")
            after = token["after"]
            if after < shard.trimmed_to:
                raise error("TrimmedDataAccessException", "GetRecords")
            left = [record for record in shard.records if number_of(record) > after]
            page = left[: min(arguments.get("Limit", 1_000), self.faults.max_records)]
            if self.faults.empty_pages > 0 and left:
                self.faults.empty_pages -= 1
                page = []
            answer: dict[str, Any] = {"Records": [dict(record) for record in page]}
            at_end = shard.closed_at is not None and len(page) == len(left)
            if at_end and not (page and self.faults.end_apart):
                return answer | ({"NextShardIterator": None} if self.faults.null_iterator else {})
            next_after = number_of(page[-1]) if page else after
            return answer | {"NextShardIterator": self._token(stream, shard, next_after)}

    def _begin(self, operation: str) -> None:
        with self._lock:
            self.calls[operation] += 1
            self.called_at[operation].append(self._table.now())
            errors = self.faults.errors
            if not errors or errors[0][0] not in {None, operation}:
                return
            _, code = errors.popleft()
        raise error(code, operation)

    def _stream(self, arn: str, operation: str) -> SimulatedStream:
        stream = self._table.streams.get(arn)
        if stream is None:
            raise error("ResourceNotFoundException", operation)
        return stream

    def _shard(self, stream: SimulatedStream, shard_id: str, operation: str) -> SimulatedShard:
        shard = stream.shards.get(shard_id)
        if shard is None or shard_id in self.faults.unreadable:
            raise error("ResourceNotFoundException", operation)
        return shard

    def _is_listed(self, shard: SimulatedShard, stream: SimulatedStream) -> bool:
        parent = stream.shards.get(shard.parent_id or "")
        if parent is None or parent.closed_at is None:
            return True
        return self._table.now() - parent.closed_at >= self.faults.child_delay_seconds

    def _describe(self, shard: SimulatedShard) -> dict[str, Any]:
        numbers = {"StartingSequenceNumber": str(shard.starting_number)}
        if shard.ending_number is not None and not self.faults.hidden_ends:
            numbers["EndingSequenceNumber"] = str(shard.ending_number)
        answer: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
        if shard.parent_id is not None:
            answer["ParentShardId"] = shard.parent_id
        return answer

    def _token(self, stream: SimulatedStream, shard: SimulatedShard, after: int) -> str:
        self._iterators += 1
        token = {
            "stream": stream.arn,
            "shard": shard.shard_id,
            "after": after,
            "made": self._table.now(),
            "number": self._iterators,
        }
        return base64.b64encode(json.dumps(token).encode()).decode()


def error(code: str, operation: str, **details: Any) -> ClientError:
    """What boto3 raises for an AWS error."""
    status = 500 if code.startswith("Internal") else 400
    response: Any = {
        "Error": {"Code": code, "Message": "simulated"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **details,
    }
    return ClientError(response, operation)
