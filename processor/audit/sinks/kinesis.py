"""The sink `kinesis`: puts audit entries into a Kinesis data stream as KPL-aggregated records.

Entries are spread over a fixed number of buckets by a stable hash of their `requestId`. A bucket is one hash
key, so all entries of one export go one way, whatever becomes of the stream's shards; and no call carries a
bucket's record while an earlier record of that bucket is not known to be taken. PutRecords keeps no order
between records and fails for some of them alone, so this is what keeps an export's entries in order.

Each `put` sends everything it was given before it returns: an entry waits for no timer.
"""

import hashlib
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from handlers.audit import AuditEntry
from processor.audit.kpl import MAX_RECORD_BYTES, UserRecord, aggregate, fits_alone
from processor.audit.sinks.base import Refusal, SinkInterrupted, SinkUnavailable
from processor.aws.calls import call
from processor.aws.errors import INCOMPLETE, AwsError, Misconfigured, Rejected

PUT_RECORDS_MAX_RECORDS = 500
"""Amazon Kinesis Data Streams API Reference: PutRecords."""

PUT_RECORDS_MAX_BYTES = 5 * 1_024 * 1_024
"""With partition keys. AWS takes 10 MiB since October 2025; what stands in for it may still take 5."""

TARGET_BYTES = 128 * 1_024
"""When an aggregate is closed. A page of 1,000 usual entries over 16 buckets makes aggregates of 30 to
60 KiB, so a page goes out in one call. A shard takes 1 MB a second: an aggregate is an eighth of that, small
enough to find room beside others, and eight calls a second for each bucket still fill a shard. A reader gets
a whole aggregate at once, so it should not be larger than it must be."""

MAX_ATTEMPTS = 6
"""Refusals of one record in a row before the sink counts as unavailable: about 3 s, after the SDK's own."""

FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0
GATE_CHECK_SECONDS = 0.2
"""How often a put that waits for another one's call asks whether it may go on."""


class PutRecordsClient(Protocol):
    """As much of the Kinesis client as the sink calls."""

    @property
    def put_records(self) -> Callable[..., Any]:
        """PutRecords."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One of the ways that entries go: a fixed slice of the hash range, whatever the shards are."""

    name: str
    """The partition key of its Kinesis records."""
    hash_key: int
    """The middle of its slice, as far as can be from where shards are split evenly."""


