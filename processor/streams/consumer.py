"""The stream consumer: which runners there are, and in which order they start and stop."""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from processor.loops import Death, Loop, StopReport
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.streams.api import StreamApi, StreamsClient
from processor.streams.clocks import Clocks
from processor.streams.context import ReaderContext
from processor.streams.discovery import LISTING_SECONDS, Discovery
from processor.streams.lag import Lag, LagReport, lag_of
from processor.streams.leases.held import HeldLease, WorkerIdentity
from processor.streams.leases.table import LeasesClient, LeaseTable
from processor.streams.page_budget import DEFAULT_BYTES, PageBudget
from processor.streams.rate_limiter import RateLimiter
from processor.streams.record_processor import RecordProcessor
from processor.streams.renewer import LeaseRenewer
from processor.streams.shard_reader import ShardReader
from processor.streams.shards import StreamState
from processor.streams.step_pool import StepPool, Task
from processor.streams.taker import LeaseTaker

RELEASE_SECONDS = 2.0
"""What of the stop's budget is kept for writing checkpoints and releasing leases."""

OVERDUE_RELEASE_SECONDS = RELEASE_SECONDS - 0.5
"""When, before the stop's deadline, the leases of readers whose call does not end are released for them:
later than the readers themselves begin to."""

RELEASE_POLL_SECONDS = 0.1
STALLED_SECONDS = 180.0
"""A reader that finished nothing for so long releases its lease."""

STALL_STEP_SECONDS = 10.0
"""The most that one interval between two looks adds to it."""

RENEWERS_END_SECONDS = 0.5
"""How long renewals that are under way at the deadline are waited for, all together."""

_LOOP_LIMIT_SECONDS = 120.0  # above a scan or listing of many pages, each with its time-outs


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
    child_look_seconds: float = 3.0
    """How long the end of a shard looks for children that are not listed yet."""


class Runner(Protocol):
    """Repeats a step: `Loop` in a thread, a simulated world by its schedule."""

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""

    def beat(self) -> None:
        """Shows progress inside a long step."""

    def wake(self) -> None:
        """Lets the next step not wait any longer."""

    def start(self) -> None:
        """Starts."""

    def stop(self) -> None:
        """Asks for an end after the step that runs."""

    def join(self, timeout_seconds: float) -> bool:
        """Waits for the end; returns whether it has come."""


