"""The audit pipeline's threads: they start, stop within their budget, and none dies silently."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from handlers.audit import AuditEntry
from processor.audit.pipeline import build_consumer
from processor.audit.sinks.base import SinkUnavailable
from processor.loops import StopReport
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.consumer import RENEWERS_END_SECONDS, ConsumerSettings
from tests.audit.entries import OneByOne
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.streams.tasks import TABLE
from tests.waiting import eventually

WORKER = "this-worker"

pytestmark = pytest.mark.slow  # threads and their real waits


class Shelf:
    """A sink that keeps entries; it can be down, break, or block until it is let go."""

    name = "shelf"

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.refused: set[str] = set()
        self.is_down = False
        self.breaks = False
        self.blocks = threading.Event()
        self.let_go = threading.Event()

    def begin(self, entries: Sequence[AuditEntry]) -> OneByOne:
        """See `Sink.begin`."""
        return OneByOne(entries, self._store)

    def _store(self, entry: AuditEntry) -> None:
        if self.breaks:
            raise ZeroDivisionError
        if self.is_down:
            self.refused.add(entry.request_id)
            raise SinkUnavailable("down")
        if self.blocks.is_set():
            self.let_go.wait(30)
        self.kept.append(entry.request_id)


class HangingRows(SimulatedRows):
    """A leases table that lets updates wait: of one row, or of all."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs_for: Callable[[str], bool] = lambda _key: False
        self.hung = threading.Event()
        self.let_go = threading.Event()

    def update_item(self, **arguments: Any) -> dict[str, Any]:
        """UpdateItem."""
        if self.hangs_for(arguments["Key"]["leaseKey"]["S"]) and not self.let_go.is_set():
            self.hung.set()
            self.let_go.wait(30)
        return super().update_item(**arguments)

    def counters(self) -> dict[str, int]:
        """Each row's counter, which every write moves."""
        return {key: int(row["leaseCounter"]["N"]) for key, row in list(self.rows.items())}


class HangingStreams(SimulatedStreamsClient):
    """A stream whose reads or listings do not answer once they are told to hang."""

    hangs = False
    listing_hangs = False

    def __init__(self, table: SimulatedTable) -> None:
        super().__init__(table)
        self.let_go = threading.Event()
        self.listing = threading.Event()

    def list_streams(self, **arguments: Any) -> dict[str, Any]:
        """ListStreams."""
        if self.listing_hangs:
            self.listing.set()
            self.let_go.wait(30)
        return super().list_streams(**arguments)

    def get_records(self, **arguments: Any) -> dict[str, Any]:
        """GetRecords."""
        if self.hangs:
            self.let_go.wait(30)
        return super().get_records(**arguments)


class Bench:
    """A consumer over a simulated stream, in this process."""

    def __init__(self, health_file: Path, *, shards: int = 3) -> None:
        self.table = SimulatedTable(TABLE, time.time, shards=shards)
        self.rows = HangingRows()
        self.streams = HangingStreams(self.table)
        self.shelf = Shelf()
        self.deaths: list[tuple[str, str]] = []
        self.health = Health(health_file, warn=lambda _problem: None)
        self.consumer = build_consumer(
            self.streams,
            self.rows,
            ConsumerSettings(TABLE, "leases", failover_seconds=2.0, worker=WORKER),
            sinks=[self.shelf],
            quarantine=None,
            metrics=Metrics(),
            health=self.health,
            on_death=lambda name, error: self.deaths.append((name, type(error).__name__)),
        )

    def expire(self, count: int) -> None:
        """So many exports leave the table."""
        for number in range(count):
            self.table.write(f"export-{number}")

    def owned(self) -> int:
        """How many leases have an owner."""
        return sum("leaseOwner" in row for row in self.rows.rows.values())

    def end(self, seconds: float = 10.0) -> bool:
        """Stops and joins; returns whether the stop was clean."""
        return self.stop(seconds).clean

    def stop(self, seconds: float) -> StopReport:
        """Stops and joins."""
        self.consumer.stop(time.monotonic() + seconds)
        return self.consumer.join()


