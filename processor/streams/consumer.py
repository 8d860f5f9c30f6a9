"""The audit pipeline's threads: which there are, and in which order they start and stop."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from processor.audit.delivery import Delivery
from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import Sink
from processor.loops import Death, Loop
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.streams.api import StreamApi, StreamsClient
from processor.streams.context import Surroundings
from processor.streams.discovery import LISTING_SECONDS, Discovery
from processor.streams.lag import Lag, LagReport
from processor.streams.lease_keeper import TRIES_PER_FAILOVER, LeaseKeeper
from processor.streams.leases.held import HeldLease, Tenure
from processor.streams.leases.table import LeasesClient, LeaseTable
from processor.streams.rate_limiter import Pacer
from processor.streams.shard_reader import ShardReader
from processor.streams.shards import StreamState

RENEWING_THREADS = 4
"""One renewal that hangs until its time-out must not cost the other leases."""

RELEASE_SECONDS = 2.0
"""What of the stop's budget is kept for writing checkpoints and releasing leases."""

OVERDUE_RELEASE_SECONDS = RELEASE_SECONDS - 0.5
"""So long before the stop's deadline the leases of readers whose call does not end are released for them:
later than the readers themselves begin to."""

RELEASE_POLL_SECONDS = 0.1
RENEWERS_END_SECONDS = 0.5
"""How long renewals that are under way at the deadline are waited for, all together."""

_LOOP_LIMIT_SECONDS = 120.0  # above a scan or listing of many pages, each with its time-outs


