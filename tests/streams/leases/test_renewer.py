"""The threads that renew leases wait for nothing but their own write."""

import threading

import pytest
import structlog

from tests.streams.lease_bench import FAILOVER_SECONDS, Bench

DUE_SECONDS = 3.4  # a third of it, and a little


@pytest.fixture
def bench() -> Bench:
    """One held lease, acquired just now."""
    return Bench()


def test_a_renewal_that_timed_out_is_tried_again_while_the_lease_is_still_trusted(bench: Bench) -> None:
    assert not bench.renewer.renew_next(), "it is not due yet"
    bench.time += DUE_SECONDS
    bench.time_out_after(5.0)
    assert bench.renewer.renew_next()
    assert bench.lease.trusted()
    assert bench.renewer.renew_next(), "the time until the next try went by in the last one"
    assert bench.lease.seconds_since_renewal() == 0


def test_the_most_overdue_lease_goes_first(bench: Bench) -> None:
    bench.add("shard-0")
    bench.time += 1.0
    bench.taker.scan()
    bench.time += FAILOVER_SECONDS
    (younger,) = [lease for lease in bench.renewer.held.values() if lease is not bench.lease]
    assert bench.renewer.renew_next()
    assert (bench.lease.seconds_since_renewal(), younger.seconds_since_renewal()) == (0, FAILOVER_SECONDS)


@pytest.mark.parametrize("by_the_renewer", [False, True])
def test_a_lease_that_its_reader_or_another_thread_is_writing_is_passed_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, by_the_renewer: bool
) -> None:
    bench.time += FAILOVER_SECONDS / 2
    begun, let_go = threading.Event(), threading.Event()

    def hang(*_arguments: object) -> None:
        begun.set()
        let_go.wait(60)

    if by_the_renewer:
        monkeypatch.setattr(bench.lease, "renew", hang)  # it has claimed the lease and does not write yet
    else:
        bench.rows.after_write = hang
    thread = threading.Thread(target=bench.renewer.renew_next if by_the_renewer else bench.lease.renew)
    thread.start()
    try:
        assert begun.wait(60)
        assert not bench.renewer.renew_next(), "it does not wait for that write"
        assert not bench.renewer.release_next()
    finally:
        let_go.set()
        thread.join(60)


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
