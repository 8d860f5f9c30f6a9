"""Acquires a worker's share of the leases, and hands over what other workers request (KCL's LeaseTaker)."""

import threading
from collections.abc import Callable

from processor.aws.errors import AwsError
from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.streams.clocks import Clocks
from processor.streams.discovery import belongs_to
from processor.streams.leases.assignment import plan
from processor.streams.leases.expiry import ExpiredLeaseDetector
from processor.streams.leases.held import HeldLease, WorkerIdentity, acquire
from processor.streams.leases.lease import Lease
from processor.streams.leases.table import LeaseTable
from processor.streams.lineage import ready_leases
from processor.streams.renewer import LeaseRenewer
from processor.streams.shards import Streams

MAX_SCAN_SECONDS = 2.0
"""With it another worker reads a released shard within 5 s."""

AVOIDED_SCANS = 3
NO_REQUEST_SECONDS = 600.0
"""How long a worker that made no progress with a shard requests no lease of others."""

WITHDRAWAL_SECONDS = 4.0
"""After this time without an answer of the leases table no further request is withdrawn."""

_COMPONENT = "leases"
_ROWS = "lease rows"


class LeaseTaker:
    """Scans the rows at intervals, in one thread.

    Args:
        table: the leases table.
        identity: this worker and its failover time.
        renewer: holds the acquired leases.
        status_table: rows of other tables' streams are left alone.
        streams: returns what is known about each stream.
        health: where it reports.
        on_acquired: called with each acquired lease.
        on_release: called with a lease that is to be released, and the worker that requests it, if one does.
        clocks: all its times.
    """

    def __init__(
        self,
        table: LeaseTable,
        identity: WorkerIdentity,
        renewer: LeaseRenewer,
        *,
        status_table: str,
        streams: Callable[[], Streams],
        health: Health,
        on_acquired: Callable[[HeldLease], None],
        on_release: Callable[[HeldLease, str | None], None],
        clocks: Clocks,
    ) -> None:
        self._table = table
        self._identity = identity
        self._renewer = renewer
        self._status_table = status_table
        self._streams = streams
        self._health = health
        self._on_acquired = on_acquired
        self._on_release = on_release
        self._clocks = clocks
        self._detector = ExpiredLeaseDetector(identity.failover_seconds)
        self._scanning = BackOff(0.5, MAX_SCAN_SECONDS)
        self._is_taking = True
        self.unfinished: tuple[Lease, ...] = ()
        """The rows of unfinished shards at the last scan."""
        self.unheld = 0
        """How many of them no worker read then although they could be read."""
        self._free_before: frozenset[str] = frozenset()
        self._scans_to_avoid: dict[str, int] = {}
        self._requests_again_at = float("-inf")
        self.wake = threading.Event()
        """Set when the next scan should not wait any longer."""

    @property
    def scan_seconds(self) -> float:
        """How long to wait between scans."""
        return min(MAX_SCAN_SECONDS, self._identity.failover_seconds / 4)

    def stop_taking(self) -> None:
        """From here on no lease is acquired; those held are renewed until they are released."""
        self._is_taking = False

    def avoid(self, key: str) -> None:
        """Leaves a lease to other workers for a while: this one made no progress with it.

        It is not acquired at the next scans, and no lease is requested for some minutes.
        """
        self._scans_to_avoid[key] = AVOIDED_SCANS
        self._requests_again_at = self._clocks.monotonic() + NO_REQUEST_SECONDS

    def withdraw(self) -> None:
        """Withdraws this worker's requests, and frees what others handed over to it.

        To be called once, after the last scan. A shard that is handed to a worker that has ended stays
        unread for a failover time; a request that cannot be withdrawn now costs just that.
        """
        held = {lease.row.key for lease in self._renewer.held}
        started = self._clocks.monotonic()
        try:
            leases = self._scan()
        except AwsError as error:
            get_logger().warning("lease_scan_failed", error=str(error))
            return
        for lease in leases:
            try:
                self._withdraw_or_free(lease, held)
            except AwsError as error:
                get_logger().warning("lease_withdrawal_failed", lease_key=lease.key, error=str(error))
                if self._clocks.monotonic() - started >= WITHDRAWAL_SECONDS:
                    return  # the next row would cost one more time-out of the shutdown budget

    def _withdraw_or_free(self, lease: Lease, held: set[str]) -> None:
        me = self._identity.worker
        row: Lease | None = lease
        if lease.requested_by == me:
            row = self._table.withdraw(lease.key, me)  # it may have been handed over since the scan
        if row is not None and row.owner == me and row.key not in held:
            self._table.free(row)

    def scan(self) -> float:
        """Reads all rows, hands over what is requested and acquires what is missing to a fair share.

        Returns:
            How long to wait before the next scan (seconds).
        """
        started = self._clocks.monotonic()
        try:
            leases = self._scan()
            expired = self._detector.observe(leases, started=started, ended=self._clocks.monotonic())
            gone = {state.stream_arn for state in self._streams().values() if state.gone}
            self.unfinished = tuple(
                lease for lease in leases if not lease.finished and lease.stream_arn not in gone
            )
            self._hand_over(leases)
            ready = self._ready(leases, expired)
            self.unheld = sum(lease.owner is None or key in expired for key, lease in ready.items())
            if self._is_taking:
                self._take_share(ready, expired)
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
        problem = f"lease rows cannot be parsed, their shards are skipped: {', '.join(unreadable[:3])}"
        self._health.report(_ROWS, problem if unreadable else None)
        return leases

    def _hand_over(self, leases: list[Lease]) -> None:
        """Releases what another worker requests, and shards of a stream that is gone."""
        streams = self._streams()
        for lease in leases:
            held = self._renewer.holding(lease.key)
            if held is None or lease.owner != self._identity.worker:
                continue
            state = streams.get(lease.stream_arn)
            if lease.requested_by is not None or (state is not None and state.gone):
                self._on_release(held, lease.requested_by)

    def _ready(self, leases: list[Lease], expired: frozenset[str]) -> dict[str, Lease]:
        first_seen, now = self._detector.first_seen(), self._clocks.unix()
        return {lease.key: lease for lease in ready_leases(leases, self._streams(), first_seen, now, expired)}

    def _take_share(self, ready: dict[str, Lease], expired: frozenset[str]) -> None:
        me = self._identity.worker
        held = {lease.row.key for lease in self._renewer.held}
        # Ours, but not held: handed over by another worker, or acquired by a write whose answer was lost.
        for lease in ready.values():
            if lease.owner == me and lease.key not in held:
                self._take(lease)
        avoided = self._scans_to_avoid.keys()
        holders = {
            lease.key: lease.requested_by or lease.owner
            if lease.owner == me or (lease.owner is not None and lease.key not in expired)
            else None  # also where it is requested: a row without an owner has no worker to hand it over
            for lease in ready.values()
            if (lease.owner == me or not lease.stopping or lease.key in expired) and lease.key not in avoided
        }
        free = frozenset(key for key, holder in holders.items() if holder is None)
        left_free, self._free_before = free & self._free_before, free
        self._scans_to_avoid = {key: left - 1 for key, left in self._scans_to_avoid.items() if left > 1}
        wanted = plan(
            me,
            holders,
            left_free=left_free,
            capacity=self._renewer.capacity,
            may_request=self._clocks.monotonic() >= self._requests_again_at,
        )
        for key in wanted.take:
            self._take(ready[key])
        if wanted.request is not None and self._table.request(ready[wanted.request], me):
            get_logger().info("lease_requested", lease_key=wanted.request)

    def _take(self, lease: Lease) -> None:
        if not self._is_taking:
            return  # a stop came while this scan was acquiring leases
        held = acquire(self._table, lease, self._identity)
        if held is None:
            return
        self._renewer.add(held)
        get_logger().info("lease_taken", lease_key=lease.key, counter=held.row.counter)
        self._on_acquired(held)