def audit_threads() -> list[str]:
    """The names of the pipeline's threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("audit-")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A consumer that is not started; nothing of it is left behind."""
    made = Bench(tmp_path / "health")
    yield made
    close(made)


def close(bench: Bench) -> None:
    """Lets everything go that hangs, and ends the pipeline."""
    for held_up in (bench.shelf, bench.rows, bench.streams):
        held_up.let_go.set()
    bench.shelf.breaks = bench.shelf.is_down = False
    bench.end(5)
    eventually(lambda: not audit_threads(), 10)


def test_it_reads_every_shard_and_after_the_stop_no_thread_and_no_owner_is_left(bench: Bench) -> None:
    bench.expire(30)
    bench.consumer.start()
    eventually(lambda: len(bench.shelf.kept) == 30)
    assert bench.owned() == 3
    assert bench.end()
    assert audit_threads() == []
    assert bench.owned() == 0
    assert bench.deaths == []
    assert all(row["checkpoint"]["S"].isdigit() for row in bench.rows.rows.values())


def test_its_threads_have_names_that_say_what_they_do(bench: Bench) -> None:
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    names = audit_threads()
    assert {"audit-discovery", "audit-leases", "audit-renewals-0"} <= set(names)
    assert sum(name.startswith("audit-readers-") for name in names) == 8, "whatever the number of shards"


def test_stop_may_come_before_start_and_twice(bench: Bench) -> None:
    started = time.monotonic()
    assert bench.end()
    assert bench.end()
    assert time.monotonic() - started < 2


def test_a_start_after_the_stop_reads_nothing(bench: Bench) -> None:
    bench.expire(3)
    bench.consumer.stop(time.monotonic() + 5)
    bench.consumer.start()
    assert bench.consumer.join().clean
    assert bench.shelf.kept == []
    assert bench.owned() == 0


def test_a_stop_waits_for_a_sink_that_recovers(bench: Bench) -> None:
    bench.shelf.is_down = True
    bench.expire(9)
    bench.consumer.start()
    eventually(lambda: len(bench.shelf.refused) == 3)  # the first entry of each shard
    bench.consumer.stop(time.monotonic() + 20)
    bench.shelf.is_down = False
    assert bench.consumer.join().clean
    assert len(bench.shelf.kept) == 9


def test_a_stop_with_a_sink_that_stays_down_ends_in_time_with_the_leases_released(bench: Bench) -> None:
    bench.shelf.is_down = True
    bench.expire(9)
    bench.consumer.start()
    eventually(lambda: bench.health._degraded.get("audit shelf"))
    started = time.monotonic()
    assert bench.end(4)
    assert time.monotonic() - started < 4.5
    assert bench.owned() == 0
    assert {row["checkpoint"]["S"] for row in bench.rows.rows.values()} == {"TRIM_HORIZON"}


def hang_in_a_put(bench: Bench) -> None:
    """The sink does not return."""
    bench.shelf.blocks.set()
    bench.expire(9)


def hang_in_a_read(bench: Bench) -> None:
    """The stream does not answer."""
    bench.streams.hangs = True


@pytest.mark.parametrize("hang", [hang_in_a_put, hang_in_a_read])
def test_a_call_that_never_returns_costs_the_budget_and_leaves_the_lease_to_the_next_task(
    bench: Bench, hang: Callable[[Bench], None]
) -> None:
    hang(bench)
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    started = time.monotonic()
    assert bench.stop(3) == StopReport(clean=True, hung=True)
    assert time.monotonic() - started < 3.5
    assert bench.owned() == 0
    assert {row["checkpoint"]["S"] for row in bench.rows.rows.values()} == {"TRIM_HORIZON"}
    bench.shelf.let_go.set()
    bench.streams.let_go.set()
    eventually(lambda: not audit_threads())
    assert len(bench.shelf.kept) <= 3, "no further put, once the lease was released"


