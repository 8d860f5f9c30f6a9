"""Decides what a refused write of a held lease means, from the row that refused it.

A refusal alone shows little: an answer may have been lost, so the write that is refused now, or an earlier
one, may have happened. The row shows which.
"""

from dataclasses import dataclass
from enum import Enum

from processor.streams.leases.lease import Attributes, Lease, from_attributes, shows


class Outcome(Enum):
    """What became of a write that DynamoDB refused."""

    WRITTEN = "written"  # the write happened before; the SDK or this worker repeated it
    REQUEST_CHANGED = "request_changed"  # the request for the lease was withdrawn or replaced: write again
    EARLIER_WRITTEN = "earlier_written"  # an earlier write happened, its answer was lost: write again
    EARLIER_RELEASED = "earlier_released"  # an earlier release happened, its answer was lost
    LOST = "lost"  # another worker holds the lease, or the row is gone or broken


@dataclass(frozen=True, slots=True)
class Write:
    """One conditional write of a held lease.

    Attributes:
        before: the row as this worker knows it; its counter and owner are the write's condition.
        sets, removes: what the write changes.
        next_owner: the worker to hand the lease to; None where the write hands it to no other worker.
        earlier_unknown: whether the outcome of an earlier write is unknown.
    """

    before: Lease
    sets: Attributes
    removes: frozenset[str]
    next_owner: str | None
    earlier_unknown: bool


@dataclass(frozen=True, slots=True)
class Reconciled:
    """An outcome, with the present row; None where no row can be parsed."""

    outcome: Outcome
    row: Lease | None


def reconcile(write: Write, item: Attributes | None) -> Reconciled:
    """Finds the outcome of a refused write.

    Args:
        write: what was refused.
        item: the row that refused it (`ReturnValuesOnConditionCheckFailure`), None if there is no row.
    """
    row = _parsed(item)
    return Reconciled(Outcome.LOST if row is None else _outcome(write, row, item or {}), row)


def _outcome(write: Write, row: Lease, item: Attributes) -> Outcome:
    before = write.before
    if shows(item, write.sets, write.removes):
        return Outcome.WRITTEN
    is_unchanged = (row.counter, row.owner) == (before.counter, before.owner)
    if write.next_owner is not None and is_unchanged and row.requested_by != write.next_owner:
        return Outcome.REQUEST_CHANGED
    # No other worker raises the counter by one and leaves this worker's name, or no name, in the row.
    if write.earlier_unknown and row.counter == before.counter + 1:
        if row.owner == before.owner:
            return Outcome.EARLIER_WRITTEN
        if row.owner is None:
            return Outcome.EARLIER_RELEASED
    return Outcome.LOST


def _parsed(item: Attributes | None) -> Lease | None:
    try:
        return from_attributes(item or {})
    except ValueError:
        return None
