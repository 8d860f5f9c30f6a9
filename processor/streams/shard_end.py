"""What happens at a shard's end, so that a crash anywhere in it loses no child and starts none too early.

The order: the children's rows, the parent's list of them, the parent's SHARD_END. Children that are not
listed yet are found by the next discovery, which is asked to hurry.
"""

import random
from contextlib import suppress

from processor.aws.errors import AwsError
from processor.streams.context import EngineContext
from processor.streams.leases.held import HeldLease
from processor.streams.leases.lease import new_lease
from processor.streams.shards import Shard, StreamStatus

CHILD_LOOK_SECONDS = 3.0
"""How long the end of a shard looks for children that are not listed yet."""


class ShardEnd:
    """The end of one shard; `step` is called until it returns None.

    Args:
        lease: the shard's.
        context: what is shared.
        children: where they are known already, as from a complete listing; None looks for them.
    """

    def __init__(
        self, lease: HeldLease, context: EngineContext, children: tuple[Shard, ...] | None = None
    ) -> None:
        self._lease = lease
        self._context = context
        self._children = children
        self._looking_since: float | None = None

    def step(self) -> float | None:
        """Goes as far as it can.

        Returns:
            How long to wait before the next step (seconds); None once SHARD_END is written.

        Raises:
            LeaseOver, LeaseNotTrusted: the rest is for the next holder of the lease, unless it is written.
            AwsError: the step is to be repeated after a back-off.
        """
        row = self._lease.row
        if not row.finished:  # else an earlier try did it, and its answer was lost
            if self._children is None and (wait := self._look()) is not None:
                return wait
            self._write()
        if not self._children:
            self._context.expect_children(row.stream_arn, row.shard_id)
        return None

    def _write(self) -> None:
        row, now = self._lease.row, self._context.clocks.unix()
        for child in self._children or ():
            lease = new_lease(
                row.stream_arn, child.shard_id, child.parents, now=now, tracked_since=row.tracked_since
            )
            self._context.table.create(lease)
        if self._children:
            self._lease.set_children(frozenset(child.shard_id for child in self._children))
        self._lease.finish(now)

    def _look(self) -> float | None:
        """Looks for children; how long to wait before the next look, None once there is no need for one.

        Many shards may end at once, so calls take turns: without a turn it waits for a listing, which
        serves all of them.
        """
        row, context = self._lease.row, self._context
        now = context.clocks.monotonic()
        if self._looking_since is None:
            self._looking_since = now
        listing = context.streams.get(row.stream_arn)
        found = listing.children_of(row.shard_id) if listing else ()
        wait = 0.0 if found else context.listings.take()
        if not found and wait == 0:
            with suppress(AwsError):  # the end was seen, so it is written: discovery finds the children
                found = context.api.children(row.stream_arn, row.shard_id)
        is_last = wait == 0 and listing is not None and listing.status is StreamStatus.DISABLED
        if found or is_last or now - self._looking_since >= CHILD_LOOK_SECONDS:
            self._children = found
            return None
        context.expect_children(row.stream_arn, row.shard_id)
        return wait + random.uniform(0.1, 0.5)  # a little later than the discovery, which is to go first
