"""Decides what a refused write of a held lease means, from the row that refused it.

A refusal alone shows little: an answer may have been lost, so the write that is refused now, or an earlier
one, may have happened. The row shows which.
"""

from enum import Enum

from processor.streams.leases.lease import Attributes, Lease, parsed, shows


class Outcome(Enum):
    """What became of a write that DynamoDB refused."""

    WRITTEN = "written"  # the write happened before; the SDK or this worker repeated it
    REQUEST_CHANGED = "request_changed"  # the request for the lease was withdrawn or replaced: write again
    EARLIER_WRITTEN = "earlier_written"  # an earlier write happened, its answer was lost: write again
    EARLIER_RELEASED = "earlier_released"  # an earlier release happened, its answer was lost
    LOST = "lost"  # another worker holds the lease, or the row is gone or broken


def reconcile(
    before: Lease,
    sets: Attributes,
    removes: frozenset[str],
    item: Attributes | None,
    *,
    next_owner: str | None = None,
    earlier_unknown: bool = False,
) -> tuple[Outcome, Lease]:
    """Finds the outcome of a refused write.

    Args:
        before: the row as this worker knows it; its counter and owner were the write's condition.
        sets, removes: what the write changes.
        item: the row that refused it (`ReturnValuesOnConditionCheckFailure`), None if there is no row.
        next_owner: the worker to hand the lease to; None where the write hands it to no other worker.
        earlier_unknown: whether the outcome of an earlier write is unknown.

    Returns:
        The outcome and the present row, which is `before` where no row can be parsed.
    """
    row = parsed(item)
    if item is None or row is None:
        return Outcome.LOST, before
    if shows(item, sets, removes):
        return Outcome.WRITTEN, row
    is_unchanged = (row.counter, row.owner) == (before.counter, before.owner)
    if next_owner is not None and is_unchanged and row.requested_by != next_owner:
        return Outcome.REQUEST_CHANGED, row
    # No other worker raises the counter by one and leaves this worker's name, or no name, in the row.
    if earlier_unknown and row.counter == before.counter + 1:
        if row.owner == before.owner:
            return Outcome.EARLIER_WRITTEN, row
        if row.owner is None:
            return Outcome.EARLIER_RELEASED, row
    return Outcome.LOST, row
