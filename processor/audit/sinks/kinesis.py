"""The sink `kinesis`: puts audit entries into a Kinesis data stream as KPL-aggregated records.

A stable hash of an entry's `requestId` chooses its bucket. A bucket is one hash key, so all entries of one
export go to the same shard at any time. PutRecords keeps no order between the records of a call and can fail
for some of them. A put therefore keeps a queue for each bucket and sends only the first record of each. The
next record of a bucket follows when Kinesis has acknowledged the one before. All entries of an export come
from one lease, parents before children, so this keeps their order without a lock between readers.

Each bucket backs off by itself: a throttled shard delays only the buckets that lie in it.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.audit import AuditEntry
from processor.audit.kpl import MAX_RECORD_BYTES, Packer
from processor.audit.sinks.base import Refusal, SinkUnavailable
from processor.aws.calls import call
from processor.aws.errors import INCOMPLETE, AwsError, Misconfigured, Rejected
from processor.backoff import BackOff, jittered
from processor.streams.record_processor import Interrupted

PUT_RECORDS_MAX_RECORDS = 500
"""Amazon Kinesis Data Streams API Reference: PutRecords."""

PUT_RECORDS_MAX_BYTES = 5 * 1_024 * 1_024
"""With partition keys. AWS takes 10 MiB since October 2025; an emulator may still take 5."""

TARGET_BYTES = 128 * 1_024
"""When an aggregate is closed. A page of 1,000 usual entries over 16 buckets makes aggregates of 30 to
60 KiB, so a page goes out in one call. A shard takes 1 MB a second: an aggregate is an eighth of that, small
enough to find room next to others, and eight calls a second for each bucket still fill a shard. A reader gets
a whole aggregate at once, so it should not be larger than it must be."""

OUTAGE_FAILURES = 6
"""Failures of one record in a row after which operators see an outage: about 3 s."""

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A fixed slice of the hash range, whatever the stream's shards are."""

    name: str
    """The partition key of its Kinesis records."""
    hash_key: int
    """The middle of its slice, as far as possible from where shards are split evenly."""


