"""The stream consumer: which runners there are, and in which order they start and stop."""

import threading
from collections.abc import Callable, Iterable
from functools import partial

from processor.loops import Death, Loop, StopReport
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
from processor.streams.context import EngineContext
from processor.streams.discovery import Discovery
from processor.streams.lag import LagReport, unread_since
from processor.streams.leases.held import HeldLease
from processor.streams.leases.renewer import LeaseRenewer
from processor.streams.leases.taker import LeaseTaker
from processor.streams.shard_reader import ShardReader
from processor.streams.step_pool import StepPool, Task

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


class StreamConsumer:
    """Reads this worker's share of a table's streams into a record processor.

    One runner discovers shards, one takes leases, a few renew them, and the steps of
    all held leases' readers run in a fixed number of threads.

    Args:
        context: what its parts share.
        on_death: called with the name and the error of a thread that ends unexpectedly.
        runner: makes what repeats its steps: a `Loop`, or what a simulated world has in its place.
    """

    def __init__(self, context: EngineContext, on_death: Death, runner: Callable[..., Loop] = Loop) -> None:
        settings, health = context.settings, context.health
        self._context = context
        self._clock = context.clocks.monotonic
        self._lock = threading.Lock()
        self._readers: dict[HeldLease, tuple[ShardReader, Task]] = {}
        self._stop_at: float | None = None
        self._is_clean = True
        self._looked_at = self._clock()
        self._lag = LagReport(context.metrics, health)
        self._discovery = Discovery(context)
        self._renewer = LeaseRenewer(context)
        self._taker = LeaseTaker(context, self._renewer, self._start_reader, self._release)
        new = partial(runner, health=health, limit_seconds=_LOOP_LIMIT_SECONDS, on_death=on_death)
        self._discovering = new("stream-discovery", self._discovery.step, wake=context.look_now)
        self._taking = new("stream-leases", self._scan, wake=context.scan_now, ended=self._taker.withdraw)
        self._renewers = [
            new(f"stream-renewals-{number}", self._renew) for number in range(settings.renewing_threads)
        ]
        self._pool = StepPool(lambda number: self._reading[number].wake(), self._clock, on_death)
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
        self._taker.is_taking = False
        for loop in (self._discovering, self._taking):
            loop.stop()
        with self._lock:
            self._stop_at = deadline if self._stop_at is None else min(deadline, self._stop_at)
        for reader in self.readers:
            reader.lease.is_stopping = True
            reader.request_stop(self._stop_at - RELEASE_SECONDS)
        for loop in self._renewers:
            loop.wake()

    def join(self) -> StopReport:
        """Waits for the end that `stop` asked for, until its deadline; a consumer never started has ended.

        Returns:
            Clean if nothing more is acquired and every lease was released; hung if a thread is left in a
            call that does not return.
        """
        stop_at = self._clock() if self._stop_at is None else self._stop_at
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
        self._join([*ending, *self._renewers], max(stop_at, self._clock() + RENEWERS_END_SECONDS))
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
        self._context.processor.tick()
        wait = self._taker.scan()
        metrics = self._context.metrics
        metrics.gauge(Metric.LEASES_HELD, len(self._renewer.held))
        metrics.gauge(Metric.UNHELD_SHARDS, self._taker.unheld)
        metrics.gauge(Metric.DISCOVERY_AGE, self.discovery_age)
        now = self._context.clocks.unix()
        behind = {reader.lease.row.key: reader.progress.behind_since for reader in self.readers}
        failover_seconds = self._context.settings.failover_seconds
        self._lag.update(
            [
                (behind.get(lease.key, unread_since(lease, now, failover_seconds)) or now, lease.shard_id)
                for lease in self._taker.unfinished
            ],
            now,
        )
        return wait

    def _release_stalled(self) -> None:
        """Releases leases without progress: another worker may have a way to the sinks."""
        now = self._clock()
        # A process that stood still for long did nothing wrong: no single interval counts for much.
        passed, self._looked_at = min(now - self._looked_at, STALL_STEP_SECONDS), now
        for reader in self.readers:
            reader.stalled_seconds = 0.0 if reader.made_progress else reader.stalled_seconds + passed
            reader.made_progress = False
            if reader.stalled_seconds >= STALLED_SECONDS and reader.request_stop(now):
                self._taker.avoid(reader.lease.row.key)
                get_logger().warning("shard_stalled", lease_key=reader.lease.row.key)

    def _renew(self) -> float:
        pause = self._renewer.retry_seconds
        if self._stop_at is not None:
            left = self._stop_at - OVERDUE_RELEASE_SECONDS - self._clock()
            if left <= 0:
                return 0.0 if self._renewer.release_next() else RELEASE_POLL_SECONDS
            pause = min(pause, left)
        return 0.0 if self._renewer.renew_next() else pause

    def _start_reader(self, lease: HeldLease) -> None:
        reader = ShardReader(lease, self._context)
        name = f"stream-{lease.row.shard_id}"
        task = Task(name, partial(self._read, reader))
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
        lease, stop_at, pause = reader.lease, self._stop_at, None
        if stop_at is not None and self._clock() >= stop_at and not lease.over:
            lease.abandon()
            self._is_clean = False
            get_logger().error("lease_abandoned", lease_key=lease.row.key)
        else:
            pause = reader.step()
        if pause is None:
            with self._lock:
                del self._readers[lease]
            self._renewer.forget(lease)
            self._context.scan_now.set()
        return pause

    def _release(self, lease: HeldLease, to: str | None) -> None:
        with self._lock:
            reader, _ = self._readers.get(lease, (None, None))
        if reader is not None:
            reader.request_stop(self._clock() + self._context.settings.failover_seconds, to)

    def _join(self, runners: Iterable[Loop | Task], deadline: float) -> None:
        for runner in runners:
            runner.join(deadline - self._clock())
