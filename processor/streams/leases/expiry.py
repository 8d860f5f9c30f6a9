"""Notices leases that have run out: rows whose counter has not moved for the failover time by our clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from processor.streams.leases.lease import Lease


@dataclass(frozen=True, slots=True)
class _Sighting:
    counter: int
    owner: str | None
    since: float
    first: float


class ExpiredLeaseDetector:
    """Remembers when each row was seen to change. A row that is new here starts a full failover time."""

    def __init__(self, failover_seconds: float) -> None:
        self._failover_seconds = failover_seconds
        self._sightings: dict[str, _Sighting] = {}

    def observe(self, leases: Iterable[Lease], *, started: float, ended: float) -> frozenset[str]:
        """Takes in one scan.

        Args:
            leases: what it saw.
            started: when it began, on a monotonic clock: a counter that has not moved, has not until then.
            ended: when it was over: a counter that has moved, may have only just then.

        Returns:
            The keys of owned leases that have run out.
        """
        seen: dict[str, _Sighting] = {}
        expired: set[str] = set()
        for lease in leases:
            before = self._sightings.get(lease.key)
            if before is None:
                seen[lease.key] = _Sighting(lease.counter, lease.owner, ended, ended)
            elif (before.counter, before.owner) != (lease.counter, lease.owner):
                seen[lease.key] = _Sighting(lease.counter, lease.owner, ended, before.first)
            else:
                seen[lease.key] = before
                failover_seconds = max(self._failover_seconds, lease.failover_seconds)
                if lease.owner is not None and started - before.since >= failover_seconds:
                    expired.add(lease.key)
        self._sightings = seen
        return frozenset(expired)

    def first_seen(self) -> Mapping[str, float]:
        """When each row was first seen here."""
        return {key: sighting.first for key, sighting in self._sightings.items()}
