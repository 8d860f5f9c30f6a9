"""The taker withdraws its requests at a stop and frees what was handed to it."""

import pytest
import structlog

from tests.streams.lease_bench import Bench


@pytest.mark.parametrize(
    ("requester", "seconds", "left"), [("me", 0.0, 1), ("another", 0.0, 1), ("me", 5.0, 2)]
)
def test_a_request_that_cannot_be_withdrawn_at_the_stop_is_logged_and_costs_little_time(
    requester: str, seconds: float, left: int
) -> None:
    bench = Bench()
    first, second = bench.add("shard-2"), bench.add("shard-3")
    first |= {"leaseOwner": {"S": "another"}, "x_requestedBy": {"S": "me"}}
    second |= {"leaseOwner": {"S": "me"}, "x_requestedBy": {"S": requester}}
    bench.time_out_after(seconds)
    with structlog.testing.capture_logs() as logs:
        bench.taker.withdraw()
    failed = [(line["event"], line["lease_key"]) for line in logs]
    assert failed == [("lease_withdrawal_failed", first["leaseKey"]["S"])]
    others = [row for row in bench.rows.rows.values() if row["leaseKey"]["S"] != bench.lease.row.key]
    assert sum("leaseOwner" in row for row in others) == left, "the others are withdrawn while there is time"
    assert list(bench.renewer.held.values()) == [bench.lease], "those whose readers go on are not touched"
    assert bench.rows.rows[bench.lease.row.key]["leaseOwner"] == {"S": "me"}