def test_a_look_at_the_streams_that_never_ends_is_left_behind(bench: Bench) -> None:
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    bench.streams.listing_hangs = True
    bench.table.roll(bench.table.open_shards()[0].shard_id)  # its end makes the discovery look again
    assert bench.streams.listing.wait(10)
    started = time.monotonic()
    assert bench.stop(2) == StopReport(clean=True, hung=True)
    assert time.monotonic() - started < 2.5
    assert bench.owned() == 0


def test_a_lease_whose_write_never_answers_is_not_given_up_and_the_rest_is(bench: Bench) -> None:
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    stuck = min(bench.rows.rows)
    bench.rows.hangs_for = lambda key: key == stuck
    assert bench.rows.hung.wait(10)
    started = time.monotonic()
    assert not bench.end(3)
    assert time.monotonic() - started < 3 + RENEWERS_END_SECONDS + 0.5
    assert [key for key, row in bench.rows.rows.items() if "leaseOwner" in row] == [stuck]


def test_renewals_that_hang_at_the_deadline_are_waited_for_all_together(bench: Bench) -> None:
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    bench.rows.hangs_for = lambda _key: True
    assert bench.rows.hung.wait(10)
    started = time.monotonic()
    assert bench.stop(2) == StopReport(clean=False, hung=True)
    assert time.monotonic() - started < 2 + RENEWERS_END_SECONDS + 0.5


def test_one_renewal_that_hangs_costs_no_other_lease(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "health", shards=12)
    try:
        bench.consumer.start()
        eventually(lambda: bench.owned() == 12)
        stuck = min(bench.rows.rows)
        bench.rows.hangs_for = lambda key: key == stuck
        assert bench.rows.hung.wait(10)
        before = bench.rows.counters()
        others = [each.lease for each in bench.consumer.readers if each.lease.row.key != stuck]

        def all_are_renewed_again_and_again() -> bool:
            assert all(lease.trusted() for lease in others)
            counters = bench.rows.counters()
            return all(counters[key] - before[key] >= 6 for key in before if key != stuck)

        eventually(all_are_renewed_again_and_again, 20, every_seconds=0.02)
        assert bench.rows.counters()[stuck] == before[stuck], "it hung all the while"
    finally:
        close(bench)


def test_a_consumer_that_was_never_started_has_ended(bench: Bench) -> None:
    assert bench.consumer.join().clean


def test_a_stop_takes_back_what_was_asked_of_others(bench: Bench) -> None:
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    row = dict(bench.rows.rows[min(bench.rows.rows)])
    key = row["leaseKey"]["S"] + "-of-another"
    asked = {"leaseKey": {"S": key}, "leaseOwner": {"S": "another"}, "x_requestedBy": {"S": WORKER}}
    bench.rows.rows[key] = row | asked
    assert bench.end()
    assert bench.rows.rows[key] == {
        name: value for name, value in (row | asked).items() if name != "x_requestedBy"
    }


def test_a_thread_that_dies_is_told_with_its_name_and_error(bench: Bench) -> None:
    bench.shelf.breaks = True
    bench.table.write("export-1")
    shard = bench.table.shard_of("export-1")
    bench.consumer.start()
    eventually(lambda: bench.deaths)
    assert bench.deaths == [(f"audit-{shard.shard_id}", "ZeroDivisionError")]


def test_every_loop_shows_that_it_goes_on(bench: Bench) -> None:
    bench.consumer.start()
    eventually(lambda: bench.owned() == 3)
    beats = {heartbeat.name: heartbeat.last for heartbeat in bench.health._loops}
    assert len(beats) == 1 + 1 + 4 + 8
    eventually(
        lambda: all(
            heartbeat.last > beats[heartbeat.name]
            for heartbeat in bench.health._loops
            if heartbeat.name != "audit-discovery"
        )
    )
