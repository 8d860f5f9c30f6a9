"""A view of all unread shards of a table, with or without a reader, from the lease rows and the listings."""

from collections.abc import Iterable
from dataclasses import dataclass

from processor.streams.lag import unread_since
from processor.streams.leases.lease import Lease, lease_key
from processor.streams.shards import RETENTION_HOURS, Listing, began_at


@dataclass(frozen=True, slots=True)
class ShardView:
    """One shard that is not read to its end."""

    stream_arn: str
    shard_id: str
    reader: str | None
    """The worker that holds its lease; None: no worker does."""
    lag_seconds: float | None
    """How late it is; None where neither a row nor its id tells."""
    waits_for: str | None
    """Its unfinished parent, which must be read first."""
    has_row: bool

    @property
    def hours_to_trim(self) -> float | None:
        """Hours until unread records may be trimmed."""
        return None if self.lag_seconds is None else max(0.0, RETENTION_HOURS - self.lag_seconds / 3_600)


def unread_shards(
    leases: Iterable[Lease], listings: Iterable[Listing], now: float, fresh_seconds: float
) -> list[ShardView]:
    """Every shard that is not read to its end: unheld ones first, then those that are trimmed first.

    Args:
        leases: the rows of the table's streams.
        listings: its streams.
        now: Unix seconds.
        fresh_seconds: how old a row's news may be, see `unread_since`.
    """
    rows = {lease.key: lease for lease in leases}
    listed = {
        lease_key(listing.stream_arn, shard.shard_id): (listing.stream_arn, shard)
        for listing in listings
        for shard in listing.shards.values()
    }
    over = {key for key, lease in rows.items() if lease.finished or lease.gap_reported}
    unread = (rows.keys() | listed.keys()) - over
    views = []
    for key in unread:
        lease = rows.get(key)
        if lease is not None:
            arn, shard_id, parents = lease.stream_arn, lease.shard_id, lease.parents
            since: float | None = unread_since(lease, now, fresh_seconds)
        else:
            arn, shard = listed[key]
            shard_id, parents, since = shard.shard_id, shard.parents, began_at(shard.shard_id)
        waits_for = next((each for each in sorted(parents) if lease_key(arn, each) in unread), None)
        reader = lease.owner if lease else None
        lag = None if since is None else max(0.0, now - since)
        views.append(ShardView(arn, shard_id, reader, lag, waits_for, lease is not None))
    return sorted(views, key=_urgency)


def _urgency(view: ShardView) -> tuple[bool, bool, float, str]:
    return view.reader is not None, view.waits_for is not None, -(view.lag_seconds or 0.0), view.shard_id
