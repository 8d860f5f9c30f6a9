"""Which shard may be read when: parents before children, a table's earlier streams before its later ones.

Pure decisions over lease rows and listings (docs/invariants.md, laws 5 and 6).
"""

from collections.abc import Container, Iterable, Mapping

from processor.streams.leases.lease import Lease
from processor.streams.shards import Listing, Shard, Streams, by_age

KEEP_FINISHED_SECONDS = 48 * 3_600.0
"""Finished rows stay twice as long as records do, for listings have shown shards older than 24 hours."""

SETTLE_SECONDS = 60.0
"""So long after its last shard's end a stream may still show children of that shard."""


def ready_leases(
    leases: Iterable[Lease],
    streams: Streams,
    first_seen: Mapping[str, float],
    now: float,
    expired: Container[str] = (),
) -> tuple[Lease, ...]:
    """The unfinished leases that may be read now.

    Rows name shards before this worker knows their stream; they are ready too.

    Args:
        leases: every row, as one consistent scan saw them.
        streams: what is known about each stream.
        first_seen: when this task first saw each row, on the clock of `Listing.started_at`.
        now: Unix seconds.
        expired: the keys of leases that have expired: their owners put nothing more.
    """
    rows = {(lease.stream_arn, lease.shard_id): lease for lease in leases}
    left_out = {
        *streams_that_wait(rows.values(), streams, now, expired),
        *(arn for arn, listing in streams.items() if listing.gone),
    }

    def is_done(parent: str, child: Lease) -> bool:
        """Whether this parent is done: finished, or unknown and unlisted (docs/invariants.md, law 5).

        A listing from before the child was known may lack the parent only because it is older than both,
        so it counts only if it shows the child, or was started after the child's row was seen.
        """
        row = rows.get((child.stream_arn, parent))
        if row is not None:
            return row.finished or row.passed
        listing = streams.get(child.stream_arn)
        if listing is None or not listing.complete or parent in listing.shards:
            return False
        known_since = first_seen.get(child.key, float("inf"))
        return child.shard_id in listing.shards or listing.started_at > known_since

    return tuple(
        lease
        for lease in rows.values()
        if not lease.finished
        and lease.stream_arn not in left_out
        and all(is_done(parent, lease) for parent in lease.parents)
    )


def streams_that_wait(
    leases: Iterable[Lease], streams: Streams, now: float, expired: Container[str] = ()
) -> Mapping[str, str]:
    """The streams behind one that is not read to its end yet, each with that one.

    Args:
        leases: every row.
        streams: what is known about each stream.
        now: Unix seconds.
        expired: the keys of leases that have expired.
    """
    rows: dict[str, list[Lease]] = {arn: [] for arn in streams}
    for lease in leases:
        rows.setdefault(lease.stream_arn, []).append(lease)
    ordered = by_age(frozenset(rows))
    for index, arn in enumerate(ordered):
        if not _is_drained(streams.get(arn), rows[arn], now, expired):
            return dict.fromkeys(ordered[index + 1 :], arn)
    return {}


def _is_drained(
    listing: Listing | None, leases: Iterable[Lease], now: float, expired: Container[str]
) -> bool:
    """Whether nothing more can come out of a stream at `now` (Unix seconds).

    It is gone, and no worker holds a lease of it: a holder may still put the page that it read before. Or
    every shard of it is read to its end, the last one long enough ago. A finished row that does not say
    since when was not finished by us: that was long enough ago.
    """
    if listing is None or not listing.complete:
        return False
    if listing.gone:
        return all(lease.finished or lease.owner is None or lease.key in expired for lease in leases)
    rows = {lease.shard_id: lease for lease in leases}
    return listing.shards.keys() <= rows.keys() and all(
        row.passed or (row.finished and (row.ended_at is None or now - row.ended_at >= SETTLE_SECONDS))
        for row in rows.values()
    )


def parents_first(listing: Listing) -> list[Shard]:
    """The listing's shards in an order in which no child comes before its parent."""
    ordered: dict[str, Shard] = {}
    for shard in listing.shards.values():
        path: list[Shard] = []
        step: Shard | None = shard
        while step is not None and step.shard_id not in ordered and step not in path:
            path.append(step)
            step = listing.shards.get(step.parent_id or "")
        ordered.update((each.shard_id, each) for each in reversed(path))
    return list(ordered.values())


def removable(leases: Iterable[Lease], streams: Streams, now: float) -> list[Lease]:
    """The rows that are needed no more: finished long ago, and their shard absent from a complete listing.

    A row that was finished by another hand does not show when; then its own age counts. One row always
    stays, for the rows show since when the table's streams are followed.

    Args:
        leases: every row.
        streams: what is known about each stream.
        now: Unix seconds.
    """
    rows = list(leases)
    found = []
    for lease in rows:
        listing = streams.get(lease.stream_arn)
        is_unlisted = listing is not None and listing.complete and lease.shard_id not in listing.shards
        since = lease.created_at if lease.ended_at is None else lease.ended_at
        if lease.finished and is_unlisted and now - since > KEEP_FINISHED_SECONDS:
            found.append(lease)
    return found[1:] if len(found) == len(rows) else found
