"""A held lease: trust from the start of the write that won it, own writes recognised, others respected."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from processor.aws.errors import Transient
from processor.streams.leases.held import HeldLease, LeaseLost, LeaseNotTrusted, WorkerIdentity, acquire
from processor.streams.leases.lease import Lease, Position, new_lease
from processor.streams.leases.table import LeaseTable
from tests.simulated_stream.rows import SimulatedRows

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
NEW = new_lease(ARN, "shard-1", frozenset(), now=1_795_400_000.0, tracked_since=1_795_400_000.0)
TRUSTED_SECONDS = 9.0  # of a failover time of ten
FIRST, SECOND = Position("41", 1.0), Position("42", 2.0)


class Bench:
    """One row, its table, and a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.rows = SimulatedRows()
        self.table = LeaseTable(self.rows, "leases")
        self.table.create(NEW)
        self.time = 100.0

    def seen(self) -> Lease:
        """The row."""
        return self.table.scan()[0]

    def identity(self, worker: str = "me") -> WorkerIdentity:
        """A worker with a failover time of ten seconds."""
        return WorkerIdentity(worker, 10.0, lambda: self.time)

    def take(self, worker: str = "me") -> HeldLease:
        """Takes the lease as it stands."""
        held = acquire(self.table, self.seen(), self.identity(worker))
        assert held is not None
        return held

    def slow_write(self, seconds: float) -> None:
        """The next write's answer takes so long."""

        def wait(_key: str, _before: Any, _after: Any) -> None:
            self.time += seconds
            self.rows.after_write = lambda _key, _before, _after: None

        self.rows.after_write = wait

    def lose_the_answer_of(self, write: Callable[[], None]) -> None:
        """The write happens, and its answer does not arrive."""
        self.rows.lost_answers = 1
        with pytest.raises(Transient):
            write()


@pytest.fixture
def bench() -> Bench:
    """A free lease."""
    return Bench()


def test_a_lease_is_trusted_from_the_start_of_the_write_that_won_it(bench: Bench) -> None:
    bench.slow_write(5.0)
    held = bench.take()
    assert held.trusted()
    bench.time = 100.0 + TRUSTED_SECONDS
    assert not held.trusted()
    bench.slow_write(3.0)
    held.renew()  # no other worker acquired it meanwhile
    bench.time = 100.0 + 2 * TRUSTED_SECONDS - 0.1
    assert held.trusted()
    bench.time += 0.2
    assert not held.trusted()


def test_a_lease_that_another_took_is_lost_for_good(bench: Bench) -> None:
    held = bench.take()
    other = bench.take("other")
    with pytest.raises(LeaseLost):
        held.renew()
    assert held.over
    assert not held.trusted()
    held.renew()  # what is over stays over, quietly
    assert other.trusted()
    assert bench.seen().owner == "other"


@pytest.mark.parametrize("winner", ["me", "other"])
def test_a_take_whose_answer_was_lost_is_recognised_by_everything_it_set(bench: Bench, winner: str) -> None:
    stale = bench.seen()
    bench.take(winner)
    repeated = acquire(bench.table, stale, bench.identity())
    assert (repeated and repeated.row) == (bench.seen() if winner == "me" else None)


def test_a_renewal_whose_answer_was_lost_counts_from_when_it_was_first_tried(bench: Bench) -> None:
    held = bench.take()
    held.delivered = FIRST
    bench.time = 103.0
    bench.lose_the_answer_of(held.renew)
    bench.time = 108.0
    # The row shows exactly what this write would set: no second write follows. Others have waited since 103.
    held.renew()
    assert bench.seen() == held.row
    assert held.trusted()
    bench.time = 103.0 + TRUSTED_SECONDS
    assert not held.trusted()
    held.renew()
    bench.lose_the_answer_of(held.renew)
    held.delivered = SECOND
    held.renew()  # another write: it follows the one that is found in the row
    assert bench.seen().position == SECOND


def test_a_foreign_write_is_never_taken_for_an_own_one(bench: Bench) -> None:
    held = bench.take()
    bench.rows.lost_requests = 1
    with pytest.raises(Transient):
        held.renew()
    bench.take("other")  # raises the counter by one, just as the lost renewal would have
    with pytest.raises(LeaseLost):
        held.renew()


def test_without_trust_nothing_is_checkpointed(bench: Bench) -> None:
    held = bench.take()
    held.delivered = FIRST
    bench.time += TRUSTED_SECONDS
    with pytest.raises(LeaseNotTrusted):
        held.set_children(frozenset({"b"}))
    with pytest.raises(LeaseNotTrusted):
        held.finish(1.0)
    held.renew()
    assert bench.seen().position == Position()
    held.set_children(frozenset({"b", "c"}))  # it is trusted again
    seen = bench.seen()
    assert (seen.position, seen.children, seen.owner_switches) == (FIRST, frozenset({"b", "c"}), 0)
    held.delivered = SECOND
    bench.time += TRUSTED_SECONDS
    held.release()
    assert (bench.seen().position, bench.seen().owner) == (FIRST, None)


@pytest.mark.parametrize("taken_by_another", [False, True])
def test_a_release_whose_answer_was_lost_ends_the_trust_at_once(bench: Bench, taken_by_another: bool) -> None:
    held = bench.take()
    bench.lose_the_answer_of(held.release)
    assert not held.trusted()
    if taken_by_another:
        bench.take("other")
        with pytest.raises(LeaseLost):
            held.release()
        assert bench.seen().owner == "other"
    else:
        held.release()
    assert held.over


@pytest.mark.parametrize("gone", [None, "checkpoint"])
def test_a_row_that_was_removed_by_hand_ends_the_tenure(bench: Bench, gone: str | None) -> None:
    held = bench.take()
    if gone is None:
        bench.rows.rows.clear()
    else:
        del bench.rows.rows[NEW.key][gone]
    with pytest.raises(LeaseLost):
        held.renew()
    assert held.over
    assert bench.table.scan() == ()


def test_writes_of_one_lease_happen_one_after_the_other(bench: Bench) -> None:
    held = bench.take()
    writes: list[Callable[[], None]] = [held.renew, lambda: held.set_children(frozenset({"b"}))]
    threads = [threading.Thread(target=writes[number % 2]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not held.over
    assert bench.seen().counter == held.row.counter == 21


@pytest.mark.parametrize("counts_suspension", [True, False])
def test_the_clock_of_trust_runs_on_while_the_machine_is_suspended_where_the_system_has_one(
    monkeypatch: pytest.MonkeyPatch, counts_suspension: bool
) -> None:
    if counts_suspension:
        monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 123.0}.get)
    else:
        monkeypatch.delattr(time, "CLOCK_BOOTTIME")
        monkeypatch.setattr(time, "monotonic", lambda: 456.0)
    assert WorkerIdentity("me", 10.0).clock() == (123.0 if counts_suspension else 456.0)
