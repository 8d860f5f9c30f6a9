"""The leases table's conditional writes, on the simulated rows, on moto and on AWS's own engine alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from processor.aws.errors import ConditionFailed, Transient
from processor.localaws.embedded_aws import EmbeddedAws
from processor.streams.leases.lease import Lease, new_lease
from processor.streams.leases.table import LeasesClient, LeaseTable
from tests.resources import ClientFactory, leases_table
from tests.simulated_stream.rows import SimulatedRows

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"


@pytest.fixture(
    params=["simulated", "moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)],
)
def table(request: pytest.FixtureRequest) -> LeaseTable:
    """An empty leases table."""
    match request.param:
        case "moto":
            aws: EmbeddedAws = request.getfixturevalue("embedded_aws")
            return LeaseTable(aws.client("dynamodb"), leases_table(aws.client))
        case "dynamodb_local":
            clients: Callable[[str], ClientFactory] = request.getfixturevalue("clients")
            at = clients(request.getfixturevalue("dynamodb_local"))
            client: LeasesClient = at("dynamodb")
            return LeaseTable(client, leases_table(at))
        case _:
            return LeaseTable(SimulatedRows(), "leases")


def lease(shard_id: str = "shard-1") -> Lease:
    """A shard's new row."""
    return new_lease(
        ARN, shard_id, frozenset({"shard-0"}), now=1_795_400_000.0, tracked_since=1_795_300_000.0
    )


def test_two_tasks_that_create_one_row_make_one(table: LeaseTable) -> None:
    assert table.create(lease())
    assert not table.create(replace(lease(), counter=5))
    assert table.scan() == (lease(),)


def test_all_pages_are_read(table: LeaseTable) -> None:
    for number in range(20):
        table.create(lease(f"shard-{number}"))
    assert len(table.scan()) == 20


def test_an_update_sets_and_removes_and_shows_the_new_row(table: LeaseTable) -> None:
    table.create(lease())
    taken = table.update(
        lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}, "leaseOwner": {"S": "a"}}
    )
    assert taken == replace(lease(), counter=1, owner="a")
    freed = table.update(
        lease().key,
        counter=1,
        owner="a",
        sets={"leaseCounter": {"N": "2"}},
        removes=frozenset({"leaseOwner", "x_requestedBy"}),
    )
    assert freed == replace(lease(), counter=2)
    assert table.scan() == (freed,)


@pytest.mark.parametrize(("counter", "owner"), [(1, None), (0, "a"), (0, "b")])
def test_an_update_of_something_else_than_was_seen_shows_the_row_as_it_is(
    table: LeaseTable, counter: int, owner: str | None
) -> None:
    table.create(lease())
    with pytest.raises(ConditionFailed) as refused:
        table.update(lease().key, counter=counter, owner=owner, sets={"leaseCounter": {"N": "9"}})
    assert refused.value.item is not None
    assert refused.value.item["leaseCounter"] == {"N": "0"}
    assert table.scan() == (lease(),)


def test_an_update_of_a_row_that_was_seen_free_is_refused_once_it_has_an_owner(table: LeaseTable) -> None:
    table.create(lease())
    owned = table.update(lease().key, counter=0, owner=None, sets={"leaseOwner": {"S": "a"}})
    with pytest.raises(ConditionFailed):
        table.update(lease().key, counter=0, owner=None, sets={"leaseOwner": {"S": "b"}})
    assert table.scan() == (owned,)


def test_a_row_that_is_gone_is_not_made_anew_by_an_update(table: LeaseTable) -> None:
    with pytest.raises(ConditionFailed) as refused:
        table.update(lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}})
    assert refused.value.item is None
    assert table.scan() == ()


def test_a_request_leaves_counter_and_owner_and_is_not_overwritten(table: LeaseTable) -> None:
    table.create(lease())
    held = table.update(
        lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}, "leaseOwner": {"S": "a"}}
    )
    assert table.request(held, "b")
    assert not table.request(held, "c")
    assert table.scan() == (replace(held, requested_by="b"),)


