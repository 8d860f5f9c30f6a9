"""The streams of one table as data: shards with records, a lineage, and a past that gets trimmed.

Times are Unix seconds of the clock that the model is given. A key belongs to one open shard at a time, by
its hash; when that shard splits or rolls over, later records of the key are in a child.
"""

import hashlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

RETENTION_SECONDS = 24 * 3_600
TTL_IDENTITY = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
HASH_SPACE = 2**32

# Numbers cross from 21 to 22 digits early on: only a numeric comparison keeps their order.
FIRST_SEQUENCE_NUMBER = 999_999_999_999_999_999_000


@dataclass(slots=True)
class SimulatedShard:
    """One shard; it owns the keys whose hash is in [low, high)."""

    shard_id: str
    parent_id: str | None
    low: int
    high: int
    starting_number: int
    records: list[dict[str, Any]] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    """Every record that was ever written here, trimmed or not: what a test compares with."""
    closed_at: float | None = None
    ending_number: int | None = None
    trimmed_to: int = 0
    """Sequence number of the youngest record that is trimmed."""


@dataclass(slots=True)
class SimulatedStream:
    """One stream of the table; `shards` in the order of their creation."""

    arn: str
    shards: dict[str, SimulatedShard] = field(default_factory=dict)
    dropped: dict[str, SimulatedShard] = field(default_factory=dict)
    status: str = "ENABLED"
    view_type: str = "NEW_AND_OLD_IMAGES"

    def all_shards(self) -> list[SimulatedShard]:
        """Those that are listed and those that are gone."""
        return [*self.dropped.values(), *self.shards.values()]


def number_of(record: dict[str, Any]) -> int:
    """A record's sequence number as the number it is."""
    return int(record["dynamodb"]["SequenceNumber"])


