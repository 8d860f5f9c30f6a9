"""Holds this task's leases: takes its share, renews them in time, hands over what others ask for."""

import threading
import time
from collections.abc import Callable

from processor.audit.back_off import BackOff
from processor.audit.balance import plan
from processor.audit.discovery import belongs_to
from processor.audit.expiry_watch import ExpiryWatch
from processor.audit.held_lease import HeldLease, LeaseLost, Tenure, acquire
from processor.audit.lease_table import LeaseTable
from processor.audit.leases import Lease
from processor.audit.lineage import ready_leases
from processor.audit.shards import Streams
from processor.aws import AwsError
from processor.health import Health
from processor.log import get_logger

MAX_SCAN_SECONDS = 2.0
"""With it another task goes on within 5 s with what this one releases."""

RENEWALS_PER_FAILOVER = 3
_COMPONENT = "audit leases"


class LeaseKeeper:
    """The leases of one worker. `scan` and `renew` are called regularly, from threads of their own."""

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
        self._overdue: set[str] = set()
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

    def forget(self, lease: HeldLease) -> None:
        """Notes that a lease's reader is done with it."""
        with self._lock:
            if self._held.get(lease.row.key) is lease:
                del self._held[lease.row.key]
        self.wake.set()

    def scan(self) -> float:
        """Reads all rows and does what they ask for; returns how long to wait before the next scan."""
        started = self._clock()
        try:
            leases = [lease for lease in self._table.scan() if belongs_to(lease, self._status_table)]
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
            if lease.owner == me or lease.key not in expired
            else None
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

    def due(self) -> list[HeldLease]:
        """The leases that must be renewed now."""
        age = self._tenure.failover_seconds / RENEWALS_PER_FAILOVER
        return [lease for lease in self.held if not lease.over and lease.seconds_since_renewal() >= age]

    def renew(self, lease: HeldLease) -> None:
        """Renews one lease; where that fails, it is due again at once."""
        try:
            lease.renew(self._tenure.failover_seconds / RENEWALS_PER_FAILOVER)
        except LeaseLost:
            get_logger().warning("lease_lost", lease_key=lease.row.key)
        except AwsError as error:
            if lease.row.key not in self._overdue:
                self._overdue.add(lease.row.key)
                get_logger().warning("lease_renewal_failed", lease_key=lease.row.key, error=str(error))
        else:
            self._overdue.discard(lease.row.key)
