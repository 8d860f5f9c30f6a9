"""What a refused write means, row by row of the table of outcomes."""

from dataclasses import replace

import pytest

from processor.streams.leases.lease import Attributes, new_lease, number, to_attributes
from processor.streams.leases.reconcile import Outcome, reconcile

NEW = new_lease("arn:aws:dynamodb:r:1:table/t/stream/s", "shard-1", frozenset(), now=1.0, tracked_since=1.0)
BEFORE = replace(NEW, counter=7, owner="me")


def item(counter: int, owner: str | None, requested_by: str | None = None) -> Attributes:
    """The row in DynamoDB's form."""
    row = to_attributes(NEW) | {"leaseCounter": number(counter)}
    if owner is not None:
        row["leaseOwner"] = {"S": owner}
    if requested_by is not None:
        row["x_requestedBy"] = {"S": requested_by}
    return row


BROKEN = {name: value for name, value in item(8, "me").items() if name != "checkpoint"}
CHECKPOINTED = {**item(8, "me"), "checkpoint": {"S": "42"}}


@pytest.mark.parametrize("earlier_unknown", [False, True])
@pytest.mark.parametrize(
    ("found", "outcome", "after_an_unknown_write"),
    [
        (None, Outcome.LOST, Outcome.LOST),
        (BROKEN, Outcome.LOST, Outcome.LOST),
        (CHECKPOINTED, Outcome.WRITTEN, Outcome.WRITTEN),
        (item(8, "me"), Outcome.LOST, Outcome.EARLIER_WRITTEN),
        (item(8, None), Outcome.LOST, Outcome.EARLIER_RELEASED),
        (item(8, "other"), Outcome.LOST, Outcome.LOST),
        (item(9, "me"), Outcome.LOST, Outcome.LOST),
    ],
)
def test_the_row_decides_about_a_renewal_with_a_checkpoint(
    found: Attributes | None, outcome: Outcome, after_an_unknown_write: Outcome, *, earlier_unknown: bool
) -> None:
    sets = {"leaseCounter": number(8), "leaseOwner": {"S": "me"}, "checkpoint": {"S": "42"}}
    decided, _ = reconcile(BEFORE, sets, frozenset(), found, earlier_unknown=earlier_unknown)
    assert decided is (after_an_unknown_write if earlier_unknown else outcome)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (item(8, "other"), Outcome.WRITTEN),
        (item(7, "me"), Outcome.REQUEST_CHANGED),
        (item(7, "me", "third"), Outcome.REQUEST_CHANGED),
        (item(8, "me"), Outcome.LOST),
    ],
)
def test_the_row_decides_about_a_hand_over_and_comes_with_the_outcome(
    found: Attributes, outcome: Outcome
) -> None:
    sets = {"leaseCounter": number(8), "leaseOwner": {"S": "other"}}
    decided, row = reconcile(BEFORE, sets, frozenset({"x_requestedBy"}), found, next_owner="other")
    assert decided is outcome
    assert number(row.counter) == found["leaseCounter"]
