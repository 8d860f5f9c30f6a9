"""What happens at a shard's end, so that a crash anywhere in it loses no child and starts none too early.

The order: the children's rows, the parent's list of them, the parent's SHARD_END. Children that are not
listed yet are found by the next discovery, which is asked to hurry.
"""

from collections.abc import Callable

from processor.audit.held_lease import HeldLease
from processor.audit.lease_table import LeaseTable
from processor.audit.leases import new_lease
from processor.audit.shards import Shard, StreamState, StreamStatus
from processor.audit.streams import StreamApi
from processor.aws import AwsError

CHILD_WAITS_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.5)
"""A child may be listed a little after its parent's end was read."""


class ShardEnd:
    """The end of one shard; `step` is called until it says that it is over."""

    def __init__(
        self,
        lease: HeldLease,
        *,
        api: StreamApi,
        table: LeaseTable,
        now: Callable[[], float],
        children: tuple[Shard, ...] | None = None,
    ) -> None:
        """Takes the children if they are known already, as from a complete listing; None looks for them."""
        self._lease = lease
        self._api = api
        self._table = table
        self._now = now
        self._children = children
        self._looks = 0

    @property
    def has_children(self) -> bool:
        """Whether any child was found."""
        return bool(self._children)

    def step(self, state: StreamState | None) -> float | None:
        """Goes as far as it can.

        Returns:
            How long to wait before the next step (seconds); None once SHARD_END is written.

        Raises:
            LeaseLost, LeaseNotTrusted: the rest is for whoever holds the lease then.
            AwsError: the step is to be repeated after a back-off.
        """
        if self._children is None:
            wait = self._look(state)
            if wait is not None:
                return wait
        row, now = self._lease.row, self._now()
        for child in self._children or ():
            self._table.create(
                new_lease(
                    row.stream_arn, child.shard_id, child.parents, now=now, tracked_since=row.tracked_since
                )
            )
        if self._children:
            self._lease.set_children(frozenset(child.shard_id for child in self._children))
        if not self._lease.over:  # else an earlier try did it, and its answer was lost
            self._lease.finish(now)
        return None

    def _look(self, state: StreamState | None) -> float | None:
        """Looks for children; how long to wait before the next look, None once there is no need for one."""
        row = self._lease.row
        try:
            found = self._api.children(row.stream_arn, row.shard_id)
        except AwsError:
            # The end was seen, so it is written all the same: discovery finds the children.
            found = ()
        is_last = (
            state is not None
            and state.listing is not None
            and (state.listing.status is StreamStatus.DISABLED)
        )
        if found or is_last or self._looks == len(CHILD_WAITS_SECONDS):
            self._children = found
            return None
        self._looks += 1
        return CHILD_WAITS_SECONDS[self._looks - 1]
