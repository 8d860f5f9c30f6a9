"""One task of a simulated world: the service's own parts, with a schedule in place of their threads."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.audit import AuditEntry
from processor.audit.pipeline import build_consumer
from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import Refusal, SinkUnavailable
from processor.loops import Loop
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.clocks import Clocks
from processor.streams.context import ConsumerSettings
from processor.streams.leases.held import HeldLease
from processor.streams.shard_reader import ShardReader
from tests.audit.entries import OneByOne
from tests.simulated_stream.client import SimulatedStreamsClient

if TYPE_CHECKING:
    from tests.streams.world import World

TABLE = "export-status"
FAILOVER_SECONDS = 10.0
EPOCH = 1_795_000_000.0


class ShownHealth(Health):
    """A health file's content without the file."""

    def __init__(self) -> None:
        super().__init__(Path("unused"), warn=lambda _problem: None)
        self.degraded: dict[str, str] = {}

    def report(self, component: str, problem: str | None) -> None:
        """Keeps what is degraded."""
        if problem is None:
            self.degraded.pop(component, None)
        else:
            self.degraded[component] = problem


class RecordingSink:
    """A worker's sink, which tells the world of every entry it takes."""

    name = "recording"

    def __init__(self, world: "World", worker: "Worker") -> None:
        self._world = world
        self._worker = worker

    def begin(self, entries: Sequence[AuditEntry]) -> OneByOne:
        """See `Sink.begin`."""
        poison = self._world.poison
        refusals = [
            Refusal(entry, "requestId must not be poison") for entry in entries if entry.request_id in poison
        ]
        return OneByOne(entries, self._store, refusals, before=self._interrupt)

    def _interrupt(self) -> None:
        self._world.interrupt(self._worker)

    def _store(self, entry: AuditEntry) -> None:
        is_blocked = entry.source.shard_id in self._world.blocked_shards
        if self._world.sink_is_down or is_blocked or self._worker.name in self._world.cut_off:
            raise SinkUnavailable("the sink is down")
        self._world.took(self._worker, entry)


class SimulatedRunner(Loop):
    """A runner without a thread: the world runs its steps when they are due."""

    is_alive = False

    def __init__(
        self,
        world: "World",
        name: str,
        step: Callable[[], float | None],
        wake: threading.Event | None,
        ended: Callable[[], None],
    ) -> None:
        self.name = name
        self._world = world
        self._step = step
        self._wake = wake or threading.Event()
        self._ended = ended
        self._is_stopping = False
        self._next = 0.0

    def beat(self) -> None:
        """A simulated step is never stuck."""

    def wake(self) -> None:
        """Lets the next step not wait any longer."""
        self._wake.set()

    def start(self) -> None:
        """From here on its steps are due."""
        self.is_alive, self._next = True, self._world.clock()

    def stop(self) -> None:
        """Asks for an end after the step that runs."""
        self._is_stopping = True
        self._wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Whether it has ended; waits for nothing, for only the world lets time pass."""
        if self._is_stopping and self.is_alive and timeout_seconds >= 0:
            self.is_alive = False
            self._ended()
        return not self.is_alive

    def due(self) -> float:
        """When it is to run next, on the world's clock."""
        return self._world.clock() if self._wake.is_set() else self._next

    def run(self) -> None:
        """One step, or the end."""
        self._wake.clear()
        wait = None if self._is_stopping else self._step()
        if wait is None:
            self.is_alive = False
            self._ended()
        else:
            self._next = self._world.clock() + wait


class Worker:
    """One task: the very consumer of the service, its steps run by the world."""

    def __init__(
        self, world: "World", name: str, clock_is_off_by: float, failover_seconds: float = FAILOVER_SECONDS
    ) -> None:
        self.world = world
        self._clock_is_off_by = clock_is_off_by
        self.name = name
        self.is_paused = False
        self.is_stopping = False
        self.client = SimulatedStreamsClient(world.table, world.faults)
        self.metrics = Metrics()
        self.health = ShownHealth()
        self._runners: list[SimulatedRunner] = []
        queue: Any = world.dead_letters
        self.consumer = build_consumer(
            self.client,
            world.rows,
            ConsumerSettings(
                status_table=TABLE,
                leases_table="leases",
                failover_seconds=failover_seconds,
                worker=name,
                renewing_threads=1,
                readers=1,
                page_bytes=world.page_bytes,
            ),
            sinks=[world.sink or RecordingSink(world, self)],
            quarantine=Quarantine(queue) if world.has_quarantine else None,
            metrics=self.metrics,
            health=self.health,
            on_death=_no_death,
            clocks=Clocks(world.clock, self.now, world.clock),
            runner=self._new_runner,
        )
        self.consumer.start()

    @property
    def readers(self) -> dict[HeldLease, ShardReader]:
        """The readers of the leases that it holds."""
        return {reader.lease: reader for reader in self.consumer.readers}

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left before `StreamConsumer.join`, which ends the renewals and the readers."""
        last = ("stream-renewals-", "stream-readers-")
        is_running = any(runner.is_alive for runner in self._runners if not runner.name.startswith(last))
        return not is_running and not self.consumer.readers

    def now(self) -> float:
        """Unix seconds, as this worker's machine has them."""
        return self.world.now() + self._clock_is_off_by

    def due(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What this worker wants to do, and when."""
        self._runners = [runner for runner in self._runners if runner.is_alive]
        for runner in self._runners:
            yield runner.due(), runner.run

    def degraded(self) -> dict[str, str]:
        """What the worker shows as not working."""
        return dict(self.health.degraded)

    def stop(self, deadline: float) -> None:
        """SIGTERM, with the time at which everything must be over."""
        self.is_stopping = True
        self.consumer.stop(deadline)

    def _new_runner(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        wake: threading.Event | None = None,
        ended: Callable[[], None] = lambda: None,
        **_others: object,
    ) -> SimulatedRunner:
        runner = SimulatedRunner(self.world, name, step, wake, ended)
        self._runners.append(runner)
        return runner


def _no_death(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name} died") from error
