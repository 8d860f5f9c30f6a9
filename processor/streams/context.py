"""What all shard readers of a task share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.api import StreamApi
from processor.streams.clocks import Clocks
from processor.streams.leases.table import LeaseTable
from processor.streams.page_budget import PageBudget
from processor.streams.rate_limiter import RateLimiter
from processor.streams.record_processor import RecordProcessor
from processor.streams.shards import StreamState


@dataclass(frozen=True, slots=True)
class ReaderContext:
    """The API, the tables and where readers report."""

    api: StreamApi
    table: LeaseTable
    processor: RecordProcessor
    metrics: Metrics
    health: Health
    failover_seconds: float
    listings: RateLimiter
    """Turns for DescribeStream, shared with the discovery."""
    stream_state: Callable[[str], StreamState | None]
    """Returns what the discovery knows about a stream."""
    request_listing: Callable[[], None]
    """Called when a new listing of the streams is wanted soon."""
    expect_children: Callable[[str, str], None]
    """Called with the stream and the shard whose children are not found yet."""
    on_shard_end: Callable[[], None]
    """Called when SHARD_END is written: other shards may start now."""
    clocks: Clocks = field(default_factory=Clocks)
    child_look_seconds: float = 3.0
    budget: PageBudget = field(default_factory=PageBudget)
    """Memory for pages, shared by all readers."""