def test_only_a_finished_unchanged_row_is_removed(table: LeaseTable) -> None:
    table.create(lease())
    assert not table.delete_finished(lease())
    finished = table.update(
        lease().key,
        counter=0,
        owner=None,
        sets={"leaseCounter": {"N": "1"}, "checkpoint": {"S": "SHARD_END"}},
    )
    assert not table.delete_finished(lease())
    assert table.delete_finished(finished)
    assert table.scan() == ()


def test_a_told_loss_is_noted_once_and_only_in_a_row_that_is_as_it_was_seen(table: LeaseTable) -> None:
    table.create(lease())
    table.mark_gap_reported(replace(lease(), counter=3))
    assert not table.scan()[0].gap_reported
    table.mark_gap_reported(lease())
    assert table.scan()[0].gap_reported


def test_a_request_that_is_withdrawn_leaves_the_row_to_its_owner(table: LeaseTable) -> None:
    table.create(lease())
    held = table.update(
        lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}, "leaseOwner": {"S": "a"}}
    )
    assert table.request(held, "b")
    asked_for = replace(held, requested_by="b")
    assert table.withdraw(held.key, "c") == asked_for
    assert table.scan() == (asked_for,), "it is another one's request"
    assert table.withdraw(held.key, "b") == held
    assert table.scan() == (held,)


def test_a_request_is_withdrawn_although_the_owner_has_written_since(table: LeaseTable) -> None:
    table.create(lease())
    held = table.update(
        lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}, "leaseOwner": {"S": "a"}}
    )
    assert table.request(held, "b")
    table.update(held.key, counter=1, owner="a", sets={"leaseCounter": {"N": "2"}})
    assert table.withdraw(held.key, "b") == replace(held, counter=2)
    assert table.scan() == (replace(held, counter=2),)


def test_a_withdrawal_makes_no_row(table: LeaseTable) -> None:
    assert table.withdraw(lease().key, "b") is None
    assert table.scan() == ()


def test_a_row_that_nobody_holds_is_freed_unless_it_has_changed(table: LeaseTable) -> None:
    table.create(lease())
    handed = table.update(
        lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}, "leaseOwner": {"S": "a"}}
    )
    table.free(replace(handed, counter=0))
    assert table.scan() == (handed,)
    assert table.request(handed, "b")
    table.free(handed)
    assert table.scan() == (replace(handed, counter=2, owner=None),), "and asked for by nobody"


class EmptyAnswers(SimulatedRows):
    """A leases table behind a proxy that loses the bodies of answers."""

    def scan(self, **arguments: Any) -> dict[str, Any]:
        """Scan."""
        super().scan(**arguments)
        return {}

    def update_item(self, **arguments: Any) -> dict[str, Any]:
        """UpdateItem."""
        super().update_item(**arguments)
        return {}


@pytest.mark.parametrize(
    "use",
    [
        LeaseTable.scan,
        lambda table: table.update(lease().key, counter=0, owner=None, sets={"leaseCounter": {"N": "1"}}),
        lambda table: table.withdraw(lease().key, "a"),
    ],
)
def test_an_answer_without_what_it_must_hold_is_a_failure_that_may_pass(
    use: Callable[[LeaseTable], object],
) -> None:
    rows = EmptyAnswers()
    table = LeaseTable(rows, "leases")
    table.create(lease())
    rows.rows[lease().key]["x_requestedBy"] = {"S": "a"}
    with pytest.raises(Transient, match="IncompleteAnswer"):
        use(table)


def test_a_row_that_cannot_be_read_is_told_once_and_left_out() -> None:
    rows = SimulatedRows()
    rows.rows["broken"] = {"leaseKey": {"S": "broken"}, "x_streamArn": {"S": ARN}}
    table = LeaseTable(rows, "leases")
    table.create(lease())
    with structlog.testing.capture_logs() as logs:
        assert table.scan() == table.scan() == (lease(),)
        assert table.unreadable == {"broken"}
    assert [(line["event"], line["lease_key"]) for line in logs] == [("lease_row_unreadable", "broken")]
    del rows.rows["broken"]
    table.scan()
    assert table.unreadable == frozenset()
