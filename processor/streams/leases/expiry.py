"""Notices leases that have run out: rows whose counter has not moved for the failover time by our clock."""

from collections.abc import Iterable, Mapping

from processor.streams.leases.lease import Lease


class ExpiredLeaseDetector:
    """Remembers when each row was seen to change. A row that is new here starts a full failover time."""

    def __init__(self, failover_seconds: float) -> None:
        self._failover_seconds = failover_seconds
        # Each row, since when it is as it is, and when it was first seen.
        self._sightings: dict[str, tuple[Lease, float, float]] = {}

    def observe(self, leases: Iterable[Lease], *, started: float, ended: float) -> frozenset[str]:
        """Takes in one scan.

        Args:
            leases: what it saw.
            started: when it began, on a monotonic clock: a counter that has not moved, has not until then.
            ended: when it was over: a counter that has moved, may have only just then.

        Returns:
            The keys of owned leases that have run out.
        """
        seen: dict[str, tuple[Lease, float, float]] = {}
        expired: set[str] = set()
        for lease in leases:
            before, since, first = self._sightings.get(lease.key, (lease, ended, ended))
            if (before.counter, before.owner) != (lease.counter, lease.owner):
                since = ended
            elif lease.owner and started - since >= max(self._failover_seconds, lease.failover_seconds):
                expired.add(lease.key)
            seen[lease.key] = lease, since, first
        self._sightings = seen
        return frozenset(expired)

    def first_seen(self) -> Mapping[str, float]:
        """When each row was first seen here."""
        return {key: first for key, (_, _, first) in self._sightings.items()}
