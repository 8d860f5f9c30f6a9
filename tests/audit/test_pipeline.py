"""The audit pipeline's threads: they start, stop within their budget, and none dies silently."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from handlers.audit import AuditEntry
from processor.audit.pipeline import AuditPipeline
from processor.audit.sink import Refusal, SinkInterrupted, SinkUnavailable
from processor.health import Health
from processor.metrics import Metrics
from tests.audit.tasks import TABLE
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.waiting import eventually


class Shelf:
    """A sink that keeps entries; it can be down, break, or block until it is let go."""

    name = "shelf"

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.is_down = False
        self.breaks = False
        self.blocks = threading.Event()
        self.let_go = threading.Event()

    def put(self, entries: Sequence[AuditEntry], may_continue: Callable[[], bool]) -> Sequence[Refusal]:
        """Takes the entries as things are."""
        if self.breaks:
            raise ZeroDivisionError
        if self.is_down:
            raise SinkUnavailable("down")
        if self.blocks.is_set():
            self.let_go.wait(30)
        for entry in entries:
            if not may_continue():
                raise SinkInterrupted
            self.kept.append(entry.request_id)
        return ()


class Bench:
    """A pipeline over a simulated stream, in this process."""

    def __init__(self, health_file: Path) -> None:
        self.table = SimulatedTable(TABLE, time.time, shards=3)
        self.rows = SimulatedRows()
        self.shelf = Shelf()
        self.deaths: list[tuple[str, str]] = []
        self.health = Health(health_file, warn=lambda _problem: None)
        self.pipeline = AuditPipeline(
            streams=SimulatedStreamsClient(self.table),
            leases=self.rows,
            status_table=TABLE,
            leases_table="leases",
            sinks=[self.shelf],
            quarantine=None,
            failover_seconds=2.0,
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
        """Stops and joins."""
        self.pipeline.stop(time.monotonic() + seconds)
        return self.pipeline.join()


def audit_threads() -> list[str]:
    """The names of the pipeline's threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("audit-")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A pipeline that is not started; nothing of it is left behind."""
    made = Bench(tmp_path / "health")
    yield made
    made.shelf.let_go.set()
    made.shelf.breaks = made.shelf.is_down = False
    made.end(5)
    eventually(lambda: not audit_threads(), 10)


def test_it_reads_every_shard_and_after_the_stop_no_thread_and_no_owner_is_left(bench: Bench) -> None:
    bench.expire(30)
    bench.pipeline.start()
    eventually(lambda: len(bench.shelf.kept) == 30)
    assert bench.owned() == 3
    assert bench.end()
    assert audit_threads() == []
    assert bench.owned() == 0
    assert bench.deaths == []
    assert all(row["checkpoint"]["S"].isdigit() for row in bench.rows.rows.values())


def test_its_threads_have_names_that_say_what_they_do(bench: Bench) -> None:
    bench.pipeline.start()
    eventually(lambda: bench.owned() == 3)
    names = audit_threads()
    assert {"audit-discovery", "audit-leases", "audit-renewals-0"} <= set(names)
    assert sum(name.startswith("audit-shardId-") for name in names) == 3


def test_stop_may_come_before_start_and_twice(bench: Bench) -> None:
    started = time.monotonic()
    assert bench.end()
    assert bench.end()
    assert time.monotonic() - started < 2


def test_a_start_after_the_stop_reads_nothing(bench: Bench) -> None:
    bench.expire(3)
    bench.pipeline.stop(time.monotonic() + 5)
    bench.pipeline.start()
    assert bench.pipeline.join()
    assert bench.shelf.kept == []
    assert bench.owned() == 0


def test_a_stop_waits_for_a_sink_that_recovers(bench: Bench) -> None:
    bench.shelf.is_down = True
    bench.expire(9)
    bench.pipeline.start()
    eventually(lambda: bench.health._degraded.get("audit shelf"))
    bench.pipeline.stop(time.monotonic() + 20)
    bench.shelf.is_down = False
    assert bench.pipeline.join()
    assert len(bench.shelf.kept) == 9


def test_a_stop_with_a_sink_that_stays_down_ends_in_time_with_the_leases_released(bench: Bench) -> None:
    bench.shelf.is_down = True
    bench.expire(9)
    bench.pipeline.start()
    eventually(lambda: bench.health._degraded.get("audit shelf"))
    started = time.monotonic()
    assert bench.end(4)
    assert time.monotonic() - started < 4.5
    assert bench.owned() == 0
    assert {row["checkpoint"]["S"] for row in bench.rows.rows.values()} == {"TRIM_HORIZON"}


def test_a_sink_that_never_returns_costs_the_budget_and_no_more_and_is_told(bench: Bench) -> None:
    bench.shelf.blocks.set()
    bench.expire(9)
    bench.pipeline.start()
    eventually(lambda: bench.owned() == 3)
    started = time.monotonic()
    assert not bench.end(3)
    assert time.monotonic() - started < 5


def test_a_thread_that_dies_is_told_with_its_name_and_error(bench: Bench) -> None:
    bench.shelf.breaks = True
    bench.table.write("export-1")
    shard = bench.table.shard_of("export-1")
    bench.pipeline.start()
    eventually(lambda: bench.deaths)
    assert bench.deaths == [(f"audit-{shard.shard_id}", "ZeroDivisionError")]


def test_every_loop_shows_that_it_goes_on(bench: Bench) -> None:
    bench.pipeline.start()
    eventually(lambda: bench.owned() == 3)
    beats = {heartbeat.name: heartbeat.last for heartbeat in bench.health._loops}
    assert len(beats) == 1 + 1 + 4 + 3
    eventually(
        lambda: all(
            heartbeat.last > beats[heartbeat.name]
            for heartbeat in bench.health._loops
            if heartbeat.name != "audit-discovery"
        )
    )