class SimulatedTable:
    """A table whose changes appear in a stream. Its methods are what happens to it, from any thread."""

    def __init__(self, name: str, now: Callable[[], float], *, shards: int = 1) -> None:
        """Takes the table's name, the clock, and how many shards its first stream has."""
        self.name = name
        self.now = now
        self.lock = threading.RLock()
        self.streams: dict[str, SimulatedStream] = {}
        self.lost_streams: dict[str, SimulatedStream] = {}
        self.lists_trimmed_shards = False
        """Shards stay in the listing when their records are trimmed."""
        self._sequence_number = FIRST_SEQUENCE_NUMBER
        self._shards_made = 0
        self.enable_stream(shards)

    @property
    def current(self) -> SimulatedStream:
        """The newest stream."""
        return self.streams[max(self.streams)]  # their labels sort by age

    @property
    def last_number(self) -> int:
        """The youngest sequence number that was given out."""
        return self._sequence_number

    def enable_stream(self, shards: int = 1) -> SimulatedStream:
        """Gives the table a new stream; the one before it is disabled, its open shards are closed."""
        with self.lock:
            for stream in self.streams.values():
                self._disable(stream)
            number = len(self.streams) + len(self.lost_streams)
            label = datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{number:03d}"
            arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.name}/stream/{label}"
            stream = self.streams[arn] = SimulatedStream(arn)
            bounds = [HASH_SPACE * index // shards for index in range(shards + 1)]
            for low, high in itertools.pairwise(bounds):
                self._new_shard(stream, None, low, high)
            return stream

    def disable_stream(self) -> None:
        """Disables the newest stream without a successor."""
        with self.lock:
            self._disable(self.current)

    def lose_stream(self, arn: str) -> None:
        """A stream does not exist any more, as 24 hours after it was disabled."""
        with self.lock:
            self.lost_streams[arn] = self.streams.pop(arn)

    def write(self, key: str, event: str = "REMOVE", *, image: dict[str, Any] | None = None) -> str:
        """Changes an item; returns the record's `eventID`."""
        with self.lock:
            shard = self.shard_of(key)
            self._sequence_number += 1
            number = self._sequence_number
            old = image or {"requestId": {"S": key}, "status": {"S": "completed"}}
            record = {
                "eventID": hashlib.md5(f"{number}".encode(), usedforsecurity=False).hexdigest(),
                "eventName": event,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": int(self.now()),
                    "Keys": {"requestId": {"S": key}},
                    "SequenceNumber": str(number),
                    "SizeBytes": 100,
                    "StreamViewType": self.current.view_type,
                }
                | ({"OldImage": old} if event != "INSERT" else {})
                | ({"NewImage": old} if event != "REMOVE" else {}),
            }
            if event == "REMOVE":
                record["userIdentity"] = dict(TTL_IDENTITY)
            shard.records.append(record)
            shard.written.append(record)
            return str(record["eventID"])

    def shard_of(self, key: str) -> SimulatedShard:
        """The open shard that a key belongs to."""
        place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
        for shard in self.current.shards.values():
            if shard.closed_at is None and shard.low <= place < shard.high:
                return shard
        raise AssertionError("a disabled stream takes no records")

    def open_shards(self) -> list[SimulatedShard]:
        """The shards of the newest stream that take records."""
        return [shard for shard in self.current.shards.values() if shard.closed_at is None]

    def split(self, shard_id: str) -> list[str]:
        """Closes a shard and gives it two children; their ids."""
        shard = self.current.shards[shard_id]
        middle = (shard.low + shard.high) // 2
        if middle == shard.low:
            return self.roll(shard_id)
        return self._succeed(shard, (shard.low, middle), (middle, shard.high))

    def roll(self, shard_id: str) -> list[str]:
        """Closes a shard and gives it one child, as DynamoDB does after some hours; its id."""
        shard = self.current.shards[shard_id]
        return self._succeed(shard, (shard.low, shard.high))

    def _succeed(self, shard: SimulatedShard, *bounds: tuple[int, int]) -> list[str]:
        with self.lock:
            self._close(shard)
            return [self._new_shard(self.current, shard.shard_id, low, high) for low, high in bounds]

    def trim(self, before: float) -> None:
        """Forgets records written before an instant, and then closed shards that hold none any more."""
        with self.lock:
            for stream in self.streams.values():
                for shard in list(stream.shards.values()):
                    self._trim_shard(shard, before)
                    is_old = shard.closed_at is not None and shard.closed_at < before
                    if self.lists_trimmed_shards:
                        continue
                    if is_old and not shard.records and shard.parent_id not in stream.shards:
                        stream.dropped[shard.shard_id] = stream.shards.pop(shard.shard_id)

    def trim_expired(self) -> None:
        """Forgets what is older than 24 hours."""
        self.trim(self.now() - RETENTION_SECONDS)

    def drop_shard(self, shard_id: str) -> None:
        """A shard disappears from its stream, whatever is in it."""
        with self.lock:
            for stream in self.streams.values():
                if shard_id in stream.shards:
                    stream.dropped[shard_id] = stream.shards.pop(shard_id)

    def restore_shard(self, shard_id: str) -> None:
        """A shard that had disappeared is there again."""
        with self.lock:
            for stream in self.streams.values():
                if shard_id in stream.dropped:
                    stream.shards[shard_id] = stream.dropped.pop(shard_id)

    def restore_stream(self, arn: str) -> None:
        """A stream that did not exist for a while exists again."""
        with self.lock:
            self.streams[arn] = self.lost_streams.pop(arn)

    def removals(self) -> list[tuple[SimulatedShard, dict[str, Any]]]:
        """Every REMOVE record ever written, oldest first, with its shard."""
        with self.lock:
            streams = [*self.lost_streams.values(), *self.streams.values()]
            found = [
                (shard, record)
                for stream in streams
                for shard in stream.all_shards()
                for record in shard.written
                if record["eventName"] == "REMOVE"
            ]
        return sorted(found, key=lambda pair: number_of(pair[1]))

    @staticmethod
    def _trim_shard(shard: SimulatedShard, before: float) -> None:
        while shard.records and shard.records[0]["dynamodb"]["ApproximateCreationDateTime"] < before:
            shard.trimmed_to = number_of(shard.records.pop(0))

    def _disable(self, stream: SimulatedStream) -> None:
        stream.status = "DISABLED"
        for shard in stream.shards.values():
            if shard.closed_at is None:
                self._close(shard)

    def _close(self, shard: SimulatedShard) -> None:
        self._sequence_number += 1
        shard.closed_at = self.now()
        shard.ending_number = self._sequence_number

    def _new_shard(self, stream: SimulatedStream, parent_id: str | None, low: int, high: int) -> str:
        self._shards_made += 1
        self._sequence_number += 1
        shard_id = f"shardId-{int(self.now() * 1_000):020d}-{self._shards_made:08x}"
        stream.shards[shard_id] = SimulatedShard(shard_id, parent_id, low, high, self._sequence_number)
        return shard_id
