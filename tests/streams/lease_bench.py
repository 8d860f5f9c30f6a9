"""A taker and a renewer over a simulated leases table, with one held lease and a clock that a test moves."""

import time
from collections.abc import Callable
from typing import Any, NoReturn

from botocore.exceptions import ReadTimeoutError

from processor.audit.delivery import Delivery
from processor.audit.removals import Removals
from processor.observability.metrics import Metrics
from processor.streams.clocks import Clocks
from processor.streams.context import ConsumerSettings, EngineContext
from processor.streams.leases.held import HeldLease
from processor.streams.leases.lease import new_lease
from processor.streams.leases.renewer import LeaseRenewer
from processor.streams.leases.taker import LeaseTaker
from processor.streams.shards import Listing, Shard
from tests.simulated_stream.rows import Row, SimulatedRows
from tests.streams.worker import ShownHealth

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
FAILOVER_SECONDS = 10.0


class Bench:
    """A taker and a renewer that hold the lease of one shard, and a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0
        self.on_clock: Callable[[], None] | None = None
        self.rows = SimulatedRows()
        settings = ConsumerSettings(
            "export-status", "leases", FAILOVER_SECONDS, worker="me", renewing_threads=1
        )
        metrics, health, clocks = Metrics(), ShownHealth(), Clocks(self.clock, time.time, self.clock)
        removals = Removals(Delivery([], None, metrics, health))
        context = EngineContext(
            None, self.rows, settings, removals, metrics=metrics, health=health, clocks=clocks
        )
        context.streams = {ARN: Listing(ARN, {"shard-1": Shard("shard-1")}, 0.0)}
        acquired: list[HeldLease] = []
        self._table = context.table
        self.renewer = LeaseRenewer(context)
        self.taker = LeaseTaker(context, self.renewer, acquired.append, lambda _lease, _to: None)
        self.add("shard-1")
        self.taker.scan()
        (self.lease,) = acquired

    def add(self, shard_id: str) -> Row:
        """Adds a free lease; its row."""
        lease = new_lease(ARN, shard_id, frozenset(), now=0.0, tracked_since=0.0)
        self._table.create(lease)
        return self.rows.rows[lease.key]

    def clock(self) -> float:
        """Monotonic seconds. What is planned for the next look at the clock happens then, once."""
        action, self.on_clock = self.on_clock, None
        if action is not None:
            action()
        return self.time

    def time_out_after(self, seconds: float) -> None:
        """The next update times out, without having happened."""

        def wait(**_arguments: Any) -> NoReturn:
            self.time += seconds
            del self.rows.update_item
            raise ReadTimeoutError(endpoint_url="simulated")

        self.rows.update_item = wait  # type: ignore[method-assign]
