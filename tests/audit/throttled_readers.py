"""Many readers that put their entries into one throttled Kinesis shard, in simulated time."""

import heapq
import itertools
import random
from dataclasses import dataclass

from processor.audit.sinks.base import SinkUnavailable
from processor.audit.sinks.kinesis import KinesisPut, KinesisSink
from tests.audit.entries import always, entry
from tests.audit.kinesis_standin import MIB, Kinesis

PAGE_ENTRIES = 250
PAGE_SECONDS = 0.25
ERROR_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Throttled:
    """What the shard accepted."""

    new_share: float
    """Entries that were in no earlier record, of all entries that it accepted."""
    used_share: float
    """Accepted bytes, of the bytes that it would accept."""


def simulate_throttled_readers(*, readers: int, seconds: float) -> Throttled:
    """Lets each reader put page after page, as fast as it may read them."""
    random.seed(1)  # the jitter of back-offs: the same at each run
    kinesis = Kinesis(limited=True)
    clock = kinesis.clock
    sink = KinesisSink(kinesis, "export-audit", buckets=16, clock=clock)
    pages = itertools.count()

    def next_put() -> KinesisPut:
        page, error = next(pages), "x" * ERROR_CHARS
        return sink.begin([entry(f"{page}-{n}", f"req-{page}-{n}", error=error) for n in range(PAGE_ENTRIES)])

    due = [(0.0, reader, next_put()) for reader in range(readers)]
    while clock.seconds < seconds:
        at, reader, put = heapq.heappop(due)
        clock.seconds = max(clock.seconds, at)
        try:
            put.go_on(always)
        except SinkUnavailable as unavailable:
            heapq.heappush(due, (clock.seconds + (unavailable.retry_seconds or 30.0), reader, put))
        else:
            heapq.heappush(due, (clock.seconds + PAGE_SECONDS, reader, next_put()))
    arrived = [each.audit_id for each in kinesis.entries()]
    stored = sum(len(record["Data"]) for record in kinesis.records)
    return Throttled(len(set(arrived)) / len(arrived), stored / (seconds * MIB))