def worker_id() -> str:
    """A name for this start of the process that no other start anywhere has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


class AuditPipeline:
    """Reads this task's share of the table's stream into the sinks.

    One thread discovers shards, one takes leases, a few renew them, and each held lease has a reader.
    """

    def __init__(
        self,
        *,
        streams: StreamsClient,
        leases: LeasesClient,
        status_table: str,
        leases_table: str,
        sinks: Sequence[Sink],
        quarantine: Quarantine | None,
        failover_seconds: float,
        metrics: Metrics,
        health: Health,
        on_death: Death,
        worker: str | None = None,
    ) -> None:
        """Takes the clients, the tables' names and where entries go.

        Args:
            streams: answers GetRecords with raw records (`Aws.streams()`).
            leases: for the leases table.
            status_table: whose streams are read.
            leases_table: where leases and checkpoints are.
            sinks: all of them must take an entry before its checkpoint.
            quarantine: for what a sink refuses; None: such an entry holds its shard.
            failover_seconds: after which a lease that is not renewed is another task's.
            metrics: told what happens.
            health: told which loops go on and what is degraded.
            on_death: told the name and the error of a thread that ends unexpectedly.
            worker: this worker's name, unique to this start of the process.
        """
        self._metrics = metrics
        self._health = health
        self._on_death = on_death
        self._lock = threading.Lock()
        self._readers: dict[HeldLease, tuple[ShardReader, Loop]] = {}
        self._stop_at: float | None = None
        self._is_clean = True
        self._was_started = False
        self.hangs = False
        """After `join`: whether a thread is left in a call that does not end."""
        self._lag = LagReport(metrics, health)
        table = LeaseTable(leases, leases_table)
        api = StreamApi(streams)
        listings = Pacer(LISTING_SECONDS)
        self._discovery = Discovery(
            api,
            table,
            status_table=status_table,
            failover_seconds=failover_seconds,
            listings=listings,
            metrics=metrics,
            health=health,
            found=self._look_at_leases,
        )
        self._keeper = LeaseKeeper(
            table,
            Tenure(worker or worker_id(), failover_seconds),
            status_table=status_table,
            streams=lambda: self._discovery.streams,
            health=health,
            won=self._start_reader,
            give_up=self._give_up,
        )
        self._failover_seconds = failover_seconds
        self._around = Surroundings(
            api=api,
            table=table,
            delivery=Delivery(sinks, quarantine, metrics, health),
            metrics=metrics,
            health=health,
            failover_seconds=failover_seconds,
            listings=listings,
            stream_state=self._stream_state,
            expect_children=self._discovery.expect_children,
            ended=self._look_at_leases,
        )
        self._discovering = self._loop("audit-discovery", self._discovery.step, self._discovery.wake)
        self._taking = self._loop("audit-leases", self._scan, self._keeper.wake, self._keeper.withdraw)
        self._renewers = [
            self._loop(f"audit-renewals-{number}", self._renew) for number in range(RENEWING_THREADS)
        ]

    def start(self) -> None:
        """Starts the threads; reading begins as soon as a shard is found and its lease taken."""
        self._was_started = True
        for loop in (*self._renewers, self._discovering, self._taking):
            loop.start()

    def stop(self, deadline: float) -> None:
        """Asks for the end and returns at once: pages in hand are finished, leases written and released.

        May be called twice, the earlier deadline counts, and before `start`.

        Args:
            deadline: when everything must be over (`time.monotonic()` seconds). A sink that takes nothing
                is waited for until a little before; then its page is left to the next owner. So it is
                where a call does not end: the lease is released over the reader's head.
        """
        self._keeper.stop_taking()
        for loop in (self._discovering, self._taking):
            loop.stop()
        with self._lock:
            self._stop_at = deadline if self._stop_at is None else min(deadline, self._stop_at)
            readers = [reader for reader, _ in self._readers.values()]
        for reader in readers:
            reader.request_stop(self._stop_at - RELEASE_SECONDS)
        for loop in self._renewers:
            loop.wake()

    def join(self) -> bool:
        """Waits for the end that `stop` asked for, until its deadline; a pipeline never started has ended.

        Returns:
            Whether nothing is taken up any more and every lease was given up.
        """
        with self._lock:
            stop_at = self._stop_at
        if stop_at is None:
            if self._was_started:
                raise RuntimeError("stop comes before join")
            return True
        # First: a lease that was being taken when the stop came has its reader by then.
        _join([self._taking], stop_at)
        with self._lock:
            reading = {lease: loop for lease, (_, loop) in self._readers.items()}
        _join([*reading.values(), self._discovering], stop_at)
        for loop in self._renewers:
            loop.stop()
        _join(self._renewers, max(stop_at, time.monotonic() + RENEWERS_END_SECONDS))
        left = {lease: loop for lease, loop in reading.items() if loop.is_alive}
        for lease in left:
            if lease.over:
                get_logger().warning("shard_reader_hangs", lease_key=lease.row.key)
        is_taking = self._taking.is_alive
        # A look at the streams that gets no answer holds nothing that others wait for.
        others = any(loop.is_alive for loop in (self._discovering, *self._renewers))
        self.hangs = is_taking or bool(left) or others
        return not is_taking and all(lease.over for lease in left) and self._is_clean

    def _loop(
        self,
        name: str,
        step: Callable[[], float | None],
        wake: threading.Event | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> Loop:
        return Loop(
            name,
            step,
            health=self._health,
            limit_seconds=_LOOP_LIMIT_SECONDS,
            on_death=self._on_death,
            wake=wake,
            ended=ended,
        )

    def _scan(self) -> float:
        wait = self._keeper.scan()
        self._metrics.gauge(Metric.LEASES_HELD, len(self._keeper.held))
        with self._lock:
            readers = [reader for reader, _ in self._readers.values()]
        lags = [Lag(reader.lease.row.shard_id, reader.behind_since()) for reader in readers]
        self._lag.update(lags, time.time())
        return wait

    def _renew(self) -> float:
        pause = self._failover_seconds / TRIES_PER_FAILOVER
        if self._stop_at is not None:
            left = self._stop_at - OVERDUE_RELEASE_SECONDS - time.monotonic()
            if left <= 0:
                return 0.0 if self._keeper.release_next() else RELEASE_POLL_SECONDS
            pause = min(pause, left)
        return 0.0 if self._keeper.renew_next() else pause

    def _start_reader(self, lease: HeldLease) -> None:
        reader = ShardReader(lease, self._around)
        loop = self._loop(
            f"audit-{lease.row.shard_id}",
            partial(self._read, reader),
            reader.wake,
            partial(self._reader_ended, lease),
        )
        reader.beat = loop.beat
        with self._lock:
            self._readers[lease] = reader, loop
            stop_at = self._stop_at
        if stop_at is not None:
            reader.request_stop(stop_at - RELEASE_SECONDS)
        loop.start()

    def _read(self, reader: ShardReader) -> float | None:
        stop_at = self._stop_at
        if stop_at is not None and time.monotonic() >= stop_at and not reader.lease.over:
            reader.lease.abandon()
            self._is_clean = False
            get_logger().error("lease_abandoned", lease_key=reader.lease.row.key)
            return None
        return reader.step()

    def _reader_ended(self, lease: HeldLease) -> None:
        with self._lock:
            del self._readers[lease]
        self._keeper.forget(lease)

    def _give_up(self, lease: HeldLease, to: str | None) -> None:
        with self._lock:
            reader, _ = self._readers.get(lease, (None, None))
        if reader is not None:
            reader.request_stop(time.monotonic() + self._failover_seconds, to)

    def _look_at_leases(self) -> None:
        self._keeper.wake.set()

    def _stream_state(self, stream_arn: str) -> StreamState | None:
        return self._discovery.streams.get(stream_arn)


def _join(loops: Iterable[Loop], until: float) -> None:
    """Waits for the ends of loops until one instant (`time.monotonic()` seconds)."""
    for loop in loops:
        loop.join(until - time.monotonic())
