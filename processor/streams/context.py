"""The settings of a stream consumer, and what its parts share."""

import os
import socket
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.api import StreamApi
from processor.streams.clocks import Clocks
from processor.streams.leases.held import WorkerIdentity
from processor.streams.leases.table import LeaseTable
from processor.streams.page_budget import DEFAULT_BYTES, PageBudget
from processor.streams.rate_limiter import LISTING_SECONDS, RateLimiter
from processor.streams.record_processor import RecordProcessor
from processor.streams.shards import Streams

HURRY_FOR_SECONDS = 300.0
"""How long the discovery looks often for the children of a shard that has ended."""


def worker_id() -> str:
    """A name for this start of the process that no other start anywhere has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What a consumer reads and how it shares the work with others."""

    status_table: str
    """The table whose streams are read."""
    leases_table: str
    failover_seconds: float
    """A lease that was not renewed for this time may be another worker's."""
    worker: str = field(default_factory=worker_id)
    """This worker's name, unique to this start of the process."""
    renewing_threads: int = 4
    """Several, so that one renewal that hangs until its time-out does not cost the other leases."""
    readers: int = 8
    """Threads that read shards, whatever their number."""
    page_bytes: int = DEFAULT_BYTES
    """Memory for pages whose work is not finished."""


class EngineContext:
    """What the parts of one consumer share.

    Args:
        streams: a client of DynamoDB Streams whose GetRecords answers hold raw records.
        leases: a client of DynamoDB, for the leases table.
        settings: what is read, and how the work is shared.
        processor: takes the records.
        metrics, health: where all parts report.
        clocks: all their times.

    Attributes:
        streams: what the discovery knows about each stream, by ARN; replaced as a whole.
        childless: until when children are expected, by stream and shard (monotonic seconds).
        listings: turns for DescribeStream, for the discovery and the readers.
        budget: memory for pages.
        look_now: set when the discovery should not wait any longer.
        scan_now: set when the taker should not wait any longer.
    """

    def __init__(
        self,
        streams: Any,
        leases: Any,
        settings: ConsumerSettings,
        processor: RecordProcessor,
        *,
        metrics: Metrics,
        health: Health,
        clocks: Clocks,
    ) -> None:
        self.settings = settings
        self.processor = processor
        self.metrics = metrics
        self.health = health
        self.clocks = clocks
        self.identity = WorkerIdentity(settings.worker, settings.failover_seconds, clocks.trust)
        self.api = StreamApi(streams, clocks.monotonic)
        self.table = LeaseTable(leases, settings.leases_table)
        self.streams: Streams = {}
        self.childless: dict[tuple[str, str], float] = {}
        self.listings = RateLimiter(LISTING_SECONDS, clocks.monotonic)
        self.budget = PageBudget(settings.page_bytes)
        self.look_now = threading.Event()
        self.scan_now = threading.Event()

    def expect_children(self, stream_arn: str, shard_id: str) -> None:
        """Lets the discovery look often for a while: a shard has ended whose children are not listed yet."""
        self.childless[stream_arn, shard_id] = self.clocks.monotonic() + HURRY_FOR_SECONDS
        self.look_now.set()