def buckets_of(count: int) -> tuple[Bucket, ...]:
    """So many buckets of equal slices, in the order of their hash keys."""
    return tuple(
        Bucket(f"bucket-{number}", (2 * number + 1) * 2**128 // (2 * count)) for number in range(count)
    )


def bucket_number(request_id: str, count: int) -> int:
    """The bucket of an export's entries: the same in every process and release."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


class BucketGate:
    """Lets one call at a time carry records of a bucket; who asked first goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._claims: dict[object, frozenset[int]] = {}  # held and waiting, oldest first

    @contextmanager
    def hold(self, buckets: frozenset[int], may_continue: Callable[[], bool]) -> Iterator[None]:
        """Waits until no earlier claim shares a bucket with this one, then holds these buckets.

        Raises:
            SinkInterrupted: `may_continue` said no while waiting.
        """
        token = object()
        with self._changed:
            self._claims[token] = buckets
        try:
            with self._changed:
                while self._must_wait(token, buckets):
                    if not may_continue():
                        raise SinkInterrupted
                    self._changed.wait(GATE_CHECK_SECONDS)
            yield
        finally:
            with self._changed:
                del self._claims[token]
                self._changed.notify_all()

    def _must_wait(self, token: object, buckets: frozenset[int]) -> bool:
        for earlier, claimed in self._claims.items():
            if earlier is token:
                return False
            if not buckets.isdisjoint(claimed):
                return True
        raise AssertionError("a claim stands in the list while it is made")


class KinesisSink:
    """Puts entries into a Kinesis data stream; shared by the readers of all shards.

    A call that timed out may have been carried out all the same, so an entry can be there more than once,
    always with the same `auditId`.
    """

    name = "kinesis"

    def __init__(
        self,
        client: PutRecordsClient,
        stream: str,
        *,
        buckets: int,
        wait: Callable[[float], bool],
        target_bytes: int = TARGET_BYTES,
    ) -> None:
        """A sink for one stream.

        Args:
            client: from `Aws.kinesis()`.
            stream: the name of the data stream (`KINESIS_EXPORT_AUDIT_STREAM`).
            buckets: how many ways entries are spread (`EXPORT_AUDIT_BUCKETS`), at least 1.
            wait: waits so many seconds, or until the service stops, and says whether it stops
                (`Event.wait`).
            target_bytes: when an aggregate is closed, at most `MAX_RECORD_BYTES`.

        Raises:
            ValueError: if a number is out of its range.
        """
        if buckets < 1:
            raise ValueError("there must be at least one bucket")
        if not 1 <= target_bytes <= MAX_RECORD_BYTES:
            raise ValueError(f"an aggregate's target must be 1 to {MAX_RECORD_BYTES} bytes")
        self._client = client
        self._stream = stream
        self._buckets = buckets_of(buckets)
        self._wait = wait
        self._target_bytes = target_bytes
        self._gate = BucketGate()

    def put(self, entries: Sequence[AuditEntry], may_continue: Callable[[], bool]) -> Sequence[Refusal]:
        """Puts entries in order, one call for a page that fits into one record a bucket; see `Sink.put`."""
        queues, refusals = self._pack(entries)
        attempts: Counter[int] = Counter()  # of the record that is first in its bucket's queue
        while queues:
            heads = self._heads(queues)
            with self._gate.hold(frozenset(heads), may_continue):
                if not may_continue():
                    raise SinkInterrupted
                failed = self._put_records(heads)
            for number in heads:
                if number in failed:
                    attempts[number] += 1
                    continue
                attempts.pop(number, None)
                queues[number].popleft()
                if not queues[number]:
                    del queues[number]
            if failed:
                self._back_off(failed, attempts)
        return refusals

    def _pack(self, entries: Sequence[AuditEntry]) -> tuple[dict[int, deque[bytes]], list[Refusal]]:
        """Each bucket's records in order, and the entries that fit into none."""
        by_bucket: dict[int, list[UserRecord]] = {}
        refusals: list[Refusal] = []
        for entry in entries:
            try:
                record = UserRecord(entry.request_id, entry.to_json().encode())
                number = bucket_number(entry.request_id, len(self._buckets))
            except ValueError:  # pydantic's and Python's own errors for what UTF-8 cannot hold
                refusals.append(Refusal(entry, "an entry must be text that UTF-8 can hold"))
                continue
            if not fits_alone(record, self._buckets[number].hash_key):
                reason = f"an entry must fit into a Kinesis record of {MAX_RECORD_BYTES} bytes"
                refusals.append(Refusal(entry, reason))
                continue
            by_bucket.setdefault(number, []).append(record)
        return {
            number: deque(aggregate(records, self._buckets[number].hash_key, self._target_bytes))
            for number, records in by_bucket.items()
        }, refusals

    def _heads(self, queues: Mapping[int, deque[bytes]]) -> dict[int, bytes]:
        """The next call: the first record of each bucket, as many as a call may carry."""
        heads: dict[int, bytes] = {}
        size = 0
        for number, queue in queues.items():
            size += len(queue[0]) + len(self._buckets[number].name)
            if heads and (size > PUT_RECORDS_MAX_BYTES or len(heads) == PUT_RECORDS_MAX_RECORDS):
                break
            heads[number] = queue[0]
        return heads

    def _put_records(self, heads: Mapping[int, bytes]) -> dict[int, str]:
        """One call. Returns the error code of each bucket whose record was not, or may not be, taken."""
        records = [
            {
                "Data": data,
                "PartitionKey": self._buckets[number].name,
                "ExplicitHashKey": str(self._buckets[number].hash_key),
            }
            for number, data in heads.items()
        ]
        try:
            answer = call(self._client.put_records, StreamName=self._stream, Records=records)
        except (Misconfigured, Rejected) as error:
            # Kinesis checks sizes and keys, never what is inside, and those are right: no entry is to blame.
            raise SinkUnavailable(f"sink kinesis: {error}") from error
        except AwsError as error:
            return dict.fromkeys(heads, error.code)
        results = answer.get("Records") or ()
        if len(results) != len(heads):
            return dict.fromkeys(heads, INCOMPLETE)
        # Only what has a sequence number has happened.
        return {
            number: result.get("ErrorCode") or "UnknownError"
            for number, result in zip(heads, results, strict=True)
            if not result.get("SequenceNumber")
        }

    def _back_off(self, failed: Mapping[int, str], attempts: Mapping[int, int]) -> None:
        """Waits before the next call, longer after each failure, never all tasks at the same moment.

        Raises:
            SinkUnavailable: after too many failures in a row of one record.
            SinkInterrupted: if the service stops.
        """
        number = max(failed, key=lambda bucket: attempts[bucket])
        failures = attempts[number]
        if failures >= MAX_ATTEMPTS:
            raise SinkUnavailable(f"sink kinesis: PutRecords: {failed[number]}, {failures} times in a row")
        delay = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (failures - 1))
        if self._wait(random.uniform(delay / 2, delay)):
            raise SinkInterrupted