def buckets_of(count: int) -> tuple[Bucket, ...]:
    """Buckets of equal slices, in the order of their hash keys."""
    return tuple(
        Bucket(f"bucket-{number}", (2 * number + 1) * 2**128 // (2 * count)) for number in range(count)
    )


def bucket_number(request_id: str, count: int) -> int:
    """The bucket of an export's entries: the same in every process and release.

    Args:
        request_id: the export.
        count: how many buckets there are.
    """
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


class KinesisSink:
    """Puts entries into a Kinesis data stream.

    Kinesis may carry out a call whose answer is lost, so an entry can be in the stream more than once, always
    with the same `auditId`.

    Args:
        client: from `Aws.kinesis()`.
        stream: the name of the data stream (`KINESIS_EXPORT_AUDIT_STREAM`).
        buckets: the number of buckets (`EXPORT_AUDIT_BUCKETS`), at least 1.
        target_bytes: when an aggregate is closed, at most `MAX_RECORD_BYTES`.
        clock: monotonic seconds.
    """

    name = "kinesis"

    def __init__(
        self,
        client: Any,
        stream: str,
        *,
        buckets: int,
        target_bytes: int = TARGET_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._stream = stream
        self._buckets = buckets_of(buckets)
        self._target_bytes = target_bytes
        self.clock = clock

    def begin(self, entries: Sequence[AuditEntry]) -> "KinesisPut":
        """Packs entries into records; see `Sink.begin`."""
        packers: dict[int, tuple[Packer, deque[int]]] = {}
        refusals: list[Refusal] = []
        for index, entry in enumerate(entries):
            try:
                data = entry.to_json().encode()
                number = bucket_number(entry.request_id, len(self._buckets))
            except UnicodeEncodeError:
                refusals.append(Refusal(entry, "an entry must be text that UTF-8 can hold"))
                continue
            if number not in packers:
                packers[number] = Packer(self._buckets[number].hash_key, self._target_bytes), deque()
            packer, indexes = packers[number]
            if packer.add(entry.request_id, data):
                indexes.append(index)
            else:
                reason = f"an entry must fit into a Kinesis record of {MAX_RECORD_BYTES} bytes"
                refusals.append(Refusal(entry, reason))
        queues = [
            _Queue(self._buckets[number], deque(packer.packed()), indexes)
            for number, (packer, indexes) in packers.items()
            if indexes
        ]
        return KinesisPut(self, queues, refusals, len(entries))

    def put_records(self, heads: "Sequence[_Queue]") -> list[str]:
        """Calls PutRecords with the first record of each queue.

        Returns:
            An error code for each queue; empty where Kinesis acknowledged the record.

        Raises:
            SinkUnavailable: only an operator can change the answer, for example with a permission.
        """
        records = [
            {
                "Data": queue.records[0][0],
                "PartitionKey": queue.bucket.name,
                "ExplicitHashKey": str(queue.bucket.hash_key),
            }
            for queue in heads
        ]
        try:
            answer = call(self._client.put_records, StreamName=self._stream, Records=records)
        except (Misconfigured, Rejected) as error:
            # Kinesis checks sizes and keys, never the content, and those are right: no entry is the cause.
            raise SinkUnavailable(f"sink kinesis: {error}") from error
        except AwsError as error:
            return [error.code] * len(heads)
        results = answer.get("Records") or ()
        if len(results) != len(heads):
            return [INCOMPLETE] * len(heads)
        # Only a record with a sequence number is in the stream.
        return [
            "" if each.get("SequenceNumber") else each.get("ErrorCode") or "UnknownError" for each in results
        ]


@dataclass(eq=False, slots=True)
class _Queue:
    """The records of one bucket that Kinesis has not acknowledged, oldest first."""

    bucket: Bucket
    records: deque[tuple[bytes, int]]
    """Data, with the number of sub-records."""
    indexes: deque[int]
    """The places of their entries in the page."""
    back_off: BackOff = field(
        default_factory=lambda: BackOff(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS, jitter=float)
    )
    """Without jitter: all queues of a call get the same jitter, so that one call retries all of them."""
    retry_at: float = float("-inf")
    error_code: str = ""

    def answered(self, error_code: str, now: float, jitter: float) -> None:
        """Removes the first record, or keeps it for a later try where there is an error code."""
        self.error_code = error_code
        if error_code:
            self.retry_at = now + jitter * self.back_off.failed()
            return
        for _ in range(self.records.popleft()[1]):
            self.indexes.popleft()
        self.back_off.worked()


@dataclass(eq=False, slots=True)
class KinesisPut:
    """A page of entries on its way into the stream; see `Put`.

    Args:
        sink: makes the calls.
        queues: the records of each bucket.
        refusals: the entries that are in no record.
        count: how many entries the page has.
    """

    sink: KinesisSink
    queues: list[_Queue]
    refusals: Sequence[Refusal]
    count: int

    @property
    def durable(self) -> int:
        """How many of the first entries are in the stream or refused; see `Put.durable`."""
        return min((queue.indexes[0] for queue in self.queues), default=self.count)

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Puts what is left; see `Put.go_on`. One call for a page that makes one record a bucket."""
        while self.queues:
            heads = self._heads()
            if not heads:
                raise self._unavailable()
            if not may_continue():
                raise Interrupted
            codes = self.sink.put_records(heads)
            now, jitter = self.sink.clock(), jittered(1.0)
            for queue, code in zip(heads, codes, strict=True):
                queue.answered(code, now, jitter)
            self.queues = [queue for queue in self.queues if queue.records]

    def _heads(self) -> list[_Queue]:
        """The queues whose first record goes into the next call: due ones, up to what a call may carry."""
        now = self.sink.clock()
        heads: list[_Queue] = []
        size = 0
        for queue in self.queues:
            if queue.retry_at > now:
                continue
            size += len(queue.records[0][0]) + len(queue.bucket.name)
            if heads and (size > PUT_RECORDS_MAX_BYTES or len(heads) == PUT_RECORDS_MAX_RECORDS):
                break
            heads.append(queue)
        return heads

    def _unavailable(self) -> SinkUnavailable:
        worst = max(self.queues, key=lambda queue: queue.back_off.failures)
        failures = worst.back_off.failures
        return SinkUnavailable(
            f"sink kinesis: PutRecords: {worst.error_code}, {failures} times in a row",
            retry_seconds=max(0.0, min(queue.retry_at for queue in self.queues) - self.sink.clock()),
            is_outage=failures >= OUTAGE_FAILURES,
        )
