"""Acquires a worker's share of the leases, and hands over what other workers request (KCL's LeaseTaker)."""

from collections.abc import Callable

from processor.aws.errors import AwsError
from processor.backoff import BackOff
from processor.observability.log import get_logger
from processor.streams.context import EngineContext
from processor.streams.discovery import belongs_to
from processor.streams.leases.assignment import plan
from processor.streams.leases.expiry import ExpiredLeaseDetector
from processor.streams.leases.held import HeldLease, acquire
from processor.streams.leases.lease import Lease
from processor.streams.leases.renewer import LeaseRenewer
from processor.streams.lineage import ready_leases

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
        context: what is shared.
        renewer: holds the acquired leases.
        on_acquired: called with each acquired lease.
        on_release: called with a lease that is to be released, and the worker that requests it, if one does.

    Attributes:
        is_taking: while false no lease is acquired; those held are renewed until they are released.
        unfinished: the rows of unfinished shards at the last scan.
        unheld: how many of them no worker has read for a failover time although they could be read.
    """

    def __init__(
        self,
        context: EngineContext,
        renewer: LeaseRenewer,
        on_acquired: Callable[[HeldLease], None],
        on_release: Callable[[HeldLease, str | None], None],
    ) -> None:
        self._context = context
        self._table = context.table
        self._me = context.settings.worker
        self._renewer = renewer
        self._on_acquired = on_acquired
        self._on_release = on_release
        self._clock = context.clocks.monotonic
        self._detector = ExpiredLeaseDetector(context.settings.failover_seconds)
        self._scanning = BackOff(0.5, MAX_SCAN_SECONDS)
        self.is_taking = True
        self.unfinished: tuple[Lease, ...] = ()
        self.unheld = 0
        self._free_before: frozenset[str] = frozenset()
        self._free_since: dict[str, float] = {}
        self._scans_to_avoid: dict[str, int] = {}
        self._requests_again_at = float("-inf")

    def avoid(self, key: str) -> None:
        """Leaves a lease to other workers for a while: this one made no progress with it.

        It is not acquired at the next scans, and no lease is requested for some minutes.
        """
        self._scans_to_avoid[key] = AVOIDED_SCANS
        self._requests_again_at = self._clock() + NO_REQUEST_SECONDS

    def withdraw(self) -> None:
        """Withdraws this worker's requests, and frees what others handed over to it.

        To be called once, after the last scan. A shard that is handed to a worker that has ended stays
        unread for a failover time; a request that cannot be withdrawn now costs just that.
        """
        held = self._renewer.held
        started = self._clock()
        try:
            leases = self._scan()
        except AwsError as error:
            get_logger().warning("lease_scan_failed", error=str(error))
            return
        for lease in leases:
            row: Lease | None = lease
            try:
                if lease.requested_by == self._me:
                    row = self._table.withdraw(lease.key, self._me)  # it may have been handed over since
                if row is not None and row.owner == self._me and row.key not in held:
                    self._table.free(row)
            except AwsError as error:
                get_logger().warning("lease_withdrawal_failed", lease_key=lease.key, error=str(error))
                if self._clock() - started >= WITHDRAWAL_SECONDS:
                    return  # the next row would cost one more time-out of the shutdown budget

    def scan(self) -> float:
        """Reads all rows, hands over what is requested and acquires what is missing to a fair share.

        Returns:
            How long to wait before the next scan (seconds).
        """
        started, health = self._clock(), self._context.health
        try:
            leases = self._scan()
            expired = self._detector.observe(leases, started=started, ended=self._clock())
            self._hand_over(leases)
            streams, first_seen = self._context.streams, self._detector.first_seen()
            found = ready_leases(leases, streams, first_seen, self._context.clocks.unix(), expired)
            # What this scan is about to acquire was free for a moment only.
            free = [lease.key for lease in found if lease.owner is None]
            self._free_since = {key: self._free_since.get(key, started) for key in free}
            failover_seconds = self._context.settings.failover_seconds
            long_free = {key for key, at in self._free_since.items() if started - at >= failover_seconds}
            self.unheld = len(long_free | expired & {lease.key for lease in found})
            if self.is_taking:
                self._take_share({lease.key: lease for lease in found}, expired)
        except AwsError as error:
            if self._scanning.failures == 0:
                get_logger().warning("lease_scan_failed", error=str(error))
            health.report(_COMPONENT, f"the leases table cannot be used ({error})")
            return self._scanning.failed()
        self._scanning.worked()
        health.report(_COMPONENT, None)
        return min(MAX_SCAN_SECONDS, self._context.settings.failover_seconds / 4)

    def _scan(self) -> list[Lease]:
        status_table = self._context.settings.status_table
        leases = [lease for lease in self._table.scan() if belongs_to(lease, status_table)]
        unreadable = sorted(self._table.unreadable)
        problem = f"lease rows cannot be parsed, their shards are skipped: {', '.join(unreadable[:3])}"
        self._context.health.report(_ROWS, problem if unreadable else None)
        return leases

    def _hand_over(self, leases: list[Lease]) -> None:
        """Releases what another worker requests, and shards of a stream that is gone."""
        gone = {arn for arn, listing in self._context.streams.items() if listing.gone}
        self.unfinished = tuple(
            lease for lease in leases if not lease.finished and lease.stream_arn not in gone
        )
        held = self._renewer.held
        for lease in leases:
            is_ours = lease.key in held and lease.owner == self._me
            if is_ours and (lease.requested_by is not None or lease.stream_arn in gone):
                self._on_release(held[lease.key], lease.requested_by)

    def _take_share(self, ready: dict[str, Lease], expired: frozenset[str]) -> None:
        held = self._renewer.held
        # Ours, but not held: handed over by another worker, or acquired by a write whose answer was lost.
        for lease in ready.values():
            if lease.owner == self._me and lease.key not in held:
                self._take(lease)
        holders = {
            lease.key: lease.requested_by or lease.owner
            if lease.owner == self._me or (lease.owner is not None and lease.key not in expired)
            else None  # also where it is requested: a row without an owner has no worker to hand it over
            for lease in ready.values()
            if (lease.owner == self._me or not lease.stopping or lease.key in expired)
            and lease.key not in self._scans_to_avoid
        }
        free = frozenset(key for key, holder in holders.items() if holder is None)
        left_free, self._free_before = free & self._free_before, free
        self._scans_to_avoid = {key: left - 1 for key, left in self._scans_to_avoid.items() if left > 1}
        take, request = plan(
            self._me,
            holders,
            left_free=left_free,
            capacity=self._renewer.capacity,
            may_request=self._clock() >= self._requests_again_at,
        )
        for key in take:
            self._take(ready[key])
        if request is not None and self._table.request(ready[request], self._me):
            get_logger().info("lease_requested", lease_key=request)

    def _take(self, lease: Lease) -> None:
        if not self.is_taking:
            return  # a stop came while this scan was acquiring leases
        held = acquire(self._table, lease, self._context.identity)
        if held is None:
            return
        self._renewer.add(held)
        get_logger().info("lease_taken", lease_key=lease.key, counter=held.row.counter)
        self._on_acquired(held)
