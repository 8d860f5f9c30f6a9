"""Who reads which shard: pure decisions that every task makes for itself from one scan of the rows."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence


def plan(
    worker: str,
    holders: Mapping[str, str | None],
    *,
    left_free: frozenset[str] = frozenset(),
    capacity: int = 1_000_000,
    may_request: bool = True,
) -> tuple[Sequence[str], str | None]:
    """A worker's next moves towards an equal share.

    Free leases are taken up to the share. With none free, a worker asks the one that holds most for a lease,
    if that holds at least two more: each such move makes the shares more equal, so it ends, within one of
    an equal share, and nothing goes back and forth. Workers without a lease are seen by themselves only,
    which is enough, for it is they who ask.

    Args:
        worker: this one.
        holders: for each lease that may be read now, who holds it or has asked for it; None where it is
            free or has run out.
        left_free: free leases that were free at the scan before too: they are acquired whatever the share,
            so that none stays unread next to a worker that makes progress.
        capacity: the most leases that this worker may hold.
        may_request: whether it may ask another worker for a lease.

    Returns:
        The leases to take, and at most one to ask another worker for.
    """
    counts = Counter(holder for holder in holders.values() if holder is not None)
    mine = counts[worker]
    live = len(counts.keys() | {worker})
    share = -(-len(holders) // live)
    free = [key for key, holder in holders.items() if holder is None]
    if free:
        free.sort(key=lambda key: zlib.crc32(f"{worker} {key}".encode()))  # others try in another order
        room = max(0, capacity - mine)
        in_share = free[: max(0, share - mine)]
        beyond = [key for key in free[len(in_share) :] if key in left_free]
        return [*in_share, *beyond][:room], None
    if not counts or not may_request or mine >= capacity:
        return (), None
    most_loaded = max(sorted(counts), key=counts.__getitem__)
    if counts[most_loaded] < mine + 2:
        return (), None
    return (), min(key for key, holder in holders.items() if holder == most_loaded)
