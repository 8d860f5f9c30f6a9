"""Renews the leases of one worker before they run out, and releases those that a stop leaves behind."""

import threading
from collections.abc import Callable

from processor.aws.errors import AwsError
from processor.observability.log import get_logger
from processor.streams.context import EngineContext
from processor.streams.leases.held import HeldLease, LeaseLost, LeaseOver

RENEWALS_PER_FAILOVER = 3
TRIES_PER_FAILOVER = 10
"""How often a failed renewal is tried again in one failover time, until the lease is lost or renewed."""

RELEASE_RETRY_SECONDS = 0.25
NEWEST_SHARE = 0.1
"""Weight of the newest renewal in the average of how long one takes."""


class LeaseRenewer:
    """The leases that a worker holds. Several threads call `renew_next`, so one slow write delays no other.

    Args:
        context: names the failover time and the number of threads.

    Attributes:
        retry_seconds: how long to wait when no lease is due.
    """

    def __init__(self, context: EngineContext) -> None:
        failover_seconds = context.settings.failover_seconds
        self._age_seconds = failover_seconds / RENEWALS_PER_FAILOVER
        self.retry_seconds = failover_seconds / TRIES_PER_FAILOVER
        self._budget_seconds = context.settings.renewing_threads * failover_seconds / 2
        self._write_seconds = 0.0
        self._clock = context.clocks.monotonic
        self._lock = threading.Lock()
        self._held: dict[str, HeldLease] = {}
        # Under the lock: leases that a thread is writing, and when the last try began if it failed.
        self._claimed: set[HeldLease] = set()
        self._tried_at: dict[HeldLease, float] = {}

    @property
    def capacity(self) -> int:
        """How many leases the threads renew in half the failover time, by how long renewals took lately."""
        return max(1, int(self._budget_seconds / max(self._write_seconds, 1e-6)))

    @property
    def held(self) -> dict[str, HeldLease]:
        """The leases held at the moment, by key."""
        with self._lock:
            return dict(self._held)

    def add(self, lease: HeldLease) -> None:
        """Renews an acquired lease from here on."""
        with self._lock:
            self._held[lease.row.key] = lease

    def forget(self, lease: HeldLease) -> None:
        """Ends the renewals of a lease whose reader is done with it."""
        with self._lock:
            if self._held.get(lease.row.key) is lease:
                del self._held[lease.row.key]
            self._tried_at.pop(lease, None)

    def renew_next(self) -> bool:
        """Renews the most overdue lease that no other thread is writing.

        Returns:
            Whether a lease was due.
        """
        lease = self._claim(self._age_seconds, self.retry_seconds)
        if lease is None:
            return False
        error = self._write(lease, lambda: lease.renew(self._age_seconds))
        if isinstance(error, LeaseLost):
            get_logger().warning("lease_lost", lease_key=lease.row.key)
        elif isinstance(error, AwsError):
            get_logger().warning("lease_renewal_failed", lease_key=lease.row.key, error=str(error))
        return True

    def release_next(self) -> bool:
        """Releases a lease whose reader cannot, because it is in a call that does not return.

        A release that fails is tried again at later calls.

        Returns:
            Whether there was one.
        """
        lease = self._claim(0.0, RELEASE_RETRY_SECONDS)
        if lease is not None:
            self._write(lease, lease.release)  # not logged: the reader may hang in the write of a log line
        return lease is not None

    def _claim(self, min_age_seconds: float, retry_seconds: float) -> HeldLease | None:
        """The lease that was not renewed for the longest time, for the calling thread alone."""
        retried_since = self._clock() - retry_seconds
        with self._lock:
            free = [
                lease
                for lease in self._held.values()
                if lease not in self._claimed
                and not (lease.over or lease.busy)
                and lease.seconds_since_renewal() >= min_age_seconds
                and self._tried_at.get(lease, retried_since) <= retried_since
            ]
            lease = max(free, key=HeldLease.seconds_since_renewal, default=None)
            if lease is not None:
                self._claimed.add(lease)
        return lease

    def _write(self, lease: HeldLease, write: Callable[[], None]) -> AwsError | LeaseOver | None:
        """Makes a claimed lease's write.

        Returns:
            Why it failed; of several failures in a row only the first. The lease's reader may have ended
            the tenure just before.
        """
        failure: AwsError | LeaseOver | None = None
        # From its start: a try that times out has used up the time until the next one.
        started = self._clock()
        try:
            write()
        except (AwsError, LeaseOver) as error:
            failure = error
        with self._lock:
            self._write_seconds += (self._clock() - started - self._write_seconds) * NEWEST_SHARE
            self._claimed.discard(lease)
            is_news = self._tried_at.pop(lease, None) is None
            if failure is not None and self._held.get(lease.row.key) is lease:
                self._tried_at[lease] = started
        return failure if is_news or isinstance(failure, LeaseLost) else None