class StreamConsumer:
    """Reads this worker's share of a table's streams into a record processor.

    One runner discovers shards, one takes leases, a few renew them, and the steps of
    all held leases' readers run in a fixed number of threads.

    Args:
        streams: answers GetRecords with raw records (`Aws.streams()`).
        leases: for the leases table.
        settings: what is read, and how the work is shared.
        processor: takes the records.
        metrics, health: where it reports.
        on_death: called with the name and the error of a thread that ends unexpectedly.
        clocks: all its times.
        runner: makes what repeats its steps, with the parameters of `Loop`.
    """

    def __init__(
        self,
        streams: StreamsClient,
        leases: LeasesClient,
        settings: ConsumerSettings,
        processor: RecordProcessor,
        *,
        metrics: Metrics,
        health: Health,
        on_death: Death,
        clocks: Clocks | None = None,
        runner: Callable[..., Runner] = Loop,
    ) -> None:
        self._metrics = metrics
        self._clocks = clocks = clocks or Clocks()
        self._lock = threading.Lock()
        self._readers: dict[HeldLease, tuple[ShardReader, Task]] = {}
        self._stop_at: float | None = None
        self._is_clean = True
        self._stalled: dict[ShardReader, tuple[float, float]] = {}
        self._looked_at = clocks.monotonic()
        self._was_started = False
        self._lag = LagReport(metrics, health)
        self._failover_seconds = settings.failover_seconds
        table = LeaseTable(leases, settings.leases_table)
        api = StreamApi(streams, clocks.monotonic)
        listings = RateLimiter(LISTING_SECONDS, clocks.monotonic)
        self._discovery = Discovery(
            api,
            table,
            status_table=settings.status_table,
            failover_seconds=settings.failover_seconds,
            listings=listings,
            metrics=metrics,
            health=health,
            on_shards=self._wake_taker,
            clocks=clocks,
        )
        identity = WorkerIdentity(settings.worker, settings.failover_seconds, clocks.trust)
        self._renewer = LeaseRenewer(identity, clocks.monotonic, settings.renewing_threads)
        self._taker = LeaseTaker(
            table,
            identity,
            self._renewer,
            status_table=settings.status_table,
            streams=lambda: self._discovery.streams,
            health=health,
            on_acquired=self._start_reader,
            on_release=self._release,
            clocks=clocks,
        )
        self._context = ReaderContext(
            api=api,
            table=table,
            processor=processor,
            metrics=metrics,
            health=health,
            failover_seconds=settings.failover_seconds,
            listings=listings,
            stream_state=self._stream_state,
            request_listing=self._discovery.wake.set,
            expect_children=self._discovery.expect_children,
            on_shard_end=self._wake_taker,
            clocks=clocks,
            child_look_seconds=settings.child_look_seconds,
            budget=PageBudget(settings.page_bytes),
        )
        new = partial(runner, health=health, limit_seconds=_LOOP_LIMIT_SECONDS, on_death=on_death)
        self._discovering = new("stream-discovery", self._discovery.step, wake=self._discovery.wake)
        self._taking = new("stream-leases", self._scan, wake=self._taker.wake, ended=self._taker.withdraw)
        names = [f"stream-renewals-{number}" for number in range(settings.renewing_threads)]
        self._renewers = [new(name, self._renew) for name in names]
        self._pool = StepPool(lambda number: self._reading[number].wake(), clocks.monotonic, on_death)
        self._reading = [
            new(f"stream-readers-{number}", partial(self._pool.step, number))
            for number in range(settings.readers)
        ]

    @property
    def readers(self) -> tuple[ShardReader, ...]:
        """The readers of the leases that are held at the moment."""
        with self._lock:
            return tuple(reader for reader, _ in self._readers.values())

    @property
    def discovery_age(self) -> float:
        """How long ago the last complete listing of all streams began, or this worker started (seconds)."""
        return self._discovery.age_seconds

    def start(self) -> None:
        """Starts the threads; reading begins as soon as a shard is found and its lease taken."""
        self._was_started = True
        for loop in (*self._renewers, *self._reading, self._discovering, self._taking):
            loop.start()

    def stop(self, deadline: float) -> None:
        """Asks for the end and returns at once: begun work is finished, leases written and released.

        May be called twice, the earlier deadline counts, and before `start`.

        Args:
            deadline: when everything must be over (on the monotonic clock, seconds). Work that cannot
                go on is waited for until a little before; then its page is left to the next owner. So it is
                where a call does not end: the lease is released over the reader's head.
        """
        self._taker.stop_taking()
        for loop in (self._discovering, self._taking):
            loop.stop()
        with self._lock:
            self._stop_at = deadline if self._stop_at is None else min(deadline, self._stop_at)
            readers = [reader for reader, _ in self._readers.values()]
        for reader in readers:
            reader.lease.announce_stop()
            reader.request_stop(self._stop_at - RELEASE_SECONDS)
        for loop in self._renewers:
            loop.wake()

    def join(self) -> StopReport:
        """Waits for the end that `stop` asked for, until its deadline; a consumer never started has ended.

        Returns:
            Clean if nothing more is acquired and every lease was released; hung if a thread is left in a
            call that does not return.
        """
        with self._lock:
            stop_at = self._stop_at
        if stop_at is None:
            if self._was_started:
                raise RuntimeError("stop comes before join")
            return StopReport(clean=True, hung=False)
        # First: a lease that was being acquired when the stop came has its reader by then.
        self._join([self._taking], stop_at)
        with self._lock:
            reading = {lease: task for lease, (_, task) in self._readers.items()}
        self._join([*reading.values(), self._discovering], stop_at)
        last = [*self._reading, *self._renewers]
        for runner in last:
            runner.stop()
        # A thread that hangs in a step had its time.
        in_steps = {task.runner for task in reading.values() if task.is_alive}
        ending = [runner for number, runner in enumerate(self._reading) if number not in in_steps]
        self._join([*ending, *self._renewers], max(stop_at, self._clocks.monotonic() + RENEWERS_END_SECONDS))
        left = [lease for lease, task in reading.items() if task.is_alive]
        for lease in left:
            if lease.over:
                get_logger().warning("shard_reader_hangs", lease_key=lease.row.key)
        is_taking = self._taking.is_alive
        # A discovery whose call does not return holds nothing that other workers wait for.
        others = any(runner.is_alive for runner in (self._discovering, *last))
        return StopReport(
            clean=not is_taking and all(lease.over for lease in left) and self._is_clean,
            hung=is_taking or bool(left) or others,
        )

    def _scan(self) -> float:
        self._release_stalled()
        wait = self._taker.scan()
        self._metrics.gauge(Metric.LEASES_HELD, len(self._renewer.held))
        self._metrics.gauge(Metric.UNHELD_SHARDS, self._taker.unheld)
        self._metrics.gauge(Metric.DISCOVERY_AGE, self.discovery_age)
        now = self._clocks.unix()
        behind = {reader.lease.row.key: reader.behind_since() for reader in self.readers}
        self._lag.update(
            [
                Lag(lease.shard_id, behind[lease.key])
                if lease.key in behind
                else lag_of(lease, now, self._failover_seconds)
                for lease in self._taker.unfinished
            ],
            now,
        )
        return wait

    def _release_stalled(self) -> None:
        """Releases leases without progress: another worker may have a way to the sinks."""
        now = self._clocks.monotonic()
        # A process that stood still for long did nothing wrong: no single interval counts for much.
        passed, self._looked_at = min(now - self._looked_at, STALL_STEP_SECONDS), now
        before, self._stalled = self._stalled, {}
        for reader in self.readers:
            progress_at, seconds = before.get(reader, (reader.progress_at, 0.0))
            seconds = seconds + passed if progress_at == reader.progress_at else 0.0
            self._stalled[reader] = reader.progress_at, seconds
            if seconds >= STALLED_SECONDS and reader.request_stop(now):
                self._taker.avoid(reader.lease.row.key)
                get_logger().warning("shard_stalled", lease_key=reader.lease.row.key)

    def _renew(self) -> float:
        pause = self._renewer.retry_seconds
        if self._stop_at is not None:
            left = self._stop_at - OVERDUE_RELEASE_SECONDS - self._clocks.monotonic()
            if left <= 0:
                return 0.0 if self._renewer.release_next() else RELEASE_POLL_SECONDS
            pause = min(pause, left)
        return 0.0 if self._renewer.renew_next() else pause

    def _start_reader(self, lease: HeldLease) -> None:
        reader = ShardReader(lease, self._context)
        name = f"stream-{lease.row.shard_id}"
        task = Task(name, partial(self._read, reader), partial(self._reader_ended, lease))
        reader.beat = partial(self._beat, task)
        reader.wake = partial(self._pool.wake, task)
        with self._lock:
            self._readers[lease] = reader, task
            stop_at = self._stop_at
        if stop_at is not None:
            reader.request_stop(stop_at - RELEASE_SECONDS)
        self._pool.add(task)

    def _beat(self, task: Task) -> None:
        self._reading[task.runner].beat()

    def _read(self, reader: ShardReader) -> float | None:
        stop_at = self._stop_at
        if stop_at is not None and self._clocks.monotonic() >= stop_at and not reader.lease.over:
            reader.lease.abandon()
            self._is_clean = False
            get_logger().error("lease_abandoned", lease_key=reader.lease.row.key)
            return None
        return reader.step()

    def _reader_ended(self, lease: HeldLease) -> None:
        with self._lock:
            del self._readers[lease]
        self._renewer.forget(lease)
        self._wake_taker()

    def _release(self, lease: HeldLease, to: str | None) -> None:
        with self._lock:
            reader, _ = self._readers.get(lease, (None, None))
        if reader is not None:
            reader.request_stop(self._clocks.monotonic() + self._failover_seconds, to)

    def _wake_taker(self) -> None:
        self._taker.wake.set()

    def _stream_state(self, stream_arn: str) -> StreamState | None:
        return self._discovery.streams.get(stream_arn)

    def _join(self, runners: Iterable[Runner | Task], deadline: float) -> None:
        for runner in runners:
            runner.join(deadline - self._clocks.monotonic())
