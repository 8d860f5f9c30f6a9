"""Holds this task's leases: takes its share, renews them in time, hands over what others ask for."""

import threading
import time
from collections.abc import Callable

from processor.aws.errors import AwsError
from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.streams.discovery import belongs_to
from processor.streams.leases.assignment import plan
from processor.streams.leases.expiry import ExpiryWatch
from processor.streams.leases.held import HeldLease, LeaseLost, LeaseOver, Tenure, acquire
from processor.streams.leases.lease import Lease
from processor.streams.leases.table import LeaseTable
from processor.streams.lineage import ready_leases
from processor.streams.shards import Streams

MAX_SCAN_SECONDS = 2.0
"""With it another task goes on within 5 s with what this one releases."""

RENEWALS_PER_FAILOVER = 3
TRIES_PER_FAILOVER = 10
"""A renewal that failed is tried again so often, until the lease is lost or renewed."""

RELEASE_RETRY_SECONDS = 0.25
WITHDRAWAL_SECONDS = 4.0
"""After so long without an answer of the leases table no further request is taken back."""

_COMPONENT = "audit leases"
_ROWS = "audit lease rows"


class LeaseKeeper:
    """The leases of one worker. `scan` and `renew_next` are called regularly, from threads of their own."""

    def __init__(
        self,
        table: LeaseTable,
        tenure: Tenure,
        *,
        status_table: str,
        streams: Callable[[], Streams],
        health: Health,
        won: Callable[[HeldLease], None],
        give_up: Callable[[HeldLease, str | None], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Takes whom to tell that a lease was won, or is to be given up (and to whom, if anybody asked)."""
        self._table = table
        self._tenure = tenure
        self._status_table = status_table
        self._streams = streams
        self._health = health
        self._won = won
        self._give_up = give_up
        self._clock = clock
        self._now = now
        self._watch = ExpiryWatch(tenure.failover_seconds)
        self._lock = threading.Lock()
        self._held: dict[str, HeldLease] = {}
        self._scanning = BackOff(0.5, MAX_SCAN_SECONDS)
        self._is_taking = True
        # Leases that a thread is writing just now, and when the last try began if it failed: under the lock.
        self._in_hand: set[HeldLease] = set()
        self._tried_at: dict[HeldLease, float] = {}
        self.wake = threading.Event()
        """Set when the next scan should not wait any longer."""

    @property
    def scan_seconds(self) -> float:
        """How long to wait between scans."""
        return min(MAX_SCAN_SECONDS, self._tenure.failover_seconds / 4)

    @property
    def held(self) -> list[HeldLease]:
        """The leases held at the moment."""
        with self._lock:
            return list(self._held.values())

    def stop_taking(self) -> None:
        """From here on no lease is taken; those held are renewed until they are given up."""
        self._is_taking = False

    def withdraw(self) -> None:
        """Takes back what this worker asked others for, and frees what was handed to it meanwhile.

        To be called once, after the last scan: whoever hands a shard to a worker that is gone leaves it
        unread for a failover time. What cannot be taken back now costs just that.
        """
        held, started = {lease.row.key for lease in self.held}, self._clock()
        try:
            leases = self._scan()
        except AwsError as error:
            get_logger().warning("lease_scan_failed", error=str(error))
            return
        for lease in leases:
            try:
                self._let_go(lease, held)
            except AwsError as error:
                get_logger().warning("lease_withdrawal_failed", lease_key=lease.key, error=str(error))
                if self._clock() - started >= WITHDRAWAL_SECONDS:
                    return  # the next row would cost one more time-out of the stop's budget

    def _let_go(self, lease: Lease, held: set[str]) -> None:
        me = self._tenure.worker
        row: Lease | None = lease
        if lease.requested_by == me:
            row = self._table.withdraw(lease.key, me)  # it may have been handed over since the scan
        if row is not None and row.owner == me and row.key not in held:
            self._table.free(row)

    def forget(self, lease: HeldLease) -> None:
        """Notes that a lease's reader is done with it."""
        with self._lock:
            if self._held.get(lease.row.key) is lease:
                del self._held[lease.row.key]
            self._tried_at.pop(lease, None)
        self.wake.set()

    def scan(self) -> float:
        """Reads all rows and does what they ask for; returns how long to wait before the next scan."""
        started = self._clock()
        try:
            leases = self._scan()
            expired = self._watch.observe(leases, started=started, ended=self._clock())
            self._hand_over(leases)
            if self._is_taking:
                self._take_share(leases, expired)
        except AwsError as error:
            if self._scanning.failures == 0:
                get_logger().warning("lease_scan_failed", error=str(error))
            self._health.report(_COMPONENT, f"the leases table cannot be used ({error})")
            return self._scanning.failed()
        self._scanning.worked()
        self._health.report(_COMPONENT, None)
        return self.scan_seconds

    def _scan(self) -> list[Lease]:
        leases = [lease for lease in self._table.scan() if belongs_to(lease, self._status_table)]
        unreadable = sorted(self._table.unreadable)
        problem = f"rows of the leases table cannot be read, nor their shards: {', '.join(unreadable[:3])}"
        self._health.report(_ROWS, problem if unreadable else None)
        return leases

    def _hand_over(self, leases: list[Lease]) -> None:
        """Gives up what another worker asks for, and what nothing can be read from any more."""
        streams = self._streams()
        for lease in leases:
            held = self._held.get(lease.key)
            if held is None or lease.owner != self._tenure.worker:
                continue
            state = streams.get(lease.stream_arn)
            if lease.requested_by is not None or (state is not None and state.gone):
                self._give_up(held, lease.requested_by)

    def _take_share(self, leases: list[Lease], expired: frozenset[str]) -> None:
        ready = {
            lease.key: lease
            for lease in ready_leases(leases, self._streams(), self._watch.first_seen(), self._now())
        }
        me = self._tenure.worker
        held = {lease.row.key for lease in self.held}
        # Ours, but not held: handed over by another worker, or taken by a write whose answer was lost.
        for lease in ready.values():
            if lease.owner == me and lease.key not in held:
                self._take(lease)
        holders = {
            lease.key: lease.requested_by or lease.owner
            if lease.owner == me or (lease.owner is not None and lease.key not in expired)
            else None  # also where it is asked for: a row without an owner is handed over by nobody
            for lease in ready.values()
        }
        wanted = plan(me, holders)
        for key in wanted.take:
            self._take(ready[key])
        if wanted.request is not None and self._table.request(ready[wanted.request], me):
            get_logger().info("lease_requested", lease_key=wanted.request)

    def _take(self, lease: Lease) -> None:
        held = acquire(self._table, lease, self._tenure)
        if held is None:
            return
        with self._lock:
            self._held[lease.key] = held
        get_logger().info("lease_taken", lease_key=lease.key, counter=held.row.counter)
        self._won(held)

    def renew_next(self) -> bool:
        """Renews the most overdue lease, unless another thread is writing it: one slow write delays no other.

        Returns:
            Whether a lease was due.
        """
        failover_seconds = self._tenure.failover_seconds
        age = failover_seconds / RENEWALS_PER_FAILOVER
        lease = self._claim(min_age_seconds=age, retry_seconds=failover_seconds / TRIES_PER_FAILOVER)
        if lease is None:
            return False
        error = self._write(lease, lambda: lease.renew(age))
        if isinstance(error, LeaseLost):
            get_logger().warning("lease_lost", lease_key=lease.row.key)
        elif isinstance(error, AwsError):
            get_logger().warning("lease_renewal_failed", lease_key=lease.row.key, error=str(error))
        return True

    def release_next(self) -> bool:
        """Frees a lease whose reader does not get to it, because it is in a call that does not end.

        A write that fails is tried again as long as this is called.

        Returns:
            Whether there was one.
        """
        lease = self._claim(min_age_seconds=0.0, retry_seconds=RELEASE_RETRY_SECONDS)
        if lease is None:
            return False
        # Without a word in the log: what the reader hangs in may be the write of a log line.
        self._write(lease, lease.release)
        return True

    def _claim(self, *, min_age_seconds: float, retry_seconds: float) -> HeldLease | None:
        """The lease that was not renewed for the longest time, for the calling thread alone."""
        retried_since = self._clock() - retry_seconds
        with self._lock:
            free = [
                lease
                for lease in self._held.values()
                if lease not in self._in_hand
                and not (lease.over or lease.busy)
                and lease.seconds_since_renewal() >= min_age_seconds
                and self._tried_at.get(lease, retried_since) <= retried_since
            ]
            lease = max(free, key=HeldLease.seconds_since_renewal, default=None)
            if lease is not None:
                self._in_hand.add(lease)
        return lease

    def _write(self, lease: HeldLease, write: Callable[[], None]) -> AwsError | LeaseOver | None:
        """Makes a claimed lease's write; returns why it failed, of several failures in a row the first.

        Its reader may have ended the tenure just before.
        """
        failure: AwsError | LeaseOver | None = None
        # From its start: a try that times out has used up the time until the next one.
        started = self._clock()
        try:
            write()
        except (AwsError, LeaseOver) as error:
            failure = error
        with self._lock:
            self._in_hand.discard(lease)
            is_news = self._tried_at.pop(lease, None) is None
            if failure is not None and self._held.get(lease.row.key) is lease:
                self._tried_at[lease] = started
        return failure if is_news or isinstance(failure, LeaseLost) else None
