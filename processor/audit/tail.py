"""Reads a Kinesis data stream shard by shard, without leases or checkpoints, for a person who looks at it.

A shard is read only after the shards that it was split or merged from. So records of one hash key come in
the order in which they were put, across any resharding.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from processor.aws.calls import call
from processor.aws.errors import IteratorExpired, NotFound, Transient, member
from processor.backoff import full_delay_seconds, jittered

PAGE_RECORDS = 1_000
BUSY_SECONDS = 0.25
"""Between two reads of a shard: it allows five a second, to all its readers together (GetRecords)."""

IDLE_SECONDS = 1.0
LISTING_SECONDS = 10.0
"""Between two listings of the shards. The end of a shard is followed by a listing too."""

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 10.0
MAX_FAILURES = 10
"""Transient failures in a row after which reading ends: about a minute."""


class ReadingClient(Protocol):
    """As much of the Kinesis client as the reader calls."""

    @property
    def list_shards(self) -> Callable[..., Any]:
        """ListShards."""

    @property
    def get_shard_iterator(self) -> Callable[..., Any]:
        """GetShardIterator."""

    @property
    def get_records(self) -> Callable[..., Any]:
        """GetRecords."""


@dataclass(frozen=True, slots=True)
class KinesisRecord:
    """One Kinesis record and its place."""

    shard_id: str
    sequence_number: str
    partition_key: str
    data: bytes


@dataclass(slots=True)
class _Shard:
    shard_id: str
    parents: frozenset[str]
    closed: bool = False  # it takes no more records; there may be more to read
    iterator: str | None = None
    last_sequence_number: str | None = None
    next_read: float = 0.0
    failures: int = 0
    caught_up: bool = False
    ended: bool = False  # every record of it has been read


class KinesisReader:
    """Reads all shards of one stream from one moment on.

    Args:
        client: from `Aws.kinesis()`.
        stream: the name of the data stream.
        since: the earliest arrival in the stream; None: everything that the stream still holds.
        hash_key: only shards that take this hash key; None: all.
        wait: waits for some seconds, for example `Event().wait`.
        clock: seconds, from any start.
        on_retry: called with an error that came twice or more in a row, before the next try.
    """

    def __init__(
        self,
        client: ReadingClient,
        stream: str,
        *,
        since: datetime | None = None,
        hash_key: int | None = None,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
        on_retry: Callable[[Exception], object] = lambda _error: None,
    ) -> None:
        self._client = client
        self._stream = stream
        self._since = since
        self._hash_key = hash_key
        self._wait = wait
        self._clock = clock
        self._on_retry = on_retry
        self._shards: dict[str, _Shard] = {}
        self._next_listing = 0.0

    def pages(self, until: datetime | None) -> Iterator[list[KinesisRecord]]:
        """The records in pages, each of one shard, in that shard's order; pages may be empty.

        Args:
            until: stops when every shard is at its end or past this moment; None: never stops, and waits for
                new records and new shards.

        Raises:
            NotFound: if there is no such stream.
            AwsError: if the stream cannot be read, at once or after a minute of transient failures.
        """
        self._list_shards()
        while True:
            shard = self._next_shard(follow=until is None)
            if shard is None:
                return
            self._wait(max(0.0, shard.next_read - self._clock()))
            yield self._read(shard, until)
            if self._clock() >= self._next_listing:
                self._list_shards()

    def _next_shard(self, *, follow: bool) -> _Shard | None:
        """The readable shard whose turn is next; None when nothing is left to read."""
        ready = [
            shard
            for shard in self._shards.values()
            if not shard.ended and (follow or not shard.caught_up) and self._parents_have_ended(shard)
        ]
        return min(ready, key=lambda shard: shard.next_read, default=None)

    def _parents_have_ended(self, shard: _Shard) -> bool:
        """A parent that the stream does not list has been trimmed with all its records."""
        return all(parent not in self._shards or self._shards[parent].ended for parent in shard.parents)

    def _read(self, shard: _Shard, until: datetime | None) -> list[KinesisRecord]:
        try:
            if shard.iterator is None:
                shard.iterator = self._iterator(shard)
            answer = call(self._client.get_records, ShardIterator=shard.iterator, Limit=PAGE_RECORDS)
            member(answer, "Records", "GetRecords")
        except IteratorExpired:
            shard.iterator = None
            shard.next_read = self._clock() + BUSY_SECONDS
            return []
        except Transient as error:
            shard.failures += 1
            if shard.failures >= MAX_FAILURES:
                raise
            self._note_failure(shard.failures, error)
            shard.next_read = self._clock() + _delay(shard.failures)
            return []
        except NotFound:
            del self._shards[shard.shard_id]
            self._list_shards()  # raises where the stream itself is gone
            if shard.shard_id in self._shards:
                raise
            return []
        self._note(shard, answer, until)
        return [
            KinesisRecord(shard.shard_id, record["SequenceNumber"], record["PartitionKey"], record["Data"])
            for record in answer["Records"]
        ]

    def _note(self, shard: _Shard, answer: Mapping[str, Any], until: datetime | None) -> None:
        """Updates the shard's state after an answer."""
        records = answer["Records"]
        shard.failures = 0
        if records:
            shard.last_sequence_number = records[-1]["SequenceNumber"]
        at_tip = answer.get("MillisBehindLatest") == 0
        past = until is not None and bool(records) and records[-1]["ApproximateArrivalTimestamp"] > until
        # A closed shard must be read to its end, because its children wait for that. Emulators never end its
        # iterators.
        shard.caught_up = past or (at_tip and not shard.closed)
        shard.iterator = answer.get("NextShardIterator")
        shard.ended = shard.iterator is None or (shard.closed and at_tip and not records)
        shard.next_read = self._clock() + (IDLE_SECONDS if at_tip else BUSY_SECONDS)
        if shard.ended:
            self._list_shards()

    def _iterator(self, shard: _Shard) -> str:
        position: dict[str, object] = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard.last_sequence_number is not None:
            position = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": shard.last_sequence_number,
            }
        elif self._since is not None:
            position = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._since}
        answer = call(
            self._client.get_shard_iterator, StreamName=self._stream, ShardId=shard.shard_id, **position
        )
        return str(member(answer, "ShardIterator", "GetShardIterator"))

    def _list_shards(self) -> None:
        """Finds new shards and closed ones. A shard that is no longer listed is read until its end."""
        question: dict[str, object] = {"StreamName": self._stream}
        while question:
            answer = self._patiently_ask(question)
            for listed in answer["Shards"]:
                if not self._takes_hash_key(listed["HashKeyRange"]):
                    continue
                parents = frozenset(
                    listed[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in listed
                )
                shard = self._shards.setdefault(listed["ShardId"], _Shard(listed["ShardId"], parents))
                shard.closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
            token = answer.get("NextToken")
            question = {"NextToken": token} if token else {}
        self._next_listing = self._clock() + LISTING_SECONDS

    def _takes_hash_key(self, hash_range: Mapping[str, str]) -> bool:
        if self._hash_key is None:
            return True
        return int(hash_range["StartingHashKey"]) <= self._hash_key <= int(hash_range["EndingHashKey"])

    def _patiently_ask(self, question: Mapping[str, object]) -> Mapping[str, Any]:
        for failures in range(1, MAX_FAILURES):
            try:
                return self._ask(question)
            except Transient as error:
                self._note_failure(failures, error)
                self._wait(_delay(failures))
        return self._ask(question)

    def _ask(self, question: Mapping[str, object]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = call(self._client.list_shards, **question)
        member(answer, "Shards", "ListShards")
        return answer

    def _note_failure(self, failures: int, error: Transient) -> None:
        if failures > 1:  # a single throttled call needs no notice
            self._on_retry(error)


def _delay(failures: int) -> float:
    full = full_delay_seconds(failures, first_seconds=FIRST_DELAY_SECONDS, most_seconds=MAX_DELAY_SECONDS)
    return jittered(full)
