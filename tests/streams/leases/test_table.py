"""The leases table's conditional writes, on the simulated rows, on moto and on AWS's own engine alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from processor.aws.errors import ConditionFailed, Transient
from processor.localaws.embedded_aws import EmbeddedAws
from processor.streams.leases.lease import Lease, new_lease
from processor.streams.leases.table import LeaseTable, unchanged
from tests.resources import ClientFactory, leases_table
from tests.simulated_stream.rows import SimulatedRows

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
LEASE = new_lease(ARN, "shard-1", frozenset({"shard-0"}), now=1_795_400_000.0, tracked_since=1_795_300_000.0)
COUNTED = {"leaseCounter": {"N": "1"}}


@pytest.fixture(
    params=["simulated", "moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)],
)
def table(request: pytest.FixtureRequest) -> LeaseTable:
    """A leases table with one row without an owner."""
    made = LeaseTable(SimulatedRows(), "leases")
    if request.param == "moto":
        aws: EmbeddedAws = request.getfixturevalue("embedded_aws")
        made = LeaseTable(aws.client("dynamodb"), leases_table(aws.client))
    elif request.param == "dynamodb_local":
        clients: Callable[[str], ClientFactory] = request.getfixturevalue("clients")
        at = clients(request.getfixturevalue("dynamodb_local"))
        made = LeaseTable(at("dynamodb"), leases_table(at))
    assert made.create(LEASE)
    return made


@pytest.fixture
def held(table: LeaseTable) -> Lease:
    """The row, once a worker owns it."""
    return table.update(LEASE.key, unchanged(LEASE), COUNTED | {"leaseOwner": {"S": "a"}})


def test_two_tasks_that_create_one_row_make_one(table: LeaseTable) -> None:
    assert not table.create(replace(LEASE, counter=5))
    assert table.scan() == (LEASE,)
    for number in range(20):
        table.create(replace(LEASE, key=f"another-{number}"))
    assert len(table.scan()) == 21, "all pages are read"


def test_an_update_sets_and_removes_and_shows_the_new_row(table: LeaseTable, held: Lease) -> None:
    assert held == replace(LEASE, counter=1, owner="a")
    removes = frozenset({"leaseOwner", "x_requestedBy"})
    freed = table.update(LEASE.key, unchanged(held), {"leaseCounter": {"N": "2"}}, removes)
    assert freed == replace(LEASE, counter=2)
    assert table.scan() == (freed,)


@pytest.mark.parametrize(("counter", "owner"), [(2, "a"), (1, "b"), (1, None)])
def test_an_update_of_something_else_than_was_seen_shows_the_row_as_it_is(
    table: LeaseTable, held: Lease, counter: int, owner: str | None
) -> None:
    with pytest.raises(ConditionFailed) as refused:
        table.update(LEASE.key, unchanged(replace(held, counter=counter, owner=owner)), COUNTED)
    assert refused.value.item is not None
    assert refused.value.item["leaseCounter"] == {"N": "1"}
    assert table.scan() == (held,)


def test_a_row_that_is_gone_is_not_made_anew_by_an_update_or_a_withdrawal(table: LeaseTable) -> None:
    with pytest.raises(ConditionFailed) as refused:
        table.update("gone", unchanged(LEASE), COUNTED)
    assert refused.value.item is None
    assert table.withdraw("gone", "b") is None
    assert table.scan() == (LEASE,)


def test_a_request_leaves_counter_and_owner_and_is_not_overwritten(table: LeaseTable, held: Lease) -> None:
    assert table.request(held, "b")
    assert not table.request(held, "c")
    asked_for = replace(held, requested_by="b")
    assert table.withdraw(held.key, "c") == asked_for
    assert table.scan() == (asked_for,), "it is another one's request"


def test_a_request_is_withdrawn_although_the_owner_has_written_since(table: LeaseTable, held: Lease) -> None:
    assert table.request(held, "b")
    table.update(held.key, unchanged(held), {"leaseCounter": {"N": "2"}})
    assert table.withdraw(held.key, "b") == replace(held, counter=2)
    assert table.scan() == (replace(held, counter=2),)


def test_only_a_finished_unchanged_row_is_removed(table: LeaseTable) -> None:
    assert not table.delete_finished(LEASE)
    finished = table.update(LEASE.key, unchanged(LEASE), COUNTED | {"checkpoint": {"S": "SHARD_END"}})
    assert not table.delete_finished(LEASE)
    assert table.delete_finished(finished)
    assert table.scan() == ()


def test_a_told_loss_is_noted_only_in_a_row_that_is_as_it_was_seen(table: LeaseTable) -> None:
    table.mark_gap_reported(replace(LEASE, counter=3))
    assert not table.scan()[0].gap_reported
    table.mark_gap_reported(LEASE)
    assert table.scan()[0].gap_reported


def test_a_row_that_nobody_holds_is_freed_unless_it_has_changed(table: LeaseTable, held: Lease) -> None:
    table.free(replace(held, counter=0))
    assert table.scan() == (held,)
    assert table.request(held, "b")
    table.free(held)
    assert table.scan() == (replace(held, counter=2, owner=None),), "and asked for by nobody"


@pytest.mark.parametrize(
    "use",
    [
        LeaseTable.scan,
        lambda table: table.update(LEASE.key, unchanged(LEASE), COUNTED),
        lambda table: table.withdraw(LEASE.key, "a"),
    ],
)
def test_an_answer_without_what_it_must_hold_is_a_failure_that_may_pass(
    use: Callable[[LeaseTable], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(**_arguments: Any) -> dict[str, Any]:
        return {}

    rows = SimulatedRows()
    for method in ("scan", "update_item"):
        monkeypatch.setattr(rows, method, empty)
    with pytest.raises(Transient, match="IncompleteAnswer"):
        use(LeaseTable(rows, "leases"))


def test_a_row_that_cannot_be_read_is_told_once_and_left_out() -> None:
    rows = SimulatedRows()
    rows.rows["broken"] = {"leaseKey": {"S": "broken"}, "x_streamArn": {"S": ARN}}
    table = LeaseTable(rows, "leases")
    table.create(LEASE)
    with structlog.testing.capture_logs() as logs:
        assert table.scan() == table.scan() == (LEASE,)
        assert table.unreadable == {"broken"}
    assert [(line["event"], line["lease_key"]) for line in logs] == [("lease_row_unreadable", "broken")]
    del rows.rows["broken"]
    table.scan()
    assert table.unreadable == frozenset()
