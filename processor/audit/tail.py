"""Reads a Kinesis data stream shard by shard, without leases or checkpoints, for a person who looks at it.

A shard is read only after the shards that it was split or merged from. So records of one hash key come in
the order in which they were put, across any resharding.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any

from processor.aws.calls import api_name, call
from processor.aws.errors import IteratorExpired, NotFound, Transient, member
from processor.backoff import BackOff, retry

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


@dataclass(frozen=True, slots=True)
class KinesisRecord:
    """One Kinesis record and its place."""

    shard_id: str
    sequence_number: str
    data: bytes


@dataclass(slots=True)
class _Shard:
    shard_id: str
    parents: frozenset[str]
    closed: bool = False  # it takes no more records; there may be more to read
    iterator: str | None = None
    last_sequence_number: str | None = None
    next_read: float = 0.0
    caught_up: bool = False
    ended: bool = False  # every record of it has been read


@dataclass(slots=True)
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

    client: Any
    stream: str
    _: KW_ONLY
    since: datetime | None = None
    hash_key: int | None = None
    wait: Callable[[float], object]
    clock: Callable[[], float] = time.monotonic
    on_retry: Callable[[Exception], object] = lambda _error: None
    _shards: dict[str, _Shard] = field(default_factory=dict, init=False)
    _next_listing: float = field(default=0.0, init=False)

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
            ready = [
                shard
                for shard in self._shards.values()
                if not shard.ended and (until is None or not shard.caught_up) and self._is_next(shard)
            ]
            if not ready:
                return
            shard = min(ready, key=lambda each: each.next_read)
            self.wait(max(0.0, shard.next_read - self.clock()))
            yield self._read(shard, until)
            if shard.ended or self.clock() >= self._next_listing:
                self._list_shards()

    def _is_next(self, shard: _Shard) -> bool:
        """Whether its parents were read. One that is not listed was trimmed with all its records."""
        return all(parent not in self._shards or self._shards[parent].ended for parent in shard.parents)

    def _read(self, shard: _Shard, until: datetime | None) -> list[KinesisRecord]:
        shard.next_read = self.clock() + BUSY_SECONDS
        try:
            if shard.iterator is None:
                shard.iterator = self._iterator(shard)
            answer = self._ask(
                self.client.get_records, "Records", ShardIterator=shard.iterator, Limit=PAGE_RECORDS
            )
        except IteratorExpired:
            shard.iterator = None
            return []
        except NotFound:
            del self._shards[shard.shard_id]
            self._list_shards()  # raises where the stream itself is gone
            if shard.shard_id in self._shards:
                raise
            return []
        records = answer["Records"]
        if records:
            shard.last_sequence_number = records[-1]["SequenceNumber"]
        at_tip = answer.get("MillisBehindLatest") == 0
        past = until is not None and bool(records) and records[-1]["ApproximateArrivalTimestamp"] > until
        # A closed shard must be read to its end, because its children wait for that. Emulators never end its
        # iterators.
        shard.caught_up = past or (at_tip and not shard.closed)
        shard.iterator = answer.get("NextShardIterator")
        shard.ended = shard.iterator is None or (shard.closed and at_tip and not records)
        shard.next_read = self.clock() + (IDLE_SECONDS if at_tip else BUSY_SECONDS)
        return [KinesisRecord(shard.shard_id, each["SequenceNumber"], each["Data"]) for each in records]

    def _iterator(self, shard: _Shard) -> str:
        position: dict[str, object] = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard.last_sequence_number is not None:
            position = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": shard.last_sequence_number,
            }
        elif self.since is not None:
            position = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self.since}
        where = {"StreamName": self.stream, "ShardId": shard.shard_id}
        answer = self._ask(self.client.get_shard_iterator, "ShardIterator", **where, **position)
        return str(answer["ShardIterator"])

    def _list_shards(self) -> None:
        """Finds new shards and closed ones. A shard that is no longer listed is read until its end."""
        question = {"StreamName": self.stream}
        while question:
            answer = self._ask(self.client.list_shards, "Shards", **question)
            for listed in answer["Shards"]:
                bounds = listed["HashKeyRange"]
                first, last = int(bounds["StartingHashKey"]), int(bounds["EndingHashKey"])
                if self.hash_key is not None and not first <= self.hash_key <= last:
                    continue
                parents = {listed.get("ParentShardId"), listed.get("AdjacentParentShardId")} - {None}
                shard = self._shards.setdefault(
                    listed["ShardId"], _Shard(listed["ShardId"], frozenset(parents))
                )
                shard.closed = "EndingSequenceNumber" in listed["SequenceNumberRange"]
            token = answer.get("NextToken")
            question = {"NextToken": token} if token else {}
        self._next_listing = self.clock() + LISTING_SECONDS

    def _ask(self, method: Callable[..., Any], wanted: str, **arguments: Any) -> Mapping[str, Any]:
        """An answer that has the wanted member, after as many tries as a person waits for."""

        def ask() -> Mapping[str, Any]:
            answer: Mapping[str, Any] = call(method, **arguments)
            member(answer, wanted, api_name(method))
            return answer

        return retry(
            ask,
            on=Transient,
            tries=MAX_FAILURES,
            wait=self.wait,
            back_off=BackOff(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS),
            on_retry=self.on_retry,
        )
