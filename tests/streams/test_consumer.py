"""The consumer's threads: they start, stop within their budget, and none dies silently."""

from collections.abc import Callable, Iterator

import pytest

from processor.loops import Loop, StopReport
from processor.streams.consumer import OVERDUE_RELEASE_SECONDS, RELEASE_SECONDS, RENEWERS_END_SECONDS
from tests.streams.bench import PATIENCE_SECONDS, SHARDS, Bench, running
from tests.waiting import eventually

pytestmark = pytest.mark.slow  # threads and their real waits


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A consumer that is not started; nothing of it is left behind."""
    made = Bench()
    yield made
    made.close()


def test_it_reads_every_shard_and_after_the_stop_no_thread_and_no_owner_is_left(bench: Bench) -> None:
    bench.expire(30)
    bench.start()
    eventually(lambda: len(bench.shelf.kept) == 30, PATIENCE_SECONDS)
    names = running()
    assert {"stream-discovery", "stream-leases", "stream-renewals-0"} <= set(names)
    assert sum(name.startswith("stream-readers-") for name in names) == 8, "whatever the number of shards"
    assert bench.end()
    assert running() == []
    assert bench.owned() == 0
    assert bench.deaths == []
    assert all(checkpoint.isdigit() for checkpoint in bench.checkpoints())


def test_a_stop_may_come_before_the_start_and_twice_and_nothing_is_read_after_it(bench: Bench) -> None:
    assert bench.consumer.join().clean, "what was never started has ended"
    bench.expire(3)
    assert bench.end()
    assert bench.end()
    bench.consumer.start()
    assert bench.consumer.join().clean
    assert bench.shelf.kept == []
    assert bench.owned() == 0


def test_a_stop_waits_for_a_sink_that_recovers(bench: Bench) -> None:
    bench.shelf.is_down = True
    bench.expire(9)
    bench.start()
    eventually(lambda: len(bench.shelf.met) == SHARDS, PATIENCE_SECONDS)
    bench.consumer.stop(bench.clock() + PATIENCE_SECONDS)
    bench.shelf.is_down = False
    assert bench.consumer.join().clean
    assert len(bench.shelf.kept) == 9


def test_a_stop_with_a_sink_that_stays_down_ends_in_time_with_the_leases_released(bench: Bench) -> None:
    bench.shelf.is_down = True
    bench.expire(9)
    bench.start()
    eventually(lambda: bench.health.degraded.get("audit shelf"), PATIENCE_SECONDS)
    report = bench.stop_at_a_stopped_clock(RELEASE_SECONDS, lambda: bench.owned() == 0)
    assert report.clean
    assert bench.checkpoints() == {"TRIM_HORIZON"}


def hang_in_a_put(bench: Bench) -> Callable[[], bool]:
    """The sink does not return; returns whether it was called for each shard."""
    bench.shelf.hangs = True
    bench.expire(9)
    return lambda: len(bench.shelf.met) == SHARDS


def hang_in_a_read(bench: Bench) -> Callable[[], bool]:
    """The stream does not answer; returns whether it was asked for each shard."""
    bench.streams.operation = "get_records"
    return lambda: bench.streams.hanging == SHARDS


@pytest.mark.parametrize("hang", [hang_in_a_put, hang_in_a_read])
def test_a_call_that_never_returns_costs_the_budget_and_leaves_the_lease_to_the_next_task(
    bench: Bench, hang: Callable[[Bench], Callable[[], bool]]
) -> None:
    hangs = hang(bench)
    bench.start()
    eventually(hangs, PATIENCE_SECONDS)
    report = bench.stop_at_a_stopped_clock(OVERDUE_RELEASE_SECONDS, lambda: bench.owned() == 0)
    assert report == StopReport(clean=True, hung=True)
    assert bench.checkpoints() == {"TRIM_HORIZON"}
    bench.shelf.let_go.set()
    bench.streams.let_go.set()
    eventually(lambda: not running(), PATIENCE_SECONDS)
    assert len(bench.shelf.kept) <= SHARDS, "no further put, once the lease was released"


def test_a_look_at_the_streams_that_never_ends_is_left_behind(bench: Bench) -> None:
    bench.start()
    bench.streams.operation = "list_streams"
    bench.table.roll(bench.table.open_shards()[0].shard_id)  # its end makes the discovery look again
    eventually(lambda: bench.streams.hanging, PATIENCE_SECONDS)
    report = bench.stop_at_a_stopped_clock(RELEASE_SECONDS, lambda: bench.owned() == 0)
    assert report == StopReport(clean=True, hung=True)


def hang_in_writes_of_one_row(bench: Bench) -> str:
    """The leases table does not answer to writes of one row; its key."""
    stuck = min(bench.rows.rows)
    bench.leases.hangs_for = lambda arguments: arguments["Key"]["leaseKey"]["S"] == stuck
    bench.leases.operation = "update_item"
    return stuck


def test_a_lease_whose_write_never_answers_is_not_released_and_the_others_are(bench: Bench) -> None:
    bench.start()
    stuck = hang_in_writes_of_one_row(bench)
    bench.consumer.stop(bench.clock() + PATIENCE_SECONDS)
    eventually(lambda: bench.leases.hanging, PATIENCE_SECONDS)
    report = bench.stop_at_a_stopped_clock(RELEASE_SECONDS, lambda: bench.owned() == 1)
    assert not report.clean
    assert [key for key, row in bench.rows.rows.items() if "leaseOwner" in row] == [stuck]


def test_threads_that_hang_at_the_deadline_are_waited_for_all_together() -> None:
    class Stuck(Loop):
        """A runner whose step does not return."""

        is_alive = True

        def start(self) -> None:
            """Needs no thread."""

        def join(self, timeout_seconds: float) -> bool:
            """Waits in vain."""
            stuck.clock.stopped_at = stuck.clock() + max(0.0, timeout_seconds)
            return False

    stuck = Bench(runner=Stuck)
    now = stuck.clock.stop()
    stuck.consumer.start()
    stuck.consumer.stop(now + 2)
    assert stuck.consumer.join() == StopReport(clean=False, hung=True)
    assert stuck.clock() <= now + 2 + RENEWERS_END_SECONDS + 0.001


def test_one_renewal_that_hangs_costs_no_other_lease() -> None:
    bench = Bench(shards=12, failover_seconds=3.0)
    try:
        bench.start()
        stuck, before = hang_in_writes_of_one_row(bench), bench.counters()
        # A renewal is due after a third of the failover time: the clock goes there, and there again.
        now = bench.clock.stop()
        for renewals in (1, 2):
            bench.clock.stopped_at = now = now + 1.1

            def all_others_are_renewed(renewals: int = renewals) -> bool:
                counters = bench.counters()
                return all(counters[key] - before[key] >= renewals for key in before if key != stuck)

            eventually(all_others_are_renewed, PATIENCE_SECONDS)
        assert bench.leases.hanging
        assert bench.counters()[stuck] == before[stuck], "it hung all the while"
    finally:
        bench.close()


def test_a_thread_that_dies_is_reported_with_its_name_and_error(bench: Bench) -> None:
    bench.shelf.breaks = True
    bench.table.write("export-1")
    shard = bench.table.shard_of("export-1")
    bench.consumer.start()
    eventually(lambda: bench.deaths, PATIENCE_SECONDS)
    assert bench.deaths == [(f"stream-{shard.shard_id}", "ZeroDivisionError")]
