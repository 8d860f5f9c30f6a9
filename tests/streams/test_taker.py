"""The taker withdraws its requests at a stop and frees what was handed to it."""

import pytest
import structlog

from processor.streams.leases.lease import new_lease
from processor.streams.leases.table import LeaseTable
from tests.streams.lease_bench import ARN, Bench


@pytest.fixture
def bench() -> Bench:
    """One held lease, acquired just now."""
    return Bench()


@pytest.mark.parametrize("requester", ["me", "another"])
def test_a_request_that_cannot_be_withdrawn_at_the_stop_is_logged_and_the_others_are_withdrawn(
    bench: Bench, requester: str
) -> None:
    table = LeaseTable(bench.rows, "leases")
    for shard_id in ("shard-2", "shard-3"):
        table.create(new_lease(ARN, shard_id, frozenset(), now=0.0, tracked_since=0.0))
    first, second = (row for key, row in sorted(bench.rows.rows.items()) if key != bench.lease.row.key)
    first |= {"leaseOwner": {"S": "another"}, "x_requestedBy": {"S": "me"}}
    second |= {"leaseOwner": {"S": "me"}, "x_requestedBy": {"S": requester}}
    bench.time_out_after(0.0)
    with structlog.testing.capture_logs() as logs:
        bench.taker.withdraw()
    assert [(line["event"], line["lease_key"]) for line in logs] == [
        ("lease_withdrawal_failed", first["leaseKey"]["S"])
    ]
    left = bench.rows.rows[second["leaseKey"]["S"]]
    assert not {"leaseOwner", "x_requestedBy"} & left.keys()
    assert bench.renewer.held == [bench.lease], "those whose readers go on are not touched"
    assert bench.rows.rows[bench.lease.row.key]["leaseOwner"] == {"S": "me"}


def test_a_leases_table_that_does_not_answer_costs_the_stop_one_time_out(bench: Bench) -> None:
    table = LeaseTable(bench.rows, "leases")
    for shard_id in ("shard-2", "shard-3"):
        table.create(new_lease(ARN, shard_id, frozenset(), now=0.0, tracked_since=0.0))
        bench.rows.rows[f"{bench.lease.row.key[:-1]}{shard_id[-1]}"] |= {"x_requestedBy": {"S": "me"}}
    bench.time_out_after(5.0)
    with structlog.testing.capture_logs() as logs:
        bench.taker.withdraw()
    assert [line["event"] for line in logs] == ["lease_withdrawal_failed"]
    assert sum("x_requestedBy" in row for row in bench.rows.rows.values()) == 2
