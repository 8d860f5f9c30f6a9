"""A consumer with its threads over a simulated stream, and calls in it that never end."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from handlers.audit import AuditEntry
from processor.audit.pipeline import build_consumer
from processor.loops import Loop, StopReport
from processor.observability.metrics import Metrics
from processor.streams.clocks import Clocks
from processor.streams.context import ConsumerSettings
from tests.audit.entries import OneByOne, Shelf
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.streams.tasks import TABLE
from tests.streams.worker import ShownHealth
from tests.waiting import eventually

SHARDS = 3
PATIENCE_SECONDS = 60.0
"""How long a condition is waited for: no machine is so slow."""


class Clock:
    """Monotonic seconds that go on by themselves until they are stopped, and then by hand."""

    def __init__(self) -> None:
        self.stopped_at: float | None = None

    def __call__(self) -> float:
        """The time."""
        return time.monotonic() if self.stopped_at is None else self.stopped_at

    def stop(self) -> float:
        """Stops the clock; returns the time."""
        self.stopped_at = time.monotonic()
        return self.stopped_at


class Hanging:
    """A client one of whose operations does not answer from a moment on, until it is let go."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.operation = ""
        self.hangs_for: Callable[[dict[str, Any]], bool] = lambda _arguments: True
        self.hanging = 0
        self.let_go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**arguments: Any) -> Any:
            if name == self.operation and self.hangs_for(arguments) and not self.let_go.is_set():
                self.hanging += 1
                self.let_go.wait(PATIENCE_SECONDS)
            return method(**arguments)

        call.__name__ = name
        return call


class HangingShelf(Shelf):
    """A shelf that can break, or not answer until it is let go."""

    def __init__(self) -> None:
        super().__init__("shelf")
        self.breaks = False
        self.hangs = False
        self.met: set[str | None] = set()
        """The shards whose entries it met."""
        self.let_go = threading.Event()

    def begin(self, entries: Sequence[AuditEntry]) -> OneByOne:
        """See `Sink.begin`."""

        def meet() -> None:
            if self.breaks:
                raise ZeroDivisionError
            self.met |= {each.source.shard_id for each in entries}
            if self.hangs:
                self.let_go.wait(PATIENCE_SECONDS)

        put = super().begin(entries)
        put.before = meet
        return put


class Bench:
    """A consumer over a simulated stream, in this process."""

    def __init__(
        self, *, shards: int = SHARDS, failover_seconds: float = 30.0, runner: Callable[..., Loop] = Loop
    ) -> None:
        self.shards = shards
        self.clock = Clock()
        self.table = SimulatedTable(TABLE, time.time, shards=shards)
        self.rows = SimulatedRows()
        self.leases = Hanging(self.rows)
        self.streams = Hanging(SimulatedStreamsClient(self.table))
        self.shelf = HangingShelf()
        self.deaths: list[tuple[str, str]] = []
        self.health = ShownHealth()
        self.consumer = build_consumer(
            self.streams,
            self.leases,
            ConsumerSettings(TABLE, "leases", failover_seconds=failover_seconds),
            sinks=[self.shelf],
            quarantine=None,
            metrics=Metrics(),
            health=self.health,
            on_death=lambda name, error: self.deaths.append((name, type(error).__name__)),
            clocks=Clocks(self.clock, time.time, self.clock),
            runner=runner,
        )

    def start(self) -> None:
        """Starts, and waits until every lease is held."""
        self.consumer.start()
        eventually(lambda: self.owned() == self.shards, PATIENCE_SECONDS)

    def close(self) -> None:
        """Lets go whatever hangs, and ends the consumer."""
        for held_up in (self.shelf, self.leases, self.streams):
            held_up.let_go.set()
        self.shelf.breaks = self.shelf.is_down = False
        self.end()
        eventually(lambda: not running(), PATIENCE_SECONDS)

    def expire(self, count: int) -> None:
        """So many exports leave the table."""
        for number in range(count):
            self.table.write(f"export-{number}")

    def owned(self) -> int:
        """How many leases have an owner."""
        return sum("leaseOwner" in row for row in list(self.rows.rows.values()))

    def counters(self) -> dict[str, int]:
        """Each row's counter, which every write moves."""
        return {key: int(row["leaseCounter"]["N"]) for key, row in list(self.rows.rows.items())}

    def checkpoints(self) -> set[str]:
        """The rows' checkpoints."""
        return {row["checkpoint"]["S"] for row in list(self.rows.rows.values())}

    def end(self) -> bool:
        """Stops and joins, with time enough; returns whether the stop was clean."""
        self.consumer.stop(self.clock() + PATIENCE_SECONDS)
        return self.consumer.join().clean

    def stop_at_a_stopped_clock(self, seconds_left: float, until: Callable[[], bool]) -> StopReport:
        """Asks for a stop, goes to so many seconds before its deadline, and joins at the deadline.

        Args:
            seconds_left: when the clock stands still.
            until: what must have come true by then.
        """
        now = self.clock.stop()
        self.consumer.stop(now + 20)
        self.clock.stopped_at = now + 20 - seconds_left
        eventually(until, PATIENCE_SECONDS)
        eventually(lambda: "stream-leases" not in running(), PATIENCE_SECONDS)
        self.clock.stopped_at = now + 20
        return self.consumer.join()


def running() -> list[str]:
    """The names of the consumer's threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stream-")]
