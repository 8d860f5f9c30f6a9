"""The threads that renew leases stand in nobody's way, and nobody in theirs."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from botocore.exceptions import ReadTimeoutError

from processor.observability.health import Health
from processor.streams.lease_keeper import LeaseKeeper
from processor.streams.leases.held import HeldLease, Tenure
from processor.streams.leases.lease import new_lease
from processor.streams.leases.table import LeaseTable
from processor.streams.shards import Listing, Shard, StreamState
from tests.simulated_stream.rows import SimulatedRows

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
FAILOVER_SECONDS = 10.0
DUE_SECONDS = 3.4  # a third of it, and a little
RETRY_SECONDS = 1.1  # a tenth of it, and a little


class Bench:
    """A keeper that holds the lease of one shard, and a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0
        self.rows = SimulatedRows()
        table = LeaseTable(self.rows, "leases")
        table.create(new_lease(ARN, "shard-1", frozenset(), now=0.0, tracked_since=0.0))
        state = StreamState(ARN, Listing(ARN, {"shard-1": Shard("shard-1")}, 0.0))
        won: list[HeldLease] = []
        self.keeper = LeaseKeeper(
            table,
            Tenure("me", FAILOVER_SECONDS, self.clock),
            status_table="export-status",
            streams=lambda: {ARN: state},
            health=Health(Path("unused"), warn=lambda _problem: None),
            won=won.append,
            give_up=lambda _lease, _to: None,
            clock=self.clock,
        )
        self.keeper.scan()
        (self.lease,) = won

    def clock(self) -> float:
        """Monotonic seconds."""
        return self.time

    def time_out_after(self, seconds: float) -> None:
        """The next update times out, without having happened."""

        def wait(**_arguments: Any) -> NoReturn:
            self.time += seconds
            del self.rows.update_item
            raise ReadTimeoutError(endpoint_url="simulated")

        self.rows.update_item = wait  # type: ignore[method-assign]


@pytest.fixture
def bench() -> Bench:
    """One held lease, won just now."""
    return Bench()


def while_it_runs(step: Callable[[], object], begun: threading.Event, check: Callable[[], None]) -> None:
    """Checks something while a step goes on in a thread of its own, which `check` lets end."""
    thread = threading.Thread(target=step)
    thread.start()
    try:
        assert begun.wait(10)
        check()
    finally:
        thread.join(10)
        assert not thread.is_alive()


def test_a_lease_is_renewed_when_it_is_due_and_not_before(bench: Bench) -> None:
    assert not bench.keeper.renew_next()
    bench.time += DUE_SECONDS
    assert bench.keeper.renew_next()
    assert not bench.keeper.renew_next()


def test_a_renewal_that_failed_is_tried_again_ten_times_a_failover_time(bench: Bench) -> None:
    bench.time += DUE_SECONDS
    bench.rows.lost_requests = 1
    assert bench.keeper.renew_next()
    assert not bench.keeper.renew_next()
    bench.time += RETRY_SECONDS
    assert bench.keeper.renew_next()
    assert bench.lease.seconds_since_renewal() == 0


def test_a_renewal_that_timed_out_is_tried_again_while_the_lease_is_still_trusted(bench: Bench) -> None:
    bench.time += DUE_SECONDS
    bench.time_out_after(5.0)
    assert bench.keeper.renew_next()
    assert bench.lease.trusted()
    assert bench.keeper.renew_next(), "the time until the next try went by in the last one"
    assert bench.lease.seconds_since_renewal() == 0


def test_the_most_overdue_lease_goes_first(bench: Bench) -> None:
    table = LeaseTable(bench.rows, "leases")
    table.create(new_lease(ARN, "shard-0", frozenset(), now=0.0, tracked_since=0.0))
    bench.time += 1.0
    bench.keeper.scan()
    bench.time += FAILOVER_SECONDS
    (younger,) = [lease for lease in bench.keeper.held if lease is not bench.lease]
    assert bench.keeper.renew_next()
    assert (bench.lease.seconds_since_renewal(), younger.seconds_since_renewal()) == (0, FAILOVER_SECONDS)


def test_a_lease_that_its_reader_is_writing_is_passed_over(bench: Bench) -> None:
    bench.time += FAILOVER_SECONDS / 2
    begun, let_go = threading.Event(), threading.Event()

    def hang(_key: str, _before: object, _after: object) -> None:
        begun.set()
        let_go.wait(10)

    def check() -> None:
        try:
            assert not bench.keeper.renew_next(), "it does not wait for the reader's write"
            assert not bench.keeper.release_next()
        finally:
            let_go.set()

    bench.rows.after_write = hang
    while_it_runs(bench.lease.renew, begun, check)


def test_a_lease_that_one_thread_renews_is_passed_over_by_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.time += FAILOVER_SECONDS / 2
    begun, let_go = threading.Event(), threading.Event()

    def renew(_min_age_seconds: float = 0.0) -> None:
        begun.set()
        let_go.wait(10)

    def check() -> None:
        try:
            assert not bench.keeper.renew_next()
        finally:
            let_go.set()

    monkeypatch.setattr(bench.lease, "renew", renew)
    while_it_runs(bench.keeper.renew_next, begun, check)


def test_a_release_over_the_readers_head_is_tried_until_it_is_written(bench: Bench) -> None:
    bench.rows.lost_requests = 1
    assert bench.keeper.release_next()
    assert not bench.lease.trusted(), "it may be free already"
    assert not bench.keeper.release_next()
    bench.time += 0.25
    assert bench.keeper.release_next()
    assert not bench.keeper.release_next()
    assert "leaseOwner" not in bench.rows.rows[bench.lease.row.key]


@pytest.mark.parametrize("requester", ["me", "another"])
def test_what_cannot_be_taken_back_at_the_stop_is_told_and_the_rest_is_taken_back(
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
        bench.keeper.withdraw()
    assert [(line["event"], line["lease_key"]) for line in logs] == [
        ("lease_withdrawal_failed", first["leaseKey"]["S"])
    ]
    left = bench.rows.rows[second["leaseKey"]["S"]]
    assert not {"leaseOwner", "x_requestedBy"} & left.keys()
    assert bench.keeper.held == [bench.lease], "those whose readers go on are not touched"
    assert bench.rows.rows[bench.lease.row.key]["leaseOwner"] == {"S": "me"}


def test_a_leases_table_that_does_not_answer_costs_the_stop_one_time_out(bench: Bench) -> None:
    table = LeaseTable(bench.rows, "leases")
    for shard_id in ("shard-2", "shard-3"):
        table.create(new_lease(ARN, shard_id, frozenset(), now=0.0, tracked_since=0.0))
        bench.rows.rows[f"{bench.lease.row.key[:-1]}{shard_id[-1]}"] |= {"x_requestedBy": {"S": "me"}}
    bench.time_out_after(5.0)
    with structlog.testing.capture_logs() as logs:
        bench.keeper.withdraw()
    assert [line["event"] for line in logs] == ["lease_withdrawal_failed"]
    assert sum("x_requestedBy" in row for row in bench.rows.rows.values()) == 2


def test_a_reader_that_gives_a_lease_up_at_that_moment_ends_no_renewing_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.time += DUE_SECONDS
    write = bench.lease._write

    def given_up_before(*arguments: Any) -> None:
        bench.lease.abandon()
        write(*arguments)

    monkeypatch.setattr(bench.lease, "_write", given_up_before)
    with structlog.testing.capture_logs() as logs:
        assert bench.keeper.renew_next()
    assert logs == []
    assert not bench.keeper.renew_next()
