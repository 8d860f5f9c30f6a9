"""What a refused write means, row by row of the table of outcomes."""

from dataclasses import replace

import pytest

from processor.streams.leases.lease import Attributes, Lease, new_lease, number, to_attributes
from processor.streams.leases.reconcile import Outcome, Write, reconcile

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
NEW = new_lease(ARN, "shard-1", frozenset(), now=1.0, tracked_since=1.0)
BEFORE = replace(NEW, counter=7, owner="me")


def item(counter: int, owner: str | None, requested_by: str | None = None) -> Attributes:
    """The row in DynamoDB's form."""
    row = to_attributes(NEW) | {"leaseCounter": number(counter)}
    if owner is not None:
        row["leaseOwner"] = {"S": owner}
    if requested_by is not None:
        row["x_requestedBy"] = {"S": requested_by}
    return row


def renewal(*, earlier_unknown: bool = False, before: Lease = BEFORE) -> Write:
    """A renewal that carries a checkpoint, so that no other write looks the same."""
    sets = {"leaseCounter": number(8), "leaseOwner": {"S": "me"}, "checkpoint": {"S": "42"}}
    return Write(before, sets, frozenset(), None, earlier_unknown)


def hand_over(to: str) -> Write:
    """A release for the benefit of another worker."""
    sets = {"leaseCounter": number(8), "leaseOwner": {"S": to}}
    return Write(BEFORE, sets, frozenset({"x_requestedBy"}), to, earlier_unknown=False)


BROKEN = {name: value for name, value in item(8, "me").items() if name != "checkpoint"}
CHECKPOINTED = {**item(8, "me"), "checkpoint": {"S": "42"}}


@pytest.mark.parametrize(
    ("write", "found", "outcome"),
    [
        (renewal(), None, Outcome.LOST),
        (renewal(earlier_unknown=True), BROKEN, Outcome.LOST),
        (renewal(), CHECKPOINTED, Outcome.WRITTEN),
        (renewal(earlier_unknown=True), CHECKPOINTED, Outcome.WRITTEN),
        (hand_over("other"), item(8, "other"), Outcome.WRITTEN),
        (hand_over("other"), item(7, "me"), Outcome.REQUEST_CHANGED),
        (hand_over("other"), item(7, "me", "third"), Outcome.REQUEST_CHANGED),
        (hand_over("other"), item(8, "me"), Outcome.LOST),
        (renewal(earlier_unknown=True), item(8, "me"), Outcome.EARLIER_WRITTEN),
        (renewal(earlier_unknown=True), item(8, None), Outcome.EARLIER_RELEASED),
        (renewal(), item(8, "me"), Outcome.LOST),
        (renewal(), item(8, None), Outcome.LOST),
        (renewal(earlier_unknown=True), item(8, "other"), Outcome.LOST),
        (renewal(earlier_unknown=True), item(9, "me"), Outcome.LOST),
        (renewal(), item(8, "other"), Outcome.LOST),
    ],
)
def test_the_row_decides(write: Write, found: Attributes | None, outcome: Outcome) -> None:
    assert reconcile(write, found).outcome is outcome


def test_the_row_comes_with_the_outcome() -> None:
    found = reconcile(renewal(earlier_unknown=True), item(8, "me", "other"))
    assert found.row == replace(BEFORE, counter=8, requested_by="other")
    assert reconcile(renewal(), BROKEN).row is None
