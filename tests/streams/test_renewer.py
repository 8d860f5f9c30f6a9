"""The threads that renew leases wait for nothing but their own write."""

import threading
from collections.abc import Callable

import pytest
import structlog

from processor.streams.leases.lease import new_lease
from processor.streams.leases.table import LeaseTable
from tests.streams.lease_bench import ARN, FAILOVER_SECONDS, Bench

DUE_SECONDS = 3.4  # a third of it, and a little
RETRY_SECONDS = 1.1  # a tenth of it, and a little


@pytest.fixture
def bench() -> Bench:
    """One held lease, acquired just now."""
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
    assert not bench.renewer.renew_next()
    bench.time += DUE_SECONDS
    assert bench.renewer.renew_next()
    assert not bench.renewer.renew_next()


def test_a_renewal_that_failed_is_tried_again_ten_times_a_failover_time(bench: Bench) -> None:
    bench.time += DUE_SECONDS
    bench.rows.lost_requests = 1
    assert bench.renewer.renew_next()
    assert not bench.renewer.renew_next()
    bench.time += RETRY_SECONDS
    assert bench.renewer.renew_next()
    assert bench.lease.seconds_since_renewal() == 0


def test_a_renewal_that_timed_out_is_tried_again_while_the_lease_is_still_trusted(bench: Bench) -> None:
    bench.time += DUE_SECONDS
    bench.time_out_after(5.0)
    assert bench.renewer.renew_next()
    assert bench.lease.trusted()
    assert bench.renewer.renew_next(), "the time until the next try went by in the last one"
    assert bench.lease.seconds_since_renewal() == 0


def test_the_most_overdue_lease_goes_first(bench: Bench) -> None:
    table = LeaseTable(bench.rows, "leases")
    table.create(new_lease(ARN, "shard-0", frozenset(), now=0.0, tracked_since=0.0))
    bench.time += 1.0
    bench.taker.scan()
    bench.time += FAILOVER_SECONDS
    (younger,) = [lease for lease in bench.renewer.held if lease is not bench.lease]
    assert bench.renewer.renew_next()
    assert (bench.lease.seconds_since_renewal(), younger.seconds_since_renewal()) == (0, FAILOVER_SECONDS)


def test_a_lease_that_its_reader_is_writing_is_passed_over(bench: Bench) -> None:
    bench.time += FAILOVER_SECONDS / 2
    begun, let_go = threading.Event(), threading.Event()

    def hang(_key: str, _before: object, _after: object) -> None:
        begun.set()
        let_go.wait(10)

    def check() -> None:
        try:
            assert not bench.renewer.renew_next(), "it does not wait for the reader's write"
            assert not bench.renewer.release_next()
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
            assert not bench.renewer.renew_next()
        finally:
            let_go.set()

    monkeypatch.setattr(bench.lease, "renew", renew)
    while_it_runs(bench.renewer.renew_next, begun, check)


def test_a_release_for_a_reader_that_hangs_is_tried_until_it_is_written(bench: Bench) -> None:
    bench.rows.lost_requests = 1
    assert bench.renewer.release_next()
    assert not bench.lease.trusted(), "it may be free already"
    assert not bench.renewer.release_next()
    bench.time += 0.25
    assert bench.renewer.release_next()
    assert not bench.renewer.release_next()
    assert "leaseOwner" not in bench.rows.rows[bench.lease.row.key]


@pytest.mark.parametrize("look", range(1, 8))
def test_a_tenure_that_ends_at_any_moment_of_a_renewal_ends_no_renewing_thread(
    bench: Bench, look: int
) -> None:
    bench.time += DUE_SECONDS
    left = look

    def abandon_at_that_look() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            bench.lease.abandon()
        else:
            bench.on_clock = abandon_at_that_look

    bench.on_clock = abandon_at_that_look
    with structlog.testing.capture_logs() as logs:
        bench.renewer.renew_next()
    assert logs == []
    bench.lease.abandon()
    assert not bench.renewer.renew_next()
